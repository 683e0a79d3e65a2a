from __future__ import annotations

import base64
import os
import shutil
from collections.abc import Callable
from pathlib import Path

import av
import blake3
import mutagen
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutagen.apev2 import APEv2
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, ID3, TIT2, TPE1
from mutagen.mp4 import MP4, MP4Cover
from mutagen.oggvorbis import OggVorbis

from dedup.files.container import open_container
from dedup.library.identity import (
    _HASHED_AT_A_TIME,
    StreamHasher,
    collisions,
    flac_md5,
    full_hash,
    partial_hash,
    stream_hash,
    trailing_tags_size,
)
from dedup.library.metadata import AudioProperties, audio_key, read_properties
from tests.audio_files import write_tone

COVER = b"\x89PNG\r\n\x1a\n" + bytes(range(256)) * 1200
"""Larger than an Ogg page, so that a comment header that holds it spans several."""


def _id3(path: Path, cover: bytes = COVER) -> None:
    tags = ID3()
    tags.add(TIT2(encoding=3, text=["Another title"]))
    tags.add(TPE1(encoding=3, text=["Someone else"]))
    tags.add(APIC(encoding=3, mime="image/png", type=3, desc="", data=cover))
    tags.save(path, v1=2)


def _id3_larger_than_ffmpeg_probes(path: Path) -> None:
    _id3(path, cover=COVER * 25)


def _ape(path: Path) -> None:
    tags = APEv2()
    tags["Title"] = "Another title"
    tags["Comment"] = "x" * 3000
    tags.save(path)


def _ape_below_id3v1(path: Path) -> None:
    _ape(path)
    with open(path, "ab") as file:
        file.write(b"TAG" + b"Another title".ljust(124, b"\0") + b"\x11")


def _chunk(path: Path) -> None:
    file = mutagen.File(path)
    file.add_tags()
    file.tags.add(TIT2(encoding=3, text=["Another title"]))
    file.tags.add(APIC(encoding=3, mime="image/png", type=3, desc="", data=COVER))
    file.save()


def _picture() -> Picture:
    picture = Picture()
    picture.type, picture.mime, picture.data = 3, "image/png", COVER
    return picture


def _flac(path: Path) -> None:
    file = FLAC(path)
    file["title"] = "Another title"
    file.add_picture(_picture())
    file.save()


def _vorbis_comment(path: Path) -> None:
    file = mutagen.File(path)
    file["title"] = "Another title"
    file["metadata_block_picture"] = base64.b64encode(_picture().write()).decode()
    file.save()


def _mp4(path: Path) -> None:
    file = MP4(path)
    file["\xa9nam"] = ["Another title"]
    file["covr"] = [MP4Cover(COVER, MP4Cover.FORMAT_PNG)]
    file.save()


RETAG: list[tuple[str, str, Callable[[Path], None]]] = [
    ("mp3", "mp3", _id3),
    ("mp3", "mp3", _id3_larger_than_ffmpeg_probes),
    ("mp3", "mp3", _ape),
    ("mp3", "mp3", _ape_below_id3v1),
    ("flac", "flac", _flac),
    ("flac", "flac", _id3),
    ("flac", "flac", _ape_below_id3v1),
    ("oga", "oga", _vorbis_comment),
    ("ogg", "ogg", _vorbis_comment),
    ("opus", "opus", _vorbis_comment),
    ("m4a", "m4a", _mp4),
    ("m4a", "alac", _mp4),
    ("aac", "aac", _id3),
    ("wav", "wav", _chunk),
    ("aiff", "aiff", _chunk),
    ("wv", "wv", _ape),
    ("tta", "tta", _id3),
]


@pytest.mark.parametrize(("extension", "codec", "retag"), RETAG)
def test_tags_and_covers_change_neither_stream_hash_nor_audio_key(
    tmp_path: Path, extension: str, codec: str, retag: Callable[[Path], None]
) -> None:
    original = write_tone(tmp_path / f"original.{extension}", codec=codec)
    copy = tmp_path / f"copy.{extension}"
    shutil.copy(original, copy)
    retag(copy)
    before, after = os.fsencode(original), os.fsencode(copy)
    assert full_hash(before) != full_hash(after)
    assert stream_hash(before) is not None
    assert stream_hash(after) == stream_hash(before)
    assert audio_key(read_properties(after)) == audio_key(read_properties(before)) != ""


