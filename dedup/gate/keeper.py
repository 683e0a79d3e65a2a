"""The gate as a service: questions from any thread, decided one after the other, so that of two files of one recording
that come at the same time one is imported. What was asked, answered and promised survives a kill."""

from __future__ import annotations

import contextlib
import fcntl
import json
import logging
import os
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING, Any, NamedTuple

from dedup.errors import StoreLockedError, writing
from dedup.files.paths import json_path, printable
from dedup.gate.arrived import Entering
from dedup.gate.gate import Gate, open_gate
from dedup.gate.newcomer import Newcomer, kept, moved, revived
from dedup.gate.nouns import Decision
from dedup.gate.readers import Read, Readers
from dedup.gate.record import decision_record
from dedup.library.unusable import Unusable
from dedup.store.layout import PRIVATE_FILE, PRIVATE_FOLDER, Layout
from dedup.store.questions import Question, Questions, Reservation
from dedup.store.store import open_for_reading

if TYPE_CHECKING:
    from pathlib import Path

    from dedup.files.standby import Standby
    from dedup.gate.decide import Policy
    from dedup.settings import MatchSettings, ScanSettings

log = logging.getLogger("reprise")

RESERVED_S, IMPORTED_S = 3600.0, 7 * 24 * 3600.0
"""Seconds for which a recording is promised: until somebody says that the file is imported, and then until a scan has
seen it."""

LOOK_EVERY_S = 2.0
"""Seconds after which the gate looks again what has lapsed and what has arrived."""

MOST_READ = 200
"""Files that were read and are not reserved, and are kept in mind."""

MOST_AGAIN, MOVED_S = 3, 0.15
"""How often, and after how many seconds each, a question is looked at again that is about a file that was moved just
now."""

AGAIN_S = 5.0
"""Seconds after which a store is opened again that could not be read."""


class Terms(NamedTuple):
    """By what a keeper decides."""

    match: MatchSettings
    policy: Policy
    scan: ScanSettings
    n: int
    """Files that are read at a time."""
    reserved_s: float = RESERVED_S


class _Imported(NamedTuple):
    """Somebody says that a file is imported."""

    question: int
    path: bytes
    """Where it is now."""


class _Reserved(NamedTuple):
    """A file that counts as if it were in the library."""

    id: int
    """By which the gate's library knows it."""
    newcomer: Newcomer
    reservation: Reservation
    """What the database has of it."""


class _Withdrawn(NamedTuple):
    """Somebody says that a file is not imported after all."""

    question: int


@dataclass
class State:
    """How a keeper is."""

    answers: Counter[str] = field(default_factory=Counter)
    """How many of each it has given since it started."""
    seconds: float = 0.0
    """That they took, all together, from question to answer."""
    n_reserved: int = 0
    n_tracks: int = 0
    problem: str = ""
    """What keeps it from answering; empty if nothing does."""
    inbox: str = ""
    """What keeps files of an inbox from being moved; empty if nothing does."""


