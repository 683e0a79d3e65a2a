"""What a clean-up has to do with media servers: it asks them before anything goes, keeps what they would protect, and
carries over what listeners did with a file that goes."""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dedup.cleanup.carry import Carry
from dedup.errors import ServerError
from dedup.files.paths import printable
from dedup.plan.nouns import REMOVING
from dedup.servers.attention import Attention, Heard, of_record, to_record
from dedup.servers.path_map import normal
from dedup.servers.server import RefusedError

if TYPE_CHECKING:
    from dedup.cleanup.allowed import Trust
    from dedup.cleanup.examine import Examined
    from dedup.cleanup.executor import Doing
    from dedup.cleanup.journal import Journal, JournalWriter
    from dedup.cleanup.steps import Step
    from dedup.observer import Observer
    from dedup.plan.nouns import Plan, PlannedFile, PlannedGroup
    from dedup.runner import Stop
    from dedup.servers.asked import Asked
    from dedup.servers.link import Link

Links = Mapping[str, "Link"]

NO_LINKS: Links = {}


def bind(journal: Journal, links: Links) -> None:
    """Gives the steps that were read from a journal their servers, whatever name the settings give these now."""
    for entry in journal.entries:
        if isinstance(entry.step, Carry):
            same = next(filter(entry.step.is_on, links.values()), None)
            entry.step = replace(entry.step, link=same or links.get(entry.step.server))


