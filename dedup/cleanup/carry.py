"""A step that changes no file: what listeners did on a media server with a file that goes is given to the kept file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from dedup.errors import ServerError
from dedup.files.held import Reach
from dedup.servers.attention import of_record
from dedup.servers.link import Link

_HALF_GIVEN = (
    "The kept file may have a part of what it was to get: apply the plan again, or `reprise undo` takes it back"
)


class HalfGivenError(ServerError):
    """Nobody knows how much of it the kept file has now."""


@dataclass(frozen=True)
class Carry:
    """What one server has of a file that goes, on its way to the kept file. In the journal, and done, before the file
    goes: from then on the server may forget it at any moment."""

    kind: ClassVar[str] = "carry"
    path: bytes
    kept: bytes
    server: str
    """Name of the server in the settings."""
    theirs: dict[str, Any]
    """What was done with the file, as `attention.to_record` writes it."""
    ours: dict[str, Any]
    """What was done with the kept file before."""
    url: str = ""
    user: str = ""
    """The server and its user, as the settings had them then; empty in a journal of an older release."""
    made: list[str] = field(default_factory=list, compare=False)
    """Ids of the shares that were made for the kept file."""
    link: Link | None = field(default=None, compare=False, repr=False)
    """The server; None if the step was read from a journal and is not `bound` yet."""

    def do(self, reach: Reach) -> None:  # noqa: ARG002
        """Gives it. Raises ServerError; then what was given is taken back. Raises HalfGivenError if the server does not
        take it back."""
        try:
            self.give()
        except ServerError as error:
            try:
                self.take_back()
            except ServerError:
                raise HalfGivenError(error.where, error.found, remedy=_HALF_GIVEN) from error
            raise

    def recover(self, reach: Reach) -> bool:  # noqa: ARG002
        """Gives it once more, which changes nothing if it was done. Raises ServerError if it is not known how far it
        came."""
        self.give()
        if not self.made:
            self.made.extend(self._link().made_for(of_record(self.theirs), of_record(self.ours), self.kept))
        return True

    def undo(self, reach: Reach) -> None:  # noqa: ARG002
        """Takes it back, once the file is there again and the server knows it. Raises ServerError."""
        self.take_back()

    def give(self) -> None:
        """Gives the kept file what it lacks. Raises ServerError."""
        self._link().give(of_record(self.theirs), of_record(self.ours), self.path, self.kept, self.made)

    def take_back(self) -> None:
        """Both files have what they had before, apart from what the listener changed since. Raises ServerError."""
        self._link().take(of_record(self.theirs), of_record(self.ours), self.path, self.kept, self.made)

    def is_on(self, link: Link) -> bool:
        """Whether a link leads to the server of the step, as the same user."""
        if not self.user:
            return link.name == self.server
        return (link.settings.url, link.settings.user) == (self.url, self.user)

    @property
    def bound(self) -> Link | None:
        """The server, if it may be asked: not as another user."""
        return self.link if self.link is not None and self.is_on(self.link) else None

    def _link(self) -> Link:
        if self.link is None:
            remedy = f"Put [server.{self.server}] back into the settings file, then try again"
            raise ServerError(f"server {self.server}", "is not in the settings any more", remedy=remedy)
        if not self.is_on(self.link):
            now = self.link.settings
            found = f"is {now.user} at {now.url} in the settings now, and was {self.user} at {self.url}"
            remedy = f"Put [server.{self.server}] back as it was, then try again"
            raise ServerError(f"server {self.server}", found, remedy=remedy)
        return self.link
