"""Values out of answers from the net, of which nothing is certain: what has another form counts as missing."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from dedup.tags.values import clean

LONGEST_TEXT = 500
MOST_PARTS = 2000
"""Parts of a list that are looked at."""

_ID = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def objects(value: Any) -> Iterator[dict[str, Any]]:
    """The objects of a list."""
    listed = value if isinstance(value, list) else []
    return (part for part in listed[:MOST_PARTS] if isinstance(part, dict))


def text(value: Any) -> str:
    return clean(value)[:LONGEST_TEXT] if isinstance(value, str) else ""


def identifier(value: Any) -> str:
    """An identifier of MusicBrainz or AcoustID, in lower case; empty for anything else."""
    found = value.lower() if isinstance(value, str) else ""
    return found if _ID.fullmatch(found) else ""


def number(value: Any) -> float:
    """A number of at least 0."""
    is_one = isinstance(value, (int, float)) and not isinstance(value, bool)
    return float(value) if is_one and 0 <= value < 1e12 else 0.0


def credit(value: Any) -> tuple[str, tuple[str, ...]]:
    """The names of a list of artists with what joins them, and the artists' identifiers."""
    names, ids = [], []
    for part in objects(value):
        artist = part["artist"] if isinstance(part.get("artist"), dict) else part
        join = part.get("joinphrase")
        names.append(text(part.get("name") or artist.get("name")) + (join if isinstance(join, str) else ""))
        ids.append(identifier(artist.get("id")))
    return text("".join(names)), tuple(filter(None, ids))
