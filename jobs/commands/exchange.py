"""`reprise import` and `reprise export`: fingerprints in, results out, as JSON lines."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from typing import IO, Any

import click

from dedup.errors import EXIT_DONE, EXIT_SOME_FAILED
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.output import json_line
from jobs.session.run import Run, reader, session
from jobs.show.groups import tell_unfinished


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
@click.argument("what", type=click.Choice(["tracks", "pairs", "groups"]))
@options.keep
@options.match
@options.common
@reader
def export(run: Run, what: str) -> None:
    """Stream tracks, pairs or groups as JSON lines to stdout, in an order that depends on the library alone."""
    for record in _records(run, what):
        run.output.raw(json_line(record))
    run.output.flush()


def _records(run: Run, what: str) -> Iterable[dict[str, Any]]:
    from dedup.groups.matches import Matches
    from dedup.plan.weigh import find_groups
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
            settings = run.settings
            match, keep, cleanup = settings.match(), settings.keep(), settings.cleanup()
            weighed = find_groups(store, match=match, keep=keep, settings=cleanup, place=stores.place_of_matches())
            found = map(group_record, weighed.groups)
    yield from found
