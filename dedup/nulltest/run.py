"""Makes the null tests of pairs: the only writer of their results."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, fields
from typing import TYPE_CHECKING

from dedup.files.disks import Disks
from dedup.files.host_paths import HostPath
from dedup.nulltest.task import Compared, Side, compare_files
from dedup.runner import WATCHDOG_GRACE_S, Outcome, Runner, Task
from dedup.store.in_time import InTime
from dedup.store.nulltests import NullTest

if TYPE_CHECKING:
    from dedup.groups.matches import ListedTrack, TrackPair
    from dedup.observer import Observer
    from dedup.store.store import Store


@dataclass(frozen=True)
class Tested:
    """What came of the null tests of a run."""

    n_tested: int = 0
    """Tests that were made and recorded."""
    n_copies: int = 0
    """Those of them that were passed."""
    n_mixes: int = 0
    """Those that found another mix."""
    n_failed: int = 0
    """Those that could not be made, and would not be the next time."""
    n_left: int = 0
    """Pairs that a stop, or a file that changed, left for the next run."""

    def __add__(self, other: Tested) -> Tested:
        """Both together; what is left is what the later one left."""
        sums = {each.name: getattr(self, each.name) + getattr(other, each.name) for each in fields(Tested)}
        return Tested(**{**sums, "n_left": other.n_left})


def null_tests(
    store: Store,
    pairs: Sequence[TrackPair],
    runner: Runner,
    observer: Observer,
    disks: Disks,
    time_limit_s: float,
) -> Tested:
    """Makes the null test of each pair, once for each two contents, and commits about once a second. A pair whose test
    kills its worker has one with a problem; files that changed or vanished are left to the next run."""
    return _Testing(store, runner, observer, disks, time_limit_s).run(pairs)


class _Testing:
    """One pass over the pairs."""

    def __init__(self, store: Store, runner: Runner, observer: Observer, disks: Disks, time_limit_s: float) -> None:
        self.store, self.runner, self.observer = store, runner, observer
        self.disks, self.time_limit_s = disks, time_limit_s
        self.rows = InTime[tuple[bytes, bytes, NullTest]](store.catalog, store.catalog.nulltests.put, self._keep)
        self.made: list[NullTest] = []

    def run(self, pairs: Sequence[TrackPair]) -> Tested:
        by_name = {_name(pair): pair for pair in reversed(pairs)}
        self.observer.stage("null test", len(by_name), "pairs")
        try:
            for outcome in self.runner.run(
                compare_files, self._tasks(by_name), 2 * self.time_limit_s + WATCHDOG_GRACE_S
            ):
                self._take(by_name[outcome.name], outcome)
                self.observer.advance()
        finally:
            self.rows.commit()
        return Tested(
            n_tested=len(self.made),
            n_copies=sum(test.is_copy for test in self.made),
            n_mixes=sum(test.is_other_mix for test in self.made),
            n_failed=sum(not test.is_made for test in self.made),
            n_left=len(by_name) - len(self.made),
        )

    def _tasks(self, by_name: dict[str, TrackPair]) -> Iterator[Task]:
        for name, pair in sorted(by_name.items(), key=lambda item: (item[1].b.path, item[1].a.path)):
            yield Task(name, (self._side(pair.a), self._side(pair.b), pair.match.lag_s, 2 * self.time_limit_s))

    def _side(self, track: ListedTrack) -> Side:
        return HostPath(track.path), track.size, track.mtime_ns, self.disks.reading(track.device)

    def _take(self, pair: TrackPair, outcome: Outcome) -> None:
        compared = outcome.result if outcome.failure is None else Compared(NullTest(problem=outcome.failure))
        if compared.lasting:
            self.rows.add((pair.a.content, pair.b.content, compared.test))
        else:
            self.observer.problem("failed", pair.a.path, f"no null test: {compared.test.problem}")
        self.rows.commit_in_time()

    def _keep(self, committed: list[tuple[bytes, bytes, NullTest]]) -> None:
        self.made += [test for _, _, test in committed]


def _name(pair: TrackPair) -> str:
    """A name that pairs of the same contents share, whichever is the first."""
    low, high = sorted((pair.a.content, pair.b.content))
    return f"{low.hex()}-{high.hex()}"
