"""A file that is fetched over HTTP: in pieces as they come, within limits of time and size, and on from where it broke
off if the server can do that."""

from __future__ import annotations

import functools
import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

import requests
from urllib3.exceptions import HTTPError

from dedup.net.http import OverdueError, retry_after_s, within
from dedup.net.sink import Sink

CONNECT_S, READ_S, ANSWER_S = 10.0, 30.0, 60.0
"""Longest times, in seconds: to connect, between two pieces, and until an answer has begun."""
SLOWEST_BYTES_PER_S = 4096
LEAST_S = 300.0
"""Whoever sends a file may take this long in all tries, and longer only if it sends this much in each second."""
MOST_BYTES = 8 << 30
"""Largest file."""
MOST_TRIES = 5
"""Tries that may bring nothing new, one after the other."""
PAUSES_S = (1.0, 2.0, 5.0, 15.0)
LONGEST_WAIT_S = 900.0
"""Longest time that a server may ask us to wait."""

_PIECE = 1 << 16
_PASSING = {429, 500, 502, 503, 504}
_NOBODY = {0, 429, 503}
"""Of these, and of no answer, those that are not about one file."""
_RANGE = re.compile(r"bytes (\d+)-\d+/(\d+|\*)")


class DownloadError(Exception):
    """A file that could not be fetched, or only in part; `found` is a phrase."""

    def __init__(self, found: str, status: int = 0) -> None:
        super().__init__(found)
        self.found, self.status = found, status
        """Status of the answer, if that was the reason."""


class UnreachableError(DownloadError):
    """A server that does not answer at all, or that still says "later" after all tries."""


@dataclass(frozen=True)
class Request:
    """What is asked for. None of it is in any message."""

    url: str
    form: Mapping[str, object] | None = None
    """Sent as a form, by POST; None asks by GET."""
    headers: Mapping[str, str] | None = None
    proxies: Any = None


@dataclass(frozen=True)
class Manner:
    """How a file comes."""

    passed: Callable[[int], None]
    """Called with the number of bytes of each piece once it is written; may wait, or raise to end it."""
    hold: Callable[[float], None]
    """Waits some seconds; may raise to end it."""
    expected: int | None = None
    """Bytes of the whole file, if that is known: no more are taken."""


def download(
    session: requests.Session,
    request: Request,
    into: Sink,
    manner: Manner,
    check: Callable[[requests.Response], None] = lambda _: None,
) -> None:
    """Fetches a whole file. `check` looks at an answer before its first byte is written, and raises if it is no file.
    Raises DownloadError, UnreachableError, and what `into`, `check` and `manner` raise."""
    n_tries, spent = 0, _Spent()
    while True:
        before = into.n_bytes
        try:
            _once(session, request, into, manner, check, spent)
            return
        except _BrokenOffError as broken:
            n_tries = 1 if into.n_bytes > before else n_tries + 1
            wait_s = broken.wait_s if broken.wait_s is not None else PAUSES_S[min(n_tries, len(PAUSES_S)) - 1]
            if n_tries >= MOST_TRIES or wait_s > LONGEST_WAIT_S:
                wish = f", and asks to wait {wait_s:,.0f} s" if wait_s > LONGEST_WAIT_S else ""
                is_away = not into.n_bytes and broken.status in _NOBODY
                kind = UnreachableError if is_away else DownloadError
                raise kind(f"{broken.found}{wish}", broken.status) from None
            if broken.wait_s is None:  # else the server asks for it
                spent.add(wait_s, 0, into)
            manner.hold(wait_s)


class _Spent:
    """What a file has cost in all tries."""

    def __init__(self) -> None:
        self._seconds, self._n_bytes = 0.0, 0
        self.version = ""
        """What the server calls the file as it is now, or the time of its last change; empty if it does not say."""

    def add(self, seconds: float, n_bytes: int, into: Sink) -> None:
        """Counts time that the server took, and what it sent then. Raises DownloadError if that is too little."""
        self._seconds += seconds
        self._n_bytes += n_bytes
        if self._seconds > LEAST_S + self._n_bytes / SLOWEST_BYTES_PER_S:
            raise DownloadError(f"it comes too slowly: {into.n_bytes:,} bytes in {self._seconds:,.0f} s")


