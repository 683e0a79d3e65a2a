"""Whether files are what they say: how many bits are in use, and where their spectra end."""
