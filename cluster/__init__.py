"""Tasks on Dask workers. Nothing here knows what a fingerprint is."""
