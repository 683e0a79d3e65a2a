#!/usr/bin/env python3
"""Says how many bits of the items differ from those of fpcalc, by codec: the mean of the files, and the worst file.

    scripts/bench/bits.py FOLDER

Each file that a scan fingerprints is fingerprinted again, and by `fpcalc -raw -length 0` (Debian:
libchromaprint-tools). Items are compared place by place. Where fpcalc has more or fewer, at the end of the file, the
bits of these count as different. Left out are damaged files, which every FFmpeg conceals in its own way, and those
whose channels cancel, of which fpcalc hears nothing."""

from __future__ import annotations

import argparse
import json
import os
import shutil
import statistics
import subprocess
import sys
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dedup.files.host_paths import HostPath
from dedup.fingerprint.task import Fingerprinted, fingerprint_file
from dedup.settings import FingerprintSettings
from scripts.bench.scan import fingerprinted_tracks


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder")
    args = parser.parse_args()
    if shutil.which("fpcalc") is None:
        sys.exit("fpcalc is not installed. On Debian, run: apt-get install libchromaprint-tools")
    shares: dict[str, list[float]] = {}
    for track in fingerprinted_tracks(os.path.abspath(args.folder), len(os.sched_getaffinity(0))):
        share = share_of_bits(track.path)
        if share is not None:
            shares.setdefault(json.loads(track.properties)["codec"], []).append(share)
    for codec, found in sorted(shares.items()):
        n_other = sum(share > 0 for share in found)
        numbers = f"{n_other} differ: mean {statistics.mean(found):.4%}, worst {max(found):.4%}"
        print(f"{codec:16} {len(found):4} files, {numbers}")


def share_of_bits(path: bytes) -> float | None:
    """Share of the bits of a file's items that differ; None if it is left out, or fpcalc finds no item in it."""
    done = subprocess.run(["fpcalc", "-raw", "-length", "0", path], capture_output=True, text=True, check=False)
    lines = dict(line.split("=", 1) for line in done.stdout.splitlines() if "=" in line)
    if not lines.get("FINGERPRINT"):
        return None
    theirs = np.array(lines["FINGERPRINT"].split(","), np.int64).astype(np.uint32)
    size, mtime_ns = os.stat(path).st_size, os.stat(path).st_mtime_ns
    found = fingerprint_file(HostPath(path), size, mtime_ns, FingerprintSettings(), 1.0, 600.0)
    if not isinstance(found, Fingerprinted):
        sys.exit(f"{os.fsdecode(path)}: {found.reason}")
    if found.damage or found.decoding.cancels:
        return None
    ours = found.items
    both = min(len(ours), len(theirs))
    n_different = int(np.bitwise_count(ours[:both] ^ theirs[:both]).sum()) + 32 * abs(len(ours) - len(theirs))
    return n_different / (32 * max(len(ours), len(theirs)))


if __name__ == "__main__":
    main()
