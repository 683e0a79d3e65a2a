"""A look at a file without decoding it: the ends of its bytes, its first packets, its properties. Runs on a worker."""

from __future__ import annotations

import json
import os
import stat
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from dedup.files.host_paths import HostPath
from dedup.library.identity import flac_md5, partial_hash, stream_hash
from dedup.library.metadata import audio_key, read_properties, to_json
from dedup.library.unusable import Unusable

HEAD_BYTES = 32 * 1024
"""Encoded audio that tells files of one length apart: 0.8 s at 320 kbit/s, 2 s at 128."""


@dataclass(frozen=True)
class Probe:
    """What the ends of a file, its first packets and its tags say."""

    partial: bytes
    key: str
    """A key that files share if they may hold the same audio. For FLAC it is the MD5 of the samples; else
    `metadata.audio_key` and a hash of the first packets, because in a large library many lengths are equal, and each
    such file would be read in full. Empty if no packets can be read."""
    properties: str
    """JSON of `metadata.AudioProperties`."""


def probe_files(files: Sequence[tuple[HostPath, int]], reading: AbstractContextManager[Any]) -> list[Probe | Unusable]:
    """A look at each `(path, size)`, in their turn on the disk."""
    with reading:
        return [_probe(path.here, size) for path, size in files]


def read_again(files: Sequence[tuple[HostPath, int]], reading: AbstractContextManager[Any]) -> list[str | None]:
    """JSON of the properties of each `(path, size)`, in their turn on the disk; None for a file that cannot be read."""
    with reading:
        return [_properties(path.here) for path, _ in files]


def hash_file(
    function: Callable[[bytes], bytes | None], path: HostPath, reading: AbstractContextManager[Any]
) -> bytes | None:
    """The hash that `function` gives of the file, in its turn on the disk. Raises what `function` raises."""
    with reading:
        return function(path.here)


def _probe(path: bytes, size: int) -> Probe | Unusable:
    try:
        if not _is_regular(path):
            return Unusable("failed", "changed since it was discovered: no regular file", lasting=False)
        properties = read_properties(path)
        md5 = flac_md5(path)
        key = f"flac-md5|{md5.hex()}" if md5 else _key(audio_key(properties), _head_hash(path))
        return Probe(partial_hash(path, size), key, json.dumps(to_json(properties)))
    except OSError as error:
        return unreadable(error)


def _properties(path: bytes) -> str | None:
    try:
        return json.dumps(to_json(read_properties(path))) if _is_regular(path) else None
    except OSError:
        return None


def _is_regular(path: bytes) -> bool:
    """Whether it still is the regular file that was discovered: opening a FIFO would wait for ever."""
    return stat.S_ISREG(os.stat(path).st_mode)


def _key(properties: str, head: bytes | None) -> str:
    return f"{properties}|{head.hex()}" if head else ""


def _head_hash(path: bytes) -> bytes | None:
    """`identity.stream_hash` of the first 32 KiB of packets only; None if there are none."""
    try:
        return stream_hash(path, HEAD_BYTES)
    except Exception:  # whatever is wrong with the file, decoding reports it
        return None


def unreadable(error: OSError) -> Unusable:
    """The system's reason why a file cannot be read; the next run tries it again."""
    reason = "vanished" if isinstance(error, FileNotFoundError) else f"cannot be read: {error.strerror or error}"
    return Unusable("failed", reason, lasting=False)
