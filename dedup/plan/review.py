"""Groups that a person reviews one by one: the questions, the effect of each answer, and the plan of all answers. Reads
the tags of groups that are looked at; changes no file."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Literal

from dedup.errors import InputError
from dedup.files.paths import printable
from dedup.groups.groups import Group
from dedup.groups.keep import is_below
from dedup.plan.answers import Answers, Contents
from dedup.plan.choices import KEPT, SKIPPED, Choices, is_kept_for_itself
from dedup.plan.decide import UNCERTAIN, doubt, doubt_of_score, is_there_twice, most_first
from dedup.plan.make import Grounds, grounds_of
from dedup.plan.nouns import ANSWERED, REMOVING, STAYING, Plan, PlannedFile, PlannedGroup

if TYPE_CHECKING:
    from dedup.groups.matches import Matches
    from dedup.observer import Observer
    from dedup.settings import KeepSettings, PlanSettings
    from dedup.store.store import Store

STAYING_ANYWAY = frozenset({"absent", "protected", "same file", "reported only"})
"""Rules by which a copy stays whatever a person says: a group of such copies is not asked about."""


@dataclass(frozen=True, slots=True)
class Question:
    """A group that a person is asked about."""

    group: Group
    planned: PlannedGroup
    """Proposal: what the rules decide, as if every copy were certain enough to go."""


@dataclass(frozen=True)
class Answer:
    """What a person said about a group."""

    word: Literal["keep", "keep all", "different", "skip", "back", "quit"]
    """What it comes to; "back" takes the answer before it back, and that question comes again."""
    planned: PlannedGroup | None = None
    """Planned group, unless files are different, or the person goes back or quits."""
    odd: tuple[bytes, ...] = ()
    """Paths of its files that are other recordings."""


@dataclass(frozen=True)
class Accepted:
    """Groups for which what the rules decide is, or can be, accepted."""

    groups: tuple[tuple[Question, PlannedGroup], ...]
    gone: frozenset[bytes] = field(default=frozenset(), repr=False, compare=False)
    """Paths of the files that went by the answers of that moment."""

    @property
    def n_files(self) -> int:
        """Number of files that go or change."""
        return sum(len(planned.changed) for _, planned in self.groups)

    @property
    def n_bytes(self) -> int:
        """Reclaimable bytes."""
        return sum(planned.n_bytes for _, planned in self.groups)


class Review:
    """The groups of a store, each with its answer or without one. Answers may come in any order, and be changed and
    taken back. Needs the store when it is made, when it takes in answers from a plan, and after judgements."""

    def __init__(
        self,
        store: Store,
        grounds: Grounds,
        before: Plan | None,
        again: bool,
        observer: Observer,
        is_asked: Callable[[Question], bool] = lambda _: True,
        auto: float | None = None,
    ) -> None:
        """Groups of the plan `before` count as answered, except those that have changed since, those with an uncertain
        copy, and with `again` those that were skipped. Only questions that are `is_asked` are asked. Copies that score
        less than `auto` are not accepted unseen."""
        grounds = replace(grounds, decider=replace(grounds.decider, asks=False))
        self.grounds, self._references = grounds.looking_at_the_disk(observer)
        self.choices = Choices(self.grounds)
        self._answers = Answers()
        """Groups that are decided: what the plan says."""
        self._again, self._is_asked, self._auto = again, is_asked, auto
        self._passed: set[Contents] = set()
        """Contents of the groups that were answered here: with `again` too they are not asked about twice."""
        self._every: list[Question] = []
        self._by_path: dict[bytes, Question] = {}
        self._open: dict[Contents, Question] = {}
        """Questions without an answer, by the contents of their groups, in the order in which they are asked."""
        self.n_outdated = self._read(store, before)
        self._gather()

    def _read(self, store: Store, plan: Plan | None) -> int:
        """Takes the answers of a plan in place of those there are; returns how many do not hold any more. A group that
        says the same stays the same object, which need not be sealed and written anew."""
        groups = self.grounds.seals.opened(plan).groups if plan else ()
        holding = [group for group in groups if _still_holds(store, group, self.grounds.keep.protect)]
        known = [(self._answers.of(each.contents), each) for each in holding]
        self._answers = Answers(before if before == each and before else each for before, each in known)
        return len(groups) - len(holding)

    def _gather(self, first: Collection[bytes] = ()) -> None:
        """Groups all files again; groups with a file in `first` come first."""
        there = filter(is_there_twice, self.grounds.groups())
        self._every = [Question(group, self.choices.proposal(group)) for group in there]
        self._every.sort(
            key=lambda one: (
                not any(file.path in first for file in one.planned.files),
                -one.planned.n_bytes,
                one.planned.files[0].path,
            )
        )
        self._by_path = {file.path: one for one in self._every for file in one.planned.files}
        self._find_open()

    def _find_open(self) -> None:
        known = {group.contents for group in self._answers if not self._is_open(group)} | self._passed
        self._open = {
            one.planned.contents: one
            for one in self._every
            if one.planned.contents not in known and not _stays_anyway(one.planned) and self._is_asked(one)
        }

    def _is_open(self, group: PlannedGroup) -> bool:
        """Whether the group is asked about although the plan has it."""
        if not group.is_answered and any(map(is_kept_for_itself, group.files)):
            return True
        rules = {file.rule for file in group.files if file.action == "leave"}
        return UNCERTAIN in rules or (self._again and SKIPPED in rules)

    # ---- questions ----

    @property
    def n_left(self) -> int:
        """Number of questions without an answer."""
        return len(self._open)

    @property
    def questions(self) -> list[Question]:
        """The questions without an answer, most reclaimable bytes first; what the kept files would get is not read
        (`complete`)."""
        return list(self._open.values())

    @property
    def all_questions(self) -> list[Question]:
        """All groups with two files that are there, answered or not, in the same order and form."""
        return list(self._every)

    def freed_by_rule(self) -> dict[Contents, int]:
        """Bytes that a plan made now would free of each group without an answer, by its contents: by the scores, with
        albums kept complete."""
        settings = replace(self.grounds.settings, auto=self._auto)
        decided = []
        for one in self._every:
            doubtful = {pair.a.path for pair in one.group.members if doubt(pair, settings) is not None}
            files = (replace(f, action="leave") if f.path in doubtful else f for f in one.planned.files)
            decided.append(replace(one.planned, files=tuple(files)) if doubtful else one.planned)
        return {group.contents: group.n_bytes for group in self.grounds.decider.with_whole_albums(decided)}

    @property
    def paths(self) -> list[bytes]:
        """Paths of all files in the questions that are left."""
        return [file.path for question in self._open.values() for file in question.planned.files]

    def next(self) -> Question | None:
        """The question with the most reclaimable bytes, complete; None if none is left."""
        question = next(iter(self._open.values()), None)
        return self.complete(question) if question else None

    def question_of(self, path: bytes) -> Question | None:
        """The group that holds the file at this path now, answered or not, complete; None if none does."""
        question = self._by_path.get(path)
        return self.complete(question) if question else None

    def complete(self, question: Question) -> Question:
        """The question with what the kept file would get, read from the files, and with albums kept complete."""
        planned = self.choices.complete(self.choices.proposal(question.group), self._answers.gone)
        return replace(question, planned=planned)

    def is_open(self, question: Question) -> bool:
        """Whether the question has no answer."""
        return question.planned.contents in self._open

    def is_current(self, question: Question) -> bool:
        """Whether its group is still one: a judgement or another run may have changed it."""
        now = self._by_path.get(question.planned.files[0].path)
        return now is not None and now.planned.contents == question.planned.contents

    def answer_of(self, question: Question) -> PlannedGroup | None:
        """What the plan says about a group, decided by a person or the rules; None if nothing."""
        return self._answers.of(question.planned.contents)

    def plan(self) -> Plan:
        """The plan of all answers, here and before."""
        return self.grounds.plan(most_first(self._answers), self._references)

    # ---- answers ----

    def keeping(
        self,
        question: Question,
        path: bytes,
        values: Mapping[str, Sequence[str]],
        let_go: bool = False,
        also: Sequence[bytes] = (),
    ) -> PlannedGroup:
        """The planned group if the file at `path` is kept and gets these values of tag fields, and the files at the
        paths `also` stay as well; with `let_go`, the copies that hold something of their own go too, side-cars
        included. Raises InputError for a file that cannot be kept."""
        return self.choices.keeping(question.group, (path, *also), values, self._answers.gone, let_go)

    def keeping_all(self, question: Question) -> PlannedGroup:
        """The planned group if all its files stay for good: it is not asked about again."""
        return _left(question, KEPT, "you keep all")

    def skipping(self, question: Question) -> PlannedGroup:
        """The planned group if all its files stay for now."""
        return _left(question, SKIPPED, "you skipped it")

    def put(self, question: Question, planned: PlannedGroup) -> None:
        """Keeps an answer to any question, answered before or not. Earlier answers about these files no longer count.
        Raises InputError if the group is not one any more."""
        if not self.is_current(question):
            raise InputError(
                printable(question.planned.files[0].path), "its group has changed", remedy="Look at the group again"
            )
        self._drop(question)
        self._answers.put(planned)
        self._passed.add(question.planned.contents)
        self._open.pop(question.planned.contents, None)

    def take_back(self, question: Question) -> PlannedGroup | None:
        """Takes back what the plan says about the files of a group, so that it is asked about; returns that."""
        before = self.answer_of(question)
        self._drop(question)
        self._passed.discard(question.planned.contents)
        self._find_open()
        return before

    def acceptable(self, questions: Iterable[Question]) -> Accepted:
        """What the rules decide about those of the questions for which nobody needs to listen: every copy that goes
        passed its null test or holds the same packets, and scores high enough. Each counts with those before it."""
        settings = replace(self.grounds.settings, auto=self._auto)
        found: list[tuple[Question, PlannedGroup]] = []
        before = frozenset(self._answers.gone)
        gone = set(before)
        for question in questions:
            planned = self.choices.certain(question.group, settings, gone) if self.is_current(question) else None
            if planned is not None:
                found.append((question, planned))
                gone.difference_update(file.path for file in planned.files)
                gone.update(file.path for file in planned.files if file.action in REMOVING)
        return Accepted(tuple(found), before)

    def accept(self, accepted: Accepted) -> Accepted:
        """Keeps what `acceptable` gave, and returns it, without the groups that were answered meanwhile, are others
        now, or are of an album from which more goes, or less."""
        albums, changed = self.grounds.decider.albums, accepted.gone ^ self._answers.gone
        kept: list[tuple[Question, PlannedGroup]] = []
        for question, planned in accepted.groups:
            now, own = self._by_path.get(question.planned.files[0].path), {file.path for file in planned.files}
            is_same = now is not None and now.planned == question.planned and self.is_open(now)
            if is_same and changed.isdisjoint(albums.around(own)):
                kept.append((question, planned))
            else:
                changed |= own
        for question, planned in kept:
            self.put(question, planned)
        return replace(accepted, groups=tuple(kept))

    def apart(self, question: Question, odd: Collection[bytes]) -> dict[tuple[bytes, bytes], float | None]:
        """Pairs of contents that are different if the files at the paths `odd` are other recordings than the rest of
        the group, with their scores. Raises InputError if both sides hold the very same audio."""
        tracks = [track for track in question.group.tracks if track.state != "imported"]
        others = [track for track in tracks if track.path in odd]
        rest = [track for track in tracks if track.path not in odd]
        if not rest:
            raise InputError(
                "the group", "all of its files are named", remedy="Name only those that differ from the rest"
            )
        said: dict[tuple[bytes, bytes], float | None] = {}
        for other in others:
            scores = {pair.b.path: pair.match.score for pair in self.grounds.matches.of(other)}
            for track in rest:
                pair = other.content, track.content
                if pair[0] == pair[1]:
                    where = f"{printable(other.path)} and {printable(track.path)}"
                    raise InputError(where, "both hold the very same audio, so they cannot be different recordings")
                said[pair] = scores.get(track.path)
        return said

    def regroup(self, question: Question, store: Store) -> None:
        """Groups again by all judgements that the store has now; the rest of the question's group comes next."""
        self._drop(question)
        self.renew(store, first={file.path for file in question.planned.files})

    def renew(self, store: Store, first: Collection[bytes] = ()) -> None:
        """Groups again by all judgements that the store has now; groups with a file in `first` come first."""
        self.grounds.matches.renew_judgements(store)
        self._gather(first)

    def take_answers(self, store: Store, plan: Plan | None) -> None:
        """Takes the answers of a plan that another writer changed in place of those there are. Seals are checked, and
        what has changed since does not count, as when a review begins."""
        self._read(store, plan)
        self._passed.intersection_update(group.contents for group in self._answers)
        self._find_open()

    def _drop(self, question: Question) -> None:
        self._answers.drop(file.path for file in question.planned.files)


