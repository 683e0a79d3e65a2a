"""One file of a source: fetched, looked at, compared with the library, completed, named, and entered in the store. In
this order, and each step only after the one before is on the disk, so that a kill at any moment leaves no file twice
and none that is not whole."""

from __future__ import annotations

import errno
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from blake3 import blake3

from dedup.backup.beside import bring
from dedup.backup.complete import complete
from dedup.backup.naming import names_of
from dedup.backup.place import Place, Work
from dedup.backup.source import Item, Source, UnavailableError
from dedup.cleanup.moving import OccupiedError, hash_at, move, recover_move
from dedup.clock import utc_now
from dedup.errors import InputError, is_refusal, refused
from dedup.files.held import OutOfReachError, Spot
from dedup.files.paths import extension_of, holds, printable
from dedup.gate.arrived import arrived, enter
from dedup.gate.decide import decide
from dedup.gate.newcomer import Newcomer, moved
from dedup.library.identity import full_hash
from dedup.library.look import LOOK_S
from dedup.library.unusable import Unusable
from dedup.plain_text import visible
from dedup.store.backups import BackedUp
from dedup.tags.read import Tags, read_tags

if TYPE_CHECKING:
    from dedup.files.standby import Standby
    from dedup.gate.gate import Gate
    from dedup.groups.matches import ListedTrack

Outcome = Literal["new", "here", "known", "failed"]

LACKING_S, LACKING_SHARE = 2.0, 0.02
"""How much of the length that a source tells may be missing, in seconds and as a share, before a file counts as cut."""

MOST_COUNTED = 500
"""Files that came and that the gate keeps in mind, before it reads them from the store."""

_CONTENT_BYTES = 16
_OF_ONE = (errno.EACCES, errno.EPERM, errno.EFBIG)
"""Refusals of a disk that are about one file or its folder."""


class Keeping(NamedTuple):
    """What becomes of files."""

    keeps_all: bool = False
    """Whether what the library has is kept too."""
    as_is: bool = False
    """Whether files keep each byte, and no tags are added."""


@dataclass(frozen=True)
class Taken:
    """What became of one file."""

    item: Item
    outcome: Outcome
    """new: it is here now; here: the library had the recording; known: an earlier run took it; failed: it could not be
    had."""
    path: bytes = b""
    """Where it is, or the library's file with the same recording; empty if it failed."""
    note: str = ""
    """Why it failed, or what is special about it."""


