"""The command that hears of a run: what it gets, and that nothing it does matters."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
import time
from pathlib import Path

import pytest

from jobs.session.notify import is_wanted, notify, without_secrets
from jobs.session.options import VALUES

ROOT = Path(__file__).resolve().parent.parent
RECORD = {"event": "new", "exit_code": 0, "path": "/a\nb é \udcff", "found": {"copies": 2}}


def python(code: str, *arguments: str) -> str:
    return shlex.join([sys.executable, "-c", code, *arguments])


def test_the_summary_is_on_stdin_and_words_are_those_of_a_shell(tmp_path: Path) -> None:
    place = tmp_path / "a b; $HOME 'x'"
    code = "import sys; open(sys.argv[1], 'wb').write(sys.stdin.buffer.read())"
    assert notify(python(code, str(place)), RECORD)
    assert json.loads(place.read_bytes()) == RECORD
    assert place.read_bytes().count(b"\n") == 1


def test_no_shell_sees_it(tmp_path: Path) -> None:
    code = "import sys; open(sys.argv[1], 'w').write(repr(sys.argv[2:]))"
    command = f"{python(code, str(tmp_path / 'out'))} $HOME | rm -rf * > x"
    assert notify(command, RECORD)
    assert (tmp_path / "out").read_text() == repr(["$HOME", "|", "rm", "-rf", "*", ">", "x"])


HOSTILE = """-rf "a' $(touch pwned) `touch pwned`; touch pwned \\ \n~!touch pwned\n%s{} \u2028 é"""


def test_names_reach_it_as_data_only(tmp_path: Path) -> None:
    """Property: whatever a folder is called, the command gets its own words and one line of JSON."""
    root, out = tmp_path / HOSTILE, tmp_path / "out"
    code = "import sys; open(sys.argv[1], 'wb').write(repr(sys.argv[2:]).encode() + b'\\n' + sys.stdin.buffer.read())"
    command = [sys.executable, "-m", "jobs", "full", "--store", str(tmp_path / "store"), "--workers", "0"]
    command += ["--notify", python(code, str(out), "{}", "%s", "$1"), "--", str(root)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=120, check=False)
    assert done.returncode == 10, done.stderr
    words, line, end = out.read_bytes().split(b"\n")
    assert words.decode() == repr(["{}", "%s", "$1"])
    assert json.loads(line)["event"] == "failed"
    assert "touch pwned" in json.loads(line)["why"]
    assert end == b""
    assert not [path for path in (*tmp_path.rglob("pwned"), ROOT / "pwned") if path.exists()]


def test_its_arguments_are_in_no_log(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    command = python("raise SystemExit(7)", "token-1234")
    store = tmp_path / "store"
    words = ["full", "--store", str(store), "--workers", "0", "--notify", command, f"--notify={command}", str(tmp_path)]
    (tmp_path / "a.mp3").write_text("no music")
    done = subprocess.run(
        [sys.executable, "-m", "jobs", *words], cwd=ROOT, capture_output=True, text=True, timeout=120, check=False
    )
    assert "ended with exit code 7" in done.stderr
    log = (store / "reprise.log").read_text()
    assert "--notify" in log
    assert f"notify {sys.executable}: ended with exit code 7" in log
    assert "token-1234" not in log + done.stderr + done.stdout
    assert not notify("/no/such/program token-1234", RECORD)
    assert "token-1234" not in capsys.readouterr().err
    assert without_secrets(["--notify", "'"]) == ["--notify", "…"]
    assert without_secrets(["--notify=", "-q", "--notify"]) == ["--notify=…", "-q", "--notify"]


def test_what_it_prints_is_not_among_the_results(capfd: pytest.CaptureFixture[str]) -> None:
    assert notify(python("import sys; print('out'); sys.stderr.write('err')"), RECORD)
    found = capfd.readouterr()
    assert found.out == ""
    assert "err" in found.err


@pytest.mark.parametrize(
    ("command", "words"),
    [
        ("/no/such/command x", "cannot be started: No such file or directory"),
        (python("raise SystemExit(7)"), "ended with exit code 7"),
        (python("import os; os.kill(os.getpid(), 9)"), "was ended by signal 9"),
    ],
)
def test_its_failure_is_a_line(capsys: pytest.CaptureFixture[str], command: str, words: str) -> None:
    assert not notify(command, RECORD)
    told = capsys.readouterr().err
    assert told.startswith("reprise: warning: --notify ")
    assert words in told
    assert told.count("\n") == 1


def test_one_that_hangs_is_ended_with_all_it_started(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Property: neither a child that holds our streams nor a stdin that nobody reads keeps the run."""
    code = 'sleep 600 & echo $$ $! > "$1"; wait'
    before = time.monotonic()
    command = shlex.join(["sh", "-c", code, "sh", str(tmp_path / "pids")])
    assert not notify(command, {"large": "x" * 1_000_000}, time_limit_s=1.0)
    assert time.monotonic() - before < 30
    assert "took longer than 1 s and was ended" in capsys.readouterr().err
    pids = [int(pid) for pid in (tmp_path / "pids").read_text().split()]
    deadline = time.monotonic() + 10
    while any(map(is_alive, pids)) and time.monotonic() < deadline:
        time.sleep(0.01)
    assert not any(map(is_alive, pids))


def is_alive(pid: int) -> bool:
    """Whether it runs; one that is dead and whose parent has not asked yet does not."""
    try:
        os.kill(pid, 0)
        status = Path(f"/proc/{pid}/stat")
        return not status.exists() or status.read_text().rpartition(")")[2].split()[0] != "Z"
    except (ProcessLookupError, FileNotFoundError):
        return False


@pytest.mark.parametrize(
    ("when", "events"),
    [("always", {"ended", "new", "failed"}), ("new", {"new", "failed"}), ("failed", {"failed"})],
)
def test_which_runs_it_hears_of(when: str, events: set[str]) -> None:
    assert {event for event in ("ended", "new", "failed") if is_wanted(when, event)} == events


@pytest.mark.parametrize("text", ["", "  ", "mail 'x", "a\0b"])
def test_what_is_no_command_is_refused_when_the_run_begins(text: str) -> None:
    with pytest.raises(Exception, match="a command with quotes that close"):
        VALUES["notify"].convert(text, None, None)
