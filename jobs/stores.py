"""Opening the store of a run: for a scan made where there is none, else as it is."""

from __future__ import annotations

from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING

from jobs.run import Run

if TYPE_CHECKING:
    from dedup.runner import Runner
    from dedup.store.store import Store


def for_scanning(run: Run) -> AbstractContextManager[Store]:
    """The store, made if need be, stamped with the settings of this run. Raises ChromaprintMissingError first."""
    from dedup.fingerprint.chromaprint import chromaprint_version
    from dedup.store.store import make_or_open

    fingerprint = run.settings.fingerprint(chromaprint_version())
    return make_or_open(run.settings.store, fingerprint, run.settings.block_size, f"reprise {run.command}")


def for_writing(run: Run) -> AbstractContextManager[Store]:
    from dedup.store.store import open_for_writing

    return open_for_writing(run.settings.store, f"reprise {run.command}")


def for_reading(run: Run) -> AbstractContextManager[Store]:
    from dedup.store.store import open_for_reading

    return open_for_reading(run.settings.store)


def workers(run: Run) -> AbstractContextManager[Runner]:
    """The runner of this run; no process is started before there is work for one."""
    from cluster.runner import open_runner

    return open_runner(run.settings.workers, run.stop, log_folder=Path(run.settings.store))
