"""Plans carried out and taken back, on real files."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.cleanup.apply import Applied
from dedup.files.quarantine import QUARANTINE
from tests.cleanups import carry_out, group, make_files, make_store, opened, plan_of, take_back, tree

FILES = {"a.flac": 1, "a.wav": 1, "sub/a.flac": 1, "b.flac": 2, "deep/er/b.wav": 2}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_files(tmp_path / "music", FILES)
    make_store(tmp_path / "store", tmp_path / "music", FILES)
    return tmp_path / "music"


def reasons(applied: Applied) -> list[str]:
    return [refusal.reason for refusal in applied.refused]


def test_quarantined_files_keep_their_paths_and_come_back(root: Path) -> None:
    before = tree(root)
    with opened(root) as store:
        known = [replace(track, id=0) for track in store.catalog.tracks.all()]
        plan = plan_of(
            group(store, root, "a.flac", ["a.wav", "sub/a.flac"]), group(store, root, "b.flac", ["deep/er/b.wav"])
        )
        applied = carry_out(store, plan)
        assert applied.done == {"quarantine": 3} and not applied.refused
        quarantine = root / os.fsdecode(QUARANTINE)
        moved = ["a.wav", "deep/er/b.wav", "sub/a.flac"]
        assert sorted(str(path.relative_to(quarantine)) for path in quarantine.rglob("*.*")) == moved
        assert [track.path for track in store.catalog.tracks.all()] == [
            os.fsencode(root / name) for name in ("a.flac", "b.flac")
        ]
        undone = take_back(store)
        assert undone.n_files == 3 and not undone.failed
        assert [replace(track, id=0) for track in store.catalog.tracks.all()] == known
    assert tree(root) == before


@pytest.mark.parametrize("action", ["hardlink", "delete"])
def test_other_actions(root: Path, action: str) -> None:
    before = tree(root)
    with opened(root) as store:
        applied = carry_out(store, plan_of(group(store, root, "a.flac", {"sub/a.flac": action, "a.wav": action})))  # type: ignore[dict-item]
        if action == "hardlink":
            assert reasons(applied) == ["its bytes differ from those of the kept file, so they cannot be shared"]
            assert (root / "a.flac").samefile(root / "sub/a.flac")
        else:
            assert not (root / "sub/a.flac").exists()
        undone = take_back(store)
    if action == "hardlink":
        assert tree(root) == before
        assert not (root / "a.flac").samefile(root / "sub/a.flac")
    else:
        assert len(undone.failed) == 2
