"""`reprise report`: the groups of duplicates, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dedup.errors import UsageError
from jobs.session import options, stores
from jobs.session.run import Run, reader
from jobs.show.groups import show_beside, show_groups, show_page, tell_unfinished
from jobs.show.summaries import asked_text, groups_text, thresholds_text

if TYPE_CHECKING:
    from dedup.groups.groups import Group

FORMATS = ("table", "json", "jsonl", "csv", "html")


@click.command("report")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="Table for people; one JSON document; one JSON object per line; CSV for spreadsheets; one HTML page.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show only the first N groups.")
@click.option(
    "--spectrum", is_flag=True, help="Read the lossless files shown, and report which seem to come from lossy ones."
)
@click.option("--ask", is_flag=True, help="Ask about uncertain pairs, best evidence first, and keep your answers.")
@options.keep
@options.match
@options.common
@reader
def report(run: Run, form: str, limit: int | None, spectrum: bool, ask: bool) -> None:
    """Show the groups of duplicates, most reclaimable bytes first.

    Change the thresholds as you like: they apply to stored pairs, so nothing is compared again."""
    from dedup.groups.groups import find_groups, relations_apart

    if ask and form != "table":
        remedy = "Use the table, or --json"
        raise UsageError("--ask", f"cannot be combined with --format {form}", remedy=remedy)
    if ask:
        ask_about_uncertain(run)
    with stores.for_matching(run) as store:
        tell_unfinished(run, store)
        matches, groups = find_groups(store, match=run.settings.match(), keep=run.settings.keep())
    if run.output.as_json and form == "table":
        form = "jsonl"
    hints = spectrum_hints(run, groups[:limit]) if spectrum else None
    if form == "html":
        show_page(run.output, groups, limit, matches, hints or {})
    else:
        show_groups(run.output, groups[:limit], form, hints)
    if form == "table":
        show_beside(run.output, relations_apart(matches, groups))
        run.output.note(groups_text(groups, shown=len(groups[:limit])))
        run.output.note(thresholds_text(matches))


def ask_about_uncertain(run: Run) -> None:
    """Asks a person, except about pairs answered before, here or with `mark`."""
    from dedup.groups.groups import find_uncertain
    from jobs.show.ask import ask, record_answer

    with stores.for_matching(run) as store:
        pairs = find_uncertain(store, match=run.settings.match())
    asked = ask(run.output, pairs, lambda pair, same: record_answer(run, pair, same))
    run.output.note(asked_text(asked, again="reprise report --ask"))


def spectrum_hints(run: Run, groups: Sequence[Group]) -> dict[bytes, str]:
    """Hints from the spectra of the present lossless files, by path."""
    from dedup.library.spectrum import hints

    tracks = (track for group in groups for track in group.tracks if track.state == "present")
    found = hints(((track.path, track.properties) for track in tracks), run.observer)
    run.observer.close()
    return found
