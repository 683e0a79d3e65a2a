"""Shows pairs one after another to a person, who says whether each is one recording. Every answer is kept at once, so
the person can stop at any time."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dedup.errors import InputError
from dedup.groups.mark import Asked
from jobs.session.output import Column, Output, aligned, one_line, path_text, shortened, size_text, time_text
from jobs.show.words import bar_text, heard_text, speed_text

if TYPE_CHECKING:
    from dedup.groups.mark import Record
    from dedup.groups.matches import ListedTrack, TrackPair
    from jobs.session.run import Run

QUESTION = "[s]ame, [d]ifferent, s[k]ip, [q]uit?"
ANSWERS = {"s": "same", "d": "different", "k": "skip", "q": "quit"}
SHOWN_TAGS = ("title", "artist", "album")
MAX_CELL = 40
"""Most terminal cells of a tag that is shown, so that the columns stay close together."""


def is_agreed(question: str) -> bool:
    """Whether a person says yes, on a terminal or as a line of stdin. The end of stdin and Ctrl-C count as no."""
    try:
        return click.confirm(question, err=True)
    except click.Abort:
        return False


def ask(output: Output, pairs: Sequence[TrackPair], record: Record) -> Asked:
    """Shows each pair and asks; `record` gets each answer before the next pair is shown. If it refuses the answer with
    an InputError, the question is asked again. On a terminal an answer is a key, else a line of stdin. The end of stdin
    and Ctrl-C count as "quit"."""
    words: Counter[str] = Counter()
    try:
        for number, pair in enumerate(pairs, start=1):
            output.text("\n".join([f"pair {number:,} of {len(pairs):,}", *pair_lines(pair)]))
            word = _answer(output, pair, record)
            if word == "quit":
                break
            words[word] += 1
            output.text()
    except KeyboardInterrupt:
        output.text()
    left = len(pairs) - words.total()
    return Asked(same=words["same"], different=words["different"], skipped=words["skip"], left=left)


def _answer(output: Output, pair: TrackPair, record: Record) -> str:
    """The answer, once it is recorded."""
    while True:
        output.text(QUESTION)
        word = _read()
        if word in ("same", "different"):
            try:
                record(pair, word == "same")
            except InputError as error:
                output.text(str(error))
                continue
        if word is not None:
            output.text(word)
            return word


def _read() -> str | None:
    """The answer that was typed; None if what was typed is not an answer."""
    if not sys.stdin.isatty():
        line = sys.stdin.buffer.readline()
        word = line.decode("ascii", "replace").strip().lower()
        return ANSWERS.get(word, word if word in ANSWERS.values() else None) if line else "quit"
    try:
        return ANSWERS.get(click.getchar().lower())
    except EOFError:
        return "quit"


def record_answer(run: Run, pair: TrackPair, same: bool) -> None:
    """Saves what a person said about two tracks, also while another run holds the store."""
    from dedup.groups.mark import judge_pair

    judge_pair(run.settings.store, pair, same, f"reprise {run.command}")


# ---- what is shown ----


def pair_lines(pair: TrackPair) -> list[str]:
    """The pair's numbers, then both files side by side: bold where they differ."""
    match = pair.match
    numbers = f"score {match.score:.3f}, agreement {match.agreement:.3f}, lag {match.lag_s:+.2f} s"
    if match.rate:
        numbers += f", a {speed_text(match.rate)}"
    rows = [{"name": name, "a": a, "b": b} for name, a, b in _rows(pair.a, pair.b) if a or b]
    heading, *lines = aligned((Column("name", ""), Column("a", "a", _short), Column("b", "b", _short)), rows)
    paths = [f"{name}  {path_text(track.path)}" for name, track in (("a", pair.a), ("b", pair.b))]
    differ = [*(row["a"] != row["b"] for row in rows), *[pair.a.path != pair.b.path] * 2]
    return [
        f"{pair.verdict}: {numbers}",
        f"over time {bar_text(match)} (█ the same, ░ chance, · silence)",
        *filter(None, [heard_text(pair)]),
        heading,
        *(click.style(line, bold=True) if bold else line for line, bold in zip([*lines, *paths], differ, strict=True)),
    ]


def _short(text: str) -> str:
    return shortened(one_line(text), MAX_CELL)


def _rows(a: ListedTrack, b: ListedTrack) -> list[tuple[str, str, str]]:
    return [(name, left, _cells(b)[name]) for name, left in _cells(a).items()]


def _cells(track: ListedTrack) -> dict[str, str]:
    """What is known about one file, as text by name; empty if unknown. The path has a line of its own."""
    properties = track.properties
    return {
        "format": properties.codec,
        "bit rate": f"{bitrate / 1000:.0f} kbit/s" if (bitrate := track.bitrate) else "",
        "sample rate": f"{properties.sample_rate} Hz" if properties.sample_rate else "",
        "bits": str(properties.bits or ""),
        "channels": str(properties.channels or ""),
        "length": time_text(seconds) if (seconds := track.seconds) else "",
        "size": size_text(track.size),
        "state": "" if track.state == "present" else track.state,
        "damage": track.faults,
        **{name: " · ".join(properties.tags.get(name, ())) for name in SHOWN_TAGS},
    }
