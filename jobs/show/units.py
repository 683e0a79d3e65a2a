"""Texts that make a system run a command every night: a systemd service and timer, a crontab line, a launchd agent.

All of them carry a mark, by which `reprise schedule --uninstall` knows what it may remove. A word of the command that
a text cannot hold is refused, so that no text ever runs another command than the one shown."""

from __future__ import annotations

import os
import plistlib
import shlex
from collections.abc import Sequence
from pathlib import Path

from dedup.errors import UsageError
from jobs.session.output import one_line

NAME = "reprise"
GATE = "reprise-gate"
LABEL = "reprise.nightly"
"""Label of the launchd agent."""
MARK = "made by `reprise schedule`"
CRON_MARK = "# made by reprise schedule"
CRON_LENGTH = 900
"""Most bytes of a command in a crontab; cron cuts a command off at about 1,000."""
SUCCESS = "3 4 5"
"""Exit codes that systemd does not count as a failure: some files failed, time is up, nothing to do."""


def systemd_folder() -> Path:
    """Folder of this user's systemd units."""
    return Path(os.environ.get("XDG_CONFIG_HOME") or os.path.expanduser("~/.config")) / "systemd" / "user"


def agent_path() -> Path:
    """File of the launchd agent."""
    return Path(os.path.expanduser("~/Library/LaunchAgents")) / f"{LABEL}.plist"


def require_plain(words: Sequence[str], what: str) -> None:
    """Raises UsageError for a word that a unit cannot hold: one with control characters or bytes that are not UTF-8."""
    for word in words:
        if any(ord(character) < 32 or ord(character) == 127 or 0xD800 <= ord(character) < 0xE000 for character in word):
            raise UsageError(
                "schedule",
                f"{one_line(word)} cannot be written in a {what}: it has control characters or is not UTF-8",
                remedy="Make a link to it with a plain name, and give that",
            )


def service_text(words: Sequence[str]) -> str:
    """The unit `reprise.service`, which runs this command once, at low priority."""
    return f"""# {MARK}; `reprise schedule --uninstall` removes it
[Unit]
Description=Reprise: find what a music library holds more than once

[Service]
Type=oneshot
ExecStart=:{_command(words)}
Nice=19
CPUSchedulingPolicy=batch
IOSchedulingClass=idle
SuccessExitStatus={SUCCESS}
KillMode=mixed
TimeoutStopSec=2min
"""


def gate_text(words: Sequence[str]) -> str:
    """The unit `reprise-gate.service`, which keeps this command running."""
    return f"""# {MARK} --gate; `reprise schedule --gate --uninstall` removes it
[Unit]
Description=Reprise: the gate, which says whether the library has what a new file holds

[Service]
Type=exec
ExecStart=:{_command(words)}
Restart=on-failure
RestartSec=10
SuccessExitStatus=130
KillMode=mixed
TimeoutStopSec=30

[Install]
WantedBy=default.target
"""


def _command(words: Sequence[str]) -> str:
    """A command as systemd reads it. Raises UsageError for a word that a unit cannot hold."""
    require_plain(words, "systemd unit")
    if set(words[0]) & set("\"'\\"):
        found = f"systemd cannot run {words[0]}: its name has quotes or a backslash"
        raise UsageError("schedule", found, remedy="Make a link to it with a plain name, and run that")
    return " ".join(map(_systemd_word, words))


def _systemd_word(word: str) -> str:
    """The word in quotes, as systemd reads it: `%` begins a specifier, `\\` an escape. (`$` has no effect after the
    `:` of ExecStart.)"""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def timer_text(at: str) -> str:
    """The unit `reprise.timer`: every day at `at` ("HH:MM"), and when the machine starts if it was off then."""
    return f"""# {MARK}; `reprise schedule --uninstall` removes it
[Unit]
Description=Reprise every night

[Timer]
OnCalendar=*-*-* {at}:00
Persistent=true

[Install]
WantedBy=timers.target
"""


def cron_line(words: Sequence[str], at: str, nice: Sequence[str] = ("nice", "-n", "19")) -> str:
    """A line for `crontab`, with its mark. What the command prints on stdout is dropped, as cron would mail it every
    night; failures go to stderr."""
    require_plain(words, "crontab")
    for word in words:
        if "\\" in word:  # crons differ in how they read it
            found = f"{word} cannot be written in a crontab: it has a backslash"
            raise UsageError("schedule", found, remedy="Make a link to it with a plain name, and give that")
    hour, minute = map(int, at.split(":"))
    command = f"{shlex.join([*nice, *words])} >/dev/null {CRON_MARK}".replace("%", "\\%")
    if len(os.fsencode(command)) > CRON_LENGTH:
        found = f"the command has {len(os.fsencode(command))} bytes, and a crontab holds at most {CRON_LENGTH}"
        remedy = "Put the folders and options into the settings file, or into a profile in it"
        raise UsageError("schedule", found, remedy=remedy)
    return f"{minute} {hour} * * * {command}"


def plist_text(words: Sequence[str], at: str) -> str:
    """The property list of a launchd agent; a run missed while the machine sleeps starts when it wakes."""
    require_plain(words, "property list")
    hour, minute = map(int, at.split(":"))
    agent = {
        "Label": LABEL,
        "ProgramArguments": list(words),
        "StartCalendarInterval": {"Hour": hour, "Minute": minute},
        "ProcessType": "Background",
        "LowPriorityIO": True,
        "Nice": 19,
    }
    text = plistlib.dumps(agent).decode()
    return text.replace("<plist ", f"<!-- {MARK} -->\n<plist ", 1)


def with_cron_line(crontab: bytes, line: bytes | None) -> bytes:
    """The crontab with `line` in place of the marked line, or at the end if there is none; with None, without the
    marked line. All other bytes stay the same."""
    kept, put = [], False
    for old in crontab.splitlines(keepends=True):
        if not is_marked_line(old):
            kept.append(old)
        elif line is not None and not put:
            kept.append(line + b"\n")
            put = True
    if line is not None and not put:
        if kept and not kept[-1].endswith(b"\n"):
            kept[-1] += b"\n"
        kept.append(line + b"\n")
    return b"".join(kept)


def is_marked_line(line: bytes) -> bool:
    """Whether a line of a crontab is ours; a line that was commented out belongs to the user."""
    return line.rstrip().endswith(CRON_MARK.encode()) and not line.lstrip().startswith(b"#")
