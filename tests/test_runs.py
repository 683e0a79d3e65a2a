"""What the catalog keeps of runs, and how `reprise runs` and `--notify` tell of it."""

from __future__ import annotations

import errno
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from dedup.errors import (
    EXIT_BUG,
    EXIT_DONE,
    EXIT_INTERRUPTED,
    EXIT_NOTHING_TO_DO,
    EXIT_SOME_FAILED,
    EXIT_TIME_UP,
    InputError,
)
from dedup.store.meta import Meta
from dedup.store.store import make_or_open, open_for_writing
from dedup.synthesis.library import write_demo_library
from jobs import cli
from jobs.session import deadline, options, stores
from jobs.session.progress import Progress
from jobs.session.run import Run, session
from tests.stores import FingerprintSettings

ROOT = Path(__file__).resolve().parent.parent
KEEP = "import sys; open(sys.argv[1], 'ab').write(sys.stdin.buffer.read())"


@dataclass
class Place:
    """A library in which every file can be read, a store of it, and what a notified command got."""

    music: Path
    store: Path
    heard_at: Path

    def full(self, *arguments: str, code: int = 0) -> Result:
        notify = shlex.join([sys.executable, "-c", KEEP, str(self.heard_at)])
        line = ("full", str(self.music), "--workers", "0", "--json", "--notify", notify)
        return self.invoke(*line, *arguments, code=code)

    def invoke(self, *arguments: str, code: int = 0) -> Result:
        result = CliRunner().invoke(cli.cli, [arguments[0], "--store", str(self.store), *arguments[1:]])
        assert result.exit_code == code, result.stderr
        return result

    def runs(self) -> list[dict[str, Any]]:
        return lines(self.invoke("runs", "--json").stdout)

    def heard(self) -> list[dict[str, Any]]:
        return lines(self.heard_at.read_text()) if self.heard_at.exists() else []


