"""The frame of the commands: parsing, help, completion, output, errors, signals. Commands here are stand-ins."""

from __future__ import annotations

import errno
import json
import os
import signal
import sqlite3
import subprocess
import sys
import time
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from dedup.errors import EXIT_SOME_FAILED, StoreLockedError
from jobs import cli
from jobs.session import lines, options, output
from jobs.session.run import Run, session

ROOT = Path(__file__).parent.parent
HEAVY = (
    *("numpy", "numba", "dask", "distributed", "zarr", "av", "rich", "jinja2", "matplotlib", "sqlite3"),
    "jobs.session.run",
)


@pytest.fixture(autouse=True)
def own_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in [name for name in os.environ if name.startswith("REPRISE_")]:
        monkeypatch.delenv(name)
    for name in ("HOME", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    return tmp_path


def nothing(*_: Any, **__: Any) -> None:
    """A body that does nothing."""


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Puts a body behind a command's name; it takes any further arguments as `words`."""

    def install(body: Callable[..., int | None], *names: str) -> None:
        module = types.ModuleType("stand_ins")
        monkeypatch.setitem(sys.modules, "stand_ins", module)
        for name in names or ("scan",):
            command = click.command(name)(options.scan(options.workers(options.common(session(body)))))
            command.params.append(click.Argument(["words"], nargs=-1))
            setattr(module, name, command)
            monkeypatch.setitem(cli.COMMANDS, name, (f"stand_ins:{name}", "a stand-in"))

    return install


def invoke(*arguments: str) -> Result:
    return CliRunner().invoke(cli.cli, list(arguments))


def reprise(*arguments: str, **keywords: Any) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, **keywords.pop("environment", {})}
    return subprocess.run(
        [sys.executable, "-m", "jobs", *arguments],
        cwd=ROOT, env=environment, text=True, capture_output=True, timeout=20, check=False, **keywords,
    )  # fmt: skip


# --- parsing


def test_help_lists_the_commands_in_order_and_the_short_forms() -> None:
    result = invoke("--help")
    assert result.exit_code == 0
    listed = [line.split()[0] for line in result.stdout.split("Commands:")[1].splitlines() if line.strip()]
    assert listed == list(cli.COMMANDS)
    assert listed[0] == "full"
    for short, name in cli.SHORT_FORMS.items():
        assert f"{short}, --{name} " in result.stdout


def test_help_and_completion_import_nothing_heavy() -> None:
    script = (
        "import sys\nfrom jobs import cli\ntry: cli.main()\nexcept SystemExit: pass\n"
        f"found = [m for m in {HEAVY!r} if m in sys.modules]\n"
        "sys.exit(f'imported {found}' if found else 0)"
    )
    for arguments, environment in (
        (["--help"], {}),
        (["--version"], {}),
        ([], {"_REPRISE_COMPLETE": "bash_complete", "COMP_WORDS": "reprise ", "COMP_CWORD": "1"}),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *arguments],
            cwd=ROOT, env={**os.environ, **environment}, capture_output=True, text=True, timeout=20, check=False,
        )  # fmt: skip
        assert (done.returncode, done.stderr) == (0, "")
        assert done.stdout


@pytest.mark.parametrize("version", ["-V", "--version"])
def test_version(version: str) -> None:
    assert invoke(version).stdout == f"reprise {cli.__version__}\n"


@pytest.mark.parametrize("name", ["full", "scan", "correlate", "pair", "info"])
@pytest.mark.parametrize("before", [[], ["--store", "/x"], ["-q", "--profile", "p"], ["--json"]])
def test_short_forms_are_the_commands(stand_in: Any, own_home: Path, name: str, before: list[str]) -> None:
    calls = []

    def body(run: Run, words: tuple[str, ...]) -> None:
        values = {key: settled.value for key, settled in run.settings.settled.items()}
        calls.append((run.command, words, values, run.output.as_json, run.output.quiet))

    stand_in(body, name)
    (own_home / "settings.toml").write_text("[profile.p]\nlength = 5\n")
    os.environ["REPRISE_CONFIG"] = str(own_home / "settings.toml")  # undone by own_home's monkeypatch
    try:
        for spelling in (name, f"-{name[0]}", f"--{name}"):
            result = invoke(*before, spelling, "a", "--workers", "2", "b")
            assert (result.exit_code, result.stderr) == (0, "")
    finally:
        del os.environ["REPRISE_CONFIG"]
    assert len(calls) == 3
    assert calls[0] == calls[1] == calls[2]
    assert calls[0][:2] == (name, ("a", "b"))
    assert calls[0][2]["workers"] == 2


