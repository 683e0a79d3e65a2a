#!/usr/bin/env python3
"""How many of the known duplicates of a labelled library a store found, and how many pairs it claims that are none.

    scripts/evaluate.py STORE GROUND_TRUTH.json [--root LIBRARY] [--json]

GROUND_TRUTH.json names the files of the library: {"files": [{"path", "recording", "class", "expect", "path_hex"?}]}
with paths below the library's root. Two files are a true pair when they have the same recording; what is expected of
it is the weaker of the two: dup (must be found), hard (other speed or tempo), subset (an excerpt), may (right either
way), no (transposed). Every other pair that is claimed is false."""

from __future__ import annotations

import argparse
import itertools
import json
import sys
from collections import Counter
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent.parent))

from dedup.matches import Matches
from dedup.settings import MatchSettings
from dedup.store.store import open_for_reading

WEAKER = ("dup", "hard", "subset", "may", "no")


def main() -> None:
    args, root = arguments(__doc__)
    files = {path_of(entry): entry for entry in json.loads(args.truth.read_text())["files"]}
    with open_for_reading(args.store) as store:
        pairs = list(Matches(store, MatchSettings()).pairs())
    claimed = {frozenset(path.removeprefix(root + b"/") for path in (p.a.path, p.b.path)): p.verdict for p in pairs}
    report(files, claimed, args.json)


def arguments(description: str) -> tuple[argparse.Namespace, bytes]:
    """STORE, GROUND_TRUTH.json and --json; and the root of the labelled library."""
    parser = argparse.ArgumentParser(description=description.splitlines()[0])
    parser.add_argument("store", type=Path)
    parser.add_argument("truth", type=Path)
    parser.add_argument("--root", type=Path, help="the library's folder (default: library/ beside GROUND_TRUTH.json)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    return args, bytes((args.root or args.truth.resolve().parent / "library").resolve())


def path_of(entry: dict[str, str]) -> bytes:
    return bytes.fromhex(entry["path_hex"]) if "path_hex" in entry else entry["path"].encode()


def report(files: dict[bytes, dict[str, str]], claimed: dict[frozenset[bytes], str], as_json: bool) -> None:
    """Prints found and true pairs by what is expected and by class, and every false pair."""
    true, found = Counter[str](), Counter[str]()
    by_class, found_by_class = Counter[str](), Counter[str]()
    true_pairs = set()
    for (path_a, a), (path_b, b) in itertools.combinations(sorted(files.items()), 2):
        if a["recording"] != b["recording"]:
            continue
        pair = frozenset((path_a, path_b))
        true_pairs.add(pair)
        expect = max(a["expect"], b["expect"], key=WEAKER.index)
        true[expect] += 1
        found[expect] += pair in claimed
        if expect == "dup":
            for name in {a["class"], b["class"]}:
                by_class[name] += 1
                found_by_class[name] += pair in claimed
    false = sorted(sorted(pair) for pair in claimed.keys() - true_pairs)
    if as_json:
        counts = {name: {"pairs": true[name], "found": found[name]} for name in WEAKER}
        print(json.dumps({**counts, "false": len(false)}))
        return
    for name in WEAKER:
        print(f"{name:8} {found[name]:5} of {true[name]:5} pairs found")
    print(f"{'false':8} {len(false):5}")
    for pair in false:
        print("   ", " <-> ".join(path.decode(errors="backslashreplace") for path in pair))
    print("\ndup pairs by class of transformation (a pair counts for both of its files)")
    for name in sorted(by_class):
        print(f"  {name:16} {found_by_class[name]:4} of {by_class[name]:4}")


if __name__ == "__main__":
    main()
