"""A step that changes no file: what listeners did on a media server with a file that goes is given to the kept file."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass, field
from typing import Any, ClassVar

from dedup.errors import ServerError
from dedup.files.held import Reach
from dedup.servers.attention import of_record
from dedup.servers.link import Link


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
    link: Link | None = field(default=None, compare=False, repr=False)
    """The server; None if the step was read from a journal and is not `bound` yet."""

    def do(self, reach: Reach) -> None:  # noqa: ARG002
        """Gives it. Raises ServerError; then what was given is taken back, as far as the server answers."""
        try:
            self.give()
        except ServerError:
            with contextlib.suppress(ServerError):
                self.take_back()
            raise

    def recover(self, reach: Reach) -> bool:  # noqa: ARG002
        """Gives it once more, which changes nothing if it was done. Raises ServerError if it is not known how far it
        came."""
        self.give()
        return True

    def undo(self, reach: Reach) -> None:  # noqa: ARG002
        """Takes it back, once the file is there again and the server knows it. Raises ServerError."""
        self.take_back()

    def give(self) -> None:
        """Gives the kept file what it lacks. Raises ServerError."""
        self._link().give(of_record(self.theirs), of_record(self.ours), self.path, self.kept)

    def take_back(self) -> None:
        """Both files have what they had before. Raises ServerError."""
        self._link().take(of_record(self.theirs), of_record(self.ours), self.path, self.kept)

    def _link(self) -> Link:
        if self.link is None:
            remedy = f"Put [server.{self.server}] back into the settings file, then try again"
            raise ServerError(f"server {self.server}", "is not in the settings any more", remedy=remedy)
        return self.link
