"""Paths on a worker's host of folders that the launcher knows by other paths."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from typing import Any

from dedup.files.paths import holds


@dataclass(frozen=True)
class MappedFolder:
    """A folder that a worker's host has at another path than the launcher."""

    there: bytes
    """Path on the worker's host."""
    here: bytes
    """Path on the launcher's host."""
    host: str | None = None
    """Name or address of the worker's host; None for every host."""


@dataclass(frozen=True, slots=True)
class HostPath:
    """A path among the arguments of a task: the runner fills in its path on the host that runs the task."""

    known: bytes
    """Path on the launcher's host: the one in results and messages."""
    elsewhere: bytes | None = None
    """Path on the task's host; None if it is the same."""

    @property
    def here(self) -> bytes:
        """The path on the task's host."""
        return self.known if self.elsewhere is None else self.elsewhere


def of_host(maps: Iterable[MappedFolder], names: Collection[str]) -> tuple[MappedFolder, ...]:
    """The maps for the host with these names: its own before those for every host, longer paths first."""
    own = (folder for folder in maps if folder.host is None or folder.host in names)
    return tuple(sorted(own, key=lambda folder: (folder.host is None, -len(folder.here))))


def path_here(path: bytes, maps: tuple[MappedFolder, ...]) -> bytes:
    """The path, on a host with these maps, of the file that the launcher knows as `path`."""
    for folder in maps:
        if holds(folder.here, path):
            return folder.there.rstrip(b"/") + b"/" + path[len(folder.here) :].lstrip(b"/")
    return path


def placed(argument: Any, maps: tuple[MappedFolder, ...]) -> Any:
    """The argument of a task for a host with these maps: each `HostPath`, also in lists and tuples, gets its path
    there; everything else stays the same."""
    if isinstance(argument, HostPath):
        here = path_here(argument.known, maps)
        return HostPath(argument.known, None if here == argument.known else here)
    if type(argument) in (list, tuple):
        return type(argument)(placed(part, maps) for part in argument)
    return argument
