"""Calibration: the sounds are as different as they are meant to be, the tables count what they say."""

from __future__ import annotations

import dataclasses
import itertools
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dedup.correlation.compare import compare_two
from dedup.correlation.scoring import MIN_DISTINCT, Noise
from dedup.settings import CompareSettings
from dedup.store.items import SILENT_ITEM, Items, n_distinct
from dedup.synthesis import sounds
from dedup.synthesis.fingerprints import Library
from scripts.study import calibrate, false_pairs
from tests import stores

N_TRACKS = 60
N_PAIRS = N_TRACKS * (N_TRACKS - 1) // 2


@pytest.fixture
def brief(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sounds that are sooner made."""
    monkeypatch.setattr(sounds, "SHORTEST_S", 16)
    monkeypatch.setattr(sounds, "LONGEST_S", 36)
    monkeypatch.setattr(sounds, "MUSIC_S", (12, 14))


def items_of(seed: int, index: int) -> Items:
    items: Items = sounds.items_of(sounds.sound(seed, index))
    return items


@pytest.mark.usefixtures("brief")
def test_sounds_of_a_kind_differ_and_can_be_told_apart() -> None:
    items = {(seed, index): items_of(seed, index) for seed in (1, 2) for index in range(15)}
    assert len({one.tobytes() for (_, index), one in items.items() if not sounds.is_still(index)}) == 2 * 14
    assert {sounds.kind_of(index) for _, index in items} == {"drone", "weather", "loop", "speech", "song"}
    for (_, index), one in items.items():
        assert len(one) > 80
        assert (n_distinct(one) < MIN_DISTINCT) == sounds.is_still(index), sounds.kind_of(index)
    for index in range(5):
        assert np.array_equal(items_of(2, index), items[2, index])


@pytest.mark.usefixtures("brief")
def test_a_song_is_silent_at_either_end() -> None:
    items = items_of(1, sounds.KINDS.index("song"))
    assert {*items[:30].tolist(), *items[-30:].tolist()} == {SILENT_ITEM}
    assert n_distinct(items) > 80


def test_random_pairs_are_different_ones() -> None:
    every = calibrate.random_pairs(9, 100, 1)
    assert sorted(map(tuple, every.tolist())) == list(itertools.combinations(range(9), 2))
    some = calibrate.random_pairs(3000, 5000, 1)
    assert len(np.unique(some, axis=0)) == 5000
    assert np.all(some[:, 0] < some[:, 1])
    assert (some.min(), some.max() < 3000) == (0, True)
    assert np.array_equal(some, calibrate.random_pairs(3000, 5000, 1))
    assert not np.array_equal(some, calibrate.random_pairs(3000, 5000, 2))


def report(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], *options: object) -> Any:
    """What the script prints with --json of its only library."""
    command = ["calibrate.py", "--tracks", N_TRACKS, "--workers", 0, *options, "--json"]
    monkeypatch.setattr(sys, "argv", list(map(str, command)))
    calibrate.main()
    (of_library,) = json.loads(capsys.readouterr().out)
    return of_library


def test_every_pair_is_counted(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(calibrate, "N_ITEMS", 200)
    told = report(monkeypatch, capsys, "--kind", "made", "--pairs", N_PAIRS)
    assert (told["tracks"], told["fingerprints"], told["pairs"]) == (N_TRACKS, N_TRACKS, N_PAIRS)
    tracks = [Library(1, 200).track(index).items for index in range(N_TRACKS)]
    matches = [compare_two(a, b, CompareSettings(varispeed=False)) for a, b in itertools.combinations(tracks, 2)]
    evidence = [match.evidence for match in matches if match is not None]
    for row in told["rows"]:
        assert row["counted"] == sum(one >= row["threshold"] for one in evidence)
        assert row["predicted"] == pytest.approx(min(row["allowed"], N_PAIRS / 10))
        assert row["seen"] is None
        assert row["claimed"] == 0
        assert row["stored"] <= row["counted"]
    assert told["rows"][-1]["counted"] > 0, "else nothing was tried"
    assert told["classic"]["counted"] == sum(match.agreement >= 0.58 for match in matches if match is not None)
    assert told["highest"][0]["evidence"] == pytest.approx(max(evidence), abs=1e-4)
    assert told["claimed"] == []


@pytest.mark.usefixtures("brief")
@pytest.mark.long
def test_a_library_is_the_same_again_and_its_rows_add_up(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    options = ("--kind", "sounds", "--pairs", 700, "--keep", tmp_path)
    told = report(monkeypatch, capsys, *options)
    rows = told["rows"]
    assert told["sampled"] == 700
    assert told["few_items"] >= 3, "those that do not move"
    assert [row["threshold"] for row in rows] == sorted((row["threshold"] for row in rows), reverse=True)
    assert [row["counted"] for row in rows] == sorted(row["counted"] for row in rows)
    for row in rows:
        scaled = row["stored"] if row["seen"] is None else row["seen"] * told["pairs"] / 700
        assert row["counted"] == pytest.approx(scaled)
        assert row["few_items"] <= row["counted"]
    assert sum(row["sampled"] for row in told["kinds"]) == 700
    closer = next(row for row in rows if row["allowed"] == false_pairs.CLOSER_LOOK)
    assert sum(row["counted"] for row in told["kinds"]) == pytest.approx(closer["counted"])
    assert told["claimed"] == []

    monkeypatch.setattr(sounds, "sound", None)  # what is kept is not made again
    assert report(monkeypatch, capsys, *options) == told
    calibrate.show(told)
    assert "sounds, seed 1: 60 tracks, " in capsys.readouterr().out


def test_a_false_claim_is_told(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    def make_items(_kind: str, _seed: int, first: int, end: int) -> list[Items]:
        made = [stores.recording(index, 300) for index in range(first, end)]
        return [stores.copied(made[0], 0.05), *made[1:-1], made[0]] if first == 0 else made

    monkeypatch.setattr(calibrate, "make_items", make_items)
    told = report(monkeypatch, capsys, "--kind", "made", "--pairs", 50)
    last = calibrate.TRACKS_A_TASK - 1
    assert told["claimed"] == [["same recording", "/made/0000/0000000.flac", f"/made/0000/{last:07}.flac"]]
    assert told["verdicts"] == {"same recording": 1}
    assert [(row["stored"], row["claimed"]) for row in told["rows"]] == [(1, 1)] * len(told["rows"])
    assert told["highest"][0]["verdict"] == "same recording"
    calibrate.show(told)
    assert "same recording: /made/0000/0000000.flac <-> " in capsys.readouterr().out


def test_pairs_are_counted_in_the_store_where_it_has_them_all() -> None:
    pairs = np.array([[0, 1], [0, 2], [1, 2]])
    evidence = np.array([0.1, 0.2, 0.3])
    sampled = false_pairs.Scores(pairs, evidence, evidence, evidence)
    stored = sampled.only(evidence > 0.15)
    few = np.array([True, False, False, False])
    weigher = false_pairs.Weigher(Noise(0.1, 0.1), 4, stored, sampled, few, complete_from=0.15)
    counted = weigher.row(0.06)
    assert counted.threshold == pytest.approx(0.2)
    counted = dataclasses.replace(weigher, noise=Noise(0.1, 0.09)).row(0.06)
    assert (counted.counted, counted.few_items, counted.seen, counted.stored) == (2, 1, None, 2)
    scaled = weigher.row(1)
    assert (scaled.predicted, scaled.threshold) == (pytest.approx(0.6), 0.1)
    assert (scaled.counted, scaled.few_items, scaled.seen, scaled.stored) == (6, 4, 3, 2)
