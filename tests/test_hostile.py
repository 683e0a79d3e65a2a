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
from dedup.tags.cover import FRONT, Picture, cover_of, others_of
from dedup.tags.extras import UNREAD
from dedup.tags.read import read_tags
from dedup.tags.write import can_write
from scripts.torture import attacks_containers, attacks_tags, hostile

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


@pytest.mark.long
def test_attachments_share_one_allowance_of_memory(tmp_path: Path) -> None:
    """Property: what FFmpeg holds of a file counts for whoever copies it. The two had an allowance each."""
    path = tmp_path / "x.mka"
    sparse_attachments(path, 200 * MIB)
    assert peak_of(path) < 560 * MIB
    assert [held.extra.what for held in read_tags(os.fsencode(path)).extras] == [UNREAD]


def sparse_attachments(path: Path, n_bytes: int) -> None:
    """A Matroska file with two covers of `n_bytes`, most of which are holes."""

    def begun(identity: int, size: int) -> bytes:
        return identity.to_bytes((identity.bit_length() + 7) // 8, "big") + (1 << 56 | size).to_bytes(8, "big")

    ebml, number = attacks_containers.ebml, attacks_containers.number
    named = [ebml(0x466E, b"cover.jpg") + ebml(0x4660, b"image/jpeg") + number(0x46AE, at) for at in (1, 2)]
    heads = [begun(0x61A7, len(name) + 10 + n_bytes) + name + begun(0x465C, n_bytes) for name in named]
    whole = attacks_containers.matroska(attacks_containers.track(1))
    segment, cluster = whole.index(bytes.fromhex("18538067")) + 4, whole.index(bytes.fromhex("1f43b675"))
    with open(path, "wb") as file:
        file.write(whole[:segment] + b"\x01" + b"\xff" * 7 + whole[segment + 8 : cluster])  # of unknown size
        file.write(begun(0x1941A469, sum(len(head) + n_bytes for head in heads)))
        for head in heads:
            file.write(head)
            file.seek(n_bytes, os.SEEK_CUR)
        file.write(whole[cluster:])


def make_flac(folder: Path, song: dict[str, bytes]) -> Path:
    hostile.ATTACKS["a FLAC with 100,000 pictures"](folder, song, 0.03)
    return folder / "x.flac"


def test_a_store_remembers_a_limited_number_of_things(tmp_path: Path, song: dict[str, bytes]) -> None:
    found = read_properties(os.fsencode(make_flac(tmp_path, song)))
    assert len(found.extras) == MOST_THINGS + 1
    assert found.extras[-1].what.endswith("more things")
    assert from_json(to_json(found)) == found


def test_the_time_for_many_pictures_is_in_proportion(monkeypatch: pytest.MonkeyPatch) -> None:
    """Property: pictures are not compared each with each, which took minutes for 100,000."""
    pictures = [Picture(FRONT, cover_of(b"%d" % number)) for number in range(1000)]
    compared = []
    monkeypatch.setattr(Picture, "__eq__", lambda one, other: compared.append(1) or one is other)
    assert others_of(pictures) == pictures
    assert len(compared) < 2 * len(pictures)


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
