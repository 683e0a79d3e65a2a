#!/usr/bin/env python3
"""Measures the null test: whether it tells a copy from another mix, and where it finds a bleep.

    scripts/study/nulltest.py [--seed N] [--music FOLDER] [--library STORE GROUND_TRUTH.json] [--cost] [--json]

Made pairs: for each of five backings and five leads, the music with and without the lead, 12 to 3 dB below it, one of
the two encoded as copies are; the same with a lead of 4 to 16 s in a song of 2 minutes; and copies of the music alone
(encodings down to 48 kbit/s, equalising, compressing, noise, clipping). Then bleeps, words turned over in time or
replaced (0.6 s) and drop-outs (0.3 s) in a copy with some noise. With --music, the audio files below a folder are the
backings. With --library, each pair of a labelled library that must be called the same (`dup`, see `evaluate.py`), as
far as the store has it. The constants of `dedup.nulltest` were chosen on seeds 1 and 11 and on the labelled corpus;
judge them on others."""

from __future__ import annotations

import argparse
import itertools
import json
import os
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

import av
import numpy as np

from dedup.files.paths import extension_of
from dedup.fingerprint.decode import decode
from dedup.groups.matches import Matches
from dedup.nulltest.compare import MIX_SHARE, compare, mean_missing
from dedup.nulltest.spectra import SAMPLE_RATE, Pcm
from dedup.settings import DEFAULT_EXTENSIONS, MatchSettings
from dedup.store.store import open_for_reading
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import SAMPLE_RATE as STEREO_RATE
from dedup.synthesis.music import Pcm as Stereo
from dedup.synthesis.voices import BACKINGS, LEADS, backing, lead, with_lead
from dedup.synthesis.wear import WEAR, worn
from scripts.study.evaluate import below, expected, labelled

SECONDS, LONG_S = 30.0, 120.0
LEVELS_DB = (-12, -9, -6, -3)
SHORT_S = (4, 6, 10, 16)
"""Lengths of a short lead, for each level another."""
MOST_FILES = 25
"""Files of a folder that are backings, spread over it."""
MOST_PLACES = 10
"""Backings in which something is replaced for a moment."""
PLACES = {"bleep": 0.6, "turned over in time": 0.6, "other music": 0.6, "drop-out": 0.3}
"""Seconds of what is replaced, by kind."""
QUANTILES = (0.0, 0.1, 0.5, 0.9, 1.0)

Row = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seed", type=int, default=2)
    parser.add_argument("--music", type=Path, metavar="FOLDER")
    parser.add_argument("--library", nargs=2, type=Path, metavar=("STORE", "GROUND_TRUTH.json"))
    parser.add_argument("--cost", action="store_true", help="only time decoding, and decoding and comparing")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if args.cost:
        print(f"decoding and comparing takes {cost(args.seed):.2f} times as long as decoding")
        return
    music = list(backings(args.seed, args.music))
    rows = [*made_pairs(args.seed, music), *places(args.seed, music)]
    if args.library:
        rows += labelled_pairs(*args.library)
    if args.json:
        print(json.dumps(rows))
    else:
        show(rows)


def heard(path: str) -> Pcm:
    pieces: list[bytes] = []
    decode(os.fsencode(path), SAMPLE_RATE, pieces.append)
    return np.frombuffer(b"".join(pieces), "<i2")


def row(kind: str, name: str, a: Pcm, b: Pcm, lag_s: float = 0.0) -> Row:
    test = compare(a, b, lag_s)
    verdict = "another mix" if test.is_other_mix else "differs" if test.differences else "copy"
    return {"kind": kind, "name": name, "verdict": verdict, "missing": mean_missing(a, b, lag_s)}


# ---- made pairs ----


@dataclass(frozen=True)
class Backing:
    """Music that sounds with and without a lead."""

    name: str
    number: int
    lead: str
    play: Callable[[float], Stereo]
    """So many seconds of it, float32[n_samples, 2] at 44,100 Hz."""


