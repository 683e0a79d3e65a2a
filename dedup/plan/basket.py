"""The plan file of a review, which several reviews may share: terminals and web pages, each with its own. None loses an
answer of another; about one group the last one counts."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

from dedup.groups.judgements import Judgements
from dedup.plan.document import Documents, is_replaceable, locked, read_plan, write_plan
from dedup.store.change import store_version
from dedup.store.store import open_for_reading

if TYPE_CHECKING:
    from dedup.plan.nouns import Plan
    from dedup.plan.review import Review

State = tuple[int, int, int, int] | None
"""What tells one version of a file from the next; None if there is none."""

UNKNOWN = (-1, -1, -1, -1)
"""State of a file of which the review does not know what it holds."""


class Basket:
    """A review and the plan file in which its answers are kept."""

    def __init__(self, folder: Path, path: bytes, review: Review, state: State) -> None:
        """`folder` is the store's, `path` that of the plan, and `state` that of the file from which the review was
        made."""
        self.path, self.review = path, review
        self._folder, self._state, self._version = folder, state, ""
        self._documents = Documents()

    @contextlib.contextmanager
    def changing(self) -> Iterator[None]:
        """For a block that changes the answers of the review: first takes the answers that another writer has put into
        the file since; if the block ends without an error, writes the plan, all or nothing, durable when this returns.
        Nobody else changes the file meanwhile. Raises InputError if there is something other than a plan now, PlanError
        if it cannot be understood, WriteError; the review is not changed then."""
        with locked(self.path):
            self.refresh()
            try:
                yield
                write_plan(self.path, self.review.plan(), self._documents.to_bytes)
            except BaseException:
                self._state = UNKNOWN  # the file decides what was kept
                raise
            self._state = state_of(self.path)

    def refresh(self) -> bool:
        """Takes in the answers that another writer has put into the file, and what was said about pairs; returns
        whether there was anything. If the file is gone, the answers of the review stay. Raises as `changing` does."""
        took_answers, took_judgements = self._take_answers(), self._take_judgements()
        return took_answers or took_judgements

    def _take_answers(self) -> bool:
        if state_of(self.path) == self._state:
            return False
        plan, state = read_with_state(self.path)
        if plan is None and self._state != UNKNOWN:
            return False
        with open_for_reading(self._folder) as store:
            self.review.take_answers(store, plan)
        self._state = state
        return True

    def _take_judgements(self) -> bool:
        version = store_version(self._folder)
        if version == self._version:
            return False
        with open_for_reading(self._folder) as store:
            changed = Judgements(store).said != self.review.grounds.matches.judgements.said
            if changed:
                self.review.renew(store)
        self._version = version
        return changed


def state_of(path: bytes) -> State:
    """The state of a plan's file now."""
    try:
        status = os.stat(path)
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns


def read_with_state(path: bytes) -> tuple[Plan | None, State]:
    """The plan in a file, None if there is no file, and the state in which it was read. Raises InputError for something
    other than a plan, PlanError for one that cannot be understood."""
    while True:
        state = state_of(path)
        plan = read_plan(path) if is_replaceable(path) else None
        if state == state_of(path):
            return plan, state
