"""The noise floor: what it says, and that it is the same however a library came about and its work was done."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.correlation import noise as module
from dedup.correlation.compare import compare_two
from dedup.correlation.correlate import correlate
from dedup.correlation.match import evidence_of_records, fitted, record
from dedup.correlation.noise import COPIED, LEAST_PAIRS, decoy_evidence, measure_noise, noise_from, noise_of
from dedup.correlation.scoring import Noise, usual_noise
from dedup.observer import Silent
from dedup.runner import InlineRunner, Outcome, Runner, Task
from dedup.settings import CompareSettings
from dedup.store.items import SILENT_ITEM, Items, items_digest
from dedup.store.store import Store
from tests import stores

COMPARE = CompareSettings(varispeed=False)
N_TRACKS = 30

# ---- what it says ----

NOISE = st.builds(Noise, st.floats(0.01, 0.3), st.floats(0.003, 0.2))
N_LIBRARY = st.integers(2, 1_000_000)
MAX_FALSE = st.floats(1e-6, 1e3)


@given(NOISE, N_LIBRARY, MAX_FALSE)
def test_at_the_threshold_as_many_are_expected_as_were_asked_for(noise: Noise, n: int, max_false: float) -> None:
    threshold, n_pairs = noise.threshold(n, max_false), n * (n - 1) / 2
    if max_false <= 0.1 * n_pairs:
        assert n_pairs * noise.false_match(threshold) == pytest.approx(max_false, rel=1e-6)
    else:
        assert threshold == noise.common
        assert n_pairs * noise.false_match(threshold) <= max_false


@given(NOISE, st.lists(st.floats(-1, 1), min_size=2, max_size=9))
def test_more_evidence_is_less_likely_false(noise: Noise, evidence: list[float]) -> None:
    said = [noise.false_match(value) for value in sorted(evidence)]
    assert said == sorted(said, reverse=True)
    assert all(0 < value <= 1 for value in said)


@given(NOISE)
def test_a_tenth_of_the_pairs_has_what_is_common_and_a_tenth_of_these_a_decade_more(noise: Noise) -> None:
    assert noise.false_match(0) == noise.false_match(-0.2) == 1
    assert noise.false_match(noise.common) == pytest.approx(0.1)
    assert noise.false_match(math.nextafter(noise.common, 1)) == pytest.approx(0.1)
    assert noise.false_match(noise.common + noise.decade) == pytest.approx(0.01)
    assert noise.false_match(noise.common + 3 * noise.decade) == pytest.approx(0.0001)
    assert noise.false_match(1e9) > 0


@given(NOISE, N_LIBRARY, N_LIBRARY, MAX_FALSE, MAX_FALSE)
def test_more_tracks_or_fewer_errors_ask_for_more(noise: Noise, n: int, m: int, false: float, other: float) -> None:
    assert noise.threshold(min(n, m), false) <= noise.threshold(max(n, m), false)
    assert noise.threshold(n, max(false, other)) <= noise.threshold(n, min(false, other))
    assert noise.threshold(n, false) >= noise.common


@pytest.mark.parametrize("n_tracks", [0, 1])
def test_without_pairs_there_is_a_threshold(n_tracks: int) -> None:
    assert Noise(0.05, 0.02).threshold(n_tracks, 0.01) == pytest.approx(0.05 + 0.02)


def test_share_agreeing() -> None:
    agreement = [0] * 50
    agreement[0], agreement[6], agreement[7], agreement[25] = 5, 3, 1, 1  # 0.50, 0.56, 0.57, 0.75 and up
    noise = Noise(0.05, 0.02, 10, tuple(agreement))
    told = {0.0: 1.0, 0.5: 1.0, 0.51: 0.5, 0.56: 0.5, 0.57: 0.2, 0.58: 0.1, 0.75: 0.1, 0.76: 0.0, 0.99: 0.0, 1.0: 0.0}
    assert {value: noise.share_agreeing(value) for value in told} == told
    assert Noise(0.05, 0.02).share_agreeing(0.6) is None


# ---- from measures ----


def exponential(common: float, decade: float, n: int) -> list[float]:
    """The evidence of `n` decoys, of a library with that noise."""
    noise = Noise(common, decade)
    shares = [(i + 0.5) / n for i in range(n)]
    found = [noise.threshold(2, 0.1 * share / 0.1) if share < 0.1 else -common * math.log10(share) for share in shares]
    return [value / fitted()["decoy_factor"] for value in found]


@pytest.mark.parametrize("n", [0, 1, LEAST_PAIRS - 1])
def test_few_pairs_say_nothing_of_their_own(n: int) -> None:
    assert noise_from([0.9] * n, [0.7] * n) == usual_noise()


@pytest.mark.parametrize(("common", "decade"), [(0.05, 0.02), (0.1, 0.015), (0.2, 0.09)])
def test_the_noise_is_that_of_its_tail(common: float, decade: float) -> None:
    found = noise_from(exponential(common, decade, 5000), [0.5] * 5000)
    assert found.common == pytest.approx(common, rel=0.01)
    assert found.decade == pytest.approx(decade, rel=0.03)
    assert found.n_pairs == 5000


@given(st.floats(0, 0.3), st.floats(0.0001, 0.2), st.sampled_from([LEAST_PAIRS, 1000]))
def test_never_below_what_labelled_libraries_have(common: float, decade: float, n: int) -> None:
    found, usual = noise_from(exponential(max(common, 1e-6), decade, n), [0.5] * n), usual_noise()
    assert found.common >= usual.common
    assert found.decade >= usual.decade


@pytest.mark.parametrize("evidence", [0.0, 0.02, 0.2])
def test_decoys_that_are_all_alike(evidence: float) -> None:
    """As where none can overlap enough."""
    found, usual = noise_from([evidence] * LEAST_PAIRS, [0.5] * LEAST_PAIRS), usual_noise()
    assert found.common == pytest.approx(max(usual.common, evidence * fitted()["decoy_factor"]))
    assert found.decade == usual.decade


def test_raw_agreements_are_counted_by_hundredths() -> None:
    agreements = [0.3, 0.5, 0.505, 0.563, 0.567, 0.995, 1.0] * 100
    found = noise_from([0.01] * 700, agreements)
    counted = {first: n for first, n in enumerate(found.agreement) if n}
    assert counted == {0: 300, 6: 200, 49: 200}
    assert len(found.agreement) == 50
    assert found.share_agreeing(0.56) == pytest.approx(4 / 7)


# ---- decoys ----


def test_a_decoy_runs_backwards() -> None:
    items = [stores.recording(seed, 200) for seed in range(5)]
    evidence, agreements = decoy_evidence(COMPARE, (2, 4), items)
    found = [compare_two(items[a], items[b][::-1].copy(), COMPARE) for a, b in ((2, 3), (2, 4), (3, 4), (3, 0))]
    assert evidence == [match.evidence for match in found if match is not None]
    assert agreements == [match.agreement for match in found if match is not None]
    one = items[0][:150]
    assert decoy_evidence(COMPARE, (0, 1), [one, one])[0][0] < 0.1, "a copy that runs backwards is no copy"
    ((backwards,), _) = decoy_evidence(COMPARE, (0, 1), [one, one[::-1]])
    assert backwards > COPIED


def test_what_cannot_overlap_enough_has_no_evidence() -> None:
    assert decoy_evidence(COMPARE, (0, 1), [stores.recording(1, 30), stores.recording(2, 300)]) == ([0.0], [0.5])


def test_evidence_of_records_is_that_of_their_matches() -> None:
    a = stores.recording(1, 400)
    others = [stores.copied(a, 0.2), a[:100], stores.recording(2, 300), np.full(200, SILENT_ITEM, np.uint32)]
    for other in others:
        match = compare_two(a, other, COMPARE)
        assert match is not None
        assert evidence_of_records(record(0, 1, match)).tolist() == [pytest.approx(match.evidence, abs=1e-15)]


# ---- of a store ----


def library(n: int = N_TRACKS) -> list[Items]:
    """Tracks that agree with each other, and with each other turned round, far better than others do."""
    half = stores.recording(0, 150)
    style = np.concatenate([half, half[::-1]])
    return [stores.copied(style, 0.32, seed) for seed in range(n)]


def add(store: Store, fingerprints: Sequence[Items], order: Iterable[int] | None = None) -> None:
    for number in order if order is not None else range(len(fingerprints)):
        stores.add_track(store, f"{number:03d}", fingerprints[number])


class Counting(InlineRunner):
    """Remembers which tasks of the noise floor ran; fails the one at a position, or requests a stop there."""

    def __init__(self, fails_at: int | None = None, stops_at: int | None = None) -> None:
        super().__init__()
        self.names: list[str] = []
        self.fails_at, self.stops_at = fails_at, stops_at

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
    ) -> Iterator[Outcome]:
        for task in tasks:
            position = None
            if task.name.startswith("noise-"):
                self.names.append(task.name)
                position = len(self.names) - 1
            if position is not None and position == self.stops_at:
                self.stop.request("test")
                return
            if position is not None and position == self.fails_at:
                yield Outcome(task.name, failure="killed its worker")
            else:
                yield from super().run(function, [task], time_limit_s)


class Backwards(InlineRunner):
    """Runs everything, then gives the outcomes last first."""

    def run(
        self, function: Callable[..., Any], tasks: Iterable[Task], time_limit_s: float | None = None
    ) -> Iterator[Outcome]:
        yield from reversed(list(super().run(function, tasks, time_limit_s)))


def run(store: Store, runner: Runner | None = None, compare: CompareSettings = COMPARE) -> Noise:
    correlate(store, compare, runner or InlineRunner(), Silent())
    return noise_of(store)


@pytest.fixture(scope="module")
def expected(tmp_path_factory: pytest.TempPathFactory) -> Noise:
    with stores.open_store(tmp_path_factory.mktemp("whole"), block_size=64) as store:
        add(store, library())
        return run(store)


def test_the_noise_of_a_library_is_its_own(expected: Noise) -> None:
    items = sorted(library(), key=items_digest)
    evidence, agreements = decoy_evidence(COMPARE, (0, N_TRACKS), items)
    assert len(evidence) == N_TRACKS * ((N_TRACKS - 1) // 2) == expected.n_pairs
    assert expected == noise_from(sorted(evidence), sorted(agreements))
    assert expected.common > 1.3 * usual_noise().common
    assert sum(expected.agreement) == expected.n_pairs


def test_an_unmeasured_store_has_the_usual_noise(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        assert noise_of(store) == usual_noise()
        add(store, library(5))
        assert run(store) == usual_noise()
        assert store.catalog.meta.read()["noise"]["n_pairs"] == 0


@pytest.mark.parametrize("block_size", [1, 7])
@pytest.mark.parametrize("seed", [1, pytest.param(2, marks=pytest.mark.long)])
def test_the_noise_does_not_depend_on_blocks_or_order(
    tmp_path: Path, expected: Noise, block_size: int, seed: int
) -> None:
    order = np.random.default_rng(seed).permutation(N_TRACKS).tolist()
    with stores.open_store(tmp_path, block_size) as store:
        for some in (order[:11], order[11:]):
            add(store, library(), some)
            found = run(store)
        assert found == expected


def test_the_noise_does_not_depend_on_the_order_of_outcomes(tmp_path: Path, expected: Noise) -> None:
    with stores.open_store(tmp_path, 64) as store:
        add(store, library())
        assert run(store, Backwards()) == expected


def test_the_noise_does_not_depend_on_the_workers(tmp_path: Path, expected: Noise, runner: Runner) -> None:
    with stores.open_store(tmp_path, 64) as store:
        add(store, library())
        assert run(store, runner) == expected


def test_copies_hardly_change_the_noise(tmp_path: Path, expected: Noise) -> None:
    tracks = library()
    copies = [stores.copied(tracks[3], 0.03, 100 + number) for number in range(10)]
    with stores.open_store(tmp_path, 8) as store:
        add(store, [*tracks, *copies])
        found = run(store)
    assert found.n_pairs == expected.n_pairs, "one of them takes part"
    assert found.common == pytest.approx(expected.common, rel=0.03)
    assert found.decade == pytest.approx(expected.decade, rel=0.1)


def test_a_hum_takes_no_part(tmp_path: Path, expected: Noise) -> None:
    hum = [np.resize(stores.recording(50, n), 300) for n in (1, 5, 23)]
    with stores.open_store(tmp_path, 8) as store:
        add(store, [*library(), *hum])
        assert run(store) == expected


def test_of_a_long_track_the_middle_takes_part(tmp_path: Path) -> None:
    long = stores.recording(1, 5001)
    with stores.open_store(tmp_path) as store:
        stores.add_track(store, "long", long)
        store.seal_tail()
        (items,) = module._middles(store, module._candidates(store))
        assert items.tobytes() == long[1700:3300].tobytes()


# ---- nothing twice ----


def test_what_is_measured_is_not_measured_again(tmp_path: Path) -> None:
    with stores.open_store(tmp_path, 8) as store:
        add(store, library())
        first, again = Counting(), Counting()
        run(store, first)
        run(store, again)
        assert len(first.names) == len(set(first.names)) == 1 + math.ceil(N_TRACKS / module.ROWS_A_TASK)
        assert again.names == []
        other = Counting()
        run(store, other, CompareSettings(varispeed=False, min_overlap=0.5))
        assert len(other.names) == len(first.names), "other settings, other noise"


def test_it_is_measured_anew_only_where_the_sample_changes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SAMPLE", 8)  # of the 16 with the lowest digests
    monkeypatch.setattr(module, "LEAST_PAIRS", 20)
    by_digest = sorted(library(40), key=items_digest)
    first, inside, outside = by_digest[1:21], by_digest[0], by_digest[-1]
    with stores.open_store(tmp_path, 8) as store:
        add(store, first)
        before = run(store)
        assert before.n_pairs == 8 * 3
        stores.add_track(store, "outside", outside)
        none = Counting()
        assert run(store, none) == before
        assert none.names == []
        stores.add_track(store, "inside", inside)
        some = Counting()
        assert run(store, some) != before
        assert some.names != []


# ---- failures ----


@pytest.mark.parametrize("position", [0, 1, 4])
@pytest.mark.parametrize("how", ["fails_at", "stops_at"])
def test_what_fails_or_is_stopped_is_measured_by_the_next_run(
    tmp_path: Path, expected: Noise, position: int, how: str
) -> None:
    with stores.open_store(tmp_path, 8) as store:
        add(store, library())
        assert run(store, Counting(**{how: position})) == usual_noise()
        meta = store.catalog.meta.read()
        assert "complete" not in meta
        assert "noise" not in meta
        again = Counting()
        assert run(store, again) == expected
        assert len(again.names) == 5
        assert store.catalog.meta.read()["noise"] == {"name": again.names[0].split("-")[1], **listed(expected)}
        assert "complete" in store.catalog.meta.read()


def listed(noise: Noise) -> dict[str, Any]:
    return {**asdict(noise), "agreement": list(noise.agreement)}


def test_a_failure_keeps_what_was_measured_before(tmp_path: Path) -> None:
    with stores.open_store(tmp_path, 8) as store:
        add(store, library())
        before = run(store)
        stores.add_track(store, "new", stores.recording(9, 300))
        assert run(store, Counting(fails_at=2)) == before
        assert run(store) != before


def test_nothing_to_measure(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        assert measure_noise(store, COMPARE, InlineRunner(), Silent())
        assert noise_of(store) == usual_noise()
