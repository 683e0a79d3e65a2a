"""Writes tags into a file in place: the caller passes its own copy, such as `cleanup.rewrite` makes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterable, Mapping, Sequence
from typing import BinaryIO

from dedup.errors import WriteError
from dedup.files.paths import printable
from dedup.tags.block import Block
from dedup.tags.cover import Cover
from dedup.tags.extras import Held, picture_digest
from dedup.tags.names import named
from dedup.tags.read import blocks_in, open_blocks
from dedup.tags.values import normalised


class TagsError(WriteError):
    """The tags of a file cannot be written, or writing them would change its audio."""


def can_write(path: bytes, extras: Sequence[Held] = ()) -> bool:
    """Whether the file has a format whose tags can be written, its tags are undamaged, and they can hold these extras
    besides their own."""
    try:
        blocks = open_blocks(path)
        return bool(blocks) and not _lacking(blocks, _put_extras(blocks, extras))
    except Exception:  # a damaged file makes mutagen raise anything
        return False


def write_tags(
    path: bytes,
    fields: Mapping[str, Sequence[str]],
    cover: Cover | None = None,
    extras: Sequence[Held] = (),
    file: BinaryIO | None = None,
) -> None:
    """Sets these fields, by common name, each to all of its values; a field without values is removed. `cover` becomes
    the front cover, and `extras` are added. Everything else stays: other fields and pictures, unknown frames, the
    version of an ID3 tag; an ID3v1 tag repeats what ID3v2 says. A second tag block, such as APEv2 in an MP3, changes if
    it has the field; an ID3 tag in front of FLAC stays as it is. `file` is the file if it is open for reading and
    writing; then nothing is opened by its path.

    Afterwards `read_tags` returns `values.normalised` of the fields, and the extras; only a value in a WAV file's INFO
    list, or in an ID3 tag in front of FLAC, cannot be removed. Raises TagsError, and the file may then be half
    written."""
    names = {spelling: named(spelling) for spelling in fields}
    for spelling, known in names.items():
        if known is None:
            raise TagsError(printable(path), f"not every format can hold a field named {spelling!r}")
    new = normalised(fields)
    asked = sorted({known[0] for known in names.values() if known} | set(new))
    try:
        with contextlib.nullcontext(file) if file is not None else open(path, "r+b") as opened:
            _write(path, opened, new, asked, cover, extras)
    except TagsError:
        raise
    except Exception as error:
        raise TagsError(printable(path), f"its tags cannot be written: {error or type(error).__name__}") from error


def _write(
    path: bytes,
    file: BinaryIO,
    new: Mapping[str, tuple[str, ...]],
    asked: Sequence[str],
    cover: Cover | None,
    extras: Sequence[Held],
) -> None:
    blocks = blocks_in(path, file)
    if not blocks:
        raise TagsError(printable(path), "tags cannot be written to its format")
    for number, block in enumerate(blocks):
        has = block.fields()
        for name in asked:
            if number == 0 or (block.is_written and name in has):
                block.put(name, new.get(name, ()))
        if cover is not None and number == 0:
            block.put_cover(cover)
    due = _put_extras(blocks, extras)
    if cover is not None:
        due[picture_digest(cover.data)] = "the cover"
    for block in reversed(blocks):  # ID3 last: it brings the ID3v1 tag at the very end up to date
        if block.is_written:
            block.save(file)
    lacking = _lacking(blocks_in(path, file), due) if extras or cover is not None else []
    if lacking:
        raise TagsError(printable(path), f"its tags cannot hold {', '.join(lacking)}")


def _put_extras(blocks: Sequence[Block], extras: Iterable[Held]) -> dict[str, str]:
    """Adds extras, and returns in words all that there should be then, by digest."""
    there = [*_extras_of(blocks), *extras]
    for held in extras:
        blocks[0].put_extra(held)
    return {held.extra.digest: held.extra.what for held in there}


def _lacking(blocks: Sequence[Block], due: Mapping[str, str]) -> list[str]:
    there = {digest for block in blocks for digest in block.digests()}
    return [what for digest, what in due.items() if digest not in there]


def _extras_of(blocks: Sequence[Block]) -> list[Held]:
    return [held for block in blocks for held in block.extras(block.fields())]
