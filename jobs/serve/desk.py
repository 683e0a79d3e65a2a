"""Where decisions are made: the store as it is now, and the answers, each kept before the page hears of it."""

from __future__ import annotations

import contextlib
import logging
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from dedup.errors import InputError
from dedup.groups.mark import Said, judge_pair, unsay
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.plan.basket import Basket, read_with_state
from dedup.plan.resolve import keep_answer
from dedup.plan.review import Accepted, Answer, Question, review_of
from dedup.store.change import store_version
from dedup.store.layout import Layout, is_locked
from dedup.store.store import open_for_reading
from jobs.serve.shown import Snapshot

if TYPE_CHECKING:
    from dedup.plan.nouns import PlannedGroup
    from dedup.settings import KeepSettings, MatchSettings, PlanSettings

log = logging.getLogger("reprise")

PURPOSE = "reprise serve"
LEAST_PAUSE_S = 0.5
"""Least time between two looks at whether the store has changed."""
PAUSE_FACTOR = 5.0
"""A store that changes all the time is read again after so many times as long as reading took."""
MOST_UNDONE = 1000
"""Answers that can be taken back, the last first."""
CHANGED = "Its files have changed, or somebody has decided about them. Look at the list again."


@dataclass(frozen=True)
class Terms:
    """What the pages are made by."""

    folder: Path
    """Folder of the store."""
    plan: bytes
    """File of the plan that has the answers."""
    match: MatchSettings
    keep: KeepSettings
    settings: PlanSettings


class Undone(NamedTuple):
    """An answer that was taken back."""

    kind: str
    """"group", "pair" or "several"."""
    id: str
    """That of the group or pair; empty for several."""


@dataclass(frozen=True)
class _Step:
    """How the last answer is taken back."""

    undone: Undone
    take_back: Callable[[Snapshot], None]


