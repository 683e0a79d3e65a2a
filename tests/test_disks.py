"""How many read from one disk: by what the system says of it, and by what a person says."""

from __future__ import annotations

import os
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from types import TracebackType
from typing import Any

import pytest

from dedup.files.disks import Disks, is_rotating, read_ahead
from dedup.runner import InlineRunner


class Turn(AbstractContextManager[Any]):
    def __init__(self) -> None:
        self.n_entered = 0
        self.is_inside = False

    def __enter__(self) -> None:
        self.n_entered += 1
        self.is_inside = True

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.is_inside = False


class Limiting(InlineRunner):
    """Notes what it was asked to limit."""

    def __init__(self) -> None:
        super().__init__()
        self.limits: list[tuple[str, int]] = []

    def limit(self, name: str, n: int) -> AbstractContextManager[Any]:
        self.limits.append((name, n))
        return Turn()


def system(folder: Path, rotational: str, partition: bool = False) -> str:
    disk = folder / "dev" / "block" / "8:0"
    place = disk / "8:1" if partition else disk
    (disk / "queue").mkdir(parents=True)
    (disk / "queue" / "rotational").write_text(rotational)
    if partition:
        place.mkdir()
        (folder / "dev" / "block" / "8:1").symlink_to(place)
    return str(folder)


@pytest.mark.parametrize(("rotational", "expected"), [("1\n", True), ("0\n", False)])
def test_a_disk_and_its_partitions(tmp_path: Path, rotational: str, expected: bool) -> None:
    assert is_rotating(os.makedev(8, 0), system(tmp_path / "disk", rotational)) is expected
    assert is_rotating(os.makedev(8, 1), system(tmp_path / "part", rotational, partition=True)) is expected


def test_what_is_not_known_to_rotate_does_not(tmp_path: Path) -> None:
    assert is_rotating(os.makedev(0, 77), str(tmp_path)) is False
    assert is_rotating(-1, str(tmp_path)) is False  # as the catalog keeps a device of 64 bits


def test_one_limit_a_disk(tmp_path: Path) -> None:
    runner = Limiting()
    disks = Disks(runner, 3)
    here = disks.reading_file(os.fsencode(tmp_path))
    assert disks.reading(os.stat(tmp_path).st_dev) is here
    assert disks.reading(12345) is not here
    assert [n for _, n in runner.limits] == [3, 3]
    assert len({name for name, _ in runner.limits}) == 2
    assert isinstance(disks.reading_file(os.fsencode(tmp_path / "gone")), nullcontext)


def test_nothing_is_limited_by_itself() -> None:
    runner = Limiting()
    Disks(runner, None).reading(12345)
    assert runner.limits == []


def test_a_file_is_read_in_its_turn(tmp_path: Path) -> None:
    path = tmp_path / "x"
    path.write_bytes(bytes(3 << 20))
    turn = Turn()
    read_ahead(os.fsencode(path), turn)
    assert (turn.n_entered, turn.is_inside) == (1, False)
    with pytest.raises(FileNotFoundError):
        read_ahead(os.fsencode(tmp_path / "gone"), turn)
    assert not turn.is_inside
    read_ahead(os.fsencode(tmp_path / "gone"), nullcontext())  # without a limit nothing is read ahead
