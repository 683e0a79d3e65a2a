"""A picture of two files: agreement of their fingerprints by lag, similarity over time, every bit that differs, and
what the null test leaves of the sound. Needs matplotlib."""

from __future__ import annotations

import io
import os
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt

from dedup.errors import InputError, UsageError, writing
from dedup.files.paths import printable
from dedup.groups.explain import Explanation, Listened, lag_curve, overlapping
from dedup.groups.losses import null_test_words, speed_words
from dedup.nulltest.residual import Residual
from dedup.settings import ITEMS_PER_SECOND, CompareSettings

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.image import AxesImage

    from dedup.correlation.match import Match
    from dedup.nulltest.hear import Heard
    from dedup.store.nulltests import NullTest

FORMATS = (".png", ".svg")

LINE, MARK, BOTH, QUIET, PALE, ABSENT = "#1f5a8c", "#c23b22", "#5b2a6e", "#6b7075", "#e8f0f7", "#e3e5e7"

MOST_DB = 20.0
"""Excess in dB that is drawn in full colour."""

TICKS_HZ = (200, 500, 1000, 2000, 4000)

LEAST_MARK = 0.004
"""Least width of the mark of a difference, as a share of the axes."""

LOWEST = 0.42
"""Lower edge of the agreement axes: chance is 0.5, and nothing real lies far below it."""

STYLE: Any = {
    "axes.edgecolor": "#b0b5ba",
    "axes.labelcolor": QUIET,
    "axes.labelsize": 9,
    "axes.spines.right": False,
    "axes.spines.top": False,
    "axes.titlelocation": "left",
    "axes.titlesize": 10,
    "axes.titleweight": "bold",
    "font.family": "DejaVu Sans",  # comes with matplotlib, so the picture is the same on every machine
    "svg.hashsalt": "reprise",  # otherwise every element has a new name each time
    "text.parse_math": False,  # a dollar sign in a name is a dollar sign
    "xtick.color": QUIET,
    "xtick.labelsize": 8,
    "ytick.color": QUIET,
    "ytick.labelsize": 8,
}


def require_plot(file: Path) -> None:
    """Raises UsageError or InputError, before any work starts, if matplotlib is missing, the format is not supported
    or the folder does not exist."""
    if file.suffix.lower() not in FORMATS:
        raise UsageError(
            "--plot", f"{file.name!r} is not the name of a PNG or SVG", remedy="Use a name that ends in .png or .svg"
        )
    if not file.absolute().parent.is_dir():
        raise InputError("--plot", f"there is no folder {file.absolute().parent}", remedy="Create it, or name another")
    try:
        import matplotlib  # noqa: F401
    except ImportError:
        raise UsageError(
            "--plot",
            "matplotlib is not installed",
            remedy="Install the extra `plot`: uv tool install 'reprise-dedup[plot]'",
        ) from None


def plot_pair(heard: Heard, compare: CompareSettings, file: Path) -> None:
    """Draws the pair into a PNG or SVG file, with its null test if there is one. The same pair gives the same bytes.
    Raises WriteError."""
    drawn = drawn_pair(heard, compare, file.suffix.lower().removeprefix("."))
    with writing(str(file), "name another file with --plot"):
        file.write_bytes(drawn)


def drawn_pair(heard: Heard, compare: CompareSettings, kind: str) -> bytes:
    """The picture as "png" or "svg"."""
    import matplotlib

    drawn = io.BytesIO()
    with matplotlib.rc_context(STYLE), warnings.catch_warnings():
        warnings.filterwarnings("ignore", "Glyph .* missing")  # scripts that the font lacks appear as boxes
        figure = _draw(heard, compare)
        figure.savefig(drawn, format=kind, dpi=130, metadata={"Date": None} if kind == "svg" else None)
    return drawn.getvalue()


