"""Groups that a person reviews one by one: the questions, the effect of each answer, and the plan of all answers. Reads
the tags of the current group; changes no file."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Literal

from dedup.correlation.scoring import MERGING
from dedup.errors import InputError
from dedup.files.paths import printable
from dedup.groups.groups import Group
from dedup.groups.keep import is_below
from dedup.plan.decide import UNCERTAIN, Decider, doubt, is_there_twice, most_first, planned_file, with_left, with_note
from dedup.plan.make import UNREADABLE, Grounds, gets_tags, grounds_of, with_merge, without_loss
from dedup.plan.nouns import ANSWERED, REMOVING, STAYING, Plan, PlannedFile, PlannedGroup
from dedup.settings import LOSS_KINDS, LossKind

if TYPE_CHECKING:
    from dedup.groups.matches import Matches
    from dedup.observer import Observer
    from dedup.settings import KeepSettings, PlanSettings
    from dedup.store.store import Store

CHOSEN, SKIPPED, NO_COPY, LET_GO = "chosen", "skipped", "no copy", "let go"
"""Names of the rules of files that a person decided about: kept or removed; skipped; not known to be a copy of the file
that is kept; removed with what only it holds."""

STAYING_ANYWAY = frozenset({"absent", "protected", "same file", "reported only"})
"""Rules by which a copy stays whatever a person says: a group of such copies is not asked about."""


def is_kept_for_itself(file: PlannedFile) -> bool:
    """Whether a file stays only for what it holds and the kept file lacks."""
    return file.action == "leave" and file.rule in LOSS_KINDS


@dataclass(frozen=True)
class Question:
    """A group that a person is asked about."""

    group: Group
    planned: PlannedGroup
    """Proposal: what the rules decide, as if every copy were certain enough to go."""


@dataclass(frozen=True)
class Answer:
    """What a person said about a group."""

    word: Literal["keep", "different", "skip", "quit"]
    planned: PlannedGroup | None = None
    """Planned group, if a file is kept or the group is skipped."""
    odd: tuple[bytes, ...] = ()
    """Paths of its files that are other recordings."""


class Review:
    """The questions that are left, and the answers. Needs the store when it is made, and after judgements."""

    def __init__(
        self,
        store: Store,
        grounds: Grounds,
        before: Plan | None,
        again: bool,
        observer: Observer,
        is_asked: Callable[[Question], bool] = lambda _: True,
    ) -> None:
        """Groups of the plan `before` count as answered, except those that have changed since, those with an uncertain
        copy, and with `again` those that were skipped. Only questions that are `is_asked` are asked."""
        self.grounds, self._references = grounds.looking_at_the_disk(observer)
        groups = grounds.seals.opened(before).groups if before else ()
        self.answered = [group for group in groups if _still_holds(store, group, grounds.keep.protect)]
        self.n_outdated = len(groups) - len(self.answered)
        self._again, self._is_asked = again, is_asked
        self._passed: set[object] = set()
        self._proposed: dict[tuple[bytes, ...], PlannedGroup] = {}
        """Proposals by the paths of a group: after a judgement most groups are the same, and each takes reading."""
        self._questions: deque[Question] = deque()
        self._gather()

    def _gather(self, first: Collection[bytes] = ()) -> None:
        """Groups all files again; groups with a file in `first` come first."""
        known = {group.contents for group in self.answered if not self._is_open(group)} | self._passed
        there = filter(is_there_twice, self.grounds.groups())
        asked = [Question(group, self._propose(group)) for group in there]
        left = [one for one in asked if one.planned.contents not in known and not _stays_anyway(one.planned)]
        left = [one for one in left if self._is_asked(one)]
        left.sort(
            key=lambda one: (
                not any(file.path in first for file in one.planned.files),
                -one.planned.n_bytes,
                one.planned.files[0].path,
            )
        )
        self._questions = deque(left)

    def _propose(self, group: Group) -> PlannedGroup:
        """What the rules decide about a group by itself."""
        paths = tuple(track.path for track in group.tracks)
        if paths not in self._proposed:
            self._proposed[paths] = self.grounds.decider.group(group)
        return self._proposed[paths]

    def _is_open(self, group: PlannedGroup) -> bool:
        """Whether the group is asked about although the plan has it."""
        if not group.is_answered and any(map(is_kept_for_itself, group.files)):
            return True
        rules = {file.rule for file in group.files if file.action == "leave"}
        return UNCERTAIN in rules or (self._again and SKIPPED in rules)

    @property
    def n_left(self) -> int:
        """Number of questions without an answer."""
        return len(self._questions)

    @property
    def paths(self) -> list[bytes]:
        """Paths of all files in the questions that are left."""
        return [file.path for question in self._questions for file in question.planned.files]

    def next(self) -> Question | None:
        """The question with the most reclaimable bytes, with what the kept file would get; None if none is left."""
        if not self._questions:
            return None
        question = self._questions[0]
        return replace(question, planned=self._complete(question.planned))

    def plan(self) -> Plan:
        """The plan of all answers, here and before."""
        return self.grounds.plan(most_first(self.answered), self._references)

    # ---- answers ----

    def keeping(
        self, question: Question, path: bytes, values: Mapping[str, Sequence[str]], let_go: bool = False
    ) -> PlannedGroup:
        """The planned group if the file at `path` is kept and gets these values of tag fields; with `let_go`, the
        copies that hold something of their own go too, side-cars included. Raises InputError for a file that cannot be
        kept."""
        planned = question.planned
        if path != planned.files[0].path:
            planned = self._complete(self._with_other(question.group, path, let_go))
        elif let_go:
            planned = self._complete(self._letting_go(question.group))
        return replace(_with_values(planned, values), note="; ".join(filter(None, (ANSWERED, planned.note))))

    def skipping(self, question: Question) -> PlannedGroup:
        """The planned group if all its files stay for now."""
        left = [replace(file, action="leave", rule=SKIPPED, why="you skipped it") for file in question.planned.files]
        return PlannedGroup(tuple(left), note=f"{ANSWERED}: skipped")

    def put(self, question: Question, planned: PlannedGroup) -> None:
        """Keeps an answer. Earlier answers about these files no longer count."""
        self._drop(question)
        self.answered.append(planned)
        self._passed.add(question.planned.contents)
        self._questions.popleft()

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
        self.grounds.matches.renew_judgements(store)
        self._drop(question)
        self._gather(first={file.path for file in question.planned.files})

    def _drop(self, question: Question) -> None:
        paths = {file.path for file in question.planned.files}
        self.answered = [group for group in self.answered if paths.isdisjoint(file.path for file in group.files)]

    # ---- what becomes of a group ----

    def _with_other(self, group: Group, path: bytes, let_go: bool) -> PlannedGroup:
        """The group if another file is kept. Files that do not match it stay, as they may not be copies of it."""
        tracks = {track.path: track for track in group.tracks if track.state != "imported"}
        kept = tracks.pop(path)
        if kept.state != "present" or kept.damage:
            raise InputError(printable(path), kept.damage or "not there now", remedy="Keep a sound file")
        matching = {pair.b.path: pair.swapped() for pair in self.grounds.matches.of(kept) if pair.verdict in MERGING}
        members = tuple(matching[other] for other in tracks if other in matching)
        if not members:
            raise InputError(
                printable(path), "no other file of the group matches it", remedy="Keep one that others match"
            )
        chosen = Group(kept, members)
        decided = self._letting_go(chosen) if let_go else self._decider_without("untested").group(chosen)
        files = [
            file
            if file.action == "leave" or file.rule == LET_GO
            else replace(file, rule=CHOSEN, why="you keep it" if file.action == "keep" else "you keep another")
            for file in decided.files
        ]
        apart = [
            planned_file(track, "leave", NO_COPY, "not known to be a copy of the file that you keep")
            for other, track in tracks.items()
            if other not in matching
        ]
        return PlannedGroup((*files, *apart))

    def _decider_without(self, *kinds: LossKind) -> Decider:
        """The rules if losses of these kinds do not count. A person who keeps another file needs no null test: they
        know why."""
        decider = self.grounds.decider
        return replace(decider, settings=replace(decider.settings, let_go=(*decider.settings.let_go, *kinds)))

    def _letting_go(self, group: Group) -> PlannedGroup:
        """The group if what stays for what it holds alone goes."""
        stays = {file.path: file.why for file in self.grounds.decider.group(group).files if is_kept_for_itself(file)}
        planned = self._decider_without(*LOSS_KINDS).group(group)
        files = (
            replace(file, rule=LET_GO, why=f"you let go: {stays[file.path]}")
            if file.path in stays and file.action != "leave"
            else file
            for file in planned.files
        )
        return replace(planned, files=tuple(files))

    def _complete(self, planned: PlannedGroup) -> PlannedGroup:
        """The group with albums kept complete, and with what the kept file gets."""
        needed = self._needed_by_albums(planned)
        if needed:
            planned = (with_note if self.grounds.settings.break_albums else with_left)(planned, needed)
        if not self.grounds.settings.merge or not gets_tags(planned, self.grounds.keep.protect):
            return planned
        try:
            return with_merge(planned, self.grounds.aligned(planned))
        except OSError as error:
            told = f"tags cannot be read, so none are carried over: {error.strerror or error}"
            note = "; ".join(filter(None, (planned.note, told)))
            return without_loss(replace(planned, note=note), UNREADABLE)

    def _needed_by_albums(self, planned: PlannedGroup) -> dict[bytes, str]:
        """Albums that would no longer be complete after all the answers, by path of the file that each needs."""
        albums, own = self.grounds.decider.albums, {file.path for file in planned.files}
        gone = {file.path for group in self.answered for file in group.files if file.action in REMOVING} - own
        lost = albums.lacking(gone)
        needed: dict[bytes, str] = {}
        for file in planned.files:
            if file.action in REMOVING:
                now = albums.lacking({*gone, file.path})
                if now.keys() <= lost.keys():
                    gone.add(file.path)
                else:
                    needed[file.path] = now.get(file.path) or now[min(now.keys() - lost.keys())]
        return needed


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
    return Review(store, grounds_of(store, matches, keep, replace(settings, auto=None)), before, again, observer)


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
        doubts = {pair.a.path: doubt(pair, settings) for pair in question.group.members if pair.a.state == "present"}
        is_certain = all(found is None or found[0] != UNCERTAIN for found in doubts.values())
        return is_certain and any(doubts[path] is None for path in stays)

    grounds = grounds_of(store, matches, keep, replace(settings, auto=None))
    return Review(store, grounds, before, False, observer, is_asked)


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


def _with_values(planned: PlannedGroup, values: Mapping[str, Sequence[str]]) -> PlannedGroup:
    """The group if the kept file gets these values of fields about which the files disagree, unless it has them."""
    if planned.merge is None or not values:
        return planned
    own = {conflict.name: conflict.kept for conflict in planned.merge.conflicts}
    chosen = {name: tuple(texts) for name, texts in values.items() if own.get(name) != tuple(texts)}
    united = {name: texts for name, texts in planned.merge.fields.items() if name not in values}
    conflicts = tuple(conflict for conflict in planned.merge.conflicts if conflict.name not in values)
    return replace(planned, merge=replace(planned.merge, fields={**united, **chosen}, conflicts=conflicts))
