"""HTTP to one media server: time limits, tries again with growing pauses, certificates verified, answers bounded. No
message and no log line holds what is sent, as that may be a password."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal
from urllib.parse import urlsplit

import requests
from urllib3.exceptions import HTTPError

from dedup import __version__
from dedup.errors import ServerError
from dedup.net.download import Manner, Request, download
from dedup.net.http import OverdueError, TooLargeError, UnwantedError, beginning, session, whole, within
from dedup.net.sink import Sink
from dedup.plain_text import visible
from dedup.servers.server import MissingError, RefusedError

CONNECT_S, READ_S, WHOLE_S = 5.0, 15.0, 60.0
"""Longest times, in seconds: to connect, between two pieces of an answer, and for a whole answer, from the first byte
that is sent to the last that comes."""
PAUSES_S = (0.5, 1.5)
"""Pauses before each further try."""
MOST_BYTES = 1 << 28
"""Largest answer that is read."""

_PASSING = {429, 502, 503, 504}
"""Statuses that say: later."""
_LOOK_S = 0.2
"""Pause between two looks at whether somebody wants an end."""
_USER_AGENT = f"reprise/{__version__}"
_NO_PROXY: Any = {"http": None, "https": None, "all": None}
_LONGEST_TOLD = 200

Method = Literal["GET", "POST", "DELETE"]
Values = Mapping[str, str | int | Sequence[str]]


class Http:
    """Requests to one server."""

    def __init__(self, name: str, url: str, insecure: bool, why_end: Callable[[], str] = str) -> None:
        """`insecure`: whether secrets may go unencrypted to another machine. `why_end`: why nothing more is to be
        asked; empty as long as it may."""
        self.where, self.url = f"server {name}", url
        self._why_end = why_end
        self._is_here = _is_here(url)
        """Whether it is this machine. What is sent to it goes through no proxy, which would be another."""
        self.is_private = insecure or self._is_here or urlsplit(url).scheme == "https"
        """Whether nobody on the way can read what is sent."""
        self._has_answered = False
        self._session = session(_USER_AGENT)
        self.headers: Mapping[str, str] = {}
        """What goes with every request."""

    def ask(
        self,
        method: Method,
        path: str,
        *,
        query: Values | None = None,
        form: Values | None = None,
        body: Any = None,
        is_repeatable: bool = True,
    ) -> Any:
        """The JSON value of an answer, None for an empty one. `form` is sent as a form, `body` as JSON. Unless it
        `is_repeatable`, it is sent once, and so is what a server gets that has not answered yet. Raises RefusedError
        for a status of refusal, ServerError for no answer or none that can be understood."""
        pauses = PAUSES_S if is_repeatable and self._has_answered else ()
        for pause_s in (*pauses, None):
            try:
                return self._within(lambda: self._once(method, path, query, form, body))
            except _LaterError as later:
                if pause_s is None:
                    raise ServerError(self.where, later.found, remedy=_REMEDY.format(self.url)) from None
                self._pause(pause_s)
        raise AssertionError("the last try returns or raises")

    def download(
        self, path: str, form: Values, into: Sink, manner: Manner, check: Callable[[requests.Response], None]
    ) -> None:
        """Fetches a file, as `net.download.download` does; `check` looks at an answer first. Raises DownloadError, and
        what these raise."""
        self._require_time()
        proxies = _NO_PROXY if self._is_here else None
        request = Request(f"{self.url}/{path}", form, self.headers, proxies)
        download(self._session, request, into, manner, check)

    def _pause(self, seconds: float) -> None:
        until = time.monotonic() + seconds
        while (left_s := until - time.monotonic()) > 0:
            self._require_time()
            time.sleep(min(_LOOK_S, left_s))

    def _require_time(self) -> None:
        if why := self._why_end():
            raise ServerError(self.where, why, remedy="")

    def _within(self, request: Callable[[], Any]) -> Any:
        """What a request returns or raises, within `WHOLE_S`, unless somebody wants an end."""
        self._require_time()
        try:
            return within(request, WHOLE_S, lambda: bool(self._why_end()))
        except OverdueError:
            self._abandon()
            raise _LaterError(f"its answer took longer than {WHOLE_S:.0f} s") from None
        except UnwantedError:
            self._abandon()
            self._require_time()
            raise

    def _abandon(self) -> None:
        """Leaves a request to its thread, which ends by the limits of the socket, and goes on with another session."""
        self._session.close()
        self._session = session(_USER_AGENT)

    def _once(self, method: Method, path: str, query: Values | None, form: Values | None, body: Any) -> Any:
        began, current = time.monotonic(), self._session
        try:
            with current.request(
                method,
                f"{self.url}/{path}",
                params=query,
                headers=self.headers,
                data=form,
                json=body,
                timeout=(CONNECT_S, READ_S),
                allow_redirects=False,
                stream=True,
                proxies=_NO_PROXY if self._is_here else None,
            ) as answer:
                self._require_welcome(answer)
                return self._understood(self._whole(answer, began))
        except requests.exceptions.SSLError as error:
            if "WRONG_VERSION_NUMBER" in str(error) or "RECORD_LAYER_FAILURE" in str(error):
                found, remedy = "does not speak https there", "Write http:// in place of https:// in its url"
                raise ServerError(self.where, found, remedy=remedy) from None
            found = f"its certificate cannot be verified: {_reason(error)}"
            remedy = "Give it one that this system trusts, or name the authority's file in REQUESTS_CA_BUNDLE"
            raise ServerError(self.where, found, remedy=remedy) from None
        except requests.exceptions.RequestException as error:
            if isinstance(error, (requests.exceptions.ConnectionError, requests.exceptions.Timeout)):
                raise _LaterError(_unreachable(error)) from None
            if isinstance(error, requests.exceptions.ChunkedEncodingError):
                raise _LaterError("its answer broke off") from None
            raise self._unaskable(error) from None
        except (HTTPError, ValueError, OSError) as error:  # such as a name or a token that no request can hold
            raise self._unaskable(error) from None

    def _unaskable(self, error: Exception) -> ServerError:
        found = f"cannot be asked at {visible(self.url)[:_LONGEST_TOLD]}: {type(error).__name__}"
        return ServerError(self.where, found, remedy="Correct its url")

    def _require_welcome(self, answer: requests.Response) -> None:
        self._has_answered, status = True, answer.status_code
        if status in _PASSING:
            raise _LaterError(f"answers with status {status}")
        if 300 <= status < 400:
            target = visible(answer.headers.get("Location", "elsewhere").split("?", 1)[0])[:_LONGEST_TOLD]
            raise ServerError(self.where, f"sends us on to {target}", remedy="Write that address as url")
        if status == 401:
            raise ServerError(self.where, "does not accept user and password", remedy="Correct user and password")
        if status >= 500 and status != 501:
            raise ServerError(self.where, f"failed (status {status})", remedy="Look at its own log")
        if status in (404, 501):
            raise MissingError(self.where, "the server has none", remedy="")
        if status >= 400:
            raise RefusedError(self.where, f"refused (status {status})", remedy="Look whether the user may do that")

    def _whole(self, answer: requests.Response, began: float) -> bytes:
        try:
            return whole(answer, MOST_BYTES, lambda: time.monotonic() - began > WHOLE_S or bool(self._why_end()))
        except TooLargeError:
            raise ServerError(self.where, f"its answer is larger than {MOST_BYTES >> 20} MiB", remedy="") from None
        except OverdueError:
            raise _LaterError(f"its answer took longer than {WHOLE_S:.0f} s") from None

    def _understood(self, data: bytes) -> Any:
        if not data.strip():
            return None
        try:
            return json.loads(data)
        except (ValueError, RecursionError):
            found = f"answers with something other than JSON: {beginning(data)!r}"
            remedy = "Correct its url: perhaps a login page or another program answers there"
            raise ServerError(self.where, found, remedy=remedy) from None


_REMEDY = "See whether it runs, and whether {} is its address"


class _LaterError(Exception):
    """A try that another may follow."""

    def __init__(self, found: str) -> None:
        super().__init__(found)
        self.found = found


def _is_here(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def _unreachable(error: requests.exceptions.RequestException) -> str:
    if isinstance(error, requests.exceptions.ConnectTimeout):
        return f"does not take a connection within {CONNECT_S:.0f} s"
    if isinstance(error, requests.exceptions.Timeout):
        return f"does not answer within {READ_S:.0f} s"
    return f"cannot be reached: {_reason(error)}"


def _reason(error: BaseException) -> str:
    """The innermost reason of an exception that wraps others, without an address or what was sent."""
    seen: BaseException = error
    for _ in range(8):
        inner = getattr(seen, "reason", None) or seen.__cause__ or seen.__context__
        if not isinstance(inner, BaseException):
            break
        seen = inner
    if isinstance(seen, OSError) and seen.strerror:
        return seen.strerror
    return str(getattr(seen, "verify_message", "") or type(seen).__name__)
