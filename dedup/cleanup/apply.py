"""A plan carried out: each entry checked, told to the journal, done, and entered in the catalog. Killed at any moment,
every file is where it was or where the plan puts it, and calling again with the same journal goes on from there."""

from __future__ import annotations

import os
import stat
from collections import Counter, deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from dedup.cleanup import records
from dedup.cleanup.checks import Checks, Protection, Refusal, changed, is_same
from dedup.cleanup.empty_folders import empty_folders, litter_of
from dedup.cleanup.executor import Doing, reason_of
from dedup.cleanup.journal import JournalWriter
from dedup.cleanup.merging import merge_into_kept
from dedup.cleanup.moving import copy_status, is_there
from dedup.cleanup.originals import Status
from dedup.cleanup.steps import Delete, Move, RemoveFolder, Rewrite, Share, Step, Trash
from dedup.errors import RepriseError, UsageError, WriteError
from dedup.files.paths import extension_of, printable
from dedup.files.status import size_and_time
from dedup.plan.make import require_outside
from dedup.plan.nouns import LINKING, REMOVING, Plan, PlannedFile, PlannedGroup
from dedup.playlists.playlists import EXTENSIONS, MAX_BYTES, Moves, PlaylistError, rewritten

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.store.store import Store

_AHEAD = 4
"""Groups for each thread whose files are read before their turn."""


@dataclass
class Applied:
    """What became of a plan."""

    done: Counter[str] = field(default_factory=Counter)
    """Files by action."""
    n_bytes: int = 0
    """Of these files."""
    n_merged: int = 0
    """Kept files that got tags or a cover."""
    n_playlists: int = 0
    n_folders: int = 0
    """Empty ones that were removed."""
    refused: list[Refusal] = field(default_factory=list)
    left: int = 0
    """Files that a stop came before."""


def check_plan(store: Store, plan: Plan, protection: Protection, observer: Observer, stop: Stop) -> Applied:
    """What `apply` would do and refuse; changes nothing. Raises UsageError as it does."""
    require_quarantine(store, plan, protection)
    applied = Applied()
    for group, examined in _examined(store, plan, protection, observer, stop):
        for file in group.changed:
            problem = examined.problem(file)
            if problem:
                applied.refused.append(Refusal(file.path, problem))
            else:
                applied.done[file.action] += 1
                applied.n_bytes += file.size
    return applied


def apply(
    store: Store, plan: Plan, protection: Protection, writer: JournalWriter, observer: Observer, stop: Stop
) -> Applied:
    """Carries out a plan, or of one that was broken off, once `undo.settle` was called, what is left. What befalls one
    entry is a refusal, and the rest goes on. Raises UsageError for a place that cannot be a quarantine, WriteError for
    a full disk."""
    require_quarantine(store, plan, protection)
    cleanup = _Cleanup(store, plan, protection, writer, observer, stop)
    rest = cleanup.rest()
    for group, examined in _examined(store, rest, protection, observer, stop):
        cleanup.group(group, examined)
    if stop.requested:
        told = sum(cleanup.applied.done.values()) + len(cleanup.applied.refused)
        cleanup.applied.left = rest.n_files - told
    else:
        cleanup.playlists()
        cleanup.folders()
    return cleanup.applied


def require_quarantine(store: Store, plan: Plan, protection: Protection) -> None:
    """Raises UsageError where files would be found again by the next scan, or a protected folder would be touched."""
    if plan.to is None:
        return
    if not os.path.isabs(plan.to) or b".." in plan.to.split(b"/"):
        raise UsageError("quarantine", f"found {printable(plan.to)}", "an absolute path")
    if protection.holds(os.path.join(plan.to, b"x")):
        raise UsageError("quarantine", f"{printable(plan.to)} is in a protected folder", "another folder")
    if os.path.lexists(plan.to) and not os.path.isdir(plan.to):
        raise UsageError("quarantine", f"{printable(plan.to)} is no folder", "one, or a name that is free")
    require_outside(plan.to, store.catalog.tracks.roots())


# ---- what reading the files shows ----


@dataclass
class _Examined:
    """What is known of a group before anything is done."""

    root: dict[bytes, bytes] = field(default_factory=dict)
    """Of each file that may be touched."""
    known: dict[bytes, dict[str, object]] = field(default_factory=dict)
    """What the catalog has of it."""
    full: dict[bytes, bytes] = field(default_factory=dict)
    """Its hash."""
    of_group: str = ""
    """Why nothing of the group can be done."""
    of_file: dict[bytes, str] = field(default_factory=dict)
    """Why one file is not to be touched."""

    def problem(self, file: PlannedFile) -> str:
        return self.of_group or self.of_file.get(file.path, "")


