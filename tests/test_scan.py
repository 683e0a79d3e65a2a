"""The scan, on real small files: each is decoded once, whatever becomes of it later, and every count adds up."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable, Iterable, Iterator
from dataclasses import fields, replace
from pathlib import Path
from typing import Any

import mutagen
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from dedup.correlation.correlate import correlate
from dedup.errors import LibraryError, UsageError
from dedup.fingerprint.task import Fingerprinted, fingerprint_file
from dedup.groups.matches import Matches
from dedup.library.metadata import PROPERTIES_VERSION, AudioProperties, from_json
from dedup.library.probe import read_again
from dedup.library.unusable import Unusable
from dedup.observer import Silent
from dedup.report.export import export_pairs
from dedup.runner import InlineRunner, Outcome, Stop, Task
from dedup.scan import scan as scan_module
from dedup.scan.imported import import_fingerprints
from dedup.scan.scan import Scan, scan
from dedup.settings import CompareSettings, DiscoverSettings, FingerprintSettings, MatchSettings, ScanSettings
from dedup.store.store import make_or_open
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import compose
from dedup.tags.write import write_tags
from dedup.upkeep.check import check

SETTINGS = FingerprintSettings("1.5.1")


class Counting(InlineRunner):
    """Runs inline and counts; `answers` stand in for what some files give."""

    def __init__(self, answers: dict[str, Callable[[], Outcome]] | None = None, stop_after: int | None = None) -> None:
        super().__init__(Stop())
        self.decoded: list[str] = []
        self.read: list[str] = []
        self.answers = answers or {}
        self.stop_after = stop_after

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
    ) -> Iterator[Outcome]:
        for outcome in super().run(function, self._noted(function, tasks), time_limit_s):
            file = Path(os.fsdecode(bytes.fromhex(outcome.name))).name if function is fingerprint_file else ""
            yield replace(self.answers[file](), name=outcome.name) if file in self.answers else outcome

    def _noted(self, function: Callable[..., Any], tasks: Iterable[Task]) -> Iterator[Task]:
        for task in tasks:
            if function is fingerprint_file:
                self.decoded.append(Path(os.fsdecode(task.arguments[0].known)).name)
                if self.stop_after is not None and len(self.decoded) >= self.stop_after:
                    self.stop.request("test")
            elif isinstance(task.arguments[0], list):
                self.read += [os.fsdecode(path.known) for path, _ in task.arguments[0]]
            yield task


class Library:
    """A folder of music and its store."""

    def __init__(self, base: Path, songs: list[Path]) -> None:
        self.root, self.folder, self.songs = base / "music", base / "store", songs
        self.root.mkdir()
        self.decoded: list[str] = []
        self.read: list[str] = []

    def add(self, song: int, name: str) -> Path:
        path = self.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(self.songs[song], path)
        return path

    def scan(
        self,
        runner: Counting | None = None,
        roots: list[Path] | None = None,
        retry_failed: bool = False,
        min_length_s: float = 4.0,
        **discover: Any,
    ) -> Scan:
        """One run; its store is sound afterwards and its counts add up."""
        runner = runner or Counting()
        with self.open() as store:
            how = ScanSettings(DiscoverSettings(**discover), min_length_s, retry_failed=retry_failed)
            found = scan(store, [os.fsencode(root) for root in roots or [self.root]], how, runner, Silent())
            assert [finding for finding in check(store, Silent()) if finding.kind != "note"] == []
        self.decoded, self.read = sorted(runner.decoded), runner.read
        assert adds_up(found)
        return found

    def open(self) -> Any:
        return make_or_open(self.folder, SETTINGS, 4, "test")

    def tracks(self) -> dict[str, tuple[str, int | None, str | None]]:
        """State, audio and problem of each track, by its path below the root."""
        with self.open() as store:
            return {
                os.path.relpath(os.fsdecode(track.path), self.root): (track.state, track.audio, track.problem)
                for track in store.catalog.tracks.all()
            }

    def inodes(self) -> set[int]:
        with self.open() as store:
            return {track.inode for track in store.catalog.tracks.all()}

    def blocks(self) -> dict[str, int]:
        with self.open() as store:
            found: dict[str, int] = store.catalog.blocks.rows()
            return found

    def pairs(self) -> set[tuple[str, str, str]]:
        """Names and verdict of each pair."""
        with self.open() as store:
            matches = Matches(store, MatchSettings(), CompareSettings(varispeed=False))
            return {(Path(p["a"]).name, Path(p["b"]).name, p["verdict"]) for p in export_pairs(matches)}


def adds_up(found: Scan) -> bool:
    counted = found.unchanged + found.fingerprinted + found.identical + found.skipped + found.failed + found.left
    n_listed = sum(problem.kind in ("failed", "skipped") for problem in found.problems)
    return found.discovered == counted and n_listed == found.skipped + found.failed


def counts(found: Scan) -> dict[str, int]:
    """The counts that are not zero."""
    names = [field.name for field in fields(Scan) if isinstance(getattr(found, field.name), int)]
    return {name: getattr(found, name) for name in names if getattr(found, name)}


def retag(path: Path, title: str = "Another title") -> None:
    file = mutagen.File(path, easy=True)
    if file.tags is None:
        file.add_tags()
    file["title"] = [title * 50]
    file.save()
    later(path)


def later(path: Path) -> None:
    """Makes sure that the time of change is another one, however coarse the clock."""
    os.utime(path, ns=(10**18, path.stat().st_mtime_ns + 10**9))


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Six songs of 8 s, the last two no music: too short, and garbage."""
    folder = tmp_path_factory.mktemp("songs")
    forms = ["flac", "mp3", "vorbis", "wav"]
    paths = [folder / f"{i}.{Encoding(form).extension}" for i, form in enumerate(forms)]
    for i, form in enumerate(forms):
        write(str(paths[i]), compose(i, "somebody", 8.0 + i / 4), Encoding(form, 96_000))
    write(str(folder / "short.flac"), compose(9, "somebody", 5.0), Encoding("flac"))
    (folder / "bad.mp3").write_text("no music " * 1000)
    return [*paths, folder / "short.flac", folder / "bad.mp3"]


