"""Progress for people: a live line on a terminal, plain lines elsewhere, or only the failures (--quiet).

Everything goes to stderr. Rates and remaining times count only the current stage of this run. Paths are shown as
plain text, never as markup. Problems and stages go to the log as well."""

from __future__ import annotations

import contextlib
import logging
import os
import sys
import threading
import time
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import IO, Any

import click

from dedup.clock import utc_now
from dedup.observer import Kind
from jobs.session.output import one_line, path_text, time_text

PLAIN_EVERY_S = 10.0
LISTED_FAILURES = 1000
"""Most failures that --quiet lists at the end; the others are counted, and are in the log."""
RECENT_EVENTS = 20
"""Last events that are kept for whoever looks at the run."""
log = logging.getLogger("reprise")


@dataclass
class Meter:
    """What one stage has done so far."""

    name: str
    total: int | None
    unit: str
    started: float
    """Start of the stage, in seconds of the observer's clock."""
    done: int = 0

    def rate(self, now: float) -> float:
        """Units a second since the stage began, in this run."""
        return self.done / (now - self.started) if now > self.started else 0.0

    def left_s(self, now: float) -> float | None:
        """Seconds left at that rate; None while they are unknown."""
        if self.total is None or self.done == 0 or now <= self.started:
            return None
        return max(self.total - self.done, 0) / self.rate(now)

    def counted(self) -> str:
        """What is done, of how much: "3 of 9 files", "1 file"."""
        if self.total is None:
            return _amount_text(self.done, self.unit)
        return f"{self.done:,} of {_amount_text(self.total, self.unit)}"

    def line(self, now: float) -> str:
        """The line while the stage runs: counts, rate, time left."""
        parts = [f"{self.name}: {self.counted()}"]
        if self.done:
            parts.append(rate_text(self.rate(now)))
        left = self.left_s(now)
        if left is not None:
            parts.append(f"{time_text(left)} left")
        return ", ".join(parts)

    def ended(self, now: float) -> str:
        """The line when the stage is over: counts, time, rate."""
        text = f"{self.name}: {self.counted()} in {time_text(now - self.started)}"
        return text + (f" ({rate_text(self.rate(now))})" if self.done else "")


def _amount_text(n: int, units: str) -> str:
    """A number of units, which are named in the plural: "1 file", "1,204 files"."""
    return f"{n:,} {units.removesuffix('s') if n == 1 else units}"


def rate_text(rate: float) -> str:
    """A rate such as "1,234/s" or "0.25/s"."""
    return f"{rate:,.0f}/s" if rate >= 100 else f"{rate:.3g}/s"


