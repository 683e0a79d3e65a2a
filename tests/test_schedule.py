"""`reprise schedule`: what it prints, what it installs where, and that it takes back exactly that."""

from __future__ import annotations

import json
import os
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from jobs import cli
from jobs.commands.full import full
from jobs.commands.gate import serve as gate_command
from jobs.commands.schedule import schedule
from jobs.session import again
from jobs.show import units

ROOT = Path(__file__).resolve().parent.parent
PROGRAM = str(ROOT / "scripts" / "reprise")
CRONTAB = """#!/bin/sh
cd "$HOME" || exit 2
case $1 in
    -l) if [ -e refused ]; then echo "not allowed" >&2; exit 1; fi
        if [ -e crontab ]; then cat crontab; else echo "no crontab for x" >&2; exit 1; fi ;;
    -r) rm crontab ;;
    -) cat > crontab ;;
esac
"""


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A home, and a folder of tools before all others on PATH: a crontab of this home, and a systemctl that keeps its
    arguments."""
    (tmp_path / "tools").mkdir()
    tool(tmp_path, "crontab", CRONTAB)
    tool(tmp_path, "systemctl", '#!/bin/sh\necho "$@" >> "$HOME/systemctl"\n')
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path / ".config"))
    monkeypatch.setenv("PATH", str(tmp_path / "tools"), prepend=os.pathsep)
    for name in [name for name in os.environ if name.startswith("REPRISE_")]:
        monkeypatch.delenv(name)
    return tmp_path


def tool(home: Path, name: str, text: str) -> None:
    (home / "tools" / name).write_text(text)
    (home / "tools" / name).chmod(0o755)


def invoke(*arguments: str, code: int = 0) -> Result:
    result = CliRunner().invoke(cli.cli, ["schedule", *arguments])
    assert result.exit_code == code, result.stderr
    return result


def printed(*arguments: str) -> dict[str, Any]:
    record: dict[str, Any] = json.loads(invoke("--format", "cron", "--json", *arguments).stdout)
    return record


def files(home: Path) -> set[str]:
    tools = ("tools/", "systemctl")
    found = {str(path.relative_to(home)) for path in home.rglob("*") if not path.is_dir()}
    return {path for path in found if not path.startswith(tools)}


def test_nothing_is_written_unless_it_is_asked_for(home: Path) -> None:
    for form in ("systemd", "cron", "launchd"):
        assert PROGRAM in invoke("/m", "--format", form).stdout
    assert files(home) == set()
    assert not (home / "systemctl").exists()


@pytest.mark.usefixtures("home")
def test_the_command_has_what_was_given_here_and_in_variables(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("REPRISE_MAX_LAG", "all")
    monkeypatch.setenv("REPRISE_KERNEL_CACHE", "off")
    given = ["a b", "--until", "6:30", "--store", "s", "--extensions", "mp3,flac", "--no-hidden", "--exclude", "x"]
    command = printed(*given, "--exclude", "y%", "--workers", "2")["command"]
    assert command[: command.index("full")] == ["/usr/bin/env", "REPRISE_KERNEL_CACHE=off", PROGRAM]
    options = {"--until=06:30", "--store=/s", "--extensions=flac,mp3", "--no-hidden", "--exclude=x", "--exclude=y%"}
    options |= {"--workers=2", "--max-lag=all", "--max-hours=4.0", "--quiet"}
    assert set(command[command.index("full") + 1 : -2]) == options
    assert command[-2:] == ["--", "/a b"]


@pytest.mark.usefixtures("home")
def test_the_command_is_one_that_full_takes_as_it_was_meant() -> None:
    line = ["/m", "--until", "23:59", "--max-lag", "all", "--min-score", "judged", "--hidden", "--notify", "mail 'x y'"]
    line += ["--hosts", "nas,me@attic", "--map", "nas:/a b=/m", "--map", "/x=/y"]
    line += ["--keep", "prefer, best", "--prefer", "/a b", "--companion", "/flac:/mp3"]
    command = printed(*line, "--exclude", "-odd name", "--max-hours", "1.5")["command"]
    arguments = [word for word in command[command.index("full") + 1 :] if word not in ("--quiet", "--", "/m")]
    shown = CliRunner().invoke(cli.cli, ["info", "--settings", "--json", *arguments])
    values = {record["setting"]: record["value"] for record in map(json.loads, shown.stdout.splitlines())}
    assert (values["until"], values["max-lag"], values["hidden"]) == ("23:59", "all", True)
    assert (values["notify"], values["exclude"], values["max-hours"]) == ("mail 'x y'", ["-odd name"], 1.5)
    assert (values["hosts"], values["map"]) == (["nas", "me@attic"], ["nas:/a b=/m", "/x=/y"])
    assert (values["keep"], values["prefer"], values["companion"]) == (["prefer", "best"], ["/a b"], ["/flac:/mp3"])


@pytest.mark.usefixtures("home")
def test_what_a_plan_asks_for_is_in_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir("/")
    monkeypatch.setenv("REPRISE_ACTION", "trash")
    words = printed("/m", "--auto", "0.98", "--ask", "0.95", "-o", "plan.json", "--identity", "album")["command"]
    assert {"--action=trash", "--auto=0.98", "--ask=0.95", "--identity=album", "--output=/plan.json"} <= set(words)


@pytest.mark.usefixtures("home")
def test_a_night_has_a_time() -> None:
    invoke("/m", "--at", "off", code=2)


def test_it_takes_every_option_of_the_main_job() -> None:
    names = {option for parameter in full.params for option in parameter.opts if option.startswith("-")}
    names.remove("--allow-empty")  # a word about tonight, not about every night
    assert names <= {option for parameter in schedule.params for option in parameter.opts}


@pytest.mark.usefixtures("home")
@pytest.mark.parametrize(
    ("given", "hours"),
    [
        (["--until", "06:30"], ["4.0"]),
        (["--at", "22:10", "--until", "6:30"], ["8.34"]),
        (["--at", "6:30", "--until", "6:30"], ["24.0"]),
        (["--until", "06:30", "--max-hours", "3"], ["3.0"]),
        (["--until", "06:30", "--max-hours", "9"], ["4.0"]),
        (["--until", "off"], []),
        ([], []),
    ],
)
def test_a_night_that_is_made_up_for_is_no_longer_than_a_night(given: list[str], hours: list[str]) -> None:
    command = printed("/m", *given)["command"]
    assert [word.removeprefix("--max-hours=") for word in command if word.startswith("--max-hours=")] == hours


def test_limits_of_the_settings_file_are_read_each_night(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "settings.toml").write_text('until = "06:30"\nmax-hours = 3\n')
    monkeypatch.setenv("REPRISE_CONFIG", str(home / "settings.toml"))
    for given in ([], ["--until", "06:30"]):
        assert "--max-hours" not in " ".join(printed("/m", *given)["command"])
    assert "--max-hours=2.5" in printed("/m", "--until", "05:00")["command"]


def test_a_settings_file_of_its_own_is_named(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (home / "my settings.toml").write_text('roots = ["/music"]\nworkers = 3\n')
    monkeypatch.setenv("REPRISE_CONFIG", str(home / "my settings.toml"))
    command = printed()["command"]
    assert command == ["/usr/bin/env", f"REPRISE_CONFIG={home}/my settings.toml", PROGRAM, "full", "--quiet"]


@pytest.mark.usefixtures("home")
def test_without_a_library_there_is_nothing_to_schedule() -> None:
    assert "no folder is given" in invoke(code=10).stderr
    assert "one of them" in invoke("/m", "--install", "--uninstall", code=2).stderr
    assert "06:30" in invoke("/m", "--at", "25:00", code=2).stderr


def test_systemd_is_installed_switched_on_and_removed(home: Path) -> None:
    other = home / ".config/systemd/user/other.service"
    other.parent.mkdir(parents=True)
    other.write_text("[Service]\n")
    before = files(home)
    assert "loginctl enable-linger" in invoke("/m", "--at", "3:05", "--install", "--format", "systemd").stdout
    new = {f".config/systemd/user/reprise.{kind}" for kind in ("service", "timer")}
    assert files(home) - before == new
    assert "03:05:00" in (home / ".config/systemd/user/reprise.timer").read_text()
    calls = (home / "systemctl").read_text().splitlines()
    assert calls == ["--user daemon-reload", "--user enable --now reprise.timer"]
    invoke("/m", "--at", "4:00", "--install", "--format", "systemd")
    assert "04:00:00" in (home / ".config/systemd/user/reprise.timer").read_text()
    wants = home / ".config/systemd/user/timers.target.wants"
    wants.mkdir()
    (wants / "reprise.timer").symlink_to("../reprise.timer")  # as `enable` does
    (wants / "other.timer").symlink_to("../other.timer")
    tool(home, "systemctl", "#!/bin/sh\necho no bus >&2\nexit 1\n")
    told = invoke("--uninstall").stdout
    assert "systemctl failed (no bus); run it yourself: systemctl --user disable --now reprise.timer" in told
    assert files(home) == before | {".config/systemd/user/timers.target.wants/other.timer"}
    assert "nothing was installed" in invoke("--uninstall").stdout


def test_files_of_others_are_neither_replaced_nor_removed(home: Path) -> None:
    timer = home / ".config/systemd/user/reprise.timer"
    timer.parent.mkdir(parents=True)
    timer.write_text("[Timer]\nOnCalendar=daily\n")
    refused = invoke("/m", "--install", "--format", "systemd", code=15)
    assert f"{timer}: `reprise schedule` did not make this file" in refused.stderr
    assert files(home) == {".config/systemd/user/reprise.timer"}
    assert "nothing was installed" in invoke("--uninstall").stdout
    assert timer.read_text() == "[Timer]\nOnCalendar=daily\n"


def test_a_crontab_gets_one_line_and_loses_just_that(home: Path) -> None:
    mine = b"MAILTO=me\n0 0 * * * echo \xff\n"
    (home / "crontab").write_bytes(mine)
    for at in ("2:30", "3:30"):
        invoke("/m", "--at", at, "--install", "--format", "cron")
    installed = (home / "crontab").read_bytes()
    assert installed.startswith(mine)
    (line,) = installed.removeprefix(mine).decode().splitlines()
    assert line.startswith("30 3 * * * nice -n 19 ")
    assert shlex.split(line)[-1] == "schedule"
    invoke("--uninstall")
    assert (home / "crontab").read_bytes() == mine
    (home / "crontab").unlink()
    invoke("/m", "--install", "--format", "cron")
    assert len((home / "crontab").read_text().splitlines()) == 1
    invoke("--uninstall")
    assert not (home / "crontab").exists()


@pytest.mark.parametrize("form", ["systemd", "cron", "launchd"])
def test_there_is_one_schedule_whatever_was_installed_before(home: Path, form: str) -> None:
    for before in ("systemd", "launchd", "cron", "systemd", form):
        invoke("/m", "--install", "--format", before)
    (home / "crontab").open("a").close()
    unit = ".config/systemd/user/reprise."
    of_form = {
        "systemd": {f"{unit}service", f"{unit}timer"},
        "cron": set(),
        "launchd": {"Library/LaunchAgents/reprise.nightly.plist"},
    }
    assert files(home) == of_form[form] | {"crontab"}
    assert (units.CRON_MARK in (home / "crontab").read_text()) == (form == "cron")
    calls = (home / "systemctl").read_text().splitlines()
    assert (calls[-2:] == ["--user daemon-reload", "--user enable --now reprise.timer"]) == (form == "systemd")


def test_a_crontab_that_is_refused_keeps_nobody_from_another_form(home: Path) -> None:
    (home / "refused").touch()
    told = invoke("/m", "--install", "--format", "systemd").stdout
    assert "the crontab may still hold an older schedule: crontab -l: not allowed" in told
    assert (home / ".config/systemd/user/reprise.timer").exists()


def test_a_crontab_that_cannot_be_read_is_not_replaced(home: Path) -> None:
    (home / "crontab").write_text("mine\n")
    (home / "refused").touch()
    assert "crontab -l: not allowed" in invoke("/m", "--install", "--format", "cron", code=15).stderr
    assert (home / "crontab").read_text() == "mine\n"


def test_where_a_tool_is_missing_what_is_to_be_run_is_told(home: Path) -> None:
    told = invoke("/m", "--install", "--format", "launchd").stdout
    agent = home / "Library/LaunchAgents/reprise.nightly.plist"
    assert units.MARK in agent.read_text()
    assert f"launchctl is not installed; run it yourself: launchctl load -w {agent}" in told
    invoke("--uninstall")
    assert not agent.exists()


def test_the_program_is_the_one_that_was_started(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    script = tmp_path / "bin" / "reprise"
    script.parent.mkdir()
    script.write_text("#!/bin/sh\n")
    script.chmod(0o755)
    monkeypatch.setattr(sys, "argv", [str(script)])
    assert again.program() == [str(script)]
    monkeypatch.setattr(sys, "argv", [str(ROOT / "jobs" / "__main__.py")])
    assert again.program() == [PROGRAM]
    assert subprocess.run([PROGRAM, "--version"], capture_output=True, check=False, timeout=60).returncode == 0


# ---- the gate


def test_the_gate_gets_a_service_of_its_own(home: Path) -> None:
    unit = home / ".config" / "systemd" / "user" / "reprise-gate.service"
    told = invoke("--gate", "--store", "/s t", "--no-varispeed", "--keep", "largest").stdout
    assert f'ExecStart=:"{PROGRAM}" "gate" "serve" "--quiet"' in told
    assert all(f'"{word}"' in told for word in ("--store=/s t", "--no-varispeed", "--keep=largest"))
    assert not unit.exists()
    invoke("--gate", "--install", "--store", "/s t")
    assert units.MARK in unit.read_text()
    assert (home / "systemctl").read_text().splitlines()[-1] == "--user enable --now reprise-gate.service"
    invoke("/m", "--uninstall")
    assert unit.exists(), "that is the nightly run's"
    assert "removed" in invoke("--gate", "--uninstall").stdout
    assert not unit.exists()
    assert "nothing was installed" in invoke("--gate", "--uninstall").stdout


def test_the_command_is_one_that_the_gate_takes(home: Path) -> None:
    del home
    line = ["--min-score", "0.5", "--let-go", "lyrics", "--identity", "album", "--companion", "/a:/b"]
    line += ["--on-better", "reject", "--inbox", "/in", "--inbox", "/in 2", "--accept", "/yes", "--reject", "/no"]
    told = json.loads(invoke("--gate", "--json", *line, "--store", "/s").stdout)["text"]
    (command,) = [each for each in told.splitlines() if each.startswith("ExecStart=:")]
    words = shlex.split(command.removeprefix("ExecStart=:"))
    shown = CliRunner().invoke(cli.cli, [*words[1:-1], words[-1], "--help"])
    assert shown.exit_code == 0
    made = gate_command.make_context("serve", words[3:])
    assert made.params["port"] is None


def test_what_is_of_the_gate_alone_is_not_the_nightly_runs(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    del home
    assert "Give --gate too" in invoke("/m", "--on-better", "import", code=2).stderr
    monkeypatch.setenv("REPRISE_ON_BETTER", "import")
    monkeypatch.setenv("REPRISE_INBOX", "/in")
    assert "on-better" not in (told := invoke("/m").stdout) and "inbox" not in told


def test_what_the_gate_has_not_is_refused(home: Path) -> None:
    assert "--until" in invoke("--gate", "--until", "06:30", code=2).stderr
    assert "systemd" in invoke("--gate", "--format", "cron", code=2).stderr
    theirs = home / ".config" / "systemd" / "user" / "reprise-gate.service"
    theirs.parent.mkdir(parents=True)
    theirs.write_text("[Unit]\n")
    assert "did not make this file" in invoke("--gate", "--install", code=15).stderr
    invoke("--gate", "--uninstall")
    assert theirs.read_text() == "[Unit]\n"
