"""The table `run`: the runs that wrote, and how each ended."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import astuple, dataclass
from typing import Literal

from dedup.store.database import Table

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

    def begin(self, run: str, command: str, started: str) -> None:
        row = (run, command, started)
        self.connection.execute("INSERT OR REPLACE INTO run (id, command, started) VALUES (?, ?, ?)", row)

    def end(self, run: str, ended: str, ending: Ending) -> None:
        """Records how a run ended, and drops the runs before the last KEPT_RUN_RECORDS. One transaction."""
        with self.database.transaction() as connection:
            connection.execute(
                "UPDATE run SET ended = ?, outcome = ?, exit_code = ?, why = ?, seconds = ?, summary = ? WHERE id = ?",
                (ended, *astuple(ending), run),
            )
            connection.execute(
                "DELETE FROM run WHERE rowid <= (SELECT rowid FROM run ORDER BY rowid DESC LIMIT 1 OFFSET ?)",
                (KEPT_RUN_RECORDS,),
            )

    def newest_first(self, limit: int = -1) -> Iterator[RecordedRun]:
        """The runs that wrote, at most `limit`, in the order of their rows: their times can mislead, since clocks are
        set back."""
        query = (
            "SELECT id, command, started, ended, outcome, exit_code, why, seconds, summary FROM run "
            "ORDER BY rowid DESC LIMIT ?"
        )
        rows = self.connection.execute(query, (limit,))
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
