"""The gate's API: questions, answers, the queue, what was imported, and how it is."""

from __future__ import annotations

import asyncio
import base64
import hmac
import logging
import math
import os
import time
from typing import TYPE_CHECKING, Any

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from dedup.errors import RepriseError
from dedup.files.paths import path_from_json
from dedup.gate.nouns import ANSWERS
from jobs.serve.gate_document import DOCUMENT
from jobs.serve.gate_hooks import lidarr, slskd
from jobs.serve.gate_uploads import MOST_UPLOAD, Uploads, is_upload
from jobs.serve.handling import number_in, said

if TYPE_CHECKING:
    from collections.abc import Collection

    from dedup.gate.keeper import Keeper

log = logging.getLogger("reprise")

WAIT_S, MOST_WAIT_S = 30.0, 300.0
"""Seconds for which an answer is waited for: unless the caller says otherwise, and at most."""

LOOK_S = 0.02
"""Seconds between two looks whether there is an answer."""

MOST_BODY = 1 << 20
"""Bytes of a body: a webhook tells of an album with all its tracks."""
MOST_DIGITS = 18


class Entry:
    """ASGI middleware: lets in who has the token, if there is one, under a name of this server, and no page of any
    site. Bodies are bounded."""

    def __init__(self, app: ASGIApp, token: str = "", hosts: Collection[str] = ()) -> None:
        """Without a token whoever reaches the socket is let in: only its owner can."""
        self._app, self._token, self._hosts = app, token, frozenset(hosts)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        refused = self._refused(headers) if scope["type"] == "http" else None
        left = MOST_UPLOAD if is_upload(headers) else MOST_BODY

        async def bounded() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            return message if left >= 0 else {"type": "http.disconnect"}

        await (refused or self._app)(scope, bounded, send)

    def _refused(self, headers: Headers) -> Response | None:
        if "origin" in headers or headers.get("sec-fetch-site", "none") != "none":
            return _error(403, "This API answers programs, not pages.")
        if not self._token:
            return None
        if headers.get("host", "").lower() not in self._hosts:
            return _error(421, "This server is not known by this name.")
        if not hmac.compare_digest(_token_in(headers.get("authorization", "")).encode(), self._token.encode()):
            return _error(401, "The header Authorization must hold the token that is in the store's file gate/token.")
        return None


def _token_in(header: str) -> str:
    """The token that a header holds: as it is, or as the password of any user, which is all that some webhooks know."""
    scheme, _, given = header.partition(" ")
    if scheme.lower() == "bearer":
        return given.strip()
    try:
        return base64.b64decode(given, validate=True).decode().partition(":")[2] if scheme.lower() == "basic" else ""
    except (ValueError, UnicodeDecodeError):
        return ""


def application(keeper: Keeper, uploads: Uploads) -> Starlette:
    """The API, without its entry."""
    app = Starlette(
        routes=[
            Route("/v1/check", _check, methods=["POST"]),
            Route("/v1/decisions/{id}", _decision),
            Route("/v1/queue", _queue),
            Route("/v1/imported", _imported, methods=["POST"]),
            Route("/v1/hooks/slskd", slskd, methods=["POST"]),
            Route("/v1/hooks/lidarr", lidarr, methods=["POST"]),
            Route("/health", _health),
            Route("/metrics", _metrics),
            Route("/openapi.json", _document),
        ],
        exception_handlers={HTTPException: _refusal, RepriseError: _failure, Exception: _bug},
    )
    app.state.keeper, app.state.uploads = keeper, uploads
    return app


# ---- handlers ----


async def _check(request: Request) -> Response:
    if is_upload(request.headers):
        wait_s = _wait_of(request.query_params.get("wait_s", WAIT_S))
        sent: bytes = await request.app.state.uploads.receive(request)
        return await _answered(request, await run_in_threadpool(_keeper(request).ask, sent), wait_s)
    asked = await said(request)
    try:
        path = path_from_json(asked)
    except (KeyError, ValueError, TypeError, AttributeError, UnicodeEncodeError):
        raise HTTPException(400, "The request names no file: give path, or path_hex.") from None
    if not path.startswith(b"/") or b"\0" in path:
        raise HTTPException(400, "The path must be absolute.")
    wait_s = _wait_of(asked.get("wait_s", WAIT_S))
    return await _answered(request, await run_in_threadpool(_keeper(request).ask, path), wait_s)


