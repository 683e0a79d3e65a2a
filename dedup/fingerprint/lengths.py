"""The exact length that a file's header states, for the formats that state one. What FFmpeg estimates from the bit rate
looks the same through PyAV, so what may be an estimate is read here."""

from __future__ import annotations

import os
import struct
from typing import TYPE_CHECKING, Any

from dedup.files.held import open_regular
from dedup.library.identity import skip_id3v2

if TYPE_CHECKING:
    from av.container import InputContainer

_COUNTING = frozenset({"aiff", "ape", "au", "caf", "dsf", "iff", "mov", "ogg", "tta", "w64", "wv"})
"""FFmpeg's names of formats whose headers count samples, frames or bytes; for Ogg, its last page does."""

RAW = frozenset({"aac", "ac3", "amr", "dts", "dtshd", "eac3", "flac", "gsm", "loas", "mlp", "mp3", "truehd"})
"""Formats that are little more than frames. FFmpeg estimates their length from the bit rate if no header counts."""

_PLACEHOLDERS = ((0x7FFF_0000, 0x8000_0000), (0xFFFF_0000, 0x1_0000_0000))
"""Bytes of sound that a program claims that writes to a pipe, and so does not know."""

_HEAD_BYTES = 64 * 1024
_SAMPLES_OF_FRAME = {(3, 1): 384, (3, 2): 1152, (3, 3): 1152, (2, 1): 384, (2, 2): 1152, (2, 3): 576}
"""Samples of a frame by MPEG version (2 also for 2.5) and layer."""


def format_name(container: InputContainer) -> str:
    """FFmpeg's first name of the format: "mov" of "mov,mp4,m4a"."""
    return str(container.format.name).split(",")[0]


def exact_length_s(path: bytes, container: InputContainer, stream: Any) -> float | None:
    """Seconds of sound that the header promises; None if it promises none. Raises OSError."""
    kind = format_name(container)
    if kind in _COUNTING:
        return _counted(stream)
    if kind == "flac":
        setup = bytes(stream.codec_context.extradata or b"")
        n_samples = int.from_bytes(setup[13:18], "big") & 0xF_FFFF_FFFF if len(setup) >= 18 else 0
        return n_samples / stream.codec_context.sample_rate if n_samples and stream.codec_context.sample_rate else None
    if kind == "wav":
        return _of_wave(path, stream)
    if kind == "mp3":
        return _of_frames(_head(path))
    if kind == "matroska":
        return _of_matroska(path, container, stream)
    return None


def _head(path: bytes) -> bytes:
    """What follows the ID3v2 tag."""
    with open_regular(path) as file:
        skip_id3v2(file)
        return file.read(_HEAD_BYTES)


def _counted(stream: Any) -> float | None:
    if not stream.duration or not stream.time_base:
        return None
    stated_s = float(stream.duration * stream.time_base)
    return None if _is_placeholder(stated_s * (stream.codec_context.bit_rate or 0) / 8) else stated_s


def _is_placeholder(n_bytes: float) -> bool:
    return any(low <= n_bytes < high for low, high in _PLACEHOLDERS)


def _of_wave(path: bytes, stream: Any) -> float | None:
    """Length by the size of the data chunk: FFmpeg states no more than the file has."""
    bit_rate = stream.codec_context.bit_rate or 0
    if not stream.codec_context.name.startswith("pcm_"):  # how many samples a byte of others has isn't known
        return None
    with open_regular(path) as file:
        if file.read(4) != b"RIFF" or not bit_rate:  # an RF64 has its sizes elsewhere
            return None
        file.seek(12)
        while len(chunk := file.read(8)) == 8:
            size = int.from_bytes(chunk[4:], "little")
            if chunk[:4] == b"data":
                return None if not size or _is_placeholder(size) else 8 * size / bit_rate
            file.seek(size + size % 2, os.SEEK_CUR)
    return None


def _of_frames(head: bytes) -> float | None:
    """Length by the Xing, Info or VBRI header of the first MPEG frame."""
    at = head.find(b"\xff")
    while 0 <= at < len(head) - 200:
        word = int.from_bytes(head[at : at + 4], "big")
        if word >> 21 == 0x7FF:
            return _of_frame(head[at:], word)
        at = head.find(b"\xff", at + 1)
    return None


def _of_frame(frame: bytes, word: int) -> float | None:
    version, layer = word >> 19 & 3, 4 - (word >> 17 & 3)  # version 3 is MPEG 1, 2 is MPEG 2, 0 is MPEG 2.5
    rate = (44_100, 48_000, 32_000, 0)[word >> 10 & 3] >> {3: 0, 2: 1, 0: 2}.get(version, 0)
    n_samples = _SAMPLES_OF_FRAME.get((3 if version == 3 else 2, layer))
    if version == 1 or not rate or n_samples is None:
        return None
    is_mono = word >> 6 & 3 == 3
    side = (17 if is_mono else 32) if version == 3 else (9 if is_mono else 17)
    xing = frame[4 + side : 16 + side]
    n_frames = 0
    if xing[:4] in (b"Xing", b"Info") and xing[7] & 1:
        n_frames = int.from_bytes(xing[8:12], "big")
    elif frame[36:40] == b"VBRI":
        n_frames = int.from_bytes(frame[50:54], "big")
    return n_frames * n_samples / rate or None


def _of_matroska(path: bytes, container: InputContainer, stream: Any) -> float | None:
    """Length by the tag of the stream, or that of the segment if it holds nothing else that plays."""
    told = str(stream.metadata.get("DURATION", "")).replace("\0", "").split(":")
    if len(told) == 3:
        try:
            return int(told[0]) * 3600 + int(told[1]) * 60 + float(told[2])
        except ValueError:
            return None
    others = [other for other in container.streams if other.index != stream.index and other.type in ("audio", "video")]
    with open_regular(path) as file:
        head = file.read(_HEAD_BYTES)
    return None if others else _of_segment(head)


def _of_segment(head: bytes) -> float | None:
    """Duration in the Info element of a Matroska file; None if a recorder left it out."""
    info = head.find(b"\x15\x49\xa9\x66")
    found = head.find(b"\x44\x89", info) if info >= 0 else -1
    number = {0x88: ">d", 0x84: ">f"}.get(head[found + 2] if 0 <= found < len(head) - 11 else 0)
    if number is None or found - info > 1024:
        return None
    (ticks,) = struct.unpack_from(number, head, found + 3)
    scale = head.find(b"\x2a\xd7\xb1", info, info + 1024)
    tick_ns = 1_000_000
    if scale >= 0:
        tick_ns = int.from_bytes(head[scale + 4 : scale + 4 + (head[scale + 3] & 0x0F)], "big")
    length_s = float(ticks) * tick_ns / 1e9
    return length_s if 0 < length_s < 1e9 else None
