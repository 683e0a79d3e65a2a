"""`reprise schedule`: makes the system run the main job every night, or prints what would make it do so."""

from __future__ import annotations

import math
import os
import shlex
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import click

from dedup.errors import InputError, UsageError, WriteError, refused, writing
from jobs.session import options
from jobs.session.again import option_words, program
from jobs.session.helping import Command
from jobs.session.run import Run, reader
from jobs.session.values import TIME_OF_DAY, Value
from jobs.show import units

Form = Literal["systemd", "cron", "launchd"]
AT = "02:30"
CARRIED = ("REPRISE_CONFIG", "REPRISE_KERNEL_CACHE")
"""Variables that are not settings, but that the command needs at night too; they hold paths."""
MINUTES_A_DAY = 24 * 60
LINGER = "It runs only while you are logged in; to make it run always: loginctl enable-linger"
TOOL_LIMIT_S = 60.0
"""Most seconds that systemctl, crontab and launchctl may take."""


@dataclass(frozen=True)
class UnitFile:
    """One file of a unit."""

    path: Path
    text: str


@click.command("schedule", cls=Command)
@options.roots
@click.option(
    "--at",
    type=Value(TIME_OF_DAY),
    default=AT,
    show_default=True,
    metavar="HH:MM",
    help="Local time of the nightly run.",
)
@click.option("--format", "form", type=click.Choice(["systemd", "cron", "launchd"]), help="Default: what runs here.")
@click.option("--gate", is_flag=True, help="A systemd service that keeps `reprise gate serve` open, instead.")
@click.option("--install", is_flag=True, help="Write the unit and enable it.")
@click.option("--uninstall", is_flag=True, help="Remove what --install wrote, and nothing else.")
@click.option(
    "-o",
    "--output",
    "written",
    metavar="FILE",
    type=click.Path(path_type=bytes),
    help="Write a plan to this file every night.",
)
@options.every
@options.common
@reader
def schedule(
    run: Run, at: str, form: Form | None, gate: bool, install: bool, uninstall: bool, written: bytes | None
) -> None:
    """Print a systemd service and timer, a crontab line or a launchd agent that runs `reprise full` on each ROOT
    every night, or install it. The options of `reprise full` that you give here, such as --until 06:30 or --auto 0.98,
    apply every night; --help-all lists them.

    Without ROOT, each run uses the folders that the settings name on that night."""
    if install and uninstall:
        raise UsageError("schedule", "both --install and --uninstall are given", remedy="Give only one of them")
    if gate:
        schedule_gate(run, form or "systemd", install, uninstall)
        return
    if uninstall:
        remove(run)
        return
    run.settings.roots()  # raises if there are none
    form = form or usual_form()
    words = command_words(run, at, written)
    if install:
        put(run, form, words, at)
    else:
        show(run, form, words, at)


def usual_form() -> Form:
    """The form that this machine uses."""
    if sys.platform == "darwin":
        return "launchd"
    there = shutil.which("systemctl") is not None and os.path.isdir("/run/systemd/system")
    return "systemd" if there or units.systemd_folder().is_dir() else "cron"


# ---- the gate


def schedule_gate(run: Run, form: Form, install: bool, uninstall: bool) -> None:
    """Shows, installs or removes the service of the gate. Raises UsageError for anything but systemd, and for options
    that the gate does not take."""
    file = UnitFile(units.systemd_folder() / f"{units.GATE}.service", "")
    if uninstall:
        if _is_ours(file.path):
            _switch(run, ["systemctl", "--user", "disable", "--now", file.path.name])
            _unlink(file.path)
            _switch(run, ["systemctl", "--user", "daemon-reload"])
            _tell(run, "removed", str(file.path))
        else:
            run.output.note("nothing was installed")
        return
    if form != "systemd":
        raise UsageError(
            "schedule --gate", f"--format {form} is given", remedy="Leave it out: only systemd keeps it open"
        )
    words = gate_words(run)
    file = UnitFile(file.path, units.gate_text(words))
    if not install:
        run.output.result({"event": "schedule", "format": form, "path": str(file.path), "text": file.text})
        _text(run, f"# {file.path}\n{file.text}")
        return
    _write_units([file])
    _tell(run, "installed", str(file.path))
    _switch(run, ["systemctl", "--user", "daemon-reload"])
    _switch(run, ["systemctl", "--user", "enable", "--now", file.path.name])
    run.output.note(LINGER)


def gate_words(run: Run) -> list[str]:
    """The command that keeps the gate open: this program, with what this command line and the variables set of what the
    gate takes. Raises UsageError for other options."""
    carried = [f"{name}={_carried(name)}" for name in CARRIED if os.environ.get(name)]
    words = [*(["/usr/bin/env", *carried] if carried else []), *program(), "gate", "serve", "--quiet"]
    for name, one in run.settings.settled.items():
        if name in (*options.GATE, *options.INBOX, "store", "profile") and one.source.startswith(
            ("command line", "environment")
        ):
            words += option_words(name, one.value)
        elif one.source.startswith("command line"):
            raise UsageError("schedule --gate", f"the gate has no option --{name}", remedy="Leave it out")
    return words


