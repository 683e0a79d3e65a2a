"""`reprise full`: the main job, scan → correlate → groups, with one summary that adds up."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from dedup.errors import EXIT_DONE, EXIT_SOME_FAILED
from jobs import options, stores
from jobs.correlate import correlation_text
from jobs.report import groups_text, pairs_text, show_beside, show_groups
from jobs.run import Run, session
from jobs.scan import scan_record, scan_text, show_problems, stages_text

if TYPE_CHECKING:
    from dedup.correlation.correlate import Correlation
    from dedup.correlation.scoring import Verdict
    from dedup.groups import Group
    from dedup.matches import Matches
    from dedup.runner import Runner
    from dedup.scan import Scan
    from dedup.store.store import Store

SHOWN_GROUPS = 20


@dataclass(frozen=True)
class Full:
    """What the three stages did; the later ones are None where a stop came before them."""

    scan: Scan
    correlation: Correlation | None
    matches: Matches | None
    groups: list[Group] | None
    n_pairs: Counter[Verdict] | None
    seconds: dict[str, float]


@click.command("full")
@options.roots
@options.scan
@options.compare
@options.match
@options.workers
@options.common
@session
def full(run: Run) -> int:
    """Scan each ROOT, compare what is new, and show the groups of duplicates.

    Without ROOT the folders of the settings are used; the groups shown are those of the whole store. Run it
    again at any time, also after a power cut: only what is new or was not finished is done."""
    done = run_full(run, run.settings.roots())
    run.observer.close()
    show_full(run, done)
    n_failed = done.scan.failed + (done.correlation.n_failed if done.correlation else 0)
    return EXIT_SOME_FAILED if n_failed else EXIT_DONE


def run_full(run: Run, roots: tuple[bytes, ...]) -> Full:
    """The three stages, on one set of workers."""
    from dedup.matches import thresholds
    from dedup.scan import scan

    with stores.for_scanning(run, roots) as store, stores.workers(run) as runner:
        thresholds(store, run.settings.match())  # what it refuses is refused now, not when all is compared
        scanned = scan(store, roots, run.settings.scan(), runner, run.observer)
        seconds = dict(scanned.seconds)
        if run.stop.requested:
            return Full(scanned, None, None, None, None, seconds)
        return _compare_and_group(run, store, runner, scanned)


def _compare_and_group(run: Run, store: Store, runner: Runner, scanned: Scan) -> Full:
    from dedup.correlation.correlate import correlate
    from dedup.groups import make_groups
    from dedup.matches import Matches

    seconds = dict(scanned.seconds)
    began = time.monotonic()
    correlation = correlate(store, run.settings.compare(), runner, run.observer)
    seconds["correlate"] = time.monotonic() - began
    if run.stop.requested:
        return Full(scanned, correlation, None, None, None, seconds)
    began = time.monotonic()
    matches = Matches(store, run.settings.match())
    groups = make_groups(matches)
    n_pairs = matches.count_pairs()
    seconds["group"] = time.monotonic() - began
    return Full(scanned, correlation, matches, groups, n_pairs, seconds)


def show_full(run: Run, done: Full) -> None:
    """Groups, problems, and the summary."""
    from dedup.report.export import group_record

    output = run.output
    if done.groups is not None and done.matches is not None:
        if output.as_json:
            for group in done.groups:
                output.result({"event": "group", **group_record(group)})
        else:
            show_groups(output, done.groups[:SHOWN_GROUPS], "table")
        show_beside(output, done.matches, done.groups)
    show_problems(output, done.scan)
    output.result({"event": "summary", **summary_record(done)})
    output.note(scan_text(done.scan))
    if done.correlation is not None:
        output.note(correlation_text(done.correlation))
    if done.groups is not None and done.n_pairs is not None:
        output.note(pairs_text(done.n_pairs))
        output.note(groups_text(done.groups))
        if len(done.groups) > SHOWN_GROUPS and not output.as_json:
            output.note(f"        {SHOWN_GROUPS} are shown above; all of them: reprise report")
    output.note(f"time    {stages_text(done.seconds)}")


def summary_record(done: Full) -> dict[str, Any]:
    """The whole summary, for programs; null for what a stop came before."""
    from dedup.correlation.scoring import BESIDE

    groups = done.groups
    return {
        **scan_record(done.scan),
        "tiles": asdict(done.correlation) if done.correlation else None,
        "pairs": None if done.n_pairs is None else done.n_pairs["same recording"],
        "pairs_beside": None if done.n_pairs is None else {kind: done.n_pairs[kind] for kind in BESIDE},
        "groups": None if groups is None else len(groups),
        "bytes_reclaimable": None if groups is None else sum(group.bytes_reclaimable for group in groups),
        "seconds": {stage: round(spent, 3) for stage, spent in done.seconds.items()},
    }
