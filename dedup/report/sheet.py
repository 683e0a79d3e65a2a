"""The groups as CSV for spreadsheets: one line for the reference and one for each member.

It begins with a byte order mark, without which Excel takes UTF-8 for Latin-1. A text that a spreadsheet could take for
a formula (an imported path, the content of a damaged header) gets an apostrophe in front, and control characters and
their like are escaped; the bytes of a path that was changed in this way, or that is not UTF-8, are in `path_hex`."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict
from typing import Any

from dedup.files.paths import json_path
from dedup.groups.groups import Group
from dedup.groups.losses import outcome_words
from dedup.groups.matches import ListedTrack
from dedup.plain_text import visible
from dedup.report.export import numbers, track_numbers

COLUMNS = (
    "group",
    "role",
    "path",
    "path_hex",
    "codec",
    "lossless",
    "bitrate",
    "sample_rate",
    "bits",
    "channels",
    "duration_s",
    "size",
    "state",
    "damage",
    "cancels",
    "agreement",
    "score",
    "evidence",
    "kappa",
    "along",
    "prominence",
    "rate",
    "speed",
    "lag_s",
    "overlap_s",
    "verdict",
    "judged",
    "null_test",
    "bytes_reclaimable",
    "bytes_unheard",
    "spectrum_hint",
    "rule",
    "why",
)

BOM = b"\xef\xbb\xbf"

FORMULA = ("=", "+", "-", "@")
"""Beginnings of cells that a spreadsheet computes."""


def sheet(groups: Iterable[Group], hints: Mapping[bytes, str]) -> Iterator[bytes]:
    """The document in pieces: the headings, then one piece per group. `hints` are those of `spectrum.hint`, by path."""
    yield BOM + _lines([dict(zip(COLUMNS, COLUMNS, strict=True))])
    for number, group in enumerate(groups, start=1):
        yield _lines(_rows(number, group, hints))


def _rows(number: int, group: Group, hints: Mapping[bytes, str]) -> Iterator[dict[str, Any]]:
    weighed = {"bytes_reclaimable": group.bytes_reclaimable, "bytes_unheard": group.bytes_unheard}
    common = {"group": number, **weighed}
    yield {**common, "role": "reference", **_track(group.reference, hints)}
    for pair in group.members:
        said = {"verdict": pair.verdict, "judged": pair.judged, "null_test": outcome_words(pair.test)}
        better = asdict(group.decision(pair))
        yield {**common, "role": "member", **_track(pair.a, hints), **numbers(pair.match), **said, **better}


def _track(track: ListedTrack, hints: Mapping[bytes, str]) -> dict[str, Any]:
    return {**path_cells(track.path), **track_numbers(track), "spectrum_hint": hints.get(track.path, "")}


def _lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, COLUMNS, restval="", lineterminator="\r\n")
    writer.writerows({name: harmless(value) for name, value in row.items()} for row in rows)
    return text.getvalue().encode("utf-8", "backslashreplace")


def path_cells(path: bytes) -> dict[str, str]:
    """`path` as a cell, and `path_hex` with its bytes if the cell is not the path itself."""
    cells = json_path(path)
    if harmless(cells["path"]) != cells["path"]:
        cells["path_hex"] = path.hex()
    return cells


def harmless(value: Any) -> Any:
    """The value as a cell that no spreadsheet computes; only texts are changed."""
    if not isinstance(value, str):
        return value
    text = value if value.isascii() and value.isprintable() else visible(value)
    return f"'{text}" if text.startswith(FORMULA) else text
