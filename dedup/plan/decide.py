"""Decides what happens to each file of each group. Pure: looks at nothing except its arguments."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from dedup.groups.albums import Albums
from dedup.groups.going import Going, Goings
from dedup.groups.groups import Group
from dedup.groups.keep import Decision, KeepRules, is_below
from dedup.groups.losses import NOTHING, SAME_PACKETS, Beside, Loss, carried_extras, losses, outcome_words
from dedup.groups.matches import ListedTrack, TrackPair
from dedup.groups.recordings import is_doubtful
from dedup.plan.nouns import LINKING, OTHER_OWNER, REMOVING, Action, PlannedFile, PlannedGroup, PlannedSidecar
from dedup.playlists.sidecars import renamed
from dedup.servers.attention import NOBODY, Listeners
from dedup.settings import LossKind, PlanSettings
from dedup.tags.extras import Extra

UNCERTAIN = "uncertain"
"""Name of the rule by which a copy stays until a person decides about it."""

Coming = Mapping[bytes, bytes] | None
"""Side-cars of other copies that come to the kept file: where each is now, by where it will be. None if no file may
come to it, as its folder is protected."""


class Disk(Protocol):
    """What only the disk knows of a copy and the file that is kept."""

    def beside(self, pair: TrackPair, coming: Coming) -> Beside:
        """What would be lost beside the copy."""

    def planned(self, pair: TrackPair, let_go: Collection[LossKind], coming: Coming) -> tuple[PlannedSidecar, ...]:
        """What happens to the files that belong to the copy if it goes and these kinds may be lost."""

    def owners_differ(self, pair: TrackPair) -> bool:
        """Whether owner, group, mode or access list of the two differ."""


@dataclass(frozen=True)
class Decider:
    """Everything that the decisions depend on."""

    rules: KeepRules
    settings: PlanSettings
    protect: tuple[bytes, ...]
    albums: Albums
    listeners: Listeners = NOBODY
    """What listeners did with the files."""
    disk: Disk | None = None
    """Who looks at the disk; None if nobody does."""
    asks: bool = True
    """Whether copies stay that a person should be asked about whatever their score; False if a person is asked about
    each."""

    def groups(self, groups: Iterable[Group]) -> tuple[PlannedGroup, ...]:
        """Groups with at least two files that are there, most reclaimable bytes first, then by the kept file's path.
        The reference is kept: it is the best by the rules, and all other files match it."""
        planned = [self.group(group) for group in groups if is_there_twice(group)]
        return most_first(self.with_whole_albums(planned))

    def group(self, group: Group) -> PlannedGroup:
        """One group by itself, regardless of albums."""
        members = [pair for pair in group.members if pair.a.state != "imported"]
        group = group if group.rules is self.rules else replace(group, rules=self.rules)
        better = [group.decision(pair) for pair in members]
        files = [planned_file(group.reference, "keep", better[0].rule, better[0].why)]
        may_change = not is_below(group.reference.path, self.protect)
        merges = self.settings.merge and may_change
        gets: tuple[Extra, ...] = ()
        coming: Coming = {} if may_change else None
        for pair, decision in zip(members, better, strict=True):
            found = self.disk.beside(pair, coming) if self.disk else NOTHING
            beside = Beside(merges, gets, found.sidecars, found.playlists, self._unmoved(pair))
            files.append(self._member(pair, decision, beside, coming))
            if files[-1].action in REMOVING:
                gets += carried_extras(pair, beside)
                coming = None if coming is None else {**coming, **_coming_with(files[-1], pair)}
        return PlannedGroup(tuple(files))

    def weighed(self, groups: Iterable[Group], known: Goings) -> list[Group]:
        """The groups with the bytes that `groups` lets go of each, most first, then by the reference's path. Says
        nothing about the files, which takes most of the time of a decision."""
        free = [(group, group.copies, known.of(group, self._going)) for group in groups]
        goes = {copies[at].path for _, copies, going in free for at in going.certain}
        lacking: Collection[bytes] = ()
        if self.settings.action in REMOVING and not self.settings.break_albums:
            lacking = self.albums.lacking(goes)

        def n_bytes(copies: Sequence[ListedTrack], places: Iterable[int]) -> int:
            return sum(copies[at].size for at in places if copies[at].path not in lacking)

        found = [
            Group(
                each.reference,
                each.members,
                each.beside,
                each.rules,
                n_bytes(copies, going.certain),
                n_bytes(copies, going.unheard),
            )
            for each, copies, going in free
        ]
        return sorted(found, key=lambda each: (-each.bytes_reclaimable, -each.bytes_unheard, each.reference.path))

    def _going(self, group: Group) -> Going:
        """The members that go, as `group` decides it."""
        certain: list[int] = []
        unheard: list[int] = []
        if not is_there_twice(group):
            return Going(certain, unheard)
        beside = Beside(merges=self.settings.merge and not is_below(group.reference.path, self.protect))
        for at, pair in enumerate(group.members):
            lost = losses(pair, replace(beside, listeners=self._unmoved(pair)) if self.listeners.servers else beside)
            if self._why_it_stays(pair, lost) is None:
                certain.append(at)
                if pair.a.properties.extras and self.settings.action in REMOVING:
                    beside = replace(beside, gets=(*beside.gets, *carried_extras(pair, beside)))
            elif pair.test is None and self._why_it_stays(pair, _heard(lost), is_heard=True) is None:
                unheard.append(at)
        return Going(certain, unheard)

    def _member(self, pair: TrackPair, better: Decision, beside: Beside, coming: Coming) -> PlannedFile:
        lost = losses(pair, beside)
        stays = self._why_it_stays(pair, lost)
        if stays is not None:
            return planned_file(pair.a, "leave", *stays, pair, lost)
        goes = planned_file(pair.a, self.settings.action, better.rule, better.why, pair, lost)
        if self.disk is None or self.settings.action not in REMOVING:
            return goes
        sidecars = self.disk.planned(pair, self.settings.let_go, coming)
        return replace(goes, sidecars=sidecars) if sidecars else goes

    def _unmoved(self, pair: TrackPair) -> tuple[str, ...]:
        """What listeners did with a copy, and the kept file would not get if it went from its place."""
        return self.listeners.losses(pair.a.path, pair.b.path) if self.settings.action in REMOVING else ()

    def _why_it_stays(self, pair: TrackPair, lost: Sequence[Loss], is_heard: bool = False) -> tuple[str, str] | None:
        """Rule and reason by which a copy stays; None if it goes. `is_heard`: as if a null test had found nothing."""
        copy, action = pair.a, self.settings.action
        if copy.state != "present":
            return "absent", "not there now"
        if is_below(copy.path, self.protect):
            return "protected", "in a protected folder"
        if self.settings.protect_loved and action in REMOVING and self.listeners.of(copy.path).is_loved:
            return "loved", self.listeners.words(copy.path)
        if pair.verdict == "same file":
            return "same file", "another name of the kept file: nothing reclaimable"
        cannot = self._why_it_cannot_link(pair) if action in LINKING else None
        by_score = cannot or kept_for(lost, self.settings.let_go) or doubt_of_score(pair, self.settings)
        return by_score or (doubt_of_ids(pair) if self.asks and not is_heard else None)

    def _why_it_cannot_link(self, pair: TrackPair) -> tuple[str, str] | None:
        copy, kept, action = pair.a, pair.b, self.settings.action
        if pair.verdict != "identical file":
            return "not identical", f"its bytes differ from those of the kept file, so no {action} is possible"
        if copy.device != kept.device:
            return "other disk", f"not on the same disk as the kept file, so no {action} is possible"
        if action == "hardlink" and is_below(kept.path, self.protect):
            return "protected", "the kept file is in a protected folder, and a hard link would change it"
        if action == "hardlink" and self.disk is not None and self.disk.owners_differ(pair):
            return "owner", OTHER_OWNER
        return None

    def with_whole_albums(self, groups: list[PlannedGroup]) -> list[PlannedGroup]:
        """Leaves the files that an album needs to stay complete, or notes their loss."""
        removed = {file.path for group in groups for file in group.files if file.action in REMOVING}
        lacking = self.albums.lacking(removed)
        if not lacking:
            return groups
        if self.settings.break_albums:
            return [with_note(group, lacking) for group in groups]
        return [with_left(group, lacking) for group in groups]


def _heard(lost: Sequence[Loss]) -> list[Loss]:
    """What is lost after a null test that finds nothing."""
    return [loss for loss in lost if loss.kind != "untested"]


def most_first(groups: Iterable[PlannedGroup]) -> tuple[PlannedGroup, ...]:
    """Groups by reclaimable bytes, most first, then by the first file's path."""
    return tuple(sorted(groups, key=lambda group: (-group.n_bytes, group.files[0].path)))


