"""A person at a terminal, for the tests of what asks one: a real pseudo-terminal for a program in this process."""

from __future__ import annotations

import contextlib
import os
import pty
import select
import sys
import termios
import threading
import time
from collections.abc import Iterator, Sequence

import pytest

PATIENCE_S = 60


class Person(threading.Thread):
    """Waits for each text in turn, and types the answer to it: a line where it ends with a line break, else keys."""

    def __init__(self, terminal: int, script: Sequence[tuple[str, bytes]]) -> None:
        super().__init__(daemon=True)
        self.terminal, self.script, self.seen, self.problem = terminal, script, "", ""

    def run(self) -> None:
        done = 0
        for awaited, answer in self.script:
            while awaited not in self.seen[done:]:
                if not self._read():
                    self.problem = f"{awaited!r} never came: {self.seen}"
                    return
            done = self.seen.index(awaited, done) + len(awaited)
            self._wait_for_mode(is_line=answer.endswith(b"\n"))
            os.write(self.terminal, answer)
        while self._read():
            pass

    def _wait_for_mode(self, is_line: bool) -> None:
        """What is typed before keys count is thrown away."""
        until = time.monotonic() + PATIENCE_S
        while bool(termios.tcgetattr(self.terminal)[3] & termios.ICANON) != is_line and time.monotonic() < until:
            time.sleep(0.002)

    def _read(self) -> bool:
        """Whether there was more."""
        try:
            piece = os.read(self.terminal, 4096) if select.select([self.terminal], [], [], PATIENCE_S)[0] else b""
        except OSError:  # Linux says EIO where others say the end
            piece = b""
        self.seen += piece.decode()
        return bool(piece)


@contextlib.contextmanager
def person(monkeypatch: pytest.MonkeyPatch, *script: tuple[str, bytes], width: int | None = None) -> Iterator[Person]:
    """Inside, stdin and stdout are a terminal, of so many columns, at which somebody answers by this script."""
    ours, theirs = pty.openpty()
    if width is not None:
        termios.tcsetwinsize(theirs, (40, width))
    answering = Person(ours, script)
    with open(theirs) as stdin, open(os.dup(theirs), "w", buffering=1) as stdout, monkeypatch.context() as patch:
        patch.setattr(sys, "stdin", stdin)
        patch.setattr(sys, "stdout", stdout)
        answering.start()
        yield answering
    answering.join(PATIENCE_S)
    os.close(ours)
    assert not answering.problem, answering.problem
