"""Copies of a file at other speeds. The file's fingerprint is stretched and shortened by each rate, and looked up by
what it has in common with others then; what that finds is compared as the pass for other speeds compares it."""

from __future__ import annotations

from functools import cache

import numpy as np
import numpy.typing as npt

from dedup.correlation.join import join_blocks
from dedup.correlation.kernels import lag_limits
from dedup.correlation.other_speeds import RATES, correlate_stretched
from dedup.correlation.stretch import stretched
from dedup.correlation.tile import Part, Prepared, SharedBlock
from dedup.correlation.votes import Room
from dedup.correlation.worth_storing import ROW_X, ROW_Y, floor_of
from dedup.settings import CompareSettings
from dedup.store.items import frozen
from dedup.store.pairs import PAIR


def at_other_speeds(question: Prepared, others: Prepared, plain: bytes, settings: CompareSettings) -> bytes:
    """The pairs of a fingerprint with others at other speeds, as bytes of PAIR. `plain` are those at one speed, of
    which those that agree are left out; `settings` are those of the pass."""
    rows = _candidates(question, others, settings)
    if not len(rows):
        return b""
    known = np.frombuffer(plain, PAIR)
    known = known[np.isin(known["row_b"], rows)].copy()
    known["row_b"] = np.searchsorted(rows, known["row_b"])
    blocks = [_block(question, np.zeros(1, np.int64)), _block(others, rows)]
    (found,) = correlate_stretched(settings, [known.tobytes()], [Part(0, 1)], *blocks).pairs
    pairs = np.frombuffer(found, PAIR).copy()
    pairs["row_b"] = rows[pairs["row_b"]]
    return pairs.tobytes()


def _candidates(question: Prepared, others: Prepared, settings: CompareSettings) -> npt.NDArray[np.int64]:
    """The rows that share enough with the fingerprint at any rate, ascending."""
    items, narrowed = question.fingerprints.items, settings.narrowed
    rates = [each for rate in RATES for each in (rate, 1 / rate)]
    changed = [stretched(items, rate) for rate in rates]
    offsets = frozen(np.cumsum([0, *map(len, changed)]), np.int64)
    at_rates = Prepared(frozen(np.concatenate(changed), np.uint32), offsets, "join")
    arguments = at_rates.joined, others.joined, False, 0, len(rates), lag_limits(narrowed), floor_of(narrowed), _room()
    forward, backward = join_blocks(*arguments)
    return np.unique(np.concatenate([forward[:, ROW_Y], backward[:, ROW_X]]).astype(np.int64))


@cache
def _room() -> Room:
    """The scratch of this process."""
    return Room()


def _block(block: Prepared, rows: npt.NDArray[np.int64]) -> SharedBlock:
    """Some rows of a block, as a block."""
    items, offsets = block.fingerprints
    chosen = [items[offsets[row] : offsets[row + 1]] for row in rows.tolist()]
    whole = frozen(np.concatenate(chosen), np.uint32)
    return "", whole, frozen(np.cumsum([0, *map(len, chosen)]), np.int64)
