"""What a command prints: text and tables for people, or with --json one object a line, on stdout.

JSON is UTF-8 whatever the terminal uses; a byte of a path that is not UTF-8 appears in it as an escaped lone
surrogate, so `os.fsencode` of the parsed text gives the path back. Text never fails on a terminal that lacks
a character."""

from __future__ import annotations

import contextlib
import errno
import os
import re
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Any

import click

from dedup.clock import seconds_of
from dedup.errors import refused
from dedup.plain_text import json_text, visible
from jobs.session.lines import GAP, Look, hanging_of, look_of, padded, width_of, wrapped

NARROWEST = 8
"""Least cells to which a column of a table is narrowed."""


class OutputClosedError(Exception):
    """The reader of stdout has gone away, as `head` does: end quietly."""


@dataclass(frozen=True)
class Column:
    """One column of a table."""

    key: str
    """Key in the rows and in the JSON objects."""
    heading: str
    show: Callable[[Any], str] | None = None
    """Function that turns a value into text for people; None for `str`."""


class Output:
    """Results to stdout; with `as_json` text for people goes to stderr. `before` is called before each write to a
    terminal."""

    def __init__(self, as_json: bool = False, quiet: bool = False, before: Callable[[], None] = lambda: None) -> None:
        self.as_json, self.quiet, self._before = as_json, quiet, before
        self._recorded: list[str | bytes] | None = None

    @contextlib.contextmanager
    def recorded(self) -> Iterator[list[str | bytes]]:
        """What is written inside, in its order: texts for people, and bytes. `replay` writes it again."""
        recorded: list[str | bytes] = []
        self._recorded = recorded
        try:
            yield recorded
        finally:
            self._recorded = None

    def replay(self, recorded: Iterable[str | bytes]) -> None:
        for piece in recorded:
            if isinstance(piece, bytes):
                self.raw(piece)
            else:
                self.laid([piece])
        self.flush()

    def result(self, record: Mapping[str, Any]) -> None:
        """With --json, one object on one line; nothing otherwise."""
        if self.as_json:
            self.raw(json_line(record))
            self.flush()

    @property
    def look(self) -> Look:
        """What the stream for people can show."""
        return look_of(self._stream)

    @property
    def _stream(self) -> IO[str] | None:
        return sys.stderr if self.as_json else sys.stdout

    def text(self, text: str = "") -> None:
        """Lines of a result for people: stdout, or stderr with --json. On a terminal they are broken between words."""
        look = self.look
        if look.wraps:
            lines = (look.wrapped(line, hanging=hanging_of(line)) for line in text.split("\n"))
            text = "\n".join(line for broken in lines for line in broken)
        self.laid([text])

    def laid(self, lines: Iterable[str]) -> None:
        """Lines for people that were laid out for `look`."""
        text = "\n".join(lines)
        if self._recorded is not None:
            self._recorded.append(text)
        self._echo(text, self._stream)

    def note(self, text: str) -> None:
        """A summary or hint for people that --quiet leaves out."""
        if not self.quiet:
            self.text(text)

    def table(self, columns: Sequence[Column], rows: Iterable[Mapping[str, Any]]) -> None:
        """One row a line for people; with --json one object a row, with the columns' keys."""
        if not self.as_json:
            self.laid(aligned(columns, list(rows), self.look))
            return
        for row in rows:
            self.raw(json_line({column.key: row.get(column.key) for column in columns}))
        self.flush()

    def raw(self, data: bytes) -> None:
        """Writes bytes to stdout as they are, for streams such as an export; buffered until `flush`."""
        if self._recorded is not None:
            self._recorded.append(data)
        stream: Any = sys.stdout
        self._clear(stream)
        with _reader():
            if stream is None:
                return
            if hasattr(stream, "buffer"):
                stream.buffer.write(data)
            else:
                stream.write(data.decode("utf-8", "surrogateescape"))

    def flush(self) -> None:
        with _reader():
            if sys.stdout is not None:
                sys.stdout.flush()

    def _echo(self, text: str, stream: IO[str] | None) -> None:
        if stream is not None:
            self._clear(stream)
            with _reader():
                click.echo(text, file=stream)

    def _clear(self, stream: IO[str] | None) -> None:
        if stream is not None and stream.isatty():
            self._before()


@contextlib.contextmanager
def _reader() -> Any:
    try:
        yield
    except OSError as error:
        if error.errno == errno.EPIPE:
            raise OutputClosedError from None
        raise refused("stdout", error) from error


def prepare_streams() -> None:
    """Makes stdout and stderr escape characters that the terminal's encoding lacks, so that no text fails."""
    for stream in (sys.stdout, sys.stderr):
        with contextlib.suppress(AttributeError, ValueError, OSError):
            stream.reconfigure(errors="backslashreplace")  # type: ignore[union-attr]


def abandon_stdout() -> None:
    """Discards what is still buffered for a reader who has gone, so that the exit stays quiet."""
    with contextlib.suppress(AttributeError, ValueError, OSError):
        null = os.open(os.devnull, os.O_WRONLY)
        os.dup2(null, sys.stdout.fileno())
        os.close(null)


