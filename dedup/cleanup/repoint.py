"""A step that changes no file: a file has another path, and is perhaps another song for a media server. What listeners
did with it is in the journal before it moves, and the song has it again once the server knows the new path."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, ClassVar

from dedup.errors import ServerError
from dedup.files.held import Reach
from dedup.servers.again import Marked
from dedup.servers.attention import of_record
from dedup.servers.link import Link


@dataclass(frozen=True)
class Repoint:
    """What one server has of a file that moves. Begun before it moves, and done when the song of its new path has it;
    taken back when that of the old one has what there is by then."""

    kind: ClassVar[str] = "repoint"
    path: bytes
    target: bytes
    server: str
    """Name of the server in the settings."""
    theirs: dict[str, Any]
    """What was done with the file, as `attention.to_record` writes it."""
    song: str
    """Id of its song before."""
    url: str
    user: str
    """The server and its user, as the settings had them then."""
    now: dict[str, Any] = field(default_factory=dict, compare=False)
    """What an undo found done with it before it moved the file back, in the same form, and the id as "song"; empty
    if none did."""
    link: Link | None = field(default=None, compare=False, repr=False)
    """The server; None if the step was read from a journal and is not bound yet."""

    def do(self, reach: Reach) -> None:
        """It is done for all files at once (`repointing`)."""

    def recover(self, reach: Reach) -> bool:  # noqa: ARG002
        """Raises ServerError: only the server could say."""
        raise ServerError(f"server {self.server}", "was not asked yet")

    def undo(self, reach: Reach) -> None:
        """As `do`."""

    def is_on(self, link: Link) -> bool:
        """Whether a link leads to the server of the step, as the same user."""
        return (link.settings.url, link.settings.user) == (self.url, self.user)

    @property
    def bound(self) -> Link | None:
        """The server, if it may be asked: not as another user."""
        return self.link if self.link is not None and self.is_on(self.link) else None

    def ahead(self) -> Marked:
        """What the song of the new path gets."""
        return Marked(self.target, of_record(self.theirs), self.song)

    def back(self) -> Marked:
        """What the song of the old path gets."""
        return Marked(self.path, of_record(self.now or self.theirs), str(self.now.get("song", "")))
