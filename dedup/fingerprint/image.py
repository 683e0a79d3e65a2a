"""Machine code in a file that can be mapped into memory and called, without the compiler that made it.

A file is the SHA-256 of the rest, the names of the functions with their places, and from byte 4096 on the code."""

from __future__ import annotations

import hashlib
import json
import mmap
import struct
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

CODE_AT = 4096
"""Where the code begins: what is mapped begins at a page, and no part of the code asks for more."""

_DIGEST_BYTES = 32
_X86_64, _WAYS = 62, (2, 4)
"""ELF's numbers of the processor, and of relocations that are the way from their place to a symbol (R_X86_64_PC32 and,
of a function, R_X86_64_PLT32)."""
_SYMBOLS, _RELOCATIONS, _ALLOCATED = 2, 4, 2
"""ELF's numbers of kinds of sections, and the flag of those that are there when the code runs."""

_mapped: list[Any] = []
"""What holds the code: it is gone with them."""


class _Section(NamedTuple):
    kind: int
    flags: int
    content: bytes
    link: int
    info: int
    alignment: int


def image_of(elf: bytes) -> bytes | None:
    """The file for an object file that a compiler made; None if it is for another kind of processor or needs anything
    that is not in itself."""
    if elf[:6] != b"\x7fELF\x02\x01" or struct.unpack_from("<H", elf, 18) != (_X86_64,):
        return None
    sections = _sections(elf)
    code, starts = bytearray(), {}
    for index, section in enumerate(sections):
        if section.flags & _ALLOCATED and section.content:
            code += bytes(-len(code) % section.alignment)
            starts[index] = len(code)
            code += section.content
    symbols, functions = _symbols(sections, starts)
    for section in sections:
        if section.kind == _RELOCATIONS and section.info in starts:
            for place, info, addend in struct.iter_unpack("<QQq", section.content):
                target = symbols[info >> 32]
                if info & 0xFFFFFFFF not in _WAYS or target is None:
                    return None
                at = starts[section.info] + place
                struct.pack_into("<i", code, at, target + addend - at)
    head = json.dumps(functions).encode().ljust(CODE_AT - _DIGEST_BYTES)
    rest = head + bytes(code)
    return hashlib.sha256(rest).digest() + rest


def _sections(elf: bytes) -> list[_Section]:
    (first,) = struct.unpack_from("<Q", elf, 40)
    size, n = struct.unpack_from("<HH", elf, 58)
    sections = []
    for at in range(first, first + n * size, size):
        _, kind, flags, _, start, length, link, info, alignment, _ = struct.unpack_from("<IIQQQQIIQQ", elf, at)
        sections.append(_Section(kind, flags, elf[start : start + length], link, info, max(1, alignment)))
    return sections


def _symbols(sections: list[_Section], starts: dict[int, int]) -> tuple[list[int | None], dict[str, int]]:
    """Where each symbol is, None if it is not in the code; and the places of the named ones, which are functions."""
    places: list[int | None] = []
    functions: dict[str, int] = {}
    table = next(section for section in sections if section.kind == _SYMBOLS)
    names = sections[table.link].content
    for name, info, _, section, value, _ in struct.iter_unpack("<IBBHQQ", table.content):
        place = starts[section] + value if section in starts else None
        places.append(place)
        if place is not None and info >> 4:  # others can see it
            functions[names[name : names.index(b"\0", name)].decode()] = place
    return places, functions


def mapped_functions(file: Path) -> dict[str, int]:
    """Addresses of the functions in such a file, by their names; empty if it is torn. Raises OSError if there is none,
    or if the system runs no code from there."""
    with file.open("rb") as opened:
        try:
            mapped = mmap.mmap(opened.fileno(), 0, prot=mmap.PROT_READ | mmap.PROT_EXEC, flags=mmap.MAP_PRIVATE)
        except ValueError:  # it is empty
            return {}
    content = memoryview(mapped)
    if len(content) < CODE_AT or hashlib.sha256(content[_DIGEST_BYTES:]).digest() != content[:_DIGEST_BYTES]:
        return {}
    places: dict[str, int] = json.loads(bytes(content[_DIGEST_BYTES:CODE_AT]))
    held = np.frombuffer(content, np.uint8)
    _mapped.append(held)
    return {name: held.ctypes.data + CODE_AT + place for name, place in places.items()}
