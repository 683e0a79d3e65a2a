"""Carries out a reorganisation: gives files their new paths with what goes along, then rewrites playlists and removes
the folders left empty. With a journal, so that it can be gone on with after a kill, and undone."""

from __future__ import annotations

import contextlib
import itertools
import os
from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from dedup.cleanup import records
from dedup.cleanup.carrying import NO_LINKS, Links
from dedup.cleanup.checks import Protection, Refusal
from dedup.cleanup.empty_folders import remove_empty
from dedup.cleanup.executor import Doing, reason_of
from dedup.cleanup.journal import (
    ORGANIZE,
    Journal,
    JournalWriter,
    make_journal,
    open_journal,
    plan_of,
    require_none_open,
)
from dedup.cleanup.moving import OccupiedError
from dedup.cleanup.playlists import Content, Rewritten, real_of, rewrite_all, rewrite_moved
from dedup.cleanup.reach import Seen, roots_of
from dedup.cleanup.recover import recover
from dedup.cleanup.rename import Rename
from dedup.cleanup.repointing import Repointing, bind_again
from dedup.cleanup.steps import Rewrite
from dedup.clock import utc_now
from dedup.errors import RepriseError, WriteError
from dedup.files.held import OutOfReachError, Reach
from dedup.files.paths import extension_of, holds, printable
from dedup.files.status import as_int64, size_and_time
from dedup.organize.beside import kind_of
from dedup.organize.nouns import Beside, Moving, Organisation
from dedup.organize.order import Hop, Unit, is_hop, units
from dedup.plan.document import to_bytes
from dedup.plan.nouns import Plan, PlannedPlaylist
from dedup.playlists.moves import Moves
from dedup.playlists.playlists import EXTENSIONS
from dedup.store.protection import protected
from dedup.store.remembered import playlist_folders

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.settings import KeepSettings
    from dedup.store.store import Store

_GONE = "it is gone"
_CHANGED = "it was changed since the plan was made"
_PROTECTED = "it is in a protected folder, or belongs there"


@dataclass(frozen=True)
class Organized:
    """What was done."""

    n_files: int = 0
    """Files of music that have another path now."""
    n_beside: int = 0
    """Files that went along."""
    n_playlists: int = 0
    """Playlists and cue sheets that were rewritten."""
    n_folders: int = 0
    """Empty folders that were removed."""
    refused: tuple[Refusal, ...] = ()
    """What was not done, each with the reason."""
    left: int = 0
    """Files of music that a stop left for the next run."""
    number: int = 0
    """Number of the clean-up by which it is taken back."""


def organize(
    *,
    store: Store,
    plan: Organisation,
    keep: KeepSettings,
    observer: Observer,
    stop: Stop,
    links: Links = NO_LINKS,
    may_be_lost: bool = False,
) -> Organized:
    """Moves the files of a plan, each after a look whether it is as the plan has it. A file that cannot be moved is
    refused with its reason, and the rest goes on. Only for the holder of the store's lock. Of `keep` only the protected
    folders count; those that the store remembers are protected too.

    What listeners did on media servers (`links`) goes to the songs at the new paths. A file of which something would be
    lost stays, unless it `may_be_lost`; if a server falls silent on the way, the reorganisation stays open.

    Raises JournalError if a clean-up before it was broken off, WriteError for a full disk: `resume` goes on from
    there."""
    require_none_open(store.layout.folder)
    document = to_bytes(Plan((), playlists=plan.playlists))
    journal = make_journal(store.layout.folder, document, utc_now(), ORGANIZE, to_records(plan))
    return _carry_out(store, journal, plan, keep, observer, stop, links, may_be_lost)


def resume(
    *,
    store: Store,
    keep: KeepSettings,
    observer: Observer,
    stop: Stop,
    links: Links = NO_LINKS,
    may_be_lost: bool = False,
) -> Organized:
    """Goes on with the reorganisation that was broken off. Raises JournalError if there is none."""
    journal = open_journal(store.layout.folder, ORGANIZE)
    plan = of_records(journal.wanted, plan_of(journal).playlists)
    return _carry_out(store, journal, plan, keep, observer, stop, links, may_be_lost)


