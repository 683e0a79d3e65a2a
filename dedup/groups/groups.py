"""Groups: a reference track and the tracks that each match *it*. Never a chain: a false pair can add one track to a
group, but cannot join two groups. If A matches B and B matches C but A does not match C, all three are together only if
B is the reference, because then both were compared with it."""

from __future__ import annotations

import functools
import itertools
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, NamedTuple, overload

from dedup.correlation.scoring import BESIDE, CERTAIN, MERGING, Verdict
from dedup.groups.companions import Intended
from dedup.groups.keep import Decision, KeepRules, keep_rules, rules_of
from dedup.groups.losses import losses
from dedup.groups.matches import ListedTrack, Matches, TrackPair
from dedup.settings import KeepSettings, MatchSettings
from dedup.store.protection import with_protected

if TYPE_CHECKING:
    from dedup.store.store import Store


class LatePairs(Sequence[TrackPair]):
    """Pairs of a group that are made when somebody looks at one: of thousands of groups a screen shows a few."""

    def __init__(self, tracks: Sequence[ListedTrack], make: Callable[[], tuple[TrackPair, ...]]) -> None:
        """`tracks` are the first ones of the pairs that `make` gives."""
        self.tracks, self._make = tracks, make

    @functools.cached_property
    def _pairs(self) -> tuple[TrackPair, ...]:
        return self._make()

    def __len__(self) -> int:
        return len(self.tracks)

    @overload
    def __getitem__(self, at: int) -> TrackPair: ...
    @overload
    def __getitem__(self, at: slice) -> tuple[TrackPair, ...]: ...
    def __getitem__(self, at: int | slice) -> TrackPair | tuple[TrackPair, ...]:
        return self._pairs[at]

    def __iter__(self) -> Iterator[TrackPair]:
        return iter(self._pairs)

    def __eq__(self, other: object) -> bool:
        return self._pairs == tuple(other) if isinstance(other, Sequence) else NotImplemented

    def __hash__(self) -> int:
        return hash(self._pairs)


@dataclass(frozen=True, slots=True)
class Group:
    """Copies of one recording."""

    reference: ListedTrack
    """The best copy by the keep rules: the one to keep."""
    members: Sequence[TrackPair]
    """The other copies, best first, each as a pair of the member `a` and the reference `b`: a positive lag means that
    the member has more in front."""
    beside: Sequence[TrackPair] = ()
    """Tracks that contain the reference or are contained in it, and its other versions, as pairs like those of
    members; they are never removed for it."""
    rules: KeepRules = field(default_factory=lambda: keep_rules(KeepSettings()), compare=False, repr=False)
    """Rules by which the reference is the best copy."""
    bytes_reclaimable: int = field(default=0, compare=False)
    """Bytes of the members that a plan lets go, as far as the store knows (`plan.weigh`); 0 until it is weighed."""
    bytes_unheard: int = field(default=0, compare=False)
    """Bytes of the members that a plan would let go too if they passed the null test that nobody has made yet; 0 until
    it is weighed."""

    def decision(self, pair: TrackPair) -> Decision:
        """The rule by which the reference is better than a member; "holds all" if the rules would choose the member,
        which lacks what the reference holds."""
        preferred = self.rules.preference(pair.b, pair.a)
        if preferred is not None:
            return preferred
        only_kept = [loss.what for loss in losses(pair.swapped()) if loss.is_there]
        return Decision(
            "holds all",
            f"the kept file alone has: {'; '.join(only_kept)}" if only_kept else "holds what all others hold",
        )

    @property
    def weakest(self) -> TrackPair:
        """The member that matches worst."""
        return min(self.members, key=lambda pair: (pair.match.score, pair.a.path))

    @property
    def copies(self) -> Sequence[ListedTrack]:
        """The tracks of the members."""
        members = self.members
        return members.tracks if isinstance(members, LatePairs) else [pair.a for pair in members]

    @property
    def tracks(self) -> tuple[ListedTrack, ...]:
        return (self.reference, *self.copies)


class Found(NamedTuple):
    """What the tracks of a store are to each other."""

    matches: Matches
    groups: list[Group]
    """Weighed, by reclaimable bytes, most first (`plan.weigh`)."""


