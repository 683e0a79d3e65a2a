"""What two tracks are to each other by their files and streams, and by a null test: the rest is a matter of sound
(`correlation.scoring`)."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

from dedup.correlation.scoring import MERGING

if TYPE_CHECKING:
    from dedup.correlation.scoring import Verdict
    from dedup.store.nulltests import NullTest
    from dedup.store.tracks import HeardTrack


class Told(Protocol):
    """A track of which can be told what it is to another."""

    @property
    def state(self) -> str: ...
    @property
    def device(self) -> int: ...
    @property
    def inode(self) -> int: ...
    @property
    def full(self) -> bytes | None: ...
    @property
    def has_picture(self) -> bool: ...


def verdict_of(
    a: Told,
    b: Told,
    is_same_audio: bool,
    judged: bool | None,
    by_sound: Callable[[], Verdict],
    test: Callable[[], NullTest | None],
) -> Verdict:
    """How two tracks relate: by their files, then by what a person said of them (`judged`), then by their audio and
    sound. `by_sound` is asked if only sound tells, and `test` for their null test if they sound like one recording."""
    as_files = by_file(a, b)
    if as_files is not None:
        return as_files
    found: Verdict
    if judged is not False and is_same_audio:
        found = "same audio"
    elif judged is not None:
        return "same recording" if judged else "other"
    else:
        found = by_sound()
        if found == "same recording" and (made := test()) is not None:
            found = heard(made)
    return "same audio, picture not compared" if found in MERGING and (a.has_picture or b.has_picture) else found


def heard(test: NullTest) -> Verdict:
    """What two tracks that agree like copies are to each other, by their null test."""
    if test.is_made and test.is_other_mix:
        return "another mix"
    return "overlapping" if test.is_made and test.only_a and test.only_b else "same recording"


def by_file(a: Told, b: Told) -> Verdict | None:
    """How two tracks relate as files, whatever they contain; None if they are different files."""
    if a.state == b.state == "present" and (a.device, a.inode) == (b.device, b.inode):
        return "same file"
    return "identical file" if a.full is not None and a.full == b.full else None


def length(track: HeardTrack[Any]) -> tuple[int, bytes]:
    """Orders tracks by their length."""
    return track.n_items, track.path


def is_same_stream(a: HeardTrack[Any], b: HeardTrack[Any], same_items: bool) -> bool:
    """Whether the encoded streams are the same, or both are sound FLACs of the same samples."""
    if a.stream is not None and a.stream == b.stream:
        return True
    lossless_same = a.key == b.key and a.key.startswith("flac-md5|")
    return same_items and lossless_same and a.damage is None and b.damage is None
