"""A plan by scores: copies with a high enough score go, a person is asked about those between the two scores and about
what would be lost, and the rest stays. Touches none of the user's files."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from dedup.errors import PlanError
from dedup.groups.losses import losses
from dedup.groups.mark import Ask, Asked, WayBack, judge_pair_for_now
from dedup.plan.basket import Basket, State, read_with_state, state_of
from dedup.plan.decide import UNCERTAIN, doubt_of_ids, doubt_of_score, kept_for
from dedup.plan.document import locked, write_plan
from dedup.plan.make import grounds_of, plan_all
from dedup.plan.protect import protect_from_now_on
from dedup.plan.resolve import Resolved, answer_all
from dedup.plan.review import answers_in, review_of_losses
from dedup.store.store import open_for_reading

if TYPE_CHECKING:
    from dedup.groups.groups import Group
    from dedup.groups.matches import Matches, TrackPair
    from dedup.observer import Observer
    from dedup.plan.nouns import Plan
    from dedup.plan.resolve import Reviewer
    from dedup.settings import KeepSettings, PlanSettings


@dataclass(frozen=True)
class SurePlan:
    """A plan for the copies that are certain enough, and what a person said about the others."""

    plan: Plan
    path: bytes
    """File to which it was written."""
    settings: PlanSettings
    asked: Asked | None
    """What a person said about uncertain copies; None if nobody was asked."""
    reviewed: Resolved | None = None
    """What a person said about copies that stay for what they hold; None if nobody was asked."""
    not_understood: PlanError | None = None
    """What was wrong with the plan that it replaces, so that none of its answers could be used."""

    @property
    def n_uncertain(self) -> int:
        """Number of copies about which a person has not decided yet."""
        return sum(file.rule == UNCERTAIN for group in self.plan.groups for file in group.files)

    @property
    def n_uncertain_by_ids(self) -> int:
        """Number of those whose score is high enough: their tags name another recording."""
        auto = self.settings.auto or 0.0
        files = (file for group in self.plan.groups for file in group.files if file.rule == UNCERTAIN)
        return sum(file.score is not None and file.score >= auto for file in files)


def plan_and_ask(
    *,
    folder: Path,
    path: bytes,
    matches: Matches,
    groups: Sequence[Group],
    keep: KeepSettings,
    settings: PlanSettings,
    observer: Observer,
    ask: Ask | None,
    reviewer: Reviewer | None,
    purpose: str,
) -> SurePlan:
    """Asks about the uncertain pairs, then about the groups in which a copy would go except for what it holds, if there
    is somebody to ask; then makes a plan and writes it to `path`. Answers in the plan that it replaces stay. Holds the
    lock of the store in `folder` only while it records an answer, in the name of `purpose`. Gives `matches` the
    judgements that the store has then."""

    def record(pair: TrackPair, same: bool) -> WayBack:
        return judge_pair_for_now(folder, pair, same, purpose)

    protect_from_now_on(folder, keep.protect, playlists=settings.playlists, purpose=purpose)
    pairs = uncertain_pairs(groups, settings)
    asked = ask(pairs, record) if pairs and ask is not None else None
    before, state, not_understood = _plan_before(path)
    reviewed = None
    has_quit = asked is not None and asked.left > 0
    if reviewer is not None and settings.auto is not None and not has_quit:
        with open_for_reading(folder) as store:
            matches.renew_judgements(store)
            review = review_of_losses(store, matches, keep, settings, before, observer)
        if review.n_left:
            basket = Basket(folder, path, review, state)
            reviewed = answer_all(basket, reviewer, folder=folder, purpose=purpose)
    with open_for_reading(folder) as store:
        matches.renew_judgements(store)
        grounds = grounds_of(store, matches, keep, settings)

    def made(before: Plan | None) -> Plan:
        answered = answers_in(grounds.seals.opened(before), grounds.keep.protect) if before else ()
        return plan_all(grounds, observer, answered)

    return SurePlan(_replaced(path, made), path, settings, asked, reviewed, not_understood)


def uncertain_pairs(groups: Sequence[Group], settings: PlanSettings) -> list[TrackPair]:
    """Pairs of a copy and the best copy with a score between the two scores, or that would go although their tags call
    them two recordings; highest score first."""
    found = []
    for pair in (pair for group in groups for pair in group.members):
        doubtful = doubt_of_score(pair, settings)
        if doubtful is None and kept_for(losses(pair), settings.let_go) is None:
            doubtful = doubt_of_ids(pair)
        if pair.a.state == pair.b.state == "present" and doubtful is not None and doubtful[0] == UNCERTAIN:
            found.append(pair)
    return sorted(found, key=lambda pair: (-pair.match.score, pair.a.path))


def _replaced(path: bytes, made: Callable[[Plan | None], Plan]) -> Plan:
    """Writes what is made from the plan that is there; made again if somebody answers meanwhile."""
    while True:
        before, state, _ = _plan_before(path)
        plan = made(before)
        with locked(path):
            if state_of(path) == state:
                write_plan(path, plan)
                return plan


def _plan_before(path: bytes) -> tuple[Plan | None, State, PlanError | None]:
    """The plan to be replaced, if there is one, and the state in which its file was; if it cannot be understood, what
    is wrong with it."""
    state = state_of(path)
    try:
        return *read_with_state(path), None
    except PlanError as error:
        return None, state, error