def _examined(
    store: Store, plan: Plan, protection: Protection, observer: Observer, stop: Stop
) -> Iterator[tuple[PlannedGroup, _Examined]]:
    """Each group of which something changes, in order, until a stop; the files of the next ones are read meanwhile."""
    checks = Checks(store, plan, protection)
    observer.stage("clean up", plan.n_files, "files")
    n_threads = os.cpu_count() or 1
    with ThreadPoolExecutor(max_workers=n_threads) as threads:
        waiting: deque[tuple[PlannedGroup, Future[_Examined]]] = deque()
        coming = iter([group for group in plan.groups if group.changed])
        while not stop.requested:
            for group in coming:
                waiting.append((group, threads.submit(_examine, group, checks)))
                if len(waiting) > _AHEAD * n_threads:
                    break
            if not waiting:
                return
            group, future = waiting.popleft()
            yield group, future.result()
            observer.advance(len(group.changed))
        threads.shutdown(cancel_futures=True)


def _examine(group: PlannedGroup, checks: Checks) -> _Examined:
    examined = _Examined(of_group=checks.of_group(group))
    kept = group.kept
    if kept is None or examined.of_group:
        return examined
    examined.of_file = {file.path: told for file in group.changed if (told := checks.of_entry(group, file))}
    allowed = [file for file in group.changed if file.path not in examined.of_file]
    problem = checks.kept_file(kept) if allowed else ""
    if problem:
        examined.of_group = f"the file to keep, {printable(kept.path)}: {problem}"
        return examined
    for file in allowed:
        problem, full = checks.other_file(file, kept)
        if problem:
            examined.of_file[file.path] = problem
        else:
            track = checks.tracks[file.path]
            examined.full[file.path], examined.root[file.path] = full, track.root
            examined.known[file.path] = records.known_of(track)
    return examined


# ---- doing ----


