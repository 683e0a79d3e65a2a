"""What other programs post when something has happened: each answers at once, and what follows is queued."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jobs.serve.handling import said

if TYPE_CHECKING:
    from dedup.gate.keeper import Keeper


async def slskd(request: Request) -> Response:
    """Asks about a file that slskd has downloaded (event DownloadFileComplete)."""
    event = await said(request)
    paths = [event.get("localFilename")] if event.get("type") == "DownloadFileComplete" else []
    return await _queued(request, paths, _ask)


async def lidarr(request: Request) -> Response:
    """Takes in what Lidarr has imported (event Download)."""
    event = await said(request)
    files = event.get("trackFiles") if event.get("eventType") == "Download" else None
    paths = [each.get("path") for each in files if isinstance(each, dict)] if isinstance(files, list) else []
    return await _queued(request, paths, _imported)


async def _queued(request: Request, paths: list[Any], take: Any) -> Response:
    """202 and the questions; events that say nothing about a file are none of ours, and no failure."""
    keeper = request.app.state.keeper
    ids = [await run_in_threadpool(take, keeper, path) for path in _usable(paths)]
    return JSONResponse({"ids": ids}, 202)


def _usable(paths: list[Any]) -> Iterator[bytes]:
    """The paths that may lead to a file of this machine."""
    for path in paths:
        if isinstance(path, str) and path.startswith("/") and "\0" not in path:
            with contextlib.suppress(UnicodeEncodeError):  # half a surrogate pair names no file
                yield os.path.normpath(path.encode("utf-8", "surrogateescape"))


def _ask(keeper: Keeper, path: bytes) -> int:
    return keeper.ask(path)


def _imported(keeper: Keeper, path: bytes) -> int:
    last = keeper.last_question(path)
    id_ = keeper.ask(path) if last is None else last.id
    keeper.imported(id_, path)
    return id_
