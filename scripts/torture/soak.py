#!/usr/bin/env python3
"""Simulates many nights in a row: a library whose files come, change, move and go at random, and a run that is killed
every third night. After each night the store must give what a fresh store of the same files gives, byte for byte.

    ./.venv/bin/python scripts/torture/soak.py --nights 200 --seed 1

Every third night a real `reprise full` is killed (SIGKILL to its launcher or one of its workers) at a random moment,
then some files change again, and then the next run goes on. All other runs are `reprise full` in this process, with
real files, store and code, which saves the start of a process. After each night `check` must find nothing, `export
pairs` and `export groups` must equal those of a fresh store, and the store may be at most SIZE_LIMIT times as large.
Prints a line per night; exits 1 if anything differed. A night takes about two seconds."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.torture.work import survivors, wait_for_workers

TIMEOUT_S = 300.0

SIZE_LIMIT = 3.0
"""Largest size of the store, as a multiple of a fresh store of the same files. It keeps retired data for a week of
nights, blocks until a fifth of them is retired, and 0.8 kB of each run for `reprise runs`."""

CLIP_S = 5.0
"""Length of a clip. Files are rows of clips, MP3 frames in a row: as good as newly encoded, and quickly made."""

BIT_RATES = (128_000, 64_000)
BLOCK_SIZE = 16


@dataclass(frozen=True)
class Size:
    """The size of the library."""

    n_files: int = 60
    n_changes: int = 8
    """Most changes in a night."""
    n_clips: int = 14
    """Clips from which the recordings are made."""


@dataclass(frozen=True)
class Recording:
    """The content of a file."""

    clips: tuple[int, ...]
    quality: int
    """Index in `BIT_RATES`."""
    title: str = ""
    """Title in its tag; empty for no tag."""


class Library:
    """A folder of music that changes."""

    def __init__(self, folder: Path, clips: list[list[bytes]], size: Size, rng: random.Random) -> None:
        self.folder, self.clips, self.size, self.rng = folder, clips, size, rng
        self.files: dict[str, Recording] = {}
        self.removed: list[Recording] = []
        self.n_names = 0
        folder.mkdir()
        for _ in range(size.n_files):
            self._add()

    def change(self) -> Counter[str]:
        """Makes the changes of a day; returns their kinds."""
        done: Counter[str] = Counter()
        for _ in range(self.rng.randint(1, self.size.n_changes)):
            fuller = len(self.files) - self.size.n_files
            weights = (4 - min(3, fuller / 4), 2, 2, 2, 3 + max(-2.5, fuller / 4))
            (kind,) = self.rng.choices(("added", "changed", "moved", "retagged", "removed"), weights)
            if kind == "removed" and len(self.files) < self.size.n_files // 2:
                kind = "added"
            getattr(self, f"_{_VERBS[kind]}")()
            done[kind] += 1
        return done

    def _add(self) -> None:
        """Adds a file of a new recording, of a removed one, or of an existing one."""
        known = [*self.files.values()]
        source = self.rng.random()
        if source < 0.2 and self.removed:
            recording = self.removed.pop(self.rng.randrange(len(self.removed)))
        elif source < 0.5 and known:
            of = self.rng.choice(known)
            recording = Recording(of.clips, self.rng.randrange(len(BIT_RATES)), of.title)
        else:
            recording = self._new()
        self._write(self._name(), recording)

    def _change(self) -> None:
        """Encodes a file anew, or puts another recording under its name."""
        name, old = self._any()
        again = Recording(old.clips, 1 - old.quality, old.title)
        self._write(name, again if self.rng.random() < 0.6 else self._new())

    def _move(self) -> None:
        name, recording = self._any()
        new = self._name()
        del self.files[name]
        os.makedirs(os.path.dirname(self.folder / new), exist_ok=True)
        os.rename(self.folder / name, self.folder / new)
        self.files[new] = recording

    def _retag(self) -> None:
        name, old = self._any()
        self._write(name, Recording(old.clips, old.quality, f"title {self.rng.randrange(1000)}"))

    def _remove(self) -> None:
        name, recording = self._any()
        del self.files[name]
        os.unlink(self.folder / name)
        self.removed = [*self.removed, recording][-30:]

    def _any(self) -> tuple[str, Recording]:
        return self.rng.choice(sorted(self.files.items()))

    def _new(self) -> Recording:
        clips = self.rng.choices(range(len(self.clips)), k=self.rng.randint(3, 5))
        return Recording(tuple(clips), self.rng.randrange(len(BIT_RATES)))

    def _name(self) -> str:
        self.n_names += 1
        return f"folder {self.rng.randrange(6)}/{self.n_names:04}.mp3"

    def _write(self, name: str, recording: Recording) -> None:
        path = self.folder / name
        path.parent.mkdir(exist_ok=True)
        audio = b"".join(self.clips[clip][recording.quality] for clip in recording.clips)
        path.write_bytes(_tag(recording.title) + audio)
        self.files[name] = recording


_VERBS = {"added": "add", "changed": "change", "moved": "move", "retagged": "retag", "removed": "remove"}


def _tag(title: str) -> bytes:
    """An ID3v2.3 tag with that title."""
    if not title:
        return b""
    text = b"\0" + title.encode("ascii")
    frame = b"TIT2" + len(text).to_bytes(4, "big") + b"\0\0" + text
    return b"ID3\x03\0\0" + bytes([0, 0, len(frame) >> 7, len(frame) & 127]) + frame


def make_clips(folder: Path, n_clips: int, seed: int) -> list[list[bytes]]:
    """MP3 frames of each clip, at each bit rate."""
    from dedup.synthesis.encode import Encoding, write
    from dedup.synthesis.music import compose

    clips, path = [], folder / "clip.mp3"
    for number in range(n_clips):
        samples = compose(1000 * seed + number, "somebody", CLIP_S)
        clips.append([])
        for bit_rate in BIT_RATES:
            write(str(path), samples, Encoding("mp3", bit_rate))
            clips[-1].append(path.read_bytes())
    path.unlink()
    return clips


# ---- a store


@dataclass
class Answer:
    """The answers of a store, and its size."""

    pairs: bytes
    groups: bytes
    n_bytes: int
    damage: list[str] = field(default_factory=list)


def arguments(library: Path, store: Path, n_workers: int) -> list[str]:
    how = ["--workers", str(n_workers), "--block-size", str(BLOCK_SIZE), "--json", "-q"]
    return ["full", str(library), "--store", str(store), *how]


def full_here(library: Path, store: Path) -> dict[str, Any]:
    """Runs `reprise full` in this process; returns its summary. Raises RuntimeError if there is none."""
    for line in _invoke(*arguments(library, store, 0)).splitlines():
        record: dict[str, Any] = json.loads(line)
        if record.get("event") == "summary":
            return record
    raise RuntimeError("the run gave no summary")


def answer(store: Path) -> Answer:
    from dedup.observer import Silent
    from dedup.store.layout import Layout
    from dedup.store.store import open_for_reading
    from dedup.upkeep.check import check

    with open_for_reading(store) as opened:
        damage = [f"{found.kind} {found.name}: {found.text}" for found in check(opened, Silent())]
    pairs, groups = (_invoke("export", what, "--store", str(store)) for what in ("pairs", "groups"))
    logs = sum(path.stat().st_size for path in store.glob("*.log*"))
    return Answer(pairs, groups, Layout(store).bytes_on_disk() - logs, damage)


def _invoke(*words: str) -> bytes:
    """Stdout of a command, run in this process. Raises RuntimeError if it fails."""
    from click.testing import CliRunner

    from dedup.errors import EXIT_BUG, EXIT_USAGE
    from jobs.cli import cli

    result = CliRunner().invoke(cli, list(words))
    if result.exit_code in (EXIT_BUG, EXIT_USAGE) or result.exit_code >= 10:  # the other codes only say what was done
        raise RuntimeError(f"{words[0]}: exit code {result.exit_code}: {result.stderr.strip()}")
    return result.stdout_bytes


# ---- a kill


@dataclass
class Killer:
    """Kills runs at moments spread over the duration of a run, which it learns."""

    rng: random.Random
    lasts_s: dict[int, float] = field(default_factory=lambda: {0: 2.0, 2: 5.0})
    """Duration of a run by its number of workers."""

    def kill(self, library: Path, store: Path) -> str:
        """Starts a run and kills it; returns what and when. Raises RuntimeError if one of its processes outlives it."""
        n_workers = self.rng.choice((0, 2, 2))
        victim = self.rng.choice(("launcher", "worker")) if n_workers else "launcher"
        delay_s = self.rng.uniform(0.05, 1.0) * self.lasts_s[n_workers]
        command = [sys.executable, "-m", "jobs", *arguments(library, store, n_workers)]
        null = subprocess.DEVNULL
        run = subprocess.Popen(command, cwd=ROOT, stdout=null, stderr=null, start_new_session=True)
        try:
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(delay_s)
            hit = self._hit(run, victim)
            self.lasts_s[n_workers] *= 1.1 if hit else 0.85
            run.wait(TIMEOUT_S)
            if left := survivors(run.pid):
                raise RuntimeError(f"still running after the launcher ended: {left}")
            return f"{victim} of {n_workers} killed after {delay_s:.2f} s" if hit else "ended before it was killed"
        finally:
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(run.pid, signal.SIGKILL)
            run.wait()

    def _hit(self, run: subprocess.Popen[bytes], victim: str) -> bool:
        """Kills the launcher, or a worker once there is one; False if the run was over."""
        if victim == "launcher":
            run.kill()
            return run.wait() == -signal.SIGKILL
        while workers := wait_for_workers(run):
            with contextlib.suppress(ProcessLookupError):
                os.kill(self.rng.choice(sorted(workers)), signal.SIGKILL)
                return True
        return False


# ---- the nights


@dataclass
class Night:
    """The events and results of a night."""

    number: int
    n_files: int = 0
    changes: Counter[str] = field(default_factory=Counter)
    kill: str = ""
    summary: dict[str, Any] = field(default_factory=dict)
    n_pairs: int = 0
    n_bytes: int = 0
    fresh_bytes: int = 0
    seconds: float = 0.0
    differences: list[str] = field(default_factory=list)

    @property
    def killed(self) -> bool:
        return "killed after" in self.kill


def simulate(folder: Path, n_nights: int, seed: int, size: Size) -> Iterator[Night]:
    """Yields each night after it; then one more in which `reprise compact` is called by hand."""
    rng = random.Random(seed)
    library = Library(folder / "library", make_clips(folder, size.n_clips, seed), size, rng)
    store, killer = folder / "store", Killer(rng)
    for number in range(1, n_nights + 2):
        began = time.monotonic()
        night = Night(number)
        try:
            if number > n_nights:
                _invoke("compact", "--store", str(store))
            else:
                _pass(night, library, store, killer)
            compare(night, library, store, folder / "fresh")
        except RuntimeError as error:
            night.differences.append(str(error))
        night.seconds = time.monotonic() - began
        yield night


def _pass(night: Night, library: Library, store: Path, killer: Killer) -> None:
    if night.number > 1:
        night.changes += library.change()
    if night.number % 3 == 0:
        night.kill = killer.kill(library.folder, store)
        night.changes += library.change()
    night.summary = full_here(library.folder, store)


def compare(night: Night, library: Library, store: Path, fresh: Path) -> None:
    """Records how the store differs from a fresh one of the same files, made in `fresh`."""
    shutil.rmtree(fresh, ignore_errors=True)
    full_here(library.folder, fresh)
    found, wanted = answer(store), answer(fresh)
    night.n_files, night.n_pairs = len(library.files), len(found.pairs.splitlines())
    night.n_bytes, night.fresh_bytes = found.n_bytes, wanted.n_bytes
    night.differences += found.damage
    for what, ours, theirs in (("pairs", found.pairs, wanted.pairs), ("groups", found.groups, wanted.groups)):
        if ours != theirs:
            night.differences.append(f"{what} are not those of a fresh store")
    if found.n_bytes > SIZE_LIMIT * wanted.n_bytes:
        night.differences.append(f"the store is more than {SIZE_LIMIT:g} times as large as a fresh one")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--nights", type=int, default=200, metavar="N", help="default 200")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--keep", metavar="DIR", help="work here, and keep library and stores")
    options = parser.parse_args()
    nights: list[Night] = []
    with contextlib.ExitStack() as stack:
        folder = Path(options.keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="soak-")))
        folder.mkdir(exist_ok=True)
        for night in simulate(folder, options.nights, options.seed, Size()):
            nights.append(night)
            print(_line(night, options.nights), flush=True)
    return _conclude(nights)


def _line(night: Night, n_nights: int) -> str:
    what = ", ".join(f"{n} {kind}" for kind, n in sorted(night.changes.items()))
    if night.number > n_nights:
        what = "reprise compact"
    if night.kill:
        what += f"; {night.kill}"
    did = ""
    if night.summary:
        tiles, compacted = night.summary["tiles"], night.summary.get("compact")
        did = f"{night.summary['fingerprinted']} decoded, {tiles['n_reused']} + {tiles['n_computed']} tiles"
        if compacted:
            did += f", {compacted['blocks_before']} → {compacted['blocks_after']} blocks, -{compacted['dropped']}"
    sizes = f"{night.n_bytes / 1000:.0f} kB, fresh {night.fresh_bytes / 1000:.0f} kB"
    result = "; ".join(night.differences) or "the same"
    what = f"{night.n_files} files: {what or 'the first'}"
    parts = (what, did, f"{night.n_pairs} pairs", sizes, f"{result} ({night.seconds:.1f} s)")
    return f"night {night.number:>3}  " + " | ".join(part for part in parts if part)


def _conclude(nights: list[Night]) -> int:
    changes = sum((night.changes for night in nights), Counter())
    n_bad = sum(bool(night.differences) for night in nights)
    shares = [night.n_bytes / night.fresh_bytes for night in nights[:-1] if night.fresh_bytes]
    half = len(shares) // 2
    print(
        f"{len(nights) - 1} nights, {sum(night.killed for night in nights)} killed, "
        + ", ".join(f"{n} {kind}" for kind, n in sorted(changes.items()))
        + f"\nstore ÷ fresh store: at most {max(shares[:half], default=0):.2f} in the first half, "
        f"{max(shares[half:], default=0):.2f} in the second, {nights[-1].n_bytes / max(1, nights[-1].fresh_bytes):.2f} "
        f"after `reprise compact`\n{n_bad} nights with a difference"
    )
    return 1 if n_bad else 0


if __name__ == "__main__":
    sys.exit(main())
