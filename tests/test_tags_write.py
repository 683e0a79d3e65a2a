from __future__ import annotations

import os
import random
import shutil
import stat
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, BinaryIO

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from mutagen.apev2 import APEv2
from mutagen.flac import FLAC, Picture
from mutagen.id3 import APIC, COMM, ID3, POPM, PRIV, RVAD, TDAT, TIT2, TYER

from dedup.cleanup import rewrite
from dedup.cleanup.rewrite import write_copy
from dedup.cleanup.steps import Rewrite
from dedup.files.held import Reach, Spot
from dedup.library import identity
from dedup.tags.cover import Cover, cover_of
from dedup.tags.names import _ROWS
from dedup.tags.read import read_tags
from dedup.tags.unite import good_cover, unite
from dedup.tags.values import normalised
from dedup.tags.write import TagsError, can_write, write_tags
from tests.tag_files import FORMATS, UNWRITABLE, pictures, png, write_tones

FIELDS = {
    "title": ("Tïtle",),
    "artist": ("AC/DC", "B"),
    "artistsort": ("DC, AC",),
    "album": ("Album",),
    "albumartist": ("All",),
    "tracknumber": ("3",),
    "tracktotal": ("12",),
    "discnumber": ("1",),
    "disctotal": ("2",),
    "date": ("2004-05-06",),
    "originaldate": ("1999-01",),
    "genre": ("Rock", "17", "(4)x"),
    "mood": ("dark",),
    "performer": ("Bob (bass)", "Jim"),
    "producer": ("Pia",),
    "djmixer": ("Dee",),
    "comment": ("one\ntwo",),
    "comment:liner notes": ("three",),
    "lyrics": ("la\nla",),
    "rating": ("0.8",),
    "playcount": ("7",),
    "compilation": ("1",),
    "bpm": ("128",),
    "isrc": ("GBAAA0000001", "GBAAA0000002"),
    "musicbrainz_trackid": ("8f3471b5-7e6a-48da-86a9-c1c07a0f47ae",),
    "musicbrainz_albumid": ("d6010be3-98f8-422c-a6c9-787e2e491e58",),
    "releasetype": ("album",),
    "replaygain_track_gain": ("-7.03 dB",),
    "my own field": ("x", "y"),
}


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_tones(tmp_path_factory.mktemp("tones"))


@pytest.fixture
def copy_of(tones: dict[str, Path], tmp_path: Path) -> Callable[[str], bytes]:
    """Makes a file of a format that a test may write to."""

    def copy(kind: str) -> bytes:
        return os.fsencode(shutil.copy(tones[kind], tmp_path / f"copy{tones[kind].suffix}"))

    return copy


@pytest.mark.parametrize("kind", FORMATS)
def test_what_is_written_is_read(copy_of: Callable[[str], bytes], kind: str) -> None:
    path = copy_of(kind)
    before, audio = read_tags(path).fields, identity.stream_hash(path)
    assert can_write(path)
    write_tags(path, FIELDS, cover_of(png(300, 200)))
    found = read_tags(path)
    assert found.fields == before | FIELDS
    assert found.covers == (Cover(png(300, 200), "image/png", 300, 200),)
    assert identity.stream_hash(path) == audio
    write_tags(path, dict.fromkeys(FIELDS, ()))
    assert read_tags(path).fields == before
    assert identity.stream_hash(path) == audio


TEXT = st.text(st.characters(codec="utf-8"), max_size=12) | st.sampled_from(
    ["1/2", "0", "03", "0.75", "2004", "2004-05-06", "(17)", "A1", "x (y)", "70000", "line\nline", "\ufeffx", "a\0b"]
)
NAMES = st.sampled_from(sorted(_ROWS)) | st.text("ab:/_ 0", min_size=2, max_size=5).map(str.strip).filter(
    lambda name: len(name) >= 2
)
SOME_FIELDS = st.dictionaries(NAMES, st.lists(TEXT, max_size=3), max_size=6)


