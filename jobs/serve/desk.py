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
from dedup.store.plan_key import plan_key
from dedup.store.store import open_for_reading
from jobs.serve.shown import Snapshot, id_of, state_of

if TYPE_CHECKING:
    from dedup.plan.nouns import PlannedGroup
    from dedup.settings import KeepSettings, MatchSettings, PlanSettings

log = logging.getLogger("reprise")

PURPOSE = "reprise serve"
LEAST_PAUSE_S = 0.5
"""Least time between two looks at whether the store has changed."""
PAUSE_FACTOR = 5.0
"""A store that changes all the time is read again after so many times as long as reading took."""
MOST_LOOKS = 3
"""Times that what can be accepted is looked up beside other requests, if the store is read again each time."""
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
        plan_key(Layout(self.terms.folder))  # made now if there is none: it is part of the version
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
        self,
        id_: str,
        paths: Sequence[bytes],
        values: Mapping[str, Sequence[str]],
        let_go: bool = False,
        seen: str | None = None,
    ) -> str | None:
        """Keeps the files at `paths` of a group, the first with these values of tag fields; returns the id of the next
        group. Raises InputError for a file that cannot be kept, for a group that is not there any more, and as all
        answers, for one that has other files than those `seen` (`shown.state_of`)."""

        def planned(snapshot: Snapshot, question: Question) -> PlannedGroup:
            return snapshot.review.keeping(question, paths[0], values, let_go, paths[1:])

        return self._answer(id_, "keep", planned, seen)

    def keep_all(self, id_: str, seen: str | None = None) -> str | None:
        """All files of a group stay, and it is not asked about again."""
        return self._answer(id_, "keep all", lambda snapshot, question: snapshot.review.keeping_all(question), seen)

    def skip(self, id_: str, seen: str | None = None) -> str | None:
        """All files of a group stay for now."""
        return self._answer(id_, "skip", lambda snapshot, question: snapshot.review.skipping(question), seen)

    def _answer(
        self, id_: str, word: Any, planned: Callable[[Snapshot, Question], PlannedGroup], seen: str | None
    ) -> str | None:
        with self._lock:
            snapshot, question = self._question(id_, seen)
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

    def different(self, id_: str, odd: Sequence[bytes], seen: str | None = None) -> str | None:
        """The files at the paths `odd` of a group are other recordings than the rest; returns the id of the next group,
        which is the rest of this one if two files are left."""
        with self._lock:
            snapshot, question = self._question(id_, seen)
            before, after = snapshot.review.answer_of(question), snapshot.next_after(id_)
            answer = Answer("different", odd=tuple(odd))
            with self._changing_the_store():
                said = keep_answer(self.terms.folder, snapshot.basket, question, answer, PURPOSE)
            snapshot.renew()

            def take_back(now: Snapshot) -> None:
                self._unsay(now, said)
                if before is not None and now.review.is_current(question):
                    with now.basket.changing():
                        now.review.put(question, before)

            self._done(Undone("group", id_), take_back)
            return snapshot.open_of({file.path for file in question.planned.files} - set(odd)) or after

    def judge(self, id_: str, same: bool, seen: str | None = None) -> str | None:
        """Whether the two files of an uncertain pair are one recording; returns the id of the next pair."""
        with self._lock:
            snapshot = self.now()
            pair = snapshot.uncertain.get(id_)
            if pair is None or seen not in (None, state_of((pair.a, pair.b))):
                raise InputError("the pair", "is no longer here", remedy=CHANGED)
            ids = list(snapshot.uncertain)
            after = ids[ids.index(id_) + 1 :][:1]
            with self._changing_the_store():
                said = judge_pair(self.terms.folder, pair, same, PURPOSE)
                snapshot.refresh()
            self._done(Undone("pair", id_), lambda now: self._unsay(now, [said]))
            return after[0] if after else None

    def accept(self, ids: Sequence[str], is_preview: bool) -> Accepted:
        """What the rules decide about those of the groups in which every copy that goes passed its null test; kept,
        unless it is a preview. It reads the tags of all of them, and answers may come meanwhile: groups that they
        change are left out."""
        for _ in range(MOST_LOOKS):
            with self._lock:
                snapshot, questions = self._open_among(ids)
            accepted = snapshot.review.acceptable(questions)
            if is_preview:
                return accepted
            with self._lock:
                if self.now() is snapshot:
                    return self._accept(snapshot, accepted)
        with self._lock:  # the store changes faster than one can look
            snapshot, questions = self._open_among(ids)
            return self._accept(snapshot, snapshot.review.acceptable(questions))

    def _open_among(self, ids: Sequence[str]) -> tuple[Snapshot, list[Question]]:
        snapshot = self.now()
        questions = [snapshot.questions[id_] for id_ in ids if id_ in snapshot.questions]
        return snapshot, [each for each in questions if snapshot.review.is_open(each)]

    def _accept(self, snapshot: Snapshot, found: Accepted) -> Accepted:
        with snapshot.basket.changing():
            accepted = snapshot.review.accept(found)
        snapshot.answered(id_of(question.group.reference.path) for question, _ in accepted.groups)

        def take_back(now: Snapshot) -> None:
            with now.basket.changing():
                for question, _ in accepted.groups:
                    now.review.take_back(question)

        self._done(Undone("several", ""), take_back)
        return accepted

    def undo(self) -> Undone | None:
        """Takes back the last answer that was given here; None if there is none. An answer that cannot be taken back
        now, as when the disk is full, is still the last one."""
        with self._lock:
            if not self._steps:
                return None
            step, snapshot = self._steps.pop(), self.now()
            try:
                step.take_back(snapshot)
            except Exception as error:
                if not isinstance(error, InputError):  # its group is another one now
                    self._steps.append(step)
                raise
            finally:
                snapshot.renew()
            return step.undone

    def _unsay(self, now: Snapshot, said: Sequence[Said]) -> None:
        with self._changing_the_store():
            unsay(self.terms.folder, said, PURPOSE)
            now.refresh()

    def _question(self, id_: str, seen: str | None) -> tuple[Snapshot, Question]:
        snapshot = self.now()
        question = snapshot.questions.get(id_)
        if question is None or seen not in (None, state_of(question.group.tracks)):
            raise InputError("the group", "is not as it was", remedy=CHANGED)
        return snapshot, question

    def _done(self, undone: Undone, take_back: Callable[[Snapshot], None]) -> None:
        self._steps = [*self._steps[1 - MOST_UNDONE :], _Step(undone, take_back)]

    @contextlib.contextmanager
    def beside(self) -> Iterator[None]:
        """For a block that writes to the store what the groups do not depend on: they need not be read again."""
        with self._lock, self._changing_the_store():
            yield

    @contextlib.contextmanager
    def _changing_the_store(self) -> Iterator[None]:
        """For a block that records a judgement: what is changed there is known here, and the store need not be read
        again, unless a run has changed it too."""
        layout = Layout(self.terms.folder)
        is_known = not is_locked(layout) and store_version(self.terms.folder) == self._version
        yield
        if is_known and not is_locked(layout):
            self._version = store_version(self.terms.folder)
