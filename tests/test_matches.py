"""What two tracks are to each other, read from stores whose numbers are known."""

from __future__ import annotations

import itertools
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dedup.correlation.correlate import correlate, last_compare_settings
from dedup.correlation.match import identity_match
from dedup.correlation.scoring import MERGING, MIN_DISTINCT, Verdict, usual_noise
from dedup.errors import EXIT_USAGE, UsageError
from dedup.groups.groups import make_groups
from dedup.groups.judgements import find, forget, record
from dedup.groups.matches import Matches, TrackPair
from dedup.groups.thresholds import JUST_BELOW, thresholds
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.items import SILENT_ITEM, Items, n_distinct
from dedup.store.store import Store
from tests import stores

A, B, C = (stores.recording(seed, 200) for seed in (1, 2, 3))


def matches_of(store: Store, settings: MatchSettings | None = None, compare: CompareSettings | None = None) -> Matches:
    correlate(store, compare or CompareSettings(varispeed=False), InlineRunner(), Silent())
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
    assert {pair.match for pair in pairs} == {identity_match(200, n_distinct(A))}


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
        assert len(matches.related) == 1
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
        at = MatchSettings(min_score=pair.match.score, min_prominence=pair.match.prominence)
        assert list(Matches(store, at).pairs()) == [pair]
        for above in (MatchSettings(min_score=0.66), MatchSettings(min_prominence=0.36)):
            assert found(Matches(store, above).pairs()) == [("a", "b", "related")]
        assert list(Matches(store, MatchSettings(max_false=1e-300)).pairs()) == []


