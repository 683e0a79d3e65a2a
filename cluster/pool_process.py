"""A worker process of the pool, as its launcher sees it."""

from __future__ import annotations

import contextlib
import os
import pickle
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from multiprocessing.connection import Connection

from cluster.pool_worker import PROGRAM, SERIAL_BYTES, Request
from cluster.process import ONE_THREAD, SHIELDED, SILENT, TERMINATE_SHARE, Death, exit_text, too_much_text
from cluster.worker import Call

END_TIMEOUT_S = 5.0
"""Seconds after which a process that was killed is given up."""

STUCK = "does not end: it waits for a disk that does not answer"

_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


class WorkerProcess:
    """Started when it is made. It is deaf to a terminal's signals, and ends with its launcher."""

    def __init__(self, folder: str, log: str, timeout_s: float) -> None:
        """`folder` takes what it notes, `log` what it writes to stdout and stderr. It gives a sign of life ten times
        in `timeout_s` seconds, and is killed if a message to it, or from it, takes that long. Raises OSError."""
        # A signal mask passes through exec, so Ctrl-C can never reach the worker.
        before = signal.pthread_sigmask(signal.SIG_BLOCK, SHIELDED)
        ours, theirs = socket.socketpair()
        self._hung = os.path.join(folder, f"hung-{ours.fileno()}-{time.monotonic_ns()}")
        flags = [f"-W{option}" for option in sys.warnoptions]
        arguments = [str(theirs.fileno()), str(os.getpid()), self._hung, str(timeout_s / 10), "\n".join(sys.path)]
        try:
            with ours, theirs, open(log, "ab", opener=_private) as output:
                self._process = subprocess.Popen(
                    [sys.executable, *flags, "-c", PROGRAM, *arguments],
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    pass_fds=[theirs.fileno()],
                    env=os.environ | ONE_THREAD,
                )
                self.connection = Connection(ours.detach())
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)
        self.pid = self._process.pid
        self._timeout_s = timeout_s
        self.serial: int | None = None
        """Number of the task that it has; None if it has none."""
        self.held: set[int] = set()
        """Numbers of the shared values that it has."""
        self._to_forget: list[int] = []
        self.heard_at = time.monotonic()
        self.has_taken = False
        """Whether it began with the last task that it was given."""
        self._known_how: str | None = None
        self._is_greedy = False
        self._killed_at: float | None = None

    def prepare(self, modules: Sequence[str]) -> None:
        """Has it import modules, before its next task."""
        if self.serial is None:  # else it reads nothing for now
            self._send(Request(-1, None, modules=modules))

    def give(self, serial: int, call: Call, values: dict[int, bytes]) -> None:
        """Gives it its next task, and the pickled shared values of it that it lacks, by number."""
        forget, self._to_forget = self._to_forget, []
        self.serial, self.has_taken = serial, False
        self.held |= values.keys()
        self._send(Request(serial, call, values, forget))

    def forget(self, number: int) -> None:
        """Has it drop a shared value before its next task."""
        if number in self.held:
            self.held.remove(number)
            self._to_forget.append(number)

    def has_ended(self) -> bool:
        return self._process.poll() is not None

    def _send(self, request: Request) -> None:
        """A process that has ended gets nothing: its end will be read."""
        try:
            message = pickle.dumps(request, protocol=5)
            with self._within_time():
                self.connection.send_bytes(message)
        except OSError:
            return
        except BaseException:  # half a message: what follows would not be understood
            self.kill()
            raise

    def receive(self) -> tuple[int, bytes] | None:
        """The number of the task that it had, and the answer; None for a mere sign of life, or that it has taken it.
        Raises EOFError or OSError once it has ended."""
        try:
            with self._within_time():
                message = self.connection.recv_bytes()
        except (EOFError, OSError):
            raise
        except BaseException:
            self.kill()
            raise
        self.heard_at = time.monotonic()
        if not message:
            return None
        self.has_taken = True
        if len(message) == SERIAL_BYTES:
            return None
        self.serial = None
        return int.from_bytes(message[:SERIAL_BYTES]), message[SERIAL_BYTES:]

    @contextlib.contextmanager
    def _within_time(self) -> Iterator[None]:
        """Kills it if what is inside takes too long: a process that is stopped, or waits for a disk that is away,
        leaves half a message, and who waits for the other half hears no signal."""
        timer = threading.Timer(self._timeout_s, self.kill_as_silent)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            timer.cancel()

    def memory_bytes(self) -> float:
        """Memory that it takes, over the share of its limit from which on a worker is ended."""
        try:
            with open(f"/proc/{self.pid}/statm", encoding="ascii") as file:
                return int(file.read().split()[1]) * _PAGE_BYTES / TERMINATE_SHARE
        except (OSError, IndexError, ValueError):
            return self._memory_elsewhere()

    def _memory_elsewhere(self) -> float:
        import psutil

        try:
            return float(psutil.Process(self.pid).memory_info().rss) / TERMINATE_SHARE
        except psutil.Error:
            return 0.0  # it has ended

    def kill_as_silent(self) -> None:
        self._known_how = SILENT
        self.kill()

    def kill_as_greedy(self, limit_bytes: int) -> None:
        self._known_how, self._is_greedy = too_much_text(limit_bytes), True
        self.kill()

    def was_ended_by_task(self) -> bool:
        """Whether its end is the doing of the task that it was given last."""
        return self.has_taken or self._is_greedy

    def kill(self) -> None:
        """Ends it. It holds nothing that we need, and may hang: waiting for it to end by itself gains nothing."""
        self._killed_at = self._killed_at or time.monotonic()
        self._process.kill()

    def is_stuck(self) -> bool:
        """Whether it was killed and does not end."""
        return self._killed_at is not None and time.monotonic() - self._killed_at > END_TIMEOUT_S

    def end(self) -> Death:
        """Waits for its end, which was seen or asked for, and says how it came."""
        self.connection.close()
        code = self._exit_code()
        if code is None:  # it closed its side and goes on
            self.kill()
            code = self._exit_code()
        how = self._known_how or (STUCK if code is None else exit_text(code))
        if code is None:
            self._process.returncode = -signal.SIGKILL  # nobody waits for it any more
        hang = None
        with contextlib.suppress(OSError), open(self._hung, errors="replace") as file:
            hang = file.read() or None
        return Death(how, None, hang)

    def _exit_code(self) -> int | None:
        """None if it does not end now: the system keeps a process that waits for a disk that does not answer."""
        try:
            return self._process.wait(timeout=END_TIMEOUT_S)
        except subprocess.TimeoutExpired:
            return None


def _private(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
