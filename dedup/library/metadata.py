"""What a file says of its audio and of the music: codec, rates, length, tags. Nothing is decoded, nothing is
sure."""

from __future__ import annotations

import math
import os
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any, BinaryIO

from dedup.files.container import codec_name, open_container
from dedup.files.paths import extension_of
from dedup.library.identity import trailing_tags_size

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

_TAG_NAMES = {
    "title": "tit2 ©nam",
    "artist": "tpe1 ©art author",
    "album": "talb ©alb wm/albumtitle",
    "albumartist": "tpe2 aart album_artist wm/albumartist",
    "tracknumber": "trck trkn track wm/tracknumber",
    "discnumber": "tpos disk disc wm/partofset",
    "date": "tdrc ©day year wm/year",
    "genre": "tcon ©gen wm/genre",
    "composer": "tcom ©wrt wm/composer",
    "comment": "comm ©cmt",
    "compilation": "tcmp cpil wm/iscompilation",
    "isrc": "tsrc wm/isrc",
    "musicbrainz_trackid": "ufid:http://musicbrainz.org",
    "musicbrainz_albumid": "",
    "musicbrainz_albumtype": "",
    "musicbrainz_releasetrackid": "",
    "acoustid_id": "",
}
"""Our name of a tag, and what ID3, MP4, ASF and Matroska call it where it is not just spelt differently."""

_NAME_OF_SPELLING = {spelling: ours for ours, others in _TAG_NAMES.items() for spelling in (ours, *others.split())}
_NAME_OF_SPELLING |= {name.replace("_", ""): ours for name, ours in _NAME_OF_SPELLING.items()}
_PREFIX = re.compile(r"^(txxx:|----:com\.apple\.itunes:)")
_COMMENT = re.compile(r"^comm::.*$", re.DOTALL)  # with a description, programs keep other things in it
_COVER_PREFIXES = ("apic", "covr", "cover art", "wm/picture", "metadata_block_picture", "coverart")


@dataclass(frozen=True)
class AudioProperties:
    """What the headers tell; zeros and "unknown" where they tell nothing."""

    codec: str = "unknown"
    """Of the audio stream, not the container: "mp3", "flac", "vorbis", "opus", "aac", "alac", "pcm", "wma",
    "ape", "wavpack", "mpc", "dsd", or FFmpeg's name of a rarer one."""
    lossless: bool = False
    """Whether the codec loses nothing; what it was given may have lost something before."""
    bitrate: int = 0
    """Bits per second, of the whole file where the stream does not tell; 0 is unknown."""
    sample_rate: int = 0
    """Hz; 0 is unknown."""
    bits: int = 0
    """Per sample; 0 where the codec has no such thing, or unknown."""
    channels: int = 0
    """0 is unknown."""
    duration_s: float = 0.0
    """Seconds, to the microsecond; 0 is unknown. Does not depend on tags."""
    has_cover: bool = False
    tags: dict[str, tuple[str, ...]] = field(default_factory=dict)
    """Values by name; the names are those of Vorbis comments and MusicBrainz Picard, in lower case."""


def read_properties(path: bytes) -> AudioProperties:
    """What can be read of the audio stream and the tags, as good as it gets: "unknown" and zeros for garbage.
    Raises OSError for a file that cannot be opened, nothing else. For regular files only."""
    with open(path, "rb") as file:
        properties = _contained(_read_with_mutagen, path, file) or AudioProperties()
        size = os.fstat(file.fileno()).st_size
    is_known = properties.codec != "unknown"
    is_complete = is_known and all((properties.sample_rate, properties.channels, properties.duration_s))
    if not (is_complete and properties.tags):
        probed = _contained(_read_with_av, path) or AudioProperties()
        tags, has_cover = properties.tags or probed.tags, properties.has_cover or probed.has_cover
        is_better = not is_known or (probed.codec != "unknown" and not is_complete)
        stream = probed if is_better else properties
        properties = replace(stream, tags=tags, has_cover=has_cover)
    if properties.duration_s and not properties.bitrate:
        properties = replace(properties, bitrate=_count(8 * size / properties.duration_s))
    return properties


def to_json(properties: AudioProperties) -> dict[str, Any]:
    """Only what JSON has; `from_json` is the inverse."""
    return asdict(properties) | {"tags": {name: list(values) for name, values in properties.tags.items()}}


def from_json(value: Mapping[str, Any]) -> AudioProperties:
    """What `to_json` was given. Raises TypeError or KeyError for anything else."""
    tags = {name: tuple(values) for name, values in value["tags"].items()}
    return AudioProperties(**{**value, "tags": tags})


def audio_key(properties: AudioProperties) -> str:
    """A cheap key, equal for copies of one file that differ in tags: codec, rate, channels, and duration to
    10 ms; empty where the duration is unknown. Equal keys prove nothing. Another container may round the
    duration otherwise."""
    if properties.duration_s <= 0:
        return ""
    hundredths = round(properties.duration_s * 100)
    return f"{properties.codec}|{properties.sample_rate}|{properties.channels}|{hundredths}"