def test_the_classic_way_everything_stored_is_judged_by_raw_agreement(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        stores.add_track(store, "a", A)
        stores.add_track(store, "b", stores.copied(A, 0.35))
        stores.add_track(store, "c", B)
        (pair,) = matches_of(store, MatchSettings(max_false=1e-300, classic=0.58)).pairs()
        assert found([pair]) == [("a", "b", "same recording")]
        assert 0.6 < pair.match.agreement < 0.7
        assert pair.match.score < MatchSettings().min_score
        assert list(Matches(store, MatchSettings(classic=0.7)).pairs()) == []


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
        store.catalog.tracks.forget([b"/music/b"])
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
    near, far = CompareSettings(varispeed=False, max_lag=10), CompareSettings(varispeed=False, max_lag=60)
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
    assert matches.count_pairs() == {"same recording": len(list(matches.pairs()))}
    assert matches.count_pairs().total() == 7 * 6 // 2 + 1 + 1


def test_pairs_are_counted_by_what_they_are(tmp_path: Path) -> None:
    """Property: those that merge as one, the others by name, however many copies there are."""
    with stores.open_store(tmp_path) as store:
        for n in range(11):
            stores.add_track(store, f"copy {n}", A)
            stores.add_track(store, f"version {n}", stores.copied(A, 0.3))
        stores.add_track(store, "part", A[20:125])
        matches = matches_of(store)
        listed = Counter(pair.verdict for pair in matches.pairs())
        merging = sum(n for verdict, n in listed.items() if verdict in MERGING)
        assert matches.count_pairs() == {
            "same recording": merging,
            "related": listed["related"],
            "contained": listed["contained"],
        }
        assert (merging, listed["contained"]) == (2 * 55, 11)
        assert listed["related"] == 11 * 11 + 11
        judge(store, "copy 0", "version 0", same=True)
        counts = Matches(store, MatchSettings()).count_pairs()
        assert (counts["same recording"], counts["related"]) == (merging + 11 * 11, 11)


def test_excerpts_are_named_from_the_part(tmp_path: Path) -> None:
    whole = stores.recording(5, 400)
    with stores.open_store(tmp_path) as store:
        stores.add_track(store, "a whole", whole)
        stores.add_track(store, "b part", whole[100:220])
        (pair,) = matches_of(store).beside()
    assert found([pair]) == [("b part", "a whole", "contained")]
    assert pair.match.lag == -100


def test_what_never_merges_is_listed_best_evidence_first(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        stores.add_track(store, "whole", stores.recording(5, 400))
        stores.add_track(store, "copy", stores.copied(stores.recording(5, 400), 0.05))
        stores.add_track(store, "part", stores.recording(5, 400)[100:220])
        stores.add_track(store, "version", stores.copied(stores.recording(5, 400), 0.3, seed=1))
        beside = matches_of(store).beside()
    evidence = [pair.match.evidence for pair in beside]
    assert evidence == sorted(evidence, reverse=True)
    told = [(frozenset((one, other)), verdict) for one, other, verdict in found(beside)]
    assert len(set(told)) == len(told), "each once"
    assert dict(told) == {
        frozenset(("part", "whole")): "contained",
        frozenset(("part", "copy")): "contained",
        frozenset(("version", "whole")): "related",
        frozenset(("version", "copy")): "related",
        frozenset(("version", "part")): "related",
    }
    assert {pair.a.path for pair in beside if pair.verdict == "contained"} == {b"/music/part"}


def test_one_file_under_two_names_is_no_copy(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        audio = stores.add_audio(store, A)
        stores.add_track(store, "a", audio, inode=7, full=b"1" * 32)
        stores.add_track(store, "b", audio, inode=7, full=b"1" * 32)
        stores.add_track(store, "c", audio, inode=8, full=b"1" * 32)
        assert found(matches_of(store).pairs()) == [
            ("a", "b", "same file"),
            ("a", "c", "identical file"),
            ("b", "c", "identical file"),
        ]


# ---- what a person said ----


def judge(store: Store, one: str, other: str, same: bool, score: float | None = None) -> None:
    a, b = (find(store, f"/music/{name}".encode()).content for name in (one, other))
    record(store, a, b, same, score)


def judged(store: Store) -> list[tuple[str, str, Verdict, bool]]:
    pairs = list(Matches(store, MatchSettings()).pairs())
    return [(*told, pair.judged) for told, pair in zip(found(pairs), pairs, strict=True)]


def test_different_splits_and_same_joins_whatever_the_score(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        for name, items in (("a", A), ("a2", stores.copied(A, 0.1)), ("b", B), ("short", C[:40])):
            stores.add_track(store, name, items)
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        assert judged(store) == [("a", "a2", "same recording", False)]
        judge(store, "a2", "a", same=False)
        assert judged(store) == []
        judge(store, "a", "b", same=True)  # no tile has a pair of these two
        judge(store, "short", "a", same=True)  # these cannot even overlap enough
        assert judged(store) == [("a", "b", "same recording", True), ("a", "short", "same recording", True)]
        matches = Matches(store, MatchSettings())
        assert matches.count_pairs() == {"same recording": 2}
        scores = {pair.b.path: pair.match.score for pair in matches.pairs()}
        assert scores[b"/music/b"] < 0.2
        assert scores[b"/music/short"] == 0
        (group,) = make_groups(matches)
        assert {track.path for track in group.tracks} == {b"/music/a", b"/music/b", b"/music/short"}
        forget(store, *(find(store, f"/music/{name}".encode()).content for name in ("a", "b")))
        assert judged(store) == [("a", "short", "same recording", True)]


def test_what_is_one_file_or_one_audio_stays_it(tmp_path: Path) -> None:
    """Property: a judgement says nothing of how a file came to be; only of what a FLAC claims it is believed more."""
    with stores.open_store(tmp_path) as store:
        for name, stream, full in (("a", b"s" * 16, b"1"), ("b", b"t" * 16, b"1"), ("c", b"t" * 16, None)):
            stores.add_track(store, name, stores.add_audio(store, A, stream=stream), full=full)
        for name, stream in (("d", b"u" * 16), ("e", b"v" * 16)):
            stores.add_track(store, name, stores.add_audio(store, B, stream=stream, key="flac-md5|1"))
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        expected = [("a", "b", "identical file"), ("a", "c", "same recording"), ("b", "c", "same audio")]
        assert [told[:3] for told in judged(store)] == [*expected, ("d", "e", "same audio")]
        judge(store, "a", "b", same=False)
        judge(store, "d", "e", same=False)
        assert judged(store) == [("a", "b", "identical file", True), ("b", "c", "same audio", False)]
        judge(store, "a", "b", same=True)
        judge(store, "d", "e", same=True)
        assert judged(store) == [
            ("a", "b", "identical file", True),
            ("a", "c", "same recording", True),
            ("b", "c", "same audio", False),
            ("d", "e", "same audio", True),
        ]


def test_a_judgement_is_of_what_the_files_hold(tmp_path: Path) -> None:
    """Property: it outlives a move and new tags, holds for every copy of the same audio, and not for another file that
    takes the old name."""
    with stores.open_store(tmp_path) as store:
        audio = stores.add_audio(store, A, stream=b"s" * 16)
        stores.add_track(store, "a", audio)
        stores.add_track(store, "b", B)
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        judge(store, "a", "b", same=True)
        store.catalog.tracks.forget([b"/music/a"])
        assert judged(store) == []
        stores.add_track(store, "moved/a", audio, tags={"title": ("Another",)}, size=1234)
        stores.add_track(store, "copied/a", audio)
        stores.add_track(store, "a", C)
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        assert judged(store) == [
            ("b", "copied/a", "same recording", True),
            ("b", "moved/a", "same recording", True),
            ("copied/a", "moved/a", "same audio", False),
        ]


# ---- thresholds ----


def test_thresholds_fall_with_what_is_allowed_and_rise_with_the_tracks(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        found = []
        for n in range(1, 41):
            stores.add_track(store, str(n), stores.recording(n, 100))
            stores.add_track(store, f"{n}, copy", stores.recording(n, 100))
            found.append(thresholds(store, MatchSettings()))
        assert [limits.n_tracks for limits in found] == list(range(1, 41)), "copies of one sound are compared once"
        related = [limits.related for limits in found]
        assert related == sorted(related)
        assert related[-1] > related[1] == found[1].noise.threshold(2, 0.01)
        allowed = [thresholds(store, MatchSettings(max_false=n)).related for n in (1e-6, 1e-4, 0.01, 1.0)]
        assert allowed == sorted(allowed, reverse=True)
        assert len(set(allowed)) == 4
        limits = thresholds(store, MatchSettings(0.5, 0.3, 0.2, 0.7))
        assert (limits.same, limits.min_prominence, limits.classic) == (0.3, 0.2, 0.7)


def test_without_a_store_a_large_library_is_thought_of() -> None:
    limits = thresholds(None, MatchSettings())
    assert (limits.n_tracks, limits.noise) == (10_000, usual_noise())
    with pytest.raises(UsageError, match="found 0 judgements"):
        thresholds(None, MatchSettings(min_score=None))


def test_as_approved_needs_ten_judgements_and_takes_just_below_the_lowest(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:

        def say(n: int, same: bool, score: float | None) -> None:
            record(store, bytes([n]) * 16, bytes([n + 100]) * 16, same, score)

        for n in range(9):
            say(n, True, 0.5 + n / 100)
        with pytest.raises(UsageError) as refused:
            thresholds(store, MatchSettings(min_score=None))
        assert refused.value.exit_code == EXIT_USAGE == 2
        told = str(refused.value)
        assert "\n" not in told
        for part in ("min-score", "found 9 judgements, 9 of them 'same'", "10 judgements or more", "report --ask"):
            assert part in told
        say(9, False, 0.2)
        assert thresholds(store, MatchSettings(min_score=None)).same == 0.5 - JUST_BELOW
        say(10, True, 0.31)
        assert thresholds(store, MatchSettings(min_score=None)).same == 0.31 - JUST_BELOW
        say(11, True, None)  # two that could not be compared
        say(12, True, 0.001)
        lowest = thresholds(store, MatchSettings(min_score=None))
        assert lowest.same == lowest.related, "never below the noise floor"
        say(12, False, 0.001)
        assert thresholds(store, MatchSettings(min_score=None)).same == 0.31 - JUST_BELOW


def test_what_is_said_meanwhile_counts_once_it_is_read(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        for name in "ab":
            stores.add_track(store, name, stores.add_audio(store, A, stream=name.encode() * 16))
        matches = matches_of(store)
        record(store, b"a" * 16, b"b" * 16, False, 1.0)
        assert found(matches.pairs()) == [("a", "b", "same recording")]
        assert matches.judgements.said == {}
        matches.renew_judgements(store)
        assert found(matches.pairs()) == []
        assert matches.judgements.said == {(b"a" * 16, b"b" * 16): False}
        with pytest.raises(AttributeError):
            matches.judgements = None  # type: ignore[misc, assignment]


def test_ten_that_were_all_called_different_approve_nothing(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        for n in range(12):
            record(store, bytes([n]) * 16, bytes([n + 100]) * 16, False, 0.5)
        with pytest.raises(UsageError, match="found 12 judgements, 0 of them 'same'"):
            thresholds(store, MatchSettings(min_score=None))
