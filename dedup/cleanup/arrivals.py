"""Moves what the gate has decided about out of an inbox, with a journal, so that `undo` takes it back. The lock
of the store is held for some seconds at most, and files wait while another run has it."""

from __future__ import annotations

import contextlib
import json
import logging
import os
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dedup.cleanup.checks import Protection
from dedup.cleanup.executor import Doing, reason_of
from dedup.cleanup.file_status import Status
from dedup.cleanup.journal import (
    GATE,
    Journal,
    JournalWriter,
    broken_off_without_plan,
    make_journal,
    read_journal,
    require_none_open,
)
from dedup.cleanup.moving import hash_at, move
from dedup.cleanup.reach import reach_of_journal
from dedup.cleanup.recover import recover
from dedup.cleanup.steps import Move
from dedup.clock import utc_now
from dedup.errors import RepriseError, StoreLockedError, UsageError, WriteError
from dedup.files.held import Reach
from dedup.files.paths import holds, printable
from dedup.files.quarantine import QUARANTINE
from dedup.files.status import size_and_time
from dedup.gate.inbox import is_written
from dedup.plan.document import to_bytes
from dedup.plan.nouns import Plan
from dedup.store.ledgers import FOLDER
from dedup.store.store import open_for_writing

if TYPE_CHECKING:
    from dedup.gate.keeper import Keeper
    from dedup.store.store import Store

log = logging.getLogger("reprise")

PURPOSE = "reprise gate serve"

BATCH_S = 3.0
"""Seconds for which the lock is held: others wait for it a little longer than that."""
PAUSE_S = 0.2
"""Seconds between two batches, in which others may take the lock."""
AGAIN_S = 60.0
"""Seconds after which it is tried again when the disk refused, or when a clean-up was broken off that comes first."""

ANOTHER = "it is not the file any more that the gate was asked about"

THEN = "the gate tries it again by itself"


class Places(NamedTuple):
    """Where files go. All folders are absolute."""

    inboxes: tuple[bytes, ...] = ()
    accept: bytes | None = None
    """Folder for files that are to be imported; None if these stay."""
    reject: bytes | None = None

    def check(self) -> Places:
        """Itself. Raises UsageError if what is moved would be found again in an inbox, or be taken for quarantined, and
        for a folder that is not there: its disk may be away."""
        for name, folder in (("--accept", self.accept), ("--reject", self.reject)):
            if folder is None:
                continue
            where, remedy = f"option {name}", "Give another folder"
            if not self.inboxes:
                raise UsageError(where, "there is no inbox", remedy="Give --inbox too")
            for inbox in self.inboxes:
                if holds(os.path.realpath(folder), os.path.realpath(inbox)):
                    raise UsageError(where, f"it holds the inbox {printable(inbox)}", remedy=remedy)
            if QUARANTINE in os.path.realpath(folder).split(b"/"):
                raise UsageError(where, "it is in a folder of quarantined files", remedy=remedy)
            if not os.path.isdir(folder):
                found = f"there is no folder {printable(folder)}"
                raise UsageError(where, found, remedy="Make it, or mount the disk that it is on")
        return self


NOWHERE = Places()


class Arrival(NamedTuple):
    """A file that is about to be moved."""

    question: int
    path: bytes
    inbox: bytes
    to: bytes
    size: int
    mtime_ns: int


