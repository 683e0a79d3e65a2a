"""The work under torture: a library, a store and its commands, the result of an undisturbed run, its processes."""

from __future__ import annotations

import contextlib
import json
import os
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 300.0


@dataclass(frozen=True)
class Size:
    """The amount of work for the runs."""

    n_files: int = 40
    n_clips_a_file: int = 24
    """Clips of 5 s in each file."""
    n_imported: int = 300
    block_size: int = 8
    n_workers: int = 2


@dataclass(frozen=True)
class Truth:
    """The result of the undisturbed run."""

    pairs: bytes
    blocks: frozenset[str]
    n_fingerprinted: int
    n_tiles: int
    exit_code: int


def make_work(folder: Path, size: Size, seed: int) -> None:
    """Makes a library of MP3 files: some repeat others at another bit rate, one is a copy and one is not music. Also
    makes fingerprints to import: every tenth one is very similar to another."""
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
    """One store: its commands, and the content of its catalog."""

    def __init__(
        self, work: Path, folder: Path, size: Size, prefix: tuple[str, ...] = (), workers: tuple[str, ...] = ()
    ) -> None:
        """`prefix` goes before each command; `workers` are options that replace the number of workers in `size`."""
        self.work, self.folder, self.size = work, folder, size
        self.prefix, self.workers = prefix, workers or ("--workers", str(size.n_workers))

    def start(self, *arguments: str) -> subprocess.Popen[bytes]:
        """Starts a command in its own session; its output goes to files."""
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
        how += ("--method", "exact")  # the cascade is over before anything can be killed
        return ("full", str(self.work / "music"), "--json", *how)

    def summary(self) -> dict[str, Any]:
        """The summary of the last `full`. Raises RuntimeError if there is none."""
        for line in Path(f"{self.folder}.out").read_bytes().splitlines():
            record: dict[str, Any] = json.loads(line)
            if record.get("event") == "summary":
                return record
        raise RuntimeError(f"no summary: {self.stderr()}")

    def stderr(self) -> str:
        return Path(f"{self.folder}.err").read_text(errors="replace")

    def names(self, query: str) -> frozenset[str]:
        """The first column of a query on a copy of the catalog: reading the real one could repair what a kill left."""
        with tempfile.TemporaryDirectory() as folder:
            for name in ("catalog.db", "catalog.db-wal"):
                with contextlib.suppress(FileNotFoundError):
                    shutil.copyfile(self.folder / name, Path(folder) / name)
            with contextlib.closing(sqlite3.connect(Path(folder) / "catalog.db")) as connection:
                return frozenset(str(row[0]) for row in connection.execute(query))

    def count(self, table: str) -> int:
        """Number of rows now, while the run writes them."""
        try:
            with contextlib.closing(sqlite3.connect(f"file:{self.folder}/catalog.db?mode=ro", uri=True)) as connection:
                return int(connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0])
        except sqlite3.Error:
            return 0

    def result(self) -> tuple[bytes, frozenset[str]]:
        """All pairs, and the names of the blocks. Raises RuntimeError if the store is not sound."""
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


def wait_for_workers(run: subprocess.Popen[bytes]) -> list[int]:
    """Ids of the worker processes; empty if the run ended without any."""
    while run.poll() is None:
        children = [(pid, command) for pid, parent, command in processes(run.pid) if parent == run.pid]
        workers = [pid for pid, command in children if "spawn_main" in command or "pool_worker" in command]
        if workers:
            return workers
        time.sleep(0.01)
    return []


def survivors(session: int) -> list[str]:
    """Commands of the processes of a session that are still there 15 s after the launcher. A process that was killed,
    or whose parent ended, can remain visible for a moment."""
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
        with contextlib.suppress(ProcessLookupError):  # it has ended since it was listed
            if os.getsid(process.pid) == session and process.info["status"] != psutil.STATUS_ZOMBIE:
                found.append((process.pid, process.info["ppid"], " ".join(process.info["cmdline"] or ())))
    return found