class _BrokenOffError(Exception):
    """A try that another may follow."""

    def __init__(self, found: str, wait_s: float | None = None, status: int = 0) -> None:
        super().__init__(found)
        self.found, self.wait_s, self.status = found, wait_s, status


def _once(
    session: requests.Session,
    request: Request,
    into: Sink,
    manner: Manner,
    check: Callable[[requests.Response], None],
    spent: _Spent,
) -> None:
    headers = {"Accept": "*/*", "Accept-Encoding": "identity", **(request.headers or {})}
    if into.n_bytes:
        headers["Range"] = f"bytes={into.n_bytes}-"
        if spent.version:
            headers["If-Range"] = spent.version
    ask = functools.partial(
        session.request,
        "GET" if request.form is None else "POST",
        request.url,
        data=request.form,
        headers=headers,
        timeout=(CONNECT_S, READ_S),
        allow_redirects=False,
        stream=True,
        proxies=request.proxies,
    )
    try:
        with within(ask, ANSWER_S, functools.partial(_is_unwanted, manner)) as answer:
            _require_file(answer)
            check(answer)
            total = _begin(answer, into, spent)
            _receive(answer, into, manner, total, spent)
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        if isinstance(error, requests.exceptions.SSLError):
            raise DownloadError("its certificate cannot be verified") from None
        is_late = isinstance(error, requests.exceptions.Timeout)
        raise _BrokenOffError("it does not answer in time" if is_late else "it cannot be reached") from None
    except OverdueError:
        raise _BrokenOffError("it does not answer in time") from None
    except (requests.exceptions.ChunkedEncodingError, HTTPError):
        raise _BrokenOffError("it broke off") from None
    except requests.exceptions.RequestException as error:
        raise DownloadError(f"it cannot be asked for: {type(error).__name__}") from None


def _is_unwanted(manner: Manner) -> bool:
    """Raises what `manner` raises if it wants an end."""
    manner.passed(0)
    return False


def _require_file(answer: requests.Response) -> None:
    status = answer.status_code
    if status in _PASSING:
        raise _BrokenOffError(f"the server answers with status {status}", retry_after_s(answer, time.time()), status)
    if status not in (200, 206):
        raise DownloadError(f"the server answers with status {status}", status)
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError("the server sends it packed, which nobody asked for")


def _begin(answer: requests.Response, into: Sink, spent: _Spent) -> int | None:
    """Makes ready for what comes: the rest of the file, or all of it anew. Gives the size of the whole file, if the
    server tells. Raises DownloadError for the rest of another file than what is there: the two would be torn."""
    version = answer.headers.get("ETag") or answer.headers.get("Last-Modified") or ""
    if answer.status_code == 206 and (found := _RANGE.fullmatch(answer.headers.get("Content-Range", ""))):
        if into.n_bytes and version != spent.version:
            raise DownloadError("it changed while it was fetched")
        if int(found[1]) == into.n_bytes:
            return None if found[2] == "*" else int(found[2])
        raise DownloadError("the server sends another part than it was asked for")
    if into.n_bytes:
        into.restart()
    spent.version = version
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() else None


def _receive(answer: requests.Response, into: Sink, manner: Manner, total: int | None, spent: _Spent) -> None:
    most = min(each for each in (total, manner.expected, MOST_BYTES) if each is not None)
    began = time.monotonic()
    for piece in _pieces(answer):
        took_s = time.monotonic() - began
        if into.n_bytes + len(piece) > most:
            raise DownloadError(f"more than {most:,} bytes come")
        into.write(piece)
        spent.add(took_s, len(piece), into)
        manner.passed(len(piece))
        began = time.monotonic()
    if total is not None and into.n_bytes < total:
        raise _BrokenOffError(f"it broke off after {into.n_bytes:,} of {total:,} bytes")


def _pieces(answer: requests.Response) -> Iterator[bytes]:
    """The body as it comes, not unpacked: a piece may be short, as a slow server sends it."""
    while piece := answer.raw.read1(_PIECE):
        yield piece
