"""Files as URIs name them."""

from __future__ import annotations

import re

FILE_URL = re.compile(rb"(file:(?://(?:localhost)?)?)(/(?!/).*)", re.IGNORECASE | re.DOTALL)
"""A file URL on this machine: the part before the path, and the path with its percent signs."""
SCHEME = re.compile(rb"[a-z][a-z0-9+.-]*:|//|\\\\", re.IGNORECASE)
"""Beginnings that a relative URI cannot have."""
DRIVE = re.compile(rb"/[a-z][:|](/|$)", re.IGNORECASE)
"""Beginning of a URL's path on Windows."""

_ESCAPE = re.compile(rb"%([0-9A-Fa-f]{2})")
_PLAIN, _DELIMITERS = frozenset("/-._~"), frozenset("!$&'()*+,;=:@")
"""Characters besides letters and digits in a URI's path: those that are never escaped, and those that may be."""


def quoted(path: bytes, like: bytes) -> bytes:
    """The path as part of a URI: escaped where necessary, and where `like` escapes; spaces and letters beyond ASCII
    stay plain if they are plain in `like`."""
    escapes: list[bytes] = _ESCAPE.findall(like)
    codes = {int(digits, 16) for digits in escapes}
    with_sign = any(chr(code) in _DELIMITERS for code in codes)
    safe = _PLAIN | {
        mark for mark in _DELIMITERS if not with_sign or (mark.encode() in like and ord(mark) not in codes)
    }
    safe |= {" "} if b" " in like else set()
    has_letters = not like.isascii() and max(codes, default=0) < 0x80
    form = "%{:02x}" if any(digits != digits.upper() for digits in escapes) else "%{:02X}"

    def told(character: str) -> str:
        if character.isascii():
            is_plain = character.isalnum() or character in safe
        else:
            is_plain = has_letters and character.isprintable()
        return character if is_plain else "".join(map(form.format, character.encode("utf-8", "surrogateescape")))

    text = "".join(map(told, path.decode("utf-8", "surrogateescape")))
    return re.sub("^ | $", form.format(ord(" ")), text).encode()  # at either end a space is invisible
