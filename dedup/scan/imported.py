"""Imports fingerprints made elsewhere: lines as `fpcalc -raw -json` prints them, plus a path."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from dedup.files.paths import path_from_json
from dedup.library.metadata import AudioProperties, to_json
from dedup.nesting import MOST_DEEP, is_too_deep
from dedup.observer import Observer, Silent
from dedup.runner import Stop
from dedup.settings import ITEMS_PER_SECOND, LONGEST_S
from dedup.store.items import SILENT_ITEM, items_digest
from dedup.store.tracks import Track

if TYPE_CHECKING:
    from dedup.store.store import Store

CHUNK_LINES, CHUNK_BYTES = 500, 16 << 20
"""Lines and bytes after which a transaction ends, so that memory stays constant however long the file is."""

LONGEST_LINE = 16 << 20
"""Most bytes of a line: two days of music have 1.4 million items, and an item takes up to 11 bytes of JSON."""

MOST_ITEMS = round(LONGEST_S * ITEMS_PER_SECOND)

SHOWN_CHARACTERS = 60
"""Most characters of a wrong value that a message repeats."""


class RejectedLineError(ValueError):
    """Why a line is not a fingerprint."""


class Imported(NamedTuple):
    """A track that was fingerprinted elsewhere."""

    path: bytes
    duration_s: float
    items: npt.NDArray[np.uint32]


@dataclass
class Counts:
    """Counts of an import. `lines = imported + unchanged + scanned + skipped + rejected` (blank lines not counted)."""

    lines: int = 0
    imported: int = 0
    unchanged: int = 0
    """Lines that were imported before, with the same items."""
    scanned: int = 0
    """Lines left alone because a scan knows the file itself."""
    skipped: int = 0
    """Lines whose fingerprint is too short or silent."""
    rejected: int = 0


def import_fingerprints(
    store: Store, lines: Iterable[bytes], min_length_s: float, observer: Observer, stop: Stop
) -> Counts:
    """Stores the fingerprint of every good line; names each bad one by its number and goes on. Each chunk is
    committed; a stop ends the import after the current chunk, and the next import finds what was stored unchanged."""
    return _import_all(store, _chunks(lines), min_length_s, observer, stop)


def import_tracks(store: Store, tracks: Iterable[Imported], min_length_s: float) -> Counts:
    """Stores tracks that a program has made itself, as if it had written lines."""
    left = iter(tracks)
    chunks = iter(lambda: list(itertools.islice(left, CHUNK_LINES)), [])
    return _import_all(store, map(list, map(enumerate, chunks)), min_length_s, Silent(), Stop())


def _import_all(
    store: Store,
    chunks: Iterable[Sequence[tuple[int, bytes | Imported]]],
    min_length_s: float,
    observer: Observer,
    stop: Stop,
) -> Counts:
    counts = Counts()
    observer.stage("import", None, "lines")
    for chunk in chunks:
        _import_chunk(store, chunk, min_length_s, counts, observer)
        if stop.requested:
            return counts
    store.seal_tail()
    return counts


def bounded_lines(file: IO[bytes]) -> Iterator[bytes]:
    """The lines of a file, of one that is too long only so much that `parse_line` rejects it: a file without line ends
    must not fill the memory."""
    while line := file.readline(LONGEST_LINE + 1):
        yield line
        rest = line
        while len(rest) > LONGEST_LINE and not rest.endswith(b"\n"):
            rest = file.readline(LONGEST_LINE + 1)


def _chunks(lines: Iterable[bytes]) -> Iterator[list[tuple[int, bytes]]]:
    """Lines that are not blank, with their numbers from 1, in chunks of CHUNK_LINES lines or CHUNK_BYTES bytes."""
    chunk, size_bytes = [], 0
    for number, line in enumerate(lines, start=1):
        if line.isspace():
            continue
        chunk.append((number, line))
        size_bytes += len(line)
        if len(chunk) == CHUNK_LINES or size_bytes >= CHUNK_BYTES:
            yield chunk
            chunk, size_bytes = [], 0
    if chunk:
        yield chunk


def _import_chunk(
    store: Store,
    chunk: Sequence[tuple[int, bytes | Imported]],
    min_length_s: float,
    counts: Counts,
    observer: Observer,
) -> None:
    importing = _Importing(store, min_length_s, counts, observer)
    with store.catalog.transaction():
        for number, line in chunk:
            counts.lines += 1
            try:
                track = parse_line(line) if isinstance(line, bytes) else line
            except RejectedLineError as error:
                counts.rejected += 1
                observer.problem("failed", f"line {number}".encode(), str(error))
            else:
                importing.take(track)
        importing.store_all()
    store.seal_tail(all_of_it=False)
    observer.advance(len(chunk))


class _Importing:
    """Stores tracks, many at a time: twice as fast as one by one."""

    def __init__(self, store: Store, min_length_s: float, counts: Counts, observer: Observer) -> None:
        self.catalog, self.min_length_s, self.counts, self.observer = store.catalog, min_length_s, counts, observer
        self.waiting: dict[bytes, Imported] = {}

    def take(self, track: Imported) -> None:
        """Takes a track. Of a path that waits already, the earlier track is stored first: the later one replaces it."""
        if track.path in self.waiting:
            self.store_all()
        self.waiting[track.path] = track

    def store_all(self) -> None:
        """Stores the tracks that wait."""
        known = self.catalog.tracks.of_paths(self.waiting)
        new = [track for track in self.waiting.values() if self._is_usable(track, known.get(track.path))]
        self.waiting = {}
        digests = [items_digest(track.items) for track in new]
        found = self.catalog.fingerprints.find_all(set(digests))
        changed = [
            (track, digest)
            for track, digest in zip(new, digests, strict=True)
            if not self._is_unchanged(known.get(track.path), found.get(digest))
        ]
        self.counts.unchanged += len(new) - len(changed)
        self.counts.imported += len(changed)
        found = self.catalog.fingerprints.add_all({digest: track.items for track, digest in changed})
        audios = self.catalog.audios.add_all([found[digest] for _, digest in changed])
        self.catalog.tracks.put_all(
            [_imported_track(track, audio) for (track, _), audio in zip(changed, audios, strict=True)]
        )

    def _is_usable(self, track: Imported, known: Track | None) -> bool:
        """Whether the track is to be stored; reports and counts one that is not."""
        n_items = len(track.items)
        if known is not None and known.state != "imported":
            self.counts.scanned += 1
            self.observer.problem("skipped", track.path, "known by a scan of the file itself")
            return False
        if n_items < self.min_length_s * ITEMS_PER_SECOND or np.all(track.items == SILENT_ITEM):
            self.counts.skipped += 1
            self.observer.problem("skipped", track.path, f"too short or silent: {n_items} items")
            return False
        return True

    def _is_unchanged(self, known: Track | None, fingerprint: int | None) -> bool:
        """Whether a known track has this fingerprint."""
        if known is None or fingerprint is None:
            return False
        audio = self.catalog.audios.get(known.audio)
        return audio is not None and audio.fingerprint == fingerprint


def parse_line(line: bytes) -> Imported:
    """The track of one line. Raises RejectedLineError.

    The path is raw bytes: from `path_hex` if that is given, else from `path`, which may hold bytes that are not UTF-8
    as they are, or as the lone surrogates that Python writes for them."""
    if len(line) > LONGEST_LINE:
        raise RejectedLineError(f"longer than {LONGEST_LINE >> 20} MiB")
    if is_too_deep(line):
        raise RejectedLineError(f"not a fingerprint: brackets are nested too deep (more than {MOST_DEEP})")
    try:
        record = json.loads(line.decode("utf-8", "surrogateescape").removeprefix("\ufeff"))
    except ValueError as error:
        raise RejectedLineError(f"not JSON: {error}") from None
    if not isinstance(record, dict):
        raise RejectedLineError(f"found {type(record).__name__}; write an object")
    numbers = record.get("fingerprint")
    if isinstance(numbers, str):
        raise RejectedLineError('"fingerprint" is compressed text; run fpcalc with -raw to get a list of numbers')
    if not isinstance(numbers, list):
        raise RejectedLineError('"fingerprint" is missing or not a list; write a list of numbers')
    duration_s = record.get("duration", 0)
    if type(duration_s) not in (int, float) or not 0 <= duration_s < 1e9:
        raise RejectedLineError(f'"duration" is {_shown(duration_s)}; write seconds as a number')
    return Imported(_path_of(record), float(duration_s), _items_of(numbers))


def _path_of(record: dict[str, Any]) -> bytes:
    name = "path_hex" if "path_hex" in record else "path"
    text = record.get(name)
    if not isinstance(text, str):
        raise RejectedLineError(
            f'"{name}" is {_shown(text)}; write a string'
            if name in record
            else '"path" is missing; write the name of the file'
        )
    try:
        path = path_from_json(record) if name == "path_hex" else text.encode("utf-8", "surrogateescape")
    except ValueError:
        raise RejectedLineError(f'"{name}" is {_shown(text)}; write the name of a file') from None
    if not path or b"\0" in path:
        raise RejectedLineError(f'"{name}" is {_shown(text)}; write the name of a file')
    return path


def _items_of(numbers: list[Any]) -> npt.NDArray[np.uint32]:
    """The items, checked here because numpy rounds floats, accepts booleans and wraps numbers that are too large."""
    if set(map(type, numbers)) - {int}:
        bad = next(number for number in numbers if type(number) is not int)
        raise RejectedLineError(f'"fingerprint" holds {_shown(bad)}; write whole numbers only')
    if numbers and not 0 <= min(numbers) <= max(numbers) < 1 << 32:
        bad = min(numbers) if min(numbers) < 0 else max(numbers)
        raise RejectedLineError(f'"fingerprint" holds {_shown(bad)}; write numbers from 0 to {(1 << 32) - 1}')
    if len(numbers) > MOST_ITEMS:
        raise RejectedLineError(
            f'"fingerprint" has {len(numbers):,} items; write {MOST_ITEMS:,} at most, 10 days of music'
        )
    return np.array(numbers, np.uint32)


def _shown(value: object) -> str:
    """A wrong value as JSON, or the beginning of it."""
    text = json.dumps(value)
    return text if len(text) <= SHOWN_CHARACTERS else f"{text[:SHOWN_CHARACTERS]}…"


def _imported_track(track: Imported, audio: int) -> Track:
    properties = AudioProperties(duration_s=track.duration_s)
    return Track(
        id=0,
        path=track.path,
        root=b"",
        volume=b"",
        size=0,
        mtime_ns=0,
        inode=0,
        device=0,
        state="imported",
        audio=audio,
        properties=json.dumps(to_json(properties)),
    )
