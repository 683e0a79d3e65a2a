"""What a worker does with one file: look at it, and fingerprint it. Writes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dedup.fingerprint.chromaprint import SILENT_ITEM, Fingerprinter, Items
from dedup.fingerprint.decode import Decoded, UndecodableError, decode
from dedup.settings import ITEMS_PER_SECOND, FingerprintSettings


@dataclass(frozen=True)
class Probe:
    """What reading the ends of a file and its tags tells."""

    partial: bytes
    key: str
    """Equal for files that may hold the same audio: of a FLAC the MD5 of its samples, else `identity.audio_key`."""
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
        key = f"flac-md5|{md5.hex()}" if md5 else audio_key(properties)
        return Probe(partial_hash(path, size), key, json.dumps(to_json(properties)))
    except OSError as error:
        return _unreadable(error)


def fingerprint_file(
    path: bytes,
    size: int,
    mtime_ns: int,
    settings: FingerprintSettings,
    min_length_s: float,
    time_limit_s: float,
) -> Fingerprinted | Unusable:
    """Decodes the file and gives its fingerprint, or why there is none. `size` and `mtime_ns` are what discovery saw:
    a file that is not so any more before or after decoding is left to the next run."""
    try:
        if not _is_as_seen(path, size, mtime_ns):
            return Unusable("failed", "changed since it was discovered", lasting=False)
        fingerprinter = Fingerprinter(settings)
        decoded = decode(path, settings.sample_rate, fingerprinter.feed, settings.length_s, time_limit_s)
        if not _is_as_seen(path, size, mtime_ns):
            return Unusable("failed", "changed while it was read", lasting=False)
    except TimeoutError:
        return Unusable("failed", f"decoding took longer than {time_limit_s:g} s", lasting=True)
    except UndecodableError as error:
        return Unusable("skipped" if error.skipped else "failed", str(error), lasting=True)
    except OSError as error:
        return _unreadable(error)
    return _judged(fingerprinter.finish(), decoded, min_length_s)


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
