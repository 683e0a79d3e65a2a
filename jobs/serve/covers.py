"""The page on which a file gets its front cover: pictures to choose from, uploads, a preview of exactly what will be
written; saved by the command `reprise cover`, with a journal, and taken back by `reprise undo`."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import anyio
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dedup.covers.edit import Crop, Edit
from dedup.covers.make import PREVIEW_SIDE, Made
from dedup.covers.sources import copies_of, front_of
from dedup.files.paths import printable
from dedup.tags.extras import picture_digest
from jobs.serve.guard import TOO_LARGE
from jobs.serve.handling import found_lineup, found_track, in_thread, said
from jobs.serve.lineup import GROUP
from jobs.serve.pages import rendered
from jobs.serve.pictures import SMALL_SIDE
from jobs.serve.shown import title_of
from jobs.serve.work import words_for
from jobs.session.output import size_text
from jobs.show.covers import made_lines, made_record

if TYPE_CHECKING:
    from dedup.covers.sources import Candidate
    from dedup.groups.matches import ListedTrack
    from jobs.serve.pictures import Pictures, Upload

DECODERS = anyio.CapacityLimiter(2)
"""Pictures that are decoded at a time: each may take 1.5 GiB for a moment."""
SIDES = {"small": SMALL_SIDE, "large": PREVIEW_SIDE}
NOT_A_PICTURE = "This is not a picture. Choose a JPEG, PNG, TIFF or WebP file."


class Target(NamedTuple):
    """A file that gets a cover, and where its other copies are."""

    track: ListedTrack
    copies: list[bytes]
    is_decided: bool
    """Whether a person decided about its group: the decision is about the file as it is now."""

    @property
    def path(self) -> bytes:
        return self.track.path


async def _in_turn(made: Callable[..., Any], *arguments: Any) -> Any:
    """What a function returns that has a picture decoded."""
    return await anyio.to_thread.run_sync(made, *arguments, limiter=DECODERS)


def _pictures(request: Request) -> Pictures:
    found: Pictures = request.app.state.site.pictures
    return found


def _target(request: Request) -> Target:
    """The file that the address names. Raises HTTPException if there is none."""
    snapshot, lineup = found_lineup(request)
    found, _ = found_track(request, lineup)
    path = found.path
    beside = [track.path for track, _ in lineup.tracks if track.state == "present"]
    copies = dict.fromkeys([*copies_of(snapshot.matches, path), *beside])
    is_decided = lineup.question is not None and snapshot.review.answer_of(lineup.question) is not None
    return Target(found, [copy for copy in copies if copy != path], is_decided)


# ---- the page, and what there is to choose from ----


async def page(request: Request) -> Response:
    """The page of one file."""
    kind, id_ = request.path_params["kind"], request.path_params["id"]
    target: Target = await in_thread(_target, request)
    under = "/groups" if kind == GROUP else "/uncertain"
    return rendered(
        "cover.html.j2",
        under,
        back=f"{under}/{id_}",
        address=f"/api/covers/{kind}/{id_}/{request.path_params['track']}",
        title=title_of(target.track),
        name=printable(os.path.basename(target.path)),
        folder=printable(os.path.dirname(target.path)),
        is_decided=target.is_decided,
    )


async def choices(request: Request) -> Response:
    """The cover that the file has, and the pictures of which another can be made."""
    return JSONResponse(await in_thread(_choices, request))


def _choices(request: Request) -> dict[str, Any]:
    target, pictures = _target(request), _pictures(request)
    try:
        found, now = pictures.of(target.path, target.copies), front_of(target.path)
    except OSError as error:
        raise HTTPException(404, f"The file cannot be read: {error.strerror or error}.") from error
    uploads = [_choice(id_, "upload", "your upload", "", each) for id_, each in pictures.uploads().items()]
    candidates = [
        _choice(each.digest, each.origin, printable(os.fsencode(each.what)), _holder(each, target.path), each)
        for each in found
    ]
    return {
        "now": None
        if now is None
        else {
            "id": picture_digest(now.data),
            "text": _size_words(now.width, now.height, len(now.data)),
        },
        "pictures": [*uploads, *candidates],
    }


def _choice(id_: str, origin: str, what: str, holder: str, found: Upload | Candidate) -> dict[str, Any]:
    size = {"width": found.width, "height": found.height, "bytes": found.n_bytes}
    return {"id": id_, "origin": origin, "what": what, "holder": holder, "format": found.format, **size}


def _holder(found: Candidate, path: bytes) -> str:
    """The copy that holds a picture, as seen from the file at `path`; empty for the file itself and its folder."""
    return printable(os.path.relpath(found.path, os.path.dirname(path))) if found.origin == "copy" else ""


def _size_words(width: int, height: int, n_bytes: int) -> str:
    pixels = f"{width} × {height} pixels, " if width and height else ""  # noqa: RUF001
    return pixels + size_text(n_bytes)


async def picture(request: Request) -> Response:
    """Format and size of one of the pictures, as it is seen upright."""
    seen = await _in_turn(_seen, request, PREVIEW_SIDE)
    return JSONResponse({"format": seen.format, "width": seen.whole[0], "height": seen.whole[1]})


async def picture_seen(request: Request) -> Response:
    """One of the pictures, shrunk for the page."""
    most = SIDES.get(request.path_params["side"])
    if most is None:
        raise HTTPException(404, "There is no such picture.")
    seen = await _in_turn(_seen, request, most)
    return Response(seen.jpeg, media_type="image/jpeg")


def _seen(request: Request, most: int) -> Made:
    target = _target(request)
    try:
        return _pictures(request).seen(target.path, target.copies, request.path_params["picture"], most)
    except OSError as error:
        raise HTTPException(404, f"The picture cannot be read: {error.strerror or error}.") from error


async def upload(request: Request) -> Response:
    """Takes a picture."""
    if not request.headers.get("content-type", "").startswith("image/"):
        raise HTTPException(415, NOT_A_PICTURE)
    try:
        data = await request.body()
    except ClientDisconnect:  # or cut off by the guard, since it says it is shorter than it is
        raise HTTPException(413, TOO_LARGE) from None
    if not data:
        raise HTTPException(400, "The upload is empty.")
    return JSONResponse({"id": await _in_turn(_pictures(request).take, data)})


# ---- the cover ----


async def make(request: Request) -> Response:
    """Makes a cover, which can then be seen and saved."""
    body = await said(request)
    wanted, edit = body.get("picture"), _edit_of(body)
    if not isinstance(wanted, str):
        raise HTTPException(400, "The request needs the id of a picture.")
    return JSONResponse(await _in_turn(_make, request, wanted, edit))


def _make(request: Request, wanted: str, edit: Edit) -> dict[str, Any]:
    target = _target(request)
    try:
        id_, made = _pictures(request).make(target.path, target.copies, wanted, edit)
    except OSError as error:
        raise HTTPException(404, f"The picture cannot be read: {error.strerror or error}.") from error
    text = _size_words(made.width, made.height, len(made.jpeg))
    source = [line.replace(" x ", " × ") for line in made_lines(made)[1:]]  # noqa: RUF001
    return {"id": id_, "text": text, "from": source[0] if source else "", **made_record(made)}


def _edit_of(body: dict[str, Any]) -> Edit:
    """What is to be done to a picture. Raises HTTPException for what is no such thing, UsageError for what makes no
    sense."""
    crop = _numbers(body, "crop", 4, int | float)
    quality = body.get("quality")
    if quality is not None and (not isinstance(quality, int) or isinstance(quality, bool)):
        raise HTTPException(400, "quality must be a whole number.")
    switches = {name: body.get(name, False) for name in ("trim", "square")}
    if not all(isinstance(value, bool) for value in switches.values()):
        raise HTTPException(400, "trim and square must be true or false.")
    size, fit = (_numbers(body, name, 2, int) for name in ("size", "fit"))
    return Edit(
        crop=None if crop is None else Crop(*crop),
        size=None if size is None else (size[0], size[1]),
        fit=None if fit is None else (fit[0], fit[1]),
        quality=quality,
        **switches,
    )


def _numbers(body: dict[str, Any], name: str, n: int, kind: Any) -> list[Any] | None:
    found = body.get(name)
    if found is None:
        return None
    if (
        not isinstance(found, list)
        or len(found) != n
        or not all(isinstance(each, kind) and not isinstance(each, bool) for each in found)
    ):
        raise HTTPException(400, f"{name} must be {n} numbers.")
    return found


async def made_jpeg(request: Request) -> Response:
    """A cover that was made, byte for byte as it would be saved."""
    made = _pictures(request).made(request.path_params["made"])
    return Response(made.jpeg, media_type="image/jpeg")


async def save(request: Request) -> Response:
    """Begins to put a cover that was made into the file's tags."""
    body = await said(request)
    id_ = body.get("made")
    if not isinstance(id_, str):
        raise HTTPException(400, "The request needs the id of a cover that was made.")
    await in_thread(_save, request, id_)
    return JSONResponse({"text": "The cover is being written."})


