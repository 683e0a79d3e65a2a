"""What a reorganisation has to do with media servers: it asks them before anything moves, keeps in place what they
would lose, and gives the songs at the new paths what listeners did; an undo does the same the other way."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from dedup.cleanup.rename import Rename
from dedup.cleanup.repoint import Repoint
from dedup.errors import ServerError
from dedup.servers.again import Marked, give_again, take_out
from dedup.servers.attention import Heard, to_record

if TYPE_CHECKING:
    from dedup.cleanup.journal import Journal, JournalWriter, State
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.servers.link import Link

NOT_GIVEN = "what listeners did with it is not there yet"


class Repointing:
    """The servers that play files of one reorganisation."""

    def __init__(
        self, links: Mapping[str, Link], moves: Mapping[bytes, bytes], may_be_lost: bool, writer: JournalWriter
    ) -> None:
        """Asks nothing yet. `moves`: new paths of the music by old ones. `may_be_lost`: whether a person lets go what
        servers cannot give to the songs at the new paths."""
        self._links = {
            name: link
            for name, link in links.items()
            if any(link.sees(path) or link.sees(target) for path, target in moves.items())
        }
        self.may_be_lost, self._writer = may_be_lost, writer
        self._heard: dict[str, Heard] = {}

    def ask(self, observer: Observer) -> None:
        """Asks each server what it has."""
        for name, link in self._links.items():
            observer.message(f"asking the server {name}")
            self._heard[name] = link.hear()

    def problem(self, path: bytes, target: bytes) -> str:
        """Why a file must stay; empty if it may move."""
        if self.may_be_lost:
            return ""
        lost = "; ".join(words for heard in self._heard.values() for words in heard.losses(path, target))
        lost = lost.replace(", the kept file not", "")
        return f"{lost}. Try again when it can be kept, or let it go with --let-go listeners" if lost else ""

    def prepare(self, moves: Mapping[bytes, bytes]) -> dict[bytes, str]:
        """Notes in the journal what each server has of the music that is about to move, then takes it out of playlists.
        Returns the files that must stay, with the reason."""
        staying = {path: problem for path, target in moves.items() if (problem := self.problem(path, target))}
        for name, link in self._links.items():
            if self._heard[name].problem:
                continue
            noted = {(step.path, step.bound is link) for _, step in self._pending()}
            for path, target in moves.items():
                if path not in staying and (path, True) not in noted and link.knows(path):
                    try:
                        self._note(link, path, target)
                    except ServerError as error:
                        if not self.may_be_lost:
                            staying[path] = str(error)
            try:
                take_out(link, {step.song for _, step in self._pending() if step.bound is link})
            except ServerError as error:
                mine = {path: str(error) for path in moves if link.sees(path)}
                staying |= {} if self.may_be_lost else mine
        return staying

    def _note(self, link: Link, path: bytes, target: bytes) -> None:
        if said := link.ask_again(path):
            song, settings = link.song(path), link.settings
            self._writer.begin(
                Repoint(path, target, link.name, to_record(said), song, settings.url, settings.user, link=link)
            )

    def _pending(self) -> list[tuple[int, Repoint]]:
        """What was noted and not given yet."""
        begun = ((number, entry.step) for number, entry in self._writer.journal.steps_of("begun"))
        return [(number, step) for number, step in begun if isinstance(step, Repoint)]

    def finish(self, now: Mapping[bytes, bytes], observer: Observer, stop: Stop) -> Iterator[tuple[bytes, str]]:
        """Waits until the servers know the new paths, and gives the songs what was noted. `now`: where the files are
        by where they were. Yields the files for which that failed, with the reason."""
        pending = self._pending()
        for link, of_one in _by_link(pending):
            marked = [step.ahead()._replace(path=now.get(step.path, step.path)) for _, step in of_one]
            states: list[State] = [
                "dropped" if each.path == step.path else "done" for each, (_, step) in zip(marked, of_one, strict=True)
            ]
            yield from _given(link, of_one, marked, self._writer, states, observer, stop)
        asked = {step.bound.name for _, step in pending if step.bound is not None}
        for name, link in self._links.items():
            if name not in asked and not self._heard[name].problem:
                with contextlib.suppress(ServerError):  # it scans in its own time
                    link.ask_for_scan()


def bind_again(journal: Journal, links: Mapping[str, Link]) -> None:
    """Gives the steps that were read from a journal their servers, whatever name the settings give these now."""
    for entry in journal.entries:
        if isinstance(entry.step, Repoint):
            same = next(filter(entry.step.is_on, links.values()), None)
            entry.step = replace(entry.step, link=same or links.get(entry.step.server))


def note_before_undo(writer: JournalWriter, links: Mapping[str, Link], observer: Observer) -> None:
    """Notes in the journal what servers have of the files whose moves are about to be taken back, and takes these out
    of playlists. A server that does not answer gives back what was noted when they moved."""
    steps = [entry.step for _, entry in writer.journal.steps_of("done")]
    moved = {step.target: step.origin or step.path for step in steps if isinstance(step, Rename) and step.is_last}
    for link in links.values():
        if any(map(link.sees, moved)):
            observer.message(f"asking the server {link.name}")
            with contextlib.suppress(ServerError):
                if not link.hear().problem:
                    take_out(link, _noted(writer, link, moved))


def _noted(writer: JournalWriter, link: Link, moved: Mapping[bytes, bytes]) -> set[str]:
    """Notes what one server has of moved files, and returns the ids of their songs. Raises ServerError."""
    entries, settings, songs = writer.journal.entries, link.settings, set()
    numbers = {
        entry.step.target: number
        for number, entry in enumerate(entries)
        if isinstance(entry.step, Repoint) and entry.step.is_on(link)
    }
    for target, path in moved.items():
        if not (link.knows(target) and (said := link.ask_again(target))):
            continue
        number, song = numbers.get(target), link.song(target)
        if number is None:
            step = Repoint(path, target, link.name, {}, "", settings.url, settings.user, link=link)
            number = writer.begin(step)
        noted = entries[number].step
        assert isinstance(noted, Repoint)
        if noted.now.get("song") != song:  # else an undo that was broken off has noted it, and taken out the song
            noted.now.clear()
            noted.now.update(to_record(said), song=song)
            writer.set_state(number, "done")
        songs.add(song)
    return songs


def give_back(
    entries: Sequence[tuple[int, Repoint]],
    is_back: Callable[[bytes], bool],
    writer: JournalWriter,
    observer: Observer,
    stop: Stop,
) -> Iterator[tuple[bytes, str]]:
    """Waits until the servers know the files that are back, and gives them what was noted; those that could not be put
    back get it where they are. Yields the files for which that failed, with the reason."""
    for link, of_one in _by_link(entries):
        marked = [step.back() if is_back(step.path) else step.back()._replace(path=step.target) for _, step in of_one]
        states: list[State] = [
            "undone" if each.path == step.path else "done" for each, (_, step) in zip(marked, of_one, strict=True)
        ]
        yield from _given(link, of_one, marked, writer, states, observer, stop)


def _by_link(steps: Iterable[tuple[int, Repoint]]) -> Iterator[tuple[Link | None, list[tuple[int, Repoint]]]]:
    found: dict[str, list[tuple[int, Repoint]]] = {}
    for number, step in steps:
        found.setdefault("" if step.bound is None else step.bound.name, []).append((number, step))
    for of_one in found.values():
        yield of_one[0][1].bound, of_one


def _given(
    link: Link | None,
    steps: Sequence[tuple[int, Repoint]],
    marked: Sequence[Marked],
    writer: JournalWriter,
    states: Sequence[State],
    observer: Observer,
    stop: Stop,
) -> Iterator[tuple[bytes, str]]:
    if link is None:
        for _, step in steps:
            yield step.path, f"{NOT_GIVEN}: the settings lack the server {step.server}"
        return
    observer.message(f"waiting until the server {link.name} knows the new paths")
    numbers = {each: (number, state) for (number, _), each, state in zip(steps, marked, states, strict=True)}
    try:
        link.wait_for(sorted({each.path for each in marked}), lambda: stop.requested)
        for each, problem in give_again(link, marked):
            if problem:
                yield each.path, f"{NOT_GIVEN}: {problem}"
            else:
                writer.set_state(*numbers[each])
    except ServerError as error:
        for each in marked:
            yield each.path, f"{NOT_GIVEN}: {error}"