def relations_apart(matches: Matches, groups: Sequence[Group]) -> list[TrackPair]:
    """What is contained in, transposed from or related to another track, and is not beside a group. A group counts as
    one: of its copies' relations to a track the best is given."""
    best = {copy.path: group.reference for group in groups for copy in group.copies}

    def are_apart(a: ListedTrack, b: ListedTrack) -> bool:
        return best.get(a.path, a) is not best.get(b.path, b)

    known = {frozenset((pair.a.path, pair.b.path)) for group in groups for pair in group.beside}
    apart = []
    for pair in matches.beside(lambda track: best.get(track.path, track).path, are_apart=are_apart):
        a, b = (best.get(track.path, track) for track in (pair.a, pair.b))
        both = frozenset((a.path, b.path))
        if a is not b and both not in known and matches.judgements.of(a, b) is None:
            known.add(both)
            apart.append(pair)
    return apart


def groups_of(
    store: Store, matches: Matches, keep: KeepSettings, also: frozenset[Verdict] = frozenset()
) -> list[Group]:
    """The groups by these settings, as `make_groups` makes them, not weighed yet; folders that the store remembers as
    protected are protected here too."""
    keep = with_protected(store, keep)
    return grouping(matches, rules_of(store, matches, keep), keep).groups(also)


def grouping(matches: Matches, rules: KeepRules, keep: KeepSettings) -> Grouping:
    """The grouping by `rules`, which are those of `keep`; made once, however many ask for its groups."""
    key = keep, rules.heard
    found = matches.derived.get(key)
    if not isinstance(found, Grouping):
        found = matches.derived[key] = Grouping(matches, rules, Intended(keep))
    return found


def make_groups(
    matches: Matches,
    rules: KeepRules | None = None,
    intended: Intended | None = None,
    also: frozenset[Verdict] = frozenset(),
) -> list[Group]:
    """The groups of a `Grouping` by these rules."""
    return Grouping(matches, rules or keep_rules(KeepSettings()), intended or Intended(KeepSettings())).groups(also)


class Grouping:
    """The groups of all tracks by some rules, family by family: groups depend on the tracks that relate to theirs."""

    def __init__(self, matches: Matches, rules: KeepRules, intended: Intended) -> None:
        self.matches, self.rules, self.intended = matches, rules, intended
        self._made: dict[frozenset[Verdict], dict[bytes, Group]] = {}
        """What `groups` gave, by the reference's path."""

    def groups(self, also: frozenset[Verdict] = frozenset()) -> list[Group]:
        """Groups by the reference's path, not weighed yet. Tracks whose verdict is in `also` come last, to groups that
        there are or to new ones, if they are in none."""
        if also not in self._made:
            self._made[also] = self._groups(self.matches.tracks, also)
        made = self._made[also]
        return [made[path] for path in sorted(made)]

    def take(self, groups: Iterable[Group]) -> None:
        """Takes groups that a grouping like this one gave before, without further verdicts, as its own."""
        self._made[frozenset()] = {group.reference.path: group for group in groups}

    def renew(self, tracks: Sequence[ListedTrack]) -> None:
        """Groups these tracks, which relate to no others, again. The groups are those that a new grouping of all tracks
        would give."""
        for also, made in sorted(self._made.items(), key=lambda each: len(each[0])):
            for track in tracks:
                made.pop(track.path, None)
            made.update(self._groups(tracks, also))

    def _groups(self, tracks: Sequence[ListedTrack], also: frozenset[Verdict]) -> dict[bytes, Group]:
        known = self._made.get(frozenset(), {}) if also else {}
        found: dict[bytes, Group] = {}
        for family in self.matches.families(tracks):
            groups = [known[track.path] for track in family if track.path in known]
            if sum(len(group.tracks) for group in groups) < len(family):  # if all are in groups, `also` adds nothing
                groups = Family(self.matches, self.rules, self.intended, family).groups(also)
            found |= {group.reference.path: group for group in groups}
        return found