@pytest.fixture
def library(tmp_path: Path, songs: list[Path]) -> Library:
    """Four songs, a short one and a bad one."""
    library = Library(tmp_path, songs)
    for i, name in enumerate(["a/0.flac", "a/1.mp3", "b/2.ogg", "b/3.wav", "b/short.flac", "bad.mp3"]):
        library.add(i, name)
    return library


ALL = {"discovered": 6, "skipped": 1, "failed": 1}
FIRST = {"discovered": 6, "fingerprinted": 4, "skipped": 1, "failed": 1}


def test_the_first_scan_fingerprints_everything(library: Library) -> None:
    (library.root / "cover.jpg").touch()
    found = library.scan()
    assert counts(found) == FIRST | {"ignored": 1}
    assert len(library.decoded) == 6
    reasons = {Path(os.fsdecode(problem.path)).name: problem.reason for problem in found.problems}
    assert reasons["bad.mp3"].startswith("not an audio file")
    assert reasons["short.flac"].startswith("too short")
    assert set(found.seconds) == {"discover", "identify", "fingerprint"}
    assert sum(library.blocks().values()) == 4


def test_the_second_reads_nothing_and_lists_the_problems_again(library: Library) -> None:
    before, tracks = library.scan(), library.tracks()
    found = library.scan()
    assert counts(found) == {"discovered": 6, "unchanged": 4, "skipped": 1, "failed": 1}
    assert (library.decoded, library.read) == ([], [])
    assert sorted(found.problems, key=str) == sorted(before.problems, key=str)
    assert library.tracks() == tracks


def test_five_more_files_are_five_more_decoded(library: Library) -> None:
    library.scan()
    blocks = library.blocks()
    for i in range(5):
        write(str(library.root / f"new {i}.flac"), compose(20 + i, "another", 8.0), Encoding("flac"))
    found = library.scan()
    assert counts(found) == {"discovered": 11, "unchanged": 4, "fingerprinted": 5, "skipped": 1, "failed": 1}
    assert library.decoded == [f"new {i}.flac" for i in range(5)]
    assert blocks.items() < library.blocks().items()


def written_by_older_code(library: Library) -> None:
    """What the store remembers of its files is what the first version of the code read."""
    with library.open() as store, store.catalog.transaction():
        for track in list(store.catalog.tracks.all()):
            properties = json.loads(track.properties)
            if properties:
                del properties["version"]
                properties["tags"] = {"musicbrainz_albumtype": ["album"], "tracknumber": ["03/12"]}
            store.catalog.tracks.set_properties([(track.path, json.dumps(properties))])