class Desk:
    """The current snapshot, read when it is first asked for, and again, beside the old one, when the store has changed;
    safe to use from several threads."""

    def __init__(self, terms: Terms) -> None:
        self.terms = terms
        self._lock = threading.RLock()
        self._snapshot: Snapshot | None = None
        self._version = ""
        self._looked, self._took_s = 0.0, 0.0
        self._reader: threading.Thread | None = None
        self._steps: list[_Step] = []

    # ---- reading ----

    def now(self) -> Snapshot:
        """The store and the answers as they are, except that a store that has changed is shown as it was until it is
        read again. Raises what opening a store raises, and PlanError for a plan that cannot be understood."""
        with self._lock:
            if self._snapshot is None:
                self._read_again()
            elif self._has_changed():
                self._reader = threading.Thread(target=self._read_beside, daemon=True)
                self._reader.start()
            assert self._snapshot is not None
            self._snapshot.refresh()
            return self._snapshot

    @contextlib.contextmanager
    def steady(self, fresh: bool) -> Iterator[Snapshot]:
        """The store and the answers as `now` gives them, in a block during which no answer changes; with `fresh`, a
        store that has changed is read again first."""
        with self._lock:
            if fresh and self._snapshot is not None and store_version(self.terms.folder) != self._version:
                self._read_again()
            yield self.now()

    def _has_changed(self) -> bool:
        is_reading = self._reader is not None and self._reader.is_alive()
        if is_reading or time.monotonic() - self._looked < max(LEAST_PAUSE_S, PAUSE_FACTOR * self._took_s):
            return False
        self._looked = time.monotonic()
        return store_version(self.terms.folder) != self._version

    def _read_again(self) -> None:
        began, version = time.monotonic(), store_version(self.terms.folder)
        snapshot = self._read()
        with self._lock:
            self._snapshot, self._version = snapshot, version
            self._looked = time.monotonic()
            self._took_s = self._looked - began

    def _read_beside(self) -> None:
        try:
            self._read_again()
        except Exception as error:  # the pages go on with what they have, and the next look tries again
            log.warning("serve: the store could not be read again: %s", error)

    def _read(self) -> Snapshot:
        terms = self.terms
        before, state = read_with_state(terms.plan)
        with open_for_reading(terms.folder) as store:
            matches = Matches(store, terms.match)
            review = review_of(store, matches, terms.keep, terms.settings, before, False, Silent())
        return Snapshot(Basket(terms.folder, terms.plan, review, state))

    # ---- answers ----

    def keep(
        self, id_: str, paths: Sequence[bytes], values: Mapping[str, Sequence[str]], let_go: bool = False
    ) -> str | None:
        """Keeps the files at `paths` of a group, the first with these values of tag fields; returns the id of the next
        group. Raises InputError for a file that cannot be kept, and for a group that is not there any more."""

        def planned(snapshot: Snapshot, question: Question) -> PlannedGroup:
            return snapshot.review.keeping(question, paths[0], values, let_go, paths[1:])

        return self._answer(id_, "keep", planned)

    def keep_all(self, id_: str) -> str | None:
        """All files of a group stay, and it is not asked about again."""
        return self._answer(id_, "keep all", lambda snapshot, question: snapshot.review.keeping_all(question))

    def skip(self, id_: str) -> str | None:
        """All files of a group stay for now."""
        return self._answer(id_, "skip", lambda snapshot, question: snapshot.review.skipping(question))

    def _answer(self, id_: str, word: Any, planned: Callable[[Snapshot, Question], PlannedGroup]) -> str | None:
        with self._lock:
            snapshot, question = self._question(id_)
            before = snapshot.review.answer_of(question)
            answer = Answer(word, planned(snapshot, question))
            keep_answer(self.terms.folder, snapshot.basket, question, answer, PURPOSE)

            def take_back(now: Snapshot) -> None:
                with now.basket.changing():
                    now.review.take_back(question)
                    if before is not None:
                        now.review.put(question, before)

            snapshot.answered([id_])
            self._done(Undone("group", id_), take_back)
            return snapshot.next_after(id_)

    def different(self, id_: str, odd: Sequence[bytes]) -> str | None:
        """The files at the paths `odd` of a group are other recordings than the rest; returns the id of the next group,
        which is the rest of this one if two files are left."""
        with self._lock:
            snapshot, question = self._question(id_)
            after = snapshot.next_after(id_)
            answer = Answer("different", odd=tuple(odd))
            said = keep_answer(self.terms.folder, snapshot.basket, question, answer, PURPOSE)
            snapshot.renew()
            self._own_change()
            self._done(Undone("group", id_), self._unsaying(said))
            return snapshot.open_of({file.path for file in question.planned.files} - set(odd)) or after

    def judge(self, id_: str, same: bool) -> str | None:
        """Whether the two files of an uncertain pair are one recording; returns the id of the next pair."""
        with self._lock:
            snapshot = self.now()
            pair = snapshot.uncertain.get(id_)
            if pair is None:
                raise InputError("the pair", "is not here any more", remedy=CHANGED)
            ids = list(snapshot.uncertain)
            after = ids[ids.index(id_) + 1 :][:1]
            said = judge_pair(self.terms.folder, pair, same, PURPOSE)
            self._own_change()
            snapshot.refresh()
            self._done(Undone("pair", id_), self._unsaying([said]))
            return after[0] if after else None

    def accept(self, ids: Sequence[str], is_preview: bool) -> Accepted:
        """What the rules decide about those of the groups in which every copy that goes passed its null test; kept,
        unless it is a preview."""
        with self._lock:
            snapshot = self.now()
            questions = [snapshot.questions[id_] for id_ in ids if id_ in snapshot.questions]
            questions = [each for each in questions if snapshot.review.is_open(each)]
            if is_preview:
                return snapshot.review.acceptable(questions)
            with snapshot.basket.changing():
                accepted = snapshot.review.accept(questions)
            snapshot.answered(ids)

            def take_back(now: Snapshot) -> None:
                with now.basket.changing():
                    for question, _ in accepted.groups:
                        now.review.take_back(question)

            self._done(Undone("several", ""), take_back)
            return accepted

    def undo(self) -> Undone | None:
        """Takes back the last answer that was given here; None if there is none."""
        with self._lock:
            if not self._steps:
                return None
            step = self._steps.pop()
            step.take_back(self.now())
            self._own_change()
            self.now().renew()
            return step.undone

    def _unsaying(self, said: Sequence[Said]) -> Callable[[Snapshot], None]:
        def take_back(now: Snapshot) -> None:
            unsay(self.terms.folder, said, PURPOSE)
            now.refresh()

        return take_back

    def _question(self, id_: str) -> tuple[Snapshot, Question]:
        snapshot = self.now()
        question = snapshot.questions.get(id_)
        if question is None:
            raise InputError("the group", "is not here any more", remedy=CHANGED)
        return snapshot, question

    def _done(self, undone: Undone, take_back: Callable[[Snapshot], None]) -> None:
        self._steps = [*self._steps[1 - MOST_UNDONE :], _Step(undone, take_back)]

    def _own_change(self) -> None:
        """What was changed here is known here: no need to read the store again, unless a run changes it too."""
        if not is_locked(Layout(self.terms.folder)):
            self._version = store_version(self.terms.folder)
