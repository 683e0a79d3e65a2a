"""Property: whatever a library is made of, no file goes by default that holds what the kept one lacks. The checker
knows the truth and the disk, and nothing of how plans are made."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from dedup.synthesis.random_library import make_library
from scripts.study.check_plan import exceptions
from scripts.study.nothing_lost import check

N_FILES = 5


@pytest.mark.parametrize("seed", range(3))
def test_nothing_is_lost(seed: int) -> None:
    assert check(seed, N_FILES).exceptions == ()


@pytest.mark.long
def test_nothing_is_lost_in_many_libraries_and_something_goes() -> None:
    checked = [check(seed, N_FILES) for seed in range(3, 30)]
    assert [one for one in checked if one.exceptions] == []
    assert sum(one.n_gone for one in checked) > 9, "a plan of nothing loses nothing"


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
