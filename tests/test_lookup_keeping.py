"""Look-ups beside other runs: the store is held only while an answer is kept, and nothing is asked twice or lost."""

from __future__ import annotations

import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dedup.errors import EXIT_DONE, StoreLockedError, WriteError
from dedup.lookup import acoustid, ask, keeping, musicbrainz
from dedup.lookup.keeping import alone
from dedup.observer import Silent
from dedup.runner import Stop
from dedup.store.layout import Layout, is_locked, write_lock
from dedup.store.store import open_for_reading, open_for_writing
from dedup.upkeep.compact import compact
from jobs import cli
from jobs.serve.work import Work
from tests.looking_up import Clock, Found, run
from tests.lookup_service import KEY, Services, served
from tests.made_albums import add_file, make_pieces, publish, sound
from tests.stores import open_store

PIECES = make_pieces(2, 6)


class Watched(Services):
    """Does something before it answers."""

    before: Callable[[], object] = staticmethod(lambda: None)

    def answer(self, path: str, form: dict[str, str]) -> tuple[int, dict[str, Any]]:
        self.before()
        return super().answer(path, form)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def services(clock: Clock, monkeypatch: pytest.MonkeyPatch) -> Iterator[Watched]:
    monkeypatch.setattr(keeping, "LOOK_S", 0.02)
    monkeypatch.setattr(ask, "BATCH", 3)
    with served(Watched(now=clock.now)) as opened:
        assert isinstance(opened, Watched)
        yield opened


@pytest.fixture
def folder(tmp_path: Path, services: Watched) -> Path:
    publish(services, PIECES)
    with open_store(tmp_path / "store", block_size=4) as store:
        for piece in PIECES:
            services.sounds[piece.text] = [sound(piece, 0.95, 50)]
            add_file(store, piece, f"{piece.album}/{piece.number:02}.flac")
    return tmp_path / "store"


def beside(folder: Path, services: Services, clock: Clock, stop: Stop | None = None) -> Found:
    """`identify` with a store that is open for reading, as the command does it."""
    with open_for_reading(folder) as store:
        return run(store, services, clock, stop=stop)


def require_each_asked_once(services: Services) -> None:
    assert Counter(services.asked) == dict.fromkeys((piece.text for piece in PIECES), 1)
    assert max(Counter(services.looked_at).values()) == 1


def test_others_write_while_services_are_asked(folder: Path, services: Watched, clock: Clock) -> None:
    n_written = []

    def write() -> None:
        with open_for_writing(folder, "another run"):
            n_written.append(1)

    services.before = write
    found = beside(folder, services, clock)
    assert {each.verdict for each in found.files} == {"identified"}
    assert len(n_written) == len(services.asked) / 3 + len(services.looked_at)
    require_each_asked_once(services)
    assert not is_locked(Layout(folder))


def test_nothing_is_asked_while_another_run_holds_the_store(folder: Path, services: Watched, clock: Clock) -> None:
    held = threading.Event()

    def hold() -> None:
        with write_lock(Layout(folder), "another run"):
            held.set()
            time.sleep(0.4)
            assert (services.asked, services.looked_at) == ([], [])

    other = threading.Thread(target=hold)
    other.start()
    held.wait()
    found = beside(folder, services, clock)
    other.join()
    assert {each.verdict for each in found.files} == {"identified"}
    require_each_asked_once(services)


def test_an_answer_that_comes_while_another_run_takes_the_store_is_kept_when_that_is_over(
    folder: Path, services: Watched, clock: Clock
) -> None:
    others: list[threading.Thread] = []

    def take() -> None:
        held = threading.Event()

        def hold() -> None:
            with write_lock(Layout(folder), "another run"):
                held.set()
                time.sleep(0.15)

        others.append(threading.Thread(target=hold))
        others[-1].start()
        held.wait()

    services.before = take
    found = beside(folder, services, clock)
    for other in others:
        other.join()
    assert {each.verdict for each in found.files} == {"identified"}
    require_each_asked_once(services)