class Carrying:
    """The servers that play files of one plan."""

    def __init__(
        self, links: Links, plan: Plan, trust: Trust, asked: Sequence[Asked], journal: Journal | None = None
    ) -> None:
        """Asks nothing yet. `asked`: servers that were asked when the plan was made, or since; `journal`: what was
        begun before, if this goes on with it."""
        self._trust = trust
        self._all = list(links.values())
        self._asked = [(each, each.unheard("is not in the settings now")) for each in asked]
        entries = [] if journal is None else [entry for _, entry in journal.steps_of("begun", "done")]
        carries = [(entry.step, entry.state) for entry in entries if isinstance(entry.step, Carry)]
        self._begun = {step.path: step for step, state in carries if state == "begun"}
        self._plays: Counter[tuple[bytes, str]] = Counter()
        """Plays that a kept file was given already, by path and server."""
        for step, state in carries:
            if state == "done" and step.link is not None:
                self._plays[step.path, step.link.name] += of_record(step.theirs).plays
        self._pairs = [
            (file.path, group.kept.path)
            for group in plan.groups
            if group.kept is not None
            for file in group.changed
            if file.action in REMOVING
        ]
        self._links = {name: link for name, link in links.items() if any(link.sees(path) for path, _ in self._pairs)}
        self._heard: dict[str, Heard] = {}
        self._answered: set[str] = set()
        """Servers that said what they have before anything went."""
        self.n_carried = 0
        """Files of which something was given to the kept file."""

    def ask(self, observer: Observer, stop: Stop, may_wait: bool) -> None:
        """Asks each server what it has of the files. If it does not know a kept file that is to get something, and one
        `may_wait`, asks it to scan and waits."""
        for name, link in self._links.items():
            observer.message(f"asking the server {name}")
            self._heard[name] = link.hear()
            if not self._heard[name].problem and may_wait and self._unknown(link):
                self._wait(link, observer, stop)
        self._answered = {name for name, heard in self._heard.items() if not heard.problem}

    def _unknown(self, link: Link) -> list[bytes]:
        """Kept files that the server plays, does not know, and that are to get something."""
        wanted = {kept for gone, kept in self._pairs if link.of(gone).moved and link.sees(kept)}
        return sorted(kept for kept in wanted if not link.knows(kept))

    def _wait(self, link: Link, observer: Observer, stop: Stop) -> None:
        wanted = self._unknown(link)
        observer.message(f"waiting until the server {link.name} knows {printable(wanted[0])}")
        try:
            link.wait_for(wanted, lambda: stop.requested)
        except ServerError as error:
            self._heard[link.name] = Heard(link.name, link.settings.folders, problem=error.found)
        else:
            self._heard[link.name] = link.hear()

    # ---- before a file goes ----

    def examine(self, group: PlannedGroup, examined: Examined) -> None:
        """Adds to what is known of a group which of its files must not go."""
        kept = group.kept
        if kept is None:
            return
        for file in group.changed:
            if file.action in REMOVING and not examined.problem(file) and (problem := self._problem(file, kept)):
                examined.of_file[file.path] = problem

    def _problem(self, file: PlannedFile, kept: PlannedFile) -> str:
        """Why a file must not go; empty if it may."""
        if problem := self._unasked(file) or self._half_given(file):
            return problem
        return next(filter(None, (self._problem_on(heard, file, kept) for heard in self._heard.values())), "")

    def _problem_on(self, heard: Heard, file: PlannedFile, kept: PlannedFile) -> str:
        """The same, as far as one server says."""
        said = heard.of(file.path)
        if self._trust.allowed.protect_loved and said.is_loved:
            return f"it is loved: {', '.join(said.words())} on {heard.server}"
        lost = "; ".join(heard.losses(file.path, kept.path))
        if lost and not self._is_let_go(file, heard):
            remedy = "Apply the plan again when it answers" if heard.problem else "Make the plan again"
            return f"{lost}. {remedy}, or let it go with --let-go listeners"
        if said.moved and heard.sees(kept.path):
            return self._unready(self._links[heard.server], file, kept)
        return ""

    def _unasked(self, file: PlannedFile) -> str:
        """Which server that was asked about the file cannot be asked now, since the settings are others; empty if
        none."""
        for asked, heard in self._asked:
            same = [link for link in self._all if asked.is_of(link.settings)]
            if not heard.sees(file.path) or any(link.sees(file.path) for link in same):
                continue
            if not self._is_let_go(file, heard):
                gone = "plays its folder no longer, as its map says now" if same else "is not in the settings now"
                return (
                    f"the server {asked.words} was asked for this plan, and {gone}. Put it back, or make the plan again"
                )
        return ""

    def _half_given(self, file: PlannedFile) -> str:
        """Why nobody knows how much of what listeners did with the file the kept one has; empty if it is known."""
        step = self._begun.get(file.path)
        if step is None:
            return ""
        found = f"nobody knows how much of what listeners did with it on {step.server} the kept file has"
        return f"{found}. See to it that the settings have that server and that it answers, and apply the plan again"

    def _is_let_go(self, file: PlannedFile, heard: Heard) -> bool:
        """Whether the plan lets go what would be lost. A server that was asked when the plan was made, and cannot be
        asked now, is another matter: what it could move then would be lost too."""
        if "listeners" not in self._trust.may_be_lost(file):
            return False
        return not heard.problem or any(loss.what.startswith(heard.unheard) for loss in file.lost)

    def _unready(self, link: Link, file: PlannedFile, kept: PlannedFile) -> str:
        """Why the kept file cannot get what the other has."""
        try:
            link.song(file.path), link.song(kept.path)
        except ServerError as error:
            return f"{', '.join(link.of(file.path).words())} on {link.name}, which {error.found}. {error.remedy}"
        return ""

    # ---- while it goes ----

    def carry(self, file: PlannedFile, kept: PlannedFile, doing: Doing, done: list[int]) -> None:
        """Gives the kept file what listeners did with the other, on each server; adds the numbers of the steps to
        `done`. Raises ServerError, WriteError."""
        if file.action not in REMOVING:
            return
        for name, heard in list(self._heard.items()):
            link = self._links[name]
            if heard.problem or not link.knows(file.path):
                continue
            theirs, ours = self._now(link, heard, file, kept)
            theirs = replace(theirs, plays=max(0, theirs.plays - self._plays[file.path, name]))
            if not (theirs.moved and link.knows(kept.path)):
                continue
            records, settings = (to_record(theirs), to_record(ours)), link.settings
            done.append(doing.do(Carry(file.path, kept.path, name, *records, settings.url, settings.user, link=link)))
            link.note(kept.path, ours.with_given(theirs.lacking(ours)))

    def _now(self, link: Link, heard: Heard, file: PlannedFile, kept: PlannedFile) -> tuple[Attention, Attention]:
        """What was done with both files, asked once more: a clean-up may take hours. Raises ServerError if the file
        must not go for what was done since."""
        before = link.of(file.path)
        try:
            theirs = link.ask_again(file.path)
            ours = link.ask_again(kept.path) if theirs else link.of(kept.path)
        except ServerError as error:
            if not isinstance(error, RefusedError):  # then nothing else of what it plays may go
                self._heard[link.name] = Heard(link.name, heard.folders, problem=error.found)
            raise
        if theirs != before:
            said = {normal(file.path): theirs, normal(kept.path): ours}
            if problem := self._problem_on(replace(heard, attention=said), file, kept):
                raise ServerError(printable(file.path), problem)
        return theirs, ours

    # ---- when all are gone ----

    def confirm(self, writer: JournalWriter, observer: Observer, stop: Stop) -> list[tuple[bytes, str]]:
        """Asks the servers to scan, so that they forget what is gone. Waits until that is over, looks whether each kept
        file has what it was given, and gives it again where the server made it another song. Returns the files for
        which that failed, with the reason."""
        carried = carried_in(writer.journal)
        self.n_carried = len({step.path for step in carried.values()})
        failed: list[tuple[bytes, str]] = []
        for name, link in self._links.items():
            if name in self._answered:
                mine = {number: step for number, step in carried.items() if step.bound is link}
                failed += self._confirmed(link, mine, writer, observer, stop) if mine else ()
                if not mine:
                    with contextlib.suppress(ServerError):  # it scans in its own time
                        link.ask_for_scan()
        return failed

    def _confirmed(
        self, link: Link, carried: Mapping[int, Carry], writer: JournalWriter, observer: Observer, stop: Stop
    ) -> Iterator[tuple[bytes, str]]:
        observer.message(f"waiting until the server {link.name} has looked at what changed")
        try:
            link.wait_for(sorted({step.kept for step in carried.values()}), lambda: stop.requested)
        except ServerError as error:  # all was given before a file went
            observer.message(f"nobody has looked whether the kept files still have what they were given: {error}")
            return
        for number, step in carried.items():
            made = list(step.made)
            try:
                step.give()
                if step.made != made:
                    writer.set_state(number, "done")
            except ServerError as error:
                yield step.path, f"nobody can say whether the kept file has what listeners did with it: {error}"


def carried_in(journal: Journal) -> dict[int, Carry]:
    """What a clean-up gave on servers and did not take back, by the numbers of the steps."""
    return {number: entry.step for number, entry in journal.steps_of("done") if isinstance(entry.step, Carry)}


def wait_for_files(steps: Iterable[Step], observer: Observer, stop: Stop) -> None:
    """Asks the servers to scan, and waits until they know the files of these steps, which are there again. What they do
    not know then, its step says."""
    by_link: dict[str, list[Carry]] = {}
    for step in steps:
        if isinstance(step, Carry) and step.bound is not None:
            by_link.setdefault(step.bound.name, []).append(step)
    for name, mine in by_link.items():
        if (link := mine[0].bound) is not None:
            observer.message(f"waiting until the server {name} knows the files that are back")
            with contextlib.suppress(ServerError):
                link.wait_for(
                    sorted({path for step in mine for path in (step.path, step.kept)}), lambda: stop.requested
                )
