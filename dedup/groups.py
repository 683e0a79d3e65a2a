"""Groups: a reference track and the tracks that each match *it*. Never a chain: a false pair can add one track to a
group, it cannot join two groups. Where A matches B and B matches C but A does not match C, all three are together only
if B is the reference, for then both were compared with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dedup.correlation.scoring import MERGING
from dedup.matches import ListedTrack, Matches, TrackPair


@dataclass(frozen=True)
class Group:
    """Copies of one recording."""

    reference: ListedTrack
    """The best copy."""
    members: tuple[TrackPair, ...]
    """The others, best first, each as a pair with `a` the member and `b` the reference: a positive lag means that
    the member has more in front."""

    @property
    def tracks(self) -> tuple[ListedTrack, ...]:
        return (self.reference, *(pair.a for pair in self.members))

    @property
    def bytes_reclaimable(self) -> int:
        """What keeping one file frees at least: the sum of the files on disk less the largest. Names of one file (hard
        links) count once, files that are not there not at all."""
        sizes = {(t.device, t.inode): t.size for t in self.tracks if t.state == "present"}
        return sum(sizes.values()) - max(sizes.values(), default=0)


def make_groups(matches: Matches) -> list[Group]:
    """Groups by reclaimable bytes, then by the reference's path. The best track that is in no group yet becomes the
    reference of those matching tracks that are in none: an order that depends on the files alone."""
    taken: set[bytes] = set()
    groups = []
    for track in sorted(matches.tracks, key=lambda track: track.rank):
        if track.path in taken:
            continue
        pairs = [p for p in matches.of(track) if p.verdict in MERGING and p.b.path not in taken]
        if not pairs:
            continue
        taken.add(track.path)
        taken.update(pair.b.path for pair in pairs)
        groups.append(Group(track, _by_rank(pairs)))
    return sorted(groups, key=lambda group: (-group.bytes_reclaimable, group.reference.path))


def _by_rank(pairs: Iterable[TrackPair]) -> tuple[TrackPair, ...]:
    turned = [TrackPair(pair.b, pair.a, pair.match.swapped(), pair.verdict) for pair in pairs]
    return tuple(sorted(turned, key=lambda pair: pair.a.rank))
