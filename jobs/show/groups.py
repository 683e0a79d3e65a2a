"""The groups of duplicates, for people and for programs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dedup.plain_text import json_text
from dedup.servers.attention import NOBODY, Listeners
from jobs.session.output import Output, one_line, path_text
from jobs.show.summaries import groups_text, thresholds_text, uncompared_text
from jobs.show.table import COLUMNS, group_lines, heading, row
from jobs.show.words import beside_text, strip_text

if TYPE_CHECKING:
    from dedup.groups.groups import Group
    from dedup.groups.matches import ListedTrack, Matches, TrackPair
    from dedup.store.store import Store
    from jobs.session.run import Run

SHOWN_BESIDE = 40

AT_ONCE = 50
"""Groups that are written together: writing each by itself takes a tenth of a report."""


def tell_unfinished(run: Run, store: Store) -> None:
    """Reports on stderr if the results cannot be complete."""
    from dedup.correlation.correlate import unfinished

    missing = unfinished(store)
    if missing:
        run.observer.announce(f"incomplete: {uncompared_text(missing)}; run `reprise correlate` first")


def show_groups(
    output: Output,
    groups: Sequence[Group],
    form: str,
    hints: Mapping[bytes, str] | None = None,
    listeners: Listeners = NOBODY,
) -> None:
    """Writes the groups in one of the formats, with `hints` about some of their files, and what listeners did."""
    from dedup.report.sheet import sheet

    if form == "table":
        folder = common_folder(track.path for group in groups for track in group.tracks)
        look, notes = output.look, notes_of(groups, hints or {}, listeners)
        if groups:
            output.text(f"Paths are below {path_text(folder)}\n")
        for start in range(0, len(groups), AT_ONCE):
            some = groups[start : start + AT_ONCE]
            output.laid([line for group in some for line in (*group_lines(group, look, folder, notes), "")])
        return
    if form == "json":
        for at, group in enumerate(groups):  # one after the other: all at once take twice the memory of a report
            text = json_text(_record(group, hints, listeners), indent=1).replace("\n", "\n ")
            output.raw(("[\n " if at == 0 else ",\n ").encode() + text.encode("utf-8", "backslashreplace"))
        output.raw(b"\n]\n" if groups else b"[]\n")
    elif form == "jsonl":
        for group in groups:
            line = json_text(_record(group, hints, listeners))
            output.raw(line.encode("utf-8", "backslashreplace") + b"\n")
    else:
        for piece in sheet(groups, hints or {}):
            output.raw(piece)
    output.flush()


def notes_of(groups: Iterable[Group], hints: Mapping[bytes, str], listeners: Listeners) -> Mapping[bytes, str]:
    """The hints about files and what listeners did with them, as one text each."""
    if not listeners.servers:
        return hints
    paths = (track.path for group in groups for track in group.tracks)
    return {path: "; ".join(filter(None, (hints.get(path), one_line(listeners.words(path))))) for path in paths}


def _record(group: Group, hints: Mapping[bytes, str] | None, listeners: Listeners) -> dict[str, Any]:
    """The group for programs; with the `spectrum_hint` of each file if the spectra were requested, and what `listeners`
    did with it if there are media servers."""
    from dedup.report.export import group_record

    record = group_record(group)
    files = [record["reference_track"], *record["members"]]
    for file, track in zip(files, group.tracks, strict=True):
        if hints is not None:
            file["spectrum_hint"] = hints.get(track.path, "")
        if listeners.servers:
            file["listeners"] = listeners.words(track.path)
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
    notes = notes_of(shown, hints, matches.listeners)
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
            "Below each copy, the upper bar is the copy and the lower one the best file (the first of its group), dark "
            "where both are the same, with the time in the best file; the graph shows how well they agree at each "
            "moment, from chance (the dotted line) up to every bit.",
            " ".join(thresholds_text(matches).split()),
        ],
        columns=COLUMNS,
        cells=lambda track, pair: row("" if pair else "best", track, pair, folder, notes),
        heading=heading,
        beside=lambda pair: beside_text(pair, name(pair.a), "the best"),
        strip=strip_text,
        decision=decision,
    )
    for piece in page(shown, telling):
        output.raw(piece.encode("utf-8", "backslashreplace"))
    output.flush()


def show_beside(output: Output, apart: Sequence[TrackPair]) -> None:
    """What is contained in, transposed from or related to another track, and was not shown with its group."""
    for pair in apart[:SHOWN_BESIDE]:
        output.note(beside_text(pair, path_text(pair.a.path), path_text(pair.b.path)))
    if len(apart) > SHOWN_BESIDE:
        output.note(f"beside: {len(apart) - SHOWN_BESIDE:,} more; reprise export pairs lists all")
    if apart:
        output.note("")


def common_folder(paths: Iterable[bytes]) -> bytes:
    """The deepest folder that holds all of them, with a slash at its end; empty if there is none."""
    folders = {os.path.dirname(path) for path in paths}
    if not folders or not all(os.path.isabs(folder) for folder in folders):
        return b""
    return os.path.join(os.path.commonpath(folders), b"")