def is_there_twice(group: Group) -> bool:
    """Whether the reference and at least one copy are there. Files that are away or were imported do not count."""
    return group.reference.state == "present" and any(copy.state == "present" for copy in group.copies)


def planned_file(
    track: ListedTrack,
    action: Action,
    rule: str,
    why: str,
    pair: TrackPair | None = None,
    lost: tuple[Loss, ...] = (),
) -> PlannedFile:
    """A file as a plan made now describes it; `pair` is the file with the kept file."""
    return PlannedFile(
        path=track.path,
        action=action,
        size=track.size,
        mtime_ns=track.mtime_ns,
        content=track.content,
        rule=rule,
        why=why,
        verdict=pair.verdict if pair else "",
        score=round(pair.match.score, 6) if pair else None,
        null_test=outcome_words(pair.test) if pair else "",
        lost=lost,
    )


def _coming_with(file: PlannedFile, pair: TrackPair) -> dict[bytes, bytes]:
    """The side-cars that come to the kept file when this one goes: where each is, by where it will be."""
    return {
        renamed(each.path, pair.a.path, pair.b.path): each.path for each in file.sidecars if each.action == "to kept"
    }


def doubt(pair: TrackPair, settings: PlanSettings) -> tuple[str, str] | None:
    """Rule and reason by which a copy goes only if a person says so; None if it is certain enough."""
    return doubt_of_score(pair, settings) or doubt_of_ids(pair)


