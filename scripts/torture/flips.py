#!/usr/bin/env python3
"""Flips single bits at random in whole stores, and sees whether anything says so.

    ./.venv/bin/python scripts/torture/flips.py --flips 20000 --seed 1

The stores: one of a `reprise demo` (real files, judgements, null tests, a clean-up, a run, protected folders, probes
of an unfinished scan, retired rows, two settings), one of imported fingerprints, and that one as a killed writer
leaves it, with a log of commits. Half of the flips hit the catalog, the others any file alike. For
each flip, `check` looks, and everything that reports, exports, plans and undoes is read again. Prints a table by
region:

- refused: a command that reads it refuses (`check` finds most of these too)
- found: `check` finds it, and what the commands say is as before
- only check: `check` finds it, and a command says something else without a word about it
- harmless: nothing finds it, and nothing changes
- UNSEEN: something changes, and nothing finds it
- trouble: a command ended with an unforeseen exception or did not end

Exits 1 if anything was unseen or in trouble. Flip `n` depends only on the seed and `n`: `--first n --flips 1` makes it
again."""

from __future__ import annotations

import argparse
import contextlib
import functools
import os
import random
import re
import shutil
import signal
import sqlite3
import sys
import tempfile
import time
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np

from dedup.cleanup.allowed import Allowed
from dedup.cleanup.apply import apply_plan, check_plan
from dedup.cleanup.history import history
from dedup.cleanup.journal import Journal, journals, plan_of
from dedup.correlation.correlate import correlate
from dedup.errors import JournalError, RepriseError
from dedup.groups.groups import make_groups
from dedup.groups.judgements import find, record
from dedup.groups.judgements import history as said
from dedup.groups.matches import Matches
from dedup.groups.news import news
from dedup.observer import Silent
from dedup.plan.document import to_bytes
from dedup.plan.make import make_plan
from dedup.report.export import export_pairs, export_tracks
from dedup.runner import InlineRunner, Stop
from dedup.scan.imported import import_fingerprints
from dedup.settings import CompareSettings, FingerprintSettings, KeepSettings, MatchSettings, PlanSettings
from dedup.store.blocks import Block, BlockStore
from dedup.store.ledgers import digest_of
from dedup.store.protection import add_protection, protected
from dedup.store.store import Store, make_or_open, open_for_reading, open_for_writing
from dedup.synthesis.fingerprints import Library, import_line
from dedup.upkeep.check import check

OUTCOMES = ("refused", "found", "only check", "harmless", "UNSEEN", "trouble")
PLANS, DRY_RUNS = 0.3, 0.05
"""Share of the flips that nothing found, in the store with real files, for which a plan is made too, and share of those
for which it is tried on the files, which decodes them. The rest of what a plan is made from is always read."""
LONGEST_S = 30
"""Time after which a command counts as one that does not end."""

N_IMPORTED, N_ITEMS, BLOCK_SIZE = 90, 100, 45


# ---- the stores ----


@dataclass
class Subject:
    """A store to flip bits in."""

    name: str
    folder: Path
    files: list[str] = field(default_factory=list)
    """Paths below the folder, in order."""
    pages: list[str] = field(default_factory=list)
    """Region of each page of the catalog."""
    expected: dict[str, str] = field(default_factory=dict)
    plan: bytes = b""

    def look(self) -> None:
        """Takes down what it holds and says before any flip."""
        found = (path for path in sorted(self.folder.rglob("*")) if path.is_file() and path.stat().st_size)
        self.files = [str(path.relative_to(self.folder)) for path in found if not path.name.endswith("-shm")]
        self.pages = regions(self.folder / "catalog.db")
        if damage_of(self.folder):
            raise SystemExit(f"{self.name}: damaged before any flip: {damage_of(self.folder)}")
        self.expected = read_all(self.folder) | plan_all(self.folder, with_dry_run=True)
        refused = {name: text for name, text in self.expected.items() if text.startswith("refused")}
        if refused:
            raise SystemExit(f"{self.name}: refused before any flip: {refused}")