# ---- what is run


def command_words(run: Run, at: str, written: bytes | None = None) -> list[str]:
    """The command: this program, with what this command line and the variables set, as neither is there at night. The
    settings file is read each night."""
    carried = [f"{name}={_carried(name)}" for name in CARRIED if os.environ.get(name)]
    words = [*(["/usr/bin/env", *carried] if carried else []), *program(), "full", "--quiet"]
    settled = run.settings.settled.items()
    given = {name: one.value for name, one in settled if one.source.startswith(("command line", "environment"))}
    for name in given.keys() & set(options.OF_GATE_ALONE):
        if run.settings.settled[name].source == "command line":
            raise UsageError("schedule", f"the main job has no option --{name}", remedy="Give --gate too")
        del given[name]
    roots = [os.path.abspath(root) for root in given.pop("roots", ())]
    if given.get("until"):  # a run that makes up for a missed night starts late, when that time may be a day away
        hours, limit = night_hours(at, given["until"]), run.settings["max-hours"]
        if limit is None or limit > hours:
            given["max-hours"] = hours
    for name, value in given.items():
        words += option_words(name, value)
    if written is not None:
        words.append(f"--output={os.path.abspath(os.fsdecode(written))}")
    return words + (["--", *roots] if roots else [])


def night_hours(at: str, until: str) -> float:
    """Hours from the time of day `at` to the next `until`, at most 24; in hundredths, rounded up."""
    begin, end = (60 * int(clock[:2]) + int(clock[3:]) for clock in (at, until))
    minutes = (end - begin) % MINUTES_A_DAY or MINUTES_A_DAY
    return math.ceil(minutes * 100 / 60) / 100


def _carried(variable: str) -> str:
    value = os.path.expanduser(os.environ[variable])
    return value if value == "off" else os.path.abspath(value)


# ---- where it goes


def unit_files(form: Form, words: Sequence[str], at: str) -> list[UnitFile]:
    """The files of a unit; none for cron."""
    if form == "systemd":
        folder = units.systemd_folder()
        return [
            UnitFile(folder / f"{units.NAME}.service", units.service_text(words)),
            UnitFile(folder / f"{units.NAME}.timer", units.timer_text(at)),
        ]
    return [UnitFile(units.agent_path(), units.plist_text(words, at))] if form == "launchd" else []


def cron_line(words: Sequence[str], at: str) -> str:
    ionice = [found, "-c", "3"] if (found := shutil.which("ionice")) else []
    return units.cron_line(words, at, ("nice", "-n", "19", *ionice))


def show(run: Run, form: Form, words: Sequence[str], at: str) -> None:
    """Prints what --install would write, and where."""
    if form == "cron":
        line = cron_line(words, at)
        run.output.result({"event": "schedule", "format": form, "command": list(words), "line": line})
        _text(run, line)
    for file in unit_files(form, words, at):
        run.output.result({"event": "schedule", "format": form, "path": str(file.path), "text": file.text})
        _text(run, f"# {file.path}\n{file.text}")


def _text(run: Run, text: str) -> None:
    if not run.output.as_json:
        run.output.text(text)


def put(run: Run, form: Form, words: Sequence[str], at: str) -> None:
    """Writes the unit and enables it; it replaces any earlier unit of ours, in whatever form. Raises InputError if a
    file in its place is not ours."""
    if form == "cron":
        crontab = read_crontab()
        _write_crontab(units.with_cron_line(crontab, os.fsencode(cron_line(words, at))))
        _tell(run, "installed", "crontab")
    else:
        _put_files(run, form, words, at)
    _remove_others(run, form)


def _put_files(run: Run, form: Form, words: Sequence[str], at: str) -> None:
    files = unit_files(form, words, at)
    _write_units(files)
    for file in files:
        _tell(run, "installed", str(file.path))
    if form == "systemd":
        _switch(run, ["systemctl", "--user", "daemon-reload"])
        _switch(run, ["systemctl", "--user", "enable", "--now", f"{units.NAME}.timer"])
        run.output.note(LINGER)
    else:
        _switch(run, ["launchctl", "load", "-w", str(units.agent_path())])


def _write_units(files: Sequence[UnitFile]) -> None:
    """Writes files of units. Raises InputError, with nothing written, if one in their place is not ours."""
    for file in files:
        _require_ours(file.path)
    for file in files:
        with writing(str(file.path)):
            file.path.parent.mkdir(parents=True, exist_ok=True)
            part = file.path.with_name(f"{file.path.name}.part")  # a piece of a unit would be nobody's
            part.write_text(file.text, encoding="utf-8")
            part.replace(file.path)


