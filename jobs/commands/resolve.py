"""`reprise resolve`: a person reviews the groups one by one, which makes a plan. Every answer is saved at once."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.listeners import ask_servers
from jobs.session.output import Output, path_text
from jobs.session.run import Run, reader
from jobs.show.groups import tell_unfinished
from jobs.show.plan_text import totals_text
from jobs.show.summaries import resolved_text

if TYPE_CHECKING:
    from dedup.plan.resolve import Resolved


@click.command("resolve", cls=Command)
@click.option(
    "-o",
    "--output",
    "written",
    metavar="FILE",
    type=click.Path(path_type=bytes),
    required=True,
    help="Save the plan in this file.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Ask about at most N groups.")
@click.option("--again", is_flag=True, help="Also ask about groups that were skipped before.")
@options.keep
@options.cleanup
@options.match
@options.workers
@options.common
@reader
def resolve(run: Run, written: bytes, limit: int | None, again: bool) -> int:
    """Review the groups, most reclaimable bytes first, and decide what happens to each. Changes none of your files.

    Enter keeps the file that the rules chose, a number keeps another one; n records for good that some files are not
    the same; a keeps all files; l lets copies go that stay only for what they hold; m chooses between conflicting tags;
    s leaves the group alone for now. Every answer is saved at once, in a plan that `reprise apply FILE` carries out,
    also while another run holds the store; several reviews may write one FILE. If FILE is from an earlier review, or
    from `reprise plan` or `reprise full --auto`, you are only asked about groups that are not in it, whose files have
    changed, that it calls "uncertain", or in which a file stays for what it holds. --to and other settings of the whole
    plan are those of the last run.

    Copies that score less than --ask stay. --auto has no effect here: you can decide about any score."""
    from dedup.plan.resolve import resolve_groups
    from jobs.show.question import TerminalReviewer

    with stores.for_reading(run) as store:
        tell_unfinished(run, store)
    ask_servers(run)
    resolved = resolve_groups(
        folder=run.settings.store,
        path=written,
        match=run.settings.match(),
        keep=run.settings.keep(),
        settings=run.settings.cleanup(),
        reviewer=TerminalReviewer(run.output, written, run.observer.close),
        observer=run.observer,
        place=stores.place_of_matches(),
        purpose="reprise resolve",
        ears=stores.ears(run),
        again=again,
        limit=limit,
    )
    show_resolved(run.output, resolved, written)
    return EXIT_DONE if resolved.n_before else EXIT_NOTHING_TO_DO


def show_resolved(output: Output, resolved: Resolved, path: bytes) -> None:
    """Shows what was answered, and the totals of the plan in the file at `path`."""
    from dedup.files.paths import json_path
    from dedup.plan.document import totals

    if resolved.was_interrupted:
        output.text()
    counts = {
        "keep": resolved.keep,
        "keep_all": resolved.keep_all,
        "different": resolved.different,
        "skip": resolved.skip,
        "left": resolved.left,
    }
    output.result({"event": "resolve", **counts, **json_path(path), **totals(resolved.plan)})
    text = f"resolved  {resolved_text(resolved)}"
    output.note(f"{text}; run the same command to go on" if resolved.left else text)
    if resolved.plan.groups:
        output.note(f"plan      {totals_text(resolved.plan)}")
    if resolved.plan.n_files:
        output.note(f"          `reprise apply {path_text(path)}` does it")
