"""What people said while another process held the store: it waits in files beside the catalog, for whoever opens the
store for writing next to take it in. FORMAT.md documents the files."""

from __future__ import annotations

import contextlib
import fcntl
import os
import secrets
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Generic, NamedTuple, Protocol, TypeVar

from dedup.errors import writing
from dedup.store.blocks import sync
from dedup.store.layout import PRIVATE_FILE
from dedup.store.ledgers import digest_of, is_sealed_except_its_end, opened_line, sealed_line

CONTENT_DIGITS = 32
"""Hex digits of a content."""


@dataclass(frozen=True)
class Waiting:
    """What a person said about two contents."""

    content_a: bytes
    """16 bytes, like `content_b`, and never greater than it."""
    content_b: bytes
    same: bool | None
    """Whether they are one recording; None if the judgement is taken back."""
    score: float | None
    """Score of the pair when it was judged; None if it had none."""
    judged: str
    """Time, UTC, such as "2026-02-28T21:30:00Z"."""
    mark: str = ""
    """Digest of its line, which no other line has; empty before it is in the file."""


class HasMark(Protocol):
    """What a line says."""

    @property
    def mark(self) -> str:
        """Digest of its line, which no other line has; empty before it is in the file."""


Word = TypeVar("Word", bound=HasMark)


class Form(NamedTuple, Generic[Word]):
    """How lines of a file say it."""

    record: Callable[[Word], dict[str, Any]]
    """As a JSON object."""
    parsed: Callable[[dict[str, Any], str], Word]
    """From that object and the mark. Raises ValueError, KeyError or TypeError for one that nobody may have written."""


class Read(NamedTuple, Generic[Word]):
    """What a file says."""

    waiting: list[Word]
    """In the order in which it was said."""
    damaged: list[bytes]
    """Lines that cannot be read."""


class WaitingFile(Generic[Word]):
    """A file that is always empty or absent except after somebody said something beside a writer. Any number of
    processes append to it; whoever holds the store's lock empties it."""

    def __init__(self, path: Path, form: Form[Word]) -> None:
        self.path, self.set_aside = path, path.with_name(f"{path.name}.damaged")
        self._form = form

    def read(self) -> Read[Word]:
        """What waits now. A last line without a newline does not count: its writer was killed, or is at it. Raises
        OSError."""
        try:
            return self._read(self.path.read_bytes())
        except FileNotFoundError:
            return Read([], [])

    def leave(self, word: Word) -> None:
        """Appends a line, which is durable when this returns. Raises WriteError."""
        record = self._form.record(word) | {"once": secrets.token_hex(8)}
        with writing(f"file {self.path}"), self._locked(os.O_CREAT) as descriptor:
            end = self._drop_half_line(descriptor)
            line = sealed_line(record)
            try:
                _write(descriptor, line)
                os.fsync(descriptor)
            except OSError:
                os.ftruncate(descriptor, end)  # nobody is told that it was kept
                raise
            if not end:
                sync(self.path.parent)

    @contextlib.contextmanager
    def taken(self) -> Iterator[list[Word]]:
        """Gives what waits to whoever holds the store's lock and keeps it for good in the block; then empties the file.
        Lines that cannot be read are set aside. Raises OSError."""
        if not self._holds_something():
            yield []
            return
        with self._locked() as descriptor:
            read = self._read(_all_of(descriptor))
            yield read.waiting
            if read.damaged:
                self._keep_aside(read.damaged)
            os.ftruncate(descriptor, 0)
            os.fsync(descriptor)

    def set_aside_lines(self) -> list[bytes]:
        """Lines that were set aside. Raises OSError."""
        try:
            return self.set_aside.read_bytes().splitlines()
        except FileNotFoundError:
            return []

    def forget_set_aside(self) -> None:
        """Removes the lines that were set aside."""
        self.set_aside.unlink(missing_ok=True)

    def _holds_something(self) -> bool:
        try:
            return self.path.stat().st_size > 0
        except FileNotFoundError:
            return False

    def _read(self, data: bytes) -> Read[Word]:
        read = Read[Word]([], [])
        *lines, last = data.split(b"\n")
        for line in lines:
            try:
                record, is_sealed = opened_line(line + b"\n")
                if not is_sealed:
                    raise ValueError("has no digest")
                read.waiting.append(self._form.parsed(record, digest_of(line)))
            except (ValueError, KeyError, TypeError, RecursionError):
                read.damaged.append(line)
        if is_sealed_except_its_end(last):
            read.damaged.append(last)
        return read

    @contextlib.contextmanager
    def _locked(self, flags: int = 0) -> Iterator[int]:
        """The file, open and locked against everyone else who appends or empties."""
        flags |= os.O_RDWR | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.path, flags, PRIVATE_FILE)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            yield descriptor
        finally:
            os.close(descriptor)

    def _drop_half_line(self, descriptor: int) -> int:
        """Removes what a killed writer left of a line at the end; returns the length of the rest. A whole line whose
        newline rotted is kept as a line that cannot be read."""
        data = _all_of(descriptor)
        end = data.rfind(b"\n") + 1
        if is_sealed_except_its_end(data[end:]):
            _write(descriptor, b"\n")
            return len(data) + 1
        if end < len(data):
            os.ftruncate(descriptor, end)
        return end

    def _keep_aside(self, lines: list[bytes]) -> None:
        flags = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_NOFOLLOW | os.O_CLOEXEC
        descriptor = os.open(self.set_aside, flags, PRIVATE_FILE)
        try:
            _write(descriptor, b"".join(line + b"\n" for line in lines))
            os.fsync(descriptor)
        finally:
            os.close(descriptor)
        sync(self.path.parent)


def pair_record(waiting: Waiting) -> dict[str, Any]:
    return {
        "a": waiting.content_a.hex(),
        "b": waiting.content_b.hex(),
        "same": waiting.same,
        "score": waiting.score,
        "judged": waiting.judged,
    }


def pair_in(record: dict[str, Any], mark: str) -> Waiting:
    """Raises ValueError, KeyError or TypeError for a record that nobody may have written."""
    a, b, same, score = _content(record["a"]), _content(record["b"]), record["same"], record["score"]
    if a > b or (a == b and same is False) or same not in (True, False, None) or type(same) is int:
        raise ValueError("says nothing about two contents")
    return Waiting(a, b, same, None if score is None else float(score), str(record["judged"]), mark)


PAIRS = Form(pair_record, pair_in)


def _content(text: Any) -> bytes:
    if not isinstance(text, str) or len(text) != CONTENT_DIGITS:
        raise ValueError("not a content")
    return bytes.fromhex(text)


def _all_of(descriptor: int) -> bytes:
    size = os.fstat(descriptor).st_size
    parts, at = [], 0
    while at < size and (part := os.pread(descriptor, size - at, at)):
        parts.append(part)
        at += len(part)
    return b"".join(parts)


def _write(descriptor: int, data: bytes) -> None:
    while data:
        data = data[os.write(descriptor, data) :]
