"""The slow, obvious twin of every kernel of `dedup.correlation`, on lists of Python integers.

No NumPy, no cleverness: bits and items are counted one at a time, and a fraction is a `Fraction` until it is compared
with the kernel's result."""

from __future__ import annotations

import itertools
import math
import statistics
import struct
from collections import Counter
from collections.abc import Sequence
from fractions import Fraction
from typing import Any, NamedTuple

PEAK_WIDTH = 16
SILENT = 627964279

Items = Sequence[int]


class Found(NamedTuple):
    """What `compare` says about a pair."""

    lag: int
    overlap: int
    errors: int
    prominence: float


class Floor(NamedTuple):
    """What `correlate_row` asks of a pair."""

    agreement: float
    score: float
    """Kappa at the best lag or along the path."""
    kappa: float
    """Kappa at the best lag."""
    n_informative: int


class Row(NamedTuple):
    """What `correlate_row` keeps about a pair."""

    row: int
    lag: int
    overlap: int
    errors: int
    kappa: float
    prominence: float
    along: float
    log_rate: float
    contrast: float
    """Contrast to 12 digits."""
    distinct: int
    from_x: int
    to_x: int
    from_y: int
    to_y: int
    steps: bytes


def required_overlap(nx: int, ny: int, min_overlap: float, min_items: int) -> int:
    # The product is a float64 by definition; from there on it is exact.
    return max(min_items, math.ceil(Fraction(min_overlap * min(nx, ny))))


def overlapping(x: Items, y: Items, lag: int) -> list[tuple[int, int]]:
    """The items that lie over each other: `x[i + lag]` over `y[i]`."""
    return [(x[i + lag], y[i]) for i in range(len(y)) if 0 <= i + lag < len(x)]


def overlap_at(nx: int, ny: int, lag: int) -> int:
    return len(overlapping(range(nx), range(ny), lag))


def lag_range(nx: int, ny: int, required: int, max_lag: int) -> list[int]:
    """All lags, ascending."""
    return [lag for lag in range(-max_lag, max_lag + 1) if overlap_at(nx, ny, lag) >= required]


def bit_errors(x: Items, y: Items, lag: int) -> int:
    return sum((a ^ b).bit_count() for a, b in overlapping(x, y, lag))


def lag_curve(x: Items, y: Items, lags: Sequence[int]) -> dict[int, int]:
    return {lag: bit_errors(x, y, lag) for lag in lags}


def lag_gain(n: int, errors: int) -> float:
    """`(agreement - 1/2)^2 n`, with its sign, times 1024."""
    fewer = 16 * n - errors
    return fewer * abs(fewer) / n


def best_lag(nx: int, ny: int, errors: dict[int, int]) -> int:
    return max(errors, key=lambda lag: (lag_gain(overlap_at(nx, ny, lag), errors[lag]), -abs(lag), -lag))


def agreement(n: int, errors: int) -> float:
    return 1 - errors / (32 * n)


def rival_agreement(nx: int, ny: int, errors: dict[int, int], best: int) -> float:
    rivals = [agreement(overlap_at(nx, ny, lag), errors[lag]) for lag in errors if abs(lag - best) > PEAK_WIDTH]
    return max([0.5, *rivals])


def bit(item: int, number: int) -> int:
    return item >> number & 1


def chance_corrected(x: Items, y: Items, lag: int) -> tuple[Fraction, int]:
    informative = [(a, b) for a, b in overlapping(x, y, lag) if not a == b == SILENT]
    n = len(informative)
    if n == 0:
        return Fraction(0), 0
    equal = sum(bit(a, k) == bit(b, k) for a, b in informative for k in range(32))
    expected = Fraction(0)
    for k in range(32):
        ones_a = Fraction(sum(bit(a, k) for a, _ in informative), n)
        ones_b = Fraction(sum(bit(b, k) for _, b in informative), n)
        expected += (ones_a * ones_b + (1 - ones_a) * (1 - ones_b)) / 32
    if expected == 1:
        return Fraction(0), n
    return (Fraction(equal, 32 * n) - expected) / (1 - expected), n


def is_swapped(x: Items, y: Items) -> bool:
    return (-len(y), list(y)) < (-len(x), list(x))


