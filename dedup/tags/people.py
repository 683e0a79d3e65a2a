"""Credits in ID3: pairs of role and name in TIPL and TMCL, or all in IPLS in ID3v2.3."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dedup.tags.block import Entry

_ROLES = {
    "arranger": "arranger",
    "engineer": "engineer",
    "producer": "producer",
    "dj-mix": "djmixer",
    "mix": "mixer",
}
"""Common names of roles; any other role is a performer's, and follows the name in parentheses."""

_ROLE_OF = {name: role for role, name in _ROLES.items()} | {"djmixer": "DJ-mix"}
_FRAMES = ("TIPL", "TMCL", "IPLS")
_PERFORMER = re.compile(r"(.+?) \(([^()]+)\)")


def entries(tags: Any) -> Iterator[Entry]:
    """What the frames say, one pair at a time."""
    for frame in _FRAMES:
        for found in tags.getall(frame):
            for role, person in found.people:
                yield Entry(_name(role), 0, (_text(role, person),))


def remove(tags: Any, name: str) -> None:
    """Removes the field's pairs from all frames."""
    for frame in _FRAMES:
        for found in tags.getall(frame):
            if any(_name(role) == name for role, _ in found.people):
                found.people = [[role, person] for role, person in found.people if _name(role) != name]
                if not found.people:
                    tags.delall(frame)


def put(tags: Any, name: str, values: tuple[str, ...], is_v23: bool) -> None:
    """Adds one pair for each value."""
    from mutagen.id3 import IPLS, TIPL, TMCL, Encoding

    kind = IPLS if is_v23 else TMCL if name == "performer" else TIPL
    pairs = [_pair(name, value) for value in values]
    for found in tags.getall(kind.__name__):
        found.people = [*found.people, *pairs]
        found.encoding = Encoding.UTF16 if is_v23 else Encoding.UTF8
        return
    tags.add(kind(encoding=Encoding.UTF16 if is_v23 else Encoding.UTF8, people=pairs))


def _name(role: str) -> str:
    return _ROLES.get(role.strip().lower(), "performer")


def _text(role: str, person: str) -> str:
    is_plain = _name(role) != "performer" or role.strip().lower() in ("", "performer")
    return person if is_plain else f"{person} ({role})"


def _pair(name: str, value: str) -> list[str]:
    if name != "performer":
        return [_ROLE_OF[name], value]
    found = _PERFORMER.fullmatch(value)
    return [found[2], found[1]] if found else ["performer", value]
