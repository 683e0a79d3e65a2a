"""What a server is, may be asked for, and knows of the library."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.errors import ServerError
from dedup.servers.server import About

if TYPE_CHECKING:
    from dedup.servers.link import Link


@dataclass(frozen=True)
class Checked:
    """A look at one server."""

    about: About | None = None
    """What it says of itself; None if it cannot be asked."""
    problem: ServerError | None = None
    """Why something could not be asked; None if all could."""
    n_songs: int = 0
    """Songs that it has."""
    n_unmapped: int = 0
    """Those of them whose path is below no folder of the map."""
    unmapped: str = ""
    """The path of one of these, as the server names it."""
    n_nowhere: int = 0
    """Songs that lead to no file by the map, or whose path the server does not tell."""
    nowhere: bytes = b""
    """Where one of them leads."""
    n_tracks: int = 0
    """Tracks of the library in the folders of the map."""
    n_known: int = 0
    """Those of them that the server knows."""
    unknown: bytes = b""
    """One that it does not know; empty if it knows all."""


def check(link: Link, paths: Iterable[bytes]) -> Checked:
    """Asks a server for all that Reprise asks for. `paths`: the tracks of the library, as the link has them too."""
    try:
        about = link.about()
    except ServerError as error:
        return Checked(problem=error)
    problem: ServerError | None = None
    placing = link.placing
    try:
        link.refresh()
        placing.require_folders()
        placing.require_songs()
    except ServerError as error:
        problem = error
    tracks = [path for path in paths if placing.plays(path)]
    unknown = [path for path in tracks if not link.knows(path)]
    return Checked(
        about,
        problem,
        placing.n_songs,
        placing.n_unmapped,
        placing.unmapped,
        placing.n_nowhere,
        placing.nowhere,
        len(tracks),
        len(tracks) - len(unknown),
        min(unknown, default=b""),
    )
