#!/usr/bin/env python3
"""Times the same comparison on workers of this machine and on hosts of a cluster, in turn.

    scripts/bench/hosts.py [--tracks 10000] [--rounds 2] [--json]

The hosts are network namespaces (`ip netns`, root) on the same processor: scheduler and launcher on one, a worker on
each of two others, with TLS. They are compared with two local workers, and with one. So the ratio shows the cost of
network, TLS and a separate scheduler, but not the gain from more processors. Each time is that of a whole command."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.bench.correlate import make
from scripts.bench.scan import machine
from scripts.torture.network import Network, open_hosts, until


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--tracks", type=int, default=10_000)
    parser.add_argument("--rounds", type=int, default=2)
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    times: dict[str, list[float]] = {}
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        make(folder / "store", args.tracks, 948, 1)
        hosts = open_hosts(stack)
        network = Network(hosts, folder, stack)
        network.start_scheduler()
        for host in ("b", "c"):
            network.start_workers(host)
        until(lambda: all("connected" in network.said(f"worker-{host}") for host in "bc"), "the hosts")
        remote = ("--scheduler", network.address, "--tls", network.keys("a"))
        ways = {
            "1 local worker": ((), ("--workers", "1")),
            "2 local workers": ((), ("--workers", "2")),
            f"2 hosts, 1 worker each ({hosts.what})": (hosts.prefix("a"), remote),
        }
        for _ in range(args.rounds):
            for way, (prefix, options) in ways.items():
                times.setdefault(way, []).append(timed(folder, prefix, options))
    medians = {way: statistics.median(found) for way, found in times.items()}
    if args.json:
        print(json.dumps({"machine": machine(), "tracks": args.tracks, "seconds": times, "medians": medians}))
        return
    print(machine())
    base = medians["2 local workers"]
    for way, median in medians.items():
        print(f"{way:<55}{median:>8.1f} s{median / base:>7.2f}")


def timed(folder: Path, prefix: tuple[str, ...], options: tuple[str, ...]) -> float:
    """Seconds that `correlate` takes on a fresh copy of the store."""
    copy = folder / "copy"
    shutil.copytree(folder / "store", copy)
    began = time.perf_counter()
    command = [*prefix, sys.executable, "-m", "jobs", "correlate", "--no-varispeed", "--store", str(copy), *options]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    spent = time.perf_counter() - began
    shutil.rmtree(copy)
    return spent


if __name__ == "__main__":
    main()
