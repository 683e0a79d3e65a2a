"""What is on disk: which files are there, in which order to read them, which are the same, what they hold."""
