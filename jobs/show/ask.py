"""Shows pairs one after another to a person, who says whether each is one recording. Every answer is kept at once, so
the person can stop at any time."""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from dedup.errors import InputError
from dedup.groups.mark import Asked
from jobs.session.lines import GAP, Look, padded, width_of, wrapped
from jobs.session.output import Output, one_line, path_text, size_text, time_text
from jobs.show.entries import Entry, name_lines
from jobs.show.words import bar_text, changed_text, heard_text, ids_text, lag_text

if TYPE_CHECKING:
    from dedup.groups.mark import Record, WayBack
    from dedup.groups.matches import ListedTrack, TrackPair
    from jobs.session.run import Run

QUESTION = "[s]ame, [d]ifferent, s[k]ip, [u] back, [?] help, [q]uit?"
ANSWERS = {"s": "same", "d": "different", "k": "skip", "u": "back", "?": "help", "q": "quit"}
HELP = """s  both are the same recording, for good
d  they are different recordings, for good
k  skip: nothing is recorded, and a later review asks again
u  back to the pair before, whose answer is taken back
q  stop; all answers so far are kept"""
SHOWN_TAGS = ("title", "artist", "album")


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
    given: list[_Given] = []
    try:
        while len(given) < len(pairs):
            pair = pairs[len(given)]
            output.laid([f"pair {len(given) + 1:,} of {len(pairs):,}", *pair_lines(pair, output.look)])
            answer = _answer(output, pair, record, bool(given))
            if answer.word == "quit":
                break
            if answer.word == "back":
                way_back = given.pop().way_back
                if way_back is not None:
                    way_back()
            else:
                given.append(answer)
            output.text()
    except KeyboardInterrupt:
        output.text()
    words = Counter(answer.word for answer in given)
    left = len(pairs) - words.total()
    return Asked(same=words["same"], different=words["different"], skipped=words["skip"], left=left)


@dataclass(frozen=True)
class _Given:
    """An answer that was given."""

    word: str
    way_back: WayBack | None = None


def _answer(output: Output, pair: TrackPair, record: Record, can_go_back: bool) -> _Given:
    """The answer, once it is recorded."""
    while True:
        output.text(QUESTION)
        word = _read()
        match word:
            case "same" | "different":
                try:
                    way_back = record(pair, word == "same")
                except InputError as error:
                    output.text(str(error))
                    continue
                output.text(word)
                return _Given(word, way_back)
            case "help":
                output.text(HELP)
            case "back" if not can_go_back:
                output.text("this is the first pair: there is nothing to take back")
            case None:
                output.text("that is not an answer; ? explains the keys")
            case _:
                output.text(word)
                return _Given(word)


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


def record_answer(run: Run, pair: TrackPair, same: bool) -> WayBack:
    """Saves what a person said about two tracks, also while another run holds the store."""
    from dedup.groups.mark import judge_pair_for_now

    return judge_pair_for_now(run.settings.store, pair, same, f"reprise {run.command}")


# ---- what is shown ----


def pair_lines(pair: TrackPair, look: Look) -> list[str]:
    """The pair's numbers, then both files side by side: bold, and with a mark, where they differ."""
    match = pair.match
    numbers = f"score {match.score:.3f}, agreement {match.agreement:.3f}, {lag_text(match)}"
    if changed := changed_text(pair):
        numbers += f", a {changed}"
    told = [
        f"{pair.verdict}: {numbers}",
        f"over time {bar_text(match)} (█ the same, ░ chance, · silence)",
        *filter(None, [heard_text(pair), ids_text(pair.a, pair.b)]),
    ]
    lines = [line for text in told for line in look.wrapped(text, hanging=4)]
    for name, track in (("a", pair.a), ("b", pair.b)):
        lines += name_lines(Entry(path_text(track.path), mark=name), look, len("≠ a "))
    return [*lines, *_side_by_side(_rows(pair.a, pair.b), look)]


def _side_by_side(rows: Sequence[tuple[str, str, str]], look: Look) -> Iterator[str]:
    """What is known of both files, in two columns that fit."""
    rows = [(name, one_line(a), one_line(b)) for name, a, b in rows if a or b]
    label = 2 + max((len(name) for name, *_ in rows), default=0)
    room = (look.width - label - 2 * GAP) // 2
    column = min(room, max((width_of(a) for _, a, _ in rows), default=0)) if look.wraps else room
    for name, a, b in rows:
        differ = a != b
        left, right = wrapped(a, column), wrapped(b, look.width - label - 2 * GAP - column)
        for number in range(max(len(left), len(right))):
            lead = f"{'≠' if differ else ' '} {name}" if not number else ""
            cells = [each[number] if number < len(each) else "" for each in (left, right)]
            line = f"{padded(lead, label)}  {padded(cells[0], column)}  {cells[1]}".rstrip()
            yield look.styled(line, "bold") if differ else line


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
