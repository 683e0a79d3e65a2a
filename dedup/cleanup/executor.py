"""Does steps, and writes each to the journal before and after."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from dedup.cleanup.checks import Protection
from dedup.cleanup.journal import JournalWriter
from dedup.cleanup.moving import OccupiedError, free_name
from dedup.cleanup.steps import FolderTime, MakeFolder, Move, Step
from dedup.errors import RepriseError, UsageError, is_full, refusal, refused
from dedup.files.paths import printable
from dedup.files.quarantine import QUARANTINE
from dedup.tags.write import TagsError

GO_ON = "run `reprise apply --resume`, or take back what was done with `reprise undo`"


class Doing:
    """The one place where a clean-up changes the disk: does steps, and keeps the journal."""

    def __init__(self, writer: JournalWriter, to: bytes | None, protection: Protection) -> None:
        """Quarantined files go below `to`; if that is None, to the `QUARANTINE` of their root."""
        self.writer, self._to, self._protection = writer, to, protection
        done = (entry.step for _, entry in writer.journal.steps_of("done"))
        self._timed = {step.path for step in done if isinstance(step, FolderTime)}
        """Folders whose modification time is in the journal."""

    def do(self, step: Step, known: dict[str, Any] | None = None) -> int:
        """Does one step, and returns its number. Raises OSError or RepriseError if it cannot be done; then nothing has
        changed."""
        self._note_time(os.path.dirname(step.path))
        if isinstance(step, Move):
            self._note_time(os.path.dirname(step.target))
        number = self.writer.begin(step, known)
        try:
            step.do()
        except (OSError, RepriseError):
            self.writer.set_state(number, "dropped")
            raise
        self.writer.set_state(number, "done")
        return number

    def take_back(self, number: int) -> None:
        """Takes back a step that was done a moment ago. Raises OSError or RepriseError."""
        self.writer.journal.entries[number].step.undo()
        self.writer.set_state(number, "undone")

    def _note_time(self, folder: bytes) -> None:
        if folder not in self._timed:
            self._timed.add(folder)
            number = self.writer.begin(FolderTime(folder, os.stat(folder).st_mtime_ns))
            self.writer.set_state(number, "done")

    def place(self) -> Path:
        """Path, without an ending, under which the next step may keep what a file was (`originals`)."""
        return self.writer.journal.originals / f"{len(self.writer.journal.entries) + 1}"

    def target(self, path: bytes, root: bytes) -> bytes:
        """Where a file of that root goes in the quarantine: its path below the root. Makes the folders. Raises OSError,
        RepriseError if a link leads to a protected folder."""
        quarantine = self._to if self._to is not None else os.path.join(root, QUARANTINE)
        target = os.path.join(quarantine, os.path.relpath(path, root))
        if self._protection.holds(target):
            raise UsageError("quarantine", f"{printable(target)} would be in a protected folder")
        self._make_folders(os.path.dirname(target))
        return free_name(target)

    def _make_folders(self, folder: bytes) -> None:
        missing = []
        while not os.path.isdir(folder):
            if os.path.lexists(folder):
                raise OccupiedError(folder)
            missing.append(folder)
            folder = os.path.dirname(folder)
        for path in reversed(missing):
            self.do(MakeFolder(path))


def reason_of(error: OSError, path: bytes) -> str:
    """Why the system refused one step, in words. Raises WriteError for a full disk, since the next step would fail
    too."""
    if is_full(error):
        raise refused(printable(path), error, then=GO_ON) from error
    return f"refused by the system: {refusal(error)}"


def reason_of_tags(error: TagsError, path: bytes) -> str:
    """Why tags could not be written, in words. Raises WriteError as `reason_of` does."""
    if isinstance(error.__cause__, OSError):
        reason_of(error.__cause__, path)
    return error.found
