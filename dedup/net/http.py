"""Requests by HTTP, as all clients make them: a session that sends no password of its own accord, and answers that are
bounded."""

from __future__ import annotations

import email.utils
import math
import queue
import threading
import time
from collections.abc import Callable
from datetime import UTC
from typing import Any, TypeVar

import requests

from dedup.plain_text import visible

_T = TypeVar("_T")

_LOOK_S = 0.2
"""Pause between two looks at whether somebody wants an end."""

_PIECE = 1 << 12
"""Bytes from one look at the clock to the next: a slow server sends few at a time."""


class TooLargeError(Exception):
    """An answer that has more bytes than it may."""


class OverdueError(Exception):
    """An answer that takes longer than it may."""


class UnwantedError(Exception):
    """Somebody wants an end before the answer is there."""


def session(user_agent: str) -> requests.Session:
    """A session that asks for JSON and keeps passwords of ~/.netrc out."""
    made = requests.Session()
    made.auth = _no_login
    made.headers.update({"User-Agent": user_agent, "Accept": "application/json"})
    return made


def _no_login(request: requests.PreparedRequest) -> requests.PreparedRequest:
    return request


def within(request: Callable[[], _T], longest_s: float, is_unwanted: Callable[[], bool]) -> _T:
    """What a request returns or raises. A thread makes it, as a server that sends its headers byte by byte, or a name
    that is looked up for ever, heeds no limit of a socket. Raises OverdueError after `longest_s`, and UnwantedError if
    an answer `is_unwanted`; the request is then left to its thread, which ends by the limits of the socket: go on with
    another session."""
    answers = queue.SimpleQueue[tuple[Any, BaseException | None]]()

    def ask() -> None:
        try:
            answers.put((request(), None))
        except BaseException as error:  # raised by who waits
            answers.put((None, error))

    until = time.monotonic() + longest_s
    threading.Thread(target=ask, daemon=True).start()
    while True:
        try:
            value, error = answers.get(timeout=max(0.0, min(_LOOK_S, until - time.monotonic())))
        except queue.Empty:
            if time.monotonic() >= until:
                raise OverdueError from None
            if is_unwanted():
                raise UnwantedError from None
            continue
        if error is not None:
            raise error
        found: _T = value
        return found


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


def retry_after_s(answer: requests.Response, now: float) -> float | None:
    """Seconds from `now` (Unix time) that the header `Retry-After` asks for, as a number or as a date; None if it does
    not."""
    text = answer.headers.get("Retry-After", "").strip()
    try:
        seconds = float(text)
    except ValueError:
        try:
            moment = email.utils.parsedate_to_datetime(text)
            seconds = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now
        except (ValueError, TypeError, OverflowError):
            return None
    return max(0.0, seconds) if math.isfinite(seconds) else None
