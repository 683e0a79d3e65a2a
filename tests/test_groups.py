"""Groups: a reference, and the tracks that match the reference itself."""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dedup.correlation.correlate import correlate
from dedup.correlation.scoring import BESIDE, MERGING
from dedup.groups.groups import Group, make_groups, uncertain
from dedup.groups.judgements import find, record
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.items import Items
from dedup.store.store import Store
from tests import stores

A, B = stores.recording(1, 200), stores.recording(2, 200)
LOSSLESS = {"codec": "flac", "lossless": True, "bits": 16, "sample_rate": 44100}


def groups_of(store: Store) -> list[Group]:
    correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
    matches = Matches(store, MatchSettings())
    groups = make_groups(matches)
    paths = [track.path for group in groups for track in group.tracks]
    assert len(paths) == len(set(paths)), "no track is in two groups"
    for group in groups:
        assert {pair.b for pair in group.members} == {group.reference}
        assert {pair.verdict for pair in group.members} <= MERGING
        assert {pair.verdict for pair in group.beside} <= set(BESIDE)
        assert {pair.b for pair in group.beside} <= {group.reference}
    return groups


def names(group: Group) -> list[str]:
    return [track.path.decode().removeprefix("/music/") for track in group.tracks]


def grouped(folder: Path, tracks: Sequence[tuple[str, Items, dict[str, Any]]], block_size: int = 4) -> list[Group]:
    """The groups of tracks with these names, items and properties."""
    with stores.open_store(folder, block_size) as store:
        for name, items, properties in tracks:
            own = dict(properties)
            audio = stores.add_audio(store, items, damage=own.pop("damage", None))
            stores.add_track(store, name, audio, **own)
        return groups_of(store)


def copy(seed: int) -> Items:
    return stores.copied(A, 0.05, seed)


# ---- no chains ----


def chain() -> dict[str, Items]:
    """Each like its neighbours, the ends not like each other."""
    middle = A
    return {"left": stores.copied(middle, 0.2, 1), "middle": middle, "right": stores.copied(middle, 0.2, 2)}


@pytest.mark.parametrize("end", ["left", "right"])
def test_a_chain_never_joins_its_ends_to_the_best_of_them(tmp_path: Path, end: str) -> None:
    tracks = [(name, items, LOSSLESS if name == end else {}) for name, items in chain().items()]
    (group,) = grouped(tmp_path, tracks)
    assert names(group) == [end, "middle"], "the other end does not match the reference"


def test_both_ends_match_a_reference_in_the_middle(tmp_path: Path) -> None:
    tracks = [(name, items, LOSSLESS if name == "middle" else {}) for name, items in chain().items()]
    (group,) = grouped(tmp_path, tracks)
    assert names(group) == ["middle", "left", "right"]


def test_what_a_chain_leaves_over_is_grouped_by_itself(tmp_path: Path) -> None:
    items = chain()
    tracks = [
        ("best", items["left"], LOSSLESS),
        ("bridge", items["middle"], {}),
        ("far 1", items["right"], {"bitrate": 2_000}),
        ("far 2", stores.copied(items["right"], 0.02, 3), {"bitrate": 1_000}),
    ]
    assert [names(group) for group in grouped(tmp_path, tracks)] == [["best", "bridge"], ["far 1", "far 2"]]


def test_a_false_pair_does_not_join_two_groups(tmp_path: Path) -> None:
    # Each bit is that of one or the other: like either, while the two have nothing in common.
    first, second = stores.recording(3, 900), stores.recording(4, 900)
    which = np.random.default_rng(1).integers(0, 2**32, 900).astype(np.uint32)
    mixture = (first & which) | (second & ~which)
    tracks = [("a1", first, LOSSLESS), ("a2", stores.copied(first, 0.05), {})]
    tracks += [("b1", second, LOSSLESS), ("b2", stores.copied(second, 0.05), {}), ("mixture", mixture, {})]
    found = grouped(tmp_path, tracks)
    assert {frozenset(names(group)) for group in found} == {frozenset({"a1", "a2"}), frozenset({"b1", "b2", "mixture"})}


def test_the_weakest_is_the_member_that_matches_least_well(tmp_path: Path) -> None:
    tracks = [("ref", A, LOSSLESS), ("good", copy(1), {}), ("weak", stores.copied(A, 0.2), {}), ("twin", A, {})]
    (group,) = grouped(tmp_path, tracks)
    assert group.weakest.a.path == b"/music/weak"
    assert group.weakest.match.score == min(pair.match.score for pair in group.members) < 0.7


# ---- what hangs beside a group ----


def test_what_never_merges_hangs_beside_the_best_copy_once(tmp_path: Path) -> None:
    """Property: an excerpt and another version are named against the reference, in no group."""
    version, part = stores.copied(A, 0.3, 7), A[20:125]
    tracks = [("ref", A, LOSSLESS), ("copy", copy(1), {"size": 500}), ("version", version, {}), ("part", part, {})]
    (group,) = grouped(tmp_path, tracks)
    assert names(group) == ["ref", "copy"]
    beside = {pair.a.path: pair for pair in group.beside}
    assert {path: pair.verdict for path, pair in beside.items()} == {
        b"/music/part": "contained",
        b"/music/version": "related",
    }
    assert beside[b"/music/part"].match.lag == -20


def test_of_copies_that_hang_beside_a_group_only_the_best_is_told(tmp_path: Path) -> None:
    whole = stores.recording(5, 500)
    part = whole[100:300]
    tracks = [("whole", whole, LOSSLESS), ("whole, copy", stores.copied(whole, 0.02), {})]
    tracks += [("part", part, {"bitrate": 9_000}), ("part, copy", stores.copied(part, 0.02), {})]
    groups = {group.reference.path: group for group in grouped(tmp_path, tracks)}
    assert set(groups) == {b"/music/whole", b"/music/part"}
    assert [pair.a.path for pair in groups[b"/music/whole"].beside] == [b"/music/part"]
    assert [pair.a.path for pair in groups[b"/music/part"].beside] == [b"/music/whole"]


