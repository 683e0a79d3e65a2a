"""`reprise server`: the media servers of the settings file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, ServerError, UsageError
from jobs.session import options
from jobs.session.helping import Command
from jobs.session.listeners import library_paths
from jobs.session.run import Run, reader
from jobs.show.servers import check_lines, check_record

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedup.servers.settings import ServerSettings


@click.group("server")
def server() -> None:
    """Look at the media servers that play the library."""


@server.command("check", cls=Command)
@click.argument("name", required=False)
@options.common
@reader
def check(run: Run, name: str | None) -> int:
    """Say what Reprise can and may do on each media server of the settings file, or on the one called NAME.

    Asks the server who it is, what it can be asked for, and which files of the library it knows by the map of its
    folders. Changes nothing there, and shows no secret. The exit code is 0; 24 if a server cannot be reached, does
    not let the user in, names no song, or its map leads nowhere; 5 if the settings file has no server."""
    from dedup.servers.check import check as checked
    from dedup.servers.link import open_links

    chosen = _chosen(run, name)
    if not chosen:
        run.output.note(f"no server is set: add [server.home] to {run.settings.file}")
        return EXIT_NOTHING_TO_DO
    paths = library_paths(run)
    code = EXIT_DONE
    links = open_links(chosen, lambda: paths, lambda: run.stop.requested)
    for settings, link in zip(chosen, links.values(), strict=True):
        found = checked(link, paths)
        run.output.result({"event": "server", **check_record(settings, found)})
        if not run.output.as_json:
            run.output.laid(list(check_lines(settings, found, run.output.look)))
        if found.problem is not None:
            code = ServerError.exit_code
    return code


def _chosen(run: Run, name: str | None) -> Sequence[ServerSettings]:
    """The servers that are asked. Raises UsageError for a name that no server has."""
    known = run.settings.servers
    chosen = [each for each in known if name in (None, each.name)]
    if name is not None and not chosen:
        there = ", ".join(each.name for each in known) or "none"
        remedy = f"Add [server.{name}] to {run.settings.file}, or name one that is there: {there}"
        raise UsageError("server check", f"there is no server {name!r}", remedy=remedy)
    return chosen
