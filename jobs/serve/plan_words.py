"""An entry of a plan in plain words."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING

from dedup.files.paths import printable
from dedup.files.quarantine import QUARANTINE
from dedup.plan.nouns import ANSWERED
from jobs.show.plan_text import merge_lines

if TYPE_CHECKING:
    from dedup.plan.nouns import Plan, PlannedFile, PlannedGroup

GOES = {
    "quarantine": "moves to the quarantine",
    "trash": "moves to the trash",
    "hardlink": "becomes a hard link to the kept file",
    "reflink": "shares the bytes of the kept file",
    "delete": "is deleted for good",
    "leave": "stays",
    "keep": "is kept",
}
"""What happens to a file, by the plan's action."""
SIDECAR = {"with": "goes along with its file", "to kept": "goes to the kept file"}


@dataclass(frozen=True)
class FileWords:
    """What happens to one file, and why."""

    name: str
    folder: str
    action: str
    words: str
    why: str
    proof: str
    """How the two were compared."""
    size: int
    lost: tuple[str, ...]
    """What only this file holds and is let go."""
    sidecars: tuple[str, ...]


@dataclass(frozen=True)
class Entry:
    """A group of a plan."""

    title: str
    address: str
    """Address of the group's page; empty if there is none."""
    files: tuple[FileWords, ...]
    gets: tuple[str, ...]
    """What the kept file gets, and where the others contradict it."""
    note: str
    n_bytes: int


def entry_of(group: PlannedGroup, address: str) -> Entry:
    """A group in words, the kept file first."""
    kept = group.kept or group.files[0]
    folder = os.path.commonpath([os.path.dirname(file.path) for file in group.files]) if group.files else b""
    gets = merge_lines(group.merge, folder.rstrip(b"/") + b"/") if group.merge is not None else ()
    return Entry(
        title=printable(os.path.basename(kept.path)),
        address=address,
        files=tuple(_file_words(file) for file in sorted(group.files, key=lambda file: file is not kept)),
        gets=tuple(line[0].upper() + line[1:] for line in gets),
        note=group.note.removeprefix(ANSWERED).lstrip(":; "),
        n_bytes=group.n_bytes,
    )


def _file_words(file: PlannedFile) -> FileWords:
    score = f"score {file.score:.3f}" if file.score is not None else ""
    test = f"null test {file.null_test}" if file.null_test else ""
    goes = file.action not in ("keep", "leave")
    return FileWords(
        name=printable(os.path.basename(file.path)),
        folder=printable(os.path.dirname(file.path)),
        action=file.action,
        words=GOES[file.action],
        why=file.why,
        proof=", ".join(filter(None, (file.verdict, score, test))),
        size=file.size,
        lost=tuple(loss.what for loss in file.lost) if goes else (),
        sidecars=tuple(f"{printable(os.path.basename(each.path))} {SIDECAR[each.action]}" for each in file.sidecars),
    )


def quarantine_words(plan: Plan) -> str:
    """Where quarantined files go; empty if the plan has none."""
    if not any(file.action == "quarantine" for group in plan.groups for file in group.files):
        return ""
    if plan.to is not None:
        return f"the folder {printable(plan.to)}"
    return f"the folder {printable(QUARANTINE)} in the root of each library"
