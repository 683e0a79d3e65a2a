"""Connects to a server by its kind."""

from __future__ import annotations

from collections.abc import Callable

from dedup.servers.secret import secret_of
from dedup.servers.server import Server
from dedup.servers.settings import ServerSettings


def connect(settings: ServerSettings, why_end: Callable[[], str] = str) -> Server:
    """A connection that was not used yet. `why_end` says why nothing more is to be asked; nothing as long as it may.
    Raises ServerError if there is no password."""
    secret = secret_of(settings)
    if settings.kind == "jellyfin":
        from dedup.servers.jellyfin import Jellyfin

        return Jellyfin(settings, secret, why_end)
    from dedup.servers.subsonic import Subsonic

    return Subsonic(settings, secret, why_end)
