"""`reprise full`: the main job, scan → correlate → groups, with one summary that adds up."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_SOME_FAILED
from jobs.commands.compact import compaction_text
from jobs.commands.correlate import correlation_text
from jobs.commands.report import groups_text, pairs_text, show_beside, show_groups
from jobs.commands.scan import scan_record, scan_text, show_problems, stages_text
from jobs.session import options, stores
from jobs.session.output import Output, count_text
from jobs.session.run import Run, session
from jobs.show.full_plan import FullPlan, plan_and_ask, plan_path

if TYPE_CHECKING:
    from collections.abc import Iterator

    from dedup.correlation.correlate import Correlation
    from dedup.correlation.scoring import Verdict
    from dedup.groups.groups import Group
    from dedup.groups.matches import Matches
    from dedup.groups.news import News
    from dedup.runner import Runner
    from dedup.scan.scan import Scan
    from dedup.store.store import Store
    from dedup.upkeep.compact import Compaction

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
    news: News | None = None
    unfinished: str = ""
    """What a stop left to the next run, in words."""
    idle: bool = False
    """Whether there was nothing to do."""
    compaction: Compaction | None = None
    """What was compacted; None where it did not pay."""
    trouble: Exception | None = None
    """What went wrong when all this was known: it is told after it."""

    @property
    def exit_code(self) -> int:
        """Of a run that nothing stopped."""
        if self.scan.failed or (self.correlation is not None and self.correlation.n_failed):
            return EXIT_SOME_FAILED
        return EXIT_NOTHING_TO_DO if self.idle else EXIT_DONE


@click.command("full")
@options.roots
@click.option(
    "-o",
    "--output",
    "written",
    metavar="FILE",
    type=click.Path(path_type=bytes),
    help="Write a plan to this file; with --auto it is plan.json in the store where none is named.",
)
@options.scan
@options.compare
@options.match
@options.keep
@options.cleanup
@options.workers
@options.deadline
@options.notify
@options.common
@session
def full(run: Run, written: bytes | None) -> int:
    """Scan each ROOT, compare what is new, and show the groups of duplicates.

    Without ROOT the folders of the settings are used; the groups shown are those of the whole store. Run it
    again at any time, also after a power cut: only what is new or was not finished is done.

    With --auto 0.98 --ask 0.95 a plan is written of the copies that score 0.98 or more; on a terminal you are asked
    about those from 0.95 on, and the rest is only shown. `reprise apply` carries the plan out: no file of yours is
    changed before."""
    path = plan_path(run, written)
    done = run_full(run, run.settings.roots())
    run.observer.close()
    show_full(run, done, path)
    return run.exit_code


def run_full(run: Run, roots: tuple[bytes, ...]) -> Full:
    """The three stages, on one set of workers, and the housekeeping. What goes wrong after the stages takes nothing
    from what they found: `trouble` has it."""
    from dedup.correlation.correlate import memory_needed
    from dedup.groups.matches import thresholds

    done = None
    try:
        with (
            stores.for_scanning(run, roots) as store,
            stores.workers(run, roots, memory_needed(store, run.settings.compare())) as runner,
        ):
            thresholds(store, run.settings.match())  # what it refuses is refused now, not when all is compared
            done = _three_stages(run, store, runner, roots)
            run.conclude(done.exit_code, summary_record(done))
            if done.unfinished:
                again = "run the same command again to go on from there"
                run.last_words = f"{done.unfinished}; what was done is kept: {again}"
            if done.groups is not None:
                done = _finish(run, store, done)
    except Exception as error:
        if done is None:
            raise
        done = replace(done, trouble=error)
    return done


def _finish(run: Run, store: Store, done: Full) -> Full:
    """Housekeeping; then what was found counts as told, last, so that a run that was killed before has told nothing."""
    from dedup.groups.news import end_news

    done = _compact(run, store, done)
    run.conclude(done.exit_code, summary_record(done), complete=True)
    end_news(store)
    return done


def _three_stages(run: Run, store: Store, runner: Runner, roots: tuple[bytes, ...]) -> Full:
    from dedup.correlation.correlate import unfinished
    from dedup.scan.scan import scan

    was_finished, troubles = not unfinished(store), _troubles(store)
    scanned = scan(store, roots, run.settings.scan(), runner, run.observer)
    seconds = dict(scanned.seconds)
    if run.stop.requested:
        return Full(scanned, None, None, None, None, seconds, unfinished=_left_text(scanned, unfinished(store)))
    done = _correlate(run, store, runner, scanned)
    if done.unfinished or done.correlation is None:
        return done
    n_done = scanned.fingerprinted + scanned.identical + scanned.forgotten + done.correlation.n_computed
    n_done += scanned.newly_absent + scanned.returned + scanned.renewed
    idle = was_finished and not n_done and _troubles(store) == troubles
    return _group(run, store, replace(done, idle=idle))


def _correlate(run: Run, store: Store, runner: Runner, scanned: Scan) -> Full:
    """The second stage; `unfinished` says what a stop left. A time that is up when nothing is left stops nothing."""
    from dedup.correlation.correlate import correlate, unfinished

    began = time.monotonic()
    correlation = correlate(store, run.settings.compare(), runner, run.observer)
    seconds = {**scanned.seconds, "correlate": time.monotonic() - began}
    left = unfinished(store)
    stopped = run.stop.requested and (left or not run.time_is_up)
    told = _left_text(scanned, left) if stopped else ""
    return Full(scanned, correlation, None, None, None, seconds, unfinished=told)


def _group(run: Run, store: Store, done: Full) -> Full:
    from dedup.groups.groups import groups_of
    from dedup.groups.matches import Matches
    from dedup.groups.news import news

    began = time.monotonic()
    matches = Matches(store, run.settings.match())
    groups = groups_of(store, matches, run.settings.keep())
    n_pairs = matches.count_pairs()
    found = news(store, groups)
    seconds = {**done.seconds, "group": time.monotonic() - began}
    return replace(done, matches=matches, groups=groups, n_pairs=n_pairs, seconds=seconds, news=found)


def _compact(run: Run, store: Store, done: Full) -> Full:
    """Housekeeping, where it pays. Nothing where tiles failed: they are to be computed first."""
    from dedup.upkeep.compact import compact_if_it_pays

    if done.correlation is None or done.correlation.n_failed:
        return done
    began = time.monotonic()
    compaction = compact_if_it_pays(store, run.observer, run.stop)
    if compaction is None:
        return done
    return replace(done, compaction=compaction, seconds={**done.seconds, "compact": time.monotonic() - began})


def _troubles(store: Store) -> set[tuple[Any, ...]]:
    """The files of which it is known that they cannot be used, as they were then."""
    query = "SELECT path, size, mtime_ns, problem FROM track WHERE problem IS NOT NULL"
    return set(store.catalog.connection.execute(query))


def _left_text(scanned: Scan, uncompared: str) -> str:
    """What a stop left to the next run."""
    told = [f"{count_text(scanned.left, 'file')} not looked at yet"] if scanned.left else []
    told += [uncompared] if uncompared else []
    return " and ".join(told) or "the last steps are left"


def show_full(run: Run, done: Full, path: bytes | None = None) -> None:
    """Groups, problems, a plan where there is a `path` for it, and the summary. Raises `trouble` then."""
    output = run.output
    _show_groups(output, done)
    show_problems(output, done.scan)
    plan, done = _plan(run, done, path)
    record = {**summary_record(done), "plan": plan.record() if plan else None}
    run.summary = run.summary and record  # for whoever is notified
    output.result({"event": "summary", **record})
    for line in _summary_lines(done, output.as_json):
        output.note(line)
    for line in plan.lines() if plan else ():
        output.note(line)
    if done.trouble is not None:
        raise done.trouble


def _show_groups(output: Output, done: Full) -> None:
    from dedup.report.export import group_record

    if done.groups is not None and done.matches is not None:
        if output.as_json:
            for group in done.groups:
                output.result({"event": "group", **group_record(group)})
        else:
            show_groups(output, done.groups[:SHOWN_GROUPS], "table")
        show_beside(output, done.matches, done.groups)


def _plan(run: Run, done: Full, path: bytes | None) -> tuple[FullPlan | None, Full]:
    """The plan, where one is wanted and all is known that it takes; what goes wrong with it is told after the rest."""
    is_stopped = run.stop.requested and not run.time_is_up
    if path is None or done.matches is None or done.groups is None or done.trouble is not None or is_stopped:
        return None, done
    try:
        return plan_and_ask(run, path, done.matches, done.groups), done
    except Exception as error:
        run.observer.close()
        return None, replace(done, trouble=error)


def _summary_lines(done: Full, as_json: bool) -> Iterator[str]:
    yield scan_text(done.scan)
    if done.correlation is not None:
        yield correlation_text(done.correlation)
    if done.groups is not None and done.n_pairs is not None:
        yield pairs_text(done.n_pairs)
        yield groups_text(done.groups) + _news_text(done)
        if len(done.groups) > SHOWN_GROUPS and not as_json:
            yield f"        {SHOWN_GROUPS} are shown above; all of them: reprise report"
    if done.compaction is not None:
        yield compaction_text(done.compaction)
    yield f"time    {stages_text(done.seconds)}"


def _news_text(done: Full) -> str:
    """Nothing where all copies are new, as in a first run."""
    if not done.news or not done.news.n_copies or done.news.n_copies == sum(len(g.members) for g in done.groups or ()):
        return ""
    copies = "copy is" if done.news.n_copies == 1 else "copies are"
    return f"; {done.news.n_copies:,} {copies} new, in {count_text(done.news.n_groups, 'group')}"


def summary_record(done: Full) -> dict[str, Any]:
    """The whole summary, for programs; null for what a stop came before."""
    from dedup.correlation.scoring import BESIDE

    groups = done.groups
    return {
        **scan_record(done.scan),
        "found": None if done.news is None else {"copies": done.news.n_copies, "groups": done.news.n_groups},
        "unfinished": done.unfinished,
        "tiles": asdict(done.correlation) if done.correlation else None,
        "pairs": None if done.n_pairs is None else done.n_pairs["same recording"],
        "pairs_beside": None if done.n_pairs is None else {kind: done.n_pairs[kind] for kind in BESIDE},
        "groups": None if groups is None else len(groups),
        "bytes_reclaimable": None if groups is None else sum(group.bytes_reclaimable for group in groups),
        "compact": asdict(done.compaction) if done.compaction else None,
        "seconds": {stage: round(spent, 3) for stage, spent in done.seconds.items()},
    }
