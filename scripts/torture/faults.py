#!/usr/bin/env python3
"""Disks that refuse, bits that rot, clocks that jump: after each fault the store must be sound, and the next run must
end with the same bytes as an undisturbed run.

    ./.venv/bin/python scripts/torture/faults.py --faults disk,kill,rot,clock --n 100 --seed 1

`disk`: each call of a `full` that changes the store (or `--n` of them) is refused, once alone and once with all later
ones: the disk is full, read-only, or fails. `kill`: the process ends at such a call. `clock`: the machine's clock jumps
at such a call. `rot`: bits are flipped, pieces cut off or removed, anywhere in a finished store. Prints a line per
kind, and exits 1 if any trial made a difference. A trial takes about two seconds."""

from __future__ import annotations

import argparse
import contextlib
import errno
import itertools
import json
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dedup.runner import Stop
from scripts.torture.fault_injection import Ended, Fault, Host

WRITE_ERROR, DAMAGED, SOME_FAILED = 14, 13, 3
KINDS = ("disk", "kill", "clock", "rot")
N_SONGS = 6


@dataclass(frozen=True)
class Truth:
    """The undisturbed run, and its store."""

    folder: Path
    pairs: bytes
    n_fingerprinted: int
    sites: tuple[str, ...]
    """Calls that changed the store, such as "write /catalog.db-wal"."""


@dataclass
class Tally:
    """The outcomes of the trials of a kind."""

    n: int = 0
    ends: Counter[str] = field(default_factory=Counter)
    """Endings of the disturbed command, or of the check."""
    redone: list[int] = field(default_factory=list)
    """Files that the next run decoded again, for each trial."""
    differences: list[str] = field(default_factory=list)


class Bench:
    """A small library, and commands on its stores."""

    def __init__(self, host: Host, work: Path) -> None:
        self.host, self.work = host, work
        self.music = work / "music"

    def full(self, store: Path, fault: Fault | None = None) -> Ended:
        how = ("--workers", "0", "--block-size", "2", "--json", "--min-length", "4")
        return self.host.run("full", str(self.music), "--store", str(store), *how, fault=fault)

    def run(self, command: str, store: Path, *arguments: str, fault: Fault | None = None) -> Ended:
        return self.host.run(command, *arguments, "--store", str(store), fault=fault)

    def pairs(self, store: Path) -> bytes:
        return self.run("export", store, "pairs").out

    def undisturbed(self) -> Truth:
        store = self.work / "undisturbed"
        done = self.full(store, Fault(str(store)))
        names = sorted(path.name for path in self.music.iterdir())
        said = self.run("mark", store, "--different", str(self.music / names[1]), str(self.music / names[3]))
        if (done.code, said.code) != (SOME_FAILED, 0):
            raise RuntimeError(f"the undisturbed run failed: {done.err} {said.err}")
        return Truth(store, self.pairs(store), summary(done)["fingerprinted"], done.sites)


def make_music(folder: Path, seed: int = 1, n_songs: int = N_SONGS) -> None:
    """Writes songs of 12 s, each in two encodings, and a file that is not music."""
    from dedup.synthesis.encode import Encoding, write
    from dedup.synthesis.music import compose

    folder.mkdir()
    for number in range(n_songs):
        samples = compose(seed * 100 + number, "somebody", 12.0 + number / 4)
        for kind, rate in (("mp3", 128_000), ("vorbis", 96_000)):
            encoding = Encoding(kind, rate)
            write(str(folder / f"{number}.{encoding.extension}"), samples, encoding)
    (folder / "bad.mp3").write_text("no music " * 1000)


def summary(ended: Ended) -> dict[str, Any]:
    for line in ended.out.splitlines():
        record: dict[str, Any] = json.loads(line)
        if record.get("event") == "summary":
            return record
    raise RuntimeError(f"no summary: {ended.code} {ended.err}")


# ---- one trial


