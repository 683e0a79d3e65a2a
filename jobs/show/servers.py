"""A look at a media server: as text for people, and as a record for programs."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dedup.plain_text import visible
from jobs.session.output import count_text, path_text

if TYPE_CHECKING:
    from dedup.servers.check import Checked
    from dedup.servers.settings import ServerSettings
    from jobs.session.lines import Look

_CELLS = 2
"""Cells before what is said of a server."""


def check_record(settings: ServerSettings, found: Checked) -> dict[str, Any]:
    """The record for programs."""
    about = found.about
    return {
        "server": settings.name,
        "kind": settings.kind,
        "url": settings.url,
        "user": settings.user,
        "product": about.product if about else None,
        "version": about.version if about else None,
        "features": {each.name: each.problem or None for each in about.features} if about else {},
        "problem": str(found.problem) if found.problem else None,
        "songs": found.n_songs,
        "songs_unmapped": found.n_unmapped,
        "songs_nowhere": found.n_nowhere,
        "tracks": found.n_tracks,
        "tracks_known": found.n_known,
    }


def check_lines(settings: ServerSettings, found: Checked, look: Look) -> Iterator[str]:
    """The lines for people."""
    said = f": {found.about.product} {found.about.version}" if found.about else ""
    head = f"{settings.name}{said}, at {settings.url}, as {settings.user}"
    yield from (look.styled(line, "bold") for line in look.wrapped(head, hanging=_CELLS))
    for text in _told(found):
        yield from (" " * _CELLS + line for line in look.wrapped(text, before=_CELLS, hanging=_CELLS))


def _told(found: Checked) -> Iterator[str]:
    if found.about is not None:
        fine = [each.name for each in found.about.features if not each.problem]
        yield f"works: {', '.join(fine) or 'nothing'}"
        yield from (f"does not work: {each.name}: {each.problem}" for each in found.about.features if each.problem)
    if found.problem is not None:
        yield str(found.problem)
    if not found.n_songs:
        return
    yield f"{count_text(found.n_songs, 'song')}, {found.n_songs - found.n_unmapped:,} in the folders of the map"
    if found.n_unmapped:
        yield f"not in them: {visible(found.unmapped) or 'a song whose path the server does not tell'}"
    if found.n_nowhere:
        yield f"{count_text(found.n_nowhere, 'song')} without a file here by the map: copies it does not know stay"
        yield f"no file: {path_text(found.nowhere) if found.nowhere else 'a song whose path the server does not tell'}"
    yield f"{count_text(found.n_tracks, 'track')} of the library in these folders, {found.n_known:,} known there"
    if found.unknown:
        yield f"not known: {path_text(found.unknown)}"
