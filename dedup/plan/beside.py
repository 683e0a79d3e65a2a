"""What hangs off a copy on the disk: side-cars, and playlists that cannot be rewritten."""

from __future__ import annotations

import os
import stat
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING, Literal

from dedup.files.paths import extension_of, printable
from dedup.files.status import ownership, size_and_time
from dedup.groups.losses import NOTHING, Beside, is_aligned
from dedup.library.identity import full_hash
from dedup.plan.nouns import REMOVING, PlannedSidecar
from dedup.playlists.sidecars import LYRICS, Sidecars, renamed

if TYPE_CHECKING:
    from dedup.groups.matches import TrackPair
    from dedup.plan.decide import Coming
    from dedup.plan.references import References
    from dedup.settings import LossKind, PlanSettings


class OnDisk:
    """Looks beside copies; each folder is listed once."""

    def __init__(self, settings: PlanSettings, references: References) -> None:
        self._settings, self._references, self._sidecars = settings, references, Sidecars()

    def beside(self, pair: TrackPair, coming: Coming) -> Beside:
        """What would be lost beside a copy if it went for the kept file."""
        if self._settings.action not in REMOVING or pair.a.state != "present":
            return NOTHING
        lost = [told(path) for path, fate in self._fates(pair, coming) if fate == "lost"]
        naming = self._references.unrewritable(pair.a.path)
        if not lost and not naming:
            return NOTHING
        playlists = [f"{printable(path)} names it and cannot be rewritten" for path in naming]
        return Beside(sidecars=tuple(lost), playlists=tuple(playlists))

    def planned(self, pair: TrackPair, let_go: Collection[LossKind], coming: Coming) -> tuple[PlannedSidecar, ...]:
        """What happens to the side-cars of a copy that goes, if these kinds may be lost."""
        found = []
        for path, fate in self._fates(pair, coming):
            status = _regular(path)
            if status is not None and (fate == "to kept" or (fate == "lost" and "sidecars" in let_go)):
                action: Literal["with", "to kept"] = "to kept" if fate == "to kept" else "with"
                found.append(PlannedSidecar(path, action, *size_and_time(status)))
        return tuple(found)

    def _fates(self, pair: TrackPair, coming: Coming) -> Iterator[tuple[bytes, Literal["to kept", "saved", "lost"]]]:
        """What becomes of each side-car of a copy if it goes: it moves to the kept file, it is saved without that (the
        kept file has the same one, or it is rewritten), or it is lost."""
        paths = self._sidecars.of(pair.a.path)
        there = dict(coming or {}) if paths else {}
        for path in paths:
            target = renamed(path, pair.a.path, pair.b.path)
            is_free = coming is not None and target not in there and not os.path.lexists(target)
            if is_free and self._moves_to_kept(path, pair):
                there[target] = path
                yield path, "to kept"
            else:
                is_saved = self._is_rewritten(path, pair) or are_same(path, there.get(target, target))
                yield path, "saved" if is_saved else "lost"

    def _moves_to_kept(self, path: bytes, pair: TrackPair) -> bool:
        is_wanted = extension_of(path) in LYRICS and is_aligned(pair) and pair.b.state == "present"
        return is_wanted and _regular(path) is not None and not self._sidecars.others(path, pair.a.path)

    def _is_rewritten(self, path: bytes, pair: TrackPair) -> bool:
        return is_aligned(pair) and self._references.are_rewritten(path, pair.a.path)

    def owners_differ(self, pair: TrackPair) -> bool:
        """Whether owner, group, mode or access list of the two differ; a hard link has one set of them for all names.
        False for a file that cannot be looked at: apply looks again."""
        try:
            return ownership(pair.a.path) != ownership(pair.b.path)
        except OSError:
            return False


def told(path: bytes) -> str:
    """How a plan names a side-car that would be lost."""
    return f"side-car {printable(os.path.basename(path))}"


def _regular(path: bytes) -> os.stat_result | None:
    """Status of a regular file; None for anything else, such as a link or a folder, which is never moved."""
    try:
        status = os.lstat(path)
    except OSError:
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def are_same(path: bytes, other: bytes) -> bool:
    """Whether both are there and hold the same bytes."""
    if path == other:
        return True
    try:
        return os.path.getsize(path) == os.path.getsize(other) and full_hash(path) == full_hash(other)
    except OSError:
        return False