def make_demo(folder: Path) -> Path:
    """A store with something in every table, and the journal of a clean-up."""
    from click.testing import CliRunner

    from jobs.cli import cli

    def reprise(*words: str) -> None:
        done = CliRunner().invoke(cli, [*words], catch_exceptions=False)
        if done.exit_code not in (0, 3, 5):
            raise SystemExit(f"{words[0]}: {done.output}{done.stderr}")

    store, library = folder / "store", folder / "library"
    reprise("demo", "--out", str(folder), "--workers", "0", "--quiet")
    for number, path in enumerate(sorted(library.rglob("*.mp3"))):
        if number % 7 == 3:
            path.unlink()
    reprise("full", str(library), "--store", str(store), "--workers", "0", "--quiet")
    with open_for_writing(store, "flips") as opened:
        correlate(opened, CompareSettings(max_lag=400), InlineRunner(), Silent())
        correlate(opened, CompareSettings(), InlineRunner(), Silent())
        add_protection(opened, [os.fsencode(library / "Kept")])
        tracks = [track for track in opened.catalog.tracks.all() if track.audio is not None]
        for one, other, same in ((tracks[0], tracks[5], False), (tracks[1], tracks[7], True)):
            record(opened, find(opened, one.path).content, find(opened, other.path).content, same, 0.5)
        with opened.catalog.transaction():
            probe = (b"/music/probed.mp3", 9, 9, b"p" * 16, "key", "{}")
            opened.catalog.probes.put([probe])
        matches, keep = Matches(opened, MatchSettings()), KeepSettings()
        plan = make_plan(opened, matches, keep, PlanSettings(merge=True), Silent())
        few = type(plan)(**{**vars(plan), "groups": plan.groups[:2]})
        apply_plan(store=opened, plan=few, observer=Silent(), stop=Stop())
    return store


def make_imported(folder: Path) -> Path:
    """A store whose tables have several pages, with a few fingerprints left in the tail."""
    library = Library(1, N_ITEMS, 0.2, 0.2)
    with make_or_open(folder, FingerprintSettings(), BLOCK_SIZE, "flips") as store:
        lines = [import_line(index, library.track(index).items) for index in range(N_IMPORTED + 4)]
        import_fingerprints(store, lines[:N_IMPORTED], 1.0, Silent(), Stop())
        correlate(store, CompareSettings(), InlineRunner(), Silent())
        import_fingerprints(store, lines[N_IMPORTED:], 1.0, Silent(), Stop())
    return folder


def make_killed(source: Path, folder: Path) -> Path:
    """The same with a log of commits, as a killed writer leaves it."""
    shutil.copytree(source, folder)
    live = folder.with_name("live")
    shutil.copytree(source, live)
    with open_for_writing(live, "flips") as store:
        tracks = [track for track in store.catalog.tracks.all() if track.audio is not None]
        for number in range(0, 20, 2):
            one, other = (find(store, tracks[at].path).content for at in (number, number + 1))
            record(store, one, other, bool(number % 4), 0.5)
        for end in ("", "-wal"):
            shutil.copyfile(live / f"catalog.db{end}", folder / f"catalog.db{end}")
    shutil.rmtree(live)
    return folder


def regions(catalog: Path) -> list[str]:
    """What each page of the catalog belongs to."""
    with contextlib.closing(sqlite3.connect(f"file:{catalog}?immutable=1", uri=True)) as connection:
        (n_pages,) = connection.execute("PRAGMA page_count").fetchone()
        kinds = dict(connection.execute("SELECT name, type FROM sqlite_schema"))
        found = ["free pages, pointer map"] * n_pages
        for name, page in connection.execute("SELECT name, pageno FROM dbstat"):
            found[page - 1] = f"{kinds.get(name, 'table')} {name}"
    return found


def region_of(subject: Subject, file: str, byte: int) -> str:
    if file == "catalog.db":
        return "catalog.db: header" if byte < 100 else f"catalog.db: {subject.pages[byte // 4096]}"
    if file.startswith("fingerprints.zarr"):
        return "blocks: " + ("metadata" if file.endswith("zarr.json") else "chunks")
    if file.startswith("cleanups"):
        return "cleanups: " + ("originals" if "/originals/" in file else Path(file).name)
    return "log for people" if file.startswith("reprise.log") else file


# ---- what a store says ----


def said_by(command: Callable[[], Any]) -> str:
    """What a command says, or its refusal."""
    try:
        return repr(command())
    except RepriseError as error:
        return f"refused: {error}"


def damage_of(folder: Path) -> list[str]:
    """What `check` finds."""
    try:
        with open_for_reading(folder) as store:
            found = (one for one in check(store, Silent()) if one.is_damage or one.name.endswith("-wal"))
            return [f"{one.kind} {one.name}" for one in found]
    except RepriseError as error:
        return [str(error)]


