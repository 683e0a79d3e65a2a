from __future__ import annotations

import json
import os
import random
import shutil
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import av
import mutagen
import pytest
from hypothesis import given
from hypothesis import strategies as st
from mutagen.apev2 import APEv2
from mutagen.asf import ASF, ASFByteArrayAttribute, ASFUnicodeAttribute, ASFWordAttribute
from mutagen.flac import FLAC, Picture
from mutagen.id3 import (
    APIC,
    COMM,
    ID3,
    POPM,
    TALB,
    TCON,
    TDRC,
    TIT2,
    TPE1,
    TPE2,
    TPUB,
    TRCK,
    TSSE,
    TXXX,
    UFID,
)
from mutagen.mp4 import MP4, MP4Cover, MP4FreeForm

from dedup.library.metadata import (
    LONGEST_VALUE,
    MOST_CHARACTERS,
    PROPERTIES_VERSION,
    AudioProperties,
    PropertiesReader,
    from_json,
    read_properties,
    to_json,
)
from dedup.tags.read import Tags, read_tags
from dedup.tags.write import write_tags
from tests.audio_files import ENCODERS, write_tone
from tests.tag_files import write_wma

# codec, lossless, sample rate, bits
EXPECTED = {
    "mp3": ("mp3", False, 44100, 0),
    "flac": ("flac", True, 44100, 16),
    "oga": ("flac", True, 44100, 16),
    "ogg": ("vorbis", False, 44100, 0),
    "opus": ("opus", False, 48000, 0),
    "m4a": ("aac", False, 44100, 0),
    "alac": ("alac", True, 44100, 16),
    "aac": ("aac", False, 44100, 0),
    "wav": ("pcm", True, 44100, 16),
    "aiff": ("pcm", True, 44100, 16),
    "wv": ("wavpack", True, 44100, 16),
    "tta": ("tta", True, 44100, 16),
    "ac3": ("ac3", False, 44100, 0),
    "mka": ("flac", True, 44100, 16),
    "webm": ("opus", False, 48000, 0),
}


def _write(folder: Path, codec: str, name: str = "tone") -> Path:
    return write_tone(folder / f"{name}.{'m4a' if codec == 'alac' else codec}", codec=codec)


def _read(path: Path) -> AudioProperties:
    return read_properties(os.fsencode(path))


@pytest.mark.parametrize("codec", ENCODERS)
def test_properties_of_every_format(tmp_path: Path, codec: str) -> None:
    found = _read(_write(tmp_path, codec))
    assert (found.codec, found.lossless, found.sample_rate, found.bits) == EXPECTED[codec]
    assert found.channels == 2
    assert found.duration_s == pytest.approx(2.0, abs=0.06)
    assert 20_000 < found.bitrate < 2_000_000
    assert not found.has_cover
    assert found.tags == {}


@pytest.mark.parametrize("codec", ENCODERS)
def test_the_codec_is_that_of_the_stream_whatever_the_name(tmp_path: Path, codec: str) -> None:
    original = _write(tmp_path, codec)
    for suffix in (".mp3", ".flac", ".wav"):
        copy = tmp_path / f"copy{suffix}"
        shutil.copy(original, copy)
        found = _read(copy)
        assert (found.codec, found.sample_rate, found.channels) == (EXPECTED[codec][0], EXPECTED[codec][2], 2)
        assert found.duration_s == pytest.approx(2.0, abs=0.1)


