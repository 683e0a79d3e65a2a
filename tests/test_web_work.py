"""Runs as the page shows, begins and stops them: what a run tells of itself, the plan carried out and taken back, and
what is left after kills. With a real server, real processes and real files."""

from __future__ import annotations

import http.client
import json
import os
import signal
import socket
import stat
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup.errors import InputError, StoreLockedError
from dedup.observer import Silent
from dedup.plan.seal import Seals
from dedup.runner import Stop
from dedup.store.layout import Layout, holder, is_locked, write_lock
from dedup.store.plan_key import plan_key
from dedup.store.store import open_for_writing
from dedup.upkeep.check import check
from jobs.serve.clerk import Digests
from jobs.serve.work import Work, interrupt
from jobs.session.progress import Progress
from jobs.session.published import Published, progress_record
from jobs.show import units
from jobs.show.nightly import next_night, next_time, time_in_agent, time_in_crontab, time_in_timer
from tests.cleanups import make_files, make_library, make_store, opened, plan_all, tree
from tests.web_server import REPO, WAIT_S, Served, serving

NAMES = {"run": "0a", "command": "full", "started": "2026-01-01T00:00:00Z"}
SAMPLE = {**{f"a{n}.flac": n for n in range(1, 5)}, **{f"copies/a{n}.wav": n for n in range(1, 5)}}
HOSTILE = "<img src=x onerror=alert(1)>&\"'"
SAMPLE |= {f"{HOSTILE}.flac": 5, f"copies/{HOSTILE}.wav": 5}


def until(found: Callable[[], Any], what: str) -> Any:
    """What `found` gives as soon as that is something."""
    ends = time.monotonic() + WAIT_S
    while time.monotonic() < ends:
        if value := found():
            return value
        time.sleep(0.05)
    raise AssertionError(f"{what} did not come")


def progress_of(folder: Path) -> dict[str, Any] | None:
    try:
        return json.loads((folder / "progress.json").read_bytes())  # type: ignore[no-any-return]
    except FileNotFoundError:
        return None


def assert_sound(folder: Path) -> None:
    with open_for_writing(folder, "test") as store:
        assert [finding for finding in check(store, Silent()) if finding.kind != "note"] == []


# ---- what a run tells of itself


def test_a_run_tells_what_it_does_as_long_as_it_holds_the_store(tmp_path: Path) -> None:
    observer = Progress()
    with Published(tmp_path, NAMES, observer, Stop()):
        observer.stage("fingerprint", 100, "files")
        with write_lock(Layout(tmp_path), "reprise full"):
            observer.folder(b"/music/\xff")
            observer.problem("failed", b"/music/x", "no audio")
            observer.advance(25)
            told = until(lambda: progress_of(tmp_path), "progress")
            assert stat.S_IMODE((tmp_path / "progress.json").stat().st_mode) == 0o600
            observer.advance(25)
            until(lambda: (progress_of(tmp_path) or {})["stage"]["done"] == 50, "the next step")
        until(lambda: progress_of(tmp_path) is None, "the end of it")
    assert {name: told[name] for name in ("pid", *NAMES)} == {"pid": os.getpid(), **NAMES}
    assert told["stage"] | {"seconds": 0, "rate": 0, "left_s": 0} == {
        "name": "fingerprint",
        "done": 25,
        "total": 100,
        "unit": "files",
        "seconds": 0,
        "rate": 0,
        "left_s": 0,
    }
    assert told["stage"]["rate"] > 0 and told["stage"]["left_s"] > 0
    assert told["folder"] == {"path": "/music/\\xff", "path_hex": b"/music/\xff".hex()}
    assert told["problems"] == {"failed": 1} and "no audio" in told["recent"][-1]["text"]
    assert list(tmp_path.iterdir()) == [tmp_path / "lock"]


def test_a_run_without_the_store_tells_nothing(tmp_path: Path) -> None:
    with Published(tmp_path, NAMES, Progress(), Stop()):
        time.sleep(1.2)
        assert list(tmp_path.iterdir()) == []