class Taker:
    """Takes files of one source into one folder. Only for whoever holds the store's lock."""

    def __init__(self, gate: Gate, standby: Standby, source: Source, place: Place, manner: Keeping) -> None:
        self._gate, self._standby, self._source = gate, standby, source
        self._store, self._place, self._manner = gate.store, place, manner
        roots = [root for root in self._store.catalog.tracks.roots() if root]
        self._roots = roots if any(holds(root, place.folder) for root in roots) else [*roots, place.folder]
        self._counted: list[int] = []

    # ---- one file ----

    def take(self, item: Item) -> Taken:
        """Takes one. Raises WriteError if the disk refuses, StoppedError, and what the source raises as a whole."""
        try:
            with self._place.work(stem_of(self._source.key, item.id)) as work:
                return self._take(item, work)
        except UnavailableError as error:
            return Taken(item, "failed", note=error.found)
        except OutOfReachError as error:
            return Taken(item, "failed", note=error.found)
        except OSError as error:
            if is_refusal(error) and error.errno not in _OF_ONE:
                raise refused(printable(self._place.folder), error) from error
            return Taken(item, "failed", note=f"it cannot be written: {error.strerror or type(error).__name__}")

    def _take(self, item: Item, work: Work) -> Taken:
        ending = self._fetched(item, work)
        path = work.path(ending)
        found = self._gate.reader.read(path)
        if isinstance(found, Unusable):
            return self._uncompared(item, work, ending, found)
        note = _require_whole(item, found)
        said, there = self._judged(found)
        if there is not None and not self._manner.keeps_all:
            self._record(item, there.path, there.content, b"", "here")
            return Taken(item, "here", there.path, note)
        note = "; ".join(filter(None, (note, said)))
        tags = self._tags(path)
        fields: Mapping[str, Sequence[str]] = tags.fields
        if not self._manner.as_is:
            filling = self._source.tags(item)
            fields, trouble = complete(work, ending, tags, filling, found, self._gate, self._standby)
            note = "; ".join(filter(None, (note, trouble)))
        target, trouble = self._place_file(item, work, ending, fields, found.track.content)
        self._enter(item, moved(found, target), target)
        return Taken(item, "new", target, "; ".join(filter(None, (note, trouble))))

    def _fetched(self, item: Item, work: Work) -> bytes:
        """Fetches it; gives the ending under which it lies. Raises UnavailableError."""
        with work.written(b".part", item.mtime_ns) as part:
            suffix = self._source.fetch(item, part)
        if not part.n_bytes:
            raise UnavailableError("it is empty")
        if item.size is not None and part.n_bytes != item.size:
            raise UnavailableError(f"{part.n_bytes:,} of {item.size:,} bytes came")
        extension = suffix.lower()
        if extension not in self._gate.scan.discover.extensions:
            raise UnavailableError(f".{visible(suffix)[:20]} is not the ending of an audio file")
        ending = b"." + os.fsencode(extension)
        with work.spot(b".part") as spot, work.spot(ending) as named:
            named.discard()
            spot.rename(named)
        return ending

    def _judged(self, found: Newcomer) -> tuple[str, ListedTrack | None]:
        """What the library has that is related to it, in words, and the library's file that makes it needless; None if
        it is to be kept. A better file is kept, and so is another version, unless the settings say otherwise: what only
        a source has may be gone there one day."""
        gate = self._gate
        pairs = [pair for pair in gate.relations.of(found) if self._is_there(pair.b)]
        said = decide(found.track, pairs, gate.policy, gate.intended, gate.relations.listened)
        why = "" if said.answer == "import" else f"{said.answer}: {said.why}"
        if said.deed not in ("reject", "nothing"):
            return why, None
        same = (pair for pair in pairs if pair.verdict == "same file")
        return why, next((pair.b for pair in (*same, *said.copies, *said.others)), None)

    def _is_there(self, track: ListedTrack) -> bool:
        """Whether the library has a track's file, and not only the source: the store may remember one that is gone
        since. A drive that is away comes back."""
        is_gone = track.state == "present" and not os.path.lexists(track.path)
        return not is_gone and not lies_in(self._source, track.path)

    def _uncompared(self, item: Item, work: Work, ending: bytes, found: Unusable) -> Taken:
        """Takes a file that is sound and has no fingerprint, as it is too short or silent. Raises UnavailableError."""
        is_whole = item.size is not None or 0 < item.duration_s < self._gate.scan.min_length_s
        if found.kind != "skipped" or not is_whole:
            raise UnavailableError(found.reason)
        path = work.path(ending)
        content = full_hash(path)[:_CONTENT_BYTES]
        for row in self._store.catalog.backups.with_content([content]):
            if os.path.lexists(row.path) and not self._manner.keeps_all and not lies_in(self._source, row.path):
                self._record(item, row.path, content, b"", "here")
                return Taken(item, "here", row.path)
        target, trouble = self._place_file(item, work, ending, self._tags(path).fields, content)
        with self._place.spot(target) as spot:
            self._record(item, target, content, hash_at(spot), "kept")
        return Taken(item, "new", target, "; ".join(filter(None, (f"not compared: {found.reason}", trouble))))

    def _tags(self, path: bytes) -> Tags:
        """Its tags, read in a process of its own: nobody vouches for the file. Raises UnavailableError."""
        try:
            return self._standby.call(printable(path), LOOK_S, read_tags, path)
        except InputError as error:
            raise UnavailableError(f"its tags cannot be read: {error.found}") from error

    # ---- its name ----

    def _place_file(
        self, item: Item, work: Work, ending: bytes, fields: Mapping[str, Sequence[str]], content: bytes
    ) -> tuple[bytes, str]:
        """Gives the file its name, which is written down first, after what lies beside it; returns the path, and what
        could not be put beside it. Raises OSError."""
        names = names_of(item, fields)
        target = self._place.free(names, os.fsdecode(ending[1:]))
        with work.spot(ending) as spot:
            self._record(item, target, content, hash_at(spot), "coming")
            trouble = bring(self._source, item, work, self._place, target)
            try:
                with self._place.spot(target, make=True) as named:
                    move(spot, named)
            except OSError as error:
                if spot.exists():  # else it has its name, and the next run brings it to an end
                    self._forget(item.id)
                if isinstance(error, OccupiedError):
                    raise UnavailableError(f"{printable(target)} was made meanwhile") from error
                raise
        _sync_above(self._place, target)
        return target, trouble

    def _enter(self, item: Item, newcomer: Newcomer, target: bytes) -> None:
        """Enters it as a track, if a scan would find it, and records that it is kept: both or none."""
        there = arrived(newcomer, self._roots, self._gate.scan.discover, self._standby)
        with self._place.spot(target) as spot:
            full = hash_at(spot)
        with self._store.catalog.transaction():
            if there is not None:
                enter(self._store, there)
            self._put(item.id, target, newcomer.track.content, full, "kept")
        if len(self._counted) >= MOST_COUNTED:
            self._gate.library.refresh()
            self._gate.library.leave(self._counted)
            self._counted = []
        self._counted.append(self._gate.library.take(newcomer))

    # ---- what is recorded ----

    def _record(
        self, item: Item, path: bytes, content: bytes, full: bytes, state: Literal["coming", "kept", "here"]
    ) -> None:
        with self._store.catalog.transaction():
            self._put(item.id, path, content, full, state)

    def _put(
        self, id_: str, path: bytes, content: bytes, full: bytes, state: Literal["coming", "kept", "here"]
    ) -> None:
        row = BackedUp(self._source.key, id_, path, content, full, state, utc_now())
        self._store.catalog.backups.put(row)

    def _forget(self, id_: str, source: str = "") -> None:
        with self._store.catalog.transaction():
            self._store.catalog.backups.drop_row((source or self._source.key, id_))

    # ---- what a killed run left ----

    def recover(self) -> int:
        """Brings files to an end that a killed run was about to name, of any source; then removes all that is not
        whole. Returns how many files are kept by that."""
        n = 0
        for row in self._store.catalog.backups.coming():
            if holds(self._place.folder, row.path):
                n += self._recovered(row)
        self._place.clear()
        return n

    def _recovered(self, row: BackedUp) -> bool:
        work = Work(self._place, stem_of(row.source, row.id))
        ending = b"." + os.fsencode(extension_of(row.path))
        try:
            with work.spot(ending) as spot, self._place.spot(row.path) as named:
                is_done = recover_move(spot, named) and _has(named, row.full)
        except OSError as error:
            if is_refusal(error):
                raise refused(printable(row.path), error) from error
            is_done = False  # a folder of its path is gone, or is a link or a file now
        if not is_done:
            self._forget(row.id, row.source)
            return False
        found = self._gate.reader.read(row.path)
        with self._store.catalog.transaction():
            if isinstance(found, Newcomer):
                there = arrived(found, self._roots, self._gate.scan.discover, self._standby)
                if there is not None:
                    enter(self._store, there)
            self._store.catalog.backups.put(row._replace(state="kept", at=utc_now()))
        if isinstance(found, Newcomer):
            self._counted.append(self._gate.library.take(found))
        return True


