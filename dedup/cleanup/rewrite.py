"""A copy of a file with other tags and the same audio, which is checked. The caller renames it."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Mapping, Sequence

from dedup.files.paths import printable
from dedup.library.identity import stream_hash
from dedup.tags.cover import Cover
from dedup.tags.extras import Held
from dedup.tags.write import TagsError, write_tags


def write_copy(
    path: bytes,
    copy: bytes,
    fields: Mapping[str, Sequence[str]],
    cover: Cover | None = None,
    extras: Sequence[Held] = (),
) -> None:
    """Makes `copy`, which must not exist yet, from `path`: with `fields`, `cover` and `extras` as `write_tags` puts
    them there, the same encoded audio, mode, extended attributes and, if allowed, owner; its mtime is now. It is on the
    disk when this returns. Raises TagsError or OSError; then there is no copy."""
    before = stream_hash(path)
    if before is None:
        raise TagsError(printable(path), "its audio cannot be read", remedy="Its tags were left alone.")
    descriptor = os.open(copy, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600)
    try:
        with open(path, "rb") as source, open(descriptor, "wb") as target:
            shutil.copyfileobj(source, target, 1024 * 1024)
        write_tags(copy, fields, cover, extras)
        _check(path, before, copy)
        _take_over(path, copy)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.remove(copy)
        raise


def _check(path: bytes, before: bytes, copy: bytes) -> None:
    after = stream_hash(copy)
    if after != before:
        found = f"with new tags its audio would be {after.hex() if after else 'unreadable'}"
        raise TagsError(printable(path), found, before.hex(), "The file was left alone.")


def _take_over(path: bytes, copy: bytes) -> None:
    """Owner first: a change of owner may clear bits of the mode."""
    status = os.stat(path)
    with contextlib.suppress(PermissionError):
        os.chown(copy, status.st_uid, status.st_gid)
    shutil.copystat(path, copy)
    os.utime(copy)
    descriptor = os.open(copy, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