def remembered(library: Library) -> dict[str, AudioProperties]:
    with library.open() as store:
        return {
            os.path.relpath(os.fsdecode(track.path), library.root): from_json(json.loads(track.properties))
            for track in store.catalog.tracks.all()
        }


def test_what_older_code_remembered_is_read_again_without_decoding(library: Library) -> None:
    write_tags(os.fsencode(library.root / "a/0.flac"), {"label": ["Label"], "tracknumber": ["3"], "tracktotal": ["12"]})
    library.scan()
    tracks, blocks, pairs, properties = library.tracks(), library.blocks(), library.pairs(), remembered(library)
    with library.open() as store:
        correlate(store, CompareSettings(varispeed=False), Counting(), Silent())
    written_by_older_code(library)
    found = library.scan()
    assert counts(found) == ALL | {"unchanged": 4, "renewed": 6}
    assert library.decoded == []
    assert len(library.read) == 6
    assert remembered(library) == properties
    assert properties["a/0.flac"].tags == {"tracknumber": ("3",), "tracktotal": ("12",), "label": ("Label",)}
    assert (library.tracks(), library.blocks(), library.pairs()) == (tracks, blocks, pairs)
    with library.open() as store:
        assert correlate(store, CompareSettings(varispeed=False), Counting(), Silent()).n_computed == 0
    assert counts(library.scan()) == ALL | {"unchanged": 4}
    assert library.read == []


def test_what_older_code_remembered_of_an_absent_file_stays_until_it_is_back(library: Library) -> None:
    library.scan()
    written_by_older_code(library)
    library.root.rename(library.root.with_name("away"))
    assert counts(library.scan()) == {"absent": 6, "newly_absent": 6}
    assert {known.version for known in remembered(library).values()} == {1}
    library.root.with_name("away").rename(library.root)
    assert counts(library.scan()) == ALL | {"unchanged": 4, "returned": 6, "renewed": 6}
    assert library.decoded == []
    assert {known.version for known in remembered(library).values()} == {PROPERTIES_VERSION}


def test_a_file_that_kills_whoever_reads_it_again_keeps_what_is_known(library: Library) -> None:
    class Killed(Counting):
        def run(
            self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
        ) -> Iterator[Outcome]:
            for task in list(tasks):
                if function is read_again and b"0.flac" in b"".join(path.known for path, _ in task.arguments[0]):
                    yield Outcome(task.name, failure="the worker died")
                else:
                    yield from super().run(function, [task], time_limit_s)

    library.scan()
    written_by_older_code(library)
    assert counts(library.scan(Killed())) == ALL | {"unchanged": 4, "renewed": 6}
    known = remembered(library)
    assert known["a/0.flac"].tags["tracknumber"] == ("03/12",)
    assert {name for name, properties in known.items() if not properties.tags} == set(known) - {"a/0.flac"}
    assert counts(library.scan()) == ALL | {"unchanged": 4}


def test_a_stop_leaves_the_rest_of_the_old_properties_to_the_next_scan(library: Library) -> None:
    library.scan()
    written_by_older_code(library)
    runner = Counting()
    runner.stop.request("test")
    assert counts(library.scan(runner)) == ALL | {"unchanged": 4}
    assert counts(library.scan()) == ALL | {"unchanged": 4, "renewed": 6}


def test_problems_are_tried_again_when_asked(library: Library) -> None:
    library.scan()
    found = library.scan(retry_failed=True)
    assert counts(found) == {"discovered": 6, "unchanged": 4, "skipped": 1, "failed": 1}
    assert library.decoded == ["bad.mp3", "short.flac"]
    found = library.scan(retry_failed=True, min_length_s=1.0)
    assert counts(found) == {"discovered": 6, "unchanged": 4, "fingerprinted": 1, "failed": 1, "changed": 1}


def test_problems_are_tried_again_under_other_settings(library: Library) -> None:
    library.scan()
    found = library.scan(min_length_s=1.0)
    assert counts(found) == {"discovered": 6, "unchanged": 4, "fingerprinted": 1, "failed": 1, "changed": 1}
    library.scan(min_length_s=1.0)
    assert library.decoded == []


