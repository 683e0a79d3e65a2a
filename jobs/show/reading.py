"""What a person types at a question: on a terminal a key if one is enough, else a line; without a terminal a line of
stdin."""

from __future__ import annotations

import sys

import click


def read_line() -> str:
    """A line, in lower case. Raises EOFError at the end of stdin."""
    line = sys.stdin.buffer.readline()
    if not line:
        raise EOFError
    return line.decode("utf-8", "replace").strip().lower()


def read_key() -> str:
    """The key that is pressed, empty for Enter; without a terminal, a line. Raises EOFError."""
    return click.getchar().lower().strip() if sys.stdin.isatty() else read_line()
