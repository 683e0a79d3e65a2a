"""The table `lookup`: what services on the net answered, each with the time when it was asked."""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable
from typing import Any, Literal, NamedTuple, get_args

from dedup.plain_text import json_text
from dedup.store.table import Table

Service = Literal["acoustid", "release", "recording"]
SERVICES: tuple[Service, ...] = get_args(Service)
"""Who was asked, and for what: AcoustID about a fingerprint, MusicBrainz about a release or a recording."""


class Answer(NamedTuple):
    """What a service answered."""

    asked: str
    """Time, UTC: `YYYY-MM-DDTHH:MM:SSZ`."""
    answer: dict[str, Any]
    """What is kept of it (`lookup.nouns`); empty if there is nothing."""


class Lookups(Table):
    """One row per subject and service: the digest of a fingerprint, in hexadecimal, or an identifier of MusicBrainz."""

    name, keys = "lookup", 2

    def create(self) -> None:
        """Makes the table in a catalog that has none, as `schema.sql` does."""
        self.connection.execute(
            "CREATE TABLE lookup (subject TEXT, service TEXT, asked TEXT NOT NULL, answer TEXT NOT NULL, "
            "row_digest BLOB NOT NULL DEFAULT x'', PRIMARY KEY (subject, service)) STRICT, WITHOUT ROWID"
        )

    def get_all(self, service: Service, subjects: Collection[str]) -> dict[str, Answer]:
        """The answers about these subjects, by subject; those that there are. Raises StoreDamagedError as `rows_of`
        does."""
        rows = self.rows_of("subject", subjects)
        return {subject: Answer(asked, json.loads(text)) for subject, of, asked, text in rows if of == service}

    def kept(self, service: Service, subjects: Collection[str]) -> dict[str, tuple[str, bool]]:
        """When the service was asked about these subjects, and whether it had anything, by subject; of those about
        which it was asked."""
        rows = self.rows_of("subject", subjects)
        return {subject: (asked, text != "{}") for subject, of, asked, text in rows if of == service}

    def put(self, service: Service, asked: str, answers: Iterable[tuple[str, dict[str, Any]]]) -> None:
        """Records answers by their subject, each in place of an earlier one."""
        rows = [(subject, service, asked, json_text(said, separators=(",", ":"))) for subject, said in answers]
        self.put_rows(rows, "INSERT OR REPLACE")
