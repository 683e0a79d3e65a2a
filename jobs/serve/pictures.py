"""Pictures for covers, as long as the page needs them: what there is to choose from, uploads, previews, and covers that
were made. All is bounded; pictures are decoded in a process with limits, and shown as JPEGs that it made."""

from __future__ import annotations

import contextlib
import os
import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from dedup.covers.edit import Edit
from dedup.covers.make import PREVIEW_SIDE, Made, edited, picture_in, preview
from dedup.covers.sources import Candidate, candidates_of, data_of
from dedup.errors import InputError, writing
from dedup.store.layout import PRIVATE_FOLDER, private_opener
from dedup.tags.extras import picture_digest

SMALL_SIDE = 192
"""Most pixels of a thumbnail each way."""
MOST_UPLOADS = 8
UPLOAD_AGE_S = 3600.0
"""Seconds after its last use for which an upload is kept."""
MOST_LISTS = 32
"""Files whose pictures are remembered."""
MOST_SHOWN, MOST_SHOWN_BYTES = 400, 32 << 20
"""Previews in memory."""
MOST_MADE, MOST_MADE_BYTES = 12, 48 << 20
"""Covers in memory that may still be saved."""
KEPT_COVERS = 3
"""Covers that were saved from here and are kept in the folder `page`: a run may still read the last one."""
MADE = ("JPEG", "PNG", "TIFF", "WebP")
"""Formats that covers are made of."""


@dataclass
class Upload:
    """A picture that the browser sent."""

    path: bytes
    format: str
    width: int
    """Pixels, as it is seen upright."""
    height: int
    n_bytes: int
    used: float = field(default_factory=time.monotonic)
    """When it was used last, by `time.monotonic`."""


class Kept:
    """Pictures in memory, so many and so many bytes at most; those that were used last stay."""

    def __init__(self, most: int, most_bytes: int) -> None:
        self._most, self._most_bytes, self._n_bytes = most, most_bytes, 0
        self._held: OrderedDict[str, Made] = OrderedDict()
        self._lock = threading.Lock()

    def get(self, key: str) -> Made | None:
        with self._lock:
            if key in self._held:
                self._held.move_to_end(key)
            return self._held.get(key)

    def put(self, key: str, made: Made) -> Made:
        with self._lock:
            if (old := self._held.pop(key, None)) is not None:
                self._n_bytes -= len(old.jpeg)
            self._held[key] = made
            self._n_bytes += len(made.jpeg)
            while len(self._held) > 1 and (len(self._held) > self._most or self._n_bytes > self._most_bytes):
                _, gone = self._held.popitem(last=False)
                self._n_bytes -= len(gone.jpeg)
        return made


class Pictures:
    """The pictures of a server; safe to use from several threads."""

    def __init__(self, page: Path) -> None:
        """`page` is the folder of the web page in the store; it is made when the first picture comes."""
        self._page = page
        self._lock = threading.Lock()
        self._lists: OrderedDict[bytes, list[Candidate]] = OrderedDict()
        self._uploads: dict[str, Upload] = {}
        self._shown = Kept(MOST_SHOWN, MOST_SHOWN_BYTES)
        self._made = Kept(MOST_MADE, MOST_MADE_BYTES)

    # ---- what there is ----

    def of(self, path: bytes, copies: Sequence[bytes]) -> list[Candidate]:
        """The pictures for a file, as they are now, of which covers can be made. Raises OSError if the file cannot be
        read."""
        found = [each for each in candidates_of(path, copies) if each.format in MADE]
        with self._lock:
            self._lists[path] = found
            self._lists.move_to_end(path)
            while len(self._lists) > MOST_LISTS:
                self._lists.popitem(last=False)
        return found

    def uploads(self) -> dict[str, Upload]:
        """The uploads at hand, by their ids, the last first."""
        with self._lock:
            self._let_go(MOST_UPLOADS)
            return dict(reversed(self._uploads.items()))

    def _data(self, path: bytes, copies: Sequence[bytes], picture: str) -> bytes:
        with self._lock:
            upload, found = self._uploads.get(picture), self._lists.get(path)
        if upload is not None:
            upload.used = time.monotonic()
            return picture_in(upload.path, is_followed=False)
        if found is None or all(each.digest != picture for each in found):
            found = self.of(path, copies)
        return data_of(found, picture)

    # ---- uploads ----

    def take(self, data: bytes) -> str:
        """Takes an upload, and returns its id. Raises InputError if it is no picture that can be decoded within the
        limits, WriteError."""
        shown = preview(data, most=PREVIEW_SIDE, name="the upload")
        id_ = f"upload-{secrets.token_hex(8)}"
        path = self._write(f"{id_}.part", data)
        self._shown.put(f"{id_} {PREVIEW_SIDE}", shown)
        with self._lock:
            self._let_go(MOST_UPLOADS - 1)
            self._uploads[id_] = Upload(path, shown.format, *shown.whole, len(data))
        return id_

    def _let_go(self, most: int) -> None:
        """Removes uploads that are old or too many."""
        old = time.monotonic() - UPLOAD_AGE_S
        by_use = sorted(self._uploads, key=lambda id_: self._uploads[id_].used, reverse=True)
        for place, id_ in enumerate(by_use):
            if place >= most or self._uploads[id_].used < old:
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(self._uploads.pop(id_).path)

    def _write(self, name: str, data: bytes) -> bytes:
        with writing(f"folder {self._page}"):
            self._page.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
            self._forget_left()
            with open(self._page / name, "xb", opener=private_opener) as file:
                try:
                    file.write(data)
                    file.flush()
                except BaseException:
                    os.unlink(file.name)  # not whole
                    raise
        return os.fsencode(self._page / name)

    def _forget_left(self) -> None:
        """Removes what servers left that were killed."""
        for left in self._page.glob("upload-*.part"):
            with contextlib.suppress(FileNotFoundError):
                if time.time() - left.stat().st_mtime > 24 * UPLOAD_AGE_S:
                    left.unlink()

    # ---- what is seen and made ----

    def seen(self, path: bytes, copies: Sequence[bytes], picture: str, most: int) -> Made:
        """A picture as a JPEG of at most `most` pixels each way. Raises InputError for one that is not there or cannot
        be decoded, OSError."""
        key = f"{picture} {most}"
        return self._shown.get(key) or self._shown.put(
            key, preview(self._data(path, copies, picture), most=most, name="the picture")
        )

    def make(self, path: bytes, copies: Sequence[bytes], picture: str, edit: Edit) -> tuple[str, Made]:
        """Makes a cover, and returns its id with it. Raises as `seen`, and InputError for what cannot be done to the
        picture."""
        made = edited(self._data(path, copies, picture), edit, "the picture")
        id_ = picture_digest(made.jpeg)
        return id_, self._made.put(id_, made)

    def made(self, id_: str) -> Made:
        """A cover that was made. Raises InputError if it is not kept any more."""
        found = self._made.get(id_)
        if found is None:
            raise InputError("the cover", "is no longer at hand", remedy="Change something, and it is made again")
        return found

    def written(self, id_: str) -> bytes:
        """The file with a cover that was made, for a run that puts it into tags. Raises InputError, WriteError."""
        made = self.made(id_)
        path = self._write(f"cover-{secrets.token_hex(8)}.jpg", made.jpeg)
        for old in sorted(self._page.glob("cover-*.jpg"), key=lambda each: each.stat().st_mtime_ns)[:-KEPT_COVERS]:
            old.unlink(missing_ok=True)
        return path

    def close(self) -> None:
        """Removes the uploads."""
        with self._lock:
            self._let_go(0)
