"""The first page: the library in a few numbers, what waits, what is new, and runs: past, present and next."""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dedup.report.runs import run_records
from dedup.store.store import open_for_reading
from jobs.serve.handling import in_thread, number_in
from jobs.serve.pages import rendered
from jobs.serve.shown import id_of, title_of
from jobs.session.output import count_text, local_time
from jobs.show.nightly import next_night

if TYPE_CHECKING:
    from jobs.serve.site import Site

SHOWN_RUNS = 8
SHOWN_NEWS = 10
"""Most groups with new files that are named."""


@dataclass(frozen=True)
class Numbers:
    """The library in a few numbers."""

    n_tracks: int
    """Files that are there."""
    n_recordings: int
    """Recordings in them: files without the copies of others."""
    n_groups: int
    n_bytes: int
    """Reclaimable bytes: the sizes of the files that a plan made now would let go, by the rules and the answers."""
    n_open: int
    """Groups without an answer."""
    n_uncertain: int
    """Pairs that only a person can decide, and that nobody has."""
    n_problems: int
    """Files that could not be used; those that were left out as the settings say do not count."""


def numbers(site: Site) -> Numbers:
    """The library as it is now."""
    snapshot = site.desk.now()
    rows = snapshot.listed().rows
    copies = (copy for one in snapshot.questions.values() for copy in one.group.copies)
    n_copies = sum(track.state == "present" for track in copies)
    with open_for_reading(site.desk.terms.folder) as store:
        n_tracks = store.catalog.tracks.count_by_state().get("present", 0)
        n_problems = store.catalog.tracks.count_by_problem().get("failed", 0)
    return Numbers(
        n_tracks=n_tracks,
        n_recordings=n_tracks - n_copies,
        n_groups=len(rows),
        n_bytes=sum(row.n_bytes for row in rows),
        n_open=sum(not row.said for row in rows),
        n_uncertain=len(snapshot.uncertain),
        n_problems=n_problems,
    )


def past_runs(site: Site) -> list[dict[str, Any]]:
    """The last runs that wrote, newest first."""
    with open_for_reading(site.desk.terms.folder) as store:
        return list(run_records(store, SHOWN_RUNS))


async def home(request: Request) -> Response:
    """The first page."""
    site = request.app.state.site

    def made() -> Response:
        return rendered(
            "home.html.j2",
            "/",
            numbers=numbers(site),
            runs=past_runs(site),
            night=next_night(time.time()),
            local_time=local_time,
        )

    response: Response = await in_thread(made)
    return response


async def news(request: Request) -> Response:
    """What is new since a mark that an earlier answer gave, as `track` and `audio`; and the mark of now."""
    asked = {name: number_in(request.query_params.get(name, ""), 15) for name in ("track", "audio")}
    return JSONResponse(await in_thread(_news, request.app.state.site, asked["track"], asked["audio"]))


def _news(site: Site, track: int | None, audio: int | None) -> dict[str, Any]:
    snapshot = site.desk.now()
    with open_for_reading(site.desk.terms.folder) as store:
        catalog = store.catalog
        mark = {"track": catalog.tracks.highest_id(), "audio": catalog.audios.highest_id()}
        known = track is not None and audio is not None
        paths = catalog.tracks.new_since(track, audio) if track is not None and audio is not None else set()
    groups = [one.group for one in snapshot.questions.values() if any(each.path in paths for each in one.group.tracks)]
    copies = sum(min(sum(each.path in paths for each in group.tracks), len(group.members)) for group in groups)
    return {
        "mark": mark,
        "known": known,
        "text": f"{count_text(len(paths), 'new file')}; {count_text(copies, 'new duplicate')} in "
        f"{count_text(len(groups), 'group')}"
        if paths
        else "Nothing is new since your last visit.",
        "groups": [
            {"id": id_of(group.reference.path), "title": title_of(group.reference)} for group in groups[:SHOWN_NEWS]
        ],
        "more": max(0, len(groups) - SHOWN_NEWS),
    }


ROUTES = [Route("/", home)]
API_ROUTES = [Route("/news", news)]
