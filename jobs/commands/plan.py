"""`reprise plan`: shows what would happen to the copies, for a person to review and `reprise apply` to carry out."""

from __future__ import annotations

import itertools
import os
from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, PlanError, UsageError
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.listeners import ask_servers
from jobs.session.output import Output, complain, path_text
from jobs.session.run import Run, reader
from jobs.show.groups import AT_ONCE, tell_unfinished
from jobs.show.plan_text import totals_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedup.groups.matches import Matches
    from dedup.plan.nouns import Plan

FILE = click.Path(path_type=bytes)


@click.command("plan", cls=Command)
@click.option("-o", "--output", "written", metavar="FILE", type=FILE, help="Write the plan, as JSON, to this file.")
@click.option(
    "--check", "checked", metavar="FILE", type=FILE, help="Only check whether the plan in this file is sound."
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show only the first N groups.")
@click.option("--unprotect", metavar="DIR", multiple=True, type=FILE, help="Stop protecting this folder. Repeatable.")
@options.keep
@options.cleanup
@options.match
@options.workers
@options.common
@reader
def plan(run: Run, written: bytes | None, checked: bytes | None, limit: int | None, unprotect: Sequence[bytes]) -> int:
    """Show which copies would go, which would stay, and why. Changes none of your files.

    With -o the plan is saved in a file that you can edit: remove entries, change actions, keep another copy.
    `reprise apply FILE` carries it out."""
    from dedup.plan.make import plan_copies

    if checked is not None:
        if written is not None:
            raise UsageError("plan --check", "cannot be combined with -o", remedy="Leave out one of them")
        return show_check(run.output, checked)
    with stores.for_reading(run) as store:
        tell_unfinished(run, store)
    ask_servers(run)
    made = plan_copies(
        folder=run.settings.store,
        match=run.settings.match(),
        keep=run.settings.keep(),
        settings=run.settings.cleanup(),
        observer=run.observer,
        purpose="reprise plan",
        ears=stores.ears(run),
        path=written,
        unprotect=[os.path.abspath(folder) for folder in unprotect],
        place=stores.place_of_matches(),
        is_document=run.output.as_json,
    )
    run.observer.close()
    show_plan(run.output, made.plan, limit, made.matches)
    if made.path is not None:
        verb = "replaced" if made.replaced else "written"
        run.output.note(f"plan    {verb}: {path_text(made.path)}; `reprise apply` does it")
    return EXIT_DONE if made.plan.n_files else EXIT_NOTHING_TO_DO


def show_check(output: Output, path: bytes) -> int:
    """Reports each problem of the plan in a file on one line; raises PlanError if there are any."""
    from dedup.plan.document import read_plan, totals

    try:
        found = read_plan(path)
    except PlanError as error:
        for problem in error.problems:
            complain(f"{path_text(path)}: {problem}")
            output.result({"event": "problem", "problem": problem})
        raise
    output.result({"event": "check", "problems": 0, **totals(found)})
    output.note(f"{path_text(path)}: the plan is sound; {totals_text(found)}")
    return EXIT_DONE


def show_plan(output: Output, plan: Plan, limit: int | None, matches: Matches | None = None) -> None:
    """Shows the plan: to programs as the document on one line, to people group by group."""
    from dedup.plan.document import to_bytes
    from jobs.show.plan_text import plan_lines

    if output.as_json:
        output.raw(to_bytes(plan, indent=None))
        output.flush()
    else:
        blocks = plan_lines(plan, limit, output.look, matches)
        while some := list(itertools.islice(blocks, AT_ONCE)):
            output.laid([line for block in some for line in (*block, "")])
    output.note(f"total   {totals_text(plan)}")
