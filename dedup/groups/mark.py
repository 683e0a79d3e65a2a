"""Records in a store what a person says about two files or tracks: it stays, and overrides any score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dedup.errors import UsageError
from dedup.files.paths import printable
from dedup.groups.judgements import Known, find, forget, history, paths_of_judged, record, score_of
from dedup.store.store import open_for_writing

if TYPE_CHECKING:
    from dedup.groups.matches import TrackPair
    from dedup.store.judgements import Judgement
    from dedup.store.store import Store


@dataclass(frozen=True)
class Marked:
    """What a person said about two files, now and before."""

    a: Known
    b: Known
    same: bool | None
    """Whether they are one recording; None if the judgement was taken back."""
    score: float | None
    """Score of the two; None if they cannot overlap enough, or if the judgement was taken back."""
    before: Judgement | None
    """Judgement that this one replaces."""


@dataclass(frozen=True)
class Asked:
    """The answers to questions about pairs; the four counts add up to the pairs."""

    same: int = 0
    different: int = 0
    skipped: int = 0
    left: int = 0
    """Pairs without an answer, because the person quit."""


Record = Callable[["TrackPair", bool], None]
"""Records whether a pair is one recording. Raises InputError for one audio that is called two, StoreLockedError."""

Ask = Callable[[Sequence["TrackPair"], Record], Asked]
"""Asks about each pair, and records each answer before it asks about the next: a terminal, or a web page."""


def judge_files(*, store: Store, a: bytes, b: bytes, same: bool) -> Marked:
    """Records whether two files of the library are one recording. Raises InputError for a file that the store does not
    know as it is now, and for one audio that is called two; UsageError for one file that is named twice."""
    one, other = find(store, a), find(store, b)
    if one.path == other.path:
        raise UsageError("mark", f"A and B are one file, {printable(one.path)}", remedy="Name two files")
    score = score_of(store, one, other)
    before = record(
        store, one.content, other.content, same, score, where=f"{printable(one.path)} and {printable(other.path)}"
    )
    return Marked(one, other, same, score, before)


def forget_files(*, store: Store, a: bytes, b: bytes) -> Marked:
    """Takes back what was said about two files of the library. Raises InputError as `judge_files` does."""
    one, other = find(store, a), find(store, b)
    return Marked(one, other, None, None, forget(store, one.content, other.content))


def judge_pair(folder: Path, pair: TrackPair, same: bool, purpose: str) -> None:
    """Records what a person says about a pair. Holds the lock of the store in `folder` only for that, in the name of
    `purpose`. Raises InputError for one audio that is called two, StoreLockedError."""
    with open_for_writing(folder, purpose) as store:
        record(store, pair.a.content, pair.b.content, same, pair.match.score)


@dataclass(frozen=True)
class Held:
    """A judgement, and the files that hold its two contents now."""

    judgement: Judgement
    a: tuple[bytes, ...]
    """Paths, in order; none if no file of the library holds it now."""
    b: tuple[bytes, ...]


def all_judgements(*, store: Store) -> list[Held]:
    """All judgements, oldest first."""
    with store.catalog.snapshot():
        judgements, paths = history(store), paths_of_judged(store)
    return [
        Held(said, tuple(paths.get(said.content_a, ())), tuple(paths.get(said.content_b, ()))) for said in judgements
    ]
