"""Makes of a library and a template what moves where. The same files and tags give the same moves, in any order, and
none once they are made. Looks at the disk, and changes nothing."""

from __future__ import annotations

import itertools
import os
from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.errors import InputError
from dedup.files.paths import holds, printable
from dedup.files.quarantine import QUARANTINE
from dedup.files.safe_names import LONGEST_PATH, safe_file, safe_folder
from dedup.files.status import size_and_time
from dedup.groups.keep import is_below
from dedup.library.metadata import PropertiesReader
from dedup.organize.beside import Along, kind_of, number_of, numbered
from dedup.organize.disk import Disk, Scans
from dedup.organize.fields import album_key, fields_of, multidisc_albums
from dedup.organize.nouns import Beside, Moving, Organisation, Staying
from dedup.organize.template import LackingError, Template
from dedup.playlists.moves import without_case
from dedup.playlists.sidecars import renamed
from dedup.settings import DiscoverSettings

if TYPE_CHECKING:
    from dedup.store.store import Store
    from dedup.store.tracks import Track

_PROTECTED = "it is in a protected folder"


@dataclass(frozen=True)
class _Wish:
    """Where a file belongs, before anything is known of the others."""

    track: Track
    top: bytes
    """Folder below which it belongs."""
    folders: tuple[str, ...]
    stem: str

    @property
    def ending(self) -> bytes:
        return os.path.splitext(self.track.path)[1]


def organisation(
    store: Store,
    template: Template,
    *,
    paths: Sequence[bytes] = (),
    to: bytes | None = None,
    protect: Sequence[bytes] = (),
    discover: DiscoverSettings | None = None,
) -> Organisation:
    """What moves where, of the files at or below `paths`, or of all. Raises InputError for a path of which the store
    knows nothing. `to`: absolute. `protect`: absolute folders in which nothing is touched. `discover`: what the next
    scan looks at; where it does not, nothing goes."""
    tracks = [track for track in store.catalog.tracks.all() if track.state == "present"]
    chosen = _chosen(tracks, paths)
    wishes, staying = _wishes(tracks, template, to)
    planning = _Planning(protect, to, Scans(discover or DiscoverSettings()))
    planning.vote(wishes.values())
    for track in chosen:
        problem = staying.get(track.path) or planning.problem(track)
        if problem:
            planning.stay(track.path, problem)
        else:
            planning.want(wishes[track.path])
    return planning.organisation()


def _chosen(tracks: Sequence[Track], paths: Sequence[bytes]) -> list[Track]:
    if not paths:
        return list(tracks)
    found: dict[bytes, Track] = {}
    by_path = {track.path: track for track in tracks}
    for path in map(os.path.abspath, paths):
        there = [by_path[path]] if path in by_path else [track for track in tracks if holds(path, track.path)]
        if not there:
            raise InputError(printable(path), "the store knows no file there", remedy="Scan the folder that holds it")
        found |= {track.path: track for track in there}
    return [found[path] for path in sorted(found)]


def _wishes(
    tracks: Iterable[Track], template: Template, to: bytes | None
) -> tuple[dict[bytes, _Wish], dict[bytes, str]]:
    """Where each file belongs by the template, and why those stay that belong nowhere."""
    wishes: dict[bytes, _Wish] = {}
    staying: dict[bytes, str] = {}
    reader = PropertiesReader()
    read = [(track, reader.of(track.properties)) for track in tracks if track.audio is not None]
    multidisc = multidisc_albums(properties.tags for _, properties in read)
    for track, properties in read:
        try:
            path = template.path(fields_of(properties, album_key(properties.tags) in multidisc))
        except LackingError as error:
            staying[track.path] = f"no {', no '.join(error.names)}"
            continue
        *folders, stem = path.split("/")
        if not stem.strip():
            staying[track.path] = "the template gives it no name"
            continue
        wishes[track.path] = _Wish(track, to or track.root, tuple(each for each in folders if each.strip()), stem)
    for track in tracks:
        if track.audio is None:
            staying[track.path] = track.problem or "the last scan could not use it"
    return wishes, staying


