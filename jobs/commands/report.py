"""`reprise report`: the groups of duplicates, for people and for programs."""

from __future__ import annotations

import contextlib
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, get_args

import click

from dedup.correlation.scoring import Verdict
from dedup.errors import UsageError
from dedup.plain_text import json_text
from jobs.session import options, stores
from jobs.session.answers import Question
from jobs.session.helping import Command
from jobs.session.listeners import SOON_S, ask_servers
from jobs.session.output import count_text, path_text
from jobs.session.run import Run, reader
from jobs.show.groups import show_beside, show_groups, show_page, tell_unfinished
from jobs.show.summaries import asked_text, groups_text, thresholds_text
from jobs.show.words import beside_text

if TYPE_CHECKING:
    from dedup.groups.groups import Found, Group
    from dedup.store.store import Store
    from jobs.session.output import Output

FORMATS = ("table", "json", "jsonl", "csv", "html")


@click.command("report", cls=Command)
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
@click.option(
    "--verdict",
    "verdicts",
    type=click.Choice(get_args(Verdict)[:-1]),
    multiple=True,
    help="Show the pairs with this verdict instead of groups; may be given more than once.",
)
@click.option("--ask", is_flag=True, help="Ask about uncertain pairs, best evidence first, and keep your answers.")
@options.keep
@options.match
@options.common
@reader
def report(run: Run, form: str, limit: int | None, spectrum: bool, verdicts: tuple[Verdict, ...], ask: bool) -> None:
    """Show the groups of duplicates, most reclaimable bytes first.

    Change the thresholds as you like: they apply to stored pairs, so nothing is compared again."""
    from dedup.plan.weigh import find_groups

    if ask and form != "table":
        remedy = "Use the table, or --json"
        raise UsageError("--ask", f"cannot be combined with --format {form}", remedy=remedy)
    if ask:
        ask_about_uncertain(run)
    if run.output.as_json and form == "table":
        form = "jsonl"
    if verdicts:
        show_verdicts(run, verdicts, form, limit)
        return
    match, keep, cleanup = run.settings.match(), run.settings.keep(), run.settings.cleanup()
    question = Question(run, "report", form, limit, match, keep, cleanup) if limit and not spectrum else None
    with stores.for_reading(run) as store:
        tell_unfinished(run, store)
        ask_servers(run, SOON_S)
        answer = question.answer(state_of(store)) if question else None
        if answer is not None:
            run.output.replay(answer)
            return
        stores.compare_called_same(run)
        commits = store.catalog.commits_seen()
        found = find_groups(store, match=match, keep=keep, settings=cleanup, place=stores.place_of_matches())
        state = state_of(store) if question else b""
        is_of_one_state = store.catalog.commits_seen() == commits
    hints = spectrum_hints(run, found.groups[:limit]) if spectrum else None
    with question.answered(run.output, state) if question and is_of_one_state else contextlib.nullcontext():
        show(run.output, found, form, limit, hints)


def state_of(store: Store) -> bytes:
    """Digests of all that answers come from."""
    from dedup.servers.evidence import digest

    return b"".join((*store.catalog.state(), digest(store.layout).encode()))


def show_verdicts(run: Run, verdicts: Collection[Verdict], form: str, limit: int | None) -> None:
    """Shows the pairs with these verdicts, best evidence first."""
    from dedup.groups.matches import Matches
    from dedup.report.export import pair_record

    if form not in ("table", "json", "jsonl"):
        remedy = "Use the table, json or jsonl"
        raise UsageError("--verdict", f"cannot be combined with --format {form}", remedy=remedy)
    with stores.for_matching(run) as store:
        tell_unfinished(run, store)
        matches = Matches(store, run.settings.match())
    found = [pair for pair in matches.pairs() if pair.verdict in verdicts]
    found.sort(key=lambda pair: (-pair.match.evidence, pair.a.path, pair.b.path))
    if form == "table":
        for pair in found[:limit]:
            run.output.text(beside_text(pair, path_text(pair.a.path), path_text(pair.b.path)))
        run.output.note(f"{count_text(len(found), 'pair')}, {count_text(len(found[:limit]), 'pair')} shown")
    elif form == "json":
        run.output.text(json_text([pair_record(pair) for pair in found[:limit]]))
    else:
        for pair in found[:limit]:
            run.output.result(pair_record(pair))


def show(output: Output, found: Found, form: str, limit: int | None, hints: Mapping[bytes, str] | None) -> None:
    """Shows the first groups, or all of them."""
    from dedup.groups.groups import relations_apart

    matches, groups = found
    if form == "html":
        show_page(output, groups, limit, matches, hints or {})
    else:
        show_groups(output, groups[:limit], form, hints, matches.listeners)
    if form == "table":
        show_beside(output, relations_apart(matches, groups))
        output.note(groups_text(groups, shown=len(groups[:limit])))
        output.note(thresholds_text(matches))


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
