"""Null tests that were passed, for the tests of what comes after them: made-up tracks have no sound to listen to."""

from __future__ import annotations

import itertools
from collections.abc import Iterable

from dedup.groups.losses import needs_listening
from dedup.groups.matches import Matches
from dedup.settings import MatchSettings
from dedup.store.nulltests import NullTest
from dedup.store.store import Store

PASSED = NullTest(residual_db=-40.0)


def pass_all(store: Store, match: MatchSettings | None = None) -> None:
    """Enters a passed null test for each pair of a store that needs one."""
    pairs = Matches(store, match or MatchSettings()).pairs()
    needed = (pair for pair in pairs if pair.test is None and needs_listening(pair))
    with store.catalog.transaction():
        store.catalog.nulltests.put((pair.a.content, pair.b.content, PASSED) for pair in needed)


def pass_among(store: Store, contents: Iterable[bytes]) -> None:
    """Enters a passed null test for each two of these contents."""
    pairs = itertools.combinations(sorted(set(contents)), 2)
    with store.catalog.transaction():
        store.catalog.nulltests.put((a, b, PASSED) for a, b in pairs)
