"""Which files have moved, and which of them a reference means."""

from __future__ import annotations

import functools
import os
import unicodedata
from collections.abc import Iterable, Mapping

from dedup.playlists.nouns import Reading


class Moves:
    """What has moved where: absolute, normalised paths."""

    def __init__(self, moved: Mapping[bytes, bytes]) -> None:
        self._moved = moved
        self._real_folders: dict[bytes, bytes] = {}

    def __bool__(self) -> bool:
        return bool(self._moved)

    @functools.cached_property
    def _by_form(self) -> dict[bytes, bytes]:
        return {normal_form(old): new for old, new in sorted(self._moved.items(), reverse=True)}

    @functools.cached_property
    def _by_place(self) -> dict[bytes, bytes]:
        return {self._place(old): new for old, new in sorted(self._moved.items(), reverse=True)}

    def _place(self, path: bytes) -> bytes:
        """The path with the links in its folder resolved; the file itself may be gone."""
        folder, name = os.path.split(path)
        if folder not in self._real_folders:
            self._real_folders[folder] = os.path.realpath(folder)
        return os.path.join(self._real_folders[folder], name)

    @functools.cached_property
    def _by_letters(self) -> dict[bytes, bytes]:
        """Old paths by their case-folded form."""
        return {without_case(old): old for old in sorted(self._moved, reverse=True)}

    def _is_other_case(self, path: bytes) -> bool:
        """Whether the path names a moved file on a disk that ignores case."""
        old = self._by_letters.get(without_case(path))
        return old is not None and os.path.lexists(old) and os.path.samefile(path, old)

    def meant(self, readings: Iterable[Reading]) -> Reading | None:
        """The reading that has moved; None if the reference means a file that stays, or an unknown one."""
        readings = list(readings)
        for reading in readings:
            if reading.path in self._moved or self._place(reading.path) in self._by_place:
                return reading
            if os.path.exists(reading.path):
                return reading if self._is_other_case(reading.path) else None
            if os.path.lexists(reading.path):
                return None
        by_form = (reading for reading in readings if normal_form(reading.path) in self._by_form)
        by_letters = (reading for reading in readings if without_case(reading.path) in self._by_letters)
        return next(by_form, None) or next(by_letters, None)

    def target(self, path: bytes) -> bytes:
        """Where the file of a reading that `meant` returned is now."""
        if path in self._moved:
            return self._moved[path]
        place, form = self._place(path), normal_form(path)
        if place in self._by_place:
            return self._by_place[place]
        return self._by_form[form] if form in self._by_form else self._moved[self._by_letters[without_case(path)]]


def normal_form(path: bytes) -> bytes:
    """The path in Unicode's composed form."""
    if path.isascii():
        return path
    text = path.decode("utf-8", "surrogateescape")
    return unicodedata.normalize("NFC", text).encode("utf-8", "surrogateescape")


def without_case(path: bytes) -> bytes:
    """The path as disks see it that ignore case."""
    if path.isascii():
        return path.lower()
    return normal_form(path).decode("utf-8", "surrogateescape").casefold().encode("utf-8", "surrogateescape")
