"""The noise floor: how well unrelated tracks agree, measured on the library's own fingerprints.

Nobody knows which pairs are unrelated. But a fingerprint that runs backwards is a copy of nothing, and keeps everything
else that makes music agree with music: its bits, how long they last, its silences, its loops. Every lag against it is
a wrong lag. 192 tracks are compared exactly with 24 others turned round. The digests of the fingerprints choose them,
so the choice depends on nothing else and seldom changes when tracks are added. Above its upper tenth, the evidence of
such decoys is distributed exponentially: a tenth of the pairs reaches `common`, and with each further `decade` a tenth
of these."""

from __future__ import annotations

import hashlib
import itertools
import json
import math
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dedup.correlation.compare import evidence_and_agreement
from dedup.correlation.match import evidence_of_records, fitted
from dedup.correlation.scoring import MIN_DISTINCT, Noise, usual_noise
from dedup.correlation.tile import Part, correlate_parts
from dedup.observer import Observer
from dedup.runner import Runner, Task
from dedup.settings import CompareSettings
from dedup.store.fingerprints import HeldFingerprint
from dedup.store.items import Items
from dedup.store.pairs import PAIR
from dedup.versions import KERNEL_VERSION

if TYPE_CHECKING:
    from dedup.store.store import Store

SAMPLE, PARTNERS = 192, 24
"""Tracks that are compared, and the others that each is compared with: 4,608 pairs, 46 of them above the highest
quantile in use. Tracks differ more than pairs do, so many tracks with few others tell more than few with many."""

MOST_ITEMS = 1600
"""Items of a track that are compared, from its middle: 200 s."""

ROWS_A_TASK = 8

COPIED = 0.3
"""Evidence from which a track is left out as a copy of another in the sample."""

LEAST_PAIRS = 300
"""Pairs below which the library's own quantiles tell nothing; those of other music are used instead."""


def noise_of(store: Store) -> Noise:
    """The noise that was measured last, else the usual one."""
    measured = store.catalog.meta.get("noise")
    if measured is None:
        return usual_noise()
    return Noise(measured["common"], measured["decade"], measured["n_pairs"], tuple(measured["agreement"]))


def measure_noise(store: Store, settings: CompareSettings, runner: Runner, observer: Observer) -> bool:
    """Measures the noise if the tracks to choose from have changed. False if it failed or was stopped."""
    candidates = _candidates(store)
    name = _name([digest for digest, *_ in candidates], settings)
    if store.catalog.meta.get("noise", {}).get("name") == name:
        return True
    try:
        chosen = _without_copies(name, _middles(store, candidates), settings, runner)
        shared = runner.share(f"noise-{name}", tuple(chosen))
        measured = _run(runner, decoy_evidence, _tasks(name, len(chosen), settings, shared))
    except _UnmeasuredError as error:
        if not runner.stop.requested:
            observer.message(f"the noise floor could not be measured ({error}); the next `correlate` will try again")
        return False
    # By size: the order in which workers answer must not decide how a sum is rounded.
    evidence, agreements = (sorted(value for part in measured for value in part[kind]) for kind in (0, 1))
    store.catalog.meta.set("noise", {"name": name, **asdict(noise_from(evidence, agreements))})
    return True


class _UnmeasuredError(Exception):
    """The noise cannot be measured; the text says why."""


def _run(runner: Runner, function: Callable[..., Any], tasks: Iterable[Task]) -> list[Any]:
    """The results of all tasks. Raises _UnmeasuredError if one of them fails, or after a request to stop."""
    results = []
    for outcome in runner.run(function, tasks):
        if outcome.failure is not None:
            raise _UnmeasuredError(outcome.failure)
        results.append(outcome.result)
    if runner.stop.requested:
        raise _UnmeasuredError("a stop was requested")
    return results


