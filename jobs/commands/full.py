"""`reprise full`: the main job, scan → correlate → groups, with one summary that adds up."""

from __future__ import annotations

import click

from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.main_job import run_full
from jobs.session.run import Run, session
from jobs.show.empty_root import may_forget
from jobs.show.full_plan import plan_after, plan_path
from jobs.show.main_job import conclude_full, show_found, show_summary


@click.command("full", cls=Command)
@options.roots
@click.option(
    "-o",
    "--output",
    "written",
    metavar="FILE",
    type=click.Path(path_type=bytes),
    help="Write a plan to this file. With --auto the default is plan.json in the store.",
)
@options.scan
@options.compare
@options.match
@options.keep
@options.cleanup
@options.workers
@options.deadline
@options.notify
@options.strict
@options.allow_empty
@options.common
@session
def full(run: Run, written: bytes | None, allow_empty: bool) -> int:
    """Scan each ROOT, compare what is new, and show the groups of duplicates.

    Without ROOT it uses the folders of the settings, or those of the last scans. It shows the groups of the whole
    store. Run it again at any time, even after a power cut: it does only what is new or unfinished.

    With --auto 0.98 --ask 0.95 it writes a plan for the copies that score 0.98 or more, asks you on a terminal about
    those that score 0.95 or more, and only shows the rest. It also asks about copies that would go, except that they
    hold something that would be lost. It changes none of your files: `reprise apply` carries out the plan."""
    path = plan_path(run, written)
    ended = run_full(run, stores.find_roots(run), conclude_full, may_forget(run, allow_empty))
    run.observer.close()
    show_found(run.output, ended.done)
    plan, trouble = plan_after(run, ended, path)
    show_summary(run, ended.done, plan)
    if trouble is not None:
        raise trouble
    return run.exit_code
