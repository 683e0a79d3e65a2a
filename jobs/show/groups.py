"""What commands say about the groups of a store."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dedup.store.store import Store
    from jobs.session.run import Run


def tell_unfinished(run: Run, store: Store) -> None:
    """Says on stderr where the results cannot be complete."""
    from dedup.correlation.correlate import unfinished

    missing = unfinished(store)
    if missing:
        run.observer.announce(f"incomplete: {missing}; `reprise correlate` does that")


def common_folder(paths: Iterable[bytes]) -> bytes:
    """The deepest folder that holds all of them, with a slash at its end; empty where there is none."""
    folders = {os.path.dirname(path) for path in paths}
    if not folders or not all(os.path.isabs(folder) for folder in folders):
        return b""
    return os.path.join(os.path.commonpath(folders), b"")
