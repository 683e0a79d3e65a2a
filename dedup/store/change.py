"""Whether a store has changed, without opening it."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

from dedup.store.commit_log import log_of
from dedup.store.layout import Layout

HEAD_BYTES = 48
"""Bytes at the start of a file that are looked at: SQLite counts commits in those of the index of its log. What comes
behind them tells who reads."""


def store_version(folder: Path) -> str:
    """A token that changes whenever something changes that a reader of the store in `folder` would see: 32 hex digits.
    Takes a few file accesses, whatever the size of the store, and no lock. It may change when nothing does, as when a
    run ends; a store that is not there has one too. Raises OSError if the folder cannot be read."""
    layout = Layout(folder)
    log = log_of(layout.catalog)
    files = [layout.catalog, layout.waiting, layout.waiting_namings, layout.plan_key, layout.listeners]
    if _size(log):  # without commits, it and its index come and go with every reader
        files += [log, log.with_name(f"{layout.catalog.name}-shm")]
    told = hashlib.blake2b(digest_size=16)
    for file in files:
        told.update(repr((file.name, _state(file))).encode())
    return told.hexdigest()


def _size(file: Path) -> int:
    try:
        return file.stat().st_size
    except FileNotFoundError:
        return 0


def _state(file: Path) -> tuple[int, int, int, bytes] | None:
    """What tells one version of a file from another; None if there is none."""
    try:
        descriptor = os.open(file, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC)
    except FileNotFoundError:
        return None
    try:
        status = os.fstat(descriptor)
        times = 0 if file.name.endswith("-shm") else status.st_mtime_ns
        return status.st_ino, status.st_size, times, os.pread(descriptor, HEAD_BYTES, 0)
    finally:
        os.close(descriptor)
