"""The digest that each row of the catalog carries, so that no flipped bit decides anything unseen.

FORMAT.md describes the form of a row that is digested: it depends on the values alone, not on the version of Python,
SQLite or Unicode."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

COLUMNS = {
    "meta": ("key", "value"),
    "block": ("name", "n_rows", "n_items"),
    "fingerprint": ("id", "digest", "n_items", "n_distinct", "block", "row"),
    "audio": ("id", "stream", "key", "damage", "fingerprint", "decoded_s", "n_bytes", "cancels", "width_db"),
    "track": (
        *("id", "path", "root", "volume", "size", "mtime_ns", "inode", "device", "state", "partial", "full", "audio"),
        *("problem_kind", "problem", "judged_by", "properties"),
    ),
    "probe": ("path", "size", "mtime_ns", "partial", "key", "properties", "full", "stream"),
    "tile": ("name", "settings", "block_a", "block_b", "n_pairs", "pairs"),
    "judgement": ("content_a", "content_b", "same", "score", "judged"),
    "run": ("id", "command", "started", "ended", "outcome", "exit_code", "why", "seconds", "summary"),
    "nulltest": ("content_a", "content_b", "version", "result"),
    "comparison": ("digest_a", "digest_b", "settings", "kernel", "pair"),
    "pitches": ("fingerprint", "version", "items"),
    "lookup": ("subject", "service", "asked", "answer"),
    "naming": ("subject", "answer", "said"),
    "measurement": ("audio", "version", "used_bits", "cutoff_hz", "source_rate", "problem"),
    "backed_up": ("source", "id", "path", "content", "full", "state", "at"),
}
"""Columns that the digest of a row covers, in the order of `schema.sql`: all except the digest. A `tail` has no digest,
since that of its fingerprint covers its items."""

REAL = {"audio": ("decoded_s", "width_db"), "judgement": ("score",), "run": ("seconds",)}
"""Columns of floating-point numbers: SQLite gives them back as such, even if a whole number was stored."""

DIGEST_BYTES = 16

_float = struct.Struct("<d").pack
_BEGINNING = {name: b"t%d:%b" % (len(name), name.encode()) for name in COLUMNS}
"""What the digested form of each row of a table begins with."""


def row_digest(table: str, values: Sequence[Any]) -> bytes:
    """16 bytes: of a row of `table` with these values of all its `COLUMNS`, as they come from SQLite. 2 to 3 µs."""
    parts = [
        b"n"
        if value is None
        else b"i%d;" % value
        if (kind := type(value)) is int
        else b"b%d:%b" % (len(value), value)
        if kind is bytes
        else b"t%d:%b" % (len(text := value.encode()), text)
        if kind is str
        else b"r" + _float(value)
        for value in values
    ]
    return blake2b(_BEGINNING[table] + b"".join(parts), digest_size=DIGEST_BYTES).digest()


def is_sound(table: str, row: Sequence[Any]) -> bool:
    """Whether a row, whose last value is its digest, matches it."""
    return bool(row_digest(table, row[:-1]) == row[-1])


def sealed(table: str, values: Sequence[Any]) -> tuple[Any, ...]:
    """A row to be stored: these values, as SQLite will give them back, and their digest."""
    real = REAL.get(table)
    if real:
        columns = COLUMNS[table]
        values = [
            float(value) if value is not None and column in real else value
            for column, value in zip(columns, values, strict=True)
        ]
    values = [int(value) if type(value) is bool else value for value in values]
    return (*values, row_digest(table, values))
