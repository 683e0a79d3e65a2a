"""The ledgers of clean-ups, in the store's folder `cleanups/`: what is in them decides what is undone, so each line
carries a digest (`dedup/cleanup/JOURNAL.md`). `dedup/cleanup/journal.py` knows what the lines mean."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator
from hashlib import blake2b
from pathlib import Path
from typing import Any, NamedTuple

FOLDER, JOURNAL, PLAN, ORIGINALS = "cleanups", "journal.jsonl", "plan.json", "originals"

_SEAL = re.compile(rb', "digest": "([0-9a-f]{32})"\}\n\Z')


def folders_of(store: Path) -> list[Path]:
    """The folders of all clean-ups of a store, oldest first."""
    try:
        names = [entry.name for entry in os.scandir(store / FOLDER) if entry.name.isdecimal()]
    except FileNotFoundError:
        return []
    return [store / FOLDER / name for name in sorted(names, key=int)]


class Line(NamedTuple):
    """A line of a ledger."""

    record: dict[str, Any]
    is_sealed: bool
    """Whether it has a digest; lines of older releases have none."""


def digest_of(data: bytes) -> str:
    """32 hex digits: BLAKE2b, 16 bytes."""
    return blake2b(data, digest_size=16).hexdigest()


def sealed_line(record: dict[str, Any]) -> bytes:
    """A record, which must not be empty, as a line in ASCII that ends with the digest of the record."""
    text = json.dumps(record).encode("ascii")
    return text[:-1] + f', "digest": "{digest_of(text)}"}}\n'.encode("ascii")


def opened_line(line: bytes) -> Line:
    """What a line says. Raises ValueError if it is not a JSON object or does not match its digest."""
    seal = _SEAL.search(line)
    text = line[: seal.start()] + b"}" if seal else line
    if seal and digest_of(text).encode() != seal[1]:
        raise ValueError("does not match its digest")
    record = json.loads(text)
    if not isinstance(record, dict):
        raise ValueError("not a JSON object")
    return Line(record, seal is not None)


def is_sealed_except_its_end(line: bytes) -> bool:
    """Whether a line is whole except that its last byte is no newline: cut short it would end before that byte."""
    return _SEAL.search(line[:-1] + b"\n") is not None


def opened_lines(path: Path) -> Iterator[dict[str, Any]]:
    """The records in a ledger. A last line without a newline, which a kill cut short, does not count. Raises OSError,
    and ValueError that names the line: not JSON, not as its digest says, without a digest below one that has it."""
    was_sealed = False
    with path.open("rb") as lines:
        for number, line in enumerate(lines, start=1):
            try:
                if not line.endswith(b"\n"):
                    if is_sealed_except_its_end(line):
                        raise ValueError("its last byte is not a newline")
                    return
                record, is_sealed = opened_line(line)
                if was_sealed and not is_sealed:
                    raise ValueError("has no digest")
            except (ValueError, RecursionError) as error:
                raise ValueError(f"line {number} {error}") from error
            was_sealed = is_sealed
            yield record


def is_plan_sound(folder: Path, start: dict[str, Any]) -> bool:
    """Whether the plan of a clean-up is the one that its first line names; true if that names none. Raises OSError."""
    return start.get("plan") in (None, _digest_of_file(folder / PLAN))


def _digest_of_file(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, lambda: blake2b(digest_size=16)).hexdigest()


def problems(store: Path) -> Iterator[tuple[str, str]]:
    """What is damaged in the ledgers of a store: a path below its folder, and what is wrong there."""
    for folder in folders_of(store):
        for file, text in _problems_of(folder):
            yield f"{FOLDER}/{folder.name}/{file}", text


def _problems_of(folder: Path) -> Iterator[tuple[str, str]]:
    records: list[dict[str, Any]] = []
    try:
        records.extend(opened_lines(folder / JOURNAL))
    except (OSError, ValueError) as error:
        yield JOURNAL, _unreadable(error)
    try:
        if not is_plan_sound(folder, records[0] if records else {}):
            yield PLAN, "is not the plan that was carried out"
    except OSError as error:
        yield PLAN, _unreadable(error)
    for told in sorted((folder / ORIGINALS).glob("*.json")):
        try:
            originals = list(opened_lines(told))
        except (OSError, ValueError) as error:
            yield f"{ORIGINALS}/{told.name}", _unreadable(error)
            continue
        kept = told.with_suffix(".bin")
        try:
            if any("kept" in each and _digest_of_file(kept) != each["kept"] for each in originals):
                yield f"{ORIGINALS}/{kept.name}", "is not what was kept of a file"
        except OSError as error:
            yield f"{ORIGINALS}/{kept.name}", _unreadable(error)


def _unreadable(error: OSError | ValueError) -> str:
    why = error.strerror if isinstance(error, OSError) else str(error)
    return f"cannot be read: {why}"