class Family:
    """Tracks that relate to no others, and the way from their pairs to groups. The best track that is not yet in a
    group becomes the reference of the matching tracks that are not in one either and are not kept beside it, or beside
    each other, on purpose. Then each copy goes to the reference that it matches best, and where some files of a group
    hold all that the others hold, the best of these becomes the reference."""

    def __init__(self, matches: Matches, rules: KeepRules, intended: Intended, tracks: Sequence[ListedTrack]) -> None:
        self.matches, self.rules, self.intended = matches, rules, intended
        self.best_first = rules.best_first(tracks)
        self.places = {track.path: place for place, track in enumerate(self.best_first)}
        self.members: dict[bytes, list[TrackPair]] = {}
        """Pairs of each reference with its copies, best first, by its path."""
        self.taken: set[bytes] = set()
        self._gather(MERGING)
        if len(self.members) > 1:
            self._to_the_best_reference()
        self._keep_what_holds_all()

    def groups(self, also: frozenset[Verdict]) -> list[Group]:
        """The groups, best reference first; asked for once."""
        if also:
            self._gather(also)
        copies = {pair.b.path for members in self.members.values() for pair in members}
        return [self._group(track, copies) for track in self.best_first if track.path in self.members]

    def _group(self, track: ListedTrack, copies: set[bytes]) -> Group:
        beside = [pair for pair in self.matches.of(track, verdicts=BESIDE) if pair.b.path not in copies]
        return Group(track, self._swapped(self.members[track.path]), self._swapped(beside), self.rules)

    def _swapped(self, pairs: Iterable[TrackPair]) -> tuple[TrackPair, ...]:
        return tuple(sorted((pair.swapped() for pair in pairs), key=lambda pair: self.places[pair.a.path]))

    def _by_place(self, pairs: Iterable[TrackPair]) -> list[TrackPair]:
        return sorted(pairs, key=lambda pair: self.places[pair.b.path])

    def _gather(self, verdicts: frozenset[Verdict]) -> None:
        """Gives each track that is a reference, or in no group yet, the free tracks to which it has these verdicts."""
        free = _Held(track for track in self.best_first if track.path not in self.taken)
        for track in self.best_first:
            known = self.members.get(track.path, [])
            if track.path in self.taken and not known:
                continue
            pairs = self.matches.of(track, free.by_fingerprint, verdicts)
            members = _one_kind(track, known, self._by_place(pairs), self.intended)
            if members:
                self.members[track.path] = members
                for each in (track, *(pair.b for pair in members)):
                    self.taken.add(each.path)
                    free.drop(each)

    def _to_the_best_reference(self) -> None:
        """Moves each copy to the reference that it matches best, if it matches several: the best track of all may have
        come first and match it by chance, while its siblings are elsewhere."""
        first = [pair for members in self.members.values() for pair in members]
        references = _Held(track for track in self.best_first if track.path in self.members)
        best = {pair.b.path: self._best(pair, references) for pair in first}
        self.members = {reference: [] for reference in self.members}
        for pair in self._by_place(best.values()):
            members = self.members[pair.a.path]
            self.members[pair.a.path] = _one_kind(pair.a, members, [pair], self.intended)
        self.members = {reference: members for reference, members in self.members.items() if members}
        self.taken = set(self.members) | {pair.b.path for members in self.members.values() for pair in members}

    def _best(self, pair: TrackPair, references: _Held) -> TrackPair:
        """The pair of a reference and the copy of `pair` with the highest score; of equal ones, the best reference. A
        copy that is certain enough stays where it is."""
        if pair.match.score >= CERTAIN:
            return pair
        others = (p.swapped() for p in self.matches.of(pair.b, references.by_fingerprint, MERGING))
        best = min([pair, *others], key=lambda p: (-p.match.score, self.places[p.a.path]))
        if best is pair:
            return pair
        seen = self.matches.of(best.a, {pair.b.fingerprint: [pair.b]}, MERGING)  # as others are: from the reference
        return next(seen)

    def _keep_what_holds_all(self) -> None:
        for reference, members in list(self.members.items()):
            if all(_holds_all(pair.swapped()) for pair in members):
                continue
            holder = next(filter(None, map(self._as_holder, members[:MOST_HOLDERS], itertools.repeat(members))), None)
            if holder is not None:
                del self.members[reference]
                self.members[holder[0].a.path] = holder

    def _as_holder(self, pair: TrackPair, members: list[TrackPair]) -> list[TrackPair] | None:
        """The pairs of a copy with all others of its group, best first, if it holds all that they hold."""
        others = {pair.a.path, *(member.b.path for member in members)} - {pair.b.path}
        if pair.a.state != pair.b.state or (pair.a.damage is None) != (pair.b.damage is None):
            return None
        if bool(pair.a.cancels) != bool(pair.b.cancels):
            return None
        if pair.a.properties.lossless and not pair.b.properties.lossless:
            return None
        found = [p for p in self.matches.of(pair.b, verdicts=MERGING) if p.b.path in others]
        if len(found) < len(others) or not all(_holds_all(p.swapped()) for p in found):
            return None
        return self._by_place(found)


