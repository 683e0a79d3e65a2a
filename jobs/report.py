"""`reprise report`: the groups of duplicates, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from dedup.errors import UsageError
from jobs import options, stores
from jobs.output import Column as Shown
from jobs.output import Output, aligned, count_text, path_text, size_text
from jobs.run import Run, reader
from jobs.words import beside_text, clock, verdict_text

if TYPE_CHECKING:
    from collections import Counter

    from dedup.correlation.scoring import Verdict
    from dedup.groups import Group
    from dedup.matches import ListedTrack, Matches, TrackPair
    from dedup.store.store import Store
    from jobs.ask import Asked

SHOWN_BESIDE = 40

SHOWN_WITH_GROUP = 5

CSV_COLUMNS = (
    "group",
    "role",
    "path",
    "path_hex",
    "codec",
    "lossless",
    "bitrate",
    "sample_rate",
    "bits",
    "channels",
    "duration_s",
    "size",
    "state",
    "damage",
    "agreement",
    "score",
    "evidence",
    "kappa",
    "along",
    "prominence",
    "rate",
    "lag_s",
    "overlap_s",
    "verdict",
    "judged",
    "bytes_reclaimable",
)


@click.command("report")
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json", "jsonl", "csv"]),
    default="table",
    show_default=True,
    help="Table for people; one JSON document; one JSON object a line; CSV for spreadsheets.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show only the first N groups.")
@click.option("--ask", is_flag=True, help="Go through what is uncertain, best evidence first, and keep what you say.")
@options.match
@options.common
@reader
def report(run: Run, form: str, limit: int | None, ask: bool) -> None:
    """Show the groups of duplicates, most bytes to win first.

    Thresholds may be changed at will: stored pairs are judged anew, nothing is computed again."""
    from dedup.groups import make_groups
    from dedup.matches import Matches

    if ask and form != "table":
        raise UsageError("--ask", f"found together with --format {form}", "a person who reads: the table, or --json")
    if ask:
        ask_about_uncertain(run)
    with stores.for_reading(run) as store:
        tell_unfinished(run, store)
        matches = Matches(store, run.settings.match())
    groups = make_groups(matches)
    if run.output.as_json and form == "table":
        form = "jsonl"
    show_groups(run.output, groups[:limit], form)
    if form == "table":
        show_beside(run.output, matches, groups)
        run.output.note(groups_text(groups, shown=len(groups[:limit])))
        run.output.note(thresholds_text(matches))


def ask_about_uncertain(run: Run) -> None:
    """Asks a person; what was answered before, here or by `mark`, is not asked again."""
    from dataclasses import replace

    from dedup.groups import uncertain
    from dedup.judgements import content, record
    from dedup.matches import Matches
    from dedup.settings import MatchSettings
    from dedup.store.store import open_for_writing
    from jobs.ask import ask

    with stores.for_reading(run) as store:
        settings = run.settings.match()
        if settings.min_score is None:  # what is to be learnt from the answers
            settings = replace(settings, min_score=MatchSettings.min_score)
        pairs = uncertain(Matches(store, settings))

    def keep(pair: TrackPair, same: bool) -> None:
        with open_for_writing(run.settings.store, "reprise report --ask") as store:
            content_a, content_b = (content(track.stream, track.digest) for track in (pair.a, pair.b))
            record(store, content_a, content_b, same, pair.match.score)

    asked = ask(run.output, pairs, keep)
    run.output.note(asked_text(asked))


def tell_unfinished(run: Run, store: Store) -> None:
    """Says on stderr where the results cannot be complete."""
    from dedup.correlation.correlate import unfinished

    missing = unfinished(store)
    if missing:
        run.observer.announce(f"incomplete: {missing}; `reprise correlate` does that")


def show_groups(output: Output, groups: Sequence[Group], form: str) -> None:
    """Writes the groups in one of the formats."""
    from dedup.report.export import group_record

    if form == "table":
        folder = common_folder(track.path for group in groups for track in group.tracks)
        if groups:
            output.text(f"Paths are below {path_text(folder)}\n")
        for group in groups:
            output.text("\n".join(group_lines(group, folder)) + "\n")
        return
    if form == "json":
        document = json.dumps([group_record(group) for group in groups], ensure_ascii=False, indent=1)
        output.raw(document.encode("utf-8", "backslashreplace") + b"\n")
    elif form == "jsonl":
        for group in groups:
            line = json.dumps(group_record(group), ensure_ascii=False)
            output.raw(line.encode("utf-8", "backslashreplace") + b"\n")
    else:
        output.raw(_csv(_csv_rows(groups)))
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


def common_folder(paths: Iterable[bytes]) -> bytes:
    """The deepest folder that holds all of them, with a slash at its end; empty where there is none."""
    folders = {os.path.dirname(path) for path in paths}
    if not folders or not all(os.path.isabs(folder) for folder in folders):
        return b""
    return os.path.join(os.path.commonpath(folders), b"")


def group_lines(group: Group, folder: bytes = b"") -> list[str]:
    """A group as a table: the reference first, then the others by quality. Paths are told below `folder`."""
    head = f"{size_text(group.bytes_reclaimable)} reclaimable, {count_text(len(group.tracks), 'file')}"
    if len(group.members) > 1:
        head += f", weakest match {group.weakest.match.score:.3f}"
    columns = [
        Shown(key, heading)
        for key, heading in (
            ("role", ""),
            ("format", "format"),
            ("bitrate", "kbit/s"),
            ("rate", "Hz"),
            ("bits", "bits"),
            ("length", "length"),
            ("size", "size"),
            ("agreement", "agree"),
            ("score", "score"),
            ("lag", "lag"),
            ("verdict", "verdict"),
            ("path", "path"),
        )
    ]
    rows = [_row("best", group.reference, None, folder), *(_row("", pair.a, pair, folder) for pair in group.members)]
    shown = group.beside[:SHOWN_WITH_GROUP]
    beside = [beside_text(pair, path_text(pair.a.path.removeprefix(folder)), "the best") for pair in shown]
    if len(group.beside) > len(shown):
        beside.append(f"and {len(group.beside) - len(shown):,} more beside it")
    return [head, *aligned(columns, rows), *(f"      {line}" for line in beside)]


def _row(role: str, track: ListedTrack, pair: TrackPair | None, folder: bytes) -> dict[str, str]:
    properties = track.properties
    notes = [note for note in (track.state if track.state != "present" else "", track.damage or "") if note]
    return {
        "role": role,
        "format": properties.codec,
        "bitrate": f"{properties.bitrate / 1000:.0f}" if properties.bitrate else "",
        "rate": str(properties.sample_rate or ""),
        "bits": str(properties.bits or ""),
        "length": clock(properties.duration_s),
        "size": size_text(track.size),
        "agreement": f"{pair.match.agreement:.3f}" if pair else "",
        "score": f"{pair.match.score:.3f}" if pair else "",
        "lag": f"{pair.match.lag_s:+.2f} s" if pair else "",
        "verdict": verdict_text(pair) if pair else "",
        "path": path_text(track.path.removeprefix(folder)) + (f"  [{'; '.join(notes)}]" if notes else ""),
    }


def _csv_rows(groups: Iterable[Group]) -> Iterator[dict[str, Any]]:
    from dedup.library.paths import json_path
    from dedup.report.export import numbers, track_numbers

    for number, group in enumerate(groups, start=1):
        common = {"group": number, "bytes_reclaimable": group.bytes_reclaimable}
        best = {"role": "reference", **json_path(group.reference.path)}
        yield {**common, **best, **track_numbers(group.reference)}
        for pair in group.members:
            yield {
                **common,
                "role": "member",
                **json_path(pair.a.path),
                **track_numbers(pair.a),
                **numbers(pair.match),
                "verdict": pair.verdict,
                "judged": pair.judged,
            }


def _csv(rows: Iterable[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")