def _draw(heard: Heard, compare: CompareSettings) -> Figure:
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.layout_engine import ConstrainedLayoutEngine

    explained, test, residual = heard
    has_residual = test is not None and residual is not None
    heights = (2, 1.4, 1.6, 2) if has_residual else (2, 1.4, 1.6)
    figure = Figure(figsize=(11, 1.7 * sum(heights)), layout=ConstrainedLayoutEngine(h_pad=0.12, w_pad=0.12))
    FigureCanvasAgg(figure)
    top, middle, bottom, *last = figure.subplots(len(heights), 1, height_ratios=heights)
    figure.suptitle(_heading(explained), fontsize=11, x=0.012, ha="left", linespacing=1.5)
    _draw_lag_curve(top, explained, compare)
    if explained.match is None:
        for axes in (middle, bottom):
            _say(axes, "no lag has enough overlap")
    else:
        differing = differing_bits(explained)
        start_s = max(0, explained.match.lag) / ITEMS_PER_SECOND
        _draw_similarity(middle, explained.match)
        _draw_bits(bottom, differing, start_s)
    if test is not None and residual is not None:
        _draw_residual(last[0], residual, test)
        _align((middle, bottom, last[0]))
    return figure


def _heading(explained: Explanation) -> str:
    lines = [f"{name}  {_short(side)}" for name, side in (("a", explained.a), ("b", explained.b))]
    told: str = explained.verdict
    if explained.match is not None:
        match = explained.match
        where = speed_words(match.rate, explained.change) if match.rate else f"lag {match.lag_s:+.2f} s"
        told += (
            f": {where}, overlap {match.overlap_s:.1f} s, agreement {match.agreement:.3f}, "
            f"score {match.score:.3f}, prominence {match.prominence:.3f}"
        )
    return "\n".join([*lines, told])


def differing_bits(explained: Explanation) -> npt.NDArray[np.bool_]:
    """Which bits differ at the best lag: `bool[overlap, 32]`, the lowest bit first."""
    assert explained.match is not None
    a, b = overlapping(explained.a.items, explained.b.items, explained.match)
    wrong: npt.NDArray[np.bool_] = ((a ^ b)[:, None] >> np.arange(32, dtype=np.uint32) & 1).astype(bool)
    return wrong


def _draw_lag_curve(axes: Axes, explained: Explanation, compare: CompareSettings) -> None:
    lags, agreement = lag_curve(explained.a.items, explained.b.items, compare)
    axes.set_title("Agreement at every lag")
    if not len(lags):
        _say(axes, "no lag has enough overlap")
        return
    axes.plot(lags / ITEMS_PER_SECOND, agreement, linewidth=0.9, color=LINE, marker="." if len(lags) == 1 else None)
    _draw_chance(axes)
    if explained.match is not None and not explained.match.rate:  # of another speed it lies at no lag
        match = explained.match
        axes.plot(match.lag_s, match.agreement, "o", color=MARK, markersize=6)
        on_right = match.lag > lags.mean()
        axes.annotate(
            f"{match.lag_s:+.2f} s, {match.agreement:.3f}",
            (match.lag_s, match.agreement),
            xytext=(-9 if on_right else 9, 0),
            textcoords="offset points",
            ha="right" if on_right else "left",
            va="center",
            fontsize=9,
            color=MARK,
        )
    left, right = lags[0] / ITEMS_PER_SECOND, lags[-1] / ITEMS_PER_SECOND
    margin = max(1.0, 0.02 * (right - left))
    axes.set(xlim=(left - margin, right + margin), ylim=(_floor(agreement), 1.04), ylabel="agreement")
    axes.set_xlabel("lag, seconds (to the right: a has more in front)")


def _draw_similarity(axes: Axes, match: Match) -> None:
    """Draws the similarity along the path; if one track runs faster, along its line."""
    similarity = match.similarity
    start_s, end_s = match.from_a / ITEMS_PER_SECOND, match.to_a / ITEMS_PER_SECOND
    edges = np.linspace(start_s, end_s, len(similarity) + 1)
    axes.stairs(similarity, edges, baseline=0.5, fill=True, color=PALE)
    axes.stairs(similarity, edges, baseline=None, linewidth=1.1, color=LINE)
    _draw_chance(axes)
    heard = similarity[~np.isnan(similarity)]
    axes.set(ylabel="agreement", ylim=(_floor(heard) if len(heard) else LOWEST, 1.04), xlim=(start_s, end_s))
    speed = f", a {speed_words(match.rate)}" if match.rate else ""
    axes.set_title(f"Similarity over time{speed} (steps of {(end_s - start_s) / max(1, len(similarity)):.0f} s)")


