"""The scan: from root folders to fingerprints in the store. Workers look and decode; this alone writes."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dedup.errors import UsageError
from dedup.files.disks import Disks
from dedup.files.host_paths import HostPath
from dedup.files.paths import holds, printable
from dedup.files.status import settling_s
from dedup.fingerprint.modules import MODULES
from dedup.library.discover import Candidate, Problem, discover
from dedup.library.order import scan_order
from dedup.library.reconcile import Reconciliation, reconcile
from dedup.library.unusable import Unusable
from dedup.observer import Observer
from dedup.runner import Outcome, Runner, Task
from dedup.scan.ahead import load_ahead
from dedup.scan.empty_roots import MayForget, never, require_not_empty
from dedup.settings import ScanSettings
from dedup.store.tracks import Track
from dedup.versions import PROPERTIES_VERSION

if TYPE_CHECKING:
    from dedup.fingerprint.task import Fingerprinted
    from dedup.library.identify import Subject
    from dedup.store.store import Store

COMMIT_EVERY_S = 1.0
"""Seconds of fingerprints that are committed together; a kill can lose them and the work in flight."""

WATCHDOG_GRACE_S = 30.0
"""Seconds after the time limit until a worker is ended. Decoding watches the clock itself unless it hangs in a
packet."""

FIRST_ITEM_S = 2.6
"""Seconds of audio behind the first item of a fingerprint."""


@dataclass
class Scan:
    """What a scan did. `discovered = unchanged + fingerprinted + identical + skipped + failed + left`."""

    discovered: int = 0
    unchanged: int = 0
    fingerprinted: int = 0
    identical: int = 0
    """Files with audio that was known, or that another file of this scan holds: they were not decoded."""
    skipped: int = 0
    failed: int = 0
    left: int = 0
    """Files not reached before a stop was requested."""
    ignored: int = 0
    """Files that are not audio by their names; not part of `discovered`."""
    unlisted: int = 0
    """Folders that cannot be read; not part of `discovered`."""
    known_problems: int = 0
    """Failed and skipped files, and folders that cannot be read, of which an earlier run has told."""
    known_failures: int = 0
    """Those of them that failed."""
    damaged: int = 0
    """Fingerprinted files that were decoded with gaps."""
    moved: int = 0
    """Identical files whose old path is gone."""
    changed: int = 0
    """Fingerprinted and identical files, without the moved ones, whose path was known with another size or time of
    change, or as unusable."""
    absent: int = 0
    """Tracks that are kept although their drive or folder is not there."""
    newly_absent: int = 0
    """Absent tracks that were there before."""
    returned: int = 0
    """Unchanged, skipped and failed files that were absent before."""
    renewed: int = 0
    """Unchanged, skipped and failed files whose tags and properties were read again, as an older version had read
    them."""
    at_other_pitches: int = 0
    """Unchanged files that were decoded again, to have them at other pitches too."""
    forgotten: int = 0
    """Tracks that were dropped: deleted, renamed or no longer selected."""
    problems: list[Problem] = field(default_factory=list)
    """Failed, skipped, damaged and ignored files, each with its reason."""
    seconds: dict[str, float] = field(default_factory=dict)
    """Wall time by stage."""


def scan(
    store: Store,
    roots: Sequence[bytes],
    settings: ScanSettings,
    runner: Runner,
    observer: Observer,
    may_forget: MayForget = never,
) -> Scan:
    """Brings the store up to date with the files below `roots`.

    Known tracks of a root that is not there are kept and marked absent. Raises LibraryError, with nothing changed, for
    a root that is not there and has no known tracks, for one that cannot be read, and as `require_not_empty` does;
    UsageError if the store limits its fingerprints to a length that is always too short."""
    _require_some_length(store, settings)
    return _Scan(store, settings, runner, observer, may_forget).run([os.path.abspath(root) for root in roots])


def _require_some_length(store: Store, settings: ScanSettings) -> None:
    length_s = store.fingerprint_settings.length_s if store.fingerprint_settings else 0.0
    least_s = settings.min_length_s + FIRST_ITEM_S
    if 0 < length_s < least_s:
        expected = f"0 (whole track) or at least {least_s:g}, as min-length is {settings.min_length_s:g}"
        raise UsageError("setting length", f"found {length_s:g} s", expected)


class _Scan:
    """One scan: its stages, and what they hand to one another."""

    def __init__(
        self, store: Store, settings: ScanSettings, runner: Runner, observer: Observer, may_forget: MayForget
    ) -> None:
        self.may_forget = may_forget
        self.store, self.catalog = store, store.catalog
        self.settings, self.runner, self.observer = settings, runner, observer
        self.disks = Disks(runner, settings.reads_per_disk)
        self.summary = Scan()
        self.gone_audio: dict[int, list[bytes]] = {}
        """Paths of the tracks that are gone, by their audio, last one first: a moved file takes over the row of one."""
        self._store_folder = os.fsencode(store.layout.folder)
        self.known_paths: set[bytes] = set()
        """Paths of changed files that the store knew before."""
        self.groups: dict[bytes, list[Subject]] = {}
        """Files in flight that hold the same audio, by the path of the one that is decoded."""
        self.waiting: list[tuple[list[Subject], Fingerprinted | Unusable]] = []
        """Files to commit, with their results."""
        self.committed_at = time.monotonic()

    def run(self, roots: list[bytes]) -> Scan:
        began = time.monotonic()
        reconciled = self._discover(roots)
        self._lap("discover", began)
        began = time.monotonic()
        self.runner.prepare(len(reconciled.changed), MODULES)
        groups = self._identify(reconciled)
        self._lap("identify", began)
        began = time.monotonic()
        self._fingerprint(groups)
        if not self.runner.stop.requested:
            self._forget(reconciled)
            self._hash_twins()
            self._hear_again(reconciled)
        if not self.runner.stop.requested:
            self.catalog.probes.clear()
            self.store.seal_tail()
        self._lap("fingerprint", began)
        counted = self.summary
        counted.left = counted.discovered - (
            counted.unchanged + counted.fingerprinted + counted.identical + counted.skipped + counted.failed
        )
        return counted

    def _lap(self, stage: str, began: float) -> None:
        self.summary.seconds[stage] = time.monotonic() - began

    # ---- discover ----

    def _discover(self, roots: list[bytes]) -> Reconciliation:
        self.observer.stage("discover", None, "files")
        known = list(self.catalog.tracks.known(PROPERTIES_VERSION))
        away = [root for root in roots if not os.path.exists(root) and any(holds(root, k.path) for k in known)]
        for root in away:
            self.observer.message(f"{printable(root)} is not there; what is known of it is kept, marked absent")
        there = [root for root in roots if root not in away]
        candidates, unlisted, problems = [], list(away), Counter[str]()
        if there:
            discovery = discover(there, self.settings.discover, self.observer, [self._store_folder])
            candidates = discovery.candidates
            unlisted += discovery.unlisted
            problems.update(problem.kind for problem in discovery.problems if not problem.is_folder)
            self.summary.unlisted = sum(each.is_folder and each.kind == "failed" for each in discovery.problems)
            self.summary.problems += discovery.problems
        settings = self.settings
        reconciled = reconcile(
            candidates, known, roots, unlisted, os.path.ismount, settings.retry_failed, settings.judgement
        )
        require_not_empty(there, candidates, reconciled.gone, self.may_forget)
        self._count_unchanged(reconciled)
        self.known_paths = {c.path for c in reconciled.changed} & {k.path for k in known}
        self.summary.skipped += problems["skipped"]
        self.summary.failed += problems["failed"]
        self.summary.ignored = problems["ignored"]
        self.summary.discovered = len(candidates) + problems["skipped"] + problems["failed"]
        return reconciled

    def _count_unchanged(self, reconciled: Reconciliation) -> None:
        for track in reconciled.unchanged:
            if track.problem_kind is None:
                self.summary.unchanged += 1
            else:
                self._count_problem(track.path, Unusable(track.problem_kind, track.problem or "", lasting=True))
        back = [track.path for track in reconciled.unchanged if track.state != "present"]
        self.summary.returned = len(back)
        self.summary.absent = len(reconciled.absent)
        self.summary.newly_absent = sum(track.state != "absent" for track in reconciled.absent)
        with self.catalog.transaction():
            self.catalog.tracks.set_state(back, "present")
            self.catalog.tracks.set_place((c.volume, c.device, c.inode, c.path) for c in reconciled.replaced)
            self.catalog.tracks.set_state((track.path for track in reconciled.absent), "absent")

    # ---- identify ----

    def _identify(self, reconciled: Reconciliation) -> list[list[Subject]]:
        """The files to decode, by the audio that they hold."""
        if not (reconciled.changed or reconciled.outdated):
            return []  # then none of this has to be imported
        from dedup.fingerprint.streams import stream_hash
        from dedup.library.identify import identify
        from dedup.library.renewal import renew

        load_ahead("dedup.fingerprint.task")  # workers look at the files meanwhile
        self.summary.renewed = renew(reconciled.outdated, self.catalog, self.runner, self.disks, self.observer)
        self._let_clocks_tick(reconciled)
        unchanged = {track.path for track in reconciled.unchanged}
        for track in reversed(reconciled.gone):
            if track.audio is not None:
                self.gone_audio.setdefault(track.audio, []).append(track.path)
        work = self.catalog, self.runner, self.disks, self.observer
        identified = identify(reconciled.changed, unchanged.__contains__, *work, stream_hash)
        with self.catalog.transaction():
            for candidate, problem in identified.unusable:
                self._count_problem(candidate.path, problem)
                self._put_problem(candidate, None, problem)
            for group in identified.groups:
                if group[0].audio is not None:
                    self._put_group(group, group[0].audio)
                    self.summary.identical += len(group)
                    n_moved = len(group) if group[0].audio in self.gone_audio else 0
                    self.summary.moved += n_moved
                    self.summary.changed += 0 if n_moved else self._n_known(group)
        return [group for group in identified.groups if group[0].audio is None]

    def _let_clocks_tick(self, reconciled: Reconciliation) -> None:
        """Waits if a file was changed just now: see `settling_s`."""
        wait_s = settling_s((candidate.mtime_ns for candidate in reconciled.changed), time.time_ns())
        if wait_s:
            self.runner.stop.event.wait(wait_s)

    def _n_known(self, group: list[Subject]) -> int:
        return sum(subject.candidate.path in self.known_paths for subject in group)

    def _put_group(self, group: list[Subject], audio: int) -> None:
        for subject in group:
            gone = self.gone_audio.get(audio)
            moved_from = gone.pop() if gone and subject.candidate.path not in self.known_paths else None
            self.catalog.tracks.put(track_of(subject.candidate, subject, audio=audio), moved_from)

    def _put_problem(self, candidate: Candidate, subject: Subject | None, problem: Unusable) -> None:
        """Remembers a lasting problem. After any other problem the track is forgotten: the next run tries again, and
        what the file held before it changed is no longer true. An imported fingerprint stays: it says nothing about
        this file."""
        known = self.catalog.tracks.get(candidate.path)
        if known is not None and known.state == "imported":
            return
        if problem.lasting:
            self.catalog.tracks.put(track_of(candidate, subject, problem=problem, judged_by=self.settings.judgement))
        else:
            self.catalog.tracks.forget([candidate.path])

    # ---- fingerprint ----

    def _fingerprint(self, queue: list[list[Subject]]) -> None:
        """Decodes one file of every group; if it fails, the next of its group."""
        self.observer.stage("fingerprint", sum(len(group) for group in queue), "files")
        while queue and not self.runner.stop.requested:
            from dedup.fingerprint.task import fingerprint_file

            self.groups = {group[0].candidate.path: group for group in queue}
            order = scan_order([group[0].candidate for group in queue])
            queue = []
            outcomes = self.runner.run(
                fingerprint_file, self._tasks(order), self.settings.time_limit_s + WATCHDOG_GRACE_S
            )
            try:
                for outcome in outcomes:
                    queue += self._take(outcome)
            finally:
                self._commit()

    def _tasks(self, order: list[Candidate]) -> Iterator[Task]:
        settings = self.store.fingerprint_settings
        folder = b""
        for candidate in order:
            if os.path.dirname(candidate.path) != folder:
                folder = os.path.dirname(candidate.path)
                self.observer.folder(folder)
            limits = (self.settings.min_length_s, self.settings.time_limit_s)
            reading = self.disks.reading(candidate.device)
            arguments = (HostPath(candidate.path), candidate.size, candidate.mtime_ns, settings, *limits, reading)
            yield Task(candidate.path.hex(), arguments)

    def _take(self, outcome: Outcome) -> list[list[Subject]]:
        """Counts one result and queues it for the next commit; returns the rest of a group whose first file failed."""
        group = self.groups[bytes.fromhex(outcome.name)]
        result: Fingerprinted | Unusable = outcome.result
        if outcome.failure is not None:
            result = Unusable("failed", outcome.failure, lasting=True)
        left: list[Subject] = []
        if isinstance(result, Unusable):
            group, left = _sharing_fate(group, result)
            for subject in group:
                self._count_problem(subject.candidate.path, result)
        else:
            self.summary.fingerprinted += 1
            self.summary.identical += len(group) - 1
            self.summary.changed += self._n_known(group)
            if result.damage is not None:
                self._tell_damage(group, result.damage)
        self.observer.advance(len(group))
        self.waiting.append((group, result))
        if time.monotonic() - self.committed_at > COMMIT_EVERY_S:
            self._commit()
        return [left] if left else []

    def _tell_damage(self, group: list[Subject], damage: str) -> None:
        self.summary.damaged += 1
        for subject in group:
            self.summary.problems.append(Problem("damaged", subject.candidate.path, damage))
            self.observer.problem("damaged", subject.candidate.path, damage)

    def _commit(self) -> None:
        ready, self.waiting = self.waiting, []  # first: a signal in between must not commit them twice
        with self.catalog.transaction():
            pitches = []
            for group, result in ready:
                if isinstance(result, Unusable):
                    for subject in group:
                        self._put_problem(subject.candidate, subject, result)
                else:
                    key = group[0].probe.key
                    fingerprint = self.catalog.fingerprints.add(result.items)
                    pitches.append((fingerprint, result.pitches))
                    audio = self.catalog.audios.add(fingerprint, result.stream, key, result.damage, result.decoding)
                    self._put_group(group, audio)
            self.store.keep_pitches(pitches)
        self.store.seal_tail(all_of_it=False)
        self.committed_at = time.monotonic()

    # ---- the end ----

    def _forget(self, reconciled: Reconciliation) -> None:
        """Drops the tracks that are gone. It comes last, so that a kill before it cannot lose what a moved file was."""
        self.summary.forgotten = len(reconciled.gone)
        with self.catalog.transaction():
            self.catalog.tracks.forget(track.path for track in reconciled.gone)

    def _hash_twins(self) -> None:
        """Sets the full hashes of present tracks with equal size and partial hash, so that which files count as
        identical does not depend on the scan that saw them first."""
        twins = list(self.catalog.tracks.unhashed_twins())
        if not twins:
            return
        from dedup.fingerprint.task import is_as_seen
        from dedup.library.identify import hash_all
        from dedup.library.identity import full_hash

        paths = [path for path, *status in twins if is_as_seen(path, *status)]

        def keep(hashes: dict[bytes, bytes]) -> None:
            for path, full in hashes.items():
                self.catalog.tracks.set_full(path, full)

        self.observer.stage("hash files of equal size", len(paths), "files")
        hash_all(full_hash, paths, self.catalog, self.runner, self.disks, self.observer, keep)

    def _hear_again(self, reconciled: Reconciliation) -> None:
        if self.settings.again is not None:
            from dedup.scan.again import hear_at_other_pitches

            unchanged = {track.path for track in reconciled.unchanged}
            limit_s = self.settings.time_limit_s + WATCHDOG_GRACE_S
            work = self.settings, self.runner, self.observer, self.disks, limit_s
            self.summary.at_other_pitches = hear_at_other_pitches(self.store, unchanged, *work)

    def _count_problem(self, path: bytes, problem: Unusable) -> None:
        if problem.kind == "failed":
            self.summary.failed += 1
        else:
            self.summary.skipped += 1
        self.summary.problems.append(Problem(problem.kind, path, problem.reason))
        self.observer.problem(problem.kind, path, problem.reason)


def _sharing_fate(group: list[Subject], problem: Unusable) -> tuple[list[Subject], list[Subject]]:
    """A group whose first file gave no fingerprint, in two parts: the files that share its fate, and those still to
    try. A problem in the bytes is a problem of every file with the same bytes."""
    first = group[0]
    same = [s for s in group[1:] if problem.lasting and s.full is not None and s.full == first.full]
    return [first, *same], [s for s in group[1:] if s not in same]


def track_of(
    candidate: Candidate,
    subject: Subject | None,
    audio: int | None = None,
    problem: Unusable | None = None,
    judged_by: str | None = None,
) -> Track:
    """A file as the catalog remembers it: with its audio, or with the problem that it has."""
    return Track(
        id=0,
        path=candidate.path,
        root=candidate.root,
        volume=candidate.volume,
        size=candidate.size,
        mtime_ns=candidate.mtime_ns,
        inode=candidate.inode,
        device=candidate.device,
        state="present",
        partial=subject.probe.partial if subject else None,
        full=subject.full if subject else None,
        audio=audio,
        problem_kind=problem.kind if problem else None,
        problem=problem.reason if problem else None,
        judged_by=judged_by,
        properties=subject.probe.properties if subject else "{}",
    )