def drain_stdout() -> None:
    """Writes out what is buffered, or discards it: otherwise Python tries again at its exit, and reports that too."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except (OSError, ValueError):
        abandon_stdout()


def complain(text: str) -> None:
    """Prints one line on stderr; does nothing if stderr is closed."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        click.echo(one_line(text), file=sys.stderr)


def json_line(record: Mapping[str, Any]) -> bytes:
    """One object, one line, UTF-8."""
    text = json_text(record, separators=(", ", ": "), default=_jsonable)
    # backslashreplace writes a lone surrogate as \udcXX, which is JSON's own escape for it
    return text.encode("utf-8", "backslashreplace") + b"\n"


def _jsonable(value: Any) -> Any:
    if isinstance(value, bytes):
        return os.fsdecode(value)
    if isinstance(value, (set, frozenset)):
        return sorted(value)
    if isinstance(value, Path):
        return str(value)
    raise TypeError(f"no JSON for {type(value).__name__}")


def one_line(text: str) -> str:
    r"""The text with control characters escaped, so that a name with a newline in it stays on its line, and bytes
    of a path that are not UTF-8 as \xNN."""
    if text.isascii() and text.isprintable():
        return text
    shown = visible(text)
    return shown if shown.isascii() else _NOT_UTF_8.sub(lambda found: f"\\x{ord(found[0]) - 0xDC00:02x}", shown)


_NOT_UTF_8 = re.compile("[\udc80-\udcff]")
"""Bytes of a path that are not UTF-8, as surrogateescape keeps them."""


def path_text(path: bytes) -> str:
    """A path for a person, on one line."""
    from dedup.files.paths import printable

    return printable(path)


def aligned(columns: Sequence[Column], rows: Sequence[Mapping[str, Any]], look: Look | None = None) -> list[str]:
    """Lines of a table: the headings, then the rows, in columns of equal width on a terminal, numbers to the right. If
    the table is wider than `look` can show, the cells of its widest columns go on on further lines."""
    cells = [[_cell(column, row.get(column.key)) for column in columns] for row in rows]
    table = [[column.heading for column in columns], *cells]
    widths = [max(map(width_of, column)) for column in zip(*table, strict=True)]
    if look is not None and look.wraps:
        widths = _narrowed(widths, look.width - GAP * (len(widths) - 1))
    right = [
        bool(rows)
        and all(isinstance(row.get(c.key), (int, float)) and not isinstance(row.get(c.key), bool) for row in rows)
        for c in columns
    ]
    return [line for row in table for line in _row_lines(row, widths, right)]


def _narrowed(widths: Sequence[int], room: int) -> list[int]:
    """Widths of columns that fit, if possible: the widest become narrower."""
    found = list(widths)
    while sum(found) > room and max(found) > NARROWEST:
        found[found.index(max(found))] -= 1
    return found


def _row_lines(cells: Sequence[str], widths: Sequence[int], right: Sequence[bool]) -> Iterator[str]:
    pieces = [wrapped(cell, width) for cell, width in zip(cells, widths, strict=True)]
    for number in range(max(map(len, pieces), default=0)):
        line = [each[number] if number < len(each) else "" for each in pieces]
        yield (" " * GAP).join(map(padded, line, widths, right)).rstrip()


def _cell(column: Column, value: Any) -> str:
    if column.show is not None:
        return one_line(column.show(value))
    if isinstance(value, bytes):
        return path_text(value)
    return "" if value is None else one_line(str(value))


def size_text(n_bytes: float) -> str:
    """A size such as "3.4 GB", in decimal units, as disks are sold."""
    units = ("B", "kB", "MB", "GB", "TB", "PB")
    unit = 0
    while abs(n_bytes) >= 999.5 and unit < len(units) - 1:
        n_bytes, unit = n_bytes / 1000, unit + 1
    return f"{n_bytes:.0f} B" if unit == 0 else f"{n_bytes:.3g} {units[unit]}"


def count_text(n: int, unit: str, units: str = "") -> str:
    """A count such as "1 file" or "1,204 files"; `units` is the plural if it is not the unit with an s."""
    return f"{n:,} {unit if n == 1 else units or f'{unit}s'}"


def time_text(seconds: float) -> str:
    """A duration such as "3.2 s", "4 min 05 s" or "2 h 03 min"."""
    if seconds < 59.95:
        return f"{seconds:.1f} s"
    whole = round(seconds)
    if whole < 3600:
        return f"{whole // 60} min {whole % 60:02d} s"
    minutes = round(seconds / 60)
    return f"{minutes // 60} h {minutes % 60:02d} min"


def local_time(when: str) -> str:
    """A recorded time in UTC as local time for people: "2026-02-28 22:30"; as it is if it is none."""
    try:
        return time.strftime("%Y-%m-%d %H:%M", time.localtime(seconds_of(when)))
    except ValueError:
        return when
