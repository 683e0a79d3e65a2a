"""The secret by which a store knows the plans that were made from it: a file that only its owner can read."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import os
import secrets
import stat

from dedup.files.held import open_regular
from dedup.store.digests import DIGEST_BYTES
from dedup.store.layout import Layout

KEY_BYTES = 32
"""Bytes of the key in its file; behind it is its digest (BLAKE2b), by which a flipped bit shows."""


def plan_key(layout: Layout) -> bytes | None:
    """The key of a store, made with its first plan; None if there is none and none can be written. A lost or damaged
    one costs nothing but trust: entries of older plans then count as changed by hand."""
    found = _read(layout)
    for _ in range(2):  # a writer that has just begun may have removed what the first attempt had made
        if found is None:
            with contextlib.suppress(OSError):
                _make(layout)
            found = _read(layout)
    return found


def is_damaged(layout: Layout) -> bool:
    """Whether there is a key that does not match its digest, or something else by that name."""
    return os.path.lexists(layout.plan_key) and _read(layout) is None


def drop_unfinished_keys(layout: Layout) -> None:
    """Removes what a killed run left while it made a key."""
    for part in layout.folder.glob(f"{layout.plan_key_part}*"):
        with contextlib.suppress(OSError):
            part.unlink()


def _read(layout: Layout) -> bytes | None:
    """The key; None if there is none, or something else has its name."""
    with contextlib.suppress(OSError), open_regular(os.fsencode(layout.plan_key), flags=os.O_NOFOLLOW) as file:
        return _opened(file.read(KEY_BYTES + DIGEST_BYTES + 1))
    return None


def _opened(data: bytes) -> bytes | None:
    """The key in a file; None if it does not match its digest."""
    key, digest = data[:KEY_BYTES], data[KEY_BYTES:]
    return key if len(key) == KEY_BYTES and _digest(key) == digest else None


def _digest(key: bytes) -> bytes:
    return hashlib.blake2b(key, digest_size=DIGEST_BYTES).digest()


def _make(layout: Layout) -> None:
    part = layout.folder / f"{layout.plan_key_part}{secrets.token_hex(8)}"
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_NOFOLLOW | os.O_CLOEXEC, 0o600)
    try:
        with os.fdopen(descriptor, "wb") as file:
            key = secrets.token_bytes(KEY_BYTES)
            file.write(key + _digest(key))
            file.flush()
            os.fsync(file.fileno())
        _put_in_place(layout, part)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)


def _put_in_place(layout: Layout, part: os.PathLike[str]) -> None:
    """Gives a new key its name, in place of an empty file that reserves it, or of a damaged key. Whoever locks that
    file may replace it, so of several makers one does, and nobody replaces a key."""
    flags = os.O_RDWR | os.O_CREAT | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC
    descriptor = os.open(layout.plan_key, flags, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        locked, named = os.fstat(descriptor), os.stat(layout.plan_key, follow_symlinks=False)
        is_file = os.path.samestat(locked, named) and stat.S_ISREG(locked.st_mode)
        if is_file and _opened(os.pread(descriptor, KEY_BYTES + DIGEST_BYTES + 1, 0)) is None:
            os.replace(part, layout.plan_key)
    finally:
        os.close(descriptor)
