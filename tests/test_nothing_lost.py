"""Property: whatever a library is made of, no file goes by default that holds what the kept one lacks. The checker
knows the truth and the disk, and nothing of how plans are made."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import pytest

from dedup.observer import Silent
from dedup.pipeline import full
from dedup.plan.document import to_json
from dedup.plan.make import plan_copies
from dedup.runner import InlineRunner
from dedup.settings import (
    CompareSettings,
    FingerprintSettings,
    KeepSettings,
    MatchSettings,
    PlanSettings,
    ScanSettings,
)
from dedup.store.store import make_or_open
from dedup.versions import chromaprint_version
from scripts.study.check_plan import exceptions
from tests.random_libraries import make_library

REMOVING = ("quarantine", "trash", "delete")


def planned(root: Path, store: Path) -> dict[str, Any]:
    """The plan of a library as a program reads it, after the main job."""
    with make_or_open(store, FingerprintSettings(chromaprint_version()), 64, "test") as opened:
        full(
            opened,
            [os.fsencode(root)],
            scan=ScanSettings(),
            compare=CompareSettings(),
            match=MatchSettings(),
            keep=KeepSettings(),
            runner=InlineRunner(),
            observer=Silent(),
        )
    made = plan_copies(
        folder=store,
        match=MatchSettings(),
        keep=KeepSettings(),
        settings=PlanSettings(),
        observer=Silent(),
        purpose="test",
    )
    document: dict[str, Any] = json.loads(json.dumps(to_json(made.plan)))
    return document


def n_gone(plan: dict[str, Any]) -> int:
    return sum(file["action"] in REMOVING for group in plan["groups"] for file in group["files"])


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost(seed: int, tmp_path: Path) -> None:
    truth = make_library(tmp_path / "music", seed)
    plan = planned(tmp_path / "music", tmp_path / "store")
    assert list(exceptions(plan, truth, bytes(tmp_path / "music"))) == []


@pytest.mark.long
def test_nothing_is_lost_in_many_libraries_and_something_goes(tmp_path: Path) -> None:
    gone = 0
    for seed in range(3, 18):
        root = tmp_path / str(seed)
        truth = make_library(root / "music", seed)
        plan = planned(root / "music", root / "store")
        assert list(exceptions(plan, truth, bytes(root / "music"))) == [], seed
        gone += n_gone(plan)
    assert gone > 5, "a plan of nothing loses nothing"


def test_the_checker_finds_what_is_planted(tmp_path: Path) -> None:
    root = tmp_path / "music"
    truth = make_library(root, 1, n_files=4)
    names = [entry["path"] for entry in truth["files"]]
    plan: dict[str, Any] = {"groups": [], "playlists": []}
    pairs = [(a, b) for a in names for b in names if a.split()[1:] != b.split()[1:]]
    for kept, gone in pairs:
        files = [{"path": f"{root}/{kept}", "action": "keep"}, {"path": f"{root}/{gone}", "action": "delete"}]
        plan["groups"].append({"files": files})
    found = list(exceptions(plan, truth, bytes(root)))
    different = {frozenset(pair) for pair in pairs if pair[0].split()[1] != pair[1].split()[1]}
    assert all(any(a in line and b in line for line in found) for a, b in map(sorted, different))
