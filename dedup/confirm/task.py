"""What a worker does to confirm copies at another speed, tempo or pitch: it hears one file again, as if it were higher
or lower by the ratio in question, and compares that with the other fingerprints. Writes nothing.

A copy that plays faster is higher too, so its plain fingerprint has other bits. Taken to be lower by the same ratio,
its bits are those of the original, and the two agree as any copies do. Which ratio that is tells what was changed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from dedup.correlation.match import STORED_KAPPA, record
from dedup.correlation.other_speeds import leaning
from dedup.correlation.scoring import Change
from dedup.files.disks import read_ahead
from dedup.files.host_paths import HostPath
from dedup.fingerprint.chroma import SAMPLE_RATE
from dedup.fingerprint.chromaprint import Fingerprinter
from dedup.fingerprint.decode import TimeLimitError, UndecodableError, decode_audible
from dedup.fingerprint.task import NOT_THE_FILES_FAULT, is_as_seen
from dedup.settings import CompareSettings, FingerprintSettings
from dedup.store.items import Items

if TYPE_CHECKING:
    from contextlib import AbstractContextManager

    from dedup.correlation.match import Match

PITCHES = tuple(1 + percent / 100 for percent in range(-9, 10) if percent)
"""Ratios that are tried beside that of the two speeds."""

APART = 0.0199
"""By which a pitch must differ from none, and from that of a turntable, to be tried for a file of another tempo:
neighbours agree nearly as well."""

SAME_TEMPO = 0.006
"""Difference in speed, either way, up to which two may also be of one tempo and other pitch."""

CLEARLY = 0.03
"""Score by which another pitch must be better than none to count."""

AT_ALL_LAGS = CompareSettings()
"""How two are compared here, whatever the settings by which they were found: an answer depends on the two alone."""

OFF_CENTRE = 0.006
"""By how much, as a share, the pitch around which scores are highest must differ from none to count though none of them
is clearly better: small differences move few notes to another class."""

LEANING_RATE, LEANING = 0.025, 10.0
"""Difference in speed, either way, up to which two agree nearly as well at the pitch of a turntable as at their own;
and how much better, in score for each unit of that difference, they must then agree one way than the other for their
pitch to have gone with the speed: copies of which it did have about twice as much, the others none."""

SLIGHT_RATES = (0.995, 0.9975, 1.0025, 1.005)
"""Rates that are tried of files of one tempo: they bend a path hardly, and yet move it by an item every minute."""

PLATEAU = 0.8
"""Share of the best score from which a pitch counts for the one that is told."""


class Question(NamedTuple):
    """A fingerprint that the heard file may be a changed copy of."""

    items: Items
    rate: float
    """Items of the heard file for each of this one."""
    pitches: Items | None = None
    """Items of the same sound at other pitches (`fingerprint.pitches`), if the store has any."""


class Answer(NamedTuple):
    """What hearing the file again gave for one question."""

    change: Change
    pair: bytes
    """A record of `pairs.PAIR` with rows 0, the heard file first; empty if they cannot overlap enough."""


class HeardAgain(NamedTuple):
    """What came of a file."""

    answers: list[Answer]
    """One for each question, in their order; none if there is a problem."""
    problem: str = ""
    lasting: bool = True
    """Whether the same bytes would give the same problem again."""


def hear_again(
    path: HostPath,
    size: int,
    mtime_ns: int,
    reading: AbstractContextManager[Any],
    settings: FingerprintSettings,
    own: Question,
    questions: Sequence[Question],
    time_limit_s: float,
) -> HeardAgain:
    """Answers all questions about a file. `own` is its fingerprint, made by `settings`, of rate 1. Raises nothing for a
    file that cannot be decoded, or that changed: that is the problem."""
    began = time.monotonic()
    pitches = sorted({pitch for question in questions for pitch in _pitches(question.rate)})
    lasting, problem = True, ""
    try:
        read_ahead(path.here, reading)
        heard = {1.0: own.items, **_fingerprints(path.here, settings, pitches, began + time_limit_s)}
    except TimeLimitError:
        lasting, problem = False, f"decoding took longer than {time_limit_s:g} s"
    except UndecodableError as error:
        problem = str(error)
    except (*NOT_THE_FILES_FAULT, OSError) as error:
        lasting, problem = False, f"{type(error).__name__}: {error}"
    except Exception as error:  # a broken file can make PyAV raise anything: it costs one line
        problem = f"cannot be decoded: {type(error).__name__}: {error}"
    if not is_as_seen(path, size, mtime_ns):
        return HeardAgain([], "changed since it was discovered", lasting=False)
    if problem:
        return HeardAgain([], problem, lasting)
    return HeardAgain([_answered(question, heard, own.pitches) for question in questions])


def _pitches(rate: float) -> Iterable[float]:
    """The pitches in which a file is wanted that has `rate` items for each of the other: that of a turntable first."""
    if rate != 1:
        yield _turntable(rate)
    others = () if abs(rate - 1) <= SAME_TEMPO else (1.0, rate)
    yield from (pitch for pitch in PITCHES if all(abs(pitch - other) >= APART for other in others))


def _turntable(rate: float) -> float:
    """The pitch at which a file of another speed is heard, if its pitch went with the speed: in steps of 0.001."""
    return round(rate, 3)


def _fingerprints(
    path: bytes, settings: FingerprintSettings, pitches: Sequence[float], deadline: float
) -> dict[float, Items]:
    """The fingerprint of a file at each pitch, from one decoding."""
    makers: list[Fingerprinter] = []

    def begin() -> Callable[[bytes], None]:
        makers.append(Fingerprinter(settings, pitches))
        return makers[-1].feed

    decode_audible(path, SAMPLE_RATE, begin, settings.length_s, max(0.0, deadline - time.monotonic()))
    first = makers[-1].finish()
    return dict(zip(pitches, (first, *makers[-1].others()), strict=True))


def _answered(question: Question, heard: dict[float, Items], own_pitches: Items | None = None) -> Answer:
    """What the file is to the other: the best of all that it may be."""
    plain = compared(heard[1.0], question.items, question.rate)
    is_same_tempo = abs(question.rate - 1) <= SAME_TEMPO
    best, change = plain, Change("none" if is_same_tempo else "tempo", 1.0)
    score, at_pitch = CLEARLY + (plain.score if plain is not None else -1.0), {}
    as_turned: Match | None = None
    for pitch in _pitches(question.rate):
        is_speed = pitch == _turntable(question.rate)
        rate = question.rate if is_speed or not is_same_tempo else 1.0
        found = compared(heard[pitch], question.items, rate)
        if found is None or found.score < STORED_KAPPA:
            continue
        if is_speed:
            as_turned = found
        else:
            at_pitch[pitch] = found.score
        if found.score > score:
            best, score = found, found.score + CLEARLY * is_speed
            change = Change("speed" if is_speed else "pitch" if is_same_tempo else "both", 1 / pitch)
    is_turned = _is_turned(question, heard[1.0], own_pitches)
    if change.kind in ("pitch", "both"):
        change = Change(change.kind, 1 / _middle(at_pitch))
    elif is_turned is True and as_turned is not None:
        best, change = as_turned, Change("speed", 1 / _turntable(question.rate))
    elif is_turned is False and plain is not None:
        best, change = plain, Change("tempo", 1.0)
    elif change.kind == "none" and plain is not None and (slower := _slightly_off(question, heard[1.0], plain)):
        best, change = slower
    elif change.kind == "none" and plain is not None and at_pitch:
        middle = _middle({1.0: plain.score, **at_pitch})
        if abs(math.log(middle)) >= OFF_CENTRE:
            change = Change("pitch", 1 / middle)
    return Answer(change, b"" if best is None else record(0, 0, best).tobytes())


def _is_turned(question: Question, own: Items, own_pitches: Items | None) -> bool | None:
    """Whether the pitch of two that run a little apart went with the speed: then one heard as if it were higher agrees
    better with the other than the other way round. None if that does not tell: they have one tempo, tempos far apart,
    or were heard at one pitch alone."""
    rate = question.rate
    if not SAME_TEMPO < abs(rate - 1) <= LEANING_RATE or own_pitches is None or question.pitches is None:
        return None
    images = [own, *own_pitches], [question.items, *question.pitches]

    def agreement(one: int, other: int) -> float:
        match = compared(images[0][one], images[1][other], rate)
        return match.score if match is not None else 0.0

    return leaning(agreement) * math.copysign(1.0, rate - 1) >= LEANING * abs(rate - 1)


def _slightly_off(question: Question, own: Items, plain: Match) -> tuple[Match, Change] | None:
    """What the file is to the other if it is as good as at one tempo, but a little faster or slower, as a turntable or
    a tape may be; None if it is not."""
    if abs(question.rate - 1) > SAME_TEMPO:
        return None
    tried = ((rate, compared(own, question.items, rate)) for rate in SLIGHT_RATES)
    found = [(match.score, rate, match) for rate, match in tried if match is not None]
    score, rate, match = max(found, key=lambda each: each[:2], default=(-1.0, 1.0, plain))
    return (match, Change("speed", 1 / rate)) if score > plain.score + CLEARLY else None


def _middle(scores: dict[float, float]) -> float:
    """The pitch around which scores are highest: those of neighbours differ little."""
    least = PLATEAU * max(scores.values())
    weights = {pitch: max(0.0, score - least) for pitch, score in scores.items()}
    return sum(pitch * weight for pitch, weight in weights.items()) / sum(weights.values())


def compared(x: Items, y: Items, rate: float) -> Match | None:
    """The numbers of a fingerprint against another of which it has `rate` items for each, at any lag; None if they
    cannot overlap enough."""
    from dedup.correlation.compare import compare_two
    from dedup.correlation.stretch import compared_at

    if rate == 1:
        return compare_two(x, y, AT_ALL_LAGS)
    if rate > 1:
        return compared_at(x, y, rate, AT_ALL_LAGS)
    found = compared_at(y, x, 1 / rate, AT_ALL_LAGS)
    return None if found is None else found.swapped()
