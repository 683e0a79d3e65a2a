"""The store as the pages show it: read once, and again when it has changed."""

from __future__ import annotations

import functools
import hashlib
import os
import threading
from collections import Counter
from collections.abc import Iterable, Sequence, Set
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from dedup.files.paths import printable
from dedup.groups.groups import uncertain
from dedup.groups.matches import ListedTrack, Matches, TrackPair
from dedup.plan.choices import KEPT, SKIPPED, is_proven
from dedup.plan.nouns import STAYING, PlannedGroup

if TYPE_CHECKING:
    from dedup.plan.basket import Basket
    from dedup.plan.review import Question, Review

Said = Literal["", "keep", "keep all", "skip"]
"""What a person said about a group; empty if nothing yet."""


def id_of(*paths: bytes) -> str:
    """The name of a track, a group or a pair in an address: 16 hex digits of the paths that the store has for it."""
    return hashlib.blake2b(b"\0".join(paths), digest_size=8).hexdigest()


def state_of(tracks: Iterable[ListedTrack]) -> str:
    """What tells whether files side by side are still those that a person saw: 16 hex digits."""
    held = sorted((track.path, track.content, track.size, track.mtime_ns) for track in tracks)
    return hashlib.blake2b(repr(held).encode(), digest_size=8).hexdigest()


@dataclass(frozen=True, slots=True)
class Row:
    """A group in the list: what is shown of it, and what a filter asks for."""

    id: str
    title: str
    """Artist and title, or the name of the file that the rules keep."""
    folder: str
    """Folder of that file."""
    n_files: int
    n_bytes: int
    """Reclaimable bytes: of the files that a plan made now would let go, by the rules or the answer."""
    formats: tuple[str, ...]
    verdicts: tuple[str, ...]
    rules: tuple[str, ...]
    """Rules by which files go."""
    stays: tuple[str, ...]
    """Rules by which files stay."""
    score: float
    """Lowest score of a copy."""
    is_proven: bool
    """Whether each file that goes holds the same packets as the kept one, or passed its null test."""
    said: Said
    text: str
    """All paths and titles in lower case, for the search."""


class Listed:
    """The rows of all groups, and the values that occur in them."""

    def __init__(self, rows: Sequence[Row]) -> None:
        self.rows = rows
        self.choices = {
            "format": _values(row.formats for row in rows),
            "verdict": _values(row.verdicts for row in rows),
            "rule": _values(row.rules for row in rows),
            "stays": _values(row.stays for row in rows),
        }
        """Values, the most frequent first, by the name of the filter for them."""


def _values(of_rows: Iterable[tuple[str, ...]]) -> list[str]:
    counts = Counter[str]()
    for values, n in Counter(of_rows).items():
        counts.update(dict.fromkeys(values, n))
    return [value for value, _ in counts.most_common()]


