"""How deep JSON is nested: the same as a parser would say, whatever strings hold, and at once for any depth."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.nesting import MOST_DEEP, is_too_deep


def depth_of(value: Any) -> int:
    inside = value.values() if isinstance(value, dict) else value if isinstance(value, list) else None
    return 0 if inside is None else 1 + max(map(depth_of, inside), default=0)


TEXTS = st.text(alphabet='[]{}"\\,:ä\n', max_size=20)
VALUES = st.recursive(TEXTS, lambda inside: st.lists(inside, max_size=3) | st.dictionaries(TEXTS, inside, max_size=3))


@given(VALUES, st.integers(0, MOST_DEEP + 2), st.booleans())
def test_it_is_the_depth_that_a_parser_finds(value: Any, n_around: int, indented: bool) -> None:
    for _ in range(n_around):
        value = ["}" * 70 + '"', value, "[" * 70]
    data = json.dumps(value, indent=1 if indented else None).encode()
    assert is_too_deep(data) == (depth_of(value) > MOST_DEEP)


@pytest.mark.parametrize("n_before", [0, (1 << 20) - 30, 1 << 20])
def test_brackets_and_strings_go_on_from_piece_to_piece(n_before: int) -> None:
    shallow = b'["' + b"a" * n_before + b"[" * 100 + b'"]'
    assert not is_too_deep(shallow)
    assert is_too_deep(b" " * n_before + b"[" * (MOST_DEEP + 1))
    assert not is_too_deep(b" " * n_before + b"[" * MOST_DEEP + b"]" * MOST_DEEP)
