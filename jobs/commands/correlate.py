"""`reprise correlate`: compares what was not compared yet."""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, EXIT_SOME_FAILED
from jobs.session import options, stores
from jobs.session.run import Run, session

if TYPE_CHECKING:
    from dedup.correlation.correlate import Correlation


@click.command("correlate")
@options.compare
@options.workers
@options.deadline
@options.common
@session
def correlate(run: Run) -> int:
    """Compare all fingerprints that were not compared yet.

    The work is cut into tiles; a tile with a committed result is never computed again."""
    from dedup.correlation.correlate import correlate as correlate_store
    from dedup.correlation.correlate import memory_needed, unfinished

    settings = run.settings.compare()
    with stores.for_writing(run) as store, stores.workers(run, (), memory_needed(store, settings)) as runner:
        summary = correlate_store(store, settings, runner, run.observer)
        code = EXIT_SOME_FAILED if summary.n_failed else EXIT_DONE
        run.conclude(code, {"tiles": asdict(summary)}, complete=not unfinished(store))
    run.observer.close()
    run.output.result({"event": "correlate", **asdict(summary)})
    run.output.note(correlation_text(summary))
    return run.exit_code


def correlation_text(summary: Correlation) -> str:
    """The counts, for people: they add up."""
    parts = [f"{summary.n_reused:,} reused", f"{summary.n_computed:,} computed"]
    if summary.n_failed:
        parts.append(f"{summary.n_failed:,} failed")
    if summary.n_left:
        parts.append(f"{summary.n_left:,} left for the next run")
    compared = f" ({summary.n_pairs_compared:,} pairs compared)" if summary.n_pairs_compared else ""
    return f"tiles   {summary.n_tiles:,} = {' + '.join(parts)}{compared}"