class _Held:
    """Some of the tracks, by fingerprint: thousands may have one, and nearly all of them be taken."""

    def __init__(self, tracks: Iterable[ListedTrack]) -> None:
        self._held: dict[int, dict[bytes, ListedTrack]] = {}
        for track in tracks:
            self._held.setdefault(track.fingerprint, {})[track.path] = track
        self.by_fingerprint = {each: held.values() for each, held in self._held.items()}

    def drop(self, track: ListedTrack) -> None:
        self._held.get(track.fingerprint, {}).pop(track.path, None)


MOST_HOLDERS = 20
"""Most copies of a group that are tried as its reference: the best ones."""


def _holds_all(pair: TrackPair) -> bool:
    """Whether `pair.b` holds all that `pair.a` holds, as far as is known."""
    return all(loss.kind == "untested" for loss in losses(pair))


def _one_kind(
    track: ListedTrack, known: Sequence[TrackPair], pairs: Iterable[TrackPair], intended: Intended
) -> list[TrackPair]:
    """The pairs with `track` that are known, and those of the others, best first, whose tracks may go in its favour;
    never two tracks that are kept beside each other on purpose, because both would go."""
    members = list(known)
    for pair in pairs:
        others = [track, *(member.b for member in members)] if intended.is_asked else []
        if all(intended.may_merge(other, pair.b) for other in others):
            members.append(pair)
    return members


def find_uncertain(store: Store, match: MatchSettings) -> list[TrackPair]:
    """What only a person can tell about the tracks of a store, best evidence first. A score that is yet to be learned
    from the answers is the usual one here."""
    if match.min_score is None:
        match = replace(match, min_score=MatchSettings.min_score)
    return uncertain(Matches(store, match))


ASKED: frozenset[Verdict] = frozenset(BESIDE) - {"contained", "overlapping", "same audio, picture not compared"}
"""Verdicts that leave something to ask."""


def uncertain(matches: Matches) -> list[TrackPair]:
    """Pairs that only a person can decide, best evidence first: their tracks have to do with each other, nobody has
    judged them yet, and neither track is a mere copy in a group."""
    copies = matches.derived.get(Copies)
    if not isinstance(copies, Copies):
        copies = matches.derived[Copies] = Copies(matches)
    holds = copies.holds
    return matches.beside(lambda track: None if holds(track) else track.path, ASKED)


class Copies:
    """The mere copies in the groups by the usual rules, family by family as somebody asks."""

    def __init__(self, matches: Matches) -> None:
        self._matches = matches
        self._known: dict[bytes, bool] = {}

    def holds(self, track: ListedTrack) -> bool:
        """Whether this track is one of them."""
        known = self._known
        if track.path not in known:
            usual = KeepSettings()
            for tracks in self._matches.families([track]):
                family = Family(self._matches, keep_rules(usual), Intended(usual), tracks)
                copies = {pair.b.path for pairs in family.members.values() for pair in pairs}
                known |= {each.path: each.path in copies for each in tracks}
        return known[track.path]

    def renew(self, tracks: Sequence[ListedTrack]) -> None:
        """Looks at these tracks, which relate to no others, again. What another thread is about to add is lost."""
        changed = {track.path for track in tracks}
        self._known = {path: is_copy for path, is_copy in self._known.items() if path not in changed}
