"""Measures the lossless files of a library: the only writer of measurements."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dedup.files.disks import Disks
from dedup.files.host_paths import HostPath
from dedup.quality.listing import files_of
from dedup.quality.task import MeasuredFile, measure_file
from dedup.runner import WATCHDOG_GRACE_S, Outcome, Runner, Task
from dedup.store.in_time import InTime
from dedup.store.measurements import Measured

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.settings import ScanSettings
    from dedup.store.store import Store


@dataclass(frozen=True)
class Measuring:
    """What came of a run."""

    n_measured: int = 0
    """Audios that were measured."""
    n_failed: int = 0
    """Those that cannot be measured, now or at all."""
    n_left: int = 0
    """Those that a stop left for the next run."""


class _File(NamedTuple):
    """A file to measure."""

    path: bytes
    size: int
    mtime_ns: int
    device: int
    bits: int


def measure_library(
    store: Store, settings: ScanSettings, runner: Runner, observer: Observer, *, again: bool = False
) -> Measuring:
    """Measures the lossless files that are there and were not measured yet, or all of them `again`, each audio once,
    and commits about once a second. A file that kills its worker has a problem; one that changed is left to the next
    run."""
    return _Measuring(store, settings, runner, observer).run(_unmeasured(store, again))


def _unmeasured(store: Store, again: bool) -> dict[int, _File]:
    """The first file by path of each audio, by its id."""
    found: dict[int, _File] = {}
    for file in files_of(store):
        track = file.track
        if track.audio is not None and file.is_measurable and (again or file.measured is None):
            seen = _File(track.path, track.size, track.mtime_ns, track.device, file.properties.bits)
            found.setdefault(track.audio, seen)
    return found


class _Measuring:
    """One pass over the files."""

    def __init__(self, store: Store, settings: ScanSettings, runner: Runner, observer: Observer) -> None:
        self.store, self.runner, self.observer = store, runner, observer
        self.disks, self.time_limit_s = Disks(runner, settings.reads_per_disk), settings.time_limit_s
        self.rows = InTime[tuple[int, Measured]](store.catalog, store.catalog.measurements.put, self._count)
        self.n_measured = self.n_failed = 0

    def run(self, files: dict[int, _File]) -> Measuring:
        self.observer.stage("measure", len(files), "files")
        n_done = 0
        try:
            limit_s = self.time_limit_s + WATCHDOG_GRACE_S
            for outcome in self.runner.run(measure_file, self._tasks(files), limit_s):
                audio = int(outcome.name)
                self._take(audio, files[audio].path, outcome)
                n_done += 1
                self.observer.advance()
        finally:
            self.rows.commit()
        return Measuring(self.n_measured, self.n_failed, len(files) - n_done)

    def _tasks(self, files: dict[int, _File]) -> Iterator[Task]:
        for audio, file in files.items():
            reading = self.disks.reading(file.device)
            seen = (HostPath(file.path), file.size, file.mtime_ns, file.bits)
            yield Task(str(audio), (*seen, reading, self.time_limit_s))

    def _take(self, audio: int, path: bytes, outcome: Outcome) -> None:
        found = outcome.result if outcome.failure is None else MeasuredFile(Measured(problem=outcome.failure))
        if found.measured.problem is not None:
            self.n_failed += 1
            self.observer.problem("failed", path, f"not measured: {found.measured.problem}")
        if found.lasting:
            self.rows.add((audio, found.measured))
        self.rows.commit_in_time()

    def _count(self, committed: list[tuple[int, Measured]]) -> None:
        self.n_measured += sum(measured.problem is None for _, measured in committed)