def test_a_file_that_was_mended_is_read(library: Library) -> None:
    library.scan()
    later(library.add(2, "bad.mp3"))
    found = library.scan()
    assert counts(found) == {"discovered": 6, "unchanged": 4, "identical": 1, "skipped": 1, "changed": 1}
    assert library.decoded == []


# ---- files that are known under other circumstances: never decoded


@pytest.mark.parametrize("name", ["a/0.flac", "a/1.mp3", "b/2.ogg"])
def test_other_tags_are_the_same_audio(name: str, library: Library) -> None:
    library.scan()
    audio = library.tracks()[name][1]
    retag(library.root / name)
    found = library.scan()
    assert counts(found) == ALL | {"unchanged": 3, "identical": 1, "changed": 1}
    assert library.decoded == []
    assert library.tracks()[name][1] == audio


def test_a_new_time_alone_is_the_same_audio(library: Library) -> None:
    library.scan()
    before = library.tracks()
    for path in library.root.rglob("*.*"):
        later(path)
    found = library.scan()
    assert counts(found) == ALL | {"identical": 4, "changed": 4}
    assert library.decoded == ["bad.mp3", "short.flac"]
    assert library.tracks() == before
    library.scan()
    assert library.decoded == []


def test_a_moved_file_keeps_its_fingerprint(library: Library) -> None:
    library.scan()
    audio = library.tracks()["a/1.mp3"][1]
    (library.root / "a/1.mp3").rename(library.root / "b/Somebody - One.mp3")
    found = library.scan()
    expected = {"discovered": 6, "unchanged": 3, "identical": 1, "moved": 1, "forgotten": 1, "skipped": 1, "failed": 1}
    assert counts(found) == expected
    assert library.decoded == []
    tracks = library.tracks()
    assert tracks["b/Somebody - One.mp3"] == ("present", audio, None)
    assert "a/1.mp3" not in tracks


def test_a_renamed_folder_is_not_decoded_again(library: Library) -> None:
    library.scan()
    (library.root / "b").rename(library.root / "c")
    found = library.scan()
    expected = {"discovered": 6, "unchanged": 2, "identical": 2, "moved": 2, "forgotten": 3, "skipped": 1, "failed": 1}
    assert counts(found) == expected
    assert library.decoded == ["short.flac"]


def test_a_deleted_file_is_forgotten_and_welcome_back(library: Library) -> None:
    library.scan()
    blocks = library.blocks()
    (library.root / "a/0.flac").unlink()
    found = library.scan()
    assert counts(found) == {"discovered": 5, "unchanged": 3, "forgotten": 1, "skipped": 1, "failed": 1}
    assert "a/0.flac" not in library.tracks()
    library.add(0, "a/again.flac")
    assert counts(library.scan())["identical"] == 1
    assert library.decoded == []
    assert library.blocks() == blocks


def test_a_file_replaced_by_other_audio_is_decoded(library: Library) -> None:
    library.scan()
    audio = library.tracks()["b/3.wav"][1]
    write(str(library.root / "b/3.wav"), compose(30, "another", 8.0), Encoding("wav"))
    found = library.scan()
    assert counts(found) == ALL | {"unchanged": 3, "fingerprinted": 1, "changed": 1}
    assert library.tracks()["b/3.wav"][1] != audio


def test_what_is_left_out_comes_back_without_decoding(library: Library) -> None:
    library.scan()
    before = library.tracks()
    found = library.scan(exclude=("b/",))
    assert counts(found) == {"discovered": 3, "unchanged": 2, "failed": 1, "forgotten": 3}
    found = library.scan()
    assert counts(found) == {"discovered": 6, "unchanged": 2, "identical": 2, "skipped": 1, "failed": 1}
    assert library.decoded == ["short.flac"]
    assert library.tracks() == before


# ---- files that hold the same


def test_identical_copies_are_decoded_once(library: Library) -> None:
    library.add(1, "copy.mp3")
    library.add(1, "b/copy of copy.mp3")
    found = library.scan()
    assert counts(found) == {"discovered": 8, "fingerprinted": 4, "identical": 2, "skipped": 1, "failed": 1}
    assert library.decoded.count("1.mp3") + library.decoded.count("copy.mp3") == 1
    assert {("1.mp3", "copy.mp3", "identical file"), ("1.mp3", "copy of copy.mp3", "identical file")} <= library.pairs()
    library.add(1, "late copy.mp3")
    assert counts(library.scan())["identical"] == 1
    assert library.decoded == []
    assert ("copy.mp3", "late copy.mp3", "identical file") in library.pairs()


