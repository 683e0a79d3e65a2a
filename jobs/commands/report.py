"""`reprise report`: the groups of duplicates, for people and for programs."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from dedup.errors import UsageError
from jobs.session import options, stores
from jobs.session.output import Output, count_text, path_text, size_text
from jobs.session.run import Run, reader
from jobs.show.groups import common_folder, tell_unfinished
from jobs.show.table import COLUMNS, group_lines, heading, row
from jobs.show.words import beside_text, strip_text

if TYPE_CHECKING:
    from collections import Counter

    from dedup.correlation.scoring import Verdict
    from dedup.groups.groups import Group
    from dedup.groups.mark import Asked
    from dedup.groups.matches import ListedTrack, Matches, TrackPair

SHOWN_BESIDE = 40

FORMATS = ("table", "json", "jsonl", "csv", "html")


@click.command("report")
@click.option(
    "--format",
    "form",
    type=click.Choice(FORMATS),
    default="table",
    show_default=True,
    help="Table for people; one JSON document; one JSON object a line; CSV for spreadsheets; one HTML page.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show only the first N groups.")
@click.option(
    "--spectrum", is_flag=True, help="Read the lossless files that are shown, and say which were lossy once, it seems."
)
@click.option("--ask", is_flag=True, help="Go through what is uncertain, best evidence first, and keep what you say.")
@options.keep
@options.match
@options.common
@reader
def report(run: Run, form: str, limit: int | None, spectrum: bool, ask: bool) -> None:
    """Show the groups of duplicates, most bytes to win first.

    Thresholds may be changed at will: stored pairs are judged anew, nothing is computed again."""
    from dedup.groups.groups import groups_of
    from dedup.groups.matches import Matches

    if ask and form != "table":
        raise UsageError("--ask", f"found together with --format {form}", "a person who reads: the table, or --json")
    if ask:
        ask_about_uncertain(run)
    with stores.for_reading(run) as store:
        tell_unfinished(run, store)
        matches = Matches(store, run.settings.match())
        groups = groups_of(store, matches, run.settings.keep())
    if run.output.as_json and form == "table":
        form = "jsonl"
    hints = spectrum_hints(run, groups[:limit]) if spectrum else None
    if form == "html":
        show_page(run.output, groups, limit, matches, hints or {})
    else:
        show_groups(run.output, groups[:limit], form, hints)
    if form == "table":
        show_beside(run.output, matches, groups)
        run.output.note(groups_text(groups, shown=len(groups[:limit])))
        run.output.note(thresholds_text(matches))


def ask_about_uncertain(run: Run) -> None:
    """Asks a person; what was answered before, here or by `mark`, is not asked again."""
    from dataclasses import replace

    from dedup.groups.groups import uncertain
    from dedup.groups.matches import Matches
    from dedup.settings import MatchSettings
    from jobs.show.ask import ask, record_answer

    with stores.for_reading(run) as store:
        settings = run.settings.match()
        if settings.min_score is None:  # what is to be learnt from the answers
            settings = replace(settings, min_score=MatchSettings.min_score)
        pairs = uncertain(Matches(store, settings))

    asked = ask(run.output, pairs, lambda pair, same: record_answer(run, pair, same))
    run.output.note(asked_text(asked))


def spectrum_hints(run: Run, groups: Sequence[Group]) -> dict[bytes, str]:
    """What the spectra of the lossless files tell, by path; a file that cannot be read is told."""
    from dedup.library.spectrum import cutoff_hz, hint

    tracks = [track for group in groups for track in group.tracks if track.state == "present"]
    asked = [(track.path, properties) for track in tracks if (properties := track.properties).lossless]
    run.observer.stage("read spectra", len(asked), "files")
    hints = {}
    for path, properties in asked:
        try:
            hints[path] = hint(properties, cutoff_hz(path))
        except OSError as error:
            run.observer.problem("failed", path, f"its spectrum cannot be read: {error.strerror or error}")
        run.observer.advance()
    run.observer.close()
    return hints


def show_groups(output: Output, groups: Sequence[Group], form: str, hints: Mapping[bytes, str] | None = None) -> None:
    """Writes the groups in one of the formats, with `hints` to some of their files."""
    from dedup.report.sheet import sheet

    if form == "table":
        folder = common_folder(track.path for group in groups for track in group.tracks)
        if groups:
            output.text(f"Paths are below {path_text(folder)}\n")
        for group in groups:
            output.text("\n".join(group_lines(group, folder, hints or {})) + "\n")
        return
    if form == "json":
        document = json.dumps([_record(group, hints) for group in groups], ensure_ascii=False, indent=1)
        output.raw(document.encode("utf-8", "backslashreplace") + b"\n")
    elif form == "jsonl":
        for group in groups:
            line = json.dumps(_record(group, hints), ensure_ascii=False)
            output.raw(line.encode("utf-8", "backslashreplace") + b"\n")
    else:
        for piece in sheet(groups, hints or {}):
            output.raw(piece)
    output.flush()


def _record(group: Group, hints: Mapping[bytes, str] | None) -> dict[str, Any]:
    """The group for programs; with `spectrum_hint` of each file where the spectra were asked for."""
    from dedup.report.export import group_record

    record = group_record(group)
    if hints is not None:
        files = [record["reference_track"], *record["members"]]
        for file, track in zip(files, group.tracks, strict=True):
            file["spectrum_hint"] = hints.get(track.path, "")
    return record


def show_page(
    output: Output,
    groups: Sequence[Group],
    limit: int | None,
    matches: Matches,
    hints: Mapping[bytes, str],
) -> None:
    """Writes the groups as one HTML file."""
    from dedup.report.html import Telling, page

    shown = groups[:limit]
    folder = common_folder(track.path for group in shown for track in group.tracks)

    def name(track: ListedTrack) -> str:
        return path_text(track.path.removeprefix(folder))

    def decision(group: Group, pair: TrackPair) -> tuple[str, str]:
        decided = group.decision(pair)
        return decided.rule, decided.why

    telling = Telling(
        title="Duplicates found by Reprise",
        notes=[
            " ".join(groups_text(groups, shown=len(shown)).split()),
            f"Paths are below {path_text(folder)}",
            "The first file of a group is the best one. Below each other: its bar and that of the best, shifted by the "
            "lag, what they share in colour; below both how well they agree over time, from chance up to every bit.",
            " ".join(thresholds_text(matches).split()),
        ],
        columns=COLUMNS,
        cells=lambda track, pair: row("" if pair else "best", track, pair, folder, hints),
        heading=heading,
        beside=lambda pair: beside_text(pair, name(pair.a), "the best"),
        strip=strip_text,
        decision=decision,
    )
    for piece in page(shown, telling):
        output.raw(piece.encode("utf-8", "backslashreplace"))
    output.flush()


def groups_text(groups: Sequence[Group], shown: int | None = None) -> str:
    """One line: how many groups, files and bytes."""
    n_files = sum(len(group.members) for group in groups)
    n_bytes = sum(group.bytes_reclaimable for group in groups)
    text = (
        f"groups  {len(groups):,}, with {count_text(n_files, 'file')} besides the best copies; "
        f"{size_text(n_bytes)} reclaimable"
    )
    if shown is not None and shown < len(groups):
        text += f" ({shown:,} shown)"
    return text


def pairs_text(n_pairs: Counter[Verdict]) -> str:
    """One line: how many pairs of files match, and how many have less to do with each other."""
    from dedup.correlation.scoring import BESIDE

    beside = "".join(f", {n_pairs[kind]:,} {kind}" for kind in BESIDE if n_pairs[kind])
    return f"pairs   {n_pairs['same recording']:,} of files that match{beside}"


def thresholds_text(matches: Matches) -> str:
    """What the thresholds are, what they rest on, and what is to be expected of them."""
    limits = matches.thresholds
    basis = (
        f"{limits.noise.n_pairs:,} pairs of its own tracks"
        if limits.noise.n_pairs
        else "other music, as yours is too small"
    )
    if limits.classic is not None:
        share = limits.noise.share_agreeing(limits.classic)
        text = f"limits  raw agreement {limits.classic:g} alone decides, as in older programs; "
        if share is None:
            return text + "what that costs was not measured: it takes 25 tracks and a `reprise correlate`"
        return text + (
            f"{share:.2%} of unrelated pairs have as much: about {share * limits.n_pairs:,.0f} false pairs among the "
            f"{limits.n_pairs:,} of this library (those with a score below 0.2 are not kept, and not shown)"
        )
    expected = limits.noise.false_match(limits.related) * limits.n_pairs
    text = f"limits  more than chance from an evidence of {limits.related:.3f} on: {expected:.2g} false pairs expected "
    text += f"among {limits.n_pairs:,} (measured on {basis}); one recording from a score of {limits.same:.3f} on"
    n_judged = len(matches.judgements.said)
    if matches.settings.min_score is None:
        return f"{text}, just below the lowest that you approved in {count_text(n_judged, 'judgement')}"
    return f"{text}; {count_text(n_judged, 'judgement')} of yours" if n_judged else text


def asked_text(asked: Asked) -> str:
    text = f"asked   {asked.same:,} same, {asked.different:,} different, {asked.skipped:,} skipped, {asked.left:,} left"
    n_open = asked.skipped + asked.left
    return f"{text}; `reprise report --ask` asks again about {n_open:,}" if n_open else text


def show_beside(output: Output, matches: Matches, groups: Sequence[Group]) -> None:
    """What is contained in, transposed from or related to another track, and was not shown with its group. A group
    counts as one: of its copies' relations to a track the best is told."""
    best = {pair.a.path: group.reference for group in groups for pair in group.members}
    told = {frozenset((pair.a.path, pair.b.path)) for group in groups for pair in group.beside}
    apart = []
    for pair in matches.beside():
        a, b = (best.get(track.path, track) for track in (pair.a, pair.b))
        both = frozenset((a.path, b.path))
        if a is not b and both not in told and matches.judgements.of(a, b) is None:
            told.add(both)
            apart.append(pair)
    for pair in apart[:SHOWN_BESIDE]:
        output.note(beside_text(pair, path_text(pair.a.path), path_text(pair.b.path)))
    if len(apart) > SHOWN_BESIDE:
        output.note(f"beside: {len(apart) - SHOWN_BESIDE:,} more; reprise export pairs lists all")
    if apart:
        output.note("")
