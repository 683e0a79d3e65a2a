from __future__ import annotations

import base64
import io
import os
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path

import av
import mutagen
import pytest
from mutagen.aac import AAC
from mutagen.apev2 import APEv2
from mutagen.asf import ASF, ASFBoolAttribute, ASFDWordAttribute, ASFUnicodeAttribute
from mutagen.flac import FLAC, Picture
from mutagen.id3 import (
    APIC,
    COMM,
    ID3,
    IPLS,
    PCNT,
    POPM,
    TALB,
    TBPM,
    TCMP,
    TCON,
    TDAT,
    TDRC,
    TIPL,
    TIT2,
    TMCL,
    TPE1,
    TPOS,
    TRCK,
    TSOP,
    TSRC,
    TXXX,
    TYER,
    UFID,
    USLT,
    WOAR,
)
from mutagen.mp4 import MP4, MP4Cover, MP4FreeForm
from mutagen.oggopus import OggOpus

from dedup.tags.cover import Cover, cover_of
from dedup.tags.kinds import parse
from dedup.tags.read import Tags, read_tags
from dedup.tags.values import normalised, popm_of_rating, rating_of_popm
from tests.audio_files import write_tone
from tests.tag_files import pictures, png, write_tones

JPEG = b"\xff\xd8\xff\xe0\0\x10JFIF\0" + b"\0" * 9 + b"\xff\xc0\0\x11\x08" + struct.pack(">HH", 480, 640) + b"\x03" * 9


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    return write_tones(tmp_path_factory.mktemp("tones"))


def _copy(tones: dict[str, Path], kind: str, folder: Path) -> Path:
    return Path(shutil.copy(tones[kind], folder / f"copy{tones[kind].suffix}"))


def _read(path: Path) -> Tags:
    return read_tags(os.fsencode(path))


def _without_encoder(tags: Tags) -> dict[str, tuple[str, ...]]:
    return {name: values for name, values in tags.fields.items() if not name.startswith("encod")}


@pytest.mark.parametrize("kind", ["mp3", "aiff", "wav", "tta", "aac"])
def test_id3(tones: dict[str, Path], tmp_path: Path, kind: str) -> None:
    path = _copy(tones, kind, tmp_path)
    file = mutagen.File(path)
    tags = ID3() if isinstance(file, AAC) else file.tags
    if tags is None:
        file.add_tags()
        tags = file.tags
    tags.clear()
    for frame in (
        TIT2(encoding=3, text=["Title"]),
        TPE1(encoding=1, text=["One", "Two"]),
        TALB(encoding=3, text=["Album"]),
        TSOP(encoding=3, text=["Sorted"]),
        TRCK(encoding=3, text=["03/12"]),
        TPOS(encoding=3, text=["1"]),
        TDRC(encoding=3, text=["2004-05"]),
        TCON(encoding=3, text=["(17)", "Jazz"]),
        TBPM(encoding=3, text=["128"]),
        TSRC(encoding=3, text=["GBAAA0000001"]),
        TCMP(encoding=3, text=["1"]),
        COMM(encoding=3, lang="eng", desc="", text=["A comment"]),
        COMM(encoding=3, lang="eng", desc="Notes", text=["Another"]),
        USLT(encoding=3, lang="eng", desc="", text="La\nla"),
        POPM(email="a@b", rating=196, count=3),
        PCNT(count=2),
        TIPL(encoding=3, people=[["producer", "Pia"], ["mix", "Max"], ["catering", "Cat"]]),
        TMCL(encoding=3, people=[["bass", "Bob"]]),
        WOAR(url="http://example.org"),
        TXXX(encoding=3, desc="MusicBrainz Album Id", text=["album-id"]),
        TXXX(encoding=3, desc="MusicBrainz Album Type", text=["album", "live"]),
        TXXX(encoding=3, desc="replaygain_track_gain", text=["-7 dB"]),
        TXXX(encoding=3, desc="Something", text=["else"]),
        TXXX(encoding=3, desc="größe", text=["not carried"]),
        UFID(owner="http://musicbrainz.org", data=b"recording-id"),
        UFID(owner="http://example.org", data=b"other"),
        APIC(encoding=3, mime="", type=4, desc="back", data=png(10, 20)),
        APIC(encoding=3, mime="", type=3, desc="", data=JPEG),
    ):
        tags.add(frame)
    tags.save(path)
    found = _read(path)
    assert _without_encoder(found) == {
        "title": ("Title",),
        "artist": ("One", "Two"),
        "album": ("Album",),
        "artistsort": ("Sorted",),
        "tracknumber": ("3",),
        "tracktotal": ("12",),
        "discnumber": ("1",),
        "date": ("2004-05",),
        "genre": ("Rock", "Jazz"),
        "bpm": ("128",),
        "isrc": ("GBAAA0000001",),
        "compilation": ("1",),
        "comment": ("A comment",),
        "comment:notes": ("Another",),
        "lyrics": ("La\nla",),
        "rating": ("0.8",),
        "playcount": ("3",),
        "producer": ("Pia",),
        "mixer": ("Max",),
        "performer": ("Cat (catering)", "Bob (bass)"),
        "website": ("http://example.org",),
        "musicbrainz_albumid": ("album-id",),
        "releasetype": ("album", "live"),
        "replaygain_track_gain": ("-7 dB",),
        "something": ("else",),
        "musicbrainz_trackid": ("recording-id",),
    }
    assert pictures(found) == [Cover(JPEG, "image/jpeg", 640, 480), Cover(png(10, 20), "image/png", 10, 20)]


