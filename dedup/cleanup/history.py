"""What the clean-ups of a store did, and how much of that is not taken back."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

from dedup.cleanup.journal import Journal, read_journal
from dedup.cleanup.rename import Rename
from dedup.cleanup.steps import Delete, Move, Rewrite, Share, Step, Trash
from dedup.store.ledgers import folders_of


class Counts(NamedTuple):
    """What steps come to."""

    files: int = 0
    """Files that went, or share the bytes of another."""
    bytes: int = 0
    rewritten: int = 0
    moved: int = 0
    """Files of music that have another path, of a reorganisation."""


NOTHING = Counts()


@dataclass(frozen=True)
class Summary:
    """A clean-up: what it did, and how much of that is not taken back."""

    number: int
    began: str
    """Time in UTC."""
    state: str
    """`Journal.state`."""
    by: str
    """Who did it, as `Journal.by`."""
    n_files: int
    """Files that are away now, or share the bytes of another."""
    n_bytes: int
    """Bytes of these files."""
    n_rewritten: int
    """Files with other tags or entries than before."""
    n_moved: int = 0
    """Files of music that have another path now than before."""
    did: Counts = NOTHING
    """What it did, taken back or not."""
    n_emptied: int = 0
    """Files that were removed from the quarantine for good."""


def history(store: Path) -> list[Summary]:
    """All clean-ups of a store, oldest first; one journal at a time is in memory. Raises JournalError for one that
    cannot be read."""
    return [_summary_of(read_journal(folder)) for folder in folders_of(store)]


def _summary_of(journal: Journal) -> Summary:
    """Counts the steps that are done, or were begun and broken off."""
    there = [entry for _, entry in journal.steps_of("begun", "done", "emptied")]
    undone = [entry for _, entry in journal.steps_of("undone") if entry.is_of_undo]
    now = _counts(entry.step for entry in there)
    return Summary(
        number=int(journal.id),
        began=journal.began,
        state=journal.state,
        by=journal.by,
        n_files=now.files,
        n_bytes=now.bytes,
        n_rewritten=now.rewritten,
        n_moved=now.moved,
        did=_counts(entry.step for entry in (*there, *undone)),
        n_emptied=_counts(entry.step for entry in there if entry.state == "emptied").files,
    )


def _counts(steps: Iterable[Step]) -> Counts:
    n_files = n_bytes = n_rewritten = n_moved = 0
    for step in steps:
        if isinstance(step, Rewrite):
            n_rewritten += 1
        elif isinstance(step, Rename):
            n_moved += step.is_last
        elif isinstance(step, (Move, Trash, Delete, Share)) and not (isinstance(step, Move) and step.is_litter):
            n_files += 1
            n_bytes += step.size
    return Counts(n_files, n_bytes, n_rewritten, n_moved)
