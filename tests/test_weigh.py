"""What a plan would free, as reports tell it; that it equals what plans of all kinds free is in test_plan.py."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup.correlation.correlate import correlate
from dedup.observer import Silent
from dedup.plan.make import make_plan
from dedup.plan.weigh import find_groups
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, KeepSettings, MatchSettings, PlanSettings
from tests import stores
from tests.listening import pass_all

SOUND = stores.recording(1, 200)
MATCH, KEEP, ALBUM = MatchSettings(), KeepSettings(), ("One",)


def made(folder: Path, *files: dict[str, Any], heard: bool = True) -> Path:
    """A store with one group of these files, best first, as far as their numbers decide."""
    with stores.open_store(folder) as store:
        for number, file in enumerate(files):
            stores.add_track(store, str(number), stores.copied(SOUND, 0.05, number), **file)
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        if heard:
            pass_all(store)
    return folder


def weighed(folder: Path, settings: PlanSettings = PlanSettings(), keep: KeepSettings = KEEP) -> tuple[int, int]:  # noqa: B008
    """Bytes that go, and that would go too once heard; those that go are those of a plan."""
    with stores.open_store(folder) as store:
        found = find_groups(store, MATCH, keep, settings)
        assert make_plan(store, found.matches, keep, replace(settings, merge=False), Silent()).n_bytes == sum(
            group.bytes_reclaimable for group in found.groups
        )
        return sum(each.bytes_reclaimable for each in found.groups), sum(each.bytes_unheard for each in found.groups)


@pytest.mark.parametrize(
    ("files", "freed"),
    [
        (({"size": 500}, {"size": 300}, {"size": 200}), 500),
        (({"size": 500}, {"size": 300, "state": "absent"}), 0),
        (({"size": 500, "state": "absent"}, {"size": 300}), 0),
        (({"size": 0, "state": "imported"}, {"size": 0, "state": "imported", "inode": 0}), 0),
        (({"size": 500, "inode": 7}, {"size": 500, "inode": 7}), 0),  # one file with two names
        (({"size": 500, "channels": 2, "lossless": True}, {"size": 400, "channels": 6}), 0),
    ],
)
def test_only_what_goes_counts(tmp_path: Path, files: tuple[dict[str, Any], ...], freed: int) -> None:
    assert weighed(made(tmp_path, *files)) == (freed, 0)


def test_what_nobody_has_listened_to_is_told_apart(tmp_path: Path) -> None:
    files = ({"size": 500, "lossless": True}, {"size": 300}, {"size": 200, "full": b"1"}, {"size": 100, "channels": 6})
    assert weighed(made(tmp_path, *files, heard=False)) == (0, 500)
    assert weighed(tmp_path, PlanSettings(let_go=("untested",))) == (500, 0)


def test_protected_and_uncertain_copies_and_those_of_albums_do_not_count(tmp_path: Path) -> None:
    made(tmp_path, {"size": 500, "lossless": True}, {"size": 300})
    assert weighed(tmp_path) == (300, 0)
    assert weighed(tmp_path, keep=KeepSettings(protect=(b"/music",))) == (0, 0)
    assert weighed(tmp_path / "scores", PlanSettings(auto=0.999)) == (0, 0)


def test_a_file_that_an_album_needs_does_not_count(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        for number in (1, 2, 3):
            tags = {"album": ALBUM, "artist": ("x",), "tracknumber": (f"{number}/3",)}
            items = SOUND if number == 1 else stores.recording(number, 200)
            stores.add_track(store, f"album/{number}", items, size=100, tags=tags)
        stores.add_track(store, "single", stores.copied(SOUND, 0.05), size=500, lossless=True)
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        pass_all(store)
    assert weighed(tmp_path) == (0, 0)
    assert weighed(tmp_path, PlanSettings(break_albums=True)) == (100, 0)


def test_most_bytes_come_first_then_the_path(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        for seed, (folder, size) in enumerate((("c", 10), ("b", 20), ("a", 10))):
            items = stores.recording(30 + seed, 200)
            stores.add_track(store, f"{folder}/1", items, size=size)
            stores.add_track(store, f"{folder}/2", stores.copied(items, 0.1), size=size)
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        by_hope = [group.reference.path for group in find_groups(store, MATCH, KEEP).groups]
        pass_all(store)
        assert [group.reference.path for group in find_groups(store, MATCH, KEEP).groups] == by_hope
        assert by_hope == [b"/music/b/1", b"/music/a/1", b"/music/c/1"]
