"""The catalog in SQLite: one attribute per table, and each table's module owns every query on it. The module of the
table whose rows a query returns owns a query over several tables.

SQLite's errors pass through unchanged; `store` turns those that mean damage into StoreDamagedError, whatever the
program was doing."""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from importlib import resources
from pathlib import Path
from typing import Any, NamedTuple

from dedup.store.audios import Audios
from dedup.store.backups import Backups
from dedup.store.comparisons import Comparisons
from dedup.store.database import Database
from dedup.store.fingerprints import Fingerprints
from dedup.store.judgements import StoredJudgements
from dedup.store.layout import Layout
from dedup.store.lookups import Lookups
from dedup.store.measurements import Measurements
from dedup.store.meta import Meta
from dedup.store.namings import NAMINGS, StoredNamings
from dedup.store.nulltests import NullTests
from dedup.store.pitches import Pitches
from dedup.store.probes import Probes
from dedup.store.results import Results
from dedup.store.runs import Runs
from dedup.store.sealed import SealedBlocks
from dedup.store.table import Table
from dedup.store.tracks import Tracks
from dedup.store.waiting import PAIRS, WaitingFile
from dedup.store.words import Words


class State(NamedTuple):
    """What a catalog holds, as digests of 16 bytes."""

    read: bytes
    """Of what scans and comparisons gave, and of settings."""
    said: bytes
    """Of judgements, and the comparisons that they asked for."""
    tests: bytes
    """Of null tests."""


class Catalog(Database):
    """The SQLite side of a store."""

    def __init__(self, path: Path, writable: bool = True) -> None:
        """Opens the catalog; makes an empty one if there is none and `writable`. Raises sqlite3.Error."""
        super().__init__(path, writable)
        self.meta = Meta(self)
        self.fingerprints = Fingerprints(self)
        self.audios = Audios(self, self.fingerprints)
        self.measurements = Measurements(self)
        self.tracks = Tracks(self, self.audios, self.fingerprints, self.measurements)
        self.probes = Probes(self)
        self.blocks = SealedBlocks(self)
        self.results = Results(self)
        layout = Layout(path.parent)
        self.judgements = StoredJudgements(self, self.meta, WaitingFile(layout.waiting, PAIRS))
        self.namings = StoredNamings(self, self.meta, WaitingFile(layout.waiting_namings, NAMINGS))
        self.words: tuple[Words[Any], ...] = (self.judgements, self.namings)
        """The tables of what people say."""
        self.runs = Runs(self)
        self.nulltests = NullTests(self)
        self.comparisons = Comparisons(self)
        self.pitches = Pitches(self)
        self.lookups = Lookups(self)
        self.backups = Backups(self)
        self.sealed_tables: tuple[Table, ...] = (
            *(self.meta, self.blocks, self.fingerprints, self.audios, self.tracks, self.probes, self.results),
            *(self.judgements, self.runs, self.nulltests, self.comparisons, self.pitches),
            *(self.lookups, self.namings, self.measurements, self.backups),
        )
        """The tables whose rows carry a digest: all except `tail`."""
        self._state: tuple[object, State] | None = None
        """What `state` gave, and what tells whether anything was written since."""

    def state(self) -> State:
        """The digests of the digests of all rows from which results come, those of all tables except `run`, `probe`,
        `lookup`, `naming`, `measurement`, `backed_up`, and `pitches`, of which tiles hold the results, and of what
        waits beside the catalog. Equal ones give equal results under the same settings. 0.3 µs a row."""
        said: tuple[Table, ...] = (self.judgements, self.comparisons)
        beside = (self.lookups, self.namings, self.measurements, self.backups)
        others = (*said, *beside, self.nulltests, self.runs, self.probes, self.pitches)
        read = (table for table in self.sealed_tables if table not in others)
        waiting = "".join(each.mark for each in self.judgements.waiting.read().waiting)
        now = self.commits_seen(), self.connection.total_changes, waiting
        if self._state is None or self._state[0] != now:
            self._state = now, State(_digest_of(read), _digest_of(said, waiting), _digest_of([self.nulltests]))
        return self._state[1]

    def create(self, meta: dict[str, Any]) -> None:
        """Creates the tables of a new store and its stamp, in one transaction."""
        with self.transaction():
            for statement in resources.files("dedup.store").joinpath("schema.sql").read_text().split(";"):
                self.connection.execute(statement)
            self.meta.update(meta)


def _digest_of(tables: Iterable[Table], also: str = "") -> bytes:
    digest = blake2b(also.encode(), digest_size=16)
    for table in tables:
        digest.update(table.name.encode() + b"\0")
        digest.update(table.row_digests())
    return digest.digest()
