"""Media servers that play the library: what listeners did with a file there, read before a plan and carried over."""