# ---- what only a person can tell ----


def test_uncertain_is_what_is_related_best_evidence_first(tmp_path: Path) -> None:
    """Property: of copies only the best one is asked about; not what is contained, nor what was judged."""
    with stores.open_store(tmp_path) as store:
        stores.add_track(store, "a", A, **LOSSLESS)
        stores.add_track(store, "a, copy", copy(1))
        stores.add_track(store, "far", stores.copied(A, 0.33, 2))
        stores.add_track(store, "near", stores.copied(A, 0.3, 3))
        stores.add_track(store, "whole", B)
        stores.add_track(store, "part", B[20:125])
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())

        def asked() -> list[set[str]]:
            pairs = uncertain(Matches(store, MatchSettings()))
            evidence = [pair.match.evidence for pair in pairs]
            assert evidence == sorted(evidence, reverse=True)
            assert not any(pair.judged for pair in pairs)
            return [{pair.a.path.decode()[7:], pair.b.path.decode()[7:]} for pair in pairs]

        def say(one: str, other: str, same: bool) -> None:
            a, b = (content_of(store, name) for name in (one, other))
            record(store, a, b, same, None)

        assert asked() == [{"a", "near"}, {"a", "far"}]
        say("far", "a", False)
        assert asked() == [{"a", "near"}]
        say("a", "near", True)
        assert asked() == []
        (group,) = make_groups(Matches(store, MatchSettings()))
        assert names(group) == ["a", "near", "a, copy"], "a name that says that it is a copy's comes last"
        assert [pair.judged for pair in group.members] == [True, False]


def content_of(store: Store, name: str) -> bytes:
    """What a track of the store is judged by; its file is nowhere."""
    return find(store, f"/music/{name}".encode()).content


# ---- excerpts ----


def test_excerpts_are_in_no_group(tmp_path: Path) -> None:
    tracks = [("excerpt", A[20:120], {}), ("excerpt's copy", A[21:120], {}), ("whole", A, LOSSLESS)]
    (group,) = grouped(tmp_path, tracks)
    assert names(group) == ["excerpt", "excerpt's copy"]
    assert grouped(tmp_path / "one", tracks[1:]) == []


# ---- reference and order ----


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        ({"lossless": True}, {"bitrate": 320_000}),
        ({"lossless": True, "bits": 24}, {"lossless": True, "bits": 16, "sample_rate": 96_000}),
        ({"sample_rate": 44_100}, {"sample_rate": 22_050, "bitrate": 320_000}),
        ({"bitrate": 320_000}, {"bitrate": 128_000, "size": 9_000}),
        ({"tags": {"title": ("A",)}}, {"size": 9_000}),
        ({"mtime_ns": 10**9}, {"mtime_ns": 2 * 10**9, "size": 9_000}),
        ({}, {**LOSSLESS, "damage": "breaks off"}),
        ({"damage": "breaks off", "bitrate": 2_000}, {"damage": "breaks off", "bitrate": 1_000}),
        ({"damage": "breaks off"}, {"state": "absent"}),  # what is away is never kept while what is there goes
    ],
)
def test_the_reference_is_the_best_copy(tmp_path: Path, better: dict[str, Any], worse: dict[str, Any]) -> None:
    for folder, order in (("1", ("a", "b")), ("2", ("b", "a"))):
        (group,) = grouped(tmp_path / folder, [(order[0], copy(1), better), (order[1], copy(2), worse)])
        assert names(group) == list(order)


def test_equals_are_ordered_by_path(tmp_path: Path) -> None:
    (group,) = grouped(tmp_path, [(name, copy(seed), {}) for seed, name in enumerate(("c", "a", "b"))])
    assert names(group) == ["a", "b", "c"]


def test_members_are_best_first_and_their_lag_is_against_the_reference(tmp_path: Path) -> None:
    late = np.concatenate([B[:30], A])
    tracks = [
        ("good", copy(1), {"bitrate": 2_000}),
        ("late", late, {"bitrate": 1_000}),
        ("ref", A, LOSSLESS),
        ("x", A[9:], {}),
    ]
    (group,) = grouped(tmp_path, tracks)
    assert names(group) == ["ref", "good", "late", "x"]
    assert [pair.match.lag for pair in group.members] == [0, 30, -9]


# ---- the same groups always ----


def test_groups_do_not_depend_on_order_or_blocks(tmp_path: Path) -> None:
    tracks: list[tuple[str, Items, dict[str, Any]]] = [(name, items, {}) for name, items in chain().items()]
    for seed in range(5):
        base = stores.recording(50 + seed, 150)
        tracks += [(f"{seed}/{n}", stores.copied(base, 0.15, n), {"bitrate": 1_000 * (n % 2)}) for n in range(3)]
    tracks += [("twin 1", A, {}), ("twin 2", A, {}), ("stranger", B, {})]
    expected = None
    for seed, block_size in ((0, 3), (1, 3), (2, 64)):
        random.Random(seed).shuffle(tracks)
        groups = grouped(tmp_path / str(seed), tracks, block_size)
        said = [(names(group), [(pair.match, pair.verdict) for pair in group.members]) for group in groups]
        expected = expected or said
        assert said == expected
    assert len(expected or ()) >= 6


def test_an_empty_store_has_no_groups(tmp_path: Path) -> None:
    assert grouped(tmp_path, []) == []