def _save(request: Request, id_: str) -> None:
    site, target = request.app.state.site, _target(request)
    source = os.fsdecode(_pictures(request).written(id_))
    words = [*words_for(site.settings, "cover"), "--yes", f"--from={source}", "--", os.fsdecode(target.path)]
    site.work.begin("cover", words)


async def outcome(request: Request) -> Response:
    """How the last cover, or its undo, went: whether it still goes on, and when it does not, what came of it in words,
    and the number of the clean-up that takes it back."""
    record = await in_thread(request.app.state.site.work.record)
    ended = record["ended"]
    if ended is None:
        return JSONResponse({"running": record["job"] is not None, "text": "", "error": False, "number": None})
    text, is_error = _words_of(ended)
    done = ended["done"] or {}
    number = done["cleanup"] if ended["name"] == "cover" and done.get("files") else None
    return JSONResponse({"running": False, "text": text, "error": is_error, "number": number})


def _words_of(ended: dict[str, Any]) -> tuple[str, bool]:
    """How a run ended, and whether that is not what was wanted."""
    done, is_cover = ended["done"] or {}, ended["name"] == "cover"
    if ended["error"]:
        return ended["error"], True
    if ended["refused"]:
        what = "The cover was not written" if is_cover else "The cover was not taken back"
        return f"{what}: {ended['refused'][0]['reason']}.", True
    if is_cover and done.get("files"):
        return "The cover is in the file.", False
    if is_cover:
        return (
            ("It was stopped. Save it again.", True)
            if ended["stopped"]
            else ("The file has this cover already.", False)
        )
    return ("The undo was stopped. Undo again.", True) if ended["stopped"] else ("The cover is taken back.", False)


_FILE = "/covers/{kind}/{id}/{track}"
ROUTES = [Route("/cover/{kind}/{id}/{track}", page)]
API_ROUTES = [
    Route("/uploads", upload, methods=["POST"]),
    Route("/covers/outcome", outcome),
    Route("/covers/made/{made}", made_jpeg),
    Route(_FILE, choices),
    Route(f"{_FILE}/pictures/{{picture}}", picture),
    Route(f"{_FILE}/pictures/{{picture}}/{{side}}", picture_seen),
    Route(f"{_FILE}/made", make, methods=["POST"]),
    Route(f"{_FILE}/save", save, methods=["POST"]),
]
