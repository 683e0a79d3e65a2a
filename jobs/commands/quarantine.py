"""`reprise quarantine`: what clean-ups moved away, and how it is removed for good."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from dedup.clock import utc_at
from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_SOME_FAILED, UsageError
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.output import count_text, size_text
from jobs.session.run import Run, session
from jobs.show.ask import is_agreed
from jobs.show.quarantine import emptied_record, show_emptied, show_listing

if TYPE_CHECKING:
    from dedup.cleanup.quarantine import Emptied
    from dedup.store.store import Store

DAY_S = 86400


@click.command("quarantine", cls=Command)
@click.option("--empty", is_flag=True, help="Remove these files for good, after asking.")
@click.option(
    "--older-than",
    "days",
    type=click.IntRange(min=0),
    metavar="DAYS",
    help="Only files of clean-ups that ended more than DAYS days ago.",
)
@click.option("--yes", is_flag=True, help="Do not ask before files are removed.")
@options.common
@session
def quarantine(run: Run, empty: bool, days: int | None, yes: bool) -> int:
    """List the files that clean-ups moved to quarantine: they still take up their space.

    With --empty they are removed for good, and `reprise undo` cannot put them back. Only files that a clean-up of this
    store put there are removed, only if each of their bytes is as it was then, and only if the file that was kept for
    them is there. Anything else is left, and named."""
    from dedup.cleanup.quarantine import list_quarantine

    if yes and not empty:
        raise UsageError("quarantine --yes", "is given without --empty", remedy="Add --empty, or leave it out")
    before = None if days is None else utc_at(time.time() - days * DAY_S)
    if not empty:
        with stores.for_reading(run) as store:
            listing = list_quarantine(store, before)
        show_listing(run.output, listing)
        return EXIT_DONE
    run.last_words = "stopped; what is removed is gone for good, and `reprise quarantine` lists the rest"
    with stores.for_writing(run) as store:
        left = list_quarantine(store, before).left
        emptied = _emptied(run, store, before, yes)
        run.conclude(_code(emptied), emptied_record(emptied))
    run.observer.close()
    show_emptied(run.output, emptied, left)
    return run.exit_code


def _emptied(run: Run, store: Store, before: str | None, yes: bool) -> Emptied:
    from dedup.cleanup.quarantine import empty_quarantine

    def is_allowed(n_files: int, n_bytes: int) -> bool:
        run.observer.close()
        return yes or is_agreed(f"Remove {count_text(n_files, 'file')} ({size_text(n_bytes)}) for good?")

    return empty_quarantine(store=store, before=before, may_empty=is_allowed, observer=run.observer, stop=run.stop)


def _code(emptied: Emptied) -> int:
    if emptied.refused:
        return EXIT_SOME_FAILED
    return EXIT_DONE if emptied.n_files or emptied.left else EXIT_NOTHING_TO_DO
