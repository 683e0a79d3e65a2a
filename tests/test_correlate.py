"""A run of `correlate`: the same pairs however the work is cut, and no tile twice."""

from __future__ import annotations

import hashlib
import itertools
import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.correlation import batches
from dedup.correlation import correlate as module
from dedup.correlation.compare import compare_two
from dedup.correlation.correlate import (
    Correlation,
    Unfinished,
    completeness,
    correlate,
    last_compare_settings,
    memory_needed,
    unfinished,
)
from dedup.correlation.match import FOLLOWED_KAPPA, STORED_AGREEMENT, STORED_KAPPA, match_at
from dedup.correlation.tile import correlate_tile
from dedup.errors import StoreDamagedError, TooLittleMemoryError
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.report.export import export_pairs
from dedup.runner import InlineRunner, Outcome, Stop, Task
from dedup.settings import METHODS, CompareSettings, MatchSettings
from dedup.store import tiles
from dedup.store.blocks import Block, make_block
from dedup.store.items import SILENT_ITEM, Items
from dedup.store.pairs import PAIR
from dedup.store.store import Store
from dedup.store.tiles import BAND_BLOCKS, count_tiles, plan_tiles
from tests import naive, stores

COMPARE = CompareSettings("exact", varispeed=False, max_lag=60, min_overlap=0.25, min_overlap_items=40)


@pytest.fixture(autouse=True)
def _one_tile_a_task(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(batches, "MOST_TILES", 1)


def library() -> list[Items]:
    """Originals, copies, cuts, a bar that repeats (equal at many lags), silence in front, and strangers."""
    a, b, bar = stores.recording(1, 150), stores.recording(2, 120), stores.recording(3, 30)
    silence = np.full(20, SILENT_ITEM, np.uint32)
    found = [a, stores.copied(a, 0.1), a[10:], a[:-30], np.concatenate([silence, a]), b, stores.copied(b, 0.2)]
    found += [np.tile(bar, 4), np.tile(bar, 5), np.roll(np.tile(bar, 4), 7), np.tile(bar, 2)[5:55]]
    found += [np.full(90, SILENT_ITEM, np.uint32), np.full(100, 5, np.uint32), np.full(110, 5, np.uint32)]
    return found + [stores.recording(seed, 60 + seed) for seed in range(20, 26)]


def add_library(store: Store, fingerprints: Sequence[Items], order: Iterable[int] | None = None) -> None:
    for number in order if order is not None else range(len(fingerprints)):
        stores.add_track(store, f"{number:02d}", fingerprints[number])


def run(store: Store, compare: CompareSettings = COMPARE, runner: Any = None) -> Correlation:
    """A run whose counts add up."""
    done = correlate(store, compare, runner or InlineRunner(), Silent())
    assert done.n_tiles == done.n_reused + done.n_computed + done.n_failed + done.n_left
    assert done.n_tiles == count_tiles(len(store.catalog.blocks.rows()))
    assert len(store.catalog.results.names(compare.digest())) == done.n_reused + done.n_computed
    return done


def exported(store: Store) -> str:
    matches = Matches(store, MatchSettings(min_score=0.2, min_prominence=0.0))
    return "\n".join(json.dumps(record) for record in export_pairs(matches))


class Recording(InlineRunner):
    """Remembers what it ran, tiles and what the noise floor is measured by; fails tasks of tiles by position."""

    def __init__(self, stop: Stop | None = None, fail: Callable[[int], bool] = lambda _: False) -> None:
        super().__init__(stop)
        self.names: list[str] = []
        self.noise: list[str] = []
        self.fail = fail

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
    ) -> Iterator[Outcome]:
        for task in tasks:
            is_noise = task.name.startswith("noise-")
            (self.noise if is_noise else self.names).append(task.name)
            if not is_noise and self.fail(len(self.names) - 1):
                yield Outcome(task.name, failure="killed its worker")
            else:
                yield from super().run(function, [task], time_limit_s)
            if self.stop.requested:
                return


class StopAfter(Silent):
    """Requests a stop when so many tiles are done."""

    def __init__(self, stop: Stop, n: int) -> None:
        self.stop, self.n_left = stop, n

    def advance(self, n: int = 1) -> None:
        self.n_left -= n
        if self.n_left == 0:
            self.stop.request("test")


