"""The pages as a browser gets them; their scripts ask the API for what changes."""

from __future__ import annotations

from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from jobs.serve.filters import Filter, page_of
from jobs.serve.lineup import GONE, GROUP, PAIR, lineup_of
from jobs.serve.shown import title_of
from jobs.session.output import count_text, size_text
from jobs.show.words import clock

NAVIGATION = (
    ("/", "Home"),
    ("/groups", "Groups"),
    ("/uncertain", "Uncertain"),
    ("/plan", "Plan"),
    ("/trouble", "Trouble"),
)
PER_PAGE = 100


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("jobs.serve"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size_text, "clock": clock}
    environment.globals |= {"count": count_text, "navigation": NAVIGATION}
    return environment


def rendered(template: str, path: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page by the template of this name; `path` is its address."""
    text = _environment().get_template(template).render(here=path, **values)
    return HTMLResponse(text, status)


def error_page(status: int, text: str) -> Response:
    """A page that says what went wrong."""
    return rendered("error.html.j2", "", status, text=text)


async def groups(request: Request) -> Response:
    """The groups that a filter leaves."""
    site = request.app.state.site

    def made() -> Response:
        asked = Filter.from_query(request.query_params)
        rows = list(site.desk.now().rows())
        return rendered("groups.html.j2", "/groups", asked=asked, shown=page_of(rows, asked, PER_PAGE))

    return await run_in_threadpool(made)


async def group(request: Request) -> Response:
    """One group: the player."""
    return await _lineup(request, GROUP, "/groups")


async def pair(request: Request) -> Response:
    """One uncertain pair: the player."""
    return await _lineup(request, PAIR, "/uncertain")


async def _lineup(request: Request, kind: str, under: str) -> Response:
    id_ = request.path_params["id"]
    snapshot = await run_in_threadpool(request.app.state.site.desk.now)
    lineup = lineup_of(snapshot, kind, id_)
    if lineup is None:
        raise HTTPException(404, GONE)
    return rendered("lineup.html.j2", under, kind=kind, id=id_, title=title_of(lineup.reference))


ROUTES = [
    Route("/groups", groups),
    Route("/groups/{id}", group),
    Route("/uncertain/{id}", pair),
]
