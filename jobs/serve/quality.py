"""The library by formats, and the files that are not what they say, as a page."""

from __future__ import annotations

import functools
import os
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dedup.files.paths import printable
from dedup.quality.survey import KINDS, Survey, survey
from dedup.store.change import store_version
from dedup.store.store import open_for_reading
from jobs.serve.pages import rendered
from jobs.show.quality import TITLES, bitrate_rows, bits_rows, format_rows, measured_text, rate_rows

if TYPE_CHECKING:
    from jobs.serve.shown import Snapshot


class Shown(NamedTuple):
    """A file, and what it is and does not say."""

    name: str
    folder: str
    what: str
    """Empty if the title says all of it."""
    group: str
    """Id of the group in which it can be heard; empty if it is in none."""


class Kind(NamedTuple):
    """Files with the same kind of finding."""

    title: str
    meaning: str
    files: list[Shown]
    n_files: int


def surveyed(folder: Path) -> Survey:
    """The library of the store in `folder`; what was found last is remembered until the store changes."""
    return _surveyed(folder, store_version(folder))


@functools.lru_cache(maxsize=1)
def _surveyed(folder: Path, version: str) -> Survey:
    del version
    with open_for_reading(folder) as store:
        return survey(store)


def kinds_of(found: Survey, snapshot: Snapshot) -> list[Kind]:
    """The findings, without the kinds that do not occur."""
    wanted = {each.path for files in found.found.values() for each in files}
    groups = {
        track.path: id_
        for id_, question in snapshot.questions.items()
        for track in question.group.tracks
        if track.path in wanted
    }
    return [
        Kind(
            *TITLES[kind],
            [
                Shown(
                    printable(os.path.basename(each.path)),
                    printable(os.path.dirname(each.path)),
                    each.finding.what if kind != "mono" else "",
                    groups.get(each.path, ""),
                )
                for each in found.found[kind]
            ],
            found.n_found[kind],
        )
        for kind in KINDS
        if found.n_found[kind]
    ]


async def quality(request: Request) -> Response:
    """The library by formats, and what is not what it says."""
    desk = request.app.state.site.desk

    def made() -> Response:
        found = surveyed(desk.terms.folder)
        counts = (
            ("Sample rate", "files", rate_rows(found)),
            ("Bits", "lossless files", bits_rows(found)),
            ("Bit rate", "lossy files", bitrate_rows(found)),
        )
        return rendered(
            "quality.html.j2",
            "/quality",
            formats=format_rows(found),
            counts=[each for each in counts if each[2]],
            measured=measured_text(found),
            kinds=kinds_of(found, desk.now()),
        )

    return await run_in_threadpool(made)


ROUTES = [Route("/quality", quality)]
