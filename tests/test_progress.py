"""What watchers see of a run: rates of this run alone, no markup from names, failures even when quiet."""

from __future__ import annotations

import io
import itertools

import pytest
from rich.console import Console

from jobs.session.progress import Meter, PlainProgress, Progress, TerminalProgress, make_progress


class Clock:
    """Seconds that pass only when told."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test_rate_and_time_left_come_from_what_was_done_since_the_start() -> None:
    meter = Meter("scan", 300, "files", started=100.0, done=100)
    assert meter.rate(150.0) == 2.0
    assert meter.left_s(150.0) == 100.0
    assert meter.line(150.0) == "scan: 100 of 300 files, 2/s, 1 min 40 s left"
    assert meter.ended(150.0) == "scan: 100 of 300 files in 50.0 s (2/s)"


@pytest.mark.parametrize("meter", [Meter("a", None, "files", 0.0, 5), Meter("a", 9, "files", 0.0, 0)])
def test_no_time_left_is_made_up(meter: Meter) -> None:
    assert meter.left_s(10.0) is None
    assert "left" not in meter.line(10.0)


@pytest.mark.parametrize(
    ("total", "done", "text"),
    [(1, 1, "1 of 1 file"), (2, 1, "1 of 2 files"), (None, 1, "1 file"), (None, 2, "2 files"), (None, 0, "0 files")],
)
def test_one_is_counted_in_the_singular(total: int | None, done: int, text: str) -> None:
    assert Meter("a", total, "files", 5.0, done).counted() == text


def test_nothing_is_divided_by_no_time() -> None:
    meter = Meter("a", 9, "files", 5.0, 3)
    assert meter.rate(5.0) == 0.0
    assert meter.left_s(5.0) is None


def test_plain_lines_at_start_at_end_and_at_most_every_ten_seconds() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock=clock)
    progress.stage("scan", 100, "files")
    for _ in range(100):
        clock.now += 0.25
        progress.advance()
    progress.folder(b"/m/a")
    progress.close()
    assert stream.getvalue().splitlines() == [
        "scan: 100 files",
        "scan: 40 of 100 files, 4/s, 15.0 s left",
        "scan: 80 of 100 files, 4/s, 5.0 s left",
        "scan: 100 of 100 files in 25.0 s (4/s)",
    ]


def test_plain_lines_name_the_folder_and_count_the_failures_of_their_stage() -> None:
    clock, stream = Clock(), io.StringIO()
    progress = PlainProgress(stream, clock=clock)
    progress.stage("scan", None, "files")
    progress.folder(b"/m/a\nb")
    progress.problem("failed", b"/m/x", "no audio")
    clock.now += 10
    progress.advance(5)
    progress.stage("correlate", 2, "tiles")
    progress.close()
    assert stream.getvalue().splitlines() == [
        "scan …",
        "scan: 5 files, 0.5/s, 1 failed, in /m/a\\nb",
        "scan: 5 files in 10.0 s (0.5/s), 1 failed",
        "correlate: 2 tiles",
        "correlate: 0 of 2 tiles in 0.0 s",
    ]


def test_verbose_tells_each_problem_at_once_and_plain_does_not() -> None:
    for verbose in (True, False):
        stream = io.StringIO()
        PlainProgress(stream, verbose).problem("skipped", b"/m/\xff.mp3", "too short\nby far")
        assert stream.getvalue() == ("skipped: /m/\\xff.mp3: too short\\nby far\n" if verbose else "")


def test_quiet_shows_failures_at_the_end_and_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("jobs.session.progress.LISTED_FAILURES", 2)
    stream = io.StringIO()
    progress = Progress(stream)
    progress.stage("scan", 3, "files")
    progress.advance(3)
    progress.message("hello")
    progress.problem("skipped", b"/s", "too short")
    for name in (b"/a", b"/b", b"/c"):
        progress.problem("failed", name, "no audio")
    assert stream.getvalue() == ""
    progress.close()
    progress.close()
    assert stream.getvalue().splitlines() == [
        "failed: /a: no audio",
        "failed: /b: no audio",
        "failed: 1 more, listed in the log",
    ]


def rendered(progress: TerminalProgress) -> str:
    console = Console(file=io.StringIO(), width=100, color_system=None)
    console.print(progress.render())
    output = console.file
    assert isinstance(output, io.StringIO)
    return output.getvalue()


def test_the_terminal_shows_stage_counts_rate_time_left_failures_and_folder() -> None:
    clock = Clock()
    progress = TerminalProgress(Terminal(), clock=clock)
    assert rendered(progress).strip() == ""
    progress.stage("scan", 1000, "files")
    try:
        progress.folder(b"/music/[red]bold[/red]")
        progress.problem("failed", b"/x", "no audio")
        clock.now += 10
        progress.advance(250)
        text = rendered(progress)
    finally:
        progress.close()
    assert "scan: 250 of 1,000 files, 25/s, 30.0 s left, 1 failed" in text
    assert text.splitlines()[1].strip() == "/music/[red]bold[/red]"


def test_names_are_never_markup_on_a_terminal() -> None:
    stream = Terminal()
    progress = TerminalProgress(stream, verbose=True)
    progress.problem("failed", b"/m/[red]x[/] :smile: [/nothing]", "[bold]why")
    assert "failed: /m/[red]x[/] :smile: [/nothing]: [bold]why" in stream.getvalue()


def test_the_bar_goes_for_other_text_and_comes_back() -> None:
    stream = Terminal()
    progress = TerminalProgress(stream)
    progress.stage("scan", 2, "files")
    progress.pause()
    before = len(stream.getvalue())
    progress.advance()
    progress.close()
    assert len(stream.getvalue()) > before
    assert "scan: 1 of 2 files in" in stream.getvalue()


def test_the_kind_of_progress_follows_the_stream(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TERM", "xterm")
    assert type(make_progress(stream=Terminal())) is TerminalProgress
    assert type(make_progress(stream=io.StringIO())) is PlainProgress
    assert type(make_progress(quiet=True, stream=Terminal())) is Progress
    monkeypatch.setenv("TERM", "dumb")
    assert type(make_progress(stream=Terminal())) is PlainProgress


class Gone(io.StringIO):
    def write(self, text: str, /) -> int:
        raise BrokenPipeError(text)


def test_a_stderr_that_went_away_ends_nothing() -> None:
    for kind, verbose in itertools.product((Progress, PlainProgress, TerminalProgress), (True, False)):
        progress = kind(Gone(), verbose)
        progress.problem("failed", b"/x", "why")
        progress.message("text")
        progress.stage("scan", 1, "files")
        progress.advance()
        progress.close()
