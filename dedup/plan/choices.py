"""What a person can decide about one group: which file stays, whether copies go that stay for what they hold. Reads the
tags of the group; changes no file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import replace
from typing import TYPE_CHECKING

from dedup.correlation.scoring import MERGING
from dedup.errors import InputError
from dedup.files.paths import printable
from dedup.groups.groups import Group
from dedup.groups.losses import SAME_PACKETS
from dedup.plan.decide import Decider, doubt, planned_file, with_left, with_note
from dedup.plan.make import UNREADABLE, Grounds, gets_tags, with_merge, without_loss
from dedup.plan.nouns import ANSWERED, REMOVING, PlannedFile, PlannedGroup
from dedup.settings import LOSS_KINDS, LossKind

if TYPE_CHECKING:
    from dedup.groups.matches import TrackPair
    from dedup.settings import PlanSettings

CHOSEN, SKIPPED, NO_COPY, LET_GO, KEPT = "chosen", "skipped", "no copy", "let go", "keep all"
"""Names of the rules of files that a person decided about: kept or removed; skipped; not known to be a copy of the file
that is kept; removed with what only it holds; of a group whose files all stay."""


def is_kept_for_itself(file: PlannedFile) -> bool:
    """Whether a file stays only for what it holds and the kept file lacks."""
    return file.action == "leave" and file.rule in LOSS_KINDS


class Choices:
    """What can become of each group. In its methods, `gone` are the paths of the files that go by the answers there
    are: albums stay complete without them."""

    def __init__(self, grounds: Grounds) -> None:
        self.grounds = grounds
        self._proposed: dict[object, PlannedGroup] = {}
        """Proposals by what a group is: after a judgement most groups are the same, and each takes reading."""

    def proposal(self, group: Group) -> PlannedGroup:
        """What the rules decide about a group by itself, as if every copy were certain enough to go."""
        members = tuple((pair.a.path, pair.verdict, pair.judged) for pair in group.members)
        key = group.reference.path, members
        if key not in self._proposed:
            self._proposed[key] = self.grounds.decider.group(group)
        return self._proposed[key]

    def keeping(
        self,
        group: Group,
        paths: Sequence[bytes],
        values: Mapping[str, Sequence[str]],
        gone: Set[bytes],
        let_go: bool = False,
    ) -> PlannedGroup:
        """The planned group if the files at `paths` stay; the first of them gets these values of tag fields, and what
        the others have that go. With `let_go`, copies that hold something of their own go too. Raises InputError for a
        file that cannot be kept."""
        first, *also = paths
        unknown = set(paths).difference(file.path for file in self.proposal(group).files)
        if unknown:
            raise InputError(printable(min(unknown)), "not a file of the group", remedy="Name files of the group")
        if first != self.proposal(group).files[0].path:
            planned = self._with_other(group, first, let_go)
        else:
            planned = self._letting_go(group) if let_go else self.proposal(group)
        if also:
            files = (
                replace(file, action="leave", rule=CHOSEN, why="you keep it too", sidecars=())
                if file.path in also and file.action != "leave"
                else file
                for file in planned.files
            )
            planned = replace(planned, files=tuple(files))
        planned = self.complete(planned, gone)
        return replace(_with_values(planned, values), note="; ".join(filter(None, (ANSWERED, planned.note))))

    def certain(self, group: Group, settings: PlanSettings, gone: Set[bytes]) -> PlannedGroup | None:
        """What the rules decide, if every copy that goes is certain enough by `settings`, and holds the same packets as
        the kept file or passed its null test; None if one does not, or none goes."""
        certain = {pair.a.path for pair in group.members if doubt(pair, settings) is None and is_proven(pair)}
        planned = self.proposal(group)
        if not planned.changed or not certain.issuperset(file.path for file in planned.changed):
            return None
        planned = self.keeping(group, [planned.files[0].path], {}, gone)
        return planned if planned.changed else None

    def _with_other(self, group: Group, path: bytes, let_go: bool) -> PlannedGroup:
        """The group if another file is kept. Files that do not match it stay, as they may not be copies of it."""
        tracks = {track.path: track for track in group.tracks if track.state != "imported"}
        kept = tracks.pop(path)
        if kept.state != "present" or kept.damage:
            raise InputError(printable(path), kept.damage or "not there now", remedy="Keep a sound file")
        matching = {pair.b.path: pair.swapped() for pair in self.grounds.matches.of(kept) if pair.verdict in MERGING}
        members = tuple(matching[other] for other in tracks if other in matching)
        if not members:
            raise InputError(
                printable(path), "no other file of the group matches it", remedy="Keep one that others match"
            )
        chosen = Group(kept, members)
        decided = self._letting_go(chosen) if let_go else self._decider_without("untested").group(chosen)
        files = [
            file
            if file.action == "leave" or file.rule == LET_GO
            else replace(file, rule=CHOSEN, why="you keep it" if file.action == "keep" else "you keep another")
            for file in decided.files
        ]
        apart = [
            planned_file(track, "leave", NO_COPY, "not known to be a copy of the file that you keep")
            for other, track in tracks.items()
            if other not in matching
        ]
        return PlannedGroup((*files, *apart))

    def _decider_without(self, *kinds: LossKind) -> Decider:
        """The rules if losses of these kinds do not count. A person who keeps another file needs no null test: they
        know why."""
        decider = self.grounds.decider
        return replace(decider, settings=replace(decider.settings, let_go=(*decider.settings.let_go, *kinds)))

    def _letting_go(self, group: Group) -> PlannedGroup:
        """The group if what stays for what it holds alone goes."""
        stays = {file.path: file.why for file in self.grounds.decider.group(group).files if is_kept_for_itself(file)}
        planned = self._decider_without(*LOSS_KINDS).group(group)
        files = (
            replace(file, rule=LET_GO, why=f"you let go: {stays[file.path]}")
            if file.path in stays and file.action != "leave"
            else file
            for file in planned.files
        )
        return replace(planned, files=tuple(files))

    def complete(self, planned: PlannedGroup, gone: Set[bytes]) -> PlannedGroup:
        """The group with albums kept complete, and with what the kept file gets."""
        needed = self._needed_by_albums(planned, gone)
        if needed:
            planned = (with_note if self.grounds.settings.break_albums else with_left)(planned, needed)
        if not self.grounds.settings.merge or not gets_tags(planned, self.grounds.keep.protect):
            return planned
        try:
            return with_merge(planned, lambda: self.grounds.aligned(planned))
        except OSError as error:
            told = f"tags cannot be read, so none are carried over: {error.strerror or error}"
            note = "; ".join(filter(None, (planned.note, told)))
            return without_loss(replace(planned, note=note), UNREADABLE)

    def _needed_by_albums(self, planned: PlannedGroup, gone: Set[bytes]) -> dict[bytes, str]:
        """Albums that would no longer be complete after all the answers, by path of the file that each needs."""
        albums, own = self.grounds.decider.albums, {file.path for file in planned.files}
        gone = (albums.around(own) & gone) - own
        lost = albums.lacking(gone)
        needed: dict[bytes, str] = {}
        for file in planned.files:
            if file.action in REMOVING:
                now = albums.lacking({*gone, file.path})
                if now.keys() <= lost.keys():
                    gone |= {file.path}
                else:
                    needed[file.path] = now.get(file.path) or now[min(now.keys() - lost.keys())]
        return needed


def is_proven(pair: TrackPair) -> bool:
    """Whether nobody needs to listen to the two, or a null test found nothing that tells them apart."""
    return pair.verdict in SAME_PACKETS or (pair.verdict in MERGING and pair.test is not None and pair.test.is_copy)


def _with_values(planned: PlannedGroup, values: Mapping[str, Sequence[str]]) -> PlannedGroup:
    """The group if the kept file gets these values of fields about which the files disagree, unless it has them."""
    if planned.merge is None or not values:
        return planned
    own = {conflict.name: conflict.kept for conflict in planned.merge.conflicts}
    chosen = {name: tuple(texts) for name, texts in values.items() if own.get(name) != tuple(texts)}
    united = {name: texts for name, texts in planned.merge.fields.items() if name not in values}
    conflicts = tuple(conflict for conflict in planned.merge.conflicts if conflict.name not in values)
    return replace(planned, merge=replace(planned.merge, fields={**united, **chosen}, conflicts=conflicts))
