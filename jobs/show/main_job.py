"""The main job, as `full` and `demo` run and show it."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.session import stores
from jobs.session.output import Output
from jobs.show.full_plan import FullPlan, plan_and_ask
from jobs.show.groups import show_beside, show_groups
from jobs.show.summaries import (
    compaction_text,
    correlation_text,
    full_record,
    groups_text,
    news_text,
    pairs_text,
    scan_text,
    show_problems,
    stages_text,
    unfinished_text,
)

if TYPE_CHECKING:
    from dedup.pipeline import Full
    from jobs.session.run import Run

SHOWN_GROUPS = 20

GO_ON = "what was done is kept: run the same command again to go on from there"


@dataclass(frozen=True)
class Ended:
    """How the main job ended."""

    done: Full
    trouble: Exception | None = None
    """What went wrong when all this was known; reported after it."""


def run_full(run: Run, roots: tuple[bytes, ...]) -> Ended:
    """The main job on the store and the workers of this run. What goes wrong after the stages takes nothing from what
    they found."""
    from dedup.correlation.correlate import memory_needed
    from dedup.pipeline import full

    known: list[Full] = []

    def conclude(done: Full) -> None:
        known.append(done)
        run.conclude(done.exit_code, full_record(done), complete=done.complete)
        if done.stopped:
            run.last_words = f"{unfinished_text(done)}; {GO_ON}"

    settings = run.settings
    try:
        with (
            stores.for_scanning(run, roots) as store,
            stores.workers(run, roots, memory_needed(store, settings.compare())) as runner,
        ):
            full(
                store,
                roots,
                scan=settings.scan(),
                compare=settings.compare(),
                match=settings.match(),
                keep=settings.keep(),
                runner=runner,
                observer=run.observer,
                conclude=conclude,
            )
    except Exception as error:
        if not known:
            raise
        return Ended(known[-1], error)
    return Ended(known[-1])


def show_full(run: Run, ended: Ended, path: bytes | None = None) -> None:
    """Groups, problems, a plan if there is a `path` for it, and the summary. Raises `trouble` then."""
    output, done = run.output, ended.done
    _show_groups(output, done)
    show_problems(output, done.scan)
    plan, trouble = _plan(run, ended, path)
    record = {**full_record(done), "plan": plan.record() if plan else None}
    run.summary = run.summary and record  # for whoever is notified
    output.result({"event": "summary", **record})
    for line in _summary_lines(done, output.as_json):
        output.note(line)
    for line in plan.lines() if plan else ():
        output.note(line)
    if trouble is not None:
        raise trouble


def _show_groups(output: Output, done: Full) -> None:
    from dedup.groups.groups import relations_apart
    from dedup.report.export import group_record

    if done.found is None:
        return
    if output.as_json:
        for group in done.found.groups:
            output.result({"event": "group", **group_record(group)})
    else:
        show_groups(output, done.found.groups[:SHOWN_GROUPS], "table")
    show_beside(output, relations_apart(done.found.matches, done.found.groups))


def _plan(run: Run, ended: Ended, path: bytes | None) -> tuple[FullPlan | None, Exception | None]:
    """The plan, if one is wanted and all is known that it takes; and what is to be reported as gone wrong."""
    found, trouble = ended.done.found, ended.trouble
    is_stopped = run.stop.requested and not run.time_is_up
    if path is None or found is None or trouble is not None or is_stopped:
        return None, trouble
    try:
        return plan_and_ask(run, path, found.matches, found.groups), None
    except Exception as error:
        run.observer.close()
        return None, error


def _summary_lines(done: Full, as_json: bool) -> Iterator[str]:
    yield scan_text(done.scan)
    if done.correlation is not None:
        yield correlation_text(done.correlation)
    if done.found is not None and done.n_pairs is not None:
        yield pairs_text(done.n_pairs)
        yield groups_text(done.found.groups) + news_text(done)
        if len(done.found.groups) > SHOWN_GROUPS and not as_json:
            yield f"        {SHOWN_GROUPS} are shown above; all of them: reprise report"
    if done.compaction is not None:
        yield compaction_text(done.compaction)
    yield f"time    {stages_text(done.seconds)}"
