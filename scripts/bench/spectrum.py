#!/usr/bin/env python3
"""Counts how often the spectrum hint is right, on lossless files and on the same files after MP3 and back to FLAC.

    scripts/bench/spectrum.py FOLDER... [--bitrates 64,128,192,320] [--limit 200] [--json]

The folders must hold files that were never lossy, such as those of Debian's packages sonic-pi-samples and
hydrogen-drumkits. Files shorter than three seconds are left out."""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import av

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dedup.library.metadata import read_properties
from dedup.library.spectrum import cutoff_hz
from scripts.bench.scan import machine


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--bitrates", default="64,128,192,320", help="kbit/s")
    parser.add_argument("--limit", type=int, default=200, help="most files to examine")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    files = list(lossless(args.folders))[: args.limit]
    counts = {"unchanged": sum(cutoff_hz(bytes(file)) is not None for file in files)}
    with tempfile.TemporaryDirectory() as folder:
        for bitrate in map(int, args.bitrates.split(",")):
            counts[f"through MP3 at {bitrate} kbit/s"] = sum(hinted(file, bitrate, Path(folder)) for file in files)
    if args.json:
        print(json.dumps({"machine": machine(), "files": len(files), "hinted": counts}))
        return
    print(machine())
    for what, count in counts.items():
        print(f"{what:30} {count:4} of {len(files)} get a hint")


def lossless(folders: list[Path], least_s: float = 3.0) -> Iterator[Path]:
    """Lossless files of `least_s` seconds or more, in the order of their paths."""
    for folder in folders:
        for path in sorted(folder.rglob("*")):
            if path.suffix.lower() in (".flac", ".wav", ".aiff", ".aif", ".wv"):
                properties = read_properties(bytes(path))
                if properties.lossless and properties.duration_s >= least_s:
                    yield path


def hinted(file: Path, bitrate: int, folder: Path) -> bool:
    """Whether the file gets a hint after a conversion to MP3 and back."""
    lossy, again = folder / "x.mp3", folder / "x.flac"
    transcode(file, lossy, "libmp3lame", bit_rate=1000 * bitrate)
    transcode(lossy, again, "flac")
    return cutoff_hz(bytes(again)) is not None


def transcode(source: Path, target: Path, codec: str, **options: Any) -> None:
    """Encodes a file with another codec, at 44,100 Hz."""
    with av.open(str(source)) as reading, av.open(str(target), "w") as writing:
        stream = writing.add_stream(codec, rate=44100, layout="stereo")
        for name, value in options.items():
            setattr(stream.codec_context, name, value)
        resampler = av.AudioResampler(
            format=stream.codec_context.format,
            layout="stereo",
            rate=44100,
            frame_size=stream.codec_context.frame_size or 0,
        )
        for frame in [*reading.decode(audio=0), None]:
            for piece in resampler.resample(frame):
                writing.mux(stream.encode(piece))
        writing.mux(stream.encode(None))


if __name__ == "__main__":
    main()
