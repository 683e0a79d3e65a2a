"""Makes a plan from a store: what the keep rules decide, and the tags and covers to carry over, read from the files."""

from __future__ import annotations

import os
from collections.abc import Callable, Collection, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dedup.clock import utc_now
from dedup.errors import UsageError
from dedup.files.paths import holds, printable
from dedup.files.quarantine import QUARANTINE
from dedup.groups.groups import Group, grouping
from dedup.groups.keep import is_below
from dedup.groups.losses import LOST_BY_VERDICT, is_aligned, lost_extras
from dedup.observer import Observer
from dedup.plan.beside import OnDisk
from dedup.plan.decide import Decider, kept_for, most_first
from dedup.plan.document import is_replaceable, locked, write_plan
from dedup.plan.listening import HERE, Ears, listened
from dedup.plan.nouns import REMOVING, Plan, PlannedGroup
from dedup.plan.protect import protect_from_now_on
from dedup.plan.references import References
from dedup.plan.seal import Seals
from dedup.plan.weigh import decider_of
from dedup.servers.asked import asked_of
from dedup.settings import KeepSettings, LossKind, MatchSettings, PlanSettings
from dedup.store.plan_key import plan_key
from dedup.store.protection import with_protected
from dedup.store.store import open_for_reading

if TYPE_CHECKING:
    from dedup.groups.losses import Loss
    from dedup.groups.matches import Matches
    from dedup.groups.remembered import Place
    from dedup.plan.nouns import PlannedFile
    from dedup.store.store import Store
    from dedup.tags.merge import Merge
    from dedup.tags.read import Tags


@dataclass(frozen=True)
class Grounds:
    """What the plans of one store are made from, read once."""

    store: str
    """Folder of the store."""
    roots: tuple[bytes, ...]
    """Roots of all tracks that may be copies."""
    matches: Matches
    keep: KeepSettings
    """Keep settings, with all folders that are protected."""
    settings: PlanSettings
    decider: Decider
    seals: Seals
    made: str = field(default_factory=utc_now)
    """Time when they were read, UTC: that of all plans that are made of them."""

    def groups(self) -> list[Group]:
        """All groups, including those of files that are currently missing, with what is no copy though it is the same
        music: it stays unless a person lets it go."""
        return grouping(self.matches, self.decider.rules, self.keep).groups(also=frozenset(LOST_BY_VERDICT))

    def looking_at_the_disk(self, observer: Observer) -> tuple[Grounds, References]:
        """The same, with a look at what lies beside the files and at the playlists that name them; and the latter."""
        files = [track.path for track in self.matches.tracks]
        references = References(self.settings.playlists or self.roots, files, observer, self.keep.protect)
        return replace(self, decider=replace(self.decider, disk=OnDisk(self.settings, references))), references

    def aligned(self, group: PlannedGroup) -> frozenset[bytes]:
        """Paths of the files that start at the same moment as the first of the group."""
        return frozenset(pair.b.path for pair in self.matches.of_path(group.files[0].path) if is_aligned(pair))

    def plan(self, groups: Sequence[PlannedGroup], references: References, is_sealed: bool = True) -> Plan:
        """The plan of these groups; sealed, unless it is only looked at."""
        plan = Plan(
            groups=tuple(groups),
            playlists=references.planned(groups),
            to=self.settings.to,
            remove_empty_folders=self.settings.remove_empty_folders,
            protect=self.keep.protect,
            match=self.matches.settings,
            rules=self.decider.rules.names,
            identity=self.keep.identity,
            made=self.made,
            store=self.store,
            servers=asked_of(self.decider.listeners),
        )
        return self.seals.sealed(plan) if is_sealed else plan


def grounds_of(store: Store, matches: Matches, keep: KeepSettings, settings: PlanSettings) -> Grounds:
    """Reads the grounds; protects the folders that the store remembers too. Raises UsageError for a rule that does not
    exist, and for a quarantine that the next scan would look into."""
    roots = sorted({track.root for track in matches.tracks})
    require_outside(settings.to, roots)
    keep = with_protected(store, keep)
    decider = decider_of(store, matches, keep, settings)
    seals = Seals(plan_key(store.layout))
    return Grounds(str(store.layout.folder), tuple(roots), matches, keep, settings, decider, seals)