def doubt_of_ids(pair: TrackPair) -> tuple[str, str] | None:
    """The same by what MusicBrainz calls the two."""
    if pair.verdict in SAME_PACKETS or pair.judged or not is_doubtful(pair):
        return None
    return UNCERTAIN, "tagged as two MusicBrainz recordings: a person must decide"


def doubt_of_score(pair: TrackPair, settings: PlanSettings) -> tuple[str, str] | None:
    """The same by the score alone."""
    if pair.verdict in SAME_PACKETS or pair.judged:
        return None
    score, ask, auto = pair.match.score, settings.ask, settings.auto
    if ask is not None and score < ask:
        return "reported only", f"score {score:.3f}, below {ask:g}"
    if auto is not None and score < auto:
        return UNCERTAIN, f"score {score:.3f}, below {auto:g}: a person must decide"
    return None


def kept_for(lost: Sequence[Loss], let_go: Collection[LossKind]) -> tuple[str, str] | None:
    """Rule and reason by which a copy stays for what it holds alone; None if nothing is lost that must not be."""
    kept = [loss for loss in lost if loss.kind not in let_go]
    return (kept[0].kind, "; ".join(loss.what for loss in kept)) if kept else None


def with_left(group: PlannedGroup, lacking: Mapping[bytes, str]) -> PlannedGroup:
    """The group, except that the files that an album needs stay."""
    return replace(group, files=tuple(_left(file, lacking) for file in group.files))


def _left(file: PlannedFile, lacking: Mapping[bytes, str]) -> PlannedFile:
    if file.path not in lacking:
        return file
    return replace(file, action="leave", rule="album", why=f"{lacking[file.path]}, which is complete with it")


def with_note(group: PlannedGroup, lacking: Mapping[bytes, str]) -> PlannedGroup:
    """The group, with a note about the albums that lose a file."""
    lost = [lacking[file.path] for file in group.files if file.path in lacking]
    return replace(group, note=f"lost to a complete album: {'; '.join(lost)}") if lost else group


def removed_from(groups: Sequence[PlannedGroup]) -> dict[bytes, bytes]:
    """Path of the kept file, by the path of each file that is removed from its place."""
    return {
        file.path: group.kept.path for group in groups if group.kept for file in group.files if file.action in REMOVING
    }
