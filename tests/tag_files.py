"""Real files to write tags to, one of each format that has any, and pictures for them."""

from __future__ import annotations

import shutil
import struct
from pathlib import Path

import av
from mutagen.id3 import ID3, TXXX

from dedup.tags.cover import Cover, Picture
from dedup.tags.read import Tags
from tests.audio_files import ENCODERS, write_tone

FORMATS = ("mp3", "mp3-v23", "flac", "oga", "ogg", "opus", "m4a", "alac", "aac", "wav", "aiff", "wv", "tta", "wma")
"""Keys of `write_tones` whose tags can be written. No encoder makes Monkey's Audio or Musepack: their tags, APEv2, are
WavPack's ("wv")."""

UNWRITABLE = ("ac3", "mka", "webm")


def write_tones(folder: Path) -> dict[str, Path]:
    """A short file of each format; "mp3-v23" has an ID3v2.3 tag."""
    made = {}
    for codec in ENCODERS:
        name = f"{codec}.{'m4a' if codec == 'alac' else codec}"
        made[codec] = write_tone(folder / name, 0.3, codec=codec)
    made["wma"] = write_wma(folder / "wma.wma", made["flac"])
    made["mp3-v23"] = Path(shutil.copy(made["mp3"], folder / "v23.mp3"))
    tags = ID3()
    tags.add(TXXX(encoding=1, desc="Old", text=["field"]))
    tags.save(made["mp3-v23"], v2_version=3)
    return made


def write_wma(path: Path, source: Path) -> Path:
    with av.open(str(source)) as read, av.open(str(path), "w", format="asf") as container:
        stream = container.add_stream("wmav2", rate=44100, layout="stereo")
        stream.bit_rate = 128_000
        resampler = av.AudioResampler(format="fltp", layout="stereo", rate=44100, frame_size=2048)
        frames = [resampled for frame in read.decode(audio=0) for resampled in resampler.resample(frame)]
        for frame in [*frames, *resampler.resample(None), None]:
            container.mux(stream.encode(frame))
    return path


def png(width: int, height: int, filling: bytes = b"pixels") -> bytes:
    """The beginning of a PNG file; nobody here looks behind its header."""
    return b"\x89PNG\r\n\x1a\n\0\0\0\rIHDR" + struct.pack(">II", width, height) + b"\x08\x02\0\0\0" + filling


def pictures(tags: Tags) -> list[Cover]:
    """All pictures in tags, front covers first."""
    return [*tags.covers, *(held.content.cover for held in tags.extras if isinstance(held.content, Picture))]
