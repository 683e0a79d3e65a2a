"""`reprise runs`: what past runs did, and why they ended."""

from __future__ import annotations

import json
import time
from calendar import timegm
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from jobs.session import options, stores
from jobs.session.output import Column, time_text
from jobs.session.run import Run, reader

if TYPE_CHECKING:
    from dedup.store.runs import RecordedRun
    from dedup.store.store import Store


@click.command("runs")
@click.option("--limit", type=click.IntRange(min=1), default=20, show_default=True, metavar="N", help="The last N.")
@options.common
@reader
def runs(run: Run, limit: int) -> None:
    """List past runs, newest first: when, how long, what was new, found and failed, and why each ended.

    Of commands that only read nothing is kept. With --json each object has the run's whole summary too."""
    with stores.for_reading(run) as store:
        found = list(run_records(store, limit))
    if run.output.as_json:
        for record in found:
            run.output.result(record)
    elif found:
        run.output.table(COLUMNS, found)
    else:
        run.output.note("no run yet")


def run_records(store: Store, limit: int) -> Iterator[dict[str, Any]]:
    """What is told of each run, newest first. The newest that has no end goes on if somebody holds the store; any other
    was killed."""
    from dedup.store.layout import is_locked

    for number, recorded in enumerate(store.catalog.runs.newest_first(limit)):
        running = number == 0 and recorded.ending is None and is_locked(store.layout)
        yield _record(recorded, running)


def _record(recorded: RecordedRun, running: bool) -> dict[str, Any]:
    ending = recorded.ending
    summary = json.loads(ending.summary) if ending and ending.summary else None
    counts, tiles = summary or {}, (summary or {}).get("tiles") or {}
    return {
        "event": "run",
        "id": recorded.id,
        "command": recorded.command,
        "started": recorded.started,
        "ended": recorded.ended,
        "took_s": ending.seconds if ending else None,
        "outcome": ending.outcome if ending else "running" if running else "killed",
        "exit_code": ending.exit_code if ending else None,
        "why": ending.why if ending else "running" if running else "killed",
        "new": counts.get("new"),
        "found": (counts.get("found") or {}).get("copies"),
        "failed": counts["failed"] + tiles.get("n_failed", 0) if "failed" in counts else tiles.get("n_failed"),
        "summary": summary,
    }


def _when(started: str) -> str:
    """In local time; what is stored is UTC."""
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
