"""Reprise's domain: libraries, fingerprints, the store, correlation, groups. Knows no Dask, click or terminal."""

__version__ = "0.1.0"
