"""The main job as a page or a daemon calls it: what it gives back, how far it came when it stops, and when what was
found counts as reported."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from dedup.correlation.correlate import Unfinished
from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_SOME_FAILED, UsageError
from dedup.groups.news import News, news
from dedup.observer import Silent
from dedup.pipeline import Full, full
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, KeepSettings, MatchSettings, ScanSettings
from dedup.store.store import Store
from tests.stores import add_track, copied, open_store, recording


class Stopping(Silent):
    """Asks for a stop in the comparison, when so many tiles are done."""

    def __init__(self, runner: InlineRunner, n_tiles: int, time_is_up: bool) -> None:
        self.runner, self.n_left, self.time_is_up = runner, n_tiles, time_is_up
        self.is_comparing = False

    def stage(self, name: str, total: int | None, unit: str) -> None:  # noqa: ARG002
        self.is_comparing = name == "correlate"
        self.advance(0)

    def advance(self, n: int = 1) -> None:
        if self.is_comparing:
            self.n_left -= n
            if self.n_left == 0:
                self.runner.stop.request("test", time_is_up=self.time_is_up)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A group of two and a track by itself, in three blocks, none of them compared yet."""
    with open_store(tmp_path / "store", block_size=1) as opened:
        items = recording(1, 300)
        add_track(opened, "a.flac", items)
        add_track(opened, "b.mp3", copied(items, 0.05))
        add_track(opened, "alone.mp3", recording(2, 300))
        yield opened


@pytest.fixture
def root(tmp_path: Path) -> bytes:
    """A library with one file that is no music."""
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "x.mp3").write_text("a shopping list")
    return bytes(tmp_path / "music")


class Concluded(list[Full]):
    """How far a run came, each time that it said so, and what was not reported then."""

    def __init__(self, store: Store) -> None:
        super().__init__()
        self.store = store
        self.news: list[News | None] = []

    def __call__(self, done: Full) -> None:
        self.append(done)
        self.news.append(None if done.found is None else news(self.store, done.found.groups))


def run(
    store: Store,
    *roots: bytes,
    observer: Silent | None = None,
    runner: InlineRunner | None = None,
    concluded: Concluded | None = None,
    match: MatchSettings | None = None,
) -> Full:
    return full(
        store,
        roots,
        scan=ScanSettings(),
        compare=CompareSettings(varispeed=False),
        match=match or MatchSettings(),
        keep=KeepSettings(),
        runner=runner or InlineRunner(),
        observer=observer or Silent(),
        conclude=concluded if concluded is not None else Concluded(store),
    )


def test_it_gives_back_what_each_stage_did(store: Store, root: bytes) -> None:
    done = run(store, root)
    assert (done.scan.discovered, done.scan.failed) == (1, 1)
    assert done.correlation is not None
    assert (done.correlation.n_tiles, done.correlation.n_computed) == (6, 6)
    assert done.found is not None
    assert [track.path for track in done.found.groups[0].tracks] == [b"/music/a.flac", b"/music/b.mp3"]
    assert done.n_pairs == {"same recording": 1}
    assert done.news == News(n_copies=1, n_groups=1)
    assert (done.complete, done.stopped, done.exit_code) == (True, False, EXIT_SOME_FAILED)
    assert done.seconds.keys() >= {"discover", "fingerprint", "correlate", "group"}


def test_a_second_run_is_idle(store: Store) -> None:
    first, second = run(store), run(store)
    assert [(done.idle, done.exit_code) for done in (first, second)] == [
        (False, EXIT_DONE),
        (True, EXIT_NOTHING_TO_DO),
    ]


def test_what_was_found_counts_as_reported_last_of_all(store: Store) -> None:
    concluded = Concluded(store)
    done = run(store, concluded=concluded)
    assert [step.complete for step in concluded] == [False, True]
    assert concluded.news == [News(1, 1), News(1, 1)], "not yet, both times"
    assert done == concluded[-1]
    assert done.found is not None
    assert news(store, done.found.groups) == News(0, 0)


@pytest.mark.parametrize("error", [OSError(28, "full"), KeyboardInterrupt()])
def test_a_run_that_breaks_in_the_housekeeping_has_reported_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    def broken(*_: object) -> None:
        raise error

    concluded = Concluded(store)
    with monkeypatch.context() as patched:
        patched.setattr("dedup.pipeline.compact_if_it_pays", broken)
        with pytest.raises(type(error)):
            run(store, concluded=concluded)
    (step,) = concluded
    assert (step.news, step.complete) == (News(1, 1), False)
    assert run(store).news == News(1, 1)


def test_a_stop_before_the_comparison_leaves_all_of_it(store: Store, root: bytes) -> None:
    runner, concluded = InlineRunner(), Concluded(store)
    runner.stop.request("test")
    done = run(store, root, runner=runner, concluded=concluded)
    assert (done.stopped, done.scan.left, done.correlation, done.found) == (True, 1, None, None)
    assert done.uncompared == Unfinished(n_tiles=0, n_missing=0, n_waiting=3)
    assert (list(concluded), done.complete) == ([done], False)


@pytest.mark.parametrize("time_is_up", [False, True])
@pytest.mark.parametrize("n_tiles", [2, 6])
def test_a_stop_in_the_comparison_leaves_the_rest(store: Store, n_tiles: int, time_is_up: bool) -> None:
    """Property: after the last tile the rest is the noise floor."""
    runner = InlineRunner()
    done = run(store, runner=runner, observer=Stopping(runner, n_tiles, time_is_up))
    assert done.correlation is not None
    assert (done.stopped, done.found, done.correlation.n_left) == (True, None, 6 - done.correlation.n_computed)
    assert done.uncompared == Unfinished(n_tiles=6, n_missing=done.correlation.n_left, n_waiting=0)
    again = run(store)
    assert again.correlation is not None
    assert again.correlation.n_reused == done.correlation.n_computed >= n_tiles
    assert (again.news, again.exit_code) == (News(1, 1), EXIT_DONE)


@pytest.mark.parametrize("time_is_up", [False, True])
def test_a_time_that_is_up_when_nothing_is_left_stops_nothing_and_an_interrupt_does(
    store: Store, time_is_up: bool
) -> None:
    run(store)
    runner = InlineRunner()
    done = run(store, runner=runner, observer=Stopping(runner, 0, time_is_up))
    assert (done.stopped, done.uncompared) == (not time_is_up, None)
    assert (done.found is not None, done.complete) == (time_is_up, time_is_up)


def test_too_few_judgements_are_refused_before_a_file_is_read(store: Store, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="found 0 judgements"):
        run(store, bytes(tmp_path / "no such folder"), match=MatchSettings(min_score=None))
