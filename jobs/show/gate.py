"""What the gate answers, for people: a line for each file, and how many there are of each answer."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dedup.errors import (
    EXIT_BETTER,
    EXIT_DONE,
    EXIT_DUPLICATE,
    EXIT_NOTHING_TO_DO,
    EXIT_OTHER_VERSION,
    EXIT_SOME_FAILED,
)
from dedup.files.paths import path_from_json
from dedup.gate.nouns import ANSWERS, Answer, Deed
from jobs.session.lines import shortened
from jobs.session.output import count_text, one_line, path_text

if TYPE_CHECKING:
    from dedup.gate.nouns import Decision
    from jobs.session.lines import Look, Role

ANSWER_WIDTH = max(map(len, ANSWERS))

CODES: dict[Answer, int] = {
    "unusable": EXIT_SOME_FAILED,
    "better": EXIT_BETTER,
    "other version": EXIT_OTHER_VERSION,
    "duplicate": EXIT_DUPLICATE,
    "import": EXIT_DONE,
    "known": EXIT_NOTHING_TO_DO,
}
"""The exit code of each answer that no policy turns into another. Of several, the first in this order counts."""

_ROLES: dict[Answer, Role] = {"import": "good", "better": "link", "duplicate": "quiet", "unusable": "go"}


def code_of(decision: Decision) -> int:
    """The exit code of one decision."""
    return _code(decision.answer, decision.deed)


def code_of_record(told: Mapping[str, Any]) -> int:
    """The same of a decision as `decision_record` has it."""
    return _code(told["answer"], told.get("do", "ask"))


def _code(answer: Answer, deed: Deed) -> int:
    by_policy: dict[Deed, int] = {"import": EXIT_DONE, "reject": EXIT_DUPLICATE}
    return by_policy.get(deed, CODES[answer])


def exit_code_of(codes: Collection[int]) -> int:
    """The exit code for files that have these, at least one."""
    return next(code for code in CODES.values() if code in codes)


def decision_line(decision: Decision, look: Look) -> str:
    """Answer, file and reason on one line, cut to the width of a terminal. There, files are told by their names alone;
    whoever wants to know more asks for JSON."""
    others = [pair.b.path for pair in (*decision.copies, *decision.others)]
    return _line(decision.answer, decision.path, decision.why, others, look)


def answer_line(told: Mapping[str, Any], look: Look) -> str:
    """The same of a decision as `decision_record` has it."""
    others = [path_from_json(each) for each in (*told["copies"], *told["others"])]
    return _line(told["answer"], path_from_json(told), told["why"], others, look)


def _line(answer: Answer, path: bytes, why: str, others: Sequence[bytes], look: Look) -> str:
    name = path_text(path)
    if look.wraps:
        name = path_text(os.path.basename(path))
        for other in others:
            why = why.replace(path_text(other), path_text(os.path.basename(other)))
    told = one_line(f"{name}: {why}")
    if look.wraps:
        told = shortened(told, look.width - ANSWER_WIDTH - 2)
    return f"{look.styled(answer.ljust(ANSWER_WIDTH), _ROLES.get(answer, 'plain'))}  {told}"


def counted(answers: Counter[Answer]) -> str:
    """How many files got which answer: "3 import, 2 duplicate"."""
    told = ", ".join(f"{answers[answer]:,} {answer}" for answer in ANSWERS if answers[answer])
    return f"{count_text(answers.total(), 'file')}: {told}"
