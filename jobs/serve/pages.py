"""The pages as a browser gets them; their scripts ask the API for what changes."""

from __future__ import annotations

import itertools
from functools import cache
from typing import Any
from urllib.parse import quote

from jinja2 import Environment, PackageLoader, StrictUndefined
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import HTMLResponse, Response
from starlette.routing import Route

from dedup.errors import InputError
from dedup.files.paths import printable
from jobs.serve.filters import Filter, page_of
from jobs.serve.handling import number_in
from jobs.serve.lineup import GONE, GROUP, PAIR, lineup_of
from jobs.serve.shown import title_of
from jobs.serve.trouble import lossless, troubles
from jobs.serve.two import compared, picture, search
from jobs.session.output import count_text, size_text, time_text
from jobs.show.words import clock, heard_text, verdict_text

NAVIGATION = (
    ("/", "Home"),
    ("/groups", "Groups"),
    ("/uncertain", "Uncertain"),
    ("/names", "Names"),
    ("/plan", "Plan"),
    ("/two", "Two files"),
    ("/trouble", "Trouble"),
    ("/quality", "Quality"),
)
PER_PAGE = 100
MOST_PAIRS = 1000
"""Uncertain pairs that are listed."""


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("jobs.serve"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"size": size_text, "clock": clock, "number": _number, "took": time_text}
    environment.globals |= {"count": count_text, "navigation": NAVIGATION}
    return environment


def _number(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def rendered(template: str, path: str, status: int = 200, **values: Any) -> HTMLResponse:
    """A page by the template of this name; `path` is its address."""
    text = _environment().get_template(template).render(here=path, **values)
    return HTMLResponse(text, status)


def error_page(status: int, text: str) -> Response:
    """A page that says what went wrong."""
    return rendered("error.html.j2", "", status, text=text)


def onward_page(address: str) -> Response:
    """A page that leads on to another address of this server."""
    return rendered("onward.html.j2", "", address=quote(address, "/"))


async def groups(request: Request) -> Response:
    """The groups that a filter leaves."""
    site = request.app.state.site

    def made() -> Response:
        asked = Filter.from_query(request.query_params)
        shown = page_of(site.desk.now().listed(), asked, PER_PAGE)
        return rendered("groups.html.j2", "/groups", asked=asked, shown=shown)

    return await run_in_threadpool(made)


async def uncertain(request: Request) -> Response:
    """The pairs that only a person can decide."""
    site = request.app.state.site

    def made() -> Response:
        pairs = site.desk.now().uncertain
        shown = [
            {
                "id": id_,
                "names": [(title_of(track), printable(track.path)) for track in (pair.b, pair.a)],
                "verdict": verdict_text(pair),
                "score": pair.match.score,
                "heard": heard_text(pair),
            }
            for id_, pair in itertools.islice(pairs.items(), MOST_PAIRS)
        ]
        return rendered("uncertain.html.j2", "/uncertain", pairs=shown, n_pairs=len(pairs))

    return await run_in_threadpool(made)


async def trouble(request: Request) -> Response:
    """Files that cannot be used, or not as they should be."""
    desk = request.app.state.site.desk

    def made() -> Response:
        n_lossless = len(lossless(desk.now()))
        return rendered("trouble.html.j2", "/trouble", kinds=troubles(desk.terms.folder), n_lossless=n_lossless)

    return await run_in_threadpool(made)


async def two(request: Request) -> Response:
    """Any two files: a search for each, and what they are to each other."""
    desk, query = request.app.state.site.desk, request.query_params

    def made() -> Response:
        sides = []
        for name in ("a", "b"):
            text = query.get(f"{name}_text", "")[:500]
            sides.append(
                {"name": name, "text": text, "id": query.get(name, ""), "found": search(desk.terms.folder, text)}
            )
        a, b = (number_in(query.get(name, ""), 18) for name in ("a", "b"))
        explained, problem = None, ""
        if a is not None and b is not None:
            try:
                explained = compared(desk.terms.folder, a, b, desk.terms.match)
            except InputError as error:
                problem = str(error)
        return rendered("two.html.j2", "/two", sides=sides, found=explained, problem=problem, a=a, b=b)

    return await run_in_threadpool(made)


async def two_picture(request: Request) -> Response:
    """The picture of two files."""
    desk, ids = request.app.state.site.desk, request.path_params

    def made() -> Response:
        found = compared(desk.terms.folder, ids["a"], ids["b"], desk.terms.match)
        return Response(picture(found), media_type="image/svg+xml")

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
    Route("/uncertain", uncertain),
    Route("/uncertain/{id}", pair),
    Route("/trouble", trouble),
    Route("/two", two),
    Route("/two/{a:int}-{b:int}.svg", two_picture),
]
