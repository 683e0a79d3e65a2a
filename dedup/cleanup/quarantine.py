"""What lies in the quarantines: which files clean-ups of this store put there, by their journals, and how they are
removed for good. Nothing else in a quarantine is touched, nor a file that is not as the journal says, nor one whose
kept copy is gone: it may be the last of its recording."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, BinaryIO

from dedup.cleanup.checks import Protection, Refusal
from dedup.cleanup.journal import Journal, JournalWriter, journals_of, plan_of, require_none_open
from dedup.cleanup.moving import part_name, part_of
from dedup.cleanup.originals import ChangedSinceError
from dedup.cleanup.reach import reach_of_journal, roots_of
from dedup.cleanup.steps import MakeFolder, Move, give_name_back
from dedup.errors import RepriseError, UsageError, WriteError, refusal
from dedup.files.held import OutOfReachError, Reach, Spot
from dedup.files.paths import holds, printable
from dedup.files.quarantine import QUARANTINE
from dedup.library.identity import hash_of
from dedup.store.protection import protected

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.plan.nouns import Plan
    from dedup.runner import Stop
    from dedup.store.store import Store

CHANGED = "is not as the clean-up left it"
UNKNOWN = "no clean-up of this store put it there"
PROTECTED = "it is in a protected folder"
DAMAGED = "its plan is damaged, so nobody knows where its quarantine is"
"""Why something is left."""


@dataclass(frozen=True)
class Held:
    """A file in a quarantine, as the journal has it."""

    number: int
    """Number of the step in the journal."""
    step: Move
    kept: bytes = b""
    """File that was kept in its place; empty for litter, in whose place none is."""


@dataclass(frozen=True)
class Batch:
    """What one clean-up put into quarantine and is still there."""

    cleanup: int
    """Number of the clean-up."""
    when: str
    """Time when it ended, UTC."""
    files: tuple[Held, ...] = ()
    journal: Journal | None = field(default=None, compare=False, repr=False)

    @property
    def n_bytes(self) -> int:
        return sum(held.step.size for held in self.files)


@dataclass(frozen=True)
class Listing:
    """What lies in the quarantines of a store."""

    batches: tuple[Batch, ...] = ()
    """Clean-ups of which something is there, oldest first."""
    left: tuple[Refusal, ...] = ()
    """What is there and is never removed, with the reason."""

    @property
    def n_files(self) -> int:
        return sum(len(batch.files) for batch in self.batches)

    @property
    def n_bytes(self) -> int:
        return sum(batch.n_bytes for batch in self.batches)


@dataclass(frozen=True)
class Emptied:
    """What was removed for good."""

    n_files: int = 0
    n_bytes: int = 0
    refused: tuple[Refusal, ...] = ()
    """Files that stay, and why."""
    left: int = 0
    """Files that a stop left for the next run."""


def list_quarantine(store: Store, before: str | None = None) -> Listing:
    """What clean-ups put into quarantine and is still there: all of it, or what ended before a time in UTC. Does not
    read the files; changes nothing. Raises JournalError for a journal that cannot be read."""
    protection = Protection(protected(store, ()))
    found = _Found()
    folders = dict.fromkeys(os.path.join(root, QUARANTINE) for root in store.catalog.tracks.roots())
    damaged, journals = [], []
    for journal in journals_of(store.layout.folder):
        plan = _plan_of(journal)
        if plan is None:
            damaged.append(Refusal(os.fsencode(journal.folder), DAMAGED))
            continue
        found.add_plan(plan)
        tops = quarantines_of(journal, plan, roots_of(store, journal))
        journals += [journal] if tops else []
        folders |= dict.fromkeys(tops)
        with reach_of_journal(store, journal) as reach:
            for number, step in _moved(journal, tops):
                problem = PROTECTED if protection.holds(step.target) else _looks_changed(step, reach)
                found.add(journal, Held(number, step), problem)
    batches = [found.batch(journal) for journal in journals]
    strangers = [Refusal(path, UNKNOWN) for top in folders for path in _others_in(top, found.known)]
    return Listing(
        tuple(batch for batch in batches if batch.files and (before is None or batch.when < before)),
        (*damaged, *found.problems.values(), *strangers),
    )


def empty_quarantine(
    *, store: Store, before: str | None, may_empty: Callable[[int, int], bool], observer: Observer, stop: Stop
) -> Emptied:
    """Removes for good what `list_quarantine` lists, if `may_empty` allows it for so many files and bytes: each file
    only if its bytes are as the journal says and the kept file is there. The journal has it before it is done. Only for
    the holder of the store's lock. Raises JournalError if a clean-up was broken off or its journal cannot be read,
    UsageError if it is not allowed, WriteError."""
    require_none_open(store.layout.folder)
    listing = list_quarantine(store, before)
    if not listing.n_files:
        return Emptied()
    if not may_empty(listing.n_files, listing.n_bytes):
        found = f"{listing.n_files:,} {'file' if listing.n_files == 1 else 'files'} would be removed for good"
        raise UsageError("quarantine --empty", found, remedy="Nothing was done. Confirm with --yes")
    emptying = _Emptying(store, observer, stop)
    observer.stage("empty quarantine", listing.n_files, "files")
    for batch in listing.batches:
        emptying.batch(batch)
    left = listing.n_files - emptying.n_files - len(emptying.refused)
    return Emptied(emptying.n_files, emptying.n_bytes, tuple(emptying.refused), left)


class _Emptying:
    """The removal in progress."""

    def __init__(self, store: Store, observer: Observer, stop: Stop) -> None:
        self.store, self.observer, self.stop = store, observer, stop
        self.n_files = self.n_bytes = 0
        self.refused: list[Refusal] = []

    def batch(self, batch: Batch) -> None:
        assert batch.journal is not None
        journal = batch.journal
        with contextlib.closing(JournalWriter(journal)) as writer, reach_of_journal(self.store, journal) as reach:
            for held in batch.files:
                if self.stop.requested:
                    return
                self._file(held, writer, reach)
                self.observer.advance()
            _remove_folders(journal, reach)

    def _file(self, held: Held, writer: JournalWriter, reach: Reach) -> None:
        step = held.step
        try:
            _require_kept(held)
            _remove(held, writer, reach)
        except WriteError:
            raise
        except OutOfReachError as error:
            self._refuse(step.target, error.found)
        except RepriseError as error:
            self._refuse(step.target, error.found)
        except OSError as error:
            self._refuse(step.target, f"refused by the system: {refusal(error)}")
        else:
            self.n_files += 1
            self.n_bytes += step.size

    def _refuse(self, path: bytes, reason: str) -> None:
        self.refused.append(Refusal(path, reason))
        self.observer.problem("failed", path, reason)


def _require_kept(held: Held) -> None:
    if held.kept and not _is_kept(held.kept):
        found = f"the file that was kept for it, {printable(held.kept)}, is not there: it may be the last copy"
        raise ChangedSinceError(printable(held.step.target), found)


def _is_kept(path: bytes) -> bool:
    """Whether there is a file with something in it."""
    return os.path.isfile(path) and os.path.getsize(path) > 0


def _remove(held: Held, writer: JournalWriter, reach: Reach) -> None:
    """Removes one file: looks at all its bytes, notes it, takes its name away, and sees that it is the file it looked
    at. Another file that came to the name meanwhile gets it back."""
    step = held.step
    with reach.spot(step.target) as spot:
        give_name_back(spot)  # a kill may have left it without
        with spot.open() as file:
            _remove_opened(held, spot, file, writer)
        spot.sync()


def _remove_opened(held: Held, spot: Spot, file: BinaryIO, writer: JournalWriter) -> None:
    step = held.step
    if os.fstat(file.fileno()).st_size != step.size or hash_of(file) != step.full:
        raise ChangedSinceError(printable(step.target), CHANGED)
    writer.note_emptied(held.number)
    part = part_of(spot)
    spot.rename(part)
    try:
        if not os.path.samestat(os.fstat(file.fileno()), part.status()):
            raise ChangedSinceError(printable(step.target), "another file was put there meanwhile")
        part.unlink()
    except BaseException:
        give_name_back(spot)
        raise


def _remove_folders(journal: Journal, reach: Reach) -> None:
    """Removes the folders that the clean-up made in the quarantine and that are empty now."""
    made = [entry.step for _, entry in journal.steps_of("done") if isinstance(entry.step, MakeFolder)]
    for step in reversed(made):
        with contextlib.suppress(OSError):  # what is not empty, or out of reach, stays
            step.undo(reach)


# ---- what the journals say ----


def quarantines_of(journal: Journal, plan: Plan, roots: Sequence[bytes]) -> list[bytes]:
    """The folders into which a clean-up put files that went."""
    tops = [plan.to] if plan.to is not None else [os.path.join(root, QUARANTINE) for root in roots]
    targets = [entry.step.target for entry in journal.entries if isinstance(entry.step, Move)]
    return [top for top in tops if any(holds(top, target) for target in targets)]


def _moved(journal: Journal, tops: Sequence[bytes]) -> Iterator[tuple[int, Move]]:
    """The files that the clean-up moved into these folders, and that nobody took back; side-cars that went to a kept
    file are not among them."""
    for number, entry in journal.steps_of("done", "emptied"):
        step = entry.step
        if isinstance(step, Move) and any(holds(top, step.target) and top != step.target for top in tops):
            yield number, step


def _looks_changed(step: Move, reach: Reach) -> str | None:
    """Why a file cannot be the one that was moved, without reading it; empty if it may be, None if nothing is there."""
    try:
        with reach.spot(step.target) as spot:
            held = spot if spot.exists() else part_of(spot)  # a kill may have left it without its name
            if not held.exists():
                return None
            return "" if held.is_file() and held.status().st_size == step.size else CHANGED
    except FileNotFoundError:
        return None
    except OutOfReachError as error:
        return error.found
    except OSError as error:
        return f"refused by the system: {refusal(error)}"


def _plan_of(journal: Journal) -> Plan | None:
    """The plan of a clean-up; None if it is damaged: then nobody knows where its quarantine is."""
    try:
        return plan_of(journal)
    except RepriseError:
        return None


class _Found:
    """What is known of the files in quarantine, over all clean-ups."""

    def __init__(self) -> None:
        self._kept: dict[bytes, bytes] = {}
        """File that was kept, by each file that went. It may have gone itself in favour of another later."""
        self._files: dict[bytes, tuple[str, Held]] = {}
        """Id of the clean-up, and the file, by the path in quarantine: that of the last one that put a file there."""
        self.problems: dict[bytes, Refusal] = {}
        self.known: set[bytes] = set()
        """Paths that clean-ups used, and those that a kill may have left."""

    def add_plan(self, plan: Plan) -> None:
        for group in plan.groups:
            kept = group.kept
            for file in group.changed if kept is not None else ():
                paths = [file.path, *(sidecar.path for sidecar in file.sidecars)]
                self._kept |= dict.fromkeys(paths, kept.path if kept is not None else b"")

    def add(self, journal: Journal, held: Held, problem: str | None) -> None:
        """`problem`: as `_looks_changed` has it."""
        target = held.step.target
        self.known |= {target, os.path.join(os.path.dirname(target), part_name(target))}
        self._files.pop(target, None)
        self.problems.pop(target, None)
        if problem:
            self.problems[target] = Refusal(target, problem)
        elif problem is not None:
            self._files[target] = journal.id, held

    def batch(self, journal: Journal) -> Batch:
        """The files of one clean-up, each with the file that was kept for it."""
        files = (held for id_, held in self._files.values() if id_ == journal.id)
        told = tuple(replace(held, kept=self._kept_for(held.step.path)) for held in files)
        return Batch(int(journal.id), journal.ended or journal.began, told, journal)

    def _kept_for(self, path: bytes) -> bytes:
        seen = {path}
        kept = self._kept.get(path, b"")
        while kept and not _is_kept(kept) and self._kept.get(kept, kept) not in seen | {kept}:
            seen.add(kept)
            kept = self._kept[kept]
        return kept


def _others_in(top: bytes, known: set[bytes]) -> Iterator[bytes]:
    """What lies in a quarantine, folders apart, and no clean-up put there. Follows no link below it."""
    for folder, _, names in os.walk(top):
        for name in sorted(names):
            path = os.path.join(folder, name)
            if path not in known:
                yield path
