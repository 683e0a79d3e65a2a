"""Files that are heard side by side: a group, an uncertain pair, or any two files, all on the axis of one of them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.groups.matches import ListedTrack, TrackPair
from jobs.serve.shown import Snapshot, id_of

if TYPE_CHECKING:
    from dedup.plan.review import Question

GROUP, PAIR = "group", "pair"
GONE = "This is no longer here: the files have changed, or somebody has decided about them."


@dataclass(frozen=True)
class Lineup:
    """A reference, and other files as pairs with it."""

    reference: ListedTrack
    pairs: Sequence[TrackPair]
    """Pairs of the other files, `a`, and the reference, `b`."""
    question: Question | None = None
    """The group that is asked about; None for two files."""

    @property
    def tracks(self) -> Iterator[tuple[ListedTrack, TrackPair | None]]:
        """The reference with no pair, then each other file with its pair."""
        yield self.reference, None
        for pair in self.pairs:
            yield pair.a, pair

    def find(self, track_id: str) -> tuple[ListedTrack, TrackPair | None] | None:
        """A file of the lineup by the id of its track."""
        return next(((track, pair) for track, pair in self.tracks if id_of(track.path) == track_id), None)


def lineup_of(snapshot: Snapshot, kind: str, id_: str) -> Lineup | None:
    """The files that an address names; None if the store has no such group or pair now."""
    if kind == GROUP and (question := snapshot.questions.get(id_)) is not None:
        return Lineup(question.group.reference, question.group.members, question)
    if kind == PAIR and (pair := snapshot.uncertain.get(id_)) is not None:
        return Lineup(pair.b, (pair,))
    return None
