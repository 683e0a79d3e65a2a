"""The table `run`: the runs that wrote, and how each ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Literal

from dedup.store.table import Table

KEPT_RUN_RECORDS = 1000
"""Number of the newest runs that are kept, at 0.8 kB each."""


@dataclass(frozen=True)
class Ending:
    """How a run ended, and what it did."""

    outcome: Literal["done", "stopped", "failed"]
    exit_code: int
    why: str
    """Reason in words: "done", "nothing to do", "time is up: it is 06:30", or the line of an error."""
    seconds: float
    """Wall time of the run."""
    summary: str | None
    """JSON object that the run prints last with --json, as far as it came; None if the command has none."""


@dataclass(frozen=True)
class RecordedRun:
    """A run that wrote, or that writes now."""

    id: str
    """Id in the lines of the log."""
    command: str
    started: str
    """Time in UTC, such as "2026-02-28T21:30:00Z", like `ended`."""
    ended: str | None
    ending: Ending | None
    """Outcome; None, like `ended`, for a run that was killed or is still going."""


class Runs(Table):
    """One row per run, in the order in which they began."""

    name = "run"

    def begin(self, run: str, command: str, started: str) -> None:
        self.put_rows([(run, command, started, *(None,) * 6)], "INSERT OR REPLACE")

    def end(self, run: str, ended: str, ending: Ending) -> None:
        """Records how a run ended, and drops the runs before the last KEPT_RUN_RECORDS. One transaction."""
        with self.database.transaction() as connection:
            self.change("id", self.columns[3:], [(run, ended, *astuple(ending))])
            connection.execute(
                "DELETE FROM run WHERE rowid <= (SELECT rowid FROM run ORDER BY rowid DESC LIMIT 1 OFFSET ?)",
                (KEPT_RUN_RECORDS,),
            )

    def newest_first(self, limit: int = -1) -> Iterator[RecordedRun]:
        """The runs that wrote, at most `limit`, in the order of their rows: their times can mislead, since clocks are
        set back."""
        rows = self.read_rows("ORDER BY rowid DESC LIMIT ?", (limit,))
        return (
            RecordedRun(run, command, started, ended, Ending(*ending) if ended else None)
            for run, command, started, ended, *ending in rows
        )

    def last(self) -> tuple[str, str, str | None, str | None] | None:
        """Command, beginning, end and outcome of the newest run; the last two are None if it was killed."""
        run = next(self.newest_first(1), None)
        if run is None:
            return None
        return run.command, run.started, run.ended, run.ending.outcome if run.ending else None
