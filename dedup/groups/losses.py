"""What one file holds that another lacks, so that it would be lost if the first went and the second stayed. Pure: by
what the store knows of both, and what somebody found beside them."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.correlation.match import speed_of
from dedup.correlation.scoring import Change, Verdict
from dedup.settings import ITEMS_PER_SECOND, LOSS_KINDS, LossKind
from dedup.tags.extras import Extra, carried, family_of

if TYPE_CHECKING:
    from dedup.groups.matches import ListedTrack, TrackPair
    from dedup.library.metadata import AudioProperties
    from dedup.library.streams import StreamKind
    from dedup.store.nulltests import NullTest, Span

SAME_BYTES = frozenset({"same file", "identical file"})
"""Verdicts of files that hold the very same."""

SAME_PACKETS = frozenset({*SAME_BYTES, "same audio"})
"""Verdicts of files whose heard sound is the very same, so that nobody needs to listen."""

LOST_BY_VERDICT: dict[Verdict, LossKind] = {
    "same audio, picture not compared": "picture",
    "same recording, other speed": "speed",
    "another mix": "mix",
    "overlapping": "span",
}
"""What a track holds for itself that is shown beside a group and is no copy, though it is the same music."""

NOT_COMPARED = "pictures were not compared"
"""What may be lost between sound and a film, in words."""

_IN_WORDS: dict[Verdict, str] = {
    "same audio, picture not compared": NOT_COMPARED,
    "same recording, other speed": "its own speed",
    "another mix": "another mix",
    "overlapping": "sound of its own",
}
"""What a track with such a verdict holds for itself, if nothing tells more exactly."""


def let_go_with(let_go: Collection[LossKind]) -> frozenset[Verdict]:
    """Verdicts of what is no copy, though it is the same music, and may go if losses of these kinds do not count."""
    return frozenset(verdict for verdict, kind in LOST_BY_VERDICT.items() if kind in let_go)


_UNHEARD: dict[StreamKind, tuple[LossKind, str]] = {
    "sound": ("tracks", "further sound track"),
    "subtitles": ("subtitles", "subtitles"),
    "attachment": ("attachments", "attached file"),
}
"""What is lost with a stream that nobody hears, and its name in words."""

LEAST_S = 1.0
"""Seconds of sound of its own that count."""

ALIGNED_S = 0.1
"""Most seconds between the beginnings of two files for which times in one, such as those of chapters, hold in the
other."""

WIDE_DB, NARROW_DB = -40.0, -60.0
"""Difference of left and right, relative to what they share, from which a file is stereo, and to which it is mono."""

LEAST_RATE = 0.001
"""Difference in speed, as a share, that counts: what clocks are off by is a tenth of it."""

WIDER_DB = 20.0
"""Difference of left and right by which a stereo file must be wider to have what the other lacks: encoding one narrows
it by a few dB."""

FULL_BAND_HZ = 32_000
"""Sample rate from which on a file holds all that is heard of music, as FM radio does."""


@dataclass(frozen=True, slots=True)
class Loss:
    """One thing that would be lost."""

    kind: LossKind
    what: str
    """The thing in words: "2:00 at the end", "moving picture 640 by 360"."""

    @property
    def is_there(self) -> bool:
        """Whether the file is known to hold it; otherwise nobody has compared."""
        return self.kind != "untested" and self.what != NOT_COMPARED


@dataclass(frozen=True)
class Beside:
    """What is known of a copy from outside the store, and of the kept file as it will be."""

    merges: bool = True
    """Whether the kept file gets what it lacks and its format can hold."""
    gets: tuple[Extra, ...] = ()
    """Extras that the kept file gets from other copies."""
    sidecars: tuple[str, ...] = ()
    """Files beside the copy that belong to it and would be lost, in words."""
    playlists: tuple[str, ...] = ()
    """Playlists that name the copy and cannot be rewritten, in words."""
    listeners: tuple[str, ...] = ()
    """What listeners did with the copy and no media server can give to the kept file, in words."""


NOTHING = Beside()
"""What nobody has looked for."""


def losses(pair: TrackPair, beside: Beside = NOTHING) -> tuple[Loss, ...]:
    """What `pair.a` holds that `pair.b` lacks, in the order of `LOSS_KINDS`; nothing if one may go for the other."""
    found = list(_of_files(beside)) if beside.sidecars or beside.playlists or beside.listeners else []
    if pair.verdict not in SAME_BYTES:
        found += _of_content(pair, beside)
    apart = LOST_BY_VERDICT.get(pair.verdict)
    if apart is not None and all(loss.kind != apart for loss in found):  # such as sound that would go for a film
        found.append(Loss(apart, _IN_WORDS[pair.verdict]))
    return tuple(sorted(found, key=lambda loss: LOSS_KINDS.index(loss.kind))) if found else ()


def carried_extras(pair: TrackPair, beside: Beside) -> tuple[Extra, ...]:
    """What hangs off `pair.a` and is carried over to `pair.b`, which lacks it."""
    ours = (*pair.b.properties.extras, *beside.gets)
    theirs = pair.a.properties.extras if beside.merges else ()
    return carried(theirs, ours, family_of(pair.b.path), is_aligned(pair))


def lost_extras(theirs: Iterable[Extra], digests: Collection[str]) -> list[Loss]:
    """What of these extras a file lacks that has those of the digests."""
    return [Loss(extra.kind, extra.what) for extra in theirs if extra.digest not in digests]


def is_aligned(pair: TrackPair) -> bool:
    """Whether moments of one are moments of the other."""
    return pair.match.rate == 0 and abs(pair.lag_s) <= ALIGNED_S


def needs_listening(pair: TrackPair) -> bool:
    """Whether only a null test can tell if one of the two holds what the other lacks."""
    if pair.verdict == "same audio, picture not compared":
        return pair.a.content != pair.b.content
    return pair.verdict == "same recording" and not pair.judged


def _of_files(beside: Beside) -> Iterator[Loss]:
    for name in beside.sidecars:
        yield Loss("sidecars", name)
    for name in beside.playlists:
        yield Loss("playlists", name)
    for words in beside.listeners:
        yield Loss("listeners", words)


def _of_content(pair: TrackPair, beside: Beside) -> Iterator[Loss]:
    copy, kept = pair.a.properties, pair.b.properties
    if pair.verdict not in SAME_PACKETS:
        yield from _of_sound(pair)
        yield from _of_channels(pair.a, copy, pair.b, kept)
        yield from _of_band(copy, kept)
    if copy.streams:
        yield from _of_streams(copy)
    if copy.extras:
        there = (*kept.extras, *beside.gets, *carried_extras(pair, beside))
        yield from lost_extras(copy.extras, {extra.digest for extra in there})


# ---- sound ----


def _of_sound(pair: TrackPair) -> Iterator[Loss]:
    if pair.match.rate:
        yield Loss("speed", f"its own speed, {speed_words(pair.match.rate, pair.change)}")
        return
    test = pair.test
    if test is None or not test.is_made:
        yield from (Loss("span", words) for words in _estimated_spans(pair))
        if needs_listening(pair):
            why = f": {test.problem}" if test is not None else ""
            yield Loss("untested", f"nobody has listened to the two{why}")
        return
    if abs(test.rate) > LEAST_RATE:
        yield Loss("speed", f"its own speed, {speed_words(test.rate)}")
    yield from (Loss("span", span_words(span, test.length_a_s)) for span in test.only_a)
    if not pair.judged and (test.is_other_mix or any(each.side != "b" for each in test.differences)):
        yield Loss("mix", difference_words(test.differences) or "another mix")


def _estimated_spans(pair: TrackPair) -> Iterator[str]:
    """What the fingerprints say about sound before and after what is shared, which may be silence."""
    if pair.verdict == "same audio, picture not compared":
        return
    match, seconds = pair.match, pair.a.n_items / ITEMS_PER_SECOND
    head_s = (match.from_a - match.from_b) / ITEMS_PER_SECOND
    tail_s = ((pair.a.n_items - match.to_a) - (pair.b.n_items - match.to_b)) / ITEMS_PER_SECOND
    if head_s > LEAST_S:
        yield f"{length_words(head_s)} at the start"
    if tail_s > LEAST_S and seconds > tail_s:
        yield f"{length_words(tail_s)} at the end"


def _of_channels(a: ListedTrack, copy: AudioProperties, b: ListedTrack, kept: AudioProperties) -> Iterator[Loss]:
    if copy.channels > max(2, kept.channels):
        yield Loss("channels", f"{copy.channels} channels")
    elif _is_stereo(a, copy) and (is_mono(b, kept) or _is_much_wider(a, b)):
        yield Loss("channels", "stereo")


def _of_band(copy: AudioProperties, kept: AudioProperties) -> Iterator[Loss]:
    """What a low sample rate leaves out and is heard."""
    if 0 < kept.sample_rate < min(copy.sample_rate, FULL_BAND_HZ):
        yield Loss("mix", f"sound above {kept.sample_rate / 2000:.3g} kHz")


def _is_stereo(track: ListedTrack, properties: AudioProperties) -> bool:
    width_db = _width_db(track)
    return properties.channels > 1 and (width_db is None or width_db > WIDE_DB)


def _is_much_wider(one: ListedTrack, other: ListedTrack) -> bool:
    """Whether there is almost nothing in the other that tells left from right, compared with the one: a little noise
    makes no stereo."""
    widths_db = _width_db(one), _width_db(other)
    return widths_db[0] is not None and widths_db[1] is not None and widths_db[0] > widths_db[1] + WIDER_DB


def is_mono(track: ListedTrack, properties: AudioProperties) -> bool:
    """Whether a file has one channel, or several that hold the same."""
    width_db = _width_db(track)
    return properties.channels == 1 or (width_db is not None and width_db < NARROW_DB)


def _width_db(track: ListedTrack) -> float | None:
    """Width of the stereo image; one of two channels turned over makes none wider."""
    return None if track.width_db is None else -abs(track.width_db)


# ---- streams ----


def _of_streams(copy: AudioProperties) -> Iterator[Loss]:
    """All but the heard sound and covers, whatever the kept file has: nobody has compared such streams, and an equal
    language or title proves nothing."""
    for stream in copy.streams:
        if stream.kind == "picture":
            size = f" {stream.width} by {stream.height}" if stream.width else ""
            yield Loss("picture", f"moving picture{size}")
        elif stream.kind in _UNHEARD and not stream.is_heard:
            kind, name = _UNHEARD[stream.kind]
            yield Loss(kind, ", ".join(filter(None, (name, stream.language, stream.title))))


# ---- words ----


def speed_words(rate: float, change: Change | None = None) -> str:
    """How the first file plays against the second, whose items it has `rate` more of: "2.0 % slower", and at which
    pitch, if it was found out."""
    speed = speed_of(rate)
    how = {"tempo": " at the same pitch", "speed": f" and {'lower' if speed < 0 else 'higher'}"}
    if change is not None and change.kind == "both":
        how["both"] = f" and {pitch_words(change)}"
    kind = how.get(change.kind, "") if change is not None else ""
    return f"{100 * abs(speed):.1f} % {'slower' if speed < 0 else 'faster'}{kind}"


def pitch_words(change: Change) -> str:
    """How high the first file sounds against the second: "1.0 semitone lower"."""
    semitones = 12 * math.log2(change.pitch)
    unit = "semitone" if f"{abs(semitones):.1f}" == "1.0" else "semitones"
    return f"{abs(semitones):.1f} {unit} {'lower' if semitones < 0 else 'higher'}"


def span_words(span: Span, length_s: float) -> str:
    """A stretch that only one file has: "2:00 at the end"."""
    if span.end_s >= length_s - LEAST_S:
        return f"{length_words(span.length_s)} at the end"
    if span.start_s <= LEAST_S:
        return f"{length_words(span.length_s)} at the start"
    return f"{length_words(span.length_s)} from {clock(span.start_s)} on"


SHOWN_DIFFERENCES = 3
"""Most places that are named."""


def difference_words(differences: Sequence[tuple[float, float, str]]) -> str:
    """Where two files differ: "differs 0:12-3:05"; empty if nowhere."""
    if not differences:
        return ""
    places = ", ".join(f"{clock(start)}-{clock(end)}" for start, end, _ in differences[:SHOWN_DIFFERENCES])
    more = len(differences) - SHOWN_DIFFERENCES
    return f"differs {places}" + (f" and at {more} more" if more > 0 else "")


def null_test_words(test: NullTest) -> str:
    """What a null test showed: "null test passed, residual -38 dB", "null test: differs 0:12-3:05, residual -9 dB"."""
    return f"null test{' ' if test.is_copy else ': '}{outcome_words(test)}"


def outcome_words(test: NullTest | None) -> str:
    """The same below a heading: "passed, residual -38 dB", "not made: too little sound in common"; empty if nobody
    tried."""
    if test is None:
        return ""
    if not test.is_made:
        return f"not made: {test.problem}"
    found = ["another mix"] if test.is_other_mix else ["passed"] if test.is_copy else []
    return ", ".join(filter(None, (*found, difference_words(test.differences), f"residual {test.residual_db:.0f} dB")))


def length_words(seconds: float) -> str:
    """A length: "3.5 s", "42 s", "2:00"."""
    if seconds < 10:
        return f"{seconds:.1f} s"
    return f"{seconds:.0f} s" if seconds < 60 else clock(seconds)


def clock(seconds: float) -> str:
    """A moment: "1:23", "1:02:03"."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{rest:02d}" if hours else f"{minutes}:{rest:02d}"