def require_clear(ended: Ended, codes: set[int]) -> list[str]:
    """What is wrong with the end of a command: its exit code, or a message that is not one clear line."""
    lines = [line for line in ended.err.splitlines() if line.startswith("reprise: ")]
    wrong = []
    if ended.code not in codes:
        wrong.append(f"exit code {ended.code}: {ended.err.strip()[-400:]}")
    if "Traceback" in ended.err or "bug" in ended.err:
        wrong.append(f"no clear line: {ended.err.strip()[-400:]}")
    if ended.code in (WRITE_ERROR, DAMAGED) and len(lines) > 1:
        wrong.append(f"{len(lines)} lines: {ended.err}")
    return wrong


def try_refusal(bench: Bench, truth: Truth, name: str, fault: Fault) -> tuple[str, list[str]]:
    """Disturbs a first run and lets the next one go on. Returns how the first ended, and what was wrong."""
    store = Path(fault.folder)
    shutil.rmtree(store, ignore_errors=True)
    disturbed = bench.full(store, fault)
    at = (
        f"{name} at {fault.first} ({disturbed.sites[fault.first - 1] if 0 < fault.first <= disturbed.n_calls else '-'})"
    )
    ending = "killed" if disturbed.code < 0 else f"exit {disturbed.code}"
    wrong = []
    if disturbed.code >= 0:
        wrong += require_clear(disturbed, {WRITE_ERROR, SOME_FAILED})
    if (store / "catalog.db").exists() and (store / "catalog.db").stat().st_size:
        checked = bench.run("check", store)
        wrong += [f"check afterwards: {text}" for text in require_clear(checked, {0, 18})]
    again = bench.full(store)
    wrong += [f"the next run: {text}" for text in require_clear(again, {SOME_FAILED})]
    wrong += require_same(bench, store, truth)
    return ending, [f"{at}: {text}" for text in wrong]


def require_same(bench: Bench, store: Path, truth: Truth) -> list[str]:
    wrong = []
    checked = bench.run("check", store)
    wrong += [f"check at the end: {checked.out.decode()} {text}" for text in require_clear(checked, {0})]
    # A first run has no judgements; the one in the truth does not change a claimed pair.
    if bench.pairs(store) != truth.pairs:
        wrong.append("other pairs")
    return wrong


def try_rot(bench: Bench, truth: Truth, name: str, damage: Callable[[Path], str]) -> tuple[str, int, list[str]]:
    """Damages a copy of the finished store, checks, repairs, runs. Returns how `check` ended, how many files were
    decoded again, and what was wrong."""
    store = bench.work / "rotten"
    shutil.rmtree(store, ignore_errors=True)
    shutil.copytree(truth.folder, store)
    what = f"{name}: {damage(store)}"
    checked = bench.run("check", store)
    wrong = require_clear(checked, {0, DAMAGED})
    ending = "not found" if checked.code == 0 else "found"
    if checked.code:
        using = bench.run("export", store, "pairs")
        wrong += [f"used as damaged: {text}" for text in require_clear(using, {0, DAMAGED})]
        repaired = bench.run("check", store, "--repair")
        wrong += [f"repair: {text}" for text in require_clear(repaired, {0, DAMAGED})]
        if repaired.code == DAMAGED:
            ending = "beyond repair"
            shutil.rmtree(store)
        elif (store / "catalog.db.damaged").exists():
            ending = "new catalog"
    again = bench.full(store)
    wrong += [f"the next run: {text}" for text in require_clear(again, {SOME_FAILED})]
    n_redone = summary(again)["fingerprinted"] if not wrong else 0
    if not wrong and not count_judgements(store):
        if ending not in ("new catalog", "beyond repair"):
            wrong.append("a judgement is lost")
        ending += ", judgement lost"
    wrong += require_same(bench, store, truth)
    return ending, n_redone, [f"{what}: {text}" for text in wrong]


# ---- damage


def flip(path: Path, rng: random.Random, n_bits: int = 1, start: int = 0, length: int = 0) -> str:
    data = bytearray(path.read_bytes())
    places = [start + rng.randrange(length or len(data) - start) for _ in range(n_bits)]
    for place in places:
        data[place] ^= 1 << rng.randrange(8)
    path.write_bytes(data)
    return f"{n_bits} bits of {path.name} from {places[0]}"


def cut(path: Path, rng: random.Random) -> str:
    size = rng.randrange(path.stat().st_size)
    os.truncate(path, size)
    return f"{path.name} cut to {size}"


