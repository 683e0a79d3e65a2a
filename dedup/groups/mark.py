"""Records in a store what a person says about two files or tracks: it stays, and overrides any score."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dedup.errors import UsageError
from dedup.files.paths import printable
from dedup.groups.judgements import Known, find, forget, history, paths_of_judged, record, score_of
from dedup.store.store import open_to_say

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
    waits: bool = False
    """Whether it waits for the run that holds the store; it counts all the same."""


@dataclass(frozen=True)
class Said:
    """What became of what a person said about two contents: it is kept for good, and counts."""

    content_a: bytes
    content_b: bytes
    same: bool | None
    """Whether they are one recording; None if that was taken back."""
    before: Judgement | None
    """What was said about them before (`unsay`)."""
    waits: bool
    """Whether it waits for the run that holds the store to take it into the catalog."""


@dataclass(frozen=True)
class Asked:
    """The answers to questions about pairs; the four counts add up to the pairs."""

    same: int = 0
    different: int = 0
    skipped: int = 0
    left: int = 0
    """Pairs without an answer, because the person quit."""


WayBack = Callable[[], object]
"""Takes back what was recorded."""

Record = Callable[["TrackPair", bool], WayBack | None]
"""Records whether a pair is one recording, and returns how to take that back; None if that is not possible. Raises
InputError for one audio that is called two."""

Ask = Callable[[Sequence["TrackPair"], Record], Asked]
"""Asks about each pair, and records each answer before it asks about the next: a terminal, or a web page."""


def judge_files(*, store: Store, a: bytes, b: bytes, same: bool) -> Marked:
    """Records whether two files of the library are one recording. If the store is open for reading only, it waits for
    the run that holds it. Raises InputError for a file that the store does not know as it is now, and for one audio
    that is called two; UsageError for one file that is named twice, WriteError."""
    one, other = find(store, a), find(store, b)
    if one.path == other.path:
        raise UsageError("mark", f"A and B are one file, {printable(one.path)}", remedy="Name two files")
    score = score_of(store, one, other)
    before = record(
        store, one.content, other.content, same, score, where=f"{printable(one.path)} and {printable(other.path)}"
    )
    return Marked(one, other, same, score, before, not store.writable)


def forget_files(*, store: Store, a: bytes, b: bytes) -> Marked:
    """Takes back what was said about two files of the library. Raises InputError as `judge_files` does."""
    one, other = find(store, a), find(store, b)
    return Marked(one, other, None, None, forget(store, one.content, other.content), not store.writable)


def say(
    folder: Path,
    content_a: bytes,
    content_b: bytes,
    same: bool | None,
    score: float | None,
    purpose: str,
) -> Said:
    """Keeps what a person says about two contents, 16 bytes each, in any order: that they are one recording, two, or
    None to take back what was said. When this returns, no kill loses it and every reader sees it. Holds the lock of the
    store in `folder` only for that, in the name of `purpose`; while another run holds it, what was said waits beside
    the catalog. Raises InputError for one audio that is called two; WriteError, StoreMissingError; StoreLockedError
    only if a run on another host holds a store on a network file system."""
    return say_all(folder, [(content_a, content_b, same, score)], purpose)[0]


Word = tuple[bytes, bytes, bool | None, float | None]
"""Two contents, what is said about them, and their score."""


def say_all(folder: Path, words: Sequence[Word], purpose: str) -> list[Said]:
    """Keeps what a person says about several pairs at once, each as `say` does."""
    with open_to_say(folder, purpose) as store:
        return [_put(store, *word) for word in words]


def unsay(folder: Path, said: Sequence[Said], purpose: str) -> list[Said]:
    """Says again what had been said before, the last first, as `say` does."""
    words = []
    for each in reversed(said):
        same, score = (each.before.same, each.before.score) if each.before else (None, None)
        words.append((each.content_a, each.content_b, same, score))
    return say_all(folder, words, purpose)


def _put(store: Store, content_a: bytes, content_b: bytes, same: bool | None, score: float | None) -> Said:
    both = store, content_a, content_b
    before = forget(*both) if same is None else record(*both, same, score)
    return Said(content_a, content_b, same, before, not store.writable)


def judge_pair(folder: Path, pair: TrackPair, same: bool, purpose: str) -> Said:
    """Keeps what a person says about a pair, as `say` does."""
    return say(folder, pair.a.content, pair.b.content, same, pair.match.score, purpose)


def judge_pair_for_now(folder: Path, pair: TrackPair, same: bool, purpose: str) -> WayBack:
    """Keeps what a person says about a pair, as `say` does, and returns how to take that back."""
    said = judge_pair(folder, pair, same, purpose)
    return lambda: unsay(folder, [said], purpose)


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
