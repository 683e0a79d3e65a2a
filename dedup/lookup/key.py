"""The user's key for AcoustID: from a setting, a command or a file. No message holds it."""

from __future__ import annotations

import shlex

from dedup.errors import UsageError
from dedup.files.paths import printable
from dedup.lookup.acoustid import NEW_KEY
from dedup.net import secret_source
from dedup.settings import LookupSettings

_WHERE = "AcoustID"
_LONGEST = 200


def key_of(settings: LookupSettings) -> str:
    """The key. Raises UsageError if there is none, or if it cannot be read."""
    if settings.acoustid_key:
        return _checked(settings.acoustid_key, "acoustid-key")
    if settings.acoustid_key_command:
        return _checked(_from_command(settings.acoustid_key_command), "the command of acoustid-key-command")
    if settings.acoustid_key_file:
        return _checked(_from_file(settings.acoustid_key_file), "the file of acoustid-key-file")
    raise UsageError(
        _WHERE,
        "there is no key for it",
        remedy=f'Get one for free at {NEW_KEY} and write acoustid-key = "…" into the settings file',
    )


def _checked(text: str, source: str) -> str:
    key = text.split("\n", 1)[0].strip()
    if not key or len(key) > _LONGEST or not key.isascii() or not key.isprintable() or " " in key:
        raise UsageError(_WHERE, f"{source} gives no key", remedy=f"Write the key alone; {NEW_KEY} gives out new ones")
    return key


def _from_command(command: str) -> str:
    try:
        return secret_source.of_command(command).decode("utf-8", "replace")
    except secret_source.NoSecretError as error:
        raise _unusable("command", error.found) from None


def _from_file(path: bytes) -> str:
    try:
        return secret_source.of_file(path).decode("utf-8", "replace")
    except secret_source.OpenToOthersError:
        raise _unusable("file", f"can be read by others (chmod 600 {shlex.quote(printable(path))})") from None
    except secret_source.NoSecretError as error:
        raise _unusable("file", error.found) from None


def _unusable(source: str, found: str) -> UsageError:
    return UsageError(_WHERE, f"the {source} of acoustid-key-{source} {found}", remedy=f"Correct acoustid-key-{source}")
