"""`reprise scan`: from folders to fingerprints in the store."""

from __future__ import annotations

import click

from dedup.errors import EXIT_DONE, EXIT_SOME_FAILED
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.run import Run, session
from jobs.show.empty_root import may_forget
from jobs.show.summaries import empty_text, scan_record, scan_text, show_problems


@click.command("scan", cls=Command)
@options.roots
@options.scan
@options.allow_empty
@options.workers
@options.deadline
@options.common
@session
def scan(run: Run, allow_empty: bool) -> int:
    """Find the audio files below each ROOT and fingerprint what is new or changed.

    Without ROOT it scans the folders of the settings, or those of the last scans. It does not read a file again if its
    path, size and modification time are unchanged."""
    roots = stores.find_roots(run)
    with stores.workers(run, roots) as runner, stores.for_scanning(run, roots, runner) as store:
        from dedup.scan.scan import scan as scan_library  # workers are being started meanwhile

        summary = scan_library(
            store,
            roots,
            settings=run.settings.scan(),
            runner=runner,
            observer=run.observer,
            may_forget=may_forget(run, allow_empty),
        )
        run.conclude(EXIT_SOME_FAILED if summary.failed or summary.unlisted else EXIT_DONE, scan_record(summary))
    run.observer.close()
    show_problems(run.output, summary)
    run.output.result({"event": "scan", **scan_record(summary)})
    run.output.note(scan_text(summary))
    if empty := empty_text(summary, roots):
        run.output.note(empty)
    return run.exit_code
