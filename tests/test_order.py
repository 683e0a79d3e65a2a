from __future__ import annotations

import os
import random
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.library import order
from dedup.library.discover import Candidate, discover
from dedup.library.order import first_extent, interleave, scan_order
from dedup.observer import Silent
from dedup.settings import DiscoverSettings

SIZES = st.dictionaries(st.text(alphabet="abcdefghijkl", min_size=1, max_size=2), st.integers(0, 300), max_size=9)


def _classes(sizes: dict[str, int]) -> dict[str, list[tuple[str, int]]]:
    return {name: [(name, index) for index in range(size)] for name, size in sizes.items()}


def _candidate(path: bytes, inode: int = 1, device: int = 1) -> Candidate:
    return Candidate(path, b"/", b"/", 1, 0, device, inode)


@given(SIZES)
def test_interleave_is_a_permutation_that_keeps_the_order_of_each_class(sizes: dict[str, int]) -> None:
    classes = _classes(sizes)
    mixed = interleave(classes)
    assert len(mixed) == sum(sizes.values())
    for name, members in classes.items():
        assert [element for element in mixed if element[0] == name] == members


@settings(max_examples=60)
@given(SIZES)
def test_no_class_is_ever_a_whole_element_from_its_share(sizes: dict[str, int]) -> None:
    mixed = interleave(_classes(sizes))
    total = len(mixed)
    for name, size in sizes.items():
        taken = 0
        for place, element in enumerate(mixed, start=1):
            taken += element[0] == name
            assert abs(taken * total - place * size) < total


@settings(max_examples=60)
@given(SIZES)
def test_any_64_in_a_row_are_within_two_of_each_share(sizes: dict[str, int]) -> None:
    mixed = interleave(_classes(sizes))
    for name, size in sizes.items():
        is_member = [element[0] == name for element in mixed]
        for start in range(len(mixed) - 63):
            expected = 64 * size / len(mixed)
            assert abs(sum(is_member[start : start + 64]) - expected) < 2


@given(SIZES, st.randoms())
def test_the_order_of_the_classes_does_not_matter(sizes: dict[str, int], shuffler: random.Random) -> None:
    names = list(sizes)
    shuffler.shuffle(names)
    assert interleave(_classes({name: sizes[name] for name in names})) == interleave(_classes(sizes))


def test_interleave_by_eye() -> None:
    assert "".join(interleave({"a": "aaaa", "b": "bb", "c": "c"})) == "aababac"
    assert interleave({}) == []
    assert interleave({"a": [], "b": [1, 2]}) == [1, 2]


def test_first_extent_of_real_files(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(100_000))
    with open(path, "rb") as file:
        os.fsync(file.fileno())
    extent = first_extent(os.fsencode(path))
    assert extent is None or extent >= 0, "None where the file system does not tell"
    (tmp_path / "empty").touch()
    assert first_extent(os.fsencode(tmp_path / "empty")) is None
    assert first_extent(os.fsencode(tmp_path / "none")) is None


def test_first_extent_waits_for_no_fifo(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "fifo")
    assert first_extent(os.fsencode(tmp_path / "fifo")) is None


def test_without_o_noatime_the_file_is_opened_all_the_same(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(os.urandom(100_000))
    expected = first_extent(os.fsencode(path))
    real_open = os.open

    def foreign(path: bytes, flags: int) -> int:
        if flags & os.O_NOATIME:
            raise PermissionError(1, "Operation not permitted")
        return real_open(path, flags)

    monkeypatch.setattr(os, "open", foreign)
    assert first_extent(os.fsencode(path)) == expected


@pytest.mark.parametrize(
    ("answer", "expected"),
    [((1, 4096, 0), 4096), ((1, 0, 0x2), None), ((1, 0, 0x6), None), ((0, 0, 0), None)],
)
def test_what_the_block_map_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, answer: tuple[int, int, int], expected: int | None
) -> None:
    (tmp_path / "file").write_bytes(b"audio")
    mapped, physical, flags = answer

    def ioctl(descriptor: int, request: int, buffer: bytearray) -> int:  # noqa: ARG001
        order._FIEMAP.pack_into(buffer, 0, 0, 2**64 - 1, 0, mapped, 1, 0)
        order._EXTENT.pack_into(buffer, order._FIEMAP.size, 0, physical, 4096, 0, 0, flags, 0, 0, 0)
        return 0

    monkeypatch.setattr("fcntl.ioctl", ioctl)
    assert first_extent(os.fsencode(tmp_path / "file")) == expected


def test_files_are_read_by_extent_else_by_inode(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(order, "first_extent", {b"/a": 5, b"/b": 70}.get)
    candidates = [_candidate(path, inode) for path, inode in ((b"/d", 2), (b"/c", 1), (b"/b", 9), (b"/a", 8))]
    candidates.append(_candidate(b"/other", inode=0, device=0))
    assert [candidate.path for candidate in scan_order(candidates)] == [b"/other", b"/a", b"/b", b"/c", b"/d"]


def test_scan_order_mixes_the_extensions_and_follows_the_disk(monkeypatch: pytest.MonkeyPatch) -> None:
    extents = {b"/1.mp3": 30, b"/2.MP3": 10, b"/3.mp3": 20, b"/1.flac": 2, b"/2.flac": 1}
    monkeypatch.setattr(order, "first_extent", extents.get)
    candidates = [_candidate(path) for path in extents]
    ordered = [candidate.path for candidate in scan_order(candidates)]
    assert ordered == [b"/2.MP3", b"/2.flac", b"/3.mp3", b"/1.flac", b"/1.mp3"]
    random.Random(3).shuffle(candidates)
    assert [candidate.path for candidate in scan_order(candidates)] == ordered


def test_a_device_that_does_not_tell_is_not_asked_for_every_file(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[bytes] = []

    def silent(path: bytes) -> None:
        asked.append(path)

    monkeypatch.setattr(order, "first_extent", silent)
    candidates = [_candidate(b"/%d.mp3" % (999 - inode), inode) for inode in range(100)]
    ordered = scan_order(list(reversed(candidates)))
    assert [candidate.inode for candidate in ordered] == list(range(100))
    assert len(asked) == 64


def test_the_last_files_of_the_order_come_by_size(monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no core decodes a long mix while the others have nothing left to do."""
    monkeypatch.setattr(order, "first_extent", lambda _path: None)
    sizes = random.Random(5).sample(range(1, 1000), 40)
    candidates = [replace(_candidate(b"/%02d.mp3" % i, i), size=size) for i, size in enumerate(sizes)]
    ordered = [candidate.size for candidate in scan_order(candidates)]
    assert ordered[:24] == sizes[:24]
    assert ordered[24:] == sorted(sizes[24:], reverse=True)


def test_scan_order_of_real_files_is_a_permutation(tmp_path: Path) -> None:
    for index in range(20):
        (tmp_path / f"{index}.{'flac' if index % 4 else 'mp3'}").write_bytes(b"audio")
    found = discover([os.fsencode(tmp_path)], DiscoverSettings(), Silent()).candidates
    assert sorted(scan_order(found), key=lambda candidate: candidate.path) == found
