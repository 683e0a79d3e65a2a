"""What lies beside a file at its source and belongs to it: lyrics, a cue sheet, the picture of its folder."""

from __future__ import annotations

import contextlib
import os
from typing import TYPE_CHECKING

from dedup.backup.place import name_it
from dedup.backup.source import Item, Source, UnavailableError
from dedup.cleanup.moving import OccupiedError
from dedup.errors import is_full

if TYPE_CHECKING:
    from dedup.backup.place import Place, Work

_PART = b".beside"


def bring(source: Source, item: Item, work: Work, place: Place, target: bytes) -> str:
    """Puts it beside `target`, the path that the file is about to get, unless something has its name; says in words
    what could not be had, empty if all is there. Raises WriteError, StoppedError, and what the source raises as a
    whole; OSError if the disk is full."""
    lacking = []
    for name, each in source.beside(item, os.path.basename(target)):
        try:
            _bring(source, each, work, place, os.path.join(os.path.dirname(target), name))
        except UnavailableError as error:
            lacking.append(f"{each.shown} is not beside it: {error.found}")
        except OSError as error:
            if is_full(error):
                raise
            lacking.append(f"{each.shown} is not beside it: {error.strerror or type(error).__name__}")
    return "; ".join(lacking)


def _bring(source: Source, item: Item, work: Work, place: Place, path: bytes) -> None:
    with place.spot(path, make=True) as target:
        if target.exists() and not (target.is_file() and target.status().st_size == 0):
            return
        with work.written(_PART, item.mtime_ns) as part:
            source.fetch(item, part)
        if part.n_bytes != item.size:
            raise UnavailableError(f"{part.n_bytes:,} of {item.size:,} bytes came")
        with work.spot(_PART) as made, contextlib.suppress(FileExistsError, OccupiedError):  # made meanwhile: it stays
            name_it(made, target)
