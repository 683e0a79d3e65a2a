"""Carries out the entries of a plan: writes each to the journal, does it, and enters it in the catalog; then the
playlists and the folders left empty."""

from __future__ import annotations

import functools
import os
from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dedup.cleanup import records
from dedup.cleanup.allowed import NOT_THE_STORES, Trust
from dedup.cleanup.checks import Protection, Refusal, changed, is_same
from dedup.cleanup.empty_folders import remove_empty
from dedup.cleanup.executor import Doing, reason_of
from dedup.cleanup.file_status import Status
from dedup.cleanup.journal import JournalWriter
from dedup.cleanup.merging import merge_into_kept
from dedup.cleanup.moving import hash_at, is_there
from dedup.cleanup.playlists import Content, Rewritten, rewrite_all
from dedup.cleanup.steps import Delete, KeptGoneError, Move, Rewrite, Share, Step, Trash
from dedup.errors import RepriseError, WriteError
from dedup.files.held import Reach
from dedup.files.paths import holds, printable
from dedup.files.status import size_and_time
from dedup.plan.beside import are_same, told
from dedup.plan.nouns import LINKING, REMOVING, Plan, PlannedFile, PlannedGroup, PlannedSidecar
from dedup.playlists.moves import Moves
from dedup.playlists.sidecars import Sidecars, renamed

if TYPE_CHECKING:
    from dedup.cleanup.carrying import Carrying
    from dedup.cleanup.examine import Examined
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.store.store import Store


class SidecarError(RepriseError):
    """What belongs to a file cannot go with it."""


