"""Where a worker's host has the folders that the launcher knows by other paths."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

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


@dataclass(frozen=True, slots=True)
class HostPath:
    """A path among the arguments of a task: the runner tells it where the host that runs the task has it."""

    known: bytes
    """Its path on the launcher's host: the one in results and messages."""
    elsewhere: bytes | None = None
    """Its path on the host of the task; None where it is the same."""

    @property
    def here(self) -> bytes:
        """Where the host of the task has it."""
        return self.known if self.elsewhere is None else self.elsewhere


def of_host(mounts: Iterable[Mount], names: Collection[str]) -> tuple[Mount, ...]:
    """The mounts of the host that has these names: its own before those of every host, longer paths first."""
    own = (mount for mount in mounts if mount.host is None or mount.host in names)
    return tuple(sorted(own, key=lambda mount: (mount.host is None, -len(mount.here))))


def path_here(path: bytes, mounts: tuple[Mount, ...]) -> bytes:
    """Where a host with these mounts has the file that the launcher knows as `path`."""
    for mount in mounts:
        if holds(mount.here, path):
            return mount.there.rstrip(b"/") + b"/" + path[len(mount.here) :].lstrip(b"/")
    return path


def placed(argument: Any, mounts: tuple[Mount, ...]) -> Any:
    """The argument of a task as a host with these mounts has it: each `HostPath`, in lists and tuples too, knows where
    it is there; all else is as it was."""
    if isinstance(argument, HostPath):
        here = path_here(argument.known, mounts)
        return HostPath(argument.known, None if here == argument.known else here)
    if type(argument) in (list, tuple):
        return type(argument)(placed(part, mounts) for part in argument)
    return argument