@pytest.mark.parametrize(
    ("given", "meant"),
    [
        ("-f ~/Music --workers 2", "full ~/Music --workers 2"),
        ("--store X -p a b", "--store X pair a b"),
        ("--store -p info", "--store -p info"),
        ("--store=X -i", "--store=X info"),
        ("-vf x", "-v full x"),
        ("-qf", "-q full"),
        ("scan -f", "scan -f"),
        ("-- -f", "-- -f"),
        ("-V", "-V"),
        ("", ""),
    ],
)
def test_spelled_out(given: str, meant: str) -> None:
    assert cli.spelled_out(given.split()) == meant.split()


def test_common_options_stand_before_or_after_and_after_wins(stand_in: Any) -> None:
    found = []
    stand_in(lambda run, words: found.append((str(run.settings.store), run.output.as_json, words)))
    invoke("--store", "/a", "--json", "scan")
    invoke("scan", "--store", "/a", "--json")
    invoke("--store", "/b", "--json", "scan", "--store", "/a")
    assert found == [("/a", True, ())] * 3


def test_a_settings_option_goes_to_the_settings_alone(stand_in: Any) -> None:
    found: list[Any] = []
    stand_in(lambda run, **_: found.append((run.settings.scan(), run.settings["block-size"])))
    line = "scan --extensions mp3,.OGG --include a --include b/* --exclude c --max-depth 0 --hidden"
    line += " --min-length 3 --time-limit 4 --retry-failed --again pitch --block-size 7"
    assert invoke(*line.split()).exit_code == 0
    scan, block_size = found[0]
    assert (scan.discover.extensions, scan.discover.include) == ({"mp3", "ogg"}, ("a", "b/*"))
    assert (scan.discover.exclude, scan.discover.max_depth, scan.discover.hidden) == (("c",), 0, True)
    assert (scan.min_length_s, scan.time_limit_s, scan.retry_failed, block_size) == (3, 4, True, 7)
    assert scan.again == "pitch"


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("sacn", ["'sacn'", "'scan'", "reprise --help"]),
        ("scan --wrkers 3", ["--wrkers", "--workers", "reprise scan --help"]),
        ("scan --workers many", ["--workers", "'many'", "0 to 1,024"]),
        ("scan --workers -1", ["--workers", "'-1'", "0 to 1,024"]),
        ("worker --workers 0 tcp://nas:8786", ["--workers", "'0'", "1 to 1,024"]),
        ("scan --block-size 5000", ["'5000'", "1 to 4,096"]),
        ("scan -q -v", ["-q and -v"]),
        ("scan --profile nas", ["'nas'", "settings.toml", "command line"]),
    ],
)
@pytest.mark.parametrize("as_json", [True, False])
def test_wrong_usage_is_one_line_and_exit_2(stand_in: Any, line: str, words: list[str], as_json: bool) -> None:
    stand_in(nothing)
    result = invoke(*line.split(), *["--json"] * as_json)
    assert result.exit_code == 2
    assert result.stderr.startswith("reprise: ")
    assert result.stderr.count("\n") == 1
    assert [word for word in words if word not in result.stderr] == [], result.stderr
    if as_json:
        record = json.loads(result.stdout)
        assert (record["event"], record["exit_code"]) == ("error", 2)
    else:
        assert result.stdout == ""


