"""The main program of a worker process of the pool: takes one task at a time from its launcher, and answers.

This module imports only the standard library, because every start of a worker pays for its imports."""

from __future__ import annotations

import contextlib
import faulthandler
import importlib
import os
import pickle
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from cluster import worker

PROGRAM = "import sys; sys.path[:] = sys.argv.pop().split('\\n'); from cluster.pool_worker import main; main()"
"""What Python runs in a worker process; the last argument is the launcher's path of modules."""

SERIAL_BYTES = 8
"""Length of the number before an answer. Without an answer it says that the task is taken; a message without the
number is a sign of life."""


@dataclass(frozen=True)
class Request:
    """What the launcher sends."""

    serial: int
    call: worker.Call | None
    """The task; None if the modules are all there is to do."""
    values: dict[int, bytes] = field(default_factory=dict)
    """Pickled shared values that this worker has not got yet, by number."""
    forget: Sequence[int] = ()
    """Numbers of shared values that no task will ask for again."""
    modules: Sequence[str] = ()
    """Modules that tasks will need: they are imported while the launcher is busy with other things."""


def main() -> None:
    """Arguments: a file descriptor to talk to the launcher, its process id, the file that gets the traceback of a task
    that ran past its time limit, and seconds from one sign of life to the next."""
    descriptor, launcher, hung, beat_s = sys.argv[1:]
    faulthandler.enable(file=2)
    worker.die_with_launcher(int(launcher))
    worker.collect_seldom()
    worker.note_hangs(os.open(hung, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600))
    talk = _Talk(Connection(int(descriptor)))
    talk.say(b"")
    threading.Thread(target=talk.beat, args=(float(beat_s),), daemon=True).start()
    values = _Values()
    for request in talk.requests():
        _load(request.modules)
        values.take(request)
        if request.call is not None:
            number = request.serial.to_bytes(SERIAL_BYTES)
            talk.say(number)
            talk.say(number + worker.answer_of(request.call, values.get))


class _Talk:
    """Both directions of the way to the launcher. The process ends if the launcher is gone."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._lock = threading.Lock()

    def requests(self) -> Iterator[Request]:
        with contextlib.suppress(EOFError, OSError):
            while True:
                request: Request = pickle.loads(self._connection.recv_bytes())
                yield request
        os._exit(0)

    def say(self, message: bytes) -> None:
        try:
            with self._lock:
                self._connection.send_bytes(message)
        except OSError:
            os._exit(0)

    def beat(self, every_s: float) -> None:
        while True:
            time.sleep(every_s)
            self.say(b"")


class _Values:
    """The shared values that this process has, rebuilt when a task first asks for them."""

    def __init__(self) -> None:
        self._pickled: dict[int, bytes] = {}
        self._rebuilt: dict[int, Any] = {}

    def take(self, request: Request) -> None:
        for number in request.forget:
            self._pickled.pop(number, None)
            self._rebuilt.pop(number, None)
        self._pickled |= request.values

    def get(self, slot: worker.Slot) -> Any:
        if slot.index not in self._rebuilt:
            self._rebuilt[slot.index] = pickle.loads(self._pickled[slot.index])
            self._pickled[slot.index] = b""
        return self._rebuilt[slot.index]


def _load(modules: Sequence[str]) -> None:
    for name in modules:
        with contextlib.suppress(Exception):  # the task that needs it reports that it cannot be imported
            importlib.import_module(name)
