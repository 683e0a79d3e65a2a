"""The whole program as a user runs it: a small synthetic library in, its planted duplicates out."""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner

from dedup.synthesis.library import DemoLibrary, write_demo_library
from jobs import cli

ROOT = Path(__file__).parent.parent
WORKERS = (0, 2)
TRACK_COUNTS = ("unchanged", "fingerprinted", "identical", "skipped", "failed", "left")
TILE_COUNTS = ("n_reused", "n_computed", "n_failed", "n_left")


def reprise(*arguments: str | bytes, store: Path, expected: int = 0) -> bytes:
    """Stdout of a command."""
    command = [sys.executable, "-m", "jobs", *arguments, "--store", str(store)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=120, check=False)
    assert done.returncode == expected, done.stderr.decode()
    assert b"Traceback" not in done.stderr
    return done.stdout


def here(*arguments: str | bytes, store: Path, expected: int = 0) -> bytes:
    """The same in this process: it starts in a hundredth of the time."""
    given = [os.fsdecode(argument) for argument in arguments]
    done = CliRunner().invoke(cli.cli, [*given, "--store", str(store)])
    assert done.exit_code == expected, done.output
    return done.stdout_bytes


def records(output: bytes) -> list[dict[str, Any]]:
    return [json.loads(line) for line in output.splitlines()]


def summary_of(output: bytes) -> dict[str, Any]:
    (summary,) = [record for record in records(output) if record.get("event") == "summary"]
    assert summary["discovered"] == sum(summary[name] for name in TRACK_COUNTS)
    tiles = summary["tiles"]
    assert tiles["n_tiles"] == sum(tiles[name] for name in TILE_COUNTS)
    return summary


@dataclass(frozen=True)
class Done:
    """A library, and a store for each number of workers that `full` was run with."""

    library: DemoLibrary
    stores: dict[int, Path]
    outputs: dict[int, bytes]

    @property
    def store(self) -> Path:
        return self.stores[0]


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    base = tmp_path_factory.mktemp("end to end")
    library = write_demo_library(base / "music", 7, n_recordings=6, seconds=(16.0, 20.0), n_copies=15)
    stores = {n: base / f"store {n}" for n in WORKERS}
    outputs = {n: full(library.root, stores[n], n) for n in WORKERS}
    return Done(library, stores, outputs)


def full(root: Path, store: Path, n_workers: int, expected: int = 3) -> bytes:
    """`full` over small blocks, with several tiles. One file of the library is no music: exit code 3, once."""
    how = ("--workers", str(n_workers), "--block-size", "4")
    run = reprise if n_workers else here
    return run("full", str(root), "--json", *how, store=store, expected=expected)


def found_pairs(store: Path, root: Path) -> set[frozenset[str]]:
    pairs = records(here("export", "pairs", store=store))
    return {frozenset(os.path.relpath(pair[side], root) for side in "ab") for pair in pairs}


def test_every_planted_pair_is_found_and_no_other(done: Done) -> None:
    true = done.library.true_pairs()
    assert len(true) > 25
    assert found_pairs(done.store, done.library.root) == true


def test_the_workers_make_no_difference(done: Done) -> None:
    for what in ("pairs", "groups"):
        exports = [here("export", what, store=done.stores[n]) for n in WORKERS]
        assert exports[0] == exports[1] != b""
    summaries = [summary_of(done.outputs[n]) | {"seconds": None} for n in WORKERS]
    for summary in summaries:
        assert summary["tiles"].pop("computing_s") > 0
    assert summaries[0] == summaries[1]


def test_the_summary_is_of_this_library(done: Done) -> None:
    summary = summary_of(done.outputs[0])
    assert summary["discovered"] == 6 + 15 + 2
    assert (summary["failed"], summary["skipped"], summary["left"]) == (1, 1, 0)
    assert summary["identical"] == 2  # an exact copy, and one with other tags
    assert summary["pairs"] == len(done.library.true_pairs())
    assert summary["groups"] == 4
    assert summary["bytes_reclaimable"] > 0
    problems = [record for record in records(done.outputs[0]) if record.get("event") in ("failed", "skipped")]
    assert sorted(record["event"] for record in problems) == ["failed", "skipped"]
    assert all(record["reason"] and record["path"] for record in problems)


def test_a_second_run_does_nothing_twice(done: Done) -> None:
    before = here("export", "pairs", store=done.store)
    first, second = summary_of(done.outputs[0]), summary_of(full(done.library.root, done.store, 0, expected=5))
    assert second["unchanged"] == first["fingerprinted"] + first["identical"]
    assert (second["fingerprinted"], second["identical"]) == (0, 0)
    assert (second["tiles"]["n_computed"], second["tiles"]["n_reused"]) == (0, first["tiles"]["n_tiles"])
    assert here("export", "pairs", store=done.store) == before


