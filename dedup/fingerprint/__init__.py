"""From a file to its items: PyAV decodes it, libchromaprint fingerprints the sound."""