def read_all(folder: Path) -> dict[str, str]:
    """What reports, exports and the history say, and what undo would go by."""
    found: dict[str, str] = {}
    found["history"] = said_by(lambda: history(folder))
    found["undo"] = said_by(lambda: [(one.entries, plan_of(one).read_bytes()) for one in journals(folder)])
    found["originals"] = said_by(
        lambda: [list(map(original, one.originals.glob("*.json"))) for one in journals(folder)]
    )
    try:
        with open_for_reading(folder) as store:
            found |= {name: said_by(lambda command=command: command(store)) for name, command in READ.items()}
    except RepriseError as error:
        found["open"] = f"refused: {error}"
    return found


def journals_or_none(folder: Path) -> list[Journal]:
    try:
        return journals(folder)
    except JournalError:
        return []


def original(place: Path) -> object:
    from dedup.cleanup.originals import original_of

    kept = place.with_suffix(".bin").read_bytes()
    told = original_of(place.with_suffix(""))
    if told is not None and told.kept and told.kept != digest_of(kept):
        raise JournalError(str(place), "what was kept is damaged")
    return told, kept


def _pairs_and_groups(store: Store) -> object:
    matches = Matches(store, MatchSettings())
    groups = make_groups(matches)
    return (
        list(export_pairs(matches)),
        [(group.reference.path, [track.path for track in group.tracks]) for group in groups],
        news(store, groups),
    )


READ: dict[str, Callable[[Store], object]] = {
    "pairs and groups": _pairs_and_groups,
    "export tracks": lambda store: list(export_tracks(store)),
    "judgements": said,
    "protected": protected,
    "roots": lambda store: store.catalog.tracks.roots(),
    "known to a scan": lambda store: list(store.catalog.tracks.known(1)),
    "probes": lambda store: list(store.catalog.probes.all()),
    "runs": lambda store: list(store.catalog.runs.newest_first()),
    "items": lambda store: [store.items_of(int(ids[0])).tobytes() for ids in _first_of_blocks(store)],
}


def _first_of_blocks(store: Store) -> Iterator[Any]:
    return (store.catalog.fingerprints.ids_at(name, np.zeros(1, np.int64)) for name in store.catalog.blocks.rows())


def plan_all(folder: Path, with_dry_run: bool) -> dict[str, str]:
    """The plan that would be made, and what its dry run would do."""
    try:
        with open_for_reading(folder) as store:
            matches, keep = Matches(store, MatchSettings()), KeepSettings(protect=protected(store))
            plan = make_plan(store, matches, keep, PlanSettings(), Silent())
            told = {"plan": re.sub(r'"(made|seal)": "[^"]*"', "", to_bytes(plan).decode())}  # seals depend on the time
            if with_dry_run:
                told["dry run"] = repr(
                    check_plan(store=store, plan=plan, allowed=Allowed(keep=keep), observer=Silent(), stop=Stop())
                )
            return told
    except RepriseError as error:
        return {"plan": f"refused: {error}"}


# ---- flips ----


class EndlessError(Exception):
    """A command that does not end."""


_read = BlockStore.read


@functools.lru_cache(maxsize=64)
def _read_block(folder: Path, name: str) -> Block:
    return _read(BlockStore(folder), name)


def read_once(store: BlockStore, name: str) -> Block:
    """A block, read again only if a bit of a block was flipped: that takes most of the time."""
    return _read_block(store.folder, name)


def flip(subject: Subject, chance: random.Random) -> tuple[str, str, str]:
    """Flips one bit, looks, and flips it back: region, outcome, and what shows it."""
    in_catalog = chance.random() < 0.5
    file = "catalog.db" if in_catalog else chance.choice(subject.files)
    path = subject.folder / file
    byte = chance.randrange(path.stat().st_size)
    region = region_of(subject, file, byte)
    before = {end: _bytes(subject.folder / f"catalog.db{end}") for end in ("", "-wal")}
    whole = path.read_bytes()
    data = bytearray(whole)
    data[byte] ^= 1 << chance.randrange(8)
    path.write_bytes(data)
    signal.alarm(LONGEST_S)
    if is_block := file.startswith("fingerprints.zarr"):
        _read_block.cache_clear()
    try:
        outcome, shown = _outcome(
            subject, subject.name == "demo" and chance.random() < PLANS, chance.random() < DRY_RUNS
        )
    except Exception as error:
        outcome, shown = "trouble", f"{type(error).__name__}: {error}"
    finally:
        signal.alarm(0)
        path.write_bytes(whole)
        if is_block:
            _read_block.cache_clear()
        (subject.folder / "catalog.db-shm").unlink(missing_ok=True)
        for end, content in before.items():
            if content is None:
                (subject.folder / f"catalog.db{end}").unlink(missing_ok=True)
            elif _bytes(subject.folder / f"catalog.db{end}") != content:
                (subject.folder / f"catalog.db{end}").write_bytes(content)
    return region, outcome, f"{file} byte {byte}: {shown}"


