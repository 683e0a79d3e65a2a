"""The journal of a clean-up, written ahead: each step is on the disk before it is done. Each clean-up has a number
and a folder in the store:

cleanups/<n>/plan.json       the plan, as it was applied
cleanups/<n>/journal.jsonl   one line per event
cleanups/<n>/originals/      what rewritten files were (`originals`)
"""

from __future__ import annotations

import contextlib
import os
import shutil
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Literal

from dedup.cleanup.moving import sync_folder
from dedup.cleanup.step_records import outcome_of, step_of, take_outcome, to_record
from dedup.cleanup.steps import Delete, FolderTime, Step
from dedup.errors import JournalError, WriteError, refused
from dedup.store.layout import PRIVATE_FOLDER, private_opener
from dedup.store.ledgers import (
    FOLDER,
    JOURNAL,
    ORIGINALS,
    PLAN,
    digest_of,
    folders_of,
    is_plan_sound,
    opened_lines,
    sealed_line,
)

if TYPE_CHECKING:
    from dedup.plan.nouns import Plan

GATE, ORGANIZE = "gate", "organize"
"""Who did it, in the first line of what the gate did by itself, and of a reorganisation."""

_UNFINISHED = "wip-"
_PIECE = 1 << 16
_LONGEST_END = 200
"""Most bytes that the last line of a clean-up that has ended can have."""
_DAMAGED = "To continue without being able to undo it, move {} out of the store; it names the files that were moved"

State = Literal["begun", "done", "dropped", "undone", "emptied", "kept"]


@dataclass
class Entry:
    """A step, and how far it came."""

    step: Step
    state: State
    """How far it came. begun: perhaps done, perhaps not; dropped: it never happened; undone: taken back; emptied: the
    file that it moved was removed from the quarantine for good, or is about to be; kept: its file is gone for good,
    and the kept file keeps what it was given on a media server."""
    known: dict[str, Any] | None = None
    """Record of the file in the catalog (`records`), if it was one and the journal was read: what writes a journal
    does not keep it in memory, since only undo needs it."""
    is_of_undo: bool = False
    """Whether an undo took it back, not the clean-up itself a moment after it was done."""


@dataclass
class Journal:
    """A clean-up, past or in progress."""

    folder: Path
    began: str = ""
    """Time in UTC, like `ended` and `undone`."""
    ended: str = ""
    """Time when all of the plan was done or refused; empty if it was interrupted."""
    undoing: bool = False
    """Whether its undo was begun."""
    undone: str = ""
    by: str = ""
    """`GATE` if the gate did it by itself, with files of an inbox; `ORGANIZE` for a reorganisation; else empty."""
    wanted: list[dict[str, Any]] = field(default_factory=list)
    """Records of what a reorganisation moves (`organizing`), in its order."""
    entries: list[Entry] = field(default_factory=list)
    """Entries in the order in which they were begun."""

    @property
    def id(self) -> str:
        return self.folder.name

    @property
    def of_gate(self) -> bool:
        return self.by == GATE

    @property
    def of_organize(self) -> bool:
        return self.by == ORGANIZE

    @property
    def command(self) -> str:
        """Command that began it, whose `--resume` goes on with it."""
        return "organize" if self.of_organize else "apply"

    @property
    def go_on(self) -> str:
        """What a person does if it is broken off now."""
        return f"run `reprise {self.command} --resume`, or take back what was done with `reprise undo`"

    @property
    def is_open(self) -> bool:
        """Whether it was interrupted: it must be resumed or undone before another may begin."""
        return not self.undone and (self.undoing or not self.ended)

    @property
    def state(self) -> str:
        """The state in a word or two."""
        if self.undone:
            return "partly undone" if any(entry.state in ("done", "emptied") for entry in self.entries) else "undone"
        return "undo broken off" if self.undoing else "done" if self.ended else "broken off"

    @property
    def originals(self) -> Path:
        return self.folder / ORIGINALS

    def steps_of(self, *states: State) -> Iterator[tuple[int, Entry]]:
        """Number and entry of the steps in one of the states."""
        return ((number, entry) for number, entry in enumerate(self.entries) if entry.state in states)


