"""What arrives in a folder is asked about once it is whole, and once."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import pytest

from dedup.gate import inbox as inbox_module
from dedup.gate.inbox import Inbox, is_written
from dedup.settings import DiscoverSettings


class Asked:
    """An inbox, and what it has asked about, as names below its folder."""

    def __init__(self, folder: Path, known: float = float("-inf")) -> None:
        self.folder, self.paths = folder, list[bytes]()
        self.now = 0.0
        own = [os.fsencode(folder / "own")]
        self.inbox = Inbox(
            [os.fsencode(folder)], DiscoverSettings(), own, lambda _, at: known >= at, self.paths.append, 5
        )

    def after(self, seconds: float) -> list[str]:
        """What is asked about at a look some seconds later."""
        self.paths.clear()
        self.now += seconds
        self.inbox.look(self.now)
        return sorted(os.path.relpath(os.fsdecode(path), self.folder) for path in self.paths)


@pytest.fixture
def asked(tmp_path: Path) -> Asked:
    return Asked(tmp_path)


def test_a_file_is_asked_about_when_it_rests(asked: Asked) -> None:
    file = asked.folder / "a.mp3"
    file.write_bytes(b"1")
    assert asked.after(0) == asked.after(4) == []
    file.write_bytes(b"12")
    assert asked.after(2) == asked.after(4) == []
    assert asked.after(2) == ["a.mp3"]
    assert asked.after(60) == []
    file.write_bytes(b"123")
    assert asked.after(1) == []
    assert asked.after(5) == ["a.mp3"], "it is another file now"


def test_a_file_that_is_written_waits(asked: Asked) -> None:
    path = asked.folder / "a.mp3"
    with open(path, "wb") as file:
        file.write(b"1")
        file.flush()
        assert is_written(os.fsencode(path))
        assert asked.after(0) == asked.after(100) == []
    assert not is_written(os.fsencode(path))
    assert asked.after(1) == ["a.mp3"]
    assert not is_written(os.fsencode(asked.folder / "none.mp3"))


def test_names_of_downloads_wait_and_renames_into_place_are_seen(asked: Asked) -> None:
    (asked.folder / "a.mp3.part").write_bytes(b"1")
    (asked.folder / ".hidden.mp3").write_bytes(b"1")
    (asked.folder / "cover.jpg").write_bytes(b"1")
    assert asked.after(0) == asked.after(100) == []
    (asked.folder / "a.mp3.part").rename(asked.folder / "a.mp3")
    assert asked.after(1) == []
    assert asked.after(5) == ["a.mp3"]


def test_folders_that_come_with_their_files_are_seen(asked: Asked, tmp_path_factory: pytest.TempPathFactory) -> None:
    album = tmp_path_factory.mktemp("from") / "album"
    (album / "cd 1").mkdir(parents=True)
    for number in range(300):
        (album / "cd 1" / f"{number}.flac").write_bytes(b"1")
    shutil.copytree(album, asked.folder / "own")
    assert asked.after(0) == []
    shutil.move(album, asked.folder / "new")
    asked.after(1)
    assert asked.after(5) == sorted(f"new/cd 1/{number}.flac" for number in range(300))


def test_what_was_asked_before_a_restart_is_not_asked_again(tmp_path: Path) -> None:
    (tmp_path / "a.mp3").write_bytes(b"1")
    again = Asked(tmp_path, known=float("inf"))
    assert again.after(0) == again.after(100) == []
    (tmp_path / "a.mp3").write_bytes(b"12")
    again.after(1)
    assert again.after(5) == ["a.mp3"]


def test_a_folder_that_is_away_comes_back(asked: Asked, tmp_path: Path) -> None:
    away = Asked(tmp_path / "drive")
    assert away.after(0) == []
    (tmp_path / "drive").mkdir()
    (tmp_path / "drive" / "a.mp3").write_bytes(b"1")
    away.after(1)
    assert away.after(5) == ["a.mp3"]
    del asked


def test_without_leases_rest_decides(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(inbox_module.fcntl, "F_SETLEASE")
    with open(asked.folder / "a.mp3", "wb") as file:
        file.write(b"1")
        file.flush()
        asked.after(0)
        assert asked.after(5) == ["a.mp3"]
