"""Ways to score two fingerprints, Reprise's and others', and how well each separates true pairs from the rest:
`evaluate.py` prints and draws this for a labelled library."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup.correlation.compare import compare_two
from dedup.groups.explain import lag_curve
from dedup.report.plot import LINE, MARK, QUIET, STYLE
from dedup.settings import CompareSettings
from dedup.store.items import Items

DIFFERENT = "different recordings"
POSITIVE = ("dup", "hard", "subset")
"""Expectations of true pairs; pairs with others (may, no) are left out."""

NEAR_LAGS = 80
"""Largest lag in items that AcoustID tries, 9.9 s; other tools try about as many."""

PREFIX_BITS = 14

Mask = npt.NDArray[np.bool_]
Scores = npt.NDArray[np.float64]


# ---- the methods ----


def our_score(a: Items, b: Items) -> float:
    match = compare_two(a, b, CompareSettings())
    return 0.0 if match is None else match.score


def raw_near(a: Items, b: Items) -> float:
    """The best agreement at lags up to NEAR_LAGS with the overlap that Reprise requires; 0 if no lag has it."""
    return float(lag_curve(a, b, CompareSettings(max_lag=NEAR_LAGS))[1].max(initial=0.0))


def raw_anywhere(a: Items, b: Items) -> float:
    """The best agreement at any lag with the overlap that Reprise requires; 0 if no lag has it."""
    return float(lag_curve(a, b, CompareSettings())[1].max(initial=0.0))


def acoustid(a: Items, b: Items) -> float:
    """The AcoustID server's score (`acoustid_compare2` of pg_acoustid), 0 to 1.

    Items that begin with the same 14 bits vote for a lag. At the lag with the most votes, `size` pairs of items
    overlap: `2 size / shorter * (1 - 2 errors / (64 size))`, with the shorter counted in whole pairs; lowered by a
    power if items repeat, 0 if there are fewer votes than 2 % of the different items."""
    places_a, places_b = last_places(a.tobytes()), last_places(b.tobytes())
    votes = (places_a - places_b)[(places_a >= 0) & (places_b >= 0)]
    votes = votes[np.abs(votes) <= NEAR_LAGS]
    if not len(votes):
        return 0.0
    counts = np.bincount(votes + NEAR_LAGS)
    lag = int(counts.argmax()) - NEAR_LAGS
    shorter = min(len(a), len(b)) // 2 * 2
    a, b = a[max(0, lag) :], b[max(0, -lag) :]
    size = min(len(a), len(b)) // 2
    n_different = [np.count_nonzero(last_places(items.tobytes()) >= 0) for items in (a, b)]
    if size == 0 or counts.max() < 0.02 * max(n_different):
        return 0.0
    errors = int(np.bitwise_count(a[: 2 * size] ^ b[: 2 * size]).sum())
    score = max(0.0, 2 * size / shorter * (1 - 2 * errors / (64 * size)))
    diversity = min(1.0, *((n + 10) / len(items) + 0.5 for n, items in zip(n_different, (a, b), strict=True)))
    return float(score ** (8 - 7 * diversity))


@lru_cache(maxsize=4096)
def last_places(items: bytes) -> npt.NDArray[np.int32]:
    """Last position of an item with each prefix, -1 if there is none: `int32[2**14]`."""
    prefixes = np.frombuffer(items, np.uint32) >> np.uint32(32 - PREFIX_BITS)
    places = np.full(1 << PREFIX_BITS, -1, np.int32)
    places[prefixes] = np.arange(len(prefixes), dtype=np.int32)
    return places


METHODS: dict[str, Callable[[Items, Items], float]] = {
    "Reprise": our_score,
    "raw, ±80 lags": raw_near,
    "raw, all lags": raw_anywhere,
    "AcoustID": acoustid,
}
USUAL = {"raw, ±80 lags": 0.58, "raw, all lags": 0.58, "AcoustID": 0.75}
"""The threshold of older tools, and that at which AcoustID merges two tracks. Reprise uses its verdicts instead."""


# ---- how well each does ----


@dataclass(frozen=True)
class Scored:
    """Every pair of different fingerprints, `[n_pairs]` each."""

    expect: npt.NDArray[np.str_]
    """Expectation as in `evaluate.py`, or DIFFERENT."""
    touches_signal: Mask
    claimed: Mask
    """Whether the store calls the two the same, or one a part of the other."""
    scores: dict[str, Scores]
    """Scores by method; a higher one means more alike."""

    def only(self, kept: Mask) -> Scored:
        scores = {name: of_all[kept] for name, of_all in self.scores.items()}
        return Scored(self.expect[kept], self.touches_signal[kept], self.claimed[kept], scores)

    def ranked(self, name: str) -> tuple[Scores, Mask]:
        """A method's scores of true pairs and pairs of different recordings, and which of them are true pairs."""
        kept = np.isin(self.expect, (*POSITIVE, DIFFERENT))
        return self.scores[name][kept], self.expect[kept] != DIFFERENT


