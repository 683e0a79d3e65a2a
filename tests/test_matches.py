"""What two tracks are to each other, read from stores whose numbers are known."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import stores

from dedup.correlation.correlate import correlate, last_compare_settings
from dedup.correlation.scoring import MIN_DISTINCT, Match, Verdict
from dedup.fingerprint.chromaprint import SILENT_ITEM, Items
from dedup.matches import Matches, TrackPair
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.store import Store

A, B, C = (stores.recording(seed, 200) for seed in (1, 2, 3))


def matches_of(store: Store, settings: MatchSettings | None = None, compare: CompareSettings | None = None) -> Matches:
    correlate(store, compare or CompareSettings(), InlineRunner(), Silent())
    return Matches(store, settings or MatchSettings())


def found(pairs: Sequence[TrackPair] | Any) -> list[tuple[str, str, Verdict]]:
    return [(pair.a.path.decode()[7:], pair.b.path.decode()[7:], pair.verdict) for pair in pairs]


# ---- tracks of one fingerprint ----


def test_identical_files_and_tracks_of_one_audio(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        audio = stores.add_audio(store, A)
        for name, full in (("a", b"1"), ("b", b"1"), ("c", None), ("d", b"2")):
            stores.add_track(store, name, audio, full=full)
        pairs = list(matches_of(store).pairs())
    assert found(pairs) == [
        ("a", "b", "identical file"),
        *((a, b, "same audio") for a, b in itertools.combinations("abcd", 2) if (a, b) != ("a", "b")),
    ]
    assert {pair.match for pair in pairs} == {Match(0, 200, 0, 1.0, 0.5)}


@pytest.mark.parametrize(
    ("left", "right", "expected"),
    [
        ({"stream": b"s"}, {"stream": b"s"}, "same audio"),
        ({"stream": b"s"}, {"stream": b"t"}, "same recording"),
        ({"stream": None}, {"stream": None}, "same recording"),
        ({"key": "flac-md5|1"}, {"key": "flac-md5|1"}, "same audio"),
        ({"key": "flac-md5|1"}, {"key": "flac-md5|2"}, "same recording"),
        ({"key": "flac-md5|1", "damage": "breaks off"}, {"key": "flac-md5|1"}, "same recording"),
        ({"key": "packets|1"}, {"key": "packets|1"}, "same recording"),
        ({"key": ""}, {"key": ""}, "same recording"),
    ],
)
def test_different_audio_of_one_fingerprint(
    tmp_path: Path, left: dict[str, Any], right: dict[str, Any], expected: Verdict
) -> None:
    with stores.open_store(tmp_path) as store:
        stores.add_track(store, "a", stores.add_audio(store, A, **left))
        stores.add_track(store, "b", stores.add_audio(store, A, **right))
        assert found(matches_of(store).pairs()) == [("a", "b", expected)]


@pytest.mark.parametrize("end", [np.full(30, SILENT_ITEM, np.uint32), stores.recording(8, 30)])
@pytest.mark.parametrize(("n_distinct", "n_found"), [(MIN_DISTINCT - 1, 0), (MIN_DISTINCT, 1)])
def test_few_different_items_are_no_evidence(tmp_path: Path, n_distinct: int, n_found: int, end: Items) -> None:
    hum = np.resize(stores.recording(9, n_distinct), 200)
    with stores.open_store(tmp_path) as store:
        for name, items in (("a", hum), ("b", hum), ("c", np.concatenate([hum, end]))):
            stores.add_track(store, name, stores.add_audio(store, items))
        # One fingerprint; and another that scores 1 with it.
        settings = MatchSettings(min_prominence=0.0)
        matches = matches_of(store, settings)
        assert sum(len(found) for found in matches.neighbours.values()) == 2
        assert len(list(matches.pairs())) == 3 * n_found


def test_no_evidence_is_needed_for_one_file_or_one_stream(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        for name, stream, full in (("a", b"s", b"1"), ("b", b"s", b"2"), ("c", None, b"2"), ("d", None, None)):
            audio = stores.add_audio(store, np.full(200, 5, np.uint32), stream)
            stores.add_track(store, name, audio, full=full)
        expected = [("a", "b", "same audio"), ("b", "c", "identical file")]
        assert found(matches_of(store).pairs()) == expected


# ---- neighbours ----


def test_neighbours_match_in_all_their_tracks(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        stores.add_track(store, "z", stores.copied(A, 0.1))
        audio = stores.add_audio(store, A)
        stores.add_track(store, "y", audio)
        stores.add_track(store, "x", audio)
        stores.add_track(store, "stranger", B)
        matches = matches_of(store)
    assert found(matches.pairs()) == [
        ("x", "y", "same audio"),
        ("x", "z", "same recording"),
        ("y", "z", "same recording"),
    ]
    assert [track.path for track in matches.tracks] == [b"/music/x", b"/music/y", b"/music/z"]
    last = matches.tracks[-1]
    assert found(matches.of(last)) == [("z", "x", "same recording"), ("z", "y", "same recording")]


def test_lags_are_those_of_the_first_track(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        stores.add_track(store, "late", np.concatenate([B[:50], A]))
        stores.add_track(store, "plain", A)
        matches = matches_of(store)
    late, plain = matches.tracks
    assert [pair.match.lag for pair in matches.of(late)] == [50]
    assert [pair.match.lag for pair in matches.of(plain)] == [-50]
    assert [pair.match.lag for pair in matches.pairs()] == [50]


def test_thresholds_apply_to_what_is_stored(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        stores.add_track(store, "a", A)
        stores.add_track(store, "b", stores.copied(A, 0.2))
        (pair,) = matches_of(store).pairs()
        assert 0.55 < pair.match.score < 0.65
        assert 0.2 < pair.match.prominence < 0.35
        at = MatchSettings(pair.match.score, pair.match.prominence)
        assert list(Matches(store, at).pairs()) == [pair]
        for above in (MatchSettings(min_score=0.66), MatchSettings(min_prominence=0.36)):
            assert list(Matches(store, above).pairs()) == []


def test_excerpts_are_contained_and_noise_is_other(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        stores.add_track(store, "excerpt", A[20:120])
        stores.add_track(store, "noise", stores.copied(A, 0.45))
        stores.add_track(store, "whole", A)
        assert found(matches_of(store).pairs()) == [("excerpt", "whole", "contained")]


def test_tracks_that_are_gone_or_have_no_fingerprint_match_nothing(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        for name, items in (("a", A), ("b", stores.copied(A, 0.1)), ("c", stores.copied(A, 0.1, seed=1))):
            stores.add_track(store, name, items)
        assert len(list(matches_of(store).pairs())) == 3
        store.catalog.forget_tracks([b"/music/b"])
        assert found(Matches(store, MatchSettings()).pairs()) == [("a", "c", "same recording")]


def test_pairs_are_sorted_by_both_paths_whatever_the_bytes(tmp_path: Path) -> None:
    names = ["b", "ä", "a\n", "a", "B", "a/b"]
    with stores.open_store(tmp_path, block_size=2) as store:
        for seed, name in enumerate(names):
            stores.add_track(store, name, stores.copied(A, 0.05, seed))
        pairs = [(pair.a.path, pair.b.path) for pair in matches_of(store).pairs()]
    paths = sorted(f"/music/{name}".encode() for name in names)
    assert pairs == list(itertools.combinations(paths, 2))


def test_the_last_settings_are_read_unless_others_are_given(tmp_path: Path) -> None:
    near, far = CompareSettings(max_lag=10), CompareSettings(max_lag=60)
    with stores.open_store(tmp_path) as store:
        assert last_compare_settings(store) == CompareSettings()
        assert list(Matches(store, MatchSettings()).pairs()) == []
        stores.add_track(store, "late", np.concatenate([B[:50], A]))
        stores.add_track(store, "plain", A)
        assert len(list(matches_of(store, compare=far).pairs())) == 1
        assert len(list(matches_of(store, compare=near).pairs())) == 0
        assert last_compare_settings(store) == near
        assert len(list(Matches(store, MatchSettings(), far).pairs())) == 1


# ---- counting, and excerpts


def test_pairs_are_counted_as_they_are_listed(tmp_path: Path) -> None:
    hum = np.resize(stores.recording(9, MIN_DISTINCT - 1), 200)
    with stores.open_store(tmp_path) as store:
        for n in range(4):
            stores.add_track(store, f"copy {n}", A)
        for n in range(3):
            stores.add_track(store, f"close {n}", stores.copied(A, 0.05))
        for n, full in enumerate((b"1", b"1", None)):
            stores.add_track(store, f"hum {n}", hum, full=full)
        stores.add_track(store, "name", B, inode=7)
        stores.add_track(store, "other name", B, inode=7)
        stores.add_track(store, "alone", C)
        matches = matches_of(store)
    n_listed = len(list(matches.pairs()))
    assert matches.count_pairs() == n_listed == 7 * 6 // 2 + 1 + 1


def test_excerpts_are_named_from_the_part(tmp_path: Path) -> None:
    whole = stores.recording(5, 400)
    with stores.open_store(tmp_path) as store:
        stores.add_track(store, "a whole", whole)
        stores.add_track(store, "b part", whole[100:220])
        (pair,) = matches_of(store).excerpts()
    assert found([pair]) == [("b part", "a whole", "contained")]
    assert pair.match.lag == -100


def test_one_file_under_two_names_is_no_copy(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        audio = stores.add_audio(store, A)
        stores.add_track(store, "a", audio, inode=7, full=b"1")
        stores.add_track(store, "b", audio, inode=7, full=b"1")
        stores.add_track(store, "c", audio, inode=8, full=b"1")
        assert found(matches_of(store).pairs()) == [
            ("a", "b", "same file"),
            ("a", "c", "identical file"),
            ("b", "c", "identical file"),
        ]
