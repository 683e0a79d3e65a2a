"""`python -m jobs` is `reprise`. Dask's workers import this module again, so nothing runs on import."""

from __future__ import annotations

from jobs.cli import main

if __name__ == "__main__":
    main()
