"""What is known, in SQLite: an attribute for each table, whose module owns every query on it. A query over several
tables is owned by the module of the table whose rows it gives.

Errors of SQLite pass through here as they are; `store` tells those that mean damage as StoreDamagedError, whatever was
being done when they came."""

from __future__ import annotations

from importlib import resources
from pathlib import Path
from typing import Any

from dedup.store.audios import Audios
from dedup.store.database import Database
from dedup.store.fingerprints import Fingerprints
from dedup.store.judgements import StoredJudgements
from dedup.store.meta import Meta
from dedup.store.probes import Probes
from dedup.store.results import Results
from dedup.store.runs import Runs
from dedup.store.sealed import SealedBlocks
from dedup.store.tracks import Tracks


class Catalog(Database):
    """The SQLite side of a store."""

    def __init__(self, path: Path, writable: bool = True) -> None:
        """Opens the catalog; makes an empty one where there is none, if `writable`. Raises sqlite3.Error."""
        super().__init__(path, writable)
        self.meta = Meta(self)
        self.tracks = Tracks(self)
        self.probes = Probes(self)
        self.audios = Audios(self)
        self.fingerprints = Fingerprints(self)
        self.blocks = SealedBlocks(self)
        self.results = Results(self)
        self.judgements = StoredJudgements(self)
        self.runs = Runs(self)

    def create(self, meta: dict[str, Any]) -> None:
        """Makes the tables of a new store and its stamp, in one transaction."""
        with self.transaction():
            for statement in resources.files("dedup.store").joinpath("schema.sql").read_text().split(";"):
                self.connection.execute(statement)
            self.meta.update(meta)
