"""The pass for other speeds and pitches: one of two fingerprints is stretched, or heard at another pitch. What is found
depends on the two alone, whatever the block, the share, the order; a stopped run goes on; a store of before gets this
pass alone."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.correlation.compare import compare_two
from dedup.correlation.correlate import Correlation, correlate, unfinished
from dedup.correlation.match import Match, match_at, record
from dedup.correlation.other_speeds import LENGTH_RATIO, SAME_SCORE, HeardBlock, correlate_stretched
from dedup.correlation.scoring import CERTAIN, MAX_RATE, Change
from dedup.correlation.stretch import stretched
from dedup.correlation.tile import Part, correlate_parts, correlate_tile, merged
from dedup.groups.matches import Matches
from dedup.groups.related import Related
from dedup.observer import Silent
from dedup.runner import InlineRunner, Outcome, Stop, Task
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.blocks import make_block
from dedup.store.items import Items
from dedup.store.pairs import PAIR
from dedup.store.pitches import N_PITCHES
from dedup.store.store import Store
from dedup.upkeep.compact import compact
from tests import stores

BOTH = CompareSettings()
ONE, OTHER = BOTH.passes
N = 500
RATES = (1.01, 1.024, 1.0417, 1.055, 1.08)


def slower(items: Items, rate: float) -> Items:
    """A copy that has `rate` items for each, a tenth of its bits wrong."""
    return stores.copied(stretched(items, rate), 0.1, round(1000 * rate))


def library() -> list[Items]:
    """Each of some recordings with one that is slower, and some by themselves."""
    songs = [stores.recording(seed, N + 7 * seed) for seed in range(len(RATES))]
    alone = [stores.recording(seed, N) for seed in range(90, 94)]
    return [*songs, *(slower(song, rate) for song, rate in zip(songs, RATES, strict=True)), *alone]


Found = dict[tuple[int, int], Match]
"""By places in the library, the lower first."""


Images = Sequence[Items]
"""As it is, and at the other pitches if it was heard there."""


def heard(rows: Sequence[Images]) -> HeardBlock:
    """A block as the pass takes it."""
    block = make_block([row[0] for row in rows])
    others = [row[1:] if len(row) > 1 else [np.zeros_like(row[0])] * N_PITCHES for row in rows]
    has_pitches = np.array([len(row) > 1 for row in rows])
    pitches = np.hstack([np.stack(each) for each in others])
    return f"{block.name} {has_pitches}", block.items, block.offsets, pitches, has_pitches


def found_in(
    rows: Sequence[Items | Images],
    block_size: int = 100,
    n_shares: int = 1,
    order: Sequence[int] = (),
    known: bytes = b"",
) -> Found:
    """What the tiles of the pass give."""
    numbers = list(order or range(len(rows)))
    blocks = [numbers[start : start + block_size] for start in range(0, len(numbers), block_size)]
    images: list[Images] = [[row] if isinstance(row, np.ndarray) else row for row in rows]
    shared = [heard([images[number] for number in block]) for block in blocks]
    found: Found = {}
    n_compared = 0
    for a, b in itertools.combinations_with_replacement(range(len(blocks)), 2):
        parts = [Part(a, b, share, n_shares) for share in range(n_shares)]
        done = correlate_stretched(OTHER, 2, [known] * n_shares, parts, *shared)
        n_compared += sum(done.n_compared)
        pairs = np.frombuffer(merged(done.pairs), PAIR)
        for number, each in enumerate(pairs):
            match = match_at(pairs.tobytes(), number * PAIR.itemsize)
            pair = blocks[a][each["row_a"]], blocks[b][each["row_b"]]
            found[min(pair), max(pair)] = match if pair[0] < pair[1] else match.swapped()
    assert n_compared == len(rows) * (len(rows) - 1) // 2
    return found


@pytest.fixture(scope="module")
def whole() -> Found:
    return found_in(library())


# ---- one pair ----


@given(st.integers(1, 400), st.floats(1.0, 1.2))
def test_stretching_takes_the_item_at_the_middle_of_each_place(n: int, rate: float) -> None:
    items = np.arange(n, dtype=np.uint32)
    found = stretched(items, rate)
    expected = [min(n - 1, round((place + 0.5) / rate - 0.5)) for place in range(int(n * rate))]
    assert found.tolist() == expected
    assert np.all(np.diff(found.astype(np.int64)) >= 0)


def test_each_copy_is_found_with_its_speed(whole: Found) -> None:
    n = len(RATES)
    assert sorted(whole) == [(i, n + i) for i in range(n)]
    for i, rate in enumerate(RATES):
        match, n_items = whole[i, n + i], (N + 7 * i, int((N + 7 * i) * rate))
        assert 1 / (1 + match.rate) == pytest.approx(rate, abs=0.0015), "the first plays faster"
        assert match.score > 0.7
        assert match.swapped().rate == pytest.approx(rate - 1, abs=0.0015)
        assert abs(match.lag) <= 2
        for start, end, length in ((match.from_a, match.to_a, n_items[0]), (match.from_b, match.to_b, n_items[1])):
            assert start <= 8 and length - 8 <= end <= length


def test_the_place_of_a_trimmed_copy_is_told_in_its_own_items() -> None:
    song = stores.recording(1, N)
    match = found_in([song, slower(song, 1.05)[42:483]])[0, 1]
    assert match.lag == pytest.approx(40, abs=2), "items of the song that the copy lacks"
    assert (match.from_a, match.from_b) == (pytest.approx(40, abs=3), pytest.approx(0, abs=3))
    assert (match.to_a, match.to_b) == (pytest.approx(460, abs=3), pytest.approx(441, abs=3))
    assert match.overlap == min(N - match.lag, 441)


def test_lengths_that_differ_by_more_are_not_compared() -> None:
    song = stores.recording(1, N)
    copy = slower(song, 1.03)
    n = int(N * LENGTH_RATIO[1] / LENGTH_RATIO[0] * 1.03)
    assert (0, 1) in found_in([song, copy[: n + 3]])
    assert found_in([song, copy[: int(0.9 * n)]]) == {}, "stretched by any rate"


def test_the_neighbours_in_a_block_do_not_decide_who_is_as_long() -> None:
    song = stores.recording(7, 463)
    copy = stores.copied(stretched(song, 1.08)[:400], 0.1)
    others = [stores.recording(70 + n, 396 + n) for n in range(9)]
    alone = found_in([copy, song], 1)
    assert alone
    assert found_in([copy, song], 100) == alone
    assert found_in([copy, song, *others], 100) == alone
    assert found_in([copy, song, *others], 2, order=[2, 0, 3, 1, 4, 5, 6, 7, 8, 9, 10]) == alone


def test_silence_and_too_little_are_nothing() -> None:
    silent = np.zeros(N, np.uint32)
    assert found_in([silent, stretched(silent, 1.04)]) == {}
    assert found_in([stores.recording(1, 60), slower(stores.recording(1, 60), 1.04)]) == {}
    assert found_in([np.empty(0, np.uint32), stores.recording(1, 60)]) == {}


# ---- at other pitches ----


def sounding(seed: int, pitch: int, rate: float = 1.0, n: int = N) -> Images:
    """A recording that plays `pitch` steps of 0.6 semitones higher, with `rate` items for each, as it is and at the
    other pitches. In this world what is heard at different pitches has nothing in common."""
    at = [stores.recording(1000 * seed + pitch + other, n) for other in (0, 1, -1)]
    return [stores.copied(stretched(items, rate), 0.05, 7 * number + pitch) for number, items in enumerate(at)]


def test_each_copy_is_found_whatever_was_changed() -> None:
    """The song is at pitch 0; the copy at another, in another tempo, or both as on a turntable."""
    changes = [(pitch, 1.0) for pitch in (-2, -1, 1, 2)]  # its pitch alone
    changes += [(0, rate) for rate in (1.01, 1.04, 1.085)]  # its tempo alone
    changes += [(-1, 1.035), (-2, 1.07), (-2, 1.087), (-1, 1.02)]  # slower and lower
    for seed, (pitch, rate) in enumerate(changes, 1):
        for first, second in itertools.permutations([sounding(seed, 0), sounding(seed, pitch, rate)]):
            found = found_in([first, second, sounding(99, 0)])
            assert list(found) == [(0, 1)], (pitch, rate)
            longer = rate if len(first[0]) > len(second[0]) else 1 / rate
            assert 1 + found[0, 1].rate == pytest.approx(longer, abs=0.0015), (pitch, rate)
            assert (found[0, 1].log_rate == 0) == (rate == 1)
            assert found[0, 1].score > 0.7


def test_who_was_heard_at_one_pitch_alone_is_still_found_at_another_tempo() -> None:
    song, copy = sounding(1, 0), sounding(1, 0, 1.04)
    expected = found_in([song[:1], copy[:1]])
    assert list(expected) == [(0, 1)]
    assert found_in([song[:1], copy]) == expected == found_in([song, copy[:1]])
    assert found_in([song, copy[:1]], 1) == expected
    assert found_in([song[:1], sounding(1, 1, 1 / 1.035)]) == {}, "which takes both"


def test_a_pair_of_one_speed_must_be_clearly_better_at_another_pitch() -> None:
    other = stores.recording(77, N)
    is_other = np.arange(N) // 10 % 2 == 0
    rows = [sounding(1, 0), [np.where(is_other, other, items) for items in sounding(1, 1)]]
    ((_, match),) = found_in(rows).items()
    for less, n_found in ((0.09, 0), (0.11, 1)):
        known = record(0, 1, match._replace(along=0.0, kappa=match.score - less))
        assert known["kappa"][0] < SAME_SCORE
        assert len(found_in(rows, known=known.tobytes())) == n_found


def blended(*shares: tuple[Items, float]) -> Items:
    """Of every 20 items, so large a share of each."""
    made, at = stores.recording(123, N), np.arange(N) % 20
    start = 0.0
    for items, share in shares:
        made = np.where((at >= 20 * start) & (at < 20 * (start + share)), items, made)
        start += share
    return made


@pytest.mark.parametrize(("higher", "lower", "is_found"), [(0.4, 0.1, True), (0.1, 0.4, True), (0.3, 0.25, False)])
def test_a_copy_slightly_off_pitch_agrees_better_one_way(higher: float, lower: float, is_found: bool) -> None:
    """Half of its items are those of the song; of the others, more are those that the song has when heard higher, if
    the copy is higher."""
    song = [stores.recording(seed, N) for seed in (1, 2, 3)]
    as_it_is = blended((song[0], 0.5), (song[1], higher), (song[2], lower))
    copy = [as_it_is, blended((song[1], 0.8), (song[0], lower / 2)), blended((song[2], 0.8), (song[0], higher / 2))]
    for first, second in ((song, copy), (copy, song)):
        plain = compare_two(first[0], second[0], BOTH)
        assert plain is not None and SAME_SCORE < plain.score < CERTAIN
        found = found_in([first, second], known=record(0, 1, plain).tobytes())
        assert list(found.values()) == [plain] * is_found
        assert found_in([first[:1], second], known=record(0, 1, plain).tobytes()) == {}


def mixed() -> list[Images]:
    """Songs and copies, some of which were not heard at other pitches."""
    songs = [sounding(seed, 0, n=N + 9 * seed) for seed in range(5)]
    changes = ((1, 1 / 1.035), (-1, 1.035), (2, 1.0), (0, 1.06), (-2, 1.08))
    copies = [sounding(seed, pitch, max(1.0, rate), N + 9 * seed) for seed, (pitch, rate) in enumerate(changes)]
    return [*songs, *copies, [stores.copied(songs[3][0], 0.05)], [stores.copied(copies[3][0], 0.05)]]


@pytest.mark.parametrize(("block_size", "n_shares"), [(1, 1), (3, 2), (5, 3)])
def test_blocks_and_shares_decide_nothing_at_other_pitches_either(block_size: int, n_shares: int) -> None:
    expected = found_in(mixed())
    assert len(expected) >= 6
    assert found_in(mixed(), block_size, n_shares) == expected
    assert found_in(mixed(), block_size, 1, order=list(reversed(range(len(mixed()))))) == expected


# ---- tiles ----


@pytest.mark.parametrize(("block_size", "n_shares"), [(1, 1), (3, 1), (4, 3), (100, 5)])
def test_blocks_and_shares_decide_nothing(whole: Found, block_size: int, n_shares: int) -> None:
    assert found_in(library(), block_size, n_shares) == whole


def test_the_order_decides_nothing(whole: Found) -> None:
    order = list(reversed(range(len(library()))))
    assert found_in(library(), 4, 1, order) == whole


def test_what_agrees_at_one_speed_is_left_out() -> None:
    song = stores.recording(1, N)
    rows = [song, slower(song, 1.01)]
    block = make_block(rows)
    shared = (block.name, block.items, block.offsets)
    pairs, _ = correlate_tile(shared, shared, replace(ONE, method="exact"))
    known = np.frombuffer(pairs, PAIR).copy()
    assert len(known) == 1
    assert (known["row_a"], known["row_b"]) == (0, 1)
    assert found_in(rows, known=known.tobytes()), "it does not agree at one speed"
    known["log_rate"], known["kappa"], known["along"] = 0.0, SAME_SCORE, 0.0
    assert found_in(rows, known=known.tobytes()) == {}
    known["kappa"] = SAME_SCORE - 1e-9
    assert found_in(rows, known=known.tobytes())


# ---- stores ----


def fill(store: Store) -> None:
    for number, items in enumerate(library()):
        stores.add_track(store, f"{number:02d}", items)


def run(store: Store, compare: CompareSettings = BOTH, stop: Stop | None = None) -> Correlation:
    runner = InlineRunner() if stop is None else InlineRunner(stop)
    return correlate(store, compare, runner, Silent())


def told(store: Store) -> list[tuple[bytes, bytes, str, float]]:
    pairs = Matches(store, MatchSettings()).pairs()
    return [(pair.a.path, pair.b.path, pair.verdict, pair.match.rate) for pair in pairs]


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> list[tuple[bytes, bytes, str, float]]:
    with stores.open_store(tmp_path_factory.mktemp("expected"), block_size=100) as store:
        fill(store)
        done = run(store)
        assert (done.n_tiles, done.n_computed, done.n_failed) == (2, 2, 0)
        return told(store)


def test_both_passes_are_read_as_one(expected: list[tuple[bytes, bytes, str, float]]) -> None:
    assert len(expected) == len(RATES)
    for (_, _, verdict, rate), true_rate in zip(expected, RATES, strict=True):
        assert 1 / (1 + rate) == pytest.approx(true_rate, abs=0.0015)
        speed = 1 - 1 / true_rate
        assert verdict == ("same recording, other speed" if speed <= MAX_RATE else "related")


def test_a_long_pass_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Told(Silent):
        said: list[str]

        def __init__(self) -> None:
            self.said = []

        def message(self, text: str) -> None:
            self.said.append(text)

    with stores.open_store(tmp_path, block_size=100) as store:
        fill(store)
        first, again = Told(), Told()
        correlate(store, BOTH, InlineRunner(), first)
        store.catalog.results.clear()
        monkeypatch.setattr("dedup.correlation.correlate.LONG_COST", 0)
        correlate(store, BOTH, InlineRunner(), again)
        assert not any("--no-varispeed" in text for text in first.said)
        assert sum("--no-varispeed" in text for text in again.said) == 1


def test_a_store_of_before_gets_the_new_pass_alone(
    tmp_path: Path, expected: list[tuple[bytes, bytes, str, float]]
) -> None:
    with stores.open_store(tmp_path) as store:
        fill(store)
        first = run(store, replace(BOTH, varispeed=False))
        assert unfinished(store) is None
        then = run(store)
        assert (then.n_reused, then.n_computed) == (first.n_computed, first.n_computed)
        assert unfinished(store) is None
        assert told(store) == expected
        again = run(store, replace(BOTH, varispeed=False))
        assert again.n_computed == 0, "and loses nothing when it is not asked for"
        assert run(store).n_computed == 0


@pytest.mark.parametrize("n_done", [1, 9, 12, 17])
def test_a_stopped_run_goes_on(n_done: int, tmp_path: Path, expected: list[tuple[bytes, bytes, str, float]]) -> None:
    class StopsSoon(Silent):
        n_left = n_done

        def advance(self, n: int = 1) -> None:
            self.n_left -= n
            if self.n_left <= 0:
                stop.request("test")

    stop = Stop()
    with stores.open_store(tmp_path) as store:
        fill(store)
        first = correlate(store, BOTH, InlineRunner(stop), StopsSoon())
        assert first.n_left > 0
        missing = unfinished(store)
        assert missing is not None and missing.n_missing == first.n_left
        then = run(store)
        assert (then.n_reused, then.n_left) == (first.n_computed, 0)
        assert told(store) == expected


def test_a_compaction_carries_both_passes(tmp_path: Path, expected: list[tuple[bytes, bytes, str, float]]) -> None:
    with stores.open_store(tmp_path, block_size=3) as store:
        fill(store)
        run(store)
        with store.catalog.transaction():
            store.catalog.meta.set("block_size", 100)
    with stores.open_store(tmp_path, block_size=100) as store:
        done = compact(store, Silent(), Stop())
        assert done.tiles_carried == 2
        assert run(store).n_computed == 0
        assert told(store) == expected


def test_a_tile_that_fails_in_the_first_pass_fails_in_the_second(tmp_path: Path) -> None:
    class FailsFirst(InlineRunner):
        def run(self, function: Any, tasks: Iterable[Task], time_limit_s: float | None = None) -> Iterator[Outcome]:
            if function is correlate_parts:
                return (Outcome(task.name, None, "poison") for task in tasks)
            return super().run(function, tasks, time_limit_s)

    with stores.open_store(tmp_path, block_size=100) as store:
        fill(store)
        done = correlate(store, BOTH, FailsFirst(), Silent())
        assert (done.n_failed, done.n_computed, done.n_left) == (2, 0, 0)
        assert run(store).n_computed == 2


def test_raw_agreement_alone_goes_by_the_first_pass(tmp_path: Path) -> None:
    with stores.open_store(tmp_path, block_size=100) as store:
        fill(store)
        run(store)
        classic = MatchSettings(classic=0.6)
        first_pass = list(Matches(store, classic, replace(BOTH, varispeed=False)).pairs())
        assert list(Matches(store, classic).pairs()) == first_pass
        assert max(pair.match.agreement for pair in first_pass) < 0.8, "and not as well as one stretched"


def test_an_answer_never_makes_the_numbers_worse(tmp_path: Path) -> None:
    with stores.open_store(tmp_path, block_size=100) as store:
        fill(store)
        run(store)
        related = Matches(store, MatchSettings()).related
        _, _, place = next(iter(related.all()))
        known = related.match(place)
        worse = known._replace(kappa=0.1, along=0.1, lag=known.lag + 9)
        related.confirm(~place, Change("tempo", 1.0), record(0, 0, worse.swapped()).tobytes())
        assert related.match(place) == known and related.change(place) == Change("tempo", 1.0)
        better = known._replace(kappa=0.99, along=0.99)
        related.confirm(place, Change("speed", 1.02), record(0, 0, better).tobytes())
        assert related.match(place) == better


def test_what_is_kept_of_pairs_says_what_they_say(tmp_path: Path) -> None:
    with stores.open_store(tmp_path, block_size=100) as store:
        for number, rows in enumerate(mixed()):
            stores.add_track(store, f"{number:02d}", rows[0])
            if len(rows) > 1:
                with store.catalog.transaction():
                    store.keep_pitches([(number + 1, np.stack(rows[1:]))])
        run(store)
        matches = Matches(store, MatchSettings())
        related = matches.related
        first, second, place = next(each for each in related.all() if related.is_at_other_pitch(each[2]))
        related.confirm(place, Change("pitch", 1.07), b"")
        again = Related.of_plain(related.plain(), matches.thresholds)
        for *_, each in related.all():
            assert again.match(each) == related.match(each) and again.change(each) == related.change(each)
            assert again.is_at_other_pitch(each) == related.is_at_other_pitch(each)
        assert again.place_of(first, second) == place


def test_what_two_passes_found_is_told_once(tmp_path: Path) -> None:
    song = stores.recording(1, N)
    with stores.open_store(tmp_path) as store:
        stores.add_track(store, "plain", song)
        stores.add_track(store, "slower", slower(song, 1.01))
        run(store)
        counts = [store.catalog.results.count_pairs(each.digest()) for each in BOTH.passes]
        assert counts == [1, 1]
        ((_, _, verdict, rate),) = told(store)
        assert verdict == "same recording, other speed"
        assert 1 / (1 + rate) == pytest.approx(1.01, abs=0.0015)
