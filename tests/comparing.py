"""Compares fingerprints as a run does, in blocks, tiles and shares; for the tests of the methods."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Sequence
from dataclasses import replace

import numpy as np
from hypothesis import strategies as st

from dedup.correlation.match import Match, match_at
from dedup.correlation.tile import Part, correlate_parts, merged
from dedup.settings import CompareSettings
from dedup.store.blocks import make_block
from dedup.store.items import Items
from dedup.store.pairs import PAIR
from tests import stores

DEFAULT = CompareSettings(varispeed=False)
SAME = 0.45
"""Kappa that the planted pairs have at least."""
KEPT_BLOCKS = 8

Found = dict[tuple[int, int], Match]
"""By pair, the lower number first."""


def compared(
    rows: Sequence[Items],
    compare: CompareSettings = DEFAULT,
    *,
    block_size: int = 1000,
    order: Iterable[int] | None = None,
    n_shares: int = 1,
    swapped: bool = False,
) -> Found:
    """What all tiles of these fingerprints give."""
    numbers = list(order if order is not None else range(len(rows)))
    blocks = [numbers[start : start + block_size] for start in range(0, len(numbers), block_size)]
    made = [make_block([rows[number] for number in block]) for block in blocks]
    shared = [(block.name, block.items, block.offsets) for block in made]
    found: Found = {}
    n_compared = 0
    for tile in itertools.combinations_with_replacement(range(len(blocks)), 2):
        a, b = reversed(tile) if swapped else tile
        parts = [Part(a, b, share, n_shares) for share in range(n_shares)]
        done = correlate_parts(compare, KEPT_BLOCKS, parts, *shared)
        n_compared += sum(done.n_compared)
        pairs = np.frombuffer(merged(done.pairs), PAIR)
        assert [(p["row_a"], p["row_b"]) for p in pairs] == sorted({(p["row_a"], p["row_b"]) for p in pairs})
        records = pairs.tobytes()
        for number, record in enumerate(pairs):
            match = match_at(records, number * PAIR.itemsize)
            pair = blocks[a][record["row_a"]], blocks[b][record["row_b"]]
            found[min(pair), max(pair)] = match if pair[0] < pair[1] else match.swapped()
    assert n_compared == len(rows) * (len(rows) - 1) // 2
    return found


def exact(compare: CompareSettings) -> CompareSettings:
    return replace(compare, method="exact")


def place(match: Match) -> tuple[int, int]:
    return match.lag, match.overlap


def assert_part_of_exact(rows: Sequence[Items], compare: CompareSettings, block_size: int = 1000) -> Found:
    """Gives what the cascade finds."""
    found = compared(rows, compare, block_size=block_size)
    assert found.items() <= compared(rows, exact(compare), block_size=block_size).items()
    return found


SEED, SHARE = st.integers(0, 3), st.sampled_from([0.0, 0.03, 0.1, 0.2, 0.3, 0.35])
N_ITEMS = st.one_of(st.integers(0, 90), st.sampled_from([127, 128, 255, 256, 257, 300, 511, 520]))


def cut(seed: int, start: int, n_items: int, share: float, copy: int) -> Items:
    """A part of one of a few recordings, changed: parts of one recording match, others do not."""
    return stores.copied(stores.recording(seed, 600)[start : start + n_items], share, copy)


CUT = st.builds(cut, SEED, st.integers(0, 300), N_ITEMS, SHARE, st.integers(0, 5))
SETTINGS = st.builds(
    lambda max_lag, share, items: CompareSettings(
        varispeed=False, max_lag=max_lag, min_overlap=share, min_overlap_items=items
    ),
    st.sampled_from([None, 0, 1, 5, 30, 200, 300]),
    st.sampled_from([0.01, 0.1, 0.25, 0.6, 1.0]),
    st.sampled_from([1, 20, 80]),
)
