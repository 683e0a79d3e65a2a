"""What a worker must have to take part in a run. `preflight` holds workers to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dedup.files.host_paths import Mount

MIN_MEMORY_BYTES = 512 << 20
"""With Numba and PyAV loaded a worker takes 0.3 GiB, and more with blocks (`correlation.memory_needed`)."""


@dataclass(frozen=True)
class Terms:
    """What is the same on every host of a run."""

    versions: Mapping[str, str]
    """As of `dedup.versions`, of the launcher."""
    roots: tuple[bytes, ...] = ()
    """Folders that every worker must be able to read and find something in, as the launcher knows them."""
    mounts: tuple[Mount, ...] = ()
    memory_bytes: int = MIN_MEMORY_BYTES
    """What a worker may take, at least. Of those that join later: what the least of those had that were there."""
