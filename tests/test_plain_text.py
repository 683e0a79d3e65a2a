"""No name or tag reaches a terminal or a file for programs as more than text."""

from __future__ import annotations

import csv
import io
import json
import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.groups.groups import Group
from dedup.plain_text import HARMFUL, json_text, visible
from dedup.report.sheet import sheet
from jobs.session.output import json_line, one_line
from tests.made_tracks import pair, track

BAD = "\x07\x1b[31m\x7f\x85\x9b2J\u061c\u200b\u202e\u2029\u2066\ufeff\U000e0041"
BAD += "\u034f\u115f\u1160\u2800\u3164\uffa0"
BLANK = set("\u034f\u115f\u1160\u2800\u3164\uffa0")
"""Marks and letters by their kind, and yet nobody sees them."""

PLAIN = "♥\ufe0f 葛\U000e0100 Motörhead «Ace» \u3000\u00a0 \U0001f469\u200d\U0001f3a4 نعم क्\u200dष"


@given(st.characters(exclude_categories=["Cs"]))
def test_what_is_harmful_by_its_kind_is_on_the_list(character: str) -> None:
    """Property: controls and separators are; of what shapes text, all except joiners, and a few old marks; of
    marks and letters, only those that nobody sees."""
    kind = unicodedata.category(character)
    if kind in ("Cc", "Zl", "Zp"):
        assert HARMFUL.fullmatch(character)
    if kind not in ("Cc", "Zl", "Zp", "Cf", "Cn"):
        assert bool(HARMFUL.fullmatch(character)) == (character in BLANK)


def test_of_all_marks_and_letters_only_blank_ones_are_harmful() -> None:
    kinds = ("L", "M", "N", "P", "S", "Zs", "Co")
    shown = [each for each in map(chr, range(0x110000)) if unicodedata.category(each).startswith(kinds)]
    assert {each for each in shown if HARMFUL.fullmatch(each)} == BLANK


@pytest.mark.parametrize("character", sorted(set(BAD) - set("[31m2J")))
def test_each_is_escaped_for_people_and_in_json(character: str) -> None:
    for text in (visible(f"a{character}b"), one_line(f"a{character}b")):
        assert not HARMFUL.search(text)
        assert text.startswith("a\\")
        assert text.endswith("b")
    assert not HARMFUL.search(json_text({"x": character}))
    assert json.loads(json_text({"x": character})) == {"x": character}


def test_plain_text_stays_as_it_is() -> None:
    assert visible(PLAIN) == one_line(PLAIN) == PLAIN
    assert PLAIN in json_text({"x": PLAIN})


@given(st.text())
def test_json_means_the_same_text(text: str) -> None:
    written = json_line({"x": text})
    assert json.loads(written) == {"x": text}
    assert not HARMFUL.search(written[:-1].decode("utf-8"))
    assert json.loads(json_text([text], indent=1)) == [text]


def test_a_sheet_has_no_control_character_except_its_line_ends() -> None:
    kept, copy = track(f"/m/{BAD}.flac"), track(f"/m/={BAD}\r\n.mp3")
    written = b"".join(sheet([Group(kept, (pair(copy, kept),))], {})).decode("utf-8-sig")
    assert not HARMFUL.search(written.replace("\r\n", ""))
    rows = list(csv.DictReader(io.StringIO(written)))
    assert [bytes.fromhex(row["path_hex"]) for row in rows] == [kept.path, copy.path]
