"""How two tracks relate to each other, in words and as a line of characters."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dedup.correlation.match import Match
    from dedup.correlation.scoring import Change
    from dedup.groups.explain import Explanation
    from dedup.groups.matches import ListedTrack, TrackPair
    from dedup.store.nulltests import NullTest

BAR_STEPS = 64

BY_NUMBERS = ("same recording, other speed", "transposed")
"""Verdicts that `verdict_text` tells with numbers of the pair."""

TOGETHER_S = 0.5
"""Seconds between the starts of two of another speed that count for none."""


def verdict_text(pair: TrackPair) -> str:
    """The verdict, with the speed if it differs, and whether a person gave it."""
    text: str = pair.verdict
    if pair.verdict == "same recording, other speed":
        text = f"same recording, {speed_text(pair.match.rate, pair.change)}"
    elif pair.verdict == "transposed" and pair.change is not None:
        text = f"same recording, {pitch_text(pair.change)}"
    return judged_text(text, pair.judged)


def judged_text(verdict: str, judged: bool) -> str:
    """A verdict, and whether a person gave it."""
    return f"{verdict} (you said so)" if judged and verdict == "same recording" else verdict


def beside_text(pair: TrackPair, name_a: str, name_b: str) -> str:
    """One line: how two tracks relate to each other, and where they overlap."""
    a_from, a_to, b_from, b_to = pair.match.place()
    changed = changed_text(pair)
    told = [
        f"score {pair.match.score:.3f}",
        ids_text(pair.a, pair.b),
        f"the first {changed}" if changed else "",
        heard_text(pair),
    ]
    numbers = ", ".join(filter(None, told))
    if pair.verdict == "contained" and pair.a.n_items <= pair.b.n_items:
        return f"contained: {name_a} is {clock(b_from)} to {clock(b_to)} of {name_b} ({numbers})"
    if pair.verdict == "contained":
        return f"contained: {name_b} is {clock(a_from)} to {clock(a_to)} of {name_a} ({numbers})"
    if pair.verdict == "overlapping":
        return (
            f"overlapping: {name_a} {clock(a_from)}-{clock(a_to)} is {name_b} {clock(b_from)}-{clock(b_to)} ({numbers})"
        )
    alike = "" if pair.test else f", {pair.match.core().alike:.0%} of the steps alike"
    return f"{pair.verdict}: {name_a} and {name_b} ({numbers}{alike})"


def heard_text(pair: TrackPair) -> str:
    """What the null test of a pair showed: "null test passed, residual -38 dB"; empty if none was made."""
    from dedup.groups.losses import null_test_words

    return null_test_words(pair.test) if pair.test else ""


def ids_text(a: ListedTrack, b: ListedTrack) -> str:
    """Whether the tags of two files name one recording at MusicBrainz: "same MBID"; empty unless both name one."""
    from dedup.groups.recordings import is_one_recording

    is_one = is_one_recording(a, b)
    return "" if is_one is None else "same MBID" if is_one else "other MBID"


def called_lines(explained: Explanation) -> Iterator[str]:
    """Which recordings at MusicBrainz two files are said to be; nothing if nothing is said of them."""
    a, b = explained.called
    if explained.is_one_by_ids and a is not None and b is not None:
        yield f"same MusicBrainz recording: {', '.join(sorted(a.ids & b.ids))}"
        return
    for name, said in (("a", a), ("b", b)):
        if said is not None:
            yield f"{name} is MusicBrainz recording {', '.join(sorted(said.ids))} by its {said.by}"


def null_test_lines(test: NullTest) -> Iterator[str]:
    """What a null test showed of a first file `a` and a second one `b`: in one line, then what only one of them has."""
    from dedup.groups.losses import null_test_words, span_words

    yield null_test_words(test)
    for name, spans, length_s in (("a", test.only_a, test.length_a_s), ("b", test.only_b, test.length_b_s)):
        if spans:
            yield f"only in {name}: {'; '.join(span_words(span, length_s) for span in spans)}"


def only_here_text(pair: TrackPair) -> str:
    """What the first of a pair holds that the second lacks, as far as the store knows; empty if nothing."""
    from dedup.groups.losses import NOT_COMPARED, losses

    found = losses(pair)
    held = "; ".join(loss.what for loss in found if loss.is_there)
    unknown = NOT_COMPARED if any(loss.what == NOT_COMPARED for loss in found) else ""
    return "; ".join(filter(None, (f"only here: {held}" if held else "", unknown)))


def changed_text(pair: TrackPair) -> str:
    """How the first of a pair plays against the second: its speed, its pitch; empty if it plays as the second does, as
    far as is known."""
    if pair.change is not None and pair.change.kind == "pitch":
        return pitch_text(pair.change)
    return speed_text(pair.match.rate, pair.change) if pair.match.rate else ""


def pitch_text(change: Change) -> str:
    from dedup.groups.losses import pitch_words

    return pitch_words(change)


def speed_text(rate: float, change: Change | None = None) -> str:
    """How the first of a pair plays against the second: "2.0 % slower"."""
    from dedup.groups.losses import speed_words

    return speed_words(rate, change)


def bar_text(match: Match) -> str:
    """Similarity over time, one character a step, at most BAR_STEPS of them."""
    similarity = match.similarity
    together = -(-len(similarity) // BAR_STEPS)
    text = ""
    for start in range(0, len(similarity), max(1, together)):
        heard = [value for value in similarity[start : start + together] if not math.isnan(value)]
        level = (sum(heard) / len(heard) - 0.5) / 0.45 if heard else None
        text += "·" if level is None else "░▒▓█"[min(3, max(0, int(4 * level)))]
    return text


def strip_text(pair: TrackPair) -> str:
    """What the picture of a pair shows: where the two tracks overlap, and how well they agree there."""
    a_from, a_to, b_from, b_to = pair.match.place()
    heard = [value for value in pair.match.similarity.tolist() if not math.isnan(value)]
    text = f"{clock(a_from)} to {clock(a_to)} lies over {clock(b_from)} to {clock(b_to)} of the best"
    text += f", {lag_text(pair.match)}"
    text += f"; agreement over time {min(heard):.2f} to {max(heard):.2f}" if heard else ""
    return "; ".join(filter(None, (text, heard_text(pair))))


def lag_text(match: Match) -> str:
    """Where the first of a pair begins against the second. Of another speed their lag changes all the time."""
    if not match.rate:
        return f"lag {match.lag_s:+.2f} s"
    if abs(match.lag_s) < TOGETHER_S:
        return "starts together"
    return f"starts {abs(match.lag_s):.1f} s {'earlier' if match.lag_s > 0 else 'later'}"


def clock(seconds: float) -> str:
    whole = round(seconds)
    return f"{whole // 60}:{whole % 60:02d}"
