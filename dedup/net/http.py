"""Requests by HTTP, as all clients make them: a session that sends no password of its own accord, and answers that are
bounded."""

from __future__ import annotations

from collections.abc import Callable

import requests

from dedup.plain_text import visible

_PIECE = 1 << 12
"""Bytes from one look at the clock to the next: a slow server sends few at a time."""


class TooLargeError(Exception):
    """An answer that has more bytes than it may."""


class OverdueError(Exception):
    """An answer that takes longer than it may."""


def session(user_agent: str) -> requests.Session:
    """A session that asks for JSON and keeps passwords of ~/.netrc out."""
    made = requests.Session()
    made.auth = _no_login
    made.headers.update({"User-Agent": user_agent, "Accept": "application/json"})
    return made


def _no_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def whole(answer: requests.Response, most_bytes: int, is_overdue: Callable[[], bool]) -> bytes:
    """The body of an answer that is streamed. Raises TooLargeError, OverdueError, and what requests raises."""
    data = bytearray()
    for piece in answer.iter_content(_PIECE):
        data += piece
        if len(data) > most_bytes:
            raise TooLargeError
        if is_overdue():
            raise OverdueError
    return bytes(data)


def beginning(data: bytes) -> str:
    """How the body of an answer begins, for a message."""
    return visible(data[:40].decode("utf-8", "replace"))
