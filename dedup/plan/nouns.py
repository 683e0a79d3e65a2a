"""The nouns of a plan: what happens to each file of each group, and why. `make` makes one, `document` keeps it in a
file, `cleanup.apply` carries it out. Nothing here touches a file."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, field, fields
from functools import cached_property
from operator import attrgetter
from typing import Literal, get_args

from dedup.groups.losses import Loss
from dedup.servers.asked import Asked
from dedup.settings import LossKind, MatchSettings
from dedup.tags.merge import Merge

Action = Literal["keep", "leave", "quarantine", "trash", "hardlink", "reflink", "delete"]
ACTIONS: tuple[Action, ...] = get_args(Action)
"""keep: the one copy for which others go; leave: not touched, and no other file depends on it; quarantine: moved away,
with its path below the root; trash: moved to the system's trash; hardlink, reflink: shares the bytes of the kept file,
which are the same; delete: deleted for good."""

LINKING: tuple[Action, ...] = ("hardlink", "reflink")
REMOVING: tuple[Action, ...] = ("quarantine", "trash", "delete")
STAYING: tuple[Action, ...] = ("keep", "leave")

OTHER_OWNER = "its owner, mode or access list differs from the kept file's, and a hard link has only one"
"""Why a file does not become a hard link of the kept one."""

ANSWERED = "answered by you"
"""First words of a group's note if a person decided about the group."""


@dataclass(frozen=True, slots=True)
class PlannedSidecar:
    """A file beside a copy that belongs to it and goes when the copy goes."""

    path: bytes
    action: Literal["with", "to kept"]
    """with: the same happens to it as to the copy; to kept: it moves to the kept file's folder, under its name."""
    size: int
    """Bytes when the plan was made."""
    mtime_ns: int


@dataclass(frozen=True, slots=True)
class PlannedFile:
    """One file of a group, as it was when the plan was made."""

    path: bytes
    action: Action
    size: int
    mtime_ns: int
    content: bytes
    """`judgements.content`, 16 bytes."""
    rule: str = ""
    """Name of the keep rule by which the kept file is better (for the kept file: better than the next best), or of the
    reason why a file stays, such as "protected"."""
    why: str = ""
    """Rule or reason in words, such as "flac, the other mp3"."""
    verdict: str = ""
    """Verdict on the file and the kept file; empty for the kept file, whose `score` is None."""
    score: float | None = None
    null_test: str = ""
    """What the null test of the file and the kept file showed, in words; empty if there is none."""
    lost: tuple[Loss, ...] = ()
    """What it holds that the kept file lacks: why it stays, or what a person lets go with it."""
    sidecars: tuple[PlannedSidecar, ...] = ()
    """Files that belong to it and go when it is removed."""
    seal: str | None = field(default=None, compare=False)
    """Seal of the store that planned it (`plan.seal`), empty if its document has none; None if it is from no document
    and not sealed yet."""

    def sealed(self, seal: str) -> PlannedFile:
        """The same with this seal. `replace` takes three times as long, which 60,000 files feel."""
        make: Callable[..., PlannedFile] = PlannedFile
        return make(*_values(self)[:-1], seal)

    @property
    def may_be_lost(self) -> frozenset[LossKind]:
        """Kinds of what may be lost with it."""
        return frozenset(loss.kind for loss in self.lost)

    @property
    def goes_along(self) -> tuple[PlannedSidecar, ...]:
        """Side-cars to which the same happens as to the file."""
        return tuple(each for each in self.sidecars if self.action in REMOVING and each.action == "with")


_values = attrgetter(*(each.name for each in fields(PlannedFile)))
"""Gives the values of all fields of a file, its seal last."""


@dataclass(frozen=True)
class PlannedGroup:
    """Copies of one recording: the one that is kept, and what happens to the others."""

    files: tuple[PlannedFile, ...]
    """Files of the group, the kept one first unless the plan was edited."""
    merge: Merge | None = None
    note: str = ""
    """Note for a person, such as that an album becomes incomplete."""

    @cached_property
    def kept(self) -> PlannedFile | None:
        """The one file with the action "keep"; None if there is none, or more than one."""
        kept = [file for file in self.files if file.action == "keep"]
        return kept[0] if len(kept) == 1 else None

    @property
    def contents(self) -> bytes:
        """16 bytes: a digest of its files as they were, in any order, which identifies the group in another plan."""
        held = sorted({(file.path, file.content, file.size, file.mtime_ns) for file in self.files})
        return hashlib.blake2b(repr(held).encode(), digest_size=16).digest()

    @property
    def is_answered(self) -> bool:
        """Whether a person decided about it."""
        return self.note.startswith(ANSWERED)

    @property
    def changed(self) -> tuple[PlannedFile, ...]:
        """Files that change or go."""
        return tuple(file for file in self.files if file.action not in STAYING)

    @property
    def n_bytes(self) -> int:
        """Reclaimable bytes: the sizes of the files that go or share the kept file's bytes."""
        return sum(file.size for file in self.changed)


@dataclass(frozen=True)
class PlannedPlaylist:
    """A playlist that refers to files that go, or may do so."""

    path: bytes
    n_references: int
    """References to such files; 0 if nobody can know, since it cannot be read."""
    problem: str = ""
    """Why it cannot be rewritten and stays as it is; empty if it is rewritten."""


@dataclass(frozen=True)
class Plan:
    """Everything that a clean-up will do; a person can review and edit it."""

    groups: tuple[PlannedGroup, ...]
    playlists: tuple[PlannedPlaylist, ...] = ()
    to: bytes | None = None
    """Folder for quarantined files; None for `QUARANTINE` in the root of each file."""
    remove_empty_folders: bool = False
    """Whether folders are removed if only litter is left in them."""
    protect: tuple[bytes, ...] = ()
    """Protected folders, in which nothing is touched."""
    match: MatchSettings = field(default_factory=MatchSettings)
    """Thresholds by which two tracks are one recording."""
    rules: tuple[str, ...] = ()
    """Names of the keep rules, in their order."""
    identity: Literal["recording", "album"] = "recording"
    made: str = ""
    """Time when it was made, UTC, such as "2026-02-28T21:30:00Z"."""
    store: str = ""
    """Folder of the store behind the plan."""
    servers: tuple[Asked, ...] = ()
    """Media servers that were asked what listeners did."""
    seal: str = field(default="", compare=False)
    """Seal of what it says as a whole; empty if there is none."""

    @property
    def n_bytes(self) -> int:
        return sum(group.n_bytes for group in self.groups)

    @property
    def n_files(self) -> int:
        """Number of files that change or go."""
        return sum(len(group.changed) for group in self.groups)
