"""Groups: a reference track and the tracks that each match *it*. Never a chain: a false pair can add one track to a
group, it cannot join two groups. Where A matches B and B matches C but A does not match C, all three are together only
if B is the reference, for then both were compared with it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dedup.correlation.scoring import BESIDE, MERGING
from dedup.matches import ListedTrack, Matches, TrackPair


@dataclass(frozen=True)
class Group:
    """Copies of one recording."""

    reference: ListedTrack
    """The best copy."""
    members: tuple[TrackPair, ...]
    """The others, best first, each as a pair with `a` the member and `b` the reference: a positive lag means that
    the member has more in front."""
    beside: tuple[TrackPair, ...] = ()
    """What the reference contains or is contained in, and other versions of it, as members are; never to be removed for
    it."""

    @property
    def weakest(self) -> TrackPair:
        """The member that matches least well."""
        return min(self.members, key=lambda pair: (pair.match.score, pair.a.path))

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
    found: list[tuple[ListedTrack, list[TrackPair], list[TrackPair]]] = []
    copies: set[bytes] = set()
    for track in sorted(matches.tracks, key=lambda track: track.rank):
        if track.path in taken:
            continue
        pairs = list(matches.of(track))
        members = [pair for pair in pairs if pair.verdict in MERGING and pair.b.path not in taken]
        if not members:
            continue
        taken.add(track.path)
        taken.update(pair.b.path for pair in members)
        copies.update(pair.b.path for pair in members)
        found.append((track, members, [pair for pair in pairs if pair.verdict in BESIDE]))
    groups = [
        Group(track, _by_rank(members), _by_rank(pair for pair in beside if pair.b.path not in copies))
        for track, members, beside in found
    ]
    return sorted(groups, key=lambda group: (-group.bytes_reclaimable, group.reference.path))


def _by_rank(pairs: Iterable[TrackPair]) -> tuple[TrackPair, ...]:
    return tuple(sorted((pair.swapped() for pair in pairs), key=lambda pair: pair.a.rank))


def uncertain(matches: Matches) -> list[TrackPair]:
    """What only a person can tell, best evidence first: pairs that have to do with each other, of which no one has said
    yet whether they are one recording, and of whose copies only the best one is asked about."""
    copies = {pair.a.path for group in make_groups(matches) for pair in group.members}
    return [
        pair for pair in matches.beside() if pair.verdict != "contained" and not {pair.a.path, pair.b.path} & copies
    ]
