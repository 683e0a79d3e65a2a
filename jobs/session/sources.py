"""The sources that `reprise backup` takes from, as the command line names them."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, NamedTuple
from urllib.parse import urlsplit

import click

from dedup.errors import UsageError
from jobs.session import options as shared
from jobs.session import stores
from jobs.session.run import Run

if TYPE_CHECKING:
    from dedup.backup.flow import Flow
    from dedup.backup.source import Source
    from dedup.servers.settings import ServerSettings

YANDEX, SUBSONIC = "yandex", "subsonic:"
PER_MINUTE, BYTES_PER_S = 20, 4 << 20
"""Files a minute and bytes a second that are taken over the net unless somebody says otherwise."""


class How(NamedTuple):
    """How a source is reached, and how fast."""

    user: str | None = None
    token_file: str | None = None
    token_command: str | None = None
    rate: float | None = None
    speed: float | None = None


options = shared.together(
    click.option("--user", metavar="NAME", help="User at subsonic:URL."),
    click.option(
        "--token-file",
        type=click.Path(),
        metavar="FILE",
        help="Its first line is the password at subsonic:URL, or the token for yandex; only you may read it.",
    ),
    click.option("--token-command", metavar="COMMAND", help="A command that prints it, in place of --token-file."),
    click.option(
        "--rate",
        type=click.FloatRange(0, min_open=True),
        metavar="N",
        help=f"Fetch at most so many files a minute.  [default: {PER_MINUTE}; of a folder any number]",
    ),
    click.option(
        "--speed",
        type=click.FloatRange(0, min_open=True),
        metavar="MIB",
        help=f"Fetch at most so many MiB a second.  [default: {BYTES_PER_S >> 20}; of a folder any number]",
    ),
)


def folder_of(run: Run, source: bytes) -> bytes | None:
    """The folder that a source is; None if it is a server or a service. A path with a slash is always a folder."""
    name = os.fsdecode(source)
    if name == YANDEX or name.startswith(SUBSONIC) or any(each.name == name for each in run.settings.servers):
        return None
    return source


def opened(run: Run, source: bytes, how: How) -> Source:
    """The source, ready to be read. Raises UsageError for one that there is not, ServerError, LibraryError."""
    if (folder := folder_of(run, source)) is not None:
        return _folder(run, folder, how)
    name = os.fsdecode(source)
    if name == YANDEX:
        return _yandex(run, how)
    return _subsonic(run, _server(run, name, how), how)


def _subsonic(run: Run, settings: ServerSettings, how: How) -> Source:
    from dedup.backup.subsonic import SubsonicSource
    from dedup.servers.secret import secret_of

    flow = _flow(run, how, urlsplit(settings.url).netloc)
    return SubsonicSource(
        settings, secret_of(settings), flow, lambda: "the run was stopped" if run.stop.requested else ""
    )


def _yandex(run: Run, how: How) -> Source:
    from dedup.backup.yandex import Yandex

    return Yandex(_token(how), _flow(run, how, YANDEX))


def _token(how: How) -> str:
    """The user's token. Raises UsageError if there is none. No message holds it."""
    from dedup.net import secret_source

    where = "backup yandex"
    if not (how.token_file or how.token_command):
        raise UsageError(where, "there is no token", remedy="Add --token-file FILE or --token-command COMMAND")
    source = f"the file {how.token_file}" if how.token_file else "the command of --token-command"
    try:
        if how.token_file:
            said = secret_source.of_file(how.token_file)
        else:
            said = secret_source.of_command(how.token_command or "")
    except secret_source.NoSecretError as error:
        raise UsageError(where, f"{source} {error.found}", remedy="Correct it: only you may read a token") from None
    token = said.decode("utf-8", "replace").split("\n", 1)[0].strip()
    if not token or not token.isascii() or not token.isprintable():
        raise UsageError(where, f"{source} gives no token", remedy="Put the token alone on the first line")
    return token


def _server(run: Run, name: str, how: How) -> ServerSettings:
    """The server of that name in the settings file, or the one at the address that follows "subsonic:"."""
    from dedup.servers.settings import ServerSettings
    from jobs.session.servers import address

    if not name.startswith(SUBSONIC):
        settings = next(each for each in run.settings.servers if each.name == name)
        if settings.kind != "subsonic":
            found = f"{name} is a {settings.kind} server, from which no back-up can be made"
            raise UsageError("backup", found, remedy="Name a Subsonic server, or the folder of its music")
        return settings
    url = address(name.removeprefix(SUBSONIC), "backup, subsonic:URL")
    if not how.user or not (how.token_file or how.token_command):
        remedy = "Add --user NAME, and --token-file FILE or --token-command COMMAND"
        raise UsageError("backup", "its user or its password is missing", remedy=remedy)
    token = os.path.abspath(how.token_file) if how.token_file else ""
    host, command = urlsplit(url).netloc, how.token_command or ""
    return ServerSettings(host, "subsonic", url, how.user, (), password_command=command, token_file=token)


def _folder(run: Run, folder: bytes, how: How) -> Source:
    from dedup.backup.folder import Folder

    if not os.path.isdir(folder):
        known = ", ".join(each.name for each in run.settings.servers)
        there = f"a server of the settings file ({known})" if known else "a server of the settings file"
        found = f"there is no folder {os.fsdecode(folder)!r}, and no server of that name"
        expected = f"a folder, {there}, {SUBSONIC}URL or {YANDEX}"
        raise UsageError("backup", found, expected, "If it is on a drive, mount that")
    own = (bytes(run.settings.store),)
    return Folder(folder, run.settings.scan().discover, _flow(run, how, ""), run.observer, own)


def _flow(run: Run, how: How, name: str) -> Flow:
    """How fast may be taken from a source on the net, of that name; from a folder, which has none, as fast as it
    goes."""
    from dedup.backup.flow import Flow
    from dedup.lookup.pace import Pace

    rate = how.rate or (PER_MINUTE if name else None)
    speed = how.speed * (1 << 20) if how.speed else BYTES_PER_S if name else None
    place = stores.place_of_rates() / f"backup {name or 'folder'}"
    pace = None if rate is None else Pace(place, 60 / rate, run.stop)
    return Flow(run.stop, pace, speed)
