#!/usr/bin/env python3
"""Times the pages of `reprise serve` on a large made library, and the server's memory.

    scripts/bench/web.py [--groups 50000] [--folder DIR] [--rounds 10] [--json]

The library is that of `bench/review.py`: groups of three copies, without files, so there is no sound. Each page is
asked for several times over HTTP; the median and the slowest are shown. Linux only (/proc)."""

from __future__ import annotations

import argparse
import http.client
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.bench.review import COPIES, make_library
from scripts.bench.scan import machine

PAGES = {
    "groups": "/groups",
    "groups, page 200": "/groups?page=200",
    "groups, text": "/groups?text=album+00012",
    "groups, folder and format": "/groups?folder=/music/Library/Artist+00100&format=flac",
    "groups, undecided": "/groups?said=open",
    "home": "/",
    "uncertain": "/uncertain",
    "plan": "/plan",
    "trouble": "/trouble",
}


class Client:
    """Asks a server as a browser does."""

    def __init__(self, address: str) -> None:
        split = urlsplit(address)
        self._connection = http.client.HTTPConnection(split.hostname or "", split.port, timeout=600)
        self._cookie = ""
        self._cookie = (self._ask(f"{split.path}?{split.query}")[1] or "").partition(";")[0]

    def seconds(self, path: str) -> float:
        """How long a page takes. Ends the benchmark if it is refused."""
        began = time.perf_counter()
        status, _ = self._ask(path)
        if status != 200:
            raise SystemExit(f"web.py: {path} answers {status}")
        return time.perf_counter() - began

    def _ask(self, path: str) -> tuple[int, str | None]:
        self._connection.request("GET", path, headers={"Cookie": self._cookie})
        answer = self._connection.getresponse()
        answer.read()
        return answer.status, answer.headers["Set-Cookie"]


def memory_mb(process: int, name: str) -> float:
    """VmRSS or VmHWM of a process, in MB."""
    lines = Path(f"/proc/{process}/status").read_text(encoding="ascii").splitlines()
    return next(int(line.split()[1]) / 1000 for line in lines if line.startswith(f"{name}:"))


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--groups", type=int, default=50_000)
    parser.add_argument("--folder", type=Path, help="make the library here, or use the one that is there")
    parser.add_argument("--rounds", type=int, default=10)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        store = (args.folder or Path(temporary)) / "store"
        if not store.exists():
            make_library(store, COPIES * args.groups, args.groups, 0)
        command = [sys.executable, "-m", "jobs", "serve", "--json", "--port", "0", "--store", str(store)]
        with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE) as process:
            try:
                assert process.stdout is not None
                client = Client(json.loads(process.stdout.readline())["address"])
                told = {"first page": [client.seconds("/groups")]}
                told |= {name: [client.seconds(path) for _ in range(args.rounds)] for name, path in PAGES.items()}
                memory = {name: memory_mb(process.pid, name) for name in ("VmRSS", "VmHWM")}
            finally:
                process.kill()
    if args.json:
        print(json.dumps({"machine": machine(), "groups": args.groups, "seconds": told, "memory_mb": memory}))
        return
    for name, seconds in told.items():
        print(f"{name:<26} {1000 * statistics.median(seconds):>8.0f} ms   slowest {1000 * max(seconds):>8.0f} ms")
    print(f"memory {memory['VmRSS']:.0f} MB, at most {memory['VmHWM']:.0f} MB; {args.groups:,} groups; {machine()}")


if __name__ == "__main__":
    main()