def test_new_files_cost_only_the_tiles_of_new_blocks(done: Done, tmp_path: Path) -> None:
    root, store = tmp_path / "music", tmp_path / "store"
    shutil.copytree(done.library.root, root)
    first = summary_of(full(root, store, 0))
    more = write_demo_library(tmp_path / "more", 8, n_recordings=3, seconds=(20.0, 22.0), n_copies=1)
    shutil.move(more.root, root / "more")
    second = summary_of(full(root, store, 0))
    assert second["fingerprinted"] == 4
    n_blocks = round((2 * first["tiles"]["n_tiles"]) ** 0.5)  # n (n + 1) / 2 tiles
    assert second["tiles"]["n_reused"] == first["tiles"]["n_tiles"] == n_blocks * (n_blocks + 1) // 2
    assert second["tiles"]["n_computed"] == n_blocks + 1
    planted = done.library.true_pairs() | {frozenset(f"more/{name}" for name in pair) for pair in more.true_pairs()}
    assert found_pairs(store, root) == planted


def test_the_store_is_sound(done: Done) -> None:
    for store in done.stores.values():
        here("check", store=store)


def test_the_report_says_the_same_in_every_format(done: Done) -> None:
    table = reprise("report", store=done.store).decode()
    document = json.loads(here("report", "--format", "json", store=done.store))
    lines = records(here("report", "--format", "jsonl", store=done.store))
    rows = list(csv.DictReader(io.StringIO(here("report", "--format", "csv", store=done.store).decode())))
    groups = document if isinstance(document, list) else document["groups"]
    assert groups == lines == records(here("export", "groups", store=done.store))
    assert [row["path"] for row in rows if row["role"] == "reference"] == [group["reference"] for group in groups]
    names = [group["reference"] for group in groups]
    names += [member["path"] for group in groups for member in group["members"]]
    assert len(names) == len(set(names)) == len(rows)
    for name in names:
        assert Path(name).name in table
    assert [group["bytes_reclaimable"] for group in groups] == sorted(
        (group["bytes_reclaimable"] for group in groups), reverse=True
    )


def test_all_is_told_of_one_file(done: Done) -> None:
    path = done.library.root / done.library.files[0].path
    shown = here("info", str(path), store=done.store).decode()
    assert path.name in shown
    assert str(path.stat().st_size) in shown.replace(",", "") or "MB" in shown


def test_two_files_are_compared_without_a_store(done: Done, tmp_path: Path) -> None:
    by_recording: dict[str, list[str]] = {}
    for file in done.library.files:
        by_recording.setdefault(file.recording, []).append(str(done.library.root / file.path))
    several = next(paths for paths in by_recording.values() if len(paths) > 1)
    others = next(paths for paths in by_recording.values() if paths is not several)
    (same,) = records(here("pair", *several[:2], "--json", store=tmp_path / "none"))
    (other,) = records(here("pair", several[0], others[0], "--json", store=tmp_path / "none"))
    assert same["verdict"] != "other"
    assert other["verdict"] == "other"
    assert not (tmp_path / "none").exists()


def test_odd_names_go_all_the_way(tmp_path: Path, done: Done) -> None:
    root = os.fsencode(tmp_path / "music")
    os.mkdir(root)
    tracks = [done.library.root / file.path for file in done.library.files if file.path.endswith(".mp3")]
    names = [
        b"new\nline.mp3",
        b"latin1 \xe9\xff.mp3",
        b"y" * 251 + b".mp3",
        b" -- \xe2\x80\xaertl.mp3",
        b"$(x);'\".mp3",
    ]
    for name in names:
        shutil.copyfile(tracks[0], os.path.join(root, name))
    store = tmp_path / "store"
    summary = summary_of(full(tmp_path / "music", store, 0, expected=0))
    assert (summary["fingerprinted"], summary["identical"], summary["pairs"]) == (1, 4, 10)
    told = set()
    for record in records(here("export", "tracks", store=store)):
        raw = bytes.fromhex(record["path_hex"]) if "path_hex" in record else record["path"].encode()
        told.add(os.path.basename(raw))
    assert told == set(names)
    table = here("report", store=store)
    assert b"new\\nline.mp3" in table
    assert b"latin1 \\xe9\\xff.mp3" in table
    for name in names:
        here("info", os.path.join(root, name), store=store)
    (group,) = records(here("report", "--format", "jsonl", store=store))
    assert len(group["members"]) == 4


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["full", "{tmp}/none"], 10),
        (["report"], 18),
        (["correlate"], 18),
        (["full", "{tmp}", "--workers", "-1"], 2),
        (["pair", "{tmp}/none.mp3", "{tmp}/none.mp3"], None),
    ],
)
def test_bad_input_is_one_line_and_an_exit_code(arguments: Sequence[str], expected: int | None, tmp_path: Path) -> None:
    given = [argument.format(tmp=tmp_path) for argument in arguments]
    command = [sys.executable, "-m", "jobs", *given, "--store", str(tmp_path / "store")]
    found = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=60, check=False)
    assert found.returncode == expected if expected else found.returncode not in (0, 1)
    assert found.stdout == ""
    assert len(found.stderr.splitlines()) == 1
    assert "Traceback" not in found.stderr


def test_an_empty_library_is_nothing_to_do(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    summary = summary_of(full(tmp_path / "music", tmp_path / "store", 0, expected=5))
    assert (summary["discovered"], summary["tiles"]["n_tiles"], summary["groups"]) == (0, 0, 0)
    assert here("export", "pairs", store=tmp_path / "store") == b""
