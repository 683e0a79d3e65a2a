#!/usr/bin/env python3
"""Kills the gate at random moments while it moves what arrives in an inbox, and opens it again: each file must be in
one place, of each recording one file be accepted, and `undo` put all back.

    scripts/torture/inbox.py [--songs 12] [--kills 25] [--seed 1] [--accept DIR]

Names have blanks, quotes, line ends and dashes. With --accept, the folder of accepted files may be on another disk.
Ends with 1 if a file is lost, doubled or cut short, or an accepted one too many."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import random
import shutil
import subprocess
import sys
import tempfile
import time
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.gate_music import make_music

COPIES = 3
DAEMON = ("gate", "serve", "--json", "--no-varispeed", "--rest", "0", "--on-better", "reject", "--on-other", "reject")


class Bench:
    """A library, a store of it, and an inbox with copies of songs."""

    def __init__(self, base: Path, accept: Path, n_songs: int) -> None:
        make_music(base, n_songs, 13.0)
        self.store = base / "store"
        self.folders = {"inbox": base / "in", "accept": accept, "reject": base / "no"}
        for each in self.folders.values():
            each.mkdir(exist_ok=True)
        self.songs: dict[str, int] = {}
        for number in range(n_songs * 2 * COPIES):
            song, kind = number % n_songs, ("flac", "mp3")[number // n_songs % 2]
            folder = self.folders["inbox"] / f"album {number % 7}" / ("-x\n'y" if number % 3 else "z")
            folder.mkdir(parents=True, exist_ok=True)
            name = f"-{number} $(x)\n.{kind}" if number % 2 else f"{song}.{kind}"
            shutil.copy2(base / "new" / f"{song}.{kind}", folder / name)
            self.songs[_digest(folder / name)] = song
        self.before = self.files()

    def files(self) -> dict[tuple[str, str], str]:
        """Digests of all files, by the folder's name and the path below it."""
        return {
            (name, str(path.relative_to(folder))): _digest(path)
            for name, folder in self.folders.items()
            for path in sorted(folder.rglob("*"))
            if path.is_file()
        }

    def faults(self) -> list[str]:
        now, before = Counter(self.files().values()), Counter(self.before.values())
        lost, more = before - now, now - before
        return [f"{sum(lost.values())} files are lost, {sum(more.values())} are too many"] if lost or more else []

    def accepted(self) -> Counter[int]:
        """How many files of each song are accepted."""
        return Counter(self.songs[digest] for (folder, _), digest in self.files().items() if folder == "accept")

    def run(self, *words: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "jobs", *words, "--store", str(self.store)]
        return subprocess.run(command, cwd=ROOT, capture_output=True, check=False)

    def opened(self) -> subprocess.Popen[bytes]:
        folders = [word for name, folder in self.folders.items() for word in (f"--{name}", str(folder))]
        command = [sys.executable, "-m", "jobs", *DAEMON, "--store", str(self.store), *folders]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert process.stdout is not None
        json.loads(process.stdout.readline())
        return process


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=12)
    parser.add_argument("--kills", type=int, default=25)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--accept", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="inbox-") as base:
        accept = args.accept or Path(base) / "yes"
        faults = tortured(Bench(Path(base), Path(os.path.abspath(accept)), args.songs), args)
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


def tortured(bench: Bench, args: argparse.Namespace) -> list[str]:
    dice = random.Random(args.seed)
    for _ in range(args.kills):
        gate = bench.opened()
        time.sleep(dice.uniform(0.2, 4.5))
        gate.kill()
        gate.communicate()
        if faults := bench.faults():
            return faults
    gate, end = bench.opened(), time.monotonic() + 120
    while any(name == "inbox" for name, _ in bench.files()) and time.monotonic() < end:
        time.sleep(1)
    gate.terminate()
    gate.communicate()
    accepted, faults = bench.accepted(), bench.faults()
    left = sum(name == "inbox" for name, _ in bench.files())
    faults += [f"song {song} was accepted {n} times" for song, n in accepted.items() if n != 1]
    listed = bench.run("history", "--json").stdout
    numbers = [json.loads(line)["number"] for line in listed.splitlines()]
    n_cleanups = sum(bench.run("undo", str(number)).returncode == 0 for number in reversed(numbers))
    moved = f"{accepted.total()} accepted, {left} left, {n_cleanups} clean-ups"
    print(f"{len(bench.before)} files, {args.kills} kills, {moved}")
    return faults if bench.files() == bench.before else [*faults, "undo has not put all back"]


if __name__ == "__main__":
    main()
