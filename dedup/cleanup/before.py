"""What earlier clean-ups did of a plan: a plan may be applied again, and what is done by then is no refusal."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable
from pathlib import Path

from dedup.cleanup.checks import Refusal
from dedup.cleanup.journal import read_journal
from dedup.cleanup.steps import Delete, Move, Share, Trash
from dedup.store.ledgers import JOURNAL, digest_of, folders_of, opened_lines


def done_before(store: Path, plan: bytes) -> dict[bytes, int]:
    """The files that clean-ups of this very plan let go and that were not put back, each with the number of the
    clean-up. Of other clean-ups only the first line is read. Raises JournalError for one that cannot be read."""
    digest, done = digest_of(plan), dict[bytes, int]()
    for folder in folders_of(store):
        if _digest_in(folder) == digest:
            for _, entry in read_journal(folder).steps_of("done"):
                if isinstance(entry.step, (Move, Trash, Delete, Share)):
                    done[entry.step.path] = int(folder.name)
    return done


def told_apart(refused: Iterable[Refusal], done: dict[bytes, int]) -> tuple[tuple[Refusal, ...], Counter[int]]:
    """The entries that are refused, and how many each clean-up has done before, by its number."""
    before: Counter[int] = Counter()
    left = []
    for refusal in refused:
        if refusal.path in done:
            before[done[refusal.path]] += 1
        else:
            left.append(refusal)
    return tuple(left), before


def _digest_in(folder: Path) -> str | None:
    """The digest of the plan with which a clean-up began, if its first line tells."""
    with contextlib.suppress(OSError, ValueError):
        first = next(opened_lines(folder / JOURNAL), {})
        return str(first.get("plan"))
    return None
