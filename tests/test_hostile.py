"""Files made to take memory or time: whoever reads their tags keeps to the limits of `files.bounded`, says that tags
were not read, and lets no such file go for a copy. `scripts/torture/hostile.py` does far more."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dedup.files.bounded import MOST_BYTES, Bounded, TooMuchError, bounded_memory
from dedup.library.metadata import MOST_THINGS, from_json, read_properties, to_json
from dedup.tags.cover import cover_of
from dedup.tags.extras import UNREAD
from dedup.tags.read import read_tags
from dedup.tags.write import can_write
from scripts.torture import attacks_tags, hostile

ROOT = Path(__file__).resolve().parent.parent
MIB = 1 << 20

PEAK = """
import os, resource, sys
from dedup.library.metadata import read_properties
from dedup.tags.read import read_tags
import av, mutagen.mp3, mutagen.flac, mutagen.mp4
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
for path in sys.argv[1:]:
    found = read_properties(os.fsencode(path)), read_tags(os.fsencode(path))
    extras = [extra.what for extra in found[0].extras]
    print(os.path.basename(path), extras == [held.extra.what for held in found[1].extras])
print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before)
"""
"""Reads files, and prints by how many KiB the memory of the process grew."""


@pytest.fixture(scope="module")
def song() -> dict[str, bytes]:
    return hostile.make_song()


def sparse_id3(path: Path, song: dict[str, bytes], n_bytes: int) -> None:
    """An MP3 file with a tag that has one frame of `n_bytes`, most of which are holes."""
    head = b"APIC" + attacks_tags.syncsafe(14 + n_bytes) + b"\x00\x00" + b"\x00image/jpeg\x00\x03\x00"
    with open(path, "wb") as file:
        file.write(attacks_tags.id3_header(len(head) + n_bytes) + head)
        file.seek(n_bytes, os.SEEK_CUR)
        file.write(song["mp3"])


def peak_of(*paths: Path) -> int:
    """Bytes by which a process grows that reads the tags of these files."""
    command = [sys.executable, "-c", PEAK, *map(str, paths)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=100, check=True)
    assert "False" not in done.stdout
    return int(done.stdout.splitlines()[-1]) * 1024


def test_a_tag_of_200_mb_is_not_read(tmp_path: Path, song: dict[str, bytes]) -> None:
    """Property: such a file is a song all the same, and stands for tags that no other file has."""
    path = tmp_path / "x.mp3"
    sparse_id3(path, song, 200 * MIB)
    assert peak_of(path) < 520 * MIB
    found = read_properties(os.fsencode(path))
    assert (found.codec, round(found.duration_s)) == ("mp3", round(hostile.SONG_S))
    assert [extra.what for extra in found.extras] == [UNREAD]
    assert [held.extra for held in read_tags(os.fsencode(path)).extras] == list(found.extras)
    assert not can_write(os.fsencode(path))


def test_tags_that_were_not_read_equal_only_those_of_the_same_file(tmp_path: Path, song: dict[str, bytes]) -> None:
    paths = [tmp_path / name for name in ("a.mp3", "b.mp3", "c.mp3")]
    for path, n_bytes in zip(paths, (65 * MIB, 65 * MIB, 65 * MIB + 1), strict=True):
        sparse_id3(path, song, n_bytes)
    a, b, c = (read_properties(os.fsencode(path)).extras for path in paths)
    assert a == b != c


def test_a_tag_in_a_million_frames_is_not_parsed(tmp_path: Path, song: dict[str, bytes]) -> None:
    """mutagen would copy the rest of the tag for each frame: days."""
    hostile.ATTACKS["an ID3 tag of 5 million texts"](tmp_path, song, 0.02)
    data = (tmp_path / "x.mp3").read_bytes()
    whole, few = tmp_path / "whole.mp3", tmp_path / "few.mp3"
    whole.write_bytes(data)
    few.write_bytes(attacks_tags.id3_header(22 * 500) + data[10 : 10 + 22 * 500] + song["mp3"])
    from dedup.tags.kinds import parse
    from dedup.tags.opened import TagFile

    with open(whole, "rb") as opened:
        file = TagFile(opened)
        with pytest.raises(TooMuchError):
            parse(os.fsencode(whole), file)
        assert file.is_exceeded
    assert UNREAD not in [extra.what for extra in read_properties(os.fsencode(few)).extras]


@pytest.mark.long
def test_a_compressed_bomb_takes_no_more_memory_than_is_allowed(tmp_path: Path, song: dict[str, bytes]) -> None:
    hostile.ATTACKS["an ID3 tag that claims 256 MB, and one of a compressed bomb"](tmp_path, song, 0.7)
    assert peak_of(tmp_path / "x.mp3", tmp_path / "y.mp3") < 560 * MIB


def make_flac(folder: Path, song: dict[str, bytes]) -> Path:
    hostile.ATTACKS["a FLAC with 100,000 pictures"](folder, song, 0.03)
    return folder / "x.flac"


def test_a_store_remembers_a_limited_number_of_things(tmp_path: Path, song: dict[str, bytes]) -> None:
    found = read_properties(os.fsencode(make_flac(tmp_path, song)))
    assert len(found.extras) == MOST_THINGS + 1
    assert found.extras[-1].what.endswith("more things")
    assert from_json(to_json(found)) == found


@pytest.mark.parametrize("n_bytes", [100, MOST_BYTES + 1])
def test_no_read_is_larger_than_the_file_or_the_limit(tmp_path: Path, n_bytes: int) -> None:
    path = tmp_path / "x"
    path.touch()
    os.truncate(path, n_bytes)
    with open(path, "rb") as opened:
        file = Bounded(opened)
        if n_bytes > MOST_BYTES:
            with pytest.raises(TooMuchError):
                file.read(0xFFFFFFF0)
            assert file.is_exceeded
        else:
            assert len(file.read(0xFFFFFFF0)) == n_bytes


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux limits the memory that a process takes")
def test_memory_is_bounded_while_a_file_is_read_and_not_after_it() -> None:
    make: Callable[[], bytes] = lambda: bytes(600 * MIB)  # noqa: E731
    with bounded_memory(), pytest.raises(MemoryError):
        make()
    assert len(make()) == 600 * MIB
    with bounded_memory(), bounded_memory():
        assert cover_of(b"").width == 0
