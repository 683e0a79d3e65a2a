"""Where a worker's host has the folders that the launcher knows by other paths."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass

from dedup.files.paths import holds


@dataclass(frozen=True)
class Mount:
    """One folder and its other path."""

    there: bytes
    """Its path on the worker's host."""
    here: bytes
    """Its path on the launcher's."""
    host: str | None = None
    """Name or address of that host; None is every host."""


_mounts: tuple[Mount, ...] = ()
"""Those of this process. Only a worker's is ever set."""


def of_host(mounts: Iterable[Mount], names: Collection[str]) -> tuple[Mount, ...]:
    """The mounts of the host that has these names: its own before those of every host, longer paths first."""
    own = (mount for mount in mounts if mount.host is None or mount.host in names)
    return tuple(sorted(own, key=lambda mount: (mount.host is None, -len(mount.here))))


def use(mounts: tuple[Mount, ...]) -> None:
    """Makes `path_here` go by these mounts from now on, in this process."""
    global _mounts  # noqa: PLW0603 - a worker serves one launcher at a time
    _mounts = mounts


def path_here(path: bytes, mounts: tuple[Mount, ...] | None = None) -> bytes:
    """Where this host has the file that the launcher knows as `path`: by `mounts`, or by those in use."""
    for mount in _mounts if mounts is None else mounts:
        if holds(mount.here, path):
            return mount.there.rstrip(b"/") + b"/" + path[len(mount.here) :].lstrip(b"/")
    return path


def is_elsewhere(path: bytes) -> bool:
    """Whether another path leads to it here: then times of change may be told less exactly."""
    return path_here(path) != path
