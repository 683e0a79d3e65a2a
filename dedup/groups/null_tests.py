"""The null tests of a store, found by what two tracks hold: kept as text, and understood when somebody asks."""

from __future__ import annotations

from functools import lru_cache
from typing import TYPE_CHECKING

from dedup.store.nulltests import NullTest, parsed

if TYPE_CHECKING:
    from dedup.store.store import Store


class NullTests:
    """All null tests of a store, as of the construction."""

    def __init__(self, store: Store) -> None:
        same: dict[str, str] = {}
        self.texts = {a + b: same.setdefault(text, text) for a, b, text in store.catalog.nulltests.texts()}
        """Results by the two contents one after the other, the lower first."""

    @classmethod
    def of_texts(cls, texts: dict[bytes, str]) -> NullTests:
        """Null tests that were read before."""
        tests = cls.__new__(cls)
        tests.texts = texts
        return tests

    def __bool__(self) -> bool:
        return bool(self.texts)

    def __contains__(self, both: tuple[bytes, bytes]) -> bool:
        return min(both) + max(both) in self.texts

    def of(self, one: bytes, other: bytes) -> NullTest | None:
        """The null test of a first and a second file that hold these contents; None if there is none."""
        text = self.texts.get(one + other if one <= other else other + one)
        return None if text is None else _seen(text, one > other)


@lru_cache(maxsize=1 << 12)
def _seen(text: str, is_swapped: bool) -> NullTest:
    """The tests of a group are asked for several times, one soon after the other."""
    return _seen(text, False).swapped() if is_swapped else parsed(text)