def test_what_cannot_be_written_stops_nothing(tmp_path: Path) -> None:
    (tmp_path / "progress.json").mkdir()
    with write_lock(Layout(tmp_path), "reprise full"), Published(tmp_path, NAMES, Progress(), Stop()):
        time.sleep(1.2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["lock", "progress.json"]


def test_a_stop_is_told() -> None:
    stop = Stop()
    assert progress_record(NAMES, Progress(), stop)["stopping"] is False
    stop.request("interrupted")
    assert progress_record(NAMES, Progress(), stop)["stopping"] is True


# ---- who holds the store


def dead_pid() -> int:
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def left_by_a_kill(folder: Path, pid: int) -> None:
    text = {"pid": pid, "host": socket.gethostname(), "since": "2026-01-01 00:00:00", "purpose": "reprise full"}
    (folder / "lock").write_text(json.dumps(text))
    told = {"pid": pid, **NAMES, "stage": {"name": "correlate", "done": 1, "total": 2, "unit": "tiles"}}
    (folder / "progress.json").write_text(json.dumps(told))


def test_what_a_killed_run_left_is_not_believed(tmp_path: Path) -> None:
    work = Work(tmp_path)
    assert work.record() == {"job": None, "ended": None}
    for pid in (dead_pid(), os.getppid()):  # a process that is no more, and one that got the same id
        left_by_a_kill(tmp_path, pid)
        assert holder(Layout(tmp_path)) is None
        assert work.record()["job"] is None
        with pytest.raises(InputError, match="ended already"):
            work.stop()


def test_the_lock_of_a_dead_process_is_not_even_touched(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import fcntl

    left_by_a_kill(tmp_path, dead_pid())
    touched: list[object] = []
    monkeypatch.setattr(fcntl, "flock", lambda *arguments: touched.append(arguments))
    assert holder(Layout(tmp_path)) is None
    assert touched == [] and not is_locked(Layout(tmp_path / "nowhere"))


def test_the_next_writer_removes_what_a_kill_left(tmp_path: Path) -> None:
    make_store(tmp_path, tmp_path, {})
    left_by_a_kill(tmp_path, dead_pid())
    (tmp_path / "progress.json.77").write_text("{")
    with open_for_writing(tmp_path, "test"):
        assert not list(tmp_path.glob("progress*"))


def test_only_the_holder_is_interrupted(tmp_path: Path) -> None:
    (tmp_path / "lock").write_text("")
    other = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    with pytest.raises(InputError, match="does not hold the store"):
        interrupt(Layout(tmp_path), other.pid)
    assert other.poll() is None
    other.communicate(b"\n")
    with pytest.raises(InputError, match="just ended"):
        interrupt(Layout(tmp_path), other.pid)


# ---- the next night


def test_the_next_night_is_the_next_moment_of_that_time() -> None:
    noon = time.mktime((2026, 3, 1, 12, 0, 0, 0, 0, -1))
    shown = [time.strftime("%d %H:%M", time.localtime(next_time(*at, noon))) for at in ((12, 1), (12, 0), (2, 30))]
    assert shown == ["01 12:01", "02 12:00", "02 02:30"]


def test_only_what_reprise_scheduled_is_read() -> None:
    assert time_in_timer(units.timer_text("02:30")) == (2, 30)
    assert time_in_timer("[Timer]\nOnCalendar=*-*-* 02:30:00\n") is None
    line = units.cron_line(["reprise", "full"], "04:05").encode()
    assert time_in_crontab(b"0 1 * * * other\n" + line + b"\n") == (4, 5)
    assert time_in_crontab(b"#" + line) is None
    assert time_in_agent(units.plist_text(["reprise", "full"], "23:59").encode()) == (23, 59)
    assert time_in_agent(b"<plist/>") is None


def test_a_timer_counts_only_if_it_is_enabled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("PATH", str(tmp_path))
    timer = units.systemd_folder() / "reprise.timer"
    (timer.parent / "timers.target.wants").mkdir(parents=True)
    timer.write_text(units.timer_text("02:30"))
    now = time.mktime((2026, 3, 1, 12, 0, 0, 0, 0, -1))
    assert next_night(now) is None
    (timer.parent / "timers.target.wants" / timer.name).symlink_to(timer)
    assert next_night(now) == ("2026-03-02 02:30", "systemd")


# ---- the plan


def test_plans_that_do_the_same_have_one_digest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = make_library(tmp_path, monkeypatch)
    with opened(root) as store:
        first = plan_all(store)
        seals = Seals(plan_key(store.layout))
        later = seals.sealed(replace(seals.opened(first), made="2030-01-01T00:00:00Z"))
    assert later.groups[0].files[0].seal != first.groups[0].files[0].seal
    digests = Digests()
    assert digests.of(first) == digests.of(later) == Digests().of(later)
    less, moved = replace(first, groups=first.groups[1:]), replace(first, to=b"/elsewhere")
    assert len({digests.of(each) for each in (first, less, moved)}) == 3


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    made = tmp_path_factory.mktemp("work")
    make_files(made / "music", SAMPLE)
    make_store(made / "store", made / "music", SAMPLE)
    return made


@pytest.fixture(scope="module")
def served(library: Path) -> Iterator[Served]:
    with serving(library / "store") as server:
        yield server


def refused(server: Served, path: str, **said: object) -> tuple[int, str]:
    answer = server.ask(path, "POST", json.dumps(said).encode())
    return answer.status, answer.json()["error"]


def data_of(page: str, name: str) -> str:
    return page.partition(f'data-{name}="')[2].partition('"')[0]


def ended(server: Served, name: str) -> dict[str, Any]:
    """How the run of this name ended that the page began."""

    def look() -> Any:
        record = server.ask("/api/work").json()
        return record["job"] is None and record["ended"]

    record: dict[str, Any] = until(look, f"the end of {name}")
    assert record["name"] == name
    return record


def test_a_clean_up_from_the_page_and_back(served: Served, library: Path) -> None:
    before = tree(library / "music")
    assert refused(served, "/api/plan/apply", digest="0", count=0)[0] == 409
    added = served.say("/api/plan/rest", preview=True)
    assert added["text"] == "5 files of 5 groups would go" and "The plan is empty" in served.ask("/plan").text
    served.say("/api/plan/rest")
    page = served.ask("/plan").text
    digest, count = data_of(page, "digest"), int(data_of(page, "count"))
    assert count == 5 and page.count("moves to the quarantine") == 5 and "Type 5 to confirm" in page
    assert "<img" not in page and "&lt;img src=x" in page

    status, error = refused(served, "/api/plan/apply", digest=digest, count=3)
    assert status == 409 and "Type the number of files" in error
    served.say("/api/undo")  # the basket changes after the page was shown
    status, error = refused(served, "/api/plan/apply", digest=digest, count=5)
    assert status == 409 and "not the one that you saw" in error
    served.say("/api/plan/rest")
    assert tree(library / "music") == before

    lost = library / "music" / "copies" / "a4.wav"
    kept = lost.read_bytes(), lost.stat()
    lost.write_bytes(b"changed since")
    served.say("/api/plan/apply", digest=data_of(served.ask("/plan").text, "digest"), count=5)
    done = ended(served, "apply")
    assert done["exit_code"] == 3 and done["done"]["done"] == {"quarantine": 4}
    assert [each["path"] for each in done["refused"]] == [str(lost)] and done["refused"][0]["reason"]
    page = served.ask("/plan").text
    assert done["refused"][0]["reason"] in page.replace("&#39;", "'") and 'class="undo" data-number="1"' in page
    assert not (library / "music" / "copies" / "a1.wav").exists()

    served.say("/api/plan/undo", number=1)
    assert ended(served, "undo")["done"]["files"] == 4
    lost.write_bytes(kept[0])
    os.utime(lost, ns=(kept[1].st_atime_ns, kept[1].st_mtime_ns))
    os.utime(lost.parent, ns=(1, before["copies"][2]))  # type: ignore[index]
    assert tree(library / "music") == before
    assert stat.S_IMODE((library / "store" / "page").stat().st_mode) == 0o700
    assert {stat.S_IMODE(each.stat().st_mode) for each in (library / "store" / "page").iterdir()} == {0o600}
    served.say("/api/plan/undo", number=1)
    assert "was taken back already" in ended(served, "undo")["error"]


BAD: Mapping[str, Mapping[str, object]] = {
    "/api/plan/apply": {"digest": 1, "count": "4"},
    "/api/plan/undo": {"number": True},
}


@pytest.mark.parametrize("path", BAD)
def test_a_request_that_is_none_is_refused(served: Served, path: str) -> None:
    assert refused(served, path, **BAD[path])[0] == 400
    assert served.ask(path, "POST", b"[1]").status == 400
    assert served.ask(path, "POST", b"no JSON").status == 400


CHANGING = (
    "/api/work/full",
    "/api/work/stop",
    "/api/plan/apply",
    "/api/plan/undo",
    "/api/plan/resume",
    "/api/plan/rest",
)


@pytest.mark.parametrize("path", CHANGING)
def test_nobody_else_begins_or_stops_anything(served: Served, path: str) -> None:
    assert served.ask(path, "POST", b"{}", headers={"Origin": "https://elsewhere.example"}).status == 403
    assert served.ask(path).status == 405


def test_the_first_page_has_the_numbers_of_the_others(served: Served) -> None:
    page, groups = served.ask("/").text, served.ask("/groups").text
    numbers = [part.partition("<")[0] for part in page.split("<dd>")[1:]]
    assert numbers[:3] == ["10", "5", "5"]
    assert f"5 groups,\n{numbers[3]} reclaimable" in groups


def test_what_is_new_is_counted_from_a_mark(served: Served) -> None:
    first = served.ask("/api/news").json()
    assert not first["known"] and first["groups"] == []
    mark = first["mark"]
    assert served.ask(f"/api/news?track={mark['track']}&audio={mark['audio']}").json()["text"].startswith("Nothing")
    older = served.ask(f"/api/news?track={mark['track'] - 1}&audio={mark['audio'] - 1}").json()
    assert older["text"] == "1 new file; 1 new duplicate in 1 group" and len(older["groups"]) == 1
    assert not served.ask("/api/news?track=x&audio=-1").json()["known"]


def test_a_run_elsewhere_keeps_the_page_from_beginning_another(served: Served, library: Path) -> None:
    with open_for_writing(library / "store", "reprise mark"):
        job = served.ask("/api/work").json()["job"]
        assert (job["name"], job["state"], job["mine"]) == ("mark", "running", False)
        status, error = refused(served, "/api/work/full")
        assert status == 409 and "mark goes on" in error
    assert served.ask("/api/work").json()["job"] is None


class Stream:
    """The events of a server, read as a browser does."""

    def __init__(self, server: Served) -> None:
        self._connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=WAIT_S)
        self._connection.request("GET", "/api/work/events", headers={"Host": server.host, "Cookie": server.cookie})
        self.answer = self._connection.getresponse()

    def next(self) -> dict[str, Any]:
        while not (line := self.answer.readline()).startswith(b"data: "):
            assert line
        return json.loads(line[6:])  # type: ignore[no-any-return]

    def close(self) -> None:
        self._connection.close()


def test_the_server_ends_at_once_with_streams_open(library: Path) -> None:
    with serving(library / "store") as server:
        streams = [Stream(server) for _ in range(3)]
        assert streams[0].answer.headers["Content-Type"].startswith("text/event-stream")
        assert all(stream.next()["job"] is None for stream in streams)
        began = time.monotonic()
        assert server.end() == 130
        assert time.monotonic() - began < 3
        assert server.process.stderr is not None
        assert server.process.stderr.read() == b"reprise: the page is closed\n"
        for stream in streams:
            stream.close()


# ---- runs ----


def scanned(folder: Path, n: int) -> Path:
    """A library that takes some seconds to scan, in which nothing was looked at yet."""
    make_files(folder / "music", {f"{seed}.flac": seed for seed in range(n)} | {"copy.wav": 1})
    make_store(folder / "store", folder / "music", {})
    return folder / "store"


def begun(store: Path, *words: str) -> subprocess.Popen[bytes]:
    """A command that a terminal runs."""
    command = [sys.executable, "-m", "jobs", words[0], "--store", str(store), "--quiet", *words[1:]]
    return subprocess.Popen(command, cwd=REPO, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)


@pytest.mark.long
def test_a_run_of_a_terminal_is_seen_live_and_stopped(tmp_path: Path) -> None:
    store = scanned(tmp_path, 40)
    with serving(store) as server:
        stream = Stream(server)
        assert stream.next()["job"] is None
        run = begun(store, "full", str(tmp_path / "music"))
        seen = []
        while not seen or (seen[-1]["job"] or {}).get("stage") is None:
            seen.append(stream.next())
        job = seen[-1]["job"]
        assert (job["name"], job["mine"], job["can_stop"]) == ("full", False, True)
        assert job["stage"]["unit"] == "files" and job["recent"]
        assert server.say("/api/work/stop")["text"].startswith("It finishes")
        status, error = refused(server, "/api/work/stop")
        assert status == 409 and ("already" in error or "ended" in error)
        assert run.wait(WAIT_S) == 130
        until(lambda: stream.next()["job"] is None, "the end")
        assert progress_of(store) is None
        stream.close()
    assert_sound(store)


@pytest.mark.long
def test_a_run_of_the_page_outlives_the_server_and_is_stopped(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = scanned(tmp_path, 40)
    with serving(store) as server:
        status, error = refused(server, "/api/work/full")
        assert status == 409 and "no folder is configured" in error
    monkeypatch.setenv("REPRISE_ROOTS", str(tmp_path / "music"))
    monkeypatch.setenv("REPRISE_FEW_TASKS", "0")  # a cluster starts slowly enough for a server to be killed meanwhile
    with serving(store) as server:
        server.say("/api/work/full")
        job = server.ask("/api/work").json()["job"]
        assert job["mine"] and job["state"] in ("starting", "running")
        assert refused(server, "/api/work/full")[0] == 409
        until(lambda: (server.ask("/api/work").json()["job"] or {}).get("stage"), "a stage")
        assert server.end(signal.SIGKILL) == -signal.SIGKILL
    with serving(store) as server:
        job = until(lambda: server.ask("/api/work").json()["job"], "the run")
        assert job["name"] == "full" and not job["mine"]
        server.say("/api/work/stop")
        until(lambda: server.ask("/api/work").json()["job"] is None, "the end")
        until(lambda: "interrupted" in server.ask("/").text, "its record")
        server.say("/api/work/full")
        assert ended(server, "full")["error"] == ""
        assert "Left out: 41 files" in server.ask("/trouble").text  # they are shorter than a fingerprint
        assert "could not be used" not in server.ask("/").text
    assert_sound(store)


@pytest.mark.long
def test_a_kill_of_everything_during_a_clean_up_leaves_what_is_resumed(tmp_path: Path) -> None:
    names = {f"{n}.wav": 1 + n % 3 for n in range(240)}
    make_files(tmp_path / "music", names)
    make_store(tmp_path / "store", tmp_path / "music", names)
    before, journal = tree(tmp_path / "music"), tmp_path / "store" / "cleanups" / "0001" / "journal.jsonl"
    with serving(tmp_path / "store") as server:
        server.say("/api/plan/rest")
        page = server.ask("/plan").text
        assert data_of(page, "count") == "237"
        server.say("/api/plan/apply", digest=data_of(page, "digest"), count=237)
        until(lambda: journal.exists() and journal.read_bytes().count(b"\n") > 20, "the clean-up")
        pid = int(json.loads((tmp_path / "store" / "lock").read_bytes())["pid"])
        server.process.kill()
        os.kill(pid, signal.SIGKILL)
        until(lambda: not is_locked(Layout(tmp_path / "store")), "the end of both")
    left = len(list((tmp_path / "music").glob("*.wav")))
    assert 3 < left < 240
    with serving(tmp_path / "store") as server:
        page = server.ask("/plan").text
        assert 'class="resume"' in page and "broken off" in page
        server.say("/api/plan/resume")
        done = ended(server, "apply")
        assert done["error"] == "" and len(list((tmp_path / "music").glob("*.wav"))) == 3
        server.say("/api/plan/undo", number=1)
        assert ended(server, "undo")["done"]["failed"] == 0
    assert tree(tmp_path / "music") == before
    assert_sound(tmp_path / "store")


@pytest.mark.long
def test_a_kill_of_the_server_stops_no_clean_up(tmp_path: Path) -> None:
    names = {f"{n}.wav": 1 + n % 3 for n in range(120)}
    make_files(tmp_path / "music", names)
    make_store(tmp_path / "store", tmp_path / "music", names)
    before = tree(tmp_path / "music")
    with serving(tmp_path / "store") as server:
        server.say("/api/plan/rest")
        page = server.ask("/plan").text
        server.say("/api/plan/apply", digest=data_of(page, "digest"), count=117)
        server.process.kill()
    with serving(tmp_path / "store") as server:
        until(
            lambda: server.ask("/api/work").json()["job"] is None and "<td>done</td>" in server.ask("/plan").text, "it"
        )
        assert len(list((tmp_path / "music").glob("*.wav"))) == 3
        server.say("/api/plan/undo", number=1)
        ended(server, "undo")
    assert tree(tmp_path / "music") == before


def test_two_runs_of_the_page_do_not_begin(tmp_path: Path) -> None:
    make_store(tmp_path / "store", tmp_path, {})
    work = Work(tmp_path / "store")
    work.begin("undo", ["--store", str(tmp_path / "store"), "1"])
    with pytest.raises(StoreLockedError, match="undo goes on"):
        work.begin("undo", ["1"])
    until(lambda: work.record()["job"] is None, "its end")
    found = work.record()["ended"]
    assert "there is no clean-up 1" in found["error"] and found["done"] is None
