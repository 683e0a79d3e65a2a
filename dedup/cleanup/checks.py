"""Why an entry of a plan is not carried out. A plan may be old, edited by hand, or written with bad intent. So all of
it is checked against the catalog before anything is touched, and against each file right before its turn."""

from __future__ import annotations

import contextlib
import os
import stat
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.cleanup.allowed import NOT_THE_STORES, Trust
from dedup.correlation.scoring import MERGING
from dedup.files.held import OutOfReachError, Reach
from dedup.files.mount_table import mounts, place_of
from dedup.files.paths import and_above, holds, printable
from dedup.files.status import ownership, size_and_time
from dedup.groups.companions import Intended
from dedup.groups.judgements import content
from dedup.groups.losses import LOST_BY_VERDICT, Beside, losses
from dedup.groups.matches import Matches
from dedup.library.identity import full_hash, hash_of, partial_hash, stream_hash
from dedup.plan.make import lost_besides
from dedup.plan.nouns import LINKING, OTHER_OWNER, REMOVING, Plan, PlannedFile, PlannedGroup, PlannedSidecar
from dedup.tags.extras import Extra
from dedup.tags.read import read_tags

if TYPE_CHECKING:
    from dedup.groups.losses import Loss
    from dedup.groups.matches import ListedTrack, TrackPair
    from dedup.runner import Stop
    from dedup.settings import LossKind
    from dedup.store.store import Store
    from dedup.store.tracks import Track

TIME_LIMIT_S = 600.0
"""Longest time that decoding a kept file may take."""


@dataclass(frozen=True)
class Refusal:
    """An entry that is not carried out, and why."""

    path: bytes
    reason: str


class StoppedError(Exception):
    """A stop was requested while a file was decoded, which may take minutes."""


class Protection:
    """Folders in which nothing is touched, under whatever name: through links, mounts or other spellings."""

    def __init__(self, folders: Sequence[bytes]) -> None:
        self._identities: set[tuple[int, int]] = set()
        self._names: list[bytes] = []
        self._mounts = mounts()
        self._places = {place for folder in folders if (place := place_of(folder, self._mounts))}
        for folder in folders:
            self._names += [os.path.join(os.path.abspath(name), b"") for name in {folder, os.path.realpath(folder)}]
            if os.path.exists(folder):
                status = os.stat(folder)
                self._identities.add((status.st_dev, status.st_ino))

    def holds(self, path: bytes) -> bool:
        """Whether the file is one of them or in one. Looks at each folder above the file."""
        if any(os.path.join(path, b"").startswith(name) for name in self._names):
            return True
        if not self._names:
            return False
        return self._is_mounted_from(path) or any(each in self._identities for each in _and_above(path))

    def _is_mounted_from(self, path: bytes) -> bool:
        """Whether it is in one of them through a mount of something below that."""
        device, place = place_of(path, self._mounts) or (b"", b"")
        return any(device == of_folder and holds(folder, place) for of_folder, folder in self._places)


def _and_above(path: bytes) -> Iterator[tuple[int, int]]:
    """Device and inode of the file and of each folder above it, by its name and by the real one."""
    for name in {path, os.path.realpath(path)}:
        for folder in and_above(name):
            with contextlib.suppress(OSError):  # nothing has that name, now
                status = os.stat(folder)
                yield status.st_dev, status.st_ino


