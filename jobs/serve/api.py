"""The API of the pages: JSON, and sound. Every id is one of the store's; no path is taken from a request."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from jobs.serve.handling import found_lineup, handler, said
from jobs.serve.lineup import GONE
from jobs.serve.records import accepted_record, lineup_record, tags_record
from jobs.serve.shown import id_of
from jobs.serve.trouble import AT_ONCE, lossless, suspects
from jobs.session.output import count_text, size_text

if TYPE_CHECKING:
    from jobs.serve.desk import Desk


def _lineup(request: Request) -> dict[str, Any]:
    snapshot, lineup = found_lineup(request)
    return lineup_record(snapshot, request.path_params["kind"], request.path_params["id"], lineup)


def _tags(request: Request) -> dict[str, Any]:
    """The tags that differ, and what the kept file gets by the decision as it is now."""
    from dedup.tags.read import Tags, read_tags

    snapshot, lineup = found_lineup(request)
    read: list[Tags | None] = []
    for track, _ in lineup.tracks:
        try:
            read.append(read_tags(track.path))
        except OSError:
            read.append(None)
    merge = None
    if lineup.question is not None:
        planned = snapshot.review.answer_of(lineup.question) or snapshot.review.complete(lineup.question).planned
        merge = planned.merge
    return {"rows": tags_record(read, merge.fields if merge is not None else {})}


def _suspects(request: Request) -> dict[str, Any]:
    first = request.path_params["first"]
    snapshot = request.app.state.site.desk.now()
    n_files = len(lossless(snapshot))
    return {"files": list(suspects(snapshot, first)), "next": min(first + AT_ONCE, n_files), "n_files": n_files}


# ---- answers ----

_FIELD = re.compile(r"[ -<>-}]{1,100}")
"""Names that a Vorbis comment can have, which are the narrowest."""


class _Said:
    """What a request says, checked."""

    def __init__(self, body: dict[str, Any]) -> None:
        self._body = body

    def word(self, *allowed: str) -> str:
        """The answer. Raises HTTPException for a word that is not allowed."""
        word = self._body.get("word")
        if word not in allowed:
            raise HTTPException(400, f"The answer {word!r} is unknown; give one of: {', '.join(allowed)}.")
        return str(word)

    def flag(self, name: str) -> bool:
        value = self._body.get(name, False)
        if not isinstance(value, bool):
            raise HTTPException(400, f"{name} must be true or false.")
        return value

    @property
    def seen(self) -> str | None:
        """The `state` of the files that the person saw; None if the request does not say."""
        value = self._body.get("state")
        if value is not None and not isinstance(value, str):
            raise HTTPException(400, "state must be that of the files as they were given.")
        return value

    def ids(self, name: str) -> list[str]:
        value = self._body.get(name, [])
        if isinstance(value, str):
            return [value]
        if not isinstance(value, list) or not all(isinstance(each, str) for each in value):
            raise HTTPException(400, f"{name} must be a list of ids.")
        return value

    def values(self) -> dict[str, list[str]]:
        """Values of tag fields that the kept file gets."""
        value = self._body.get("values", {})
        if not isinstance(value, dict) or not all(
            isinstance(texts, list) and all(isinstance(text, str) for text in texts) for texts in value.values()
        ):
            raise HTTPException(400, "values must be an object of lists of texts.")
        if not all(map(_FIELD.fullmatch, value)):
            raise HTTPException(400, "The names in values must be those of tag fields.")
        if not all(_is_text(text) for texts in value.values() for text in texts):
            raise HTTPException(400, "The texts in values must be of characters that a tag can hold.")
        return value


def _is_text(text: str) -> bool:
    """Whether it is of whole characters, and has no NUL, which ends or parts texts in tags."""
    return "\0" not in text and not any("\ud800" <= character <= "\udfff" for character in text)


def _changing(made: Callable[[Request, _Said], Any]) -> Callable[[Request], Any]:
    """A handler that takes a JSON object; what it refuses is told with status 409."""

    async def handle(request: Request) -> Response:
        return JSONResponse(await run_in_threadpool(made, request, _Said(await said(request))))

    return handle


def _saved(next_: str | None, is_rest: bool = False) -> dict[str, Any]:
    text = "Saved. The rest of the group is next." if is_rest else "Saved."
    if next_ is None:
        text = "Saved. That was the last one: go to the plan to apply your decisions."
    return {"saved": True, "next": next_, "text": text}


def _answer_group(request: Request, said: _Said) -> dict[str, Any]:
    desk: Desk = request.app.state.site.desk
    id_ = request.path_params["id"]
    word = said.word("keep", "same", "different", "keep all", "skip")
    if word == "keep all":
        return _saved(desk.keep_all(id_, said.seen))
    if word == "skip":
        return _saved(desk.skip(id_, said.seen))
    question = desk.now().questions.get(id_)
    if question is None:
        raise HTTPException(404, GONE)
    paths = {id_of(track.path): track.path for track in question.group.tracks}
    named = said.ids("different" if word == "different" else "kept")
    if unknown := [each for each in named if each not in paths]:
        raise HTTPException(400, f"The group has no file {unknown[0]!r}.")
    if word == "different":
        odd = {paths[each] for each in named}
        next_ = desk.different(id_, list(odd), said.seen)
        following = desk.now().questions.get(next_ or "")
        rest = set(paths.values()) - odd
        return _saved(next_, following is not None and any(track.path in rest for track in following.group.tracks))
    kept = [paths[each] for each in named] if word == "keep" else []
    kept = kept or [question.planned.files[0].path]
    return _saved(desk.keep(id_, kept, said.values(), said.flag("let_go"), said.seen))


def _answer_pair(request: Request, said: _Said) -> dict[str, Any]:
    return _saved(request.app.state.site.desk.judge(request.path_params["id"], said.flag("same"), said.seen))


def _accept(request: Request, said: _Said) -> dict[str, Any]:
    is_preview = said.flag("preview")
    accepted = request.app.state.site.desk.accept(said.ids("groups"), is_preview)
    groups, files = count_text(len(accepted.groups), "group"), count_text(accepted.n_files, "file")
    text = f"{files} in {groups} would go, {size_text(accepted.n_bytes)}. Nothing is moved before you apply the plan."
    if not is_preview:
        text = f"Decided about {groups}: {files} will go when you apply the plan."
    return accepted_record(accepted, text)


def _undo(request: Request, said: _Said) -> dict[str, Any]:
    del said
    undone = request.app.state.site.desk.undo()
    if undone is None:
        return {"kind": None, "id": None, "text": "There is no answer to take back."}
    return {"kind": undone.kind, "id": undone.id, "text": "The last answer is taken back."}


ROUTES = [
    Route("/groups/{id}/answer", _changing(_answer_group), methods=["POST"]),
    Route("/pairs/{id}/answer", _changing(_answer_pair), methods=["POST"]),
    Route("/accept", _changing(_accept), methods=["POST"]),
    Route("/undo", _changing(_undo), methods=["POST"]),
    Route("/suspects/{first:int}", handler(_suspects)),
    Route("/lineups/{kind}/{id}", handler(_lineup)),
    Route("/lineups/{kind}/{id}/tags", handler(_tags)),
]
