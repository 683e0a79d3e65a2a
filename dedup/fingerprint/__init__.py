"""From a file to its items: PyAV decodes it, and the sound is fingerprinted as Chromaprint does it."""
