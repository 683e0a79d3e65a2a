"""Where a secret comes from: a command of the user's, or a file that nobody else can read. No message holds it."""

from __future__ import annotations

import os
import shlex
import subprocess

COMMAND_S = 60.0
"""Longest time that a command may take: a person may have to unlock a safe."""
_MOST_BYTES = 1 << 16


class NoSecretError(Exception):
    """A source that gives none."""

    def __init__(self, found: str) -> None:
        """`found` follows what names the source: "ended with exit code 3"."""
        super().__init__(found)
        self.found = found


class CommandFailedError(NoSecretError):
    """A command that was run, and failed."""


class OpenToOthersError(NoSecretError):
    """A file that others can read or change."""

    def __init__(self, mode: int) -> None:
        super().__init__(f"is open to others (mode {mode:04o})")
        self.mode = mode
        """Its permissions."""


def of_command(command: str) -> bytes:
    """What a command prints, which is run without a shell. Raises NoSecretError."""
    try:
        done = subprocess.run(
            shlex.split(command),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            timeout=COMMAND_S,
            check=False,
        )
    except (OSError, ValueError) as error:
        raise NoSecretError(f"cannot be run: {getattr(error, 'strerror', None) or error}") from None
    except subprocess.TimeoutExpired:
        raise NoSecretError(f"takes longer than {COMMAND_S:.0f} s") from None
    if done.returncode:
        raise CommandFailedError(f"ended with exit code {done.returncode}")
    return done.stdout


def of_file(path: str | bytes) -> bytes:
    """What a file holds that only its owner, or root, can read and change. Raises NoSecretError."""
    try:
        with open(path, "rb") as file:
            status = os.fstat(file.fileno())
            if status.st_mode & 0o077 or status.st_uid not in (os.geteuid(), 0):
                raise OpenToOthersError(status.st_mode & 0o777)
            return file.read(_MOST_BYTES)
    except OSError as error:
        raise NoSecretError(f"cannot be read: {error.strerror}") from None