def review_of(
    store: Store,
    matches: Matches,
    keep: KeepSettings,
    settings: PlanSettings,
    before: Plan | None,
    again: bool,
    observer: Observer,
) -> Review:
    """A review by these settings. A person is asked about every score except those below `settings.ask`."""
    grounds = grounds_of(store, matches, keep, replace(settings, auto=None))
    return Review(store, grounds, before, again, observer, auto=settings.auto)


def review_of_losses(
    store: Store,
    matches: Matches,
    keep: KeepSettings,
    settings: PlanSettings,
    before: Plan | None,
    observer: Observer,
) -> Review:
    """A review of the groups in which a copy with a high enough score stays only for what it holds. Groups with an
    uncertain copy are not among them."""

    def is_asked(question: Question) -> bool:
        stays = {file.path for file in question.planned.files if is_kept_for_itself(file)}
        members = [pair for pair in question.group.members if pair.a.state == "present"]
        doubts = {pair.a.path: doubt_of_score(pair, settings) for pair in members}
        is_certain = all(found is None or found[0] != UNCERTAIN for found in doubts.values())
        return is_certain and any(doubts[path] is None for path in stays)

    grounds = grounds_of(store, matches, keep, replace(settings, auto=None))
    return Review(store, grounds, before, False, observer, is_asked, settings.auto)


