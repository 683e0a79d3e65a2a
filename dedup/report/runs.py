"""Past runs of a store as plain dictionaries for JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dedup.store.layout import is_locked

if TYPE_CHECKING:
    from dedup.store.runs import RecordedRun
    from dedup.store.store import Store


def run_records(store: Store, limit: int) -> Iterator[dict[str, Any]]:
    """What is told of each run, newest first. The newest that has no end goes on if somebody holds the store; any other
    was killed."""
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
