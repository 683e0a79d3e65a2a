"""Running tasks on Dask workers. Knows nothing of what a fingerprint is."""
