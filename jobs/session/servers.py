"""The media servers of the settings file: `[server.NAME]`."""

from __future__ import annotations

import os
import re
import shlex
from collections.abc import Callable, Iterable, Mapping
from typing import Any
from urllib.parse import urlsplit

from dedup.declaration import refused
from dedup.errors import UsageError
from dedup.servers.settings import KINDS, WAIT_S, ServerSettings

TABLE = "server"
MOST_WAIT_S = 3600.0


def understood(content: Any, file: str, nearest: Callable[[str, Iterable[str]], str]) -> tuple[ServerSettings, ...]:
    """The servers of the table `server` of a settings file, by name. Paths are relative to the file's folder. Raises
    UsageError, which holds no value that may be a secret."""
    expected = f"a table such as [{TABLE}.home]"
    if not isinstance(content, dict) or not all(isinstance(table, dict) for table in content.values()):
        raise UsageError(f"{file}, {TABLE}", "is no table of servers", expected)
    return tuple(_server(name, table, file, nearest) for name, table in sorted(content.items()))


def _server(
    name: str, content: Mapping[str, Any], file: str, nearest: Callable[[str, Iterable[str]], str]
) -> ServerSettings:
    where = f"{file}, {TABLE}.{name}"
    if re.fullmatch(r"[\w.-]+", name) is None:
        raise refused(f"{file}, {TABLE}", name, "a name of letters, digits, '.', '_' and '-'")
    found: dict[str, Any] = {}
    folder = os.path.dirname(file)
    for key, value in content.items():
        option = key.replace("_", "-")
        if option not in _READ:
            hint = "Write password-command or token-file: secrets have no place here. " if "pass" in option else ""
            remedy = hint or nearest(option, _READ) or "Correct its name, or remove it"
            raise UsageError(f"{where}, {key}", "there is no such setting", remedy=remedy.strip())
        found[option] = _READ[option](value, f"{where}, {key}", folder)
    missing = [key for key in ("kind", "url", "user", "map") if key not in found]
    if missing:
        raise UsageError(where, f"lacks {missing[0]}", remedy=f"Add {_EXAMPLES[missing[0]]}")
    if ("password-command" in found) == ("token-file" in found):
        both = (
            "has password-command and token-file" if "token-file" in found else "lacks password-command or token-file"
        )
        raise UsageError(where, both, remedy="Give one of them")
    return ServerSettings(
        name=name,
        kind=found["kind"],
        url=found["url"],
        user=found["user"],
        map=found["map"],
        password_command=found.get("password-command", ""),
        token_file=found.get("token-file", ""),
        insecure=found.get("insecure", False),
        wait_s=found.get("wait", WAIT_S),
    )


_EXAMPLES = {
    "kind": f"kind = {' or '.join(map(repr, KINDS))}",
    "url": 'url = "https://music.example.org"',
    "user": 'user = "anna"',
    "map": 'map = { "/music" = "~/Music" }: a folder as the server names it, and where it is here',
}


def _kind(value: Any, where: str, folder: str) -> Any:  # noqa: ARG001
    if value not in KINDS:
        raise refused(where, value, " or ".join(map(repr, KINDS)))
    return value


def _url(value: Any, where: str, folder: str) -> str:  # noqa: ARG001
    return address(value, where)


def address(value: Any, where: str) -> str:
    """The address of a server, without a slash at its end. Raises UsageError for anything else, which is not
    shown, as it may hold a password."""
    try:
        parts = urlsplit(value if isinstance(value, str) else "")
        is_one = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        is_one = False
    if not is_one or "@" in parts.netloc or parts.query or parts.fragment:
        found = "is not the address of a server alone, without user, password or query"
        raise UsageError(where, found, "an address such as 'https://music.example.org'")
    return str(value).rstrip("/")


def _text(value: Any, where: str, folder: str) -> str:  # noqa: ARG001
    if not isinstance(value, str) or not value or not value.isprintable():
        raise refused(where, value, "some text")
    return value


def _command(value: Any, where: str, folder: str) -> str:
    try:
        parts = shlex.split(_text(value, where, folder))
    except ValueError:
        parts = []
    if not parts:
        raise UsageError(where, "cannot be understood", "a command with quotes that close")
    return str(value)


def _path(value: Any, where: str, folder: str) -> str:
    return os.path.abspath(os.path.join(folder, os.path.expanduser(_text(value, where, folder))))


def _map(value: Any, where: str, folder: str) -> tuple[tuple[str, bytes], ...]:
    if not isinstance(value, dict) or not value:
        raise refused(where, value, 'folders such as { "/music" = "~/Music" }')
    return tuple(
        (_text(theirs, where, folder), os.fsencode(_path(ours, where, folder))) for theirs, ours in value.items()
    )


def _switch(value: Any, where: str, folder: str) -> bool:  # noqa: ARG001
    if not isinstance(value, bool):
        raise refused(where, value, "true or false")
    return value


def _seconds(value: Any, where: str, folder: str) -> float:  # noqa: ARG001
    if isinstance(value, bool) or not isinstance(value, (int, float)) or not 0 <= value <= MOST_WAIT_S:
        raise refused(where, value, f"a number of seconds from 0 to {MOST_WAIT_S:,.0f}")
    return float(value)


_READ: Mapping[str, Callable[[Any, str, str], Any]] = {
    "kind": _kind,
    "url": _url,
    "user": _text,
    "password-command": _command,
    "token-file": _path,
    "map": _map,
    "insecure": _switch,
    "wait": _seconds,
}
"""How each setting of a server is read: its value, where it stands, the folder of the file."""
