"""What a file says about its audio and the music: codec, rates, length, tags. Nothing is decoded, and nothing is
certain."""

from __future__ import annotations

import json
import math
import os
import re
from collections.abc import Callable, Mapping
from dataclasses import asdict, replace
from typing import Any, NamedTuple, TypeVar

from dedup.files.bounded import Bounded, bounded_memory, is_too_much
from dedup.files.container import codec_name, heard_stream, is_attached, open_container
from dedup.files.held import open_regular
from dedup.library.identity import trailing_tags_size
from dedup.library.streams import Stream, streams_of
from dedup.tags.extras import Extra, digest_of, unread_held
from dedup.tags.free_extras import is_extra_field
from dedup.tags.kinds import parse
from dedup.tags.names import rank_of
from dedup.tags.opened import TagFile
from dedup.tags.read import Tags, may_have_more, tags_of, tags_of_container
from dedup.tags.unite import is_of_the_file
from dedup.versions import PROPERTIES_VERSION

__all__ = [
    "PROPERTIES_VERSION",
    "AudioProperties",
    "Extra",
    "PropertiesReader",
    "Stream",
    "audio_key",
    "from_json",
    "read_properties",
    "to_json",
]

LONGEST_VALUE = 1000
"""Characters that are kept of a tag value; lyrics and comments may have any number."""

MOST_CHARACTERS = 64 * 1024
"""Characters that are kept of all tags of a file together; a damaged file may seem to have millions."""

MOST_THINGS = 1000
"""Streams, and extras, that are kept of a file; FFmpeg opens no file with more streams."""

_T = TypeVar("_T")

_LOSSLESS = frozenset(
    ("flac", "alac", "pcm", "wavpack", "ape", "tta", "tak", "ofr", "dsd", "mlp", "truehd", "wmalossless")
)

_CODEC_OF_FORMAT = {
    "FLAC": "flac",
    "OggFLAC": "flac",
    "OggVorbis": "vorbis",
    "OggOpus": "opus",
    "OggSpeex": "speex",
    "TrueAudio": "tta",
    "WavPack": "wavpack",
    "MonkeysAudio": "ape",
    "Musepack": "mpc",
    "OptimFROG": "ofr",
    "TAK": "tak",
    "DSF": "dsd",
    "DSDIFF": "dsd",
    "AAC": "aac",
    "ASF": "wma",
}
_CODEC_ALIASES = {
    "ac-3": "ac3",
    "ec-3": "eac3",
    "mp4a.6b": "mp3",
    "mp4a.69": "mp3",
    "mp3float": "mp3",
    "wmav1": "wma",
    "wmav2": "wma",
    "wmapro": "wma",
    "musepack7": "mpc",
    "musepack8": "mpc",
}
_WAVE_PCM = (1, 3, 0xFFFE)
"""WAVE format tags: integer, float, extensible."""

_UNSTAMPED = {"version": 1}
"""What properties say that were written before they had a version."""


class AudioProperties(NamedTuple):
    """What the headers say; zeros and "unknown" where they say nothing."""

    codec: str = "unknown"
    """Codec of the audio stream, not the container: "mp3", "flac", "vorbis", "opus", "aac", "alac", "pcm", "wma",
    "ape", "wavpack", "mpc", "dsd", or FFmpeg's name for a rarer one."""
    lossless: bool = False
    """Whether the codec loses nothing; its input may have been lossy before."""
    bitrate: int = 0
    """Bits per second; of the whole file if the stream does not say; 0 is unknown."""
    sample_rate: int = 0
    """Sample rate in Hz; 0 is unknown."""
    bits: int = 0
    """Bits per sample; 0 is unknown, or a codec that has none."""
    channels: int = 0
    """Number of channels; 0 is unknown."""
    duration_s: float = 0.0
    """Length in seconds, to the microsecond; 0 is unknown. It does not depend on the tags."""
    has_cover: bool = False
    """Whether there is an embedded picture."""
    tags: dict[str, tuple[str, ...]] = {}  # noqa: RUF012 - nobody changes it
    """Values by common name (`tags.names`), in their common form (`tags.values`). Fields that describe the encoded
    file, such as its encoder or fingerprint, are left out; long values are cut to `LONGEST_VALUE`."""
    streams: tuple[Stream, ...] = ()
    """All streams in the file, in its order; none if only the one sound track is known to be there."""
    extras: tuple[Extra, ...] = ()
    """What hangs off the file besides text tags and covers."""
    version: int = PROPERTIES_VERSION
    """`PROPERTIES_VERSION` of the program that read the file."""


