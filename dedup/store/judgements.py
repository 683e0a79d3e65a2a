"""The table `judgement`: what people said about pairs of contents."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from dedup.store.table import Table

CONTENT_BYTES = 16
"""Length of a content, which identifies a judged track: the hash of its packets, or the digest of its items."""


@dataclass(frozen=True)
class Judgement:
    """What a person said about two contents (`groups.judgements.content`); it overrides any score."""

    content_a: bytes
    """`CONTENT_BYTES` bytes, like `content_b`, and never greater than it."""
    content_b: bytes
    same: bool
    """Whether they are one recording."""
    score: float | None
    """Score of the pair when it was judged; None if it had none."""
    judged: str
    """Time of the judgement, UTC, such as "2026-02-28T21:30:00Z"."""


class StoredJudgements(Table):
    """One row per pair of contents: the last judgement."""

    name, keys = "judgement", 2

    def all(self) -> Iterator[Judgement]:
        """All judgements, oldest first."""
        return self._select("ORDER BY judged, content_a, content_b")

    def get(self, content_a: bytes, content_b: bytes) -> Judgement | None:
        return next(self._select("WHERE (content_a, content_b) = (?, ?)", (content_a, content_b)), None)

    def any_same(self) -> bool:
        """Whether any two contents were called the same."""
        return self.connection.execute("SELECT 1 FROM judgement WHERE same LIMIT 1").fetchone() is not None

    def _select(self, which: str, parameters: Sequence[Any] = ()) -> Iterator[Judgement]:
        rows = self.read_rows(which, parameters)
        return (Judgement(a, b, bool(same), score, judged) for a, b, same, score, judged in rows)

    def put(self, judgement: Judgement) -> None:
        """Records a judgement, in place of an earlier one of the same pair."""
        self.put_rows([astuple(judgement)], "INSERT OR REPLACE")

    def drop(self, content_a: bytes, content_b: bytes) -> None:
        self.drop_row((content_a, content_b))
