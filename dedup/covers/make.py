"""Makes a cover of a picture that nobody vouches for, such as an upload: a process of its own decodes it."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from dataclasses import asdict, dataclass

from dedup.covers.edit import Box, Edit
from dedup.covers.worker import TIME_LIMIT_S
from dedup.errors import InputError, UsageError
from dedup.files.held import open_regular
from dedup.files.paths import printable
from dedup.files.process import start_python
from dedup.tags.cover import LARGEST_BYTES

MOST_BYTES = 64 << 20
"""Bytes of a picture that are read."""

WORKER = "from dedup.covers.worker import main; main()"
"""What the process that decodes runs."""

PREVIEW_SIDE = 1024
"""Most pixels of a preview each way."""


@dataclass(frozen=True)
class Made:
    """A JPEG that was made of a picture."""

    jpeg: bytes
    """The picture itself if it is a JPEG that every program shows alike, and nothing changed it."""
    width: int
    height: int
    whole: tuple[int, int]
    """Width and height of the picture that it was made of, upright."""
    box: Box
    """What it shows of that picture, in pixels."""
    format: str
    """Format of that picture: "JPEG", "PNG", "TIFF" or "WebP"."""


def edited(data: bytes, edit: Edit, name: str = "the picture") -> Made:
    """The edited picture as a JPEG of 16 MiB at most. Raises InputError, which calls the picture `name`, for one that
    cannot be decoded within the limits or edited like this; UsageError if Pillow is not installed."""
    made = _made(data, edit, None, name)
    if len(made.jpeg) > LARGEST_BYTES:
        found = f"makes a cover of {len(made.jpeg) >> 20} MiB; tags hold {LARGEST_BYTES >> 20} MiB"
        raise InputError(name, found, remedy="Shrink it, or lower the quality")
    return made


def preview(data: bytes, edit: Edit | None = None, most: int = PREVIEW_SIDE, name: str = "the picture") -> Made:
    """The picture, edited or as it is, as a JPEG of at most `most` pixels each way, for a page that shows it: `whole`
    and `box` are of the picture itself. Raises as `edited` does."""
    return _made(data, Edit() if edit is None else edit, most, name)


def picture_in(path: bytes, *, is_followed: bool = True) -> bytes:
    """The bytes of a file, be it a picture or not; of what a link leads to if that `is_followed`. Raises InputError if
    there are more than `MOST_BYTES`; OSError."""
    with open_regular(path, flags=0 if is_followed else os.O_NOFOLLOW) as file:
        data = file.read(MOST_BYTES + 1)
    _require_small(data, printable(path))
    return data


def require_pillow() -> None:
    """Raises UsageError if Pillow is not installed."""
    if importlib.util.find_spec("PIL") is None:
        raise UsageError(
            "cover",
            "Pillow is not installed",
            remedy="Install the extra `serve`: uv tool install 'reprise-dedup[serve]'",
        )


def _require_small(data: bytes, name: str) -> None:
    if len(data) > MOST_BYTES:
        raise InputError(name, f"has more than {MOST_BYTES >> 20} MiB", remedy="Choose a smaller picture")


def _made(data: bytes, edit: Edit, most: int | None, name: str) -> Made:
    require_pillow()
    _require_small(data, name)
    order = json.dumps({"edit": asdict(edit), "most": most}).encode() + b"\n"
    pipe = subprocess.PIPE
    # Ctrl-C is for this process, which then ends the other.
    with start_python(WORKER, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL, start_new_session=True) as process:
        try:
            answer, _ = process.communicate(order + data, TIME_LIMIT_S)
        except subprocess.TimeoutExpired:
            found = f"could not be decoded in {TIME_LIMIT_S} s"
            raise InputError(name, found, remedy="Choose another picture") from None
        finally:
            process.kill()
    line, _, jpeg = answer.partition(b"\n")
    if process.returncode != 0:
        found = f"ended the process that decodes it ({process.returncode})"
        raise InputError(name, found, remedy="Choose another picture")
    told = json.loads(line)
    if "problem" in told:
        raise InputError(name, told["problem"])
    (width, height), (across, down) = told["size"], told["whole"]
    return Made(jpeg, width, height, (across, down), Box(*told["box"]), told["format"])
