"""Which of the changed files hold audio that is known already, or the same audio as each other: they are never decoded.

Progressive exclusion: size and partial hash, then full hash (identical file); codec, rate, channels and duration, then
the hash of the demuxed packets (same audio). Each step reads only files that the step before could not tell apart.
Results are committed as they come: a run that is killed leaves them to the next one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dedup.files.bounded import MOST_BYTES
from dedup.files.disks import Disks
from dedup.files.host_paths import HostPath
from dedup.library import identity
from dedup.library.discover import Candidate
from dedup.library.identity import collisions, full_hash
from dedup.library.look import LOOK_S
from dedup.library.metadata import from_json
from dedup.library.probe import Probe, hash_file, probe_files
from dedup.library.unusable import Unusable
from dedup.observer import Observer
from dedup.runner import Runner, Task
from dedup.store.in_time import COMMIT_EVERY_S

if TYPE_CHECKING:
    from dedup.store.catalog import Catalog

PROBE_BATCH = 16
"""Files that one task looks at. Each takes a few milliseconds; handing out a task takes one."""


SLOW_S = 5.0
"""Seconds that each file of a batch may take on a slow disk before they are looked at one by one."""

MOST_BYTES_A_SECOND = 100_000_000
"""Bytes of a file for each second that it is said to play, beyond which its audio is not hashed: no film has as many. A
file with a terabyte of nothing after its sound would be read for as long as a task may take, twice."""


@dataclass
class Subject:
    """A changed file on its way to being identified."""

    candidate: Candidate
    probe: Probe
    full: bytes | None = None
    stream: bytes | None = None
    audio: int | None = None
    """Id of the known audio that it holds; None if that is not known."""


@dataclass
class Identified:
    """The changed files by the audio they hold."""

    groups: list[list[Subject]] = field(default_factory=list)
    """Files that hold the same audio. All files of a group have the same `audio`; it is None if that audio is new."""
    unusable: list[tuple[Candidate, Unusable]] = field(default_factory=list)


def identify(
    changed: Sequence[Candidate],
    still_there: Callable[[bytes], bool],
    catalog: Catalog,
    runner: Runner,
    disks: Disks,
    observer: Observer,
    stream_hash: Callable[[bytes], bytes | None] = identity.stream_hash,
) -> Identified:
    """Groups the changed files by audio. `still_there` says whether a track's file is on disk as the catalog knows it;
    `stream_hash` hashes the audio of one on a worker."""
    result = Identified()
    subjects = _Probing(catalog, runner, disks, observer, result).run(changed)
    if runner.stop.requested:
        return result
    _find_identical_files(subjects, still_there, catalog, runner, disks, observer)
    representatives = _by_full_hash(subjects)
    _find_same_audio(representatives, catalog, runner, disks, observer, stream_hash)
    if runner.stop.event.is_set():  # not all files are known well enough to be grouped
        return result
    streams: dict[Any, list[Subject]] = {}
    for group in representatives:
        first = group[0]
        same: Any = ("audio", first.audio) if first.audio is not None else ("stream", first.stream)
        if first.audio is None and first.stream is None:
            same = ("file", first.candidate.path)
        streams.setdefault(same, []).extend(group)
    result.groups = [sorted(group, key=lambda subject: subject.candidate.path) for group in streams.values()]
    for group in result.groups:
        for subject in group:
            subject.audio = group[0].audio
    return result


class _Probing:
    """Looks at the changed files, except those that an earlier run looked at before it was cut short."""

    def __init__(self, catalog: Catalog, runner: Runner, disks: Disks, observer: Observer, result: Identified) -> None:
        self.catalog, self.runner, self.disks, self.observer, self.result = catalog, runner, disks, observer, result
        self.subjects: list[Subject] = []
        self.waiting: list[Subject] = []
        self.committed_at = time.monotonic()

    def run(self, changed: Sequence[Candidate]) -> list[Subject]:
        """The readable files, by path; the others go to the result's `unusable`."""
        self.observer.stage("identify", len(changed), "files")
        unknown = self._take_known(changed)
        batches = [unknown[i : i + PROBE_BATCH] for i in range(0, len(unknown), PROBE_BATCH)]
        try:
            suspects = self._probe(batches)
            self._probe([[candidate] for candidate in suspects])
        finally:
            self._commit()
        return sorted(self.subjects, key=lambda subject: subject.candidate.path)

    def _take_known(self, changed: Sequence[Candidate]) -> list[Candidate]:
        """The files of `changed` that nobody has looked at yet."""
        kept = {probe.path: probe for probe in self.catalog.probes.all()}
        unknown = []
        for candidate in changed:
            probe = kept.get(candidate.path)
            if probe is None or (probe.size, probe.mtime_ns) != (candidate.size, candidate.mtime_ns):
                unknown.append(candidate)
                continue
            found = Probe(probe.partial, probe.key, probe.properties)
            self.subjects.append(Subject(candidate, found, probe.full, probe.stream))
        self.observer.advance(len(changed) - len(unknown))
        return unknown

    def _probe(self, batches: list[list[Candidate]]) -> list[Candidate]:
        """Runs the batches; returns the files of those that killed their worker, as any of them may have done it. A
        file that is alone in its batch is to blame."""
        by_name = {f"{len(batch)}-{batch[0].path.hex()}": batch for batch in batches}
        tasks = (
            Task(name, ([(HostPath(c.path), c.size) for c in batch], self.disks.reading(batch[0].device)))  # neighbours
            for name, batch in by_name.items()
        )
        suspects: list[Candidate] = []
        limit_s = LOOK_S if all(len(batch) == 1 for batch in batches) else LOOK_S + PROBE_BATCH * SLOW_S
        for outcome in self.runner.run(probe_files, tasks, time_limit_s=limit_s):
            batch = by_name[outcome.name]
            if outcome.failure is None:
                self._sort_in(batch, outcome.result)
            elif len(batch) == 1:
                self._sort_in(batch, [Unusable("failed", outcome.failure, lasting=True)])
            else:
                suspects += batch
                continue
            self.observer.advance(len(batch))
        return suspects

    def _sort_in(self, batch: list[Candidate], probes: list[Probe | Unusable]) -> None:
        for candidate, probe in zip(batch, probes, strict=True):
            if isinstance(probe, Unusable):
                self.result.unusable.append((candidate, probe))
            else:
                self.waiting.append(Subject(candidate, probe))
        if time.monotonic() - self.committed_at > COMMIT_EVERY_S:
            self._commit()

    def _commit(self) -> None:
        ready, self.waiting = self.waiting, []
        rows = (
            (c.path, c.size, c.mtime_ns, probe.partial, probe.key, probe.properties)
            for c, probe in ((subject.candidate, subject.probe) for subject in ready)
        )
        with self.catalog.transaction():
            self.catalog.probes.put(rows)
        self.subjects += ready
        self.committed_at = time.monotonic()