class Progress:
    """The quiet observer, and what all observers share: counts, log, and the failures so far."""

    quiet = True

    def __init__(
        self,
        stream: IO[str] | None = None,
        verbose: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._stream = stream if stream is not None else sys.stderr
        self.clock = clock
        self.told: frozenset[Kind] = frozenset({"failed", "skipped", "damaged", "ignored"} if verbose else ())
        """Kinds of problems that get a line of their own when they occur."""
        self.meter: Meter | None = None
        self.problems: Counter[str] = Counter()
        self._failures: list[str] = []
        self._unlisted = 0
        self._failed_before = 0
        self.current = b""
        self.recent: deque[tuple[str, str]] = deque(maxlen=RECENT_EVENTS)
        """The last events, each with its time in UTC: stages that ended, problems, messages."""
        self._lock = threading.RLock()

    def stage(self, name: str, total: int | None, unit: str) -> None:
        self._end_stage()
        if total == 0:
            return  # a stage with nothing to do is not reported
        self.meter = Meter(name, total, unit, self.clock())
        self._failed_before, self.current = self.problems["failed"], b""
        log.info("%s", f"stage {name}: {total if total is not None else '?'} {unit}")
        self._began(self.meter)

    def advance(self, n: int = 1) -> None:
        if self.meter is not None:
            self.meter.done += n
            self._moved(self.meter)

    def folder(self, path: bytes) -> None:
        self.current = path
        log.debug("folder %s", path_text(path))

    def problem(self, kind: Kind, path: bytes, reason: str) -> None:
        self.problems[kind] += 1
        text = f"{kind}: {path_text(path)}: {one_line(reason)}"
        log.log(logging.DEBUG if kind == "ignored" else logging.WARNING, "%s", text)
        if kind != "ignored":
            self._remember(text)
        if kind == "failed" and self.quiet:
            self._keep(text)
        if kind in self.told and not self.quiet:
            self._show(text)

    def _keep(self, text: str) -> None:
        if len(self._failures) < LISTED_FAILURES:
            self._failures.append(text)
        else:
            self._unlisted += 1

    def message(self, text: str) -> None:
        log.info("%s", one_line(text))
        self._remember(one_line(text))
        if not self.quiet:
            self._show(one_line(text))

    def announce(self, text: str) -> None:
        """Shows the answer to something the user did, also with --quiet."""
        log.info("%s", text)
        self._show(text)

    def pause(self) -> None:
        """Clears the way for other text; the next stage shows progress again."""

    def close(self) -> None:
        """Ends the progress, also after an error: shows the last stage's line, and with --quiet the failures."""
        self._end_stage()
        self.pause()
        for text in self._failures:
            self._show(text)
        if self._unlisted:
            self._show(f"failed: {self._unlisted:,} more, listed in the log")
        self._failures, self._unlisted = [], 0

    def _end_stage(self) -> None:
        if self.meter is None:
            return
        text, self.meter = self.meter.ended(self.clock()) + self._failed_text(), None
        log.info("%s", text)
        self._remember(text)
        if not self.quiet:
            self._show(text)

    def _remember(self, text: str) -> None:
        self.recent.append((utc_now(), text))

    def _failed_text(self) -> str:
        failed = self.problems["failed"] - self._failed_before
        return f", {failed:,} failed" if failed else ""

    def _began(self, meter: Meter) -> None:
        """A stage began."""

    def _moved(self, meter: Meter) -> None:
        """The stage advanced."""

    def _show(self, line: str) -> None:
        # never raises: a stderr that went away must not end a run
        with self._lock, contextlib.suppress(OSError, ValueError):
            click.echo(line, file=self._stream)


class PlainProgress(Progress):
    """A line when a stage begins and when it ends, and at most one every ten seconds in between."""

    quiet = False
    _told = 0.0

    def _began(self, meter: Meter) -> None:
        self._told = meter.started
        self._show(
            f"{meter.name} …" if meter.total is None else f"{meter.name}: {_amount_text(meter.total, meter.unit)}"
        )

    def _moved(self, meter: Meter) -> None:
        now = self.clock()
        if now - self._told >= PLAIN_EVERY_S:
            self._told = now
            place = f", in {path_text(self.current)}" if self.current else ""
            self._show(meter.line(now) + self._failed_text() + place)


class TerminalProgress(Progress):
    """A live bar by rich, drawn five times a second from the counts; `advance` costs an addition."""

    quiet = False

    def __init__(self, *args: Any, **keywords: Any) -> None:
        super().__init__(*args, **keywords)
        self._console = _console(self._stream)
        self._live: Any = None

    def _began(self, meter: Meter) -> None:
        from rich.live import Live

        del meter
        if self._live is None:
            self._live = Live(
                get_renderable=self.render,
                console=self._console,
                refresh_per_second=5,
                transient=True,
                redirect_stdout=False,
                redirect_stderr=False,
            )
            self._live.start()

    def _moved(self, meter: Meter) -> None:
        if self._live is None:  # a result was written in between
            self._began(meter)

    def pause(self) -> None:
        live, self._live = self._live, None
        if live is not None:
            with contextlib.suppress(OSError, ValueError):
                live.stop()

    def _show(self, line: str) -> None:
        from rich.text import Text

        with contextlib.suppress(OSError, ValueError):
            self._console.print(Text(line), soft_wrap=True)

    def render(self) -> Any:
        """The bar with counts, rate and time left, and the folder below it; all as rich's `Text`, so that a name such
        as "[red]" is not taken for markup."""
        from rich.console import Group
        from rich.progress_bar import ProgressBar
        from rich.table import Table
        from rich.text import Text

        meter = self.meter
        if meter is None:
            return Text("")
        now = self.clock()
        head = Text(meter.line(now) + self._failed_text(), no_wrap=True, overflow="ellipsis")
        bar = ProgressBar(total=meter.total or None, completed=meter.done, width=24, pulse=not meter.total)
        place = Text(path_text(self.current), no_wrap=True, overflow="ellipsis", style="dim")
        row = Table.grid(padding=(0, 1))
        row.add_row(bar, head)
        return Group(row, place) if self.current else row


def _console(stream: IO[str]) -> Any:
    from rich.console import Console

    class Lasting(Console):
        def on_broken_pipe(self) -> None:  # rich would end the process
            self.quiet = True

    return Lasting(file=stream, highlight=False, markup=False, emoji=False)


def make_progress(quiet: bool = False, verbose: bool = False, stream: IO[str] | None = None) -> Progress:
    """The observer that suits the options and the kind of stderr."""
    if quiet:
        return Progress(stream, verbose)
    target = stream if stream is not None else sys.stderr
    on_terminal = target is not None and target.isatty() and os.environ.get("TERM") not in (None, "", "dumb")
    return TerminalProgress(stream, verbose) if on_terminal else PlainProgress(stream, verbose)
