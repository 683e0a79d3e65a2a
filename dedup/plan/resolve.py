"""Goes through groups one by one and makes a plan from the answers. This module asks the questions; a reviewer answers
them. Every answer is kept at once."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Protocol

from dedup.errors import StoreLockedError
from dedup.groups.judgements import record
from dedup.plan.document import Documents, is_replaceable, read_plan, write_plan
from dedup.plan.listening import HERE, Ears, listened
from dedup.plan.protect import protect_from_now_on
from dedup.plan.review import review_of
from dedup.store.store import open_for_reading, open_for_writing

if TYPE_CHECKING:
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

    def not_kept(self, error: StoreLockedError) -> None:
        """Called when an answer is not kept because another run holds the store; the same question comes again."""


@dataclass(frozen=True)
class Resolved:
    """The result of a review."""

    plan: Plan
    """Plan of all answers, now and before."""
    keep: int = 0
    """Groups answered with a file to keep."""
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
) -> Resolved:
    """Asks the reviewer about each group of the store in `folder` that the plan at `path` does not answer, about
    `limit` at most, until there is none or the answer is to quit; `again` asks about those that were skipped before
    too. The plan is written after each answer. A KeyboardInterrupt is to quit. The store is locked, in the name of
    `purpose`, only while null tests are made and a judgement is recorded. Raises InputError if there is something
    other than a plan at `path`, PlanError for a plan that cannot be understood."""
    is_there = is_replaceable(path)
    protect_from_now_on(folder, keep.protect, playlists=settings.playlists, purpose=purpose)
    before = read_plan(path) if is_there else None
    matches = listened(folder, match, keep, settings.let_go, ears, observer, purpose)
    with open_for_reading(folder) as store:
        review = review_of(store, matches, keep, settings, before, again, observer)
    return answer_all(review, reviewer, folder=folder, path=path, purpose=purpose, limit=limit)


def answer_all(
    review: Review, reviewer: Reviewer, *, folder: Path, path: bytes, purpose: str, limit: int | None = None
) -> Resolved:
    """Asks the reviewer each question of a review, as `resolve_groups` does."""
    n_before, documents = review.n_left, Documents()
    answers: Counter[str] = Counter()
    was_interrupted = False
    reviewer.begin(review)
    try:
        while answers.total() != limit and (question := review.next()) is not None:
            answer = reviewer.answer(review, question)
            if answer.word == "quit":
                break
            try:
                keep_answer(folder, review, question, answer, purpose)
            except StoreLockedError as error:
                reviewer.not_kept(error)
                continue
            reviewer.kept(question, answer)
            write_plan(path, review.plan(), documents.to_bytes)
            answers[answer.word] += 1
    except KeyboardInterrupt:
        was_interrupted = True
    return Resolved(
        plan=review.plan(),
        keep=answers["keep"],
        different=answers["different"],
        skip=answers["skip"],
        left=review.n_left,
        n_before=n_before,
        was_interrupted=was_interrupted,
    )


def keep_answer(folder: Path, review: Review, question: Question, answer: Answer, purpose: str) -> None:
    """Keeps an answer: what becomes of the group in the review, and that files are different for good, in the store.
    Raises StoreLockedError; then nothing is kept."""
    if answer.planned is not None:
        review.put(question, answer.planned)
        return
    said = review.apart(question, answer.odd)
    with open_for_writing(folder, purpose) as store:
        for (content_a, content_b), score in said.items():
            record(store, content_a, content_b, False, score)
        review.regroup(question, store)