def _find_identical_files(
    subjects: list[Subject],
    still_there: Callable[[bytes], bool],
    catalog: Catalog,
    runner: Runner,
    disks: Disks,
    observer: Observer,
) -> None:
    """Sets the full hash of every subject that shares size and partial hash with another file, and the audio of those
    whose full hash a known track has."""
    changed = {subject.candidate.path for subject in subjects}
    suspects = {
        subject.candidate.path: subject
        for group in collisions((s, (s.candidate.size, s.probe.partial)) for s in subjects)
        for subject in group
    }
    twins: dict[bytes, list[Subject]] = {}
    fulls: dict[bytes, tuple[bytes, int]] = {}  # path of a known track: its full hash and audio
    unhashed: dict[bytes, int] = {}
    for subject in subjects:
        for track in catalog.tracks.twins(subject.candidate.size, subject.probe.partial):
            if track.path in changed or not still_there(track.path) or track.audio is None:
                continue
            twins.setdefault(track.path, []).append(subject)
            suspects[subject.candidate.path] = subject
            if track.full is None:
                unhashed[track.path] = track.audio
            else:
                fulls[track.path] = (track.full, track.audio)
    to_hash = [path for path, subject in suspects.items() if subject.full is None]

    def keep(hashes: dict[bytes, bytes]) -> None:
        catalog.probes.set_hashes("full", hashes)
        for path in hashes.keys() & unhashed.keys():
            catalog.tracks.set_full(path, hashes[path])

    observer.stage("hash files of equal size", len(to_hash) + len(unhashed), "files")
    hashes = hash_all(full_hash, [*to_hash, *unhashed], catalog, runner, disks, observer, keep)
    for path, subject in suspects.items():
        subject.full = subject.full or hashes.get(path)
    fulls |= {path: (hashes[path], audio) for path, audio in unhashed.items() if path in hashes}
    for path, (full, audio) in sorted(fulls.items()):
        for subject in twins[path]:
            if subject.full == full and subject.audio is None:
                subject.audio = audio