def _without_copies(name: str, items: Sequence[Items], settings: CompareSettings, runner: Runner) -> list[Items]:
    """The first SAMPLE that are not copies of an earlier one, else a loop in ten versions would count ten times."""
    offsets = np.cumsum([0, *map(len, items)])
    block = (name, np.concatenate([np.empty(0, np.uint32), *items]), offsets)
    arguments = (replace(settings, method="cascade"), 2, [Part(0, 0)], block)
    (computed,) = _run(runner, correlate_parts, [Task(f"noise-{name}", arguments)])
    pairs = np.frombuffer(computed.pairs[0], PAIR)
    pairs = pairs[evidence_of_records(pairs) >= COPIED]
    copies: set[int] = set()
    for a, b in zip(pairs["row_a"].tolist(), pairs["row_b"].tolist(), strict=True):  # by a, then by b: a < b
        if a not in copies:
            copies.add(b)
    return [one for row, one in enumerate(items) if row not in copies][:SAMPLE]


def noise_from(evidence: Sequence[float], agreements: Sequence[float]) -> Noise:
    """The noise, from the evidence of decoys and their raw agreements. Never below that of the labelled libraries: a
    library of few tracks, or of one kind, would trust too much."""
    usual = usual_noise()
    if len(evidence) < LEAST_PAIRS:
        return usual
    values = np.asarray(evidence) * fitted()["decoy_factor"]
    common, decade = upper_tail(values)
    decade = max(decade, upper_tail(values, 0.99)[1])
    counts, _ = np.histogram(np.clip(agreements, 0.5, 1.0), bins=50, range=(0.5, 1.0))
    return Noise(max(common, usual.common), max(decade, usual.decade), len(evidence), tuple(counts.tolist()))


def upper_tail(values: npt.NDArray[np.float64], quantile: float = 0.9) -> tuple[float, float]:
    """That quantile, and the distance to the value that a tenth of those above it reach, by the most likely exponential
    tail; 0 if none is above."""
    start = float(np.quantile(values, quantile))
    above = values[values > start]
    return start, float(np.mean(above - start)) * math.log(10) if len(above) else 0.0


def decoy_evidence(
    settings: CompareSettings, rows: tuple[int, int], items: Sequence[Items]
) -> tuple[list[float], list[float]]:
    """Evidence and raw agreement of fingerprints against the PARTNERS behind each, turned round; the first follow the
    last. `rows` are the first fingerprint and the one behind the last. Evidence is 0 if two cannot overlap enough."""
    n_partners = min(PARTNERS, max(1, (len(items) - 1) // 2))  # with more, a pair would come twice
    pairs = [(i, (i + behind) % len(items)) for i in range(*rows) for behind in range(1, n_partners + 1)]
    found = [evidence_and_agreement(items[a], items[b][::-1], settings) for a, b in pairs]
    return [evidence for evidence, _ in found], [agreement for _, agreement in found]


def _candidates(store: Store) -> list[HeldFingerprint]:
    """The fingerprints with the lowest digests that belong to a present track and have enough different items to
    match."""
    return store.catalog.fingerprints.lowest_held(MIN_DISTINCT, 2 * SAMPLE)


def _middles(store: Store, candidates: Sequence[HeldFingerprint]) -> list[Items]:
    """The items in the middle of each candidate. A block is read once, as that takes milliseconds."""
    items: dict[int, Items] = {}
    for name, group in itertools.groupby(sorted(candidates, key=lambda one: one[2] or ""), key=lambda one: one[2]):
        block = store.blocks.read(name) if name else None
        for _, fingerprint, _, row in group:
            items[fingerprint] = _middle(block.row(row) if block else store.items_of(fingerprint))
    return [items[fingerprint] for _, fingerprint, *_ in candidates]


def _name(digests: Sequence[bytes], settings: CompareSettings) -> str:
    """A digest of everything that the measurement depends on."""
    constants = json.dumps([KERNEL_VERSION, SAMPLE, PARTNERS, MOST_ITEMS, fitted()], sort_keys=True)
    text = b" ".join([settings.digest().encode(), constants.encode(), *digests])
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _middle(items: Items) -> Items:
    start = max(0, (len(items) - MOST_ITEMS) // 2)
    return items[start : start + MOST_ITEMS]


def _tasks(name: str, n_items: int, settings: CompareSettings, shared: Any) -> Iterator[Task]:
    for row in range(0, n_items, ROWS_A_TASK):
        yield Task(f"noise-{name}-{row}", (settings, (row, min(row + ROWS_A_TASK, n_items)), shared))
