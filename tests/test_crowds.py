"""Thousands of files with one sound: what is told of them is the same as if each two were looked at."""

from __future__ import annotations

from pathlib import Path

import pytest

from dedup.correlation.correlate import correlate
from dedup.groups import crowds
from dedup.groups.groups import relations_apart, uncertain
from dedup.groups.judgements import find, record
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.plan.weigh import find_groups
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, KeepSettings, MatchSettings
from dedup.store.store import Store
from tests.stores import add_audio, add_track, copied, open_store, recording


def fill(store: Store) -> None:
    """Five sounds that relate to each other, each in several files, and one of these judged."""
    whole = recording(1, 600)
    sounds = [whole, whole[100:300], copied(whole[250:500], 0.1), copied(whole, 0.3), copied(whole, 0.34)]
    for at, items in enumerate(sounds):
        audio = add_audio(store, items, stream=bytes([at]) * 16)
        for number in range(4):
            add_track(store, f"{(number * 3 + at) % 5} {at} {number}.mp3", audio)
    correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
    one, other = (find(store, f"/music/{at} {at} 0.mp3".encode()) for at in (0, 3))
    record(store, one.content, other.content, False, 0.4)


def told(store: Store) -> list[tuple[object, ...]]:
    found = find_groups(store, MatchSettings(), KeepSettings())
    pairs = [*relations_apart(*found), *uncertain(Matches(store, MatchSettings()))]
    return [(pair.a.path, pair.b.path, pair.verdict, pair.match) for pair in pairs]


def test_nothing_changes_if_not_each_two_are_looked_at(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with open_store(tmp_path / "store") as store:
        fill(store)
        monkeypatch.setattr(crowds, "MANY", 1_000_000)
        each_two, n_pairs = told(store), len(Matches(store, MatchSettings()).beside())
        monkeypatch.setattr(crowds, "MANY", 0)
        assert told(store) == each_two
        alike = Matches(store, MatchSettings()).beside(lambda track: track.content)
        assert 0 < len(alike) < n_pairs / 10