def _after(before: Mapping[str, tuple[str, ...]], new: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """What is read once `new` was written over `before`."""
    gone = {name for spelling in new for name in _common(spelling)}
    return {name: values for name, values in before.items() if name not in gone} | normalised(new)


def _common(spelling: str) -> tuple[str, ...]:
    return tuple(normalised({spelling: ["1"]}))


@pytest.mark.parametrize("kind", FORMATS)
def test_any_text_comes_back(tones: dict[str, Path], tmp_path: Path, kind: str) -> None:
    path = os.fsencode(tmp_path / f"copy{tones[kind].suffix}")
    start = read_tags(os.fsencode(tones[kind])).fields

    @settings(max_examples=12)
    @given(SOME_FIELDS, SOME_FIELDS)
    def write_twice(first: dict[str, list[str]], second: dict[str, list[str]]) -> None:
        shutil.copy(tones[kind], path)
        write_tags(path, first)
        wanted = _after(start, first)
        assert read_tags(path).fields == wanted
        write_tags(path, second)
        assert read_tags(path).fields == _after(wanted, second)

    write_twice()


def test_names_of_any_bytes_and_wrong_ones(tones: dict[str, Path], tmp_path: Path) -> None:
    for kind in ("mp3", "flac", "m4a", "wv"):
        for name in (b"\xff\n." + kind.encode(), b"song.mp3", b"song.aac", b"song.flac"):
            path = os.path.join(os.fsencode(tmp_path), name)
            shutil.copy(tones[kind], path)
            write_tags(path, FIELDS)
            assert FIELDS.items() <= read_tags(path).fields.items()


def test_the_version_of_an_id3_tag_stays(copy_of: Callable[[str], bytes]) -> None:
    path = copy_of("mp3")
    for version in (3, 4):
        ID3().save(path, v2_version=version)
        write_tags(path, FIELDS)
        assert ID3(path, translate=False).version == (2, version, 0)
        assert FIELDS.items() <= read_tags(path).fields.items()
    frames = ID3(path, translate=False)
    assert str(frames["TDRC"]) == "2004-05-06"
    ID3().save(path, v2_version=3)
    write_tags(path, FIELDS)
    frames = ID3(path, translate=False)
    assert (frames["TYER"].text, frames["TDAT"].text) == (["2004"], ["0605"])
    assert frames["IPLS"].people == [["DJ-mix", "Dee"], ["bass", "Bob"], ["performer", "Jim"], ["producer", "Pia"]]
    assert not {"TDRC", "TIPL", "TMCL", "TMOO", "TDOR"} & set(frames)


def test_a_tag_of_the_oldest_version_becomes_the_next(copy_of: Callable[[str], bytes]) -> None:
    path = copy_of("mp3")
    sound = Path(os.fsdecode(path)).read_bytes()
    offset = ID3(path).size
    frame = b"TT2\0\0\x06\0Title" + b"TYE\0\0\x05\x002004"
    header = b"ID3\x02\0\0\0\0\0" + bytes([len(frame)])
    Path(os.fsdecode(path)).write_bytes(header + frame + sound[offset:])
    audio = identity.stream_hash(path)
    write_tags(path, {"album": ["Album"]})
    assert read_tags(path).fields == {"title": ("Title",), "date": ("2004",), "album": ("Album",)}
    assert ID3(path, translate=False).version == (2, 3, 0)
    assert identity.stream_hash(path) == audio


def test_frames_that_nobody_asked_about_stay(copy_of: Callable[[str], bytes]) -> None:
    path = copy_of("mp3")
    for version in (3, 4):
        tags = ID3()
        tags.add(PRIV(owner="someone", data=b"\xff\0"))
        tags.add(COMM(encoding=1, lang="deu", desc="Titel", text=["Kommentar"]))
        tags.add(APIC(encoding=0, mime="image/png", type=4, desc="", data=png(9, 9)))
        if version == 3:
            tags.add(TYER(encoding=0, text=["1999"]))
            tags.add(TDAT(encoding=0, text=["3112"]))
            tags.add(RVAD(adjustments=[1, 2]))
        tags.save(path, v2_version=version)
        data = Path(os.fsdecode(path)).read_bytes()
        strange = b"XABC\0\0\0\x04\0\0what"  # takes the place of as much padding
        end = ID3(path).size
        Path(os.fsdecode(path)).write_bytes(_with_frame(data, end, strange))
        before = ID3(path, translate=False)
        write_tags(path, {"title": ["Title"]}, cover_of(png(300, 300)))
        after = ID3(path, translate=False)
        assert after.unknown_frames == before.unknown_frames == [strange]
        assert {key: repr(frame) for key, frame in before.items()}.items() <= {
            key: repr(frame) for key, frame in after.items()
        }.items()
        assert [cover.width for cover in pictures(read_tags(path))] == [300, 9]


def _with_frame(data: bytes, end: int, frame: bytes) -> bytes:
    """The file with a frame at the end of the ID3 tag's content, where there was padding."""
    content = len(data[:end].rstrip(b"\0"))
    content += 1 if data[content : content + 1] == b"\0" and data[:content].endswith(b"\xff") else 0
    return data[:content] + frame + data[content + len(frame) :]


def test_an_id3v1_tag_is_kept_in_step(copy_of: Callable[[str], bytes]) -> None:
    path = copy_of("mp3")
    tags = ID3(path)
    tags.add(TIT2(encoding=3, text=["Old"]))
    tags.save(path, v1=2)
    write_tags(path, {"title": ["New"], "artist": ["One"]})
    end = Path(os.fsdecode(path)).read_bytes()[-128:]
    assert end[:3] == b"TAG"
    assert end[3:33].rstrip(b"\0") == b"New"
    assert end[33:63].rstrip(b"\0") == b"One"


def test_an_ape_tag_in_an_mp3_is_kept_in_step(copy_of: Callable[[str], bytes]) -> None:
    path = copy_of("mp3")
    audio = identity.stream_hash(path)
    tags = ID3(path)
    tags.add(TIT2(encoding=3, text=["Old"]))
    tags.save(path, v1=2)
    ape = APEv2()
    ape["Title"], ape["Something"] = "Old", "else"
    ape.save(path)  # cuts the ID3v1 tag off
    tags.save(path, v1=2)
    write_tags(path, {"title": ["New"], "album": ["Album"]})
    assert dict(APEv2(path)) == {"Title": "New", "Something": "else"}
    assert Path(os.fsdecode(path)).read_bytes()[-128:].startswith(b"TAGNew\0")
    assert read_tags(path).fields["something"] == ("else",)
    assert identity.stream_hash(path) == audio
    write_tags(path, {"title": []})
    assert "title" not in read_tags(path).fields


def test_an_ape_tag_as_long_as_an_id3v1_tag_is_none(copy_of: Callable[[str], bytes]) -> None:
    """Three letters of its header then stand where "TAG" would."""
    path = copy_of("wv")
    audio = identity.stream_hash(path)
    APEv2(path).delete(path)
    size = os.path.getsize(path)
    write_tags(path, {"title": ["x" * (131 - 64 - 8 - len("Title") - 1)]})
    assert os.path.getsize(path) == size + 131
    assert Path(os.fsdecode(path)).read_bytes()[-128:].startswith(b"TAGEX")
    write_tags(path, {"title": ["Title"]})
    assert read_tags(path).fields == {"title": ("Title",)}
    assert os.path.getsize(path) == size + 64 + 8 + len("Title\0Title")
    assert identity.stream_hash(path) == audio


def test_a_rating_goes_to_every_listener_that_is_there(copy_of: Callable[[str], bytes]) -> None:
    path = copy_of("mp3")
    tags = ID3(path)
    tags.add(POPM(email="Windows Media Player 9 Series", rating=0, count=4))
    tags.save(path)
    write_tags(path, {"rating": ["0.8"]})
    (popm,) = ID3(path).getall("POPM")
    assert (popm.email, popm.rating, popm.count) == ("Windows Media Player 9 Series", 196, 4)


def test_other_pictures_stay(copy_of: Callable[[str], bytes]) -> None:
    for kind in ("flac", "opus", "wv", "m4a", "wma", "mp3"):
        path = copy_of(kind)
        write_tags(path, {}, cover_of(png(100, 100)))
        write_tags(path, {}, cover_of(png(200, 200)))
        assert [cover.width for cover in pictures(read_tags(path))] == [200]
    path = copy_of("flac")
    file = FLAC(path)
    back = Picture()
    back.type, back.data = 4, png(50, 50)
    file.add_picture(back)
    file.save()
    write_tags(path, {}, cover_of(png(200, 200)))
    assert [cover.width for cover in pictures(read_tags(path))] == [200, 50]


@pytest.mark.parametrize("kind", UNWRITABLE)
def test_what_cannot_be_written_is_named(copy_of: Callable[[str], bytes], kind: str) -> None:
    path = copy_of(kind)
    assert not can_write(path)
    with pytest.raises(TagsError, match=r"copy\.\w+: tags cannot be written to its format"):
        write_tags(path, {"title": ["Title"]})


def test_garbage_is_named(tmp_path: Path) -> None:
    noise = random.Random(5).randbytes(9000)
    for suffix in ("mp3", "flac", "ogg", "m4a", "wma", "wv", "wav", "aiff"):
        for content in (b"", noise, b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + noise, b"fLaC" + noise, b"OggS" + noise):
            path = tmp_path / f"garbage.{suffix}"
            path.write_bytes(content)
            assert read_tags(os.fsencode(path)).covers == ()
            if not can_write(os.fsencode(path)):
                with pytest.raises(TagsError, match="garbage"):
                    write_tags(os.fsencode(path), {"title": ["Title"]})


def test_a_name_that_some_format_could_not_have_is_refused(copy_of: Callable[[str], bytes]) -> None:
    path = copy_of("mp3")
    for name in ("", "x", "a=b", "größe", "id3", "metadata_block_picture"):
        with pytest.raises(TagsError, match="not every format can hold a field named"):
            write_tags(path, {name: ["value"]})


def make_copy(path: bytes, copy: bytes, fields: dict[str, Any], *more: Any) -> None:
    """As a step does it."""
    with open(path, "rb") as old, open(copy, "x+b") as new:
        write_copy(old, path, new, copy, fields, *more)


def test_a_copy_has_the_tags_and_all_else_of_the_file(tones: dict[str, Path], tmp_path: Path) -> None:
    path, copy = tmp_path / "song.flac", tmp_path / "copy.flac"
    shutil.copy(tones["flac"], path)
    os.chmod(path, 0o640)
    os.setxattr(path, "user.note", b"mine")
    os.utime(path, ns=(1, 1))
    before, now = path.read_bytes(), time.time()
    make_copy(os.fsencode(path), os.fsencode(copy), {"title": ["Title"]}, cover_of(png(300, 300)))
    assert path.read_bytes() == before
    assert read_tags(os.fsencode(copy)).fields["title"] == ("Title",)
    assert read_tags(os.fsencode(copy)).covers[0].width == 300
    assert stat.S_IMODE(copy.stat().st_mode) == 0o640
    assert (copy.stat().st_uid, copy.stat().st_gid) == (path.stat().st_uid, path.stat().st_gid)
    assert os.getxattr(copy, "user.note") == b"mine"
    assert copy.stat().st_mtime > now - 1


def test_a_copy_whose_audio_would_be_another_is_removed(
    tones: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def damage(*arguments: Any) -> None:
        file = arguments[-1]
        file.seek(-500, os.SEEK_END)
        byte = file.read(1)[0]
        file.seek(-500, os.SEEK_END)
        file.write(bytes([byte ^ 0x10]))

    def build(old: BinaryIO, new: BinaryIO, part: Spot) -> None:
        write_copy(old, path, new, part.path, {"title": ["Title"]})

    monkeypatch.setattr(rewrite, "write_tags", damage)
    folder = tmp_path / "music"
    folder.mkdir()
    path = os.fsencode(shutil.copy(tones["flac"], folder / "flac.flac"))
    with pytest.raises(TagsError, match=r"flac\.flac: with new tags its audio would be"):
        Rewrite(path, tmp_path / "1", "tags", build).do(Reach([os.fsencode(folder)]))
    assert os.listdir(folder) == ["flac.flac"]


def test_a_file_without_audio_gets_no_copy(tmp_path: Path) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(b"no song at all" * 100)
    with pytest.raises(TagsError, match="its audio cannot be read"):
        make_copy(os.fsencode(path), os.fsencode(tmp_path / "copy.mp3"), {"title": ["Title"]})
    assert (tmp_path / "copy.mp3").read_bytes() == b""


def test_the_tags_of_a_file_that_goes_are_in_the_one_that_stays(
    copy_of: Callable[[str], bytes], tones: dict[str, Path], tmp_path: Path
) -> None:
    gone, copy = copy_of("mp3"), os.fsencode(tmp_path / "new.flac")
    write_tags(gone, FIELDS, cover_of(png(300, 300)))
    kept = os.fsencode(shutil.copy(tones["flac"], tmp_path / "kept.flac"))
    write_tags(kept, {"title": ["Title"], "genre": ["Pop"]})
    merge = unite((kept, read_tags(kept)), [(gone, read_tags(gone))])
    assert merge.cover_from == gone
    theirs = read_tags(gone)
    assert [extra.what for extra in merge.extras] == ["lyrics", "rating of no@email"]
    make_copy(kept, copy, dict(merge.fields), good_cover(theirs), theirs.extras)
    found = read_tags(copy)
    carried = {name: values for name, values in FIELDS.items() if name != "replaygain_track_gain"}
    expected = carried | {"title": ("Title",), "genre": ("Pop", *FIELDS["genre"])}
    assert {name: found.fields[name] for name in found.fields.keys() - {"encoder", "popm:no@email"}} == expected
    assert {held.extra for held in theirs.extras} == {held.extra for held in found.extras}
    assert found.covers[0].width == 300