def read_properties(path: bytes) -> AudioProperties:
    """All that can be read of the streams and the tags; "unknown" and zeros for garbage. mutagen parses the file once;
    FFmpeg fills in what it could not read, and the streams of a file that may have several. Raises OSError for a file
    that cannot be opened, nothing else. For regular files only."""
    with open_regular(path) as opened:
        file, attempt = TagFile(opened), _Attempt()
        with bounded_memory():
            parsed = attempt.of(parse, path, file)
            properties = attempt.of(_of_parsed, parsed, path, file) or AudioProperties()
            has_more = parsed is not None and attempt.of(may_have_more, parsed, file) is not False
        size = os.fstat(file.fileno()).st_size
        is_complete = all((properties.codec != "unknown", properties.sample_rate, properties.channels))
        if has_more or not (is_complete and properties.duration_s and properties.tags):
            properties = _completed(properties, attempt.of(_read_with_av, path) or AudioProperties(), has_more)
        if properties.duration_s and not properties.bitrate:
            properties = properties._replace(bitrate=_count(8 * size / properties.duration_s))
        if attempt.is_too_large or file.is_exceeded:
            properties = properties._replace(extras=(*properties.extras, unread_held(opened).extra))
    return _fit_to_keep(properties)


def _fit_to_keep(properties: AudioProperties) -> AudioProperties:
    """The properties with as many streams and extras, and as long words for them, as a store remembers. Extras beyond
    that become one, which nothing but the same ones equals."""
    extras = [replace(extra, what=_cut(extra.what)) for extra in properties.extras[:MOST_THINGS]]
    if more := properties.extras[MOST_THINGS:]:
        extras.append(Extra("attachments", f"{len(more):,} more things", digest_of(*(extra.digest for extra in more))))
    streams = [
        replace(stream, language=_cut(stream.language), title=_cut(stream.title))
        for stream in properties.streams[:MOST_THINGS]
    ]
    return properties._replace(streams=tuple(streams), extras=tuple(extras))


def _completed(properties: AudioProperties, probed: AudioProperties, has_more: bool) -> AudioProperties:
    """What mutagen read, and of what FFmpeg read what that lacks. FFmpeg alone knows all streams, and if the file has
    more than mutagen sees, the chapters."""
    is_known = properties.codec != "unknown"
    is_complete = is_known and all((properties.sample_rate, properties.channels, properties.duration_s))
    is_better = not is_known or (probed.codec != "unknown" and not is_complete)
    chapters = tuple(extra for extra in probed.extras if extra.form == "chapters")
    if has_more and chapters:
        extras = (*(extra for extra in properties.extras if extra.form != "chapters"), *chapters)
    else:
        extras = properties.extras if is_known or properties.extras else probed.extras
    return (probed if is_better else properties)._replace(
        tags=properties.tags or probed.tags,
        has_cover=properties.has_cover or probed.has_cover,
        streams=probed.streams,
        extras=extras,
    )


def to_json(properties: AudioProperties) -> dict[str, Any]:
    """Plain JSON types; `from_json` is the inverse."""
    return properties._asdict() | {
        "tags": {name: list(values) for name, values in properties.tags.items()},
        "streams": tuple(map(asdict, properties.streams)),
        "extras": tuple(map(asdict, properties.extras)),
    }


