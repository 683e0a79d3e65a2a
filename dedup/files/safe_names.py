"""Names for files and folders that every usual file system takes, made of any text: of Linux, macOS, Windows, and of
FAT and exFAT on players. Pure."""

from __future__ import annotations

import itertools
import re
import unicodedata
from collections.abc import Collection

from dedup.plain_text import HARMFUL

LONGEST_BYTES = 255
"""Bytes of a name on Linux, unless the file system says less."""
LONGEST_UNITS = 255
"""UTF-16 units of a name on Windows, macOS, FAT and exFAT."""
LONGEST_PATH = 4095
"""Bytes of a path that the system takes."""

_RESERVED = re.compile(r"(con|prn|aux|nul|conin\$|conout\$|com[0-9¹²³]|lpt[0-9¹²³])[ ]*(?=\.|\Z)", re.IGNORECASE)
"""Names of devices on Windows, with any ending."""
_FORBIDDEN = re.compile(r'[<>:"/\\|?*]')


def safe_folder(text: str, most_bytes: int = LONGEST_BYTES) -> str:
    """The text as the name of a folder: never empty, and never with a dot or a blank at its end."""
    name = _cut(_plain(text), most_bytes, LONGEST_UNITS).rstrip()
    if name.endswith("."):
        name = f"{name[:-1]}_"
    return _unreserved(name, most_bytes) or "_"


def safe_file(stem: str, ending: str, number: int = 1, room: int = 0, most_bytes: int = LONGEST_BYTES) -> str:
    """The name of a file: the stem made safe, " (2)" and so on for a `number` from 2 on, and the ending with its dot,
    as it is. `room` is what must be left for longer endings of files beside it, in bytes. Only the stem is cut."""
    after = (f" ({number})" if number > 1 else "") + ending
    most = most_bytes - len(after.encode("utf-8", "surrogateescape")) - room
    name = _cut(_plain(stem), max(1, most), max(1, LONGEST_UNITS - _n_units(after) - room)).rstrip() or "_"
    if not ending:
        return safe_folder(name + after, most_bytes)
    return _unreserved(name + after, most_bytes)


def safe_name(text: str, taken: Collection[str] = (), extension: str = "", most_bytes: int = LONGEST_BYTES) -> str:
    """The text as the name of a file with `extension`, such as ".flac", or without one as that of a folder. If one of
    the names `taken` is the same on a disk that ignores case, it gets a number: "x (2)". Equal arguments give equal
    names."""
    ending = "".join(f".{_plain(each)}" for each in extension.strip(". ").split(".") if each)
    used = {folded(name) for name in taken}
    names = (safe_file(text, ending, number, 0, most_bytes) for number in itertools.count(1))
    return next(name for name in names if folded(name) not in used)


def folded(name: str) -> str:
    """What is equal of two names that some file system takes for one: it looks at neither case nor composition."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _plain(text: str) -> str:
    composed = unicodedata.normalize("NFC", text)
    name = _FORBIDDEN.sub("_", "".join(map(_harmless, composed))).strip()
    return f"_{name[1:]}" if name.startswith(".") else name


def _harmless(character: str) -> str:
    category = unicodedata.category(character)
    if category in ("Cc", "Cs", "Zl", "Zp") or HARMFUL.match(character) or ord(character) & 0xFFFE == 0xFFFE:
        return "_"
    return " " if category == "Zs" and character not in ("\u3000", "\u00a0") else character


def _unreserved(name: str, most_bytes: int) -> str:
    found = _RESERVED.match(name)
    if found is None:
        return name
    changed = f"{found[1]}_{name[found.end() :]}"
    return changed if len(changed.encode()) <= most_bytes else f"_{name[1:]}"


def _n_units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2


def _cut(text: str, n_bytes: int, n_units: int) -> str:
    """As much of the text as fits, cut between two characters and not before a mark that belongs to the one before."""
    if len(text.encode()) <= n_bytes and _n_units(text) <= n_units:
        return text
    left_bytes, left_units, end = n_bytes, n_units, 0
    for at, character in enumerate(text):
        left_bytes -= len(character.encode())
        left_units -= 1 + (ord(character) > 0xFFFF)
        if left_bytes < 0 or left_units < 0:
            break
        end = at + 1
    while end and unicodedata.combining(text[end]):
        end -= 1
    return text[:end]