class Checks:
    """What the catalog and the pairs of tracks say about a plan. Reads the catalog when it is made; after that, several
    threads may ask it."""

    def __init__(
        self, store: Store, plan: Plan, protection: Protection, trust: Trust, reach: Reach, stop: Stop
    ) -> None:
        self.plan, self.protection, self.trust, self.reach, self.stop = plan, protection, trust, reach, stop
        paths = {file.path for group in plan.groups for file in group.files}
        self.tracks: dict[bytes, Track] = {path: track for path in paths if (track := store.catalog.tracks.get(path))}
        self._streams = _streams(store, self.tracks)
        matches = Matches(store, plan.match)
        self._copies = _copies(matches, plan)
        is_other = trust.needs_other_thresholds(plan)
        self._strict = _copies(Matches(store, trust.allowed.match), plan) if is_other else self._copies
        """The same by the user's own thresholds: by these too, what an edited entry removes must be a copy."""
        self._intended = Intended(trust.allowed.keep)
        self._of_albums = _of_albums(store, matches, plan, trust)
        self._kept_in = {g.kept.path: n for n, g in enumerate(plan.groups, start=1) if g.kept is not None}
        self._times_listed: dict[bytes, int] = {}
        for group in plan.groups:
            for file in group.files:
                self._times_listed[file.path] = self._times_listed.get(file.path, 0) + 1

    # ---- checks without reading the files ----

    def of_group(self, group: PlannedGroup) -> str:
        """Why nothing of a group can be done; empty if something may be."""
        if group.kept is None:
            return "its group does not have exactly one file to keep"
        if self._times_listed[group.kept.path] > 1:
            return f"{printable(group.kept.path)} is to be kept and is listed again elsewhere in the plan"
        problem = self._in_catalog(group.kept)
        return f"the file to keep, {printable(group.kept.path)}: {problem}" if problem else ""

    def of_entry(self, group: PlannedGroup, file: PlannedFile) -> str:
        """Why a file is not to be touched though its group may be carried out; empty if it may be."""
        assert group.kept is not None
        if file.action not in REMOVING + LINKING:
            return f"there is no action {file.action!r}"
        if file.path in self._kept_in:
            return f"it is the file to keep in group {self._kept_in[file.path]}"
        if self._times_listed[file.path] > 1:
            return "it is listed more than once"
        problem = self._in_catalog(file)
        if problem:
            return problem
        return self._of_pair(group, group.kept, file) or self._protected(file, group.kept)

    def _of_pair(self, group: PlannedGroup, kept: PlannedFile, file: PlannedFile) -> str:
        """Why a file must not go for the kept one; empty if it may."""
        is_edited, allowed = self.trust.is_edited(file), self.trust.may_be_lost(file)
        pair = self._copy(self._copies, kept, file, allowed)
        if pair is None or (is_edited and not self._copy(self._strict, kept, file, allowed)):
            return f"not known to be a copy of {printable(kept.path)}, so it may be the last of its recording"
        if is_edited and not self._intended.may_merge(pair.a, pair.b):
            return f"it is kept beside {printable(kept.path)} on purpose, as your settings say"
        lost = losses(pair, Beside(merges=False, gets=self._gets(group)))
        unsaid = self._unsaid(file, (loss for loss in lost if loss.kind not in allowed))
        return unsaid or self._of_albums.get(file.path, "")

    def _copy(
        self,
        copies: Mapping[tuple[bytes, bytes], TrackPair],
        kept: PlannedFile,
        file: PlannedFile,
        allowed: Collection[LossKind],
    ) -> TrackPair | None:
        """The file with the kept one, if it is a copy, or what is no copy may be lost."""
        pair = copies.get((file.path, kept.path))
        if pair is None or not (pair.verdict in MERGING or LOST_BY_VERDICT.get(pair.verdict) in allowed):
            return None
        return pair

    def _unsaid(self, file: PlannedFile, lost: Iterable[Loss]) -> str:
        """What would be lost though the plan does not say so, or not by the store's word, in words; empty if
        nothing."""
        words = "; ".join(loss.what for loss in lost)
        if not words:
            return ""
        if self.trust.is_edited(file):
            why, remedy = NOT_THE_STORES, "Make the plan again, or let it go with --let-go"
        else:
            why, remedy = "the plan does not say so", "Make the plan again"
        return f"it holds what the kept file lacks, and {why}: {words}. {remedy}"

    def _gets(self, group: PlannedGroup) -> tuple[Extra, ...]:
        """Extras that the kept file gets before any other goes."""
        merge, kept = group.merge, group.kept
        if merge is None or kept is None or merge.into != kept.path or self.protection.holds(kept.path):
            return ()
        return tuple(Extra(extra.kind, extra.what, extra.digest) for extra in merge.extras)

    def _protected(self, file: PlannedFile, kept: PlannedFile) -> str:
        if self.protection.holds(file.path):
            return "it is in a protected folder"
        if file.action == "hardlink" and self.protection.holds(kept.path):
            return "the kept file is in a protected folder, and would change with a hard link of it"
        return ""

    def _in_catalog(self, file: PlannedFile) -> str:
        track = self.tracks.get(file.path)
        if track is None:
            return "not a file of this library"
        if track.state != "present" or track.audio is None:
            return f"{track.problem or track.state}, as the last scan found it"
        if not os.path.isabs(track.root) or not holds(track.root, track.path):
            return f"its root in the catalog, {printable(track.root)}, is not above it. Run `reprise check`"
        if (track.size, track.mtime_ns) != (file.size, file.mtime_ns) or content(*self._streams[file.path]) != (
            file.content
        ):
            return "the last scan found it changed since the plan was made"
        return ""

    # ---- checks that read the files ----

    def kept_file(self, group: PlannedGroup, file: PlannedFile) -> tuple[str, set[str]]:
        """Why a file cannot be the one to keep; else empty, and the digests of the extras that it has now or gets.
        Raises StoppedError."""
        problem = self._unsound(file)
        try:
            return problem, set() if problem else self._held(group, file)
        except OSError as error:
            return f"cannot be read: {error.strerror or error}", set()

    def _held(self, group: PlannedGroup, kept: PlannedFile) -> set[str]:
        return read_tags(kept.path).digests | {extra.digest for extra in self._gets(group)}

    def _go_on(self, _samples: object) -> None:
        if self.stop.requested:
            raise StoppedError

    def _unsound(self, file: PlannedFile) -> str:
        """Whether a file is not as it was, or cannot be decoded to its end, in words; else empty."""
        from dedup.fingerprint.decode import TimeLimitError, UndecodableError, decode

        try:
            problem = changed(self.reach, file)
            if problem:
                return problem
            decoded = decode(file.path, 11025, self._go_on, time_limit_s=TIME_LIMIT_S)
        except OSError as error:
            return f"cannot be read: {error.strerror or error}"
        except UndecodableError as error:
            return str(error)
        except TimeLimitError:
            return f"could not be decoded in {TIME_LIMIT_S:.0f} s"
        if decoded.damage:
            return f"is damaged: {decoded.damage}"
        stream = self._streams[file.path][0]
        return "" if stream in (None, decoded.stream) else "holds other audio than when it was scanned"

    def other_file(self, file: PlannedFile, kept: PlannedFile, held: Collection[str]) -> tuple[str, bytes]:
        """Why a file cannot be removed, such as that it is not as it was, is the kept one, or has an extra
        whose digest is not in `held`; else empty, and its full hash."""
        try:
            problem = (
                changed(self.reach, file) or is_same(file, kept) or self._audio_changed(file) or _owners(file, kept)
            )
            # as the files are now: the last scan may have been of another version
            allowed = self.trust.may_be_lost(file)
            problem = problem or self._unsaid(file, lost_besides(allowed, read_tags(file.path), held))
            full = b"" if problem else self._full(file)
            if full and file.action in LINKING and full != full_hash(kept.path):
                problem = "its bytes differ from those of the kept file, so they cannot be shared"
        except OSError as error:
            return f"cannot be read: {error.strerror or error}", b""
        return problem, full

    def _full(self, file: PlannedFile) -> bytes:
        with self.reach.spot(file.path) as spot, spot.open() as opened:
            return hash_of(opened)

    def _audio_changed(self, file: PlannedFile) -> str:
        stream, track = self._streams[file.path][0], self.tracks[file.path]
        if stream is not None:
            is_same_audio = stream_hash(file.path) == stream
        else:
            is_same_audio = track.partial is not None and partial_hash(file.path, file.size) == track.partial
        return "" if is_same_audio else "holds other audio than when it was scanned"