class JournalWriter:
    """Adds to a journal. A step is on the disk before it is done; how far it came need not be, since the files show
    that (`Step.recover`)."""

    def __init__(self, journal: Journal) -> None:
        """Cuts off a line that a kill cut short. Raises WriteError."""
        self.journal = journal
        path = journal.folder / JOURNAL
        try:
            os.truncate(path, _end_of_lines(path))
            self._file: BinaryIO = path.open("ab")
        except OSError as error:
            raise self._refused(error) from error

    def close(self) -> None:
        with contextlib.suppress(OSError):  # what a disk refused was raised before, and a buffer tries it again
            self._file.close()

    def begin(self, step: Step, known: dict[str, Any] | None = None) -> int:
        """Writes down a step that is about to be done, and returns its number."""
        record = {"event": "begin", "step": to_record(step), **({"known": known} if known else {})}
        self._write(
            record, is_synced=not isinstance(step, FolderTime)
        )  # that is followed by one that changes something
        self.journal.entries.append(Entry(step, "begun"))
        return len(self.journal.entries) - 1

    def set_state(self, number: int, state: State) -> None:
        outcome = outcome_of(self.journal.entries[number].step)
        self._write({"event": state, "number": number, **outcome}, is_synced=False)
        self.journal.entries[number].state = state

    def note_emptied(self, number: int) -> None:
        """Writes down, before it is done, that the file that a step moved is removed from the quarantine for good."""
        self._write({"event": "emptied", "number": number})
        self.journal.entries[number].state = "emptied"

    def end(self, when: str) -> None:
        """Writes down that the plan is finished. A journal without a step is removed: there is nothing to take back."""
        self._write({"event": "end", "when": when})
        self.journal.ended = when
        if not self.journal.entries:
            removed = self.journal.folder.with_name(f"{_UNFINISHED}{self.journal.folder.name}")
            os.rename(self.journal.folder, removed)  # a kill may leave a part of it, which is no journal then
            shutil.rmtree(removed)

    def begin_undoing(self) -> None:
        self.journal.undoing = True  # first: a refusal says what to do next
        self._write({"event": "undoing"})

    def end_undoing(self, when: str) -> None:
        self._write({"event": "all undone", "when": when})
        self.journal.undone = when

    def _write(self, record: dict[str, Any], is_synced: bool = True) -> None:
        """Raises WriteError: without a journal nothing more may be done."""
        try:
            self._file.write(sealed_line(record))
            self._file.flush()
            if is_synced:
                os.fsync(self._file.fileno())
        except OSError as error:
            raise self._refused(error) from error

    def _refused(self, error: OSError) -> WriteError:
        then = self.journal.go_on
        if self.journal.undoing and not self.journal.undone:
            then = "run `reprise undo` again"
        elif not self.journal.is_open:
            then = "run it again"
        return refused(str(self.journal.folder / JOURNAL), error, then=then)


def make_journal(store: Path, plan: bytes, when: str, by: str = "", wanted: Sequence[dict[str, Any]] = ()) -> Journal:
    """Makes a new one with the plan in it, whole or not at all; `by` and `wanted` are as in `Journal`. Only for the
    holder of the store's lock. Raises OSError."""
    number = max((int(folder.name) for folder in folders_of(store)), default=0) + 1
    folder = store / FOLDER / f"{number:04}"
    new = folder.with_name(f"{_UNFINISHED}{folder.name}")
    shutil.rmtree(new, ignore_errors=True)
    for made in (store / FOLDER, new, new / ORIGINALS):
        made.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
    start = sealed_line({"event": "start", "when": when, "plan": digest_of(plan), **({"by": by} if by else {})})
    lines = (sealed_line({"event": "wanted", **record}) for record in wanted)
    for file, data in ((PLAN, plan), (JOURNAL, b"".join([start, *lines]))):
        with open(new / file, "wb", opener=private_opener) as writing:
            writing.write(data)
            writing.flush()
            os.fsync(writing.fileno())
    os.rename(new, folder)
    sync_folder(os.fsencode(folder))
    return Journal(folder, began=when, by=by, wanted=list(wanted))


def journals(store: Path) -> list[Journal]:
    """All journals of a store, oldest first; one of 100,000 files takes half a GB. Raises JournalError for one that
    cannot be read."""
    return list(journals_of(store))


def journals_of(store: Path) -> Iterator[Journal]:
    """The same, one at a time."""
    return map(read_journal, folders_of(store))


def _has_ended(folder: Path) -> bool:
    """Whether the last line says that it has ended; then the rest need not be read."""
    with contextlib.suppress(OSError, ValueError, IndexError), (folder / JOURNAL).open("rb") as file:
        file.seek(max(0, file.seek(0, os.SEEK_END) - _LONGEST_END))
        data = file.read()
        last = data.splitlines()[-1] if data.endswith(b"\n") else b""
        return last.startswith((b'{"event": "end", ', b'{"event": "all undone", ', b'{"event": "emptied", '))
    return False


def read_journal(folder: Path) -> Journal:
    """The journal in a folder; a last line that a kill cut short does not count. Raises JournalError if it cannot be
    read."""
    journal = Journal(folder)
    path = folder / JOURNAL
    try:
        for record in opened_lines(path):
            _take(journal, record)
    except (ValueError, KeyError, TypeError, IndexError, AttributeError) as error:
        found = f"cannot be read ({type(error).__name__}: {error})"
        raise JournalError(str(path), found, remedy=_DAMAGED.format(folder)) from error
    except OSError as error:
        found = str(error.strerror)
        raise JournalError(str(path), found, remedy=_DAMAGED.format(folder)) from error
    return journal


