"""What hangs off a copy on the disk: side-cars, and playlists that cannot be rewritten."""

from __future__ import annotations

import os
from collections.abc import Collection
from typing import TYPE_CHECKING, Literal

from dedup.files.paths import printable
from dedup.files.status import ownership, size_and_time
from dedup.groups.losses import Beside, is_aligned
from dedup.library.identity import full_hash
from dedup.plan.nouns import REMOVING, PlannedSidecar
from dedup.playlists.sidecars import LYRICS, REFERENCES, Sidecars, ending_of, renamed

if TYPE_CHECKING:
    from dedup.groups.matches import TrackPair
    from dedup.plan.references import References
    from dedup.settings import LossKind, PlanSettings


class OnDisk:
    """Looks beside copies; each folder is listed once."""

    def __init__(self, settings: PlanSettings, references: References) -> None:
        self._settings, self._references, self._sidecars = settings, references, Sidecars()

    def beside(self, pair: TrackPair) -> Beside:
        """What would be lost beside a copy if it went for the kept file."""
        if self._settings.action not in REMOVING or pair.a.state != "present":
            return Beside()
        lost = [path for path in self._sidecars.of(pair.a.path) if not self._is_saved(path, pair)]
        return Beside(
            sidecars=tuple(f"side-car {printable(os.path.basename(path))}" for path in lost),
            playlists=tuple(
                f"{printable(path)} names it and cannot be rewritten"
                for path in self._references.unrewritable(pair.a.path)
            ),
        )

    def planned(self, pair: TrackPair, let_go: Collection[LossKind]) -> tuple[PlannedSidecar, ...]:
        """What happens to the side-cars of a copy that goes, if these kinds may be lost."""
        found = []
        for path in self._sidecars.of(pair.a.path):
            if self._goes_to_kept(path, pair):
                found.append(_planned(path, "to kept"))
            elif "sidecars" in let_go and not self._is_saved(path, pair):
                found.append(_planned(path, "with"))
        return tuple(found)

    def _is_saved(self, path: bytes, pair: TrackPair) -> bool:
        """Whether a side-car is not lost: the kept file has the same one, it moves there, or it is rewritten."""
        return self._goes_to_kept(path, pair) or self._is_rewritten(path, pair) or self._has_same(path, pair)

    def _is_rewritten(self, path: bytes, pair: TrackPair) -> bool:
        return self._ending(path, pair) in REFERENCES and is_aligned(pair)

    def _goes_to_kept(self, path: bytes, pair: TrackPair) -> bool:
        if self._ending(path, pair) not in LYRICS or not is_aligned(pair) or pair.b.state != "present":
            return False
        return not os.path.lexists(renamed(path, pair.a.path, pair.b.path))

    def _has_same(self, path: bytes, pair: TrackPair) -> bool:
        other = renamed(path, pair.a.path, pair.b.path)
        try:
            return os.path.getsize(path) == os.path.getsize(other) and full_hash(path) == full_hash(other)
        except OSError:
            return False

    def _ending(self, path: bytes, pair: TrackPair) -> str:
        return ending_of(os.path.basename(path), os.path.splitext(os.path.basename(pair.a.path))[0])

    def owners_differ(self, pair: TrackPair) -> bool:
        """Whether owner, group, mode or access list of the two differ; a hard link has one set of them for all names.
        False for a file that cannot be looked at: apply looks again."""
        try:
            return ownership(pair.a.path) != ownership(pair.b.path)
        except OSError:
            return False


def _planned(path: bytes, action: Literal["with", "to kept"]) -> PlannedSidecar:
    return PlannedSidecar(path, action, *size_and_time(os.stat(path)))
