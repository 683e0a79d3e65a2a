"""The application: which address leads to which page, and what an error looks like."""

from __future__ import annotations

import logging
from importlib import resources
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.applications import Starlette
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount
from starlette.staticfiles import StaticFiles

from dedup.errors import RepriseError
from jobs.serve import api, covers, home, names, pages, plans, quality, runs, sound

if TYPE_CHECKING:
    from jobs.serve.site import Site

log = logging.getLogger("reprise")

API = (api.ROUTES, runs.ROUTES, home.API_ROUTES, plans.API_ROUTES, sound.ROUTES, covers.API_ROUTES, names.API_ROUTES)
ASSETS = Path(str(resources.files("jobs.serve"))) / "static"


def application(site: Site) -> Starlette:
    """The pages and the API, without a guard."""
    app = Starlette(
        routes=[
            *(route for module in (home, pages, plans, covers, names, quality) for route in module.ROUTES),
            Mount("/api", routes=[route for module in API for route in module]),
            Mount("/static", StaticFiles(directory=ASSETS)),
        ],
        exception_handlers={HTTPException: _refused, RepriseError: _failed, Exception: _broken},
    )
    app.state.site = site
    return app


async def _refused(request: Request, error: Exception) -> Response:
    assert isinstance(error, HTTPException)
    return _told(request, error.status_code, error.detail)


async def _failed(request: Request, error: Exception) -> Response:
    """A condition that has a line of its own."""
    return _told(request, 409, str(error))


async def _broken(request: Request, error: Exception) -> Response:
    log.error("serve: %s", request.url.path, exc_info=error)
    return _told(request, 500, "Something went wrong in the server. The log of the store has the details.")


def _told(request: Request, status: int, text: str) -> Response:
    if request.url.path.startswith("/api/"):
        return JSONResponse({"error": text}, status)
    return pages.error_page(status, text)
