"""Files beside a piece of music that belong to it: they have its name, and another ending. Only looks at folders."""

from __future__ import annotations

import os
from collections.abc import Iterator

from dedup.files.paths import extension_of
from dedup.settings import DEFAULT_EXTENSIONS

ENDINGS = frozenset(
    "accurip ape_cue asd ass cue description ffp idx info.json jpeg jpg json log lrc md5 nfo opf pbp pdf "  # noqa: SIM905
    "png reapeaks sfk sfv srt ssa sub sup ttml txt vtt webp wvc".split()
)
"""Endings of files that belong to a file of the same stem: cue sheets, lyrics, subtitles, notes, pictures, checksums,
and the second half of a hybrid WavPack."""

LYRICS = frozenset({"lrc"})
"""Endings of those that a kept file takes over, if it has none and both start at the same moment."""

REFERENCES = frozenset({"cue"})
"""Endings of those that are rewritten like playlists, if both start at the same moment."""


class Sidecars:
    """Side-cars by folder; each folder is listed once."""

    def __init__(self) -> None:
        self._listed: dict[bytes, dict[bytes, list[bytes]]] = {}

    def of(self, path: bytes) -> list[bytes]:
        """Paths of the side-cars of a file, in order; none if another piece of music of that stem is beside it, to
        which they belong as well."""
        folder, name = os.path.split(path)
        stem = os.path.splitext(name)[0]
        of_stem = self._in(folder).get(stem, [])
        if any(other != name and extension_of(other) in DEFAULT_EXTENSIONS for other in of_stem):
            return []
        longer = self._in(folder).get(name, [])  # "a.mp3.lrc"
        return [os.path.join(folder, each) for each in sorted({*of_stem, *longer}) if ending_of(each, stem) in ENDINGS]

    def _in(self, folder: bytes) -> dict[bytes, list[bytes]]:
        """Names in a folder by each of their stems: "a.en.srt" has two."""
        if folder not in self._listed:
            names: dict[bytes, list[bytes]] = {}
            try:
                listed = sorted(os.listdir(folder))
            except OSError:  # a folder that is away has no side-cars now
                listed = []
            for name in listed:
                for stem in _stems(name):
                    names.setdefault(stem, []).append(name)
            self._listed[folder] = names
        return self._listed[folder]


def _stems(name: bytes) -> Iterator[bytes]:
    """The name without its last ending, without the last two, and so on."""
    while (stem := os.path.splitext(name)[0]) != name:
        yield stem
        name = stem


def ending_of(name: bytes, stem: bytes) -> str:
    """What follows the stem, without the dot: "lrc", "info.json"; of "a.en.srt", "srt"."""
    rest = name[len(stem) + 1 :].decode("utf-8", "replace").lower()
    return rest if rest in ENDINGS else rest.rpartition(".")[2]


def renamed(sidecar: bytes, path: bytes, new: bytes) -> bytes:
    """The name of a side-car of the file at `path` as one of the file at `new`."""
    name, stem = os.path.basename(sidecar), os.path.splitext(os.path.basename(path))[0]
    return os.path.splitext(new)[0] + name[len(stem) :]