class Snapshot:
    """What the store held when it was read, and the answers so far. Lists are made by whichever thread asks, while
    others answer: one that was begun before an answer is given to who asked, and not kept."""

    def __init__(self, basket: Basket) -> None:
        self.basket = basket
        self.questions: dict[str, Question] = {}
        """The groups with what the rules decide about each, most reclaimable bytes first, by their ids."""
        self._uncertain: dict[str, TrackPair] | None = None
        self._rows: dict[str, Row] = {}
        self._freed: dict[bytes, int] | None = None
        """`Review.freed_by_rule` of the groups as they are now."""
        self._listed: Listed | None = None
        self._lock = threading.Lock()
        self._n_renewed = self._n_answered = 0
        self.renew()

    @property
    def review(self) -> Review:
        return self.basket.review

    @property
    def matches(self) -> Matches:
        return self.review.grounds.matches

    @property
    def uncertain(self) -> dict[str, TrackPair]:
        """Pairs that only a person can decide, best evidence first."""
        with self._lock:
            n_renewed, known = self._n_renewed, self._uncertain
        if known is not None:
            return known
        found = {id_of(pair.a.path, pair.b.path): pair for pair in uncertain(self.matches)}
        with self._lock:
            if n_renewed == self._n_renewed:
                self._uncertain = found
        return found

    def refresh(self) -> None:
        """Takes in what others answered and said meanwhile."""
        if self.basket.refresh():
            self.renew()

    def renew(self) -> None:
        """Shows the groups as the review has them now. Their places do not depend on what was asked last."""
        ordered = sorted(self.review.all_questions, key=lambda one: (-one.planned.n_bytes, one.planned.files[0].path))
        questions = {id_of(one.group.reference.path): one for one in ordered}
        with self._lock:
            self.questions = questions
            self._uncertain, self._listed, self._rows, self._freed = None, None, {}, None
            self._n_renewed += 1

    def answered(self, ids: Iterable[str]) -> None:
        """Shows the answers to these groups as the review has them now."""
        with self._lock:
            self._listed = None
            self._n_answered += 1
            for id_ in ids:
                self._rows.pop(id_, None)

    def next_after(self, id_: str) -> str | None:
        """The id of the next group without an answer, in the order of the list; of the first one after the last."""
        ids = list(self.questions)
        at = ids.index(id_) + 1
        others = ids[at:] + ids[: at - 1]
        return next((other for other in others if self.review.is_open(self.questions[other])), None)

    def open_of(self, paths: Set[bytes]) -> str | None:
        """The id of the group without an answer that holds any of these files; None if there is none."""
        holding = (
            id_ for id_, one in self.questions.items() if not paths.isdisjoint(f.path for f in one.planned.files)
        )
        return next((id_ for id_ in holding if self.review.is_open(self.questions[id_])), None)

    def listed(self) -> Listed:
        """The groups, most reclaimable bytes first; the same object until something changes."""
        with self._lock:
            if self._listed is not None:
                return self._listed
            state = self._n_renewed, self._n_answered
            questions, rows, freed = self.questions, dict(self._rows), self._freed
        if freed is None:
            freed = self.review.freed_by_rule()
        for id_, question in questions.items():
            if id_ not in rows:
                by_rule = freed.get(question.planned.contents, question.planned.n_bytes)
                rows[id_] = _row(id_, question, self.review.answer_of(question), by_rule)
        listed = Listed([rows[id_] for id_ in questions])
        with self._lock:
            if state == (self._n_renewed, self._n_answered):
                self._rows, self._listed, self._freed = rows, listed, freed
        return listed


def _row(id_: str, question: Question, answer: PlannedGroup | None, freed_by_rule: int) -> Row:
    group, planned = question.group, answer or question.planned
    goes = [file for file in planned.files if file.action not in STAYING]
    proven = {pair.a.path for pair in group.members if is_proven(pair)}
    return Row(
        id=id_,
        title=title_of(group.reference),
        folder=printable(os.path.dirname(group.reference.path)),
        n_files=len(planned.files),
        n_bytes=freed_by_rule if answer is None else answer.n_bytes,
        formats=_shared(track.properties.codec for track in group.tracks),
        verdicts=_shared(pair.verdict for pair in group.members),
        rules=_shared(file.rule for file in goes),
        stays=_shared(file.rule for file in planned.files if file.action == "leave"),
        score=min(pair.match.score for pair in group.members),
        is_proven=bool(goes) and proven.issuperset(file.path for file in goes),
        said=said_of(answer),
        text="\n".join(f"{printable(track.path)}\n{title_of(track)}" for track in group.tracks).lower(),
    )


def _shared(texts: Iterable[str]) -> tuple[str, ...]:
    """The texts, each once, in order; the same tuple for the same texts, since many groups have the same."""
    return _only(tuple(sorted(set(texts))))


@functools.cache
def _only(texts: tuple[str, ...]) -> tuple[str, ...]:
    return texts


def said_of(answer: PlannedGroup | None) -> Said:
    """The word for an answer."""
    if answer is None:
        return ""
    rules = {file.rule for file in answer.files}
    return "skip" if SKIPPED in rules else "keep all" if KEPT in rules else "keep"


def title_of(track: ListedTrack) -> str:
    """Artist and title as the tags have them, or the file's name."""
    tags = track.properties.tags
    known = [", ".join(tags[name]) for name in ("artist", "title") if tags.get(name)]
    text = ": ".join(known) if tags.get("title") else ""
    return printable(text.encode("utf-8", "surrogateescape")) if text else printable(os.path.basename(track.path))
