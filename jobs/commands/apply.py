"""`reprise apply`: carries out a plan."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dedup.errors import (
    EXIT_DONE,
    EXIT_NOTHING_TO_DO,
    EXIT_SOME_FAILED,
    UsageError,
)
from jobs.session import options, stores
from jobs.session.failures import going_on
from jobs.session.helping import Command
from jobs.session.listeners import present_paths
from jobs.session.output import count_text
from jobs.session.run import Run, session
from jobs.show.ask import is_agreed
from jobs.show.cleanups import applied_record, edited_text, show_applied

if TYPE_CHECKING:
    from dedup.cleanup.apply import Applied
    from dedup.store.store import Store

BROKEN_OFF = "stopped; `reprise apply --resume` goes on from there, `reprise undo` takes back what was done"


@click.command("apply", cls=Command)
@click.argument("plan", metavar="[PLAN]", required=False, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check every entry and change nothing.")
@click.option("--resume", "resumed", is_flag=True, help="Go on with the plan that was interrupted.")
@click.option("--yes", is_flag=True, help="Do not ask before files are deleted for good.")
@options.protect
@options.trusted
@options.common
@session
def apply(run: Run, plan: Path | None, dry_run: bool, resumed: bool, yes: bool) -> int:
    """Carry out PLAN, which `reprise plan -o PLAN` wrote.

    Each entry is checked against the files once more. An entry that no longer holds is refused with the reason, and the
    others are carried out. An entry that was changed by hand lets nothing go that only its file holds, unless you
    allow it here. Every step is written to a journal before it is done: even after a kill, `--resume` goes on
    and `reprise undo` takes everything back."""
    if resumed == (plan is not None):
        found = "both PLAN and --resume are given" if resumed else "neither PLAN nor --resume is given"
        raise UsageError("apply", found, remedy="Give one of them")
    if resumed and dry_run:
        raise UsageError("apply --resume", "cannot be combined with --dry-run", remedy="Leave out one of them")
    run.last_words = BROKEN_OFF
    with going_on(run.settings.store), stores.for_writing(run) as store:
        applied = _applied(run, store, plan, dry_run, yes)
        run.conclude(_code(applied), applied_record(applied))
    run.observer.close()
    show_applied(run.output, applied, dry_run)
    return run.exit_code


def _applied(run: Run, store: Store, path: Path | None, dry_run: bool, yes: bool) -> Applied:
    from dedup.cleanup.allowed import Allowed
    from dedup.cleanup.apply import apply_plan, check_plan, resume_plan
    from dedup.plan.document import read_plan
    from dedup.servers.link import open_links

    observer, stop = run.observer, run.stop
    settings, cleanup = run.settings, run.settings.cleanup()
    allowed = Allowed(
        settings.match(), cleanup.let_go, cleanup.break_albums, cleanup.to, settings.keep(), cleanup.protect_loved
    )
    links = open_links(settings.servers, lambda: present_paths(store))
    if path is None:
        return resume_plan(store=store, observer=observer, stop=stop, allowed=allowed, links=links)
    plan = read_plan(os.fsencode(path))
    if dry_run:
        return check_plan(store=store, plan=plan, observer=observer, stop=stop, allowed=allowed, links=links)
    may_delete = _anything if yes else _may_delete
    return apply_plan(
        store=store,
        plan=plan,
        observer=observer,
        stop=stop,
        may_delete=may_delete,
        allowed=allowed,
        links=links,
    )


def _anything(n_files: int, n_edited: int) -> bool:  # noqa: ARG001
    return True


def _may_delete(n_files: int, n_edited: int) -> bool:
    edited = f" {edited_text(n_edited)}." if n_edited else ""
    return is_agreed(f"Delete {count_text(n_files, 'file')} for good?{edited}")


def _code(applied: Applied) -> int:
    if applied.refused:
        return EXIT_SOME_FAILED
    return EXIT_DONE if applied.has_changes or applied.left else EXIT_NOTHING_TO_DO
