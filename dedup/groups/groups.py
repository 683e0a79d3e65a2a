"""Groups: a reference track and the tracks that each match *it*. Never a chain: a false pair can add one track to a
group, but cannot join two groups. If A matches B and B matches C but A does not match C, all three are together only if
B is the reference, because then both were compared with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple

from dedup.correlation.scoring import BESIDE, MERGING
from dedup.groups.companions import Intended
from dedup.groups.keep import Decision, KeepRules, keep_rules, rules_of
from dedup.groups.matches import ListedTrack, Matches, TrackPair
from dedup.settings import KeepSettings, MatchSettings
from dedup.store.protection import protected

if TYPE_CHECKING:
    from dedup.store.store import Store


@dataclass(frozen=True)
class Group:
    """Copies of one recording."""

    reference: ListedTrack
    """The best copy by the keep rules: the one to keep."""
    members: tuple[TrackPair, ...]
    """The other copies, best first, each as a pair of the member `a` and the reference `b`: a positive lag means that
    the member has more in front."""
    beside: tuple[TrackPair, ...] = ()
    """Tracks that contain the reference or are contained in it, and its other versions, as pairs like those of
    members; they are never removed for it."""
    rules: KeepRules = field(default_factory=lambda: keep_rules(KeepSettings()), compare=False, repr=False)
    """Rules by which the reference is the best copy."""

    def decision(self, pair: TrackPair) -> Decision:
        """The rule by which the reference is better than a member."""
        return self.rules.decision(pair.b, pair.a)

    @property
    def weakest(self) -> TrackPair:
        """The member that matches worst."""
        return min(self.members, key=lambda pair: (pair.match.score, pair.a.path))

    @property
    def tracks(self) -> tuple[ListedTrack, ...]:
        return (self.reference, *(pair.a for pair in self.members))

    @property
    def bytes_reclaimable(self) -> int:
        """Least number of bytes that keeping only one file frees: the sum of the files on disk less the largest. Hard
        links to one file count once, and missing files do not count."""
        sizes = {(t.device, t.inode): t.size for t in self.tracks if t.state == "present"}
        return sum(sizes.values()) - max(sizes.values(), default=0)


class Found(NamedTuple):
    """What the tracks of a store are to each other."""

    matches: Matches
    groups: list[Group]
    """By reclaimable bytes, most first."""


def find_groups(store: Store, match: MatchSettings, keep: KeepSettings) -> Found:
    """Pairs and groups of the whole store as these settings want them; compares nothing again."""
    matches = Matches(store, match)
    return Found(matches, groups_of(store, matches, keep))


def relations_apart(matches: Matches, groups: Sequence[Group]) -> list[TrackPair]:
    """What is contained in, transposed from or related to another track, and is not beside a group. A group counts as
    one: of its copies' relations to a track the best is given."""
    best = {pair.a.path: group.reference for group in groups for pair in group.members}
    known = {frozenset((pair.a.path, pair.b.path)) for group in groups for pair in group.beside}
    apart = []
    for pair in matches.beside():
        a, b = (best.get(track.path, track) for track in (pair.a, pair.b))
        both = frozenset((a.path, b.path))
        if a is not b and both not in known and matches.judgements.of(a, b) is None:
            known.add(both)
            apart.append(pair)
    return apart


def groups_of(store: Store, matches: Matches, keep: KeepSettings) -> list[Group]:
    """The groups by these settings; folders that the store remembers as protected are protected here too."""
    keep = replace(keep, protect=protected(store, keep.protect))
    return make_groups(matches, rules_of(store, matches, keep), Intended(keep))


def make_groups(matches: Matches, rules: KeepRules | None = None, intended: Intended | None = None) -> list[Group]:
    """Groups by reclaimable bytes, then by the reference's path. The best track that is not yet in a group becomes the
    reference of the matching tracks that are not in one either and are not kept beside it, or beside each other, on
    purpose. The order depends only on the files."""
    rules, intended = rules or keep_rules(KeepSettings()), intended or Intended(KeepSettings())
    best_first = sorted(matches.tracks, key=rules.rank)
    places = {track.path: place for place, track in enumerate(best_first)}
    taken: set[bytes] = set()
    found: list[tuple[ListedTrack, list[TrackPair], list[TrackPair]]] = []
    copies: set[bytes] = set()
    for track in best_first:
        if track.path in taken:
            continue
        pairs = list(matches.of(track))
        free = [pair for pair in pairs if pair.verdict in MERGING and pair.b.path not in taken]
        members = _one_kind(track, sorted(free, key=lambda pair: places[pair.b.path]), intended)
        if not members:
            continue
        taken.add(track.path)
        taken.update(pair.b.path for pair in members)
        copies.update(pair.b.path for pair in members)
        found.append((track, members, [pair for pair in pairs if pair.verdict in BESIDE]))
    groups = []
    for track, members, beside in found:
        apart = [pair for pair in beside if pair.b.path not in copies]
        groups.append(Group(track, _swapped(members, places), _swapped(apart, places), rules))
    return sorted(groups, key=lambda group: (-group.bytes_reclaimable, group.reference.path))


def _one_kind(track: ListedTrack, pairs: Iterable[TrackPair], intended: Intended) -> list[TrackPair]:
    """The pairs with `track`, best first, whose tracks may go in its favour; never two tracks that are kept beside each
    other on purpose, because both would go."""
    members: list[TrackPair] = []
    for pair in pairs:
        others = [track, *(member.b for member in members)] if intended.is_asked else []
        if all(intended.may_merge(other, pair.b) for other in others):
            members.append(pair)
    return members


def _swapped(pairs: Iterable[TrackPair], places: Mapping[bytes, int]) -> tuple[TrackPair, ...]:
    return tuple(sorted((pair.swapped() for pair in pairs), key=lambda pair: places[pair.a.path]))


def find_uncertain(store: Store, match: MatchSettings) -> list[TrackPair]:
    """What only a person can tell about the tracks of a store, best evidence first. A score that is yet to be learned
    from the answers is the usual one here."""
    if match.min_score is None:
        match = replace(match, min_score=MatchSettings.min_score)
    return uncertain(Matches(store, match))


def uncertain(matches: Matches) -> list[TrackPair]:
    """Pairs that only a person can decide, best evidence first: their tracks have to do with each other, nobody has
    judged them yet, and neither track is a mere copy in a group."""
    copies = {pair.a.path for group in make_groups(matches) for pair in group.members}
    return [
        pair for pair in matches.beside() if pair.verdict != "contained" and not {pair.a.path, pair.b.path} & copies
    ]
