"""Reads values out of what a server answered: whatever else it sends counts as not said."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any


def table(value: Any, *names: str) -> Mapping[str, Any]:
    """The object below these names; an empty one if there is none."""
    for name in names:
        value = value.get(name) if isinstance(value, Mapping) else None
    return value if isinstance(value, Mapping) else {}


def tables(value: Any, name: str) -> list[Mapping[str, Any]]:
    """The objects in the list of this name. Some servers write one object where a list of one belongs."""
    found = value.get(name) if isinstance(value, Mapping) else None
    if isinstance(found, Mapping):
        return [found]
    return [each for each in found if isinstance(each, Mapping)] if isinstance(found, list) else []


def text(value: Mapping[str, Any], name: str) -> str:
    """A text, or a number as one; empty if there is neither."""
    found = value.get(name)
    return str(found) if isinstance(found, (str, int)) and not isinstance(found, bool) else ""


def number(value: Mapping[str, Any], name: str) -> int:
    """A whole number from 0 up; 0 if there is none."""
    found = value.get(name)
    if isinstance(found, bool) or not isinstance(found, (int, float)) or not 0 <= found < 1 << 62:
        return 0
    return int(found)


def new_on_pages(page: Callable[[int], list[Mapping[str, Any]]], id_: str) -> Iterator[Mapping[str, Any]]:
    """All things of a list that is read page by page from a first number on, each once, by the name of their id, until
    a page has nothing new: some servers give fewer than they are asked for, or the same again."""
    seen: set[str] = set()
    start = 0
    while found := page(start):
        new = [each for each in found if (known := text(each, id_)) and known not in seen]
        if not new:
            return
        seen.update(text(each, id_) for each in new)
        start += len(found)
        yield from new