@dataclass
class Arrivals:
    """Moves files by the gate's answers. `settle` and `work` belong to one thread."""

    folder: Path
    """The store's."""
    keeper: Keeper
    places: Places
    tell: Callable[[dict[str, Any]], None] = lambda _: None
    _waiting: dict[bytes, Arrival] = field(default_factory=dict)
    _later: list[tuple[float, Arrival]] = field(default_factory=list)
    """Files that could not be moved, each with the time of `time.monotonic` from which on that is tried again."""
    _devices: dict[bytes, int] = field(default_factory=dict)
    """Device of each folder that takes files, as it was first seen."""
    _not_before: float = 0.0
    _is_begun: bool = False

    def is_left(self, path: bytes) -> bool:
        """Whether a file was moved and put back by `undo`: it stays then, as long as it is the same."""
        try:
            seen = size_and_time(os.lstat(path))
            number = self.keeper.questions.moved_in(path, *seen)
            if number is None:
                return False
            journal = read_journal(self.folder / FOLDER / f"{number:04}")
        except (OSError, RepriseError):
            return False
        moves = [each for each in journal.entries if isinstance(each.step, Move) and each.step.path == path]
        is_left = bool(moves) and (journal.undoing or moves[-1].state == "undone")
        if is_left and (question := self.keeper.last_question(path)) is not None:
            self.keeper.withdraw(question.id)
        return is_left

    def settle(self, path: bytes, size: int, mtime_ns: int) -> bool:
        """Takes a file of an inbox that was asked about, with its present size and time; False if it has no answer yet,
        or none that still holds: then it is asked about anew."""
        question = self.keeper.last_question(path)
        if question is None or question.record is None:
            return question is None
        said = json.loads(question.record)
        to = {"import": self.places.accept, "reject": self.places.reject}.get(said.get("do"))
        if to is None or said.get("seen") != [size, mtime_ns] or self.is_left(path):
            return True
        if said["do"] == "import":
            self.keeper.hold(question.id)
            if self.keeper.has_lapsed(question):  # while no gate was open: a copy may have been imported since
                self.keeper.release(question.id)
                self.keeper.ask(path)
                return False
        inbox = max((each for each in self.places.inboxes if holds(each, path)), key=len)
        self._take(Arrival(question.id, path, inbox, to, size, mtime_ns))
        return True

    def _take(self, arrival: Arrival) -> None:
        """Lets a file wait. Of two answers about one path the last counts."""
        other = self._waiting.get(arrival.path, arrival)
        last = max(arrival, other, key=lambda each: each.question)
        for each in {arrival.question, other.question} - {last.question}:
            self.keeper.release(each)
        self._waiting[arrival.path] = last

    def work(self, is_over: Callable[[], bool]) -> None:
        """Moves what waits, as far as the store is free."""
        now = time.monotonic()
        due_now = [each for due, each in self._later if due <= now]
        self._later = [(due, each) for due, each in self._later if due > now]
        for each in due_now:
            self._take(each)
        while (self._waiting or not self._is_begun) and time.monotonic() >= self._not_before and not is_over():
            try:
                with open_for_writing(self.folder, PURPOSE, is_short=True) as store:
                    self._finish_broken_off(store)
                    self._is_begun = True
                    if self._waiting:
                        self._batch(store, is_over)
                if not self._later:
                    self.keeper.state.inbox = ""
            except StoreLockedError as error:
                self.keeper.state.inbox = str(error)
                return
            except Exception as error:  # whatever it is, files stay where they are
                log.warning("gate: the inbox waits: %s", error, exc_info=not isinstance(error, RepriseError))
                self.keeper.state.inbox = str(error)
                self._not_before = time.monotonic() + AGAIN_S
            time.sleep(PAUSE_S)

    def _finish_broken_off(self, store: Store) -> None:
        """Brings moves that a kill broke off to an end."""
        journal = broken_off_without_plan(self.folder)
        if journal is None:
            return
        with contextlib.closing(JournalWriter(journal)) as writer, reach_of_journal(store, journal) as reach:
            recover(store, writer, reach)
            writer.end(utc_now())
        for _, entry in journal.steps_of("done"):
            if isinstance(entry.step, Move):
                question = self.keeper.last_question(entry.step.path)
                self._tell_moved(journal, entry.step, None if question is None else question.id)

    def _batch(self, store: Store, is_over: Callable[[], bool]) -> None:
        """Moves files for some seconds. Raises JournalError if a clean-up was broken off, WriteError, OSError."""
        require_none_open(self.folder)
        for folder in {each.to for each in self._waiting.values()}:
            self._require_same_disk(folder)
        until = time.monotonic() + BATCH_S
        journal = make_journal(self.folder, to_bytes(Plan(())), utc_now(), by=GATE)
        others = [*self.places.inboxes, *filter(None, (self.places.accept, self.places.reject))]
        reach = Reach(store.catalog.tracks.roots(), others)
        with contextlib.closing(JournalWriter(journal)) as writer, reach:
            doing = {to: Doing(writer, to, Protection(()), reach, THEN) for to in others}
            try:
                while self._waiting and time.monotonic() < until and not is_over():
                    path = next(iter(self._waiting))
                    arrival = self._waiting[path]
                    del self._waiting[path]
                    try:
                        problem = self._move(arrival, doing[arrival.to], journal)
                    except BaseException:
                        self._waiting[path] = arrival  # behind the others, which may go elsewhere
                        raise
                    if problem:
                        self._put_off(arrival, problem)
                    if problem in ("", ANOTHER):
                        self.keeper.release(arrival.question)
            finally:
                with contextlib.suppress(WriteError):  # else the next start ends it
                    writer.end(utc_now())

    def _require_same_disk(self, folder: bytes) -> None:
        """Raises WriteError if a folder is on another disk than before, or not there any more: where a disk is not
        mounted, files would come to lie below the place where it belongs."""
        try:
            device = os.stat(folder).st_dev
        except FileNotFoundError:
            raise WriteError(printable(folder), "the folder has gone", remedy="Mount its disk again") from None
        if self._devices.setdefault(folder, device) != device:
            raise WriteError(printable(folder), "it is on another disk than before", remedy="Mount its disk again")

    def _put_off(self, arrival: Arrival, problem: str) -> None:
        """Says why a file stays. It is tried again, unless it is another one by now: that one is asked about anew."""
        log.warning("gate %d: %s stays: %s", arrival.question, printable(arrival.path), problem)
        if problem != ANOTHER:
            self.keeper.state.inbox = f"{printable(arrival.path)} stays for now: {problem}"
            self._later.append((time.monotonic() + AGAIN_S, arrival))

    def _move(self, arrival: Arrival, doing: Doing, journal: Journal) -> str:
        """Moves one file; gives the reason why it was not; empty if it was. Raises WriteError for a full disk."""
        path, seen = arrival.path, (arrival.size, arrival.mtime_ns)
        if is_written(path):
            return "a program is writing to it"
        try:
            with doing.reach.spot(path) as spot:
                before = spot.status()
                with spot.open() as opened:
                    status = Status.of(opened.fileno())
                full = hash_at(spot)
                if size_and_time(spot.status()) != seen:
                    return ANOTHER
            target = doing.target(path, arrival.inbox)
            self.keeper.questions.note_moved(path, *seen, int(journal.id))
            step = Move(path, target, arrival.size, full, status=status)
            number = doing.do(step)
            with doing.reach.spot(target) as spot:
                is_one = os.path.samestat(before, spot.status()) and size_and_time(spot.status()) == seen
                is_it = is_one or hash_at(spot) == full
            if not is_it:  # another was renamed over it in between
                _put_back(step, number, doing)
                return ANOTHER
        except WriteError:
            raise
        except RepriseError as error:
            return error.found
        except OSError as error:
            return reason_of(error, path, THEN) if os.path.lexists(path) else ANOTHER
        self._tell_moved(journal, step, arrival.question)
        return ""

    def _tell_moved(self, journal: Journal, step: Move, question: int | None) -> None:
        if self.places.accept is not None and holds(self.places.accept, step.target) and question is not None:
            self.keeper.imported(question, step.target)
        log.info("gate: %s moved to %s by clean-up %d", printable(step.path), printable(step.target), int(journal.id))
        self.tell({"path": step.path, "to": step.target, "id": question, "cleanup": int(journal.id)})


def _put_back(step: Move, number: int, doing: Doing) -> None:
    """Puts back what was moved, whatever it is. Raises OSError."""
    with doing.reach.spot(step.target) as held, doing.reach.spot(step.path) as back:
        move(held, back)
    doing.writer.set_state(number, "undone")
