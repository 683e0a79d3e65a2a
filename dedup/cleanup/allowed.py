"""What a plan may do. It comes from a file that anybody may have edited, so its word counts only as far as the store
sealed it; beyond that, what the user's own settings and options allow counts."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dedup.errors import UsageError
from dedup.files.paths import printable
from dedup.files.quarantine import QUARANTINE
from dedup.groups.thresholds import thresholds
from dedup.plan.seal import Seals
from dedup.settings import KeepSettings, LossKind, MatchSettings
from dedup.store.plan_key import plan_key

if TYPE_CHECKING:
    from dedup.plan.nouns import Plan, PlannedFile
    from dedup.store.store import Store


NOT_THE_STORES = "its entry is not as `reprise plan` wrote it"


@dataclass(frozen=True)
class Allowed:
    """What a person allows now, by settings and options."""

    match: MatchSettings = field(default_factory=MatchSettings)
    """Thresholds by which two tracks are one recording."""
    let_go: tuple[LossKind, ...] = ()
    """Kinds of what may be lost."""
    break_albums: bool = False
    """Whether complete albums may lose tracks."""
    to: bytes | None = None
    """Folder for quarantined files; None for the one in the root of each."""
    keep: KeepSettings = field(default_factory=KeepSettings)
    """Folders that are protected, and what is kept twice on purpose."""
    protect_loved: bool = False
    """Whether a file stays that is loved on a media server."""


class Trust:
    """Which entries of a plan are the store's own, and what the others may do. It is about the plan as a whole: what is
    left of it after an interruption is trusted as it was."""

    def __init__(self, store: Store, plan: Plan, allowed: Allowed) -> None:
        """Raises UsageError for a plan that is not as the store wrote it, and whose thresholds are looser than the
        user's or whose quarantine is another."""
        seals = Seals(plan_key(store.layout))
        self.allowed = allowed
        listed = [(group, file) for group in plan.groups for file in group.files]
        self._edited = {file.path for group, file in listed if not seals.is_sound(plan, group, file)}
        self.n_edited = sum(file.path in self._edited for group in plan.groups for file in group.changed)
        """Number of files to be changed or removed by entries that are not as the store planned them."""
        self.is_header_edited = not seals.is_header_sound(plan)
        """Whether what the plan says as a whole is not as the store wrote it."""
        if self.is_header_edited:
            _require_strict(store, plan, allowed)

    def is_edited(self, file: PlannedFile) -> bool:
        """Whether an entry is not as the store planned it."""
        return file.path in self._edited

    def may_be_lost(self, file: PlannedFile) -> frozenset[LossKind]:
        """Kinds of what may be lost with a file: those that its entry names, and if it is edited, the user allows."""
        return file.may_be_lost.intersection(self.allowed.let_go) if self.is_edited(file) else file.may_be_lost

    def needs_other_thresholds(self, plan: Plan) -> bool:
        """Whether an entry is to be judged by thresholds of the user that are not those of the plan."""
        return bool(self._edited) and plan.match != self.allowed.match


def _require_strict(store: Store, plan: Plan, allowed: Allowed) -> None:
    looser = "; ".join(_looser(store, plan.match, allowed.match)) if plan.match != allowed.match else ""
    if looser:
        remedy = "Make the plan again, or give `apply` the same options if you mean it"
        told = f"the plan is looser than your settings, and not as `reprise plan` wrote it: {looser}"
        raise UsageError("match", told, remedy=remedy)
    if plan.to != allowed.to:
        told = (
            f"the plan says {_shown(plan.to)}, you say {_shown(allowed.to)}, and it is not as `reprise plan` wrote it"
        )
        raise UsageError("quarantine", told, remedy="Make the plan again, or give `apply` the same --to if you mean it")


def _shown(folder: bytes | None) -> str:
    return f"{printable(QUARANTINE)} in each root" if folder is None else printable(folder)


def _looser(store: Store, match: MatchSettings, own: MatchSettings) -> Iterator[str]:
    """Each threshold of a plan that lets more pairs through than the user's own, with both values."""
    plans, yours = thresholds(store, match), thresholds(store, own)
    if (plans.classic is None) != (yours.classic is None):
        yield f"classic is {_told(plans.classic)}, not {_told(yours.classic)}"
        return
    if plans.classic is not None and yours.classic is not None and plans.classic < yours.classic:
        yield f"classic is {plans.classic:g}, not {yours.classic:g}"
    if plans.related < yours.related:
        yield f"max_false is {match.max_false:g}, not {own.max_false:g}"
    if plans.same < yours.same:
        yield f"min_score is {plans.same:g}, not {yours.same:g}"
    if plans.min_prominence < yours.min_prominence:
        yield f"min_prominence is {plans.min_prominence:g}, not {yours.min_prominence:g}"


def _told(value: float | None) -> str:
    return "off" if value is None else f"{value:g}"
