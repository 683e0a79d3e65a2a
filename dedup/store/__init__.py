"""What is known of a library, on disk: sealed Zarr blocks and a SQLite catalog (FORMAT.md)."""