# --- completion


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("reprise e", ["plain,export"]),
        ("reprise -i --settin", ["plain,--settings"]),
        ("reprise info --store ", ["dir,"]),
    ],
)
def test_completion(words: str, expected: list[str]) -> None:
    variables = {"COMP_WORDS": words, "COMP_CWORD": str(len(words.split(" ")) - 1)}
    done = reprise(environment={"_REPRISE_COMPLETE": "bash_complete", **variables})
    assert done.stdout.split() == expected


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion_script(shell: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("_REPRISE_COMPLETE", f"{shell}_source")
    monkeypatch.setattr("click.shell_completion.BashComplete._check_version", staticmethod(lambda: None), raising=True)
    result = CliRunner().invoke(cli.cli, [], prog_name="reprise")
    assert result.exit_code == 0
    assert "_REPRISE_COMPLETE" in result.stdout


# --- how a run ends


def raising(error: BaseException) -> Callable[..., None]:
    def body(*_: Any, **__: Any) -> None:
        raise error

    return body


def store(place: Path) -> Path:
    """A folder that counts as a store."""
    place.mkdir()
    (place / "catalog.db").touch()
    return place


@pytest.mark.parametrize(
    ("error", "exit_code", "words"),
    [
        (StoreLockedError("store /x", "locked by pid 3\non h"), 11, "store /x: locked by pid 3\\non h"),
        (OSError(errno.ENOSPC, "No space", "/x/y"), 14, "/x/y: the disk is full"),
        (OSError(errno.EROFS, "Read-only", "/x/y"), 14, "the disk is read-only"),
        (OSError(errno.EDQUOT, "Quota"), 14, "quota"),
        (sqlite3.OperationalError("database or disk is full"), 14, "is full"),
        (sqlite3.OperationalError("attempt to write a readonly database"), 14, "the disk is read-only"),
        (KeyboardInterrupt(), 130, "stopped at once"),
        (SystemExit(7), 7, ""),
    ],
)
def test_errors_are_one_line_and_an_exit_code(
    stand_in: Any, tmp_path: Path, error: BaseException, exit_code: int, words: str
) -> None:
    stand_in(raising(error))
    result = invoke("scan", "--json", "--store", str(tmp_path / "store"))
    assert result.exit_code == exit_code
    assert words in result.stderr
    assert result.stderr.count("\n") == bool(words)
    if words:
        record = json.loads(result.stdout)
        assert record["event"] == "error"
        assert record["exit_code"] == exit_code
    assert not (tmp_path / "store").exists()


def test_a_refused_write_is_found_behind_other_exceptions(stand_in: Any) -> None:
    outer = ValueError("wrapped")
    outer.__cause__ = OSError(errno.ENOSPC, "No space", b"/x/\xff")
    stand_in(raising(outer))
    result = invoke("scan")
    assert result.exit_code == 14
    assert "/x/\\xff: the disk is full" in result.stderr


def test_a_store_that_may_not_be_written_is_no_bug(stand_in: Any, tmp_path: Path) -> None:
    stand_in(raising(PermissionError(errno.EACCES, "denied", str(tmp_path))))
    assert invoke("scan", "--store", str(tmp_path / "a" / "b")).exit_code == 14
    stand_in(raising(PermissionError(errno.EACCES, "denied", "/elsewhere")))
    assert invoke("scan", "--store", str(tmp_path / "a" / "b")).exit_code == 1


@pytest.mark.parametrize("with_store", [True, False])
def test_a_bug_is_one_line_and_its_traceback_is_in_a_file(
    stand_in: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, with_store: bool
) -> None:
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    place = store(tmp_path / "s") if with_store else tmp_path / "s"
    stand_in(raising(ZeroDivisionError("by zero")))
    result = invoke("scan", "-v", "--store", str(place))
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "this is a bug: ZeroDivisionError: by zero" in result.stderr
    [log] = [place / "reprise.log"] if with_store else tmp_path.glob("reprise-*.log")
    assert str(log) in result.stderr
    assert "Traceback (most recent call last)" in log.read_text()


def test_what_the_body_returns_is_the_exit_code(stand_in: Any) -> None:
    stand_in(lambda *_, **__: EXIT_SOME_FAILED)
    assert invoke("scan").exit_code == 3
    stand_in(nothing)
    assert invoke("scan").exit_code == 0


def test_a_stopped_run_says_how_to_go_on_and_exits_130(stand_in: Any) -> None:
    stand_in(lambda run, **_: run.stop.request("interrupted"))
    result = invoke("scan", "--json")
    assert result.exit_code == 130
    assert "run the same command again" in result.stderr
    assert json.loads(result.stdout) == {"event": "stopped", "reason": "interrupted", "exit_code": 130}


def test_the_log_begins_with_the_run_that_makes_the_store_and_has_one_run_id(stand_in: Any, tmp_path: Path) -> None:
    def body(run: Run, **_: Any) -> None:
        run.observer.problem("failed", b"/a\nb", "no audio")
        store(run.settings.store)
        run.observer.stage("scan", 3, "files")

    stand_in(body)
    assert invoke("scan", "--store", str(tmp_path / "s")).exit_code == 0
    lines = (tmp_path / "s" / "reprise.log").read_text().splitlines()
    assert [line.split(" ", 3)[2] for line in lines] == ["INFO", "WARNING", "INFO", "INFO", "INFO"]
    assert len({line.split()[1] for line in lines}) == 1
    assert "failed: /a\\nb: no audio" in lines[1]
    assert "exit code 0" in lines[-1]


@pytest.mark.parametrize("exists", [True, False])
def test_no_log_is_made_where_no_store_is(stand_in: Any, tmp_path: Path, exists: bool) -> None:
    stand_in(nothing)
    place = tmp_path / "music"
    if exists:
        place.mkdir()
    invoke("scan", "--store", str(place))
    assert not place.exists() or list(place.iterdir()) == []


def test_a_log_that_cannot_be_written_costs_nothing(stand_in: Any, tmp_path: Path) -> None:
    place = store(tmp_path / "s")
    (place / "reprise.log").mkdir()
    stand_in(nothing)
    result = invoke("scan", "--store", str(place))
    assert (result.exit_code, result.stderr) == (0, "")


# --- output


def test_json_keeps_bytes_that_are_no_utf8(capsysbinary: pytest.CaptureFixture[bytes]) -> None:
    out = output.Output(as_json=True)
    out.result({"path": b"/m/\xff\n\xc3\xa9", "set": frozenset({"b", "a"})})
    out.text("for people")
    captured = capsysbinary.readouterr()
    assert captured.err == b"for people\n"
    assert captured.out.count(b"\n") == 1
    record = json.loads(captured.out)
    assert os.fsencode(record["path"]) == b"/m/\xff\n\xc3\xa9"
    assert record["set"] == ["a", "b"]


def test_a_table_is_aligned_as_a_terminal_shows_it() -> None:
    columns = (output.Column("n", "n"), output.Column("p", "path"), output.Column("s", "size", output.size_text))
    rows = [{"n": 5, "p": "日本".encode(), "s": 1234}, {"n": 12, "p": b"a\nb\xff", "s": 12}]
    assert output.aligned(columns, rows) == [
        " n  path         size",
        " 5  日本      1.23 kB",
        "12  a\\nb\\xff     12 B",
    ]
    assert output.aligned(columns, []) == ["n  path  size"]


@pytest.mark.parametrize(
    ("text", "width"),
    [
        ("plain", 5),
        ("日本", 4),
        ("\u1112\u1161\u11ab\u1100\u116e\u11a8", 4),  # two syllables, as macOS writes them
        ("caf\u0065\u0301", 4),
        ("\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466", 2),  # a family
        ("\U0001f1e9\U0001f1ea", 2),  # a flag
        ("\U0001f44d\U0001f3fd", 2),  # a thumb with a colour of skin
        ("\u2764\ufe0f", 2),
    ],
)
def test_the_next_column_begins_where_a_terminal_has_it(text: str, width: int) -> None:
    rows = [{"a": text, "b": "next"}, {"a": "some words", "b": "next"}]
    _, first, second = output.aligned((output.Column("a", ""), output.Column("b", "")), rows)
    assert second == "some words  next"
    assert first == text + " " * (len("some words") - width) + "  next"


def test_a_text_is_shortened_by_cells() -> None:
    assert lines.shortened("日本日本", 8) == "日本日本"
    assert lines.shortened("日本日本日", 8) == "日本日 …"
    assert lines.shortened("cafe\u0301 cafe\u0301", 9) == "cafe\u0301 cafe\u0301"
    family = "\U0001f468\u200d\U0001f469\u200d\U0001f467\u200d\U0001f466"
    assert lines.shortened(family * 3, 5) == family * 2 + "…"


def test_a_table_with_json_is_an_object_a_row(capsys: pytest.CaptureFixture[str]) -> None:
    output.Output(as_json=True).table((output.Column("n", "heading"),), [{"n": 1, "x": 2}, {}])
    assert [json.loads(line) for line in capsys.readouterr().out.splitlines()] == [{"n": 1}, {"n": None}]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0.0 s"),
        (3.21, "3.2 s"),
        (59.97, "1 min 00 s"),
        (245, "4 min 05 s"),
        (3599.9, "1 h 00 min"),
        (7400, "2 h 03 min"),
    ],
)
def test_time_text(seconds: float, text: str) -> None:
    assert output.time_text(seconds) == text


