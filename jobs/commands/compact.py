"""`reprise compact`: merges small blocks and drops what no track holds any more; computes nothing again."""

from __future__ import annotations

from dataclasses import asdict

import click

from jobs.session import options, stores
from jobs.session.output import count_text, size_text
from jobs.session.run import Run, session
from jobs.show.summaries import compaction_text


@click.command("compact")
@click.option("--dry-run", is_flag=True, help="Say what would be done, and change nothing.")
@options.common
@session
def compact(run: Run, dry_run: bool) -> None:
    """Merge small blocks of fingerprints, and drop those of files that are gone.

    Finished comparisons are carried over: nothing is computed again, and no answer changes. `reprise full` does it by
    itself when it pays. A file that comes back after its fingerprint was dropped is decoded again; what you said of
    it is kept."""
    from dedup.report.glance import bytes_on_disk
    from dedup.upkeep.compact import compact as compact_store

    folder = run.settings.store
    with stores.for_reading(run) if dry_run else stores.for_writing(run) as store:
        bytes_before = bytes_on_disk(folder)
        done = compact_store(store, observer=run.observer, stop=run.stop, dry_run=dry_run)
    run.observer.close()
    bytes_after = None if dry_run else bytes_on_disk(folder)
    record = {"event": "compact", "dry_run": dry_run, **asdict(done)}
    run.output.result({**record, "bytes_before": bytes_before, "bytes_after": bytes_after})
    run.output.note(compaction_text(done, dry_run))
    if done.merged and bytes_after is not None:
        run.output.note(f"store   {size_text(bytes_before)} → {size_text(bytes_after)}")
    if done.left:
        text = f"{count_text(done.left, 'block')} left as they are until `reprise correlate` has finished"
        run.output.note(f"        {text}: what is compared of them would be lost")
