"""Synthesized music with known duplicates, for `reprise demo` and the end-to-end tests."""