def compare(x: Items, y: Items, max_lag: int, min_overlap: float, min_items: int) -> Found | None:
    nx, ny = len(x), len(y)
    lags = lag_range(nx, ny, required_overlap(nx, ny, min_overlap, min_items), max_lag)
    if not lags:
        return None
    errors = lag_curve(x, y, lags)
    lag = best_lag(nx, ny, errors)
    n = overlap_at(nx, ny, lag)
    return Found(lag, n, errors[lag], agreement(n, errors[lag]) - rival_agreement(nx, ny, errors, lag))


def matched(x: Items, y: Items, found: Found, at_best: float, path: Path, swapped: bool) -> tuple[Any, ...]:
    """All numbers of a pair, `y` being the shorter; with `y` first if `swapped`."""
    x_on, y_on = (path.x_from, path.x_to), (path.y_from, path.y_to)
    on_path = [items[slice(*on)] for items, on in ((x, x_on), (y, y_on))]
    distinct = min(len({item for item in items if item != SILENT}) for items in on_path)
    bits = 0.0 if path.rate else round(float(contrast(*on_path)), 12)
    lag, log_rate, on = found.lag, round(math.log(1 + path.rate), 9), (*x_on, *y_on)
    if swapped:
        lag, log_rate, on = -lag, -log_rate, (*y_on, *x_on)
    numbers = (lag, found.overlap, found.errors, at_best, found.prominence, float(path.kappa), log_rate, bits, distinct)
    return (*numbers, *on, bytes(condensed(path.steps)))


def correlate_row(
    x: Items,
    rows: Sequence[Items],
    first_row: int,
    settings: tuple[int, float, int],
    floor: Floor,
) -> list[Row]:
    """The pairs of `x` with the rows from `first_row` on that have what the floor asks. `settings` are the last three
    parameters of `compare`."""
    kept = []
    for row in range(first_row, len(rows)):
        y = rows[row]
        swapped = is_swapped(x, y)
        a, b = (y, x) if swapped else (x, y)
        found = compare(a, b, *settings)
        if found is None:
            continue
        at_best, n_informative = chance_corrected(a, b, found.lag)
        path = follow(a, b, found.lag)
        measured = Floor(
            agreement(found.overlap, found.errors), float(max(at_best, path.kappa)), float(at_best), n_informative
        )
        if all(value >= least for value, least in zip(measured, floor, strict=True)):
            kept.append(Row(row, *matched(a, b, found, float(at_best), path, swapped)))
    return kept


# ---- 16 pairs at a time: `lanes`, `vector` and `cascade` ----

LANES = 16
CLEAR, SHARE_EXPLAINED, BASE_STEP = 13.0, 0.16, 4

Curve = Sequence[Sequence[int]]
"""Bit errors by lag, then lane."""

Spans = Sequence[tuple[int, int]]
"""First row that is compared at each lag, and the one behind the last."""


def lane_order(rows: Sequence[Items]) -> list[int]:
    """By length; among equals the one with the larger items first. Of two, the later is `x`."""
    return sorted(range(len(rows)), key=lambda row: (len(rows[row]), [-item for item in rows[row]]))


def item_step(n_items: int, lag_step: int, rows_aimed_at: int) -> int:
    """The `m` of "every m-th item of `y` is compared"."""
    step = lag_step
    while rows_aimed_at and n_items // (2 * step) >= rows_aimed_at:
        step *= 2
    return step


def lane_groups(steps: Sequence[int]) -> list[int]:
    """Where groups begin, and the end. A group has at most 16 fingerprints, all with one `item_step`; `steps` are in
    order."""
    first: list[int] = []
    for position, step in enumerate(steps):
        if not first or position - first[-1] == LANES or step != steps[first[-1]]:
            first.append(position)
    return [*first, len(steps)]


def coarse_errors(x: Items, y: Items, lag: int, lag_step: int, step: int) -> int:
    """Bit errors of every `step`-th item of `y` at `lag_step` times `lag`."""
    over = [(x[i + lag_step * lag], y[i]) for i in range(0, len(y), step) if 0 <= i + lag_step * lag < len(x)]
    return sum((a ^ b).bit_count() for a, b in over)