@pytest.mark.parametrize("retag", [_id3, _ape, _ape_below_id3v1])
def test_audio_key_holds_where_the_length_is_guessed_from_the_file_size(
    tmp_path: Path, retag: Callable[[Path], None]
) -> None:
    original = write_tone(tmp_path / "original.mp3", container_options={"write_xing": "0"})
    copy = tmp_path / "copy.mp3"
    shutil.copy(original, copy)
    retag(copy)
    before, after = (read_properties(os.fsencode(path)) for path in (original, copy))
    assert audio_key(after) == audio_key(before)
    assert after.duration_s == pytest.approx(2.0, abs=0.1)


def test_other_audio_and_other_encodings_have_other_stream_hashes(tmp_path: Path) -> None:
    files = [
        write_tone(tmp_path / "one.flac", seed=1),
        write_tone(tmp_path / "two.flac", seed=2),
        write_tone(tmp_path / "one.mp3", seed=1),
        write_tone(tmp_path / "one.wav", seed=1),
        write_tone(tmp_path / "longer.wav", seed=1, seconds=2.5),
        write_tone(tmp_path / "one.m4a", seed=1),
    ]
    assert len({stream_hash(os.fsencode(path)) for path in files}) == len(files)


def test_two_files_of_one_encoder_share_the_stream_hash(tmp_path: Path) -> None:
    paths = [os.fsencode(write_tone(tmp_path / name)) for name in ("a.ogg", "b.ogg")]
    assert stream_hash(paths[0]) == stream_hash(paths[1]) is not None


def test_vorbis_set_up_counts_but_its_comments_do_not(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "tone.ogg")
    file = OggVorbis(path)
    for length in (0, 200, 255, 256, 510, 70_000):
        file["comment"] = "x" * length
        file.save()
        assert stream_hash(os.fsencode(path)) == stream_hash(os.fsencode(write_tone(tmp_path / "plain.ogg")))


def test_stream_hasher_agrees_in_a_loop_that_decodes(tmp_path: Path) -> None:
    for extension in ("mp3", "ogg", "m4a", "wav"):
        path = os.fsencode(write_tone(tmp_path / f"tone.{extension}"))
        with open_container(path) as container:
            stream = container.streams.audio[0]
            hasher = StreamHasher(stream)
            for packet in container.demux(stream):
                hasher.update(packet)
                packet.decode()
        assert hasher.digest() == stream_hash(path)


@pytest.mark.parametrize("extension", ["flac", "mp3", "wav"])
def test_stream_hash_is_of_all_packets_whatever_their_number(tmp_path: Path, extension: str) -> None:
    """More of them than are hashed at a time, and tags behind the last."""
    path = write_tone(tmp_path / f"tone.{extension}", 12.0)
    packets, setup = [], b""
    with open_container(os.fsencode(path)) as container:
        stream = container.streams.audio[0]
        setup = bytes(stream.codec_context.extradata or b"")
        packets = [bytes(packet) for packet in container.demux(stream) if packet.size]
    assert sum(map(len, packets)) > 2 * _HASHED_AT_A_TIME
    codec = {"wav": "pcm_s16le"}.get(extension, extension)
    expected = blake3.blake3(f"{codec}|44100|2|{len(setup)}|".encode() + setup + b"".join(packets)).digest(length=16)
    assert stream_hash(os.fsencode(path)) == expected
    if extension != "wav":
        _ape_below_id3v1(path)
        assert stream_hash(os.fsencode(path)) == expected


def test_stream_hash_of_what_holds_no_audio_is_none(tmp_path: Path) -> None:
    garbage = tmp_path / "garbage.flac"
    garbage.write_bytes(bytes(range(256)) * 100)
    playlist = tmp_path / "playlist.mp3"
    target = write_tone(tmp_path / "tone.mp3")
    playlist.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{target}\n#EXT-X-ENDLIST\n")
    film = tmp_path / "film.mkv"
    with av.open(str(film), "w") as container:
        stream = container.add_stream("mpeg4", rate=25)
        stream.width = stream.height = 64
        container.mux(stream.encode(av.VideoFrame(64, 64, "yuv420p")))
        container.mux(stream.encode(None))
    assert stream_hash(os.fsencode(garbage)) is None
    assert stream_hash(os.fsencode(film)) is None
    assert stream_hash(os.fsencode(playlist)) is None