def _contained(read: Callable[..., AudioProperties | None], *arguments: Any) -> AudioProperties | None:
    """The parsers meet whatever a damaged file holds, and let out struct.error, IndexError, OverflowError and
    more besides their own errors; any of them means that this parser knows nothing of the file."""
    try:
        return read(*arguments)
    except Exception:
        return None


def _read_with_mutagen(path: bytes, file: BinaryIO) -> AudioProperties | None:
    parsed = _parse_with_mutagen(path, file)
    if parsed is None:
        return None
    tags = _known_tags(parsed.tags.items() if parsed.tags is not None else ())
    raw_names = [str(name).lower() for name in parsed.tags.keys()] if parsed.tags is not None else []  # noqa: SIM118
    cover = bool(getattr(parsed, "pictures", ())) or any(name.startswith(_COVER_PREFIXES) for name in raw_names)
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
        has_cover=cover,
        tags=tags,
    )


def _parse_with_mutagen(path: bytes, file: BinaryIO) -> Any:
    """mutagen goes by name and content together; where a wrong name led it astray, by content alone."""
    import mutagen
    from mutagen.aac import AAC

    try:
        # mutagen takes anything that begins with an ID3 tag for MP3.
        return AAC(file) if extension_of(path) == "aac" else mutagen.File(file)
    except Exception:  # see _contained
        with open(os.dup(file.fileno()), "rb") as nameless:
            nameless.seek(0)
            return mutagen.File(nameless)


def _codec_of(parsed: Any, file: BinaryIO) -> tuple[str, bool]:
    """Codec and whether it is lossless, of what mutagen parsed; "unknown" leaves it to FFmpeg."""
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
    """Seconds that are only tags at the end of the file, where mutagen had to estimate the length from file
    size and bit rate: a tag must not make a stream look longer."""
    kind, info = type(parsed).__name__, parsed.info
    if kind not in ("MP3", "AAC", "AC3") or not info.bitrate:
        return 0.0
    size = os.path.getsize(path)
    if kind == "MP3" and info.length != 8 * (size - info.frame_offset) / float(info.bitrate):
        return 0.0  # a Xing or VBRI header counts the frames
    with open(path, "rb") as file:
        file.seek(max(0, size - 160))
        return 8 * trailing_tags_size(file.read()) / float(info.bitrate)


def _read_with_av(path: bytes) -> AudioProperties | None:
    with open_container(path) as container:
        stream = container.streams.best("audio")
        if stream is None:
            return None
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
            has_cover=any(_is_cover(other) for other in container.streams),
            tags=_known_tags([*container.metadata.items(), *stream.metadata.items()]),
        )


def _bits(ffmpeg_name: str, context: Any) -> int:
    digits = re.search(r"^pcm_\D*(\d+)", ffmpeg_name)
    return int(digits[1]) if digits else _count(context.format.bits)


def _is_cover(stream: Any) -> bool:
    from av.stream import Disposition

    return bool(stream.disposition & Disposition.attached_pic)


def _known_tags(items: Iterable[tuple[Any, Any]]) -> dict[str, tuple[str, ...]]:
    found: dict[str, dict[str, None]] = {}
    for raw_name, entry in items:
        name = _tag_name(str(raw_name))
        if name:
            texts = found.setdefault(name, {})
            texts.update((text, None) for text in map(_clean, _texts(entry)) if text)
    return {name: tuple(found[name]) for name in _TAG_NAMES if found.get(name)}


def _tag_name(raw: str) -> str | None:
    spelling = _COMMENT.sub("comm", _PREFIX.sub("", raw.lower()))
    return _NAME_OF_SPELLING.get(spelling) or _NAME_OF_SPELLING.get(re.sub(r"[ _/]", "", spelling))


def _texts(entry: Any) -> Iterator[str]:
    """The values of one entry of any of mutagen's tag families."""
    if hasattr(entry, "genres"):
        entry = entry.genres  # ID3 has numbers for some
    elif hasattr(entry, "text"):
        entry = entry.text
    elif hasattr(entry, "kind"):
        entry = list(entry) if entry.kind == 0 else ()  # APEv2: text, else a picture or a link
    elif hasattr(entry, "data"):
        entry = entry.data
    for value in entry if isinstance(entry, list) else [entry]:
        plain = getattr(value, "value", value)  # ASF
        if isinstance(plain, bool):
            yield str(int(plain))
        elif isinstance(plain, tuple):
            yield "/".join(str(number) for number in plain if number)  # MP4: number, of how many
        elif isinstance(plain, bytes):
            yield plain.decode("utf-8", "replace")
        else:
            yield str(plain)


def _clean(text: str) -> str:
    """Text that any database and terminal takes: no lone surrogates, no NUL."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "").strip()


def _count(value: Any) -> int:
    return int(value) if value and 0 < value < 2**31 else 0


def _seconds(value: float) -> float:
    return round(value, 6) if math.isfinite(value) and value > 0 else 0.0
