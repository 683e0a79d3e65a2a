"""What a person said about two tracks, kept forever: a judgement refers to their content, so it outlives moves and new
tags, and it overrides any score."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from dedup.clock import utc_now
from dedup.errors import InputError
from dedup.files.paths import printable
from dedup.files.status import size_and_time
from dedup.store.judgements import Judgement
from dedup.store.waiting import Waiting

if TYPE_CHECKING:
    from dedup.store.store import Store
    from dedup.store.tracks import Track


class HasContent(Protocol):
    """A track, as far as it can be judged."""

    @property
    def stream(self) -> bytes | None:
        """Hash of its packets; None if it has none."""

    @property
    def digest(self) -> bytes:
        """Digest of its fingerprint's items."""


def content(stream: bytes | None, digest: bytes) -> bytes:
    """16 bytes that identify a track whatever its name and tags: the hash of its packets, or else the digest of its
    fingerprint."""
    return digest if stream is None else stream


class Judgements:
    """All judgements of a store, as of the construction."""

    def __init__(self, store: Store) -> None:
        self.said = {(said.content_a, said.content_b): said.same for said in history(store)}
        """Whether two contents are one recording; the first of a key is never greater than the second."""

    @classmethod
    def of_said(cls, said: dict[tuple[bytes, bytes], bool]) -> Judgements:
        """Judgements that were read before."""
        judgements = cls.__new__(cls)
        judgements.said = said
        return judgements

    def of(self, a: HasContent, b: HasContent) -> bool | None:
        """Whether a person said that two tracks are one recording; None if nobody judged them."""
        return self.of_contents(content(a.stream, a.digest), content(b.stream, b.digest))

    def of_contents(self, one: bytes, other: bytes) -> bool | None:
        """The same by what the two hold."""
        return self.said.get(_ordered(one, other))


def history(store: Store) -> list[Judgement]:
    """All judgements, oldest first, including those that wait for whoever holds the store."""
    return store.catalog.judgements.all()


def record(
    store: Store, content_a: bytes, content_b: bytes, same: bool, score: float | None, where: str = "the two files"
) -> Judgement | None:
    """Records what a person says about two contents; returns the earlier judgement. If the store is open for reading
    only, it waits for the next writer, and counts as of now. Raises InputError, which names them as `where`, for one
    content that is called different from itself; WriteError."""
    a, b = _ordered(content_a, content_b)
    if a == b and not same:
        raise InputError(
            where,
            "both hold exactly the same audio, and only names and tags differ",
            remedy="Only files with different audio can be marked as different",
        )
    return _put(store, Waiting(a, b, same, score, utc_now()))


def forget(store: Store, content_a: bytes, content_b: bytes) -> Judgement | None:
    """Takes back what was said about two contents, as `record` does; returns it, or None if nothing was said."""
    a, b = _ordered(content_a, content_b)
    return _put(store, Waiting(a, b, None, None, utc_now()))


def _put(store: Store, said: Waiting) -> Judgement | None:
    judgements = store.catalog.judgements
    if not store.writable:
        before = judgements.get(said.content_a, said.content_b)
        judgements.leave(said)
        return before
    judgements.take_in()  # what waits was said before this
    with store.catalog.transaction():
        before = judgements.get(said.content_a, said.content_b)
        if said.same is None:
            judgements.drop(said.content_a, said.content_b)
        else:
            judgements.put(Judgement(said.content_a, said.content_b, said.same, said.score, said.judged))
    return before


def _ordered(one: bytes, other: bytes) -> tuple[bytes, bytes]:
    return (one, other) if one <= other else (other, one)


# ---- which tracks hold what ----


@dataclass(frozen=True)
class Known:
    """A track of a store that can be judged."""

    path: bytes
    content: bytes
    fingerprint: int


def find(store: Store, path: bytes) -> Known:
    """The track of a file, by its path. Raises InputError if the store does not know what the file holds now."""
    track = store.catalog.tracks.get(os.path.abspath(path)) or store.catalog.tracks.get(path)
    if track is None:
        raise InputError(printable(path), "not in the store", remedy="Scan the folder that holds it")
    if track.audio is None:
        found = f"has no fingerprint ({track.problem_kind}: {track.problem})"
        raise InputError(printable(track.path), found, remedy="Name a file that Reprise can decode")
    if not is_current(track):
        raise InputError(
            printable(track.path), "has changed since it was scanned", remedy="Scan the folder that holds it again"
        )
    stream, digest, fingerprint = store.catalog.audios.hallmark(track.audio)
    return Known(track.path, content(stream, digest), fingerprint)


def is_current(track: Track) -> bool:
    """Whether the file is as the store knows it; assumed for a file that is away."""
    if track.state == "imported":
        return True
    try:
        status = os.stat(track.path)
    except OSError:
        return True
    return size_and_time(status) == (track.size, track.mtime_ns)


def score_of(store: Store, a: Known, b: Known) -> float | None:
    """The score of two tracks, compared now as the last `correlate` did; None if they cannot overlap enough."""
    from dedup.correlation.compare import compare_two
    from dedup.correlation.correlate import last_compare_settings

    items = (store.items_of(a.fingerprint), store.items_of(b.fingerprint))
    match = compare_two(*items, last_compare_settings(store))
    return None if match is None else match.score


def paths_of_judged(store: Store) -> dict[bytes, list[bytes]]:
    """Paths of the tracks with a judged content, in order, by content."""
    found: dict[bytes, list[bytes]] = {}
    judged = {each for said in history(store) for each in (said.content_a, said.content_b)}
    for held, path in store.catalog.tracks.holding(judged):
        found.setdefault(held, []).append(path)
    return found
