#!/usr/bin/env python3
"""Times `reprise scan` against fpcalc on the same files, warm, in turn, in one run.

    scripts/bench_scan.py FOLDER [--rounds 3] [--workers N] [--json]

The rival is `xargs -0 -P$(nproc) -n1 fpcalc -raw -length 0` over the very files that the scan fingerprints: identical
copies, which a scan recognises and does not decode, are not given to it. Needs fpcalc (Debian: libchromaprint-tools).
The ratio is files a second of the scan, start-up included, over those of fpcalc: above 1 the scan is faster."""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    args.folder = os.path.abspath(args.folder)  # the scans run in the repository's folder
    if shutil.which("fpcalc") is None:
        sys.exit("fpcalc is not installed (Debian: apt-get install libchromaprint-tools)")
    files, audio_s = fingerprinted_files(args.folder, args.workers)  # this round also warms the page cache
    scan_s, fpcalc_s = [], []
    for _ in range(args.rounds):
        scan_s.append(timed(lambda: scan(args.folder, args.workers)))
        fpcalc_s.append(timed(lambda: fpcalc(files, args.workers)))
    show(args, len(files), audio_s, scan_s, fpcalc_s)


def scan(folder: str, workers: int, store: str | None = None) -> None:
    with tempfile.TemporaryDirectory() as temporary:
        command = [sys.executable, "-m", "jobs", "scan", folder, "--store", store or f"{temporary}/store", "-q"]
        done = subprocess.run([*command, "--workers", str(workers)], cwd=ROOT, capture_output=True, check=False)
    if done.returncode not in (0, 3):
        sys.exit(done.stderr.decode(errors="replace"))


def fingerprinted_files(folder: str, workers: int) -> tuple[list[bytes], float]:
    """The files that a scan decodes, one of each audio, and their seconds of audio in all."""
    sys.path.insert(0, str(ROOT))
    from dedup.store.store import open_for_reading

    with tempfile.TemporaryDirectory() as temporary:
        scan(folder, workers, f"{temporary}/store")
        with open_for_reading(Path(temporary, "store")) as store:
            first = {track.audio: track for track in store.catalog.tracks() if track.audio is not None}
    seconds = sum(json.loads(track.properties)["duration_s"] for track in first.values())
    return [track.path for track in first.values()], seconds


def fpcalc(files: list[bytes], workers: int) -> None:
    command = ["xargs", "-0", f"-P{workers}", "-n1", "fpcalc", "-raw", "-length", "0"]
    subprocess.run(command, input=b"\0".join(files), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)


def timed(work: Callable[[], None]) -> float:
    began = time.perf_counter()
    work()
    return time.perf_counter() - began


def machine() -> str:
    """Processor, cores used, system and Python, in a line."""
    model = platform.processor() or platform.machine()
    if os.path.exists("/proc/cpuinfo"):
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        model = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), model)
    return f"{model}, {len(os.sched_getaffinity(0))} cores, {platform.system()}, Python {platform.python_version()}"


def show(args: argparse.Namespace, n_files: int, audio_s: float, scan_s: list[float], fpcalc_s: list[float]) -> None:
    ratios = [theirs / ours for ours, theirs in zip(scan_s, fpcalc_s, strict=True)]
    figures = {
        "machine": machine(),
        "files": n_files,
        "workers": args.workers,
        "audio_hours": round(audio_s / 3600, 2),
        "scan_s": [round(s, 2) for s in scan_s],
        "fpcalc_s": [round(s, 2) for s in fpcalc_s],
        "scan_files_per_s": round(n_files / statistics.median(scan_s), 2),
        "scan_times_real_time": round(audio_s / statistics.median(scan_s)),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in ratios],
    }
    if args.json:
        print(json.dumps(figures))
        return
    for name, value in figures.items():
        print(f"{name:22} {value}")


if __name__ == "__main__":
    main()