class _Planning:
    """A plan in the making."""

    def __init__(self, protect: Sequence[bytes], to: bytes | None, scans: Scans) -> None:
        self._disk, self._scans = Disk(), scans
        self._protect, self._to = protect, to
        self._votes: dict[bytes, Counter[bytes]] = defaultdict(Counter)
        """Spellings of each folder of the template, by what disks make of it that ignore case."""
        self._wants: list[_Wish] = []
        self._staying: list[Staying] = []

    def stay(self, path: bytes, reason: str) -> None:
        self._staying.append(Staying(path, reason))

    def want(self, wish: _Wish) -> None:
        self._wants.append(wish)

    # ---- one spelling for each folder ----

    def vote(self, wishes: Iterable[_Wish]) -> None:
        """The files of the whole library decide how a folder is written of which there are several spellings."""
        for wish in wishes:
            path = wish.top
            for name in self._safe_folders(wish):
                path = os.path.join(path, name)
                self._votes[without_case(path)][name] += 1

    def _safe_folders(self, wish: _Wish) -> list[bytes]:
        longest = self._disk.longest_name(wish.top)
        return [os.fsencode(safe_folder(each, longest)) for each in wish.folders]

    def _folder(self, wish: _Wish) -> bytes:
        path = named = wish.top
        for name in self._safe_folders(wish):
            named = os.path.join(named, name)
            votes = self._votes[without_case(named)]
            most = max(votes.values())
            path = os.path.join(path, min(each for each, count in votes.items() if count == most))
        return self._disk.spelled(path, wish.top)

    # ---- what cannot move ----

    def problem(self, track: Track) -> str:
        """Why a file is left alone; empty if it may move."""
        folder = os.path.dirname(track.path)
        if is_below(track.path, self._protect):
            return _PROTECTED
        if QUARANTINE in track.path.split(b"/"):
            return "it is in the quarantine"
        if not holds(track.root, folder) or self._disk.is_behind_link(folder, track.root):
            return "its folder is reached through a link"
        try:
            status = os.lstat(track.path)
        except OSError as error:
            return f"cannot be looked at: {error.strerror or error}"
        is_other = size_and_time(status) != (track.size, track.mtime_ns)
        return kind_of(status) or (is_other and "it has changed since it was scanned. Scan its folder again") or ""

    def _problem_of_target(self, wish: _Wish, target: bytes) -> str:
        folder = os.path.dirname(target)
        if where := self._problem_of_place(wish.track.root, target):
            return f"it belongs in {printable(folder)}, {where}"
        if len(target) > LONGEST_PATH:
            return "its new path would be too long for the system"
        try:
            if self._disk.device(folder) != os.lstat(wish.track.path).st_dev:
                return f"it belongs in {printable(folder)}, on another file system. Move it there yourself, and scan"
        except OSError as error:
            where = printable(error.args[0]) if isinstance(error, NotADirectoryError) else printable(folder)
            return f"it belongs in {printable(folder)}, and {where} is not a folder"
        return ""

    def _problem_of_place(self, root: bytes, target: bytes) -> str:
        """Why a path takes no music, whatever is there; empty if it may."""
        if is_below(target, self._protect):
            return "which is protected"
        if QUARANTINE in target.split(b"/"):
            return "which is a quarantine"
        return self._scans.missing(target, root) if holds(root, target) else ""

    # ---- the whole ----

    def organisation(self) -> Organisation:
        targets: list[tuple[_Wish, bytes]] = []
        for wish in self._wants:
            folder = self._folder(wish)
            first = os.path.join(folder, os.fsencode(safe_file(wish.stem, os.fsdecode(wish.ending))))
            if problem := self._problem_of_target(wish, first):
                self.stay(wish.track.path, problem)
            else:
                targets.append((wish, folder))
        along = Along(self._disk)
        numbering = _Numbering(self._disk, along, targets)
        placed = numbering.placed()
        beside = self._beside(along, numbering, placed)
        moves = [
            Moving(path, placed[path], track.size, track.mtime_ns, tuple(beside[path]))
            for path, track in sorted((wish.track.path, wish.track) for wish, _ in targets)
            if placed[path] != path
        ]
        return Organisation(
            moves=tuple(moves),
            staying=tuple(sorted((*self._staying, *along.staying), key=lambda each: each.path)),
            n_there=len(targets) - len(moves),
            n_numbered=sum(numbering.numbers.get(moving.path, 1) > 1 for moving in moves),
            to=self._to,
        )

    def _beside(
        self, along: Along, numbering: _Numbering, placed: Mapping[bytes, bytes]
    ) -> defaultdict[bytes, list[Beside]]:
        """What goes along with each file that moves."""
        found: defaultdict[bytes, list[Beside]] = defaultdict(list)

        def add(owner: bytes, path: bytes, target: bytes) -> None:
            if is_below(path, self._protect):
                along.staying.append(Staying(path, _PROTECTED))
            elif path != target and (each := along.as_it_is(path, target)) is not None:
                found[owner].append(each)

        moved = {path: target for path, target in placed.items() if path != target}
        for path, target in sorted(moved.items()):
            for sidecar, to in along.targets(path, target).items():
                add(path, sidecar, to)
            for sidecar, owners in along.shared(path):
                if owners[0] == path:
                    self._share(along, numbering, placed, sidecar, owners, add)
        for folder in sorted({os.path.dirname(path) for path in moved}):
            if (album := along.of_album(folder, placed)) is not None:
                first, to_folder, files = album
                for path in files:
                    add(first, path, numbering.free(path, os.path.join(to_folder, os.path.basename(path))))
        return found

    def _share(
        self,
        along: Along,
        numbering: _Numbering,
        placed: Mapping[bytes, bytes],
        sidecar: bytes,
        owners: Sequence[bytes],
        add: Callable[[bytes, bytes, bytes], None],
    ) -> None:
        """A side-car of several files goes along if it has one name with all of them."""
        targets = {renamed(sidecar, owner, placed.get(owner, owner)) for owner in owners}
        if len(targets) > 1:
            along.staying.append(Staying(sidecar, "it belongs to several files, which do not stay together"))
            return
        add(owners[0], sidecar, numbering.free(sidecar, targets.pop()))