def from_json(value: Mapping[str, Any]) -> AudioProperties:
    """The properties that `to_json` was given, in this version or an older one. Raises TypeError, KeyError or
    AttributeError for anything else."""
    return _from_json(value, {})


def _from_json(value: Mapping[str, Any], known: dict[Any, Any]) -> AudioProperties:
    """The same; tags, names and values that are in `known` are the objects there, and others get in."""
    same = known.setdefault
    tags = {same(name, name): same(values := tuple(each), values) for name, each in value["tags"].items()}
    tags = same((tuple(tags.items()),), tags)  # in a tuple of its own: no values are equal to it
    streams = tuple([Stream(**stream) for stream in value.get("streams", ())])
    extras = tuple([Extra(**extra) for extra in value.get("extras", ())])
    return AudioProperties(**{**_UNSTAMPED, **value, "tags": tags, "streams": streams, "extras": extras})


class PropertiesReader:
    """Reads the properties of many tracks from JSON text. Equal tags, and values such as the artist of an album, are
    one object: what a report holds of a large library is mostly tags."""

    def __init__(self) -> None:
        self._same: dict[Any, Any] = {}

    def of(self, text: str) -> AudioProperties:
        """As `from_json`."""
        return _from_json(json.loads(text), self._same)


def audio_key(properties: AudioProperties) -> str:
    """A cheap key that copies of a file share even if their tags differ: codec, rate, channels, and duration to 10 ms;
    empty if the duration is unknown. Equal keys prove nothing. Another container may round the duration
    differently."""
    if properties.duration_s <= 0:
        return ""
    hundredths = round(properties.duration_s * 100)
    return f"{properties.codec}|{properties.sample_rate}|{properties.channels}|{hundredths}"


class _Attempt:
    """Reads a file by several parsers, of which any may fail."""

    is_too_large = False
    """Whether one of them failed because the file exceeds the limits of `files.bounded`."""

    def of(self, read: Callable[..., _T | None], *arguments: Any) -> _T | None:
        """None if `read` raises: a damaged file makes the parsers raise struct.error, IndexError, RecursionError,
        MemoryError and more besides their own errors, and each of them means that this parser cannot read the file."""
        try:
            return read(*arguments)
        except Exception as error:
            self.is_too_large = self.is_too_large or is_too_much(error)
            return None


def _of_parsed(parsed: Any, path: bytes, file: Bounded) -> AudioProperties | None:
    if parsed is None:
        return None
    tags = tags_of(parsed, file) or Tags()
    codec, lossless = _codec_of(parsed, file)
    info = parsed.info
    return AudioProperties(
        codec=codec,
        lossless=lossless,
        bitrate=_count(getattr(info, "bitrate", 0)),
        sample_rate=48000 if codec == "opus" else _count(getattr(info, "sample_rate", 0)),
        bits=_count(getattr(info, "bits_per_sample", 0)) if lossless else 0,
        channels=_count(getattr(info, "channels", 0)),
        duration_s=_seconds(info.length - _estimated_from_tags_s(parsed, path)),
        has_cover=bool(tags.covers),
        tags=_kept(tags.fields),
        extras=tuple(held.extra for held in tags.extras),
    )


def _codec_of(parsed: Any, file: Bounded) -> tuple[str, bool]:
    """The codec of what mutagen parsed, and whether it is lossless; "unknown" leaves both to FFmpeg."""
    kind, info = type(parsed).__name__, parsed.info
    file.seek(0)
    header = file.read(28)
    if kind == "ASF":
        return "wma", "lossless" in f"{info.codec_type} {info.codec_name}".lower()
    if kind == "WavPack":
        return "wavpack", not (header[:4] == b"wvpk" and header[24] & 0x08)  # bit 3: hybrid, that is lossy
    if kind == "MP3":
        codec = f"mp{info.layer}"
    elif kind == "WAVE":
        codec = "pcm" if info.audio_format in _WAVE_PCM else "unknown"
    elif kind == "AIFF":
        codec = "pcm" if header[8:12] == b"AIFF" else "unknown"  # AIFC may be compressed
    elif kind in ("MP4", "AC3"):
        codec = _normal_codec(info.codec)
    else:
        codec = _CODEC_OF_FORMAT.get(kind, "unknown")
    return codec, codec in _LOSSLESS


