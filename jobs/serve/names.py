"""The page of names: what the files of each folder are, and the questions that only a person can answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, get_args
from urllib.parse import urlencode

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from dedup.lookup.decide import Verdict
from dedup.playback.lanes import REFERENCE
from dedup.playback.windows import window_samples
from jobs.serve.handling import handler, number_in, said
from jobs.serve.lineup import GONE
from jobs.serve.naming import Folder, Names, state_of
from jobs.serve.pages import rendered
from jobs.serve.shown import id_of
from jobs.serve.sound import as_asked, span_of
from jobs.session.output import count_text, one_line, path_text
from jobs.show.identified import number_text
from jobs.show.naming import beside_text, editions_text, is_said, length_text, place_text, tags_text
from jobs.show.words import clock

if TYPE_CHECKING:
    from dedup.lookup.candidates import Song
    from dedup.lookup.decide import Identified

PER_PAGE = 40
"""Folders on a page."""
WORDS = ("is", "none", "forget")
KINDS = {"question": "questions", "identified": "identified", "unknown": "unknown", "unasked": "not asked yet"}
"""Words for files by verdict."""


@dataclass(frozen=True)
class _Asked:
    """Which folders a person wants to see."""

    show: str
    """A verdict that one of its files has; empty for all."""
    text: str
    page: int

    def query(self, page: int) -> str:
        return urlencode({"show": self.show, "text": self.text, "page": page})

    def lets_through(self, folder: Folder) -> bool:
        return (not self.show or folder.counts[self.show] > 0) and all(  # type: ignore[index]
            word in folder.text for word in self.text.lower().split()
        )


def _names(request: Request) -> Names:
    found: Names = request.app.state.site.names
    return found


async def page(request: Request) -> Response:
    """The folders, those with questions unless others are asked for."""

    def made() -> Response:
        names, query = _names(request), request.query_params
        folders = names.folders()
        totals = sum((folder.counts for folder in folders), Counter[Verdict]())
        show = query.get("show", "question" if totals["question"] else "")
        asked = _Asked(
            show if show in get_args(Verdict) else "",
            query.get("text", "").strip()[:500],
            number_in(query.get("page", ""), 8) or 1,
        )
        left = [folder.id for folder in folders if asked.lets_through(folder)]
        n_pages = max(1, -(-len(left) // PER_PAGE))
        number = min(asked.page, n_pages)
        shown = [_shown(*each) for each in names.files(left[(number - 1) * PER_PAGE : number * PER_PAGE])]
        return rendered(
            "names.html.j2",
            "/names",
            asked=asked,
            kinds=KINDS,
            totals=totals,
            n_folders=len(left),
            number=number,
            n_pages=n_pages,
            folders=shown,
        )

    return await run_in_threadpool(made)


async def folder(request: Request) -> Response:
    """One folder, as it stands in the page: for after an answer."""

    def made() -> Response:
        found = [_shown(*each) for each in _names(request).files([request.path_params["folder"]])]
        if not found:
            raise HTTPException(404, GONE)
        return rendered("names_folder.html.j2", "/names", folder=found[0], kinds=KINDS)

    return await run_in_threadpool(made)


def _shown(folder: Folder, files: Sequence[Identified]) -> dict[str, Any]:
    """A folder with its files, as the template wants them."""
    counts = Counter(each.verdict for each in files)
    return {
        "id": folder.id,
        "path": folder.path,
        "album": one_line(folder.album),
        "counts": {KINDS[kind]: counts[kind] for kind in KINDS if counts[kind]},  # type: ignore[index]
        "files": [_file(folder, each, files) for each in files],
    }


def _file(folder: Folder, each: Identified, files: Sequence[Identified]) -> dict[str, Any]:
    is_identified = each.verdict == "identified"
    beside = [other for other in files if other is not each]
    return {
        "id": id_of(each.file.path),
        "state": state_of(each),
        "name": path_text(each.file.path.removeprefix(folder.unit).lstrip(b"/")),
        "length": clock(each.file.length_s),
        "length_s": each.file.length_s,
        "verdict": each.verdict,
        "why": each.why,
        "title": one_line(_title(each)) if is_identified else "",
        "tags": one_line(tags_text(each.file)),
        "beside": one_line(beside_text(beside)),
        "is_said": each.file.said is not None,
        "candidates": [_candidate(each, song) for song in each.candidates],
    }


def _title(each: Identified) -> str:
    """Number, title and artist of an identified file."""
    title = each.track.title if each.track is not None else each.song.title if each.song is not None else ""
    artist = each.track.artist if each.track is not None else each.song.artist if each.song is not None else ""
    return f"{number_text(each)}{title} · {artist}"


def _candidate(each: Identified, song: Song) -> dict[str, Any]:
    told = (length_text(song, each.file), place_text(each, song), editions_text(song))
    return {
        "recording": song.recordings[0].id,
        "title": one_line(f"{song.title} · {song.artist}"),
        "score": song.score,
        "sources": song.sources,
        "told": [one_line(text) for text in told if text],
        "is_said": is_said(each, song),
    }


# ---- the API ----


async def answer(request: Request) -> Response:
    """Keeps an answer; the folders that it changes are to be asked for again."""
    body = await said(request)
    word, recording, seen = (body.get(name, "") for name in ("word", "recording", "state"))
    if word not in WORDS:
        raise HTTPException(400, f"The answer {word!r} is unknown; give one of: {', '.join(WORDS)}.")
    if not isinstance(recording, str) or not isinstance(seen, str):
        raise HTTPException(400, "recording and state must be texts.")

    def made() -> dict[str, Any]:
        folders = _names(request).answer(request.path_params["file"], word, recording, seen)
        more = f" {count_text(len(folders), 'folder')} hold this sound." if len(folders) > 1 else ""
        return {"saved": True, "folders": folders, "text": ("Forgotten." if word == "forget" else "Saved.") + more}

    return JSONResponse(await run_in_threadpool(made))


async def undo(request: Request) -> Response:
    """Takes back the last answer that was given on the page."""
    await said(request)
    folders = await run_in_threadpool(_names(request).undo)
    text = "The last answer is taken back." if folders else "There is no answer to take back."
    return JSONResponse({"folders": folders, "text": text})


def _window(request: Request) -> Response:
    """A window of a file: waits until it is decoded so far."""
    start_s, length_s = span_of(request)
    played = _names(request).played(request.path_params["file"])
    if played is None:
        raise HTTPException(404, GONE)
    sound = request.app.state.site.sounds.cache.sound(played)
    return as_asked(request, window_samples(sound, REFERENCE, start_s, length_s))


ROUTES = [Route("/names", page), Route("/names/{folder}", folder)]
API_ROUTES = [
    Route("/names/undo", undo, methods=["POST"]),
    Route("/names/{file}/answer", answer, methods=["POST"]),
    Route("/names/{file}/window", handler(_window)),
]
