"""The table `nulltest`: what was left of two contents when one was subtracted from the other."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from dataclasses import asdict, dataclass
from typing import Literal, NamedTuple

from dedup.store.table import Table

NULLTEST_VERSION = 2
"""Counts the ways in which null tests were made; results of another version are made again. Raise it with any change
to what `nulltest.compare` gives of two files."""


class Span(NamedTuple):
    """A stretch of one file, in seconds from its start."""

    start_s: float
    end_s: float

    @property
    def length_s(self) -> float:
        return self.end_s - self.start_s


class Difference(NamedTuple):
    """A stretch of the part that two files share where they do not sound the same."""

    start_s: float
    """Seconds from the start of the first file."""
    end_s: float
    side: Literal["a", "b", "both"]
    """Which of the two has something that the other lacks."""

    def swapped(self, lag_s: float) -> Difference:
        """The same stretch in seconds of the second file, which is `lag_s` behind the first."""
        side: Literal["a", "b", "both"] = {"a": "b", "b": "a"}.get(self.side, "both")  # type: ignore[assignment]
        return Difference(round(self.start_s - lag_s, 2), round(self.end_s - lag_s, 2), side)


@dataclass(frozen=True, slots=True)
class NullTest:
    """The null test of a first and a second file."""

    problem: str = ""
    """Why it could not be made; then the rest says nothing."""
    lag_s: float = 0.0
    """Seconds that the first has in front of what they share, more than the second, to the sample."""
    rate: float = 0.0
    """How much longer the first takes for the same music: 0.003 plays 0.3 % slower than the second."""
    residual_db: float = 0.0
    """Level of what is left, relative to the louder of the two, in dB: -40 is a copy."""
    is_other_mix: bool = False
    """Whether something audible is in one only, over a good part of what they share: a voice, an instrument."""
    only_a: tuple[Span, ...] = ()
    """What is audible in the first before, after or between what they share, longer than a second, in its seconds."""
    only_b: tuple[Span, ...] = ()
    """The same of the second, in its own seconds."""
    differences: tuple[Difference, ...] = ()
    """Where they differ in what they share, by time."""
    length_a_s: float = 0.0
    """Decoded length of the first."""
    length_b_s: float = 0.0

    @property
    def is_made(self) -> bool:
        return not self.problem

    @property
    def is_copy(self) -> bool:
        """Whether nothing audible tells the two apart in what they share."""
        return self.is_made and not self.is_other_mix and not self.differences

    def swapped(self) -> NullTest:
        """The same test with the first and the second swapped."""
        return NullTest(
            problem=self.problem,
            lag_s=0.0 - self.lag_s,
            rate=round(0.0 - self.rate / (1 + self.rate), 5) + 0.0,
            residual_db=self.residual_db,
            is_other_mix=self.is_other_mix,
            only_a=self.only_b,
            only_b=self.only_a,
            differences=tuple(difference.swapped(self.lag_s) for difference in self.differences),
            length_a_s=self.length_b_s,
            length_b_s=self.length_a_s,
        )


class NullTests(Table):
    """One row per pair of contents (`groups.judgements.content`), the lower content first."""

    name, keys = "nulltest", 2

    def create(self) -> None:
        """Makes the table, as version 2 had it, in a catalog that has none."""
        self.connection.execute(
            "CREATE TABLE nulltest (content_a BLOB, content_b BLOB, version INTEGER NOT NULL, result TEXT NOT NULL, "
            "digest BLOB NOT NULL, PRIMARY KEY (content_a, content_b), CHECK (content_a <= content_b)) "
            "STRICT, WITHOUT ROWID"
        )

    def texts(self) -> Iterator[tuple[bytes, bytes, str]]:
        """All results of this version, by their contents, for `parsed`. Raises StoreDamagedError for one that does not
        match its digest."""
        return ((a, b, text) for a, b, version, text in self.read_rows() if version == NULLTEST_VERSION)

    def put(self, results: Iterable[tuple[bytes, bytes, NullTest]]) -> None:
        """Records results of this version, each in place of an earlier one of the same contents, in any order of the
        two."""
        rows = []
        for one, other, result in results:
            low, high, said = (one, other, result) if one <= other else (other, one, result.swapped())
            text = json.dumps(asdict(said), separators=(",", ":"))
            rows.append((low, high, NULLTEST_VERSION, text))
        self.put_rows(rows, "INSERT OR REPLACE")


def parsed(text: str) -> NullTest:
    """The result in a row. Raises ValueError, KeyError, TypeError for any other text."""
    values = json.loads(text)
    values["only_a"] = tuple(Span(*span) for span in values["only_a"])
    values["only_b"] = tuple(Span(*span) for span in values["only_b"])
    values["differences"] = tuple(Difference(*difference) for difference in values["differences"])
    return NullTest(**values)
