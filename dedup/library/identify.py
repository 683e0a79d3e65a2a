"""Which of the changed files hold what is known already, or the same as one another: such files are never decoded.

Progressive exclusion: size and partial hash, then full hash (identical file); codec, rate, channels and duration, then
the hash of the demuxed packets (same audio). Each step reads only what the step before could not tell apart."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dedup.fingerprint.task import Probe, Unusable, probe_files
from dedup.library.discover import Candidate
from dedup.library.identity import collisions, full_hash, stream_hash
from dedup.observer import Observer
from dedup.runner import Runner, Task

if TYPE_CHECKING:
    from dedup.store.catalog import Catalog

PROBE_BATCH = 16
"""Files a task looks at: a few milliseconds each, against one for handing a task out."""


@dataclass
class Subject:
    """A changed file on its way to being identified."""

    candidate: Candidate
    probe: Probe
    full: bytes | None = None
    stream: bytes | None = None
    audio: int | None = None
    """Known audio that it holds."""


@dataclass
class Identified:
    """Changed files by the audio they hold."""

    groups: list[list[Subject]] = field(default_factory=list)
    """Files that hold the same audio: all of them have the same `audio`, or None where none of it is known."""
    unusable: list[tuple[Candidate, Unusable]] = field(default_factory=list)


def identify(
    changed: Sequence[Candidate],
    still_there: Callable[[bytes], bool],
    catalog: Catalog,
    runner: Runner,
    observer: Observer,
) -> Identified:
    """Groups the changed files by audio. `still_there` tells whether a track's file is on disk as the catalog knows
    it."""
    result = Identified()
    subjects = _probe_all(changed, runner, observer, result)
    if runner.stop.requested:
        return result
    _find_identical_files(subjects, still_there, catalog, runner)
    representatives = _by_full_hash(subjects)
    _find_same_audio(representatives, catalog, runner)
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


def _probe_all(changed: Sequence[Candidate], runner: Runner, observer: Observer, result: Identified) -> list[Subject]:
    observer.stage("identify", len(changed), "files")
    subjects: list[Subject] = []
    batches = [list(changed[i : i + PROBE_BATCH]) for i in range(0, len(changed), PROBE_BATCH)]
    alone: list[list[Candidate]] = []  # of batches that killed their worker: which file was it?
    for batch, outcome in _run_batches(runner, batches):
        if outcome.failure is not None:
            if len(batch) > 1:
                alone += [[candidate] for candidate in batch]
                continue
            result.unusable.append((batch[0], Unusable("failed", outcome.failure, lasting=True)))
        _sort_in(batch, outcome.result or [], subjects, result)
        observer.advance(len(batch))
    for batch, outcome in _run_batches(runner, alone):
        if outcome.failure is not None:
            result.unusable.append((batch[0], Unusable("failed", outcome.failure, lasting=True)))
        _sort_in(batch, outcome.result or [], subjects, result)
        observer.advance()
    return sorted(subjects, key=lambda subject: subject.candidate.path)


def _run_batches(runner: Runner, batches: list[list[Candidate]]) -> Iterator[tuple[list[Candidate], Any]]:
    by_name = {f"{len(batch)}-{batch[0].path.hex()}": batch for batch in batches}
    tasks = (Task(name, ([(c.path, c.size) for c in batch],)) for name, batch in by_name.items())
    for outcome in runner.run(probe_files, tasks, time_limit_s=60.0 * PROBE_BATCH):
        yield by_name[outcome.name], outcome


def _sort_in(
    batch: list[Candidate], probes: list[Probe | Unusable], subjects: list[Subject], result: Identified
) -> None:
    for candidate, probe in zip(batch, probes, strict=False):
        if isinstance(probe, Unusable):
            result.unusable.append((candidate, probe))
        else:
            subjects.append(Subject(candidate, probe))


def _find_identical_files(
    subjects: list[Subject], still_there: Callable[[bytes], bool], catalog: Catalog, runner: Runner
) -> None:
    """Gives a full hash to every subject that shares size and partial hash with another file, and the audio to those
    whose full hash is a known track's."""
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
        where = "WHERE size = ? AND partial = ? AND audio IS NOT NULL AND state = 'present'"
        for track in catalog.tracks(where, (subject.candidate.size, subject.probe.partial)):
            if track.path in changed or not still_there(track.path) or track.audio is None:
                continue
            twins.setdefault(track.path, []).append(subject)
            suspects[subject.candidate.path] = subject
            if track.full is None:
                unhashed[track.path] = track.audio
            else:
                fulls[track.path] = (track.full, track.audio)
    hashes = hash_all(full_hash, [*suspects, *unhashed], runner)
    for path, subject in suspects.items():
        subject.full = hashes.get(path)
    with catalog.transaction():
        for path, audio in unhashed.items():
            if path in hashes:
                catalog.set_full(path, hashes[path])
                fulls[path] = (hashes[path], audio)
    for path, (full, audio) in sorted(fulls.items()):
        for subject in twins[path]:
            if subject.full == full and subject.audio is None:
                subject.audio = audio


def _by_full_hash(subjects: list[Subject]) -> list[list[Subject]]:
    """Identical files together, each group in the order of paths; a file whose twin is known is known."""
    groups: dict[Any, list[Subject]] = {}
    for subject in subjects:
        groups.setdefault(subject.full or subject.candidate.path, []).append(subject)
    return list(groups.values())


def _find_same_audio(groups: list[list[Subject]], catalog: Catalog, runner: Runner) -> None:
    """Gives a stream hash to the first of every group that shares its key with another or with known audio, and the
    audio to those whose stream is known."""
    unknown = [group[0] for group in groups if group[0].audio is None and group[0].probe.key]
    suspects = {
        subject.candidate.path: subject
        for group in collisions((subject, subject.probe.key) for subject in unknown)
        for subject in group
    }
    known: dict[str, dict[bytes, int]] = {}
    for subject in unknown:
        key = subject.probe.key
        if key not in known:
            audios = catalog.audios("WHERE key = ? AND stream IS NOT NULL ORDER BY id DESC", (key,))
            known[key] = {audio.stream: audio.id for audio in audios if audio.stream is not None}
        if known[key]:
            suspects[subject.candidate.path] = subject
    hashes = hash_all(stream_hash, list(suspects), runner)
    for path, subject in suspects.items():
        subject.stream = hashes.get(path)
        if subject.stream is not None:
            subject.audio = known[subject.probe.key].get(subject.stream)


def hash_all(function: Callable[[bytes], bytes | None], paths: Iterable[bytes], runner: Runner) -> dict[bytes, bytes]:
    """Hash of each path; those that cannot be read have none, and are found out when they are decoded."""
    by_name = {path.hex(): path for path in paths}
    tasks = (Task(name, (path,)) for name, path in by_name.items())
    outcomes = runner.run(function, tasks, time_limit_s=600)
    return {by_name[outcome.name]: outcome.result for outcome in outcomes if outcome.result is not None}
