"""Opening the store of a run: for a scan made where there is none, else as it is. Records the runs that write."""

from __future__ import annotations

import contextlib
import secrets
import time
from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.run import Run

if TYPE_CHECKING:
    from dedup.runner import Runner
    from dedup.store.store import Store


@contextlib.contextmanager
def for_scanning(run: Run, roots: Sequence[bytes] = ()) -> Iterator[Store]:
    """The store, made if need be, stamped with the settings of this run. Raises ChromaprintMissingError first, and
    LibraryError for a root that is not there before a store is made for it."""
    from dedup.fingerprint.chromaprint import chromaprint_version
    from dedup.library.discover import require_usable
    from dedup.store.layout import Layout
    from dedup.store.store import make_or_open

    if not Layout(run.settings.store).catalog.exists():
        require_usable(roots)
    fingerprint = run.settings.fingerprint(chromaprint_version())
    purpose = f"reprise {run.command}"
    opened = make_or_open(run.settings.store, fingerprint, run.settings.block_size, purpose)
    with opened as store, _recorded(run, store):
        yield store


@contextlib.contextmanager
def for_writing(run: Run) -> Iterator[Store]:
    """The store that is there, held against other writers."""
    from dedup.store.store import open_for_writing

    with open_for_writing(run.settings.store, f"reprise {run.command}") as store, _recorded(run, store):
        yield store


@contextlib.contextmanager
def _recorded(run: Run, store: Store) -> Iterator[None]:
    """Notes in the catalog that the run began and how it ended; one that was killed has no end."""
    run_id = secrets.token_hex(8)
    store.catalog.begin_run(run_id, run.command, _now())
    outcome = "failed"
    try:
        yield
        outcome = "stopped" if run.stop.requested else "done"
    finally:
        with contextlib.suppress(Exception):  # what ended the run is told, not what its record met after that
            store.catalog.end_run(run_id, _now(), outcome)


def _now() -> str:
    return time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())


def for_reading(run: Run) -> AbstractContextManager[Store]:
    from dedup.store.store import open_for_reading

    return open_for_reading(run.settings.store)


def workers(run: Run) -> AbstractContextManager[Runner]:
    """The runner of this run; no process is started before there is work for one."""
    from cluster.runner import open_runner

    return open_runner(run.settings.workers, run.stop, log_folder=Path(run.settings.store))
