"""Files in the user's cache folder, of what can be found again: another user's file is none, and one that cannot be
written is not kept."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterable
from pathlib import Path

from dedup.store.layout import PRIVATE_FOLDER, private_opener


def read_cached(path: Path) -> bytes:
    """What a file of one's own holds; nothing if there is none, or it cannot be read."""
    try:
        with open(path, "rb") as file:
            return file.read() if os.fstat(file.fileno()).st_uid == os.getuid() else b""
    except OSError:
        return b""


def write_cached(path: Path, pieces: Iterable[bytes], most_files: int) -> None:
    """Writes a file of these pieces, all or nothing, and drops the oldest of its folder beyond `most_files`."""
    part = path.with_name(f"{path.name}.{os.getpid()}.part")
    with contextlib.suppress(OSError):
        part.parent.mkdir(mode=PRIVATE_FOLDER, parents=True, exist_ok=True)
        with open(part, "wb", opener=private_opener) as file:
            file.writelines(pieces)
        os.replace(part, path)
        kept = sorted(path.parent.iterdir(), key=lambda path: path.stat().st_mtime_ns)
        for old in kept[:-most_files]:
            old.unlink()
