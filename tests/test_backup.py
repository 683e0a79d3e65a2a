"""A back-up of a folder: what is taken, how it is named, what is left alone, and what a kill leaves."""

from __future__ import annotations

import errno
import os
import resource
import shutil
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import BinaryIO

import pytest

from dedup.backup.flow import Flow
from dedup.backup.folder import Folder
from dedup.backup.place import Place, usable_folder
from dedup.backup.source import Item
from dedup.cleanup.moving import move
from dedup.errors import LibraryError, StoreLockedError, UsageError
from dedup.files.held import Spot
from dedup.files.standby import Standby
from dedup.gate.decide import Policy
from dedup.library.identity import stream_hash
from dedup.observer import Silent
from dedup.runner import InlineRunner, Stop
from dedup.scan.scan import scan
from dedup.settings import DiscoverSettings, GateSettings, ScanSettings
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import compose
from dedup.tags.names import AUDIO_HASH
from dedup.tags.read import read_tags
from tests.backups import Backup, Told, folder, outcomes, retag, song
from tests.test_cover_command import JPEG


@pytest.fixture(scope="module")
def standby() -> Iterator[Standby]:
    with closing(Standby(1)) as made:
        yield made


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Recordings that no library has."""
    base = tmp_path_factory.mktemp("songs")
    for number in range(3):
        song(base / f"{number}.flac", number)
    song(base / "0.mp3", 0, "mp3")
    return base


@pytest.fixture
def backup(tmp_path: Path, standby: Standby) -> Backup:
    made = Backup(tmp_path, standby, Told())
    made.to.mkdir()
    return made


@pytest.fixture
def drive(tmp_path: Path, songs: Path) -> Path:
    """A drive with two recordings, one of them twice."""
    made = tmp_path / "drive"
    (made / "An album").mkdir(parents=True)
    for name in ("0.flac", "1.flac", "0.mp3"):
        shutil.copy(songs / name, made / "An album" / name)
    retag(made / "An album" / "1.flac", title="One", artist="Anna")
    return made


def test_what_the_library_lacks_is_copied_completed_and_entered(backup: Backup, drive: Path) -> None:
    before = {path: path.read_bytes() for path in drive.rglob("*") if path.is_file()}
    result, found = backup.run(folder(drive))
    assert outcomes(found) == {"An album/0.flac": "new", "An album/0.mp3": "here", "An album/1.flac": "new"}
    assert backup.files() == ["An album/0.flac", "An album/1.flac"]
    assert result.error is None
    assert {path: path.read_bytes() for path in before} == before, "the source is only read"
    copy = os.fsencode(backup.to / "An album" / "1.flac")
    tags = read_tags(copy).fields
    assert (tags["title"], tags["artist"]) == (("One",), ("Anna",))
    stream = stream_hash(copy)
    assert stream is not None and stream == stream_hash(os.fsencode(drive / "An album" / "1.flac"))
    assert tags[AUDIO_HASH] == (stream.hex(),)
    assert {"replaygain_track_gain", "replaygain_track_peak", "acoustid_fingerprint"} <= tags.keys()
    with backup.store() as store:
        again = scan(store, [os.fsencode(backup.to)], ScanSettings(), InlineRunner(), Silent())
        assert (again.unchanged, again.discovered) == (2, 2), "a scan decodes nothing"
    backup.require_sound()


def test_a_second_run_fetches_nothing_until_something_is_lost(backup: Backup, drive: Path) -> None:
    backup.run(folder(drive))
    _, found = backup.run(folder(drive))
    assert set(outcomes(found).values()) == {"known"}
    (backup.to / "An album" / "1.flac").unlink()
    _, found = backup.run(folder(drive))
    assert outcomes(found)["An album/1.flac"] == "new"
    assert backup.files() == ["An album/0.flac", "An album/1.flac"]
    (backup.to / "An album" / "1.flac").rename(backup.to / "elsewhere.flac")
    with backup.store() as store:
        scan(store, [os.fsencode(backup.to)], ScanSettings(), InlineRunner(), Silent())
    _, found = backup.run(folder(drive))
    assert {taken.item.shown: taken.path for taken in found}["An album/1.flac"] == bytes(backup.to / "elsewhere.flac")
    assert set(outcomes(found).values()) == {"known"}, "a file that was moved is known where it is"


def test_as_is_each_byte_stays_and_all_keeps_what_the_library_has(backup: Backup, drive: Path) -> None:
    _, found = backup.run(folder(drive), as_is=True, keeps_all=True)
    assert set(outcomes(found).values()) == {"new"}
    for path in drive.rglob("*.*"):
        assert (backup.to / path.relative_to(drive)).read_bytes() == path.read_bytes()


def test_in_a_folder_of_the_library_its_root_stays_the_root(backup: Backup, drive: Path, songs: Path) -> None:
    library = backup.base / "to"
    shutil.copy(songs / "2.flac", library / "2.flac")
    with backup.store() as store:
        scan(store, [os.fsencode(library)], ScanSettings(), InlineRunner(), Silent())
    inside = Backup(backup.base / "to", backup.standby, backup.told)
    inside.to.mkdir()
    shutil.move(backup.base / "store", library / ".store")
    (library / "store").symlink_to(".store")
    inside.run(folder(drive))
    with inside.store() as store:
        assert store.catalog.tracks.roots() == [os.fsencode(library)]
        again = scan(store, [os.fsencode(library)], ScanSettings(), InlineRunner(), Silent())
        assert again.unchanged == again.discovered == 3


def test_what_came_is_read_from_the_store_after_some_files(
    backup: Backup, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("dedup.backup.take.MOST_COUNTED", 1)
    shutil.copytree(drive / "An album", drive / "The same")
    _, found = backup.run(folder(drive))
    assert [taken.outcome for taken in found] == ["new", "here", "new", "here", "here", "here"]
    _, found = backup.run(folder(drive), keeps_all=True)
    assert [taken.outcome for taken in found] == ["known", "known", "new", "new", "new", "new"]


# ---- what is in the way ----


def test_links_count_once_and_what_changes_while_it_is_copied_is_left(
    backup: Backup, drive: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (drive / "link.flac").symlink_to("An album/0.flac")
    (drive / "loop").symlink_to("..")
    (drive / "gone.flac").symlink_to("nowhere")
    elsewhere = tmp_path / "elsewhere"
    shutil.copytree(drive / "An album", elsewhere)
    (drive / "other").symlink_to(elsewhere)
    changed = drive / "An album" / "1.flac"
    begin = Flow.begin

    def change_once(self: Flow) -> None:
        with open(changed, "ab") as file:
            file.write(b"more")
        begin(self)

    monkeypatch.setattr(Flow, "begin", change_once)
    _, found = backup.run(folder(drive))
    assert outcomes(found) == {
        "An album/0.flac": "new",
        "An album/0.mp3": "here",
        "An album/1.flac": "failed",
        "other/0.flac": "here",
        "other/0.mp3": "here",
        "other/1.flac": "new",
    }
    assert backup.told.problems == []
    assert "has changed since it was found" in next(taken.note for taken in found if taken.outcome == "failed")


def test_a_drive_that_is_taken_out_ends_the_run(backup: Backup, drive: Path) -> None:
    result, found = backup.run(folder(drive), tell=lambda _: drive.rename(drive.with_name("away")))
    assert len(found) == 1
    assert "it went away while it was read" in str(result.error)
    assert result.n_left == 2


def test_a_link_in_the_folder_that_takes_files_is_not_followed(backup: Backup, drive: Path, tmp_path: Path) -> None:
    (tmp_path / "secret").mkdir()
    (backup.to / "An album").symlink_to(tmp_path / "secret")
    _, found = backup.run(folder(drive))
    assert set(outcomes(found).values()) == {"failed"}
    assert "leads through a symbolic link" in found[0].note
    assert list((tmp_path / "secret").iterdir()) == []
    with backup.store() as store:
        assert not store.catalog.backups.of_source(f"folder {drive}")


def test_a_name_that_is_taken_gets_a_number_and_short_files_are_kept_once(backup: Backup, drive: Path) -> None:
    (backup.to / "An album").mkdir()
    (backup.to / "An album" / "1.FLAC").write_bytes(b"mine")
    short = drive / "short.wav"
    write(str(short), compose(7, "seven", 2.0), Encoding("wav"))
    shutil.copy(short, drive / "twin.wav")
    _, found = backup.run(folder(drive))
    assert outcomes(found)["short.wav"] == "new"
    assert outcomes(found)["twin.wav"] == "here"
    assert backup.files() == ["An album/0.flac", "An album/1 (2).flac", "An album/1.FLAC", "short.wav"]
    assert (backup.to / "An album" / "1.FLAC").read_bytes() == b"mine"
    assert (backup.to / "short.wav").read_bytes() == short.read_bytes()


def test_a_full_disk_ends_the_run_with_one_line_and_the_next_goes_on(
    backup: Backup, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as full:

        def no_room(spot: Spot) -> BinaryIO:
            raise OSError(errno.ENOSPC, "no room", spot.path)

        full.setattr(Spot, "create", no_room)
        result, found = backup.run(folder(drive))
    assert "the disk is full. Make room, then run the same command again" in str(result.error)
    assert (found, backup.files(), result.n_left) == ([], [], 3)
    assert len(backup.run(folder(drive))[1]) == 3


def test_a_folder_that_may_not_be_written_costs_its_files_alone(
    backup: Backup, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as closed:

        def refuse(*_: object) -> None:
            raise PermissionError(errno.EACCES, "Permission denied")

        closed.setattr("dedup.backup.take.move", refuse)
        result, found = backup.run(folder(drive))
    assert result.error is None
    assert [taken.note for taken in found] == ["it cannot be written: Permission denied"] * 3
    assert len([taken for taken in backup.run(folder(drive))[1] if taken.outcome == "new"]) == 2


def test_a_disk_that_gives_back_other_bytes_ends_the_run(
    backup: Backup, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def rot(descriptor: int) -> None:
        os.pwrite(descriptor, b"rotten", 1000)

    monkeypatch.setattr("dedup.backup.place.drop_cached", rot)
    result, _ = backup.run(folder(drive))
    assert "it reads otherwise than it was written" in str(result.error)
    assert backup.files() == []


def test_a_stop_ends_after_the_piece_and_a_limit_after_some_files(backup: Backup, drive: Path) -> None:
    stop = Stop()
    result, found = backup.run(folder(drive), stop=stop, tell=lambda _: stop.request("Ctrl-C"))
    assert (len(found), result.n_left, result.error) == (1, 2, None)
    result, found = backup.run(folder(drive), limit=1)
    assert (len([each for each in found if each.outcome != "known"]), result.n_left) == (1, 1)


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("drive/inside", "it lies in the source"),
        (".", "the source lies in it"),
        ("drive", "it lies in the source"),
        ("link/inside", "it lies in the source"),
        ("nowhere", "there is no folder"),
        ("store/x", "in the folder of the store"),
        (".reprise-quarantine", "that no scan enters"),
    ],
)
def test_a_folder_that_would_be_found_again_takes_nothing(tmp_path: Path, to: str, why: str) -> None:
    for name in ("drive/inside", "store/x", ".reprise-quarantine"):
        (tmp_path / name).mkdir(parents=True)
    (tmp_path / "link").symlink_to("drive")
    drive, store = (os.fsencode(tmp_path / name) for name in ("drive", "store"))
    with pytest.raises(UsageError, match=why):
        usable_folder(os.fsencode(tmp_path / to), drive, store)


def test_two_back_ups_into_one_folder_do_not_mix(backup: Backup) -> None:
    with Place(os.fsencode(backup.to)), pytest.raises(StoreLockedError, match="another back-up writes there"):
        Place(os.fsencode(backup.to)).__enter__()


def test_a_better_file_is_kept_and_a_worse_one_is_not(backup: Backup, songs: Path, tmp_path: Path) -> None:
    for name in ("first/0.mp3", "second/0.flac"):
        (tmp_path / name).parent.mkdir()
        shutil.copy(songs / Path(name).name, tmp_path / name)
    backup.run(folder(tmp_path / "first"))
    rejects = Policy(varispeed=False, gate=GateSettings(on_better="reject"))
    assert [taken.outcome for taken in backup.run(folder(tmp_path / "second"), policy=rejects)[1]] == ["here"]
    with backup.store() as store, store.catalog.transaction():
        for id_ in store.catalog.backups.of_source(f"folder {tmp_path}/second"):
            store.catalog.backups.drop_row((f"folder {tmp_path}/second", id_))
    (taken,) = backup.run(folder(tmp_path / "second"))[1]
    assert (taken.outcome, taken.note.partition(":")[0]) == ("new", "better")
    assert backup.files() == ["0.flac", "0.mp3"]


# ---- what belongs to a file, and what the source alone has ----


def test_lyrics_cue_sheets_and_pictures_come_with_their_times(backup: Backup, drive: Path, tmp_path: Path) -> None:
    album = drive / "An album"
    beside = {"1.lrc": b"[00:01.00]la\n", "1.cue": b'FILE "1.flac" WAVE\n', "cover.jpg": JPEG}
    for name, content in beside.items():
        (album / name).write_bytes(content)
    (tmp_path / "secret").write_bytes(b"secret")
    (album / "1.txt").symlink_to(tmp_path / "secret")
    os.mkfifo(album / "1.log")
    (album / "1.nfo").touch()
    (album / "other.lrc").write_bytes(b"of none")
    (backup.to / "An album").mkdir()
    (backup.to / "An album" / "1.cue").write_bytes(b"mine")
    (backup.to / "An album" / "1.lrc").touch()  # as a kill leaves it on FAT
    for path in album.iterdir():
        if path.is_file() and not path.is_symlink():
            os.utime(path, ns=(10**18, 10**18 + 123_456_789))
    _, found = backup.run(folder(drive), as_is=True)
    assert [taken.note for taken in found if taken.outcome == "new"] == ["", ""]
    there = backup.to / "An album"
    assert sorted(os.listdir(there)) == ["0.flac", "1.cue", "1.flac", "1.lrc", "cover.jpg"]
    assert (there / "1.cue").read_bytes() == b"mine", "nothing is overwritten"
    for name in ("1.lrc", "cover.jpg", "0.flac", "1.flac"):
        assert (there / name).read_bytes() == (album / name).read_bytes()
        assert (there / name).stat().st_mtime_ns == 10**18 + 123_456_789
    backup.require_sound()


def test_side_cars_take_the_number_of_their_file(backup: Backup, drive: Path) -> None:
    (drive / "An album" / "1.lrc").write_bytes(b"ours")
    (backup.to / "An album").mkdir()
    for name in ("1.flac", "1.lrc"):
        (backup.to / "An album" / name).write_bytes(b"mine")
    backup.run(folder(drive))
    assert (backup.to / "An album" / "1.lrc").read_bytes() == b"mine"
    assert (backup.to / "An album" / "1 (2).lrc").read_bytes() == b"ours"


def test_a_library_that_is_the_source_holds_no_copy_of_it(backup: Backup, drive: Path) -> None:
    with backup.store() as store:
        scan(store, [os.fsencode(drive)], ScanSettings(), InlineRunner(), Silent())
    for _ in range(2):
        _, found = backup.run(folder(drive))
        assert backup.files() == ["An album/0.flac", "An album/1.flac"]
    assert set(outcomes(found).values()) == {"known"}


def test_a_drive_that_numbers_its_files_anew_is_copied(backup: Backup, drive: Path) -> None:
    def renumber(source: Folder) -> Folder:
        """What FAT does when the system forgets a folder and reads it again."""
        for path in drive.rglob("*.*"):
            status = path.stat()
            path.rename(path.with_suffix(".old"))
            shutil.copy2(path.with_suffix(".old"), path)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
            path.with_suffix(".old").unlink()
        return source

    class Renumbered(Folder):
        def list(self) -> Iterator[Item]:
            items = [*super().list()]
            renumber(self)
            yield from items

    _, found = backup.run(lambda flow, told: Renumbered(os.fsencode(drive), DiscoverSettings(), flow, told))
    assert sorted(taken.outcome for taken in found) == ["here", "new", "new"]


def test_files_that_always_fail_do_not_use_up_a_limit(backup: Backup, drive: Path) -> None:
    for number in range(3):
        (drive / f"{number} broken.mp3").write_bytes(b"no music")
    result, found = backup.run(folder(drive), limit=1)
    assert [taken.outcome for taken in found] == ["failed"] * 3 + ["new"]
    assert result.n_left == 2


def test_a_file_too_large_for_the_disk_costs_itself_alone(backup: Backup, drive: Path) -> None:
    large = drive / "An album" / "0.flac"
    with open(large, "ab") as file:
        file.truncate(64 << 20)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (32 << 20, before[1]))
    try:
        result, found = backup.run(folder(drive))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert result.error is None
    assert outcomes(found) == {"An album/0.flac": "failed", "An album/0.mp3": "new", "An album/1.flac": "new"}
    assert found[0].note == "the disk does not take files of that size"


@pytest.mark.parametrize("kind", ["link", "file", "gone"])
def test_what_a_killed_run_began_in_a_folder_that_is_another_now_is_forgotten(
    backup: Backup, drive: Path, tmp_path: Path, kind: str
) -> None:
    backup.run(folder(drive))
    with backup.store() as store, store.catalog.transaction():
        for row in store.catalog.backups.of_source(f"folder {drive}").values():
            store.catalog.backups.put(row._replace(state="coming"))
    shutil.move(backup.to / "An album", tmp_path / "away")
    if kind == "link":
        (backup.to / "An album").symlink_to(tmp_path / "away")
    elif kind == "file":
        (backup.to / "An album").write_bytes(b"mine")
    result, found = backup.run(folder(drive))
    assert (result.n_finished, len(found)) == (0, 3)


def test_a_move_that_fails_once_it_is_done_is_brought_to_an_end(
    backup: Backup, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as failing:

        def move_and_fail(source: Spot, target: Spot) -> None:
            move(source, target)
            raise OSError(errno.EIO, "Input/output error")

        failing.setattr("dedup.backup.take.move", move_and_fail)
        assert backup.run(folder(drive))[0].error is not None
    result, _ = backup.run(folder(drive))
    assert result.n_finished == 1
    assert backup.files() == ["An album/0.flac", "An album/1.flac"]
    backup.require_sound()


def test_a_drive_that_is_not_mounted_gets_nothing_in_its_place(
    backup: Backup, drive: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    to = os.fsencode(backup.to)
    with monkeypatch.context() as mounted:
        mounted.setattr(os.path, "ismount", lambda path: path == to)
        backup.run(folder(drive))
    backup.to.rename(backup.base / "drive that is away")
    backup.to.mkdir()
    with pytest.raises(LibraryError, match="where none is mounted now"):
        backup.run(folder(drive))
    assert list(backup.to.iterdir()) == []
    other = Backup(backup.base / "other", backup.standby, backup.told)
    other.to.mkdir(parents=True)
    (other.base / "store").symlink_to(backup.base / "store")
    _, found = other.run(folder(drive))
    assert set(outcomes(found).values()) == {"known"}, "what is on a drive that is away is there"