def make_plan(
    store: Store,
    matches: Matches,
    keep: KeepSettings,
    settings: PlanSettings,
    observer: Observer,
    is_sealed: bool = True,
) -> Plan:
    """The plan for all copies in `matches`; sealed, unless it is only looked at. Raises UsageError as `grounds_of`
    does."""
    return plan_all(grounds_of(store, matches, keep, settings), observer, is_sealed=is_sealed)


@dataclass(frozen=True)
class Made:
    """A plan that was made, and what became of its file."""

    plan: Plan
    path: bytes | None = None
    """File to which it was written; None if it was not written."""
    replaced: bool = False
    """Whether that file held a plan before."""
    matches: Matches | None = None
    """What it was made from."""


def plan_copies(
    *,
    folder: Path,
    match: MatchSettings,
    keep: KeepSettings,
    settings: PlanSettings,
    observer: Observer,
    purpose: str,
    ears: Ears = HERE,
    path: bytes | None = None,
    unprotect: Sequence[bytes] = (),
    place: Place | None = None,
    is_document: bool = True,
) -> Made:
    """Makes a plan for all copies in the store in `folder`, and writes it to `path` if that is given. If it does not
    become a document in any other way either, it is not sealed, which takes a tenth of the time. Folders that
    `keep` protects stay protected from now on, those of `unprotect` do not; for that, and for the null tests that the
    copies still need, the store is locked, in the name of `purpose`. Matches are kept at `place`, and taken from there.

    Raises InputError, before any work is done, if there is something other than a plan at `path`; UsageError as
    `grounds_of` does, and for a folder that cannot be unprotected."""
    replaced = path is not None and is_replaceable(path)
    protect_from_now_on(folder, keep.protect, unprotect, playlists=settings.playlists, purpose=purpose)
    matches = listened(folder, match, keep, settings.let_go, ears, observer, purpose, place)
    with open_for_reading(folder) as store:
        plan = make_plan(store, matches, keep, settings, observer, is_sealed=is_document or path is not None)
    if path is not None:
        with locked(path):
            write_plan(path, plan)
    return Made(plan, path, replaced, matches)


def plan_all(
    grounds: Grounds, observer: Observer, answered: Iterable[PlannedGroup] = (), is_sealed: bool = True
) -> Plan:
    """What the rules decide; a group whose files are those of one in `answered` stays as it is there."""
    said = {group.contents: group for group in answered}
    grounds, references = grounds.looking_at_the_disk(observer)
    decided = grounds.decider.groups(grounds.groups())
    by_rule = [group for group in decided if group.contents not in said] if said else list(decided)
    if grounds.settings.merge:
        by_rule = _with_merges(grounds, by_rule, observer)
    answers = [said[group.contents] for group in decided if group.contents in said] if said else []
    groups = most_first([*by_rule, *answers])
    return grounds.plan(groups, references, is_sealed)


def require_outside(to: bytes | None, roots: Sequence[bytes]) -> None:
    """Raises UsageError for a quarantine in the library, even through links: the next scan would find its files."""
    if to is None:
        return
    real = os.path.realpath(to)
    inside = [root for root in roots if holds(os.path.realpath(root), real)]
    if inside and QUARANTINE not in real.split(b"/"):
        raise UsageError(
            f"to {printable(to)}",
            f"is in the library, below {printable(inside[0])}",
            remedy=f"Name a folder outside the library, or one called {printable(QUARANTINE)}, which scans leave out",
        )


# ---- tags and covers ----


def unite_group(kept: PlannedFile, others: Sequence[PlannedFile]) -> Merge:
    """What the kept file gets from the others that go, apart from what needs the same beginning. Raises OSError for a
    file that cannot be read."""
    sources = _sources(others)
    return _united(kept, sources, _tags_of((kept, *sources)), frozenset())


def _tags_of(files: Iterable[PlannedFile]) -> dict[bytes, Tags]:
    from dedup.tags.read import read_tags

    return {file.path: read_tags(file.path) for file in files}


def _united(
    kept: PlannedFile, sources: Sequence[PlannedFile], tags: dict[bytes, Tags], aligned: frozenset[bytes]
) -> Merge:
    from dedup.tags.unite import unite

    same_audio = frozenset(file.path for file in sources if _is_same_audio(file, kept))
    return unite((kept.path, tags[kept.path]), [(f.path, tags[f.path]) for f in sources], same_audio, aligned)


