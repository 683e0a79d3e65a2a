"""What a look at the disk means for what the catalog knows: who is unchanged, new, gone or only away.
Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dedup.library.discover import Candidate


@dataclass(frozen=True, slots=True)
class Known:
    """As much of a catalog's track as deciding takes."""

    path: bytes
    volume: bytes
    size: int
    mtime_ns: int
    audio: int | None
    problem_kind: str | None
    problem: str | None


@dataclass
class Reconciliation:
    """Every candidate is in one of the first two lists; every known track below the roots in one of the
    others or matched by path to a candidate."""

    unchanged: list[Known] = field(default_factory=list)
    """Path, size and time of change are as remembered: nothing is read."""
    changed: list[Candidate] = field(default_factory=list)
    """New, or not as remembered: to be identified."""
    absent: list[Known] = field(default_factory=list)
    """On a drive that is not there, or in a folder that could not be listed: kept."""
    gone: list[Known] = field(default_factory=list)
    """Deleted, renamed, or no longer selected: forgotten."""


def is_below(path: bytes, folder: bytes) -> bool:
    """Whether `path` is `folder` or somewhere in it."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def reconcile(
    candidates: Sequence[Candidate],
    known: Iterable[Known],
    roots: Sequence[bytes],
    unlisted: Sequence[bytes],
    is_mounted: Callable[[bytes], bool],
    retry_failed: bool = False,
) -> Reconciliation:
    """Matches the candidates found below `roots` with the tracks known.

    A track below the roots that was not found is absent where the volume that held it is no mount point any
    more, or where it is below a folder of `unlisted`; else it is gone. Tracks elsewhere are not the roots'
    business."""
    found = {candidate.path: candidate for candidate in candidates}
    settled: set[bytes] = set()
    result = Reconciliation()
    mounted: dict[bytes, bool] = {}
    for track in known:
        candidate = found.get(track.path)
        if candidate is not None:
            if _is_unchanged(track, candidate, retry_failed):
                settled.add(track.path)
                result.unchanged.append(track)
            continue
        if not any(is_below(track.path, root) for root in roots):
            continue
        if track.volume not in mounted:
            mounted[track.volume] = is_mounted(track.volume)
        away = not mounted[track.volume] or any(is_below(track.path, folder) for folder in unlisted)
        (result.absent if away else result.gone).append(track)
    result.changed = [candidate for candidate in candidates if candidate.path not in settled]
    return result


def _is_unchanged(track: Known, candidate: Candidate, retry_failed: bool) -> bool:
    same = (track.size, track.mtime_ns) == (candidate.size, candidate.mtime_ns)
    return same and not (retry_failed and track.problem_kind is not None)
