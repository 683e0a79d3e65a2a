"""A few nights of `scripts/torture/soak.py`, one of them with a kill: each ends with what a fresh store says."""

from __future__ import annotations

import random
from collections import Counter
from pathlib import Path

import pytest

from dedup.store.store import open_for_writing
from scripts.torture.soak import BIT_RATES, Library, Night, Recording, Size, compare, full_here, simulate
from tests.stores import rename

SIZE = Size(n_files=5, n_changes=3, n_clips=3)
SEED = 55


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("soak")


@pytest.fixture(scope="module")
def nights(folder: Path) -> list[Night]:
    return list(simulate(folder, 3, SEED, SIZE))


def test_each_night_ends_as_a_fresh_store_would(nights: list[Night]) -> None:
    assert [night.differences for night in nights] == [[]] * 4  # three, and `reprise compact`
    assert all(night.n_pairs > 0 for night in nights)
    assert sum((night.changes for night in nights), Counter()).total() >= 3
    assert [bool(night.kill) for night in nights] == [False, False, True, False]


@pytest.mark.long
def test_a_fortnight_ends_as_a_fresh_store_would(tmp_path: Path) -> None:
    nights = list(simulate(tmp_path, 14, SEED + 1, Size(n_files=24, n_changes=6, n_clips=8)))
    assert [night.differences for night in nights] == [[]] * 15
    assert [bool(night.kill) for night in nights] == [number % 3 == 0 for number in range(1, 15)] + [False]


@pytest.mark.usefixtures("nights")
def test_a_difference_is_seen(folder: Path, tmp_path: Path) -> None:
    library = Library(tmp_path / "library", [[b""] * len(BIT_RATES)], Size(0), random.Random(SEED))
    library.folder = folder / "library"
    with open_for_writing(folder / "store", "test") as store:
        rename(store, min(store.catalog.tracks.all(), key=lambda track: track.id).path, b"/elsewhere")
    night = Night(5)
    compare(night, library, folder / "store", tmp_path / "fresh")
    assert night.differences == [f"{what} are not those of a fresh store" for what in ("pairs", "groups")]


def test_the_days_bring_all_kinds_of_change_and_the_seed_decides(tmp_path: Path) -> None:
    def days(name: str) -> tuple[Counter[str], dict[str, Recording]]:
        clips = [[b"a" * 9, b"b"], [b"c", b"d"]]
        library = Library(tmp_path / name, clips, Size(n_files=20), random.Random(SEED))
        changes = sum((library.change() for _ in range(30)), Counter())
        found = {str(path.relative_to(library.folder)) for path in library.folder.rglob("*.mp3")}
        assert found == set(library.files)
        assert 10 <= len(found) <= 40
        return changes, library.files

    changes, files = days("one")
    assert set(changes) == {"added", "changed", "moved", "retagged", "removed"}
    assert days("other") == (changes, files)


def test_a_run_that_finds_no_music_is_no_error(tmp_path: Path) -> None:
    library = Library(tmp_path / "library", [[b"no music" * 99] * 2], Size(2), random.Random(1))
    assert full_here(library.folder, tmp_path / "store")["failed"] == 2