def remove(run: Run) -> None:
    """Removes every unit of ours: files with our mark, our line of the crontab."""
    removed = _remove_systemd(run) + _remove_agent(run) + _remove_cron_line()
    for what in removed:
        _tell(run, "removed", what)
    if not removed:
        run.output.note("nothing was installed")


def _remove_others(run: Run, form: Form) -> None:
    """Removes our units of other forms."""
    removed = _remove_systemd(run) if form != "systemd" else []
    removed += _remove_agent(run) if form != "launchd" else []
    if form != "cron":
        try:
            removed += _remove_cron_line()
        except InputError as error:  # some users are not allowed a crontab, and so have none
            run.output.note(f"the crontab may still hold an older schedule: {error}")
    for what in removed:
        _tell(run, "removed", what)


def _remove_cron_line() -> list[str]:
    crontab = read_crontab() if shutil.which("crontab") else b""
    if not any(map(units.is_marked_line, crontab.splitlines())):
        return []
    _write_crontab(units.with_cron_line(crontab, None))
    return ["crontab"]


def _remove_systemd(run: Run) -> list[str]:
    folder = units.systemd_folder()
    service, timer = folder / f"{units.NAME}.service", folder / f"{units.NAME}.timer"
    ours = [path for path in (timer, service) if _is_ours(path)]
    if timer in ours:
        _switch(run, ["systemctl", "--user", "disable", "--now", timer.name])
        link = folder / "timers.target.wants" / timer.name  # if systemctl did not remove it
        if link.is_symlink() and os.path.normpath(link.parent / os.readlink(link)) == str(timer):
            _unlink(link)
    for path in ours:
        _unlink(path)
    if ours:
        _switch(run, ["systemctl", "--user", "daemon-reload"])
    return [str(path) for path in ours]


def _remove_agent(run: Run) -> list[str]:
    path = units.agent_path()
    if not _is_ours(path):
        return []
    _switch(run, ["launchctl", "unload", "-w", str(path)])
    _unlink(path)
    return [str(path)]


def _is_ours(path: Path) -> bool:
    """Whether a file has our mark."""
    try:
        return units.MARK in path.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return False


def _require_ours(path: Path) -> None:
    if path.exists() and not _is_ours(path):
        remedy = "Move it away, or leave out --install and put the printed unit where you like"
        raise InputError(str(path), "`reprise schedule` did not make this file", remedy=remedy)


def _unlink(path: Path) -> None:
    try:
        path.unlink(missing_ok=True)
    except OSError as error:
        raise refused(str(path), error) from error


def _tell(run: Run, what: Literal["installed", "removed"], where: str) -> None:
    run.output.result({"event": what, "where": where})
    run.output.note(f"{what} {where}")


# ---- the system's tools


def _switch(run: Run, command: list[str]) -> None:
    """Runs a command that enables or disables a unit; if it fails, asks the user to run it."""
    trouble = "is not installed" if shutil.which(command[0]) is None else _trouble(command)
    if trouble:
        run.output.result({"event": "to run", "command": command, "why": trouble})
        run.output.note(f"{command[0]} {trouble}; run it yourself: {shlex.join(command)}")


def _trouble(command: list[str]) -> str:
    try:
        done = subprocess.run(command, capture_output=True, check=False, timeout=TOOL_LIMIT_S, stdin=subprocess.DEVNULL)
    except subprocess.TimeoutExpired:
        return f"took longer than {TOOL_LIMIT_S:g} s"
    except OSError as error:
        return f"cannot be started ({error.strerror})"
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return f"failed ({said[-1] if said else f'exit code {done.returncode}'})" if done.returncode else ""


def read_crontab() -> bytes:
    """The user's crontab, empty if there is none. Raises InputError if it cannot be read, as what cannot be read must
    not be replaced."""
    done = _crontab(["-l"])
    if done.returncode and b"no crontab" not in done.stderr.lower():
        said = done.stderr.decode(errors="replace").strip()
        found = said or f"failed with exit code {done.returncode}"
        raise InputError("crontab -l", found, remedy="Make sure that `crontab -l` works, then try again")
    return b"" if done.returncode else done.stdout


def _write_crontab(crontab: bytes) -> None:
    done = _crontab(["-"], crontab) if crontab.strip() else _crontab(["-r"])
    if done.returncode:
        raise WriteError("crontab", f"was refused: {done.stderr.decode(errors='replace').strip()}")


def _crontab(arguments: list[str], typed: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs `crontab`. Raises InputError if it is not there or does not answer."""
    environment = {**os.environ, "LC_ALL": "C"}
    command = ["crontab", *arguments]
    try:
        return subprocess.run(
            command, input=typed, capture_output=True, check=False, timeout=TOOL_LIMIT_S, env=environment
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        found = getattr(error, "strerror", None) or "did not answer"
        remedy = "Install cron, or use --format systemd"
        raise InputError("crontab", f"cannot be run: {found}", remedy=remedy) from None
