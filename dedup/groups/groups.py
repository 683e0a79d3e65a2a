"""Groups: a reference track and the tracks that each match *it*. Never a chain: a false pair can add one track to a
group, it cannot join two groups. Where A matches B and B matches C but A does not match C, all three are together only
if B is the reference, for then both were compared with it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
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
    """The others, best first, each as a pair with `a` the member and `b` the reference: a positive lag means that
    the member has more in front."""
    beside: tuple[TrackPair, ...] = ()
    """What the reference contains or is contained in, and other versions of it, as members are; never to be removed for
    it."""
    rules: KeepRules = field(default_factory=lambda: keep_rules(KeepSettings()), compare=False, repr=False)
    """By which the reference is the best."""

    def decision(self, pair: TrackPair) -> Decision:
        """By which rule the reference is better than a member."""
        return self.rules.decision(pair.b, pair.a)

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


class Found(NamedTuple):
    """What the tracks of a store are to each other."""

    matches: Matches
    groups: list[Group]
    """By reclaimable bytes, most first."""


def find_groups(store: Store, match: MatchSettings, keep: KeepSettings) -> Found:
    """Pairs and groups of the whole store as these settings want them; compares nothing again."""
    matches = Matches(store, match)
    return Found(matches, groups_of(store, matches, keep))


def groups_of(store: Store, matches: Matches, keep: KeepSettings) -> list[Group]:
    """The groups as these settings want them; what the store remembers to be protected is so here too."""
    keep = replace(keep, protect=protected(store, keep.protect))
    return make_groups(matches, rules_of(store, matches, keep), Intended(keep))


def make_groups(matches: Matches, rules: KeepRules | None = None, intended: Intended | None = None) -> list[Group]:
    """Groups by reclaimable bytes, then by the reference's path. The best track that is in no group yet becomes the
    reference of those matching tracks that are in none, and that are not kept beside it, or beside each other, on
    purpose: an order that depends on the files alone."""
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
    """Of the pairs with `track`, best first, those whose tracks may go for it, without two that are kept beside each
    other on purpose: both would go."""
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
    """What only a person can tell, best evidence first: pairs that have to do with each other, of which no one has said
    yet whether they are one recording, and of whose copies only the best one is asked about."""
    copies = {pair.a.path for group in make_groups(matches) for pair in group.members}
    return [
        pair for pair in matches.beside() if pair.verdict != "contained" and not {pair.a.path, pair.b.path} & copies
    ]
