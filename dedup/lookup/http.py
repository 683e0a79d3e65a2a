"""One service on the net, asked at its pace: time limits, further tries with growing pauses, answers bounded. No
message holds what is sent, as the key is in it; no redirect is followed, as it may lead elsewhere."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import requests
from urllib3.exceptions import HTTPError

from dedup import __version__
from dedup.errors import ServiceError
from dedup.lookup.pace import LONGEST_HOLD_S, Pace, StoppedError
from dedup.net.http import (
    OverdueError,
    TooLargeError,
    UnwantedError,
    beginning,
    retry_after_s,
    session,
    whole,
    within,
)
from dedup.plain_text import visible

HOMEPAGE = "https://github.com/reprise-dedup/reprise"
USER_AGENT = f"Reprise/{__version__} ( {HOMEPAGE} )"
"""Who asks, in the form that MusicBrainz wants."""

CONNECT_S, READ_S, WHOLE_S = 10.0, 30.0, 120.0
"""Longest times, in seconds: to connect, between two pieces of an answer, and for a whole answer."""
PAUSES_S = (2.0, 4.0, 8.0, 16.0, 32.0, 60.0)
"""Pauses before each further try, if the service does not name one."""
MOST_BYTES = 32 << 20
"""Largest answer that is read."""

STOP_S = 5.0
"""Seconds that an answer in flight has when the run is to stop: what came is kept, and is not asked for again."""

_PASSING = {429, 500, 502, 503, 504}
"""Statuses that say: later."""
_LONGEST_TOLD = 200


class Http:
    """Requests to one service."""

    def __init__(self, name: str, url: str, pace: Pace, read_s: float = READ_S) -> None:
        """`name` is for messages; `read_s` the longest time between two pieces of an answer."""
        self.name, self.url, self.pace, self.read_s = name, url.rstrip("/"), pace, read_s
        self._session = session(USER_AGENT)
        self._stopping_since: float | None = None

    def close(self) -> None:
        self._session.close()

    def ask(
        self,
        method: Literal["GET", "POST"],
        path: str,
        *,
        query: Mapping[str, str] | None = None,
        form: Mapping[str, str] | None = None,
    ) -> dict[str, Any] | None:
        """The JSON object of an answer; None if the service does not know the path. Raises ServiceError for no answer
        or one that cannot be used, StoppedError if the run stops meanwhile."""
        for pause_s in (*PAUSES_S, None):
            self.pace.take()
            try:
                return self._within(lambda: self._once(method, path, query, form))
            except _LaterError as later:
                asked_s = later.pause_s
                if pause_s is None or (asked_s is not None and asked_s > LONGEST_HOLD_S):
                    wish = f", and asks to wait {asked_s:,.0f} s" if asked_s else ""
                    raise self.error(f"{later.found}{wish}", "Run the same command later: answers are kept") from None
                self.pace.hold(max(pause_s, asked_s or 0.0))
        raise AssertionError("the last try returns or raises")

    def error(self, found: str, remedy: str = "") -> ServiceError:
        return ServiceError(self.name, found, remedy=remedy)

    def _within(self, request: Callable[[], dict[str, Any] | None]) -> dict[str, Any] | None:
        try:
            return within(request, WHOLE_S, self._is_over)
        except (OverdueError, UnwantedError) as error:
            self._session.close()
            self._session = session(USER_AGENT)
            if isinstance(error, UnwantedError):
                raise StoppedError from None
            raise _LaterError(f"its answer takes longer than {WHOLE_S:.0f} s") from None

    def _is_over(self) -> bool:
        """Whether a run that is to stop has waited long enough for what is in flight."""
        if not self.pace.stop.requested:
            return False
        if self._stopping_since is None:
            self._stopping_since = time.monotonic()
        return time.monotonic() - self._stopping_since > STOP_S

    def _once(
        self, method: str, path: str, query: Mapping[str, str] | None, form: Mapping[str, str] | None
    ) -> dict[str, Any] | None:
        began, current = time.monotonic(), self._session
        try:
            with current.request(
                method,
                f"{self.url}/{path}",
                params=query,
                data=form,
                timeout=(CONNECT_S, self.read_s),
                allow_redirects=False,
                stream=True,
            ) as answer:
                if answer.status_code in _PASSING:
                    later_s = retry_after_s(answer, self.pace.now())
                    raise _LaterError(f"answers with status {answer.status_code}", later_s)
                if 300 <= answer.status_code < 400:
                    raise self.error(f"sends us on to {_text(answer.headers.get('Location', 'elsewhere'))}")
                data = self._whole(answer, began)
        except requests.exceptions.SSLError:
            raise self.error("its certificate cannot be verified", "See whether the clock is right") from None
        except (requests.exceptions.ConnectionError, requests.exceptions.Timeout) as error:
            raise _LaterError(_unreachable(error)) from None
        except requests.exceptions.ChunkedEncodingError:
            raise _LaterError("its answer broke off") from None
        except requests.exceptions.ContentDecodingError:
            raise _LaterError("its answer cannot be unpacked") from None
        except (requests.exceptions.RequestException, HTTPError, ValueError, OSError) as error:
            raise self.error(f"cannot be asked: {type(error).__name__}") from None
        return self._understood(answer.status_code, data)

    def _whole(self, answer: requests.Response, began: float) -> bytes:
        try:
            return whole(answer, MOST_BYTES, lambda: time.monotonic() - began > WHOLE_S)
        except TooLargeError:
            raise self.error(f"its answer is larger than {MOST_BYTES >> 20} MiB") from None
        except OverdueError:
            raise _LaterError(f"its answer takes longer than {WHOLE_S:.0f} s") from None

    def _understood(self, status: int, data: bytes) -> dict[str, Any] | None:
        try:
            value = json.loads(data)
        except (ValueError, RecursionError):
            value = None
        if status == 200 and isinstance(value, dict):
            return value
        if status == 200 or (status == 404 and not isinstance(value, dict)):  # that of some other page
            raise _LaterError(f"answers with something other than JSON: {beginning(data)!r}")
        if status == 404:
            return None
        told = value.get("error") if isinstance(value, dict) else None
        if isinstance(told, dict):  # AcoustID's form
            raise RefusedError(self.name, _text(told.get("message")), told.get("code"))
        raise self.error(f"refuses (status {status}): {_text(told) or beginning(data)}")


class RefusedError(ServiceError):
    """An answer that says why there is none."""

    def __init__(self, name: str, message: str, code: object) -> None:
        super().__init__(name, f"refuses: {message}")
        self.message, self.code = message, code


class _LaterError(Exception):
    """A try that another may follow."""

    def __init__(self, found: str, pause_s: float | None = None) -> None:
        super().__init__(found)
        self.found = found
        self.pause_s = pause_s
        """Seconds that the service asks to wait."""


def _unreachable(error: requests.exceptions.RequestException) -> str:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"does not take a connection within {CONNECT_S:.0f} s"
    if isinstance(error, requests.exceptions.Timeout):
        return "does not answer in time"
    return "cannot be reached"


def _text(value: object) -> str:
    return visible(str(value or ""))[:_LONGEST_TOLD]
