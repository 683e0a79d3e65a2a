#!/usr/bin/env python3
"""Kills back-ups of a Subsonic server at random moments, and runs them again: each recording must be here once, whole,
and a track of the store, and the server's files untouched.

    scripts/torture/backup.py [--songs 8] [--kills 30] [--seed 1]

The server is Supysonic, really running. Each run is `reprise backup` as a person starts it, ended by SIGKILL after a
random time. Ends with 1 if a file is lost, doubled or cut short, or if the store is not sound."""

from __future__ import annotations

import argparse
import os
import random
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import closing
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dedup.library.identity import full_hash, stream_hash
from dedup.store.catalog import Catalog
from tests.backups import song
from tests.supysonic_server import PASSWORD, USER, Supysonic, supysonic


class Bench:
    """A server with songs, each of them twice, and a place for a back-up."""

    def __init__(self, base: Path, n_songs: int) -> None:
        self.base, self.music, self.to, self.token = base, base / "m", base / "to", base / "token"
        self.to.mkdir()
        self.token.write_text(PASSWORD)
        self.token.chmod(0o600)
        for number in range(n_songs):
            tags = {"title": f"Song {number}", "artist": "Anna", "album": f"Album {number % 3}"}
            file = song(self.music / f"{number}.flac", number, **tags, tracknumber=str(number + 1))
            shutil.copy(file, self.music / f"copy of {number}.flac")
        self.before = self.server_files()

    def server_files(self) -> dict[str, bytes]:
        return {path.name: full_hash(bytes(path)) for path in self.music.iterdir()}

    def start(self, server: Supysonic) -> subprocess.Popen[bytes]:
        words = ["backup", f"subsonic:{server.url}", "--user", USER, "--token-file", str(self.token), "--quiet"]
        places = ["--to", str(self.to), "--store", str(self.base / "store"), "--no-varispeed", "--rate", "60000"]
        command = [sys.executable, "-m", "jobs", *words, *places]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)

    def problems(self) -> list[str]:
        """What is wrong at the end."""
        found = [] if self.server_files() == self.before else ["the server's files have changed"]
        wanted = sorted(stream_hash(bytes(path)) or b"" for path in self.music.glob("copy of *"))
        here = sorted(path for path in self.to.rglob("*") if path.is_file())
        if sorted(stream_hash(bytes(path)) or b"" for path in here) != wanted:
            found.append(f"{len(wanted)} recordings, and here are {[str(path.relative_to(self.to)) for path in here]}")
        with closing(Catalog(self.base / "store" / "catalog.db", writable=False)) as catalog:
            tracks = {track.path for track in catalog.tracks.all() if track.audio is not None}
            rows = catalog.backups.coming()
        if tracks != {bytes(path) for path in here}:
            found.append(f"{len(tracks)} tracks, {len(here)} files")
        if rows:
            found.append(f"{len(rows)} rows that are not settled")
        check = [sys.executable, "-m", "jobs", "check", "--quiet", "--store", str(self.base / "store")]
        if subprocess.run(check, cwd=ROOT, check=False, capture_output=True).returncode:
            found.append("the store is not sound")
        return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=8)
    parser.add_argument("--kills", type=int, default=30)
    parser.add_argument("--seed", type=int, default=1)
    asked = parser.parse_args()
    moments = random.Random(asked.seed)
    with tempfile.TemporaryDirectory(prefix="r") as folder:
        bench = Bench(Path(folder), asked.songs)
        with supysonic(Path(folder) / "s", bench.music) as server:
            n_kills = n_ended = 0
            longest_s = 12.0
            while n_kills < asked.kills:
                began, running = time.monotonic(), bench.start(server)
                try:
                    running.wait(moments.uniform(1.0, longest_s))
                    n_ended += 1
                    longest_s = max(2.0, time.monotonic() - began)
                    shutil.rmtree(bench.to)  # what was lost is fetched again
                    bench.to.mkdir()
                except subprocess.TimeoutExpired:
                    os.kill(running.pid, signal.SIGKILL)
                    running.wait()
                    n_kills += 1
            code = bench.start(server).wait()
        problems = [f"the last run ended with {code}"] * bool(code) + bench.problems()
    print(f"{n_kills} kills, {n_ended} runs that came to their end before, {asked.songs} songs of two files each")
    for problem in problems:
        print(f"PROBLEM {problem}")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