def backings(seed: int, folder: Path | None) -> Iterator[Backing]:
    """Made backings with each lead, or the files of a folder with a lead each."""
    if folder is None:
        for number, (kind, lead_) in enumerate(itertools.product(BACKINGS, LEADS)):
            of_one = 1000 * seed + number
            yield Backing(kind, of_one, lead_, partial(backing, kind, of_one))
        return
    files = sorted(file for file in folder.rglob("*") if extension_of(bytes(file)) in DEFAULT_EXTENSIONS)
    for number, file in enumerate(files[:: max(1, len(files) // MOST_FILES)][:MOST_FILES]):
        yield Backing(file.name, 1000 * seed + number, LEADS[number % len(LEADS)], partial(played, file))


def played(file: Path, seconds: float) -> Stereo:
    """The first seconds of a file, as loud as made music."""
    resampler, frames, n = av.AudioResampler("fltp", "stereo", STEREO_RATE), [], 0
    with av.open(str(file)) as container:
        for frame in container.decode(audio=0):
            for resampled in resampler.resample(frame):
                frames.append(resampled.to_ndarray())
                n += resampled.samples
            if n >= seconds * STEREO_RATE:
                break
    sound = np.concatenate(frames, axis=1).T[: round(seconds * STEREO_RATE)]
    return np.asarray(sound * (0.5 / max(float(np.abs(sound).max()), 1e-9)), np.float32)


def made_pairs(seed: int, backings: Sequence[Backing]) -> Iterator[Row]:
    """Pairs with and without a lead, all through or for a moment, and worn copies."""
    names = [name for name in WEAR if name != "shifted"]  # fingerprints say by how much
    rng = np.random.default_rng(seed)
    with tempfile.TemporaryDirectory() as folder:
        for number, music_ in enumerate(backings):
            whole, of_one = music_.play(LONG_S), music_.number
            part = whole[: round(SECONDS * STEREO_RATE)]
            plain, plain_whole = (_written(folder, sound, Encoding("flac")) for sound in (part, whole))
            voice = lead(music_.lead, of_one, SECONDS)[: len(part)]
            for step, level_db in enumerate(LEVELS_DB):
                name = names[(4 * number + step) % len(names)]
                other = _written(folder, _mixed(part, voice, level_db), WEAR[name].encoding)
                yield row(f"lead {level_db} dB", f"{music_.name}, {music_.lead}, {name}", plain, other)
            for level_db, seconds in zip(LEVELS_DB, rng.permutation(SHORT_S).tolist(), strict=True):
                name = names[(4 * number + seconds) % len(names)]
                start_s, moment = _moment(voice, whole, seconds, rng)
                other = _written(folder, _mixed(whole, moment, level_db), WEAR[name].encoding)
                title = f"{music_.name}, {music_.lead}, {name}, {seconds} s from {start_s:.0f} s on"
                yield row(f"short lead {level_db} dB", title, plain_whole, other)
            for step in range(3):
                name = names[(3 * number + step) % len(names)]
                other = _written(folder, worn(whole, name, of_one), WEAR[name].encoding)
                yield row("copy", f"{music_.name}, {name}", plain_whole, other)


def _mixed(music: Stereo, voice: Stereo, level_db: float) -> Stereo:
    mixed = with_lead(music, voice, level_db)
    return (mixed / max(1.0, float(np.abs(mixed).max()) / 0.95)).astype(np.float32)


def _moment(voice: Stereo, whole: Stereo, seconds: float, rng: np.random.Generator) -> tuple[float, Stereo]:
    """A lead in a part of the whole only: where it begins, and its sound."""
    n = round(seconds * STEREO_RATE)
    sounding = voice[np.abs(voice[:, 0]) > 1e-4]  # without its pauses
    start = int(rng.integers(2 * STEREO_RATE, max(len(whole) - n - 2 * STEREO_RATE, 2 * STEREO_RATE + 1)))
    moment = np.zeros_like(whole)
    moment[start : start + n] = np.resize(sounding, (n, 2))[: len(moment) - start]
    return start / STEREO_RATE, moment


def _written(folder: str, sound: Any, encoding: Encoding) -> Pcm:
    path = f"{folder}/x.{encoding.extension}"
    write(path, sound, encoding)
    return heard(path)


def places(seed: int, backings: Sequence[Backing]) -> Iterator[Row]:
    """Differences of 0.6 s and drop-outs of 0.3 s; `error_s` is how far off the place is, None if nothing is found."""
    rng = np.random.default_rng(seed)
    for music_ in backings[:: max(1, len(backings) // MOST_PLACES)][:MOST_PLACES]:
        with tempfile.TemporaryDirectory() as folder:
            music = _written(folder, music_.play(SECONDS), Encoding("flac"))
        copy = 0.8 * music + 0.02 * music.std() * rng.standard_normal(len(music))
        for kind, seconds in PLACES.items():
            start = int(rng.integers(5 * SAMPLE_RATE, len(music) - 5 * SAMPLE_RATE))
            part = slice(start, start + round(seconds * SAMPLE_RATE))
            other = copy.copy()
            other[part] = _replaced(kind, copy, part)
            start_s, end_s = part.start / SAMPLE_RATE, part.stop / SAMPLE_RATE
            found = compare(music, np.clip(other, -32768, 32767).astype("<i2"), 0.0).differences
            errors = [max(abs(each.start_s - start_s), abs(each.end_s - end_s)) for each in found]
            name = f"{music_.name}, at {start_s:.1f} s"
            yield {"kind": kind, "name": name, "error_s": min(errors, default=None), "n": len(found)}


def _replaced(kind: str, sound: Any, part: slice) -> Any:
    """What stands in that part of the other file."""
    n = part.stop - part.start
    if kind == "bleep":
        return 1.4 * sound.std() * np.sin(2 * np.pi * 1000 * np.arange(n) / SAMPLE_RATE)
    if kind == "turned over in time":
        return sound[part][::-1]
    return np.roll(sound, len(sound) // 3)[part] if kind == "other music" else 0


# ---- cost ----


def cost(seed: int) -> float:
    """How long decoding two files of four minutes and comparing them takes, by that of decoding: the least processor
    time of five."""
    music = backing("song", seed, 240.0)
    with tempfile.TemporaryDirectory() as folder:
        paths = [f"{folder}/{name}" for name in ("a.mp3", "b.mp3")]
        for path, bit_rate in zip(paths, (192_000, 96_000), strict=True):
            write(path, music, Encoding("mp3", bit_rate))
        decoding, both = [], []
        for _ in range(5):
            start = time.process_time()
            a, b = map(heard, paths)
            decoding.append(time.process_time() - start)
            compare(a, b, 0.0)
            both.append(time.process_time() - start)
    return min(both) / min(decoding)


# ---- a labelled library ----


def labelled_pairs(store_: Path, truth: Path) -> Iterator[Row]:
    """The pairs of a library that must be called the same."""
    files = {file.path: file for file in map(labelled, json.loads(truth.read_text())["files"])}
    root = bytes((truth.resolve().parent / "library").resolve())
    with open_for_reading(store_) as store:
        pairs = list(Matches(store, MatchSettings()).pairs())
    sounds: dict[bytes, Pcm] = {}
    for pair in pairs:
        a, b = (files.get(below(track.path, root)) for track in (pair.a, pair.b))
        if a is None or b is None or expected(a, b) != "dup":
            continue
        for track in (pair.a, pair.b):
            if track.path not in sounds:
                sounds[track.path] = heard(os.fsdecode(track.path))
        name = f"{a.kind}, {b.kind}"
        yield row("labelled copy", name, sounds[pair.a.path], sounds[pair.b.path], pair.match.lag_s)


# ---- what is shown ----


def show(rows: list[Row]) -> None:
    kinds = dict.fromkeys(row["kind"] for row in rows)
    print(f"mean share of the loudness that one file lacks, {', '.join(f'{q:.0%}' for q in QUANTILES)} of the pairs;")
    print(f"from {MIX_SHARE} on, another mix")
    for kind in kinds:
        of_kind = [row for row in rows if row["kind"] == kind]
        if "error_s" in of_kind[0]:
            errors = [row["error_s"] for row in of_kind if row["error_s"] is not None]
            print(f"{kind:20} {len(errors)} of {len(of_kind)} found, off by {max(errors, default=0):.2f} s at most")
            continue
        spread = " ".join(f"{value:.4f}" for value in np.quantile([row["missing"] for row in of_kind], QUANTILES))
        verdicts = ", ".join(f"{n} {name}" for name, n in Counter(row["verdict"] for row in of_kind).most_common())
        print(f"{kind:14} {len(of_kind):4}  {spread}  {verdicts}")
    for row in rows:
        is_wrong = (row["kind"].endswith("copy") and row["verdict"] != "copy") or (
            "lead" in row["kind"] and row["verdict"] == "copy"
        )
        if is_wrong:
            print(f"  {row['kind']}: {row['name']}: {row['verdict']}, {row['missing']:.4f}")


if __name__ == "__main__":
    main()
