"""Keeps what services answer in a store that others may use meanwhile: its lock is held only while answers are
committed, and nothing is asked while another run holds it."""

from __future__ import annotations

import contextlib
import fcntl
import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dedup.clock import utc_at
from dedup.errors import StoreLockedError, writing
from dedup.lookup.pace import StoppedError
from dedup.store.layout import PRIVATE_FILE, Layout, is_locked
from dedup.store.store import open_for_writing

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.store.lookups import Service
    from dedup.store.store import Store

PURPOSE = "reprise identify"
LOOK_S = 0.2
"""Pause between two looks at whether the run that holds the store is over."""
TOLD_S = 2.0
"""Seconds of waiting after which that is said."""

Answers = Sequence[tuple[str, dict[str, Any]]]
"""Subjects, and what is kept of the answer about each."""


class Keeping:
    """Keeps answers, in a store that is open for writing at once, otherwise under a lock for each."""

    def __init__(self, store: Store, observer: Observer, stop: Stop, now: Callable[[], float]) -> None:
        self._store, self._observer, self._stop, self._now = store, observer, stop, now

    def wait_for_store(self) -> None:
        """Returns when no other run holds the store: what is asked now can be kept. Raises StoppedError."""
        if self._store.writable:
            return
        waits = self._waits()
        while is_locked(self._store.layout):
            next(waits)

    def keep(self, service: Service, answers: Answers) -> None:
        """Commits answers, with the time. Waits for a run that took the store since the question was asked, unless this
        one is to stop. Raises StoppedError, WriteError."""
        if self._store.writable:
            self._put(self._store, service, answers)
            return
        waits = self._waits()
        while True:
            try:
                with open_for_writing(self._store.layout.folder, PURPOSE, is_short=True) as store:
                    self._put(store, service, answers)
                return
            except StoreLockedError:
                next(waits)

    def _put(self, store: Store, service: Service, answers: Answers) -> None:
        with store.catalog.transaction():
            store.catalog.lookups.put(service, utc_at(self._now()), answers)

    def _waits(self) -> Iterator[None]:
        """Waits a little each time; says so once. Raises StoppedError."""
        began, is_told = time.monotonic(), False
        while True:
            if not is_told and time.monotonic() - began > TOLD_S:
                self._observer.message("waiting until the run that holds the store is over")
                is_told = True
            if self._stop.event.wait(LOOK_S):
                raise StoppedError
            yield


@contextlib.contextmanager
def alone(layout: Layout) -> Iterator[None]:
    """For a block that asks services: two at a time would ask the same twice. Raises StoreLockedError, WriteError."""
    with writing(f"store {layout.folder}"):
        descriptor = os.open(layout.lookup_lock, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, PRIVATE_FILE)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            found = "another `reprise identify` is at work"
            raise StoreLockedError(f"store {layout.folder}", found, remedy="Wait for it to end, or stop it") from None
        yield
    finally:
        os.close(descriptor)
