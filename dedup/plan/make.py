"""A plan made of a store: what is decided by the keep rules, and what is to be carried over, read from the files."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dedup.errors import UsageError
from dedup.files.paths import holds, printable
from dedup.files.quarantine import QUARANTINE
from dedup.groups.albums import albums_of
from dedup.groups.companions import Intended
from dedup.groups.groups import Group, make_groups
from dedup.groups.keep import is_below, keep_rules
from dedup.groups.matches import Matches
from dedup.observer import Observer
from dedup.plan.decide import Decider, most_first, removed_from
from dedup.plan.nouns import REMOVING, Plan, PlannedGroup
from dedup.plan.references import References
from dedup.settings import KeepSettings, PlanSettings
from dedup.store.protection import protected

if TYPE_CHECKING:
    from dedup.plan.nouns import PlannedFile
    from dedup.store.store import Store
    from dedup.tags.merge import Merge


@dataclass(frozen=True)
class Grounds:
    """What the plans of one store rest on, read from it once."""

    store: str
    """Folder of the store."""
    roots: tuple[bytes, ...]
    """Folders of the library that hold what may be a copy."""
    matches: Matches
    keep: KeepSettings
    """With all folders that are protected."""
    settings: PlanSettings
    decider: Decider

    def groups(self) -> list[Group]:
        """All of them, present or not."""
        return make_groups(self.matches, self.decider.rules, Intended(self.keep))

    def references(self, files: Iterable[bytes], observer: Observer) -> References:
        """Which of these files the playlists refer to."""
        return References(self.settings.playlists or self.roots, files, observer)

    def plan(self, groups: Sequence[PlannedGroup], references: References) -> Plan:
        """The plan of these groups."""
        return Plan(
            groups=tuple(groups),
            playlists=references.planned(groups),
            to=self.settings.to,
            remove_empty_folders=self.settings.remove_empty_folders,
            protect=self.keep.protect,
            match=self.matches.settings,
            rules=self.decider.rules.names,
            identity=self.keep.identity,
            made=time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            store=self.store,
        )


def grounds_of(store: Store, matches: Matches, keep: KeepSettings, settings: PlanSettings) -> Grounds:
    """Folders that the store remembers are protected too. Raises UsageError for a rule that there is not, and for a
    quarantine that the next scan would look into."""
    roots = sorted({track.root for track in matches.tracks})
    require_outside(settings.to, roots)
    keep = replace(keep, protect=protected(store, keep.protect))
    albums = albums_of(store, matches.tracks)
    decider = Decider(keep_rules(keep, albums), settings, keep.protect, albums)
    return Grounds(str(store.layout.folder), tuple(roots), matches, keep, settings, decider)


def make_plan(store: Store, matches: Matches, keep: KeepSettings, settings: PlanSettings, observer: Observer) -> Plan:
    """What is to become of all copies that `matches` has. Raises UsageError as `grounds_of` does."""
    return plan_all(grounds_of(store, matches, keep, settings), observer)


def plan_all(grounds: Grounds, observer: Observer, answered: Iterable[PlannedGroup] = ()) -> Plan:
    """What the rules come to; a group of the same files that is among the `answered` ones stays as it is there."""
    said = {group.contents: group for group in answered}
    decided = grounds.decider.groups(grounds.groups())
    by_rule = [group for group in decided if group.contents not in said]
    if grounds.settings.merge:
        by_rule = _with_merges(by_rule, grounds.keep.protect, observer)
    groups = most_first([*by_rule, *(said[group.contents] for group in decided if group.contents in said)])
    return grounds.plan(groups, grounds.references(removed_from(groups), observer))


def require_outside(to: bytes | None, roots: Sequence[bytes]) -> None:
    """Raises UsageError for a quarantine in the library, by whatever links: the next scan would find its files."""
    if to is None:
        return
    real = os.path.realpath(to)
    inside = [root for root in roots if holds(os.path.realpath(root), real)]
    if inside and QUARANTINE not in real.split(b"/"):
        raise UsageError(
            f"to {printable(to)}",
            f"is in the library, below {printable(inside[0])}",
            f"a folder outside of it, or one named {printable(QUARANTINE)}, which no scan looks into",
        )


# ---- tags and covers ----


def unite_group(kept: PlannedFile, others: Sequence[PlannedFile]) -> Merge:
    """What the kept file gets from those of the others that go. Raises OSError for a file that cannot be read."""
    from dedup.tags.read import read_tags
    from dedup.tags.unite import unite

    read = [(file.path, read_tags(file.path)) for file in _sources(others)]
    same_audio = frozenset(file.path for file in others if _is_same_audio(file, kept))
    return unite((kept.path, read_tags(kept.path)), read, same_audio)


def _sources(others: Sequence[PlannedFile]) -> list[PlannedFile]:
    """Files that go with tags that are not those of the kept one."""
    return [file for file in others if file.action in REMOVING and file.verdict != "identical file"]


def _is_same_audio(file: PlannedFile, kept: PlannedFile) -> bool:
    """Verdicts are against the file that was first to be kept, and has none."""
    return file.content == kept.content or (file.verdict == "same audio" and not kept.verdict)


def gets_tags(group: PlannedGroup, protect: Sequence[bytes]) -> bool:
    """Whether the kept file is to get what those that go have. A protected file gets nothing."""
    return bool(_sources(group.files)) and not is_below(group.files[0].path, protect)


def _with_merges(groups: Sequence[PlannedGroup], protect: Sequence[bytes], observer: Observer) -> list[PlannedGroup]:
    """Each with what its kept file gets from those that go."""
    wanted = [gets_tags(group, protect) for group in groups]
    observer.stage("read tags", sum(wanted), "groups")
    return [
        _with_merge(group, observer) if is_wanted else group for group, is_wanted in zip(groups, wanted, strict=True)
    ]


def _with_merge(group: PlannedGroup, observer: Observer) -> PlannedGroup:
    try:
        merge = unite_group(group.files[0], group.files[1:])
        return replace(group, merge=merge) if takes_tags(merge) else without_loss(group)
    except OSError as error:
        path = os.fsencode(error.filename) if error.filename else group.files[0].path
        observer.problem("failed", path, f"its tags cannot be read, and are not carried over: {error.strerror}")
        return group
    finally:
        observer.advance()


def takes_tags(merge: Merge) -> bool:
    """Whether the kept file can get what it is to get."""
    from dedup.tags.write import can_write

    return not merge or can_write(merge.into)


def without_loss(group: PlannedGroup) -> PlannedGroup:
    """The same, but that files with tags of their own stay: the kept one is of a format that takes none."""
    sources = _sources(group.files)
    why = "it has tags that the kept one lacks, and whose format takes none"
    files = (replace(f, action="leave", rule="tags", why=why) if f in sources else f for f in group.files)
    return replace(group, files=tuple(files))
