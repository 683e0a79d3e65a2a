#!/usr/bin/env python3
"""Kills real runs at random moments and resumes them: the result must be that of a run that nobody disturbed, byte for
byte, and nothing that was committed may be done twice.

    ./.venv/bin/python scripts/torture/kill.py --moments 10 --seed 1

For each of scan and correlate the launcher, one of its workers and the scheduler of a cluster are killed (SIGKILL), and
a worker is stopped for good (SIGSTOP), at so many seeded moments. Prints a line for each, and exits 1 if any of them
made a difference. Takes about ten seconds a moment, and half a minute where a worker is stopped."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

TIMEOUT_S = 300.0
EXIT_LOST = 17
Stage = Literal["scan", "correlate"]
Victim = Literal["launcher", "worker", "scheduler", "stopped worker"]
STAGES: tuple[Stage, ...] = ("scan", "correlate")
VICTIMS: tuple[Victim, ...] = ("launcher", "worker", "scheduler", "stopped worker")


@dataclass(frozen=True)
class Size:
    """How much work the runs that are killed have."""

    n_files: int = 40
    n_clips_a_file: int = 24
    """Of 5 s."""
    n_imported: int = 300
    block_size: int = 8
    n_workers: int = 2


@dataclass(frozen=True)
class Moment:
    """When, and whom."""

    stage: Stage
    victim: Victim
    share: float
    """Of the stage's work that is committed when the clock starts, 0 to 1."""
    delay_s: float
    """Until the kill."""


@dataclass(frozen=True)
class Truth:
    """The undisturbed run."""

    pairs: bytes
    blocks: frozenset[str]
    n_fingerprinted: int
    n_tiles: int
    exit_code: int


@dataclass
class Verdict:
    """What a kill did, and what it must not have done."""

    moment: Moment
    n_fingerprints_before: int = 0
    """Committed when the run was dead."""
    n_fingerprinted_after: int = 0
    n_tiles_before: int = 0
    n_tiles_after: int = 0
    differences: list[str] = field(default_factory=list)


# ---- the work


def make_work(folder: Path, size: Size, seed: int) -> None:
    """A library of MP3 files, of which some hold the same at another bit rate, one is a copy and one is no music; and
    imported fingerprints, of which every tenth is much like another."""
    from dedup.synthesis.encode import Encoding, write
    from dedup.synthesis.music import compose

    rng = random.Random(seed)
    clips = []
    for number in range(8):
        samples = compose(seed * 100 + number, "somebody", 5.0)
        pair = []
        for bit_rate in (128_000, 64_000):
            path = folder / "clip.mp3"
            write(str(path), samples, Encoding("mp3", bit_rate))
            pair.append(path.read_bytes())
        clips.append(pair)
    (folder / "clip.mp3").unlink()
    music = folder / "music"
    music.mkdir()
    order: list[int] = []
    for number in range(size.n_files):
        if number % 5 != 4:
            order = rng.choices(range(len(clips)), k=size.n_clips_a_file)
        quality = int(number % 5 == 4)  # every fifth is the one before it at another bit rate
        (music / f"{number:03}.mp3").write_bytes(b"".join(clips[i][quality] for i in order))
    shutil.copyfile(music / "000.mp3", music / "copy of 000.mp3")
    (music / "bad.mp3").write_text("no music " * 1000)
    write_fingerprints(folder / "imported.jsonl", size.n_imported, rng)


def write_fingerprints(path: Path, n: int, rng: random.Random) -> None:
    items: list[int] = []
    with path.open("w") as file:
        for number in range(n):
            if number % 10 == 9:
                items = [item ^ (1 << rng.randrange(32)) for item in items]
            else:
                items = [rng.getrandbits(32) for _ in range(rng.randrange(700, 1100))]
            line = {"path": f"/imported/{number:04}.mp3", "duration": len(items) / 8.0769, "fingerprint": items}
            file.write(json.dumps(line) + "\n")