# ---- the same answer ----


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> str:
    with stores.open_store(tmp_path_factory.mktemp("whole"), block_size=64) as store:
        add_library(store, library())
        run(store)
        return exported(store)


@pytest.mark.parametrize("block_size", [1, 2, 3, 7, 64])
def test_pairs_do_not_depend_on_the_block_size(tmp_path: Path, expected: str, block_size: int) -> None:
    with stores.open_store(tmp_path, block_size) as store:
        add_library(store, library())
        done = run(store)
        n = len(library())
        assert done == Correlation(done.n_tiles, 0, done.n_tiles, 0, 0, n_pairs_compared=n * (n - 1) // 2)
        assert done.n_tiles == count_tiles(-(-n // block_size))
        assert exported(store) == expected
    assert expected.count("\n") > 15


@pytest.mark.parametrize("seed", range(3))
def test_pairs_do_not_depend_on_the_order_or_the_runs_in_which_tracks_came(
    tmp_path: Path, expected: str, seed: int
) -> None:
    fingerprints = library()
    order = np.random.default_rng(seed).permutation(len(fingerprints)).tolist()
    with stores.open_store(tmp_path, block_size=3) as store:
        for some in (order[:9], order[9:]):
            add_library(store, fingerprints, some)
            run(store)
        assert exported(store) == expected


def test_pairs_are_what_comparing_two_at_a_time_gives(tmp_path: Path) -> None:
    fingerprints = library()
    with stores.open_store(tmp_path, block_size=3) as store:
        add_library(store, fingerprints)
        run(store)
        matches = Matches(store, MatchSettings(min_score=0.2))
        found = {
            (track.path, other.path): matches.related.match(place)
            for track in matches.tracks
            for fingerprint, place in matches.related.of(track.fingerprint)
            for other in matches.by_fingerprint[fingerprint]
        }
    wanted = {}
    for (i, a), (j, b) in itertools.permutations(enumerate(fingerprints), 2):
        match = compare_two(a, b, COMPARE)
        if match is None or match.agreement < STORED_AGREEMENT or match.kappa < FOLLOWED_KAPPA:
            continue
        if match.score >= STORED_KAPPA and match.evidence >= matches.thresholds.related:
            wanted[f"/music/{i:02d}".encode(), f"/music/{j:02d}".encode()] = match
    assert found == wanted


# ---- nothing twice ----


def test_a_second_run_has_nothing_to_do(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        add_library(store, library())
        first = run(store)
        again, runner = Recording(), Recording()
        assert run(store, runner=again) == Correlation(first.n_tiles, first.n_tiles, 0, 0, 0, 0)
    with stores.open_store(tmp_path) as store:
        assert run(store, runner=runner).n_reused == first.n_tiles
    assert again.names == runner.names == again.noise == runner.noise == []


@pytest.mark.parametrize("k", [1, 4, 5])
def test_new_fingerprints_cost_only_the_tiles_of_their_blocks(tmp_path: Path, k: int) -> None:
    fingerprints = library()
    old, new = fingerprints[:-k], fingerprints[-k:]
    with stores.open_store(tmp_path, block_size=4) as store:
        add_library(store, old)
        run(store)
        blocks = store.catalog.blocks.rows()
        for number, items in enumerate(new):
            stores.add_track(store, f"new {number}", items)
        runner = Recording()
        done = run(store, runner=runner)
        n_old, n_new = len(blocks), -(-k // 4)
        assert done.n_computed == n_old * n_new + count_tiles(n_new)
        assert done.n_reused == count_tiles(n_old)
        plan = plan_tiles(store.catalog.blocks.rows(), COMPARE)
        assert runner.names == [t.name for t in plan if not {t.block_a, t.block_b} <= blocks.keys()]


@pytest.mark.parametrize("n", [1, 5, 20])
def test_a_stopped_run_leaves_the_rest_to_the_next(tmp_path: Path, expected: str, n: int) -> None:
    with stores.open_store(tmp_path, block_size=3) as store:
        add_library(store, library())
        stop = Stop()
        first = Recording(stop)
        done = correlate(store, COMPARE, first, StopAfter(stop, n))
        assert (done.n_reused, done.n_computed, done.n_left) == (0, n, done.n_tiles - n)
        assert store.catalog.results.names(COMPARE.digest()) == set(first.names)
        assert first.noise == []
        assert "complete" not in store.catalog.meta.read()
    second = Recording()
    with stores.open_store(tmp_path, block_size=3) as store:
        done = run(store, runner=second)
        assert (done.n_reused, done.n_computed, done.n_left) == (n, done.n_tiles - n, 0)
        assert first.names + second.names == [t.name for t in plan_tiles(store.catalog.blocks.rows(), COMPARE)]
        assert exported(store) == expected


def test_what_was_computed_is_kept_when_the_run_breaks_off(tmp_path: Path) -> None:
    def break_at_6(number: int) -> bool:
        if number == 6:
            raise KeyboardInterrupt
        return False

    with stores.open_store(tmp_path, block_size=3) as store:
        add_library(store, library())
        runner = Recording(fail=break_at_6)
        with pytest.raises(KeyboardInterrupt):
            run(store, runner=runner)
        assert store.catalog.results.names(COMPARE.digest()) == set(runner.names[:6])


def test_a_failed_tile_is_told_and_tried_again(tmp_path: Path, expected: str) -> None:
    class Told(Silent):
        def __init__(self) -> None:
            self.texts: list[str] = []
            self.n = 0

        def message(self, text: str) -> None:
            self.texts.append(text)

        def advance(self, n: int = 1) -> None:
            self.n += n

    with stores.open_store(tmp_path, block_size=3) as store:
        add_library(store, library())
        told, runner = Told(), Recording(fail=lambda number: number in (2, 5))
        done = correlate(store, COMPARE, runner, told)
        assert (done.n_computed, done.n_failed, done.n_left) == (done.n_tiles - 2, 2, 0)
        failed = [runner.names[2], runner.names[5]]
        assert told.n == done.n_tiles
        assert told.texts[0] == f"0 of {done.n_tiles} tiles already done"
        assert told.texts[1:] == [
            f"tile {name} failed and will be tried again by the next run: killed its worker" for name in failed
        ]
        assert store.catalog.results.names(COMPARE.digest()) == set(runner.names) - set(failed)
        assert runner.noise != [], "a tile that fails each time does not keep the noise floor from being measured"
        assert "complete" not in store.catalog.meta.read()
        again = Recording()
        assert run(store, runner=again).n_computed == 2
        assert again.names == failed
        assert store.catalog.meta.read()["complete"] == completeness(store.catalog.blocks.rows(), COMPARE)
        assert exported(store) == expected


@pytest.mark.parametrize(("tile_s", "commits"), [(2.0, [1] * 15), (0.5, [2] * 7 + [1]), (0.125, [8, 7]), (0.001, [15])])
def test_results_wait_for_a_commit_only_where_the_next_comes_soon(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tile_s: float, commits: list[int]
) -> None:
    now, committed = [0.0], []

    def take_time(_: int) -> bool:
        now[0] += tile_s
        return False

    with stores.open_store(tmp_path, block_size=4) as store:
        add_library(store, library())
        results = store.catalog.results
        put = results.commit
        monkeypatch.setattr(module.time, "monotonic", lambda: now[0])
        monkeypatch.setattr(results, "commit", lambda ready: (committed.append(len(ready)), put(ready)))
        run(store, runner=Recording(fail=take_time))
    assert committed == commits


# ---- settings and versions ----


def test_settings_have_tiles_of_their_own(tmp_path: Path) -> None:
    narrow = replace(COMPARE, max_lag=3)
    with stores.open_store(tmp_path) as store:
        add_library(store, library())
        run(store)
        wide_pairs = exported(store)
        done = run(store, narrow)
        assert (done.n_reused, done.n_computed) == (0, done.n_tiles)
        assert not store.catalog.results.names(narrow.digest()) & store.catalog.results.names(COMPARE.digest())
        assert last_compare_settings(store) == narrow
        assert exported(store) != wide_pairs
        assert run(store).n_computed == 0, "the first settings' results are still there"
        assert last_compare_settings(store) == COMPARE
        assert exported(store) == wide_pairs


def test_a_new_kernel_computes_all_again_and_drops_what_the_old_one_found(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, expected: str
) -> None:
    with stores.open_store(tmp_path, block_size=3) as store:
        add_library(store, library())
        run(store)
        before = store.catalog.results.names(COMPARE.digest())
        monkeypatch.setattr(tiles, "KERNEL_VERSION", tiles.KERNEL_VERSION + 1)
        assert run(store).n_reused == 0
        assert not before & store.catalog.results.names(COMPARE.digest())
        assert exported(store) == expected, "no pair twice"


def test_completeness_tells_blocks_settings_and_kernel_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    said = {completeness(["a", "b"], COMPARE), completeness(["b", "a"], COMPARE)}
    assert len(said) == 1
    said |= {completeness(["a"], COMPARE), completeness(["a", "b"], CompareSettings(varispeed=False))}
    monkeypatch.setattr(tiles, "KERNEL_VERSION", tiles.KERNEL_VERSION + 1)
    assert len(said | {completeness(["a", "b"], COMPARE)}) == 4


@pytest.mark.parametrize("n", [0, 1])
def test_next_to_nothing_to_compare(tmp_path: Path, n: int) -> None:
    with stores.open_store(tmp_path) as store:
        add_library(store, library()[:n])
        assert run(store) == Correlation(n, 0, n, 0, 0, 0)
        assert exported(store) == ""


# ---- tiles and shared blocks ----


def test_blocks_are_read_once_a_band_and_few_are_held(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    n = 2 * BAND_BLOCKS + 3
    with stores.open_store(tmp_path, block_size=1) as store:
        for seed in range(n):
            stores.add_track(store, f"{seed:02d}", stores.recording(seed, 50))
        store.seal_tail()
        reads, n_held, runner = [], [], Recording()
        read, get = store.blocks.read, module._SharedBlocks.get

        def counting_read(name: str) -> Block:
            if len(runner.names) < count_tiles(n):  # what comes then is read for the noise floor
                reads.append(name)
            return read(name)

        monkeypatch.setattr(store.blocks, "read", counting_read)

        def counting_get(shared: Any, name: str) -> Any:
            handle = get(shared, name)
            n_held.append(len(shared.handles))
            return handle

        monkeypatch.setattr(module._SharedBlocks, "get", counting_get)
        run(store, runner=runner)
        assert max(n_held) == batches.MOST_BLOCKS
        assert len(reads) <= sum(n - band for band in range(0, n, BAND_BLOCKS))


def test_a_damaged_block_is_an_error_and_keeps_what_was_done(tmp_path: Path) -> None:
    with stores.open_store(tmp_path, block_size=3) as store:
        add_library(store, library())
        store.seal_tail()
        plan = list(plan_tiles(store.catalog.blocks.rows(), COMPARE))
        last = store.blocks.folder / plan[-1].block_b
        last.rename(last.with_name("aside"))
        with pytest.raises(StoreDamagedError, match=plan[-1].block_b):
            run(store)
        n_done = len(store.catalog.results.names(COMPARE.digest()))
        assert n_done >= 1
        last.with_name("aside").rename(last)
        assert run(store).n_reused == n_done


ROWS = st.lists(
    st.one_of(
        st.builds(stores.recording, st.integers(0, 5), st.sampled_from([1, 5, 40, 90])),
        st.builds(
            lambda seed, cut: stores.copied(stores.recording(seed, 90), 0.1, cut)[cut:], *[st.integers(0, 5)] * 2
        ),
        st.just(np.empty(0, np.uint32)),
        st.just(np.full(60, SILENT_ITEM, np.uint32)),
    ),
    min_size=1,
    max_size=5,
)


@settings(max_examples=40)
@given(ROWS, ROWS, st.booleans(), st.sampled_from([0, 7, 200]))
def test_a_tile_is_its_rows_one_by_one(rows_a: list[Items], rows_b: list[Items], diagonal: bool, max_lag: int) -> None:
    compare = CompareSettings("exact", varispeed=False, max_lag=max_lag, min_overlap=0.25, min_overlap_items=5)
    rows_b = rows_a if diagonal else rows_b
    block_a, block_b = map(make_block, (rows_a, rows_b))
    a = (block_a.name, block_a.items, block_a.offsets)
    b = a if diagonal else (f"{block_b.name} as b", block_b.items, block_b.offsets)
    data, n_compared = correlate_tile(a, b, compare)
    plain = [[int(item) for item in row] for row in rows_b]
    expected = [
        (row_a, *found)
        for row_a, items in enumerate(rows_a)
        for found in naive.correlate_row(
            [int(item) for item in items],
            plain,
            row_a + 1 if diagonal else 0,
            (max_lag, 0.25, 5),
            naive.Floor(STORED_AGREEMENT, STORED_KAPPA, FOLLOWED_KAPPA, 5),
        )
    ]
    stored = np.frombuffer(data, PAIR)
    rows = stored[["row_a", "row_b"]].tolist()
    assert [
        (*of, *match._replace(contrast=round(match.contrast, 12)))
        for of, match in ((of, match_at(data, number * PAIR.itemsize)) for number, of in enumerate(rows))
    ] == expected
    n_a, n_b = len(rows_a), len(rows_b)
    assert n_compared == (n_a * (n_a - 1) // 2 if diagonal else n_a * n_b)


def borderline() -> list[Items]:
    """Copies that the cascade finds, and some that it only just does not."""
    originals = [stores.recording(seed, 400 + 20 * seed) for seed in range(4)]
    copies = [stores.copied(items, share / 100, share) for items in originals for share in range(26, 42, 2)]
    return originals + copies + [np.concatenate([copies[0][:90], originals[1][:300]]), originals[2][150:260]]


def test_the_cascade_decides_the_same_every_time() -> None:
    # Pinned, as below: no constant of the cascade may change without it.
    block = make_block(borderline())
    shared = (block.name, block.items, block.offsets)
    both = {method: CompareSettings(method, varispeed=False) for method in METHODS}
    found = {
        method: np.frombuffer(correlate_tile(shared, shared, compare)[0], PAIR) for method, compare in both.items()
    }
    one_by_one = {method: {record.tobytes() for record in records} for method, records in found.items()}
    assert one_by_one["cascade"] < one_by_one["exact"]
    assert (len(found["cascade"]), len(found["exact"])) == (45, 50)
    assert hashlib.blake2b(found["cascade"].tobytes(), digest_size=8).hexdigest() == "75f8e78003c82bb6"


@pytest.mark.parametrize("method", METHODS)
def test_a_tile_is_the_same_bytes_every_time(method: str) -> None:
    # Pinned: another value on any machine or after any change means another KERNEL_VERSION.
    block = make_block(library())
    data, _ = correlate_tile(*[(block.name, block.items, block.offsets)] * 2, replace(COMPARE, method=method))
    assert hashlib.blake2b(data, digest_size=8).hexdigest() == "a585053f1d527825"


def test_what_is_unfinished_is_told(tmp_path: Path) -> None:
    with stores.open_store(tmp_path, block_size=1) as store:
        assert unfinished(store) is None
        for seed in range(3):
            stores.add_track(store, f"{seed}", stores.recording(seed, 200))
        assert unfinished(store) == Unfinished(n_tiles=0, n_missing=0, n_waiting=3)
        store.seal_tail()
        assert unfinished(store) == Unfinished(n_tiles=12, n_missing=12, n_waiting=0), "in two passes"
        correlate(store, COMPARE, InlineRunner(), Silent())
        assert unfinished(store) is None


# ---- shares, batches, memory ----


@pytest.fixture
def three_shares(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every tile is computed in three tasks."""
    monkeypatch.setattr(batches, "LONGEST_TASK_S", 1e-12)
    monkeypatch.setattr(batches, "MOST_SHARES", 3)


class Backwards(Recording):
    """Runs everything, then gives the outcomes last first."""

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
    ) -> Iterator[Outcome]:
        yield from reversed(list(super().run(function, tasks, time_limit_s)))


@pytest.mark.usefixtures("three_shares")
@pytest.mark.parametrize("kind", [Recording, Backwards])
def test_a_tile_in_shares_is_the_same_tile(tmp_path: Path, expected: str, kind: type[Recording]) -> None:
    with stores.open_store(tmp_path, block_size=7) as store:
        add_library(store, library())
        runner = kind()
        done = run(store, runner=runner)
        assert len(runner.names) == len(set(runner.names)) == 3 * done.n_computed == 3 * done.n_tiles
        assert done.n_pairs_compared == len(library()) * (len(library()) - 1) // 2
        assert exported(store) == expected


@pytest.mark.usefixtures("three_shares")
@pytest.mark.parametrize("share", range(3))
def test_a_share_that_fails_fails_its_tile_alone(tmp_path: Path, expected: str, share: int) -> None:
    with stores.open_store(tmp_path, block_size=7) as store:
        add_library(store, library())
        done = run(store, runner=Recording(fail=lambda position: position == 3 + share))
        assert (done.n_failed, done.n_computed) == (1, done.n_tiles - 1)
        again = Recording()
        assert run(store, runner=again).n_computed == 1
        assert len(again.names) == 3
        assert exported(store) == expected


class StopAfterTasks(Recording):
    """Requests a stop when so many tasks are done."""

    def __init__(self, n: int) -> None:
        super().__init__()
        self.n_left = n

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
    ) -> Iterator[Outcome]:
        for outcome in super().run(function, tasks, time_limit_s):
            self.n_left -= 1
            if self.n_left == 0:
                self.stop.request("test")
            yield outcome


@pytest.mark.usefixtures("three_shares")
@pytest.mark.parametrize("n_tasks", [1, 2, 3, 4])
def test_a_stop_between_shares_commits_whole_tiles_only(tmp_path: Path, expected: str, n_tasks: int) -> None:
    with stores.open_store(tmp_path, block_size=7) as store:
        add_library(store, library())
        done = run(store, runner=StopAfterTasks(n_tasks))
        assert (done.n_computed, done.n_left) == (n_tasks // 3, done.n_tiles - n_tasks // 3)
        assert run(store).n_computed == done.n_left
        assert exported(store) == expected


def test_tiles_that_fail_together_are_told_apart(
    tmp_path: Path, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_TILES", 100)
    with stores.open_store(tmp_path, block_size=3) as store:
        add_library(store, library())
        n_tiles = count_tiles(-(-len(library()) // 3))
        together = Recording(fail=lambda position: position == 0)
        done = run(store, runner=together)
        assert done.n_computed == n_tiles, "none of them failed by itself"
        assert len(together.names) > len(set(together.names)), "the first of them ran twice"
        assert exported(store) == expected


def test_of_tiles_that_fail_together_only_the_one_to_blame_is_failed(
    tmp_path: Path, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(batches, "MOST_TILES", 100)
    with stores.open_store(tmp_path, block_size=7) as store:
        add_library(store, library())
        n_tiles = count_tiles(-(-len(library()) // 7))
        counted = Recording()
        store.seal_tail()
        plan = list(plan_tiles(store.catalog.blocks.rows(), COMPARE))
        cost = batches.tile_cost(store.catalog.blocks.sizes(), COMPARE, {})
        planned = list(batches.plan_batches(plan, cost, sum(map(cost, plan)), 1, batches.Pace()))
        together = [position for position, batch in enumerate(planned) if len(batch.tiles) > 1]
        assert together
        counted.fail = lambda position: position in together or position == len(planned) + 1
        done = run(store, runner=counted)
        assert (done.n_failed, done.n_computed) == (1, n_tiles - 1)
        assert run(store).n_computed == 1
        assert exported(store) == expected


class Small(InlineRunner):
    worker_memory_bytes = 1 << 20


def test_what_does_not_fit_is_refused_and_changes_nothing(tmp_path: Path) -> None:
    with stores.open_store(tmp_path, block_size=3) as store:
        add_library(store, library())
        run(store)
        before = exported(store), last_compare_settings(store)
        with pytest.raises(TooLittleMemoryError, match=r"at least 3\d\d MiB") as caught:
            correlate(store, replace(COMPARE, max_lag=10), Small(), Silent())
        assert caught.value.exit_code == 19
        assert (exported(store), last_compare_settings(store)) == before
        assert correlate(store, COMPARE, Small(), Silent()).n_computed == 0, "nothing to do needs no memory"


def test_what_a_worker_must_have_is_known_before_any_is_asked(tmp_path: Path) -> None:
    with stores.open_store(tmp_path, block_size=3) as store:
        assert memory_needed(store, COMPARE) == 0
        add_library(store, library())
        store.seal_tail()
        runner = Small()
        runner.worker_memory_bytes = memory_needed(store, COMPARE) - 1
        with pytest.raises(TooLittleMemoryError):
            correlate(store, COMPARE, runner, Silent())
        runner.worker_memory_bytes += 1
        assert correlate(store, COMPARE, runner, Silent()).n_failed == 0
