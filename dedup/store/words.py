"""Tables of what people say. They may say it while another process holds the store: what still waits beside the catalog
(`store/waiting.py`) counts as if it were in the table."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import Any, ClassVar, Generic

from dedup.store.database import Database
from dedup.store.meta import Meta
from dedup.store.table import Table
from dedup.store.waiting import WaitingFile, Word


class Words(Table, Generic[Word]):
    """One row per thing that people can say something about: the last word."""

    taken_in: ClassVar[str]
    """Key in the table `meta`: the digest of the last line of the file that was taken in."""

    def __init__(self, database: Database, meta: Meta, waiting: WaitingFile[Word]) -> None:
        super().__init__(database)
        self._meta, self.waiting = meta, waiting

    @abstractmethod
    def take(self, word: Word) -> None:
        """Brings a word into the table, in place of an earlier one."""

    @abstractmethod
    def key_of(self, word: Word) -> tuple[Any, ...]:
        """Primary key of the row that a word is about."""

    def leave(self, word: Word) -> None:
        """Lets something that a person said wait for whoever writes next; it counts at once. Raises WriteError."""
        self.waiting.leave(word)

    def count_waiting(self) -> int:
        """The number of things about which something waits."""
        return len(self.last_waiting())

    def take_in(self) -> int:
        """Takes what waits into the table, in one transaction, and empties the file; returns how much it was. If a kill
        comes between the two, the catalog knows how far it came (`taken_in`): the next call changes nothing, whatever
        was said since. Call it only while holding the lock. Raises OSError."""
        with self.waiting.taken() as found:
            new = self._not_taken(found)
            if new:
                with self.database.transaction():
                    for each in new:
                        self.take(each)
                    self._meta.set(self.taken_in, new[-1].mark)
        return len(new)

    def last_waiting(self) -> dict[tuple[Any, ...], Word]:
        """The last word about each thing, by key, that is not in the table yet."""
        return {self.key_of(each): each for each in self._not_taken(self.waiting.read().waiting)}

    def _not_taken(self, found: Sequence[Word]) -> Sequence[Word]:
        """Those behind the last that was taken in."""
        taken = self._meta.get(self.taken_in) if found else None
        marks = [each.mark for each in found]
        return found[marks.index(taken) + 1 :] if taken in marks else found
