"""Property: whatever a library is made of, no file goes by default that holds what the kept one lacks. The checker
knows the truth and the disk, and nothing of how plans are made."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dedup.settings import LossKind, PlanSettings
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.random_library import make_library, mixes, with_more
from scripts.study.check_plan import exceptions
from scripts.study.nothing_lost import check, planned

N_FILES = 5


@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (2, 11))])
def test_nothing_is_lost(seed: int) -> None:
    assert check(seed, N_FILES).exceptions == ()


@pytest.mark.long
def test_nothing_is_lost_in_many_libraries_and_something_goes() -> None:
    checked = [check(seed, N_FILES) for seed in range(3, 30)]
    assert [one for one in checked if one.exceptions] == []
    assert sum(one.n_gone for one in checked) > 9, "a plan of nothing loses nothing"


@pytest.mark.long
def test_a_song_goes_for_a_film_only_if_pictures_are_let_go_and_the_sound_is_the_same(tmp_path: Path) -> None:
    root = tmp_path / "music"
    root.mkdir()
    for name, mix in (("film", "plain"), ("song", "plain"), ("sung", "sung")):
        write(str(root / f"{name}.mp3"), mixes(1)[mix], Encoding("mp3", 192_000 if name == "film" else 96_000))
    with_more(root / "film.mp3", root / "film.mkv", "picture", 1)

    def actions(*let_go: LossKind) -> dict[str, str]:
        plan = planned(root, tmp_path / "store", PlanSettings(let_go=let_go))
        return {Path(os.fsdecode(file.path)).stem: file.action for group in plan.groups for file in group.files}

    assert set(actions().values()) <= {"keep", "leave"}
    assert actions("picture") == {"film": "keep", "song": "quarantine"} | {"sung": "leave"}


@pytest.mark.long
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
