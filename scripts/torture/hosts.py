#!/usr/bin/env python3
"""Runs the main job on three hosts with their own network, cuts one off in the middle, adds the third and brings the
lost one back: the result must be that of one machine, byte for byte.

    ./.venv/bin/python scripts/torture/hosts.py

The hosts are network namespaces on their own bridge (`ip netns`, root), with their own addresses and nothing else to
reach; TLS is on. If namespaces are not allowed, it says why and uses loopback addresses of this machine as hosts: then
cutting one off means ending it. Prints what happened, and exits 1 if the result differs."""

from __future__ import annotations

import argparse
import contextlib
import json
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

from scripts.torture.network import SIZE, TIMEOUT_S, Hosts, Network, end, open_hosts, until
from scripts.torture.work import Store, Truth, make_work, undisturbed

SEED = 5


@dataclass
class Course:
    """The course of the test."""

    events: list[str] = field(default_factory=list)
    differences: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        self.events.append(text)
        print(text, flush=True)


def prepared(folder: Path) -> Truth:
    """Makes the work in `folder`; returns what one machine finds in it."""
    make_work(folder, SIZE, SEED)
    return undisturbed(Store(folder, folder / "undisturbed", SIZE))


def run_course(hosts: Hosts, folder: Path, truth: Truth, course: Course, stack: contextlib.ExitStack) -> None:
    """Runs scheduler and launcher on a, workers on b; during the run b is lost, c joins, and b comes back."""
    network = Network(hosts, folder, stack)
    network.start_scheduler()
    workers = network.start_workers("b")
    store = network.store(folder / "clustered")
    store.import_fingerprints()
    began = time.monotonic()
    run = store.start(*store.full())
    stack.callback(end, run)

    def done(share: float) -> Callable[[], bool]:
        return lambda: run.poll() is not None or store.count("tile") >= share * truth.n_tiles

    until(done(0.1), "the first tiles")
    if run.poll() is not None:
        raise RuntimeError(f"the run ended before a host was cut off: {store.stderr()}")
    course.note(f"{store.count('tile'):>6} of {truth.n_tiles} tiles: host b is cut off")
    if hosts.can_cut():
        hosts.cut("b")
    else:
        end(workers)
    network.start_workers("c")
    until(lambda: "connected" in network.said("worker-c"), "host c")
    course.note(f"{store.count('tile'):>6} tiles: host c has joined")
    until(done(0.4), "tiles of host c")
    if hosts.can_cut():
        hosts.mend("b")
    else:
        network.start_workers("b")
    until(lambda: run.poll() is not None or network.said("worker-b").count("connected") > 1, "host b")
    course.note(f"{store.count('tile'):>6} tiles: host b is back")
    code = run.wait(TIMEOUT_S)
    course.note(f"the run ended with exit code {code} after {time.monotonic() - began:.1f} s")
    pairs, blocks = store.result()
    expected = {"exit code": (code, truth.exit_code), "pairs": (pairs, truth.pairs), "blocks": (blocks, truth.blocks)}
    course.differences += [name for name, (found, wanted) in expected.items() if found != wanted]
    if course.differences:
        course.note(store.stderr())


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--loopback", action="store_true", help="do not try namespaces")
    parser.add_argument("--json", action="store_true", help="print the events as one JSON object at the end")
    parser.add_argument("--keep", metavar="DIR", help="work here, and keep what is left")
    options = parser.parse_args()
    course = Course()
    with contextlib.ExitStack() as stack:
        folder = Path(options.keep or stack.enter_context(tempfile.TemporaryDirectory(prefix="hosts-test-")))
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir()
        truth = prepared(folder)
        hosts = stack.enter_context(contextlib.ExitStack())
        course.note(f"one machine: {truth.n_fingerprinted} fingerprints, {truth.n_tiles} tiles")
        network = open_hosts(hosts, not options.loopback)
        course.note(f"three hosts: {network.what}, TLS")
        run_course(network, folder, truth, course, hosts)
    course.note("the same bytes" if not course.differences else f"differs: {', '.join(course.differences)}")
    if options.json:
        print(json.dumps({"events": course.events, "differences": course.differences}))
    return 1 if course.differences else 0


if __name__ == "__main__":
    sys.exit(main())
