"""Tracks made by hand, for the tests of what is decided about them."""

from __future__ import annotations

import hashlib
from typing import Any, Literal

from dedup.groups.matches import ListedTrack, TrackPair
from dedup.library.metadata import AudioProperties
from tests.listening import PASSED
from tests.made_matches import made


def track(
    path: str | bytes,
    *,
    state: Literal["present", "absent", "imported"] = "present",
    damage: str | None = None,
    size: int = 1000,
    mtime_ns: int = 1,
    device: int = 1,
    **properties: Any,
) -> ListedTrack:
    """A file of its own, with a sound of its own."""
    path = path.encode() if isinstance(path, str) else path
    digest = hashlib.blake2b(path, digest_size=16).digest()
    return ListedTrack(
        path=path,
        root=b"/music",
        state=state,
        size=size,
        mtime_ns=mtime_ns,
        device=device,
        inode=int.from_bytes(digest[:6], "big"),
        full=None,
        audio=0,
        stream=digest,
        key="",
        damage=damage,
        fingerprint=0,
        digest=digest,
        n_items=640,
        n_distinct=600,
        properties=AudioProperties(**properties),
    )


def pair(member: ListedTrack, reference: ListedTrack, score: float = 1.0, **how: Any) -> TrackPair:
    """As a group has it, with a null test that was passed."""
    verdict = how.pop("verdict", "same recording")
    if verdict == "same recording":
        how.setdefault("test", PASSED)
    return TrackPair(member, reference, made(score, rate=how.pop("rate", 0.0)), verdict, **how)