def _bytes(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def _outcome(subject: Subject, with_plan: bool, with_dry_run: bool) -> tuple[str, str]:
    damage = damage_of(subject.folder)
    now = read_all(subject.folder)
    refused = [name for name, text in now.items() if text.startswith("refused")]
    changed = [name for name, text in now.items() if name not in refused and text != subject.expected[name]]
    if not damage and not refused:
        planned = plan_all(subject.folder, with_dry_run) if with_plan else {}
        changed += [name for name, text in planned.items() if text != subject.expected.get(name)]
        return ("UNSEEN", ", ".join(changed)) if changed else ("harmless", "")
    if changed:
        return "only check" if damage else "UNSEEN", f"{', '.join(changed)}; found: {damage[:1]}, refused: {refused}"
    return ("refused", ", ".join(refused)) if refused else ("found", damage[0])


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--flips", type=int, default=1000)
    parser.add_argument("--first", type=int, default=0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=float("inf"), help="stop after this time")
    parser.add_argument("--fast", action="store_true", help="without the demo, which takes a minute to make")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="flips-", dir="/dev/shm" if os.path.isdir("/dev/shm") else None) as folder:
        BlockStore.read = read_once  # type: ignore[method-assign]
        counts, bad = run(Path(folder), args.seed, args.first, args.flips, args.fast, args.seconds)
    print(table(counts))
    print("\n".join(bad))
    sys.exit(any(counts[region][outcome] for region in counts for outcome in ("UNSEEN", "trouble")))


def run(
    folder: Path, seed: int, first: int, n_flips: int, fast: bool, most_s: float = float("inf")
) -> tuple[dict[str, Counter[str]], list[str]]:
    """Outcomes by region, and a line for each flip that was not seen."""

    def ends(*_: object) -> None:
        raise EndlessError(f"no end after {LONGEST_S} s")

    signal.signal(signal.SIGALRM, ends)
    imported = make_imported(folder / "imported")
    subjects = [Subject("imported", imported), Subject("killed", make_killed(imported, folder / "killed"))]
    if not fast:
        subjects.append(Subject("demo", make_demo(folder / "demo")))
    for subject in subjects:
        subject.look()
    counts: dict[str, Counter[str]] = defaultdict(Counter)
    bad: list[str] = []
    began = told = time.monotonic()
    for number in range(first, first + n_flips):
        if time.monotonic() - began > most_s:
            break
        chance = random.Random(f"{seed} {number}")
        subject = chance.choice(subjects)
        region, outcome, shown = flip(subject, chance)
        counts[region][outcome] += 1
        if outcome in ("UNSEEN", "trouble", "only check"):
            bad.append(f"{outcome}: flip {number}, store {subject.name}, {region}: {shown}")
        if time.monotonic() - told > 10:
            told = time.monotonic()
            print(f"{number + 1 - first:,} flips, {(number + 1 - first) / (told - began):.0f}/s", file=sys.stderr)
    return counts, bad


def table(counts: dict[str, Counter[str]]) -> str:
    lines = [f"| region | flips | {' | '.join(OUTCOMES)} |", "|---|" + "---:|" * (len(OUTCOMES) + 1)]
    total: Counter[str] = Counter()
    for region, of_region in sorted(counts.items()):
        total += of_region
        lines.append(_line(region, of_region))
    return "\n".join([*lines, _line("**all**", total)])


def _line(region: str, counts: Counter[str]) -> str:
    return f"| {region} | {counts.total():,} | {' | '.join(f'{counts[name]:,}' for name in OUTCOMES)} |"


if __name__ == "__main__":
    main()
