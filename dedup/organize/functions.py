"""The functions of templates, named as in beets. Pure. `if`, `ifdef` and what counts as lacking are the template's."""

from __future__ import annotations

import re
import string
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass

_ASCII = str.maketrans(
    {
        "ß": "ss", "ẞ": "SS", "æ": "ae", "Æ": "AE", "œ": "oe", "Œ": "OE", "ø": "o", "Ø": "O", "ł": "l", "Ł": "L",
        "đ": "d", "Đ": "D", "ð": "d", "Ð": "D", "þ": "th", "Þ": "Th", "\u0131": "i",
        "\u2013": "-", "\u2014": "-", "\u2010": "-",
        "\u2019": "'", "\u2018": "'", "“": '"', "”": '"', "…": "...", "•": "*", "\u00d7": "x",
    }
)  # fmt: skip
"""Characters that Unicode does not decompose."""

_ARTICLE = re.compile(r"(the|a|an)\s+(.+)", re.IGNORECASE | re.DOTALL)


@dataclass(frozen=True)
class Function:
    """One function."""

    name: str
    form: str
    """How it is written."""
    least: int
    most: int
    """Numbers of arguments."""
    of: Callable[[Sequence[str]], str]
    """What it makes of its arguments."""
    numbers: tuple[int, ...] = ()
    """Places of the arguments that are whole numbers, from 0."""


def ascii_of(text: str) -> str:
    """The text in ASCII: accents go, and a character that has no such form becomes "?"."""
    plain = unicodedata.normalize("NFKD", text.translate(_ASCII))
    kept = "".join(each for each in plain if not unicodedata.combining(each))
    return kept.encode("ascii", "replace").decode("ascii")


def _first(arguments: Sequence[str]) -> str:
    """Of a list the first entries that are not empty."""
    text, *rest = arguments
    count, skip = (int(rest[at]) if len(rest) > at else default for at, default in ((0, 1), (1, 0)))
    separator, between = (rest[at] if len(rest) > at else "; " for at in (2, 3))
    entries = text.split(separator) if separator else [text]
    return between.join([entry for entry in entries if entry.strip()][skip : skip + count])


def _the(arguments: Sequence[str]) -> str:
    found = _ARTICLE.fullmatch(arguments[0])
    return f"{found[2]}, {found[1]}" if found else arguments[0]


def _chosen(arguments: Sequence[str]) -> str:
    raise AssertionError(f"the template chooses: {arguments}")


_ALL = (
    Function("if", "%if{condition,text} or %if{condition,text,otherwise}", 2, 3, _chosen),
    Function("ifdef", "%ifdef{field}, %ifdef{field,text} or %ifdef{field,text,otherwise}", 1, 3, _chosen),
    Function("first", "%first{text} or %first{text,count,skip,separator,between}", 1, 5, _first, (1, 2)),
    Function("lower", "%lower{text}", 1, 1, lambda each: each[0].lower()),
    Function("upper", "%upper{text}", 1, 1, lambda each: each[0].upper()),
    Function("title", "%title{text}", 1, 1, lambda each: string.capwords(each[0])),
    Function("capitalize", "%capitalize{text}", 1, 1, lambda each: each[0].capitalize()),
    Function("left", "%left{text,n}", 2, 2, lambda each: each[0][: int(each[1])], (1,)),
    Function("right", "%right{text,n}", 2, 2, lambda each: each[0][-int(each[1]) :] if int(each[1]) else "", (1,)),
    Function("asciify", "%asciify{text}", 1, 1, lambda each: ascii_of(each[0])),
    Function("the", "%the{text}", 1, 1, _the),
)
FUNCTIONS = {function.name: function for function in _ALL}
"""Functions by their names."""
