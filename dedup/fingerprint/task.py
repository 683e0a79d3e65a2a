"""What a worker does with one file: look at it, and fingerprint it. Writes nothing."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np

from dedup.fingerprint.chromaprint import SILENT_ITEM, Fingerprinter, Items
from dedup.fingerprint.decode import UndecodableError, decode
from dedup.settings import ITEMS_PER_SECOND, FingerprintSettings


@dataclass(frozen=True)
class Probe:
    """What reading the ends of a file and its tags tells."""

    partial: bytes
    key: str
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
    from dedup.library.identity import audio_key, partial_hash
    from dedup.library.metadata import read_properties, to_json

    try:
        properties = read_properties(path)
        return Probe(partial_hash(path, size), audio_key(properties), json.dumps(to_json(properties)))
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
    items = fingerprinter.finish()
    reason = _no_evidence(items, decoded.duration_s, min_length_s)
    if reason:
        return Unusable("skipped", reason + (f" ({decoded.damage})" if decoded.damage else ""), lasting=True)
    return Fingerprinted(items, decoded.stream, decoded.damage)


def _is_as_seen(path: bytes, size: int, mtime_ns: int) -> bool:
    status = os.stat(path)
    return (status.st_size, status.st_mtime_ns) == (size, mtime_ns)


def _no_evidence(items: Items, duration_s: float, min_length_s: float) -> str:
    if len(items) < min_length_s * ITEMS_PER_SECOND:
        covered_s = len(items) / ITEMS_PER_SECOND
        return f"too short: {duration_s:.1f} s of audio, {covered_s:.1f} s of items, at least {min_length_s:g} s needed"
    if np.all(items == SILENT_ITEM):
        return f"silent: {duration_s:.1f} s of digital silence"
    return ""


def _unreadable(error: OSError) -> Unusable:
    reason = "vanished" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror or error}"
    return Unusable("failed", reason, lasting=False)
