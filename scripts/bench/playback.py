#!/usr/bin/env python3
"""Times how soon a file sounds in a browser: decoding into the cache, windows, and the difference of two files.

    scripts/bench/playback.py [--minutes 5] [--rounds 5] [--json]

The files are made here: the same music as MP3, FLAC and Opus. Each round decodes into an empty cache. Wall times depend
on what else the machine does, so its load is printed too; windows are also given in seconds of the processor."""

from __future__ import annotations

import argparse
import json
import os
import random
import resource
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dedup.playback.cache import SoundCache
from dedup.playback.lanes import REFERENCE, Place
from dedup.playback.sound import Sound
from dedup.playback.task import File
from dedup.playback.windows import window
from dedup.synthesis import voices
from dedup.synthesis.encode import Encoding, write
from scripts.bench.scan import machine

FORMATS = ("mp3", "flac", "opus")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--minutes", type=int, default=5, help="length of the files")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        files = made(Path(folder), args.minutes)
        figures: dict[str, Any] = {"machine": machine(), "load": round(os.getloadavg()[0], 1), "minutes": args.minutes}
        for name, file in files.items():
            figures[name] = decoding(Path(folder), file, args.minutes, args.rounds)
        figures["difference"] = differing(Path(folder), files["mp3"], files["flac"], args.rounds)
    figures["memory_mb"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024)
    if args.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:12} {value}")


def made(folder: Path, minutes: int) -> dict[str, File]:
    minute = voices.backing("song", 1, 60)
    music = np.concatenate([minute] * minutes)
    found = {}
    for name in FORMATS:
        path = os.fsencode(folder / f"music.{name}")
        write(path, music, Encoding(name))
        status = os.stat(path)
        found[name] = File(path, status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)
    return found


def decoding(folder: Path, file: File, minutes: int, rounds: int) -> dict[str, Any]:
    first, whole, taken = [], [], []
    for number in range(rounds):
        before = resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime
        cache = SoundCache(folder / f"{file.size} {number}")
        began = time.perf_counter()
        sound = cache.sound(file)
        window(sound, REFERENCE, 0.0, 10.0)
        first.append(time.perf_counter() - began)
        sound.wait()
        whole.append(time.perf_counter() - began)
        n_bytes = cache.n_bytes()
        if number == rounds - 1:
            windows = windows_of(sound, minutes)
        cache.close()
        taken.append(resource.getrusage(resource.RUSAGE_CHILDREN).ru_utime - before)
    return {
        "first_sound_s": middle(first),
        "whole_s": middle(whole),
        "decoding_s_a_minute": middle([each / minutes for each in whole]),
        "processor_s_a_minute": middle([each / minutes for each in taken]),
        "cache_mb_a_minute": round(n_bytes / minutes / 1e6, 2),
        **windows,
    }


def windows_of(sound: Sound, minutes: int) -> dict[str, float]:
    """Median ms of windows of 10 s that follow each other, and of such at any place."""
    places = [10.0 * number for number in range(6 * minutes - 1)]
    anywhere = random.Random(0).sample(places, len(places))
    own, other = Place(1.2345), Place(1.2345, 0.03)
    window(sound, other, 0.0, 1.0)  # makes the table
    return {
        "window_ms": timed(lambda at: window(sound, own, at, 10.0), places, time.perf_counter),
        "window_processor_ms": timed(lambda at: window(sound, own, at, 10.0), places, time.process_time),
        "window_anywhere_ms": timed(lambda at: window(sound, own, at, 10.0), anywhere, time.perf_counter),
        "resampled_ms": timed(lambda at: window(sound, other, at, 10.0), places, time.perf_counter),
        "resampled_processor_ms": timed(lambda at: window(sound, other, at, 10.0), places, time.process_time),
    }


def timed(make: Callable[[float], bytes], places: list[float], clock: Callable[[], float]) -> float:
    taken = []
    for at in places:
        began = clock()
        make(at)
        taken.append(clock() - began)
    return round(1000 * statistics.median(taken), 1)


def differing(folder: Path, a: File, b: File, rounds: int) -> dict[str, float]:
    first, whole = [], []
    for number in range(rounds):
        cache = SoundCache(folder / f"difference {number}")
        began = time.perf_counter()
        sound = cache.difference(a, b, Place(0.03))
        sound.samples(0, 48_000)
        first.append(time.perf_counter() - began)
        sound.wait()
        whole.append(time.perf_counter() - began)
        cache.close()
    return {"first_sound_s": middle(first), "whole_s": middle(whole)}


def middle(values: list[float]) -> float:
    return round(statistics.median(values), 3)


if __name__ == "__main__":
    main()
