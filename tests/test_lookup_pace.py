"""How often services are asked, by several processes, and what is left of a look-up when it is killed."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest

from dedup.errors import WriteError
from dedup.lookup.pace import LONGEST_HOLD_S, Pace, StoppedError
from dedup.runner import Stop
from tests.killing import run_killed
from tests.lookup_service import KEY, Services, mbid, served
from tests.made_albums import add_file, make_pieces, publish, sound
from tests.stores import open_store

START = 1_800_000_000.0


class FileClock:
    """A time that passes only while somebody waits, the same for all processes: it stands in a file."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def now(self) -> float:
        return float(self.path.read_text()) if self.path.exists() else START

    def wait(self, seconds: float) -> None:
        self.path.write_text(repr(self.now() + seconds))


@pytest.fixture
def clock(tmp_path: Path) -> FileClock:
    return FileClock(tmp_path / "clock")


def test_several_that_ask_keep_one_rate(tmp_path: Path, clock: FileClock) -> None:
    paces = [Pace(tmp_path / "rates" / "service", 0.35, Stop(), clock.now, clock.wait) for _ in range(3)]
    times = []
    for at in range(30):
        paces[at * at % 3].take()
        times.append(clock.now())
    assert all(later - first >= 0.35 - 1e-6 for first, later in itertools.pairwise(times))
    assert times[-1] - times[0] < 29 * 0.36
    assert (tmp_path / "rates" / "service").stat().st_mode & 0o777 == 0o600


def test_one_that_is_told_to_wait_makes_all_wait(tmp_path: Path, clock: FileClock) -> None:
    one, other = (Pace(tmp_path / "service", 0.35, Stop(), clock.now, clock.wait) for _ in range(2))
    one.take()
    one.hold(60)
    other.hold(5)
    other.take()
    assert clock.now() == pytest.approx(START + 60)


def test_a_clock_that_was_set_back_or_a_damaged_file_holds_nobody_up(tmp_path: Path, clock: FileClock) -> None:
    pace = Pace(tmp_path / "service", 0.35, Stop(), clock.now, clock.wait)
    for text in (f"{START + LONGEST_HOLD_S + 1}\n", "nonsense", "", "nan", "-1"):
        (tmp_path / "service").write_text(text)
        pace.take()
        assert clock.now() == START


def test_who_waits_can_be_stopped(tmp_path: Path) -> None:
    stop = Stop()
    pace = Pace(tmp_path / "service", 600, stop)
    pace.take()
    threading.Timer(0.05, lambda: stop.request("interrupted")).start()
    with pytest.raises(StoppedError):
        pace.take()


def test_a_folder_that_cannot_be_written_is_said(tmp_path: Path) -> None:
    (tmp_path / "rates").write_text("no folder")
    with pytest.raises(WriteError):
        Pace(tmp_path / "rates" / "service", 1, Stop()).take()


TAKING = """
import sys, time
from pathlib import Path
from dedup.lookup.pace import Pace
from dedup.runner import Stop

pace = Pace(Path(sys.argv[1]), 0.05, Stop())
for _ in range(6):
    pace.take()
    print(repr(time.time()), flush=True)
"""


def test_processes_keep_the_rate_together(tmp_path: Path) -> None:
    command = [sys.executable, "-c", TAKING, str(tmp_path / "service")]
    several = [subprocess.Popen(command, stdout=subprocess.PIPE, text=True) for _ in range(2)]
    said = [process.communicate(timeout=60)[0] for process in several]
    times = sorted(float(line) for text in said for line in text.splitlines())
    assert len(times) == 12
    assert times[-1] - times[0] >= 11 * 0.05 - 0.04, "each may be told a little late, not all of them"


KILLED = """
import os, signal, sys
from pathlib import Path

from dedup.lookup import ask
from dedup.lookup.http import Http
from dedup.lookup.identify import Way, identify
from dedup.observer import Silent
from dedup.runner import Stop
from dedup.settings import LookupSettings
from dedup.store.lookups import Lookups
from dedup.store.store import open_for_reading
from tests.test_lookup_pace import FileClock

folder, url, key = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
clock = FileClock(folder / "clock")
ask.BATCH = 2

def run():
    settings = LookupSettings(acoustid_key=key, acoustid_url=url + "/v2", musicbrainz_url=url + "/ws/2")
    with open_for_reading(folder / "store") as store:
        way = Way(settings, folder / "rates", clock.now, clock.wait)
        found = identify(store=store, paths=[], way=way, tell=lambda _: None, observer=Silent(), stop=Stop())
    return set(found.counts)

def dying(owner, name, at):
    function, seen = getattr(owner, name), [0]
    def step(*arguments, **more):
        seen[0] += 1
        if seen[0] == at:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **more)
    setattr(owner, name, step)

for kill in range(20):
    child = os.fork()
    if child == 0:
        dying(*((Http, "ask", 2 + kill % 2) if kill % 4 else (Lookups, "put", 2)))
        run()
        os._exit(0)
    _, status = os.waitpid(child, 0)
    assert os.WIFSIGNALED(status), kill
assert run() == {"identified"}
"""


def test_a_look_up_that_is_killed_twenty_times_asks_each_recording_once(tmp_path: Path, clock: FileClock) -> None:
    """Except those in flight: an answer that came and was not kept yet when the kill came is asked for again."""
    pieces = make_pieces(7, 10)
    with served(Services(now=clock.now)) as services:
        with open_store(tmp_path / "store", block_size=128) as store:
            publish(services, pieces)
            for piece in pieces:
                services.sounds[piece.text] = [sound(piece, 0.95, 50)]
                add_file(store, piece, f"{piece.album}/{piece.number:02}.flac")
        run_killed(KILLED, tmp_path, services.url, KEY)
        asked = Counter(services.asked)
        lost_batches = 5
        assert asked.keys() == {piece.text for piece in pieces}
        assert asked.total() == len(pieces) + 2 * lost_batches
        assert max(Counter(services.looked_at).values()) == 1
        for name, most in (("lookup", 3), ("ws", 1)):
            times = services.times[name]
            assert all(later - first >= 1 for first, later in zip(times, times[most:], strict=False)), name
    assert mbid("release", 0) in {path.partition("/")[2] for path in services.looked_at}
    assert os.listdir(tmp_path / "rates")
