"""This program as a command that somebody else runs: a unit of the system, or the web page."""

from __future__ import annotations

import os
import sys
from collections.abc import Collection
from pathlib import Path
from typing import Any

from jobs.session.configuration import Configuration
from jobs.session.options import VALUES
from jobs.session.values import FOLDER, SWITCH


def option_words(name: str, value: Any) -> list[str]:
    """A setting as options of a command line that yield this value."""
    setting = VALUES[name]
    if setting.kind is SWITCH:
        return [f"--{name}" if value else f"--no-{name}"]
    words = []
    for one in value if setting.many else (value,):
        if one is None:
            text = setting.none
        elif isinstance(one, (frozenset, tuple)):
            text = ",".join(sorted(one) if isinstance(one, frozenset) else one)
        else:
            is_path = setting.kind is FOLDER or (name == "scheduler" and os.path.exists(one))
            text = os.path.abspath(one) if is_path else str(one)
        words.append(f"--{name}={text}")
    return words


def program() -> list[str]:
    """Words that start this program from any folder: its console script, the launcher of its checkout, or Python with
    its module."""
    started = os.path.abspath(sys.argv[0])
    if os.path.basename(started) == "reprise" and os.access(started, os.X_OK):
        return [started]
    launcher = Path(__file__).resolve().parents[2] / "scripts" / "reprise"
    if os.access(launcher, os.X_OK):
        return [str(launcher)]
    return [sys.executable, "-P", "-m", "jobs"]


def given_words(settings: Configuration, names: Collection[str]) -> list[str]:
    """Options that give another command the store of this one, and those of the settings `names` that its command line
    set. What the environment and the settings file say reaches the other command by itself."""
    words = option_words("store", str(settings.store))
    for name, one in settings.settled.items():
        if name != "store" and name in names and one.source.startswith("command line"):
            words += option_words(name, one.value)
    return words


def same_program() -> tuple[list[str], dict[str, str]]:
    """Words that start this very program with the interpreter and the code that run now, and the environment for them;
    for a process that begins while this one runs."""
    here = str(Path(__file__).resolve().parents[2])
    paths = [here, *filter(None, [os.environ.get("PYTHONPATH")])]
    return [sys.executable, "-P", "-m", "jobs"], {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
