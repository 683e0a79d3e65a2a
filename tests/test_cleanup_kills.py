"""A clean-up that is killed before any of its calls to the system, and then gone on with or taken back."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dedup.cleanup.journal import journals
from dedup.plan.nouns import Plan, PlannedPlaylist
from dedup.store.store import Store
from dedup.tags.merge import Merge
from tests.cleanups import carry_out, go_on, group, make_files, make_store, opened, plan_of, take_back, tree
from tests.killing import run_killed

FILES = {"a.flac": 1, "x/a.flac": 1, "x/a.wav": 1, "y/a.flac": 1, "b.flac": 2, "deep/er/b.flac": 2}

KILLED = """
import os, sys
from pathlib import Path
import numpy, blake3, av, zarr  # imported before the forks, not used
from tests.killing import kill_at_each_step
from tests.test_cleanup_kills import begin_apply, begin_undo, prepare_apply, prepare_undo

prepare, run = {"apply": (prepare_apply, begin_apply), "undo": (prepare_undo, begin_undo)}[sys.argv[3]]
calls = [(os, name) for name in "rename replace unlink link rmdir mkdir utime fsync truncate".split()]
kill_at_each_step(Path(sys.argv[1]), Path(sys.argv[2]), run, calls, prepare, every=int(sys.argv[4]))
"""


def make(folder: Path) -> None:
    """A library with litter, a playlist and copies of all kinds."""
    root = folder / "music"
    make_files(root, FILES)
    (root / "deep/er/Thumbs.db").write_bytes(b"litter")
    (root / "list.m3u").write_bytes(b"#EXTM3U\r\nx/a.wav\r\ndeep/er/b.flac\r\n")
    for path in [*sorted(root.rglob("*"), reverse=True), root]:
        os.utime(path, ns=(1, 1_500_000_000_000_000_001))


def prepare_apply(folder: Path) -> None:
    make_store(folder / "store", folder / "music", FILES)


def plan_for(store: Store, root: Path) -> Plan:
    """One of all kinds of actions that have a way back on any system."""
    kept = os.fsencode(root / "a.flac")
    merge = Merge(kept, {"title": ("Äther",), "genre": ("One", "Two")})
    return plan_of(
        group(store, root, "a.flac", {"x/a.flac": "quarantine", "x/a.wav": "quarantine"}, merge),
        group(store, root, "b.flac", {"deep/er/b.flac": "quarantine"}),
        playlists=(PlannedPlaylist(os.fsencode(root / "list.m3u"), 2),),
        remove_empty_folders=True,
    )


def begin_apply(folder: Path) -> None:
    with opened(folder / "music") as store:
        carry_out(store, plan_for(store, folder / "music"))


def prepare_undo(folder: Path) -> None:
    prepare_apply(folder)
    begin_apply(folder)


def begin_undo(folder: Path) -> None:
    with opened(folder / "music") as store:
        take_back(store)


def shape(root: Path) -> dict[str, Any]:
    """The tree without times of change, which a rewritten file has of its own."""
    return tree(root, times=False)


def paths(root: Path) -> set[bytes]:
    return {os.fsencode(root / name) for name in FILES}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("made")
    make(folder)
    return folder


@pytest.mark.parametrize("first", ["go on", pytest.param("undo", marks=pytest.mark.long)])
def test_a_clean_up_that_is_killed_anywhere_goes_on_and_is_taken_back(made: Path, tmp_path: Path, first: str) -> None:
    before = tree(made / "music")
    run_killed(KILLED, made, tmp_path, "apply", 12 if first == "undo" else 11)
    *killed, undisturbed = sorted(tmp_path.glob("killed *"))
    expected = shape(undisturbed / "music")
    assert len(killed) > 4
    for folder in [*killed, undisturbed]:
        root = folder / "music"
        with opened(root) as store:
            begun = journals(store.layout.folder)
        if begun and begun[-1].is_open and first == "go on":
            with opened(root) as store:
                assert go_on(store).refused == ()
            assert shape(root) == expected
        if begun:
            with opened(root) as store:
                assert take_back(store).failed == ()
        assert tree(root) == before, folder
        with opened(root) as store:
            assert {track.path for track in store.catalog.tracks.all()} == paths(root)


def test_an_undo_that_is_killed_anywhere_goes_on(made: Path, tmp_path: Path) -> None:
    before = tree(made / "music")
    run_killed(KILLED, made, tmp_path, "undo", 8)
    *killed, _ = sorted(tmp_path.glob("killed *"))
    assert len(killed) > 4
    for folder in killed:
        with opened(folder / "music") as store:
            assert take_back(store).failed == ()
            assert {track.path for track in store.catalog.tracks.all()} == paths(folder / "music")
        assert tree(folder / "music") == before
