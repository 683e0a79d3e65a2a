#!/usr/bin/env python3
"""Cleans up a copy of a real library and undoes it, first undisturbed, then killed (SIGKILL) at random moments.

In the end every file and folder must be the same as before, byte for byte, including times of change.

    ./.venv/bin/python scripts/torture/cleanup.py [LIBRARY] [--kills 20] [--seed 1] [--keep DIR]

Without LIBRARY, one is synthesized. Each round carries the plan out and is killed on the way; then the clean-up is
resumed, undone, or both, and killed again on the way. Prints a line per round, and exits 1 if any made a difference."""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import os
import random
import signal
import stat
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

State = dict[str, tuple[int, int, str]]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("library", nargs="?", type=Path)
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--keep", type=Path, help="work here, and keep everything")
    args = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory()))
        trial = Trial(folder, args.library)
        n_different = trial.undisturbed()
        rng = random.Random(args.seed)
        for number in range(1, args.kills + 1):
            n_different += trial.killed(number, rng)
    print(f"{args.kills} rounds, {n_different} with a difference")
    sys.exit(1 if n_different else 0)


class Trial:
    """A copy of the library, its store and a plan."""

    def __init__(self, folder: Path, library: Path | None) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        self.folder, self.music, self.plan = folder, folder / "music", folder / "plan.json"
        if library is None:
            self.reprise("demo", "--out", folder / "demo")
            library = folder / "demo" / "library"
        subprocess.run(["cp", "-a", str(library), str(self.music)], check=True)  # it keeps FIFOs and links
        self.reprise("full", self.music)
        self.reprise("plan", "-o", self.plan, "--remove-empty-folders")
        self.before = state(self.music)
        self.seconds = 1.0
        """Seconds that carrying the plan out takes."""
        planned = json.loads(self.plan.read_text())["totals"]
        print(
            f"{len(self.before):,} files and folders; "
            f"the plan removes {planned['files']:,} files of {planned['groups']:,} groups"
        )

    def undisturbed(self) -> int:
        """Carries the plan out and undoes it; 1 if that made a difference."""
        began = time.monotonic()
        done = self.reprise("apply", self.plan, "--json")
        self.seconds = time.monotonic() - began
        print(f"applied in {self.seconds:.1f} s: {json.dumps(done)}")
        left = self.reprise("plan", "--json", allowed=(0, 5))
        n_left = (left or {}).get("totals", {}).get("files", 0)
        undone = self.reprise("undo", "--json")
        print(f"a second plan changes {n_left} files; undone: {json.dumps(undone)}")
        return self.compare("undisturbed")

    def killed(self, number: int, rng: random.Random) -> int:
        """One round; 1 if it made a difference."""
        self.reprise("scan", self.music)
        words = [self.kill_in(rng, "apply", self.plan)]
        if rng.random() < 0.5:
            words.append(self.kill_in(rng, "apply", "--resume"))
        if rng.random() < 0.5:
            self.reprise("apply", "--resume", allowed=(0, 3, 5, 22))
            words.append("resumed")
        if rng.random() < 0.5:
            words.append(self.kill_in(rng, "undo"))
        self.reprise("undo", allowed=(0, 22))
        return self.compare(f"round {number}: {', '.join(words)}")

    def kill_in(self, rng: random.Random, *arguments: object) -> str:
        """Kills the command at a random moment; returns how far it got."""
        process = subprocess.Popen(
            command(self.folder, *arguments), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        time.sleep(rng.uniform(0.2, 1.0) * self.seconds)
        process.send_signal(signal.SIGKILL)
        ended = process.wait()
        journal = max((self.folder / "store" / "cleanups").glob("*/journal.jsonl"), default=None)
        n_lines = journal.read_bytes().count(b"\n") if journal else 0
        return f"{arguments[0]} {'killed' if ended < 0 else 'had ended'} ({n_lines} lines of journal)"

    def compare(self, what: str) -> int:
        after = state(self.music)
        differ = sorted(path for path in {*after, *self.before} if after.get(path) != self.before.get(path))
        print(f"{what}: {'the same' if not differ else f'{len(differ)} differ: {differ[:5]}'}", flush=True)
        return int(bool(differ))

    def reprise(self, *arguments: object, allowed: tuple[int, ...] = (0, 3, 5)) -> Any:
        """The last JSON object that the command printed, if any."""
        run = subprocess.run(command(self.folder, *arguments), capture_output=True, text=True, check=False)
        if run.returncode not in allowed:
            raise SystemExit(f"{' '.join(map(str, arguments))} ended with {run.returncode}: {run.stderr}")
        with contextlib.suppress(ValueError, IndexError):
            return json.loads(run.stdout)
        with contextlib.suppress(ValueError, IndexError):
            return json.loads(run.stdout.splitlines()[-1])
        return None


def command(folder: Path, *arguments: object) -> list[str]:
    return [sys.executable, "-m", "jobs", "--store", str(folder / "store"), *map(str, arguments)]


def state(root: Path) -> State:
    """Mode, time of change and digest of everything below `root`."""
    found: State = {}
    for folder, folders, files in os.walk(os.fsencode(root)):
        for path in [folder, *(os.path.join(folder, name) for name in folders + files)]:
            status = os.lstat(path)
            digest = ""
            if stat.S_ISREG(status.st_mode):
                with open(path, "rb") as file:
                    digest = hashlib.blake2b(file.read()).hexdigest()
            found[os.fsdecode(path)] = (status.st_mode, status.st_mtime_ns, digest)
    return found


if __name__ == "__main__":
    main()