def test_id3_of_version_3(tones: dict[str, Path], tmp_path: Path) -> None:
    path = _copy(tones, "mp3", tmp_path)
    tags = ID3()
    for frame in (
        TYER(encoding=0, text=["2004"]),
        TDAT(encoding=0, text=["0605"]),
        IPLS(encoding=0, people=[["arranger", "Ann"], ["bass", "Bob"]]),
    ):
        tags.add(frame)
    tags.save(path, v2_version=3)
    assert _read(path).fields == {"date": ("2004-05-06",), "arranger": ("Ann",), "performer": ("Bob (bass)",)}


def test_id3v1_alone(tones: dict[str, Path], tmp_path: Path) -> None:
    path = _copy(tones, "mp3", tmp_path)
    ID3(path).delete(path)
    with open(path, "ab") as file:
        file.write(b"TAG" + b"Title".ljust(90, b"\0") + b"2004" + b"Remark".ljust(28, b"\0") + b"\0\x03\x11")
    assert _read(path).fields == {
        "title": ("Title",),
        "date": ("2004",),
        "comment": ("Remark",),
        "tracknumber": ("3",),
        "genre": ("Rock",),
    }


def test_of_two_tags_the_first_is_believed(tones: dict[str, Path], tmp_path: Path) -> None:
    path = _copy(tones, "mp3", tmp_path)
    tags = ID3()
    tags.add(TIT2(encoding=3, text=["Title"]))
    tags.save(path)
    ape = APEv2()
    ape["Title"], ape["Album"] = "Another", "Album"
    ape.save(path)
    assert _read(path).fields == {"title": ("Title",), "album": ("Album",)}


@pytest.mark.parametrize("kind", ["flac", "oga", "ogg", "opus"])
def test_vorbis_comments(tones: dict[str, Path], tmp_path: Path, kind: str) -> None:
    path = _copy(tones, kind, tmp_path)
    file = mutagen.File(path)
    file["TITLE"] = "Title"
    file["Artist"] = ["One", "Two"]
    file["ALBUM ARTIST"] = "All"
    file["TRACKNUMBER"] = "03/12"
    file["TOTALDISCS"] = "2"
    file["YEAR"] = "2004"
    file["DATE"] = "2004-05"
    file["UNSYNCEDLYRICS"] = "La"
    file["RATING"] = "80"
    file["FMPS_PLAYCOUNT"] = "3.0"
    file["ORGANIZATION"] = "Label"
    file["MUSICBRAINZ_TRACKID"] = "recording-id"
    file["something"] = "else"
    file.save()
    assert _without_encoder(_read(path)) == {
        "title": ("Title",),
        "artist": ("One", "Two"),
        "albumartist": ("All",),
        "tracknumber": ("3",),
        "tracktotal": ("12",),
        "disctotal": ("2",),
        "date": ("2004-05",),
        "lyrics": ("La",),
        "rating": ("0.8",),
        "playcount": ("3",),
        "label": ("Label",),
        "musicbrainz_trackid": ("recording-id",),
        "something": ("else",),
    }


def test_pictures_in_vorbis_comments(tones: dict[str, Path], tmp_path: Path) -> None:
    made = []
    for kind, data in ((4, png(10, 20)), (3, JPEG)):
        picture = Picture()
        picture.type, picture.data = kind, data
        made.append(picture)
    path = _copy(tones, "flac", tmp_path)
    file = FLAC(path)
    for picture in made:
        file.add_picture(picture)
    file.save()
    assert [cover.width for cover in pictures(_read(path))] == [640, 10]
    path = _copy(tones, "opus", tmp_path)
    comments = OggOpus(path)
    encoded = [base64.b64encode(picture.write()).decode() for picture in made]
    comments["metadata_block_picture"] = [*encoded, "no picture at all"]
    comments["coverart"] = base64.b64encode(png(30, 30)).decode()
    comments.save()
    found = _read(path)
    assert [cover.width for cover in pictures(found)] == [640, 10, 30]
    assert _without_encoder(found) == {}


