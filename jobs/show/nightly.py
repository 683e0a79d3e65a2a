"""When the system will run the main job next, as `reprise schedule --install` told it."""

from __future__ import annotations

import plistlib
import re
import shutil
import subprocess
import time
from pathlib import Path
from typing import NamedTuple

from jobs.show import units

LIMIT_S = 5.0
"""Most seconds that `crontab` may take."""


class Night(NamedTuple):
    """The next nightly run."""

    at: str
    """Local time, such as "2026-03-01 02:30"."""
    by: str
    """Who begins it: systemd, cron or launchd."""


def next_night(now: float) -> Night | None:
    """The next run after this time, in seconds since 1970; None if none is installed."""
    for by, look in (("systemd", _in_timer), ("launchd", _in_agent), ("cron", _in_crontab)):
        if (found := look()) is not None:
            return Night(time.strftime("%Y-%m-%d %H:%M", time.localtime(next_time(*found, now))), by)
    return None


def next_time(hour: int, minute: int, now: float) -> float:
    """The next moment after `now` at which local clocks show this time of day, in seconds since 1970."""
    today = time.localtime(now)
    days = (
        time.mktime((today.tm_year, today.tm_mon, today.tm_mday + ahead, hour, minute, 0, 0, 0, -1)) for ahead in (0, 1)
    )
    return next((at for at in days if at > now), now)


def time_in_timer(text: str) -> tuple[int, int] | None:
    """Hour and minute of a systemd timer of ours."""
    found = re.search(r"^OnCalendar=\*-\*-\* (\d\d):(\d\d):00$", text, re.MULTILINE)
    return (int(found[1]), int(found[2])) if found and units.MARK in text else None


def time_in_crontab(crontab: bytes) -> tuple[int, int] | None:
    """Hour and minute of our line of a crontab."""
    for line in filter(units.is_marked_line, crontab.splitlines()):
        found = re.match(rb"\s*(\d{1,2})\s+(\d{1,2})\s", line)
        if found:
            return int(found[2]), int(found[1])
    return None


def time_in_agent(text: bytes) -> tuple[int, int] | None:
    """Hour and minute of a launchd agent of ours."""
    if units.MARK.encode() not in text:
        return None
    try:
        at = plistlib.loads(text)["StartCalendarInterval"]
        return int(at["Hour"]), int(at["Minute"])
    except (plistlib.InvalidFileException, KeyError, TypeError, ValueError):
        return None


def _in_timer() -> tuple[int, int] | None:
    folder = units.systemd_folder()
    wanted = folder / "timers.target.wants" / f"{units.NAME}.timer"
    if not (wanted.is_symlink() or wanted.exists()):  # written, but not enabled
        return None
    return time_in_timer((_read(folder / f"{units.NAME}.timer") or b"").decode("utf-8", "replace"))


def _in_agent() -> tuple[int, int] | None:
    return time_in_agent(_read(units.agent_path()) or b"")


def _in_crontab() -> tuple[int, int] | None:
    if shutil.which("crontab") is None:
        return None
    try:
        done = subprocess.run(
            ["crontab", "-l"], stdin=subprocess.DEVNULL, capture_output=True, check=False, timeout=LIMIT_S
        )
    except (OSError, subprocess.TimeoutExpired):
        return None
    return time_in_crontab(done.stdout) if done.returncode == 0 else None


def _read(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None
