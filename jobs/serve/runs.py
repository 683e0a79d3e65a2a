"""The API of runs: what goes on, live; begin *scan and compare*, and stop what goes on."""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response, StreamingResponse
from starlette.routing import Route

from dedup.errors import LibraryError, RepriseError
from dedup.store.store import open_for_reading
from jobs.serve.handling import in_thread, said
from jobs.serve.work import words_for

if TYPE_CHECKING:
    from jobs.serve.site import Site

LOOK_EVERY_S = 0.5
"""Seconds between two looks at what goes on, for each page that listens."""
SIGN_OF_LIFE_S = 10.0
"""Seconds after which a line is sent though nothing is new: proxies close streams that are silent for long."""
FOUND_EVERY_S = 5.0
"""Least seconds between two counts of the duplicates so far."""


def _state(site: Site) -> dict[str, Any]:
    return _with_found(site, site.work.record())


def _with_found(site: Site, record: dict[str, Any]) -> dict[str, Any]:
    """The record with the duplicates so far, if a run goes on and the store can tell."""
    found = None
    if record["job"] is not None:
        with contextlib.suppress(RepriseError):
            rows = site.desk.now().listed().rows
            copies, n_bytes = sum(row.n_files - 1 for row in rows), sum(row.n_bytes for row in rows)
            found = {"groups": len(rows), "copies": copies, "bytes": n_bytes}
    return {**record, "found": found}


async def work(request: Request) -> Response:
    """What goes on now."""
    return JSONResponse(await in_thread(_state, request.app.state.site))


async def events(request: Request) -> Response:
    """What goes on, as events of one JSON object each, as long as the client listens."""
    headers = {"X-Accel-Buffering": "no"}
    return StreamingResponse(_lines(request.app.state.site), media_type="text/event-stream", headers=headers)


async def _lines(site: Site) -> AsyncIterator[str]:
    told: dict[str, Any] | None = None
    told_at = counted_at = -FOUND_EVERY_S
    while True:
        record = await in_thread(site.work.record)
        if told is None or _job_id(record) != _job_id(told) or time.monotonic() - counted_at >= FOUND_EVERY_S:
            record, counted_at = await in_thread(_with_found, site, record), time.monotonic()
        else:
            record["found"] = told["found"]
        if record != told:
            told, told_at = record, time.monotonic()
            yield f"data: {json.dumps(record)}\n\n"
        elif time.monotonic() - told_at >= SIGN_OF_LIFE_S:
            told_at = time.monotonic()
            yield ": nothing new\n\n"
        await asyncio.sleep(LOOK_EVERY_S)


def _job_id(record: dict[str, Any]) -> object:
    return record["job"] and (record["job"]["name"], record["job"].get("since"))


async def begin_full(request: Request) -> Response:
    """Begins *scan and compare*."""
    await said(request)
    site = request.app.state.site
    await in_thread(_begin_full, site)
    return JSONResponse({"text": "Scan and compare begins."})


def _begin_full(site: Site) -> None:
    words = words_for(site.settings, "full")
    if not site.settings["roots"]:
        with open_for_reading(site.desk.terms.folder) as store:
            roots = store.catalog.tracks.roots()
        if not roots:
            raise LibraryError(
                "library",
                "no folder is configured, and the store has none",
                remedy="Run `reprise full FOLDER` once in a terminal",
            )
        words += ["--", *(root.decode("utf-8", "surrogateescape") for root in roots)]
    site.work.begin("full", words)


async def stop(request: Request) -> Response:
    """Asks what goes on to finish what is in flight."""
    await said(request)
    await in_thread(request.app.state.site.work.stop)
    return JSONResponse({"text": "It finishes what is in flight, and keeps what is done."})


ROUTES = [
    Route("/work", work),
    Route("/work/events", events),
    Route("/work/full", begin_full, methods=["POST"]),
    Route("/work/stop", stop, methods=["POST"]),
]
