"""What a look at the disk means for the tracks of the catalog: unchanged, new, gone or only away. Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from dedup.files.paths import holds
from dedup.library.discover import Candidate
from dedup.store.tracks import KnownTrack


@dataclass
class Reconciliation:
    """What becomes of each file. Every candidate is, by path, in `unchanged` or `changed`. Every known track below the
    roots is in exactly one of `unchanged`, `absent` and `gone`, or it is the old version of a file in `changed`."""

    unchanged: list[KnownTrack] = field(default_factory=list)
    """Tracks whose path, size and time of change are as remembered: the audio is not read."""
    replaced: list[Candidate] = field(default_factory=list)
    """Unchanged files that are on another volume or have another inode now, such as after a copy to a new drive. All
    else that is known of them stays true."""
    outdated: list[Candidate] = field(default_factory=list)
    """Unchanged files whose properties must be read again."""
    changed: list[Candidate] = field(default_factory=list)
    """Files that are new or not as remembered: they must be identified."""
    absent: list[KnownTrack] = field(default_factory=list)
    """Tracks on a drive that is not there, or in a folder that cannot be listed: they are kept."""
    gone: list[KnownTrack] = field(default_factory=list)
    """Tracks whose files were deleted, renamed or are no longer selected: they are forgotten."""


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

    A track below the roots that was not found is absent if it is at or below one of `unlisted`, or if nothing is
    mounted any more where its volume was; else it is gone. Tracks elsewhere are left alone. `is_mounted` is asked once
    for each volume. A track with a problem counts as changed if `retry_failed` is set, or if the problem arose under
    settings other than `judgement`."""
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
                if track.is_outdated:
                    result.outdated.append(candidate)
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
