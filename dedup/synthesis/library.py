"""A small music library with known duplicates, for the demo and for end-to-end tests."""

from __future__ import annotations

import itertools
import os
import random
import shutil
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dedup.errors import UsageError
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import SAMPLE_RATE, Pcm, compose

_ARTISTS = (
    # artist, albums, how the originals are stored
    ("Harbour Lights", ("Low Tide", "Slow Ferry"), Encoding("flac")),
    ("Été Indien", ("Café Lumière", "Après la pluie"), Encoding("mp3", 192_000)),
    ("The Brass Parade", ("Sunday Uniform", "Second Line"), Encoding("aac", 160_000)),
    ("Nightjar", ("Paper Moths", "Field Notes"), Encoding("vorbis", 160_000)),
)
_FIRST_WORDS = (
    "Silver",
    "Broken",
    "Quiet",
    "Northern",
    "Paper",
    "Golden",
    "Hollow",
    "Distant",
    "Electric",
    "Seventh",
)
_LAST_WORDS = (
    "River",
    "Window",
    "Machine",
    "Garden",
    "Letter",
    "Signal",
    "Morning",
    "Orchard",
    "Stranger",
    "Clock",
)
_TRACKS_AN_ALBUM = 6

_JINGLE_S = 3.0
_NO_AUDIO = "This is a shopping list, whatever its name says.\n\n- bread\n- milk\n- strings for the guitar\n"


@dataclass(frozen=True)
class DemoFile:
    """A file of a demo library."""

    path: str
    """Path below the library's root, with slashes."""
    recording: str
    """Name of the recording in it: files with the same name are duplicates."""
    change: str
    """Difference from the recording's original, for people."""


_TEXT = DemoFile("Downloads/shopping list.mp3", "shopping list", "no audio")
_JINGLE = DemoFile("Downloads/jingle.mp3", "jingle", f"{_JINGLE_S:g} s jingle")


@dataclass(frozen=True)
class Truth:
    """How pairs that were found compare with those that were planted."""

    n_planted: int
    n_found: int
    """Planted pairs among those that were found."""
    n_false: int
    """Pairs that were found and not planted."""


@dataclass(frozen=True)
class DemoLibrary:
    """A library on disk, and the truth about it."""

    root: Path
    files: tuple[DemoFile, ...]

    def true_pairs(self) -> frozenset[frozenset[str]]:
        """Every two relative paths that contain the same recording."""
        ordered = sorted(self.files, key=lambda file: file.recording)
        return frozenset(
            frozenset((a.path, b.path))
            for _, files in itertools.groupby(ordered, key=lambda file: file.recording)
            for a, b in itertools.combinations(files, 2)
        )

    def truth(self, pairs: Iterable[tuple[bytes, bytes]]) -> Truth:
        """How these pairs of absolute paths compare with `true_pairs`."""
        root, planted = os.fsencode(self.root.absolute()) + b"/", self.true_pairs()
        found = {frozenset(os.fsdecode(path.removeprefix(root)) for path in pair) for pair in pairs}
        return Truth(len(planted), len(found & planted), len(found - planted))


@dataclass(frozen=True)
class _Change:
    """How a duplicate differs; `folder` and `name` say where such files are usually found."""

    text: str
    folder: str = "Downloads"
    name: str = "{artist} - {title}"
    encoding: Encoding | None = None
    """Encoding of the duplicate; None for that of the original."""
    cut_start_s: float = 0.0
    cut_end_s: float = 0.0
    silence_s: float = 0.0
    gain_db: float = 0.0
    copied: bool = False
    """Whether the file starts as a copy of the original's bytes."""
    retagged: bool = False


