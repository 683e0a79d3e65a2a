"""The table `judgement`: what people said about pairs of contents. What still waits beside the catalog
(`store/waiting.py`) counts as if it were in the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from dedup.store.waiting import Waiting
from dedup.store.words import Words

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


WAITING = "waiting"


class StoredJudgements(Words[Waiting]):
    """One row per pair of contents: the last judgement."""

    name, keys = "judgement", 2
    taken_in = WAITING

    def all(self) -> list[Judgement]:
        """All judgements, oldest first."""
        waiting = self.last_waiting()  # first: whoever takes it in meanwhile has committed it before it is gone
        rows = self._select("ORDER BY judged, content_a, content_b")
        if not waiting:
            return list(rows)
        said = {(row.content_a, row.content_b): row for row in rows}
        for pair, last in waiting.items():
            said.pop(pair, None)
            if (judgement := _judgement(last)) is not None:
                said[pair] = judgement
        return sorted(said.values(), key=lambda each: (each.judged, each.content_a, each.content_b))

    def get(self, content_a: bytes, content_b: bytes) -> Judgement | None:
        last = self.last_waiting().get((content_a, content_b))
        if last is not None:
            return _judgement(last)
        return next(self._select("WHERE (content_a, content_b) = (?, ?)", (content_a, content_b)), None)

    def _select(self, which: str, parameters: Sequence[Any] = ()) -> Iterator[Judgement]:
        rows = self.read_rows(which, parameters)
        return (Judgement(a, b, bool(same), score, judged) for a, b, same, score, judged in rows)

    def put(self, judgement: Judgement) -> None:
        """Records a judgement, in place of an earlier one of the same pair."""
        self.put_rows([astuple(judgement)], "INSERT OR REPLACE")

    def drop(self, content_a: bytes, content_b: bytes) -> None:
        self.drop_row((content_a, content_b))

    def take(self, word: Waiting) -> None:
        judgement = _judgement(word)
        if judgement is None:
            self.drop(word.content_a, word.content_b)
        else:
            self.put(judgement)

    def key_of(self, word: Waiting) -> tuple[bytes, bytes]:
        return word.content_a, word.content_b


def _judgement(waiting: Waiting) -> Judgement | None:
    """The judgement; None if one is taken back."""
    if waiting.same is None:
        return None
    return Judgement(waiting.content_a, waiting.content_b, waiting.same, waiting.score, waiting.judged)
