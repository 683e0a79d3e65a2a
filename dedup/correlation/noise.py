"""How well unrelated tracks of this library do: the noise floor, measured on the library's own fingerprints.

Which pairs are unrelated nobody knows; but a fingerprint that runs backwards is no copy of anything, and has all else
that makes music agree with music: its bits, how long they last, its silences, its loops. Every lag against it is a
wrong lag. 192 tracks, chosen by the digests of their fingerprints (so that the choice depends on nothing else,
and seldom changes when tracks are added), are compared exactly with 24 others turned round. Above their upper tenth
the evidence of such decoys is exponentially distributed: a tenth of the pairs reaches `common`, and with each `decade`
more a tenth of these."""

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

from dedup.correlation.compare import compare_two
from dedup.correlation.match import evidence_of_records, fitted
from dedup.correlation.scoring import MIN_DISTINCT, Noise, usual_noise
from dedup.correlation.tile import Part, correlate_parts
from dedup.observer import Observer
from dedup.runner import Runner, Task
from dedup.settings import CompareSettings
from dedup.store.fingerprints import Candidate
from dedup.store.items import Items
from dedup.store.pairs import PAIR
from dedup.versions import KERNEL_VERSION

if TYPE_CHECKING:
    from dedup.store.store import Store

SAMPLE, PARTNERS = 192, 24
"""Tracks that are compared, and with how many others each: 4,608 pairs, of which 46 are above the highest quantile that
is used. It is tracks that differ, so many tracks with few others tell more than few with many."""

MOST_ITEMS = 1600
"""Items of a track that take part, from its middle: 200 s."""

ROWS_A_TASK = 8

COPIED = 0.3
"""Evidence from which on a track is left out as a copy of another of the sample."""

LEAST_PAIRS = 300
"""With fewer the library's own quantiles say nothing, and those of other music are taken."""


def noise_of(store: Store) -> Noise:
    """What was measured last; else the usual one."""
    measured = store.catalog.meta.get("noise")
    if measured is None:
        return usual_noise()
    return Noise(measured["common"], measured["decade"], measured["n_pairs"], tuple(measured["agreement"]))


def measure_noise(store: Store, settings: CompareSettings, runner: Runner, observer: Observer) -> bool:
    """Measures anew where the tracks to choose from are not those of the last time; whether it came to its end."""
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
            observer.message(f"the noise floor was not measured, the next `correlate` tries again: {error}")
        return False
    # By size, for the order in which workers answer must not decide how a sum is rounded.
    evidence, agreements = (sorted(value for part in measured for value in part[kind]) for kind in (0, 1))
    store.catalog.meta.set("noise", {"name": name, **asdict(noise_from(evidence, agreements))})
    return True


class _UnmeasuredError(Exception):
    """Why there is no measurement."""


def _run(runner: Runner, function: Callable[..., Any], tasks: Iterable[Task]) -> list[Any]:
    """The results of all tasks. Raises _UnmeasuredError where one has none."""
    results = []
    for outcome in runner.run(function, tasks):
        if outcome.failure is not None:
            raise _UnmeasuredError(outcome.failure)
        results.append(outcome.result)
    if runner.stop.requested:
        raise _UnmeasuredError("a stop was requested")
    return results


def _without_copies(name: str, items: Sequence[Items], settings: CompareSettings, runner: Runner) -> list[Items]:
    """The first SAMPLE that are no copies of one before: one loud loop in ten versions would be heard ten times."""
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
    """From the evidence of decoys and their raw agreements. Never below what the labelled libraries have: a library of
    few tracks, or of one kind, would trust too much."""
    usual = usual_noise()
    if len(evidence) < LEAST_PAIRS:
        return usual
    values = np.asarray(evidence) * fitted()["decoy_factor"]
    common, decade = upper_tail(values)
    decade = max(decade, upper_tail(values, 0.99)[1])
    counts, _ = np.histogram(np.clip(agreements, 0.5, 1.0), bins=50, range=(0.5, 1.0))
    return Noise(max(common, usual.common), max(decade, usual.decade), len(evidence), tuple(counts.tolist()))


def upper_tail(values: npt.NDArray[np.float64], quantile: float = 0.9) -> tuple[float, float]:
    """That quantile, and by how much more a tenth of the values above it has, and so on: of an exponential tail the
    most likely. 0 where none is above."""
    start = float(np.quantile(values, quantile))
    above = values[values > start]
    return start, float(np.mean(above - start)) * math.log(10) if len(above) else 0.0


def decoy_evidence(
    settings: CompareSettings, rows: tuple[int, int], items: Sequence[Items]
) -> tuple[list[float], list[float]]:
    """Evidence and raw agreement of each of the fingerprints `rows[0]` to before `rows[1]` against the PARTNERS behind
    it (the first follow the last), turned round. 0 of what cannot overlap enough."""
    n_partners = min(PARTNERS, max(1, (len(items) - 1) // 2))  # more, and a pair would come twice
    evidence, agreements = [], []
    for i in range(*rows):
        for behind in range(1, n_partners + 1):
            match = compare_two(items[i], items[(i + behind) % len(items)][::-1], settings)
            evidence.append(match.evidence if match else 0.0)
            agreements.append(match.agreement if match else 0.5)
    return evidence, agreements


def _candidates(store: Store) -> list[Candidate]:
    """The fingerprints with the lowest digests, of tracks that are there and may match at all."""
    return store.catalog.fingerprints.lowest_held(MIN_DISTINCT, 2 * SAMPLE)


def _middles(store: Store, candidates: Sequence[Candidate]) -> list[Items]:
    """The items of each, of its middle. A block is read once: it costs milliseconds."""
    items: dict[int, Items] = {}
    for name, group in itertools.groupby(sorted(candidates, key=lambda one: one[2] or ""), key=lambda one: one[2]):
        block = store.blocks.read(name) if name else None
        for _, fingerprint, _, row in group:
            items[fingerprint] = _middle(block.row(row) if block else store.items_of(fingerprint))
    return [items[fingerprint] for _, fingerprint, *_ in candidates]


def _name(digests: Sequence[bytes], settings: CompareSettings) -> str:
    """A digest of all that the measurement depends on."""
    constants = json.dumps([KERNEL_VERSION, SAMPLE, PARTNERS, MOST_ITEMS, fitted()], sort_keys=True)
    text = b" ".join([settings.digest().encode(), constants.encode(), *digests])
    return hashlib.blake2b(text, digest_size=16).hexdigest()


def _middle(items: Items) -> Items:
    start = max(0, (len(items) - MOST_ITEMS) // 2)
    return items[start : start + MOST_ITEMS]


def _tasks(name: str, n_items: int, settings: CompareSettings, shared: Any) -> Iterator[Task]:
    for row in range(0, n_items, ROWS_A_TASK):
        yield Task(f"noise-{name}-{row}", (settings, (row, min(row + ROWS_A_TASK, n_items)), shared))
