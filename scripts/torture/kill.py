#!/usr/bin/env python3
"""Kills real runs at random moments and resumes them: the result must be that of an undisturbed run, byte for byte, and
nothing that was committed may be done twice.

    ./.venv/bin/python scripts/torture/kill.py --moments 10 --seed 1

In both scan and correlate, the launcher, one of its workers and the scheduler of a cluster are killed (SIGKILL), and a
worker is stopped for good (SIGSTOP), each at `--moments` seeded moments. Prints a line for each, and exits 1 if any
made a difference. A moment takes about ten seconds, and half a minute if a worker is stopped."""

from __future__ import annotations

import argparse
import contextlib
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.torture.work import Size, Store, Truth, make_work, survivors, undisturbed, wait_for_workers

TIMEOUT_S = 300.0
EXIT_NOTHING_TO_DO, EXIT_LOST = 5, 17
Stage = Literal["scan", "correlate"]
Victim = Literal["launcher", "worker", "scheduler", "stopped worker"]
STAGES: tuple[Stage, ...] = ("scan", "correlate")
VICTIMS: tuple[Victim, ...] = ("launcher", "worker", "scheduler", "stopped worker")


@dataclass(frozen=True)
class Moment:
    """When to kill, and what."""

    stage: Stage
    victim: Victim
    share: float
    """Share of the stage's work that is committed when the clock starts, 0 to 1."""
    delay_s: float
    """Time from then until the kill."""


@dataclass
class Verdict:
    """The effects of a kill, and the differences that it must not make."""

    moment: Moment
    n_fingerprints_before: int = 0
    """Fingerprints that were committed when the run was dead."""
    n_fingerprinted_after: int = 0
    n_tiles_before: int = 0
    n_tiles_after: int = 0
    differences: list[str] = field(default_factory=list)


# ---- the kill


def kill(store: Store, moment: Moment, truth: Truth, rng: random.Random, *then: Moment) -> int | None:
    """Starts `full`, kills at that moment and, in the same run, at the others, and waits until no process is left.
    Returns the exit code; None if the launcher was killed."""
    if moment.victim == "scheduler":
        return _kill_scheduler(store, moment, truth)
    run = store.start(*store.full(), *(("--worker-timeout", "10") if moment.victim == "stopped worker" else ()))
    try:
        for each in (moment, *then):
            _strike(store, run, each, truth, rng)
        code = run.wait(TIMEOUT_S)
        left = survivors(run.pid)
        if left:
            raise RuntimeError(f"still running after the launcher died: {left}")
        return None if code == -signal.SIGKILL else code
    finally:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(run.pid, signal.SIGKILL)
        run.wait()


def _strike(store: Store, run: subprocess.Popen[bytes], moment: Moment, truth: Truth, rng: random.Random) -> None:
    """Waits for the moment, and kills."""
    _wait_for(store, run, moment, truth)
    if moment.victim == "launcher":
        run.kill()
        return
    workers = wait_for_workers(run)
    with contextlib.suppress(ProcessLookupError):
        if workers:
            os.kill(rng.choice(workers), signal.SIGSTOP if moment.victim == "stopped worker" else signal.SIGKILL)


def _kill_scheduler(store: Store, moment: Moment, truth: Truth) -> int:
    """Runs `full` on a cluster of two workers and kills their scheduler; returns the exit code."""
    from scripts.torture.network import Loopback, Network, end, until

    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="kill-test-cluster-")))
        network = Network(Loopback("a test"), folder, stack)
        scheduler = network.start_scheduler()
        network.start_workers("b", store.size.n_workers)
        until(lambda: "connected" in network.said("worker-b"), "the workers")
        workers = ("--scheduler", network.address, "--tls", network.keys("a"))
        clustered = Store(store.work, store.folder, store.size, workers=workers)
        run = clustered.start(*clustered.full())
        stack.callback(end, run)
        _wait_for(store, run, moment, truth)
        end(scheduler)
        return run.wait(TIMEOUT_S)


def _wait_for(store: Store, run: subprocess.Popen[bytes], moment: Moment, truth: Truth) -> None:
    if moment.stage == "scan":
        table, wanted = "audio", store.size.n_imported + moment.share * truth.n_fingerprinted
    else:
        table, wanted = "tile", max(1, moment.share * truth.n_tiles)
    while run.poll() is None and store.count(table) < wanted:
        time.sleep(0.01)
    time.sleep(moment.delay_s)


# ---- the verdict


