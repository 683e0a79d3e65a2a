"""`reprise runs`: what past runs did, and why they ended."""

from __future__ import annotations

import time
from calendar import timegm

import click

from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.output import Column, time_text
from jobs.session.run import Run, reader


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
        run.output.table(COLUMNS, found)
    else:
        run.output.note("no run yet")


def _when(started: str) -> str:
    """The time, stored in UTC, in local time."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(timegm(time.strptime(started, "%Y-%m-%dT%H:%M:%SZ"))))
    except ValueError:
        return started


def _count(n: int | None) -> str:
    return "" if n is None else f"{n:,}"


COLUMNS = (
    Column("started", "began", _when),
    Column("command", "command"),
    Column("took_s", "took", lambda seconds: "" if seconds is None else time_text(seconds)),
    Column("new", "new", _count),
    Column("found", "found", _count),
    Column("failed", "failed", _count),
    Column("why", "why it ended"),
)
