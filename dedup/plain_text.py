"""Text without the characters that change what a person or a terminal sees around them: controls, C1 ones included,
those that turn the direction of writing, line and paragraph separators, and invisible ones, blank letters too. Names
and tags may hold any of them. The list is our own, so that it does not change with the Unicode version of Python; it
leaves alone the joiners of emoji and of Indian scripts, and the selectors of emoji and of variants of kanji."""

from __future__ import annotations

import json
import re
from collections.abc import Callable
from typing import Any, Literal

_CONTROLS = "\\x00-\\x1f\\x7f-\\x9f"
_UNSEEN = (
    "\\xad\\u034f\\u061c\\u115f\\u1160\\u180e\\u200b\\u200e\\u200f\\u2028-\\u202e\\u2060-\\u206f\\u2800\\u3164"
    "\\ufeff\\uffa0\\ufff9-\\ufffb\\U000e0000-\\U000e007f"
)
HARMFUL = re.compile(f"[{_CONTROLS}{_UNSEEN}]")
_HARMFUL_IN_JSON = re.compile(f"[\\x7f-\\x9f{_UNSEEN}]")  # JSON has escapes for the others, and breaks lines itself


def visible(text: str) -> str:
    r"""The text with each of them as an escape: `\n`, `\x9b`, `\u202e`."""
    if text.isascii() and text.isprintable():
        return text
    return HARMFUL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def json_text(
    value: Any,
    *,
    indent: Literal[1] | None = None,
    separators: tuple[str, str] | None = None,
    default: Callable[[Any], Any] | None = None,
    allow_nan: bool = True,
) -> str:
    """The value as JSON that holds none of them: it has their escapes, which stand for the same text."""
    text = json.dumps(
        value, ensure_ascii=False, indent=indent, separators=separators, default=default, allow_nan=allow_nan
    )
    if text.isascii() and "\x7f" not in text:
        return text
    return _HARMFUL_IN_JSON.sub(lambda found: json.dumps(found[0])[1:-1], text)