def _sources(others: Sequence[PlannedFile]) -> list[PlannedFile]:
    """Files that go and may have other tags than the kept one."""
    return [file for file in others if file.action in REMOVING and file.verdict != "identical file"]


def _is_same_audio(file: PlannedFile, kept: PlannedFile) -> bool:
    """Whether both hold the same audio. A verdict is against the file that was first to be kept, which has none."""
    return file.content == kept.content or (file.verdict == "same audio" and not kept.verdict)


def gets_tags(group: PlannedGroup, protect: Sequence[bytes]) -> bool:
    """Whether the kept file gets something from those that go. A protected file gets nothing."""
    return bool(_sources(group.files)) and not is_below(group.files[0].path, protect)


def _with_merges(grounds: Grounds, groups: Sequence[PlannedGroup], observer: Observer) -> list[PlannedGroup]:
    """The groups, each with what its kept file gets from those that go."""
    wanted = [gets_tags(group, grounds.keep.protect) for group in groups]
    observer.stage("read tags", sum(wanted), "groups")
    return [
        _with_merge(grounds, group, observer) if is_wanted else group
        for group, is_wanted in zip(groups, wanted, strict=True)
    ]


def _with_merge(grounds: Grounds, group: PlannedGroup, observer: Observer) -> PlannedGroup:
    try:
        return with_merge(group, lambda: grounds.aligned(group))
    except OSError as error:
        path = os.fsencode(error.filename) if error.filename else group.files[0].path
        observer.problem("failed", path, f"its tags cannot be read, so they are not carried over: {error.strerror}")
        return without_loss(group, UNREADABLE)
    finally:
        observer.advance()


def with_merge(group: PlannedGroup, aligned: Callable[[], frozenset[bytes]]) -> PlannedGroup:
    """The group with what its kept file gets from those that go, except that a file stays if something is left that
    hangs off it. `aligned` gives the paths of the files that start at the same moment as the kept one: only what hangs
    off a file asks for it. Raises OSError for a file that cannot be read."""
    from dedup.tags.write import can_write

    kept, sources = group.files[0], _sources(group.files[1:])
    tags = _tags_of((kept, *sources))
    has_extras = any(tags[file.path].extras for file in sources)
    merge = _united(kept, sources, tags, aligned() if has_extras else frozenset())
    coming = [extra.digest for extra in merge.extras]
    there = tags[kept.path].digests.union(coming)
    left = {file.path: lost for file in sources if (lost := lost_besides(file.may_be_lost, tags[file.path], there))}
    if left:
        files = tuple(_kept_for(file, left.get(file.path, ())) for file in group.files)
        return with_merge(replace(group, files=files), aligned)
    extras = {held.extra.digest: held for file in sources for held in tags[file.path].extras}
    if merge and not can_write(kept.path, [extras[digest] for digest in coming]):
        return without_loss(group, UNWRITABLE)
    return replace(group, merge=merge if sources else None)


def lost_besides(let_go: Collection[LossKind], tags: Tags, digests: Collection[str]) -> list[Loss]:
    """What hangs off a file with these tags, has none of these digests, and is not let go."""
    lost = lost_extras((held.extra for held in tags.extras), digests)
    return [loss for loss in lost if loss.kind not in let_go]


def _kept_for(file: PlannedFile, lost: Sequence[Loss]) -> PlannedFile:
    stays = kept_for(lost, ())
    if stays is None:
        return file
    rule, why = stays
    return replace(file, action="leave", rule=rule, why=why, lost=(*file.lost, *lost), sidecars=())


UNREADABLE = "the tags of the group cannot be read, so they would be lost"
UNWRITABLE = "it has tags that the kept file lacks, and they cannot be written to the kept file"


def without_loss(group: PlannedGroup, why: str) -> PlannedGroup:
    """The same group, except that files with their own tags stay."""
    sources = {file.path for file in _sources(group.files)}
    files = (
        replace(file, action="leave", rule="tags", why=why, sidecars=()) if file.path in sources else file
        for file in group.files
    )
    return replace(group, files=tuple(files), merge=None)