def test_mp4(tones: dict[str, Path], tmp_path: Path) -> None:
    path = _copy(tones, "m4a", tmp_path)
    file = MP4(path)
    file["\xa9nam"] = ["Title"]
    file["trkn"] = [(3, 12)]
    file["disk"] = [(0, 2)]
    file["cpil"] = True
    file["tmpo"] = [128]
    file["\xa9lyr"] = ["La"]
    file["rtng"] = [1]
    file["covr"] = [MP4Cover(png(10, 20), MP4Cover.FORMAT_PNG)]
    for name, value in (
        ("MusicBrainz Track Id", b"recording-id"),
        ("iTunSMPB", b" 00000000"),
        ("Something", b"else"),
        ("noise", b"\xff\xfe"),
    ):
        file[f"----:com.apple.iTunes:{name}"] = [MP4FreeForm(value)]
    file.save()
    found = _read(path)
    assert _without_encoder(found) == {
        "title": ("Title",),
        "tracknumber": ("3",),
        "tracktotal": ("12",),
        "disctotal": ("2",),
        "compilation": ("1",),
        "bpm": ("128",),
        "lyrics": ("La",),
        "musicbrainz_trackid": ("recording-id",),
        "itunsmpb": ("00000000",),
        "something": ("else",),
    }
    assert found.covers == (Cover(png(10, 20), "image/png", 10, 20),)


def test_asf(tones: dict[str, Path], tmp_path: Path) -> None:
    path = _copy(tones, "wma", tmp_path)
    file = ASF(path)
    file.tags.clear()
    file.tags.extend(
        [
            ("Title", ASFUnicodeAttribute("Title")),
            ("Author", ASFUnicodeAttribute("One")),
            ("Author", ASFUnicodeAttribute("Two")),
            ("Description", ASFUnicodeAttribute("A comment")),
            ("Rating", ASFUnicodeAttribute("for all")),
            ("WM/TrackNumber", ASFDWordAttribute(3)),
            ("WM/PartOfSet", ASFUnicodeAttribute("1/2")),
            ("WM/SharedUserRating", ASFDWordAttribute(75)),
            ("WM/IsCompilation", ASFBoolAttribute(True)),
            ("MusicBrainz/Track Id", ASFUnicodeAttribute("recording-id")),
            ("Something", ASFUnicodeAttribute("else")),
        ]
    )
    file.save()
    assert _read(path).fields == {
        "title": ("Title",),
        "artist": ("One", "Two"),
        "comment": ("A comment",),
        "tracknumber": ("3",),
        "discnumber": ("1",),
        "disctotal": ("2",),
        "rating": ("0.8",),
        "compilation": ("1",),
        "musicbrainz_trackid": ("recording-id",),
        "something": ("else",),
    }


def test_ape(tones: dict[str, Path], tmp_path: Path) -> None:
    path = _copy(tones, "wv", tmp_path)
    tags = APEv2()
    tags["Title"] = "Title"
    tags["Album Artist"] = ["One", "Two"]
    tags["Year"], tags["Track"], tags["Disc"] = "2004", "3/12", "1"
    tags["MixArtist"] = "Rex"
    tags["MUSICBRAINZ_ALBUMSTATUS"] = "official"
    tags["Cover Art (Back)"] = b"back.png\0" + png(10, 20)
    tags["Cover Art (Front)"] = b"front.jpg\0" + JPEG
    tags.save(path)
    found = _read(path)
    assert found.fields == {
        "title": ("Title",),
        "albumartist": ("One", "Two"),
        "date": ("2004",),
        "tracknumber": ("3",),
        "tracktotal": ("12",),
        "discnumber": ("1",),
        "remixer": ("Rex",),
        "releasestatus": ("official",),
    }
    assert [cover.width for cover in pictures(found)] == [640, 10]


def test_the_info_list_of_a_wave_file(tmp_path: Path) -> None:
    path = tmp_path / "tone.wav"
    write_tone(path, 0.3)
    texts = ((b"INAM", "Tïtle".encode()), (b"IART", "Ärtist".encode("cp1252")), (b"ISFT", b"Program"))
    items = b"".join(
        name + struct.pack("<I", len(text) + 1) + text + b"\0" * (1 + (len(text) + 1) % 2) for name, text in texts
    )
    with open(path, "r+b") as file:
        file.seek(0, os.SEEK_END)
        file.write(b"LIST" + struct.pack("<I", len(items) + 4) + b"INFO" + items)
        size = file.tell()
        file.seek(4)
        file.write(struct.pack("<I", size - 8))
    assert _read(path).fields == {"title": ("Tïtle",), "artist": ("Ärtist",)}
    file = mutagen.File(path)
    file.add_tags()
    file.tags.add(TIT2(encoding=3, text=["Another"]))
    file.save()
    assert _read(path).fields == {"title": ("Another",), "artist": ("Ärtist",)}


