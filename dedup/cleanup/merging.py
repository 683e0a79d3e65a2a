"""Writes tags, cover and what else hangs off copies that go into the copy that stays."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import BinaryIO

from dedup.cleanup.executor import Doing, reason_of, reason_of_tags
from dedup.cleanup.originals import ChangedSinceError
from dedup.cleanup.rewrite import write_copy
from dedup.cleanup.steps import Rewrite
from dedup.files.held import Reach, Spot
from dedup.files.paths import printable
from dedup.plan.nouns import PlannedGroup
from dedup.tags.extras import Held
from dedup.tags.merge import Merge
from dedup.tags.read import Tags, read_tags
from dedup.tags.unite import good_cover
from dedup.tags.write import TagsError

_NO_TAGS = "the file to keep cannot get their tags: {}; a plan with `--no-merge` leaves the tags alone"


def merge_into_kept(group: PlannedGroup, sources: Collection[bytes], doing: Doing) -> tuple[bool, str]:
    """Whether anything was written, and why it could not be, empty if it could. Covers and the like come only from
    `sources`: the files of the group that the catalog knows. Raises WriteError for a full disk."""
    kept = group.kept
    if kept is None or not group.merge:
        return False, ""
    try:
        step = _rewriting(_merge_of(group), kept.path, sources, doing)
        if step is not None:
            doing.do(step)
        return step is not None, ""
    except TagsError as error:
        return False, _NO_TAGS.format(reason_of_tags(error, kept.path))
    except ChangedSinceError as error:
        return False, _NO_TAGS.format(error)
    except OSError as error:
        return False, _NO_TAGS.format(reason_of(error, kept.path))


def would_merge(group: PlannedGroup) -> bool:
    """Whether the kept file would get anything. Reads tags if another file is kept than when the plan was made."""
    if group.kept is None or not group.merge:
        return False
    try:
        merge = _merge_of(group)
    except OSError:
        return False
    return bool(merge.fields or merge.cover_from or merge.extras)


def _merge_of(group: PlannedGroup) -> Merge:
    """What the kept file gets; united again if another file is kept than when the plan was made."""
    from dedup.plan.make import unite_group

    assert group.merge is not None and group.kept is not None
    if group.merge.into == group.kept.path:
        return group.merge
    return unite_group(group.kept, [file for file in group.files if file is not group.kept])


def _rewriting(merge: Merge, path: bytes, sources: Collection[bytes], doing: Doing) -> Rewrite | None:
    """The step that writes it; None if there is nothing to write."""
    named = {extra.path for extra in merge.extras} | ({merge.cover_from} if merge.cover_from is not None else set())
    if foreign := sorted(named.difference(sources)):
        raise TagsError(printable(path), f"{printable(foreign[0])} is not a file of its group that the library knows")
    tags = {name: _tags_of(name, doing.reach) for name in named}
    cover = None if merge.cover_from is None else good_cover(tags[merge.cover_from])
    extras = _extras_of(merge, tags)
    if not merge.fields and cover is None and not extras:
        return None

    def build(old: BinaryIO, new: BinaryIO, part: Spot) -> None:
        write_copy(old, path, new, part.path, merge.fields, cover, extras)

    return Rewrite(path, doing.place(), "tags", build)


def _extras_of(merge: Merge, tags: dict[bytes, Tags]) -> list[Held]:
    """The extras to carry over, as the files have them now. Raises TagsError if one is not there any more."""
    found = []
    for extra in merge.extras:
        held = next((held for held in tags[extra.path].extras if held.extra.digest == extra.digest), None)
        if held is None:
            raise TagsError(printable(extra.path), f"{printable(extra.path)} no longer has {extra.what}")
        found.append(held)
    return found


def _tags_of(path: bytes, reach: Reach) -> Tags:
    """Raises OSError for anything but a regular file: reading a pipe would wait."""
    with reach.spot(path) as spot, spot.open() as file:
        tags = read_tags(path)
        if not os.path.samestat(os.stat(path), os.fstat(file.fileno())):
            raise TagsError(printable(path), f"{printable(path)} was changed while it was read")
    return tags
