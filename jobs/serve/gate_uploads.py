"""Files that are sent to the gate, since it cannot see them where they are: kept in the store until they are
answered."""

from __future__ import annotations

import os
import secrets
import shutil
from collections.abc import Collection
from typing import TYPE_CHECKING
from urllib.parse import unquote_to_bytes

from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.requests import Request

from dedup.errors import is_full
from dedup.files.paths import holds
from dedup.store.layout import PRIVATE_FOLDER, Layout, private_opener

if TYPE_CHECKING:
    from typing import IO

MOST_UPLOAD = 2 << 30
"""Bytes of a file."""
MOST_WAITING = 100
"""Files that are there at a time."""
LONGEST_NAME = 200
NAME = "x-file-name"
"""Header with the name of the file, percent-encoded."""

TYPES = ("audio/", "video/", "application/octet-stream", "application/ogg")


def is_upload(headers: Headers) -> bool:
    """Whether a request sends a file itself."""
    return headers.get("content-type", "").lower().startswith(TYPES)


class Uploads:
    """The folder of the files that were sent."""

    def __init__(self, layout: Layout) -> None:
        self._folder = layout.gate / "uploads"

    def tidy(self, waiting: Collection[bytes]) -> None:
        """Removes what a kill left, except the files of questions that wait for an answer."""
        for each in self._folder.iterdir() if self._folder.is_dir() else ():
            if not any(holds(os.fsencode(each), path) for path in waiting):
                shutil.rmtree(each, ignore_errors=True)

    def drop(self, path: bytes) -> None:
        """Removes a file that was sent and is answered; any other stays."""
        folder = os.path.dirname(path)
        if os.path.dirname(folder) == os.fsencode(self._folder):
            shutil.rmtree(folder, ignore_errors=True)

    async def receive(self, request: Request) -> bytes:
        """Keeps the file that a request sends; gives its path. Raises HTTPException."""
        length = request.headers.get("content-length", "0")
        if length.isascii() and length.isdigit() and int(length) > MOST_UPLOAD:
            raise HTTPException(413, f"A file may have {MOST_UPLOAD} bytes.")
        path = await run_in_threadpool(self._place, request.headers.get(NAME, ""))
        try:
            with open(path, "wb", opener=private_opener) as file:
                await _write(request, file)
        except BaseException as error:
            self.drop(path)
            if isinstance(error, OSError):
                raise HTTPException(507 if is_full(error) else 500, f"The file cannot be kept: {error}") from error
            raise
        return path

    def _place(self, name: str) -> bytes:
        """A new folder for a file, and the name that it gets there: a file's own, without any folder."""
        plain = os.path.basename(unquote_to_bytes(name).replace(b"\0", b""))[-LONGEST_NAME:]
        self._folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        if len(os.listdir(self._folder)) >= MOST_WAITING:
            raise HTTPException(503, "Too many files wait for an answer. Send it again later.")
        folder = self._folder / secrets.token_hex(8)
        folder.mkdir(mode=PRIVATE_FOLDER)
        return os.path.join(os.fsencode(folder), plain if plain.strip(b".") else b"upload")


async def _write(request: Request, file: IO[bytes]) -> None:
    n_bytes = 0
    async for chunk in request.stream():
        n_bytes += len(chunk)
        if n_bytes > MOST_UPLOAD:
            raise HTTPException(413, f"A file may have {MOST_UPLOAD} bytes.")
        await run_in_threadpool(file.write, chunk)
    await run_in_threadpool(file.flush)
