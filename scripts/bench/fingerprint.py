#!/usr/bin/env python3
"""Times Reprise's Chromaprint against libchromaprint, in turn, in one run, and counts the bits in which they differ.

    scripts/bench/fingerprint.py [FILE...] [--minutes 30] [--rounds 5] [--json]

Without FILEs the sound is made: all kinds of `dedup.synthesis.sounds` in turn. Of FILEs the decoded sound is taken;
what cannot be decoded is left out. Both get mono PCM at 11,025 Hz in pieces of 4,096 samples, as a scan gives it, and
turn it into an array of items. Times are processor time, the least of all rounds, and per half hour of sound. *start*
is what a process needs once before its first item: the code is in the cache, or the library is loaded; *first start* is
Reprise's with nothing compiled.

Needs libchromaprint (Debian: libchromaprint1) for the comparison; without it only Reprise's own times are shown."""

from __future__ import annotations

import argparse
import importlib
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dedup.fingerprint.chromaprint import Fingerprinter
from dedup.fingerprint.decode import UndecodableError, decode
from dedup.settings import FingerprintSettings
from dedup.store.items import Items
from dedup.synthesis.sounds import sound

RATE = 11_025
PIECE_BYTES = 2 * 4096
HALF_HOUR_S = 1800

START_OURS = """
from dedup.fingerprint.chromaprint import Fingerprinter
from dedup.settings import FingerprintSettings
import av, numpy, time
before = time.process_time()
Fingerprinter(FingerprintSettings())
print(time.process_time() - before)
"""
START_THEIRS = """
import av, numpy, time
before = time.process_time()
import chromaprint
chromaprint.Fingerprinter().start(11025, 1)
print(time.process_time() - before)
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("files", metavar="FILE", nargs="*")
    parser.add_argument("--minutes", type=float, default=30, help="sound to make without FILEs, or to take of them")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    pieces = list(limited(decoded(args.files) if args.files else made(), int(args.minutes * 60 * RATE)))
    try:
        library: Any = importlib.import_module("chromaprint")
    except ImportError:
        library = None
    rivals: dict[str, Callable[[bytes], Items]] = {"reprise": ours}
    if library:
        rivals["libchromaprint"] = lambda pcm: theirs(library, pcm)
    found = {name: [make(pcm) for pcm in pieces] for name, make in rivals.items()}
    taken: dict[str, list[float]] = {name: [] for name in rivals}
    for _ in range(args.rounds):
        for name, make in rivals.items():
            before = time.process_time()
            for pcm in pieces:
                make(pcm)
            taken[name].append(time.process_time() - before)
    show(args, sum(map(len, pieces)) / 2 / RATE, taken, found)


def made() -> Iterator[bytes]:
    index = 0
    while True:
        yield sound(1, index).tobytes()
        index += 1


def decoded(files: Iterable[str]) -> Iterator[bytes]:
    for file in files:
        taken: list[bytes] = []
        try:
            decode(os.fsencode(os.path.abspath(file)), RATE, taken.append)
        except UndecodableError as error:
            print(f"{file} is left out: {error}", file=sys.stderr)
        else:
            yield b"".join(taken)


def limited(sounds: Iterable[bytes], n_samples: int) -> Iterator[bytes]:
    left = 2 * n_samples
    for pcm in sounds:
        yield pcm[:left]
        left -= len(pcm)
        if left <= 0:
            return


def ours(pcm: bytes) -> Items:
    fingerprinter = Fingerprinter(FingerprintSettings())
    for start in range(0, len(pcm), PIECE_BYTES):
        fingerprinter.feed(pcm[start : start + PIECE_BYTES])
    return fingerprinter.finish()


def theirs(library: Any, pcm: bytes) -> Items:
    printer = library.Fingerprinter(1)
    printer.start(RATE, 1)
    for start in range(0, len(pcm), PIECE_BYTES):
        printer.feed(pcm[start : start + PIECE_BYTES])
    return np.array(library.decode_fingerprint(printer.finish())[0], np.uint32)


def show(
    args: argparse.Namespace, audio_s: float, taken: dict[str, list[float]], found: dict[str, list[Items]]
) -> None:
    half_hours = audio_s / HALF_HOUR_S
    figures: dict[str, Any] = {
        "processor": processor(),
        "minutes": round(audio_s / 60, 1),
        "items": sum(map(len, found["reprise"])),
        **{f"{name}_s": round(min(times) / half_hours, 3) for name, times in taken.items()},
        "reprise_start_s": start(START_OURS),
        "reprise_first_start_s": start(START_OURS, REPRISE_KERNEL_CACHE="off"),
    }
    if "libchromaprint" in found:
        ratios = sorted(a / b for a, b in zip(taken["libchromaprint"], taken["reprise"], strict=True))
        both = zip(found["reprise"], found["libchromaprint"], strict=True)
        figures |= {
            "libchromaprint_start_s": start(START_THEIRS),
            "ratio": round(ratios[len(ratios) // 2], 2),
            "ratios": [round(ratio, 2) for ratio in ratios],
            "bits_different": sum(int(np.bitwise_count(x ^ y).sum()) for x, y in both),
        }
    if args.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:<24}{value}")


def start(program: str, **environment: str) -> float:
    """Processor seconds, the least of five processes."""
    command, settings = [sys.executable, "-c", program], {**os.environ, **environment}
    told = [
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=settings).stdout
        for _ in range(5)
    ]
    return round(min(map(float, told)), 3)


def processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    return next((line.partition(":")[2].strip() for line in lines if line.startswith("model name")), platform.machine())


if __name__ == "__main__":
    main()
