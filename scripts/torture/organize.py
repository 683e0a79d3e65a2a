#!/usr/bin/env python3
"""Kills `reprise organize` and `reprise undo` at random moments and lets them go on: no file may be lost or change, and
in the end the tree, times of change included, must be what it was.

    ./.venv/bin/python scripts/torture/organize.py --kills 30 --files 300 --seed 1

Makes a library of hostile names and tags, and a store that knows it. Prints a line for each kill, and exits 1 if any
made a difference."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from random import Random

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from tests.cleanups import make_store, tone
from tests.made_names import byte_tree, make_hostile

UNDO = ("undo",)
ORGANIZE = ("organize", "--yes", "--template", "$artist/$album/$title")


class Library:
    """A library with a store, and what the program does to them."""

    def __init__(self, folder: Path, n_files: int, seed: int) -> None:
        self.root, self.store = folder / "music", folder / "store"
        paths = make_hostile(self.root, n_files, tone(1, "flac"), seed)
        names = {os.fsdecode(os.path.relpath(path, os.fsencode(self.root))): 1 for path in paths}
        make_store(self.store, self.root, names)
        self.tree = byte_tree(self.root)

    def start(self, *words: str) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "jobs", *words, "--store", str(self.store), "-q"]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)

    def run(self, *words: str) -> int:
        """Its exit code; a command that finds nothing to do fails."""
        process = self.start(*words)
        process.communicate(timeout=300)
        return process.returncode

    def begun(self) -> int:
        """Bytes of all journals."""
        return sum(path.stat().st_size for path in self.store.glob("cleanups/[0-9]*/journal.jsonl"))

    def start_and_wait(self, *words: str) -> subprocess.Popen[bytes]:
        """Starts a command, and waits until it has begun to change something, or has ended."""
        before = self.begun()
        process = self.start(*words)
        while process.poll() is None and self.begun() == before:
            time.sleep(0.005)
        return process

    def span_s(self, *words: str) -> float:
        """Seconds from its first change to its end."""
        process = self.start_and_wait(*words)
        began = time.monotonic()
        process.communicate(timeout=300)
        if process.returncode:
            raise SystemExit(f"{words[0]} ended with exit code {process.returncode}")
        return time.monotonic() - began

    def music(self) -> list[bytes]:
        return sorted(held for held, *_ in byte_tree(self.root).values() if held.startswith(b"fLaC"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--files", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    rng = Random(args.seed)
    with tempfile.TemporaryDirectory(prefix="organize-") as made:
        library = Library(Path(made), args.files, args.seed)
        music = library.music()
        spans = {words: library.span_s(*words) for words in (ORGANIZE, UNDO)}
        if byte_tree(library.root) != library.tree:
            print("an undisturbed run makes a difference")
            return 1
        failures = sum(not killed_once(library, music, rng, spans, number) for number in range(1, args.kills + 1))
        print(f"{args.kills} kills, {failures} made a difference")
        return int(failures > 0)


def killed_once(
    library: Library, music: list[bytes], rng: Random, spans: dict[tuple[str, ...], float], number: int
) -> bool:
    """Kills once, goes on or takes back, and says whether all is as it was."""
    words = ORGANIZE
    if rng.random() < 0.4:
        library.run(*ORGANIZE)
        words = UNDO
    process, delay_s = library.start_and_wait(*words), rng.uniform(0, spans[words])
    time.sleep(delay_s)
    was_running = process.poll() is None
    process.kill()
    process.communicate()
    n_moved = len(byte_tree(library.root).keys() - library.tree.keys())
    is_same = library.music() == music
    goes_on = words == ORGANIZE and rng.random() < 0.5
    if goes_on and was_running:
        is_same &= library.run("organize", "--resume") == 0 and library.music() == music
    is_undone = library.run("undo") == 0
    is_same &= byte_tree(library.root) == library.tree
    ended, undone = "" if was_running else " (it had ended)", "undone" if is_undone else "nothing left to undo"
    how = f"{'gone on with, ' if goes_on else ''}{undone}: {'same' if is_same else 'DIFFERENT'}"
    print(
        f"{number:3} {words[0]} killed after {delay_s:.2f} s{ended}, {n_moved} paths not as before, {how}", flush=True
    )
    return is_same


if __name__ == "__main__":
    sys.exit(main())
