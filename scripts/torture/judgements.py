#!/usr/bin/env python3
"""Gives Reprise stores whose judgements and copies are made to take time: one content that a person judged with
thousands of others, one content that thousands of files hold, and both together.

    ./.venv/bin/python scripts/torture/judgements.py [--only WORDS,…] [--scale 1.0] [--limit-s 120] [--memory-mb 1000]

Each store goes through `report`, `plan`, `resolve`, `mark`, `export groups`, `info` and `check`; `mark --same A A`
must be refused. A table says how they ended, how long each took and how much memory it had at most. Held is an attack
if no command dies or shows a traceback, and each keeps to the limits. Exits 1 if one was not held. There are no files:
a plan decides, and finds that it cannot read their tags. Linux only (/proc)."""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np

from dedup.clock import utc_now
from dedup.correlation.correlate import correlate
from dedup.library.metadata import AudioProperties, to_json
from dedup.library.streams import Stream
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.settings import ITEMS_PER_SECOND, CompareSettings, FingerprintSettings
from dedup.store.items import Items, items_digest
from dedup.store.judgements import Judgement
from dedup.store.store import Store, make_or_open
from dedup.store.tracks import Track
from scripts.bench.plan import peak_of
from scripts.bench.review import store_results
from scripts.torture.registry import registering

N_ITEMS = 200
MOST_COMPARED = 500
"""Most fingerprints that are compared when a store is made."""
GOOD_CODES = (0, 2, 3, 5)

Attack = Callable[[Store, float], None]
"""Fills a store, at a scale: 1 is the size that the name says."""
ATTACKS: dict[str, Attack] = {}


attack = registering(ATTACKS)


# ---- what stores hold


def sounds(n: int, seed: int) -> list[Items]:
    rng = np.random.default_rng(seed)
    return [rng.integers(0, 1 << 32, N_ITEMS, np.uint32) for _ in range(n)]


