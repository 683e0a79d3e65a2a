#!/usr/bin/env python3
"""Kills the gate at random moments while files come in, and opens it again: each question must be answered once, and of
each recording one file be imported, never two.

    scripts/torture/gate.py [--songs 20] [--copies 4] [--kills 20] [--seed 1]

Makes a small library, and songs in several encodings, all of which are asked about at once. Between kills the gate
works for a random time. Ends with 1 if an answer is missing, has changed, or is an import too many."""

from __future__ import annotations

import argparse
import json
import os
import random
import socket
import subprocess
import sys
import tempfile
import time
from collections import Counter
from http.client import HTTPConnection, HTTPException
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from dedup.correlation.correlate import correlate
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.scan.scan import scan
from dedup.settings import CompareSettings, FingerprintSettings, ScanSettings
from dedup.store.store import make_or_open
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import compose

ENCODINGS = {
    "flac": Encoding("flac"),
    "192.mp3": Encoding("mp3", 192_000),
    "128.mp3": Encoding("mp3", 128_000),
    "opus": Encoding("opus", 96_000),
    "ogg": Encoding("vorbis", 112_000),
}


class Gate:
    """The gate of a store, in a process of its own."""

    def __init__(self, store: Path) -> None:
        self.socket = store.parent / "socket"
        command = [sys.executable, "-m", "jobs", "gate", "serve", "--json", "--store", str(store)]
        command += ["--socket", str(self.socket), "--no-varispeed"]
        self.process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL)
        assert self.process.stdout is not None
        if not self.process.stdout.readline():
            sys.exit(f"the gate ended with {self.process.wait()}")

    def ask(self, method: str, path: str, body: Any = None) -> Any:
        connection = HTTPConnection("gate", timeout=60)
        connection.sock = socket.socket(socket.AF_UNIX)
        connection.sock.connect(str(self.socket))
        connection.request(method, path, None if body is None else json.dumps(body))
        answer = json.loads(connection.getresponse().read())
        connection.close()
        return answer

    def kill(self) -> None:
        self.process.kill()
        self.process.wait()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--songs", type=int, default=20)
    parser.add_argument("--copies", type=int, default=4, choices=range(1, len(ENCODINGS) + 1))
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="gate-") as base:
        faults = tortured(Path(base), args)
    for fault in faults:
        print(fault)
    sys.exit(1 if faults else 0)


def tortured(base: Path, args: argparse.Namespace) -> list[str]:
    dice, files = random.Random(args.seed), made(base, args.songs, args.copies)
    dice.shuffle(files)
    began, seen, left = time.monotonic(), dict[str, Any](), list(files)
    for kill in range(args.kills + 1):
        gate = Gate(base / "store")
        end = time.monotonic() + (dice.uniform(0, 1.5) if kill < args.kills else 600)
        faults = []
        try:
            while time.monotonic() < end and len(seen) < len(files):
                for file in left[: dice.randrange(1, 10)]:
                    told = gate.ask("POST", "/v1/check", {"path": file, "wait_s": 0})
                    left.remove(file)
                    faults += noted(seen, told)
                if kill == args.kills and not gate.ask("GET", "/v1/queue")["waiting"] and not left:
                    break
                time.sleep(0.02)
        except (OSError, HTTPException):  # it cannot: nobody else kills it
            faults.append("the gate ended by itself")
        if kill == args.kills:
            n_questions = 1 + max(gate.ask("POST", "/v1/check", {"path": "/none", "wait_s": 0})["id"], 0)
            for id_ in range(1, n_questions - 1):
                faults += noted(seen, gate.ask("GET", f"/v1/decisions/{id_}?wait_s=60"))
        gate.kill()
        if faults:
            return faults
    print(f"{len(files)} files, {args.kills} kills, {time.monotonic() - began:.0f} s: {dict(answers_of(seen))}")
    return judged(seen, files)


def noted(seen: dict[str, Any], told: dict[str, Any]) -> list[str]:
    """Keeps an answer; what is wrong if there was another before."""
    path, before = told["path"], seen.get(told["path"])
    if told["answer"] is None:
        return []
    seen[path] = told
    if before is not None and before != told:
        return [f"{path} was {before['answer']} ({before['id']}) and is {told['answer']} ({told['id']})"]
    return []


def judged(seen: dict[str, Any], files: list[str]) -> list[str]:
    imports = Counter(os.path.basename(path).split(".")[0] for path, each in seen.items() if each["answer"] == "import")
    songs = {os.path.basename(file).split(".")[0] for file in files}
    faults = [f"{file} has no answer" for file in files if file not in seen]
    return faults + [f"song {song} is imported {imports[song]} times" for song in sorted(songs) if imports[song] != 1]


def answers_of(seen: dict[str, Any]) -> Counter[str]:
    return Counter(each["answer"] for each in seen.values())


def made(base: Path, n_songs: int, n_copies: int) -> list[str]:
    """A library, its store, and files on their way in."""
    (base / "library").mkdir()
    (base / "new").mkdir()
    write(str(base / "library" / "song.flac"), compose(9999, "library", 13.0), Encoding("flac"))
    with make_or_open(base / "store", FingerprintSettings(), 4, "torture") as store:
        scan(store, [os.fsencode(base / "library")], ScanSettings(), InlineRunner(), Silent())
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
    for number in range(n_songs):
        song = compose(number, f"song {number}", 13.0)
        for name in list(ENCODINGS)[:n_copies]:
            write(str(base / "new" / f"{number}.{name}"), song, ENCODINGS[name])
    return sorted(map(str, (base / "new").iterdir()))


if __name__ == "__main__":
    main()
