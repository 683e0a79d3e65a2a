"""`--notify COMMAND`: hands a run's summary to a command when the run is over. Whatever that command does, the run is
not affected; a failure costs one line of output."""

from __future__ import annotations

import contextlib
import logging
import os
import shlex
import signal
import subprocess
import sys
from collections.abc import Iterable
from typing import Any

from jobs.session.output import complain, json_line

TIME_LIMIT_S = 60.0
log = logging.getLogger("reprise")


def is_wanted(when: str, event: str) -> bool:
    """Whether a run that ended as `event` ("ended", "new" or "failed") calls for a notification."""
    return when == "always" or event in ("failed", when)


def notify(command: str, record: dict[str, Any], time_limit_s: float = TIME_LIMIT_S) -> bool:
    """Runs the command, split as a shell would split it but without a shell, with the record as JSON on its stdin and
    its output on our stderr. Reports on one line what went wrong; returns whether all went well."""
    words = shlex.split(command)
    try:
        trouble = _run(words, json_line(record), time_limit_s)
    except OSError as error:
        trouble = f"cannot be started: {error.strerror or error}"
    if trouble:
        log.warning("notify %s: %s", words[0], trouble)
        complain(f"reprise: warning: --notify {words[0]}: {trouble}; the run itself is not affected")
    return not trouble


def without_secrets(words: Iterable[str]) -> list[str]:
    """The words of a command line for a log: of the command to notify only its program, as its arguments may hold a
    password."""
    shown: list[str] = []
    for word in words:
        if shown and shown[-1] == "--notify":
            shown.append(_program(word))
        else:
            option, equals, command = word.partition("=")
            shown.append(f"--notify={_program(command)}" if option == "--notify" and equals else word)
    return shown


def _program(command: str) -> str:
    try:
        first, *rest = shlex.split(command)
    except ValueError:  # no command, or one with a quote that does not close
        return "…"
    return f"{first} …" if rest else first


def _run(words: list[str], data: bytes, time_limit_s: float) -> str:
    """What went wrong, in words; empty if nothing did. The command has a session of its own, so that nothing it starts
    outlives the limit, and Ctrl-C in the terminal does not reach it."""
    with subprocess.Popen(words, stdin=subprocess.PIPE, stdout=_stderr(), start_new_session=True) as process:
        try:
            process.communicate(data, timeout=time_limit_s)
        except subprocess.TimeoutExpired:
            return f"took longer than {time_limit_s:g} s and was ended"
        finally:
            if process.poll() is None:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(process.pid, signal.SIGKILL)
                process.wait()
    if process.returncode < 0:
        return f"was ended by signal {-process.returncode}"
    return f"ended with exit code {process.returncode}" if process.returncode else ""


def _stderr() -> int:
    """Where the command's output goes: our stdout is only for results."""
    try:
        return sys.stderr.fileno()
    except (AttributeError, OSError, ValueError):
        return subprocess.DEVNULL
