"""`reprise undo` and `reprise history`: clean-ups taken back, and the list of them."""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import click

from dedup.errors import EXIT_DONE, EXIT_SOME_FAILED
from jobs.commands.apply import show_refusals
from jobs.session import options, stores
from jobs.session.output import Column, count_text, size_text
from jobs.session.run import Run, reader, session, utc_now

if TYPE_CHECKING:
    from dedup.cleanup.journal import Journal
    from dedup.cleanup.undo import Undone

COLUMNS = (
    Column("number", "number"),
    Column("began", "began"),
    Column("state", "state"),
    Column("files", "files"),
    Column("bytes", "size", size_text),
    Column("rewritten", "rewritten"),
)


@click.command("undo")
@click.argument("number", metavar="[NUMBER]", required=False, type=click.IntRange(min=1))
@options.common
@session
def undo(run: Run, number: int | None) -> int:
    """Take a clean-up back: files, tags, covers, playlists, folders.

    NUMBER is one of `reprise history`; without it, the last one that was not taken back. Each file is compared with
    what it was; what cannot be put back is told, with the reason, and can be tried again."""
    from dedup.cleanup.journal import JournalWriter, to_be_undone
    from dedup.cleanup.undo import undo as take_back

    run.last_words = f"stopped; `reprise undo{f' {number}' if number else ''}` goes on from there"
    with stores.for_writing(run) as store:
        journal = to_be_undone(store.layout.folder, number)
        with contextlib.closing(JournalWriter(journal)) as writer:
            undone = take_back(store, writer, run.observer, run.stop)
            if not run.stop.requested:
                writer.end_undoing(utc_now())
        run.conclude(EXIT_SOME_FAILED if undone.failed else EXIT_DONE, undone_record(journal, undone))
    run.observer.close()
    show_undone(run, journal, undone)
    return run.exit_code


def undone_record(journal: Journal, undone: Undone) -> dict[str, Any]:
    """For programs."""
    return {
        "number": int(journal.id),
        "files": undone.n_files,
        "rewritten": undone.n_rewritten,
        "folders": undone.n_folders,
        "failed": len(undone.failed),
        "left": undone.left,
    }


def show_undone(run: Run, journal: Journal, undone: Undone) -> None:
    """What could not be put back, and what was."""
    show_refusals(run, "failed", undone.failed)
    run.output.result({"event": "undo", **undone_record(journal, undone)})
    text = f"clean-up {int(journal.id)}: {count_text(undone.n_files, 'file')} put back"
    text += f", {undone.n_rewritten:,} rewritten as before, {count_text(undone.n_folders, 'folder')} made again"
    run.output.note(text + (f"; {len(undone.failed):,} failed" if undone.failed else ""))


@click.command("history")
@options.common
@reader
def history(run: Run) -> None:
    """List the clean-ups of this store, oldest first."""
    from dedup.cleanup.journal import past
    from dedup.store.store import open_for_reading

    with open_for_reading(run.settings.store) as store:
        records = [history_record(journal) for journal in past(store.layout.folder)]
    run.output.table(COLUMNS, records)
    run.output.note(count_text(len(records), "clean-up"))


def history_record(journal: Journal) -> dict[str, Any]:
    """One clean-up: `files` and `bytes` that are away now, and files that are rewritten now."""
    from dedup.cleanup.journal import summary_of

    summary = summary_of(journal)
    return {
        "number": int(journal.id),
        "began": journal.began,
        "state": journal.state,
        "files": summary.n_files,
        "bytes": summary.n_bytes,
        "rewritten": summary.n_rewritten,
    }