class Cleanup:
    """One plan in progress, and what is done so far."""

    def __init__(
        self,
        store: Store,
        plan: Plan,
        protection: Protection,
        trust: Trust,
        writer: JournalWriter,
        reach: Reach,
        observer: Observer,
        stop: Stop,
        carrying: Carrying,
        before: Collection[bytes] = (),
    ) -> None:
        """`before`: paths of files that earlier clean-ups of the same plan did; refusing one is no failure."""
        self.before = before
        self.store, self.plan, self.protection, self.trust = store, plan, protection, trust
        self.writer, self.reach, self.observer, self.stop = writer, reach, observer, stop
        self.carrying = carrying
        self.doing = Doing(writer, plan.to, protection, reach)
        self._beside = Sidecars()
        self._rewritten = {playlist.path for playlist in plan.playlists if not playlist.problem}
        self.done: Counter[str] = Counter()
        """Files that are done, by action."""
        self.n_bytes = self.n_merged = self.n_playlists = self.n_folders = 0
        self.refused: list[Refusal] = []
        self.gone: dict[bytes, bytes] = {}
        """Path of the kept file, by the path of each file that is gone."""

    def rest(self) -> Plan:
        """The plan without what the journal records as done, its kept files as they are now."""
        steps = [entry.step for _, entry in self.writer.journal.steps_of("done")]
        done = {step.path for step in steps if isinstance(step, (Move, Trash, Delete, Share))}
        rewritten_ = {step.path for step in steps if isinstance(step, Rewrite)}
        for group in self.plan.groups:
            gone = [file for file in group.changed if file.path in done and file.action in REMOVING]
            self.gone |= {file.path: group.kept.path for file in gone if group.kept is not None}
        return replace(self.plan, groups=tuple(_rest(group, done, rewritten_) for group in self.plan.groups))

    def group(self, group: PlannedGroup, examined: Examined) -> None:
        """Does the entries of a group that may be done, and refuses the others."""
        self.carrying.examine(group, examined)
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
                self.done[file.action] += 1
                self.n_bytes += file.size
            self.observer.advance()

    def _merge(
        self, group: PlannedGroup, kept: PlannedFile, allowed: list[PlannedFile], examined: Examined
    ) -> PlannedFile:
        """Writes the tags and cover to carry over, and returns the kept file as it is then; if that fails, no file of
        the group may go."""
        if not may_merge(kept, allowed, self.protection):
            return kept
        try:
            problem = changed(self.reach, kept)
        except OSError as error:
            problem = reason_of(error, kept.path)
        if problem:
            examined.of_group = f"the file to keep, {printable(kept.path)}: {problem}"
            return kept
        sources = [file.path for file in group.files if self.store.catalog.tracks.get(file.path) is not None]
        is_written, examined.of_group = merge_into_kept(replace(group, files=(kept, *allowed)), sources, self.doing)
        if not is_written:
            return kept
        records.renew(self.store, kept.path, self.reach)
        self.n_merged += 1
        return _as_it_is(kept)

    def _entry(self, file: PlannedFile, kept: PlannedFile, examined: Examined) -> str:
        """Does one entry, and returns why it was not done; empty if it was."""
        try:
            if problem := changed(self.reach, kept):
                return f"the file to keep, {printable(kept.path)}: {problem}"
            problem = changed(self.reach, file) or is_same(file, kept) or self._other_sidecars(file, kept)
            if problem:
                return problem
            done: list[int] = []
            try:
                self.carrying.carry(file, kept, self.doing, done)
                done += self._sidecars_of(file, kept)
                done.append(self.doing.do(self._step(file, kept, examined), examined.known[file.path]))
                if not self._is_there(kept):
                    raise KeptGoneError(printable(file.path), "it is the kept file under another name")
            except (OSError, RepriseError):
                self._take_back(done)
                raise
        except WriteError:
            raise
        except RepriseError as error:
            return error.found if error.where == printable(file.path) else str(error)
        except OSError as error:
            return reason_of(error, file.path)
        if file.action in LINKING:
            records.renew(self.store, file.path, self.reach)
        else:
            self.gone[file.path] = kept.path
            records.drop_track(self.store, file.path)
        return ""

    def _step(self, file: PlannedFile, kept: PlannedFile, examined: Examined) -> Step:
        full = examined.full[file.path]
        match file.action:
            case "quarantine":
                target = self.doing.target(file.path, examined.root[file.path])
                return Move(file.path, target, file.size, full, status=self._status_of(file))
            case "trash":
                return Trash(file.path, file.size, full)
            case "hardlink" | "reflink" as how:
                return Share(file.path, kept.path, how, file.size, full, self._status_of(file))
            case _:
                return Delete(file.path, file.size, kept.path, file.mtime_ns)

    def _is_there(self, file: PlannedFile) -> bool:
        with self.reach.spot(file.path) as spot:
            return is_there(spot)

    def _status_of(self, file: PlannedFile) -> Status:
        with self.reach.spot(file.path) as spot, spot.open() as opened:
            return Status.of(opened.fileno())

    def _other_sidecars(self, file: PlannedFile, kept: PlannedFile) -> str:
        """What lies beside a file that goes and the plan does not say, or the other way round; empty if nothing."""
        if file.action not in REMOVING:
            return ""
        found, planned = self._beside.of(file.path), {each.path for each in file.sidecars}
        if foreign := sorted(path for path in planned.difference(found) if os.path.lexists(path)):
            return f"{printable(foreign[0])} does not belong to it"
        allowed = self.trust.may_be_lost(file)
        along = [each.path for each in file.sidecars if each.action == "with"] if self.trust.is_edited(file) else []
        for path in along:
            if "sidecars" not in allowed and not are_same(path, renamed(path, file.path, kept.path)):
                name = printable(os.path.basename(path))
                return f"{name} would go with it, and {NOT_THE_STORES}. Make the plan again, or give --let-go"
        known = {told(path) for path in planned} | {loss.what for loss in file.lost if loss.kind in allowed}
        for path in found:
            is_known = told(path) in known or path in self._rewritten or not os.path.lexists(path)
            if not is_known and not are_same(path, renamed(path, file.path, kept.path)):
                return (
                    f"{printable(os.path.basename(path))}, which belongs to it, is not in the plan. Make the plan again"
                )
        return ""

    def _sidecars_of(self, file: PlannedFile, kept: PlannedFile) -> list[int]:
        """Moves what belongs to a file that is about to go: to the kept file, or where the file goes. Returns the
        numbers of the steps. If one cannot be done, none is, and RepriseError says why."""
        done: list[int] = []
        for sidecar in file.sidecars if file.action in REMOVING else ():
            try:
                step = self._step_of_sidecar(sidecar, file, kept.path)
                is_later = isinstance(step, Delete) or self._beside.others(sidecar.path, file.path)
                if step is not None and not is_later:
                    done.append(self.doing.do(step))
            except WriteError:
                raise
            except (OSError, RepriseError) as error:
                self._take_back(done)
                found = reason_of(error, sidecar.path) if isinstance(error, OSError) else error.found
                name = printable(os.path.basename(sidecar.path))
                raise SidecarError(printable(file.path), f"{name}, which belongs to it: {found}") from error
        return done

    def _take_back(self, done: Sequence[int]) -> None:
        for number in reversed(done):
            self.doing.take_back(number)

    @functools.cached_property
    def _roots(self) -> list[bytes]:
        return self.store.catalog.tracks.roots()

    def sidecars(self) -> None:
        """Moves or deletes what waited until its files are gone: it cannot be brought back, or belongs to several."""
        for group in self.plan.groups:
            for file in group.files:
                if file.path in self.gone:
                    for sidecar in file.sidecars:
                        self._sidecar(sidecar, file, self.gone[file.path])

    def _sidecar(self, sidecar: PlannedSidecar, file: PlannedFile, kept: bytes) -> None:
        others = self._beside.others(sidecar.path, file.path)
        try:
            step = None if any(map(os.path.lexists, others)) else self._step_of_sidecar(sidecar, file, kept)
            if step is not None:
                self.doing.do(step)
        except WriteError:
            raise
        except RepriseError as error:
            self._refuse(sidecar.path, error.found)
        except OSError as error:
            self._refuse(sidecar.path, reason_of(error, sidecar.path))

    def _step_of_sidecar(self, sidecar: PlannedSidecar, file: PlannedFile, kept: bytes) -> Step | None:
        """What moves a side-car; None if it is done, as when this goes on with a clean-up that was interrupted. Raises
        OSError or RepriseError if it must stay."""
        path = sidecar.path
        if not os.path.lexists(path):
            return None
        target = renamed(path, file.path, kept) if sidecar.action == "to kept" else b""
        problem = changed(self.reach, sidecar) or self._protected(path) or self._protected(target)
        if problem:
            raise SidecarError(printable(path), problem)
        if target:
            return self._litter(path, target)
        match file.action:
            case "trash":
                return Trash(path, sidecar.size, self._hash(path))
            case "delete":
                return Delete(path, sidecar.size, kept, sidecar.mtime_ns)
            case _:
                above = (root for root in self._roots if holds(root, path))
                root = max(above, key=len, default=os.path.dirname(path))
                return self._litter(path, self.doing.target(path, root))

    def _litter(self, path: bytes, target: bytes) -> Move:
        with self.reach.spot(path) as spot:
            return Move.of_litter(spot, target)

    def _hash(self, path: bytes) -> bytes:
        with self.reach.spot(path) as spot:
            return hash_at(spot)

    def _protected(self, path: bytes) -> str:
        return "it is in a protected folder" if path and self.protection.holds(path) else ""

    def playlists(self) -> None:
        """Changes the plan's playlists so that they refer to the kept files."""

        def rewrite(found: Rewritten) -> None:
            content = Content(found.real, found.content, found.new)
            self.doing.do(Rewrite(found.real, self.doing.place(), "playlist", content))

        self.n_playlists, refused = rewrite_all(
            self.plan.playlists, Moves(self.gone), self.protection, self.reach, rewrite
        )
        for each in refused:
            self._refuse(each.path, each.reason)

    def confirm(self) -> None:
        """Looks whether media servers have given the kept files what they were to get."""
        for path, problem in self.carrying.confirm(self.writer, self.observer, self.stop):
            self._refuse(path, problem)

    def folders(self) -> None:
        """Removes the folders that the plan leaves empty, if it says so; litter goes to the quarantine first."""
        if not self.plan.remove_empty_folders:
            return
        roots = self.store.catalog.tracks.roots()
        self.n_folders, refused = remove_empty(self.gone, roots, self.doing, self.protection)
        for each in refused:
            self._refuse(each.path, each.reason)

    def _refuse(self, path: bytes, reason: str) -> None:
        self.refused.append(Refusal(path, reason))
        if path not in self.before:
            self.observer.problem("failed", path, reason)


