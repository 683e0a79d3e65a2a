"""Text on lines that fit: how wide and colourful a stream is, where a text or a path is broken, and how the cells of
several rows stand in columns. Plain strings throughout, which 20,000 groups can afford; no text is ever markup."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import IO, Literal

PLAIN_WIDTH = 100
"""Columns of what goes into a file or a pipe, if COLUMNS does not say otherwise."""

LEAST_WIDTH = 40
"""Narrower terminals get lines of this width."""

GAP = 2
"""Blanks between two columns."""

Role = Literal["good", "go", "link", "quiet", "bold", "plain"]

_CODES: dict[Role, str] = {"good": "1;32", "go": "1;33", "link": "36", "quiet": "2", "bold": "1"}


@dataclass(frozen=True)
class Look:
    """What a stream can show."""

    width: int = PLAIN_WIDTH
    """Terminal cells of a line."""
    wraps: bool = False
    """Whether a sentence or a path that is longer is broken. A file or a pipe keeps each on one line, for `grep`."""
    has_colour: bool = False

    def styled(self, text: str, role: Role) -> str:
        """The text in the colour of its role; as it is if the stream has no colours."""
        code = _CODES.get(role) if self.has_colour and text else None
        return f"\x1b[{code}m{text}\x1b[0m" if code else text

    def wrapped(self, text: str, before: int = 0, hanging: int = 0) -> list[str]:
        """The text on lines that leave room for `before` cells on the left; further lines are indented by `hanging`."""
        return wrapped(text, self.width - before, hanging) if self.wraps else [text]


PLAIN = Look()


def look_of(stream: IO[str] | None) -> Look:
    """What a stream can show: the width of its terminal; colour unless NO_COLOR is set or TERM is "dumb"."""
    told = os.environ.get("COLUMNS", "")
    width = int(told) if told.isascii() and told.isdigit() and int(told) else 0
    if stream is None or not stream.isatty():
        return Look(max(LEAST_WIDTH, width or PLAIN_WIDTH))
    if not width:
        try:
            width = os.get_terminal_size(stream.fileno()).columns
        except (OSError, ValueError):  # a terminal that does not know its size
            width = 0
    is_dumb = os.environ.get("TERM") in (None, "", "dumb")
    has_colour = not is_dumb and not os.environ.get("NO_COLOR")
    return Look(max(LEAST_WIDTH, width or 80), True, has_colour)


# ---- widths ----


def width_of(text: str) -> int:
    """Terminal cells that the text takes up; it must hold no control characters. An ideograph or an emoji takes up two,
    however many characters it consists of; combining and joining characters take up none."""
    if text.isascii():
        return len(text)
    from rich.cells import cell_len

    return cell_len(text)


def shortened(text: str, width: int) -> str:
    """The text in at most `width` cells, with an ellipsis for what is left out."""
    if width_of(text) <= width:
        return text
    from rich.cells import set_cell_size

    return set_cell_size(text, width - 1) + "…"


def padded(text: str, width: int, right: bool = False) -> str:
    """The text in `width` cells, at the right end if `right`."""
    space = " " * (width - width_of(text))
    return space + text if right else text + space


# ---- breaking ----


def wrapped(text: str, width: int, hanging: int = 0) -> list[str]:
    """The text on lines of at most `width` cells, all but the first indented by `hanging`, broken between words; within
    a word only if it is longer than a line, behind a slash if it has one."""
    if width_of(text) <= width:
        return [text]
    return _filled(re.findall(r" *[^ ]+", text), width, min(hanging, width // 2))


def wrapped_path(path: str, width: int, hanging: int = 0) -> list[str]:
    """A path on lines of at most `width` cells, broken behind slashes; within a name only if that is longer than a
    line, between its words if it has several. Joined without what indents them, the lines are the path."""
    if width_of(path) <= width:
        return [path]
    lines, room = [""], width
    for part in re.findall(r"[^/]*/|[^/]+", path):
        fits = width_of(part) <= width - hanging
        for piece in [part] if fits else re.findall(r"[^ ]+ *|^ +", part):
            if width_of(lines[-1]) + width_of(piece) <= room:
                lines[-1] += piece
            else:
                room = width - hanging
                lines += _chopped(piece, room)
    first, *others = filter(None, lines)
    return [first, *(" " * hanging + line for line in others)]


def _filled(words: Sequence[str], width: int, hanging: int) -> list[str]:
    """Lines of words, each with the blanks before it, which a break swallows."""
    indent, lines = " " * hanging, [""]
    for word in words:
        if width_of(lines[-1]) + width_of(word) <= width:
            lines[-1] += word
            continue
        bare, room = word.strip(), width - hanging
        pieces = [bare] if width_of(bare) <= room else _pieces(bare, room)
        if not lines[0]:
            lines = []
        lines += [(indent if lines or number else "") + piece for number, piece in enumerate(pieces)]
    return lines


def _pieces(word: str, width: int) -> list[str]:
    """A word that is longer than a line, in pieces, behind slashes if it has some."""
    return wrapped_path(word, width) if "/" in word else _chopped(word, width)


def _chopped(text: str, width: int) -> list[str]:
    from rich.cells import chop_cells

    return chop_cells(text, max(2, width))


def hanging_of(line: str) -> int:
    """Where the text of a line begins that has a label ("groups  8, with …"), or blanks, at its start; 4 for others."""
    label = re.match(r" {2,}|\S+ {2,}|compact ", line)
    return min(12, label.end()) if label else 4


# ---- columns ----


def in_columns(rows: Sequence[Sequence[str]], look: Look, before: int = 0) -> list[list[str]]:
    """The lines of each row, beside `before` cells on the left: cells stand in columns, which all rows share, and go on
    on a next line where one is full. Columns that are empty in all rows are left out, and lines that are empty in a
    row. A cell that is wider than a line is broken."""
    columns: dict[int, list[str]] = {}
    """The cells of each column, equally wide."""
    lines: list[list[int]] = []
    room = 0
    for at, cells in enumerate(zip(*rows, strict=True)):
        if not any(cells):
            continue
        widths = [len(cell) if cell.isascii() else width_of(cell) for cell in cells]
        needed = max(widths)
        columns[at] = [cell + " " * (needed - width) for cell, width in zip(cells, widths, strict=True)]
        if lines and needed + GAP <= room:
            lines[-1].append(at)
            room -= needed + GAP
        else:
            lines.append([at])
            room = look.width - before - needed
    return [list(_lines_of(row, number, columns, lines, look, before)) for number, row in enumerate(rows)]


def hanging_rows(rows: Sequence[Sequence[str]], look: Look) -> Iterator[str]:
    """The lines of all rows in columns; what goes on below a row's first line is indented."""
    for lines in in_columns(rows, look, before=2):
        yield lines[0]
        yield from ("  " + line for line in lines[1:])


def _lines_of(
    row: Sequence[str],
    number: int,
    columns: Mapping[int, Sequence[str]],
    lines: Sequence[Sequence[int]],
    look: Look,
    before: int,
) -> Iterator[str]:
    for line in lines:
        if len(line) == 1:
            yield from look.wrapped(row[line[0]], before) if row[line[0]] else ()
            continue
        text = (" " * GAP).join([columns[at][number] for at in line]).rstrip()
        if text:
            yield text
