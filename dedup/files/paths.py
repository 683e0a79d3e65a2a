"""Paths are bytes: how one is shown to a person, kept in JSON, assigned to a volume and matched by a glob."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping


def printable(path: bytes) -> str:
    r"""The path on one line of a terminal: valid UTF-8 as it is; invalid bytes, control characters and line
    or paragraph separators as `\xNN` or `\n` and the like. Next to such escapes, the path's own backslashes are
    doubled, so that no two paths look the same, except plain ones with a literal `\n` in them."""
    text = path.decode("utf-8", "surrogateescape")
    if text.isprintable():
        return text
    return "".join(_escaped(character) for character in text)


def _escaped(character: str) -> str:
    if character == "\\":
        return "\\\\"
    if character.isprintable():
        return character
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # a byte that is not UTF-8, as surrogateescape keeps it
        return f"\\x{code - 0xDC00:02x}"
    if code < 0x80:
        return character.encode("unicode_escape").decode("ascii")
    return f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def json_path(path: bytes) -> dict[str, str]:
    """{"path": text}, and also {"path_hex": hex digits} if the path is not valid UTF-8: then `path` is only for
    people. `path_from_json` is the inverse."""
    try:
        return {"path": path.decode("utf-8")}
    except UnicodeDecodeError:
        return {"path": printable(path), "path_hex": path.hex()}


def named_path(name: str, path: bytes) -> dict[str, str]:
    """`{name: text}`, and `name_hex` if the path is not UTF-8."""
    return {key.replace("path", name): value for key, value in json_path(path).items()}


def path_from_json(value: Mapping[str, str]) -> bytes:
    """The path that `json_path` was given. Raises KeyError or ValueError for anything else."""
    if "path_hex" in value:
        return bytes.fromhex(value["path_hex"])
    return value["path"].encode("utf-8")


def extension_of(path: bytes) -> str:
    """The extension in lower case, without the dot; empty if there is none."""
    return os.fsdecode(os.path.splitext(path)[1][1:]).lower()


def holds(folder: bytes, path: bytes) -> bool:
    """Whether `path` is `folder` or lies below it, by name."""
    return path == folder or path.startswith(folder.rstrip(b"/") + b"/")


def and_above(path: bytes) -> Iterator[bytes]:
    """The path, and each folder above it by name, up to `/`, or of a relative path to its first name."""
    while path:
        yield path
        above = os.path.dirname(path)
        if above == path:
            return
        path = above


def volume_of(path: bytes) -> bytes:
    """The mount point of the volume that holds what `path` leads to."""
    return next(filter(os.path.ismount, and_above(os.path.realpath(path))), b"/")


def compile_globs(patterns: tuple[str, ...]) -> Callable[[bytes, bool], bool]:
    """A function of (path below the root, whether it is a folder) that returns whether any pattern matches.

    As in .gitignore: `*`, `?` and `[...]` stop at a slash, `**` does not; a pattern without a slash matches a
    name at any depth, one with a slash the whole path; a slash at its end means folders only. Unlike in .gitignore,
    every character is part of a name, even a leading `#` or `!`, a backslash and a space at the end; a match of a
    folder does not extend to its contents; and any text is a pattern, even if it matches nothing."""
    # Not by pathspec (1.1): it reads "#1 hits/" as a comment and "!!!/" as a negation, raises on "[z-a]" and warns
    # about "[[]live]"; its `[!x]` matches a slash, and its `**` does not match a folder with a line break in its name.
    rules = [(pattern.endswith("/"), re.compile(_expression(pattern), re.DOTALL)) for pattern in patterns]

    def matches(relative: bytes, is_folder: bool) -> bool:
        text = os.fsdecode(relative)
        return any((is_folder or not folders_only) and rule.fullmatch(text) for folders_only, rule in rules)

    return matches


def _expression(pattern: str) -> str:
    body = pattern.rstrip("/")
    anywhere = "" if "/" in body else "(?:.*/)?"
    parts, position = [], 0
    body = body.removeprefix("/")
    while position < len(body):
        part, position = _piece(body, position)
        parts.append(part)
    return anywhere + "".join(parts)


def _piece(body: str, start: int) -> tuple[str, int]:
    """The expression for the piece at `start`, and where the next piece begins."""
    if body.startswith("**/", start) and (start == 0 or body[start - 1] == "/"):
        return "(?:.*/)?", start + 3
    if body.startswith("**", start):
        return ".*", start + 2
    if body[start] == "*":
        return "[^/]*", start + 1
    if body[start] == "?":
        return "[^/]", start + 1
    end = body.find("]", start + 2 + (body[start + 1 : start + 2] in ("!", "^")))
    if body[start] == "[" and end > 0:
        return _character_class(body[start + 1 : end]), end + 1
    return re.escape(body[start]), start + 1


def _character_class(inside: str) -> str:
    negated = inside[0] in "!^"
    members = ""
    for first, last, single in re.findall(r"(.)-(.)|(.)", inside[negated:], re.DOTALL):
        if single:
            members += re.escape(single)
        elif first <= last:
            members += f"{re.escape(first)}-{re.escape(last)}"
    if not members:  # only ranges from high to low, which contain nothing
        return "[^/]" if negated else "(?!)"
    return f"(?!/)[{'^' * negated}{members}]"