def _by_full_hash(subjects: list[Subject]) -> list[list[Subject]]:
    """Groups of identical files, each in the order of paths; if the audio of one is known, it is known of all."""
    groups: dict[Any, list[Subject]] = {}
    for subject in subjects:
        groups.setdefault(subject.full or subject.candidate.path, []).append(subject)
    return list(groups.values())


def _find_same_audio(
    groups: list[list[Subject]],
    catalog: Catalog,
    runner: Runner,
    disks: Disks,
    observer: Observer,
    stream_hash: Callable[[bytes], bytes | None],
) -> None:
    """Sets the stream hash of the first file of every group that shares its key with another or with known audio, and
    the audio of those whose stream is known."""
    unknown = [group[0] for group in groups if group[0].audio is None and group[0].probe.key and _is_dense(group[0])]
    suspects = {
        subject.candidate.path: subject
        for group in collisions((subject, subject.probe.key) for subject in unknown)
        for subject in group
    }
    known: dict[str, dict[bytes, int]] = {}
    for subject in unknown:
        key = subject.probe.key
        if key not in known:
            known[key] = catalog.audios.streams_of_key(key)
        if known[key]:
            suspects[subject.candidate.path] = subject
    to_hash = [path for path, subject in suspects.items() if subject.stream is None]

    def keep(hashes: dict[bytes, bytes]) -> None:
        catalog.probes.set_hashes("stream", hashes)

    observer.stage("hash audio of equal length", len(to_hash), "files")
    hashes = hash_all(stream_hash, to_hash, catalog, runner, disks, observer, keep)
    for path, subject in suspects.items():
        subject.stream = subject.stream or hashes.get(path)
        if subject.stream is not None:
            subject.audio = known[subject.probe.key].get(subject.stream)


def _is_dense(subject: Subject) -> bool:
    """Whether a file is no larger than sound of its length can be."""
    duration_s = from_json(json.loads(subject.probe.properties)).duration_s
    return subject.candidate.size <= MOST_BYTES + MOST_BYTES_A_SECOND * duration_s


def hash_all(
    function: Callable[[bytes], bytes | None],
    paths: Iterable[bytes],
    catalog: Catalog,
    runner: Runner,
    disks: Disks,
    observer: Observer,
    keep: Callable[[dict[bytes, bytes]], None],
) -> dict[bytes, bytes]:
    """Hashes by path; files that cannot be read have none, and are reported when they are decoded. `keep` is called in
    a transaction with the hashes of the last second."""
    by_name = {path.hex(): path for path in paths}
    tasks = (Task(name, (function, HostPath(path), disks.reading_file(path))) for name, path in by_name.items())
    hashes: dict[bytes, bytes] = {}
    waiting: dict[bytes, bytes] = {}
    committed_at = time.monotonic()
    for outcome in runner.run(hash_file, tasks, time_limit_s=600):
        observer.advance()
        if outcome.result is not None:
            waiting[by_name[outcome.name]] = outcome.result
        if time.monotonic() - committed_at > COMMIT_EVERY_S:
            with catalog.transaction():
                keep(waiting)
            hashes |= waiting
            waiting, committed_at = {}, time.monotonic()
    with catalog.transaction():
        keep(waiting)
    return hashes | waiting
