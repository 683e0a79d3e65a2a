"""What is known, in SQLite: tracks, which row of which block is a track's, and the results of tiles.

Errors of SQLite pass through here as they are; `store` tells those that mean damage as StoreDamagedError, whatever was
being done when they came."""

from __future__ import annotations

import contextlib
import hashlib
import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
import numpy.typing as npt

from dedup.errors import StoreDamagedError
from dedup.store.database import connect, connect_for_reading, damaged
from dedup.store.items import items_digest, n_distinct

State = Literal["present", "absent", "imported"]


@dataclass(frozen=True)
class Track:
    """One file, as the catalog remembers it."""

    id: int
    path: bytes
    root: bytes
    volume: bytes
    """Mount point that held it when it was last seen."""
    size: int
    mtime_ns: int
    inode: int
    device: int
    state: State
    partial: bytes | None
    full: bytes | None
    audio: int | None
    """Its row of `audio`; None where it has no fingerprint and `problem` says why."""
    problem_kind: Literal["failed", "skipped"] | None
    problem: str | None
    judged_by: str | None
    """`ScanSettings.judgement` under which the problem arose."""
    properties: str
    """JSON of `metadata.AudioProperties`."""


TRACK_COLUMNS = (
    "id, path, root, volume, size, mtime_ns, inode, device, state, partial, full, audio, "
    "problem_kind, problem, judged_by, properties"
)


_NEW_ID = """
    (SELECT 1 + MAX(
        IFNULL((SELECT MAX(id) FROM {0}), 0),
        IFNULL((SELECT CAST(json_extract(value, '$.{0}') AS INTEGER) FROM meta WHERE key = 'told'), 0)))
"""
"""Of a table: no id is given again that a row had when news were told (`groups.news`), though that row be gone."""

TILE_COLUMNS = "name, settings, block_a, block_b, n_pairs, pairs, digest"


@dataclass(frozen=True)
class Audio:
    """One distinct audio stream: tracks with the same stream share it, and its fingerprint."""

    id: int
    stream: bytes | None
    """`identity.stream_hash` of its packets; None for imported fingerprints and streams that break off."""
    key: str
    """`metadata.audio_key`."""
    damage: str | None
    fingerprint: int


@dataclass(frozen=True)
class TileResult:
    """What a tile found, and that it is done: one row, one transaction."""

    name: str
    settings: str
    block_a: str
    block_b: str
    n_pairs: int
    pairs: bytes
    """`n_pairs` records of `pairs.PAIR`."""
    digest: bytes

    @staticmethod
    def of(name: str, settings: str, block_a: str, block_b: str, n_pairs: int, pairs: bytes) -> TileResult:
        return TileResult(name, settings, block_a, block_b, n_pairs, pairs, result_digest(name, pairs))


KEPT_RUN_RECORDS = 1000
"""So many of the newest runs are remembered: 0.8 kB each."""

CONTENT_BYTES = 16
"""Of what a track is known by when it is judged: the hash of its packets, or the digest of its items."""


@dataclass(frozen=True)
class Judgement:
    """What a person said of two contents (`judgements.content`); it wins over any score."""

    content_a: bytes
    """`CONTENT_BYTES`, like `content_b`, and not above it."""
    content_b: bytes
    same: bool
    """Whether they are one recording."""
    score: float | None
    """Of the pair when it was judged; None where it had none."""
    judged: str
    """When, UTC, such as "2026-02-28T21:30:00Z"."""


@dataclass(frozen=True)
class Ending:
    """How a run ended, and what it did."""

    outcome: Literal["done", "stopped", "failed"]
    exit_code: int | None
    """None of a run of an older format version."""
    why: str | None
    """In words: "done", "nothing to do", "time is up: it is 06:30", the line of an error."""
    seconds: float | None
    """How long it took."""
    summary: str | None
    """JSON object: what it printed last with --json, as far as it came; None where the command has none."""


