"""`reprise runs`: what past runs did, and why they ended."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.lines import hanging_rows
from jobs.session.output import local_time, one_line, time_text
from jobs.session.run import Run, reader

if TYPE_CHECKING:
    from jobs.session.lines import Look


@click.command("runs", cls=Command)
@click.option(
    "--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="Show only the last N runs."
)
@options.common
@reader
def runs(run: Run, limit: int) -> None:
    """List past runs, newest first: when, how long, what was new, found and failed, and why each ended.

    Commands that only read leave no record. With --json each object also has the run's whole summary."""
    from dedup.report.runs import run_records

    with stores.for_reading(run) as store:
        found = list(run_records(store, limit=limit))
    if run.output.as_json:
        for record in found:
            run.output.result(record)
    elif found:
        run.output.laid(run_lines(found, run.output.look))
    else:
        run.output.note("no run yet")


def run_lines(found: Sequence[Mapping[str, Any]], look: Look) -> Iterator[str]:
    """A line for each run, more where the terminal is narrow."""
    rows = [
        (
            local_time(record["started"]),
            record["command"],
            "" if record.get("took_s") is None else time_text(record["took_s"]),
            *("" if record.get(name) is None else f"{record[name]:,} {name}" for name in ("new", "found", "failed")),
            one_line(record["why"]),
        )
        for record in found
    ]
    return hanging_rows(rows, look)