def try_moment(work: Path, base: Path, size: Size, moment: Moment, truth: Truth, rng: random.Random) -> Verdict:
    """Kills at that moment, resumes and compares. `base` is a store after the import."""
    store = Store(work, base.with_name(f"store-{rng.getrandbits(32):08x}"), size)
    shutil.copytree(base, store.folder)
    verdict = Verdict(moment)
    try:
        code = kill(store, moment, truth, rng)
        verdict.n_fingerprints_before = len(store.names("SELECT id FROM audio")) - size.n_imported
        tiles = store.names("SELECT name FROM tile")
        verdict.n_tiles_before = len(tiles)
        if moment.victim == "scheduler" and code not in (EXIT_LOST, truth.exit_code):
            verdict.differences.append(f"without a scheduler: exit code {code}, not {EXIT_LOST}: {store.stderr()}")
        if "worker" in moment.victim and code != truth.exit_code:
            verdict.differences.append(f"without a worker: exit code {code}, not {truth.exit_code}: {store.stderr()}")
        _resume(store, verdict, truth, EXIT_NOTHING_TO_DO if code == truth.exit_code else truth.exit_code)
        if not tiles <= store.names("SELECT name FROM tile"):
            verdict.differences.append("a committed tile is gone")
    except RuntimeError as error:
        verdict.differences.append(str(error))
    finally:
        if not verdict.differences:
            shutil.rmtree(store.folder)
    return verdict


def _resume(store: Store, verdict: Verdict, truth: Truth, exit_code: int) -> None:
    """Runs `full` again, which is to end with that exit code: it may have nothing left to do."""
    code, _ = store.run(*store.full())
    summary = store.summary()
    pairs, blocks = store.result()
    verdict.n_fingerprinted_after = summary["fingerprinted"]
    verdict.n_tiles_after = summary["tiles"]["n_computed"]
    n_reused, n_tiles = summary["tiles"]["n_reused"], summary["tiles"]["n_tiles"]
    expected = {
        "exit code": (code, exit_code),
        "pairs": (pairs, truth.pairs),
        "blocks": (blocks, truth.blocks),
        "fingerprints": (verdict.n_fingerprints_before + summary["fingerprinted"], truth.n_fingerprinted),
        "tiles": (n_tiles, truth.n_tiles),
        "tiles reused": (n_reused, verdict.n_tiles_before),
        "tiles in all": (n_reused + verdict.n_tiles_after, truth.n_tiles),
    }
    for what, (found, wanted) in expected.items():
        if found != wanted:
            shown = f"{found}, not {wanted}" if isinstance(found, int) else "not the same"
            verdict.differences.append(f"{what}: {shown}")


def moments(n: int, victims: tuple[Victim, ...], rng: random.Random) -> Iterator[Moment]:
    """`n` moments for each stage and victim, spread over the stage. The delay covers the second between two commits."""
    for stage in STAGES:
        for victim in victims:
            for i in range(n):
                yield Moment(stage, victim, (i + rng.random()) / n * 0.9, rng.uniform(0, 1.2))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=10, metavar="N", help="per stage and victim (default 10)")
    parser.add_argument("--victims", default=",".join(VICTIMS), metavar="LIST", help="victims, separated by commas")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--keep", metavar="DIR", help="work here, and keep the stores that differ")
    options = parser.parse_args()
    rng, size = random.Random(options.seed), Size()
    victims = tuple(victim for victim in VICTIMS if victim in options.victims.split(","))
    with contextlib.ExitStack() as stack:
        folder = Path(options.keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="kill-test-")))
        folder.mkdir(exist_ok=True)
        make_work(folder, size, options.seed)
        truth = undisturbed(Store(folder, folder / "undisturbed", size))
        base = Store(folder, folder / "imported", size)
        base.import_fingerprints()
        print(
            f"undisturbed: {truth.n_fingerprinted} fingerprints, {truth.n_tiles} tiles, "
            f"{len(truth.pairs.splitlines())} pairs\n"
            f"{'stage':<10} {'killed':<14} {'at':>5}  {'fingerprints':>14}  {'tiles':>13}  result",
            flush=True,
        )
        n_bad = 0
        for moment in moments(options.moments, victims, rng):
            verdict = try_moment(folder, base.folder, size, moment, truth, rng)
            n_bad += bool(verdict.differences)
            print(_line(verdict), flush=True)
    n_kills = options.moments * len(STAGES) * len(victims)
    print(f"{n_kills} kills, {n_bad} with a difference")
    return 1 if n_bad else 0


def _line(verdict: Verdict) -> str:
    moment = verdict.moment
    fingerprints = f"{verdict.n_fingerprints_before:>5} + {verdict.n_fingerprinted_after:<5}"
    tiles = f"{verdict.n_tiles_before:>5} + {verdict.n_tiles_after:<5}"
    result = "; ".join(verdict.differences) or "the same"
    return f"{moment.stage:<10} {moment.victim:<14} {moment.share:>5.0%}  {fingerprints:>14}  {tiles:>13}  {result}"


if __name__ == "__main__":
    sys.exit(main())
