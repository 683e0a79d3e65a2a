"""Whether two files hold the same, by tests from cheap to expensive: size, part of the bytes, all bytes, the encoded
audio.

Nothing here decodes."""

from __future__ import annotations

from collections.abc import Hashable, Iterable
from typing import IO, TYPE_CHECKING, Any, BinaryIO, TypeVar

from dedup.files.container import codec_name, heard_stream, open_container
from dedup.files.held import open_regular

if TYPE_CHECKING:
    from av import Packet
    from av.stream import Stream


T = TypeVar("T")

_PART = 64 * 1024
_PIECE = 1024 * 1024
_HASHED_AT_A_TIME = 64 * 1024
"""Bytes of packets that are hashed together: hashing each packet by itself takes four times as long."""


_LAST_PACKET_REACHES_TO_END_OF_FILE = ("flac", "ape")
"""Codecs whose last packet, as FFmpeg demuxes it, includes the tags at the end of the file."""


def partial_hash(path: bytes, size: int) -> bytes:
    """16 bytes: BLAKE3 of `size` and 64 KiB each of the file's beginning, middle and end; of the whole file if it is no
    larger than the three together. Raises OSError."""
    with open_regular(path) as file:
        return partial_hash_of(file, size)


def partial_hash_of(file: BinaryIO, size: int) -> bytes:
    """`partial_hash` of an open file. Raises OSError."""
    from blake3 import blake3

    hasher = blake3(size.to_bytes(8, "little"))
    if size <= 3 * _PART:
        hasher.update(file.read(size))
    else:
        for start in (0, (size - _PART) // 2, size - _PART):
            file.seek(start)
            hasher.update(file.read(_PART))
    return hasher.digest(length=16)


def full_hash(path: bytes) -> bytes:
    """32 bytes: BLAKE3 of the whole file. Raises OSError."""
    with open_regular(path) as file:
        return hash_of(file)


def hash_of(file: IO[bytes]) -> bytes:
    """`full_hash` of an open file, from where it stands to its end. Raises OSError."""
    from blake3 import blake3

    hasher = blake3()
    while piece := file.read(_PIECE):
        hasher.update(piece)
    return hasher.digest()


def stream_hash(path: bytes, head_bytes: float = float("inf")) -> bytes | None:
    """16 bytes that identify the encoded audio, whatever tags and covers the file has; None if there is no audio stream
    or its packets cannot be read. `StreamHasher` says what is hashed; with `head_bytes`, only the first packets, until
    they hold that many bytes. Raises OSError for a file that cannot be opened."""
    import av

    try:
        with open_container(path) as container:
            stream = heard_stream(container)
            if stream is None:
                return None
            hasher = StreamHasher(stream)
            for packet in container.demux(stream):
                hasher.update(packet)
                if hasher.n_bytes >= head_bytes:
                    break
    except (av.error.FFmpegError, UnicodeError):
        with open_regular(path):
            return None
    return hasher.digest() if hasher.n_bytes else None


class StreamHasher:
    """The stream hash of packets as they are demuxed, for callers that demux anyway.

    BLAKE3 over codec name, sample rate, channels, codec set-up data and the packets' bytes; not over packet
    boundaries, which the demuxer chooses for PCM. Make it before any packet of `stream` is decoded: a decoder may
    change what the stream says about itself."""

    def __init__(self, stream: Stream) -> None:
        from blake3 import blake3

        self.n_bytes = 0
        """Bytes of audio so far; a hash of no bytes identifies nothing."""
        context: Any = stream.codec_context
        codec = codec_name(stream)
        setup = _setup_data(codec, bytes(context.extradata or b""))
        head = f"{codec}|{context.sample_rate}|{context.channels}|{len(setup)}|".encode()
        self._hasher = blake3(head + setup)
        self._holds_back = codec in _LAST_PACKET_REACHES_TO_END_OF_FILE
        self._pending = bytearray()
        self._last = 0
        """Start of the last packet in `_pending`."""

    def update(self, packet: Packet[Any]) -> None:
        """Adds a packet; an empty one, as at the end of a stream, adds nothing."""
        size = packet.size
        if not size:
            return
        self.n_bytes += size
        pending = self._pending
        if len(pending) >= _HASHED_AT_A_TIME:
            self._hasher.update(pending)
            pending.clear()
        self._last = len(pending)
        pending += packet

    def take(self, packets: memoryview, last: int) -> None:
        """Adds the bytes of packets in a row, of which the last begins at `last`."""
        self.n_bytes += len(packets)
        self._hasher.update(self._pending)
        self._hasher.update(packets[:last])
        self._pending[:] = packets[last:]
        self._last = 0

    def digest(self) -> bytes:
        """16 bytes: the hash of the packets so far."""
        end = len(self._pending)
        if self._holds_back:
            end = max(self._last, end - trailing_tags_size(bytes(self._pending[self._last :])))
        hasher = self._hasher.copy()
        hasher.update(self._pending[:end])
        return hasher.digest(length=16)


def flac_md5(path: bytes) -> bytes | None:
    """The MD5 of the decoded samples that a FLAC file's STREAMINFO holds, 16 bytes; None if the encoder
    left it out or the file is not FLAC. Raises OSError."""
    with open_regular(path) as file:
        skip_id3v2(file)
        head = file.read(42)
    is_stream_info = head[:4] == b"fLaC" and len(head) == 42 and head[4] & 0x7F == 0
    md5 = head[26:42]
    return md5 if is_stream_info and any(md5) else None


def skip_id3v2(file: BinaryIO) -> None:
    """Goes from the beginning of a file to what follows its ID3v2 tag."""
    head = file.read(10)
    file.seek(10 + _syncsafe(head[6:10]) if head.startswith(b"ID3") and len(head) == 10 else 0)


def trailing_tags_size(tail: bytes) -> int:
    """Bytes of ID3v1 and APEv2 tags at the end of a file or packet, given its last 160 bytes or more. May be more than
    was given, and in a damaged file more than there is."""
    end = len(tail)
    if tail[-128:-125] == b"TAG" and tail[-32:-24] != b"APETAGEX":  # the end of an APEv2 tag of 131 bytes says so too
        end -= 128
    footer = tail[max(0, end - 32) : end]
    if footer.startswith(b"APETAGEX") and len(footer) == 32:
        has_header = bool(footer[23] & 0x80)
        end -= int.from_bytes(footer[12:16], "little") + 32 * has_header
    return len(tail) - end


def collisions(items: Iterable[tuple[T, Hashable]]) -> list[list[T]]:
    """Things that share a key with another, from pairs (thing, key): one list a key, in order of first appearance. A
    key of None is shared with nothing."""
    groups: dict[Hashable, list[T]] = {}
    for thing, key in items:
        if key is not None:
            groups.setdefault(key, []).append(thing)
    return [group for group in groups.values() if len(group) > 1]


def _syncsafe(digits: bytes) -> int:
    """Four 7-bit digits, as ID3v2 writes sizes."""
    value = 0
    for digit in digits:
        value = value << 7 | digit & 0x7F
    return value


def _setup_data(codec: str, extradata: bytes) -> bytes:
    """Set-up data without the tags that Vorbis keeps in it: the first and the last of the identification, comment and
    set-up packets, which are in Xiph lacing (a count, then all lengths except the last, in runs of 255)."""
    if codec != "vorbis" or extradata[:1] != b"\x02":
        return extradata
    lengths, position = [], 1
    for _ in range(2):
        length = 0
        while extradata[position : position + 1] == b"\xff":
            length, position = length + 255, position + 1
        length, position = length + sum(extradata[position : position + 1]), position + 1
        lengths.append(length)
    identification = extradata[position : position + lengths[0]]
    return identification + extradata[position + sum(lengths) :]
