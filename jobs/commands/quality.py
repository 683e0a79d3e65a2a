"""`reprise quality`: the library by formats, and the files that are not what they say."""

from __future__ import annotations

from dataclasses import asdict

import click

from dedup.errors import EXIT_DONE, EXIT_SOME_FAILED
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.run import Run, session
from jobs.show.quality import found_records, measuring_text, survey_record, survey_texts


@click.command("quality", cls=Command)
@click.option("--measure", is_flag=True, help="Read the lossless files that were not measured yet, and measure them.")
@click.option("--again", is_flag=True, help="With --measure: measure also what was measured already.")
@click.option(
    "--limit",
    metavar="N",
    type=click.IntRange(min=0),
    default=20,
    show_default=True,
    help="Show at most so many files of each kind; --json shows 2,000.",
)
@options.decoding
@options.workers
@options.deadline
@options.common
@session
def quality(run: Run, measure: bool, again: bool, limit: int) -> int:
    """Show the library by format, and the files that are not what they say: 16 bits in 24, upsampled, made from lossy
    files, mono in stereo.

    With --measure it decodes the lossless files that were not measured yet. It keeps what it finds, so a run that was
    stopped goes on from there. What it says of spectra are hints: listen before you believe them."""
    from dedup.quality.survey import survey

    code = _measure(run, again) if measure else EXIT_DONE
    if run.stop.requested and not run.time_is_up:
        return code
    with stores.for_reading(run) as store:
        found = survey(store)
    run.observer.close()
    run.output.result({"event": "quality", **survey_record(found)})
    for record in found_records(found) if run.output.as_json else ():
        run.output.result({"event": "finding", **record})
    if not run.output.as_json:
        run.output.laid(survey_texts(found, limit, run.output.look))
    return code


def _measure(run: Run, again: bool) -> int:
    """Measures what was not measured; gives the exit code."""
    from dedup.quality.run import measure_library

    run.observer.told |= {"failed"}  # a file that cannot be measured is named once, and only counted from then on
    with stores.for_writing(run) as store, stores.workers(run) as runner:
        done = measure_library(store, run.settings.scan(), runner, run.observer, again=again)
        run.conclude(EXIT_SOME_FAILED if done.n_failed else EXIT_DONE, asdict(done))
    run.observer.close()
    run.output.result({"event": "measure", **asdict(done)})
    run.output.note(measuring_text(done))
    return run.exit_code
