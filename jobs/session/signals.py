"""Ctrl-C and SIGTERM: the first asks the run to finish what is in flight, the second stops at once.

The handler itself does next to nothing, as it may have interrupted code that holds any lock: it writes one
byte to a pipe, and a thread shows the message."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Callable
from types import FrameType, TracebackType
from typing import Any

from dedup.errors import EXIT_INTERRUPTED
from dedup.runner import Stop

STOPPING = "finishing what is in flight; press Ctrl-C again to stop at once"
GRACE_S = 3.0
"""Seconds that the process has after the second signal to end in good order, before it ends regardless."""
SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Signals:
    """A context manager: inside it, the first signal requests `stop` and calls `announce`; the second raises
    KeyboardInterrupt. Without `graceful`, for a command that only reads, the first signal acts like the second."""

    def __init__(self, stop: Stop, announce: Callable[[str], None], graceful: bool = True) -> None:
        self.stop, self.announce, self.graceful = stop, announce, graceful
        self.count = 0
        self._before: dict[signal.Signals, Any] = {}

    def __enter__(self) -> Signals:
        if threading.current_thread() is threading.main_thread():
            self._read, self._write = os.pipe()
            os.set_blocking(self._write, False)
            self._teller = threading.Thread(target=self._tell, args=(self._read,), daemon=True)
            self._teller.start()
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *exception: type[BaseException] | BaseException | TracebackType | None) -> None:
        if not self._before:
            return
        for number, handler in self._before.items():
            signal.signal(number, handler)
        if self.count < (2 if self.graceful else 1):  # else the thread sees to it that the process ends
            self._nudge(b"q")
            self._teller.join()
            os.close(self._read)
        os.close(self._write)

    def _handle(self, number: int, frame: FrameType | None) -> None:
        del number, frame
        self.count += 1
        if self.count == 1 and self.graceful:
            self.stop.request("interrupted")
            self._nudge(b"1")
        else:
            self._nudge(b"2")
            raise KeyboardInterrupt

    def _nudge(self, word: bytes) -> None:
        with contextlib.suppress(OSError):
            os.write(self._write, word)

    def _tell(self, pipe: int) -> None:
        while (word := os.read(pipe, 1)) == b"1":
            self.announce(STOPPING)
        if word == b"2":
            threading.Event().wait(GRACE_S)
            os._exit(EXIT_INTERRUPTED)
