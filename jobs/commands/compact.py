"""`reprise compact`: merges small blocks and drops fingerprints that no track holds; compares nothing again."""

from __future__ import annotations

import functools
from dataclasses import asdict

import click

from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.output import count_text, size_text
from jobs.session.run import Run, session
from jobs.show.summaries import compaction_text


@click.command("compact", cls=Command)
@click.option("--dry-run", is_flag=True, help="Report what would be done, and change nothing.")
@options.common
@session
def compact(run: Run, dry_run: bool) -> None:
    """Merge small blocks of fingerprints, and drop those of files that are gone.

    Finished comparisons are carried over: nothing is compared again, and no result changes. `reprise full` does this
    by itself when it pays. If a file comes back after its fingerprint was dropped, it is decoded again; your
    judgements of it are kept."""
    from dedup.upkeep.compact import compact_store

    compacted = compact_store(
        folder=run.settings.store,
        open_store=functools.partial(stores.for_reading if dry_run else stores.for_writing, run),
        observer=run.observer,
        stop=run.stop,
        dry_run=dry_run,
    )
    run.observer.close()
    done, bytes_before, bytes_after = compacted.done, compacted.bytes_before, compacted.bytes_after
    record = {"event": "compact", "dry_run": dry_run, **asdict(done)}
    run.output.result({**record, "bytes_before": bytes_before, "bytes_after": bytes_after})
    run.output.note(compaction_text(done, dry_run))
    if done.merged and bytes_after is not None:
        run.output.note(f"store   {size_text(bytes_before)} → {size_text(bytes_after)}")
    if done.left:
        text = f"{count_text(done.left, 'block')} not merged, since finished comparisons would be lost"
        run.output.note(f"        {text}: run `reprise correlate` to the end first")