def may_merge(kept: PlannedFile, allowed: Sequence[PlannedFile], protection: Protection) -> bool:
    """Whether the kept file may get what these files have: not if they share its bytes, or if it is protected."""
    return any(file.action not in LINKING for file in allowed) and not protection.holds(kept.path)


def _rest(group: PlannedGroup, done: set[bytes], rewritten_: set[bytes]) -> PlannedGroup:
    """A group without what is done."""
    files = tuple(_as_rewritten(file, rewritten_) for file in group.files if file.path not in done)
    is_merged = group.kept is not None and _is_rewritten(group.kept, rewritten_)
    return replace(group, files=files, merge=None if is_merged else group.merge)


def _as_rewritten(file: PlannedFile, rewritten_: set[bytes]) -> PlannedFile:
    """The file, with its present size and time if this plan has rewritten it."""
    return _as_it_is(file) if _is_rewritten(file, rewritten_) else file


def _is_rewritten(file: PlannedFile, rewritten_: set[bytes]) -> bool:
    return bool(rewritten_) and not rewritten_.isdisjoint((file.path, os.path.realpath(file.path)))


def _as_it_is(file: PlannedFile) -> PlannedFile:
    """The same file with its present size and time; unchanged if it is gone."""
    try:
        size, mtime_ns = size_and_time(os.stat(file.path))
    except OSError:
        return file
    return replace(file, size=size, mtime_ns=mtime_ns)
