#!/usr/bin/env python3
"""Checks a plan against the truth: no file may go that holds what the kept file lacks.

    scripts/study/check_plan.py PLAN.json GROUND_TRUTH.json [--root LIBRARY] [--json]

It knows nothing of how plans are made. GROUND_TRUTH.json is that of `evaluate.py`: the filter that made a file says
which part of its recording it plays, and how fast. For each file that goes the kept file of its group must be of the
same recording and mix, play at the same speed, not be mono if the file is stereo, and cover all that the file plays of
the recording, to a second; it must have each stream that FFmpeg finds in the file (moving pictures, sound tracks,
subtitles), unless the bytes of both are equal; and no side-car may be left behind without its file, unless the plan
moves it or rewrites it. Prints one line for each exception; exit code 1 if there is any."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import sys
from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import av
from av.stream import Disposition

from scripts.study.evaluate import File, below, labelled, path_of

REMOVING = frozenset({"quarantine", "trash", "delete"})
TOLERANCE_S = 1.0
SPEED_OFF = 0.003
SIDECARS = frozenset({".cue", ".lrc", ".srt", ".vtt", ".ass", ".wvc", ".nfo", ".txt", ".md5"})


@dataclass(frozen=True)
class Mix:
    """Which mix of its recording a file is."""

    name: str
    is_mono: bool


@dataclass(frozen=True)
class Held:
    """What a file holds, by the truth and by FFmpeg."""

    recording: str
    mix: Mix
    speed: float
    start_s: float
    """Where in its recording it begins."""
    end_s: float
    streams: Counter[tuple[str, str]]
    """Kind and language of each stream, but covers and the first sound track."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("plan", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--root", type=Path, help="the library's folder (default: library/ beside GROUND_TRUTH.json)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    root = bytes((args.root or args.truth.resolve().parent / "library").resolve())
    plan, truth = json.loads(args.plan.read_text()), json.loads(args.truth.read_text())
    n_gone = sum(file["action"] in REMOVING for group in plan["groups"] for file in group["files"])
    found = list(exceptions(plan, truth, root))
    if args.json:
        print(json.dumps({"gone": n_gone, "exceptions": found}))
    else:
        print(*found, f"{n_gone} files go; {len(found)} exceptions", sep="\n")
    raise SystemExit(1 if found else 0)


def exceptions(plan: Mapping[str, Any], truth: Mapping[str, Any], root: bytes) -> Iterator[str]:
    """One line for each file that goes and holds what the kept file lacks."""
    files = {path_of(entry): (labelled(entry), _mix(entry)) for entry in truth["files"]}
    for group in plan["groups"]:
        kept = next((file for file in group["files"] if file["action"] == "keep"), None)
        for file in group["files"]:
            if file["action"] not in REMOVING:
                continue
            path = path_of(file)
            if kept is None:
                yield f"{file['path']}: nothing is kept"
                continue
            yield from (f"{file['path']} for {kept['path']}: {why}" for why in _lost(path, path_of(kept), files, root))
            yield from _left_behind(path, file, plan)


def _mix(entry: Mapping[str, Any]) -> Mix:
    return Mix(entry.get("mix", ""), entry.get("mono", False))


def _lost(gone: bytes, kept: bytes, files: Mapping[bytes, tuple[File, Mix]], root: bytes) -> Iterator[str]:
    if _digest(gone) == _digest(kept):
        return
    known = [files.get(below(path, root)) for path in (gone, kept)]
    if known[0] is None or known[1] is None:
        yield "not in the truth"
        return
    one, other = _held(gone, *known[0]), _held(kept, *known[1])
    if (one.recording, one.mix.name) != (other.recording, other.mix.name):
        yield f"{one.recording} {one.mix.name} is not {other.recording} {other.mix.name}"
    if other.mix.is_mono and not one.mix.is_mono:
        yield "stereo, kept mono"
    if abs(one.speed / other.speed - 1) > SPEED_OFF:
        yield f"speed {one.speed:.3f}, kept {other.speed:.3f}"
    if max(0.0, other.start_s) - max(0.0, one.start_s) > TOLERANCE_S:
        yield f"begins at {one.start_s:.1f} s, kept at {other.start_s:.1f} s"
    if one.end_s - other.end_s > TOLERANCE_S:
        yield f"ends at {one.end_s:.1f} s, kept at {other.end_s:.1f} s"
    if lacking := one.streams - other.streams:
        yield f"streams {dict(lacking)}"


def _held(path: bytes, file: File, mix: Mix) -> Held:
    with av.open(path.decode("utf-8", "surrogateescape"), metadata_errors="replace") as container:
        streams = [s for s in container.streams if not s.disposition & Disposition.attached_pic]
        kinds = Counter((str(s.type), str(s.metadata.get("language", ""))) for s in streams)
        sound = next(s for s in streams if s.type == "audio")
        kinds -= Counter([("audio", str(sound.metadata.get("language", "")))])
        rate, n_samples = sound.codec_context.sample_rate, 0
        with contextlib.suppress(av.error.FFmpegError):  # a damaged file holds what came out before
            for frame in container.decode(sound):
                n_samples += frame.samples
    seconds = n_samples / rate
    return Held(file.recording, mix, file.speed, file.start_s, file.start_s + file.speed * seconds, kinds)


def _left_behind(path: bytes, file: Mapping[str, Any], plan: Mapping[str, Any]) -> Iterator[str]:
    moved = {path_of(sidecar) for sidecar in file.get("sidecars", ())}
    moved |= {path_of(playlist) for playlist in plan["playlists"]}
    gone = Path(path.decode("utf-8", "surrogateescape"))
    for other in gone.parent.glob(f"{gone.stem}.*") if gone.parent.is_dir() else ():
        if other.suffix.lower() in SIDECARS and bytes(other) not in moved:
            yield f"{file['path']}: {other.name} stays behind"


def _digest(path: bytes) -> bytes:
    return hashlib.blake2b(Path(path.decode("utf-8", "surrogateescape")).read_bytes()).digest()


if __name__ == "__main__":
    main()
