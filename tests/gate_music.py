"""What the gate's tests ask about: a small library with a store, and files that are not in it."""

from __future__ import annotations

import os
from pathlib import Path

from dedup.correlation.correlate import correlate
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.scan.scan import Scan, scan
from dedup.settings import CompareSettings, FingerprintSettings, ScanSettings
from dedup.store.store import make_or_open
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import compose


def make_music(base: Path, n_songs: int, seconds: float) -> Path:
    """A library, a store of it, and in `new` two encodings of each of some songs; gives the folder of all."""
    (base / "library").mkdir()
    (base / "new").mkdir()
    write(str(base / "library" / "song.flac"), compose(9, "nine", seconds), Encoding("flac"))
    for number in range(n_songs):
        song = compose(number, f"song {number}", seconds)
        write(str(base / "new" / f"{number}.flac"), song, Encoding("flac"))
        write(str(base / "new" / f"{number}.mp3"), song, Encoding("mp3", 192_000))
    scanned(base / "store", base / "library")
    return base


def scanned(folder: Path, root: Path) -> Scan:
    """Brings a store, made if there is none, up to date with a library, at one speed."""
    with make_or_open(folder, FingerprintSettings(), 4, "test") as store:
        done = scan(store, [os.fsencode(root)], ScanSettings(), InlineRunner(), Silent())
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
    return done
