"""`reprise report`: the groups of duplicates, for people and for programs."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

import click

from jobs import options, stores
from jobs.output import Column as Shown
from jobs.output import Output, aligned, count_text, path_text, size_text
from jobs.run import Run, reader

if TYPE_CHECKING:
    from dedup.groups import Group
    from dedup.matches import ListedTrack, Matches, TrackPair
    from dedup.store.store import Store

SHOWN_EXCERPTS = 40

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
    "prominence",
    "lag_s",
    "overlap_s",
    "verdict",
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
@options.match
@options.common
@reader
def report(run: Run, form: str, limit: int | None) -> None:
    """Show the groups of duplicates, most bytes to win first.

    Thresholds may be changed at will: stored pairs are judged anew, nothing is computed again."""
    from dedup.groups import make_groups
    from dedup.matches import Matches

    with stores.for_reading(run) as store:
        tell_unfinished(run, store)
        matches = Matches(store, run.settings.match())
    groups = make_groups(matches)
    if run.output.as_json and form == "table":
        form = "jsonl"
    show_groups(run.output, groups[:limit], form)
    if form == "table":
        show_excerpts(run.output, matches, groups)
        run.output.note(groups_text(groups, shown=len(groups[:limit])))


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


def show_excerpts(output: Output, matches: Matches, groups: Sequence[Group]) -> None:
    """Tracks that are a part of another: shown apart, they are in no group. Of a group only the best copy counts."""
    copies = {pair.a.path for group in groups for pair in group.members}
    excerpts = [pair for pair in matches.excerpts() if not {pair.a.path, pair.b.path} & copies]
    for pair in excerpts[:SHOWN_EXCERPTS]:
        start = max(0.0, -pair.match.lag_s)
        output.note(
            f"contained: {path_text(pair.a.path)} is {_clock(start)} to {_clock(start + pair.match.overlap_s)} of "
            f"{path_text(pair.b.path)} (score {pair.match.score:.3f})"
        )
    if len(excerpts) > SHOWN_EXCERPTS:
        output.note(f"contained: {len(excerpts) - SHOWN_EXCERPTS:,} more; reprise export pairs lists all")
    if excerpts:
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
    return [head, *aligned(columns, rows)]


def _row(role: str, track: ListedTrack, pair: TrackPair | None, folder: bytes) -> dict[str, str]:
    properties = track.properties
    notes = [note for note in (track.state if track.state != "present" else "", track.damage or "") if note]
    return {
        "role": role,
        "format": properties.codec,
        "bitrate": f"{properties.bitrate / 1000:.0f}" if properties.bitrate else "",
        "rate": str(properties.sample_rate or ""),
        "bits": str(properties.bits or ""),
        "length": _clock(properties.duration_s),
        "size": size_text(track.size),
        "agreement": f"{pair.match.agreement:.3f}" if pair else "",
        "score": f"{pair.match.score:.3f}" if pair else "",
        "lag": f"{pair.match.lag_s:+.2f} s" if pair else "",
        "verdict": pair.verdict if pair else "",
        "path": path_text(track.path.removeprefix(folder)) + (f"  [{'; '.join(notes)}]" if notes else ""),
    }


def _clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"


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
            }


def _csv(rows: Iterable[dict[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, CSV_COLUMNS, restval="", lineterminator="\r\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue().encode("utf-8", "backslashreplace")
