"""A copy of a file with other tags and the same audio, which is checked. The caller renames it."""

from __future__ import annotations

import os
import shutil
from collections.abc import Mapping, Sequence
from typing import BinaryIO

from dedup.cleanup.file_status import Status
from dedup.files.paths import printable
from dedup.library.identity import stream_hash
from dedup.tags.cover import Cover
from dedup.tags.extras import Held
from dedup.tags.write import TagsError, write_tags


def write_copy(
    old: BinaryIO,
    path: bytes,
    new: BinaryIO,
    copy: bytes,
    fields: Mapping[str, Sequence[str]],
    cover: Cover | None = None,
    extras: Sequence[Held] = (),
) -> None:
    """Makes `new`, which is empty and has the path `copy`, from `old`, whose path is `path`: with `fields`, `cover` and
    `extras` as `write_tags` puts them there, the same encoded audio, mode, extended attributes and, if allowed, owner;
    its mtime is now. It is on the disk when this returns. Raises TagsError or OSError; then the copy is to be thrown
    away."""
    before = stream_hash(path)
    if before is None:
        raise TagsError(printable(path), "its audio cannot be read", remedy="Its tags were left alone.")
    shutil.copyfileobj(old, new, 1024 * 1024)
    write_tags(path, fields, cover, extras, new)  # by its own name, without which AAC and TTA are taken for MP3
    new.flush()
    _check(path, before, copy)
    take_over(path, Status.of(old.fileno()), new)


def _check(path: bytes, before: bytes, copy: bytes) -> None:
    after = stream_hash(copy)
    if after != before:
        found = f"with new tags its audio would be {after.hex() if after else 'unreadable'}"
        raise TagsError(printable(path), found, before.hex(), "The file was left alone.")


def take_over(path: bytes, status: Status, new: BinaryIO) -> None:
    """Gives a new version of the file at `path` the status of the old one, except for its time, and syncs it. Raises
    TagsError if it cannot have the access list or the attributes that the user gave the old one."""
    status.give(new.fileno())
    if lacking := status.lacking(Status.of(new.fileno())):
        raise TagsError(printable(path), f"its new version cannot have its attributes: {', '.join(lacking)}")
    os.utime(new.fileno())
    os.fsync(new.fileno())
