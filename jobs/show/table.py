"""A group as a table for people: its columns, a row for each file."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.session.output import Column, aligned, count_text, path_text, size_text
from jobs.show.words import beside_text, clock, only_here_text, verdict_text

if TYPE_CHECKING:
    from dedup.groups.groups import Group
    from dedup.groups.matches import ListedTrack, TrackPair

SHOWN_WITH_GROUP = 5
"""Most tracks beside a group that are shown with it."""

COLUMNS = (
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
    ("null_test", "null test"),
    ("path", "path"),
)
"""Keys and headings of the table."""


def group_lines(group: Group, folder: bytes = b"", hints: Mapping[bytes, str] | None = None) -> list[str]:
    """A group as a table: the reference first, then the others, best first, with the keep rules by which it is better.
    Paths are shown relative to `folder`, followed by `hints`."""
    columns = [Column(key, heading) for key, heading in (COLUMNS[0], ("rule", "rule"), *COLUMNS[1:])]
    told = hints or {}
    rows = [row("best", group.reference, None, folder, told)]
    rows += [row("", pair.a, pair, folder, told) | {"rule": group.decision(pair).rule} for pair in group.members]
    shown = group.beside[:SHOWN_WITH_GROUP]
    beside = [beside_text(pair, path_text(pair.a.path.removeprefix(folder)), "the best") for pair in shown]
    if len(group.beside) > len(shown):
        beside.append(f"and {len(group.beside) - len(shown):,} more beside it")
    return [heading(group), *aligned(columns, rows), *(f"      {line}" for line in beside)]


def heading(group: Group) -> str:
    """One line: reclaimable bytes, files and the weakest match."""
    text = f"{reclaimable_text(group.bytes_reclaimable, group.bytes_unheard)}, {count_text(len(group.tracks), 'file')}"
    return f"{text}, weakest match {group.weakest.match.score:.3f}" if len(group.members) > 1 else text


def reclaimable_text(n_bytes: int, n_unheard: int) -> str:
    """How much a plan would free, and how much more if the null tests that nobody has made yet pass."""
    text = f"{size_text(n_bytes)} reclaimable"
    return f"{text}, {size_text(n_unheard)} more once heard" if n_unheard else text


def row(
    role: str, track: ListedTrack, pair: TrackPair | None, folder: bytes, hints: Mapping[bytes, str]
) -> dict[str, str]:
    """A cell for each of COLUMNS; the pair is None for the reference."""
    from dedup.groups.losses import outcome_words

    properties = track.properties
    state = track.state if track.state != "present" else ""
    only_here = only_here_text(pair) if pair else ""
    notes = [note for note in (state, track.faults, only_here, hints.get(track.path)) if note]
    return {
        "role": role,
        "format": properties.codec,
        "bitrate": f"{bitrate / 1000:.0f}" if (bitrate := track.bitrate) else "",
        "rate": str(properties.sample_rate or ""),
        "bits": str(properties.bits or ""),
        "length": clock(track.seconds),
        "size": size_text(track.size),
        "agreement": f"{pair.match.agreement:.3f}" if pair else "",
        "score": f"{pair.match.score:.3f}" if pair else "",
        "lag": f"{pair.match.lag_s:+.2f} s" if pair else "",
        "verdict": verdict_text(pair) if pair else "",
        "null_test": outcome_words(pair.test) if pair else "",
        "path": path_text(track.path.removeprefix(folder)) + (f"  [{'; '.join(notes)}]" if notes else ""),
    }