def coarse_span(nx: int, ny: int, lag: int, lag_step: int, step: int) -> list[int]:
    """The rows, each a `step`-th item of `y`, that meet an item of `x`."""
    return [row for row in range(-(-ny // step)) if 0 <= step * row + lag_step * lag < nx]


def float32(value: float) -> float:
    """The value rounded to `float32`. A sum, difference, product or quotient of two `float32` may be rounded from
    `float64`, with the same result."""
    return float(struct.unpack("<f", struct.pack("<f", value))[0])


def n_rows(span: tuple[int, int], lane_rows: int) -> int:
    return len(range(span[0], min(span[1], lane_rows)))


def lane_lags(spans: Spans, lane_rows: int, low: int, high: int) -> list[int]:
    """The indices in a range at which a lane has rows."""
    return [i for i, span in enumerate(spans) if low <= i <= high and n_rows(span, lane_rows)]


def add_lags(
    curve: Curve, spans: Spans, lane: int, lane_rows: int, low: int, high: int, first: int, step: int
) -> tuple[int, int]:
    """Bit errors and rows of a lane, at every `step`-th lag from `first` on."""
    lags = [i for i in lane_lags(spans, lane_rows, low, high) if i >= first and (i - first) % step == 0]
    return sum(curve[i][lane] for i in lags), sum(n_rows(spans[i], lane_rows) for i in lags)


def stands_out(n: int, errors: int, average: float, clear: float, share: float) -> bool:
    fewer = float32(float32(float32(n) * average) - float32(errors))
    return fewer > float32(share * n) and float32(fewer * fewer) > float32(clear * n)


def sieve(
    curve: Curve, spans: Spans, lane: int, lane_rows: int, ranges: tuple[int, int, int, int], lowest: int
) -> list[int]:
    """The lags within the last two of `ranges` that stand out from the average; it is taken over the lags within the
    first two that BASE_STEP divides. `lowest` is the lag of index 0."""
    low, high, first, last = (lag - lowest for lag in ranges)
    errors, rows = add_lags(curve, spans, lane, lane_rows, low, high, -lowest % BASE_STEP, BASE_STEP)
    average = errors / max(rows, 1)
    share = average / 32
    needed = [float32(v) for v in (average, CLEAR * CLEAR * 4 * share * (1 - share), SHARE_EXPLAINED * average)]
    lags = lane_lags(spans, lane_rows, first, last)
    return [lowest + i for i in lags if stands_out(n_rows(spans[i], lane_rows), curve[i][lane], *needed)]


def best_index(curve: Curve, spans: Spans, lane: int, lane_rows: int, low: int, high: int, lowest: int) -> int:
    """The index of the `best_lag`, `lowest` being the lag of index 0; -1 if there is none."""
    lags = lane_lags(spans, lane_rows, low, high)
    gains = {i: lag_gain(n_rows(spans[i], lane_rows), curve[i][lane]) for i in lags}
    return max(lags, key=lambda i: (gains[i], -abs(lowest + i), -i), default=-1)


def bit_counts(x: Items, y: Items) -> list[int]:
    """How often each bit is set in `x` and in `y`, how many differ, how many items; without items silent in both."""
    informative = [(a, b) for a, b in zip(x, y, strict=True) if not a == b == SILENT]
    ones = [sum(bit(pair[side], k) for pair in informative) for side in range(2) for k in range(32)]
    return [*ones, sum((a ^ b).bit_count() for a, b in informative), len(informative)]


def kappa(counts: Sequence[int]) -> tuple[Fraction, int]:
    """Chance-corrected agreement, from `bit_counts`."""
    ones_x, ones_y, errors, n = counts[:32], counts[32:64], counts[64], counts[65]
    if n == 0:
        return Fraction(0), 0
    shares = [(Fraction(a, n), Fraction(b, n)) for a, b in zip(ones_x, ones_y, strict=True)]
    expected = sum(p * q + (1 - p) * (1 - q) for p, q in shares) / 32
    if expected == 1:
        return Fraction(0), n
    return (1 - Fraction(errors, 32 * n) - expected) / (1 - expected), n


# ---- by votes: `keys` and `join` ----

LOW_BITS, MOST_OF_A_TRACK = 6, 32
VOTES, VOTE_LAGS, LIKELIEST, LEAST_KAPPA = 3, 3, 8, 0.05
FEWEST_KEYS, BITS_BY_KEYS, MIN_DISTINCT = 384, ((96, 3), (192, 6)), 24


def key_of(item: int) -> int:
    """The odd bits of an item, then the lowest of the even ones."""
    bits = [bit(item, k) for k in range(31, 0, -2)] + [bit(item, k) for k in range(2 * LOW_BITS - 2, -1, -2)]
    return int("".join(map(str, bits)), 2)


def heard_keys(items: Items) -> list[tuple[int, int]]:
    """Key and place of each item that is not silent and not the one before it again."""
    heard = [i for i, item in enumerate(items) if item != SILENT and (i == 0 or items[i - 1] != item)]
    return sorted((key_of(int(items[i])), i) for i in heard)


def n_different(items: Items) -> int:
    return len(set(items.tolist()) - {SILENT})


def track_keys(items: Items) -> list[tuple[int, int]]:
    """The keys without common ones; none if there are too few different items for a match."""
    if n_different(items) < MIN_DISTINCT:
        return []
    times = Counter(key for key, _ in heard_keys(items))
    return [(key, place) for key, place in heard_keys(items) if times[key] <= MOST_OF_A_TRACK]


def few_keys(items: Items) -> list[tuple[int, int]]:
    """The keys, the first of those that are common."""
    places: dict[int, list[int]] = {}
    for key, place in heard_keys(items):
        places.setdefault(key, []).append(place)
    return [(key, place) for key, some in places.items() for place in some[:MOST_OF_A_TRACK]]


def has_few(items: Items) -> bool:
    return len(track_keys(items)) < FEWEST_KEYS


def near_lags(x: Items, y: Items) -> list[int]:
    """The lag of each two keys that are nearly equal, if one of the two has few, ascending."""
    keys = {side: few_keys(items) if has_few(items) else track_keys(items) for side, items in (("x", x), ("y", y))}
    n_few = [len(keys[side]) for side, items in (("x", x), ("y", y)) if has_few(items)]
    if not n_few or min(n_different(x), n_different(y)) < MIN_DISTINCT:
        return []
    left_out = LOW_BITS - max([n_bits for at_least, n_bits in BITS_BY_KEYS if min(n_few) >= at_least], default=0)
    return sorted(i - j for a, i in keys["x"] for b, j in keys["y"] if a >> left_out == b >> left_out)


def ones_of(items: Items) -> list[int]:
    """How often each bit is set, and the number of items, without silent ones."""
    heard = [int(item) for item in items if item != SILENT]
    return [*(sum(bit(item, k) for item in heard) for k in range(32)), len(heard)]


def voted_lags(x: Items, y: Items) -> list[int]:
    """The lag of each two equal keys, ascending."""
    places: dict[int, list[int]] = {}
    for key, place in track_keys(y):
        places.setdefault(key, []).append(place)
    return sorted(place - other for key, place in track_keys(x) for other in places.get(key, []))


def enough_votes(lags: Sequence[int]) -> dict[int, int]:
    """The voted lags with which VOTE_LAGS neighbours, upwards, have VOTES together, and how many."""
    times = Counter(lags)
    counts = {lag: sum(times[lag + k] for k in range(VOTE_LAGS)) for lag in sorted(times)}
    return {lag: n for lag, n in counts.items() if n >= VOTES}


def voted_lag(x: Items, y: Items, allowed: Sequence[int]) -> int | None:
    """The best lag of the longer `x` and `y` near those with the most votes, or of all voted ones if one has few keys;
    None if the two do not look alike."""
    may_be = set(allowed)
    if min(n_different(x), n_different(y)) < MIN_DISTINCT:
        return None
    if has_few(x) or has_few(y):
        return likeliest(x, y, [lag for lag in near_lags(x, y) if lag in may_be])
    enough = enough_votes([lag for lag in voted_lags(x, y) if lag in may_be])
    tried: list[int] = []
    while len(tried) < LIKELIEST:
        left = [lag for lag in enough if all(abs(lag + 1 - other) >= VOTE_LAGS for other in tried)]
        if not left:
            break
        tried.append(max(left, key=lambda lag: (enough[lag], -lag)) + 1)
    near = [lag for middle in tried for lag in (middle - 1, middle, middle + 1) if lag in may_be]
    return likeliest(x, y, near)


def likeliest(x: Items, y: Items, near: Sequence[int]) -> int | None:
    """The best of these lags; None if there is none, or kappa is too low by how often bits are set in all of both."""
    if not near:
        return None
    gains = {lag: lag_gain(overlap_at(len(x), len(y), lag), bit_errors(x, y, lag)) for lag in near}
    best = max(near, key=lambda lag: gains[lag])
    (*ones_x, n_x), (*ones_y, n_y) = ones_of(x), ones_of(y)
    by_chance = sum(a * (n_y - b) + (n_x - a) * b for a, b in zip(ones_x, ones_y, strict=True))
    differing = by_chance / (32 * n_x * n_y) if n_x and n_y else 1.0
    most = (1 - LEAST_KAPPA) * differing * (32 * overlap_at(len(x), len(y), best))
    return best if bit_errors(x, y, best) <= most else None


# ---- along a path ----

STEP, STRETCH, KNOWN_AGREEMENT, GIVE_UP = 32, 64, 0.65, 8
SLACK, REACH = 2, 0.06
NEAR_LINE, ON_LINE, LEAST_DRIFT, SLOPES_OF, FEWEST_KNOWN = 2, 0.8, 4, 150, 6
N_STEPS = 128


class Path(NamedTuple):
    """What `follow` says about a pair."""

    kappa: Fraction
    errors: int
    n_informative: int
    n_items: int
    rate: float
    y_from: int
    y_to: int
    x_from: int
    x_to: int
    steps: list[int]
    """Similarity of the steps that lie over items of `x`."""


def follow(x: Items, y: Items, lag: int) -> Path:
    """The path of a pair that is best at `lag`."""
    n_steps = -(-len(y) // STEP)
    known = known_lags(x, y, lag, n_steps)
    rate, start = line(known, lag, len(y))
    # A step is on the line in its middle.
    lags = [known[j][0] if j in known else round(start + rate * (j + 0.5) * STEP) for j in range(n_steps)]
    if rate == 0:
        for j in range(1, n_steps):
            lags[j] = better(x, y, j, lags[j], lags[j - 1])
        for j in reversed(range(n_steps - 1)):
            lags[j] = better(x, y, j, lags[j], lags[j + 1])
    places = [
        [(i + lags[j], i) for i in range(j * STEP, min((j + 1) * STEP, len(y))) if 0 <= i + lags[j] < len(x)]
        for j in range(n_steps)
    ]
    over = [place for of_step in places for place in of_step]
    counts = bit_counts([x[i] for i, _ in over], [y[i] for _, i in over])
    steps = [similarity([x[i] for i, _ in some], [y[i] for _, i in some]) for some in places if some]
    ends = (over[0][1], over[-1][1] + 1, over[0][0], over[-1][0] + 1)
    return Path(kappa(counts)[0], counts[64], counts[65], len(over), rate, *ends, steps)


def similarity(x: Items, y: Items) -> int:
    """1 + 254 times the agreement, rounded; 0 where both are silent."""
    *_, errors, n = bit_counts(x, y)
    return 1 + round(254 * agreement(n, errors)) if n else 0


def stretch(j: int, ny: int) -> int:
    """The first of the items that decide a step's lag: the step and half a step on either side, moved inwards at the
    ends."""
    return max(0, min(j * STEP - (STRETCH - STEP) // 2, ny - STRETCH))


def stretch_errors(x: Items, y: Items, first: int, lag: int) -> int | None:
    """Bits that differ over a stretch; None if it does not lie wholly over items of `x`."""
    if not 0 <= first + lag <= len(x) - STRETCH:
        return None
    return sum((x[first + lag + i] ^ y[first + i]).bit_count() for i in range(STRETCH))


def says(errors: int | None) -> bool:
    """Whether the lag of a stretch counts as known."""
    return errors is not None and agreement(STRETCH, errors) >= KNOWN_AGREEMENT


def known_lags(x: Items, y: Items, lag: int, n_steps: int) -> dict[int, tuple[int, int]]:
    """Lag and bit errors of the steps whose lag is known."""
    if len(y) < STRETCH:
        return {}
    at_lag = {j: stretch_errors(x, y, stretch(j, len(y)), lag) for j in range(n_steps)}
    saying = {j: errors for j, errors in at_lag.items() if errors is not None and says(errors)}
    if not saying:
        return {}
    seed = min(saying, key=lambda j: (saying[j], j))
    known = {seed: (lag, saying[seed])}
    for steps in (range(seed + 1, n_steps), range(seed - 1, -1, -1)):
        last = seed
        for j in steps:
            distance = abs(j - last)
            if distance > GIVE_UP:
                break
            reach, first = SLACK + int(REACH * STEP * distance), stretch(j, len(y))
            near = known[last][0]
            if stretch_errors(x, y, first, near) is None:
                continue
            found = {at: stretch_errors(x, y, first, at) for at in range(near - reach, near + reach + 1)}
            inside = [(errors, abs(at - near), -at) for at, errors in found.items() if errors is not None]
            if inside and says(min(inside)[0]):
                errors, _, lower = min(inside)
                known[j], last = (-lower, errors), j
    return known


def line(known: dict[int, tuple[int, int]], lag: int, ny: int) -> tuple[float, float]:
    """Slope, and lag at the first item, of the line through the known steps; (0, lag) if there is none."""
    level, lags = (0.0, float(lag)), {j: at for j, (at, _) in sorted(known.items())}
    if len(lags) < FEWEST_KNOWN or max(lags.values()) - min(lags.values()) < LEAST_DRIFT:
        return level
    middle = {j: stretch(j, ny) + STRETCH / 2 for j in lags}
    typical = statistics.median(errors for _, errors in known.values())
    some = [j for j in lags if known[j][1] <= typical]
    some = some[:: max(1, len(some) // SLOPES_OF)]
    pairs = [(i, j) for i, j in itertools.combinations(some, 2) if middle[i] != middle[j]]
    slope = statistics.median((lags[j] - lags[i]) / (middle[j] - middle[i]) for i, j in pairs)
    start = statistics.median(lags[j] - slope * middle[j] for j in some)
    near = [j for j in lags if abs(lags[j] - start - slope * middle[j]) <= NEAR_LINE]
    if len(near) < ON_LINE * len(lags):
        return level
    if is_jump([(middle[j], lags[j]) for j in lags]):
        return level
    slope, start = least_squares([(middle[j], lags[j]) for j in near])
    return level if abs(slope) * (max(lags) - min(lags)) * STEP < LEAST_DRIFT else (slope, start)


def is_jump(points: Sequence[tuple[float, int]]) -> bool:
    """Whether two levels with a jump between them are nearer to the points than a line is."""
    slope, start = least_squares(points)
    lags = [lag for _, lag in points]

    def off_level(some: Sequence[int]) -> float:
        return sum((lag - sum(some) / len(some)) ** 2 for lag in some)

    by_line = sum((lag - start - slope * at) ** 2 for at, lag in points)
    return any(off_level(lags[:i]) + off_level(lags[i:]) < by_line for i in range(1, len(lags)))


def least_squares(points: Sequence[tuple[float, int]]) -> tuple[float, float]:
    """Slope and value at 0."""
    x_mean, y_mean = (sum(values) / len(points) for values in zip(*points, strict=True))
    slope = sum((x - x_mean) * (y - y_mean) for x, y in points) / sum((x - x_mean) ** 2 for x, _ in points)
    return slope, y_mean - slope * x_mean


def better(x: Items, y: Items, j: int, lag: int, other: int) -> int:
    """The one of two lags of a step that fits better, if the step lies wholly over items of `x` at both; else `lag`."""
    own = range(j * STEP, min((j + 1) * STEP, len(y)))
    if any(not 0 <= i + at < len(x) for i in own for at in (lag, other)):
        return lag
    errors = {at: sum((x[i + at] ^ y[i]).bit_count() for i in own) for at in (lag, other)}
    return other if errors[other] < errors[lag] else lag


def condensed(steps: Sequence[int]) -> list[int]:
    """At most N_STEPS steps, each the rounded mean of as many neighbours as needed, without those silent in both."""
    together = max(1, math.ceil(Fraction(len(steps), N_STEPS)))
    groups = [[step for step in steps[i : i + together] if step] for i in range(0, len(steps), together)]
    return [round(Fraction(sum(heard), len(heard))) if heard else 0 for heard in groups]


KEPT, LOST = (2, 6, 7, 8), (0, 1, 9, 10, 13)


def contrast(x: Items, y: Items) -> Fraction:
    """How much more often two bits of the pairs LOST differ than two of KEPT."""
    over = list(zip(x, y, strict=False))
    if not over:
        return Fraction(0)

    def differing(pairs: Sequence[int]) -> Fraction:
        of = [bit(a, k) != bit(b, k) for a, b in over for pair in pairs for k in (2 * pair, 2 * pair + 1)]
        return Fraction(sum(of), len(of))

    return differing(LOST) - differing(KEPT)
