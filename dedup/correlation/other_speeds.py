"""What a worker does with the tiles of the pass for other speeds and pitches: it finds the pairs of two blocks that
agree if one of the two is stretched or heard at another pitch, and returns for each pair the best.

Fingerprints that were made from sound have items at other pitches (`fingerprint.pitches`): their pairs are found by
what they share along a line (`tilted`). Others, such as imported ones, are compared as they are, stretched by each rate
in its turn, by the cascade; that finds other tempos, and speeds of up to 4 %."""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Iterator, Sequence
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dedup.correlation.compare import compare_two
from dedup.correlation.match import STORED_AGREEMENT, STORED_KAPPA, Match, match_at, record
from dedup.correlation.scoring import CERTAIN
from dedup.correlation.tile import Computed, Part, Prepared, kept, merged, of_two
from dedup.settings import CompareSettings
from dedup.store.items import Items, frozen
from dedup.store.pairs import PAIR
from dedup.store.pitches import AS_IT_IS, HIGHER, LOWER, N_PITCHES

if TYPE_CHECKING:
    from dedup.correlation.kernels import BlockItems
    from dedup.correlation.tilted import Candidates, Image

RATES = tuple(1 + percent / 100 for percent in range(1, 9))
"""By which fingerprints are stretched that were heard at one pitch alone. Steps of 1.5 % lose 2 % of the pairs, steps
of 2 % lose 5 %."""

LENGTH_RATIO = 5, 4
"""How much longer one of two such may be, at most, once the other is stretched: a copy at another speed is whole, and
four of five pairs of a library need not be looked at."""

LEAST_LOG_RATE = 0.003
"""Of a pair of another speed. What is less is none: such a pair is of another pitch, or tells no more than the first
pass."""

ROWS_AT_ONCE = 128
"""Fingerprints of about one length that are compared with those of the other block that have about the same."""

SAME_SCORE = 0.45
"""Score from which a pair that agrees at one speed is not asked about others."""

LIKELY_KAPPA = 0.1
"""Kappa along a line from which a pair is looked at closely."""

OFF_PITCH = 0.15
"""How much better a pair must agree one way than the other, in kappa, to be of another pitch. Among 152 pairs of real
copies of one pitch the most is 0.12, and 0.06 of those that are whole; copies that are 1 % higher or lower have 0.18
and more."""

SECOND_IS_HIGHER, SECOND_IS_LOWER = ((HIGHER, AS_IT_IS), (AS_IT_IS, LOWER)), ((AS_IT_IS, HIGHER), (LOWER, AS_IT_IS))
"""Images of a first and a second in which they agree if they are 0.6 semitones apart."""

BETTER = 0.1
"""Score by which a pair of one speed must be better at other pitches than as it is, to be another pitch."""

HeardBlock = tuple[str, npt.NDArray[np.uint32], npt.NDArray[np.int64], npt.NDArray[np.uint32], npt.NDArray[np.bool_]]
"""A name that no other content has; items and offsets, as in `store.blocks.Block`; the items at other pitches,
`uint32[N_PITCHES, n_items]`, and which rows have any."""


def correlate_stretched(
    settings: CompareSettings, n_kept: int, known: Sequence[bytes], parts: Sequence[Part], *blocks: HeardBlock
) -> Computed:
    """Compares the pairs of each part at other speeds and pitches, and keeps `n_kept` blocks (2 or more) prepared for
    the next call. `settings` are those of the pass; `known` are the pairs that each part's tile has as they are, as
    bytes of `pairs.PAIR`: what agrees there is left out."""
    began, pairs, n_compared = time.perf_counter(), [], []
    for part, as_they_are in zip(parts, known, strict=True):
        a, b = (
            kept("heard", [block[0]], n_kept, functools.partial(Heard, block))
            for block in (blocks[part.a], blocks[part.b])
        )
        found, n = correlate_heard(a, b, part, as_they_are, settings)
        pairs.append(found)
        n_compared.append(n)
    return Computed(pairs, n_compared, time.perf_counter() - began)


def heard_block(name: str, rows: Sequence[Items], pitches: Sequence[Items | None]) -> HeardBlock:
    """Some fingerprints as a block, with the same sounds at other pitches as far as they were heard so."""
    offsets = frozen(np.cumsum([0, *map(len, rows)]), np.int64)
    silent = [np.zeros((N_PITCHES, len(row)), np.uint32) for row in rows]
    at_pitches = np.hstack([none if each is None else each for each, none in zip(pitches, silent, strict=True)])
    has_pitches = np.array([each is not None for each in pitches])
    return name, frozen(np.concatenate(rows), np.uint32), offsets, at_pitches, has_pitches


