"""Runs something again and again, killed at the first of its steps, then at the second, and so on to the end: for tests
of what a kill leaves behind. To be used in a process of its own (`run_killed`), as it forks."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

REPO = Path(__file__).resolve().parent.parent


def run_killed(program: str, *arguments: object, timeout_s: float = 240.0) -> None:
    """Runs a Python program that calls `kill_at_each_step`; modules of the tests and of the project are at hand."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    subprocess.run(command, cwd=REPO, check=True, timeout=timeout_s)


def kill_at_each_step(
    made: Path,
    target: Path,
    run: Callable[[Path], None],
    steps: Iterable[tuple[Any, str]],
    prepare: Callable[[Path], None] | None = None,
    every: int = 1,
) -> None:
    """For n = 1, 1 + `every` and so on: copies `made` to `target`/killed n, prepares it, and runs there, killed
    (SIGKILL) before the n-th call of any of the steps (owner and name of a function). The last copy is that of a run
    that came to its end."""
    at = 1
    while True:
        folder = shutil.copytree(made, target / f"killed {at:04}", symlinks=True)
        child = os.fork()
        if child == 0:
            if prepare is not None:
                prepare(folder)
            _arm(list(steps), at)
            run(folder)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if not os.WIFSIGNALED(status):
            sys.exit(os.waitstatus_to_exitcode(status))
        at += every


def _arm(steps: list[tuple[Any, str]], at: int) -> None:
    seen = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def step(*arguments: Any, **more: Any) -> Any:
            nonlocal seen
            seen += 1
            if seen == at:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **more)

        return step

    for owner, name in steps:
        setattr(owner, name, counted(getattr(owner, name)))
