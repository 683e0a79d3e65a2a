"""What is the same on every host of a run. `preflight` holds workers to it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from dedup.library.mounts import Mount


@dataclass(frozen=True)
class Terms:
    """What is the same on every host of a run."""

    versions: Mapping[str, str]
    """As of `dedup.versions`, of the launcher."""
    roots: tuple[bytes, ...] = ()
    """Folders that every worker must be able to read, as the launcher knows them."""
    mounts: tuple[Mount, ...] = ()
