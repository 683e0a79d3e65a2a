"""Connects to a server by its kind."""

from __future__ import annotations

from dedup.servers.secret import secret_of
from dedup.servers.server import Server
from dedup.servers.settings import ServerSettings


def connect(settings: ServerSettings) -> Server:
    """A connection that was not used yet. Raises ServerError if there is no password."""
    secret = secret_of(settings)
    if settings.kind == "jellyfin":
        from dedup.servers.jellyfin import Jellyfin

        return Jellyfin(settings, secret)
    from dedup.servers.subsonic import Subsonic

    return Subsonic(settings, secret)
