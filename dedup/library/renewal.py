"""Properties of unchanged files that an older version of the program read: they are read again. Nothing is decoded, and
fingerprints stay."""

from __future__ import annotations

import json
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dedup.files.disks import Disks
from dedup.files.host_paths import HostPath
from dedup.library.discover import Candidate
from dedup.library.identify import PROBE_BATCH
from dedup.library.metadata import PROPERTIES_VERSION, from_json, to_json
from dedup.library.probe import read_again
from dedup.observer import Observer
from dedup.runner import Runner, Task
from dedup.store.in_time import COMMIT_EVERY_S

if TYPE_CHECKING:
    from dedup.store.catalog import Catalog


def renew(outdated: Sequence[Candidate], catalog: Catalog, runner: Runner, disks: Disks, observer: Observer) -> int:
    """Reads the properties of these tracks again, commits them as they come, and returns how many were renewed. Files
    that cannot be read now keep the properties they have, and the next scan tries again."""
    if not outdated:
        return 0
    return _Renewal(catalog, runner, disks, observer).run(outdated)


class _Renewal:
    """One pass over the tracks."""

    def __init__(self, catalog: Catalog, runner: Runner, disks: Disks, observer: Observer) -> None:
        self.catalog, self.runner, self.disks, self.observer = catalog, runner, disks, observer
        self.n_renewed = 0
        self.waiting: dict[bytes, str] = {}
        self.committed_at = time.monotonic()

    def run(self, outdated: Sequence[Candidate]) -> int:
        self.observer.stage("read tags again", len(outdated), "files")
        batches = [outdated[start : start + PROBE_BATCH] for start in range(0, len(outdated), PROBE_BATCH)]
        try:
            suspects = self._read(batches)
            for candidate in self._read([[candidate] for candidate in suspects]):
                self._keep_as_it_is(candidate.path)
        finally:
            self._commit()
        return self.n_renewed

    def _read(self, batches: Sequence[Sequence[Candidate]]) -> list[Candidate]:
        """Reads the batches; returns the files of those that failed: one of them killed the worker, and alone it will
        again."""
        by_name = {f"{len(batch)}-{batch[0].path.hex()}": batch for batch in batches}
        tasks = (
            Task(name, ([(HostPath(c.path), c.size) for c in batch], self.disks.reading(batch[0].device)))
            for name, batch in by_name.items()
        )
        failed: list[Candidate] = []
        for outcome in self.runner.run(read_again, tasks, time_limit_s=60.0 * PROBE_BATCH):
            batch = by_name[outcome.name]
            if outcome.failure is not None:
                failed += batch
                continue
            paths = [candidate.path for candidate in batch]
            self.waiting |= {path: text for path, text in zip(paths, outcome.result, strict=True) if text is not None}
            self.observer.advance(len(batch))
            if time.monotonic() - self.committed_at > COMMIT_EVERY_S:
                self._commit()
        return failed

    def _keep_as_it_is(self, path: bytes) -> None:
        """Stamps the properties of a file that kills its worker, so that no further scan tries it."""
        self.observer.advance()
        track = self.catalog.tracks.get(path)
        if track is not None:
            known = from_json(json.loads(track.properties))._replace(version=PROPERTIES_VERSION)
            self.waiting[path] = json.dumps(to_json(known))

    def _commit(self) -> None:
        ready, self.waiting = self.waiting, {}  # first: a signal in between must not commit them twice
        with self.catalog.transaction():
            self.catalog.tracks.set_properties(ready.items())
        self.n_renewed += len(ready)
        self.committed_at = time.monotonic()
