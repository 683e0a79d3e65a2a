"""`reprise correlate`: compares the fingerprints that were not compared yet."""

from __future__ import annotations

from dataclasses import asdict

import click

from dedup.errors import EXIT_DONE, EXIT_SOME_FAILED
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.run import Run, session
from jobs.show.summaries import correlation_text


@click.command("correlate", cls=Command)
@options.compare
@options.workers
@options.deadline
@options.common
@session
def correlate(run: Run) -> int:
    """Compare all fingerprints that were not compared yet.

    It divides the work into tiles and saves each finished tile, so it never computes one again."""
    from dedup.correlation.correlate import correlate as correlate_store
    from dedup.correlation.correlate import memory_needed, unfinished

    settings = run.settings.compare()
    with stores.for_writing(run) as store, stores.workers(run, (), memory_needed(store, settings)) as runner:
        summary = correlate_store(store, settings=settings, runner=runner, observer=run.observer)
        code = EXIT_SOME_FAILED if summary.n_failed else EXIT_DONE
        run.conclude(code, {"tiles": asdict(summary)}, complete=not unfinished(store))
    run.observer.close()
    run.output.result({"event": "correlate", **asdict(summary)})
    run.output.note(correlation_text(summary))
    return run.exit_code
