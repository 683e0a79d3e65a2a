"""One group shown to a person, who says what becomes of it. On a terminal an answer is a key, where one is enough, else
a line; without one it is a line of stdin. The end of stdin raises EOFError, as Ctrl-C raises KeyboardInterrupt."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

import click

from dedup.errors import InputError
from jobs.session.output import Output, count_text, path_text
from jobs.show.plan_text import group_lines, merge_lines, values_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dedup.plan.nouns import PlannedGroup
    from dedup.plan.review import Question, Review
    from dedup.tags.merge import Conflict

MOST_KEYS = 9
"""Files that one key can name."""

Values = dict[str, tuple[str, ...]]


@dataclass(frozen=True)
class Answer:
    """What a person said of a group."""

    word: Literal["keep", "different", "skip", "quit"]
    planned: PlannedGroup | None = None
    """What becomes of it, where it is kept or skipped."""
    odd: tuple[bytes, ...] = ()
    """Paths of those of its files that are other recordings."""


def ask_about(output: Output, review: Review, question: Question, folder: bytes) -> Answer:
    """Shows a group, its paths below `folder`, and asks until there is an answer."""
    output.text("\n".join(group_lines(question.planned, folder, numbered=True)))
    n_files, values = len(question.planned.files), Values()
    while True:
        output.text(_question_text(question.planned))
        word = _read_key() if n_files <= MOST_KEYS else _read_line()
        if word == "m":
            values |= _ask_for_values(output, question.planned)
            continue
        answer = _answer(output, review, question, word, values)
        if answer is not None:
            output.text(_told(answer, folder))
            return answer


def _question_text(planned: PlannedGroup) -> str:
    merge = "[m]erge tags by hand, " if _conflicts(planned) else ""
    return f"keep 1 to {len(planned.files)} (Enter: 1), [n]ot the same, {merge}[s]kip, [q]uit?"


def _answer(output: Output, review: Review, question: Question, word: str, values: Values) -> Answer | None:
    """None where it is to be asked again, and it is told why."""
    if word == "q":
        return Answer("quit")
    if word == "s":
        return Answer("skip", review.skipping(question))
    try:
        if word == "n":
            odd = _ask_which(output, question)
            review.apart(question, odd)
            return Answer("different", odd=odd) if odd else None
        at = _number(word or "1", question)
        return None if at is None else Answer("keep", review.keeping(question, question.planned.files[at].path, values))
    except InputError as error:
        output.text(str(error))
        return None


def _told(answer: Answer, folder: bytes) -> str:
    """What an answer comes to; the whole table where it is not what was shown."""
    planned = answer.planned
    if answer.word != "keep" or planned is None:
        return answer.word + "".join(f" {path_text(path.removeprefix(folder))}" for path in answer.odd)
    kept = planned.files[0]
    lines = [f"keep {path_text(kept.path.removeprefix(folder))}; {count_text(len(planned.changed), 'file')} would go"]
    if kept.rule == "chosen":
        lines = [*group_lines(planned, folder), *lines]
    elif planned.merge is not None:
        lines = [*(f"      {line}" for line in merge_lines(planned.merge, folder)), *lines]
    return "\n".join(lines)


def _number(word: str, question: Question) -> int | None:
    """Which file it names, from 0; None where it names none."""
    at = int(word) - 1 if word.isascii() and word.isdigit() else -1
    return at if 0 <= at < len(question.planned.files) else None


def _ask_which(output: Output, question: Question) -> tuple[bytes, ...]:
    """Paths of the files that are other recordings than the rest; none where the person thought better of it. Of two
    files it need not be asked which."""
    files = question.planned.files
    if len(files) == 2:
        return (files[1].path,)
    output.text("which of them are other recordings? (numbers; Enter: none)")
    odd: set[bytes] = set()
    for word in _read_line().replace(",", " ").split():
        at = _number(word, question)
        if at is None:
            raise InputError(f"the answer {word!r}", "not the number of a file", f"numbers from 1 to {len(files)}")
        odd.add(files[at].path)
    return tuple(sorted(odd))


# ---- tags ----


def _conflicts(planned: PlannedGroup) -> tuple[Conflict, ...]:
    return planned.merge.conflicts if planned.merge is not None else ()


def _ask_for_values(output: Output, planned: PlannedGroup) -> Values:
    """The values that a person wants to be written, of the fields about which the files disagree."""
    numbers = {file.path: number for number, file in enumerate(planned.files, start=1)}
    chosen = Values()
    for name in dict.fromkeys(conflict.name for conflict in _conflicts(planned)):
        told = [conflict for conflict in _conflicts(planned) if conflict.name == name]
        offered = {1: told[0].kept, **{numbers[conflict.path]: conflict.other for conflict in told}}
        output.text("\n".join([name, *_offer_lines(offered)]))
        output.text(f"whose {name}? ({', '.join(map(str, offered))}; Enter: as it is)")
        while (word := _read_line()) and not (word.isdigit() and int(word) in offered):
            output.text(f"one of {', '.join(map(str, offered))}, or Enter")
        if word:
            chosen[name] = offered[int(word)]
            output.text(f"the kept file gets {name}: {values_text(chosen[name])}")
    return chosen


def _offer_lines(offered: dict[int, tuple[str, ...]]) -> Iterator[str]:
    return (f"  {number}  {values_text(values)}" for number, values in offered.items())


# ---- reading ----


def _read_line() -> str:
    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError
    return line.decode("utf-8", "replace").strip().lower()


def _read_key() -> str:
    """A key, empty for Enter; without a terminal a line."""
    return click.getchar().lower().strip() if sys.stdin.isatty() else _read_line()
