"""How deep JSON that somebody else wrote may be nested. Parsers and printers of JSON call themselves at each bracket,
and how often they can depends on Python's version and on who called them."""

from __future__ import annotations

import re

MOST_DEEP = 64
"""Brackets in each other that are read. A plan has 7, a line to `import` 2."""

_ESCAPED = re.compile(rb"\\.", re.DOTALL)
_PIECE = 1 << 20


def is_too_deep(data: bytes) -> bool:
    """Whether a JSON text has more than `MOST_DEEP` brackets in each other, those in strings not counted."""
    if data.count(b"[") + data.count(b"{") <= MOST_DEEP:
        return False
    import numpy as np

    change = np.zeros(256, np.int8)
    change[list(b"[{")], change[list(b"]}")] = 1, -1
    plain = np.frombuffer(_ESCAPED.sub(b"", data), np.uint8)
    depth, n_quotes = 0, 0
    for start in range(0, len(plain), _PIECE):
        piece = plain[start : start + _PIECE]
        quotes = n_quotes + np.cumsum(piece == ord('"'))
        depths = depth + np.cumsum(change[piece] * (quotes % 2 == 0), dtype=np.int64)
        if depths.max() > MOST_DEEP:
            return True
        depth, n_quotes = int(depths[-1]), int(quotes[-1])
    return False
