"""The table `judgement`: what people said about pairs of contents. What still waits beside the catalog
(`store/waiting.py`) counts as if it were in the table."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import astuple, dataclass
from typing import Any

from dedup.store.database import Database
from dedup.store.meta import Meta
from dedup.store.table import Table
from dedup.store.waiting import Waiting, WaitingFile

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

    def __init__(self, database: Database, meta: Meta, waiting: WaitingFile) -> None:
        super().__init__(database)
        self._meta, self.waiting = meta, waiting

    def all(self) -> list[Judgement]:
        """All judgements, oldest first."""
        waiting = self._waiting()  # first: whoever takes it in meanwhile has committed it before it is gone
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
        last = self._waiting().get((content_a, content_b))
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

    # ---- what waits ----

    def leave(self, waiting: Waiting) -> None:
        """Lets something that a person said wait for whoever writes next; it counts at once. Raises WriteError."""
        self.waiting.leave(waiting)

    def count_waiting(self) -> int:
        """The number of pairs about which something waits."""
        return len(self._waiting())

    def take_in(self) -> int:
        """Takes what waits into the table, in one transaction, and empties the file; returns how much it was. If a kill
        comes between the two, the catalog knows how far it came (WAITING in `meta`): the next call changes nothing,
        whatever was said since. Call it only while holding the lock. Raises OSError."""
        with self.waiting.taken() as found:
            new = self._not_taken(found)
            if new:
                with self.database.transaction():
                    for each in new:
                        self._take(each)
                    self._meta.set(WAITING, new[-1].mark)
        return len(new)

    def _take(self, waiting: Waiting) -> None:
        judgement = _judgement(waiting)
        if judgement is None:
            self.drop(waiting.content_a, waiting.content_b)
        else:
            self.put(judgement)

    def _waiting(self) -> dict[tuple[bytes, bytes], Waiting]:
        """The last word about each pair that is not in the table yet."""
        found = self.waiting.read().waiting
        return {(each.content_a, each.content_b): each for each in self._not_taken(found)}

    def _not_taken(self, found: Sequence[Waiting]) -> Sequence[Waiting]:
        """Those behind the last that was taken in."""
        taken = self._meta.get(WAITING) if found else None
        marks = [each.mark for each in found]
        return found[marks.index(taken) + 1 :] if taken in marks else found


WAITING = "waiting"
"""Key in the table `meta`: the digest of the last line of the file that was taken in."""


def _judgement(waiting: Waiting) -> Judgement | None:
    """The judgement; None if one is taken back."""
    if waiting.same is None:
        return None
    return Judgement(waiting.content_a, waiting.content_b, waiting.same, waiting.score, waiting.judged)
