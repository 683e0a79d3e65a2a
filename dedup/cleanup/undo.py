"""Undoes a clean-up: every step, the last first."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dedup.cleanup import records
from dedup.cleanup.carry import Carry
from dedup.cleanup.carrying import NO_LINKS, Links, bind, wait_for_files
from dedup.cleanup.checks import Refusal
from dedup.cleanup.journal import Entry, JournalWriter, to_be_undone
from dedup.cleanup.reach import reach_of_journal
from dedup.cleanup.recover import recover_steps
from dedup.cleanup.rename import Rename
from dedup.cleanup.repoint import Repoint
from dedup.cleanup.repointing import bind_again, give_back, note_before_undo
from dedup.cleanup.steps import (
    Delete,
    Move,
    NoWayBackError,
    RemoveFolder,
    Rewrite,
    Share,
    Step,
    Trash,
    give_name_back,
    is_anything,
)
from dedup.clock import utc_now
from dedup.errors import RepriseError, ServerError, WriteError, is_full, refusal, refused
from dedup.files.held import OutOfReachError
from dedup.files.paths import printable

if TYPE_CHECKING:
    from dedup.files.held import Reach
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.store.store import Store


@dataclass(frozen=True)
class Undone:
    """What was taken back of a clean-up."""

    number: int
    """Number of the clean-up."""
    n_files: int = 0
    """Files that are in their places again, with bytes of their own."""
    n_rewritten: int = 0
    """Files that have their old tags or entries again."""
    n_folders: int = 0
    """Folders that were made again."""
    failed: tuple[Refusal, ...] = ()
    """What could not be taken back; it can be tried again."""
    left: int = 0
    """Steps that a stop left for the next run."""


def undo(*, store: Store, number: int | None, observer: Observer, stop: Stop, links: Links = NO_LINKS) -> Undone:
    """Takes back the clean-up of that number, or the last one in which something is left to take back. What cannot be
    taken back is reported, and the rest goes on; calling again tries it again. What
    media servers (`links`) gave to the kept files goes back once they know the files again. Only for the holder of the
    store's lock. Raises JournalError if there is no such clean-up, WriteError for a full disk."""
    journal = to_be_undone(store.layout.folder, number)
    bind(journal, links)
    bind_again(journal, links)
    with contextlib.closing(JournalWriter(journal)) as writer, reach_of_journal(store, journal) as reach:
        undoing = _Undoing(store, writer, reach, observer)
        left = undoing.take_back_all(stop, links)
        undoing.ask_for_scans(links)
        if not stop.requested:
            writer.end_undoing(utc_now())
    return Undone(
        number=int(journal.id),
        n_files=undoing.n_files,
        n_rewritten=undoing.n_rewritten,
        n_folders=undoing.n_folders,
        failed=tuple(undoing.failed),
        left=left,
    )