def remove(path: Path, _: random.Random) -> str:
    if path.is_dir():
        shutil.rmtree(path)
    else:
        path.unlink()
    return f"{path.name} removed"


def blank(path: Path, rng: random.Random) -> str:
    """Fills a page with zeros, as a bad sector reads."""
    with open(path, "r+b") as file:
        page = rng.randrange(path.stat().st_size // 4096)
        file.seek(4096 * page)
        file.write(bytes(4096))
    return f"page {page + 1} of {path.name} blanked"


def files_of_blocks(store: Path) -> list[Path]:
    return sorted(path for path in (store / "fingerprints.zarr").rglob("*") if path.is_file())


def count_judgements(store: Path) -> int:
    with contextlib.closing(sqlite3.connect(store / "catalog.db")) as connection:
        return int(connection.execute("SELECT COUNT(*) FROM judgement").fetchone()[0])


def settle_log(store: Path) -> None:
    """Moves what waits in the catalog's log into the catalog."""
    with contextlib.closing(sqlite3.connect(store / "catalog.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def rot_trials(rng: random.Random) -> Iterator[tuple[str, Callable[[Path], str]]]:
    """Kinds of damage with the functions that do them, in turn, for ever."""

    def file_of_blocks(how: Callable[[Path, random.Random], str]) -> Callable[[Path], str]:
        return lambda store: how(rng.choice(files_of_blocks(store)), rng)

    def catalog(how: Callable[[Path, random.Random], str]) -> Callable[[Path], str]:
        def damage(store: Path) -> str:
            settle_log(store)
            return how(store / "catalog.db", rng)

        return damage

    def whole_block(store: Path) -> str:
        blocks = [path for path in (store / "fingerprints.zarr").iterdir() if path.is_dir()]
        return remove(rng.choice(sorted(blocks)), rng)

    def page_of(store: Path) -> str:
        """Flips a few bits of the page in which a table begins."""
        settle_log(store)
        with contextlib.closing(sqlite3.connect(store / "catalog.db")) as connection:
            roots = connection.execute("SELECT name, rootpage FROM sqlite_schema WHERE rootpage > 0").fetchall()
        name, page = rng.choice(sorted(roots))
        return f"{name}, " + flip(store / "catalog.db", rng, 20, (page - 1) * 4096, 4096)

    while True:
        yield "bits of blocks", file_of_blocks(lambda path, rng: flip(path, rng, rng.choice((1, 1, 64))))
        yield "cut blocks", file_of_blocks(cut)
        yield "lost pieces of blocks", file_of_blocks(remove)
        yield "lost blocks", whole_block
        yield "a bit of the catalog", catalog(flip)
        yield "bits of the catalog", catalog(lambda path, rng: flip(path, rng, 200))
        yield "bits of a table", page_of
        yield "blank pages", catalog(blank)
        yield "cut catalog", catalog(cut)
        yield "header of the catalog", catalog(lambda path, rng: flip(path, rng, 3, 0, 100))


# ---- all trials of a kind


def numbers(sites: Sequence[str], n: int, rng: random.Random) -> list[int]:
    """Numbers of the calls to disturb, from 1: `n`, spread evenly, and the first at each place; all if there are
    fewer."""
    if len(sites) <= n:
        return list(range(1, len(sites) + 1))
    spread = {1 + int((i + rng.random()) / n * len(sites)) for i in range(n)}
    firsts = {place(site): number for number, site in reversed(list(enumerate(sites, start=1)))}
    return sorted(spread | set(firsts.values()))


def place(site: str) -> str:
    """The kind of place of a call: "write catalog.db-wal", "mkdir block/items/c"."""
    return re.sub(r"\.[0-9a-f]{32}\.", ".", re.sub("/(wip-)?[0-9a-f]{32}", "/block", site))


def disk_faults(folder: str, sites: Sequence[str], n: int, rng: random.Random) -> Iterator[tuple[str, Fault]]:
    if not sites:
        for size in (1000, 5000, 20_000, 50_000, 100_000, 200_000):
            yield "file size limit", Fault(folder, file_size=size)
        return
    for first in numbers(sites, n, rng):
        for name, code in (("disk full", errno.ENOSPC), ("read-only", errno.EROFS), ("input/output error", errno.EIO)):
            yield name, Fault(folder, first, how=code)
            yield f"{name}, once", Fault(folder, first, first, code)


def kill_faults(folder: str, sites: Sequence[str], n: int, rng: random.Random) -> Iterator[tuple[str, Fault]]:
    for first in numbers(sites, n, rng):
        yield "killed at a write", Fault(folder, first, how="kill")


def clock_faults(folder: str, sites: Sequence[str], n: int, rng: random.Random) -> Iterator[tuple[str, Fault]]:
    for at in numbers(sites, n, rng):
        for name, jump_s in (
            ("clock an hour back", -3600),
            ("clock ten years back", -315_000_000),
            ("clock a day ahead", 86_400),
        ):
            yield name, Fault(folder, jump_at=at, jump_s=jump_s)


FAULTS = {"disk": disk_faults, "kill": kill_faults, "clock": clock_faults}


def run_trials(
    bench: Bench, truth: Truth, kinds: list[str], n: int, seed: int, stop: Stop, show: Callable[[str], None]
) -> dict[str, Tally]:
    """Runs the trials of each kind in random order, and counts their outcomes."""
    tallies: dict[str, Tally] = {}

    def count(name: str, ending: str, wrong: list[str], n_redone: int | None = None) -> None:
        tally = tallies.setdefault(name, Tally())
        tally.n += 1
        tally.ends[ending] += 1
        tally.differences += wrong
        if n_redone is not None:
            tally.redone.append(n_redone)
        for text in wrong:
            show(f"DIFFERENCE {text}")

    for kind in kinds:
        rng = random.Random(f"{seed} {kind}")
        if kind == "rot":
            for name, damage in itertools.islice(rot_trials(rng), n):
                if not stop.requested:
                    ending, n_redone, wrong = try_rot(bench, truth, name, damage)
                    count(name, ending, wrong, n_redone)
            continue
        faults = list(FAULTS[kind](str(bench.work / "disturbed"), truth.sites, n, rng))
        rng.shuffle(faults)
        for name, fault in faults:
            if not stop.requested:
                count(name, *try_refusal(bench, truth, name, fault))
    return tallies


def show_tallies(tallies: dict[str, Tally], show: Callable[[str], None]) -> None:
    for name, tally in tallies.items():
        ends = ", ".join(f"{n} {end}" for end, n in sorted(tally.ends.items()))
        redone = (
            f"; decoded again: {sum(tally.redone)} files in all, {max(tally.redone)} at most" if tally.redone else ""
        )
        show(f"{name}: {tally.n} trials: {ends}{redone}; {len(tally.differences)} differences")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--faults", default=",".join(KINDS), metavar="KIND,…", help=f"any of {', '.join(KINDS)}")
    parser.add_argument("--n", type=int, default=10_000, metavar="N", help="calls to disturb, or stores to damage")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    options = parser.parse_args()
    kinds = [kind for kind in options.faults.split(",") if kind]
    if set(kinds) - set(KINDS):
        parser.error(f"--faults: use any of {', '.join(KINDS)}")

    def show(text: str) -> None:
        print(text, flush=True)

    stop = Stop()
    for number in (signal.SIGINT, signal.SIGTERM):  # the trials until then are still reported
        signal.signal(number, lambda *_: stop.request("signal"))
    with tempfile.TemporaryDirectory(prefix="fault-test-") as folder, Host() as host:
        bench = Bench(host, Path(folder))
        make_music(bench.music)
        truth = bench.undisturbed()
        n_pairs = len(truth.pairs.splitlines())
        show(f"undisturbed: {truth.n_fingerprinted} files, {n_pairs} pairs, {len(truth.sites)} writes")
        for site, n in Counter(map(place, truth.sites)).most_common():
            show(f"  {n:>5} {site}")
        tallies = run_trials(bench, truth, kinds, options.n, options.seed, stop, show)
    show_tallies(tallies, show)
    n_trials, n_bad = sum(t.n for t in tallies.values()), sum(len(t.differences) for t in tallies.values())
    show(f"{n_trials} faults, {n_bad} differences")
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
