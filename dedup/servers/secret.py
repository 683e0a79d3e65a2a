"""The password of a server: read when it is needed, from a command or a file that nobody else can read. It is
kept in memory alone, and no message holds it."""

from __future__ import annotations

import os
import shlex

from dedup.errors import ServerError
from dedup.files.paths import printable
from dedup.net import secret_source
from dedup.servers.settings import ServerSettings


class Secret:
    """A text that shows itself to nobody by accident: not in a message, a traceback or a log."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        self._text = text

    def reveal(self) -> str:
        """The text itself."""
        return self._text

    def __repr__(self) -> str:
        return "Secret(…)"

    def __reduce__(self) -> str:
        raise TypeError("a secret is not written down")


def secret_of(settings: ServerSettings) -> Secret:
    """The secret of a server. Raises ServerError if there is none, or if others could read it."""
    text = _from_command(settings) if settings.password_command else _from_file(settings)
    first = text.split("\n", 1)[0].strip("\r")
    if not first:
        source = "the password command prints" if settings.password_command else f"{settings.token_file} holds"
        raise ServerError(_where(settings), f"{source} nothing", remedy="Put the password on the first line")
    return Secret(first)


def _where(settings: ServerSettings) -> str:
    return f"server {settings.name}"


def _from_command(settings: ServerSettings) -> str:
    try:
        return _text(settings, secret_source.of_command(settings.password_command))
    except secret_source.NoSecretError as error:
        has_failed = isinstance(error, secret_source.CommandFailedError)
        remedy = "Run it by hand to see why" if has_failed else "Correct password-command"
        raise ServerError(_where(settings), f"the password command {error.found}", remedy=remedy) from None


def _from_file(settings: ServerSettings) -> str:
    path = settings.token_file
    shown = printable(os.fsencode(path))
    try:
        return _text(settings, secret_source.of_file(path))
    except secret_source.OpenToOthersError as error:
        found = f"others can read or change {shown} (mode {error.mode:04o})"
        raise ServerError(_where(settings), found, remedy=f"Run chmod 600 {shlex.quote(path)}") from None
    except secret_source.NoSecretError as error:
        raise ServerError(_where(settings), f"{shown} {error.found}", remedy="Correct token-file") from None


def _text(settings: ServerSettings, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ServerError(_where(settings), "the password is not UTF-8", remedy="Write it as UTF-8") from None
