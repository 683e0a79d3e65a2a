"""Functions that `test_cluster.py` has workers run: importable, so that they travel by name."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import time
import uuid
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any


def square(number: int) -> int:
    return number * number


def echo(*arguments: Any) -> tuple[Any, ...]:
    return arguments


def fail(text: str) -> None:
    raise ValueError(text)


def leave() -> None:
    sys.exit(3)


def unpicklable() -> Any:
    return lambda: None


def environment() -> dict[str, str]:
    return dict(os.environ)


def pid(*_: object) -> int:
    return os.getpid()


def uneven(slow: int) -> int:
    """Takes ten times as long in the process `slow`."""
    time.sleep(0.2 if os.getpid() == slow else 0.02)
    return os.getpid()


def enter(folder: str, limit: AbstractContextManager[Any], stay_s: float = 0.05) -> int:
    """How many are within the limit with this one."""
    with limit:
        mark = Path(folder) / uuid.uuid4().hex
        mark.touch()
        time.sleep(stay_s)
        n_inside = len(list(Path(folder).iterdir()))
        mark.unlink()
    return n_inside


def shout() -> None:
    print("to stdout")  # noqa: T201
    os.write(2, b"to stderr\n")


def noted(folder: str, name: str, how: str) -> str:
    """Records this execution as a file, then ends as `how` says."""
    (Path(folder) / f"{name}.{uuid.uuid4().hex}").touch()
    match how:
        case "crash":
            os.kill(os.getpid(), signal.SIGKILL)
        case "abort":
            os.abort()
        case "sleep":
            time.sleep(3600)
        case "spin":
            while True:
                pass
        case "hold the GIL":
            ctypes.PyDLL(None).sleep(3600)
        case "eat":
            hoard = []
            while True:
                hoard.append(bytearray(os.urandom(1) * (16 << 20)))
                time.sleep(0.02)
        case "wait":
            wait_for(Path(folder) / "go")
        case "follow":
            while not any(Path(folder).glob("hung.*")):
                time.sleep(0.01)
        case "brief":
            time.sleep(0.02)
    return name


def wait_for(path: Path) -> None:
    while not path.exists():
        time.sleep(0.01)


class Counted:
    """A value that records each time it is rebuilt from bytes, and where."""

    def __init__(self, folder: str, content: str) -> None:
        self.folder, self.content = folder, content

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        (Path(self.folder) / f"rebuilt-{os.getpid()}.{uuid.uuid4().hex}").touch()


def content_of(counted: Counted, delay_s: float = 0.0) -> tuple[str, int]:
    time.sleep(delay_s)
    return counted.content, os.getpid()


def crash_once(path: str, counted: Counted) -> str:
    if not os.path.exists(path):
        Path(path).touch()
        os.kill(os.getpid(), signal.SIGKILL)
    return counted.content


def crash_or_read(go: str, counted: Counted | None) -> str:
    if counted is None:
        wait_for(Path(go))
        os.kill(os.getpid(), signal.SIGKILL)
    assert counted is not None
    return counted.content


class Deadly:
    """A value that ends the process that rebuilds it."""

    def __reduce__(self) -> tuple[Any, ...]:
        return os._exit, (7,)