def weigh(scored: Scored) -> dict[str, Any]:
    """How well each method does, with and without the test signals."""
    among = {"all": scored, "music only": scored.only(~scored.touches_signal)}
    return {
        title: {
            "pairs": {name: int(np.count_nonzero(part.expect == name)) for name in (*POSITIVE, DIFFERENT)},
            **{name: _weigh_method(part, name) for name in METHODS},
        }
        for title, part in among.items()
    }


def _weigh_method(scored: Scored, name: str) -> dict[str, Any]:
    scores = scored.scores[name]
    dup, unrelated = scores[scored.expect == "dup"], scores[scored.expect == DIFFERENT]
    highest = float(unrelated.max(initial=0.0))
    usual = USUAL.get(name)
    used = scored.claimed if usual is None else scores >= usual
    return {
        "average_precision": average_precision(*scored.ranked(name)),
        "margin": margin(dup, highest),
        "as_used": {"threshold": usual, **_found(scored, used)},
        "no_false": {"threshold": highest, **_found(scored, scores > highest)},
    }


def _found(scored: Scored, taken: Mask) -> dict[str, int]:
    counts = {name: int(np.count_nonzero(taken & (scored.expect == name))) for name in (*POSITIVE, DIFFERENT)}
    return {**{name: counts[name] for name in POSITIVE}, "false": counts[DIFFERENT]}


def margin(dup: Scores, highest: float) -> float | None:
    """`(worst dup - best unrelated) / (best dup - best unrelated)`: 1 if all duplicates score the same, 0 if the worst
    scores like the best unrelated pair, below 0 if it scores lower; None if even the best does not score higher."""
    if not len(dup) or dup.max() <= highest:
        return None
    return float((dup.min() - highest) / (dup.max() - highest))


def precision_recall(scores: Scores, true: Mask) -> tuple[Scores, Scores]:
    """Precision and recall at each threshold that is a score, the highest first."""
    values, place = np.unique(-scores, return_inverse=True)
    n_taken = np.cumsum(np.bincount(place, minlength=len(values)))
    n_true = np.cumsum(np.bincount(place[true], minlength=len(values)))
    return n_true / n_taken, n_true / max(1, n_true[-1] if len(values) else 0)


def average_precision(scores: Scores, true: Mask) -> float:
    """The mean precision over recall, 0 to 1; pairs with equal scores are taken together."""
    precision, recall = precision_recall(scores, true)
    return float(np.sum(precision * np.diff(recall, prepend=0.0)))


# ---- the picture ----

COLOURS = {"Reprise": LINE, "raw, ±80 lags": MARK, "raw, all lags": "#d99a2b", "AcoustID": "#5b8c5a"}
SHADES = {DIFFERENT: QUIET, "dup": LINE, "hard": MARK, "subset": "#d99a2b"}
N_BINS = 50


def plot(scored: Scored, file: Path) -> None:
    """Draws the distribution of each method's scores, and precision over recall, into a PNG or SVG file."""
    import matplotlib

    drawn = io.BytesIO()
    kind = file.suffix.lower().removeprefix(".")
    with matplotlib.rc_context(STYLE):
        _draw(scored).savefig(drawn, format=kind, dpi=130, metadata={"Date": None} if kind == "svg" else None)
    file.write_bytes(drawn.getvalue())


def _draw(scored: Scored) -> Any:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    figure = Figure(figsize=(12, 8.5), layout=ConstrainedLayoutEngine(h_pad=0.08, w_pad=0.12))
    FigureCanvasAgg(figure)
    grid = figure.add_gridspec(len(METHODS), 2, width_ratios=(1.5, 1))
    for row, name in enumerate(METHODS):
        _draw_scores(figure.add_subplot(grid[row, 0]), scored, name)
    _draw_curves(figure.add_subplot(grid[:, 1]), scored)
    return figure


def _draw_scores(axes: Any, scored: Scored, name: str) -> None:
    axes.set_title(f"Scores of pairs: {name}")
    scores = scored.scores[name].clip(0, 1)
    bins = np.linspace(0, 1, N_BINS + 1)
    for kind, colour in SHADES.items():
        counts, _ = np.histogram(scores[scored.expect == kind], bins)
        pale = kind == DIFFERENT
        axes.stairs(counts, bins, color=colour, fill=pale, alpha=0.35 if pale else 1.0, label=kind)
    if name in USUAL:
        axes.axvline(USUAL[name], color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.set(yscale="symlog", xlim=(0, 1.005), ylim=(0, 2 * len(scores)), ylabel="pairs")
    axes.yaxis.set_major_formatter("{x:,.0f}")
    if name == next(iter(METHODS)):
        axes.legend(frameon=False, fontsize=8, ncols=len(SHADES), loc="upper right")


def _draw_curves(axes: Any, scored: Scored) -> None:
    axes.set_title("Precision over recall of true pairs")
    for name in METHODS:
        scores, true = scored.ranked(name)
        precision, recall = precision_recall(scores, true)
        label = f"{name}  {average_precision(scores, true):.3f}"
        axes.plot(recall, precision, drawstyle="steps-pre", linewidth=1.4, color=COLOURS[name], label=label)
    axes.set(xlim=(0, 1.01), ylim=(0, 1.02), xlabel="recall", ylabel="precision")
    axes.legend(frameon=False, fontsize=9, loc="lower left", title="average precision", title_fontsize=8)