def plan_of(journal: Journal) -> Plan:
    """The plan that a clean-up carries out. Raises JournalError if it is not the one with which it began; InputError
    or PlanError if it is no plan."""
    from dedup.plan.document import read_plan

    try:
        start = next(opened_lines(journal.folder / JOURNAL))
        is_sound = is_plan_sound(journal.folder, start)
    except (OSError, ValueError, StopIteration):
        is_sound = False
    if not is_sound:
        raise JournalError(
            str(journal.folder / PLAN),
            "is not the plan with which the clean-up began",
            remedy="Take back what was done with `reprise undo`, and make a new plan",
        )
    return read_plan(os.fsencode(journal.folder / PLAN))


def open_journal(store: Path, by: str = "") -> Journal:
    """The clean-up that was broken off. Raises JournalError if there is none, if it is a reorganisation and not `by`
    that or the other way round, or if taking it back has begun."""
    last = next(map(read_journal, reversed(folders_of(store))), None)
    if last is None or not last.is_open:
        raise JournalError(f"store {store}", "no clean-up was broken off", "", "There is nothing to resume")
    where = f"clean-up {int(last.id)}"
    if last.undoing:
        raise JournalError(where, "its undo was broken off", "", "Run `reprise undo` to finish it")
    if last.of_organize != (by == ORGANIZE):
        raise JournalError(
            where, f"was begun by `reprise {last.command}`", "", f"Run `reprise {last.command} --resume`"
        )
    return last


def require_none_open(store: Path) -> None:
    """Raises JournalError if a clean-up was broken off: that comes first."""
    journal = broken_off(store)
    if journal is not None:
        found, number = "was broken off", int(journal.id)
        remedy = f"Run `reprise {journal.command} --resume` to finish it, or `reprise undo` to take it back"
        if journal.undoing:
            found, remedy = "its undo was broken off", "Run `reprise undo` to finish it"
        elif journal.of_gate:
            remedy = f"Open the gate, which finishes it, or run `reprise undo {number}` to take it back"
        raise JournalError(f"clean-up {number}", found, remedy=remedy)


def broken_off(store: Path) -> Journal | None:
    """The clean-up that was broken off, or whose undo was; None if there is none."""
    unfinished = (read_journal(folder) for folder in folders_of(store) if not _has_ended(folder))
    return next((journal for journal in unfinished if journal.is_open), None)


def broken_off_without_plan(store: Path) -> Journal | None:
    """A clean-up that was broken off, if it has no plan to go on with, as one of tags or of the gate; None if there is
    none, or if its undo was broken off. Raises JournalError."""
    journal = broken_off(store)
    if journal is None or journal.undoing or journal.of_organize:
        return None
    plan = plan_of(journal)
    return None if plan.groups or plan.playlists else journal


def to_be_undone(store: Path, number: int | None) -> Journal:
    """The clean-up of that number, or the last one in which something is left to take back or which was broken off.
    What the gate did by itself is meant by its number only. Raises JournalError if there is none."""
    wanted = [folder for folder in folders_of(store) if number in (None, int(folder.name))]
    states: tuple[State, ...] = ("begun", "done") if number is None else ("begun", "done", "emptied", "kept")
    for journal in map(read_journal, reversed(wanted)):
        is_meant = number is not None or not journal.of_gate or journal.undoing
        left = (entry for _, entry in journal.steps_of(*states) if number or not isinstance(entry.step, Delete))
        if is_meant and (journal.is_open or next(left, None) is not None):
            return journal
    if number is not None and wanted:
        found = "was taken back already, or changed nothing"
        raise JournalError(f"clean-up {number}", found, "", "`reprise history` lists all clean-ups")
    found = f"there is no clean-up {number}" if number is not None else "there is no clean-up to take back"
    raise JournalError(f"store {store}", found, "", "`reprise history` lists all clean-ups")


def _end_of_lines(path: Path) -> int:
    """Bytes up to the end of the last whole line."""
    with path.open("rb") as file:
        end = file.seek(0, os.SEEK_END)
        while end:
            start = max(0, end - _PIECE)
            file.seek(start)
            at = file.read(end - start).rfind(b"\n")
            if at >= 0:
                return start + at + 1
            end = start
    return 0


def _take(journal: Journal, record: dict[str, Any]) -> None:
    match record["event"]:
        case "start":
            journal.began, journal.by = record["when"], str(record.get("by", ""))
        case "wanted":
            journal.wanted.append(record)
        case "begin":
            step = step_of(record["step"], journal.originals)
            known = record.get("known")
            if known is not None:  # JSON makes the names anew for each record, which took a kilobyte
                known = {sys.intern(name): value for name, value in known.items()}
            journal.entries.append(Entry(step, "begun", known))
        case "end":
            journal.ended = record["when"]
        case "undoing":
            journal.undoing = True
        case "all undone":
            journal.undone = record["when"]
        case "done" | "dropped" | "undone" | "emptied" | "kept" as state:
            entry = journal.entries[record["number"]]
            entry.state, entry.is_of_undo = state, journal.undoing
            take_outcome(entry.step, record)
        case other:
            raise ValueError(f"event {other!r}")
