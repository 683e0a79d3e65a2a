"""What the handlers of all addresses share: work in a thread, the JSON that a request sends, and what it names."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import anyio
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response

from jobs.serve.lineup import GONE, Lineup, lineup_of

if TYPE_CHECKING:
    from dedup.groups.matches import ListedTrack, TrackPair
    from jobs.serve.shown import Snapshot


async def in_thread(made: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns that may take long; a client that leaves does not wait for it."""
    return await anyio.to_thread.run_sync(made, *arguments, abandon_on_cancel=True)


def handler(made: Callable[[Request], Any]) -> Callable[[Request], Any]:
    """A handler that runs in a thread and answers with JSON, or with the response that it made."""

    async def handle(request: Request) -> Response:
        found = await run_in_threadpool(made, request)
        return found if isinstance(found, Response) else JSONResponse(found)

    return handle


async def said(request: Request) -> dict[str, Any]:
    """The JSON object that a request sends. Raises HTTPException."""
    try:
        found = json.loads(await request.body())
    except (ValueError, RecursionError):
        found = None
    if not isinstance(found, dict):
        raise HTTPException(400, "The request is not a JSON object.")
    return found


def number_in(text: str, most_digits: int) -> int | None:
    """The number that a text of digits stands for; None for any other text, and for one with more digits."""
    return int(text) if text.isascii() and text.isdigit() and len(text) <= most_digits else None


def found_lineup(request: Request) -> tuple[Snapshot, Lineup]:
    """The files that the address names. Raises HTTPException if there are none."""
    snapshot = request.app.state.site.desk.now()
    lineup = lineup_of(snapshot, request.path_params["kind"], request.path_params["id"])
    if lineup is None:
        raise HTTPException(404, GONE)
    return snapshot, lineup


def found_track(request: Request, lineup: Lineup) -> tuple[ListedTrack, TrackPair | None]:
    """The file of the lineup that the address names, with its pair. Raises HTTPException if there is none."""
    found = lineup.find(request.path_params["track"])
    if found is None:
        raise HTTPException(404, GONE)
    return found
