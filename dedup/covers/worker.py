"""A process of its own that decodes and edits one picture, within limits of memory and time: what breaks out of a
decoder's bounds ends it, and nothing else. `covers.make` runs it.

Standard input: a line of JSON (`Order`), then the picture. Standard output: a line of JSON, then the JPEG if there is
one. The line has "problem", a phrase; or the fields of `covers.make.Made`, except the JPEG."""

from __future__ import annotations

import io
import json
import resource
import sys
from typing import TYPE_CHECKING, Any

from dedup.covers.edit import QUALITY, CannotEditError, Crop, Edit, apply_edit
from dedup.covers.images import NoPictureError, decoded, is_plain, open_picture
from dedup.files.bounded import bounded_memory

if TYPE_CHECKING:
    from PIL.Image import Image

MOST_MEMORY = 1536 << 20
"""Bytes of memory that a picture may take: the largest, several times over, since it is converted and cut."""

TIME_LIMIT_S = 60
"""Seconds of computing, and of waiting for it."""


_MOST_OPTIMIZED = 16_000_000
"""Pixels of a picture whose JPEG is made as short as can be, for which all of it is held twice more."""


def main() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (TIME_LIMIT_S, TIME_LIMIT_S))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    order = json.loads(sys.stdin.buffer.readline())
    told, jpeg = answer(edit_of(order["edit"]), order["most"], sys.stdin.buffer.read())
    sys.stdout.buffer.write(json.dumps(told).encode() + b"\n" + jpeg)


def answer(edit: Edit, most: int | None, data: bytes) -> tuple[dict[str, Any], bytes]:
    """What `carry_out` gives, within the limit of memory; or what is wrong with the picture. Raises nothing."""
    try:
        from PIL import Image, ImageCms  # noqa: F401  before the limit, which they do not count for

        with bounded_memory(MOST_MEMORY):
            return carry_out(edit, most, data)
    except MemoryError:
        problem = f"takes more than {MOST_MEMORY >> 20} MiB of memory"
    except (NoPictureError, CannotEditError) as error:
        problem = str(error)
    except Exception as error:  # a damaged file makes decoders raise anything: it costs one line
        problem = f"cannot be decoded: {type(error).__name__}: {error}"
    return {"problem": problem}, b""


def carry_out(edit: Edit, most: int | None, data: bytes) -> tuple[dict[str, Any], bytes]:
    """What was made, and the JPEG: the edited picture, which then shrinks, if `most` is given, to so many pixels each
    way at most. Raises NoPictureError, CannotEditError, MemoryError."""
    image = open_picture(data)
    name = {"MPO": "JPEG", "WEBP": "WebP"}.get(str(image.format), image.format)
    may_stay = is_plain(image) and edit.quality is None
    upright = decoded(image)
    made, box = apply_edit(upright, edit)
    is_as_it_was = made is upright and may_stay
    told = {"format": name, "whole": upright.size, "box": box}
    if most is not None and max(made.size) > most:
        made, is_as_it_was = made.copy(), False
        made.thumbnail((most, most))
    return told | {"size": made.size}, data if is_as_it_was else _jpeg(made, edit.quality or QUALITY)


def edit_of(record: dict[str, Any]) -> Edit:
    """The edit of which `dataclasses.asdict` made a record, also through JSON."""
    pairs = {name: tuple(record[name]) if record[name] else None for name in ("size", "fit")}
    crop = Crop(**record["crop"]) if record["crop"] else None
    return Edit(**{**record, **pairs, "crop": crop})


def _jpeg(image: Image, quality: int) -> bytes:
    """Baseline, since some players show no progressive ones, with colours as fine as shapes: covers have lettering."""
    from PIL import ImageFile

    n_pixels = image.width * image.height
    is_small = n_pixels <= _MOST_OPTIMIZED
    if is_small:
        ImageFile.MAXBLOCK = 3 * n_pixels + (1 << 16)  # `optimize` writes it all at once, and noise is the longest
    file = io.BytesIO()
    image.save(file, "JPEG", quality=quality, optimize=is_small, subsampling=0)
    return file.getvalue()
