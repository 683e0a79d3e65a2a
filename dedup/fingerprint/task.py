"""What a worker does with one file: fingerprint it. Writes nothing."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from dedup.errors import RepriseError
from dedup.files.disks import read_ahead
from dedup.files.host_paths import HostPath
from dedup.files.status import COARSE_NS, size_and_time
from dedup.fingerprint.chromaprint import Fingerprinter
from dedup.fingerprint.decode import Decoded, TimeLimitError, UndecodableError, decode_audible
from dedup.fingerprint.pitches import PITCHES
from dedup.library.probe import unreadable
from dedup.library.unusable import Unusable
from dedup.settings import ITEMS_PER_SECOND, FingerprintSettings
from dedup.store.decoding import UNKNOWN, Decoding
from dedup.store.items import SILENT_ITEM, Items

NOT_THE_FILES_FAULT = (ImportError, MemoryError, RepriseError, TypeError, AttributeError, NameError)
"""Errors of this machine or this program, such as those of another PyAV version: never recorded against a file."""


@dataclass(frozen=True)
class Fingerprinted:
    """A file's fingerprint."""

    items: Items
    pitches: Items
    """Items of the same sound at other pitches, `uint32[N_PITCHES, n_items]` (`fingerprint.pitches`)."""
    stream: bytes | None
    damage: str | None
    decoding: Decoding = UNKNOWN


def fingerprint_file(
    path: HostPath,
    size: int,
    mtime_ns: int,
    settings: FingerprintSettings,
    min_length_s: float,
    time_limit_s: float,
    reading: AbstractContextManager[Any] | None = None,
) -> Fingerprinted | Unusable:
    """The file's fingerprint, or the reason why there is none. `size` and `mtime_ns` are what discovery saw: if either
    has changed before or after decoding, the file is left to the next run, whatever it gave. `reading` is its turn on
    the disk. Raises nothing."""
    try:
        if reading is not None:
            read_ahead(path.here, reading)
        return _fingerprint(path, size, mtime_ns, settings, min_length_s, time_limit_s)
    except NOT_THE_FILES_FAULT as error:
        return Unusable("failed", f"{type(error).__name__}: {error}", lasting=False)
    except OSError as error:
        return unreadable(error)
    except Exception as error:  # a broken file can make PyAV raise anything: it costs one line
        return Unusable("failed", f"cannot be decoded: {type(error).__name__}: {error}", lasting=True)


def _fingerprint(
    path: HostPath,
    size: int,
    mtime_ns: int,
    settings: FingerprintSettings,
    min_length_s: float,
    time_limit_s: float,
) -> Fingerprinted | Unusable:
    if not _is_as_seen(path, size, mtime_ns):
        return Unusable("failed", "changed since it was discovered", lasting=False)
    try:
        items, pitches, decoded = _heard(path.here, settings, time_limit_s)
    except TimeLimitError:
        result: Fingerprinted | Unusable = Unusable(
            "failed", f"decoding took longer than {time_limit_s:g} s", lasting=True
        )
    except UndecodableError as error:
        result = Unusable("skipped" if error.skipped else "failed", str(error), lasting=True)
    else:
        result = _judged(items, pitches, decoded, min_length_s)
    if not _is_as_seen(path, size, mtime_ns):
        return Unusable("failed", "changed while it was read", lasting=False)
    return result


def _heard(path: bytes, settings: FingerprintSettings, time_limit_s: float) -> tuple[Items, Items, Decoded]:
    """Items of the mono mix, and those at other pitches; if the channels cancel in it, of what does not cancel, which
    takes a second decoding."""
    fingerprinters: list[Fingerprinter] = []

    def begin() -> Callable[[bytes], None]:
        fingerprinters.append(Fingerprinter(settings, PITCHES))
        return fingerprinters[-1].feed

    decoded = decode_audible(path, settings.sample_rate, begin, settings.length_s, time_limit_s)
    items = fingerprinters[-1].finish()
    return items, np.stack(fingerprinters[-1].others()), decoded


def is_as_seen(path: bytes | HostPath, size: int, mtime_ns: int) -> bool:
    """Whether a file of this host now has that size and time of change; False if it does not exist."""
    try:
        return _is_as_seen(path if isinstance(path, HostPath) else HostPath(path), size, mtime_ns)
    except OSError:
        return False


def _is_as_seen(path: HostPath, size: int, mtime_ns: int) -> bool:
    now_size, now_mtime_ns = size_and_time(os.stat(path.here))
    skew_ns = 0 if path.elsewhere is None else COARSE_NS  # times may be less exact over a network
    return now_size == size and abs(now_mtime_ns - mtime_ns) <= skew_ns


def _judged(items: Items, pitches: Items, decoded: Decoded, min_length_s: float) -> Fingerprinted | Unusable:
    """The fingerprint, unless there is too little of it to compare."""
    damaged = f" ({decoded.damage})" if decoded.damage else ""
    if len(items) < min_length_s * ITEMS_PER_SECOND:
        found = f"{decoded.duration_s:.1f} s of audio, {len(items) / ITEMS_PER_SECOND:.1f} s of items"
        return Unusable("skipped", f"too short: {found}, at least {min_length_s:g} s needed{damaged}", lasting=True)
    if np.all(items == SILENT_ITEM):
        return Unusable("skipped", f"silent: {decoded.duration_s:.1f} s of digital silence{damaged}", lasting=True)
    return Fingerprinted(items, pitches, decoded.stream, decoded.damage, decoded.decoding)
