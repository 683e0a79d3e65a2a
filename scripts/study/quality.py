#!/usr/bin/env python3
"""Counts what `reprise quality` finds of files whose past is known, and of files that are what they say.

    scripts/study/quality.py FOLDER... [--pieces 12] [--seed 1] [--only NAME,…] [--json]

The folders must hold recordings that were never lossy, such as those of Debian's packages sonic-pi-samples and
hydrogen-drumkits. Pieces of 25 seconds are made of them: some recordings of one folder at different places. Each
piece is then made into files of many kinds by ffmpeg and sox, which must be installed. High sample rates come from
recordings that play about twice as fast, so that what they hold up to 20 kHz lies up to 40."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dedup.library.metadata import read_properties
from dedup.quality.findings import findings
from dedup.quality.measure import measure
from scripts.bench.scan import machine
from scripts.bench.spectrum import lossless

Sound = npt.NDArray[np.float64]
SECONDS = 25


class Kind(NamedTuple):
    """Files that were made in one way."""

    name: str
    finding: str
    """Kind of finding that is right; empty if there should be none."""
    make: Callable[[Maker, Path], Path]


class Maker:
    """Makes files of one piece of music."""

    def __init__(self, recordings: list[Sound], random: np.random.Generator) -> None:
        self.recordings, self.random = recordings, random
        self.music: dict[int, Sound] = {}

    def piece(self, rate: int) -> Sound:
        """Music, -1 to 1, `float64[n, 2]`: the same samples at any rate, but for its length."""
        if rate not in self.music:
            random = np.random.default_rng(self.random.bit_generator.seed_seq.entropy)  # type: ignore[attr-defined]
            mix = np.zeros((SECONDS * rate, 2))
            for _ in range(4):
                recording = self.recordings[random.integers(len(self.recordings))]
                place, gain = random.integers(rate), random.uniform(0.2, 1)
                step = len(recording) + random.integers(rate // 2)
                while place < len(mix):
                    part = recording[: len(mix) - place]
                    mix[place : place + len(part)] += gain * part
                    place += step
            self.music[rate] = 0.7 * mix / np.abs(mix).max()
        return self.music[rate]

    def write(self, sound: Sound, rate: int, bits: int, path: Path) -> Path:
        """A lossless file with triangular dither; the format follows from the name."""
        noise = self.random.random(sound.shape) - self.random.random(sound.shape)
        steps = np.clip(np.rint(sound * 2.0 ** (bits - 1) + noise), -(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        whole = (steps.astype(np.int64) << (32 - bits)).astype("<i4")
        form = ("-sample_fmt", "s16") if bits == 16 else ("-sample_fmt", "s32", "-bits_per_raw_sample", "24")
        options = ("-f", "s32le", "-ar", str(rate), "-ac", "2", "-i", "-")
        run("ffmpeg", *options, *(form if path.suffix == ".flac" else ()), path, given=whole.tobytes())
        return path


def run(*command: object, given: bytes | None = None) -> None:
    quiet = ("-v", "error", "-y") if command[0] == "ffmpeg" else ()
    subprocess.run([str(command[0]), *quiet, *map(str, command[1:])], input=given, check=True, capture_output=True)


# ---- what is what it says ----


def filtered(sound: Sound, rate: int, gain: Callable[[Sound], Sound]) -> Sound:
    spectrum = np.fft.rfft(sound, axis=0) * gain(np.fft.rfftfreq(len(sound), 1 / rate))[:, np.newaxis]
    return np.fft.irfft(spectrum, len(sound), axis=0)


def gentle(hz: float) -> Callable[[Sound], Sound]:
    """Falls by 12 dB an octave from `hz` on."""
    return lambda f: 1 / (1 + (f / hz) ** 2)


def plain(rate: int, bits: int, change: Callable[[Maker, Sound], Sound] = lambda _, sound: sound) -> Any:
    def make(maker: Maker, folder: Path) -> Path:
        return maker.write(change(maker, maker.piece(rate)), rate, bits, folder / "x.flac")

    return make


def old_record(hz: float, rate: int) -> Callable[[Maker, Sound], Sound]:
    """Without the high notes, and with hiss."""
    return lambda maker, sound: (
        filtered(sound, rate, gentle(hz)) + 10 ** (-55 / 20) * maker.random.standard_normal(sound.shape)
    )


def chiptune(rate: int, smooth: bool) -> Callable[[Maker, Sound], Sound]:
    """Square waves, as a games console of 8 bits plays them: stepped, or without what its filter takes."""

    def made(maker: Maker, sound: Sound) -> Sound:
        t, parts = np.arange(len(sound)) / rate, np.zeros(len(sound))
        for _ in range(3):
            notes = 110 * 2 ** (maker.random.integers(0, 36, 4 * SECONDS) / 12)
            phase = np.cumsum(notes[np.minimum((t * 4).astype(int), len(notes) - 1)]) / rate
            parts += 0.2 * np.where(phase % 1 < maker.random.choice([0.125, 0.25, 0.5]), 1, -1)
        both = np.stack([parts, np.roll(parts, 30)], axis=1)
        return filtered(both, rate, gentle(14_000)) if smooth else both

    return made


def steep(hz: float, rate: int) -> Callable[[Maker, Sound], Sound]:
    """Ends at `hz`, as FM radio does: nothing tells it from what a lossy encoder leaves."""
    return lambda _, sound: filtered(sound, rate, lambda f: (f < hz).astype(float))


# ---- what is not ----


def through(encoder: tuple[str, ...], extension: str, rate: int = 44_100) -> Any:
    def make(maker: Maker, folder: Path) -> Path:
        source = maker.write(maker.piece(44_100), 44_100, 16, folder / "source.flac")
        run("ffmpeg", "-i", source, *encoder, folder / f"lossy.{extension}")
        form = ("-sample_fmt", "s16", "-ar", rate) if rate == 44_100 else ("-sample_fmt", "s32", "-ar", rate)
        run("ffmpeg", "-i", folder / f"lossy.{extension}", *form, folder / "x.flac")
        return folder / "x.flac"

    return make


def mp3(*options: str, rate: int = 44_100) -> Any:
    return through(("-c:a", "libmp3lame", *options), "mp3", rate)


def upsampled(by: str, rate: int, to: int, bits: int = 16) -> Any:
    def make(maker: Maker, folder: Path) -> Path:
        source = maker.write(maker.piece(rate), rate, bits, folder / "source.flac")
        if by.startswith("sox"):
            run("sox", "-D", source, "-b", "24", folder / "x.flac", "rate", by.removeprefix("sox "), to)
        else:
            form = ("-sample_fmt", "s32", "-bits_per_raw_sample", "24", "-ar", to)
            run("ffmpeg", "-i", source, *form, folder / "x.flac")
        return folder / "x.flac"

    return make


def padded(*options: str, extension: str = "flac", gain_db: float = 0.0) -> Any:
    def make(maker: Maker, folder: Path) -> Path:
        source = maker.write(maker.piece(44_100), 44_100, 16, folder / "source.flac")
        change = ("-af", f"aformat=dbl,volume={gain_db}dB") if gain_db else ()
        run("ffmpeg", "-i", source, *change, *options, folder / f"x.{extension}")
        return folder / f"x.{extension}"

    return make


IN_24 = ("-sample_fmt", "s32", "-bits_per_raw_sample", "24")
QUIET = 10 ** (-40 / 20)
KINDS = (
    Kind("44.1 kHz, 16 bits", "", plain(44_100, 16)),
    Kind("the same at -40 dB", "", plain(44_100, 16, lambda _, sound: QUIET * sound)),
    Kind("gently without treble (8 kHz), hiss", "", plain(44_100, 16, old_record(8000, 44_100))),
    Kind("gently without treble (14 kHz), hiss", "", plain(44_100, 16, old_record(14_000, 44_100))),
    Kind("gently without treble (3 kHz)", "", plain(44_100, 16, lambda _, s: filtered(s, 44_100, gentle(3000)))),
    Kind("chiptune, stepped", "", plain(44_100, 16, chiptune(44_100, False))),
    Kind("chiptune, smooth", "", plain(44_100, 16, chiptune(44_100, True))),
    Kind("44.1 kHz, 24 bits", "", plain(44_100, 24)),
    Kind("96 kHz, 24 bits", "", plain(96_000, 24)),
    Kind("96 kHz at -40 dB", "", plain(96_000, 24, lambda _, sound: QUIET * sound)),
    Kind("96 kHz, gently without treble (8 kHz), hiss", "", plain(96_000, 24, old_record(8000, 96_000))),
    Kind(
        "96 kHz, gently without treble (14 kHz)",
        "",
        plain(96_000, 24, lambda _, s: filtered(s, 96_000, gentle(14_000))),
    ),
    Kind(
        "96 kHz, gently without treble (5 kHz)", "", plain(96_000, 24, lambda _, s: filtered(s, 96_000, gentle(5000)))
    ),
    Kind("96 kHz, 16 bits", "", plain(96_000, 16)),
    Kind("192 kHz, 24 bits", "", plain(192_000, 24)),
    Kind("FM radio (ends at 15 kHz)", "", plain(44_100, 16, steep(15_000, 44_100))),
    Kind("sampler of 32 kHz (ends at 15.9 kHz)", "", plain(44_100, 16, steep(15_900, 44_100))),
    Kind("MP3 at 128 kbit/s", "transcode", mp3("-b:a", "128k")),
    Kind("MP3 at 192 kbit/s", "transcode", mp3("-b:a", "192k")),
    Kind("MP3 at 256 kbit/s", "transcode", mp3("-b:a", "256k")),
    Kind("MP3 at 320 kbit/s", "transcode", mp3("-b:a", "320k")),
    Kind("MP3, V2", "transcode", mp3("-q:a", "2")),
    Kind("MP3, V0", "transcode", mp3("-q:a", "0")),
    Kind("AAC at 128 kbit/s", "transcode", through(("-c:a", "aac", "-b:a", "128k"), "m4a")),
    Kind("AAC at 256 kbit/s", "transcode", through(("-c:a", "aac", "-b:a", "256k"), "m4a")),
    Kind("Vorbis, quality 5", "transcode", through(("-c:a", "libvorbis", "-q:a", "5"), "ogg")),
    Kind("Opus at 128 kbit/s", "transcode", through(("-c:a", "libopus", "-b:a", "128k"), "opus")),
    Kind("MP3 at 192 kbit/s, made 96 kHz", "transcode", mp3("-b:a", "192k", rate=96_000)),
    Kind("44.1 to 96 kHz by sox", "upsampled", upsampled("sox -h", 44_100, 96_000)),
    Kind("44.1 to 96 kHz by sox, steep", "upsampled", upsampled("sox -vs", 44_100, 96_000)),
    Kind("44.1 to 96 kHz by FFmpeg", "upsampled", upsampled("ffmpeg", 44_100, 96_000)),
    Kind("44.1 to 88.2 kHz by sox", "upsampled", upsampled("sox -h", 44_100, 88_200)),
    Kind("44.1 to 192 kHz by sox", "upsampled", upsampled("sox -h", 44_100, 192_000)),
    Kind("48 to 96 kHz by sox, 24 bits", "upsampled", upsampled("sox -h", 48_000, 96_000, 24)),
    Kind("48 to 192 kHz by FFmpeg, 24 bits", "upsampled", upsampled("ffmpeg", 48_000, 192_000, 24)),
    Kind("96 to 192 kHz by sox, 24 bits", "upsampled", upsampled("sox -h", 96_000, 192_000, 24)),
    Kind("16 in 24 bits, FLAC", "padded", padded(*IN_24)),
    Kind("16 in 24 bits, ALAC", "padded", padded("-c:a", "alac", "-sample_fmt", "s32p", extension="m4a")),
    Kind("16 in 24 bits, WAV", "padded", padded("-c:a", "pcm_s24le", extension="wav")),
    Kind("16 bits in floating point, WAV", "padded", padded("-c:a", "pcm_f32le", extension="wav")),
    Kind("16 in 24 bits, made 1 dB quieter", "padded", padded(*IN_24, gain_db=-1.0)),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--pieces", type=int, default=12)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="parts of the names of kinds")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    kinds = [kind for kind in KINDS if any(part in kind.name for part in args.only.split(","))]
    counts: dict[str, dict[str, int]] = {kind.name: {} for kind in kinds}
    for recordings, random in pieces(args.folders, args.pieces, args.seed):
        for kind in kinds:
            maker = Maker(recordings, np.random.default_rng(random))
            with tempfile.TemporaryDirectory() as folder:
                for found in found_of(kind.make(maker, Path(folder))):
                    counts[kind.name][found] = counts[kind.name].get(found, 0) + 1
    if args.json:
        print(json.dumps({"machine": machine(), "pieces": args.pieces, "found": counts}))
        return
    for kind in kinds:
        others = ", ".join(f"{name} {n}" for name, n in counts[kind.name].items() if name != kind.finding)
        found = f"{counts[kind.name].get(kind.finding, 0)} of {args.pieces}" if kind.finding else ""
        print(f"| {kind.name} | {kind.finding or 'nothing'} | {found} | {others or 'none'} |", flush=True)


def found_of(path: Path) -> list[str]:
    properties = read_properties(bytes(path))
    measured = measure(bytes(path), properties.bits, 60.0)
    return [finding.kind for finding in findings(properties, measured, None)]


def pieces(folders: list[Path], n: int, seed: int) -> Iterator[tuple[list[Sound], int]]:
    """Recordings for each piece, as they are whatever their rate, and its seed."""
    files = list(lossless(folders, least_s=1.5))
    random = np.random.default_rng(seed)
    for number in range(n):
        chosen = random.choice(len(files), 6, replace=False)
        yield [read(files[each]) for each in chosen], seed * 1000 + number


def read(path: Path) -> Sound:
    """The samples, -1 to 1, `float64[n, 2]`."""
    command = ["ffmpeg", "-v", "error", "-i", str(path), "-f", "f64le", "-ac", "2", "-"]
    sound = np.frombuffer(subprocess.run(command, check=True, capture_output=True).stdout, "<f8").reshape(-1, 2)
    return sound / max(1e-9, np.abs(sound).max())


if __name__ == "__main__":
    main()