_CHANGES = (
    _Change("mp3 64 kbit/s", encoding=Encoding("mp3", 64_000)),
    _Change("exact copy", name="track{number:02} (1)", copied=True),
    _Change("opus 48 kbit/s", "Backup/phone/{artist}", "{title}", Encoding("opus", 48_000)),
    _Change("other tags", "Backup/{artist}", "{number:02} {title}", copied=True, retagged=True),
    _Change("trimmed 5 s at the start", name="{title} (live stream rip)", cut_start_s=5.0),
    _Change("-12 dB", "Backup/quiet", "{title}", Encoding("flac"), gain_db=-12.0),
    _Change("mono", "Backup/phone/{artist}", "{title} mono", Encoding("aac", 64_000, mono=True)),
    _Change("3 s of silence in front", name="{title} [rip]", encoding=Encoding("flac"), silence_s=3.0),
    _Change("aac 96 kbit/s", "Backup/{artist}", "{number:02} {title}", Encoding("aac", 96_000)),
    _Change("wav", "Backup/burn to CD", "Track {number:02} {title}", Encoding("wav")),
    _Change("trimmed 4 s at the end", name="{title} (1)", encoding=Encoding("opus", 96_000), cut_end_s=4.0),
    _Change("vorbis 112 kbit/s", name="{artist}_{title}", encoding=Encoding("vorbis", 112_000)),
    _Change("+4 dB, clipped", "Backup/loud", "{title}", Encoding("aac", 128_000), gain_db=4.0),
    _Change("22,050 Hz", "Backup/old player", "{title}", Encoding("mp3", 64_000, 22_050)),
    _Change("flac", "Backup/{artist}", "{number:02} {title}", Encoding("flac")),
)


@dataclass(frozen=True)
class _Recording:
    index: int
    seconds: float
    tags: dict[str, str]
    encoding: Encoding
    files: tuple[tuple[DemoFile, _Change | None], ...]
    """The original first, then its duplicates."""


def write_demo_library(
    root: Path,
    seed: int = 1,
    *,
    n_recordings: int = 12,
    seconds: tuple[float, float] = (30.0, 75.0),
    n_copies: int | None = None,
    advance: Callable[[], None] | None = None,
) -> DemoLibrary:
    """Writes a library below `root`; the audio and the names are a function of the other arguments.

    Every recording lasts between the two `seconds`. `n_copies` duplicates (None: 3 for every 2 recordings) go
    through the kinds of change in turn, and to two thirds of the recordings; the others stay unique. Two files
    are not music: a text file with an audio name, and a jingle of 3 s. `advance` is called once per file, from
    any thread; `n_demo_files` is the number of calls.
    """
    recordings = _plan(seed, n_recordings, seconds, n_copies)
    told = advance or (lambda: None)
    with ThreadPoolExecutor(min(4, os.cpu_count() or 1)) as pool:
        for done in [pool.submit(_write_recording, root, seed, recording, told) for recording in recordings]:
            done.result()
    files = [file for recording in recordings for file, _ in recording.files]
    return DemoLibrary(root, (*files, *_write_no_music(root, seed, told)))


def n_demo_files(n_recordings: int = 12, n_copies: int | None = None) -> int:
    """Number of files that `write_demo_library` writes."""
    return n_recordings + _n_copies(n_recordings, n_copies) + 2


def demo_paths(seed: int = 1, n_recordings: int = 12, n_copies: int | None = None) -> frozenset[str]:
    """Paths below its root of the files that `write_demo_library` writes."""
    recordings = _plan(seed, n_recordings, (30.0, 75.0), n_copies)
    return frozenset(file.path for recording in recordings for file, _ in recording.files) | {_TEXT.path, _JINGLE.path}


def _n_copies(n_recordings: int, n_copies: int | None) -> int:
    return n_recordings * 3 // 2 if n_copies is None else n_copies