def test_id3_tags(tmp_path: Path) -> None:
    path = _write(tmp_path, "mp3")
    tags = ID3()
    for frame in (
        TIT2(encoding=3, text=["Title"]),
        TPE1(encoding=1, text=["One", "Two"]),
        TPE2(encoding=3, text=["All"]),
        TALB(encoding=3, text=["Album\0\0"]),
        TRCK(encoding=3, text=["03/12"]),
        TPUB(encoding=3, text=["Label"]),
        POPM(email="a@b", rating=128),
        TSSE(encoding=3, text=["LAME 3.100"]),
        TDRC(encoding=3, text=["2004-05"]),
        TCON(encoding=3, text=["(17)"]),
        COMM(encoding=3, lang="eng", desc="", text=["A comment"]),
        COMM(encoding=3, lang="eng", desc="iTunNORM", text=["00000000"]),
        TXXX(encoding=3, desc="MusicBrainz Album Id", text=["album-id"]),
        TXXX(encoding=3, desc="MusicBrainz Album Type", text=["album", "live"]),
        TXXX(encoding=3, desc="Acoustid Id", text=["acoustid"]),
        TXXX(encoding=3, desc="Something", text=["else"]),
        UFID(owner="http://musicbrainz.org", data=b"recording-id"),
        APIC(encoding=3, mime="image/png", type=3, desc="", data=b"\x89PNG"),
    ):
        tags.add(frame)
    tags.save(path)
    found = _read(path)
    assert found.has_cover
    assert found.tags == {
        "title": ("Title",),
        "artist": ("One", "Two"),
        "albumartist": ("All",),
        "album": ("Album",),
        "tracknumber": ("3",),
        "tracktotal": ("12",),
        "date": ("2004-05",),
        "genre": ("Rock",),
        "label": ("Label",),
        "rating": ("0.6",),
        "comment": ("A comment",),
        "releasetype": ("album", "live"),
        "musicbrainz_trackid": ("recording-id",),
        "musicbrainz_albumid": ("album-id",),
        "acoustid_id": ("acoustid",),
        "something": ("else",),
    }
    assert list(found.tags)[:3] == ["title", "artist", "album"]


@pytest.mark.parametrize("codec", ["flac", "ogg", "opus", "oga"])
def test_vorbis_comments(tmp_path: Path, codec: str) -> None:
    path = _write(tmp_path, codec)
    file = mutagen.File(path)
    file["TITLE"] = "Title"
    file["Artist"] = ["One", "Two"]
    file["ALBUM ARTIST"] = "All"
    file["MUSICBRAINZ_TRACKID"] = "recording-id"
    file["something"] = "else"
    file.save()
    found = _read(path)
    assert not found.has_cover
    assert found.tags == {
        "title": ("Title",),
        "artist": ("One", "Two"),
        "albumartist": ("All",),
        "musicbrainz_trackid": ("recording-id",),
        "something": ("else",),
    }


def test_mp4_tags(tmp_path: Path) -> None:
    path = _write(tmp_path, "m4a")
    file = MP4(path)
    file["\xa9nam"] = ["Title"]
    file["aART"] = ["All"]
    file["trkn"] = [(3, 12)]
    file["disk"] = [(1, 0)]
    file["cpil"] = True
    file["covr"] = [MP4Cover(b"\x89PNG", MP4Cover.FORMAT_PNG)]
    file["----:com.apple.iTunes:MusicBrainz Track Id"] = [MP4FreeForm(b"recording-id")]
    file.save()
    found = _read(path)
    assert found.has_cover
    assert found.tags == {
        "title": ("Title",),
        "albumartist": ("All",),
        "tracknumber": ("3",),
        "tracktotal": ("12",),
        "discnumber": ("1",),
        "compilation": ("1",),
        "musicbrainz_trackid": ("recording-id",),
    }


def test_ape_tags(tmp_path: Path) -> None:
    path = _write(tmp_path, "wv")
    tags = APEv2()
    tags["Title"] = "Title"
    tags["Album Artist"] = ["One", "Two"]
    tags["Year"] = "2004"
    tags["Cover Art (Front)"] = b"front.png\0\x89PNG"
    tags.save(path)
    found = _read(path)
    assert found.has_cover
    assert found.tags == {"title": ("Title",), "albumartist": ("One", "Two"), "date": ("2004",)}


