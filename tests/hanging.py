"""Chapters, cue points, lyrics, ratings and cue sheets in real files, as other programs write them."""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from fractions import Fraction
from pathlib import Path
from types import MappingProxyType
from typing import Any

import av
import mutagen
from mutagen.flac import FLAC
from mutagen.id3 import (
    APIC,
    CHAP,
    COMM,
    CTOC,
    ETCO,
    GEOB,
    OWNE,
    POPM,
    PRIV,
    SYLT,
    TIT2,
    TXXX,
    UFID,
    USER,
    USLT,
    WXXX,
)
from mutagen.mp4 import MP4, MP4FreeForm

from tests.tag_files import png

SHEET = 'PERFORMER "Ines"\nFILE "x.wav" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n'


def chapters(titles: Sequence[str], link: str = "") -> list[Any]:
    """Frames of chapters a quarter of a second long, each with its place in the file."""
    frames: list[Any] = []
    for number, title in enumerate(titles):
        parts: list[Any] = [TIT2(encoding=3, text=[title])]
        parts += [WXXX(encoding=3, desc="", url=link)] if link else []
        start = 250 * number
        frames.append(CHAP(element_id=f"c{number}", start_time=start, end_time=start + 250, sub_frames=parts))
        frames[-1].start_offset = frames[-1].end_offset = 4711
    names = [frame.element_id for frame in frames]
    return [*frames, CTOC(element_id="toc", flags=3, child_element_ids=names, sub_frames=[])]


FRAMES: dict[str, list[Any]] = {
    "lyrics": [USLT(encoding=3, lang="eng", desc="", text="La\nla")],
    "two languages": [
        USLT(encoding=3, lang="eng", text="La\nla"),
        USLT(encoding=3, lang="deu", desc="von Hand", text="Ä"),
    ],
    "synchronised lyrics": [SYLT(encoding=3, lang="eng", format=2, type=1, text=[("La", 10), ("la", 250)])],
    "chapters": chapters(["One", "Two", "Drei"]),
    "chapters with links": chapters(["One", "Two"], "https://example.org"),
    "rating": [POPM(email="ines@example.org", rating=200, count=7)],
    "two ratings": [POPM(email="a=b ~", rating=1, count=0), POPM(email="", rating=0, count=3)],
    "serato": [GEOB(encoding=0, mime="application/octet-stream", filename="", desc="Serato Markers2", data=b"\1\0cue")],
    "objects": [GEOB(encoding=3, mime="x", filename="a.bin", desc="", data=b"a\0")],
    "traktor": [PRIV(owner="TRAKTOR4", data=b"tree")],
    "pictures": [
        APIC(encoding=3, mime="image/png", type=kind, desc=desc, data=png(200, 200, f"{kind} {desc}".encode()))
        for kind, desc in ((1, ""), (3, "front"), (4, "Rücken"), (5, "1"), (5, "2"), (8, "artist"), (0, "some"))
    ],
    "fields": [
        TXXX(encoding=3, desc="Künstlerin", text=["Lotte", "Ada"]),
        TXXX(encoding=3, desc="X", text=["one letter"]),
        TXXX(encoding=3, desc="a=b", text=["equals"]),
        TXXX(encoding=3, desc="CoverArtist", text=["Anna"]),
        TXXX(encoding=3, desc="tag", text=["not in APE"]),
    ],
    "one letter": [TXXX(encoding=3, desc="X", text=["one letter"])],
    "frames": [
        PRIV(owner="me@home", data=b"private"),
        UFID(owner="http://db.example", data=b"42"),
        WXXX(encoding=3, desc="Läden", url="http://x.example/1"),
        USER(encoding=3, lang="eng", text="terms"),
        OWNE(encoding=3, price="EUR5", date="20040101", seller="shop"),
        ETCO(format=2, events=[(3, 5000)]),
        COMM(encoding=3, lang="deu", desc="ä", text=["Aufnahme"]),
    ],
    "cue sheet": [TXXX(encoding=3, desc="CUESHEET", text=[SHEET])],
}
"""Frames of ID3 by the name of a set of extras."""

FIELDS: dict[str, dict[str, list[str]]] = {
    "lyrics": {"LYRICS": ["La\nla"]},
    "two languages": {"LYRICS": ["La\nla", "Ä"]},
    "chapters": {"CHAPTER001": ["00:00:00.000"], "CHAPTER001NAME": ["One"], "CHAPTER002": ["00:00:00.256"]},
    "fields": {"X": ["one letter"], "COVERARTIST": ["Anna"], "ID3": ["v", "w"]},
    "cue sheet": {"CUESHEET": [SHEET]},
    "rating": {"POPM:INES@EXAMPLE.ORG": ["200 7 ines@example.org"], "POPM:_UCJA": ["9 0 Łucja"]},
    "serato": {
        "SERATO_MARKERS_V2": [
            base64.b64encode(b"application/octet-stream\0\0Serato Markers2\0\1\0cue").decode().rstrip("=")
        ]
    },
}
"""Vorbis comments by the name of a set of extras."""


def hang(path: Path, *names: str) -> None:
    """Adds sets of extras to a file, as its format has them."""
    if path.suffix in (".flac", ".ogg", ".opus", ".oga"):
        file = mutagen.File(path)
        for name in names:
            file.update(FIELDS[name])
        file.save()
    elif path.suffix == ".m4a":
        _hang_on_mp4(path, names)
    elif path.suffix == ".mka":
        _mux(path, "matroska", {"LYRICS": "La\nla"} if "lyrics" in names else {})
    else:
        add_frames(path, *(frame for name in names for frame in FRAMES[name]))


def add_frames(path: Path, *frames: Any) -> None:
    file = mutagen.File(path)
    if file.tags is None:
        file.add_tags()
    for frame in frames:
        file.tags.add(frame)
    file.save()


def _hang_on_mp4(path: Path, names: Sequence[str]) -> None:
    if "chapters" in names:
        _mux(path, "ipod")
    file = MP4(path)
    if "lyrics" in names:
        file["\xa9lyr"] = ["La\nla"]
    if "serato" in names:
        text = FIELDS["serato"]["SERATO_MARKERS_V2"][0]
        file["----:com.serato.dj:markersv2"] = [MP4FreeForm(text.encode())]
    file.save()


def _mux(path: Path, container_format: str, metadata: Mapping[str, str] = MappingProxyType({})) -> None:
    """Muxes the sound anew, with chapters."""
    new = path.with_suffix(".new")
    with av.open(str(path)) as read, av.open(str(new), "w", format=container_format) as container:
        container.metadata.update(metadata)
        source = read.streams.audio[0]
        stream = container.add_stream_from_template(source)
        milliseconds = Fraction(1, 1000)
        told = [(0, 300, "One"), (300, 900, "Two")]
        container.set_chapters(
            [
                {"id": n, "start": start, "end": end, "time_base": milliseconds, "metadata": {"title": title}}
                for n, (start, end, title) in enumerate(told)
            ]
        )
        for packet in read.demux(source):
            if packet.dts is not None:
                packet.stream = stream
                container.mux(packet)
    new.replace(path)


def cue_sheet_block(path: Path) -> None:
    """Gives a FLAC file a cue sheet in a block of its own."""
    from mutagen.flac import CueSheet, CueSheetTrack, CueSheetTrackIndex

    file, sheet = FLAC(path), CueSheet(None)
    track = CueSheetTrack(1, 0)
    track.indexes.append(CueSheetTrackIndex(1, 0))
    sheet.tracks += [track, CueSheetTrack(170, file.info.total_samples)]
    file.metadata_blocks.append(sheet)
    file.cuesheet = sheet
    file.save()