class Store:
    """The commands on one store, and a look into its catalog."""

    def __init__(
        self, work: Path, folder: Path, size: Size, prefix: tuple[str, ...] = (), workers: tuple[str, ...] = ()
    ) -> None:
        """`prefix` goes before each command; `workers` says who works, instead of the number of workers of `size`."""
        self.work, self.folder, self.size = work, folder, size
        self.prefix, self.workers = prefix, workers or ("--workers", str(size.n_workers))

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a command in a session of its own; its output goes to files."""
        command = [*self.prefix, sys.executable, "-m", "jobs", *arguments, "--store", str(self.folder)]
        with open(f"{self.folder}.out", "wb") as out, open(f"{self.folder}.err", "wb") as err:
            return subprocess.Popen(command, cwd=ROOT, stdout=out, stderr=err, start_new_session=True)

    def run(self, *arguments: str) -> tuple[int, bytes]:
        """Exit code and stdout of a command."""
        code = self.start(*arguments).wait(TIMEOUT_S)
        return code, Path(f"{self.folder}.out").read_bytes()

    def import_fingerprints(self) -> None:
        how = ("--block-size", str(self.size.block_size))
        code, _ = self.run("import", str(self.work / "imported.jsonl"), *how)
        if code:
            raise RuntimeError(f"import failed: {self.stderr()}")

    def full(self) -> tuple[str, ...]:
        how = (*self.workers, "--block-size", str(self.size.block_size))
        how += ("--method", "exact")  # the cascade would be over before anybody could be killed
        return ("full", str(self.work / "music"), "--json", *how)

    def summary(self) -> dict[str, Any]:
        """Of the last `full`."""
        for line in Path(f"{self.folder}.out").read_bytes().splitlines():
            record: dict[str, Any] = json.loads(line)
            if record.get("event") == "summary":
                return record
        raise RuntimeError(f"no summary: {self.stderr()}")

    def stderr(self) -> str:
        return Path(f"{self.folder}.err").read_text(errors="replace")

    def names(self, query: str) -> frozenset[str]:
        """The first column of what a copy of the catalog holds: reading the real one could mend what a kill left."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("catalog.db", "catalog.db-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(self.folder / name, Path(folder) / name)
            with contextlib.closing(sqlite3.connect(Path(folder) / "catalog.db")) as connection:
                return frozenset(str(row[0]) for row in connection.execute(query))

    def count(self, table: str) -> int:
        """Rows now, beside the run that writes them."""
        try:
            with contextlib.closing(sqlite3.connect(f"file:{self.folder}/catalog.db?mode=ro", uri=True)) as connection:
                return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
        except sqlite3.Error:
            return 0

    def result(self) -> tuple[bytes, frozenset[str]]:
        """All pairs, and the names of the blocks. Raises RuntimeError where the store is not sound."""
        code, found = self.run("check")
        if code:
            raise RuntimeError(f"check: exit code {code}: {found.decode()}{self.stderr()}")
        code, pairs = self.run("export", "pairs")
        if code:
            raise RuntimeError(f"export: exit code {code}: {self.stderr()}")
        return pairs, self.names("SELECT name FROM block")


def undisturbed(store: Store) -> Truth:
    store.import_fingerprints()
    code, _ = store.run(*store.full())
    summary = store.summary()
    pairs, blocks = store.result()
    return Truth(pairs, blocks, summary["fingerprinted"], summary["tiles"]["n_tiles"], code)


# ---- the kill


def kill(store: Store, moment: Moment, truth: Truth, rng: random.Random, *then: Moment) -> int | None:
    """Starts `full`, kills at that moment and, in the same run, at the others, and waits until nothing of it is left.
    Gives the exit code of a run whose launcher was spared."""
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
    """The same on a cluster of two workers, whose scheduler is killed."""
    from scripts.torture.hosts import Loopback, Network, end, until

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


def wait_for_workers(run: subprocess.Popen[bytes]) -> list[int]:
    """The worker processes; empty if the run ended without any."""
    while run.poll() is None:
        workers = [pid for pid, parent, command in processes(run.pid) if parent == run.pid and "spawn_main" in command]
        if workers:
            return workers
        time.sleep(0.01)
    return []


def survivors(session: int) -> list[str]:
    """Commands of the processes of a session that are there 15 s after the launcher. One that was killed, or whose
    parent ended, may be seen for a moment longer."""
    deadline = time.monotonic() + 15.0
    while left := [command for _, _, command in processes(session)]:
        if time.monotonic() > deadline:
            return left
        time.sleep(0.02)
    return []


def processes(session: int) -> list[tuple[int, int, str]]:
    """(pid, parent, command) of the living processes of a session."""
    import psutil

    found = []
    for process in psutil.process_iter(["pid", "ppid", "status", "cmdline"]):
        with contextlib.suppress(ProcessLookupError):  # it ended since it was listed
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append((process.pid, process.info["ppid"], " ".join(process.info["cmdline"] or ())))
    return found


# ---- the verdict


def try_moment(work: Path, base: Path, size: Size, moment: Moment, truth: Truth, rng: random.Random) -> Verdict:
    """Kills at that moment, resumes and compares. `base` is a store with the import done."""
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
        _resume(store, verdict, truth)
        if not tiles <= store.names("SELECT name FROM tile"):
            verdict.differences.append("a committed tile is gone")
    except RuntimeError as error:
        verdict.differences.append(str(error))
    finally:
        if not verdict.differences:
            shutil.rmtree(store.folder)
    return verdict


def _resume(store: Store, verdict: Verdict, truth: Truth) -> None:
    code, _ = store.run(*store.full())
    summary = store.summary()
    pairs, blocks = store.result()
    verdict.n_fingerprinted_after = summary["fingerprinted"]
    verdict.n_tiles_after = summary["tiles"]["n_computed"]
    n_reused, n_tiles = summary["tiles"]["n_reused"], summary["tiles"]["n_tiles"]
    expected = {
        "exit code": (code, truth.exit_code),
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
    """`n` for each stage and victim, spread over the stage. Commits are a second apart: so is the delay."""
    for stage in STAGES:
        for victim in victims:
            for i in range(n):
                yield Moment(stage, victim, (i + rng.random()) / n * 0.9, rng.uniform(0, 1.2))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--moments", type=int, default=10, metavar="N", help="for each stage and victim (default 10)")
    parser.add_argument("--victims", default=",".join(VICTIMS), metavar="LIST", help="of these, with commas between")
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
