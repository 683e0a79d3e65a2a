"""The API of the pages: JSON, and sound. Every id is one of the store's; no path is taken from a request."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jobs.serve.lineup import GONE, Lineup, lineup_of
from jobs.serve.records import lineup_record, tags_record
from jobs.serve.shown import Snapshot


def _handler(made: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """A handler that runs in a thread and answers with JSON."""

    async def handle(request: Request) -> Response:
        found = await run_in_threadpool(made, request)
        return found if isinstance(found, Response) else JSONResponse(found)

    return handle


def found_lineup(request: Request) -> tuple[Snapshot, Lineup]:
    """The files that the address names. Raises HTTPException if there are none."""
    snapshot = request.app.state.site.desk.now()
    lineup = lineup_of(snapshot, request.path_params["kind"], request.path_params["id"])
    if lineup is None:
        raise HTTPException(404, GONE)
    return snapshot, lineup


def _lineup(request: Request) -> dict[str, Any]:
    snapshot, lineup = found_lineup(request)
    return lineup_record(snapshot, request.path_params["kind"], request.path_params["id"], lineup)


def _tags(request: Request) -> dict[str, Any]:
    from dedup.tags.read import Tags, read_tags

    _, lineup = found_lineup(request)
    read: list[Tags | None] = []
    for track, _ in lineup.tracks:
        try:
            read.append(read_tags(track.path))
        except OSError:
            read.append(None)
    return {"rows": tags_record(read, {})}


ROUTES = [
    Route("/lineups/{kind}/{id}", _handler(_lineup)),
    Route("/lineups/{kind}/{id}/tags", _handler(_tags)),
]
