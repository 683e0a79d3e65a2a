"""Names for files and folders that every file system takes, made of any text. Pure."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Collection

from dedup.plain_text import HARMFUL

MOST_BYTES = 255
"""Longest name that common file systems take, in bytes of UTF-8."""

_FORBIDDEN = re.compile(r'[/\\:*?"<>|\ud800-\udfff]')
"""Characters that some file system does not take, and halves of characters, which no text has."""
_RESERVED = re.compile(r"(con|prn|aux|nul|com[0-9¹²³]|lpt[0-9¹²³])(?=\.|$)", re.IGNORECASE)
"""Names of devices on Windows, whatever follows a dot."""
_NAMELESS = "_"


def safe_name(text: str, taken: Collection[str] = (), max_bytes: int = MOST_BYTES, extension: str = "") -> str:
    """The text as one name in a folder, with `extension`, such as ".flac", behind it: neither empty nor hidden, without
    characters or endings that a file system refuses, at most `max_bytes` bytes of UTF-8. If one of the names `taken` is
    the same but for case, it gets a number: "x (2)". Equal arguments give equal names."""
    ending = _plain(extension)
    stem = _plain(text).lstrip(".").strip() or _NAMELESS
    stem = _RESERVED.sub(r"\1_", stem)
    used = {folded(name) for name in taken}
    number = 1
    while True:
        tail = f" ({number}){ending}" if number > 1 else ending
        name = (_cut(stem, max_bytes - len(tail.encode())).rstrip(". ") or _NAMELESS) + tail
        if folded(name) not in used:
            return name
        number += 1


def folded(name: str) -> str:
    """What is equal of two names that some file system takes for one: it looks at neither case nor composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _plain(text: str) -> str:
    seen = HARMFUL.sub("", re.sub(r"\s+", " ", unicodedata.normalize("NFC", text)))
    return _FORBIDDEN.sub("_", seen).rstrip(". ")


def _cut(text: str, n_bytes: int) -> str:
    """The first characters that fit, none cut in half."""
    return text.encode()[: max(0, n_bytes)].decode("utf-8", "ignore")
