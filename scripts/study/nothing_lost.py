#!/usr/bin/env python3
"""Makes random libraries, plans and cleans up each by default, and checks what is left against the truth.

    scripts/study/nothing_lost.py [--libraries 500] [--first 0] [--files 5] [--processes N] [--json]

Each library is a few files made of one song: cuts, overlaps, mixes, other speeds, mono, further streams, chapters,
lyrics, side-cars (`dedup.synthesis.random_library`). `check_plan.py` says what a plan would lose; after `apply` the
kept file must hold all texts of those that went. Prints a line for each exception; exit code 1 if there is any."""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import sys
import tempfile
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from dedup.cleanup.apply import apply_plan
from dedup.observer import Silent
from dedup.pipeline import full
from dedup.plan.document import to_json
from dedup.plan.make import plan_copies
from dedup.plan.nouns import Plan
from dedup.runner import InlineRunner, Stop
from dedup.settings import CompareSettings, FingerprintSettings, KeepSettings, MatchSettings, PlanSettings, ScanSettings
from dedup.store.store import make_or_open
from dedup.synthesis.random_library import make_library
from scripts.study.check_plan import REMOVING, exceptions

DEFAULT = PlanSettings()


@dataclass(frozen=True)
class Checked:
    """What became of one library."""

    seed: int
    n_gone: int
    """Files that its plan lets go."""
    n_left: int
    """Files of its groups that stay beside the kept one."""
    exceptions: tuple[str, ...]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--libraries", type=int, default=500)
    parser.add_argument("--first", type=int, default=0, help="seed of the first library")
    parser.add_argument("--files", type=int, default=5, help="files in each library")
    parser.add_argument("--processes", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    seeds = range(args.first, args.first + args.libraries)
    with multiprocessing.get_context("spawn").Pool(args.processes) as pool:
        checked = []
        for one in pool.imap_unordered(partial(check, n_files=args.files), seeds):
            checked.append(one)
            for line in one.exceptions if not args.json else ():
                print(f"library {one.seed}: {line}", flush=True)
    n_exceptions = sum(len(one.exceptions) for one in checked)
    if args.json:
        print(json.dumps([asdict(one) for one in sorted(checked, key=lambda one: one.seed)]))
    else:
        n_gone, n_left = sum(one.n_gone for one in checked), sum(one.n_left for one in checked)
        print(f"{len(checked):,} libraries: {n_gone:,} files go, {n_left:,} stay; {n_exceptions} exceptions")
    raise SystemExit(1 if n_exceptions else 0)


def check(seed: int, n_files: int) -> Checked:
    """Makes the library of this seed, plans and checks it."""
    with tempfile.TemporaryDirectory() as folder:
        root = Path(folder) / "music"
        truth = make_library(root, seed, n_files)
        store = Path(folder) / "store"
        plan = planned(root, store)
        document = to_json(plan)
        found = [*exceptions(document, truth, os.fsencode(root))]
        found += applied(plan, store)
        found += lost_texts(document, truth, root)
    actions = [file["action"] for group in document["groups"] for file in group["files"]]
    n_gone = sum(action in REMOVING for action in actions)
    return Checked(seed, n_gone, actions.count("leave"), tuple(found))


def planned(root: Path, store: Path, settings: PlanSettings = DEFAULT) -> Plan:
    """The plan of a library, by default and after the main job."""
    with make_or_open(store, FingerprintSettings(), 64, "study") as opened:
        full(
            opened,
            [os.fsencode(root)],
            scan=ScanSettings(),
            compare=CompareSettings(),
            match=MatchSettings(),
            keep=KeepSettings(),
            runner=InlineRunner(),
            observer=Silent(),
        )
    return plan_copies(
        folder=store,
        match=MatchSettings(),
        keep=KeepSettings(),
        settings=settings,
        observer=Silent(),
        purpose="study",
    ).plan


def applied(plan: Plan, store: Path) -> Iterator[str]:
    """Carries out the plan; yields a line for each file that is refused."""
    with make_or_open(store, FingerprintSettings(), 64, "study") as opened:
        done = apply_plan(store=opened, plan=plan, observer=Silent(), stop=Stop())
    return (f"{os.fsdecode(refusal.path)} is refused: {refusal.reason}" for refusal in done.refused)


def lost_texts(plan: Mapping[str, Any], truth: Mapping[str, Any], root: Path) -> Iterator[str]:
    """A line for each text of a file that went which the kept file doesn't have."""
    texts = {str(root / entry["path"]): entry["texts"] for entry in truth["files"]}
    for group in plan["groups"]:
        kept = next(file["path"] for file in group["files"] if file["action"] == "keep")
        content = Path(kept).read_bytes()
        for file in group["files"]:
            if file["action"] in REMOVING:
                lost = [text for text in texts[file["path"]] if text.encode() not in content]
                yield from (f"{file['path']} for {kept}: {text!r} is lost" for text in lost)


if __name__ == "__main__":
    main()
