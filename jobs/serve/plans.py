"""The page of the plan: entry by entry in plain words, carried out and taken back by the very commands of the terminal;
and the clean-ups of the past."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dedup.errors import JournalError
from dedup.files.paths import printable
from jobs.serve.handling import in_thread, number_in, said
from jobs.serve.pages import rendered
from jobs.serve.plan_words import entry_of, quarantine_words
from jobs.serve.records import accepted_record
from jobs.serve.shown import id_of
from jobs.serve.work import words_for
from jobs.session.output import count_text, local_time

if TYPE_CHECKING:
    from dedup.cleanup.history import Summary
    from dedup.plan.nouns import PlannedGroup
    from jobs.serve.shown import Snapshot
    from jobs.serve.site import Site

PER_PAGE = 50
"""Entries of the plan on one page."""


# ---- pages ----


async def plan(request: Request) -> Response:
    """The plan, entry by entry, and the clean-ups of the past."""
    site = request.app.state.site

    def made() -> Response:
        snapshot, now = site.clerk.shown()
        n_pages = max(1, -(-len(now.groups) // PER_PAGE))
        number = min(number_in(request.query_params.get("page", ""), 8) or 1, n_pages)
        first = (number - 1) * PER_PAGE
        past, trouble = _past(site)
        return rendered(
            "plan.html.j2",
            "/plan",
            shown=now,
            entries=[entry_of(group, _address(snapshot, group)) for group in now.groups[first : first + PER_PAGE]],
            first=first,
            number=number,
            n_pages=n_pages,
            n_open=sum(not row.said for row in snapshot.listed().rows),
            quarantine=quarantine_words(now.plan),
            playlists=[(printable(each.path), each) for each in now.plan.playlists],
            past=past,
            trouble=trouble,
            work=site.work.record(),
            local_time=local_time,
            printable=printable,
        )

    response: Response = await in_thread(made)
    return response


def _address(snapshot: Snapshot, group: PlannedGroup) -> str:
    """Address of the group's page; empty if it is not a group of the store now."""
    ids = (id_of(file.path) for file in group.files)
    return next((f"/groups/{id_}" for id_ in ids if id_ in snapshot.questions), "")


def _past(site: Site) -> tuple[list[Summary], str]:
    try:
        return site.clerk.past(), ""
    except JournalError as error:
        return [], str(error)


# ---- the API ----


async def apply(request: Request) -> Response:
    """Begins the clean-up that was shown."""
    body, site = await said(request), request.app.state.site
    digest, count = body.get("digest"), body.get("count")
    if not isinstance(digest, str) or not isinstance(count, int) or isinstance(count, bool):
        raise HTTPException(400, "The request needs the digest of the plan and the count of files.")
    await in_thread(site.clerk.apply, digest, count)
    return JSONResponse({"text": "The clean-up begins."})


async def resume(request: Request) -> Response:
    """Goes on with the clean-up that was broken off."""
    await said(request)
    site = request.app.state.site
    await in_thread(site.work.begin, "apply", [*words_for(site.settings, "apply"), "--resume"])
    return JSONResponse({"text": "The clean-up goes on."})


async def undo(request: Request) -> Response:
    """Takes a clean-up back."""
    body, site = await said(request), request.app.state.site
    number = body.get("number")
    if not isinstance(number, int) or isinstance(number, bool) or number < 1:
        raise HTTPException(400, "The request needs the number of a clean-up.")
    await in_thread(site.work.begin, "undo", [*words_for(site.settings, "undo"), str(number)])
    return JSONResponse({"text": f"Clean-up {number:,} is being taken back."})


async def rest(request: Request) -> Response:
    """Adds what the rules decide about groups without an answer, where they are certain; with `preview` only says what
    that would be."""
    body, site = await said(request), request.app.state.site
    is_preview = body.get("preview") is True

    def made() -> dict[str, Any]:
        desk = site.desk
        snapshot = desk.now()
        accepted = desk.accept(list(snapshot.questions), is_preview)
        groups = count_text(len(accepted.groups), "group")
        files = count_text(accepted.n_files, "file")
        text = f"{files} of {groups} would go" if is_preview else f"{files} of {groups} are in the plan now"
        return accepted_record(accepted, text)

    return JSONResponse(await in_thread(made))


ROUTES = [Route("/plan", plan)]
API_ROUTES = [
    Route("/plan/apply", apply, methods=["POST"]),
    Route("/plan/resume", resume, methods=["POST"]),
    Route("/plan/undo", undo, methods=["POST"]),
    Route("/plan/rest", rest, methods=["POST"]),
]
