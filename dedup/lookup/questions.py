"""A person goes through the questions that look-ups left, one file after the other. Each answer is kept before the next
question is asked."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol

from dedup.lookup.candidates import Song
from dedup.lookup.decide import Identified
from dedup.lookup.known import Known
from dedup.lookup.library import Library
from dedup.lookup.said import Kept, is_none, is_one, say, unsay
from dedup.store.store import open_for_reading

Word = Literal["is", "none", "forget", "skip", "back", "quit"]


@dataclass(frozen=True)
class Answer:
    """What a person says to a question."""

    word: Word
    song: Song | None = None
    """The candidate that it is."""


@dataclass
class Asked:
    """What came of the questions."""

    n_named: int = 0
    n_none: int = 0
    """Files that are none of their candidates."""
    n_skipped: int = 0
    n_left: int = 0
    """Questions without an answer, because the person quit."""
    n_forgotten: int = 0

    @property
    def n_all(self) -> int:
        """Questions that there were."""
        return self.n_named + self.n_none + self.n_skipped + self.n_left + self.n_forgotten


@dataclass(frozen=True)
class Question:
    """A file that a person is asked about."""

    each: Identified
    unit: bytes
    """The folder that it belongs to."""
    beside: Sequence[Identified]
    """All files of the folder, this one too."""
    n_left: int
    """Questions that are left, with this one."""
    can_go_back: bool


class Reviewer(Protocol):
    """Who answers."""

    def answer(self, question: Question) -> Answer:
        """The answer; "back" only if one can go back."""

    def kept(self, question: Question, answer: Answer, kept: Kept | None) -> None:
        """Hears that the answer is kept."""


def ask(*, folder: Path, paths: Sequence[bytes], reviewer: Reviewer, purpose: str, again: bool = False) -> Asked:
    """Asks about the files at or below these paths, or all of the library, that are questions; `again`, also about
    those about which a person said something. The store in `folder` is held, in the name of `purpose`, only while an
    answer is kept. Raises InputError for a path without a track, and what opening a store raises."""
    with open_for_reading(folder) as store:
        known = Known(store)
        review = _Review(known, folder, reviewer, purpose, again)
        review.find(paths)
        return review.run()


class _Review:
    def __init__(self, known: Known, folder: Path, reviewer: Reviewer, purpose: str, again: bool) -> None:
        self._known, self._folder, self._reviewer = known, folder, reviewer
        self._purpose, self._again = purpose, again
        self._units: dict[bytes, list[bytes]] = {}
        self._todo: list[tuple[bytes, bytes]] = []
        """Folder and path of each file that is asked about."""
        self._given: list[tuple[int, Word, Kept | None]] = []
        """Answers that can be taken back: which of the `_todo`, and what became of it."""

    def find(self, paths: Sequence[bytes]) -> None:
        library = self._known.library
        self._units = library.units(library.chosen(paths))
        for unit, wanted in self._units.items():
            self._todo += [(unit, each.file.path) for each in self._known.of(unit, wanted) if self._is_open(each)]

    def _is_open(self, each: Identified) -> bool:
        return each.verdict == "question" or (self._again and each.file.said is not None)

    def run(self) -> Asked:
        at = 0
        while at < len(self._todo):
            question = self._question(at)
            if question is None:
                at += 1
                continue
            answer = self._reviewer.answer(question)
            if answer.word == "quit":
                break
            if answer.word == "back":
                at = self._take_back()
                continue
            kept = self._keep(question, answer)
            self._given.append((at, answer.word, kept))
            self._reviewer.kept(question, answer, kept)
            self._add_new(question, at)
            at += 1
        return self._counted(at)

    def _question(self, at: int) -> Question | None:
        """The question about a file; None if an earlier answer has settled it."""
        unit, path = self._todo[at]
        beside = self._known.of(unit, self._units[unit])
        each = next(each for each in beside if each.file.path == path)
        if each.file.subject in self._answered() or not self._is_open(each):
            return None
        return Question(each, unit, beside, len(self._todo) - at, bool(self._given))

    def _answered(self) -> set[str]:
        """Sounds about which something was said."""
        return {kept.subject for _, _, kept in self._given if kept is not None}

    def _keep(self, question: Question, answer: Answer) -> Kept | None:
        file = question.each.file
        if answer.word == "skip":
            return None
        said = is_one(answer.song) if answer.song is not None else None if answer.word == "forget" else is_none(file)
        return say(self._folder, [(file.subject, said)], self._purpose)[0]

    def _take_back(self) -> int:
        at, _, kept = self._given.pop()
        if kept is not None:
            unsay(self._folder, kept, self._purpose)  # unless it was changed elsewhere since: that stays
        return at

    def _add_new(self, question: Question, at: int) -> None:
        """Asks next about files of the folder that this answer made questions."""
        known = set(self._todo)
        now = self._known.of(question.unit, self._units[question.unit])
        new = [(question.unit, each.file.path) for each in now if each.verdict == "question"]
        self._todo[at + 1 : at + 1] = [each for each in new if each not in known]

    def _counted(self, at: int) -> Asked:
        words = [word for _, word, _ in self._given]
        left = self._count_open(self._todo[at:])
        return Asked(words.count("is"), words.count("none"), words.count("skip"), left, words.count("forget"))

    def _count_open(self, todo: Sequence[tuple[bytes, bytes]]) -> int:
        """How many of these are still questions. Decides each folder once."""
        answered, of_units = self._answered(), defaultdict[bytes, set[bytes]](set)
        for unit, path in todo:
            of_units[unit].add(path)
        return sum(
            each.file.path in paths and each.file.subject not in answered and self._is_open(each)
            for unit, paths in of_units.items()
            for each in self._known.of(unit, self._units[unit])
        )


def forget(*, folder: Path, paths: Sequence[bytes], purpose: str) -> list[tuple[bytes, Kept]]:
    """Takes back what a person said about the files at or below these paths; returns those about which something was
    said. Raises InputError for a path without a track."""
    with open_for_reading(folder) as store:
        library = Library(store)
        subjects = {path: library.subjects[path].digest for path in library.chosen(paths) if path in library.subjects}
        named = store.catalog.namings.get_all(list(dict.fromkeys(subjects.values())))
    if not named:
        return []
    kept = {each.subject: each for each in say(folder, [(subject, None) for subject in named], purpose)}
    return [(path, kept[subject]) for path, subject in subjects.items() if subject in kept]