def _draw_bits(axes: Axes, differing: npt.NDArray[np.bool_], start_s: float) -> None:
    left, right = _span(start_s, len(differing))
    grey = 1 - differing.T.astype(np.float32)
    shown: dict[str, Any] = {"aspect": "auto", "cmap": "gray", "vmin": 0, "vmax": 1, "extent": (left, right, 0, 32)}
    axes.imshow(grey, origin="lower", interpolation="antialiased", **shown)
    axes.set(xlabel="time in a, seconds", ylabel="bit of the item", yticks=(0, 8, 16, 24, 32), xlim=(left, right))
    axes.set_title(f"Bits that differ, in black: {differing.mean():.1%}")


def _draw_residual(axes: Axes, residual: Residual, test: NullTest) -> None:
    """Draws what only one of the two has, with bars above it where the null test calls a difference."""
    from matplotlib.colors import LinearSegmentedColormap

    colours = LinearSegmentedColormap.from_list("sides", (MARK, "#ffffff", LINE))
    left, right, n_bands = residual.start_s, residual.end_s, residual.excess.shape[1]
    shown: dict[str, Any] = {"aspect": "auto", "cmap": colours, "vmin": -MOST_DB, "vmax": MOST_DB}
    image = axes.imshow(
        residual.excess.T, origin="lower", interpolation="nearest", extent=(left, right, 0, n_bands), **shown
    )
    axes.set_facecolor(ABSENT)  # shows where they share nothing
    ticks = np.interp(TICKS_HZ, residual.edges_hz, np.arange(n_bands + 1))
    axes.set_yticks(ticks, [f"{hz:,}" for hz in TICKS_HZ])
    axes.set(xlabel="time in a, seconds", ylabel="Hz", xlim=(left, right))
    least_s = LEAST_MARK * (right - left)
    marks = [(start, max(end - start, least_s)) for start, end, _ in test.differences]
    sides = [{"a": LINE, "b": MARK, "both": BOTH}[side] for _, _, side in test.differences]
    axes.broken_barh(marks, (1.015, 0.03), transform=axes.get_xaxis_transform(), color=sides, clip_on=False)
    axes.set_title(f"What only one of them has ({null_test_words(test)})", pad=12)
    _draw_scale(axes, image)


def _draw_scale(axes: Axes, image: AxesImage) -> None:
    """Draws the colours of both sides on the line of the label below the axes."""
    inset = axes.inset_axes((0.85, -0.17, 0.07, 0.05))
    scale = axes.figure.colorbar(image, cax=inset, orientation="horizontal", ticks=[])
    scale.outline.set_visible(False)
    for x, ha, text, colour in ((-0.1, "right", "b has more", MARK), (1.1, "left", "a has more", LINE)):
        inset.text(x, 0.5, text, ha=ha, va="center", fontsize=8, color=colour, transform=inset.transAxes)


def _align(panels: Sequence[Axes]) -> None:
    """Gives panels that show the same time the same ends."""
    limits = [axes.get_xlim() for axes in panels]
    for axes in panels:
        axes.set_xlim(min(left for left, _ in limits), max(right for _, right in limits))


def _draw_chance(axes: Axes) -> None:
    axes.axhline(0.5, color=QUIET, linewidth=0.8, linestyle=(0, (2, 3)))
    axes.annotate(
        "chance",
        (1, 0.5),
        xycoords=("axes fraction", "data"),
        xytext=(-3, -3),
        textcoords="offset points",
        ha="right",
        va="top",
        fontsize=8,
        color=QUIET,
    )


def _say(axes: Axes, text: str) -> None:
    axes.set_axis_off()
    axes.text(0.5, 0.5, text, ha="center", va="center", color=QUIET, transform=axes.transAxes)


def _floor(values: npt.NDArray[np.float64]) -> float:
    return min(LOWEST, float(values.min()) - 0.02)


def _span(start_s: float, n_items: int) -> tuple[float, float]:
    return start_s, start_s + n_items / ITEMS_PER_SECOND


def _short(side: Listened) -> str:
    """A file's name, without its middle if it is long, and its duration."""
    name = printable(os.path.basename(side.path))
    shown = name if len(name) <= 90 else f"{name[:70]}…{name[-19:]}"
    return f"{shown}  ({len(side.items) / ITEMS_PER_SECOND:.1f} s)"
