"""Takes in fingerprints made elsewhere: lines as `fpcalc -raw -json` prints them, plus a path."""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dedup.fingerprint.chromaprint import SILENT_ITEM
from dedup.library.metadata import AudioProperties, to_json
from dedup.library.paths import path_from_json, printable
from dedup.observer import Observer
from dedup.runner import Stop
from dedup.settings import ITEMS_PER_SECOND
from dedup.store.catalog import Track

if TYPE_CHECKING:
    from dedup.store.store import Store

CHUNK_LINES = 500
"""Lines a transaction holds: memory stays constant however long the file."""


class RejectedLineError(ValueError):
    """Why a line is no fingerprint."""


@dataclass
class Imported:
    """What an import did. `lines = imported + unchanged + scanned + skipped + rejected` (blank lines not counted)."""

    lines: int = 0
    imported: int = 0
    unchanged: int = 0
    """Imported before, with the same items."""
    scanned: int = 0
    """Left alone, because a scan knows the file itself."""
    skipped: int = 0
    """Too short or silent."""
    rejected: int = 0


def import_fingerprints(
    store: Store, lines: Iterable[bytes], min_length_s: float, observer: Observer, stop: Stop
) -> Imported:
    """Stores the fingerprint of every good line; names each bad one by its number and goes on."""
    counts = Imported()
    observer.stage("import", None, "lines")
    chunk: list[tuple[int, bytes]] = []
    for number, line in enumerate(lines, start=1):
        if line.strip():
            chunk.append((number, line))
        if len(chunk) == CHUNK_LINES:
            _import_chunk(store, chunk, min_length_s, counts, observer)
            chunk = []
            if stop.requested:
                return counts
    _import_chunk(store, chunk, min_length_s, counts, observer)
    store.seal_tail()
    return counts


def _import_chunk(
    store: Store, chunk: list[tuple[int, bytes]], min_length_s: float, counts: Imported, observer: Observer
) -> None:
    with store.catalog.transaction():
        for number, line in chunk:
            counts.lines += 1
            try:
                path, duration_s, items = parse_line(line)
            except RejectedLineError as error:
                counts.rejected += 1
                observer.problem("failed", f"line {number}".encode(), str(error))
            else:
                _import_one(store, path, duration_s, items, min_length_s, counts, observer)
    store.seal_tail(all_of_it=False)
    observer.advance(len(chunk))


def _import_one(
    store: Store,
    path: bytes,
    duration_s: float,
    items: npt.NDArray[np.uint32],
    min_length_s: float,
    counts: Imported,
    observer: Observer,
) -> None:
    known = store.catalog.track(path)
    if known is not None and known.state != "imported":
        counts.scanned += 1
        observer.problem("skipped", path, "known by a scan of the file itself")
        return
    if len(items) < min_length_s * ITEMS_PER_SECOND or np.all(items == SILENT_ITEM):
        counts.skipped += 1
        observer.problem("skipped", path, f"too short or silent: {len(items)} items")
        return
    fingerprint = store.catalog.fingerprint_of(items)
    if known is not None and known.audio is not None and fingerprint is not None:
        (audio,) = store.catalog.audios("WHERE id = ?", (known.audio,))
        if audio.fingerprint == fingerprint:
            counts.unchanged += 1
            return
    audio_id = store.catalog.add_audio(items, None, "", None)
    store.catalog.put_track(_imported_track(path, duration_s, audio_id))
    counts.imported += 1


def parse_line(line: bytes) -> tuple[bytes, float, npt.NDArray[np.uint32]]:
    """Path, seconds and items of one line. Raises RejectedLineError."""
    try:
        record = json.loads(line)
    except ValueError as error:
        raise RejectedLineError(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise RejectedLineError(f"found {type(record).__name__}; expected an object")
    if not isinstance(record.get("path"), str):
        raise RejectedLineError('no "path"; expected a string')
    if isinstance(record.get("fingerprint"), str):
        raise RejectedLineError('"fingerprint" is compressed text; expected a list of numbers: run fpcalc with -raw')
    if not isinstance(record.get("fingerprint"), list):
        raise RejectedLineError('no "fingerprint"; expected a list of numbers')
    duration_s = record.get("duration", 0)
    if isinstance(duration_s, bool) or not isinstance(duration_s, int | float) or not 0 <= duration_s < 1e9:
        raise RejectedLineError(f'"duration" is {duration_s!r}; expected seconds')
    return _path_of(record), float(duration_s), _items_of(record["fingerprint"])


def _path_of(record: dict[str, Any]) -> bytes:
    try:
        path = path_from_json(record) if "path_hex" in record else os.fsencode(record["path"])
    except (ValueError, TypeError):
        raise RejectedLineError('"path" or "path_hex" is no path') from None
    if not path or b"\0" in path:
        raise RejectedLineError(f'"path" is {printable(path)!r}; expected the name of a file')
    return path


def _items_of(numbers: list[Any]) -> npt.NDArray[np.uint32]:
    """The items. numpy would round floats and wrap what is too large: each number is looked at."""
    if not all(type(number) is int for number in numbers):
        bad = next(number for number in numbers if type(number) is not int)
        raise RejectedLineError(f'"fingerprint" holds {bad!r}; expected whole numbers only')
    if numbers and not 0 <= min(numbers) <= max(numbers) < 1 << 32:
        bad = min(numbers) if min(numbers) < 0 else max(numbers)
        raise RejectedLineError(f'"fingerprint" holds {bad}; expected 0 to {(1 << 32) - 1}')
    return np.array(numbers, np.uint32)


def _imported_track(path: bytes, duration_s: float, audio: int) -> Track:
    properties = AudioProperties(duration_s=duration_s)
    return Track(
        id=0,
        path=path,
        root=b"",
        volume=b"",
        size=0,
        mtime_ns=0,
        inode=0,
        device=0,
        state="imported",
        partial=None,
        full=None,
        audio=audio,
        problem_kind=None,
        problem=None,
        properties=json.dumps(to_json(properties)),
    )
