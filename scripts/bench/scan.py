#!/usr/bin/env python3
"""Times `reprise scan` against fpcalc and against decoding alone: same files, warm, in turn, in one run.

    scripts/bench/scan.py FOLDER [--format mp3] [--rounds 3] [--workers N] [--json]

The rivals get the very files that the scan fingerprints, without identical copies, which a scan recognises and does not
decode, and without those that it skips.

- *scan*: `reprise scan` into an empty store, start-up included.
- *fpcalc*: `xargs -0 -P$(nproc) -n1 fpcalc -raw -length 0` (Debian: libchromaprint-tools).
- *decoding*: a pool of as many processes in which PyAV demuxes and decodes each file and drops the frames; start-up of
  the pool included.

With `--format` all three get only the fingerprinted files of one codec, such as mp3, flac, vorbis or opus. A ratio is
the rival's time over the scan's: above 1 the scan is faster. Processor time is that of all processes, user and system;
where others use the machine too, it says more than the clock."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import platform
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--format", metavar="CODEC", help="only the files of this codec, such as mp3 or flac")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if shutil.which("fpcalc") is None:
        sys.exit("fpcalc is not installed (Debian: apt-get install libchromaprint-tools)")
    sys.path.insert(0, str(ROOT))
    tracks = fingerprinted_tracks(os.path.abspath(args.folder), args.workers)  # this also warms the page cache
    properties = {track.path: json.loads(track.properties) for track in tracks}
    files = [path for path, known in properties.items() if args.format in (None, known["codec"])]
    if not files:
        sys.exit(f"{args.folder}: no file of {args.format or 'any format'} was fingerprinted")
    audio_s = sum(properties[path]["duration_s"] for path in files)
    with tempfile.TemporaryDirectory() as temporary:
        folder = mirror(files, temporary) if args.format else os.path.abspath(args.folder)
        rivals: dict[str, Callable[[], None]] = {
            "scan": lambda: scan(folder, args.workers),
            "fpcalc": lambda: fpcalc(files, args.workers),
            "decoding": lambda: decode_alone(files, args.workers),
        }
        taken: dict[str, list[tuple[float, float]]] = {name: [] for name in rivals}
        for _ in range(args.rounds):
            for name, work in rivals.items():
                taken[name].append(timed(work))
    show(args, len(files), audio_s, taken)


def mirror(files: list[bytes], temporary: str) -> str:
    """A folder with a link to each of the files: just these are scanned."""
    folder = os.path.join(temporary, "library")
    os.mkdir(folder)
    for number, path in enumerate(files):
        extension = os.path.splitext(path)[1] or b".mp3"
        os.symlink(path, os.path.join(os.fsencode(folder), b"%06d" % number + extension))
    return folder


def scan(folder: str, workers: int, store: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "jobs", "scan", folder, "--store", store or f"{temporary}/store", "-q"]
        done = subprocess.run([*command, "--workers", str(workers)], cwd=ROOT, capture_output=True, check=False)
    if done.returncode not in (0, 3):
        sys.exit(done.stderr.decode(errors="replace"))


def fingerprinted_tracks(folder: str, workers: int) -> list[Any]:
    """The tracks that a scan decodes: one of each audio."""
    from dedup.store.store import open_for_reading

    with tempfile.TemporaryDirectory() as temporary:
        scan(folder, workers, f"{temporary}/store")
        with open_for_reading(Path(temporary, "store")) as store:
            first = {track.audio: track for track in store.catalog.tracks.all() if track.audio is not None}
    return list(first.values())


def fpcalc(files: list[bytes], workers: int) -> None:
    command = ["xargs", "-0", f"-P{workers}", "-n1", "fpcalc", "-raw", "-length", "0"]
    subprocess.run(command, input=b"\0".join(files), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def decode_alone(files: list[bytes], workers: int) -> None:
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        for _ in pool.imap_unordered(decode_file, files):
            pass
        pool.close()
        pool.join()


def decode_file(path: bytes) -> None:
    """Demuxes and decodes the sound of a file with PyAV, and drops it."""
    import av

    with av.open(os.fsdecode(path), metadata_errors="replace") as container:
        stream = container.streams.best("audio")
        stream.codec_context.thread_count = 1
        for packet in container.demux(stream):
            try:
                for _ in packet.decode():
                    pass
            except av.error.FFmpegError:  # a damaged file
                pass


def timed(work: Callable[[], None]) -> tuple[float, float]:
    """Seconds by the clock, and of processor time in child processes."""
    began, used = time.perf_counter(), processor_s()
    work()
    return time.perf_counter() - began, processor_s() - used


def processor_s() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def machine() -> str:
    """Processor, cores used, system and Python, in a line."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {platform.system()}, Python {platform.python_version()}"


def show(args: argparse.Namespace, n_files: int, audio_s: float, taken: dict[str, list[tuple[float, float]]]) -> None:
    scan_s = statistics.median(wall for wall, _ in taken["scan"])
    figures: dict[str, Any] = {
        "machine": machine(),
        "format": args.format or "all",
        "files": n_files,
        "audio_hours": round(audio_s / 3600, 2),
        "workers": args.workers,
        "scan_files_per_s": round(n_files / scan_s, 2),
        "scan_times_real_time": round(audio_s / scan_s),
    }
    for name, rounds in taken.items():
        figures[f"{name}_s"] = [round(wall, 2) for wall, _ in rounds]
        figures[f"{name}_processor_s"] = [round(used, 2) for _, used in rounds]
    for name in ("fpcalc", "decoding"):
        pairs = list(zip(taken["scan"], taken[name], strict=True))
        ratios = [theirs[0] / ours[0] for ours, theirs in pairs]
        figures[f"ratio_to_{name}"] = round(statistics.median(ratios), 3)
        figures[f"ratios_to_{name}"] = [round(ratio, 3) for ratio in ratios]
        processor = statistics.median(theirs[1] / ours[1] for ours, theirs in pairs)
        figures[f"processor_ratio_to_{name}"] = round(processor, 3)
    if args.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:28} {value}")


if __name__ == "__main__":
    main()