@dataclass
class _Undoing:
    """An undo in progress, and what was taken back so far."""

    store: Store
    writer: JournalWriter
    reach: Reach
    observer: Observer
    n_files: int = 0
    n_rewritten: int = 0
    n_folders: int = 0
    failed: list[Refusal] = field(default_factory=list)
    _taken_back: list[int] = field(default_factory=list)
    """Steps that are taken back, which the journal does not say yet because the catalog is not committed."""
    _back: list[bytes] = field(default_factory=list)
    """Paths of the files that are there again."""
    _scanned: set[str] = field(default_factory=set)
    """Servers that were asked for a scan."""

    def take_back_all(self, stop: Stop, links: Links) -> int:
        """Returns how many steps a stop left. After a kill, those that the journal does not call undone are taken back
        once more, which changes nothing, and enters them in the catalog."""
        if not self.writer.journal.undoing:
            self.writer.begin_undoing()
        recover_steps(self.writer, self.reach)
        note_before_undo(self.writer, links, self.observer)
        entries = sorted(self.writer.journal.steps_of("begun", "done", "emptied", "kept"), reverse=True)
        self.observer.stage("undo", len(entries), "steps")
        carried = [(number, entry.step) for number, entry in entries if isinstance(entry.step, Carry)]
        repointed = [(number, entry.step) for number, entry in entries if isinstance(entry.step, Repoint)]
        of_disk = [each for each in entries if not isinstance(each[1].step, (Carry, Repoint))]
        left = self._take_back_each(of_disk, stop)
        if repointed and not stop.requested:
            self._give_back(repointed, stop)
        if carried and not stop.requested:
            carried = self._come_back(carried)
            back = [step for _, step in carried]
            self._scanned |= {step.bound.name for step in back if step.bound is not None}
            wait_for_files(back, self.observer, stop)
        all_entries = self.writer.journal.entries
        return left + self._take_back_each([(number, all_entries[number]) for number, _ in carried], stop)

    def _give_back(self, repointed: Sequence[tuple[int, Repoint]], stop: Stop) -> None:
        """Gives the files that are back what listeners did with them."""
        self._scanned |= {step.bound.name for _, step in repointed if step.bound is not None}
        is_back = functools.partial(is_anything, self.reach)
        for path, reason in give_back(repointed, is_back, self.writer, self.observer, stop):
            self._fail(path, reason)
        for _ in repointed:
            self.observer.advance()

    def _come_back(self, carried: Sequence[tuple[int, Carry]]) -> list[tuple[int, Carry]]:
        """Those whose file is there again. Of another, what its server has must not go back to it: the kept file keeps
        what it was given, for good if the file is gone for good."""
        entries = self.writer.journal.steps_of("begun", "done")
        waiting = {entry.step.path for _, entry in entries if isinstance(entry.step, (Move, Trash))}
        found = []
        for number, step in carried:
            if is_anything(self.reach, step.path):
                found.append((number, step))
                continue
            keeps = f"the kept file keeps what it was given on {step.server}"
            if step.path in waiting:
                self._fail(step.path, f"is not back, so {keeps} until then")
            else:
                self._fail(step.path, f"is gone for good; {keeps}")
                if self.writer.journal.entries[number].state != "kept":
                    self.writer.set_state(number, "kept")
            self.observer.advance()
        return found

    def ask_for_scans(self, links: Links) -> None:
        """Asks the servers to look for the files that are back, where nothing is waited for."""
        for name, link in links.items():
            if name not in self._scanned and any(map(link.sees, self._back)):
                with contextlib.suppress(ServerError):  # it scans in its own time
                    link.ask_for_scan()

    def _take_back_each(self, entries: Sequence[tuple[int, Entry]], stop: Stop) -> int:
        """Returns how many of these steps a stop left."""
        left = len(entries)
        with self.store.catalog.gathered() as commit_in_time:
            for number, entry in entries:
                if stop.requested:
                    break
                self._take_back(number, entry)
                left -= 1
                if commit_in_time():
                    self._write_down()
                self.observer.advance()
        self._write_down()
        return left

    def _write_down(self) -> None:
        for number in self._taken_back:
            self.writer.set_state(number, "undone")
        self._taken_back.clear()

    def _take_back(self, number: int, entry: Entry) -> None:
        step = entry.step
        try:
            if entry.state == "emptied":
                _require_held(step, self.reach)
            step.undo(self.reach)
        except (OSError, RepriseError) as error:
            if isinstance(error, WriteError):
                raise
            if isinstance(error, OSError) and is_full(error):
                raise refused(printable(step.path), error, then="run `reprise undo` again") from error
            self._fail(step.path, _reason(error))
            return
        if isinstance(step, Carry):  # at once: plays that are taken back twice would be too few
            self.writer.set_state(number, "undone")
            return
        if isinstance(step, (Move, Trash)) and entry.known is not None:
            records.restore(self.store, entry.known, self.reach)
        elif isinstance(step, Rename) and entry.known is not None:
            root = records.track_of(entry.known).root
            records.move_track(self.store, entry.known, step.target, step.path, root, self.reach)
        elif isinstance(step, (Share, Rewrite)):
            records.renew(self.store, step.path, self.reach)
        self._taken_back.append(number)
        if isinstance(step, (Move, Trash, Rename)):
            self._back.append(step.path)
        self.n_files += isinstance(step, (Move, Trash, Delete, Share)) or (isinstance(step, Rename) and step.is_last)
        self.n_rewritten += isinstance(step, Rewrite)
        self.n_folders += isinstance(step, RemoveFolder)

    def _fail(self, path: bytes, reason: str) -> None:
        self.failed.append(Refusal(path, reason))
        self.observer.problem("failed", path, reason)


def _require_held(step: Step, reach: Reach) -> None:
    """Raises NoWayBackError if a file is gone that was to be removed from the quarantine: a kill may have left it."""
    if isinstance(step, Move) and not is_anything(reach, step.path):
        with contextlib.suppress(FileNotFoundError), reach.spot(step.target) as spot:
            give_name_back(spot)
        if not is_anything(reach, step.target):
            raise NoWayBackError(
                printable(step.path), "is gone for good: it was removed from the quarantine by `quarantine --empty`"
            )


def _reason(error: OSError | RepriseError) -> str:
    if isinstance(error, OutOfReachError):
        return error.found
    return f"refused by the system: {refusal(error)}" if isinstance(error, OSError) else str(error)