@pytest.mark.parametrize(
    ("size", "text"), [(0, "0 B"), (999, "999 B"), (1000, "1 kB"), (999_500, "1 MB"), (3_420_000_000, "3.42 GB")]
)
def test_size_text(size: int, text: str) -> None:
    assert output.size_text(size) == text


def test_settings_are_shown_with_where_they_come_from() -> None:
    done = reprise("-i", "--settings", "--json", "--max-lag", "9", environment={"REPRISE_WORKERS": "2"})
    assert done.returncode == 0
    found = {record["setting"]: record for record in map(json.loads, done.stdout.splitlines())}
    assert list(found) == list(options.SETTINGS)
    assert found["max-lag"] == {"setting": "max-lag", "value": 9, "source": "command line"}
    assert found["workers"] == {"setting": "workers", "value": 2, "source": "environment REPRISE_WORKERS"}
    assert found["min-score"]["source"] == "default"


def test_a_secret_is_not_shown() -> None:
    done = reprise("info", "--settings", environment={"REPRISE_ACOUSTID_KEY": "k3y"})
    assert done.returncode == 0
    (line,) = [line for line in done.stdout.splitlines() if line.startswith("acoustid-key ")]
    assert line.split() == ["acoustid-key", "(set)", "environment", "REPRISE_ACOUSTID_KEY"]
    assert "k3y" not in done.stdout