def _carry_out(
    store: Store,
    journal: Journal,
    plan: Organisation,
    keep: KeepSettings,
    observer: Observer,
    stop: Stop,
    links: Links,
    may_be_lost: bool,
) -> Organized:
    bind_again(journal, links)
    protection = Protection(protected(store, keep.protect))
    with contextlib.closing(JournalWriter(journal)) as writer, _reach(store, plan, journal) as reach:
        recover(store, writer, reach)
        doing = Doing(writer, None, protection, reach, journal.go_on)
        moves = {moving.path: moving.target for moving in plan.moves}
        repointing = Repointing(links, moves, may_be_lost, writer)
        return _Organizing(store, plan, protection, doing, observer, stop, repointing).all()


def _reach(store: Store, plan: Organisation, journal: Journal) -> Reach:
    tracks = store.catalog.tracks.of_paths([moving.path for moving in plan.moves])
    others = [*([plan.to] if plan.to is not None else []), *playlist_folders(store)]
    return Reach(roots_of(store, journal), others, Seen(tracks.values()).proves)


@dataclass
class _Organizing:
    """A reorganisation in progress, and what is done so far."""

    store: Store
    plan: Organisation
    protection: Protection
    doing: Doing
    observer: Observer
    stop: Stop
    repointing: Repointing
    refused: list[Refusal] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.reach, self.journal = self.doing.reach, self.doing.writer.journal
        self._roots = sorted(roots_of(self.store, self.journal), key=len, reverse=True)
        """Roots of the library before anything moved, the deepest names first."""
        self._planned: dict[bytes, Moving | Beside] = {
            each.path: each for moving in self.plan.moves for each in moving.all_files
        }
        self._music = {moving.path for moving in self.plan.moves}
        self._now = {path: path for path in self._planned}
        """Where each file is now, by where it was first."""
        self._staying: dict[bytes, str] = {}
        """Why music stays for what a media server would lose."""
        self._is_stuck = False
        """Whether a file cannot get from its way to any of its paths."""
        first = dict(self._now)
        for _, entry in self.journal.steps_of("done"):
            if isinstance(entry.step, Rename) and (origin := first.pop(entry.step.path, None)) is not None:
                first[entry.step.target], self._now[origin] = origin, entry.step.target

    def all(self) -> Organized:
        """Does whatever the journal does not record as done."""
        moves = [moving for moving in self.plan.moves if self._left_of(moving)]
        wanted = [self._left_of(moving) for moving in moves]
        origins = {self._now[path]: path for path in self._planned}
        n_tried = 0
        self.repointing.ask(self.observer)
        about = {moving.path: moving.target for moving in moves if self._now[moving.path] == moving.path}
        self._staying = self.repointing.prepare(about)
        self.observer.stage("move files", len(moves), "files")
        with self.store.catalog.gathered() as commit_in_time:
            for unit in units(wanted, origins):
                if self.stop.requested:
                    break
                self._unit(unit, [moves[number] for number in unit.files])
                n_tried += len(unit.files)
                commit_in_time()
                self.observer.advance(len(unit.files))
        left = len(moves) - n_tried
        n_playlists = n_folders = 0
        if not self.stop.requested:
            n_playlists, n_folders = self._playlists(), self._folders()
        if not self.stop.requested and self._finish_servers() and not self._is_stuck:
            self.doing.writer.end(utc_now())
        moved = [path for path, now in self._now.items() if now == self._planned[path].target]
        return Organized(
            n_files=sum(path in self._music for path in moved),
            n_beside=sum(path not in self._music for path in moved),
            n_playlists=n_playlists,
            n_folders=n_folders,
            refused=tuple(self.refused),
            left=left,
            number=int(self.journal.id),
        )

    def _left_of(self, moving: Moving) -> dict[bytes, bytes]:
        """The new paths of its files that are not there yet, by the present ones."""
        there = ((self._now[each.path], each.target) for each in moving.all_files)
        return {path: target for path, target in there if path != target}

    # ---- files ----

    def _unit(self, unit: Unit, moves: Sequence[Moving]) -> None:
        """Moves files that all move, or none."""
        done: list[tuple[int, Hop, dict[str, Any] | None]] = []
        path = moves[0].path
        try:
            for hop in unit.hops:
                path = hop.origin
                is_first = hop.path == self._now[path]
                if problem := self._staying.get(path) or (self._problem(hop) if is_first else ""):
                    raise RepriseError(printable(path), problem)
                self._hop(hop, done)
        except WriteError:
            raise
        except (OSError, RepriseError) as error:
            self._take_back(done)
            self._bring_home(moves)
            reason = self._reason(error, path)
            for moving in moves:
                self._refuse(moving.path, reason if moving.path == path else f"{printable(path)}: {reason}")

    def _bring_home(self, moves: Iterable[Moving]) -> None:
        """Gives files that a run before left on their way their old paths. If one cannot have it, the reorganisation
        stays open."""
        for each in (each for moving in moves for each in moving.all_files if is_hop(self._now[each.path])):
            try:
                self._hop(Hop(self._now[each.path], each.path, each.path), [])
            except WriteError:
                raise
            except (OSError, RepriseError) as error:
                self._is_stuck = True
                self._refuse(self._now[each.path], self._reason(error, each.path))

    def _finish_servers(self) -> bool:
        """Whether the media servers have what they are to get, or may lose it."""
        failed = list(self.repointing.finish(self._now, self.observer, self.stop))
        for path, reason in failed:
            self._refuse(path, reason)
        return not failed or self.repointing.may_be_lost

    def _hop(self, hop: Hop, done: list[tuple[int, Hop, dict[str, Any] | None]]) -> None:
        is_music = hop.origin in self._music
        track = self.store.catalog.tracks.get(hop.path) if is_music else None
        known = None if track is None else records.known_of(track)
        root = b"" if not is_music else self._root(hop.target, b"" if track is None else track.root)
        done += [(number, hop, None) for number in self.doing.make_folders(os.path.dirname(hop.target))]
        with self.reach.spot(hop.path) as spot:
            status = spot.status()
        with self.reach.spot(hop.target) as spot:
            if spot.exists():
                raise OccupiedError(hop.target)
        origin = hop.origin if hop.origin != hop.path else b""
        step = Rename(hop.path, hop.target, *size_and_time(status), as_int64(status.st_ino), origin, root)
        done.append((self.doing.do(step, known), hop, known))
        self._now[hop.origin] = hop.target
        if known is not None:
            records.move_track(self.store, known, hop.path, hop.target, root, self.reach)

    def _root(self, target: bytes, root: bytes) -> bytes:
        if root and holds(root, target):
            return root
        return next((each for each in self._roots if holds(each, target)), self.plan.to or root)

    def _take_back(self, done: Iterable[tuple[int, Hop, dict[str, Any] | None]]) -> None:
        for number, hop, known in reversed(list(done)):
            is_rename = isinstance(self.journal.entries[number].step, Rename)
            self.doing.take_back(number)
            if is_rename:
                self._now[hop.origin] = hop.path
            if known is not None:
                root = records.track_of(known).root
                records.move_track(self.store, known, hop.target, hop.path, root, self.reach)

    def _problem(self, hop: Hop) -> str:
        """Why a file must stay; empty if it may move. Raises OSError."""
        planned = self._planned[hop.origin]
        if self.protection.holds(hop.origin) or self.protection.holds(planned.target):
            return _PROTECTED
        try:
            with self.reach.spot(hop.path) as spot:
                status = spot.status()
        except FileNotFoundError:
            return _GONE
        is_other = size_and_time(status) != (planned.size, planned.mtime_ns)
        return kind_of(status) or (_CHANGED if is_other else "")

    def _reason(self, error: OSError | RepriseError, path: bytes) -> str:
        if isinstance(error, OutOfReachError):
            return error.found
        if isinstance(error, OccupiedError):
            return f"something is already at its new path, {printable(self._planned[path].target)}"
        return reason_of(error, path, self.journal.go_on) if isinstance(error, OSError) else error.found

    def _refuse(self, path: bytes, reason: str) -> None:
        self.refused.append(Refusal(path, reason))
        self.observer.problem("failed", path, reason)

    # ---- what is left to do then ----

    def _playlists(self) -> int:
        """Rewrites the playlists that name what moved, and the cue sheets that moved; those that a run before has
        rewritten once more, for what has moved since."""
        moved = {path: now for path, now in self._now.items() if now == self._planned[path].target}
        moves = Moves(moved)
        steps = self.journal.steps_of("done")
        done = {entry.step.path: number for number, entry in steps if isinstance(entry.step, Rewrite)}

        def rewrite(found: Rewritten) -> None:
            content = Content(found.real, found.content, found.new)
            self.doing.do(Rewrite(found.real, self.doing.place(), "playlist", content))

        others = [each for each in self.plan.playlists if self._is_left(each, moved, done)]
        along = {path: now for path, now in moved.items() if extension_of(path) in EXTENSIONS and now not in done}
        results = [
            rewrite_all(others, moves, self.protection, self.reach, rewrite, self.journal.go_on),
            rewrite_moved(along, moves, self.reach, rewrite, self.journal.go_on),
        ]
        for path, number in done.items():
            if later := self._moved_after(number, moved):
                again = [PlannedPlaylist(path, 1)]
                results.append(
                    rewrite_all(again, Moves(later), self.protection, self.reach, rewrite, self.journal.go_on)
                )
        for each in itertools.chain.from_iterable(refused for _, refused in results):
            self._refuse(each.path, each.reason)
        return sum(n_done for n_done, _ in results)

    def _moved_after(self, number: int, moved: Mapping[bytes, bytes]) -> dict[bytes, bytes]:
        """Those of the files that moved after a step of the journal."""
        steps = self.journal.steps_of("done")
        later = {entry.step.target for each, entry in steps if each > number and isinstance(entry.step, Rename)}
        return {path: now for path, now in moved.items() if now in later}

    @staticmethod
    def _is_left(playlist: PlannedPlaylist, moved: Mapping[bytes, bytes], done: Container[bytes]) -> bool:
        return playlist.path not in moved and real_of(playlist.path) not in done

    def _folders(self) -> int:
        gone = [path for path, now in self._now.items() if now != path]
        n_done, refused = remove_empty(gone, self._roots, self.doing, self.protection)
        for each in refused:
            self._refuse(each.path, each.reason)
        return n_done


