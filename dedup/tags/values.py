"""The common form of values: values that mean the same in two formats read the same.

Ratings are FMPS ratings, "0.01" to "1". POPM's 1, 64, 128, 196 and 255, which players show as one to five stars, are
0.2, 0.4, 0.6, 0.8 and 1; values in between are in proportion. A rating of 0 is no rating, as in POPM."""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterable, Mapping, Sequence

from dedup.tags.names import named

PAIRS = {"tracknumber": "tracktotal", "discnumber": "disctotal", "movement": "movementtotal"}
"""Fields of a number, and the field that says of how many."""

_NUMBERS = frozenset({*PAIRS, *PAIRS.values()})
_PAIR = re.compile(r"(\S*?)\s*/\s*(\d+)")
_POPM_STARS = ((1, 0.2), (64, 0.4), (128, 0.6), (196, 0.8), (255, 1.0))
_ASF_STARS = ((1, 0.2), (25, 0.4), (50, 0.6), (75, 0.8), (99, 1.0))
"""Stars of WM/SharedUserRating, as Windows Media Player writes them."""


def clean(text: str) -> str:
    """Text that every format, database and terminal accepts: no lone surrogates, no NUL, no space around it."""
    return text.encode("utf-8", "replace").decode("utf-8").replace("\0", "").strip().lstrip("\ufeff").strip()


def normalised(fields: Mapping[str, Sequence[str]]) -> dict[str, tuple[str, ...]]:
    """Fields as `read_tags` returns them: each value clean and once, numbers without leading zeros, "3/12" split into
    two fields, ratings from 0 to 1. Fields left without a value are dropped."""
    found: dict[str, tuple[str, ...]] = {}
    for name, values in fields.items():
        known = named(name)
        texts = _normal(known[0], values) if known else ()
        if known and texts:
            found[known[0]] = texts
    for number, total in PAIRS.items():
        _split(found, number, total)
    return found


def _normal(name: str, values: Iterable[str]) -> tuple[str, ...]:
    texts = tuple(dict.fromkeys(text for text in map(clean, values) if text))
    if name in _NUMBERS:
        return tuple(dict.fromkeys(map(_number, texts)))
    if name == "rating":
        return tuple(dict.fromkeys(rated for text in texts if (rated := _fraction(text))))
    if name == "playcount":
        counts = [int(float(text)) for text in texts if re.fullmatch(r"\d{1,9}(\.\d*)?", text, re.ASCII)]
        return (str(max(counts)),) if any(counts) else ()
    if name == "compilation":
        return ("1",) if any(text.lower() in ("1", "true", "yes") for text in texts) else ()
    return texts


def _number(text: str) -> str:
    return str(int(text)) if re.fullmatch(r"\d{1,9}", text, re.ASCII) else text


def _split(found: dict[str, tuple[str, ...]], number: str, total: str) -> None:
    values = found.get(number, ())
    pair = _PAIR.fullmatch(values[0]) if len(values) == 1 else None
    if pair:
        del found[number]
        if pair[1]:
            found[number] = (_number(pair[1]),)
        found.setdefault(total, (_number(pair[2]),))
    for name in (number, total):
        if found.get(name) == ("0",):  # MP4 and others write it for none
            del found[name]


def _fraction(text: str) -> str:
    if not re.fullmatch(r"\d+(\.\d*)?|\.\d+", text, re.ASCII):
        return ""
    value = float(text)
    return f"{value:.2f}".rstrip("0").rstrip(".") if 0.005 < value <= 1 else ""


def rating_of_text(text: str) -> str:
    """Common form of a field that only says "rating": 1 to 5 are stars, a decimal number up to 1 is a share, more than
    5 is out of 100. Empty for anything else."""
    text = clean(text)
    if re.fullmatch(r"\d{1,3}", text, re.ASCII):
        value = int(text)
        text = str(value / 5 if value <= 5 else value / 100)
    return _fraction(text)


def rating_of_popm(rating: int) -> str:
    """Common form of 0 to 255; empty for 0."""
    return _share(rating, _POPM_STARS)


def popm_of_rating(text: str) -> int:
    """1 to 255."""
    return _steps(text, _POPM_STARS)


def rating_of_asf(rating: int) -> str:
    """Common form of 0 to 99; empty for 0."""
    return _share(rating, _ASF_STARS)


def asf_of_rating(text: str) -> int:
    """1 to 99."""
    return _steps(text, _ASF_STARS)


def _share(rating: int, stars: tuple[tuple[int, float], ...]) -> str:
    if rating <= 0:
        return ""
    for (low, share), (high, more) in itertools.pairwise(stars):
        if rating <= high:
            return _fraction(f"{share + (more - share) * (rating - low) / (high - low):.4f}")
    return "1"


def _steps(text: str, stars: tuple[tuple[int, float], ...]) -> int:
    value = float(text)
    for (low, share), (high, more) in itertools.pairwise(stars):
        if value <= more:
            return max(1, round(low + (high - low) * (value - share) / (more - share)))
    return stars[-1][0]
