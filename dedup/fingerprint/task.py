"""What a worker does with one file: look at it, and fingerprint it. Writes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dedup.errors import RepriseError
from dedup.fingerprint.chromaprint import SILENT_ITEM, Fingerprinter, Items
from dedup.fingerprint.decode import Decoded, TimeLimitError, UndecodableError, decode
from dedup.settings import ITEMS_PER_SECOND, FingerprintSettings

HEAD_BYTES = 32 * 1024
"""Encoded audio that tells files of one length apart: 0.8 s at 320 kbit/s, 2 s at 128."""


@dataclass(frozen=True)
class Probe:
    """What reading the ends of a file and its tags tells."""

    partial: bytes
    key: str
    """Equal for files that may well hold the same audio: of a FLAC the MD5 of its samples; else `identity.audio_key`
    and a hash of the first packets, for lengths alone fall together in a large library, and each such file would be
    read in full. Empty where no packets can be read."""
    properties: str
    """JSON of `metadata.AudioProperties`."""


@dataclass(frozen=True)
class Unusable:
    """Why a file gives no fingerprint."""

    kind: Literal["failed", "skipped"]
    reason: str
    lasting: bool
    """Whether the same bytes would fail again: then it is remembered, and not tried again until the file changes."""


@dataclass(frozen=True)
class Fingerprinted:
    """A file's fingerprint."""

    items: Items
    stream: bytes | None
    damage: str | None


def probe_files(files: Sequence[tuple[bytes, int]]) -> list[Probe | Unusable]:
    """Looks at each `(path, size)`."""
    return [_probe(path, size) for path, size in files]


def _probe(path: bytes, size: int) -> Probe | Unusable:
    from dedup.library.identity import audio_key, flac_md5, partial_hash
    from dedup.library.metadata import read_properties, to_json

    try:
        properties = read_properties(path)
        md5 = flac_md5(path)
        key = f"flac-md5|{md5.hex()}" if md5 else _key(audio_key(properties), _head_hash(path))
        return Probe(partial_hash(path, size), key, json.dumps(to_json(properties)))
    except OSError as error:
        return _unreadable(error)


def _key(properties: str, head: bytes | None) -> str:
    return f"{properties}|{head.hex()}" if head else ""


def _head_hash(path: bytes) -> bytes | None:
    """`identity.stream_hash`, but only of the first 32 KiB of packets; None where there are none."""
    from dedup.library.identity import StreamHasher, open_container

    try:
        with open_container(path) as container:
            stream = container.streams.best("audio")
            if stream is None or stream.codec_context is None:
                return None
            hasher = StreamHasher(stream)
            for packet in container.demux(stream):
                hasher.update(packet)
                if hasher.n_bytes >= HEAD_BYTES:
                    break
            return hasher.digest() if hasher.n_bytes else None
    except Exception:  # whatever is wrong with the file, decoding says it
        return None


def fingerprint_file(
    path: bytes,
    size: int,
    mtime_ns: int,
    settings: FingerprintSettings,
    min_length_s: float,
    time_limit_s: float,
) -> Fingerprinted | Unusable:
    """Decodes the file and gives its fingerprint, or why there is none. `size` and `mtime_ns` are what discovery saw:
    a file that is not so any more before or after decoding is left to the next run, whatever it gave. Raises
    nothing."""
    try:
        return _fingerprint(path, size, mtime_ns, settings, min_length_s, time_limit_s)
    except (ImportError, MemoryError, RepriseError) as error:  # this machine's fault, not the file's
        return Unusable("failed", f"{type(error).__name__}: {error}", lasting=False)
    except OSError as error:
        return _unreadable(error)
    except Exception as error:  # a broken file may drive PyAV to any: it costs one line
        return Unusable("failed", f"cannot be decoded: {type(error).__name__}: {error}", lasting=True)


def _fingerprint(
    path: bytes, size: int, mtime_ns: int, settings: FingerprintSettings, min_length_s: float, time_limit_s: float
) -> Fingerprinted | Unusable:
    if not _is_as_seen(path, size, mtime_ns):
        return Unusable("failed", "changed since it was discovered", lasting=False)
    fingerprinter = Fingerprinter(settings)
    try:
        decoded = decode(path, settings.sample_rate, fingerprinter.feed, settings.length_s, time_limit_s)
    except TimeLimitError:
        result: Fingerprinted | Unusable = Unusable(
            "failed", f"decoding took longer than {time_limit_s:g} s", lasting=True
        )
    except UndecodableError as error:
        result = Unusable("skipped" if error.skipped else "failed", str(error), lasting=True)
    else:
        result = _judged(fingerprinter.finish(), decoded, min_length_s)
    if not _is_as_seen(path, size, mtime_ns):
        return Unusable("failed", "changed while it was read", lasting=False)
    return result


def is_as_seen(path: bytes, size: int, mtime_ns: int) -> bool:
    """Whether the file has that size and time of change now; False where it is not there."""
    try:
        return _is_as_seen(path, size, mtime_ns)
    except OSError:
        return False


def _is_as_seen(path: bytes, size: int, mtime_ns: int) -> bool:
    status = os.stat(path)
    return (status.st_size, status.st_mtime_ns) == (size, mtime_ns)


def _judged(items: Items, decoded: Decoded, min_length_s: float) -> Fingerprinted | Unusable:
    """The fingerprint, unless it is too little to compare."""
    damaged = f" ({decoded.damage})" if decoded.damage else ""
    if len(items) < min_length_s * ITEMS_PER_SECOND:
        found = f"{decoded.duration_s:.1f} s of audio, {len(items) / ITEMS_PER_SECOND:.1f} s of items"
        return Unusable("skipped", f"too short: {found}, at least {min_length_s:g} s needed{damaged}", lasting=True)
    if np.all(items == SILENT_ITEM):
        return Unusable("skipped", f"silent: {decoded.duration_s:.1f} s of digital silence{damaged}", lasting=True)
    return Fingerprinted(items, decoded.stream, decoded.damage)


def _unreadable(error: OSError) -> Unusable:
    reason = "vanished" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror or error}"
    return Unusable("failed", reason, lasting=False)
