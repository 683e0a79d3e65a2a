"""Does steps, and writes each to the journal before and after."""

from __future__ import annotations

import itertools
import os
from pathlib import Path
from typing import Any

from dedup.cleanup.carry import HalfGivenError
from dedup.cleanup.checks import Protection
from dedup.cleanup.journal import JournalWriter
from dedup.cleanup.moving import OccupiedError, free_name
from dedup.cleanup.rename import Rename
from dedup.cleanup.steps import FolderTime, MakeFolder, Move, Step
from dedup.errors import RepriseError, UsageError, is_full, is_refusal, refusal, refused
from dedup.files.held import OutOfReachError, Reach
from dedup.files.paths import and_above, holds, printable
from dedup.files.quarantine import QUARANTINE
from dedup.tags.write import TagsError

GO_ON = "run `reprise apply --resume`, or take back what was done with `reprise undo`"


class Doing:
    """The one place where a clean-up changes the disk: does steps, and keeps the journal."""

    def __init__(
        self, writer: JournalWriter, to: bytes | None, protection: Protection, reach: Reach, then: str = GO_ON
    ) -> None:
        """Quarantined files go below `to`; if that is None, to the `QUARANTINE` of their root. `then` is what a person
        does to go on after the disk refused."""
        self.writer, self.reach, self._to, self._protection, self.then = writer, reach, to, protection, then
        done = (entry.step for _, entry in writer.journal.steps_of("done"))
        self._timed = {step.path for step in done if isinstance(step, FolderTime)}
        """Folders whose modification time is in the journal."""

    def do(self, step: Step, known: dict[str, Any] | None = None) -> int:
        """Does one step, and returns its number. Raises OSError or RepriseError if it cannot be done; then nothing has
        changed, apart from HalfGivenError. WriteError if it is not known how far it came: whoever goes on finds out."""
        self._note_time(os.path.dirname(step.path))
        if isinstance(step, (Move, Rename)):
            self._note_time(os.path.dirname(step.target))
        number = self.writer.begin(step, known)
        try:
            step.do(self.reach)
        except HalfGivenError:  # it stays begun: `recover` and undo find out how far it came
            raise
        except (OSError, RepriseError) as error:
            if not self._is_done(step, error):
                self.writer.set_state(number, "dropped")
                raise
        self.writer.set_state(number, "done")
        return number

    def _is_done(self, step: Step, error: OSError | RepriseError) -> bool:
        """Whether a step is done although it raised `error`: the disk refused only what makes it survive a power cut.
        Removes what it left half made; raises WriteError if the disk refuses that too."""
        if not (isinstance(error, OSError) and is_refusal(error)):
            return False
        try:
            return step.recover(self.reach)
        except OSError as again:
            if not is_refusal(again):
                return False
            raise refused(printable(step.path), error, then=self.then) from error

    def take_back(self, number: int) -> None:
        """Takes back a step that was done a moment ago. Raises OSError or RepriseError."""
        self.writer.journal.entries[number].step.undo(self.reach)
        self.writer.set_state(number, "undone")

    def _note_time(self, folder: bytes) -> None:
        if folder not in self._timed:
            with self.reach.folder(folder) as descriptor:
                mtime_ns = os.stat(descriptor).st_mtime_ns
            self._timed.add(folder)
            number = self.writer.begin(FolderTime(folder, mtime_ns, self.reach.way(folder)))
            self.writer.set_state(number, "done")

    def place(self) -> Path:
        """Path, without an ending, under which the next step may keep what a file was (`originals`)."""
        return self.writer.journal.originals / f"{len(self.writer.journal.entries) + 1}"

    def target(self, path: bytes, root: bytes) -> bytes:
        """Where a file of that root goes in the quarantine: its path below the root. Makes the folders. Raises OSError,
        also if a link leads out of the quarantine; RepriseError if one leads to a protected folder, or if the file does
        not lie below the root."""
        if not os.path.isabs(root) or not holds(root, path) or b".." in path.split(b"/"):
            raise UsageError("root", f"{printable(path)} is not below its root, {printable(root)}")
        quarantine = self._to if self._to is not None else os.path.join(root, QUARANTINE)
        target = os.path.join(quarantine, os.path.relpath(path, root))
        if self._protection.holds(target):
            raise UsageError("quarantine", f"{printable(target)} would be in a protected folder")
        try:
            self.make_folders(os.path.dirname(target))
            with self.reach.spot(target) as spot:
                return free_name(spot).path
        except OutOfReachError as error:
            found = f"the quarantine {printable(quarantine)} is or holds a symbolic link: name a folder as --to"
            raise OutOfReachError(target, found) from error

    def make_folders(self, folder: bytes) -> list[int]:
        """Makes a folder that files go to, and those above it that are missing. Returns the numbers of the steps."""
        missing = list(itertools.takewhile(lambda each: not self._is_there(each), and_above(folder)))
        return [self.do(MakeFolder(path)) for path in reversed(missing)]

    def _is_there(self, folder: bytes) -> bool:
        """Whether a folder is there. Raises OSError if it is something else, or out of reach."""
        try:
            with self.reach.folder(folder):
                return True
        except FileNotFoundError:
            return False
        except NotADirectoryError:
            raise OccupiedError(folder) from None


def reason_of(error: OSError, path: bytes, then: str = GO_ON) -> str:
    """Why the system refused one step, in words. Raises WriteError, with what to do `then`, for a full disk, since the
    next step would fail too."""
    if isinstance(error, OutOfReachError):
        return error.found
    if is_full(error):
        raise refused(printable(path), error, then=then) from error
    return f"refused by the system: {refusal(error)}"


def reason_of_tags(error: TagsError, path: bytes, then: str = GO_ON) -> str:
    """Why tags could not be written, in words. Raises WriteError as `reason_of` does."""
    if isinstance(error.__cause__, OSError):
        reason_of(error.__cause__, path, then)
    return error.found
