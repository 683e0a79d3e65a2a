"""Confirms copies at another speed, tempo or pitch: the only writer of what hearing them again gave."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from dedup.confirm.task import Answer, HeardAgain, Question, hear_again
from dedup.correlation.scoring import Change, Thresholds, is_at_same_pitch
from dedup.files.disks import Disks
from dedup.files.host_paths import HostPath
from dedup.groups.thresholds import thresholds
from dedup.runner import WATCHDOG_GRACE_S, Runner, Task
from dedup.settings import MatchSettings
from dedup.store.comparisons import Confirmation
from dedup.store.in_time import InTime

if TYPE_CHECKING:
    from dedup.groups.matches import ListedTrack, Matches
    from dedup.observer import Observer
    from dedup.store.store import Store

AT_ONCE = 100
"""Most questions about a file at a time: that many other fingerprints go to a worker."""


@dataclass(frozen=True)
class Confirmed:
    """What came of a run."""

    n_heard: int = 0
    """Pairs that were heard again."""
    n_left: int = 0
    """Pairs that a stop, or a file that changed, left for the next run."""


class _Pair(NamedTuple):
    """Two fingerprints, of which the first is heard again."""

    heard: ListedTrack
    """A track that has it."""
    other: ListedTrack
    rate: float
    """Items of the first for each of the second."""


def confirm(
    store: Store, matches: Matches, runner: Runner, observer: Observer, disks: Disks, time_limit_s: float
) -> Confirmed:
    """Hears again what may be a copy at another speed, tempo or pitch, once for each two fingerprints, and commits
    about once a second; gives `matches` what was found. Files that changed or vanished are left to the next run."""
    limits = thresholds(store, MatchSettings())  # the usual ones: other settings must not decide what is known
    pairs = list(_unconfirmed(matches, limits)) if matches.settings.classic is None else []
    if not pairs or runner.stop.requested:
        return Confirmed(0, len(pairs))
    run = _Confirming(store, runner, observer, disks, time_limit_s)
    run.run(pairs)
    matches.take_in_confirmed(store)
    return Confirmed(run.n_heard, len(pairs) - run.n_heard)


def _unconfirmed(matches: Matches, limits: Thresholds) -> Iterator[_Pair]:
    """The pairs that nobody has heard again, each with the file to hear: of two that are there, the one whose
    fingerprint has the lower digest."""
    for first, second, place in matches.related.all():
        if matches.related.change(place) is None:
            some, others = matches.by_fingerprint.get(first, []), matches.by_fingerprint.get(second, [])
            match = matches.related.match(place)
            if not some or not others:
                continue
            is_asked = matches.related.is_at_other_pitch(place)
            if not is_asked and is_at_same_pitch(match, some[0].n_items, others[0].n_items, limits):
                continue
            a, b, rate = _there(some), _there(others), 1 + match.rate
            if (b.state == "present", a.digest) > (a.state == "present", b.digest):
                a, b, rate = b, a, 1 / rate
            if a.state == "present":
                yield _Pair(a, b, rate)


def _there(tracks: Iterable[ListedTrack]) -> ListedTrack:
    """The first by path that is present, or the first."""
    return min(tracks, key=lambda track: (track.state != "present", track.path))


class _Confirming:
    """One pass over the pairs."""

    def __init__(self, store: Store, runner: Runner, observer: Observer, disks: Disks, time_limit_s: float) -> None:
        self.store, self.runner, self.observer = store, runner, observer
        self.disks, self.time_limit_s = disks, time_limit_s
        self.rows = InTime[Confirmation](store.catalog, store.catalog.comparisons.put_confirmed, self._count)
        self.n_heard = 0

    def run(self, pairs: Iterable[_Pair]) -> None:
        by_file: dict[bytes, list[_Pair]] = {}
        for pair in pairs:
            by_file.setdefault(pair.heard.path, []).append(pair)
        names = {
            f"{path.hex()}-{start}": of_file[start : start + AT_ONCE]
            for path, of_file in by_file.items()
            for start in range(0, len(of_file), AT_ONCE)
        }
        self.observer.stage("hear again", len(names), "files")
        limit_s = self.time_limit_s + WATCHDOG_GRACE_S
        try:
            for outcome in self.runner.run(hear_again, self._tasks(names), limit_s):
                of_file = names[outcome.name]
                heard = outcome.result if outcome.failure is None else HeardAgain([], outcome.failure, lasting=False)
                self._take(of_file, heard)
                self.observer.advance()
        finally:
            self.rows.commit()

    def _tasks(self, names: dict[str, list[_Pair]]) -> Iterator[Task]:
        settings = self.store.fingerprint_settings
        for name, of_file in sorted(names.items(), key=lambda each: each[1][0].heard.path):
            track = of_file[0].heard
            ids = {track.fingerprint, *(pair.other.fingerprint for pair in of_file)}
            items, pitches = self.store.items_of_all(ids), self.store.catalog.pitches.get_all(ids)
            own, *questions = (
                Question(items[id_], rate, pitches.get(id_))
                for id_, rate in [(track.fingerprint, 1.0), *((pair.other.fingerprint, pair.rate) for pair in of_file)]
            )
            side = (HostPath(track.path), track.size, track.mtime_ns, self.disks.reading(track.device))
            yield Task(name, (*side, settings, own, questions, self.time_limit_s))

    def _take(self, of_file: list[_Pair], heard: HeardAgain) -> None:
        if heard.problem:
            self.observer.problem("failed", of_file[0].heard.path, f"not heard again: {heard.problem}")
        if not heard.lasting:
            return
        nothing = [Answer(Change("none", 1.0), b"")] * len(of_file)
        for pair, (change, found) in zip(of_file, nothing if heard.problem else heard.answers, strict=True):
            self.rows.add(Confirmation.of(pair.heard.digest, pair.other.digest, change.kind, change.pitch, found))
        self.rows.commit_in_time()

    def _count(self, committed: list[Confirmation]) -> None:
        self.n_heard += len(committed)
