"""What lies in quarantine: as text for people, and as records for programs."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dedup.clock import seconds_of
from jobs.session.output import Output, count_text, local_time, path_text, size_text
from jobs.show.cleanups import show_refusals
from jobs.show.entries import Entry, name_lines
from jobs.show.groups import common_folder

if TYPE_CHECKING:
    from dedup.cleanup.checks import Refusal
    from dedup.cleanup.quarantine import Batch, Emptied, Listing
    from jobs.session.lines import Look

SHOWN_FILES = 10
"""Most files of one clean-up that are shown."""

SIZE_CELLS = 9
"""Cells of a size before a path."""

SHOWN_LEFT = 20
"""Most files that are never removed and are shown."""


def show_listing(output: Output, listing: Listing) -> None:
    """Shows the files of each clean-up, what is left in any case, and the totals."""
    for record in _records(listing):
        output.result(record)
    if not output.as_json:
        for batch in listing.batches:
            output.laid([*_batch_lines(batch, output.look), ""])
    show_left(output, listing.left)
    output.result(
        {"event": "quarantine", "files": listing.n_files, "bytes": listing.n_bytes, "left": len(listing.left)}
    )
    output.note(f"in quarantine: {count_text(listing.n_files, 'file')}, {size_text(listing.n_bytes)}")
    if listing.n_files:
        output.note("`reprise undo` puts them back; `reprise quarantine --empty` removes them for good")


def _batch_lines(batch: Batch, look: Look) -> Iterator[str]:
    age = age_text(time.time() - seconds_of(batch.when))
    heading = f"clean-up {batch.cleanup}, {local_time(batch.when)} ({age}): {count_text(len(batch.files), 'file')}"
    yield look.styled(f"{heading}, {size_text(batch.n_bytes)}", "bold")
    folder = common_folder(held.step.target for held in batch.files)
    yield from look.wrapped(f"in {path_text(folder)}", hanging=2)
    for held in batch.files[:SHOWN_FILES]:
        entry = Entry(path_text(held.step.target.removeprefix(folder)), mark=size_text(held.step.size))
        yield from name_lines(entry, look, SIZE_CELLS)
    if len(batch.files) > SHOWN_FILES:
        yield f"and {len(batch.files) - SHOWN_FILES:,} more; --json lists all"


def _records(listing: Listing) -> Iterator[dict[str, Any]]:
    from dedup.files.paths import json_path

    for batch in listing.batches:
        for held in batch.files:
            yield {
                "event": "quarantined",
                "cleanup": batch.cleanup,
                **json_path(held.step.target),
                "was": os.fsdecode(held.step.path),
                "bytes": held.step.size,
                "when": batch.when,
            }


def show_left(output: Output, left: Sequence[Refusal]) -> None:
    """Names what is in a quarantine and is never removed."""
    shown = left if output.as_json else left[:SHOWN_LEFT]
    show_refusals(output, "left", shown)
    if len(shown) < len(left):
        output.note(f"left: {len(left) - len(shown):,} more; --json lists all")


def show_emptied(output: Output, emptied: Emptied, left: Sequence[Refusal]) -> None:
    """Shows what was removed for good, and what is left, and why."""
    show_refusals(output, "failed", emptied.refused)
    show_left(output, left)
    output.result({"event": "emptied", **emptied_record(emptied)})
    if not emptied.n_files and not emptied.refused and not emptied.left:
        output.note("nothing to remove")
        return
    text = f"removed for good: {count_text(emptied.n_files, 'file')}, {size_text(emptied.n_bytes)}"
    output.note(text + (f"; {len(emptied.refused):,} failed" if emptied.refused else ""))


def emptied_record(emptied: Emptied) -> dict[str, Any]:
    """What was removed for good, as a record for programs."""
    return {
        "files": emptied.n_files,
        "bytes": emptied.n_bytes,
        "failed": len(emptied.refused),
        "left": emptied.left,
    }


def age_text(seconds: float) -> str:
    """How long ago something was: "today", "3 days ago"."""
    days = int(max(0.0, seconds) // 86400)
    return "today" if not days else f"{count_text(days, 'day')} ago"