def test_a_run_that_waits_for_another_one_can_be_stopped(folder: Path, services: Watched, clock: Clock) -> None:
    stop = Stop()
    with write_lock(Layout(folder), "another run"):
        threading.Timer(0.1, lambda: stop.request("interrupted")).start()
        found = beside(folder, services, clock, stop)
    assert (found.n_asked, found.n_left, services.asked) == (0, len(PIECES), [])


def test_two_do_not_ask_the_same(folder: Path, services: Watched, clock: Clock) -> None:
    with alone(Layout(folder)), pytest.raises(StoreLockedError, match="another `reprise identify` is at work"):
        beside(folder, services, clock)
    assert beside(folder, services, clock).n_asked == len(PIECES)


def test_what_another_run_moves_or_drops_meanwhile_is_found_or_left_out(
    folder: Path, services: Watched, clock: Clock
) -> None:
    gone = PIECES[-1]

    def change() -> None:
        services.before = lambda: None
        with open_for_writing(folder, "another run") as store:
            store.catalog.tracks.forget([f"/music/{gone.album}/{gone.number:02}.flac".encode()])
            store.seal_tail()
            compact(store, Silent(), Stop())

    services.before = change
    found = beside(folder, services, clock)
    verdicts = Counter(each.verdict for each in found.files)
    assert gone.text not in services.asked
    assert len(services.asked) == len(PIECES) - 1
    assert verdicts["unasked"] > 0, "that folder is decided by the next run"
    again = beside(folder, services, clock)
    assert {each.verdict for each in again.files} == {"identified"}
    assert len(again.files) == len(PIECES) - 1


def invoke(folder: Path, services: Services, *arguments: str) -> Any:
    environment = {
        "REPRISE_ACOUSTID_KEY": KEY,
        "REPRISE_ACOUSTID_URL": f"{services.url}/v2",
        "REPRISE_MUSICBRAINZ_URL": f"{services.url}/ws/2",
    }
    return CliRunner().invoke(cli.cli, [*arguments, "--store", str(folder)], env=environment)


def test_the_command_is_listed_among_the_runs(folder: Path, services: Watched, monkeypatch: pytest.MonkeyPatch) -> None:
    for service in (acoustid, musicbrainz):
        monkeypatch.setattr(service, "INTERVAL_S", 0.01)
    assert invoke(folder, services, "identify", "--json").exit_code == EXIT_DONE
    with open_for_reading(folder) as store:
        (record,) = store.catalog.runs.newest_first()
    assert (record.command, record.ending and record.ending.outcome) == ("identify", "done")


def test_a_cache_folder_that_cannot_be_written_ends_the_run_with_its_name(
    folder: Path, services: Watched, clock: Clock
) -> None:
    (folder.parent / "rates").write_text("no folder")
    with pytest.raises(WriteError, match="rates/acoustid"):
        beside(folder, services, clock)
    assert services.asked == []


HOLDING = """
import sys, time
from pathlib import Path
from dedup.store.layout import Layout, write_lock

with write_lock(Layout(Path(sys.argv[1])), "another run", is_short=sys.argv[2] == "short"):
    print("held", flush=True)
    sys.stdin.read()
"""


@pytest.mark.parametrize("how", ["short", "whole"])
def test_the_page_shows_no_run_that_holds_the_store_only_for_a_moment(folder: Path, how: str) -> None:
    """Otherwise a run that asks services would come and go there, and now and then nothing could be begun."""
    pipe = subprocess.PIPE
    with subprocess.Popen([sys.executable, "-c", HOLDING, str(folder), how], stdin=pipe, stdout=pipe) as other:
        assert other.stdout is not None and other.stdin is not None
        assert other.stdout.readline() == b"held\n"
        job = Work(folder).record()["job"]
        other.stdin.close()
    assert (job is None) == (how == "short")
