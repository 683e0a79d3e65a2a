"""What a look at the disk means for what the catalog knows: who is unchanged, new, gone or only away. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dedup.files.paths import holds
from dedup.library.discover import Candidate
from dedup.store.tracks import KnownTrack


@dataclass
class Reconciliation:
    """Every candidate is, by its path, in one of the first two lists, and every known track below the roots in exactly
    one of: the unchanged, the absent, the gone, the old versions of the changed."""

    unchanged: list[KnownTrack] = field(default_factory=list)
    """Path, size and time of change are as remembered: nothing is read."""
    replaced: list[Candidate] = field(default_factory=list)
    """Of the unchanged: those that are on another volume or have another inode now, such as after a copy to a new
    drive. What is known of them stays true but for that."""
    changed: list[Candidate] = field(default_factory=list)
    """New, or not as remembered: to be identified."""
    absent: list[KnownTrack] = field(default_factory=list)
    """On a drive that is not there, or in a folder that could not be listed: kept."""
    gone: list[KnownTrack] = field(default_factory=list)
    """Deleted, renamed, or no longer selected: forgotten."""


def reconcile(
    candidates: Sequence[Candidate],
    known: Iterable[KnownTrack],
    roots: Sequence[bytes],
    unlisted: Sequence[bytes],
    is_mounted: Callable[[bytes], bool],
    retry_failed: bool = False,
    judgement: str | None = None,
) -> Reconciliation:
    """Matches the candidates found below `roots` with the tracks known.

    A track below the roots that was not found is absent where it is at or below one of `unlisted`, or where the mount
    point that held it is none any more; else it is gone. Tracks elsewhere are not the roots' business. `is_mounted`
    is asked once for each volume. A track with a problem counts as changed with
    `retry_failed`, and where the problem arose under other settings than `judgement`."""
    found = {candidate.path: candidate for candidate in candidates}
    settled: set[bytes] = set()
    result = Reconciliation()
    mounted: dict[bytes, bool] = {}
    for track in known:
        candidate = found.get(track.path)
        if candidate is not None:
            same = (track.size, track.mtime_ns) == (candidate.size, candidate.mtime_ns)
            if same and not (track.problem_kind and (retry_failed or track.judged_by != judgement)):
                settled.add(track.path)
                result.unchanged.append(track)
                place = (candidate.volume, candidate.device, candidate.inode)
                if (track.volume, track.device, track.inode) != place:
                    result.replaced.append(candidate)
            continue
        if not any(holds(root, track.path) for root in roots):
            continue
        if track.volume not in mounted:
            mounted[track.volume] = is_mounted(track.volume)
        away = not mounted[track.volume] or any(holds(folder, track.path) for folder in unlisted)
        (result.absent if away else result.gone).append(track)
    result.changed = [candidate for candidate in candidates if candidate.path not in settled]
    return result
