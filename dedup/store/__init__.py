"""Everything known about a library, on disk: sealed Zarr blocks and a SQLite catalog (FORMAT.md)."""
