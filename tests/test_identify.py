"""Which changed files hold the same: no more of a file is read than it takes to tell."""

from __future__ import annotations

import os
import random
import shutil
from collections.abc import Callable, Iterable, Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import mutagen
import pytest

from dedup.files.disks import Disks
from dedup.files.host_paths import HostPath
from dedup.library.discover import Candidate, discover
from dedup.library.identify import PROBE_BATCH, Identified, Subject, identify
from dedup.library.identity import full_hash, stream_hash
from dedup.library.probe import hash_file, probe_files
from dedup.library.unusable import Unusable
from dedup.observer import Silent
from dedup.runner import InlineRunner, Outcome, Task
from dedup.settings import DiscoverSettings
from dedup.store.store import Store
from dedup.store.tracks import Track
from tests.audio_files import write_tone
from tests.stores import open_store, recording


class Watching(InlineRunner):
    """Runs inline and notes what was asked of which file; a file in `deadly` kills the worker that touches it."""

    def __init__(self, deadly: tuple[str, ...] = ()) -> None:
        super().__init__()
        self.deadly = deadly
        self.asked: dict[str, list[str]] = {"probe": [], "full": [], "stream": []}

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
    ) -> Iterator[Outcome]:
        for task in tasks:
            if function is probe_files:
                what, paths = "probe", [path.known for path, _ in task.arguments[0]]
            else:
                assert function is hash_file
                what, paths = {full_hash: "full", stream_hash: "stream"}[task.arguments[0]], [task.arguments[1].known]
            names = [Path(os.fsdecode(path)).name for path in paths]
            self.asked[what] += names
            if set(names) & set(self.deadly):
                yield Outcome(task.name, failure="killed its worker: SIGSEGV (twice)")
            else:
                yield from super().run(function, [task], time_limit_s)


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    return folder


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store") as store:
        yield store


def candidates(music: Path) -> list[Candidate]:
    return discover([os.fsencode(music)], DiscoverSettings(), Silent()).candidates


def look(
    music: Path, store: Store, runner: Watching | None = None, unchanged: tuple[str, ...] = ()
) -> tuple[Identified, Watching]:
    """Identifies all files of the folder but the unchanged."""
    runner = runner or Watching()
    changed = [candidate for candidate in candidates(music) if name_of(candidate) not in unchanged]
    there = {os.fsencode(music / name) for name in unchanged}
    return identify(changed, there.__contains__, store.catalog, runner, Disks(runner, None), Silent()), runner


def name_of(candidate: Candidate) -> str:
    return Path(os.fsdecode(candidate.path)).name


def groups_of(found: Identified) -> list[list[str]]:
    return sorted([name_of(subject.candidate) for subject in group] for group in found.groups)


def remember(store: Store, music: Path, *names: str, with_full: bool = False) -> dict[str, int]:
    """Makes these files known, each with an audio of its own; gives the audio of each."""
    audios = {}
    for number, candidate in enumerate(c for c in candidates(music) if name_of(c) in names):
        (probe,) = probe_files([(HostPath(candidate.path), candidate.size)], nullcontext())
        assert not isinstance(probe, Unusable)
        full = full_hash(candidate.path) if with_full else None
        with store.catalog.transaction():
            fingerprint = store.catalog.fingerprints.add(recording(number, 100))
            audio = store.catalog.audios.add(fingerprint, stream_hash(candidate.path), probe.key, None)
            store.catalog.tracks.put(track(candidate, Subject(candidate, probe, full), audio))
        audios[name_of(candidate)] = audio
    return audios


def track(candidate: Candidate, subject: Subject, audio: int) -> Track:
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
        partial=subject.probe.partial,
        full=subject.full,
        audio=audio,
        problem_kind=None,
        problem=None,
        judged_by=None,
        properties=subject.probe.properties,
    )


def retagged(source: Path, path: Path) -> Path:
    shutil.copyfile(source, path)
    file = mutagen.File(path, easy=True)
    if file.tags is None:
        file.add_tags()
    file["title"] = ["Another title"]
    file.save()
    return path


def test_files_that_differ_are_only_looked_at(music: Path, store: Store) -> None:
    for seed in range(3):
        write_tone(music / f"{seed}.mp3", 3.0, seed=seed)
        write_tone(music / f"{seed}.wav", 3.0, seed=seed)
    found, runner = look(music, store)
    assert groups_of(found) == [[f"{seed}.{extension}"] for seed in range(3) for extension in ("mp3", "wav")]
    assert all(subject.audio is None for group in found.groups for subject in group)
    assert (runner.asked["full"], runner.asked["stream"]) == ([], [])
    assert len(runner.asked["probe"]) == 6


