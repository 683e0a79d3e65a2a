"""The store as the pages show it: read once, and again when it has changed."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Literal

from dedup.files.paths import printable
from dedup.groups.groups import uncertain
from dedup.groups.matches import ListedTrack, Matches, TrackPair
from dedup.plan.decide import is_there_twice
from dedup.plan.nouns import STAYING, PlannedGroup
from dedup.plan.review import SKIPPED, Question

if TYPE_CHECKING:
    from dedup.plan.review import Review

Said = Literal["", "keep", "keep all", "skip"]
"""What a person said about a group; empty if nothing yet."""


def id_of(*paths: bytes) -> str:
    """The name of a track, a group or a pair in an address: 16 hex digits of the paths that the store has for it."""
    return hashlib.blake2b(b"\0".join(paths), digest_size=8).hexdigest()


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
    """Reclaimable bytes: of the files that the rules, or the answer, let go."""
    formats: tuple[str, ...]
    verdicts: tuple[str, ...]
    rules: tuple[str, ...]
    """Rules by which files go."""
    stays: tuple[str, ...]
    """Rules by which files stay."""
    score: float
    """Lowest score of a copy."""
    is_tested: bool
    """Whether a null test found each file that goes to be a copy."""
    said: Said
    text: str
    """All paths and titles in lower case, for the search."""


class Snapshot:
    """What the store held when it was read, and the answers so far."""

    def __init__(self, review: Review) -> None:
        self.review = review
        self.tracks = {id_of(track.path): track for track in self.matches.tracks}
        decider = review.grounds.decider
        questions = [
            Question(group, decider.group(group)) for group in review.grounds.groups() if is_there_twice(group)
        ]
        questions.sort(key=lambda one: (-one.planned.n_bytes, one.planned.files[0].path))
        self.questions = {id_of(one.group.reference.path): one for one in questions}
        """The groups with what the rules decide about each, most reclaimable bytes first, by their ids."""

    @property
    def matches(self) -> Matches:
        return self.review.grounds.matches

    @cached_property
    def uncertain(self) -> dict[str, TrackPair]:
        """Pairs that only a person can decide, best evidence first."""
        return {id_of(pair.a.path, pair.b.path): pair for pair in uncertain(self.matches)}

    def answer(self, question: Question) -> PlannedGroup | None:
        """What a person said about a group."""
        return self._answers.get(question.planned.contents)

    @property
    def _answers(self) -> dict[object, PlannedGroup]:
        return {group.contents: group for group in self.review.answered}

    def rows(self) -> Iterator[Row]:
        """The groups, most reclaimable bytes first."""
        answers = self._answers
        for id_, question in self.questions.items():
            answer = answers.get(question.planned.contents)
            yield _row(id_, question, answer)


def _row(id_: str, question: Question, answer: PlannedGroup | None) -> Row:
    group, planned = question.group, answer or question.planned
    goes = [file for file in planned.files if file.action not in STAYING]
    tests = {pair.a.path: pair.test for pair in group.members}
    return Row(
        id=id_,
        title=title_of(group.reference),
        folder=printable(os.path.dirname(group.reference.path)),
        n_files=len(planned.files),
        n_bytes=planned.n_bytes,
        formats=tuple(sorted({track.properties.codec for track in group.tracks})),
        verdicts=tuple(sorted({pair.verdict for pair in group.members})),
        rules=tuple(sorted({file.rule for file in goes})),
        stays=tuple(sorted({file.rule for file in planned.files if file.action == "leave"})),
        score=min(pair.match.score for pair in group.members),
        is_tested=bool(goes) and all((test := tests.get(file.path)) is not None and test.is_copy for file in goes),
        said=said_of(answer),
        text="\n".join(f"{printable(track.path)}\n{title_of(track)}" for track in group.tracks).lower(),
    )


def said_of(answer: PlannedGroup | None) -> Said:
    """The word for an answer."""
    if answer is None:
        return ""
    if any(file.rule == SKIPPED for file in answer.files):
        return "skip"
    return "keep" if answer.kept is not None else "keep all"


def title_of(track: ListedTrack) -> str:
    """Artist and title as the tags have them, or the file's name."""
    tags = track.properties.tags
    known = [", ".join(tags[name]) for name in ("artist", "title") if tags.get(name)]
    text = ": ".join(known) if tags.get("title") else ""
    return printable(text.encode("utf-8", "surrogateescape")) if text else printable(os.path.basename(track.path))
