"""What two tracks are to each other by their files and streams, and by a null test: the rest is a matter of sound
(`correlation.scoring`)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from dedup.correlation.scoring import Verdict
    from dedup.store.nulltests import NullTest
    from dedup.store.tracks import HeardTrack


def heard(test: NullTest) -> Verdict:
    """What two tracks that agree like copies are to each other, by their null test."""
    if test.is_made and test.is_other_mix:
        return "another mix"
    return "overlapping" if test.is_made and test.only_a and test.only_b else "same recording"


def by_file(a: HeardTrack, b: HeardTrack) -> Verdict | None:
    """How two tracks relate as files, whatever they contain; None if they are different files."""
    if a.state == b.state == "present" and (a.device, a.inode) == (b.device, b.inode):
        return "same file"
    return "identical file" if a.full is not None and a.full == b.full else None


def length(track: HeardTrack) -> tuple[int, bytes]:
    """Orders tracks by their length."""
    return track.n_items, track.path


def is_same_stream(a: HeardTrack, b: HeardTrack, same_items: bool) -> bool:
    """Whether the encoded streams are the same, or both are sound FLACs of the same samples."""
    if a.stream is not None and a.stream == b.stream:
        return True
    lossless_same = a.key == b.key and a.key.startswith("flac-md5|")
    return same_items and lossless_same and a.damage is None and b.damage is None
