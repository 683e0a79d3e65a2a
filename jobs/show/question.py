"""Shows groups one by one to a person, who decides what happens to each. On a terminal an answer is a key if one is
enough, else a line; without a terminal it is a line of stdin."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

from dedup.errors import InputError
from dedup.files.paths import json_path
from dedup.plan.choices import CHOSEN, LET_GO, is_kept_for_itself
from dedup.plan.review import Answer
from jobs.session.output import Output, count_text, path_text
from jobs.show.entries import indented
from jobs.show.groups import common_folder
from jobs.show.plan_text import merge_lines, planned_group_lines, values_text
from jobs.show.reading import read_key, read_line

if TYPE_CHECKING:
    from dedup.groups.matches import Matches
    from dedup.plan.nouns import PlannedFile, PlannedGroup
    from dedup.plan.review import Question, Review
    from dedup.tags.merge import Conflict
    from jobs.session.lines import Look

MOST_KEYS = 9
"""Most files of a group whose numbers are single keys."""

Values = dict[str, tuple[str, ...]]


class TerminalReviewer:
    """Answers for a person: shows each group, and asks what to do with it."""

    def __init__(self, output: Output, path: bytes, close_progress: Callable[[], None]) -> None:
        """`path` is the file of the plan; `close_progress` clears the way for the first question."""
        self._output, self._path, self._close_progress = output, path, close_progress
        self._folder = b""
        """Common folder of all paths."""
        self._n_kept = 0
        """Answers that can be taken back."""

    def begin(self, review: Review) -> None:
        self._close_progress()
        self._folder = common_folder(review.paths)
        if review.n_outdated:
            count = count_text(review.n_outdated, "group")
            self._output.note(f"not counted: {count} of {path_text(self._path)}, carried out or changed since")
        if review.n_left:
            self._output.text(f"Paths are below {path_text(self._folder)}")

    def answer(self, review: Review, question: Question) -> Answer:
        """The end of stdin counts as "quit"; Ctrl-C raises KeyboardInterrupt."""
        self._output.text(f"\n{count_text(review.n_left, 'group')} left")
        try:
            return ask_about(self._output, review, question, self._folder, can_go_back=self._n_kept > 0)
        except EOFError:
            self._output.text()
            return Answer("quit")

    def kept(self, question: Question, answer: Answer) -> None:
        self._n_kept += 1
        self._output.result({"event": "answer", **answer_record(question, answer)})

    def taken_back(self, question: Question, answer: Answer) -> None:
        self._n_kept -= 1
        self._output.result({"event": "taken back", **answer_record(question, answer)})

    def not_kept(self, error: InputError) -> None:
        self._output.text(f"not kept: {error}")


def answer_record(question: Question, answer: Answer) -> dict[str, Any]:
    """The answer as a record for programs."""
    kept = answer.planned.kept if answer.planned is not None else None
    return {
        "answer": answer.word,
        "files": [json_path(file.path) for file in question.planned.files],
        "kept": json_path(kept.path) if kept else None,
        "different": [json_path(path) for path in answer.odd],
    }


def ask_about(output: Output, review: Review, question: Question, folder: bytes, can_go_back: bool = False) -> Answer:
    """Shows a group, its paths below `folder`, and asks until there is an answer. Raises EOFError at the end of
    stdin, KeyboardInterrupt for Ctrl-C."""
    matches = review.grounds.matches
    output.laid(planned_group_lines(question.planned, folder, output.look, matches, numbered=True))
    n_files, values = len(question.planned.files), Values()
    while True:
        output.text(_question_text(question.planned, can_go_back))
        word = read_key() if n_files <= MOST_KEYS else read_line()
        if word == "m" and _conflicts(question.planned):
            values |= _ask_for_values(output, question.planned)
        elif word == "?":
            output.text("\n".join(_help_lines(question.planned, can_go_back)))
        elif word == "u" and can_go_back:
            return Answer("back")
        elif word == "u":
            output.text("this is the first group: there is no answer to take back")
        else:
            answer = _answer(output, review, question, word, values)
            if answer is not None:
                output.laid(_told(answer, folder, output.look, matches))
                return answer


def _question_text(planned: PlannedGroup, can_go_back: bool) -> str:
    several = "[k]eep several, " if len(planned.files) > 2 else ""
    merge = "[m]erge tags by hand, " if _conflicts(planned) else ""
    let_go = "[l]et go what stays for itself, " if any(map(is_kept_for_itself, planned.files)) else ""
    back = "[u] back, " if can_go_back else ""
    keep = f"keep 1 to {len(planned.files)} (Enter: 1), {several}keep [a]ll"
    return f"{keep}, {let_go}[n]ot the same, {merge}[s]kip, {back}[?] help, [q]uit?"


def _help_lines(planned: PlannedGroup, can_go_back: bool) -> Iterator[str]:
    """What each key does that counts for this group."""
    yield "Enter  keep file 1; the others go as shown"
    yield f"1-{len(planned.files)}    keep that file; the others go, except what only they hold"
    if len(planned.files) > 2:
        yield 'k      keep several files: then type their numbers, such as "1 3", the best first'
    yield "a      keep all files, for good"
    if any(map(is_kept_for_itself, planned.files)):
        yield "l      let the copies go, too, that stay only for what they hold"
    yield "n      some are not the same recording: that is kept for good"
    if _conflicts(planned):
        yield "m      choose between the tags that contradict each other, then answer"
    yield "s      skip: all files stay for now, and --again asks again"
    if can_go_back:
        yield "u      back to the group before, whose answer is taken back"
    yield "q      stop; all answers so far are in the plan"


def _answer(output: Output, review: Review, question: Question, word: str, values: Values) -> Answer | None:
    """The answer that a word stands for; None, with the reason shown, if the question must be asked again."""
    files = question.planned.files
    if word in ("q", "s", "a"):
        return _answer_about_all(review, question, word)
    try:
        if word == "n":
            odd = _ask_which(output, question)
            review.apart(question, odd)
            return Answer("different", odd=odd) if odd else None
        if word == "l" and any(map(is_kept_for_itself, files)):
            return Answer("keep", review.keeping(question, files[0].path, values, let_go=True))
        return _keeping(output, review, question, word, values)
    except InputError as error:
        output.text(str(error))
        return None


def _keeping(output: Output, review: Review, question: Question, word: str, values: Values) -> Answer | None:
    """The answer that one file stays, or several; None as `_answer` gives it. Raises InputError."""
    files = question.planned.files
    if word == "k" and len(files) > 2:
        numbers = _ask_for_numbers(output, question, "which of them stay? (numbers, the best first; Enter: none)")
        if not numbers:
            return None
    elif not (numbers := _numbers(word or "1", question)):
        output.text(f"{word!r} is not an answer here; ? explains the keys")
        return None
    first, *also = (files[at].path for at in numbers)
    return Answer("keep", review.keeping(question, first, values, also=also))


def _answer_about_all(review: Review, question: Question, word: str) -> Answer:
    if word == "s":
        return Answer("skip", review.skipping(question))
    return Answer("keep all", review.keeping_all(question)) if word == "a" else Answer("quit")


def _told(answer: Answer, folder: bytes, look: Look, matches: Matches) -> list[str]:
    """What an answer does; the whole group if it differs from what was shown."""
    planned = answer.planned
    if answer.word != "keep" or planned is None:
        text = answer.word + "".join(f" {path_text(path.removeprefix(folder))}" for path in answer.odd)
        return look.wrapped(text, hanging=4)
    kept, *others = planned.files
    names = [kept.path, *(file.path for file in others if _is_kept_too(file))]
    name = " and ".join(path_text(path.removeprefix(folder)) for path in names)
    lines = look.wrapped(f"keep {name}; {count_text(len(planned.changed), 'file')} would go", hanging=4)
    if kept.rule == CHOSEN or any(file.rule == LET_GO or _is_kept_too(file) for file in planned.files):
        lines = [*planned_group_lines(planned, folder, look, matches), *lines]
    elif planned.merge is not None:
        lines = [*indented(merge_lines(planned.merge, folder), look), *lines]
    return lines


def _is_kept_too(file: PlannedFile) -> bool:
    """Whether a person keeps the file beside the first one."""
    return file.action == "leave" and file.rule == CHOSEN


def _numbers(text: str, question: Question) -> list[int]:
    """Which files a text such as "1 3" names, from 0, each once; none if a word of it is not the number of a file."""
    found = [_number(word, question) for word in text.replace(",", " ").replace("+", " ").split()]
    return [] if None in found else list(dict.fromkeys(at for at in found if at is not None))


def _number(word: str, question: Question) -> int | None:
    """Which file a word names, from 0; None if it names none."""
    at = int(word) - 1 if word.isascii() and word.isdigit() else -1
    return at if 0 <= at < len(question.planned.files) else None


def _ask_which(output: Output, question: Question) -> tuple[bytes, ...]:
    """Paths of the files that are other recordings than the rest; none if the person changed their mind. If there are
    two files, there is no need to ask."""
    files = question.planned.files
    if len(files) == 2:
        return (files[1].path,)
    odd = _ask_for_numbers(output, question, "which of them are other recordings? (numbers; Enter: none)")
    return tuple(sorted(files[at].path for at in odd))


def _ask_for_numbers(output: Output, question: Question, asked: str) -> list[int]:
    """Which files a person names, from 0, each once; asks until the answer is right. None for Enter, and for "u", which
    goes back to the question about the group. Raises EOFError at the end of stdin."""
    while True:
        output.text(asked)
        word = read_line()
        if word in ("", "u"):
            return []
        if numbers := _numbers(word, question):
            return numbers
        output.text(f"{word!r}: not the number of a file; type numbers from 1 to {len(question.planned.files)}")


# ---- tags ----


def _conflicts(planned: PlannedGroup) -> tuple[Conflict, ...]:
    return planned.merge.conflicts if planned.merge is not None else ()


def _ask_for_values(output: Output, planned: PlannedGroup) -> Values:
    """The values that a person chooses for fields on which the files disagree."""
    numbers = {file.path: number for number, file in enumerate(planned.files, start=1)}
    chosen = Values()
    for name in dict.fromkeys(conflict.name for conflict in _conflicts(planned)):
        told = [conflict for conflict in _conflicts(planned) if conflict.name == name]
        offered = {1: told[0].kept, **{numbers[conflict.path]: conflict.other for conflict in told}}
        output.text("\n".join([name, *_offer_lines(offered)]))
        output.text(f"whose {name}? ({', '.join(map(str, offered))}; Enter: as it is)")
        while (word := read_line()) and not (word.isdigit() and int(word) in offered):
            output.text(f"type one of {', '.join(map(str, offered))}, or Enter")
        if word:
            chosen[name] = offered[int(word)]
            output.text(f"the kept file gets {name}: {values_text(chosen[name])}")
    return chosen


def _offer_lines(offered: dict[int, tuple[str, ...]]) -> Iterator[str]:
    return (f"  {number}  {values_text(values)}" for number, values in offered.items())
