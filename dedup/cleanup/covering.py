"""Puts a cover into the tags of files, in place of their front covers, with the journal of `tagging`."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dedup.cleanup.checks import Refusal
from dedup.cleanup.tagging import Tagged, Tagging, tag_files
from dedup.errors import InputError
from dedup.files.paths import extension_of, printable
from dedup.files.status import size_and_time
from dedup.groups.judgements import find
from dedup.tags.cover import LARGEST_BYTES, Cover, cover_of, is_usable
from dedup.tags.read import open_blocks, read_tags
from dedup.tags.write import TagsError

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.settings import KeepSettings
    from dedup.store.store import Store


def put_cover(
    *, store: Store, paths: Sequence[bytes], jpeg: bytes, keep: KeepSettings, observer: Observer, stop: Stop
) -> Tagged:
    """Makes a JPEG the front cover of these files of the library; other pictures and all other tags stay. `undo` takes
    it back. Files that have this cover already are left alone; what cannot hold one is refused with the reason. Only
    for the holder of the store's lock. Raises InputError, before anything is written, for a file that the store does
    not know as it is now and for what is no JPEG; else as `tag_files`."""
    taggings, refused = [], []
    for path in dict.fromkeys(paths):
        try:
            tagging = cover_tagging(store, path, jpeg)
        except TagsError as error:
            refused.append(Refusal(path, error.found))
        else:
            taggings += [tagging] if tagging is not None else []
    if not taggings:
        return Tagged(0, tuple(refused))
    tagged = tag_files(store=store, taggings=taggings, keep=keep, observer=observer, stop=stop)
    return replace(tagged, refused=(*refused, *tagged.refused))


def cover_tagging(store: Store, path: bytes, jpeg: bytes) -> Tagging | None:
    """What `tag_files` needs to make a JPEG the front cover of a file; None if it is that already. Only reads. Raises
    InputError as `put_cover` does; TagsError for a file whose format holds no cover that can be written, or whose tags
    are damaged; OSError."""
    cover = _jpeg_cover(jpeg)
    known = find(store, path)
    status = size_and_time(os.stat(known.path))
    require_room(known.path)
    if [each.data for each in read_tags(known.path).covers] == [jpeg]:
        return None
    return Tagging(known.path, {}, {}, status, cover)


def require_room(path: bytes) -> None:
    """Raises TagsError if no cover can be written into a file; OSError."""
    try:
        blocks = open_blocks(path)
    except OSError:
        raise
    except Exception as error:  # a damaged file makes mutagen raise anything
        found = f"its tags are damaged: {error or type(error).__name__}"
        raise TagsError(printable(path), found) from error
    if not blocks:
        kind = extension_of(path).upper() or "this"
        raise TagsError(printable(path), f"no cover can be written into {kind} files")


def _jpeg_cover(jpeg: bytes) -> Cover:
    cover = cover_of(jpeg)
    if cover.mime != "image/jpeg" or not is_usable(cover):
        found = f"is no JPEG of at most {LARGEST_BYTES >> 20} MiB"
        raise InputError("the cover", found, remedy="Make it with `dedup.covers.make.edited`")
    return cover
