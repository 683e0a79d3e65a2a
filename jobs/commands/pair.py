"""`reprise pair`: two files, compared and explained."""

from __future__ import annotations

import contextlib
import functools
import os
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dedup.settings import ITEMS_PER_SECOND
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.output import Column, path_text
from jobs.session.run import Run, reader
from jobs.show.words import bar_text, called_lines, lag_text, null_test_lines, pitch_text, speed_text

if TYPE_CHECKING:
    from dedup.groups.explain import Explanation, Listened
    from dedup.store.nulltests import NullTest
    from dedup.store.store import Store

FILE = click.Path(path_type=bytes)


@click.command("pair", cls=Command)
@click.argument("a", type=FILE)
@click.argument("b", type=FILE)
@click.option("--plot", metavar="FILE", type=click.Path(dir_okay=False, path_type=Path), help="Draw a PNG or SVG.")
@options.length
@options.compare
@options.match
@options.common
@reader
def pair(run: Run, a: bytes, b: bytes, plot: Path | None) -> None:
    """Compare two files, in the store or not, and explain why they match or do not."""
    from dedup.correlation.warm_up import compile_pair
    from dedup.files.apart import apart
    from dedup.files.paths import printable
    from dedup.groups.explain import explain
    from dedup.library.look import LOOK_S
    from dedup.nulltest.hear import hear

    if plot is not None:
        from dedup.report.plot import plot_pair, require_plot

        require_plot(plot)

    compile_pair(run.settings.compare(), run.observer)
    compare, match, limit_s = run.settings.compare(), run.settings.match(), run.settings.scan().time_limit_s
    with _store_if_any(run) as store:
        explained = explain(
            a,
            b,
            store=store,
            fingerprint=run.settings.fingerprint(),
            compare=compare,
            match=match,
            time_limit_s=limit_s,
            is_apart=True,
        )
    heard_now = functools.partial(hear, to_draw=plot is not None)
    found = apart(f"{printable(a)} and {printable(b)}", LOOK_S + limit_s, heard_now, explained, limit_s)
    if plot is not None:
        plot_pair(found, compare, plot)
    _show(run, found.explained, found.test)
    if plot is not None:
        run.output.note(f"plot: {path_text(os.fsencode(plot))}")


@contextlib.contextmanager
def _store_if_any(run: Run) -> Iterator[Store | None]:
    from dedup.store.layout import Layout

    if not Layout(run.settings.store).catalog.exists():
        yield None
        return
    with stores.for_reading(run) as store:
        yield store


def _show(run: Run, explained: Explanation, test: NullTest | None) -> None:
    from dedup.report.export import explanation_record, test_record

    run.output.result({**explanation_record(explained), "null_test": test_record(test)})
    if run.output.as_json:
        return
    for name, side in (("a", explained.a), ("b", explained.b)):
        run.output.text(f"{name}: {path_text(side.path)} ({_side_text(side)})")
    match = explained.match
    if match is None:
        run.output.text("the two do not overlap enough at any lag")
    else:
        more = "a" if match.lag > 0 else "b"
        lag = f"{abs(match.lag_s):.2f} s more at the start of {more}" if match.lag else "0"
        where = f"a {lag_text(match)}" if match.rate else f"best lag {lag}"
        run.output.text(f"{where}; overlap {match.overlap_s:.1f} s; agreement {match.agreement:.4f}")
        if match.rate:
            run.output.text(
                f"a plays {speed_text(match.rate, explained.change)} than b; along that line kappa is {match.along:.3f}"
            )
        elif explained.change is not None and explained.change.kind == "pitch":
            run.output.text(f"a sounds {pitch_text(explained.change)} than b, at the same tempo")
        run.output.text(f"over time  {bar_text(match)}  (steps of 4 s or more: █ the same, ░ chance, · silence)")
        run.output.text(
            f"score {match.score:.3f}; the chance that unrelated tracks would do as well: {explained.false_match:.1e}"
        )
    rows = [
        {
            "name": c.name,
            "value": c.value,
            "threshold": f"at most {_number(c.threshold)}" if c.at_most else c.threshold,
            "met": "met" if c.met else "NOT met",
        }
        for c in explained.criteria
    ]
    columns = (
        Column("name", "why"),
        Column("value", "value", _number),
        Column("threshold", "needed", _number),
        Column("met", ""),
    )
    run.output.table(columns, rows)
    for line in null_test_lines(test) if test else ():
        run.output.text(line)
    for line in called_lines(explained):
        run.output.text(line)
    said = ", because a person said so" if explained.judged and explained.verdict in ("same recording", "other") else ""
    run.output.text(f"verdict: {explained.verdict}{said}{_place_text(explained)}")
    if explained.is_at_other_pitch:
        run.output.text("They agree at another pitch, and nobody has listened yet: `reprise full` does.")


def _place_text(explained: Explanation) -> str:
    """For an excerpt, the part of the other file that it is; otherwise empty."""
    if explained.verdict != "contained" or explained.match is None:
        return ""
    a_from, a_to, b_from, b_to = explained.match.place()
    if len(explained.a.items) <= len(explained.b.items):
        return f": a is {b_from:.1f} s to {b_to:.1f} s of b"
    return f": b is {a_from:.1f} s to {a_to:.1f} s of a"


def _number(value: float | str) -> str:
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.3f}"


def _side_text(side: Listened) -> str:
    seconds = len(side.items) / ITEMS_PER_SECOND
    source = "from the store" if side.from_store else "decoded now"
    return f"{seconds:.1f} s of items, {source}" + (f", damaged: {side.damage}" if side.damage else "")