def lines(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("runs")
    library = write_demo_library(folder / "music", seed=5, n_recordings=2, seconds=(20, 22), n_copies=3)
    for file in library.files:
        if "shopping" in file.path:
            (library.root / file.path).unlink()
    place = Place(library.root, folder / "store", folder / "heard")
    place.full()
    return place


@pytest.fixture
def place(made: Place, tmp_path: Path) -> Place:
    """A copy of a store after its first run."""
    shutil.copytree(made.music, tmp_path / "music", copy_function=os.link)
    shutil.copytree(made.store, tmp_path / "store")
    return Place(made.music, tmp_path / "store", tmp_path / "heard")


def test_a_first_run_finds_something_and_a_second_has_nothing_to_do(place: Place, made: Place) -> None:
    place.full(code=EXIT_NOTHING_TO_DO)
    second, first = place.runs()
    n_files = sum(path.is_file() for path in made.music.rglob("*"))
    assert (first["exit_code"], first["why"], first["outcome"]) == (EXIT_DONE, "done", "done")
    assert (first["new"], first["failed"]) == (n_files - first["summary"]["skipped"], 0)
    assert first["found"] == first["summary"]["found"]["copies"] > 0
    assert (second["exit_code"], second["why"]) == (EXIT_NOTHING_TO_DO, "nothing to do")
    assert (second["new"], second["found"], second["failed"]) == (0, 0, 0)
    assert 0 < second["took_s"] < 60
    (event,) = made.heard()
    assert (event["event"], event["exit_code"], event["found"]) == ("new", EXIT_DONE, first["summary"]["found"])
    assert (event["run"], event["store"]) == (first["id"], str(made.store))
    (event,) = place.heard()
    assert (event["event"], event["exit_code"], event["why"]) == ("ended", EXIT_NOTHING_TO_DO, "nothing to do")
    assert event["run"] == second["id"]
    assert f" {second['id']} INFO start reprise" in (place.store / "reprise.log").read_text()


def test_for_people_it_is_a_table_of_the_last(place: Place) -> None:
    place.full(code=EXIT_NOTHING_TO_DO)
    rows = place.invoke("runs").stdout.splitlines()
    assert [row.rpartition("  ")[2] for row in rows] == ["nothing to do", "done"]
    assert all(re.match(r"\d{4}-\d\d-\d\d \d\d:\d\d  full  ", row) for row in rows)
    assert len(place.invoke("runs", "--limit", "1").stdout.splitlines()) == 1


@pytest.mark.parametrize("change", ["a file that cannot be read", "skipped", "gone", "moved", "new", "other settings"])
def test_any_change_is_something_to_do(place: Place, tmp_path: Path, change: str) -> None:
    music = tmp_path / "music"
    options: list[str] = []
    place.full(str(music))  # both folders: the same files under two names
    place.music = music
    place.full(code=EXIT_NOTHING_TO_DO)
    one, *_ = sorted(path for path in music.rglob("*") if path.is_file())
    code = EXIT_DONE
    if change == "a file that cannot be read":
        (music / "x.mp3").write_text("no music " * 1000)
        code = EXIT_SOME_FAILED
    elif change == "skipped":
        options = ["--min-length", "21.5"]
    elif change == "gone":
        one.unlink()
    elif change == "moved":
        one.rename(music / f"moved{one.suffix}")
    elif change == "new":
        shutil.copyfile(one, music / f"new{one.suffix}")
    else:
        options = ["--max-lag", "100"]
    place.full(*options, code=code)
    place.full(*options, code=EXIT_NOTHING_TO_DO)


def test_a_root_that_left_or_came_back_is_something_to_do(place: Place, tmp_path: Path) -> None:
    """Property: its tracks are shown otherwise from then on, though nothing is computed."""
    music, away = tmp_path / "music", tmp_path / "away"
    n_tracks = lines(place.full(str(music)).stdout)[-1]["discovered"] // 2
    for old, new, absent, returned in ((music, away, n_tracks, 0), (away, music, 0, n_tracks)):
        old.rename(new)
        first = lines(place.full(str(music), code=EXIT_DONE).stdout)[-1]
        assert (first["absent"], first["newly_absent"], first["returned"]) == (absent, absent, returned)
        again = lines(place.full(str(music), code=EXIT_NOTHING_TO_DO).stdout)[-1]
        assert (again["absent"], again["newly_absent"], again["returned"]) == (absent, 0, 0)


def test_files_that_were_known_are_not_new(place: Place, tmp_path: Path) -> None:
    music = tmp_path / "copies"
    shutil.copytree(place.music, music)
    first = lines(place.full(str(music)).stdout)[-1]
    paths = sorted(path for path in music.rglob("*") if path.is_file())
    n_tracks = first["new"]
    assert 0 < n_tracks <= len(paths)
    for path in paths:
        os.utime(path, ns=(10**18, 10**18))
    second = lines(place.full(str(music)).stdout)[-1]
    assert (second["identical"], second["changed"], second["new"]) == (n_tracks, n_tracks, 0)
    assert second["found"] == {"copies": 0, "groups": 0}
    tracks = [path for path in paths if path.stat().st_size > 100_000]
    shutil.copyfile(tracks[0], music / f"new{tracks[0].suffix}")
    os.utime(tracks[1], ns=(11 * 10**17, 11 * 10**17))
    third = lines(place.full(str(music)).stdout)[-1]
    assert (third["identical"], third["changed"], third["new"]) == (2, 1, 1)


def test_a_copy_is_found_whatever_ran_since_the_last_full(place: Place, tmp_path: Path) -> None:
    """The newest track is gone and its rows are dropped; then a copy of another comes."""
    music = tmp_path / "own"
    music.mkdir()
    one, two = sorted(path for path in place.music.rglob("*.flac"))[:2]
    shutil.copyfile(one, music / f"old{one.suffix}")
    place.full(str(music))
    (music / f"old{one.suffix}").unlink()
    scan = ("scan", str(music), str(place.music), "--workers", "0")
    place.invoke(*scan)
    place.invoke("compact")
    shutil.copyfile(two, music / f"copy{two.suffix}")
    place.invoke(*scan)
    summary = lines(place.full(str(music), code=EXIT_NOTHING_TO_DO).stdout)[-1]
    assert summary["found"] == {"copies": 1, "groups": 1}


@pytest.mark.parametrize(("error", "code"), [(OSError(errno.ENOSPC, "full"), 14), (KeyboardInterrupt(), 130)])
def test_what_was_found_is_told_though_the_housekeeping_fails(
    place: Place, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException, code: int
) -> None:
    """Property: what nobody may have heard of is told again by the next run."""
    music = tmp_path / "own"
    music.mkdir()
    one = min(place.music.rglob("*.flac"))
    shutil.copyfile(one, music / f"copy{one.suffix}")

    def set_meta(self: Meta, key: str, value: Any) -> None:
        if key == "retired":  # the last write of a compaction
            raise error
        plain_set_meta(self, key, value)

    plain_set_meta = Meta.set
    with monkeypatch.context() as patched:
        patched.setattr(Meta, "set", set_meta)
        told = lines(place.full(str(music), code=code).stdout)
    copies = {"copies": 1, "groups": 1}
    if code == 14:
        assert [record["event"] for record in told[-2:]] == ["summary", "error"]
        assert told[-2]["found"] == copies
        (heard,) = place.heard()
        assert (heard["event"], heard["exit_code"], heard["found"]) == ("failed", 14, copies)
    (last, *_) = place.runs()
    assert (last["exit_code"], last["found"]) == (code, 1)
    assert lines(place.full(str(music), code=EXIT_NOTHING_TO_DO).stdout)[-1]["found"] == copies
    assert lines(place.full(str(music), code=EXIT_NOTHING_TO_DO).stdout)[-1]["found"]["copies"] == 0


def test_failures_are_heard_of_by_those_who_ask_for_failures_alone(place: Place) -> None:
    for when, events in (("failed", ["failed"]), ("new", ["failed"] * 2), ("always", ["failed"] * 3 + ["ended"])):
        with open_for_writing(place.store, "another"):
            assert "in use by another" in place.full("--notify-when", when, code=11).stderr
        assert [event["event"] for event in place.heard()][-1] == "failed"
        place.full("--notify-when", when, code=EXIT_NOTHING_TO_DO)
        assert [event["event"] for event in place.heard()] == events
    assert "in use by another" in place.heard()[0]["why"]
    assert place.heard()[0]["exit_code"] == 11
    assert len(place.runs()) == 4, "a run that did not get the store is none of its runs"


def test_a_notified_command_that_fails_costs_a_line(place: Place) -> None:
    done = place.full("--notify", "/no/such/command", code=EXIT_NOTHING_TO_DO)
    assert "warning: --notify /no/such/command: cannot be started" in done.stderr
    assert "cannot be started" in (place.store / "reprise.log").read_text()


# ---- nights that are too short ----


@pytest.fixture
def fresh(made: Place, tmp_path: Path) -> Place:
    """The same library, and no store of it yet."""
    return Place(made.music, tmp_path / "fresh", tmp_path / "heard")


@pytest.mark.long
def test_a_real_run_stops_by_time_and_the_next_goes_on(fresh: Place, made: Place) -> None:
    command = [sys.executable, "-m", "jobs", "full", str(fresh.music), "--store", str(fresh.store), "--workers", "0"]
    for limit, code in (("1e-9", EXIT_TIME_UP), ("off", EXIT_DONE)):
        arguments = [*command, "--json", "--max-hours", limit]
        done = subprocess.run(arguments, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
        assert (done.returncode, "Traceback" in done.stderr) == (code, False)
        told = {record["event"]: record for record in lines(done.stdout)}
        summary = told["summary"]
        if code == EXIT_TIME_UP:
            assert summary["discovered"] == summary["left"] > 0
            assert (summary["tiles"], summary["groups"], summary["found"]) == (None, None, None)
            assert summary["unfinished"] == f"{summary['left']} files not looked at yet"
            reason = "time is up: it ran for 1e-09 h"
            assert told["stopped"] == {"event": "stopped", "reason": reason, "exit_code": EXIT_TIME_UP}
            last = done.stderr.splitlines()[-1]
            assert last == (
                f"reprise: {reason}; {summary['unfinished']}; "
                "what was done is kept: run the same command again to go on from there"
            )
        else:
            assert summary["left"] == 0
    assert [run["why"] for run in fresh.runs()] == ["done", "time is up: it ran for 1e-09 h"]
    assert fresh.invoke("export", "pairs").stdout == made.invoke("export", "pairs").stdout


def test_nights_come_to_the_same_and_nothing_is_done_twice(
    fresh: Place, made: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each night the time is up when three more files or tiles are done."""
    limits: list[deadline.Deadline] = []
    n_done = 0

    def left(self: deadline.Deadline) -> float:
        limits.append(self)
        return -1.0 if n_done >= 3 else 60.0

    def advance(self: Progress, n: int = 1) -> None:
        nonlocal n_done
        n_done += self.meter is not None and self.meter.name in ("fingerprint", "correlate")
        if n_done == 3:
            assert limits[-1]._stop.event.wait(20)
        plain_advance(self, n)

    plain_advance = Progress.advance
    monkeypatch.setattr(deadline, "LOOK_EVERY_S", 0.001)
    monkeypatch.setattr(deadline.Deadline, "_left", left)
    monkeypatch.setattr(Progress, "advance", advance)
    code, n_nights, n_fingerprinted, n_tiles, told = EXIT_TIME_UP, 0, 0, 0, ""
    while code == EXIT_TIME_UP:
        n_done = 0
        arguments = ["full", str(fresh.music), "--store", str(fresh.store), "--workers", "0", "--block-size", "2"]
        result = CliRunner().invoke(cli.cli, [*arguments, "--json", "-q"])
        code, n_nights = result.exit_code, n_nights + 1
        (summary,) = (record for record in lines(result.stdout) if record["event"] == "summary")
        n_fingerprinted += summary["fingerprinted"]
        n_tiles += summary["tiles"]["n_computed"] if summary["tiles"] else 0
        told += summary["unfinished"] + "\n"
        assert (code == EXIT_TIME_UP) == bool(summary["unfinished"])
    (whole,) = (run["summary"] for run in made.runs())
    assert code == EXIT_DONE
    assert (n_fingerprinted, n_tiles) == (whole["fingerprinted"], summary["tiles"]["n_tiles"])
    assert n_nights > n_fingerprinted // 3 + 1
    assert " not looked at yet" in told
    assert " tiles are not computed yet" in told
    assert fresh.runs()[0]["found"] == whole["found"]["copies"], "what was found on a night that was cut short"
    assert fresh.invoke("export", "pairs").stdout == made.invoke("export", "pairs").stdout


# ---- how runs end, on stand-ins ----


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    with make_or_open(tmp_path / "s", FingerprintSettings("1.5.1"), 4, "test"):
        pass
    return tmp_path / "s"


def run_of(folder: Path, monkeypatch: pytest.MonkeyPatch, act: Callable[[Run], None], *arguments: str) -> int:
    """The exit code of a command that does that while it holds the store."""

    def body(run: Run) -> int:
        with stores.for_writing(run):
            act(run)
        return run.exit_code

    body.__doc__ = "A stand-in."
    command = click.command("scan")(options.deadline(options.common(session(body))))
    monkeypatch.setattr(sys.modules[__name__], "stand_in", command, raising=False)
    monkeypatch.setitem(cli.COMMANDS, "scan", (f"{__name__}:stand_in", "a stand-in"))
    return CliRunner().invoke(cli.cli, ["scan", "--store", str(folder), *arguments]).exit_code


def raising(error: BaseException) -> Callable[[Run], None]:
    def act(_: Run) -> None:
        raise error

    return act


@pytest.mark.parametrize(
    ("act", "limits", "outcome", "code", "why"),
    [
        (lambda run: run.conclude(3, {"failed": 2}), [], "done", 3, "done, but some failed"),
        (lambda run: run.stop.request("interrupted"), [], "stopped", EXIT_INTERRUPTED, "interrupted"),
        (lambda run: run.stop.event.wait(20), ["1e-9"], "stopped", EXIT_TIME_UP, "time is up: it ran for 1e-09 h"),
        (lambda run: run.conclude(0, {}), ["1e-9"], "stopped", EXIT_TIME_UP, "time is up: it ran for 1e-09 h"),
        (lambda run: run.conclude(0, {}, complete=True), ["1e-9"], "done", EXIT_DONE, "done"),
        (raising(InputError("/a", "bad\n\udcff")), [], "failed", 15, r"/a: bad\n\xff"),
        (raising(KeyboardInterrupt()), [], "stopped", EXIT_INTERRUPTED, "stopped at once; what was committed is kept"),
        (raising(ZeroDivisionError("x")), [], "failed", EXIT_BUG, "a bug: ZeroDivisionError: x"),
    ],
)
def test_every_end_is_kept_with_its_reason(
    folder: Path,
    monkeypatch: pytest.MonkeyPatch,
    act: Callable[[Run], None],
    limits: list[str],
    outcome: str,
    code: int,
    why: str,
) -> None:
    assert run_of(folder, monkeypatch, act, *(["--max-hours", *limits] if limits else [])) == code
    (found,) = lines(CliRunner().invoke(cli.cli, ["runs", "--json", "--store", str(folder)]).stdout)
    assert (found["outcome"], found["exit_code"], found["why"]) == (outcome, code, why)


HOLD = """
import sys, time
from jobs.session import stores
from jobs.session.run import Run
from jobs.session.configuration import settle

run = Run("full", settle({"store": sys.argv[1]}), None, None, id="killed", started="2026-11-01T02:30:00Z")
with stores.for_writing(run):
    print("held", flush=True)
    time.sleep(600)
"""


def test_a_run_without_an_end_goes_on_or_was_killed(folder: Path) -> None:
    def told() -> list[tuple[str, str]]:
        shown = CliRunner().invoke(cli.cli, ["runs", "--json", "--store", str(folder)]).stdout
        return [(run["id"], run["why"]) for run in lines(shown)]

    command = [sys.executable, "-c", HOLD, str(folder)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "held\n"
        assert told() == [("killed", "running")]
        process.kill()
    assert told() == [("killed", "killed")]
    with open_for_writing(folder, "another") as store:
        assert told() == [("killed", "running")]  # in the moment between its lock and its row
        store.catalog.runs.begin("next", "full", "2026-11-01T02:29:00Z")  # the clock was set back
        assert told() == [("next", "running"), ("killed", "killed")]
    assert [why for _, why in told()] == ["killed", "killed"]


def test_a_store_without_runs_says_so(folder: Path) -> None:
    assert CliRunner().invoke(cli.cli, ["runs", "--store", str(folder)]).stdout == "no run yet\n"
