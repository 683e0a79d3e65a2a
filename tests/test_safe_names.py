"""Names that every file system takes."""

from __future__ import annotations

import os
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from dedup.files.safe_names import LONGEST_BYTES, folded, safe_name

ANY_TEXT = st.text(st.characters(), max_size=400)


def test_what_no_file_system_takes_is_replaced() -> None:
    assert safe_name("AC/DC: Who?") == "AC_DC_ Who_"
    assert safe_name("") == safe_name(" . ") == safe_name("\x00") == "_"
    assert safe_name("..") == safe_name("\x00\u202e") == "__"
    assert safe_name("../../etc/passwd") == "_._.._etc_passwd"
    assert safe_name(".hidden") == "_hidden"
    assert safe_name("line\nbreak\t tab") == "line_break_ tab"
    assert safe_name("ends in dots... ") == "ends in dots.._"
    assert safe_name("no\u200bwidth", extension=".fl/ac") == "no_width.fl_ac"
    assert safe_name("half \ud800") == "half _"
    assert [safe_name(name) for name in ("con", "NUL.txt", "Com1", "console", "aux")] == [
        *("con_", "NUL_.txt", "Com1_", "console", "aux_")
    ]


def test_a_name_that_is_taken_gets_a_number_whatever_its_case_or_composition() -> None:
    assert safe_name("a", ["A.flac"], extension=".flac") == "a (2).flac"
    assert safe_name("a", ["A.flac", "a (2).FLAC"], extension=".flac") == "a (3).flac"
    assert safe_name("e\u0301", ["\u00c9"]) == "\u00e9 (2)"
    assert safe_name("a", ["b"]) == "a"


def test_a_long_name_is_cut_between_characters_and_keeps_its_ending() -> None:
    name = safe_name("ä" * 300, extension=".flac")
    assert name == "ä" * 125 + ".flac"
    assert safe_name("ä" * 300, [name], extension=".flac") == "ä" * 123 + " (2).flac"
    assert safe_name("abc def", most_bytes=4) == "abc"


@given(ANY_TEXT, st.lists(ANY_TEXT, max_size=3), st.integers(20, LONGEST_BYTES))
def test_any_text_gives_a_name_that_is_safe_and_free(text: str, others: list[str], max_bytes: int) -> None:
    taken = [safe_name(other, most_bytes=max_bytes) for other in others] + [safe_name(text, most_bytes=max_bytes)]
    name = safe_name(text, taken, most_bytes=max_bytes)
    assert 0 < len(name.encode()) <= max_bytes
    assert not set('/\\:*?"<>|\x00') & set(name)
    assert name[0] not in ". " and name[-1] not in ". "
    assert folded(name) not in {folded(other) for other in taken}
    assert safe_name(name, most_bytes=max_bytes) == name, "a safe name stays as it is"
    assert name == safe_name(text, taken, most_bytes=max_bytes)


def test_such_names_are_files_of_their_own(tmp_path: Path) -> None:
    taken: list[str] = []
    for text in ("a", "A", "a.", "a/", "é", "e\u0301", "con", "x" * 500, "x" * 501):
        name = safe_name(text, taken)
        with open(tmp_path / name, "xb"):
            taken.append(name)
    assert sorted(os.listdir(tmp_path)) == sorted(taken)