def _normal_codec(name: str) -> str:
    name = name.lower()
    if re.match(r"pcm_[suf]\d", name) or name in ("sowt", "twos", "lpcm"):  # pcm_alaw and the like lose
        return "pcm"
    if name.startswith("mp4a.40"):
        return "aac"
    if name.startswith("dsd_"):
        return "dsd"
    return _CODEC_ALIASES.get(name, name) or "unknown"


def _estimated_from_tags_s(parsed: Any, path: bytes) -> float:
    """Seconds of the length that are tags at the end of the file, if mutagen had to estimate it from file size and
    bit rate: a tag must not make a stream look longer."""
    kind, info = type(parsed).__name__, parsed.info
    if kind not in ("MP3", "AAC", "AC3") or not info.bitrate:
        return 0.0
    size = os.path.getsize(path)
    if kind == "MP3" and info.length != 8 * (size - info.frame_offset) / float(info.bitrate):
        return 0.0  # a Xing or VBRI header counts the frames
    with open_regular(path) as file:
        file.seek(max(0, size - 160))
        return 8 * trailing_tags_size(file.read()) / float(info.bitrate)


def _read_with_av(path: bytes) -> AudioProperties | None:
    with bounded_memory(), open_container(path) as container:  # one allowance for both
        stream = heard_stream(container)
        if stream is None:
            return None
        tags = tags_of_container(container)
        context: Any = stream.codec_context
        ffmpeg_name = codec_name(stream)
        codec = _normal_codec(ffmpeg_name)
        lossless = codec in _LOSSLESS
        if stream.duration and stream.time_base:
            duration_s = float(stream.duration * stream.time_base)
        else:
            duration_s = (container.duration or 0) / 1e6
        only_stream = len(container.streams) == 1
        return AudioProperties(
            codec="wma" if codec == "wmalossless" else codec,
            lossless=lossless,
            bitrate=_count(context.bit_rate or (container.bit_rate if only_stream else 0)),
            sample_rate=_count(context.sample_rate),
            bits=_bits(ffmpeg_name, context) if lossless else 0,
            channels=_count(context.channels),
            duration_s=_seconds(duration_s),
            has_cover=any(is_attached(other) for other in container.streams),
            tags=_kept(tags.fields),
            streams=streams_of(container, stream),
            extras=tuple(held.extra for held in tags.extras),
        )


def _bits(ffmpeg_name: str, context: Any) -> int:
    digits = re.search(r"^pcm_\D*(\d+)", ffmpeg_name)
    return int(digits[1]) if digits else _count(context.format.bits)


def _kept(fields: Mapping[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    """The fields that a store remembers: the most usual ones first, as far as there is room."""
    kept: dict[str, tuple[str, ...]] = {}
    room = MOST_CHARACTERS
    for name in sorted(fields, key=rank_of):
        if is_of_the_file(name) or is_extra_field(name):
            continue
        values = tuple(_cut(value) for value in fields[name])
        room -= len(name) + sum(map(len, values))
        if room < 0:
            break
        kept[name] = values
    return kept


def _cut(value: str) -> str:
    return value if len(value) <= LONGEST_VALUE else value[: LONGEST_VALUE - 1] + "…"


def _count(value: Any) -> int:
    return int(value) if value and 0 < value < 2**31 else 0


def _seconds(value: float) -> float:
    return round(value, 6) if math.isfinite(value) and value > 0 else 0.0
