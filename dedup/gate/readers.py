"""Threads that read files on their way in, several at a time. The work is in processes; a thread waits for one, and has
the store open for itself."""

from __future__ import annotations

import threading
from collections.abc import Callable, Hashable
from queue import SimpleQueue
from typing import TYPE_CHECKING, NamedTuple

from dedup.gate.newcomer import Newcomer, Reader
from dedup.library.unusable import Unusable
from dedup.store.store import open_for_reading

if TYPE_CHECKING:
    from pathlib import Path

    from dedup.files.standby import Standby
    from dedup.settings import ScanSettings


class Read(NamedTuple):
    """A file that was read."""

    key: Hashable
    """By which whoever asked knows it."""
    path: bytes
    found: Newcomer | Unusable | Exception
    """The exception that reading it raised is not the file's fault."""
    n_again: int = 0
    """How often it was put off since."""


class Readers:
    """Reads what is put, first come, first served."""

    def __init__(
        self, folder: Path, standby: Standby, scan: ScanSettings, n: int, tell: Callable[[Read], None]
    ) -> None:
        """`tell` is called with each file that was read, in the order in which they are done, by any thread."""
        self._asked: SimpleQueue[tuple[Hashable, bytes] | None] = SimpleQueue()
        self._tell = tell
        self._is_closed = threading.Event()
        arguments = (folder, standby, scan)
        self._threads = [threading.Thread(target=self._work, args=arguments, daemon=True) for _ in range(n)]
        for thread in self._threads:
            thread.start()

    def put(self, key: Hashable, path: bytes) -> None:
        self._asked.put((key, path))

    def close(self) -> None:
        """Ends the threads once each has read the file that it is at."""
        self._is_closed.set()
        for _ in self._threads:
            self._asked.put(None)
        for thread in self._threads:
            thread.join()

    def _work(self, folder: Path, standby: Standby, scan: ScanSettings) -> None:
        asked = self._asked.get()
        while asked is not None:
            try:
                with open_for_reading(folder) as store:
                    reader = Reader(store, standby, scan)
                    while asked is not None:
                        self._answer(asked, reader)
                        asked = self._asked.get()
                return
            except Exception as error:  # of the store: whoever asked gets it, and the next one tries again
                assert asked is not None
                key, path = asked
                self._tell(Read(key, path, error))
                asked = self._asked.get()

    def _answer(self, asked: tuple[Hashable, bytes], reader: Reader) -> None:
        key, path = asked
        if not self._is_closed.is_set():
            self._tell(Read(key, path, reader.read(path)))