class Heard:
    """A block as this pass takes it."""

    def __init__(self, block: HeardBlock) -> None:
        _, items, self.offsets, pitches, self.has_pitches = block
        self.items = frozen(np.vstack([items.reshape(1, -1), pitches]), np.uint32)

    @property
    def n_rows(self) -> int:
        return len(self.offsets) - 1

    def row(self, row: int, image: int = 0) -> Items:
        """The items of a row in an image, 0 as it is."""
        return self.items[image, self.offsets[row] : self.offsets[row + 1]]

    @cached_property
    def images(self) -> list[Image]:
        """Those of the rows that were heard at other pitches; the others are empty there."""
        from dedup.correlation.tilted import make_image

        lengths = np.diff(self.offsets)
        kept = np.repeat(self.has_pitches, lengths)
        offsets = np.concatenate([np.zeros(1, np.int64), np.cumsum(np.where(self.has_pitches, lengths, 0))])
        return [make_image(image[kept], offsets) for image in self.items]


def correlate_heard(a: Heard, b: Heard, part: Part, known: bytes, settings: CompareSettings) -> tuple[bytes, int]:
    """The pairs of a part that are worth storing, as bytes of PAIR, by row, and the number of pairs compared. Shares
    are rows of the first block; in a block with itself each row is compared with those behind it."""
    settings, same, n_rows = settings.narrowed, part.a == part.b, a.n_rows
    first, end = (n_rows * share // part.n_shares for share in (part.share, part.share + 1))
    as_they_are = _Known(known, first, end)
    others = np.concatenate(
        [
            _along_lines(a, b, same, (first, end), as_they_are.agreeing, settings),
            *_stretched(a, b, same, first, end, settings),
        ]
    )
    stored = [pair.tobytes() for pair in as_they_are.pairs if _is_off_pitch(a, b, pair)]
    for candidate in _best_of_each(others, same, as_they_are.agreeing):
        match = _measured(a, b, candidate, settings)
        if match is not None and (match.log_rate or match.score >= as_they_are.score_of(candidate) + BETTER):
            stored.append(record(candidate["row_a"], candidate["row_b"], match).tobytes())
    n_compared = sum(n_rows - 1 - row for row in range(first, end)) if same else (end - first) * b.n_rows
    return merged(stored) if stored else b"", n_compared


class _Known:
    """What the first pass has found of a share of a tile."""

    def __init__(self, pairs: bytes, first: int, end: int) -> None:
        records = np.frombuffer(pairs, PAIR)
        self.pairs = records[(records["row_a"] >= first) & (records["row_a"] < end)]
        scores = np.maximum(self.pairs["kappa"], self.pairs["along"])
        rows = np.stack([self.pairs["row_a"], self.pairs["row_b"]], axis=1).astype(np.int64)
        self.agreeing = rows[(scores >= SAME_SCORE) & (self.pairs["log_rate"] == 0)]
        """Rows of the pairs that agree as they are, `int64[n, 2]`."""
        names = map(tuple, rows.tolist())
        self._score: dict[tuple[int, ...], float] = dict(zip(names, scores.tolist(), strict=True))

    def score_of(self, candidate: np.void) -> float:
        """The score of a pair in the first pass; 0 if it was not found there."""
        return self._score.get((int(candidate["row_a"]), int(candidate["row_b"])), 0.0)


def _is_off_pitch(a: Heard, b: Heard, pair: np.void) -> bool:
    """Whether two that agree as they are, but not as well as most copies, differ a little in pitch: then one heard as
    if it were higher agrees better with the other than the other way round. Such a pair keeps its numbers, and is
    stored here too, to be heard again."""
    from dedup.correlation.kernels import chance_corrected

    row_a, row_b, lag = int(pair["row_a"]), int(pair["row_b"]), int(pair["lag"])
    if pair["log_rate"] or not SAME_SCORE <= max(pair["kappa"], pair["along"]) < CERTAIN:
        return False
    if not (a.has_pitches[row_a] and b.has_pitches[row_b]):
        return False

    def agreement(image_a: int, image_b: int) -> float:
        kappa, _ = chance_corrected(a.row(row_a, image_a), b.row(row_b, image_b), lag)
        return kappa

    return abs(leaning(agreement)) >= OFF_PITCH


def leaning(agreement: Callable[[int, int], float]) -> float:
    """How much better two agree if the second is a little higher than if it is lower: 0 for the same pitch. `agreement`
    gives that of an image of the first with one of the second."""
    higher, lower = (
        sum(agreement(one, other) for one, other in images) for images in (SECOND_IS_HIGHER, SECOND_IS_LOWER)
    )
    return (higher - lower) / 2


def _along_lines(
    a: Heard, b: Heard, same: bool, rows: tuple[int, int], left_out: npt.NDArray[np.int64], settings: CompareSettings
) -> Candidates:
    """The pairs of rows that were heard at other pitches."""
    from dedup.correlation.kernels import lag_limits
    from dedup.correlation.tilted import CANDIDATE, likely_pairs

    if not (a.has_pitches[rows[0] : rows[1]].any() and b.has_pitches.any()):
        return np.empty(0, CANDIDATE)
    pairs = left_out[:, 0], left_out[:, 1]
    return likely_pairs(a.images, b.images, same, rows, pairs, lag_limits(settings), LIKELY_KAPPA)


def _stretched(a: Heard, b: Heard, same: bool, first: int, end: int, settings: CompareSettings) -> Iterator[Candidates]:
    """The pairs of which one was heard at one pitch alone, stretched by each rate."""
    alone_a, alone_b = ~a.has_pitches, ~b.has_pitches
    in_share = np.zeros(a.n_rows, np.bool_)
    in_share[first:end] = True
    others = np.arange(b.n_rows) >= (first if same else 0)
    for of_a, of_b in ((in_share & alone_a, others), (in_share & ~alone_a, others & alone_b)):
        if of_a.any() and of_b.any():
            yield from _candidates(_Rows(a, np.flatnonzero(of_a)), _Rows(b, np.flatnonzero(of_b)), settings)


def _measured(a: Heard, b: Heard, candidate: np.void, settings: CompareSettings) -> Match | None:
    """The numbers of a candidate, in the images in which it was found; None if it is not worth storing."""
    from dedup.correlation.stretch import at_best_rate
    from dedup.correlation.worth_storing import floor_of

    row_a, row_b, image_a, image_b, rate, of_b, lag, _ = candidate.tolist()
    x, y = a.row(row_a, image_a), b.row(row_b, image_b)
    if rate == 1:
        match, floor = compare_two(x, y, settings), floor_of(settings)
        if match is not None and (match.agreement < floor.agreement or match.score < floor.kappa):
            match = None
    else:
        match = at_best_rate(x, y, rate, bool(of_b), lag, settings)
    if match is None or abs(match.log_rate) >= LEAST_LOG_RATE:
        return match
    return None if image_a == image_b else match._replace(log_rate=0.0)


def compare_at_speeds(
    a: Items,
    b: Items,
    settings: CompareSettings,
    least_evidence: float,
    pitches: tuple[Items | None, Items | None] = (None, None),
) -> tuple[Match | None, bool]:
    """Two fingerprints (`uint32`), and those of both at other pitches, as all passes under these settings see them: as
    they are, or with one stretched, or heard at another pitch, if they agree better so, with `least_evidence` or more;
    None if they cannot overlap enough. If `correlate` stores the pair, these are its numbers. Also gives whether they
    agree at one speed and another pitch."""
    plain = compare_two(a, b, settings)
    has_pitches = np.array([each is not None for each in pitches])
    enough = CERTAIN if has_pitches.all() else SAME_SCORE
    if not settings.varispeed or (plain is not None and plain.rate == 0 and plain.score >= enough):
        return plain, False
    block = Heard(heard_block("", (a, b), pitches))
    is_stored = plain is not None and plain.score >= STORED_KAPPA and plain.agreement >= STORED_AGREEMENT
    known = record(0, 1, plain).tobytes() if plain is not None and is_stored else b""
    pairs, _ = correlate_heard(block, block, Part(0, 0), known, settings.passes[-1])
    found = match_at(pairs, 0) if pairs else None
    if found is None or found.evidence < least_evidence:
        return plain, False
    is_at_other_pitch = found.log_rate == 0
    is_better = plain is None or found.score > plain.score
    return (found, is_at_other_pitch) if is_at_other_pitch or is_better else (plain, False)


class _Rows:
    """Some rows of a block, shortest first."""

    def __init__(self, block: Heard, rows: npt.NDArray[np.int64]) -> None:
        self._block = block
        lengths = np.diff(block.offsets)[rows]
        order = np.argsort(lengths, kind="stable")
        self.rows: npt.NDArray[np.int64] = rows[order]
        self.lengths: npt.NDArray[np.int64] = lengths[order]

    def some(self, start: int, end: int) -> BlockItems:
        """Those from `start` to before `end`, by length."""
        from dedup.correlation.kernels import BlockItems

        chosen = [self._block.row(int(row)) for row in self.rows[start:end]]
        items = np.concatenate([*chosen, np.empty(0, np.uint32)])
        return BlockItems(frozen(items, np.uint32), frozen(np.cumsum([0, *map(len, chosen)]), np.int64))

    def about_as_long(self, shortest: float, longest: float) -> tuple[int, int]:
        """The places of those, by length."""
        return about_as_long(self.lengths, shortest, longest)


def about_as_long(lengths: npt.NDArray[Any], shortest: float, longest: float) -> tuple[int, int]:
    """The places, in ascending lengths, of those at most LENGTH_RATIO shorter or longer, and of some that are not:
    lengths are whole numbers once they are stretched."""
    most, least = LENGTH_RATIO
    start = np.searchsorted(lengths, shortest * least / most - 2, "left")
    return int(start), int(np.searchsorted(lengths, longest * most / least + 2, "right"))


def _candidates(a: _Rows, b: _Rows, settings: CompareSettings) -> Iterator[Candidates]:
    """The pairs of `a` and `b` that agree at a rate."""
    from dedup.correlation.stretch import stretched_block

    for start in range(0, len(a.rows), ROWS_AT_ONCE):
        end = min(start + ROWS_AT_ONCE, len(a.rows))
        plain, shortest, longest = a.some(start, end), a.lengths[start], a.lengths[end - 1]
        for rate in RATES:
            near, near_end = b.about_as_long(shortest / rate, longest / rate)
            others = stretched_block(b.some(near, near_end), rate)
            found = _of_both(plain, others, settings)
            yield _at_rate(found, a.rows[start:end], b.rows[near:near_end], rate, True)
            near, near_end = b.about_as_long(shortest * rate, longest * rate)
            found = _of_both(stretched_block(plain, rate), b.some(near, near_end), settings)
            yield _at_rate(found, a.rows[start:end], b.rows[near:near_end], rate, False)


def _of_both(x: BlockItems, y: BlockItems, settings: CompareSettings) -> Candidates:
    """The pairs of two sets of about as long fingerprints that agree; rows are those of the sets."""
    from dedup.correlation.tilted import CANDIDATE
    from dedup.correlation.worth_storing import KAPPA, LAG, ROW_X, ROW_Y

    one, other = (Prepared(*each, settings.method) for each in (x, y))
    forward, backward, _ = of_two(one.packed, other.packed, Part(0, 1), settings)
    parts = []
    for pairs, (of_a, of_b), sign in ((forward, (ROW_X, ROW_Y), 1), (backward, (ROW_Y, ROW_X), -1)):
        part = np.zeros(len(pairs), CANDIDATE)
        part["row_a"], part["row_b"] = pairs[:, of_a], pairs[:, of_b]
        part["lag"], part["kappa"] = sign * pairs[:, LAG], pairs[:, KAPPA]
        parts.append(part)
    found = np.concatenate(parts)
    lengths = np.diff(x.offsets)[found["row_a"]], np.diff(y.offsets)[found["row_b"]]
    most, least = LENGTH_RATIO
    near: Candidates = found[least * np.maximum(*lengths) <= most * np.minimum(*lengths)]
    return near


def _at_rate(
    found: Candidates, rows_a: npt.NDArray[np.int64], rows_b: npt.NDArray[np.int64], rate: float, of_b: bool
) -> Candidates:
    """What `_of_both` found at a rate; `rows_a` and `rows_b` are the rows of the blocks."""
    found["row_a"], found["row_b"] = rows_a[found["row_a"]], rows_b[found["row_b"]]
    found["rate"], found["of_b"] = rate, of_b
    return found


def _best_of_each(found: Candidates, same: bool, left_out: npt.NDArray[np.int64]) -> Candidates:
    """The best candidate of each pair that is not left out, by row; if both blocks are the `same`, of rows and those
    behind them."""
    if same:
        found = found[found["row_a"] < found["row_b"]]
    found = found[~np.isin(_both(found["row_a"], found["row_b"]), _both(left_out[:, 0], left_out[:, 1]))]
    order = ("row_a", "row_b", "kappa", "image_a", "image_b", "rate", "of_b")
    found = found[np.lexsort([-found[each] if each == "kappa" else found[each] for each in reversed(order)])]
    _, firsts = np.unique(_both(found["row_a"], found["row_b"]), return_index=True)
    best: Candidates = found[firsts]
    return best


def _both(rows_a: npt.NDArray[np.int64], rows_b: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """Both rows of each pair as one number."""
    return rows_a << 32 | rows_b