def test_copies_with_other_tags_are_decoded_once(library: Library) -> None:
    for name, song in (("tagged.mp3", 1), ("tagged.ogg", 2), ("tagged.flac", 0)):
        retag(library.add(song, name))
    found = library.scan()
    assert counts(found) == {"discovered": 9, "fingerprinted": 4, "identical": 3, "skipped": 1, "failed": 1}
    expected = {(f"{i}.{x}", f"tagged.{x}", "same audio") for i, x in ((0, "flac"), (1, "mp3"), (2, "ogg"))}
    assert library.pairs() == expected


def test_hard_links_are_decoded_once(library: Library) -> None:
    os.link(library.root / "a/1.mp3", library.root / "link.mp3")
    found = library.scan()
    assert counts(found) == FIRST | {"discovered": 7, "identical": 1}
    assert counts(library.scan()) == {"discovered": 7, "unchanged": 5, "skipped": 1, "failed": 1}
    assert library.pairs() == {("1.mp3", "link.mp3", "same file")}  # removing one would free nothing


def test_a_name_that_leads_to_a_known_file_is_the_same_file(library: Library) -> None:
    """Two runs: none of them sees that the folder is reached in two ways."""
    library.scan()
    (library.root.parent / "linked").symlink_to(library.root)
    library.scan(roots=[library.root.parent / "linked"])
    assert {verdict for _, _, verdict in library.pairs()} == {"same file"}


def test_a_copy_on_a_new_disk_is_known_to_be_another_file(library: Library) -> None:
    """As after `rsync -t` to a new drive at the old place: times and sizes stay, inodes do not."""
    shutil.copyfile(library.root / "a/1.mp3", library.root / "twin.mp3")
    library.scan()
    for path in [path for path in library.root.rglob("*.*") if path.is_file()]:
        shutil.copy2(path, path.with_suffix(".new"))
        path.with_suffix(".new").rename(path)
    assert counts(library.scan())["unchanged"] == 5
    assert library.decoded == []
    assert library.inodes() == {path.stat().st_ino for path in library.root.rglob("*.*") if path.is_file()}


def test_identical_files_are_told_so_whichever_scan_saw_them_first(library: Library) -> None:
    other = library.root.parent / "other"
    other.mkdir()
    shutil.copyfile(library.root / "a/1.mp3", other / "x.mp3")
    library.scan()
    found = library.scan(roots=[other])
    assert counts(found) == {"discovered": 1, "identical": 1}
    assert library.decoded == []
    assert library.pairs() == {("1.mp3", "x.mp3", "identical file")}


def test_a_touched_twin_is_still_identical(library: Library) -> None:
    library.add(1, "copy.mp3")
    library.scan()
    later(library.root / "copy.mp3")
    library.scan()
    assert library.pairs() == {("1.mp3", "copy.mp3", "identical file")}


def test_what_is_wrong_with_the_bytes_is_wrong_with_every_copy(library: Library) -> None:
    library.add(5, "a/bad copy.mp3")
    library.add(4, "short copy.flac")
    found = library.scan()
    assert counts(found) == {"discovered": 8, "fingerprinted": 4, "skipped": 2, "failed": 2}
    assert len(library.decoded) == 6
    library.scan()
    assert library.decoded == []


# ---- files that cannot be read


def failing(reason: str, lasting: bool) -> Callable[[], Outcome]:
    return lambda: Outcome("", Unusable("failed", reason, lasting))


def test_where_one_of_identical_files_vanishes_the_next_is_taken(library: Library) -> None:
    library.add(1, "b/copy.mp3")

    def vanish() -> Outcome:
        (library.root / "a/1.mp3").unlink()
        return failing("vanished", lasting=False)()

    found = library.scan(Counting({"1.mp3": vanish}))
    assert counts(found) == {"discovered": 7, "fingerprinted": 4, "skipped": 1, "failed": 2}
    assert library.tracks()["b/copy.mp3"][0] == "present"
    assert "a/1.mp3" not in library.tracks()