def test_asf_tags(tmp_path: Path) -> None:
    path = write_wma(tmp_path / "tone.wma", _write(tmp_path, "flac"))
    file = ASF(path)
    file.tags.clear()
    file.tags.extend(
        [
            ("Title", ASFUnicodeAttribute("Title")),
            ("Author", ASFUnicodeAttribute("One")),
            ("Author", ASFUnicodeAttribute("Two")),
            ("WM/TrackNumber", ASFWordAttribute(3)),
            ("MusicBrainz/Track Id", ASFUnicodeAttribute("recording-id")),
            ("WM/Picture", ASFByteArrayAttribute(b"\3\4\0\0\0\0\0\0\0\x89PNG")),
        ]
    )
    file.save()
    found = _read(path)
    assert (found.codec, found.sample_rate, found.has_cover) == ("wma", 44100, True)
    assert found.tags == {
        "title": ("Title",),
        "artist": ("One", "Two"),
        "tracknumber": ("3",),
        "musicbrainz_trackid": ("recording-id",),
    }


def test_tags_that_only_ffmpeg_reads(tmp_path: Path) -> None:
    path = tmp_path / "tone.mka"
    with av.open(str(_write(tmp_path, "flac"))) as source, av.open(str(path), "w") as container:
        container.metadata.update({"title": "Title", "ALBUM_ARTIST": "All"})
        stream = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    assert _read(path).tags == {"title": ("Title",), "albumartist": ("All",)}


def test_a_film_with_sound_is_read_and_one_without_is_unknown(tmp_path: Path) -> None:
    for suffix in ("mp4", "mkv", "avi"):
        for has_sound in (True, False):
            path = tmp_path / f"film-{has_sound}.{suffix}"
            with av.open(str(path), "w") as container:
                picture = container.add_stream("mpeg4", rate=25)
                picture.width = picture.height = 64
                sound = container.add_stream("libmp3lame", rate=44100, layout="stereo") if has_sound else None
                for _ in range(25):
                    container.mux(picture.encode(av.VideoFrame(64, 64, "yuv420p")))
                container.mux(picture.encode(None))
                if sound is not None:
                    for start in range(0, 44100, 1152):
                        frame = av.AudioFrame(format="s16p", layout="stereo", samples=1152)
                        frame.sample_rate, frame.pts = 44100, start
                        container.mux(sound.encode(frame))
                    container.mux(sound.encode(None))
            found = _read(path)
            assert found.codec == ("mp3" if has_sound else "unknown")
            assert found.duration_s == (pytest.approx(1.0, abs=0.1) if has_sound else 0.0)


def test_names_of_any_bytes(tmp_path: Path) -> None:
    for codec in ("mp3", "webm"):
        plain = _write(tmp_path, codec)
        path = os.path.join(os.fsencode(tmp_path), b"\xff\n." + codec.encode())
        shutil.copy(plain, path)
        assert read_properties(path) == _read(plain)


def test_wavpack_hybrid_is_lossy(tmp_path: Path) -> None:
    path = _write(tmp_path, "wv")
    content = bytearray(path.read_bytes())
    content[24] |= 0x08
    path.write_bytes(content)
    assert not _read(path).lossless


def test_a_wave_or_aiff_file_of_a_lossy_codec_is_no_pcm(tmp_path: Path) -> None:
    wave = tmp_path / "tone.wav"
    with av.open(str(_write(tmp_path, "mp3"))) as source, av.open(str(wave), "w") as container:
        stream = container.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux():
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    found = _read(wave)
    assert (found.codec, found.lossless) == ("mp3", False)
    aiff = tmp_path / "tone.aiff"
    with av.open(str(aiff), "w", format="aiff") as container:
        encoder = container.add_stream("pcm_alaw", rate=44100, layout="mono")
        frame = av.AudioFrame(format="s16", layout="mono", samples=44100)
        frame.sample_rate, frame.pts = 44100, 0
        container.mux(encoder.encode(frame))
        container.mux(encoder.encode(None))
    found = _read(aiff)
    assert (found.codec, found.sample_rate, found.lossless) == ("pcm_alaw", 44100, False)


def test_garbage_is_unknown(tmp_path: Path) -> None:
    noise = random.Random(5).randbytes(20_000)
    for suffix in ENCODERS:
        for content in (b"", b"\0" * 5000, noise, b"ID3\x04\0\0\x7f\x7f\x7f\x7f" + noise, b"fLaC" + noise):
            path = tmp_path / f"garbage.{suffix}"
            path.write_bytes(content)
            found = _read(path)
            assert found.duration_s >= 0
            json.dumps(to_json(found), allow_nan=False).encode()