@dataclass(frozen=True)
class RecordedRun:
    """A run that wrote, or that writes now."""

    id: str
    """As in the log."""
    command: str
    started: str
    """UTC, such as "2026-02-28T21:30:00Z", as `ended` is."""
    ended: str | None
    ending: Ending | None
    """None, as `ended` is, of one that was killed or goes on."""


def result_digest(name: str, pairs: bytes) -> bytes:
    """16 bytes that tie a result to its tile: `check` finds a flipped bit in either."""
    return hashlib.blake2b(name.encode() + pairs, digest_size=16).digest()


def forget_results(connection: sqlite3.Connection) -> None:
    """Forgets every tile's result, and under which settings any was complete."""
    connection.execute("DELETE FROM tile")
    connection.execute("DELETE FROM meta WHERE key IN ('complete', 'compare') OR key GLOB 'compare *'")


def _statements() -> list[str]:
    """Those of `schema.sql`, in its order."""
    return resources.files("dedup.store").joinpath("schema.sql").read_text().split(";")


class Catalog:
    """The SQLite side of a store. Writers wrap their changes in `transaction()`."""

    def __init__(self, path: Path, writable: bool = True) -> None:
        """Opens the catalog; makes an empty one where there is none, if `writable`. Raises sqlite3.Error."""
        self.path = path
        self.connection = connect(path) if writable else connect_for_reading(path)

    def create(self, meta: dict[str, Any]) -> None:
        """Makes the tables of a new store and its stamp, in one transaction."""
        with self.transaction() as connection:
            for statement in _statements():
                connection.execute(statement)
            connection.executemany(
                "INSERT INTO meta VALUES (?, ?)", [(key, json.dumps(value)) for key, value in meta.items()]
            )

    def upgrade(self, from_version: int, format_version: int) -> None:
        """Makes a catalog of format version 1 or 2 one of `format_version`, in one transaction. From 1: judgements get
        their table; results, whose records are of another form, go, with the settings that only they name. From
        either: runs get what is told of them."""
        (judgement,) = (statement for statement in _statements() if "CREATE TABLE judgement" in statement)
        with self.transaction() as connection:
            if from_version == 1:
                connection.execute(judgement)
                forget_results(connection)
            for column in ("exit_code INTEGER", "why TEXT", "seconds REAL", "summary TEXT"):
                connection.execute(f"ALTER TABLE run ADD COLUMN {column}")
            self.set_meta("format_version", format_version)
        self.shrink()

    def close(self) -> None:
        self.connection.close()

    @contextlib.contextmanager
    def transaction(self) -> Iterator[sqlite3.Connection]:
        """All of it or nothing; durable when the block is left."""
        self.connection.execute("BEGIN IMMEDIATE")
        try:
            yield self.connection
            self.connection.execute("COMMIT")
        except BaseException:
            self._roll_back()
            raise

    @contextlib.contextmanager
    def snapshot(self) -> Iterator[None]:
        """Everything read inside is of one moment, whatever a writer commits meanwhile."""
        self.connection.execute("BEGIN")
        try:
            yield
        finally:
            self._roll_back()

    def _roll_back(self) -> None:
        if self.connection.in_transaction:  # after some errors, a full disk among them, SQLite has done it itself
            self.connection.execute("ROLLBACK")

    # ---- the stamp ----

    def meta(self) -> dict[str, Any]:
        """The store's stamp and what else concerns it as a whole; empty for a file that has no tables yet."""
        known = self.connection.execute("SELECT name FROM sqlite_schema WHERE name = 'meta'").fetchone()
        rows = self.connection.execute("SELECT key, value FROM meta").fetchall() if known else []
        try:
            return {key: json.loads(value) for key, value in rows}
        except (ValueError, RecursionError) as error:
            raise damaged(self.path, f"table meta holds what is no JSON ({error})") from error

    def set_meta(self, key: str, value: Any) -> None:
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (key, json.dumps(value)))

    # ---- tracks ----

    def tracks(self, where: str = "", parameters: Sequence[Any] = ()) -> Iterator[Track]:
        """Tracks in the order of their paths."""
        query = f"SELECT {TRACK_COLUMNS} FROM track {where} ORDER BY path"
        return (Track(*row) for row in self.connection.execute(query, parameters))

    def track(self, path: bytes) -> Track | None:
        return next(self.tracks("WHERE path = ?", (path,)), None)

    def put_track(self, track: Track) -> None:
        """Inserts the track or replaces what was known of its path; `track.id` is not used."""
        columns = TRACK_COLUMNS.split(", ")[1:]
        update = ", ".join(f"{column} = excluded.{column}" for column in columns[1:])
        self.connection.execute(
            f"INSERT INTO track (id, {', '.join(columns)}) "
            f"VALUES ({_NEW_ID.format('track')}, {', '.join('?' * len(columns))}) "
            f"ON CONFLICT (path) DO UPDATE SET {update}",
            [getattr(track, column) for column in columns],
        )

    def set_place(self, places: Iterable[tuple[bytes, int, int, bytes]]) -> None:
        """Volume, device and inode of each path, as they are now."""
        self.connection.executemany("UPDATE track SET volume = ?, device = ?, inode = ? WHERE path = ?", places)

    def set_full(self, path: bytes, full: bytes) -> None:
        self.connection.execute("UPDATE track SET full = ? WHERE path = ?", (full, path))

    def set_properties(self, properties: Iterable[tuple[bytes, str]]) -> None:
        """JSON of the properties of each path, as they were read now."""
        rows = ((text, path) for path, text in properties)
        self.connection.executemany("UPDATE track SET properties = ? WHERE path = ?", rows)

    def set_state(self, paths: Iterable[bytes], state: State) -> None:
        self.connection.executemany("UPDATE track SET state = ? WHERE path = ?", ((state, p) for p in paths))

    def forget_tracks(self, paths: Iterable[bytes]) -> None:
        """Drops the tracks; their audio, and with it every finished comparison, stays."""
        self.connection.executemany("DELETE FROM track WHERE path = ?", ((path,) for path in paths))

    # ---- probes: what a scan has learnt of files that are no tracks yet ----

    def probes(self) -> Iterator[tuple[bytes, int, int, bytes, str, str, bytes | None, bytes | None]]:
        """Path, size, time of change, partial hash, key, properties, full hash and stream hash of each."""
        query = "SELECT path, size, mtime_ns, partial, key, properties, full, stream FROM probe"
        return iter(self.connection.execute(query))

    def put_probes(self, probes: Iterable[tuple[bytes, int, int, bytes, str, str]]) -> None:
        self.connection.executemany("INSERT OR REPLACE INTO probe VALUES (?, ?, ?, ?, ?, ?, NULL, NULL)", probes)

    def set_probed(self, column: Literal["full", "stream"], hashes: Mapping[bytes, bytes]) -> None:
        """One of the two hashes of each path, where it has a probe."""
        rows = ((digest, path) for path, digest in hashes.items())
        self.connection.executemany(f"UPDATE probe SET {column} = ? WHERE path = ?", rows)

    def clear_probes(self) -> None:
        self.connection.execute("DELETE FROM probe")

    # ---- audio and fingerprints ----

    def audios(self, where: str = "", parameters: Sequence[Any] = ()) -> Iterator[Audio]:
        query = f"SELECT id, stream, key, damage, fingerprint FROM audio {where}"
        return (Audio(*row) for row in self.connection.execute(query, parameters))

    def add_audio(self, items: npt.NDArray[np.uint32], stream: bytes | None, key: str, damage: str | None) -> int:
        """Records an audio and its fingerprint, which goes to the tail unless it is known; gives the audio's id."""
        cursor = self.connection.execute(
            f"INSERT INTO audio (id, stream, key, damage, fingerprint) VALUES ({_NEW_ID.format('audio')}, ?, ?, ?, ?)",
            (stream, key, damage, self._add_fingerprint(items)),
        )
        assert cursor.lastrowid is not None
        return cursor.lastrowid

    def fingerprint_of(self, items: npt.NDArray[np.uint32]) -> int | None:
        """The fingerprint that has exactly these items, None where there is none."""
        query = "SELECT id FROM fingerprint WHERE digest = ?"
        row = self.connection.execute(query, (items_digest(items),)).fetchone()
        return None if row is None else int(row[0])

    def _add_fingerprint(self, items: npt.NDArray[np.uint32]) -> int:
        known = self.fingerprint_of(items)
        if known is not None:
            return known
        cursor = self.connection.execute(
            "INSERT INTO fingerprint (digest, n_items, n_distinct) VALUES (?, ?, ?)",
            (items_digest(items), len(items), n_distinct(items)),
        )
        assert cursor.lastrowid is not None
        data = np.ascontiguousarray(items, "<u4").tobytes()
        self.connection.execute("INSERT INTO tail VALUES (?, ?)", (cursor.lastrowid, data))
        return cursor.lastrowid

    def tail_items(self, fingerprint: int) -> npt.NDArray[np.uint32] | None:
        """The items of a fingerprint that is not sealed yet."""
        row = self.connection.execute("SELECT items FROM tail WHERE fingerprint = ?", (fingerprint,)).fetchone()
        return None if row is None else np.frombuffer(row[0], "<u4")

    def place(self, fingerprint: int) -> tuple[str, int] | None:
        """Block and row of a sealed fingerprint, None while it is in the tail."""
        row = self.connection.execute(
            "SELECT block, row FROM fingerprint WHERE id = ? AND block IS NOT NULL", (fingerprint,)
        ).fetchone()
        return None if row is None else (row[0], row[1])

    def tail_length(self) -> int:
        return int(self.connection.execute("SELECT COUNT(*) FROM tail").fetchone()[0])

    def next_to_seal(self, n_rows: int) -> tuple[list[int], list[npt.NDArray[np.uint32]]]:
        """Ids and items of the next `n_rows` of the tail, by length and content: an order that does not depend on
        the order in which workers answered."""
        rows = self.connection.execute(
            "SELECT fingerprint.id, tail.items FROM fingerprint JOIN tail ON tail.fingerprint = fingerprint.id "
            "WHERE block IS NULL ORDER BY n_items, digest LIMIT ?",
            (n_rows,),
        ).fetchall()
        return [row[0] for row in rows], [np.frombuffer(row[1], "<u4") for row in rows]

    def seal(self, block: str, n_items: int, fingerprints: Sequence[int]) -> None:
        """Moves these fingerprints from the tail to the rows of a block that is on disk."""
        with self.transaction() as connection:
            self.move_to_block(block, n_items, fingerprints)
            connection.executemany("DELETE FROM tail WHERE fingerprint = ?", [(f,) for f in fingerprints])

    def retired_fingerprints(self) -> dict[int, str]:
        """The block of each sealed fingerprint that no track holds, by its id."""
        query = (
            "SELECT id, block FROM fingerprint WHERE block IS NOT NULL AND NOT EXISTS "
            "(SELECT 1 FROM audio JOIN track ON track.audio = audio.id WHERE audio.fingerprint = fingerprint.id)"
        )
        return dict(self.connection.execute(query))

    def fingerprints_of(self, block: str) -> list[tuple[int, int, bytes]]:
        """Row, id and digest of the fingerprints of a block, by row."""
        query = "SELECT row, id, digest FROM fingerprint WHERE block = ? ORDER BY row"
        return self.connection.execute(query, (block,)).fetchall()

    def move_to_block(self, block: str, n_items: int, fingerprints: Sequence[int]) -> None:
        """Makes these fingerprints, sealed or not, the rows of a new block that is on disk. In a transaction."""
        self.connection.execute("INSERT INTO block VALUES (?, ?, ?)", (block, len(fingerprints), n_items))
        self.connection.executemany(
            "UPDATE fingerprint SET block = ?, row = ? WHERE id = ?",
            [(block, row, fingerprint) for row, fingerprint in enumerate(fingerprints)],
        )

    def drop_fingerprints(self, fingerprints: Sequence[int]) -> None:
        """Drops fingerprints that no track holds, with their audio. In a transaction."""
        ids = [(fingerprint,) for fingerprint in fingerprints]
        self.connection.executemany("DELETE FROM audio WHERE fingerprint = ?", ids)
        self.connection.executemany("DELETE FROM fingerprint WHERE id = ?", ids)

    def drop_blocks(self, blocks: Sequence[str]) -> None:
        """Drops blocks in which no fingerprint is any more, with their tiles. In a transaction."""
        for block in blocks:
            self.connection.execute("DELETE FROM tile WHERE block_a = ?", (block,))
            self.connection.execute("DELETE FROM tile WHERE block_b = ?", (block,))
            self.connection.execute("DELETE FROM block WHERE name = ?", (block,))

    def shrink(self) -> None:
        """Gives the room of what was dropped, such as sealed fingerprints in the tail, back to the disk."""
        self.connection.executescript("PRAGMA incremental_vacuum")  # `execute` stops after the first page

    def blocks(self) -> dict[str, int]:
        """Rows of each sealed block, by name."""
        return dict(self.connection.execute("SELECT name, n_rows FROM block ORDER BY name"))

    def block_sizes(self) -> dict[str, tuple[int, int]]:
        """Rows and items of each sealed block, by name."""
        return {name: (rows, items) for name, rows, items in self.connection.execute("SELECT * FROM block")}

    def longest_fingerprint(self) -> int:
        """Items of the longest fingerprint; 0 where there is none."""
        (longest,) = self.connection.execute("SELECT MAX(n_items) FROM fingerprint").fetchone()
        return longest or 0

    # ---- tiles ----

    def tile_names(self, settings: str) -> set[str]:
        """Names of the tiles that are done under these comparison settings."""
        query = "SELECT name FROM tile WHERE settings = ?"
        return {row[0] for row in self.connection.execute(query, (settings,))}

    def tile_settings(self) -> list[str]:
        """Digests of the comparison settings under which tiles are done."""
        return [row[0] for row in self.connection.execute("SELECT DISTINCT settings FROM tile ORDER BY settings")]

    def count_tiles(self, settings: str) -> int:
        """How many tiles are done under these comparison settings."""
        return int(self.connection.execute("SELECT COUNT(*) FROM tile WHERE settings = ?", (settings,)).fetchone()[0])

    def has_tile(self, name: str) -> bool:
        """Whether it is done."""
        return self.connection.execute("SELECT 1 FROM tile WHERE name = ?", (name,)).fetchone() is not None

    def put_tiles(self, results: Iterable[TileResult]) -> None:
        """Commits results: from here on these tiles are done."""
        with self.transaction():
            for result in results:
                self.put_tile(result)

    def put_tile(self, result: TileResult) -> None:
        """One result. In a transaction."""
        r = result
        row = (r.name, r.settings, r.block_a, r.block_b, r.n_pairs, r.pairs, r.digest)
        self.connection.execute("INSERT INTO tile VALUES (?, ?, ?, ?, ?, ?, ?)", row)

    def tiles(self, settings: str) -> Iterator[TileResult]:
        """Results under these settings that have pairs, by name. Raises StoreDamagedError for one that is not what
        its digest says: no pair is ever shown that was not computed."""
        return map(self._sound, self.stored_tiles(settings, "AND length(pairs) > 0"))

    def tile(self, name: str) -> TileResult | None:
        """The result of one tile, None where it is not done. Raises StoreDamagedError as `tiles` does."""
        query = f"SELECT {TILE_COLUMNS} FROM tile WHERE name = ?"
        row = self.connection.execute(query, (name,)).fetchone()
        return None if row is None else self._sound(TileResult(*row))

    def _sound(self, tile: TileResult) -> TileResult:
        if tile.digest != result_digest(tile.name, tile.pairs):
            raise StoreDamagedError(
                f"catalog {self.path}",
                f"the pairs of tile {tile.name} are not what their digest says",
                "a result as it was committed",
                "Run `reprise check --repair`, then `reprise correlate`: it redoes just what is lost",
            )
        return tile

    def stored_tiles(self, settings: str, which: str = "") -> Iterator[TileResult]:
        """Results under these settings, by name, with or without pairs, as they are."""
        query = f"SELECT {TILE_COLUMNS} FROM tile WHERE settings = ? {which} ORDER BY name"
        return (TileResult(*row) for row in self.connection.execute(query, (settings,)))

    # ---- judgements ----

    def judgements(self, where: str = "", parameters: Sequence[Any] = ()) -> Iterator[Judgement]:
        """What people said, oldest first."""
        query = f"SELECT content_a, content_b, same, score, judged FROM judgement {where} ORDER BY judged, 1, 2"
        rows = self.connection.execute(query, parameters)
        return (Judgement(a, b, bool(same), score, judged) for a, b, same, score, judged in rows)

    def judgement(self, content_a: bytes, content_b: bytes) -> Judgement | None:
        return next(self.judgements("WHERE (content_a, content_b) = (?, ?)", (content_a, content_b)), None)

    def put_judgement(self, judgement: Judgement) -> None:
        """Keeps what was said, in place of what was said before."""
        said = astuple(judgement)
        self.connection.execute("INSERT OR REPLACE INTO judgement VALUES (?, ?, ?, ?, ?)", said)

    def drop_judgement(self, content_a: bytes, content_b: bytes) -> None:
        query = "DELETE FROM judgement WHERE (content_a, content_b) = (?, ?)"
        self.connection.execute(query, (content_a, content_b))

    # ---- runs ----

    def begin_run(self, run: str, command: str, started: str) -> None:
        row = (run, command, started)
        self.connection.execute("INSERT OR REPLACE INTO run (id, command, started) VALUES (?, ?, ?)", row)

    def end_run(self, run: str, ended: str, ending: Ending) -> None:
        """Notes how a run ended, and forgets the runs before the last KEPT_RUN_RECORDS."""
        with self.transaction() as connection:
            connection.execute(
                "UPDATE run SET ended = ?, outcome = ?, exit_code = ?, why = ?, seconds = ?, summary = ? WHERE id = ?",
                (ended, *astuple(ending), run),
            )
            connection.execute(
                "DELETE FROM run WHERE rowid <= (SELECT rowid FROM run ORDER BY rowid DESC LIMIT 1 OFFSET ?)",
                (KEPT_RUN_RECORDS,),
            )

    def runs(self, limit: int = -1) -> Iterator[RecordedRun]:
        """The runs that wrote, newest first, `limit` at most. Not by their times: clocks are set back."""
        query = (
            "SELECT id, command, started, ended, outcome, exit_code, why, seconds, summary FROM run "
            "ORDER BY rowid DESC LIMIT ?"
        )
        rows = self.connection.execute(query, (limit,))
        return (
            RecordedRun(run, command, started, ended, Ending(*ending) if ended else None)
            for run, command, started, ended, *ending in rows
        )

    def last_run(self) -> tuple[str, str, str | None, str | None] | None:
        """Command, beginning, end and outcome of the newest run; the last two are None of one that was killed."""
        run = next(self.runs(1), None)
        if run is None:
            return None
        return run.command, run.started, run.ended, run.ending.outcome if run.ending else None
