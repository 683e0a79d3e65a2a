"""`reprise resolve`: a person goes through the groups one by one, into a plan. Every answer is in the file at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO
from jobs.session import options, stores
from jobs.session.output import Output, path_text
from jobs.session.run import Run, reader
from jobs.show.groups import tell_unfinished
from jobs.show.plan_text import totals_text

if TYPE_CHECKING:
    from dedup.plan.resolve import Resolved


@click.command("resolve")
@click.option(
    "-o",
    "--output",
    "written",
    metavar="FILE",
    type=click.Path(path_type=bytes),
    required=True,
    help="Keep the plan in this file.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Ask about at most N groups.")
@click.option("--again", is_flag=True, help="Ask about groups that were skipped before too.")
@options.keep
@options.cleanup
@options.match
@options.common
@reader
def resolve(run: Run, written: bytes, limit: int | None, again: bool) -> int:
    """Go through the groups, most bytes reclaimable first, and say what becomes of each. Changes no file of yours.

    Enter keeps the file that the rules chose, a number another one; n says that some are not the same, for good; m
    chooses between tags that contradict each other; s leaves the group as it is. Every answer is kept at once, in a
    plan that `reprise apply FILE` carries out. If FILE is from an earlier review, or from `reprise plan` or `reprise
    full --auto`, you are only asked about groups that are not in it, whose files have changed, or that it calls
    "uncertain". --to and other settings of the whole plan are those of the last run.

    Copies that score less than --ask stay. --auto does not count here: you may decide about any score."""
    from dedup.plan.resolve import resolve_groups
    from jobs.show.question import TerminalReviewer

    with stores.for_reading(run) as store:
        tell_unfinished(run, store)
    resolved = resolve_groups(
        folder=run.settings.store,
        path=written,
        match=run.settings.match(),
        keep=run.settings.keep(),
        settings=run.settings.cleanup(),
        reviewer=TerminalReviewer(run.output, written, run.observer.close),
        observer=run.observer,
        again=again,
        limit=limit,
    )
    show_resolved(run.output, resolved, written)
    return EXIT_DONE if resolved.n_before else EXIT_NOTHING_TO_DO


def show_resolved(output: Output, resolved: Resolved, path: bytes) -> None:
    """What was answered, and what the plan in the file at `path` amounts to."""
    from dedup.files.paths import json_path
    from dedup.plan.document import totals

    if resolved.was_interrupted:
        output.text()
    counts = {
        "keep": resolved.keep,
        "different": resolved.different,
        "skip": resolved.skip,
        "left": resolved.left,
    }
    output.result({"event": "resolve", **counts, **json_path(path), **totals(resolved.plan)})
    text = f"resolved  {resolved.keep:,} kept, {resolved.different:,} not the same, {resolved.skip:,} skipped"
    text += f", {resolved.left:,} left"
    output.note(f"{text}; the same command goes on" if resolved.left else text)
    if resolved.plan.groups:
        output.note(f"plan      {totals_text(resolved.plan)}")
    if resolved.plan.n_files:
        output.note(f"          `reprise apply {path_text(path)}` does it")
