"""Processes of their own that wait for the next call: what `apart` does, without the half second in which a process
starts. A file that ends its decoder ends one of them, and the next call gets a new one."""

from __future__ import annotations

import contextlib
import io
import pickle
import queue
import struct
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

from dedup.errors import InputError
from dedup.files.apart import Answer, answer_to, settled
from dedup.files.process import start_python

_T = TypeVar("_T")
MOST_CALLS = 200
"""Calls after which a process is replaced: decoders leak."""

MOST_BYTES = 1 << 30
"""Bytes of an answer: what is longer is none."""

_MAIN = f"from {__name__} import main; main()"
_LENGTH = struct.Struct("<Q")


class Standby:
    """Some processes, started when they are first needed. `call` may be used from any thread."""

    def __init__(self, n: int) -> None:
        self._idle: queue.LifoQueue[_Process] = queue.LifoQueue()
        self._all = [_Process() for _ in range(n)]
        for process in self._all:
            self._idle.put(process)

    def warm(self, *modules: str) -> None:
        """Starts all processes, and has each import these modules before it is first needed."""
        for process in self._all:
            process.start(modules)

    def call(self, name: str, limit_s: float, made: Callable[..., _T], *arguments: object) -> _T:
        """What `made(*arguments)` returns; waits for a process that is free. It is a function of a module, and all of
        it can be pickled. Raises what it raises; InputError, which calls the files `name`, if it takes more than
        `limit_s` seconds or ends its process."""
        with self._free() as process:
            return process.call(name, limit_s, made, arguments)  # type: ignore[no-any-return]

    @contextlib.contextmanager
    def _free(self) -> Iterator[_Process]:
        process = self._idle.get()
        try:
            yield process
        finally:
            self._idle.put(process)

    def close(self) -> None:
        """Ends all of them."""
        for process in self._all:
            process.end()


class _Process:
    """One of them."""

    def __init__(self) -> None:
        self._running: subprocess.Popen[bytes] | None = None
        self._n_calls = 0
        self._lock = threading.Lock()

    def start(self, modules: tuple[str, ...] = ()) -> subprocess.Popen[bytes]:
        """The process, started unless it runs."""
        with self._lock:
            if self._running is None or self._running.poll() is not None or self._n_calls >= MOST_CALLS:
                self._end()
                pipe = subprocess.PIPE
                code = "".join(f"import {module}; " for module in modules) + _MAIN
                self._running = start_python(code, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
                self._n_calls = 0
            return self._running

    def call(self, name: str, limit_s: float, made: Callable[..., Any], arguments: tuple[object, ...]) -> Any:
        """As `Standby.call`."""
        process = self.start()
        self._n_calls += 1
        has_run_out = threading.Event()

        def end() -> None:
            has_run_out.set()
            process.kill()

        timer = threading.Timer(limit_s, end)
        timer.daemon = True
        timer.start()
        told = b""
        try:
            told = _asked(process, pickle.dumps((made, arguments)))
            is_made, what = Answer(io.BytesIO(told)).load()
        except Exception as error:
            self.end()
            found = f"the process that decoded it gave no answer: {error}"
            if has_run_out.is_set():
                found = f"decoding takes longer than {limit_s:g} s"
            elif not told:
                found = f"decoding ended the process that did it ({process.returncode})"
            raise InputError(name, found, remedy="Choose another file") from error
        except BaseException:  # an answer that nobody waits for must not be taken for that of the next call
            self.end()
            raise
        finally:
            timer.cancel()
        if is_made:
            return what
        raise what

    def end(self) -> None:
        with self._lock:
            self._end()

    def _end(self) -> None:
        process, self._running = self._running, None
        if process is None:
            return
        process.kill()
        process.wait()
        for pipe in (process.stdin, process.stdout):
            if pipe is not None:
                with contextlib.suppress(OSError):
                    pipe.close()


def _asked(process: subprocess.Popen[bytes], call: bytes) -> bytes:
    """What the process answers. Raises OSError, EOFError."""
    assert process.stdin is not None and process.stdout is not None
    process.stdin.write(call)
    process.stdin.flush()
    (length,) = _LENGTH.unpack(_read(process.stdout, _LENGTH.size))
    if length > MOST_BYTES:
        raise EOFError(f"an answer of {length} bytes")
    return _read(process.stdout, length)


def _read(pipe: Any, n: int) -> bytes:
    data: bytes = pipe.read(n)
    if len(data) < n:
        raise EOFError("it ended")
    return data


def main() -> None:
    """The process: answers one call after the other, each answer behind its length in bytes; ends with whoever started
    it."""
    with settled() as told:
        while True:
            try:
                answer = answer_to(sys.stdin.buffer)
            except EOFError:
                return
            told.write(_LENGTH.pack(len(answer)) + answer)
            told.flush()
