"""Who may ask: only a browser that was given the token, at an address of ours, from a page of ours."""

from __future__ import annotations

import hmac
import secrets
from collections.abc import Iterable
from http.cookies import CookieError, SimpleCookie

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import JSONResponse, RedirectResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from jobs.serve import sign_in
from jobs.serve.pages import error_page, onward_page
from jobs.serve.passphrase import Passphrase

SAFE = ("GET", "HEAD")
MOST_BODY = 1 << 20
"""Bytes of a request's body, except an upload's."""
LONGEST_PATH = 1000
"""Characters of an address before its query."""
MOST_UPLOAD = 64 << 20
"""Bytes of an uploaded picture: as many as a picture in a tag may have."""
UPLOADS = "/api/uploads"
"""Address below which larger bodies are taken."""

POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self'",
        "style-src 'self'",
        "img-src 'self' blob:",
        "connect-src 'self'",
        "form-action 'self'",
        "base-uri 'none'",
        "frame-ancestors 'none'",
    )
)
HEADERS = {
    "Content-Security-Policy": POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}

NOT_LET_IN = "This page needs the address that `reprise serve` printed when it started. Open that address."
NOT_OURS = "This server is not known by this name. Open the address that `reprise serve` printed."
FROM_ELSEWHERE = "This request came from another site, so it was refused."
TOO_LARGE = "This is larger than the server accepts."
TOO_LONG = "This address is too long for this server."


class Key:
    """What lets a browser in: a token for the address, which becomes a cookie. Both are made for one run of the
    server."""

    def __init__(self, port: int) -> None:
        self.token, self._cookie = secrets.token_urlsafe(32), secrets.token_urlsafe(32)
        self.name = f"reprise-{port}"
        """Name of the cookie; browsers keep one jar for all ports of a host."""

    def opens(self, token: str) -> bool:
        return hmac.compare_digest(token.encode(), self.token.encode())

    def is_known(self, cookies: str) -> bool:
        """Whether a Cookie header holds the cookie."""
        try:
            held = SimpleCookie(cookies).get(self.name)
        except CookieError:
            return False
        return held is not None and hmac.compare_digest(held.value.encode(), self._cookie.encode())

    def give(self, response: Response, secure: bool) -> None:
        """Sets the cookie: for this site alone, out of reach for scripts, until the browser ends."""
        response.set_cookie(self.name, self._cookie, httponly=True, samesite="strict", secure=secure)


class Guard:
    """ASGI middleware: answers 401, 403, 413, 414 and 421 itself, and passes on what is allowed. Every answer carries
    `HEADERS`."""

    def __init__(self, app: ASGIApp, key: Key, hosts: Iterable[str], passphrase: Passphrase | None = None) -> None:
        """`hosts` are the values of the Host header under which the server answers, with the port. With a
        `passphrase`, whoever has no cookie may give it."""
        self._app, self._key, self._hosts = app, key, frozenset(host.lower() for host in hosts)
        self._passphrase = passphrase

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def sealed(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                for name, value in HEADERS.items():
                    headers.setdefault(name, value)
                headers.setdefault("Cache-Control", "no-store")
            await send(message)

        receive = _bounded(scope, receive)
        answer = self._refusal(scope) or await self._entry(scope, receive)
        await (answer or self._app)(scope, receive, sealed)

    def _refusal(self, scope: Scope) -> Response | None:
        """Why a request is answered to nobody, cookie or not; None if it is not refused."""
        headers = Headers(scope=scope)
        host = headers.get("host", "").lower()
        if host not in self._hosts:
            return refused(scope, 421, NOT_OURS)
        if len(scope["path"]) > LONGEST_PATH:
            return refused(scope, 414, TOO_LONG)
        if scope["method"] not in SAFE and not _is_from_here(headers, host):
            return refused(scope, 403, FROM_ELSEWHERE)
        length = headers.get("content-length", "0")
        if not length.isascii() or not length.isdigit() or int(length) > _most(scope):
            return refused(scope, 413, TOO_LARGE)
        return None

    async def _entry(self, scope: Scope, receive: Receive) -> Response | None:
        """What is answered to a browser without the cookie; None if it has it."""
        request = Request(scope, receive)
        token = request.query_params.get("token")
        if token is not None and request.method in SAFE and self._key.opens(token):
            return self._entered(request, request.url.path)
        if self._key.is_known(request.headers.get("cookie", "")):
            return None
        if self._passphrase is None:
            return refused(scope, 401, NOT_LET_IN)
        if request.url.path == sign_in.ADDRESS:
            return await sign_in.sign_in(request, self._passphrase) or self._entered(request, "/")
        return refused(scope, 401, NOT_LET_IN) if _is_for_scripts(scope) else sign_in.to_sign_in()

    def _entered(self, request: Request, address: str) -> Response:
        address = "/" + address.lstrip("/\\")
        # From a link elsewhere, browsers send no strict cookie with what is led on to, but with what a page leads to.
        is_led_here = request.headers.get("sec-fetch-site") in ("cross-site", "same-site")
        entered = onward_page(address) if is_led_here else RedirectResponse(address, 303)
        self._key.give(entered, request.url.scheme == "https")
        return entered


def _is_from_here(headers: Headers, host: str) -> bool:
    """Whether a page of ours sent the request. Browsers send Origin with all that may change something; a proxy in
    front may have added TLS."""
    origins = (f"http://{host}", f"https://{host}")
    return headers.get("origin") in origins and headers.get("sec-fetch-site", "same-origin") == "same-origin"


def _is_for_scripts(scope: Scope) -> bool:
    return str(scope["path"]).startswith(("/api/", "/static/"))


def _most(scope: Scope) -> int:
    return MOST_UPLOAD if scope["path"].startswith(UPLOADS) else MOST_BODY


def _bounded(scope: Scope, receive: Receive) -> Receive:
    """The body, cut off where it becomes too large: its length may be a lie, or missing."""
    left = _most(scope)

    async def receive_bounded() -> Message:
        nonlocal left
        message = await receive()
        left -= len(message.get("body", b""))
        if left < 0:
            return {"type": "http.disconnect"}
        return message

    return receive_bounded


def refused(scope: Scope, status: int, text: str) -> Response:
    """An answer that says why: JSON for the API, a page for people."""
    return JSONResponse({"error": text}, status) if _is_for_scripts(scope) else error_page(status, text)