def test_a_file_that_cannot_be_read_now_is_tried_by_the_next_run(library: Library) -> None:
    found = library.scan(Counting({"1.mp3": failing("cannot be read: Permission denied", lasting=False)}))
    assert counts(found) == FIRST | {"fingerprinted": 3, "failed": 2}
    assert "a/1.mp3" not in library.tracks()
    found = library.scan()
    assert counts(found) == {"discovered": 6, "unchanged": 3, "fingerprinted": 1, "skipped": 1, "failed": 1}
    assert library.decoded == ["1.mp3"]


def test_a_file_that_kills_its_worker_is_remembered(library: Library) -> None:
    def killed() -> Outcome:
        return Outcome("", failure="killed its worker: SIGSEGV (twice)")

    found = library.scan(Counting({"1.mp3": killed}))
    assert counts(found) == FIRST | {"fingerprinted": 3, "failed": 2}
    assert library.tracks()["a/1.mp3"] == ("present", None, "killed its worker: SIGSEGV (twice)")
    library.scan()
    assert library.decoded == []


def test_a_file_that_changes_during_the_scan_is_left_to_the_next(library: Library) -> None:
    library.scan()
    later(library.root / "a/1.mp3")
    write(str(library.root / "a/1.mp3"), compose(40, "another", 9.0), Encoding("mp3", 96_000))
    reason = "changed while it was read"
    found = library.scan(Counting({"1.mp3": failing(reason, lasting=False)}))
    assert counts(found)["failed"] == 2
    # What it held before is no longer there: no pair may name it.
    assert "a/1.mp3" not in library.tracks()
    assert counts(library.scan()) == {
        "discovered": 6, "unchanged": 3, "fingerprinted": 1, "skipped": 1, "failed": 1,
    }  # fmt: skip


def test_what_was_sound_and_is_broken_now_has_no_fingerprint(library: Library) -> None:
    library.scan()
    (library.root / "a/1.mp3").write_text("no music any more " * 500)
    found = library.scan()
    assert counts(found) == {"discovered": 6, "unchanged": 3, "skipped": 1, "failed": 2}
    assert library.tracks()["a/1.mp3"][1] is None


