"""A group for people: its files one below the other on a terminal, or a row for each on a page."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from jobs.session.output import count_text, path_text, size_text
from jobs.show.entries import Entry, entry_lines, indented
from jobs.show.words import beside_text, clock, heard_text, ids_text, lag_text, only_here_text, verdict_text

if TYPE_CHECKING:
    from dedup.groups.groups import Group
    from dedup.groups.matches import ListedTrack, TrackPair
    from jobs.session.lines import Look

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
"""Keys and headings of the table on a page."""


def group_lines(group: Group, look: Look, folder: bytes = b"", hints: Mapping[bytes, str] | None = None) -> list[str]:
    """A group for a terminal: the reference first, then the others, best first, with the keep rules by which it is
    better. Paths are shown relative to `folder`, followed by `hints`."""
    told = hints or {}
    entries = [_entry(group.reference, None, "", folder, told)]
    entries += [_entry(pair.a, pair, group.decision(pair).rule, folder, told) for pair in group.members]
    shown = group.beside[:SHOWN_WITH_GROUP]
    beside = [beside_text(pair, path_text(pair.a.path.removeprefix(folder)), "the best") for pair in shown]
    if len(group.beside) > len(shown):
        beside.append(f"and {len(group.beside) - len(shown):,} more beside it")
    return [look.styled(heading(group), "bold"), *entry_lines(entries, look), *indented(beside, look)]


def _entry(track: ListedTrack, pair: TrackPair | None, rule: str, folder: bytes, hints: Mapping[bytes, str]) -> Entry:
    cells = (*sound_cells(track), *(match_cells(pair) if pair else NO_MATCH), f"rule {rule}" if rule else "")
    notes = _notes(track, pair, hints)
    return Entry(
        path_text(track.path.removeprefix(folder)),
        cells,
        "" if pair else "best",
        "good",
        [f"[{'; '.join(notes)}]"] if notes else (),
    )


def sound_cells(track: ListedTrack) -> tuple[str, ...]:
    """What a file is: format, bit rate, sample rate, bits, length, size; each with its unit, empty if unknown."""
    properties = track.properties
    return (
        properties.codec,
        f"{bitrate / 1000:.0f} kbit/s" if (bitrate := track.bitrate) else "",
        f"{properties.sample_rate} Hz" if properties.sample_rate else "",
        f"{properties.bits} bit" if properties.bits else "",
        clock(track.seconds),
        size_text(track.size),
    )


def match_cells(pair: TrackPair) -> tuple[str, ...]:
    """How a file matches the best one: verdict and speed, score, MusicBrainz recording, agreement, lag, null test."""
    match = pair.match
    return (
        verdict_text(pair),
        f"score {match.score:.3f}",
        ids_text(pair.a, pair.b),
        f"agree {match.agreement:.3f}",
        lag_text(match),
        heard_text(pair),
    )


NO_MATCH = ("",) * 6
"""The cells of a file that matches itself."""


def _notes(track: ListedTrack, pair: TrackPair | None, hints: Mapping[bytes, str]) -> list[str]:
    """What else is to be known of a file: that it is not there, damage, what only it holds, its hint."""
    state = track.state if track.state != "present" else ""
    only_here = only_here_text(pair) if pair else ""
    return [note for note in (state, track.faults, only_here, hints.get(track.path, "")) if note]


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
    """A cell for each of COLUMNS, for a page; the pair is None for the reference."""
    from dedup.groups.losses import outcome_words

    properties = track.properties
    notes = _notes(track, pair, hints)
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
        "lag": lag_text(pair.match).removeprefix("lag ") if pair else "",
        "verdict": ", ".join(filter(None, (verdict_text(pair), ids_text(pair.a, pair.b)))) if pair else "",
        "null_test": outcome_words(pair.test) if pair else "",
        "path": path_text(track.path.removeprefix(folder)) + (f"  [{'; '.join(notes)}]" if notes else ""),
    }
