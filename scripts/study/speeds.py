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
import os
import sys
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import av
import numpy as np
from av.filter import Graph

from dedup.groups.matches import Matches, TrackPair
from dedup.settings import DEFAULT_EXTENSIONS, MatchSettings
from dedup.store.store import open_for_reading
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import SAMPLE_RATE, Pcm

KINDS = ("speed", "tempo", "pitch")
RATIOS = (*(1 + sign * percent / 100 for percent in (1, 2, 3, 4, 6, 8) for sign in (1, -1)), 25 / 24)
"""The last is that of films at PAL speed; 24 / 25 is there as 0.96."""
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
    judging = commands.add_parser("judge")
    judging.add_argument("folder", type=Path)
    judging.add_argument("store", type=Path)
    judging.add_argument("--json", action="store_true")
    given = parser.parse_args()
    if given.command == "make":
        make(given.music, given.folder, given.recordings, given.seconds, given.seed)
    else:
        report = judge(json.loads((given.folder / "changes.json").read_text()), given.store)
        print(json.dumps(report, indent=1) if given.json else "\n".join(shown(report)))


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
        (folder / "changes.json").write_text(json.dumps(changes, indent=1, sort_keys=True))
        print(f"{made} of {n_recordings}: {file.name}", file=sys.stderr)


def plan(number: int) -> Iterator[tuple[str, str, float, Encoding]]:
    """Name, change, ratio and encoding of each file of a recording."""
    yield f"{number:03d}-plain.flac", "plain", 1.0, Encoding("flac")
    for at, (kind, ratio) in enumerate(itertools.product(KINDS, RATIOS)):
        encoding = ENCODINGS[(at + number) % len(ENCODINGS)]
        yield f"{number:03d}-{kind}{100 * (ratio - 1):+05.1f}.{encoding.extension}", kind, ratio, encoding


def stretch_of(file: Path, seconds: float) -> Pcm | None:
    """A stretch from the middle of a file; None if it is shorter, or cannot be decoded."""
    try:
        sound = filtered(frames_of(file), [])
    except av.error.FFmpegError as error:
        print(f"left out: {error}", file=sys.stderr)
        return None
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
        "pitch": [
            ("asetrate", f"{SAMPLE_RATE * ratio:.6f}"),
            ("aresample", f"{SAMPLE_RATE}"),
            ("atempo", f"{1 / ratio:.9f}"),
        ],
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


# ---- judging ----

FOUND = ("same recording, other speed", "transposed")


def judge(changes: dict[str, Any], folder: Path) -> dict[str, Any]:
    """What a store says of the changed copies against their originals, and of different recordings."""
    with open_for_reading(folder) as store:
        matches = Matches(store, MatchSettings())
        pairs = {(_name(pair.a), _name(pair.b)): pair for pair in matches.pairs()}
        names = [_name(track) for track in store.catalog.tracks.all() if track.audio is not None]
    n_files = Counter(changes[name]["recording"] for name in names if name in changes)
    rows: dict[tuple[str, float], list[dict[str, Any]]] = defaultdict(list)
    originals = {each["recording"]: name for name, each in changes.items() if each["kind"] == "plain"}
    for name, each in sorted(changes.items()):
        if each["kind"] != "plain" and name in names:
            original = originals[each["recording"]]
            pair = pairs.get((original, name)) or (
                pairs[name, original].swapped() if (name, original) in pairs else None
            )
            rows[each["kind"], each["ratio"]].append(_judged(each, pair))
    false = [
        {"a": a, "b": b, "verdict": pair.verdict, "evidence": round(pair.match.evidence, 3)}
        for (a, b), pair in sorted(pairs.items())
        if changes[a]["recording"] != changes[b]["recording"]
    ]
    n = sum(n_files.values())
    return {
        "rows": [_row(kind, ratio, found) for (kind, ratio), found in sorted(rows.items())],
        "unrelated_pairs": (n * n - sum(each * each for each in n_files.values())) // 2,
        "false": [each for each in false if each["verdict"] != "related"],
        "false_related": [each for each in false if each["verdict"] == "related"],
    }


def _name(track: Any) -> str:
    return os.fsdecode(os.path.basename(track.path))


def _row(kind: str, ratio: float, found: Sequence[dict[str, Any]]) -> dict[str, Any]:
    return {
        "kind": kind,
        "ratio": round(ratio, 4),
        "n": len(found),
        "found": sum(each["found"] for each in found),
        "related": sum(each["related"] for each in found),
        "kind_right": sum(each["kind_right"] for each in found),
        "worst_amount": max((each["off"] for each in found if each["found"]), default=None),
        "least_evidence": min((each["evidence"] for each in found if each["found"]), default=None),
    }


def _judged(changed_copy: dict[str, Any], pair: TrackPair | None) -> dict[str, Any]:
    """What is said of an original, the first of the pair, and its copy."""
    if pair is None:
        return {"found": False, "related": False, "kind_right": False, "off": None, "evidence": None}
    told = pair.change.kind if pair.change is not None else ""
    amount = 1 / pair.change.pitch if pair.change is not None and told == "pitch" else 1 + pair.match.rate
    return {
        "found": pair.verdict in FOUND,
        "related": pair.verdict == "related",
        "kind_right": pair.verdict in FOUND and told == changed_copy["kind"],
        "off": round(abs(amount / changed_copy["ratio"] - 1), 5),
        "evidence": round(pair.match.evidence, 3),
    }


def shown(report: dict[str, Any]) -> Iterator[str]:
    """The report as a table."""
    yield f"{'change':>6} {'ratio':>7} {'found':>7} {'related':>7} {'kind right':>10} {'most off':>9} {'evidence':>8}"
    for row in report["rows"]:
        off = "" if row["worst_amount"] is None else f"{row['worst_amount']:.2%}"
        evidence = "" if row["least_evidence"] is None else f"{row['least_evidence']:.3f}"
        found = f"{row['found']}/{row['n']}"
        numbers = f"{row['related']:>7} {row['kind_right']:>10} {off:>9} {evidence:>8}"
        yield f"{row['kind']:>6} {row['ratio']:>7.4f} {found:>7} {numbers}"
    for kind in KINDS:
        chosen = [row for row in report["rows"] if row["kind"] == kind]
        total, found, right = (sum(row[name] for row in chosen) for name in ("n", "found", "kind_right"))
        yield f"{kind}: {found} of {total} found, {right} rightly told"
    yield f"unrelated pairs: {report['unrelated_pairs']:,}, of which {len(report['false_related'])} are called related"
    yield f"and {len(report['false'])} are called something else that is false"
    for each in report["false"][:20]:
        yield f"  {each['verdict']}: {each['a']} and {each['b']} (evidence {each['evidence']})"


if __name__ == "__main__":
    main()