def _plan(seed: int, n_recordings: int, seconds: tuple[float, float], n_copies: int | None) -> list[_Recording]:
    titles = [f"{first} {last}" for first in _FIRST_WORDS for last in _LAST_WORDS]
    if not 1 <= n_recordings <= len(titles):
        raise UsageError("demo library", f"{n_recordings} recordings", remedy=f"Use 1 to {len(titles)} recordings")
    if not 10 <= seconds[0] <= seconds[1]:
        found = f"{seconds[0]:g} to {seconds[1]:g} seconds"
        raise UsageError("demo library", found, remedy="Use 10 seconds or more, the shorter time first")
    rng = random.Random(seed)
    rng.shuffle(titles)
    n_duplicated = -(-n_recordings * 2 // 3)
    changes: list[list[_Change]] = [[] for _ in range(n_recordings)]
    for i in range(_n_copies(n_recordings, n_copies)):
        changes[i % n_duplicated].append(_CHANGES[i % len(_CHANGES)])
    taken: set[str] = set()
    order = rng.sample(range(n_recordings), n_recordings)
    return [_plan_recording(i, titles[i], rng.uniform(*seconds), changes[order[i]], taken) for i in range(n_recordings)]


def _plan_recording(index: int, title: str, seconds: float, changes: list[_Change], taken: set[str]) -> _Recording:
    artist, albums, encoding = _ARTISTS[index % len(_ARTISTS)]
    album, number = divmod(index // len(_ARTISTS), _TRACKS_AN_ALBUM)
    tags = {"title": title, "artist": artist, "album": albums[album % 2], "track": str(number + 1)}
    original = f"{artist}/{tags['album']}/{number + 1:02} {title}.{encoding.extension}"
    files: list[tuple[DemoFile, _Change | None]] = [(DemoFile(original, f"{artist} - {title}", "original"), None)]
    for change in changes:
        stem = f"{change.folder}/{change.name}".format(artist=artist, title=title, number=number + 1)
        extension = (change.encoding or encoding).extension
        path = _free(stem, extension, taken)
        files.append((DemoFile(path, f"{artist} - {title}", change.text), change))
    return _Recording(index, seconds, tags, encoding, tuple(files))


def _free(stem: str, extension: str, taken: set[str]) -> str:
    names = itertools.chain([f"{stem}.{extension}"], (f"{stem} ({i}).{extension}" for i in itertools.count(2)))
    path = next(name for name in names if name.casefold() not in taken)
    taken.add(path.casefold())
    return path


def _write_recording(root: Path, seed: int, recording: _Recording, advance: Callable[[], None]) -> None:
    samples = compose(1000 * seed + recording.index, recording.tags["artist"], recording.seconds)
    original = root / recording.files[0][0].path
    for file, change in recording.files:
        path = root / file.path
        path.parent.mkdir(parents=True, exist_ok=True)
        if change is None:
            write(os.fsencode(path), samples, recording.encoding, recording.tags)
        elif change.copied:
            shutil.copyfile(original, path)
            if change.retagged:
                _retag(path, recording.tags)
        else:
            encoding = change.encoding or recording.encoding
            write(os.fsencode(path), _changed(samples, change), encoding, recording.tags)
        advance()


def _changed(samples: Pcm, change: _Change) -> Pcm:
    cut_start, cut_end = (round(s * SAMPLE_RATE) for s in (change.cut_start_s, change.cut_end_s))
    kept = samples[cut_start : len(samples) - cut_end] * np.float32(10 ** (change.gain_db / 20))
    return np.concatenate([np.zeros((round(change.silence_s * SAMPLE_RATE), 2), np.float32), kept])


def _retag(path: Path, tags: dict[str, str]) -> None:
    """Changes the tags around the same audio stream, like someone who does not know the song."""
    import mutagen

    file = mutagen.File(path, easy=True)
    file["title"] = tags["title"].lower()
    file["artist"] = "Unknown Artist"
    file["album"] = f"{tags['artist']} - Greatest Hits"
    file.save()


def _write_no_music(root: Path, seed: int, advance: Callable[[], None]) -> tuple[DemoFile, DemoFile]:
    (root / _TEXT.path).parent.mkdir(parents=True, exist_ok=True)
    (root / _TEXT.path).write_text(_NO_AUDIO, encoding="utf-8")
    advance()
    samples = compose(seed, "jingles", _JINGLE_S)
    write(os.fsencode(root / _JINGLE.path), samples, Encoding("mp3", 128_000), {"title": "Jingle"})
    advance()
    return _TEXT, _JINGLE
