"""`reprise identify`: what recordings are, by AcoustID and MusicBrainz."""

from __future__ import annotations

import functools
from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.output import Output
from jobs.session.run import Run, session
from jobs.show.identified import identified_lines, identified_record, summary_record, summary_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedup.lookup.decide import Identified


@click.command("identify", cls=Command)
@click.argument("paths", metavar="[ROOT|FILE]...", nargs=-1, type=click.Path(path_type=bytes))
@click.option("--limit", metavar="N", type=click.IntRange(0), help="Ask about at most this many recordings.")
@click.option("--again", is_flag=True, help="Ask also about what is known already.")
@options.lookup
@options.deadline
@options.common
@session
def identify(run: Run, paths: Sequence[bytes], limit: int | None, again: bool) -> int:
    """Say what the files at ROOT or FILE are, or all files of the library: title, artist, release, disc and track.

    Asks AcoustID with the fingerprints that the store has, then MusicBrainz. Each recording is asked about once:
    answers are kept, and a run that was stopped goes on from there. What is not clear is listed as a question. No tag
    is written, and no file is changed. AcoustID needs a key of your own (https://acoustid.org/new-application); write
    it into the settings file as acoustid-key."""
    from dedup.lookup.identify import Way
    from dedup.lookup.identify import identify as identify_files

    with stores.for_asking(run) as store:
        way = Way(run.settings.lookup(), stores.place_of_rates())
        result = identify_files(
            store=store,
            paths=paths,
            way=way,
            tell=functools.partial(show, run.output),
            observer=run.observer,
            stop=run.stop,
            limit=limit,
            anew=again,
        )
        record = summary_record(result)
        run.conclude(EXIT_DONE if result.counts else EXIT_NOTHING_TO_DO, record)
    run.observer.close()
    run.output.result({"event": "identify", **record})
    run.output.note(summary_text(result))
    if result.counts["question"]:
        run.output.note("`reprise name` asks you about the questions")
    return run.exit_code


def show(output: Output, files: Sequence[Identified]) -> None:
    """Shows the files of one folder."""
    for each in files:
        output.result({"event": "identified", **identified_record(each)})
    if files and not output.as_json:
        output.laid(list(identified_lines(files, output.look)))
