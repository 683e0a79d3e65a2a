"""The null test: what is left of two files when one is subtracted from the other."""
