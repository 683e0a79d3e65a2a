"""A file that is fetched over HTTP: in pieces as they come, within limits of time and size, and on from where it broke
off if the server can do that."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import requests
from urllib3.exceptions import HTTPError

from dedup.net.http import retry_after_s

CONNECT_S, READ_S = 10.0, 30.0
"""Longest times, in seconds: to connect, and between two pieces."""
SLOWEST_BYTES_PER_S = 4096
LEAST_S = 300.0
"""Whoever sends a file may take this long, and longer only if it sends this much in each second."""
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


class Into(Protocol):
    """A file that is being written."""

    @property
    def n_bytes(self) -> int: ...

    def write(self, data: bytes) -> None: ...

    def restart(self) -> None: ...


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
    into: Into,
    manner: Manner,
    check: Callable[[requests.Response], None] = lambda _: None,
) -> None:
    """Fetches a whole file. `check` looks at an answer before its first byte is written, and raises if it is no file.
    Raises DownloadError, UnreachableError, and what `into`, `check` and `manner` raise."""
    n_tries = 0
    while True:
        before = into.n_bytes
        try:
            _once(session, request, into, manner, check)
            return
        except _BrokenOffError as broken:
            n_tries = 1 if into.n_bytes > before else n_tries + 1
            wait_s = broken.wait_s if broken.wait_s is not None else PAUSES_S[min(n_tries, len(PAUSES_S)) - 1]
            if n_tries >= MOST_TRIES or wait_s > LONGEST_WAIT_S:
                wish = f", and asks to wait {wait_s:,.0f} s" if wait_s > LONGEST_WAIT_S else ""
                is_away = not into.n_bytes and broken.status in _NOBODY
                kind = UnreachableError if is_away else DownloadError
                raise kind(f"{broken.found}{wish}", broken.status) from None
            manner.hold(wait_s)


class _BrokenOffError(Exception):
    """A try that another may follow."""

    def __init__(self, found: str, wait_s: float | None = None, status: int = 0) -> None:
        super().__init__(found)
        self.found, self.wait_s, self.status = found, wait_s, status


def _once(
    session: requests.Session,
    request: Request,
    into: Into,
    manner: Manner,
    check: Callable[[requests.Response], None],
) -> None:
    headers = {"Accept": "*/*", "Accept-Encoding": "identity", **(request.headers or {})}
    if into.n_bytes:
        headers["Range"] = f"bytes={into.n_bytes}-"
    try:
        with session.request(
            "GET" if request.form is None else "POST",
            request.url,
            data=request.form,
            headers=headers,
            timeout=(CONNECT_S, READ_S),
            allow_redirects=False,
            stream=True,
            proxies=request.proxies,
        ) as answer:
            _require_file(answer)
            check(answer)
            total = _begin(answer, into)
            _receive(answer, into, manner, total)
    except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
        if isinstance(error, requests.exceptions.SSLError):
            raise DownloadError("its certificate cannot be verified") from None
        is_late = isinstance(error, requests.exceptions.Timeout)
        raise _BrokenOffError("it does not answer in time" if is_late else "it cannot be reached") from None
    except (requests.exceptions.ChunkedEncodingError, HTTPError):
        raise _BrokenOffError("it broke off") from None
    except requests.exceptions.RequestException as error:
        raise DownloadError(f"it cannot be asked for: {type(error).__name__}") from None


def _require_file(answer: requests.Response) -> None:
    status = answer.status_code
    if status in _PASSING:
        raise _BrokenOffError(f"the server answers with status {status}", retry_after_s(answer, time.time()), status)
    if status not in (200, 206):
        raise DownloadError(f"the server answers with status {status}", status)
    if answer.headers.get("Content-Encoding", "identity") != "identity":
        raise DownloadError("the server sends it packed, which nobody asked for")


def _begin(answer: requests.Response, into: Into) -> int | None:
    """Makes ready for what comes: the rest of the file, or all of it anew. Gives the size of the whole file, if the
    server tells."""
    if answer.status_code == 206 and (found := _RANGE.fullmatch(answer.headers.get("Content-Range", ""))):
        if int(found[1]) == into.n_bytes:
            return None if found[2] == "*" else int(found[2])
        raise DownloadError("the server sends another part than it was asked for")
    if into.n_bytes:
        into.restart()
    length = answer.headers.get("Content-Length", "")
    return int(length) if length.isascii() and length.isdigit() else None


def _receive(answer: requests.Response, into: Into, manner: Manner, total: int | None) -> None:
    most = min(each for each in (total, manner.expected, MOST_BYTES) if each is not None)
    began, first = time.monotonic(), into.n_bytes
    waited_s = 0.0
    for piece in _pieces(answer):
        if into.n_bytes + len(piece) > most:
            raise DownloadError(f"more than {most:,} bytes come")
        into.write(piece)
        before = time.monotonic()
        manner.passed(len(piece))
        waited_s += time.monotonic() - before
        took_s = time.monotonic() - began - waited_s
        if took_s > LEAST_S + (into.n_bytes - first) / SLOWEST_BYTES_PER_S:
            raise DownloadError(f"it comes too slowly: {into.n_bytes:,} bytes in {took_s:,.0f} s")
    if total is not None and into.n_bytes < total:
        raise _BrokenOffError(f"it broke off after {into.n_bytes:,} of {total:,} bytes")


def _pieces(answer: requests.Response) -> Iterator[bytes]:
    """The body as it comes, not unpacked: a piece may be short, as a slow server sends it."""
    while piece := answer.raw.read1(_PIECE):
        yield piece