def answers_in(before: Plan, protect: Sequence[bytes]) -> list[PlannedGroup]:
    """The groups that a person decided about, if their files may still be touched."""
    return [group for group in before.groups if group.is_answered and not _touches(group, protect)]


def _touches(group: PlannedGroup, protect: Sequence[bytes]) -> bool:
    return any(is_below(file.path, protect) for file in group.changed)


def _still_holds(store: Store, group: PlannedGroup, protect: Sequence[bytes]) -> bool:
    """Whether the files that are kept or changed are as the plan says, and may be touched."""
    return not _touches(group, protect) and all(
        _is_known(store, file) for file in group.files if file.action == "keep" or file.action not in STAYING
    )


def _is_known(store: Store, file: PlannedFile) -> bool:
    track = store.catalog.tracks.get(file.path)
    return track is not None and (track.state, track.size, track.mtime_ns) == ("present", file.size, file.mtime_ns)


def _stays_anyway(planned: PlannedGroup) -> bool:
    return all(file.action == "leave" and file.rule in STAYING_ANYWAY for file in planned.files[1:])


def _left(question: Question, rule: str, why: str) -> PlannedGroup:
    """The group if all its files stay."""
    left = [replace(file, action="leave", rule=rule, why=why, sidecars=()) for file in question.planned.files]
    return PlannedGroup(tuple(left), note=f"{ANSWERED}: {'skipped' if rule == SKIPPED else rule}")
