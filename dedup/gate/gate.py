"""The gate: one file, one answer."""

from __future__ import annotations

import contextlib
import os
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from dedup.correlation.correlate import last_compare_settings
from dedup.correlation.warm_up import compile_here, parts_of
from dedup.files.standby import Standby
from dedup.fingerprint.task import is_as_seen
from dedup.gate.decide import Policy, decide
from dedup.gate.library import Library
from dedup.gate.newcomer import Newcomer, Reader
from dedup.gate.nouns import Decision
from dedup.gate.relations import Relations
from dedup.groups.companions import Intended
from dedup.library.unusable import Unusable

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.settings import MatchSettings, ScanSettings
    from dedup.store.store import Store

REFRESH_S = 2.0
"""Seconds for which the gate does not look again whether the store has changed: a scan commits every second."""


class Gate:
    """A store with its gate. The store may be open for reading only, and a scan may go on beside it."""

    def __init__(
        self,
        store: Store,
        standby: Standby,
        match: MatchSettings,
        policy: Policy,
        scan: ScanSettings,
        n_threads: int = 1,
    ) -> None:
        """Compares with `n_threads`. Raises UsageError for settings that do not fit;
        StoreDamagedError, WriteError."""
        self.store, self.policy, self.scan = store, policy, scan
        self.reader = Reader(store, standby, scan)
        self.library = Library(store, match, policy.varispeed, n_threads)
        self.relations = Relations(self.library, standby, scan.time_limit_s)
        self.intended = Intended(policy.keep)
        self._refreshed_at = time.monotonic()

    def close(self) -> None:
        """Ends its threads."""
        self.library.close()

    def check(self, path: bytes) -> Decision:
        """The answer about the file at a path. Raises StoreDamagedError, and for a store that has gone OSError."""
        began = time.monotonic()
        self.refresh()
        path = os.path.abspath(path)
        if (known := self.known(path)) is not None:
            return known
        found = self.reader.read(path)
        decision = self.decide(path, found)
        return replace(decision, seconds=round(time.monotonic() - began, 3))

    def decide(self, path: bytes, found: Newcomer | Unusable) -> Decision:
        """The answer about a file that was read."""
        if isinstance(found, Unusable):
            return Decision(path, "unusable", found.reason)
        pairs = self.relations.of(found)
        return decide(found.track, pairs, self.policy, self.intended, self.relations.listened)

    def refresh(self) -> None:
        """Takes in what has changed in the store, if nobody has looked for a while."""
        now = time.monotonic()
        if now - self._refreshed_at > REFRESH_S:
            self.library.refresh()
            self._refreshed_at = now

    def known(self, path: bytes) -> Decision | None:
        """The answer about a file that is in the library, as the last scan saw it."""
        for name in {path, os.path.realpath(path)}:
            track = self.store.catalog.tracks.get(name)
            is_there = track is not None and track.audio is not None and track.state == "present"
            if track is not None and is_there and is_as_seen(name, track.size, track.mtime_ns):
                return Decision(path, "known", "it is in the library already", deed="nothing")
        return None


def compile_gate(store: Store, observer: Observer) -> None:
    """Compiles what a gate of this store takes, if the cache of this machine lacks it."""
    compile_here(parts_of(last_compare_settings(store)), observer)


@contextlib.contextmanager
def open_gate(
    store: Store, match: MatchSettings, policy: Policy, scan: ScanSettings, n_processes: int = 1, n_threads: int = 1
) -> Iterator[tuple[Gate, Standby]]:
    """A gate with processes of its own, which are started while the library is read, and end with it."""
    with contextlib.closing(Standby(n_processes)) as standby:
        warming = threading.Thread(target=standby.warm, args=WARM, daemon=True)
        warming.start()
        try:
            with contextlib.closing(Gate(store, standby, match, policy, scan, n_threads)) as gate:
                yield gate, standby
        finally:
            warming.join()


WARM = ("dedup.library.probe", "dedup.fingerprint.task", "dedup.nulltest.task")
"""Modules that the processes need for nearly every file."""
