"""The table `naming`: what people said about which recording a sound is. What still waits beside the catalog counts as
if it were in the table."""

from __future__ import annotations

import json
import re
from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

from dedup.plain_text import json_text
from dedup.store.waiting import Form
from dedup.store.words import Words

TAKEN_IN = "waiting-namings"

_SUBJECT = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Naming:
    """What a person said about a sound."""

    subject: str
    """Digest of its fingerprint, in hexadecimal."""
    answer: dict[str, Any] | None
    """What was said (`lookup.said`); None if that is taken back."""
    said: str
    """Time, UTC, such as "2026-02-28T21:30:00Z"."""
    mark: str = ""
    """Digest of the line in which it waits."""


def naming_record(naming: Naming) -> dict[str, Any]:
    return {"subject": naming.subject, "answer": naming.answer, "said": naming.said}


def naming_in(record: dict[str, Any], mark: str) -> Naming:
    """Raises ValueError, KeyError or TypeError for a record that nobody may have written."""
    subject, answer = record["subject"], record["answer"]
    if not _SUBJECT.fullmatch(subject) or not (answer is None or isinstance(answer, dict)):
        raise ValueError("says nothing about a sound")
    return Naming(subject, answer, str(record["said"]), mark)


NAMINGS = Form(naming_record, naming_in)


class StoredNamings(Words[Naming]):
    """One row per fingerprint about which a person said something: the last word."""

    name = "naming"
    taken_in = TAKEN_IN

    def create(self) -> None:
        """Makes the table in a catalog that has none, as `schema.sql` does."""
        self.connection.execute(
            "CREATE TABLE naming (subject TEXT PRIMARY KEY, answer TEXT NOT NULL, said TEXT NOT NULL, "
            "row_digest BLOB NOT NULL DEFAULT x'') STRICT, WITHOUT ROWID"
        )

    def get_all(self, subjects: Collection[str]) -> dict[str, Naming]:
        """What was said about these subjects, by subject; of those about which something was. Raises
        StoreDamagedError as `rows_of` does."""
        waiting = self.last_waiting()  # first: whoever takes it in meanwhile has committed it before it is gone
        wanted = set(subjects)
        found = {row[0]: _of_row(row) for row in self.rows_of("subject", wanted)}
        return _with_waiting(found, {key: word for key, word in waiting.items() if key[0] in wanted})

    def all(self) -> list[Naming]:
        """All that was said, the oldest first."""
        waiting = self.last_waiting()
        found = _with_waiting({row[0]: _of_row(row) for row in self.read_rows()}, waiting)
        return sorted(found.values(), key=lambda each: (each.said, each.subject))

    def take(self, word: Naming) -> None:
        if word.answer is None:
            self.drop_row((word.subject,))
        else:
            text = json_text(word.answer, separators=(",", ":"))
            self.put_rows([(word.subject, text, word.said)], "INSERT OR REPLACE")

    def key_of(self, word: Naming) -> tuple[str]:
        return (word.subject,)


def _of_row(row: tuple[Any, ...]) -> Naming:
    subject, answer, said = row
    return Naming(subject, json.loads(answer), said)


def _with_waiting(found: dict[str, Naming], waiting: dict[tuple[Any, ...], Naming]) -> dict[str, Naming]:
    """The rows with the last word about each subject in place of an earlier one."""
    merged = found | {word.subject: word for word in waiting.values()}
    return {subject: naming for subject, naming in merged.items() if naming.answer is not None}