def test_copies_are_told_by_all_their_bytes(music: Path, store: Store) -> None:
    for name in ("a.mp3", "b.mp3", "c.mp3"):
        write_tone(music / name, 3.0, seed=1)
    write_tone(music / "other.mp3", 3.0, seed=2)
    found, runner = look(music, store)
    assert groups_of(found) == [["a.mp3", "b.mp3", "c.mp3"], ["other.mp3"]]
    assert sorted(runner.asked["full"]) == ["a.mp3", "b.mp3", "c.mp3"]
    assert runner.asked["stream"] == []  # they are represented by one, which is like no other
    (group,) = [group for group in found.groups if len(group) == 3]
    assert len({subject.full for subject in group}) == 1


def test_a_flipped_byte_between_the_samples_is_found(music: Path, store: Store) -> None:
    """Beginning, middle and end are the same: the partial hash cannot tell."""
    path = write_tone(music / "a.wav", 6.0)
    data = bytearray(path.read_bytes())
    assert len(data) > 5 * 64 * 1024
    data[100 * 1024] ^= 1
    (music / "b.wav").write_bytes(data)
    found, runner = look(music, store)
    assert groups_of(found) == [["a.wav"], ["b.wav"]]
    assert sorted(runner.asked["full"]) == sorted(runner.asked["stream"]) == ["a.wav", "b.wav"]


@pytest.mark.parametrize("extension", ["mp3", "flac", "ogg", "opus", "m4a"])
def test_other_tags_are_told_by_the_packets(extension: str, music: Path, store: Store) -> None:
    path = write_tone(music / f"a.{extension}", 3.0, seed=1)
    retagged(path, music / f"b.{extension}")
    write_tone(music / f"other.{extension}", 3.0, seed=2)
    found, runner = look(music, store)
    assert groups_of(found) == [[f"a.{extension}", f"b.{extension}"], [f"other.{extension}"]]
    assert runner.asked["full"] == []
    assert sorted(runner.asked["stream"]) == [f"a.{extension}", f"b.{extension}"]


def test_the_audio_of_a_file_that_is_mostly_nothing_is_not_hashed(music: Path, store: Store) -> None:
    """One of a terabyte would take as long as a task may take, twice."""
    write_tone(music / "a.mp3", 3.0)
    shutil.copyfile(music / "a.mp3", music / "vast.mp3")
    os.truncate(music / "vast.mp3", 3 << 30)
    found, runner = look(music, store)
    assert runner.asked["stream"] == []
    assert groups_of(found) == [["a.mp3"], ["vast.mp3"]]


def test_a_copy_of_a_known_file_is_known(music: Path, store: Store) -> None:
    write_tone(music / "known.mp3", 3.0, seed=1)
    write_tone(music / "another.mp3", 3.0, seed=2)
    audios = remember(store, music, "known.mp3", "another.mp3")
    shutil.copyfile(music / "known.mp3", music / "copy.mp3")
    found, runner = look(music, store, unchanged=("known.mp3", "another.mp3"))
    ((subject,),) = found.groups
    assert subject.audio == audios["known.mp3"]
    assert sorted(runner.asked["full"]) == ["copy.mp3", "known.mp3"]
    assert runner.asked["stream"] == []
    known = store.catalog.tracks.get(os.fsencode(music / "known.mp3"))
    assert known is not None
    assert known.full == subject.full  # kept: it is not hashed for the next copy

    shutil.copyfile(music / "known.mp3", music / "second copy.mp3")
    _, runner = look(music, store, unchanged=("known.mp3", "another.mp3", "copy.mp3"))
    assert runner.asked["full"] == ["second copy.mp3"]


def test_a_known_file_that_is_not_as_it_was_proves_nothing_by_its_hash(music: Path, store: Store) -> None:
    write_tone(music / "old.mp3", 3.0, seed=1)
    audios = remember(store, music, "old.mp3", with_full=True)
    (music / "old.mp3").rename(music / "moved.mp3")
    found, runner = look(music, store)
    assert runner.asked["full"] == []
    assert runner.asked["stream"] == ["moved.mp3"]
    assert [subject.audio for group in found.groups for subject in group] == [audios["old.mp3"]]


def test_known_audio_with_other_tags_is_known(music: Path, store: Store) -> None:
    write_tone(music / "known.mp3", 3.0, seed=1)
    audios = remember(store, music, "known.mp3")
    for name in ("b.mp3", "c.mp3"):
        retagged(music / "known.mp3", music / name)
    found, runner = look(music, store, unchanged=("known.mp3",))
    assert groups_of(found) == [["b.mp3", "c.mp3"]]
    assert {subject.audio for subject in found.groups[0]} == {audios["known.mp3"]}
    assert runner.asked["stream"] == ["b.mp3"]  # the two are the same file: one stands for both


