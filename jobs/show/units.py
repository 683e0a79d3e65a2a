"""What makes a system run a command every night, as text: a systemd service and timer, a crontab line, a launchd agent.

All three carry a mark, by which `reprise schedule --uninstall` knows what it may remove. A word of the command that
one of them cannot hold is refused: nothing here is ever written that would run another command than the one shown."""

from __future__ import annotations

import os
import plistlib
import shlex
from collections.abc import Sequence

from dedup.errors import UsageError
from jobs.session.output import one_line

NAME = "reprise"
LABEL = "reprise.nightly"
"""Of launchd."""
MARK = "made by `reprise schedule`"
CRON_MARK = "# made by reprise schedule"
CRON_LENGTH = 900
"""Bytes of a crontab's command; cron cuts longer ones off at about 1,000."""
SUCCESS = "3 4 5"
"""Exit codes that are no failure of the service: some files failed, time is up, nothing to do."""


def require_plain(words: Sequence[str], what: str) -> None:
    """Raises UsageError for a word that no unit can hold: control characters, and bytes that are no UTF-8."""
    for word in words:
        if any(ord(character) < 32 or ord(character) == 127 or 0xD800 <= ord(character) < 0xE000 for character in word):
            raise UsageError(
                "schedule",
                f"{one_line(word)} cannot be written in a {what}",
                "names in UTF-8 without control characters",
                "Give a link to it, with a plain name",
            )


def service_text(words: Sequence[str]) -> str:
    """The unit `reprise.service`, that runs this command once, out of everybody's way."""
    require_plain(words, "systemd unit")
    if set(words[0]) & set("\"'\\"):
        expected = "none in the name of what systemd runs"
        raise UsageError("schedule", f"{words[0]} has quotes or a backslash", expected, "Give a link with a plain name")
    command = " ".join(map(_systemd_word, words))
    return f"""# {MARK}; `reprise schedule --uninstall` removes it
[Unit]
Description=Reprise: find what a music library holds more than once

[Service]
Type=oneshot
ExecStart=:{command}
Nice=19
CPUSchedulingPolicy=batch
IOSchedulingClass=idle
SuccessExitStatus={SUCCESS}
KillMode=mixed
TimeoutStopSec=2min
"""


def _systemd_word(word: str) -> str:
    """In quotes, as systemd reads them: `%` begins a specifier, `\\` an escape. (`$` does nothing behind the `:` of
    ExecStart.)"""
    escaped = word.replace("\\", "\\\\").replace('"', '\\"').replace("%", "%%")
    return f'"{escaped}"'


def timer_text(at: str) -> str:
    """The unit `reprise.timer`: every day at `at` ("HH:MM"), and after the machine starts where it was off then."""
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
    night; failures are on stderr."""
    require_plain(words, "crontab")
    for word in words:
        if "\\" in word:  # crons differ in what they make of one
            remedy = "Give a link to it, with a plain name"
            raise UsageError("schedule", f"{word} has a backslash", "none, in a crontab", remedy)
    hour, minute = map(int, at.split(":"))
    command = f"{shlex.join([*nice, *words])} >/dev/null {CRON_MARK}".replace("%", "\\%")
    if len(os.fsencode(command)) > CRON_LENGTH:
        expected = f"at most {CRON_LENGTH} in a crontab"
        remedy = "Put roots and options into the settings file, or a profile of it"
        raise UsageError("schedule", f"the command has {len(os.fsencode(command))} bytes", expected, remedy)
    return f"{minute} {hour} * * * {command}"


def plist_text(words: Sequence[str], at: str) -> str:
    """The property list of a launchd agent; what was missed while the machine slept is run when it wakes."""
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
    """The crontab with that line in place of the marked one, if there is one, else at its end; with None, without it.
    All other bytes stay as they are."""
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
    """Whether a line of a crontab is ours; one that was turned into a comment is somebody else's by now."""
    return line.rstrip().endswith(CRON_MARK.encode()) and not line.lstrip().startswith(b"#")