def worn(items: Items, share: float, seed: int) -> Items:
    """The same with a share of its bits flipped."""
    rng, found = np.random.default_rng(seed), items.copy()
    places = rng.choice(N_ITEMS * 32, int(N_ITEMS * 32 * share), replace=False)
    np.bitwise_xor.at(found, places // 32, np.uint32(1) << (places % 32).astype(np.uint32))
    return found


def enter(store: Store, items: Items, names: Sequence[str], bitrate: int = 192_000, is_film: bool = False) -> bytes:
    """Files that hold one sound; returns its content."""
    audio = store.catalog.audios.add(store.catalog.fingerprints.add(items), None, "", None)
    properties = AudioProperties(
        codec="mp3",
        lossless=False,
        bitrate=bitrate,
        sample_rate=44_100,
        channels=2,
        duration_s=round(N_ITEMS / ITEMS_PER_SECOND, 6),
        tags={"title": (names[0],), "artist": ("Somebody",)},
        streams=(Stream("sound", is_heard=True), Stream("picture")) if is_film else (),
    )
    text = json.dumps(to_json(properties))
    for at, name in enumerate(names):
        store.catalog.tracks.put(
            Track(
                id=0,
                path=f"/music/{name}.mp3".encode(),
                root=b"/music",
                volume=b"/",
                size=4_000_000 + at,
                mtime_ns=0,
                inode=audio * 1_000_000 + at,
                device=0,
                state="present",
                audio=audio,
                properties=text,
            )
        )
    return items_digest(items)


def named(folder: str, n: int) -> list[str]:
    return [f"{folder}/{number:06}" for number in range(n)]


def judge(store: Store, one: bytes, other: bytes, same: bool) -> None:
    store.catalog.judgements.put(Judgement(*sorted((one, other)), same, None, utc_now()))


@attack("one content judged the same as 15,000 others")
def same_star(store: Store, scale: float) -> None:
    star(store, int(15_000 * scale), 1, same=True)


@attack("one content judged different from 15,000 others")
def different_star(store: Store, scale: float) -> None:
    star(store, int(15_000 * scale), 1, same=False)


def star(store: Store, n_others: int, n_files: int, same: bool, bitrate: int = 192_000) -> None:
    """A content in `n_files` files, judged with each of `n_others` contents. `bitrate` is that of the others."""
    hub = enter(store, sounds(1, 1)[0], named("hub", n_files))
    for number, items in enumerate(sounds(n_others, 2)):
        judge(store, hub, enter(store, items, named(f"other/{number:06}", 1), bitrate), same)


@attack("one content in 10,000 files, judged once")
def one_content(store: Store, scale: float) -> None:
    star(store, 1, int(10_000 * scale), same=False)


@attack("one content in 5,000 files, judged the same as 5,000 others that are better")
def many_and_many(store: Store, scale: float) -> None:
    star(store, int(5000 * scale), int(5000 * scale), same=True, bitrate=320_000)


@attack("two contents in 3,000 files each, much alike, judged different")
def two_crowds(store: Store, scale: float) -> None:
    crowds(store, int(3000 * scale), 0.02, same=False)


@attack("two contents in 3,000 files each, just alike, judged the same")
def two_uncertain_crowds(store: Store, scale: float) -> None:
    crowds(store, int(3000 * scale), 0.12, same=True)


@attack("two contents in 3,000 files each, just alike, one other judged")
def two_crowds_and_another(store: Store, scale: float) -> None:
    crowds(store, int(3000 * scale), 0.12, same=None)


@attack("two contents in 1,000 films each, much alike, judged the same")
def films(store: Store, scale: float) -> None:
    crowds(store, int(1000 * scale), 0.02, same=True, is_film=True)


def crowds(store: Store, n: int, share: float, same: bool | None, is_film: bool = False) -> None:
    first, third = sounds(2, 3)
    contents = [
        enter(store, items, named(name, n), bitrate, is_film)
        for name, items, bitrate in (("a", first, 320_000), ("b", worn(first, share, 4), 192_000))
    ]
    if same is None:
        contents[1], same = enter(store, third, ["c"]), False
    judge(store, *contents, same)


@attack("200 contents in 50 files each, all just alike, all judged the same")
def all_judged(store: Store, scale: float) -> None:
    first, n = sounds(1, 5)[0], max(2, int(200 * scale))
    contents = [enter(store, worn(first, 0.06, 6 + at), named(f"{at}", 50), 128_000 + at) for at in range(n)]
    for at, one in enumerate(contents):
        for other in contents[:at]:
            judge(store, one, other, True)


# ---- a trial


@dataclass
class Trial:
    """What came of an attack."""

    codes: list[int] = field(default_factory=list)
    times_s: dict[str, float] = field(default_factory=dict)
    peak_bytes: int = 0
    wrong: list[str] = field(default_factory=list)

    def run(self, what: str, command: Sequence[str], limit_s: float, said: str = "") -> str:
        """Runs a command to its end, or for `limit_s` seconds; returns what it said."""
        with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as answers:
            answers.write(said.encode())
            answers.seek(0)
            began = time.monotonic()
            whole = [sys.executable, "-m", "jobs", *command]
            process = subprocess.Popen(whole, stdout=told, stderr=told, stdin=answers, cwd=ROOT)
            while process.poll() is None:
                self.peak_bytes = max(self.peak_bytes, 1024 * peak_of(process.pid))
                if time.monotonic() > began + limit_s:
                    process.kill()
                time.sleep(0.02)
            told.seek(0)
            text = told.read().decode(errors="replace")
        self.codes.append(process.returncode)
        self.times_s[what] = time.monotonic() - began
        if process.returncode not in GOOD_CODES or "Traceback" in text:
            self.wrong.append(f"{what} ended with {process.returncode} after {self.times_s[what]:.0f} s: {text[-600:]}")
        return text


def try_attack(name: str, work: Path, scale: float, limit_s: float, memory_bytes: int) -> Trial:
    store = work / "store"
    with make_or_open(store, FingerprintSettings(), 4096, "torture") as opened:
        with opened.catalog.transaction():
            ATTACKS[name](opened, scale)
        opened.seal_tail()
        if opened.catalog.fingerprints.count_held() > MOST_COMPARED:  # made ones that have nothing in common
            store_results(opened, CompareSettings(), 0)
        else:
            correlate(opened, CompareSettings(), InlineRunner(), Silent())
        paths = [track.path.decode() for track in opened.catalog.tracks.all()]
    trial, where = Trial(), ["--store", str(store)]
    for what, command in {
        "report": ["report"],
        "again": ["report", "--limit", "5"],
        "html": ["report", "--format", "html"],
        "plan": ["plan", "--workers", "0", "-o", str(work / "plan.json")],
        "resolve": ["resolve", "--workers", "0", "-o", str(work / "resolved.json")],
        "ask": ["report", "--ask"],
        "mark": ["mark", "--same", paths[0], paths[-1]],
        "list": ["mark", "--list"],
        "groups": ["export", "groups"],
        "info": ["info"],
        "check": ["check"],
    }.items():
        trial.run(what, [*command, *where], limit_s, said="\n" * 3 + "q\n")
    itself = trial.run("itself", ["mark", "--same", paths[0], paths[0], *where], limit_s)
    if trial.codes[-1] != 2 or itself.count("\n") != 1:
        trial.wrong.append(f"mark --same A A ended with {trial.codes[-1]}: {itself}")
    if trial.peak_bytes > memory_bytes:
        trial.wrong.append(f"a command took {trial.peak_bytes / 1e6:,.0f} MB")
    return trial


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", metavar="WORDS,…", help="attacks whose names have one of these words")
    parser.add_argument("--scale", type=float, default=1.0, metavar="SHARE", help="size of the stores; 1 is as named")
    parser.add_argument("--limit-s", type=float, default=120, help="most seconds that a command may take")
    parser.add_argument("--memory-mb", type=float, default=1000, help="most memory that a command may take")
    options = parser.parse_args()
    wanted = [word for word in options.only.split(",") if word]
    names, n_bad = [name for name in ATTACKS if not wanted or any(word in name for word in wanted)], 0
    print("| attack | ended | time | memory | held |\n|---|---|---|---|---|", flush=True)
    for name in names:
        with tempfile.TemporaryDirectory(prefix="judgements-") as folder:
            trial = try_attack(name, Path(folder), options.scale, options.limit_s, int(1e6 * options.memory_mb))
        ended, held = " ".join(map(str, trial.codes)), "no" if trial.wrong else "yes"
        times = ", ".join(f"{what} {seconds:.1f}" for what, seconds in trial.times_s.items())
        print(f"| {name} | {ended} | {times} s | {trial.peak_bytes / 1e6:,.0f} MB | {held} |", flush=True)
        for text in trial.wrong:
            print(f"    {text}", flush=True)
        n_bad += bool(trial.wrong)
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
