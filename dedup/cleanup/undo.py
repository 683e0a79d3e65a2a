"""A clean-up taken back, or one that was broken off brought to a state from which it can go on."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dedup.cleanup import records
from dedup.cleanup.checks import Refusal
from dedup.cleanup.journal import Entry, JournalWriter
from dedup.cleanup.steps import Delete, Move, RemoveFolder, Rewrite, Share, Trash
from dedup.errors import RepriseError, WriteError

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.store.store import Store


@dataclass
class Undone:
    """What came of taking a clean-up back."""

    n_files: int = 0
    """That are in their places again, with bytes of their own."""
    n_rewritten: int = 0
    """That got back their tags or entries."""
    n_folders: int = 0
    failed: list[Refusal] = field(default_factory=list)
    left: int = 0
    """Steps that a stop came before."""


def settle(store: Store, writer: JournalWriter) -> None:
    """Ends each step that was begun and broken off, and brings the catalog up to what is done."""
    settle_steps(writer)
    for _, entry in writer.journal.steps_of("done"):
        with contextlib.suppress(OSError):  # of what cannot be read now nothing is entered: the next scan does
            _enter(store, entry)


def settle_steps(writer: JournalWriter) -> None:
    """Ends each step that was begun and broken off. One of which the system does not tell how far it came stays so."""
    for number, entry in list(writer.journal.steps_of("begun")):
        with contextlib.suppress(OSError):
            writer.set_state(number, "done" if entry.step.settle() else "dropped")


def _enter(store: Store, entry: Entry) -> None:
    """Lets the catalog know of a step that is done; it may know already."""
    step = entry.step
    if isinstance(step, (Move, Trash, Delete)) and not os.path.lexists(step.path):
        if store.catalog.tracks.get(step.path) is not None:
            records.forget(store, step.path)
    elif isinstance(step, (Share, Rewrite)) and not records.is_known(store, step.path) and step.settle():
        records.renew(store, step.path)


def undo(store: Store, writer: JournalWriter, observer: Observer, stop: Stop) -> Undone:
    """Takes back every step, the last first. What cannot be taken back is told, and the rest goes on; calling again
    tries it again."""
    undone = Undone()
    if not writer.journal.undoing:
        writer.begin_undoing()
    settle_steps(writer)
    entries = sorted(writer.journal.steps_of("begun", "done"), reverse=True)
    observer.stage("undo", len(entries), "steps")
    for at, (number, entry) in enumerate(entries):
        if stop.requested:
            undone.left = len(entries) - at
            break
        _take_back(store, writer, number, entry, undone, observer)
        observer.advance()
    return undone


def _take_back(
    store: Store, writer: JournalWriter, number: int, entry: Entry, undone: Undone, observer: Observer
) -> None:
    step = entry.step
    try:
        step.undo()
    except (OSError, RepriseError) as error:
        if isinstance(error, WriteError):
            raise
        reason = f"refused by the system: {error.strerror or error}" if isinstance(error, OSError) else str(error)
        undone.failed.append(Refusal(step.path, reason))
        observer.problem("failed", step.path, reason)
        return
    if isinstance(step, (Move, Trash)) and entry.known is not None:
        records.restore(store, entry.known)
    elif isinstance(step, (Share, Rewrite)) and os.path.exists(step.path):
        records.renew(store, step.path)
    writer.set_state(number, "undone")
    undone.n_files += isinstance(step, (Move, Trash, Delete, Share))
    undone.n_rewritten += isinstance(step, Rewrite)
    undone.n_folders += isinstance(step, RemoveFolder)
