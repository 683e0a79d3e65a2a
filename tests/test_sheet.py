"""The CSV report: what spreadsheets make of it, and that every path can be had back."""

from __future__ import annotations

import csv
import io
from typing import Any

import pytest

from dedup.groups.groups import Group
from dedup.report.sheet import COLUMNS, sheet
from tests.test_html import pair, track


def rows_of(group: Group, hints: dict[bytes, str] | None = None) -> list[dict[str, Any]]:
    document = b"".join(sheet([group], hints or {}))
    assert document.startswith(b"\xef\xbb\xbfgroup,")  # else Excel takes it for Latin-1
    return list(csv.DictReader(io.StringIO(document.decode("utf-8-sig"), newline="")))


def test_a_line_each_for_the_reference_and_the_members() -> None:
    reference = track("/m/é.flac")
    lines = rows_of(Group(reference, (pair(track('/m/a, "b"\n.mp3'), reference, lag=-8),)), {b"/m/\xc3\xa9.flac": "so"})
    assert [tuple(line) for line in lines] == [COLUMNS, COLUMNS]
    assert [(line["role"], line["path"]) for line in lines] == [
        ("reference", "/m/é.flac"),
        ("member", '/m/a, "b"\\n.mp3'),
    ]
    assert bytes.fromhex(lines[1]["path_hex"]) == b'/m/a, "b"\n.mp3'
    assert [line["spectrum_hint"] for line in lines] == ["so", ""]
    assert lines[1]["lag_s"] == "-0.99"  # a number stays one


@pytest.mark.parametrize("start", ["=", "+", "-", "@"])
def test_no_cell_is_a_formula(start: str) -> None:
    name = f'{start}HYPERLINK("x")'
    (line, _) = rows_of(Group(track(name, damage=name), (pair(track("/m/a"), track(name)),)))
    assert (line["path"], line["damage"]) == (f"'{name}", f"'{name}")
    assert bytes.fromhex(line["path_hex"]).decode() == name


@pytest.mark.parametrize("start", ["\t", "\r", "\x9b", "\u202e"])
def test_no_cell_begins_with_what_a_spreadsheet_or_a_terminal_acts_on(start: str) -> None:
    name = f"{start}=1"
    (line, _) = rows_of(Group(track(name, damage=name), (pair(track("/m/a"), track(name)),)))
    assert line["path"] == line["damage"] == name.encode("unicode_escape").decode()
    assert bytes.fromhex(line["path_hex"]).decode() == name