SCRIPT = """
import sys, time, click
from jobs import cli
from jobs.session import options, signals
from jobs.session.run import session

signals.GRACE_S = 0.3

@click.command("scan")
@click.argument("what")
@options.common
@session
def scan(run, what):
    if what == "flood":
        for n in range(200_000):
            run.output.raw(b"line\\n")
        return 0
    if what == "names":
        run.output.text("caf\\xe9 \\u65e5 \\udcff")
        run.observer.message("caf\\xe9 \\udcff")
        return 0
    run.output.text("ready")
    try:
        while what != "graceful" or not run.stop.requested:
            time.sleep(0.01)
    finally:
        if what == "stubborn":
            time.sleep(60)
    run.output.text("committed")

cli.COMMANDS["scan"] = ("__main__:scan", "a stand-in")
if __name__ == "__main__":
    cli.main()
"""


@pytest.fixture
def script(tmp_path: Path) -> list[str]:
    (tmp_path / "script.py").write_text(SCRIPT)
    return [sys.executable, str(tmp_path / "script.py"), "scan"]


def started(script: list[str], what: str, **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [*script, what],
        env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, encoding="utf-8", errors="surrogateescape",
    )  # fmt: skip


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_the_first_signal_finishes_what_is_in_flight(script: list[str], number: signal.Signals) -> None:
    with started(script, "graceful") as process:
        assert process.stdout
        assert process.stdout.readline() == "ready\n"
        process.send_signal(number)
        out, err = process.communicate(timeout=20)
    assert out == "committed\n"
    assert "finishing what is in flight; press Ctrl-C again to stop at once" in err
    assert "run the same command again" in err
    assert "Traceback" not in err
    assert process.returncode == 130


@pytest.mark.parametrize("what", ["stuck", "stubborn"])
def test_the_second_signal_stops_at_once_even_where_the_clean_up_hangs(script: list[str], what: str) -> None:
    with started(script, what) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "ready\n"
        process.send_signal(signal.SIGINT)
        assert "finishing" in process.stderr.readline()
        process.send_signal(signal.SIGINT)
        before = time.monotonic()
        out, err = process.communicate(timeout=20)
    assert time.monotonic() - before < 10  # far below the minute that the body would sleep
    assert out == ""
    told = "reprise: stopped at once; what was committed is kept\n"
    assert err in ((told,) if what == "stuck" else ("", told))  # a body may swallow the interrupt, or it may miss it
    assert process.returncode == 130


def test_a_reader_who_goes_ends_the_run_quietly(script: list[str]) -> None:
    with started(script, "flood") as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == "line\n"
        process.stdout.close()
        assert process.stderr.read() == ""
        assert process.wait(timeout=20) == 0


@pytest.mark.parametrize("encoding", ["ascii", "utf-8"])
def test_no_character_is_too_much_for_a_terminal(script: list[str], encoding: str) -> None:
    with started(script, "names", PYTHONIOENCODING=encoding, LC_ALL="C") as process:
        out, err = process.communicate(timeout=20)
    assert out == {"ascii": "caf\\xe9 \\u65e5 \\udcff\n", "utf-8": "café 日 \\udcff\n"}[encoding]
    assert err == {"ascii": "caf\\xe9 \\xff\n", "utf-8": "café \\xff\n"}[encoding]
    assert process.returncode == 0


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="needs /dev/full")
def test_a_full_disk_behind_stdout_is_one_line() -> None:
    with open("/dev/full", "w") as full:
        for arguments in (["--help"], ["info", "--settings", "--json"]):
            done = subprocess.run(
                [sys.executable, "-m", "jobs", *arguments],
                cwd=ROOT, stdout=full, stderr=subprocess.PIPE, text=True, timeout=20, check=False,
            )  # fmt: skip
            assert done.returncode == 14
            assert done.stderr.count("\n") == 1, done.stderr


def test_module_and_script_are_the_same() -> None:
    console = subprocess.run(
        [sys.executable, "-c", "from jobs.cli import main; main()", "--help"],
        cwd=ROOT, capture_output=True, text=True, timeout=20, check=False,
    )  # fmt: skip
    assert console.stdout == reprise("--help").stdout
    assert console.stdout.startswith("Usage: reprise ")