def test_the_playlist_in_a_music_file_opens_nothing(tmp_path: Path) -> None:
    target = _write(tmp_path, "mp3")
    path = tmp_path / "list.mp3"
    path.write_text(f"#EXTM3U\n#EXT-X-TARGETDURATION:2\n#EXTINF:2,\nfile://{target}\n#EXT-X-ENDLIST\n")
    assert _read(path) == AudioProperties()


@pytest.mark.parametrize("codec", ENCODERS)
def test_damaged_files_never_raise(tmp_path: Path, codec: str) -> None:
    source = _write(tmp_path, codec)
    if codec in ("flac", "ogg", "mp3", "m4a"):
        file = mutagen.File(source, easy=True)
        file["title"] = "Title"
        file.save()
    content = source.read_bytes()
    generator = random.Random(f"damage {codec}")
    path = tmp_path / f"damaged{source.suffix}"
    for _ in range(25):
        damaged = bytearray(content)
        for _ in range(generator.randint(1, 20)):
            damaged[int(len(damaged) * generator.random() ** 4)] = generator.choice((0, 0xFF, generator.randrange(256)))
        path.write_bytes(damaged[: generator.choice((len(damaged), generator.randrange(len(damaged))))])
        found = _read(path)
        assert from_json(json.loads(json.dumps(to_json(found), allow_nan=False))) == found
        assert min(found.bitrate, found.sample_rate, found.bits, found.channels, found.duration_s) >= 0


def test_a_file_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        _read(tmp_path / "none.mp3")


def test_text_that_a_database_would_refuse_is_cleaned(tmp_path: Path) -> None:
    path = _write(tmp_path, "wv")
    tags = APEv2()
    tags["Title"] = "a\0b"
    tags["Artist"] = "  "
    tags["Album"] = "album"
    tags.save(path)
    found = _read(path)
    assert found.tags == {"title": ("a", "b"), "album": ("album",)}
    path.write_bytes(path.read_bytes().replace(b"album", b"a\xed\xa0\x80m"))  # a lone surrogate, as some programs write
    json.dumps(to_json(_read(path)), ensure_ascii=False).encode()


def test_the_tags_are_those_that_everything_else_reads(tmp_path: Path) -> None:
    for codec in ("mp3", "flac", "ogg", "m4a", "wv", "tta", "aiff", "wav"):
        path = os.fsencode(_write(tmp_path, codec))
        write_tags(path, {"title": ["Title"], "label": ["Label"], "rating": ["0.8"], "tracktotal": ["09"]})
        read = read_tags(path).fields
        assert read_properties(path).tags == {name: read[name] for name in read if not name.startswith("encod")}
        assert read_properties(path).tags["rating"] == ("0.8",)


def test_each_file_is_parsed_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parsed: list[str] = []
    load = mutagen.FileType.__init__

    def counted(self: Any, *arguments: Any, **keywords: Any) -> None:
        parsed.append(type(self).__name__)
        load(self, *arguments, **keywords)

    paths = [_write(tmp_path, codec) for codec in ("mp3", "flac", "ogg", "m4a", "wv", "aac")]
    monkeypatch.setattr(mutagen.FileType, "__init__", counted)
    for path in paths:
        _read(path)
    assert parsed == ["MP3", "FLAC", "OggVorbis", "MP4", "WavPack", "AAC"]


@pytest.mark.parametrize("error", [RecursionError, MemoryError, struct.error, OSError])
def test_what_mutagen_cannot_read_is_left_to_ffmpeg(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: type[Exception]
) -> None:
    path = _write(tmp_path, "mp3")
    tags = ID3()
    tags.add(TIT2(encoding=3, text=["Title"]))
    tags.save(path)

    def fail(*_: Any) -> None:
        raise error("damaged")

    monkeypatch.setattr("dedup.tags.id3.Id3Block.entries", fail)
    found = _read(path)
    assert (found.codec, found.sample_rate, found.channels) == ("mp3", 44100, 2)
    assert found.tags == {"title": ("Title",)}
    assert read_tags(os.fsencode(path)).fields["title"] == ("Title",)


