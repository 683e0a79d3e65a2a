"""What a run is doing, for other processes: `progress.json` in the folder of the store, as long as the run holds it.

A thread looks at the observer twice a second; the run itself does nothing for it and never waits for it. What cannot be
written is not told: a full disk must not end a run twice."""

from __future__ import annotations

import contextlib
import json
import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any

from dedup.clock import utc_now
from dedup.files.paths import json_path
from dedup.plain_text import json_text
from dedup.store.layout import Layout, holder_text, private_opener

if TYPE_CHECKING:
    from dedup.runner import Stop
    from jobs.session.progress import Progress

EVERY_S = 0.5
"""Seconds between two looks."""
AT_LEAST_EVERY_S = 5.0
"""Seconds after which a stage that did not advance is told again, as its time goes on."""
END_S = 2.0
"""Most seconds that the end of a run waits for a write that hangs."""


class Published:
    """A context manager: inside it, other processes can read what the run does while it holds its store."""

    def __init__(self, store: Path, run: Mapping[str, str], observer: Progress, stop: Stop) -> None:
        """`run` names the run in words of its own: run, command, started."""
        self._layout = Layout(store)
        self._run, self._observer, self._stop = run, observer, stop
        self._ended = threading.Event()
        self._thread = threading.Thread(target=self._tell, name="progress", daemon=True)
        self._told: object = None
        self._told_at = 0.0
        self._is_there = False

    def __enter__(self) -> Published:
        self._thread.start()
        return self

    def __exit__(self, *exception: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._ended.set()
        self._thread.join(END_S)

    def _tell(self) -> None:
        while not self._ended.wait(EVERY_S):
            with contextlib.suppress(OSError, ValueError, RuntimeError):  # the folder or the disk, not the run's fault
                self._look()
        self._withdraw()

    def _look(self) -> None:
        if not holds(self._layout):
            self._withdraw()
            return
        record = progress_record(self._run, self._observer, self._stop)
        stage, now = record["stage"] or {}, time.monotonic()
        key = {**record, "stage": (stage.get("name"), stage.get("done")), "time": ""}
        if key != self._told or now - self._told_at >= AT_LEAST_EVERY_S:
            self._write(json_text(record).encode("utf-8", "backslashreplace"))
            self._told, self._told_at = key, now

    def _write(self, data: bytes) -> None:
        part = self._layout.progress.with_name(f"{self._layout.progress.name}.{os.getpid()}")
        self._is_there = True
        try:
            with open(part, "wb", opener=private_opener) as file:
                file.write(data)
            part.replace(self._layout.progress)
        except OSError:
            part.unlink(missing_ok=True)

    def _withdraw(self) -> None:
        """Removes the file, unless it is another run's by now."""
        if not self._is_there:
            return
        self._is_there, self._told = False, None
        with contextlib.suppress(OSError, ValueError, KeyError, TypeError):
            if json.loads(self._layout.progress.read_bytes())["pid"] == os.getpid():
                self._layout.progress.unlink()


def holds(layout: Layout) -> bool:
    """Whether this process holds the store's lock."""
    holder = holder_text(layout)
    return holder is not None and holder.get("pid") == os.getpid()


def progress_record(run: Mapping[str, str], observer: Progress, stop: Stop) -> dict[str, Any]:
    """What a run is doing, as `progress.json` has it (FORMAT.md)."""
    folder = observer.current
    return {
        "pid": os.getpid(),
        **run,
        "time": utc_now(),
        "stopping": stop.requested,
        "stage": stage_record(observer),
        "folder": json_path(folder) if folder else None,
        "problems": dict(observer.problems),
        "recent": [{"time": when, "text": text} for when, text in observer.recent],
    }


def stage_record(observer: Progress) -> dict[str, Any] | None:
    """The stage that goes on now; None between two."""
    meter = observer.meter
    if meter is None:
        return None
    now = observer.clock()
    left_s = meter.left_s(now)
    return {
        "name": meter.name,
        "done": meter.done,
        "total": meter.total,
        "unit": meter.unit,
        "seconds": round(now - meter.started, 1),
        "rate": float(f"{meter.rate(now):.3g}"),
        "left_s": None if left_s is None else round(left_s, 1),
    }