def test_a_copy_in_another_container_is_the_same_audio(music: Path, store: Store) -> None:
    import av

    write_tone(music / "a.m4a", 3.0)
    with av.open(str(music / "a.m4a")) as given, av.open(str(music / "b.mka"), "w", format="matroska") as container:
        stream = container.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(audio=0):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    assert stream_hash(os.fsencode(music / "a.m4a")) == stream_hash(os.fsencode(music / "b.mka"))
    found, _ = look(music, store)
    assert groups_of(found) == [["a.m4a", "b.mka"]]


def test_what_cannot_be_read_is_told(music: Path, store: Store) -> None:
    write_tone(music / "a.mp3", 3.0)
    changed = candidates(music)
    (music / "a.mp3").unlink()
    runner = Watching()
    found = identify(changed, lambda _: False, store.catalog, runner, Disks(runner, None), Silent())
    assert (found.groups, found.unusable) == ([], [(changed[0], Unusable("failed", "vanished", lasting=False))])


def test_of_a_batch_that_kills_its_worker_only_the_culprit_is_blamed(music: Path, store: Store) -> None:
    whole = write_tone(music / "00.mp3", 1.0).read_bytes()
    names = [f"{number:02}.mp3" for number in range(PROBE_BATCH + 5)]
    for number, name in enumerate(names):
        (music / name).write_bytes(whole + bytes(number + 1))
    found, runner = look(music, store, Watching(deadly=("03.mp3",)))
    ((candidate, problem),) = found.unusable
    assert name_of(candidate) == "03.mp3"
    assert problem == Unusable("failed", "killed its worker: SIGSEGV (twice)", lasting=True)
    told = [name for group in groups_of(found) for name in group]
    assert sorted([*told, "03.mp3"]) == names
    assert sorted(runner.asked["probe"]) == sorted(names + names[:PROBE_BATCH])


def test_what_a_run_learnt_is_left_to_the_next(music: Path, store: Store) -> None:
    for name in ("a.mp3", "b.mp3"):
        write_tone(music / name, 3.0, seed=1)
    write_tone(music / "c.flac", 3.0, seed=2)
    first, runner = look(music, store)
    assert sorted(runner.asked["probe"]) == ["a.mp3", "b.mp3", "c.flac"]
    again, runner = look(music, store)
    assert runner.asked == {"probe": [], "full": [], "stream": []}
    assert groups_of(again) == groups_of(first) == [["a.mp3", "b.mp3"], ["c.flac"]]
    write_tone(music / "c.flac", 4.0, seed=3)
    _, runner = look(music, store)
    assert runner.asked["probe"] == ["c.flac"]


def test_a_hash_that_kills_its_worker_settles_nothing(music: Path, store: Store) -> None:
    for name in ("a.mp3", "b.mp3", "c.mp3"):
        write_tone(music / name, 3.0, seed=1)
    found, _ = look(music, store, Watching())
    assert groups_of(found) == [["a.mp3", "b.mp3", "c.mp3"]]

    class Failing(Watching):
        def run(
            self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
        ) -> Iterator[Outcome]:
            self.deadly = ("b.mp3",) if function is not probe_files else ()
            yield from super().run(function, tasks, time_limit_s)

    store.catalog.probes.clear()
    found, _ = look(music, store, Failing())
    assert groups_of(found) == [["a.mp3", "c.mp3"], ["b.mp3"]]
    assert found.unusable == []


def test_a_stop_leaves_all_of_it(music: Path, store: Store) -> None:
    write_tone(music / "a.mp3", 1.0)
    runner = Watching()
    runner.stop.request("test")
    found, _ = look(music, store, runner)
    assert (found.groups, found.unusable) == ([], [])


def test_the_groups_do_not_depend_on_the_order_of_answers(music: Path, store: Store) -> None:
    for seed in range(3):
        path = write_tone(music / f"{seed}.mp3", 1.0 + seed, seed=seed)
        shutil.copyfile(path, music / f"{seed} copy.mp3")
        retagged(path, music / f"{seed} retagged.mp3")

    class Shuffled(Watching):
        def __init__(self, seed: int) -> None:
            super().__init__()
            self.random = random.Random(seed)

        def run(
            self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
        ) -> Iterator[Outcome]:
            outcomes = list(super().run(function, tasks, time_limit_s))
            self.random.shuffle(outcomes)
            yield from outcomes

    for seed in range(4):
        identified, _ = look(music, store, Shuffled(seed))
        groups = [[name_of(subject.candidate) for subject in group] for group in identified.groups]
        assert groups == [[f"{i} copy.mp3", f"{i} retagged.mp3", f"{i}.mp3"] for i in range(3)]
