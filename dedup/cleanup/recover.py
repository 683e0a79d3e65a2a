"""Brings a clean-up that was interrupted, at whatever moment, to a state from which it can be resumed or undone."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING

from dedup.cleanup import records
from dedup.cleanup.rename import Rename
from dedup.cleanup.steps import Delete, Move, Rewrite, Share, Trash, is_anything
from dedup.errors import ServerError

if TYPE_CHECKING:
    from dedup.cleanup.journal import Entry, JournalWriter
    from dedup.files.held import Reach
    from dedup.store.store import Store


def recover(store: Store, writer: JournalWriter, reach: Reach) -> None:
    """Recovers each step that was broken off, and brings the catalog up to what is done."""
    recover_steps(writer, reach)
    with store.catalog.gathered() as commit_in_time:
        for _, entry in writer.journal.steps_of("done"):
            with contextlib.suppress(OSError):  # what cannot be read now is not entered: the next scan does that
                _enter(store, entry, reach)
            commit_in_time()


def recover_steps(writer: JournalWriter, reach: Reach) -> None:
    """Recovers each step that was broken off. It stays "begun" if the system, or a media server,
    does not say how far it came."""
    for number, entry in list(writer.journal.steps_of("begun")):
        with contextlib.suppress(OSError, ServerError):
            writer.set_state(number, "done" if entry.step.recover(reach) else "dropped")


def _enter(store: Store, entry: Entry, reach: Reach) -> None:
    """Enters a finished step in the catalog, which may know it already."""
    step = entry.step
    if isinstance(step, (Move, Trash, Delete)) and not is_anything(reach, step.path):
        if store.catalog.tracks.get(step.path) is not None:
            records.drop_track(store, step.path)
    elif isinstance(step, Rename) and entry.known is not None:
        records.move_track(store, entry.known, step.path, step.target, step.root, reach)
    elif isinstance(step, (Share, Rewrite)) and not records.is_known(store, step.path, reach) and step.recover(reach):
        records.renew(store, step.path, reach)