def test_what_only_ffmpeg_reads(tones: dict[str, Path], tmp_path: Path) -> None:
    path = tmp_path / "tone.mka"
    with av.open(str(tones["flac"])) as source, av.open(str(path), "w") as container:
        container.metadata.update({"title": "Title", "ALBUM_ARTIST": "All"})
        stream = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    assert _without_encoder(_read(path)) == {"title": ("Title",), "albumartist": ("All",)}


def test_nothing_is_read_of_garbage(tmp_path: Path) -> None:
    noise = random.Random(5).randbytes(9000)
    for suffix in ("mp3", "flac", "ogg", "opus", "m4a", "wma", "wv", "wav", "aiff", "mka"):
        for content in (b"", b"\0" * 5000, noise, b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + noise, b"fLaC" + noise):
            path = tmp_path / f"garbage.{suffix}"
            path.write_bytes(content)
            assert _read(path).covers == ()
    with pytest.raises(FileNotFoundError):
        _read(tmp_path / "none.mp3")


def test_stars_are_what_players_make_of_them() -> None:
    assert [rating_of_popm(value) for value in (0, 1, 64, 128, 196, 255)] == ["", "0.2", "0.4", "0.6", "0.8", "1"]
    assert [popm_of_rating(text) for text in ("0.01", "0.2", "0.4", "0.6", "0.8", "1")] == [1, 1, 64, 128, 196, 255]
    for hundredths in range(20, 101):
        text = f"{hundredths / 100:g}"
        assert rating_of_popm(popm_of_rating(text)) == text
    shares = [float(rating_of_popm(value)) for value in range(1, 256)]
    assert shares == sorted(shares)


def test_values_have_one_form() -> None:
    assert normalised({"TrackNumber": ["03 / 012"], "year": ["2004"], "Title": [" a\0 ", "a", "", "\ud800"]}) == {
        "tracknumber": ("3",),
        "tracktotal": ("12",),
        "date": ("2004",),
        "title": ("a", "?"),
    }
    assert normalised({"tracknumber": ["A1/4"], "tracktotal": ["9"]}) == {"tracknumber": ("A1",), "tracktotal": ("9",)}
    assert normalised({"discnumber": ["0/0"], "compilation": ["0"], "rating": ["0"], "playcount": ["0", "x"]}) == {}
    assert normalised({"rating": ["0.75", "2"], "playcount": ["3", "12.0"]}) == {
        "rating": ("0.75",),
        "playcount": ("12",),
    }


def test_sizes_of_pictures() -> None:
    webp = b"RIFF\0\0\0\0WEBP"
    lossless = (640 - 1) | (480 - 1) << 14
    for data, mime in (
        (png(640, 480), "image/png"),
        (JPEG, "image/jpeg"),
        (b"GIF89a" + struct.pack("<HH", 640, 480), "image/gif"),
        (b"BM" + b"\0" * 16 + struct.pack("<ii", 640, -480), "image/bmp"),
        (webp + b"VP8 " + b"\0" * 10 + struct.pack("<HH", 640, 480), "image/webp"),
        (webp + b"VP8L" + b"\0" * 4 + b"\x2f" + struct.pack("<I", lossless) + b"\0" * 5, "image/webp"),
        (webp + b"VP8X" + b"\0" * 8 + b"\x7f\x02\0\xdf\x01\0", "image/webp"),
    ):
        assert cover_of(data, "x") == Cover(data, mime, 640, 480)
        for length in range(len(data)):
            cover_of(data[:length])
    assert cover_of(b"something", "image/x") == Cover(b"something", "image/x", 0, 0)
    assert cover_of(b"\xff\xd8\xff" + b"\0" * 30) == Cover(b"\xff\xd8\xff" + b"\0" * 30, "image/jpeg", 0, 0)


def test_a_format_is_told_as_mutagen_tells_it(tones: dict[str, Path], tmp_path: Path) -> None:
    for kind, tone in tones.items():
        for suffix in (tone.suffix, ".mp3", ".flac", ".wav", ".mpc", ""):
            copy = Path(shutil.copy(tone, tmp_path / f"{kind}{suffix}"))
            with copy.open("rb") as file:
                parsed = parse(os.fsencode(copy), file)
            try:
                expected = type(mutagen.File(copy))
            except mutagen.MutagenError:
                expected = type(mutagen.File(io.BytesIO(copy.read_bytes())))
            assert type(parsed) is (AAC if suffix == ".aac" else expected)


def test_the_modules_load_no_decoder() -> None:
    program = (
        "import sys; from dedup.tags import merge, read, unite, write;"
        "print({'av', 'mutagen', 'blake3', 'chromaprint', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