def test_a_damaged_file_is_fingerprinted_and_told(library: Library) -> None:
    path = library.add(0, "a/cut.flac")
    os.truncate(path, path.stat().st_size * 9 // 10)
    found = library.scan()
    assert counts(found) == FIRST | {"discovered": 7, "fingerprinted": 5, "damaged": 1}
    (damaged,) = [problem for problem in found.problems if problem.kind == "damaged"]
    assert damaged.path == os.fsencode(path)


# ---- roots


def test_a_root_that_is_away_keeps_its_tracks(library: Library) -> None:
    library.scan()
    library.root.rename(library.root.parent / "unplugged")
    before = library.tracks()
    found = library.scan()
    assert counts(found) == {"absent": 6, "newly_absent": 6}
    assert {name: track[1:] for name, track in library.tracks().items()} == {
        name: track[1:] for name, track in before.items()
    }
    assert {track[0] for track in library.tracks().values()} == {"absent"}
    (library.root.parent / "unplugged").rename(library.root)
    found = library.scan()
    assert counts(found) == ALL | {"unchanged": 4, "returned": 6}
    assert (library.decoded, library.read) == ([], [])
    assert library.tracks() == before


def test_a_volume_that_is_not_mounted_keeps_its_tracks(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    drive = library.root / "b"
    mounted = {b"/", os.fsencode(drive)}
    library.scan()
    with library.open() as store, store.catalog.transaction():
        on_drive = [track for track in store.catalog.tracks.all() if track.path.startswith(os.fsencode(drive))]
        store.catalog.tracks.set_place((os.fsencode(drive), t.device, t.inode, t.path) for t in on_drive)
    monkeypatch.setattr(os.path, "ismount", mounted.__contains__)
    away = library.root.parent / "away"
    drive.rename(away)
    drive.mkdir()
    mounted.remove(os.fsencode(drive))
    assert counts(library.scan()) == {"discovered": 3, "unchanged": 2, "failed": 1, "absent": 3, "newly_absent": 3}
    drive.rmdir()
    away.rename(drive)
    mounted.add(os.fsencode(drive))
    assert counts(library.scan()) == ALL | {"unchanged": 4, "returned": 3}
    assert library.decoded == []


def test_a_root_nobody_knows_is_an_error_and_nothing_changes(library: Library) -> None:
    library.scan()
    before = library.tracks()
    (library.root / "a/0.flac").unlink()
    with pytest.raises(LibraryError, match="No such file"):
        library.scan(roots=[library.root, library.root / "none"])
    assert library.tracks() == before


def test_other_roots_are_left_alone(library: Library) -> None:
    library.scan()
    before = library.tracks()
    found = library.scan(roots=[library.root / "a"])
    assert counts(found) == {"discovered": 2, "unchanged": 2}
    assert library.tracks() == before


def test_a_file_may_be_a_root(library: Library) -> None:
    found = library.scan(roots=[library.root / "a/0.flac"])
    assert counts(found) == {"discovered": 1, "fingerprinted": 1}


def test_names_are_bytes(library: Library) -> None:
    names = [b"new\nline.mp3", b"latin1 \xe9\xff.mp3", b"x" * 251 + b".mp3"]
    for i, name in enumerate(names):
        path = os.path.join(os.fsencode(library.root), name)
        shutil.copyfile(library.songs[1], path)
        os.utime(path, ns=(i, i))
    assert counts(library.scan())["identical"] == 3
    assert counts(library.scan())["unchanged"] == 7
    with library.open() as store:
        stored = {os.path.basename(track.path) for track in store.catalog.tracks.all()}
    assert set(names) < stored


def test_a_length_that_is_always_too_short_is_refused(library: Library) -> None:
    limited = FingerprintSettings("1.5.1", length_s=11.0)
    with make_or_open(library.folder, limited, 4, "test") as store, pytest.raises(UsageError, match=r"at least 12\.6"):
        scan(store, [os.fsencode(library.root)], ScanSettings(min_length_s=10.0), Counting(), Silent())


# ---- import


def test_a_scanned_file_takes_the_place_of_its_import(library: Library) -> None:
    line = b'{"path": "%s", "duration": 9, "fingerprint": [%s]}\n' % (
        os.fsencode(library.root / "a/0.flac"),
        b", ".join(b"%d" % (i * 7919 % 2**32) for i in range(100)),
    )
    elsewhere = line.replace(b"a/0.flac", b"elsewhere.flac")
    with library.open() as store:
        import_fingerprints(store, [line, elsewhere], 4.0, Silent(), Stop())
    assert {track[0] for track in library.tracks().values()} == {"imported"}
    assert counts(library.scan()) == FIRST
    tracks = library.tracks()
    assert tracks["a/0.flac"][0] == "present"
    assert tracks["elsewhere.flac"][0] == "imported"  # its file is not expected to be there
    assert counts(library.scan())["unchanged"] == 4


def test_an_import_survives_a_file_that_cannot_be_used(library: Library) -> None:
    line = b'{"path": "%s", "duration": 9, "fingerprint": [%s]}\n' % (
        os.fsencode(library.root / "bad.mp3"),
        b", ".join(b"%d" % (i * 7919 % 2**32) for i in range(100)),
    )
    with library.open() as store:
        import_fingerprints(store, [line], 4.0, Silent(), Stop())
    assert counts(library.scan()) == FIRST
    assert library.tracks()["bad.mp3"][0] == "imported"


# ---- stopping


@pytest.mark.parametrize("stop_after", [1, 3, 5])
def test_a_scan_that_was_stopped_goes_on_where_it_was(
    stop_after: int, library: Library, tmp_path: Path, songs: list[Path]
) -> None:
    undisturbed = Library.__new__(Library)
    undisturbed.root, undisturbed.folder, undisturbed.songs = library.root, tmp_path / "undisturbed", songs
    library.add(1, "copy.mp3")
    undisturbed.scan()

    stopped = library.scan(Counting(stop_after=stop_after))
    first = library.decoded
    assert len(first) == stop_after
    assert stopped.left > 0
    assert library.blocks() == {}  # sealed when all is there
    resumed = library.scan()
    assert sorted(first + library.decoded) == undisturbed.decoded
    assert resumed.left == 0
    assert library.blocks() == undisturbed.blocks()
    assert library.pairs() == undisturbed.pairs()
    assert {name: track[2] for name, track in library.tracks().items()} == {
        name: track[2] for name, track in undisturbed.tracks().items()
    }


def test_a_stop_before_anything_is_decoded_leaves_all(library: Library) -> None:
    runner = Counting()
    runner.stop.request("test")
    found = library.scan(runner)
    assert counts(found) == {"discovered": 6, "left": 6}
    assert counts(library.scan()) == FIRST


def test_a_stop_before_moved_files_are_identified_forgets_nothing(library: Library) -> None:
    library.scan()
    (library.root / "a").rename(library.root / "z")
    runner = Counting()
    runner.stop.request("test")
    library.scan(runner)
    assert counts(library.scan()) == {
        "discovered": 6, "unchanged": 2, "identical": 2, "moved": 2, "forgotten": 2, "skipped": 1, "failed": 1,
    }  # fmt: skip


def test_a_scan_that_was_stopped_does_not_look_twice(library: Library) -> None:
    library.scan(Counting(stop_after=1))
    library.scan()
    assert library.read == []
    with library.open() as store:
        assert list(store.catalog.probes.all()) == []  # of use only until the scan is whole


def test_what_was_decoded_is_kept_when_the_scan_dies(library: Library, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(scan_module, "COMMIT_EVERY_S", 0.0)
    decoded: list[str] = []

    class Dying(Counting):
        def run(
            self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
        ) -> Iterator[Outcome]:
            for outcome in super().run(function, tasks, time_limit_s):
                yield outcome
                if function is fingerprint_file and isinstance(outcome.result, Fingerprinted):
                    decoded.append(outcome.name)
                    if len(decoded) == 2:
                        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        library.scan(Dying())
    library.scan()
    again = {os.fsencode(path).hex() for path in library.root.rglob("*.*") if path.name in library.decoded}
    assert not again & set(decoded)
    assert sum(library.blocks().values()) == 4


# ---- any history


ACTIONS = st.lists(
    st.tuples(
        st.sampled_from(["add", "delete", "move", "touch", "retag", "break", "copy", "scan", "stop"]),
        st.integers(0, 5),
        st.integers(0, 3),
    ),
    min_size=3,
    max_size=9,
)


@settings(max_examples=12, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(ACTIONS)
def test_after_any_history_the_store_is_that_of_a_fresh_scan(
    songs: list[Path], tmp_path_factory: pytest.TempPathFactory, actions: list[tuple[str, int, int]]
) -> None:
    """Names, problems and pairs depend on the files alone, not on what happened before; counts always add up."""
    library = Library(tmp_path_factory.mktemp("history"), songs)
    for clock, (action, song, place) in enumerate(actions):
        act(library, action, song, place, clock)
    library.scan()
    fresh = Library(tmp_path_factory.mktemp("fresh"), songs)
    fresh.root.rmdir()
    fresh.root = library.root
    fresh.scan()
    assert names_and_problems(library) == names_and_problems(fresh)
    assert library.pairs() == fresh.pairs()
    assert [library.scan().unchanged, library.decoded] == [fresh.scan().unchanged, []]


def names_and_problems(library: Library) -> dict[str, tuple[str, str | None]]:
    return {name: (state, problem) for name, (state, _, problem) in library.tracks().items()}


def act(library: Library, action: str, song: int, place: int, clock: int) -> None:
    """One thing that happens to a library; nothing where there is no such file."""
    path = library.root / f"folder {place % 2}" / f"{place}-{song}{library.songs[song].suffix}"
    if action == "add":
        library.add(song, str(path.relative_to(library.root)))
    elif action == "scan":
        library.scan()
    elif action == "stop":
        library.scan(Counting(stop_after=1 + place))
    elif not path.exists():
        return
    elif action == "delete":
        path.unlink()
    elif action == "move":
        path.rename(library.root / f"moved {clock}{path.suffix}")
    elif action == "copy":
        shutil.copyfile(path, library.root / f"copy {clock}{path.suffix}")
    elif action == "touch":
        os.utime(path, ns=(clock, clock * 10**9))
    elif action == "break":
        path.write_text(f"broken {clock} " * 900)
    elif action == "retag" and song < 3 and path.stat().st_size > 20_000:
        retag(path, f"title {clock} ")
