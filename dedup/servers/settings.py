"""How a media server is reached, as the table `[server.NAME]` of the settings file says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, get_args

Kind = Literal["subsonic", "jellyfin"]
KINDS: tuple[Kind, ...] = get_args(Kind)

WAIT_S = 120.0


@dataclass(frozen=True)
class ServerSettings:
    """One server and one of its users."""

    name: str
    kind: Kind
    url: str
    """Where it answers, such as "https://music.example.org"; without a slash at its end."""
    user: str
    map: tuple[tuple[str, bytes], ...]
    """Folders as the server names them, with the local folder of each, absolute."""
    password_command: str = ""
    """Command whose first line of output is the password; run without a shell."""
    token_file: str = ""
    """File whose first line it is; readable by its owner alone."""
    insecure: bool = False
    """Whether the password may go unencrypted to another machine."""
    wait_s: float = WAIT_S
    """Longest time, in seconds, to wait until the server knows a file."""

    @property
    def folders(self) -> tuple[bytes, ...]:
        """Local folders that it plays."""
        return tuple(dict.fromkeys(local for _, local in self.map))