def test_a_file_that_is_not_there_is_an_error_and_no_hash(tmp_path: Path) -> None:
    path = os.fsencode(tmp_path / "none.mp3")
    for hash_of in (stream_hash, full_hash, flac_md5, lambda path: partial_hash(path, 5)):
        with pytest.raises(FileNotFoundError):
            hash_of(path)


def test_names_of_any_bytes_can_be_hashed(tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"\xff\xfe \n.mp3")
    plain = write_tone(tmp_path / "plain.mp3")
    shutil.copy(plain, path)
    assert stream_hash(path) == stream_hash(os.fsencode(plain))
    assert full_hash(path) == full_hash(os.fsencode(plain))


PART = 64 * 1024


@pytest.mark.parametrize("size", [1, PART, 3 * PART - 1, 3 * PART])
def test_partial_hash_of_a_small_file_sees_every_byte(tmp_path: Path, size: int) -> None:
    path = tmp_path / "small"
    path.write_bytes(bytes(size))
    before = partial_hash(os.fsencode(path), size)
    for flipped in {0, size // 3, size - 1}:
        content = bytearray(size)
        content[flipped] = 1
        path.write_bytes(content)
        assert partial_hash(os.fsencode(path), size) != before


def test_partial_hash_of_a_large_file_sees_head_middle_tail_and_size(tmp_path: Path) -> None:
    size = 10 * PART
    path = os.fsencode(tmp_path / "large")

    def hash_with(flipped: int | None, size: int = size) -> bytes:
        content = bytearray(size)
        if flipped is not None:
            content[flipped] = 1
        with open(path, "wb") as file:
            file.write(content)
        return partial_hash(path, size)

    plain = hash_with(None)
    assert len(plain) == 16
    assert plain not in {hash_with(0), hash_with(size // 2), hash_with(size - 1), hash_with(None, size + 1)}
    assert plain == hash_with(2 * PART), "what lies between is left to the full hash"


def test_full_hash_is_blake3_of_the_bytes(tmp_path: Path) -> None:
    content = bytes(range(251)) * 12_345
    (tmp_path / "file").write_bytes(content)
    assert full_hash(os.fsencode(tmp_path / "file")) == blake3.blake3(content).digest()


def test_flac_md5_is_that_of_the_samples(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "tone.flac")
    expected = FLAC(path).info.md5_signature.to_bytes(16, "big")
    assert flac_md5(os.fsencode(path)) == expected
    _flac(path)
    assert flac_md5(os.fsencode(path)) == expected
    _id3(path)
    assert flac_md5(os.fsencode(path)) == expected, "behind an ID3v2 tag"


def test_flac_md5_is_none_where_there_is_none(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "tone.flac")
    content = bytearray(path.read_bytes())
    content[26:42] = bytes(16)
    path.write_bytes(content)
    assert flac_md5(os.fsencode(path)) is None
    for content in (b"", b"ID3", b"fLaC", b"RIFF" + bytes(100)):
        path.write_bytes(content)
        assert flac_md5(os.fsencode(path)) is None


def test_audio_key_is_empty_without_a_duration() -> None:
    assert audio_key(AudioProperties(codec="mp3", sample_rate=44100, channels=2)) == ""
    known = AudioProperties(codec="mp3", sample_rate=44100, channels=2, duration_s=2.346)
    assert audio_key(known) == "mp3|44100|2|235"


@given(st.lists(st.one_of(st.none(), st.integers(0, 5))))
def test_collisions_are_the_groups_of_equal_keys(keys: list[int | None]) -> None:
    groups = collisions(list(enumerate(keys)))
    expected = [
        [index for index, other in enumerate(keys) if other == key]
        for key in dict.fromkeys(keys)
        if key is not None and keys.count(key) > 1
    ]
    assert groups == expected


def test_an_ape_tag_whose_header_looks_like_an_id3v1_tag() -> None:
    size = 131 - 32
    footer = (
        b"APETAGEX" + (2000).to_bytes(4, "little") + size.to_bytes(4, "little") + bytes(4) + b"\0\0\0\x80" + bytes(8)
    )
    header = footer[:20] + b"\0\0\0\xa0" + bytes(8)
    tag = header + bytes(size - 32) + footer
    assert len(tag) == 131 and tag[-128:-125] == b"TAG"
    assert trailing_tags_size(b"audio" * 20 + tag) == 131