# ---- as the journal keeps it ----


def to_records(plan: Organisation) -> list[dict[str, Any]]:
    """The moves of a plan in JSON types, for `Journal.wanted`; `of_records` is the inverse. Bytes of a path that are
    not UTF-8 become lone surrogates."""
    return [
        {"to": None if plan.to is None else os.fsdecode(plan.to)},
        *({**_record(moving), "beside": [_record(each) for each in moving.beside]} for moving in plan.moves),
    ]


def of_records(found: Sequence[dict[str, Any]], playlists: tuple[PlannedPlaylist, ...]) -> Organisation:
    """The plan of a journal. Raises KeyError or TypeError for anything else."""
    head, *moves = found
    to = None if head["to"] is None else os.fsencode(head["to"])
    return Organisation(
        tuple(Moving(*_values(each), tuple(Beside(*_values(one)) for one in each["beside"])) for each in moves),
        playlists=playlists,
        to=to,
    )


def _record(each: Moving | Beside) -> dict[str, Any]:
    path, target = os.fsdecode(each.path), os.fsdecode(each.target)
    return {"path": path, "target": target, "size": each.size, "mtime_ns": each.mtime_ns}


def _values(record: dict[str, Any]) -> tuple[bytes, bytes, int, int]:
    return os.fsencode(record["path"]), os.fsencode(record["target"]), record["size"], record["mtime_ns"]
