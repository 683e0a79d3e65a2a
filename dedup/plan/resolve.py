"""Goes through groups one by one and makes a plan from the answers. This module asks the questions; a reviewer answers
them. Every answer is kept at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dedup.errors import InputError
from dedup.groups.mark import say_all, unsay
from dedup.plan.basket import Basket, read_with_state
from dedup.plan.listening import HERE, Ears, listened
from dedup.plan.protect import protect_from_now_on
from dedup.plan.review import review_of
from dedup.store.store import open_for_reading

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedup.groups.mark import Said
    from dedup.groups.remembered import Place
    from dedup.observer import Observer
    from dedup.plan.nouns import Plan
    from dedup.plan.review import Answer, Question, Review
    from dedup.settings import KeepSettings, MatchSettings, PlanSettings


class Reviewer(Protocol):
    """Whoever answers: a person at a terminal or on a web page."""

    def begin(self, review: Review) -> None:
        """Called once, before the first question, when all questions are known."""

    def answer(self, review: Review, question: Question) -> Answer:
        """What becomes of a group."""

    def kept(self, question: Question, answer: Answer) -> None:
        """Called when an answer is kept."""

    def taken_back(self, question: Question, answer: Answer) -> None:
        """Called when an answer is taken back because the next one was "back"; the question comes again."""

    def not_kept(self, error: InputError) -> None:
        """Called when an answer is not kept because the group has changed since it was shown: somebody else said that
        files of it are different."""


@dataclass(frozen=True)
class Resolved:
    """The result of a review."""

    plan: Plan
    """Plan of all answers, now and before."""
    keep: int = 0
    """Groups answered with a file to keep."""
    keep_all: int = 0
    """Groups of which all files stay for good."""
    different: int = 0
    """Answers that some files of a group are other recordings; the rest of the group is asked about again."""
    skip: int = 0
    """Groups that stay as they are for now."""
    left: int = 0
    """Groups without an answer."""
    n_before: int = 0
    """Groups without an answer when it began."""
    was_interrupted: bool = False
    """Whether a KeyboardInterrupt ended it."""


def resolve_groups(
    *,
    folder: Path,
    path: bytes,
    match: MatchSettings,
    keep: KeepSettings,
    settings: PlanSettings,
    reviewer: Reviewer,
    observer: Observer,
    purpose: str,
    ears: Ears = HERE,
    again: bool = False,
    limit: int | None = None,
    place: Place | None = None,
) -> Resolved:
    """Asks the reviewer about each group of the store in `folder` that the plan at `path` does not answer, about
    `limit` at most, until there is none or the answer is to quit; `again` asks about those that were skipped before
    too. The plan is written after each answer. A KeyboardInterrupt is to quit. The store is locked, in the name of
    `purpose`, only while null tests are made and a judgement is recorded. Matches are kept at `place`, and taken from
    there. Raises InputError if there is something
    other than a plan at `path`, PlanError for a plan that cannot be understood."""
    before, state = read_with_state(path)
    protect_from_now_on(folder, keep.protect, playlists=settings.playlists, purpose=purpose)
    matches = listened(folder, match, keep, settings.let_go, ears, observer, purpose, place)
    with open_for_reading(folder) as store:
        review = review_of(store, matches, keep, settings, before, again, observer)
    return answer_all(Basket(folder, path, review, state), reviewer, folder=folder, purpose=purpose, limit=limit)


def answer_all(basket: Basket, reviewer: Reviewer, *, folder: Path, purpose: str, limit: int | None = None) -> Resolved:
    """Asks the reviewer each question of a review, as `resolve_groups` does."""
    review = basket.review
    n_before = review.n_left
    answers: Counter[str] = Counter()
    kept: list[_Kept] = []
    """Answers that can be taken back, oldest first."""
    again: Question | None = None
    was_interrupted = False
    reviewer.begin(review)
    try:
        while answers.total() != limit and (question := again or review.next()) is not None:
            again = None
            answer = reviewer.answer(review, question)
            if answer.word == "quit":
                break
            if answer.word == "back":
                if kept:
                    last = kept.pop()
                    again = take_answer_back(folder, basket, last.question, last.said, purpose)
                    reviewer.taken_back(last.question, last.answer)
                    answers[last.answer.word] -= 1
                continue
            try:
                said = keep_answer(folder, basket, question, answer, purpose)
            except InputError as error:
                if review.is_current(question):
                    raise
                reviewer.not_kept(error)
                continue
            reviewer.kept(question, answer)
            answers[answer.word] += 1
            kept.append(_Kept(question, answer, said))
            basket.refresh()
    except KeyboardInterrupt:
        was_interrupted = True
    return Resolved(
        plan=review.plan(),
        keep=answers["keep"],
        keep_all=answers["keep all"],
        different=answers["different"],
        skip=answers["skip"],
        left=review.n_left,
        n_before=n_before,
        was_interrupted=was_interrupted,
    )


def keep_answer(folder: Path, basket: Basket, question: Question, answer: Answer, purpose: str) -> list[Said]:
    """Keeps an answer, to any question of the review: what becomes of the group, in the plan; that files are different
    for good, in the store in `folder`, in the name of `purpose`, or beside it while another run holds it. It is durable
    when this returns; what was said about pairs is returned, for `unsay`. Raises InputError if the group has changed
    since, and as `Basket.changing` and `say` do; nothing is kept then, except what was said about pairs if only the
    plan cannot be written."""
    review = basket.review
    with basket.changing():
        if answer.planned is not None:
            review.put(question, answer.planned)
            return []
        words = [(a, b, False, score) for (a, b), score in review.apart(question, answer.odd).items()]
        said = say_all(folder, words, purpose)
        with open_for_reading(folder) as store:
            review.regroup(question, store)
        return said


def take_answer_back(
    folder: Path, basket: Basket, question: Question, said: Sequence[Said], purpose: str
) -> Question | None:
    """Takes back an answer that `keep_answer` kept and for which it returned `said`: the group is open again. Returns
    it as it is now; None if it is no group any more. Raises as `keep_answer` does."""
    review = basket.review
    with basket.changing():
        review.take_back(question)
        if said:
            unsay(folder, said, purpose)
            with open_for_reading(folder) as store:
                review.renew(store, first={file.path for file in question.planned.files})
    return review.question_of(question.planned.files[0].path)


@dataclass(frozen=True)
class _Kept:
    """An answer that is kept."""

    question: Question
    answer: Answer
    said: Sequence[Said]
    """What was said about pairs."""