class Keeper:
    """A gate that is open. `ask`, `answer`, `queue` and `imported` may be called from any thread."""

    def __init__(self, folder: Path, terms: Terms, tell: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        """`tell` is called with each answer, as `answer` gives it, by the thread that decides."""
        self.state, self._tell = State(), tell
        self._layout, self._terms = Layout(folder), terms
        self._inbox: SimpleQueue[Read | _Imported | _Withdrawn | None] = SimpleQueue()
        self._reserved: dict[int, _Reserved] = {}
        """By question."""
        self._read: dict[int, Newcomer] = {}
        """The last files that were read and are not reserved, by question: a person may import them all the same."""
        self._held: set[int] = set()
        """Questions whose promises do not lapse: their files wait to be moved."""
        self._early: dict[int, _Imported] = {}
        """By question: what was said before it was answered."""
        self._entering = Entering(folder, terms.scan.discover)
        self._ready = threading.Event()
        self._is_over = threading.Event()
        self._error: Exception | None = None
        self._readers: Readers | None = None
        self._thread = threading.Thread(target=self._run, name="gate", daemon=True)

    @contextlib.contextmanager
    def opened(self) -> Iterator[Keeper]:
        """Answers questions inside, those that were left first. Raises what opening a store and a gate raises;
        StoreLockedError if the store has a keeper already, WriteError."""
        with self._only_one(), contextlib.closing(Questions(self._layout.gate / "queue.db")) as self.questions:
            self._thread.start()
            self._ready.wait()
            try:
                if self._error is not None:
                    raise self._error
                yield self
            finally:
                self._is_over.set()
                self._inbox.put(None)
                self._thread.join()

    # ---- from any thread ----

    def ask(self, path: bytes) -> int:
        """Asks about the file at a path; gives the id of the question."""
        path = os.path.abspath(path)
        id_, is_new = self.questions.ask(path, time.time())
        if is_new:
            log.info("gate %d asked: %s", id_, printable(path))
            self._put(id_, path)
        return id_

    def answer(self, id_: int) -> dict[str, Any] | None:
        """The question with this id, and its answer if there is one; None if there is no such question."""
        question = self.questions.get(id_)
        return None if question is None else _told(question)

    def queue(self) -> list[dict[str, Any]]:
        """The questions that have no answer yet, in the order in which they were asked."""
        return [_told(question) for question in self.questions.unanswered()]

    def imported(self, id_: int, path: bytes | None = None) -> bool:
        """Takes in that the file of a question is imported, whatever the answer was, at another path if it was moved;
        False if there is no such question. Then it counts until a scan has seen it."""
        question = self.questions.get(id_)
        if question is None:
            return False
        self.questions.extend(id_, time.time() + IMPORTED_S)
        self._inbox.put(_Imported(id_, path or question.path))
        return True

    def withdraw(self, id_: int) -> None:
        """Takes in that the file of a question is not imported after all: it is promised no more."""
        self._inbox.put(_Withdrawn(id_))

    def hold(self, id_: int) -> None:
        """Lets what the answer to a question promised not lapse until `release`."""
        self._held.add(id_)

    def release(self, id_: int) -> None:
        self._held.discard(id_)

    def has_lapsed(self, question: Question) -> bool:
        """Whether an answer is so old that what it promised, if anything, is promised no more."""
        answered = time.time() if question.answered is None else question.answered
        return question.id not in self._reserved and answered + self._terms.reserved_s < time.time()

    def last_question(self, path: bytes) -> Question | None:
        """The last question about a path."""
        return self.questions.last_of(os.path.abspath(path))

    def is_asked_since(self, path: bytes, moment: float) -> bool:
        """Whether somebody has asked about a path since that moment, seconds since 1970."""
        question = self.last_question(path)
        return question is not None and question.asked >= moment

    def _put(self, id_: int, path: bytes) -> None:
        if self._readers is not None:
            self._readers.put(id_, path)

    @contextlib.contextmanager
    def _only_one(self) -> Iterator[None]:
        folder = self._layout.gate
        with writing(f"folder {folder}"):
            folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
            descriptor = os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                raise StoreLockedError(
                    f"store {self._layout.folder}", "its gate is open already", remedy="Ask that one, or end it"
                ) from None
            yield
        finally:
            os.close(descriptor)

    # ---- in the thread that decides ----

    def _run(self) -> None:
        """Opens the store and serves, and does so again if the store was replaced or cannot be read."""
        while not self._is_over.is_set():
            try:
                self._open_and_serve()
            except Exception as error:
                if not self._ready.is_set():
                    self._error = error
                    self._ready.set()
                    return
                log.exception("gate: no answers for now")
                self.state.problem = str(error)
                self._is_over.wait(AGAIN_S)
            finally:
                self._readers = None

    def _open_and_serve(self) -> None:
        terms = self._terms
        with (
            open_for_reading(self._layout.folder) as store,
            open_gate(store, terms.match, terms.policy, terms.scan, terms.n, terms.n) as (gate, standby),
            contextlib.closing(self._readers_of(standby)) as readers,
        ):
            opened = self._catalog()
            self._revive(gate)
            self._readers = readers
            for question in self.questions.unanswered():
                readers.put(question.id, question.path)
            self.state.problem = ""
            self._ready.set()
            while not self._is_over.is_set() and self._catalog() == opened:
                self._take_next(gate)

    def _catalog(self) -> tuple[int, int]:
        """Which file the catalog is: a repair puts another in its place. Raises OSError."""
        status = os.stat(self._layout.catalog)
        return status.st_dev, status.st_ino

    def _readers_of(self, standby: Standby) -> Readers:
        return Readers(self._layout.folder, standby, self._terms.scan, self._terms.n, self._inbox.put)

    def _revive(self, gate: Gate) -> None:
        """Takes what was promised before."""
        self._reserved.clear()
        for reservation in self.questions.reservations():
            try:
                newcomer = revived(reservation.track, reservation.items, reservation.pitches)
            except (ValueError, TypeError, KeyError):  # another version's
                self.questions.drop([reservation.question])
                continue
            self._reserved[reservation.question] = _Reserved(gate.library.take(newcomer), newcomer, reservation)
        self._tidy(gate)

    def _take_next(self, gate: Gate) -> None:
        """Waits for what comes next, and does it. Raises what reading the store raises."""
        try:
            event = self._inbox.get(timeout=LOOK_EVERY_S)
        except Empty:
            self._tidy(gate)
            self._enter(gate)
            return
        if isinstance(event, _Imported):
            self._take_import(gate, event)
        elif isinstance(event, _Withdrawn):
            if event.question in self._reserved:
                self._let_go(gate, [event.question])
        elif event is not None:
            self._take_read(gate, event)

    def _take_read(self, gate: Gate, read: Read) -> None:
        """Decides about a file, and records the answer and what it promises at once."""
        if isinstance(read.key, _Imported):
            self._take_import(gate, read.key, read.found)
            return
        question = self.questions.get(int(str(read.key)))
        if question is None or question.record is not None:
            return
        if isinstance(read.found, Exception):
            raise read.found
        self._tidy(gate)
        decision = gate.known(read.path) or gate.decide(read.path, read.found)
        if read.n_again < MOST_AGAIN and _is_of_moved(decision):
            time.sleep(MOVED_S)
            self._inbox.put(read._replace(n_again=read.n_again + 1))
            return
        self._answer(gate, question, decision, read.found if isinstance(read.found, Newcomer) else None)
        if (said := self._early.pop(question.id, None)) is not None:
            self._take_import(gate, said)

    def _answer(self, gate: Gate, question: Question, decision: Decision, newcomer: Newcomer | None) -> None:
        now = time.time()
        record, reservation = json.dumps(decision_record(decision)), None
        if newcomer is not None and decision.deed == "import":
            reservation = _promise(question.id, newcomer, now + self._terms.reserved_s)
        self.questions.answer(question.id, record, now, reservation)
        if newcomer is not None and reservation is not None:
            before = [id_ for id_, each in self._reserved.items() if each.newcomer.track.path == question.path]
            self._let_go(gate, before)
            self._reserved[question.id] = _Reserved(gate.library.take(newcomer), newcomer, reservation)
        elif newcomer is not None:
            self._read[question.id] = newcomer
            for old in list(self._read)[:-MOST_READ]:
                del self._read[old]
        self.state.answers[decision.answer] += 1
        self.state.seconds += now - question.asked
        self.state.n_reserved = len(self._reserved)
        log.info("gate %d: %s: %s", question.id, decision.answer, printable(question.path))
        self._tell(_told(question._replace(answered=now, record=record)))

    def _take_import(self, gate: Gate, said: _Imported, read: Newcomer | Unusable | Exception | None = None) -> None:
        """Goes on with a promise, or makes one, until a scan has seen the file, wherever it is now. `read`: the file,
        if it was read again since nobody remembers it."""
        question = self.questions.get(said.question)
        if question is None or gate.known(said.path) is not None:
            return
        if question.record is None:
            self._early[said.question] = said
            return
        held = self._reserved.get(said.question)
        newcomer = held.newcomer if held else self._read.pop(said.question, read)
        if newcomer is None and self._readers is not None:
            self._readers.put(said, said.path)
        if not isinstance(newcomer, Newcomer):
            return
        with contextlib.suppress(OSError):  # it is not there: then it is known by its sound alone
            newcomer = moved(newcomer, said.path)
        reservation = _promise(said.question, newcomer, time.time() + IMPORTED_S, is_imported=True)
        self.questions.renew(reservation)
        if held:
            gate.library.leave([held.id])
        self._reserved[said.question] = _Reserved(gate.library.take(newcomer), newcomer, reservation)
        self._let_go(gate, self._moved_from(said.question))
        log.info("gate %d: imported as %s", said.question, printable(newcomer.track.path))
        self._enter(gate)

    def _moved_from(self, question: int) -> list[int]:
        """Questions about the same sound at a place where it is no more: whoever moved the file has asked anew."""
        digest = self._reserved[question].newcomer.track.digest
        same = {id_: each.newcomer.track for id_, each in self._reserved.items() if id_ != question}
        return [id_ for id_, each in same.items() if each.digest == digest and not os.path.lexists(each.path)]

    def _enter(self, gate: Gate) -> None:
        """Makes tracks of what was imported, as far as the store is free."""
        files = {id_: each.newcomer for id_, each in self._reserved.items() if each.reservation.is_imported}
        self._entering.enter(files, gate.store, gate.reader.standby)

    def _tidy(self, gate: Gate) -> None:
        """Drops what has lapsed, and what the library has by now."""
        gate.refresh()
        now, arrived = time.time(), set(gate.library.arrived())
        if arrived:  # before it is let go: the last look at the store may be older than its track
            gate.library.refresh()
        over = [
            id_
            for id_, each in self._reserved.items()
            if (each.reservation.lapses < now and id_ not in self._held) or each.id in arrived
        ]
        self._let_go(gate, over)
        self.state.n_tracks = gate.library.thresholds.n_tracks

    def _let_go(self, gate: Gate, questions: list[int]) -> None:
        if questions:
            self.questions.drop(questions)
            self._held.difference_update(questions)
            gate.library.leave([self._reserved.pop(id_).id for id_ in questions])
        self.state.n_reserved = len(self._reserved)


def _is_of_moved(decision: Decision) -> bool:
    """Whether a file could not be heard beside a promised one, since that has left its place: perhaps somebody has
    moved it, and is about to say where it is."""
    pairs = (*decision.copies, *decision.others)
    return any(
        pair.test is not None and not pair.test.is_made and pair.b.fingerprint < 0 and not os.path.lexists(pair.b.path)
        for pair in pairs
    )


def _promise(question: int, newcomer: Newcomer, lapses: float, is_imported: bool = False) -> Reservation:
    track, items, pitches = kept(newcomer)
    return Reservation(question, track, items, lapses, is_imported, pitches)


def _told(question: Question) -> dict[str, Any]:
    """A question, and its answer if there is one, for JSON."""
    asked: dict[str, Any] = {"id": question.id, **json_path(question.path), "asked": question.asked}
    if question.record is None:
        return {**asked, "answer": None}
    return {**asked, "answered": question.answered, **json.loads(question.record)}