def test_tags_that_only_ffmpeg_finds_in_a_format_that_mutagen_knows(tmp_path: Path) -> None:
    path = _write(tmp_path, "wav")
    content = path.read_bytes() + b"LIST" + struct.pack("<I", 20) + b"INFOISMP" + struct.pack("<I", 8) + b"00:01:02"
    path.write_bytes(content[:4] + struct.pack("<I", len(content) - 8) + content[8:])
    assert "timecode" not in read_tags(os.fsencode(path)).fields
    assert _read(path).tags == {"timecode": ("00:01:02",)}


def test_of_long_tags_and_of_many_only_so_much_is_kept(tmp_path: Path) -> None:
    path = _write(tmp_path, "flac")
    file = FLAC(path)
    file["LYRICS"] = "la " * 1000
    for number in range(2000):
        file[f"FIELD{number:04}"] = "x" * 100
    file["TITLE"] = "Title"
    picture = Picture()
    picture.data = b"\x89PNG" + bytes(100_000)
    file.add_picture(picture)
    file.save()
    found = _read(path)
    assert found.tags["title"] == ("Title",)
    (lyrics,) = found.tags["lyrics"]
    assert (len(lyrics), lyrics[:9], lyrics[-1]) == (LONGEST_VALUE, "la la la ", "…")
    assert found.has_cover
    assert 500 < len(found.tags) < 700
    assert len(json.dumps(to_json(found))) < 2 * MOST_CHARACTERS


def test_a_damaged_wave_file_is_read_quickly(tmp_path: Path) -> None:
    path = tmp_path / "sparse.wav"
    with path.open("wb") as file:
        file.write(b"RIFF\xff\xff\xff\xffWAVELIST\1\0\0\0INFO")
        file.truncate(1 << 36)  # looks like 8,000,000,000 empty chunks
    assert read_tags(os.fsencode(path)) == Tags()
    assert _read(path).tags == {}


def test_flac_pictures_are_covers(tmp_path: Path) -> None:
    path = _write(tmp_path, "flac")
    file = FLAC(path)
    picture = Picture()
    picture.data = b"\x89PNG"
    file.add_picture(picture)
    file.save()
    assert _read(path).has_cover


@given(
    st.builds(
        AudioProperties,
        codec=st.sampled_from(["mp3", "flac", "unknown"]),
        duration_s=st.floats(0, 1e6),
        bitrate=st.integers(0, 2**31),
        tags=st.dictionaries(st.text(), st.lists(st.text()).map(tuple)),
    )
)
def test_json_comes_back(properties: AudioProperties) -> None:
    assert from_json(json.loads(json.dumps(to_json(properties)))) == properties


@given(st.lists(st.dictionaries(st.sampled_from("ab"), st.lists(st.sampled_from("xy")).map(tuple), max_size=2)))
def test_a_reader_gives_each_text_its_own_and_equal_tags_once(of_files: list[dict[str, tuple[str, ...]]]) -> None:
    """Property: no tags, no values and the same in another order are three things."""
    files = [AudioProperties(codec="mp3", tags=tags) for tags in of_files]
    reader = PropertiesReader()
    read = [reader.of(json.dumps(to_json(file))) for file in files]
    assert [(one, list(one.tags.items())) for one in read] == [(one, list(one.tags.items())) for one in files]
    assert len({id(one.tags) for one in read}) == len({tuple(tags.items()) for tags in of_files})


def test_properties_of_before_they_had_a_version_are_read_as_the_first(tmp_path: Path) -> None:
    current = to_json(_read(_write(tmp_path, "flac")))
    assert current["version"] == PROPERTIES_VERSION > 1
    old = {name: value for name, value in current.items() if name != "version"}
    assert from_json(old) == from_json(current)._replace(version=1)


def test_discovery_and_order_load_no_decoder() -> None:
    program = (
        "import sys; from dedup.library import discover, identity, metadata, order;"
        "print({'av', 'mutagen', 'blake3', 'numpy'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "set()"