async def _decision(request: Request) -> Response:
    id_ = number_in(request.path_params["id"], MOST_DIGITS)
    if id_ is None:
        raise HTTPException(404, "There is no such question.")
    return await _answered(request, id_, _wait_of(request.query_params.get("wait_s", "0")))


async def _queue(request: Request) -> Response:
    return JSONResponse({"waiting": await run_in_threadpool(_keeper(request).queue)})


async def _imported(request: Request) -> Response:
    told, keeper = await said(request), _keeper(request)
    id_, path = told.get("id"), None
    try:
        path = os.path.abspath(path_from_json(told)) if {"path", "path_hex"} & told.keys() else None
    except (ValueError, TypeError, AttributeError, UnicodeEncodeError):
        raise HTTPException(400, "The path cannot be read.") from None
    if id_ is None and path is not None:
        id_ = await run_in_threadpool(_question_about, keeper, path)
    if type(id_) is not int or not 0 <= id_ < 1 << 62 or not await run_in_threadpool(keeper.imported, id_, path):
        raise HTTPException(404, "There is no such question.")
    return JSONResponse({"id": id_})


async def _health(request: Request) -> Response:
    state = _keeper(request).state
    told = {
        "status": "failing" if state.problem else "ok",
        "problem": state.problem,
        "inbox": state.inbox,
        "tracks": state.n_tracks,
    }
    return JSONResponse(told, 503 if state.problem else 200)


async def _metrics(request: Request) -> Response:
    keeper = _keeper(request)
    waiting, state = len(await run_in_threadpool(keeper.queue)), keeper.state
    lines = [
        "# TYPE reprise_gate_answers_total counter",
        *(f'reprise_gate_answers_total{{answer="{each}"}} {state.answers[each]}' for each in ANSWERS),
        "# TYPE reprise_gate_seconds summary",
        f"reprise_gate_seconds_sum {state.seconds:.3f}",
        f"reprise_gate_seconds_count {state.answers.total()}",
        *_gauge("waiting", waiting),
        *_gauge("reserved", state.n_reserved),
        *_gauge("tracks", state.n_tracks),
        *_gauge("healthy", int(not state.problem)),
    ]
    return PlainTextResponse("\n".join(lines) + "\n", media_type="text/plain; version=0.0.4")


async def _document(_: Request) -> Response:
    return JSONResponse(DOCUMENT)


# ---- their parts ----


def _question_about(keeper: Keeper, path: bytes) -> int:
    """The id of the last question about a path; of a new one if nobody has asked."""
    last = keeper.last_question(path)
    return keeper.ask(path) if last is None else last.id


def _keeper(request: Request) -> Keeper:
    keeper: Keeper = request.app.state.keeper
    return keeper


async def _answered(request: Request, id_: int, wait_s: float) -> Response:
    """The answer to a question, once it is there; 202 if it is not in time."""
    deadline = time.monotonic() + wait_s
    while True:
        found = await run_in_threadpool(_keeper(request).answer, id_)
        if found is None:
            raise HTTPException(404, "There is no such question.")
        if found["answer"] is not None:
            return JSONResponse(found)
        if time.monotonic() >= deadline:
            return JSONResponse(found, 202, {"Location": f"/v1/decisions/{id_}"})
        await asyncio.sleep(LOOK_S)


def _wait_of(text: Any) -> float:
    """Seconds to wait. Raises HTTPException."""
    try:
        wait_s = float(text)
    except (TypeError, ValueError):
        wait_s = math.nan
    if not 0 <= wait_s <= MOST_WAIT_S:
        raise HTTPException(400, f"wait_s must be 0 to {MOST_WAIT_S:g} seconds.")
    return wait_s


def _gauge(name: str, value: int) -> tuple[str, str]:
    return f"# TYPE reprise_gate_{name} gauge", f"reprise_gate_{name} {value}"


async def _refusal(_: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _error(error.status_code, error.detail)


async def _failure(_: Request, error: Exception) -> Response:
    return _error(503, str(error))


async def _bug(request: Request, error: Exception) -> Response:
    log.error("gate: %s", request.url.path, exc_info=error)
    return _error(500, "Something went wrong in the gate. The log of the store has the details.")


def _error(status: int, text: str) -> Response:
    return JSONResponse({"error": text}, status)
