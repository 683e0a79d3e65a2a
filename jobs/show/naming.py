"""Asks a person which recording a file is, and shows what is known of it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from dedup.files.paths import json_path
from dedup.lookup.questions import Answer
from jobs.session.output import Output, count_text, one_line, path_text
from jobs.show.identified import release_text
from jobs.show.reading import read_key
from jobs.show.words import clock

if TYPE_CHECKING:
    from dedup.lookup.candidates import File, Song
    from dedup.lookup.decide import Identified
    from dedup.lookup.questions import Question, Word
    from dedup.lookup.said import Kept
    from jobs.session.lines import Look

SHOWN_EDITIONS = 3
"""Releases of a candidate that are named."""


class TerminalNamer:
    """Answers for a person: shows each file with its candidates, and asks which it is."""

    def __init__(self, output: Output) -> None:
        self._output = output

    def answer(self, question: Question) -> Answer:
        """The end of stdin and Ctrl-C count as "quit"."""
        output, numbers = self._output, _numbers(question)
        output.text(f"\n{count_text(question.n_left, 'question')} left")
        output.laid(list(question_lines(question, output.look)))
        try:
            while True:
                output.text(_question_text(question))
                word = read_key()
                if word == "?":
                    output.text("\n".join(_help_lines(question)))
                elif word == "u" and not question.can_go_back:
                    output.text("this is the first one: there is no answer to take back")
                elif (answer := _answer(question, word)) is not None:
                    return answer
                else:
                    answers = f"type {numbers}, or ? for all answers" if numbers else "type ? for all answers"
                    output.text(f"{one_line(word)!r} is not an answer: {answers}")
        except (EOFError, KeyboardInterrupt):
            output.text()
            return Answer("quit")

    def kept(self, question: Question, answer: Answer, kept: Kept | None) -> None:
        self._output.text(_told(answer))
        if kept is not None and kept.waits:
            self._output.text("saved beside the store, which another run holds; it counts from now on")
        self._output.result({"event": "named", **answer_record(question.each, answer)})


def _answer(question: Question, word: str) -> Answer | None:
    """The answer that a word stands for; None if it is none."""
    songs = question.each.candidates
    if word.isascii() and word.isdigit() and 0 < int(word[:9]) <= len(songs):
        return Answer("is", songs[int(word) - 1])
    if (word == "f" and question.each.file.said is None) or (word == "n" and not songs):
        return None
    words: dict[str, Word] = {"n": "none", "s": "skip", "u": "back", "q": "quit", "f": "forget"}
    return Answer(words[word]) if word in words else None


def _numbers(question: Question) -> str:
    """The numbers of the candidates; empty if there is none any more."""
    n = len(question.each.candidates)
    return f"1 to {n}" if n > 1 else "1" if n else ""


def _question_text(question: Question) -> str:
    numbers = _numbers(question)
    songs = f"{numbers}, [n]one of these, " if numbers else ""
    forget = "[f]orget your answer, " if question.each.file.said is not None else ""
    back = "[u] back, " if question.can_go_back else ""
    return f"{songs}{forget}[s]kip, {back}[?] help, [q]uit?"


def _help_lines(question: Question) -> Iterator[str]:
    if question.each.candidates:
        numbers = _numbers(question).replace(" to ", "-")
        yield f"{numbers:4} it is that recording: that is kept for good, for every file with this sound"
        yield "n    it is none of these; it is asked about again if AcoustID learns of another one"
    if question.each.file.said is not None:
        yield "f    forget what you said about it: it counts for what the services and the files beside it say"
    yield "s    skip: nothing is kept, and the next run asks again"
    if question.can_go_back:
        yield "u    back to the file before, whose answer is taken back"
    yield "q    stop; all answers so far are kept"


def _told(answer: Answer) -> str:
    if answer.song is not None:
        return one_line(f"it is {answer.song.title} · {answer.song.artist}")
    return {"none": "it is none of these", "forget": "your answer is forgotten"}.get(answer.word, answer.word)


def answer_record(each: Identified, answer: Answer) -> dict[str, Any]:
    """The answer as a record for programs."""
    song = answer.song
    recordings = [recording.id for recording in song.recordings] if song is not None else []
    return {**json_path(each.file.path), "answer": answer.word, "recordings": recordings}


# ---- what is shown ----


def question_lines(question: Question, look: Look) -> Iterator[str]:
    """A file, why it is a question, what its tags and the files beside it say, and its candidates."""
    each = question.each
    yield from look.wrapped(look.styled(f"{path_text(each.file.path)}  {clock(each.file.length_s)}", "bold"), hanging=4)
    told = [each.why, f"its tags: {tags_text(each.file)}", release_beside_text(question.beside)]
    for text in filter(None, map(one_line, told)):
        yield from look.wrapped(f"  {text}", hanging=4)
    for number, song in enumerate(each.candidates, start=1):
        said = " (your answer)" if is_said(each, song) else ""
        yield from look.wrapped(f"  {number}  {one_line(song_text(song))}{said}", hanging=7)
        for text in filter(None, (length_text(song, each.file), place_text(each, song), editions_text(song))):
            yield from look.wrapped(f"     {one_line(text)}", hanging=7)


def tags_text(file: File) -> str:
    """Title, artist, album and number as the tags of a file have them."""
    number = f"{file.disc}-{file.number:02}" if file.disc and file.number else str(file.number or "")
    return " · ".join(filter(None, (file.title, file.artist, file.album, number))) or "none"


def song_text(song: Song) -> str:
    """A candidate in a line."""
    sources = f", named by {song.sources:,}" if song.sources else ""
    return f"{song.title} · {song.artist} ({song.score:.2f}{sources})"


def length_text(song: Song, file: File) -> str:
    """How long a candidate is, if that is known and is not the length of the file."""
    length_s = song.recordings[0].length_s
    return f"{clock(length_s)} long" if length_s and round(length_s) != round(file.length_s) else ""


def editions_text(song: Song) -> str:
    """Releases that have a candidate: "on Amber and Lantern (1994), The Best (2001) and 3 more"."""
    editions = sorted(song.editions.values(), key=lambda each: (each.year or 9999, each.title, each.id))
    names = list(dict.fromkeys(f"{each.title} ({each.year})" if each.year else each.title for each in editions))
    shown, n_more = names[:SHOWN_EDITIONS], len(names) - SHOWN_EDITIONS
    more = f" and {n_more} more" if n_more > 0 else ""
    return f"on {', '.join(shown)}{more}" if shown else ""


def place_text(each: Identified, song: Song) -> str:
    """The track of the release of the files beside it that a candidate is; empty if it is on none."""
    if each.release is None:
        return ""
    ids = {recording.id for recording in song.recordings}
    found = [track for track in each.release.tracks if track.recording in ids]
    if not found:
        return ""
    disc = f"{found[0].disc}-" if each.release.n_discs > 1 else ""
    return f"track {disc}{found[0].number} of {each.release.title}"


def release_beside_text(beside: Sequence[Identified]) -> str:
    """The release that files of the folder are on."""
    found = [each.release for each in beside if each.verdict == "identified" and each.release is not None]
    if not found:
        return ""
    most = max(found, key=lambda release: sum(each.id == release.id for each in found))
    return f"{count_text(sum(each.id == most.id for each in found), 'file')} beside it: {release_text(most)}"


def is_said(each: Identified, song: Song) -> bool:
    """Whether a person said that it is this candidate."""
    said = each.file.said
    return said is not None and not {recording.id for recording in song.recordings}.isdisjoint(said.recordings)
