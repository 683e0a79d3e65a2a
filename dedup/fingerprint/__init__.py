"""From a file to its items: PyAV decodes, libchromaprint listens."""
