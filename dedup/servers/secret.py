"""The password of a server: read when it is needed, from a command or a file that nobody else can read. It is
kept in memory alone, and no message holds it."""

from __future__ import annotations

import os
import shlex
import subprocess

from dedup.errors import ServerError
from dedup.files.paths import printable
from dedup.servers.settings import ServerSettings

COMMAND_S = 60.0
"""Longest time that a password command may take: a person may have to unlock a safe."""
_MOST_BYTES = 1 << 16


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
        done = subprocess.run(
            shlex.split(settings.password_command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_S,
            check=False,
        )
    except (OSError, ValueError) as error:
        found = f"the password command cannot be run: {getattr(error, 'strerror', None) or error}"
        raise ServerError(_where(settings), found, remedy="Correct password-command") from None
    except subprocess.TimeoutExpired:
        found = f"the password command takes longer than {COMMAND_S:.0f} s"
        raise ServerError(_where(settings), found, remedy="Correct password-command") from None
    if done.returncode:
        found = f"the password command ended with exit code {done.returncode}"
        raise ServerError(_where(settings), found, remedy="Run it by hand to see why")
    return _text(settings, done.stdout)


def _from_file(settings: ServerSettings) -> str:
    path = settings.token_file
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & 0o077 or status.st_uid not in (os.geteuid(), 0):
                shown = printable(os.fsencode(path))
                found = f"others can read or change {shown} (mode {status.st_mode & 0o777:04o})"
                raise ServerError(_where(settings), found, remedy=f"Run chmod 600 {shlex.quote(path)}")
            return _text(settings, file.read(_MOST_BYTES))
    except OSError as error:
        found = f"{printable(os.fsencode(path))} cannot be read: {error.strerror}"
        raise ServerError(_where(settings), found, remedy="Correct token-file") from None


def _text(settings: ServerSettings, data: bytes) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise ServerError(_where(settings), "the password is not UTF-8", remedy="Write it as UTF-8") from None