class _Numbering:
    """Gives every file a name of its own."""

    def __init__(self, disk: Disk, along: Along, targets: Sequence[tuple[_Wish, bytes]]) -> None:
        self._disk, self._along = disk, along
        self._leaving = {path for wish, _ in targets for path in (wish.track.path, *along.own(wish.track.path))}
        """Files that may leave their names to others."""
        self._claimed: dict[bytes, bytes] = {}
        """Who gets each name, by what disks make of it that ignore case."""
        self._groups: dict[bytes, list[tuple[_Wish, bytes]]] = defaultdict(list)
        for wish, folder in targets:
            self._groups[without_case(self._candidate(wish, folder, 1))].append((wish, folder))
            for above in _folders_between(folder, wish.top):
                self._claimed[without_case(above)] = b""
        self._tried: dict[bytes, int] = {}
        """The last number that was given to what goes along with an album, by its name without one."""
        self.numbers: dict[bytes, int] = {}
        """The number of each file; 1 is none."""

    def _candidate(self, wish: _Wish, folder: bytes, number: int) -> bytes:
        path = wish.track.path
        room, longest = self._along.room(path), self._disk.longest_name(folder)
        name = safe_file(wish.stem, os.fsdecode(wish.ending), number, room, longest)
        return os.path.join(folder, os.fsencode(name))

    def placed(self) -> dict[bytes, bytes]:
        """The new path of each file."""
        placed: dict[bytes, bytes] = {}
        groups = [sorted(self._groups[key], key=lambda each: each[0].track.path) for key in sorted(self._groups)]
        for members in groups:  # every name without a number goes to one that it was made for
            wish, folder = self._first_of(members)
            if self._is_free(wish.track.path, self._candidate(wish, folder, 1)):
                self._claim(placed, wish, folder, 1)
        for members in groups:
            self._number([each for each in members if each[0].track.path not in placed], placed)
        return placed

    def _first_of(self, members: Sequence[tuple[_Wish, bytes]]) -> tuple[_Wish, bytes]:
        there = (each for each in members if self._candidate(*each, 1) == each[0].track.path)
        return next(there, members[0])

    def _number(self, members: Sequence[tuple[_Wish, bytes]], placed: dict[bytes, bytes]) -> None:
        """Those that have one of the lowest numbers keep it; the others get the rest, in the order of their paths."""
        if not members:
            return
        wish, folder = members[0]
        free = (n for n in itertools.count(1) if self._is_free(None, self._candidate(wish, folder, n)))
        numbers = dict.fromkeys(itertools.islice(free, len(members)))
        beyond = max(numbers) + 1
        rest = []
        for wish, folder in members:
            own = number_of(wish.track.path)
            if own in numbers and self._candidate(wish, folder, own) == wish.track.path:
                del numbers[own]
                self._claim(placed, wish, folder, own)
            else:
                rest.append((wish, folder))
        for wish, folder in rest:
            number = next(
                n
                for n in itertools.chain(numbers, itertools.count(beyond))
                if self._is_free(wish.track.path, self._candidate(wish, folder, n))
            )
            numbers.pop(number, None)
            beyond = max(beyond, number + 1)
            self._claim(placed, wish, folder, number)

    def _claim(self, placed: dict[bytes, bytes], wish: _Wish, folder: bytes, number: int) -> None:
        path = wish.track.path
        placed[path] = target = self._candidate(wish, folder, number)
        self.numbers[path] = number
        for each in (target, *self._along.targets(path, target).values()):
            self._claimed[without_case(each)] = path

    def _is_free(self, path: bytes | None, target: bytes) -> bool:
        """Whether a file may have a name, and what goes along with it those that follow."""
        beside = self._along.targets(path, target).values() if path is not None else ()
        return all(self._is_name_free(path, each) for each in (target, *beside))

    def _is_name_free(self, path: bytes | None, target: bytes) -> bool:
        if self._claimed.get(without_case(target), path) != path:
            return False
        return all(each in self._leaving for each in self._disk.alike(target))

    def free(self, path: bytes, target: bytes) -> bytes:
        """A free name for what goes along with an album, which has it from now on."""
        longest, key = self._disk.longest_name(os.path.dirname(target)), without_case(target)
        self._leaving.add(path)
        numbers = itertools.count(self._tried.get(key, 0) + 1)
        number = next(n for n in numbers if self._is_name_free(path, numbered(target, n, longest)))
        found = numbered(target, number, longest)
        self._claimed[without_case(found)], self._tried[key] = path, number
        return found


def _folders_between(folder: bytes, top: bytes) -> Iterable[bytes]:
    while folder != top and holds(top, folder):
        yield folder
        folder = os.path.dirname(folder)
