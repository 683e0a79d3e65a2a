"""Writes tags, cover and what else hangs off copies that go into the copy that stays."""

from __future__ import annotations

import errno
import os
import stat

from dedup.cleanup.executor import Doing, reason_of, reason_of_tags
from dedup.cleanup.rewrite import write_copy
from dedup.cleanup.steps import Rewrite
from dedup.files.paths import printable
from dedup.plan.nouns import PlannedGroup
from dedup.tags.extras import Held
from dedup.tags.merge import Merge
from dedup.tags.read import Tags, read_tags
from dedup.tags.unite import good_cover
from dedup.tags.write import TagsError

_NO_TAGS = "the file to keep cannot get their tags: {}; a plan with `--no-merge` leaves the tags alone"


def merge_into_kept(group: PlannedGroup, doing: Doing) -> tuple[bool, str]:
    """Whether anything was written, and why it could not be, empty if it could. Raises WriteError for a full disk."""
    kept = group.kept
    if kept is None or not group.merge:
        return False, ""
    try:
        step = _rewriting(_merge_of(group), kept.path, doing)
        if step is not None:
            doing.do(step)
        return step is not None, ""
    except TagsError as error:
        return False, _NO_TAGS.format(reason_of_tags(error, kept.path))
    except OSError as error:
        return False, _NO_TAGS.format(reason_of(error, kept.path))


def _merge_of(group: PlannedGroup) -> Merge:
    """What the kept file gets; united again if another file is kept than when the plan was made."""
    from dedup.plan.make import unite_group

    assert group.merge is not None and group.kept is not None
    if group.merge.into == group.kept.path:
        return group.merge
    return unite_group(group.kept, [file for file in group.files if file is not group.kept])


def _rewriting(merge: Merge, path: bytes, doing: Doing) -> Rewrite | None:
    """The step that writes it; None if there is nothing to write."""
    cover = None if merge.cover_from is None else good_cover(_tags_of(merge.cover_from))
    extras = _extras_of(merge)
    if not merge.fields and cover is None and not extras:
        return None
    real = os.path.realpath(path)
    return Rewrite(real, doing.place(), "tags", lambda part: write_copy(real, part, merge.fields, cover, extras))


def _extras_of(merge: Merge) -> list[Held]:
    """The extras to carry over, as the files have them now. Raises TagsError if one is not there any more."""
    there = {path: _tags_of(path).extras for path in {extra.path for extra in merge.extras}}
    found = []
    for extra in merge.extras:
        held = next((held for held in there[extra.path] if held.extra.digest == extra.digest), None)
        if held is None:
            raise TagsError(printable(extra.path), f"{printable(extra.path)} no longer has {extra.what}")
        found.append(held)
    return found


def _tags_of(path: bytes) -> Tags:
    """Raises OSError for anything but a regular file: reading a pipe would wait."""
    if not stat.S_ISREG(os.stat(path).st_mode):
        raise OSError(errno.EINVAL, f"{printable(path)} is not a regular file")
    return read_tags(path)
