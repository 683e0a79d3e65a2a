"""Pairs by votes: which are candidates is what counting every two equal keys says, and what is found is what the exact
comparison says, whatever the block, the order and the collisions."""

from __future__ import annotations

import hashlib
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.correlation import batches, join, keys, votes
from dedup.correlation.correlate import correlate
from dedup.correlation.join import Joined, join_blocks, make_joined
from dedup.correlation.kernels import BlockItems, chance_corrected, lag_limits
from dedup.correlation.keys import Codes
from dedup.correlation.scoring import MIN_DISTINCT
from dedup.correlation.tile import Part, correlate_parts, correlate_tile
from dedup.correlation.votes import Room, Rows, few_votes, vote, vote_near
from dedup.correlation.worth_storing import KAPPA, LAG, ROW_X, ROW_Y, floor_of
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings
from dedup.store.blocks import make_block
from dedup.store.items import SILENT_ITEM, Items
from dedup.synthesis.fingerprints import Library
from tests import naive, stores
from tests.comparing import CUT, SAME, SETTINGS, assert_part_of_exact, compared, exact

JOIN = CompareSettings("join", varispeed=False)
SET = [ROW_X, ROW_Y, LAG, KAPPA]
"""Columns of what `join_blocks` finds."""


def block_of(rows: Sequence[Items]) -> Joined:
    block = make_block(rows)
    return make_joined(BlockItems(block.items, block.offsets))


def listed(codes: Codes) -> list[tuple[int, int, int]]:
    """Key, row and place of each code."""
    return [(code >> 40, code >> 24 & 0xFFFF, code & 0xFFFFFF) for code in codes.tolist()]


def by_pair(codes: Codes) -> dict[tuple[int, int], list[int]]:
    """The lags of votes, by pair."""
    kept: dict[tuple[int, int], list[int]] = {}
    for code in codes.tolist():
        kept.setdefault((code >> 41, code >> 25 & 0xFFFF), []).append((code & (1 << 25) - 1) - (1 << 24))
    return kept


def all_rows(a: Joined, b: Joined, same: bool = False) -> Rows:
    return Rows(same, 0, len(a.ones), len(b.ones))


def votes_of(a: Joined, b: Joined, same: bool = False) -> dict[tuple[int, int], list[int]]:
    """The lags of the votes that `vote` keeps, by pair."""
    return by_pair(vote(a.keys, b.keys, all_rows(a, b, same), Room()).codes)


# ---- keys ----


@given(st.integers(0, (1 << 32) - 1))
def test_a_key_is_the_higher_bits_and_the_lowest_of_the_lower(item: int) -> None:
    assert keys.key_of(np.uint32(item)) == naive.key_of(item)


ITEM = st.sampled_from([0, 1, 2, 5, 1 << 31, (1 << 32) - 1, SILENT_ITEM])
ROW = st.lists(st.tuples(ITEM, st.integers(1, 3)), max_size=90).map(
    lambda runs: np.array([item for item, n in runs for _ in range(n)], np.uint32)
)


@settings(max_examples=30)
@given(st.lists(st.one_of(CUT, ROW), max_size=6), st.sampled_from([1, 40, 192]))
def test_keys(rows: list[Items], fewest: int) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "FEWEST_KEYS", fewest)
        made = block_of(rows).keys
    of_rows = [naive.track_keys(row) for row in rows]
    some = [row for row, items in enumerate(rows) if naive.n_different(items) >= MIN_DISTINCT]
    many = [(row, of_rows[row]) for row in some if len(of_rows[row]) >= fewest]
    assert listed(made.codes) == sorted((key, row, place) for row, of_row in many for key, place in of_row)
    few = {row: naive.few_keys(rows[row]) for row in some if len(of_rows[row]) < fewest}
    assert listed(made.few) == sorted((key, row, place) for row in few for key, place in few[row])
    assert made.n_few.tolist() == [len(few[row]) if row in few else keys.NOT_FEW for row in range(len(rows))]
    times = sorted(Counter(key for key, *_ in listed(made.codes)).items())
    assert np.diff(made.starts).tolist() == [n for _, n in times]
    assert sum(word.bit_count() for word in made.present.tolist()) == len(times)
    for number, (key, _) in enumerate(times):
        word = int(made.present[key >> 6])
        assert made.before[key >> 6] + (word & ((1 << (key & 63)) - 1)).bit_count() == number
        assert word >> (key & 63) & 1


