#!/usr/bin/env python3
"""Attacks a clean-up through its paths: while `apply` and `undo` run, names change places all the time.

    scripts/torture/swaps.py [--rounds 200] [--seed 1]

Each attack makes two names change places, at once each time (renameat2, Linux only), again and again, while a plan is
carried out and taken back: a folder of the library and a link to a twin of it outside; a folder above it; the folder of
the kept file; the quarantine; a folder in the quarantine; the new version of a file and a link. What is outside must
never change, and when the names are still again, what was refused must be there and an undo must bring back the rest.

Prints a table: attack, rounds, swaps, steps that were done and refused, and in how many rounds all held. Exit code 1 if
any did not."""

from __future__ import annotations

import argparse
import contextlib
import ctypes
import os
import random
import shutil
import sys
import tempfile
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dedup.files.paths import printable
from dedup.files.quarantine import QUARANTINE
from dedup.plan.nouns import Action
from dedup.tags.merge import Merge
from tests.cleanups import carry_out, group, make_files, make_store, opened, plan_of, take_back, tree

FILES = {"kept/a.flac": 1, "deep/er/a.flac": 1, "deep/er/a.wav": 1}
ACTIONS: tuple[Action, ...] = ("quarantine", "hardlink", "trash", "delete")
HELD = os.fsdecode(QUARANTINE)


@dataclass(frozen=True)
class Attack:
    """A name below the root that becomes a link while the clean-up runs."""

    what: str
    name: str
    twin: str
    """What the link leads to: this name below a copy of the library outside."""


ATTACKS = (
    Attack("folder of the file that goes", "deep/er", "deep/er"),
    Attack("folder above it", "deep", "deep"),
    Attack("folder of the kept file", "kept", "kept"),
    Attack("folder, to another of the library's own files", "deep/er", "kept"),
    Attack("quarantine", HELD, HELD),
    Attack("folder in the quarantine", f"{HELD}/deep", f"{HELD}/deep"),
)


@dataclass
class Result:
    """What became of one attack."""

    rounds: int = 0
    swaps: int = 0
    done: int = 0
    refused: int = 0
    held: int = 0


@contextlib.contextmanager
def swapping(one: Path, other: Path, chance: random.Random, result: Result) -> Iterator[None]:
    """Meanwhile the two names change places all the time; in the end each is in its own."""
    libc, stopped = ctypes.CDLL(None), threading.Event()

    def exchange() -> None:
        if libc.renameat2(-100, os.fsencode(one), -100, os.fsencode(other), 2) == 0:  # RENAME_EXCHANGE
            result.swaps += 1

    def swap() -> None:
        is_swapped, calm_s = False, chance.choice([0.0005, 0.01, 0.1])
        while not stopped.is_set() or is_swapped:
            exchange()
            is_swapped = other.is_dir() and not other.is_symlink()
            time.sleep(chance.random() * (0.0005 if is_swapped else calm_s))

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield
    finally:
        stopped.set()
        thread.join()


def attacked(attack: Attack, seed: int, folder: Path, result: Result) -> list[str]:
    """Carries out one round in an empty folder, and returns what did not hold."""
    chance = random.Random(seed)
    root, outside = folder / "music", folder / "outside"
    os.environ["XDG_DATA_HOME"] = str(folder / "data")
    make_files(root, FILES)
    (root / HELD / "deep/er").mkdir(parents=True)
    make_store(folder / "store", root, FILES)
    shutil.copytree(root, outside)
    link = folder / "link"
    link.symlink_to(outside / attack.twin)
    before, there = tree(root, times=False), tree(outside)
    action = chance.choice(ACTIONS)
    wrong = []
    with opened(root) as store:
        merge = Merge(os.fsencode(root / "kept/a.flac"), {"title": (str(seed),)}) if chance.random() < 0.5 else None
        others: dict[str, Action] = {"deep/er/a.flac": action, "deep/er/a.wav": "quarantine"}
        plan = plan_of(group(store, root, "kept/a.flac", others, merge))
        with swapping(root / attack.name, link, chance, result):
            applied = carry_out(store, plan)
            if chance.random() < 0.5:
                take_back(store)
        result.done += applied.n_files
        result.refused += len(applied.refused)
        if tree(outside) != there:
            wrong.append("something outside changed")
        failed = [] if action == "delete" and applied.done["delete"] else take_back(store).failed
        wrong += [f"not taken back: {printable(refusal.path)}: {refusal.reason}" for refusal in failed]
        if action == "delete":
            with contextlib.suppress(AssertionError):
                take_back(store)
        if tree(outside) != there:
            wrong.append("something outside changed when it was taken back")
        gone = {"deep/er/a.flac"} if applied.done["delete"] else set()
        now = tree(root, times=False)
        lost = [name for name in FILES if name not in gone and now.get(name) != before[name]]
        wrong += [f"{name} is not as it was" for name in lost]
    return wrong


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=200, help="rounds of each attack")
    parser.add_argument("--seed", type=int, default=1)
    arguments = parser.parse_args()
    print(f"{'attack':<48}{'rounds':>8}{'swaps':>9}{'done':>7}{'refused':>9}{'held':>7}")
    is_wrong = False
    for number, attack in enumerate(ATTACKS):
        result = Result()
        for round_ in range(arguments.rounds):
            seed = arguments.seed + 1000 * number + round_
            with tempfile.TemporaryDirectory(prefix="swaps-") as folder:
                wrong = attacked(attack, seed, Path(folder), result)
            result.rounds += 1
            result.held += not wrong
            for text in wrong:
                print(f"  {attack.what}, seed {seed}: {text}", file=sys.stderr)
        is_wrong |= result.held < result.rounds
        counts = f"{result.rounds:>8,}{result.swaps:>9,}{result.done:>7,}{result.refused:>9,}"
        print(f"{attack.what:<48}{counts}{result.held:>7,}", flush=True)
    return int(is_wrong)


if __name__ == "__main__":
    sys.exit(main())
