#!/usr/bin/env python3
"""Measures how copies of other speed, tempo and pitch are found, and told.

    scripts/study/speeds.py make MUSIC FOLDER [--recordings 30] [--seconds 150] [--seed 1]
    scripts/study/speeds.py judge FOLDER STORE [--json]

`make` takes recordings below MUSIC, a stretch of each, and writes below FOLDER/library the stretch as FLAC and, for
each change and amount, a copy: played faster or slower as a turntable does (speed), with its pitch kept (tempo), or at
another pitch with its tempo kept (pitch). Each copy is cut by some seconds at both ends and encoded, in one of four
ways. FOLDER/changes.json says what each file is. `judge` reads a store after `reprise full FOLDER/library`, and prints
found and rightly told by change and amount, how far amounts are off, the weakest true pair and the strongest pair of
different recordings. The changes are made by FFmpeg's filters (`asetrate`, `atempo`), through PyAV."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import av
import numpy as np
from av.filter import Graph

from dedup.settings import DEFAULT_EXTENSIONS
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import SAMPLE_RATE, Pcm

KINDS = ("speed", "tempo", "pitch")
RATIOS = tuple(1 + sign * percent / 100 for percent in (1, 2, 3, 4, 6, 8) for sign in (1, -1)) + (25 / 24, 24 / 25)
"""The last two are those of films at PAL speed, and back."""
ENCODINGS = (Encoding("mp3", 128_000), Encoding("opus", 64_000), Encoding("vorbis", 112_000), Encoding("aac", 96_000))
CUT_S = (1.0, 7.0)
"""Least and most seconds that are cut off at either end."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    making.add_argument("music", type=Path)
    making.add_argument("folder", type=Path)
    making.add_argument("--recordings", type=int, default=30)
    making.add_argument("--seconds", type=float, default=150.0)
    making.add_argument("--seed", type=int, default=1)
    given = parser.parse_args()
    make(given.music, given.folder, given.recordings, given.seconds, given.seed)


# ---- making ----


def make(music: Path, folder: Path, n_recordings: int, seconds: float, seed: int) -> None:
    """Writes the library; files that are there already are not written again."""
    files = sorted(each for each in music.rglob("*") if each.suffix.lower().lstrip(".") in DEFAULT_EXTENSIONS)
    library = folder / "library"
    library.mkdir(parents=True, exist_ok=True)
    changes: dict[str, Any] = {}
    made = 0
    for file in files:
        if made == n_recordings:
            break
        sound = stretch_of(file, seconds)
        if sound is None:
            continue
        made += 1
        rng = np.random.default_rng([seed, made])
        for name, kind, ratio, encoding in plan(made):
            begin, end = (int(SAMPLE_RATE * cut) for cut in rng.uniform(*CUT_S, 2))
            changes[name] = {"recording": file.name, "kind": kind, "ratio": ratio}
            if not (library / name).exists():
                changed_sound = changed(sound, kind, ratio)
                whole = changed_sound if kind == "plain" else changed_sound[begin : len(changed_sound) - end]
                write(str(library / name), whole, encoding)
        print(f"{made} of {n_recordings}: {file.name}", file=sys.stderr)
    (folder / "changes.json").write_text(json.dumps(changes, indent=1, sort_keys=True))


def plan(number: int) -> Iterator[tuple[str, str, float, Encoding]]:
    """Name, change, ratio and encoding of each file of a recording."""
    yield f"{number:03d}-plain.flac", "plain", 1.0, Encoding("flac")
    for at, (kind, ratio) in enumerate(itertools.product(KINDS, RATIOS)):
        encoding = ENCODINGS[(at + number) % len(ENCODINGS)]
        yield f"{number:03d}-{kind}{100 * (ratio - 1):+05.1f}.{encoding.extension}", kind, ratio, encoding


def stretch_of(file: Path, seconds: float) -> Pcm | None:
    """A stretch from the middle of a file; None if it is shorter."""
    sound = filtered(frames_of(file), [])
    n = int(seconds * SAMPLE_RATE)
    if len(sound) < n:
        return None
    start = (len(sound) - n) // 2
    return sound[start : start + n]


def changed(sound: Pcm, kind: str, ratio: float) -> Pcm:
    """The sound, played `ratio` times as fast (speed, tempo) or as high (pitch)."""
    filters = {
        "plain": [],
        "speed": [("asetrate", f"{SAMPLE_RATE * ratio:.6f}")],
        "tempo": [("atempo", f"{ratio:.9f}")],
        "pitch": [("asetrate", f"{SAMPLE_RATE * ratio:.6f}"), ("aresample", f"{SAMPLE_RATE}"), ("atempo", f"{1 / ratio:.9f}")],
    }
    return filtered(iter([frame_of(sound)]), filters[kind]) if filters[kind] else sound


def frame_of(sound: Pcm) -> av.AudioFrame:
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(sound.reshape(1, -1), np.float32), "flt", "stereo")
    frame.sample_rate = SAMPLE_RATE
    return frame


def frames_of(file: Path) -> Iterator[av.AudioFrame]:
    with av.open(str(file)) as container:
        yield from container.decode(audio=0)


def filtered(frames: Iterator[av.AudioFrame], filters: Sequence[tuple[str, str]]) -> Pcm:
    """What filters make of some frames, as stereo at SAMPLE_RATE."""
    graph, parts = None, []
    for frame in frames:
        frame.pts = None
        if graph is None:
            graph = Graph()
            source = graph.add_abuffer(
                sample_rate=frame.sample_rate, format=frame.format, layout=frame.layout, time_base=frame.time_base
            )
            chain = [source, *(graph.add(*each) for each in filters), graph.add("aresample", str(SAMPLE_RATE))]
            chain.append(graph.add("aformat", "sample_fmts=flt:channel_layouts=stereo"))
            chain.append(graph.add("abuffersink"))
            for one, other in itertools.pairwise(chain):
                one.link_to(other)
            graph.configure()
        graph.push(frame)
        parts += drained(graph)
    if graph is not None:
        graph.push(None)
        parts += drained(graph)
    return np.concatenate([np.empty((0, 2), np.float32), *parts])


def drained(graph: Graph) -> list[Pcm]:
    found = []
    while True:
        try:
            found.append(graph.pull().to_ndarray().reshape(-1, 2))
        except (av.BlockingIOError, av.EOFError):
            return found


if __name__ == "__main__":
    main()
