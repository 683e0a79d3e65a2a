"""A server that was asked what listeners did when a plan was made. The plan says which, so that whoever carries it out
with other settings cannot overlook it. Pure."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from dedup.servers.attention import Heard, Listeners
from dedup.servers.settings import ServerSettings


@dataclass(frozen=True)
class Asked:
    """A server and the user as whom it was asked."""

    name: str
    """Name in the settings of then."""
    kind: str
    """Kind, address and user are empty if evidence of an older release has the name alone."""
    url: str
    user: str
    folders: tuple[bytes, ...]
    """Local folders, absolute, that it played."""

    @property
    def words(self) -> str:
        """Server and user: "home (anna at https://music.example.org)"."""
        return f"{self.name} ({self.user} at {self.url})" if self.user else self.name

    def is_of(self, settings: ServerSettings) -> bool:
        """Whether these settings reach the same server as the same user, whatever name they give it."""
        if not self.user:
            return settings.name == self.name
        return (settings.kind, settings.url, settings.user) == (self.kind, self.url, self.user)

    def unheard(self, problem: str) -> Heard:
        """What it says if it cannot be asked."""
        return Heard(self.name, self.folders, problem=problem)


def asked_of(listeners: Listeners) -> tuple[Asked, ...]:
    """The servers behind what was heard."""
    return tuple(Asked(each.server, each.kind, each.url, each.user, each.folders) for each in listeners.servers)


def all_asked(*several: Iterable[Asked]) -> tuple[Asked, ...]:
    """All of these, each once."""
    return tuple(dict.fromkeys(asked for some in several for asked in some))
