"""A limit to how many tasks of this machine do something at the same time."""

from __future__ import annotations

import fcntl
import os
import time
from dataclasses import dataclass

from cluster import worker

_LOOK_EVERY_S = 0.02


@dataclass(frozen=True)
class Limit:
    """A context that at most `n` tasks of this machine are in at the same time. The place of a process that dies in it
    is free again at once."""

    path: str
    """Path of files, with numbers at their ends; whoever has locked one is in."""
    n: int

    def __enter__(self) -> None:
        with worker.waiting():
            _held.append(self._locked())

    def __exit__(self, *exception: object) -> None:
        os.close(_held.pop())

    def _locked(self) -> int:
        while True:
            for place in range(self.n):
                file = os.open(f"{self.path}-{place}", os.O_RDWR | os.O_CREAT, 0o600)
                try:
                    fcntl.flock(file, fcntl.LOCK_EX | (fcntl.LOCK_NB if self.n > 1 else 0))
                    return file
                except BlockingIOError:
                    os.close(file)
            time.sleep(_LOOK_EVERY_S)


_held: list[int] = []
"""Locks of the limits that this process is in."""


def limit_in(folder: str, name: str, n: int) -> Limit:
    """The limit of that name, which keeps its files in a folder."""
    return Limit(os.path.join(folder, "limit-" + "".join(c if c.isalnum() else "-" for c in name)), n)