def stem_of(source: str, id_: str) -> bytes:
    """Name, without its ending, of a file that is not whole."""
    return blake3(f"{source}\0{id_}".encode("utf-8", "surrogatepass")).hexdigest(length=16).encode()


def lies_in(source: Source, path: bytes) -> bool:
    """Whether a path leads into the folder that the source is."""
    return bool(source.folder) and holds(source.folder, os.path.realpath(path))


def _has(spot: Spot, full: bytes) -> bool:
    return spot.is_file() and hash_at(spot) == full


def _require_whole(item: Item, found: Newcomer) -> str:
    """A note on what is damaged in a file that is as its source has it. Raises UnavailableError for one that may have
    been cut on its way."""
    track = found.track
    if item.size is not None:
        return f"damaged at its source: {track.damage}" if track.damage else ""
    if track.damage:
        raise UnavailableError(f"its sound is damaged: {track.damage}")
    heard_s = track.decoded_s or 0.0
    if heard_s < item.duration_s - max(LACKING_S, LACKING_SHARE * item.duration_s):
        raise UnavailableError(f"{heard_s:.0f} of {item.duration_s:.0f} s of sound came")
    return ""


def _sync_above(place: Place, path: bytes) -> None:
    """Makes the folders above a file survive a power cut."""
    folder = os.path.dirname(path)
    while folder != place.folder and holds(place.folder, folder):
        with place.spot(folder) as spot:
            spot.sync()
        folder = os.path.dirname(folder)
