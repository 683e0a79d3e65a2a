"""A function in a process of its own: what it returns and raises, and what is left if the process ends."""

from __future__ import annotations

import ctypes
import dataclasses
import functools
import os
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from dedup.errors import InputError
from dedup.files.apart import apart, end_all
from dedup.settings import MatchSettings
from tests.web_server import REPO


def crash() -> None:
    ctypes.string_at(0)


def grow() -> int:
    return len(bytes(8 << 30))


def refuse(name: str) -> None:
    raise InputError(name, "is damaged", remedy="Name another file")


def test_what_it_returns_and_raises() -> None:
    assert apart("x", 30.0, os.path.basename, b"/a/b") == b"b"
    with pytest.raises(FileNotFoundError):
        apart("x", 30.0, os.stat, "/nowhere")
    with pytest.raises(MemoryError):
        apart("x", 30.0, grow)
    with pytest.raises(InputError) as raised:
        apart("x", 30.0, refuse, "y")
    assert (raised.value.where, raised.value.found) == ("y", "is damaged")


class Runs:
    """What a process that a file has taken over may answer."""

    def __reduce__(self) -> tuple[Callable[[str], None], tuple[str]]:
        return os.mkdir, (self.folder,)

    def __init__(self, folder: str) -> None:
        self.folder = folder


def test_an_answer_runs_no_code(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="mkdir is no part of an answer"):
        apart("x", 30.0, Runs, str(tmp_path / "made"))
    opened = Path("/").open
    for kind in (subprocess.Popen, os.system, eval, getattr, opened, functools.partial(os.mkdir), SystemExit):
        with pytest.raises(InputError, match="is no part of an answer"):
            apart("x", 30.0, functools.partial, kind)
    assert not (tmp_path / "made").exists()


def test_records_and_arrays_come_as_they_are() -> None:
    answer = apart("x", 30.0, np.arange, 3, 6, 1, np.float32)
    assert answer.dtype == np.float32 and answer.tolist() == [3, 4, 5]
    assert apart("x", 30.0, np.float64, 0.5) == 0.5
    settings = apart("x", 30.0, dataclasses.replace, MatchSettings())
    assert settings == MatchSettings()


def test_what_ends_the_process_ends_nothing_else() -> None:
    with pytest.raises(InputError, match="ended the process"):
        apart("x", 30.0, crash)
    with pytest.raises(InputError, match="longer than"):
        apart("x", 1.0, time.sleep, 30.0)


def test_all_can_be_ended_at_once() -> None:
    """As Ctrl-C does: nobody waits for a long file."""
    ended: list[str] = []

    def ask() -> None:
        try:
            apart("x", 60.0, time.sleep, 60.0)
        except InputError as error:
            ended.append(str(error))

    asking = threading.Thread(target=ask)
    asking.start()
    deadline = time.monotonic() + 30
    while asking.is_alive() and time.monotonic() < deadline:
        end_all()
        time.sleep(0.05)
    assert "ended the process" in ended[0]


def test_it_ends_with_whoever_asked(tmp_path: Path) -> None:
    mark = tmp_path / "pid"
    code = f"""
import os, time
from dedup.files.apart import apart, end_all
from dedup.settings import MatchSettings
apart("x", 60.0, exec, "import os, time; open({str(mark)!r}, 'w').write(str(os.getpid())); time.sleep(60)")
"""
    process = subprocess.Popen([sys.executable, "-c", code], cwd=REPO)
    deadline = time.monotonic() + 30
    while not (mark.exists() and mark.read_text()) and time.monotonic() < deadline:
        time.sleep(0.05)
    child = Path("/proc") / mark.read_text() / "cmdline"
    assert child.read_bytes()
    process.kill()
    process.wait()
    while child.exists() and child.read_bytes() and time.monotonic() < deadline:
        time.sleep(0.05)
    assert not child.exists() or not child.read_bytes()
