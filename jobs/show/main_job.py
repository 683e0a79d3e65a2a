"""What the main job found and did, as `full` and `demo` show it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from jobs.session.output import Output
from jobs.show.groups import show_beside, show_groups
from jobs.show.summaries import (
    compaction_text,
    confirmed_text,
    correlation_text,
    empty_text,
    full_record,
    groups_text,
    news_text,
    pairs_text,
    scan_text,
    show_problems,
    stages_text,
    tested_text,
    unfinished_text,
)

if TYPE_CHECKING:
    from dedup.pipeline import Full
    from jobs.session.run import Run
    from jobs.show.full_plan import FullPlan

SHOWN_GROUPS = 20

GO_ON = "what was done is kept: run the same command again to go on from there"


def conclude_full(run: Run, done: Full) -> None:
    """Records how the main job ended, and what is said if it was stopped."""
    run.conclude(done.exit_code, full_record(done), complete=done.complete)
    if done.stopped:
        run.last_words = f"{unfinished_text(done)}; {GO_ON}"


def show_found(output: Output, done: Full) -> None:
    """Groups and problems."""
    _show_groups(output, done)
    show_problems(output, done.scan, strict=done.strict)


def show_summary(run: Run, done: Full, plan: FullPlan | None = None) -> None:
    """The summary, and what is said of the plan if one was made."""
    output = run.output
    record = {**full_record(done), "plan": plan.record() if plan else None}
    run.summary = run.summary and record  # for whoever is notified
    output.result({"event": "summary", **record})
    empty = None if done.scan.discovered else empty_text(done.scan, run.settings.roots())
    for line in [empty] if empty else _summary_lines(done, output.as_json):
        output.note(line)
    for line in plan.lines() if plan else ():
        output.note(line)


def _show_groups(output: Output, done: Full) -> None:
    from dedup.groups.groups import relations_apart
    from dedup.report.export import group_record

    if done.found is None:
        return
    if output.as_json:
        for group in done.found.groups:
            output.result({"event": "group", **group_record(group)})
    else:
        listeners = done.found.matches.listeners
        show_groups(output, done.found.groups[:SHOWN_GROUPS], "table", listeners=listeners)
    show_beside(output, relations_apart(done.found.matches, done.found.groups))


def _summary_lines(done: Full, as_json: bool) -> Iterator[str]:
    yield scan_text(done.scan)
    if done.correlation is not None:
        yield correlation_text(done.correlation)
    if done.confirmed is not None and (done.confirmed.n_heard or done.confirmed.n_left):
        yield confirmed_text(done.confirmed)
    if done.tested is not None and (done.tested.n_tested or done.tested.n_left):
        yield tested_text(done.tested)
    if done.found is not None and done.n_pairs is not None:
        yield pairs_text(done.n_pairs)
        yield groups_text(done.found.groups) + news_text(done)
        if len(done.found.groups) > SHOWN_GROUPS and not as_json:
            yield f"        {SHOWN_GROUPS} are shown above; all of them: reprise report"
    if done.compaction is not None:
        yield compaction_text(done.compaction)
    yield f"time    {stages_text(done.seconds)}"