def _owners(file: PlannedFile, kept: PlannedFile) -> str:
    """Why a hard link would change who may read the file; empty if it would not. Raises OSError."""
    if file.action != "hardlink" or ownership(file.path) == ownership(kept.path):
        return ""
    return OTHER_OWNER


def changed(reach: Reach, file: PlannedFile | PlannedSidecar) -> str:
    """What happened to a file since the plan was made; empty if it is as it was. Raises OSError if the system does
    not show it."""
    try:
        with reach.spot(file.path) as spot:
            status = spot.status()
    except FileNotFoundError:
        return "it is gone"
    except OutOfReachError as error:
        return error.found
    if not stat.S_ISREG(status.st_mode):
        return "it is not a regular file" if not stat.S_ISLNK(status.st_mode) else "it is a symbolic link"
    return "" if size_and_time(status) == (file.size, file.mtime_ns) else "it was changed since the plan was made"


def is_same(file: PlannedFile, kept: PlannedFile) -> str:
    """A text that says that both are one file under two names; empty if they are two files."""
    return "it is the kept file under another name" if os.path.samefile(file.path, kept.path) else ""


def _of_albums(store: Store, matches: Matches, plan: Plan, trust: Trust) -> dict[bytes, str]:
    """Why a complete album needs a file, by the path of each file that only an edited entry removes."""
    removing = [(group, file) for group in plan.groups for file in group.files if file.action in REMOVING]
    edited = {file.path for group, file in removing if trust.is_edited(file)}
    if not edited or trust.allowed.break_albums:
        return {}
    lacking = matches.albums(store).lacking({file.path for _, file in removing})
    remedy = "`apply --break-albums` removes it all the same"
    return {path: f"{lacking[path]}, which is complete with it. {remedy}" for path in edited & lacking.keys()}


def _streams(store: Store, tracks: dict[bytes, Track]) -> dict[bytes, tuple[bytes | None, bytes]]:
    """Stream hash and digest of the items, by path, of each track that has audio."""
    hallmark = store.catalog.audios.hallmark
    return {path: hallmark(track.audio)[:2] for path, track in tracks.items() if track.audio is not None}


def _copies(matches: Matches, plan: Plan) -> dict[tuple[bytes, bytes], TrackPair]:
    """Each file that goes with the kept file of its group, as the store knows them, by their paths."""
    by_path: dict[bytes, ListedTrack] = {track.path: track for track in matches.tracks}
    found: dict[tuple[bytes, bytes], TrackPair] = {}
    for group in plan.groups:
        kept = by_path.get(group.kept.path) if group.kept else None
        if kept is not None:
            found |= {(pair.b.path, kept.path): pair.swapped() for pair in matches.of(kept)}
    return found
