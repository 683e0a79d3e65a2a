"""`reprise full`: the main job, scan → correlate → groups, with one summary that adds up."""

from __future__ import annotations

import click

from jobs.session import options
from jobs.session.main_job import run_full
from jobs.session.run import Run, session
from jobs.show.full_plan import plan_after, plan_path
from jobs.show.main_job import conclude_full, show_found, show_summary


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
    ended = run_full(run, run.settings.roots(), conclude_full)
    run.observer.close()
    show_found(run.output, ended.done)
    plan, trouble = plan_after(run, ended, path)
    show_summary(run, ended.done, plan)
    if trouble is not None:
        raise trouble
    return run.exit_code