@settings(max_examples=20)
@given(st.lists(st.one_of(CUT, ROW), min_size=1, max_size=4))
def test_how_often_each_bit_is_set(rows: list[Items]) -> None:
    for row, counted in zip(rows, block_of(rows).ones.tolist(), strict=True):
        assert counted == naive.ones_of(row)


# ---- votes ----


def test_twins_have_the_same_constants() -> None:
    ours = naive.LOW_BITS, naive.MOST_OF_A_TRACK, naive.VOTES, naive.VOTE_LAGS, naive.LIKELIEST, naive.LEAST_KAPPA
    theirs = keys.LOW_BITS, keys.MOST_OF_A_TRACK, votes.VOTES, votes.VOTE_LAGS, join.LIKELIEST, join.LEAST_KAPPA
    assert ours == theirs
    assert (naive.FEWEST_KEYS, naive.BITS_BY_KEYS) == (keys.FEWEST_KEYS, votes.BITS_BY_KEYS)


@settings(max_examples=20)
@given(st.lists(CUT, max_size=4), st.lists(CUT, max_size=4), st.sampled_from([(12, 8), (0, 0), (5, 1)]), st.booleans())
def test_no_vote_that_counts_is_lost(
    rows_a: list[Items], rows_b: list[Items], counters: tuple[int, int], few: bool
) -> None:
    """Property: whatever else shares its counter, and however many rows are taken at a time."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "FEWEST_KEYS", 1)
        patch.setattr(votes, "LEAST_COUNTERS", 1 << counters[0])
        patch.setattr(votes, "ROOM", counters[1])
        patch.setattr(votes, "MOST_VOTES", 20 if few else votes.MOST_VOTES)
        patch.setattr(votes, "SHARE_VOTES", 9 if few else votes.SHARE_VOTES)
        a, b = block_of(rows_a), block_of(rows_b)
        for end_b in (len(rows_b), len(rows_b) // 2):
            pairs = {(i, j) for i in range(len(rows_a)) for j in range(end_b)}
            of_rows = by_pair(vote(a.keys, b.keys, Rows(False, 0, len(rows_a), end_b), Room()).codes)
            assert_votes(rows_a, rows_b, of_rows, pairs)
        pairs = {(i, j) for j in range(len(rows_a)) for i in range(j)}
        assert_votes(rows_a, rows_a, votes_of(a, a, same=True), pairs)


def assert_votes(
    rows_a: list[Items], rows_b: list[Items], kept: dict[tuple[int, int], list[int]], pairs: set[tuple[int, int]]
) -> None:
    """Of each pair all votes within reach of enough others, and none that was not cast."""
    for i, j in pairs:
        cast = naive.voted_lags(rows_a[i], rows_b[j])
        enough = naive.enough_votes(cast)
        counting = [lag for lag in cast if any(first <= lag < first + naive.VOTE_LAGS for first in enough)]
        assert not Counter(counting) - Counter(kept.get((i, j), []))
        assert not Counter(kept.get((i, j), [])) - Counter(cast)
    assert kept.keys() <= pairs


@settings(max_examples=20)
@given(st.lists(st.one_of(CUT, ROW), max_size=4), st.lists(st.one_of(CUT, ROW), max_size=4), st.booleans(), st.data())
def test_each_near_key_of_few_is_a_vote(
    rows_a: list[Items], rows_b: list[Items], in_shares: bool, data: st.DataObject
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(votes, "MOST_VOTES", 20 if in_shares else votes.MOST_VOTES)
        same = data.draw(st.booleans())
        rows_b = rows_a if same else rows_b
        a, b = block_of(rows_a), block_of(rows_b)
        first, end_b = data.draw(st.integers(0, len(rows_a))), data.draw(st.integers(0, len(rows_b)))
        voting = Rows(same, first, len(rows_a), len(rows_b) if same else end_b)
        got: Counter[tuple[int, int, int]] = Counter()
        for few in few_votes(a.keys, b.keys):
            for some in vote_near(*few, voting, Room()):
                assert some.tolist() == sorted(some.tolist())
                got.update((*pair, lag) for pair, lags in by_pair(some).items() for lag in lags)
    expected: Counter[tuple[int, int, int]] = Counter()
    for i, j in np.ndindex(len(rows_a), len(rows_b)):
        if i >= first and (i < j if same else j < end_b):
            expected.update((i, j, lag) for lag in naive.near_lags(rows_a[i], rows_b[j]))
    assert got == expected


def test_collisions_let_more_votes_through_and_change_no_pair(monkeypatch: pytest.MonkeyPatch) -> None:
    library = Library(3, 700, duplicates=0.3)
    rows = [library.track(number).items for number in range(60)]
    block = block_of(rows)
    n_kept, found = [], []
    for least, room in ((12, 8), (9, 0), (0, 0)):
        monkeypatch.setattr(votes, "LEAST_COUNTERS", 1 << least)
        monkeypatch.setattr(votes, "ROOM", room)
        n_kept.append(sum(map(len, votes_of(block, block, same=True).values())))
        found.append(join_blocks(block, block, Rows(True, 0, 60, 60), lag_limits(JOIN), floor_of(JOIN), Room()))
    n_cast = vote(block.keys, block.keys, Rows(True, 0, 60, 60), Room()).n_cast
    assert n_kept[0] < n_kept[1] <= n_kept[2] == n_cast, "with fewer counters more is counted again, with one all"
    for forward, backward in found:
        assert forward[:, SET].tolist() == found[0][0][:, SET].tolist()
        assert backward[:, SET].tolist() == found[0][1][:, SET].tolist()
    assert len(found[0][0]) + len(found[0][1]) > 10


@settings(max_examples=14)
@given(
    st.lists(CUT, min_size=1, max_size=3), st.lists(CUT, min_size=1, max_size=4), SETTINGS, st.sampled_from([1, 192])
)
def test_candidates_are_what_counting_says(
    rows_a: list[Items], rows_b: list[Items], compare: CompareSettings, fewest: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        for where in (keys, naive):
            patch.setattr(where, "FEWEST_KEYS", fewest)
        a, b = block_of(rows_a), block_of(rows_b)
        expected = dict(counted(rows_a, rows_b, compare))
    forward, backward = join_blocks(a, b, all_rows(a, b), lag_limits(compare), floor_of(compare), Room())
    got = {(int(one[ROW_X]), int(one[ROW_Y])): (one[LAG], one[KAPPA]) for one in forward}
    got |= {(int(one[ROW_Y]), int(one[ROW_X])): (-one[LAG], one[KAPPA]) for one in backward}
    assert got == expected


def counted(
    rows_a: list[Items], rows_b: list[Items], compare: CompareSettings
) -> Iterator[tuple[tuple[int, int], tuple[int, float]]]:
    """Rows of each pair that counting finds, lag and kappa there."""
    for i, row_a in enumerate(rows_a):
        for j, row_b in enumerate(rows_b):
            swapped = naive.is_swapped(row_a, row_b)
            x, y = (row_b, row_a) if swapped else (row_a, row_b)
            required = naive.required_overlap(len(x), len(y), compare.min_overlap, compare.min_overlap_items)
            lag = naive.voted_lag(x, y, naive.lag_range(len(x), len(y), required, min(compare.lag_limit, 600)))
            kappa = chance_corrected(x, y, lag)[0] if lag is not None else -1.0
            if lag is not None and kappa >= floor_of(compare).kappa_at_lag:
                yield (i, j), (-lag if swapped else lag, kappa)


# ---- what is found ----


@pytest.fixture(scope="module")
def mixed() -> list[Items]:
    """Music of 1 to 3,000 items, half of it copies; loops, a drone, silence; some too short to vote."""
    library = Library(4, 500, spread=0.5, duplicates=0.5)
    some = [library.track(number).items for number in range(40)]
    bar = stores.recording(3, 40)
    loops = [np.tile(bar, 9), np.tile(bar, 12)[7:], np.tile(bar, 60), stores.copied(np.tile(bar, 60), 0.05)]
    drone = np.tile(np.array([5, 7], np.uint32), 300)
    odd = [np.full(300, SILENT_ITEM, np.uint32), drone, drone[:200], some[3], some[3][7:], stores.recording(1, 1)]
    return [*some, *loops, *odd, stores.recording(2, 3000), stores.recording(2, 3000)[1000:1500]]


@settings(max_examples=12)
@given(st.lists(CUT, min_size=2, max_size=12), SETTINGS, st.sampled_from([1, 100, 192]))
def test_what_is_found_is_bit_for_bit_what_exact_gives(
    rows: list[Items], compare: CompareSettings, fewest: int
) -> None:
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(keys, "FEWEST_KEYS", fewest)
        assert_part_of_exact(rows, replace(compare, method="join"))


def test_in_a_library_all_copies_are_found(mixed: list[Items]) -> None:
    found, exactly = compared(mixed, JOIN), compared(mixed, exact(JOIN))
    assert found.items() <= exactly.items()
    missed = [exactly[pair] for pair in exactly.keys() - found.keys()]
    assert [match for match in missed if match.kappa >= SAME and match.distinct >= MIN_DISTINCT] == []
    assert len(found) > 25


@pytest.mark.parametrize(("block_size", "n_shares"), [(1, 1), (7, 3), (17, 1), (64, 5)])
def test_a_pair_does_not_depend_on_its_block(mixed: list[Items], block_size: int, n_shares: int) -> None:
    at_once = compared(mixed, JOIN)
    order = np.random.default_rng(block_size).permutation(len(mixed)).tolist()
    for swapped in (False, True):
        again = compared(mixed, JOIN, block_size=block_size, order=order, n_shares=n_shares, swapped=swapped)
        assert again == at_once


@pytest.mark.parametrize("n_kept", [2, 100])
def test_a_group_of_blocks_gives_what_its_blocks_give(mixed: list[Items], n_kept: int) -> None:
    blocks = [make_block(mixed[start : start + 9]) for start in range(0, len(mixed), 9)]
    shared = [(block.name, block.items, block.offsets) for block in blocks]
    last, some = len(blocks) - 1, (3, 0, 2, 1)
    alone = [Part(a, last) for a in (3, 2, 1)] + [Part(a, 3) for a in (0, 1)] + [Part(last, last), Part(0, last)]
    grouped = [part._replace(group=some) if part.a != part.b and part.a in some else part for part in alone]
    by_itself, together = (correlate_parts(JOIN, n_kept, parts, *shared) for parts in (alone, grouped))
    assert together[:2] == by_itself[:2]
    assert sum(map(bool, together.pairs)) > 3


def test_tracks_with_few_keys_are_found_by_single_votes() -> None:
    """Excerpts of every length, and what repeats itself: no track is too short or too dull for the join."""
    whole, bar = stores.recording(1, 1200), stores.recording(2, MIN_DISTINCT)
    lengths = 80, 95, 96, 100, 191, 192, 300, keys.FEWEST_KEYS, keys.FEWEST_KEYS + 1, 500
    rows = [whole, *(stores.copied(whole[300 : 300 + n], 0.05, n) for n in lengths)]
    rows += [np.tile(bar, 40), np.tile(bar, 50)[4:]]
    few = {row for _, row, _ in listed(block_of(rows).keys.few)}
    assert few == {row for row, items in enumerate(rows) if len(naive.track_keys(items)) < keys.FEWEST_KEYS}
    assert {1, 2, 3, 4, 5, 6, 7} <= few
    assert not {0, len(lengths)} & few
    assert compared(rows, JOIN).keys() == compared(rows, exact(JOIN)).keys()


def test_what_can_be_no_match_has_no_keys() -> None:
    """A hum of fewer different items than any match has is in no pair."""
    hum, music = np.tile(stores.recording(2, MIN_DISTINCT - 1), 20), stores.recording(1, 600)
    made = block_of([hum, music, hum[:300]]).keys
    assert {row for _, row, _ in [*listed(made.codes), *listed(made.few)]} == {1}
    found = compared([hum, music, hum[:300]], exact(JOIN))
    assert all(match.distinct < MIN_DISTINCT for match in found.values())
    assert found
    assert not compared([hum, music, hum[:300]], JOIN)


def test_a_key_that_all_tracks_have_hides_nothing() -> None:
    """A held note that every track begins and returns to: its votes are at every lag, the copies' at one."""
    note = np.array([stores.recording(99, 1)[0], 7], np.uint32)
    rows = []
    for seed in range(12):
        items = stores.recording(seed, 700).copy()
        items[::70], items[1::70] = note[0], note[1]
        rows += [items, stores.copied(items[50:], 0.08, seed)]
    found = compared(rows, JOIN, block_size=9)
    assert found.keys() == compared(rows, exact(JOIN)).keys() >= {(2 * seed, 2 * seed + 1) for seed in range(12)}