class _Cleanup:
    """One plan, on its way."""

    def __init__(
        self,
        store: Store,
        plan: Plan,
        protection: Protection,
        writer: JournalWriter,
        observer: Observer,
        stop: Stop,
    ) -> None:
        self.store, self.plan, self.protection = store, plan, protection
        self.writer, self.observer, self.stop = writer, observer, stop
        self.doing = Doing(writer, plan.to, protection)
        self.applied = Applied()
        self.gone: dict[bytes, bytes] = {}
        """Path of each file that is gone, and of the kept one."""

    def rest(self) -> Plan:
        """The plan without what the journal says is done, and with its kept files as they are now."""
        steps = [entry.step for _, entry in self.writer.journal.steps_of("done")]
        done = {step.path for step in steps if isinstance(step, (Move, Trash, Delete, Share))}
        rewritten_ = {step.path for step in steps if isinstance(step, Rewrite)}
        for group in self.plan.groups:
            gone = [file for file in group.changed if file.path in done and file.action in REMOVING]
            self.gone |= {file.path: group.kept.path for file in gone if group.kept is not None}
        return replace(self.plan, groups=tuple(_rest(group, done, rewritten_) for group in self.plan.groups))

    def group(self, group: PlannedGroup, examined: _Examined) -> None:
        """Does what may be done of a group, and refuses the rest."""
        allowed = [file for file in group.changed if not examined.problem(file)]
        kept = group.kept
        if kept is not None and allowed:
            kept = self._merge(group, kept, allowed, examined)
        for file in group.changed:
            if self.stop.requested:
                return
            problem = examined.problem(file) or (self._entry(file, kept, examined) if kept else "")
            if problem:
                self._refuse(file.path, problem)
            else:
                self.applied.done[file.action] += 1
                self.applied.n_bytes += file.size

    def _merge(
        self, group: PlannedGroup, kept: PlannedFile, allowed: list[PlannedFile], examined: _Examined
    ) -> PlannedFile:
        """Writes what is to be carried over, and gives the kept file as it is then; where that cannot be, nothing of
        the group is to go."""
        if all(file.action in LINKING for file in allowed) or self.protection.holds(kept.path):
            return kept
        if problem := changed(kept):
            examined.of_group = f"the file to keep, {printable(kept.path)}: {problem}"
            return kept
        is_written, examined.of_group = merge_into_kept(replace(group, files=(kept, *allowed)), self.doing)
        if not is_written:
            return kept
        records.renew(self.store, kept.path)
        self.applied.n_merged += 1
        return _as_it_is(kept)

    def _entry(self, file: PlannedFile, kept: PlannedFile, examined: _Examined) -> str:
        """Does one entry; gives why not."""
        try:
            if problem := changed(kept):
                return f"the file to keep, {printable(kept.path)}: {problem}"
            problem = changed(file) or is_same(file, kept)
            if problem:
                return problem
            number = self.doing.do(self._step(file, kept, examined), examined.known[file.path])
            if not is_there(kept.path):
                self.doing.take_back(number)
                return "it is the kept file under another name"
        except WriteError:
            raise
        except RepriseError as error:
            return error.found if error.where == printable(file.path) else str(error)
        except OSError as error:
            return reason_of(error, file.path)
        if file.action in LINKING:
            records.renew(self.store, file.path)
        else:
            self.gone[file.path] = kept.path
            records.forget(self.store, file.path)
        return ""

    def _step(self, file: PlannedFile, kept: PlannedFile, examined: _Examined) -> Step:
        full = examined.full[file.path]
        match file.action:
            case "quarantine":
                target = self.doing.target(file.path, examined.root[file.path])
                return Move(file.path, target, file.size, full, status=Status.of(file.path))
            case "trash":
                return Trash(file.path, file.size, full)
            case "hardlink" | "reflink" as how:
                return Share(file.path, kept.path, how, file.size, full, Status.of(file.path))
            case _:
                return Delete(file.path, file.size, kept.path)

    def playlists(self) -> None:
        """Lets the plan's playlists refer to the kept files."""
        moves = Moves(self.gone)
        for planned in self.plan.playlists:
            try:
                self.applied.n_playlists += self._playlist(planned.path, moves)
            except PlaylistError as error:
                self._refuse(planned.path, str(error))
            except OSError as error:
                self._refuse(planned.path, reason_of(error, planned.path))

    def _playlist(self, path: bytes, moves: Moves) -> bool:
        """Whether it had to be rewritten, and could be."""
        if extension_of(path) not in EXTENSIONS or not stat.S_ISREG(os.lstat(path).st_mode):
            raise PlaylistError(f"it is no file of a playlist: {', '.join(sorted(EXTENSIONS))}")
        with open(path, "rb") as file:
            content = file.read(MAX_BYTES + 1)
        new = rewritten(path, content, moves)
        if new == content:
            return False
        if self.protection.holds(path):
            self._refuse(path, "it is in a protected folder")
            return False
        real = os.path.realpath(path)
        self.doing.do(Rewrite(real, self.doing.place(), "playlist", _Content(real, new)))
        return True

    def folders(self) -> None:
        """Removes what the plan left empty, if it says so; litter goes to the quarantine first."""
        if not self.plan.remove_empty_folders:
            return
        for folder, root in empty_folders(self.gone, self.store.catalog.tracks.roots()):
            if self.protection.holds(os.path.join(folder, b"x")):
                continue
            try:
                for name in litter_of(folder) or ():
                    path = os.path.join(folder, name)
                    self.doing.do(Move.of_litter(path, self.doing.target(path, root)))
                self.doing.do(RemoveFolder(folder, Status.of(folder)))
                self.applied.n_folders += 1
            except OSError as error:
                self._refuse(folder, reason_of(error, folder))
            except UsageError as error:
                self._refuse(folder, str(error))

    def _refuse(self, path: bytes, reason: str) -> None:
        self.applied.refused.append(Refusal(path, reason))
        self.observer.problem("failed", path, reason)


@dataclass(frozen=True)
class _Content:
    """Makes a file of these bytes that is like another one."""

    like: bytes
    content: bytes

    def __call__(self, part: bytes) -> None:
        with open(part, "wb") as file:
            file.write(self.content)
            file.flush()
            os.fsync(file.fileno())
        copy_status(self.like, part)
        os.utime(part)


def _rest(group: PlannedGroup, done: set[bytes], rewritten_: set[bytes]) -> PlannedGroup:
    """A group without what is done."""
    files = tuple(_as_rewritten(file, rewritten_) for file in group.files if file.path not in done)
    is_merged = group.kept is not None and os.path.realpath(group.kept.path) in rewritten_
    return replace(group, files=files, merge=None if is_merged else group.merge)


def _as_rewritten(file: PlannedFile, rewritten_: set[bytes]) -> PlannedFile:
    """A kept file that this plan gave other tags is what it is now."""
    return _as_it_is(file) if os.path.realpath(file.path) in rewritten_ else file


def _as_it_is(file: PlannedFile) -> PlannedFile:
    """The same file with its present size and time; one that is gone as it was."""
    try:
        size, mtime_ns = size_and_time(os.stat(file.path))
    except OSError:
        return file
    return replace(file, size=size, mtime_ns=mtime_ns)
