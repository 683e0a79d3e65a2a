"""Where decisions are made: the store as it is now, and the answers, each kept before the page hears of it."""

from __future__ import annotations

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.plan.document import is_replaceable, read_plan
from dedup.plan.review import review_of
from dedup.store.store import open_for_reading
from jobs.serve.shown import Snapshot

if TYPE_CHECKING:
    from dedup.settings import KeepSettings, MatchSettings, PlanSettings

LEAST_PAUSE_S = 1.0
"""Least time between two looks at whether the store has changed."""
PAUSE_FACTOR = 5.0
"""A store that changes all the time is read again after so many times as long as reading took."""


@dataclass(frozen=True)
class Terms:
    """What the pages are made by."""

    folder: Path
    """Folder of the store."""
    plan: bytes
    """File of the plan that has the answers."""
    match: MatchSettings
    keep: KeepSettings
    settings: PlanSettings


class Desk:
    """The current snapshot, read when it is first asked for, and again when the store has changed; safe to use from
    several threads."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._lock = threading.RLock()
        self._snapshot: Snapshot | None = None
        self._version: object = None
        self._looked, self._took_s = 0.0, 0.0

    def now(self) -> Snapshot:
        """The store and the answers as they are. Raises what opening a store raises."""
        with self._lock:
            if self._snapshot is None or self._has_changed():
                began = time.monotonic()
                self._snapshot, self._version = self._read(), self._version_now()
                self._looked = time.monotonic()
                self._took_s = self._looked - began
            return self._snapshot

    def _has_changed(self) -> bool:
        if time.monotonic() - self._looked < max(LEAST_PAUSE_S, PAUSE_FACTOR * self._took_s):
            return False
        self._looked = time.monotonic()
        return self._version_now() != self._version

    def _version_now(self) -> object:
        names = ("catalog.db", "catalog.db-wal")
        found = []
        for name in names:
            try:
                status = (self.terms.folder / name).stat()
            except FileNotFoundError:
                continue
            found.append((name, status.st_ino, status.st_size, status.st_mtime_ns))
        return found

    def _read(self) -> Snapshot:
        terms = self.terms
        with open_for_reading(terms.folder) as store:
            before = read_plan(terms.plan) if is_replaceable(terms.plan) else None
            matches = Matches(store, terms.match)
            return Snapshot(review_of(store, matches, terms.keep, terms.settings, before, False, Silent()))
