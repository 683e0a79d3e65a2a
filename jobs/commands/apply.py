"""`reprise apply`: a plan carried out."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_SOME_FAILED, UsageError
from jobs.session import options, stores
from jobs.session.output import count_text, path_text, size_text
from jobs.session.run import Run, session, utc_now

if TYPE_CHECKING:
    from dedup.cleanup.apply import Applied
    from dedup.cleanup.checks import Protection, Refusal
    from dedup.cleanup.journal import JournalWriter
    from dedup.plan.nouns import Plan
    from dedup.store.store import Store

BROKEN_OFF = "stopped; `reprise apply --resume` goes on from there, `reprise undo` takes back what was done"


@click.command("apply")
@click.argument("plan", metavar="[PLAN]", required=False, type=click.Path(path_type=Path))
@click.option("--dry-run", is_flag=True, help="Check every entry, and change nothing.")
@click.option("--resume", "resumed", is_flag=True, help="Go on with the plan that was broken off.")
@click.option("--yes", is_flag=True, help="Do not ask before files are deleted for good.")
@options.protect
@options.common
@session
def apply(run: Run, plan: Path | None, dry_run: bool, resumed: bool, yes: bool) -> int:
    """Carry out PLAN, which `reprise plan -o PLAN` wrote.

    Each entry is checked against the files once more; one that does not hold is refused with its reason, and the
    rest goes on. Every step is told to a journal first: killed at any moment, `--resume` goes on and `reprise undo`
    takes all of it back."""
    if resumed == (plan is not None):
        raise UsageError("apply", "both PLAN and --resume" if resumed else "no PLAN", "one of them")
    if resumed and dry_run:
        raise UsageError("apply --resume", "found together with --dry-run", "one of them")
    run.last_words = BROKEN_OFF
    with stores.for_writing(run) as store:
        applied = resume_plan(run, store) if plan is None else apply_plan(run, store, plan, dry_run, yes)
        run.conclude(_code(applied), applied_record(applied))
    run.observer.close()
    show_applied(run, applied, dry_run)
    return run.exit_code


def apply_plan(run: Run, store: Store, path: Path, dry_run: bool, yes: bool) -> Applied:
    """Carries out the plan of a file; a dry run only checks it. Raises PlanError, JournalError where a clean-up before
    it was broken off."""
    from dedup.cleanup.apply import check_plan, require_quarantine
    from dedup.cleanup.journal import make_journal, require_none_open
    from dedup.plan.document import read_plan, to_bytes

    plan = read_plan(os.fsencode(path))
    protection = _protection(run, store, plan)
    if dry_run:
        return check_plan(store, plan, protection, run.observer, run.stop)
    require_none_open(store.layout.folder)
    require_quarantine(store, plan, protection)
    _confirm_deletions(plan, yes)
    journal = make_journal(store.layout.folder, to_bytes(plan), utc_now())
    with _writer(journal) as writer:
        return _carry_out(run, store, plan, protection, writer)


def resume_plan(run: Run, store: Store) -> Applied:
    """Goes on with the plan that was broken off. Raises JournalError where there is none."""
    from dedup.cleanup.journal import PLAN, open_journal
    from dedup.cleanup.undo import settle
    from dedup.plan.document import read_plan

    journal = open_journal(store.layout.folder)
    plan = read_plan(os.fsencode(journal.folder / PLAN))
    with _writer(journal) as writer:
        settle(store, writer)
        return _carry_out(run, store, plan, _protection(run, store, plan), writer)


def _carry_out(run: Run, store: Store, plan: Plan, protection: Protection, writer: JournalWriter) -> Applied:
    from dedup.cleanup.apply import apply

    applied = apply(store, plan, protection, writer, run.observer, run.stop)
    if not run.stop.requested:
        writer.end(utc_now())
    return applied


@contextlib.contextmanager
def _writer(journal: Any) -> Iterator[JournalWriter]:
    from dedup.cleanup.journal import JournalWriter

    with contextlib.closing(JournalWriter(journal)) as writer:
        yield writer


def _protection(run: Run, store: Store, plan: Plan) -> Protection:
    """The folders that the settings, the plan and every plan before it protect."""
    from dedup.cleanup.checks import Protection
    from dedup.store.protection import protected

    return Protection([*protected(store, run.settings.keep().protect), *plan.protect])


def _confirm_deletions(plan: Plan, yes: bool) -> None:
    n_deleted = sum(file.action == "delete" for group in plan.groups for file in group.files)
    if not n_deleted or yes:
        return
    told = f"{count_text(n_deleted, 'file')} would be deleted for good, without a way back"
    try:
        agreed = click.confirm(f"{told}. Delete?", err=True)
    except click.Abort:
        agreed = False
    if not agreed:
        raise UsageError("apply", told, "--yes, or another action", "Nothing was done")


def _code(applied: Applied) -> int:
    if applied.refused:
        return EXIT_SOME_FAILED
    changed = sum(applied.done.values()) + applied.n_merged + applied.n_playlists + applied.n_folders
    return EXIT_DONE if changed or applied.left else EXIT_NOTHING_TO_DO


def applied_record(applied: Applied) -> dict[str, Any]:
    """For programs."""
    return {
        "done": dict(applied.done),
        "bytes": applied.n_bytes,
        "merged": applied.n_merged,
        "playlists": applied.n_playlists,
        "folders_removed": applied.n_folders,
        "refused": len(applied.refused),
        "left": applied.left,
    }


def show_applied(run: Run, applied: Applied, dry_run: bool) -> None:
    """Each refusal, and what was done."""
    show_refusals(run, "refused", applied.refused)
    run.output.result({"event": "apply", "dry_run": dry_run, **applied_record(applied)})
    n_files = sum(applied.done.values())
    actions = ", ".join(f"{count:,} {action}" for action, count in sorted(applied.done.items()))
    verb = "would be done" if dry_run else "done"
    text = f"{verb}: {count_text(n_files, 'file')}" + (f" ({actions})" if actions else "")
    text += f", {size_text(applied.n_bytes)}; {applied.n_merged:,} merged, {applied.n_playlists:,} playlists rewritten"
    run.output.note(text + (f"; {len(applied.refused):,} refused" if applied.refused else ""))
    if n_files and not dry_run:
        run.output.note("`reprise undo` takes it back")


def show_refusals(run: Run, event: str, refusals: Iterable[Refusal]) -> None:
    """What was not done, each with its reason."""
    from dedup.files.paths import json_path

    for refusal in refusals:
        run.output.result({"event": event, **json_path(refusal.path), "reason": refusal.reason})
        if not run.output.as_json:
            run.output.text(f"{event}: {path_text(refusal.path)}: {refusal.reason}")
