"""The nouns of a plan: what is to become of each file of each group, and why. `make` makes one, `document` keeps it in
a file, `dedup.apply` carries it out. Nothing here touches a file."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal, get_args

from dedup.settings import MatchSettings
from dedup.tags.merge import Merge

Action = Literal["keep", "leave", "quarantine", "trash", "hardlink", "reflink", "delete"]
ACTIONS: tuple[Action, ...] = get_args(Action)
"""keep: the copy that stays and wins; leave: stays as it is, and nothing rests on it; quarantine: moved away, its path
below the root kept; trash: the system's; hardlink, reflink: its bytes, which are those of the kept one, are shared with
it; delete: gone, without a way back."""

LINKING: tuple[Action, ...] = ("hardlink", "reflink")
REMOVING: tuple[Action, ...] = ("quarantine", "trash", "delete")
STAYING: tuple[Action, ...] = ("keep", "leave")

ANSWERED = "answered by you"
"""The first words of the note to a group of which a person said what is to become of it."""


@dataclass(frozen=True)
class PlannedFile:
    """One file of a group, as it was when the plan was made."""

    path: bytes
    action: Action
    size: int
    mtime_ns: int
    content: bytes
    """16 bytes: `judgements.content`."""
    rule: str = ""
    """The keep rule by which the kept one is better; of the kept one that by which it beats the next best. Of a file
    that stays for another reason that reason's name, such as "protected"."""
    why: str = ""
    """The same in words: "flac, the other mp3"."""
    verdict: str = ""
    """What it is to the kept one; empty of the kept one, as `score` is None."""
    score: float | None = None


@dataclass(frozen=True)
class PlannedGroup:
    """Copies of one recording: one that is kept, and what becomes of the others."""

    files: tuple[PlannedFile, ...]
    """The kept one first, where the plan was not edited."""
    merge: Merge | None = None
    note: str = ""
    """What should be known of it, such as that an album is incomplete then."""

    @property
    def kept(self) -> PlannedFile | None:
        """The one file with the action "keep"; None where there is none, or more than one."""
        kept = [file for file in self.files if file.action == "keep"]
        return kept[0] if len(kept) == 1 else None

    @property
    def contents(self) -> frozenset[tuple[bytes, bytes, int, int]]:
        """By which it is known again in another plan: its files, as they were."""
        return frozenset((file.path, file.content, file.size, file.mtime_ns) for file in self.files)

    @property
    def is_answered(self) -> bool:
        """Whether a person said what is to become of it."""
        return self.note.startswith(ANSWERED)

    @property
    def changed(self) -> tuple[PlannedFile, ...]:
        """Those that do not stay as they are."""
        return tuple(file for file in self.files if file.action not in STAYING)

    @property
    def n_bytes(self) -> int:
        """That are won: of the files that go or share the kept one's bytes."""
        return sum(file.size for file in self.changed)


@dataclass(frozen=True)
class PlannedPlaylist:
    """A playlist that refers to files that go."""

    path: bytes
    n_references: int


@dataclass(frozen=True)
class Plan:
    """All that is to be done, reviewable and editable."""

    groups: tuple[PlannedGroup, ...]
    playlists: tuple[PlannedPlaylist, ...] = ()
    to: bytes | None = None
    """Folder that quarantined files go to; None: `QUARANTINE` in the root of each."""
    remove_empty_folders: bool = False
    """Whether folders that are left with nothing but litter go too."""
    protect: tuple[bytes, ...] = ()
    """Folders in which nothing is touched."""
    match: MatchSettings = field(default_factory=MatchSettings)
    """By which two tracks are one recording."""
    rules: tuple[str, ...] = ()
    """Names of the keep rules, in their order."""
    identity: Literal["recording", "album"] = "recording"
    made: str = ""
    """UTC, such as "2026-02-28T21:30:00Z"."""
    store: str = ""
    """Folder of the store that it was made from."""

    @property
    def n_bytes(self) -> int:
        return sum(group.n_bytes for group in self.groups)

    @property
    def n_files(self) -> int:
        """That do not stay as they are."""
        return sum(len(group.changed) for group in self.groups)
