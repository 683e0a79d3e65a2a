"""What a plan may do. It comes from a file that anybody may have edited, so its word counts only as far as the store
sealed it; beyond that, what the user's own settings and options allow counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dedup.errors import UsageError
from dedup.groups.matches import thresholds
from dedup.plan.seal import Seals
from dedup.settings import LossKind, MatchSettings
from dedup.store.plan_key import plan_key

if TYPE_CHECKING:
    from dedup.correlation.scoring import Thresholds
    from dedup.plan.nouns import Plan, PlannedFile, PlannedGroup
    from dedup.store.store import Store


@dataclass(frozen=True)
class Allowed:
    """What a person allows now, by settings and options."""

    match: MatchSettings = field(default_factory=MatchSettings)
    """Thresholds by which two tracks are one recording."""
    let_go: tuple[LossKind, ...] = ()
    """Kinds of what may be lost."""
    break_albums: bool = False
    """Whether complete albums may lose tracks."""


class Trust:
    """Which entries of a plan are the store's own, and what the others may do."""

    def __init__(self, store: Store, allowed: Allowed) -> None:
        self._seals, self.allowed = Seals(plan_key(store.layout)), allowed

    def is_edited(self, group: PlannedGroup, file: PlannedFile) -> bool:
        """Whether an entry is not as the store planned it."""
        return not self._seals.is_sound(group, file)

    def n_edited(self, plan: Plan) -> int:
        """Number of files to be changed or removed by entries that are not as the store planned them."""
        return sum(self.is_edited(group, file) for group in plan.groups for file in group.changed)

    def may_be_lost(self, group: PlannedGroup, file: PlannedFile) -> frozenset[LossKind]:
        """Kinds of what may be lost with a file: those that its entry names, and if it is edited, the user allows."""
        return file.may_be_lost.intersection(self.allowed.let_go) if self.is_edited(group, file) else file.may_be_lost

    def require_strict(self, store: Store, plan: Plan) -> None:
        """Raises UsageError for a plan whose thresholds are looser than the user's, unless the store sealed them."""
        if plan.match == self.allowed.match or self._seals.is_match_sound(plan):
            return
        looser = list(_looser(thresholds(store, plan.match), thresholds(store, self.allowed.match), plan, self.allowed))
        if looser:
            remedy = "Make the plan again, or give `apply` the same options if you mean it"
            raise UsageError(
                "match", f"the plan was changed by hand, and is looser: {'; '.join(looser)}", remedy=remedy
            )


def _looser(plans: Thresholds, yours: Thresholds, plan: Plan, allowed: Allowed) -> Iterator[str]:
    """Each threshold of the plan that lets more pairs through, with both values."""
    if (plans.classic is None) != (yours.classic is None):
        yield f"classic is {_told(plan.match.classic)}, not {_told(allowed.match.classic)}"
        return
    if plans.classic is not None and yours.classic is not None and plans.classic < yours.classic:
        yield f"classic is {plans.classic:g}, not {yours.classic:g}"
    if plans.related < yours.related:
        yield f"max_false is {plan.match.max_false:g}, not {allowed.match.max_false:g}"
    if plans.same < yours.same:
        yield f"min_score is {plans.same:g}, not {yours.same:g}"
    if plans.min_prominence < yours.min_prominence:
        yield f"min_prominence is {plans.min_prominence:g}, not {yours.min_prominence:g}"


def _told(value: float | None) -> str:
    return "off" if value is None else f"{value:g}"