def test_the_join_decides_the_same_every_time() -> None:
    # Pinned: another value on any machine or after any change means another JOIN_VERSION.
    originals = [stores.recording(seed, 500 + 40 * seed) for seed in range(4)]
    copies = [stores.copied(items[seed:], seed / 100) for items in originals for seed in range(6, 24, 2)]
    block = make_block([*originals, *copies, originals[0][100:250], np.tile(originals[1][:40], 9)])
    data, _ = correlate_tile(*[(block.name, block.items, block.offsets)] * 2, JOIN)
    assert hashlib.blake2b(data, digest_size=8).hexdigest() == "ac02698f6891c11e"


# ---- runs ----


class Stopping(Silent):
    """Requests a stop when so many tiles are done."""

    def __init__(self, runner: InlineRunner, n: int) -> None:
        self.runner, self.n_left = runner, n

    def advance(self, n: int = 1) -> None:
        self.n_left -= n
        if self.n_left <= 0:
            self.runner.stop.request("enough")


def results(folder: Path, rows: list[Items], block_size: int, stops: Iterator[int]) -> tuple[dict[str, bytes], int]:
    """The bytes of each tile after runs that are stopped after so many tiles, and how many tiles were computed."""
    n_computed = 0
    with stores.open_store(folder, block_size=block_size) as store:
        for number, items in enumerate(rows):
            stores.add_track(store, f"{number:02d}", items)
        for n in stops:
            runner = InlineRunner()
            done = correlate(store, JOIN, runner, Stopping(runner, n))
            n_computed += done.n_computed
        names = store.catalog.results.names(JOIN.digest())
        stored = {name: store.catalog.results.get(name) for name in names}
        return {name: result.pairs for name, result in stored.items() if result}, n_computed


def test_a_stopped_run_is_finished_by_the_next(
    tmp_path: Path, mixed: list[Items], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_TILES", 2)
    undisturbed, n_all = results(tmp_path / "a", mixed[:40], 8, iter([1000]))
    resumed, n_computed = results(tmp_path / "b", mixed[:40], 8, iter([3, 5, 1000]))
    assert n_all == n_computed == 15
    assert resumed == undisturbed
    assert any(undisturbed.values())
