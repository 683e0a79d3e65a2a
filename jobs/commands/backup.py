"""`reprise backup`: copies what a server, a drive or a service has and the library does not."""

from __future__ import annotations

import functools
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_SOME_FAILED
from jobs.session import gates, options, sources, stores
from jobs.session.helping import Command
from jobs.session.run import Run, session
from jobs.show.backup import show_taken, show_wanted, summary_record, summary_text

if TYPE_CHECKING:
    from dedup.backup.backup import Result
    from dedup.backup.source import Source

FOLDER = click.Path(path_type=bytes)


@dataclass(frozen=True)
class Asked:
    """What the command line says."""

    folder: bytes
    limit: int | None
    keeps_all: bool
    as_is: bool


@click.command("backup", cls=Command)
@click.argument("source", type=click.Path(path_type=bytes), metavar="SOURCE")
@click.option("--to", "folder", required=True, type=FOLDER, metavar="DIR", help="Put the files here; it must exist.")
@click.option(
    "--limit", type=click.IntRange(0), metavar="N", help="Take at most this many files, not counting failed ones."
)
@click.option("--dry-run", is_flag=True, help="Only list what would be fetched, and fetch nothing.")
@click.option("--as-is", is_flag=True, help="Keep each byte: add no tags, cover or ReplayGain to the copies.")
@click.option("--all", "keeps_all", is_flag=True, help="Keep also what the library has already.")
@sources.options
@options.gate
@options.discover
@options.deadline
@options.common
@session
def backup(
    run: Run,
    source: bytes,
    folder: bytes,
    limit: int | None,
    dry_run: bool,
    as_is: bool,
    keeps_all: bool,
    user: str | None,
    token_file: str | None,
    token_command: str | None,
    rate: float | None,
    speed: float | None,
) -> int:
    """Copy what SOURCE has and the library does not into DIR, and enter it in the store.

    SOURCE is a server of the settings file, subsonic:URL, yandex, or a folder, such as a drive. Files that an earlier
    run took are not fetched again. Each other one is fetched and checked; if its sound is in the library, it is not
    kept. Nothing that is in DIR is overwritten, and SOURCE is only read. What you may copy from a service is for you to
    know: its terms and your country's law say so."""
    from dedup.backup.place import usable_folder

    asked = Asked(
        usable_folder(folder, sources.folder_of(run, source), os.fsencode(run.settings.store)), limit, keeps_all, as_is
    )
    run.observer.told |= {"failed"}  # else files that cannot be looked at would only be counted
    opened = sources.opened(run, source, sources.How(user, token_file, token_command, rate, speed))
    return _listed(run, opened, asked) if dry_run else _backed_up(run, opened, asked)


def _backed_up(run: Run, source: Source, asked: Asked) -> int:
    from dedup.backup.backup import back_up, require_mounted
    from dedup.backup.place import Place
    from dedup.backup.take import Keeping
    from dedup.store.layout import Layout

    is_new = not Layout(run.settings.store).catalog.exists()
    with stores.for_scanning(run) if is_new else stores.for_writing(run) as store:
        require_mounted(store, asked.folder)
        with Place(asked.folder) as place, gates.opened(run, store, 1) as (gate, standby):
            result = back_up(
                gate=gate,
                standby=standby,
                source=source,
                place=place,
                manner=Keeping(asked.keeps_all, asked.as_is),
                tell=functools.partial(show_taken, run.output),
                observer=run.observer,
                stop=run.stop,
                limit=asked.limit,
            )
            run.conclude(_code(result), summary_record(result))
            run.observer.close()
            run.output.result({"event": "backup", **summary_record(result)})
            run.output.note(summary_text(result))
            if result.error is not None:
                raise result.error
    return run.exit_code


def _code(result: Result) -> int:
    if result.error is not None:
        return result.error.exit_code
    if result.counts["failed"] or result.n_unlisted:
        return EXIT_SOME_FAILED
    return EXIT_DONE if any(result.counts.values()) or result.n_left else EXIT_NOTHING_TO_DO


def _listed(run: Run, source: Source, asked: Asked) -> int:
    """Says what would be fetched."""
    from dedup.backup.backup import wanted
    from dedup.store.layout import Layout

    if Layout(run.settings.store).catalog.exists():
        with stores.for_reading(run) as store:
            found = wanted(source, store, run.observer, asked.keeps_all)
    else:
        found = wanted(source, None, run.observer)
    run.observer.close()
    show_wanted(run.output, found, asked.limit)
    if source.n_unlisted:
        return EXIT_SOME_FAILED
    return EXIT_DONE if found.items or found.n_known else EXIT_NOTHING_TO_DO
