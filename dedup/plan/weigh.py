"""How much a plan would free: the groups of a store, each with its reclaimable bytes. Decided as a plan decides it,
except that nobody looks at the disk: what lies beside a file, a playlist that cannot be rewritten or tags that cannot
be written may keep a copy that is counted here."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedup.groups.going import goings
from dedup.groups.groups import Found, Group, grouping
from dedup.groups.keep import keep_rules
from dedup.groups.losses import let_go_with
from dedup.groups.remembered import Place, Remembered
from dedup.plan.decide import Decider
from dedup.servers.evidence import kept as kept_listeners
from dedup.settings import KeepSettings, MatchSettings, PlanSettings
from dedup.store.protection import with_protected

if TYPE_CHECKING:
    from dedup.groups.matches import Matches
    from dedup.store.store import Store


USUAL = PlanSettings()
"""A plan without any options."""


def find_groups(
    store: Store,
    match: MatchSettings,
    keep: KeepSettings,
    settings: PlanSettings = USUAL,
    place: Place | None = None,
) -> Found:
    """Pairs and weighed groups of the whole store as these settings want them; compares nothing again. What was found
    is kept at `place`, and taken from there."""
    remembered = Remembered(store, match, keep, place)
    matches = remembered.matches()
    found = Found(matches, weighed_groups(store, matches, keep, settings))
    remembered.keep(matches)
    return found


def weighed_groups(store: Store, matches: Matches, keep: KeepSettings, settings: PlanSettings) -> list[Group]:
    """The groups with what a plan by these settings lets go of each, most bytes first. What is no copy, but goes by
    `settings.let_go`, is in a group too."""
    keep = with_protected(store, keep)
    decider = decider_of(store, matches, keep, settings)
    groups = grouping(matches, decider.rules, keep).groups(let_go_with(settings.let_go))
    return decider.weighed(groups, goings(matches, keep, settings, decider.listeners.digest))


def decider_of(store: Store, matches: Matches, keep: KeepSettings, settings: PlanSettings) -> Decider:
    """Who decides about the matches of a store, without a look at the disk; `keep` has all folders that are protected.
    Reads what listeners did. Raises UsageError for a rule that does not exist."""
    albums, matches.listeners = matches.albums(store), kept_listeners(store.layout)
    rules = keep_rules(keep, albums, matches.listeners)
    return Decider(rules, settings, keep.protect, albums, matches.listeners)
