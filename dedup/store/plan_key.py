"""The secret by which a store knows the plans that were made from it: a file that only its owner can read."""

from __future__ import annotations

import contextlib
import os
import secrets

from dedup.store.layout import Layout

KEY_BYTES = 32


def plan_key(layout: Layout) -> bytes | None:
    """The key of a store, made with its first plan; None if there is none and none can be written. A lost or damaged
    one costs nothing but trust: entries of older plans then count as changed by hand."""
    for _ in range(2):
        with contextlib.suppress(OSError):
            found = layout.plan_key.read_bytes()
            if len(found) == KEY_BYTES:
                return found
        with contextlib.suppress(OSError):  # another run has just made it, or nothing can be written
            _make(layout)
    return None


def _make(layout: Layout) -> None:
    part = layout.plan_key.with_name(f"wip-{layout.plan_key.name}-{os.getpid()}")
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
    try:
        os.write(descriptor, secrets.token_bytes(KEY_BYTES))
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
    try:
        with contextlib.suppress(FileNotFoundError):
            if layout.plan_key.stat().st_size == KEY_BYTES:
                return
            layout.plan_key.unlink()
        os.link(part, layout.plan_key)  # fails if another run was first: then its key counts
    finally:
        part.unlink()
