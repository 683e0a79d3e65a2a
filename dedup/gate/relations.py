"""What a file is to the tracks of the library: the same verdicts as of two tracks of it, by the same criteria."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.confirm.task import Question, hear_again
from dedup.correlation.compare import compare_two
from dedup.correlation.match import Match, identity_match
from dedup.correlation.scoring import MIN_DISTINCT, Change, Verdict, is_at_same_pitch, verdict
from dedup.errors import InputError
from dedup.files.host_paths import HostPath
from dedup.files.paths import printable
from dedup.gate.newcomer import NEW, Newcomer
from dedup.groups.confirmed import as_confirmed
from dedup.groups.losses import needs_listening
from dedup.groups.matches import ListedTrack, TrackPair
from dedup.groups.verdicts import is_same_stream, verdict_of
from dedup.library.look import LOOK_S
from dedup.nulltest.task import Side, compare_files
from dedup.store.comparisons import Confirmation
from dedup.store.nulltests import NullTest

if TYPE_CHECKING:
    from dedup.files.standby import Standby
    from dedup.gate.library import Library

PITCH_DIGITS = 6
"""Of a pitch, behind the point, as the store keeps it."""


@dataclass(frozen=True)
class Relations:
    """Finds out what a file is to the library."""

    library: Library
    standby: Standby
    time_limit_s: float
    """Seconds that decoding one file may take."""

    def of(self, newcomer: Newcomer) -> list[TrackPair]:
        """The file with each track that it has to do with, in the order of their paths; the file comes first. Nobody
        has listened yet: `listened` does. Raises StoreDamagedError."""
        track = newcomer.track
        found: dict[int, tuple[Match, Change | None, bool] | None] = {}
        for relation in self.library.relations(newcomer.items, newcomer.pitches):
            found[relation.fingerprint] = relation.match, None, relation.is_at_other_pitch
        for fingerprint in self._called_same(track) - found.keys():
            match = compare_two(newcomer.items, self.library.items_of(fingerprint), self.library.compare)
            if match is not None:
                found[fingerprint] = match, None, False
        found |= dict.fromkeys((track.fingerprint, *self.library.like(track)))
        others = [_as_hashed(each, newcomer) for each in self.library.tracks(found) if each.path != track.path]
        self._confirm(newcomer, others, found)
        pairs = (self._pair(track, other, found[other.fingerprint]) for other in others)
        return sorted((pair for pair in pairs if pair is not None), key=lambda pair: pair.b.path)

    def listened(self, pair: TrackPair) -> TrackPair:
        """The pair after its null test, if only that can tell whether one of the two holds what the other lacks and
        both are there."""
        if pair.test is not None or not needs_listening(pair) or pair.b.state != "present":
            return pair
        sides = [_side(track) for track in (pair.a, pair.b)]
        limit_s = 2 * self.time_limit_s
        try:
            arguments = *sides, pair.match.lag_s, limit_s
            test = self.standby.call(printable(pair.a.path), limit_s + LOOK_S, compare_files, *arguments).test
        except InputError as error:
            test = NullTest(problem=error.found)
        return pair._replace(test=test, verdict=self._verdict(pair.a, pair.b, pair.match, pair.change, test))

    def _called_same(self, track: ListedTrack) -> set[int]:
        """The fingerprints of what a person called the same recording as this content."""
        said = self.library.judgements.said.items()
        contents = {other for both, same in said if same and track.content in both for other in both}
        return self.library.store.catalog.audios.fingerprints_holding(contents - {track.content})

    def _confirm(
        self,
        newcomer: Newcomer,
        others: list[ListedTrack],
        found: dict[int, tuple[Match, Change | None, bool] | None],
    ) -> None:
        """Finds out what was changed in what may be a copy at another speed or pitch, as `confirm` does: from the
        store, else by hearing a file again, which is that of the lower digest if both are there."""
        track = newcomer.track
        for other in sorted(others, key=lambda each: (each.state != "present", each.path)):
            known = found[other.fingerprint]
            if known is None or known[1] is not None or self.library.thresholds.classic is not None:
                continue
            match, _, is_at_other_pitch = known
            if not is_at_other_pitch and is_at_same_pitch(
                match, track.n_items, other.n_items, self.library.usual_thresholds
            ):
                continue
            said = self.library.store.catalog.comparisons.confirmed_of(track.digest, other.digest)
            said = said or self._heard_again(newcomer, other, match)
            if said is not None:
                found[other.fingerprint] = as_confirmed(match, is_at_other_pitch, said)

    def _heard_again(self, newcomer: Newcomer, other: ListedTrack, match: Match) -> Confirmation | None:
        """What was changed, the newcomer first; None if nobody can find out now."""
        heard, rate = newcomer.track, 1 + match.rate
        own = newcomer.items, newcomer.pitches
        theirs = self.library.items_of(other.fingerprint), self.library.pitches_of(other.fingerprint)
        if other.state == "present" and other.digest < newcomer.track.digest:
            heard, own, theirs, rate = other, theirs, own, 1 / rate
        sides = [Question(items, each, pitches) for (items, pitches), each in ((own, 1.0), (theirs, rate))]
        settings, limit_s = self.library.store.fingerprint_settings, self.time_limit_s
        arguments = *_side(heard), settings, sides[0], sides[1:], limit_s
        try:
            answer = self.standby.call(printable(heard.path), limit_s + LOOK_S, hear_again, *arguments)
        except InputError:
            return None
        if not answer.answers and not answer.lasting:
            return None
        change, pair = answer.answers[0] if answer.answers else (Change("none", 1.0), b"")
        unheard = other if heard is newcomer.track else newcomer.track
        made = Confirmation.of(heard.digest, unheard.digest, change.kind, change.pitch, pair)
        made = made._replace(pitch=round(made.pitch, PITCH_DIGITS))
        return made if made.digest_a == newcomer.track.digest else made.turned()

    def _pair(
        self, track: ListedTrack, other: ListedTrack, found: tuple[Match, Change | None, bool] | None
    ) -> TrackPair | None:
        """How the two relate; None if they do not. Without numbers they have the same fingerprint."""
        match, change, is_at_other_pitch = found or (identity_match(track.n_items, track.n_distinct), None, False)
        test = self.library.tests.of(track.content, other.content)
        said = self._verdict(track, other, None if found is None else match, change, test, is_at_other_pitch)
        if said == "other":
            return None
        judged = self.library.judgements.of_contents(track.content, other.content) is not None
        return TrackPair(track, other, match, said, judged, test, change)

    def _verdict(
        self,
        a: ListedTrack,
        b: ListedTrack,
        match: Match | None,
        change: Change | None,
        test: NullTest | None,
        is_at_other_pitch: bool = False,
    ) -> Verdict:
        """As `Matches` gives it of two tracks of the library."""
        judged = self.library.judgements.of_contents(a.content, b.content)
        numbers = match, change, is_at_other_pitch
        return verdict_of(a, b, _is_same_audio(a, b), judged, lambda: self._by_sound(a, b, *numbers), lambda: test)

    def _by_sound(
        self, a: ListedTrack, b: ListedTrack, match: Match | None, change: Change | None, is_at_other_pitch: bool
    ) -> Verdict:
        if min(a.n_distinct, b.n_distinct) < MIN_DISTINCT:
            return "other"
        if match is None:
            return "same recording"
        return verdict(match, a.n_items, b.n_items, self.library.thresholds, change, is_at_other_pitch)


def _as_hashed(track: ListedTrack, newcomer: Newcomer) -> ListedTrack:
    """A track of the library, with the hash that was made of it now: scans hash only files of which there are
    several."""
    return track._replace(full=newcomer.track.full) if track.path in newcomer.identical else track


def _side(track: ListedTrack) -> Side:
    return HostPath(track.path), track.size, track.mtime_ns, nullcontext()


def _is_same_audio(a: ListedTrack, b: ListedTrack) -> bool:
    """Whether two hold the same audio, the same packets, or the same samples in two sound FLACs."""
    return a.audio == b.audio != NEW or is_same_stream(a, b, a.digest == b.digest)
