"""`reprise import` and `reprise export`: fingerprints in, results out, as JSON lines or CSV."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import IO, TYPE_CHECKING, Any

import click

from dedup.errors import EXIT_DONE, EXIT_SOME_FAILED, UsageError
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.output import json_line
from jobs.session.run import Run, reader, session
from jobs.show.groups import tell_unfinished

if TYPE_CHECKING:
    from dedup.groups.groups import Group
    from dedup.store.store import Store


@click.command("import", cls=Command)
@click.argument("file", type=click.File("rb"))
@options.min_length
@options.length
@options.block_size
@options.common
@session
def import_(run: Run, file: IO[bytes]) -> int:
    """Import fingerprints made elsewhere from FILE (- is stdin).

    Each line is an object as `fpcalc -raw -json` prints it ("duration", "fingerprint"), with "path" added. Reprise
    compares these tracks like scanned ones, and treats their files as absent."""
    from dedup.scan.imported import bounded_lines, import_fingerprints

    min_length_s = run.settings.scan().min_length_s
    run.observer.told |= {"failed"}
    with stores.for_scanning(run) as store:
        counts = import_fingerprints(
            store, bounded_lines(file), min_length_s=min_length_s, observer=run.observer, stop=run.stop
        )
        run.conclude(EXIT_SOME_FAILED if counts.rejected else EXIT_DONE, asdict(counts))
    run.observer.close()
    run.output.result({"event": "import", **asdict(counts)})
    parts = [f"{n:,} {name}" for name, n in asdict(counts).items() if name != "lines"]
    run.output.note(f"lines   {counts.lines:,} = {' + '.join(parts)}")
    return run.exit_code


@click.command("export", cls=Command)
@click.argument("what", type=click.Choice(["library", "tracks", "pairs", "groups"]))
@click.option(
    "--format",
    "form",
    type=click.Choice(["jsonl", "csv"]),
    default="jsonl",
    show_default=True,
    help="One JSON object per line; or, of the library, CSV for spreadsheets.",
)
@options.keep
@options.match
@options.common
@reader
def export(run: Run, what: str, form: str) -> None:
    """Stream tracks, pairs or groups to stdout, in an order that depends on the library alone.

    `library` is every track with its properties, tags, group and quality, for spreadsheets with --format csv."""
    if form == "csv" and what != "library":
        remedy = "Use `reprise report --format csv`" if what == "groups" else "Leave it out, or export the library"
        raise UsageError("--format csv", f"cannot be combined with {what}", remedy=remedy)
    if what == "library":
        _export_library(run, form)
    else:
        for record in _records(run, what):
            run.output.raw(json_line(record))
    run.output.flush()


def _export_library(run: Run, form: str) -> None:
    from dedup.quality.rank import Rank
    from dedup.report.library import library_records, library_sheet, places_of

    stores.compare_called_same(run)
    with stores.for_reading(run) as store:
        tell_unfinished(run, store)
        places = places_of(_groups(run, store))
        rank = Rank(run.settings.keep())
        if form == "csv":
            for piece in library_sheet(store, places, rank):
                run.output.raw(piece)
        else:
            for record in library_records(store, places, rank):
                run.output.raw(json_line(record))


def _records(run: Run, what: str) -> Iterable[dict[str, Any]]:
    from dedup.groups.matches import Matches
    from dedup.report.export import export_pairs, export_tracks, group_record

    opened = stores.for_reading if what == "tracks" else stores.for_matching
    with opened(run) as store:
        if what == "tracks":
            yield from export_tracks(store)
            return
        tell_unfinished(run, store)
        if what == "pairs":
            found = export_pairs(Matches(store, run.settings.match()))
        else:
            found = map(group_record, _groups(run, store))
    yield from found


def _groups(run: Run, store: Store) -> list[Group]:
    """The groups of a store, as these settings want them."""
    from dedup.plan.weigh import find_groups

    settings = run.settings
    match, keep, cleanup = settings.match(), settings.keep(), settings.cleanup()
    return find_groups(store, match=match, keep=keep, settings=cleanup, place=stores.place_of_matches()).groups
