"""Writes tags into a file in place: the caller passes its own copy, such as `cleanup.rewrite` makes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from dedup.errors import WriteError
from dedup.files.paths import printable
from dedup.tags.cover import Cover
from dedup.tags.names import named
from dedup.tags.read import open_blocks
from dedup.tags.values import normalised


class TagsError(WriteError):
    """The tags of a file cannot be written, or writing them would change its audio."""


def can_write(path: bytes) -> bool:
    """Whether the file has a format whose tags can be written, and its tags are undamaged."""
    try:
        return bool(open_blocks(path))
    except Exception:  # a damaged file makes mutagen raise anything
        return False


def write_tags(path: bytes, fields: Mapping[str, Sequence[str]], cover: Cover | None = None) -> None:
    """Sets these fields, by common name, each to all of its values; a field without values is removed. `cover` becomes
    the front cover. Everything else stays: other fields and pictures, unknown frames, the version of an ID3 tag; an
    ID3v1 tag repeats what ID3v2 says. A second tag block, such as APEv2 in an MP3, changes if it has the field.

    Afterwards `read_tags` returns `values.normalised` of the fields; only a value in a WAV file's INFO list cannot be
    removed. Raises TagsError, and the file may then be half written."""
    names = {spelling: named(spelling) for spelling in fields}
    for spelling, known in names.items():
        if known is None:
            raise TagsError(printable(path), f"not every format can hold a field named {spelling!r}")
    new = normalised(fields)
    asked = sorted({known[0] for known in names.values() if known} | set(new))
    try:
        blocks = open_blocks(path)
        if not blocks:
            raise TagsError(printable(path), "tags cannot be written to its format")
        for number, block in enumerate(blocks):
            has = block.fields()
            for name in asked:
                if number == 0 or name in has:
                    block.put(name, new.get(name, ()))
            if cover is not None and number == 0:
                block.put_cover(cover)
        for block in reversed(blocks):  # ID3 last: it brings the ID3v1 tag at the very end up to date
            block.save(path)
    except TagsError:
        raise
    except Exception as error:
        raise TagsError(printable(path), f"its tags cannot be written: {error or type(error).__name__}") from error
