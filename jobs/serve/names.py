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
from jobs.serve.naming import Folder, Names, Shown, state_of
from jobs.serve.pages import rendered
from jobs.serve.shown import id_of
from jobs.serve.sound import as_asked, span_of
from jobs.session.output import count_text, one_line, path_text
from jobs.show.identified import number_text
from jobs.show.naming import editions_text, is_said, length_text, place_text, release_beside_text, tags_text
from jobs.show.words import clock

if TYPE_CHECKING:
    from dedup.lookup.candidates import Song
    from dedup.lookup.decide import Identified

PER_PAGE, MOST_ON_PAGE = 40, 400
"""Most folders on a page, and most files."""
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
        totals = _totals(folders)
        show = query.get("show", "question" if totals["question"] else "")
        asked = _Asked(
            show if show in get_args(Verdict) else "",
            query.get("text", "").strip()[:500],
            number_in(query.get("page", ""), 8) or 1,
        )
        pages = _pages([folder for folder in folders if asked.lets_through(folder)])
        number = min(asked.page, len(pages))
        shown = list(map(_shown, names.files(pages[number - 1])))
        return rendered(
            "names.html.j2",
            "/names",
            asked=asked,
            kinds=KINDS,
            totals=totals,
            heading=_heading(totals),
            number=number,
            n_pages=len(pages),
            folders=shown,
        )

    return await run_in_threadpool(made)


def _pages(folders: Sequence[Folder]) -> list[list[str]]:
    """The ids of the folders on each page; one page if there is no folder."""
    pages, n_files = [list[str]()], 0
    for folder in folders:
        n = folder.counts.total()
        if pages[-1] and (n_files + n > MOST_ON_PAGE or len(pages[-1]) == PER_PAGE):
            pages.append([])
            n_files = 0
        pages[-1].append(folder.id)
        n_files += n
    return pages


def _totals(folders: Sequence[Folder]) -> Counter[Verdict]:
    totals = Counter[Verdict]()
    for folder in folders:
        totals.update(folder.counts)
    return totals


def _heading(totals: Counter[Verdict]) -> str:
    files = count_text(totals.total(), "file")
    return f"{count_text(totals['question'], 'question')}, {totals['identified']:,} of {files} identified"


async def some(request: Request) -> Response:
    """Some folders, as they stand in the page, those that there are: for after an answer."""

    def made() -> Response:
        found = list(map(_shown, _names(request).files(request.path_params["folders"].split(",")[:PER_PAGE])))
        if not found:
            raise HTTPException(404, GONE)
        return rendered("names_folders.html.j2", "/names", folders=found, kinds=KINDS)

    return await run_in_threadpool(made)


def _shown(shown: Shown) -> dict[str, Any]:
    """A folder with its files, as the template wants them."""
    folder, files, in_unit = shown
    beside = release_beside_text(in_unit)
    last = folder.first + len(files)
    part = f"files {folder.first + 1:,} to {last:,} of {folder.n_in_unit:,}" if len(files) < folder.n_in_unit else ""
    counts = Counter(each.verdict for each in files)
    return {
        "id": folder.id,
        "path": folder.path,
        "part": part,
        "album": one_line(folder.album),
        "counts": {KINDS[kind]: counts[kind] for kind in KINDS if counts[kind]},  # type: ignore[index]
        "files": [_file(folder, each, in_unit, beside) for each in files],
    }


def _file(folder: Folder, each: Identified, in_unit: Sequence[Identified], beside: str) -> dict[str, Any]:
    """A file; `beside` is what the identified files of its folder say."""
    is_identified, is_said = each.verdict == "identified", each.file.said is not None
    if is_identified and is_said:  # it is none of those beside it
        beside = release_beside_text([other for other in in_unit if other is not each])
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
        "beside": one_line(beside),
        "is_said": is_said,
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
        names = _names(request)
        ids, n_folders = names.answer(request.path_params["file"], word, recording, seen)
        more = f" {count_text(n_folders, 'folder')} hold this sound." if n_folders > 1 else ""
        text = ("Forgotten." if word == "forget" else "Saved.") + more
        return {"saved": True, "folders": ids, "text": text, "heading": _heading(_totals(names.folders()))}

    return JSONResponse(await run_in_threadpool(made))


async def undo(request: Request) -> Response:
    """Takes back the last answer that was given on the page."""
    await said(request)

    def made() -> dict[str, Any]:
        names = _names(request)
        changed = names.undo()
        text = "The last answer is taken back." if changed else "There is no answer to take back."
        heading = _heading(_totals(names.folders()))
        return {"folders": changed.ids if changed else [], "text": text, "heading": heading}

    return JSONResponse(await run_in_threadpool(made))


def _window(request: Request) -> Response:
    """A window of a file: waits until it is decoded so far."""
    start_s, length_s = span_of(request)
    played = _names(request).played(request.path_params["file"])
    if played is None:
        raise HTTPException(404, GONE)
    sound = request.app.state.site.sounds.cache.sound(played)
    return as_asked(request, window_samples(sound, REFERENCE, start_s, length_s))


ROUTES = [Route("/names", page), Route("/names/{folders}", some)]
API_ROUTES = [
    Route("/names/undo", undo, methods=["POST"]),
    Route("/names/{file}/answer", answer, methods=["POST"]),
    Route("/names/{file}/window", handler(_window)),
]
