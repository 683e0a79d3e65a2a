"""The one style in which files are listed: a mark and the path on a line of its own; what is known of the file below,
in columns that all files of a group share; then sentences."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from jobs.session.lines import Look, Role, in_columns, wrapped_path

INDENT = 6
"""Cells of the marks before the names."""

STEP = 2
"""Cells by which what is known of an entry stands further right than its name."""


@dataclass(frozen=True)
class Entry:
    """One of a list."""

    name: str
    """A path, or what else names it, as text."""
    cells: Sequence[str] = ()
    """What is known of it, each with its unit or in words; as many for each entry of a list."""
    mark: str = ""
    """What sets it apart, in a word: "best", "keep", "go"."""
    role: Role = "plain"
    """Colour of the mark."""
    notes: Sequence[str] = ()
    """Sentences about it."""
    number: str = ""
    """Number by which a person chooses it."""


def entry_lines(entries: Sequence[Entry], look: Look) -> Iterator[str]:
    """The lines of a list."""
    indent = INDENT + (max(len(entry.number) for entry in entries) + 1 if any(e.number for e in entries) else 0)
    for entry, known in zip(entries, in_columns([e.cells for e in entries], look, indent + STEP), strict=True):
        yield from name_lines(entry, look, indent)
        yield from (" " * (indent + STEP) + line for line in known)
        yield from indented(entry.notes, look, indent + STEP)


def indented(texts: Iterable[str], look: Look, indent: int = INDENT) -> Iterator[str]:
    """The lines of sentences about what stands above them."""
    for text in texts:
        yield from (" " * indent + line for line in look.wrapped(text, indent, hanging=2))


def name_lines(entry: Entry, look: Look, indent: int) -> Iterator[str]:
    """The mark and the name: the folder dim, the file's own name bright."""
    number = f"{entry.number} " if entry.number else ""
    space = " " * (indent - len(number) - len(entry.mark))
    lead = number + look.styled(entry.mark, entry.role) + space
    lines = wrapped_path(entry.name, look.width - indent) if look.wraps else [entry.name]
    at = entry.name.rfind("/") + 1
    for line in lines:
        n_folder = min(max(at, 0), len(line))
        yield lead + look.styled(line[:n_folder], "quiet") + look.styled(line[n_folder:], "bold")
        at, lead = at - len(line), " " * indent
