"""`reprise undo` takes a clean-up back, `reprise history` lists clean-ups."""

from __future__ import annotations

import click

from dedup.errors import EXIT_DONE, EXIT_SOME_FAILED
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.output import count_text
from jobs.session.run import Run, reader, session
from jobs.show.cleanups import history_lines, show_undone, summary_record, undone_record


@click.command("undo", cls=Command)
@click.argument("number", metavar="[NUMBER]", required=False, type=click.IntRange(min=1))
@options.common
@session
def undo(run: Run, number: int | None) -> int:
    """Undo a clean-up: put back files, tags, covers, playlists and folders.

    NUMBER is one that `reprise history` lists; the default is the last clean-up that was not undone. What the gate
    moved out of an inbox is undone by its number only. Each file is compared with what it was. What cannot be put back
    is reported with the reason, and you can try again."""
    from dedup.cleanup.undo import undo as take_back
    from dedup.servers.link import open_links

    run.last_words = f"stopped; `reprise undo{f' {number}' if number else ''}` goes on from there"
    with stores.for_writing(run) as store:
        links = open_links(run.settings.servers)
        undone = take_back(store=store, number=number, observer=run.observer, stop=run.stop, links=links)
        run.conclude(EXIT_SOME_FAILED if undone.failed else EXIT_DONE, undone_record(undone))
    run.observer.close()
    show_undone(run.output, undone)
    return run.exit_code


@click.command("history", cls=Command)
@options.common
@reader
def history(run: Run) -> None:
    """List the clean-ups of this store, oldest first: when, what each did, and whether it was taken back."""
    from dedup.cleanup.history import history as past

    with stores.for_reading(run) as store:
        summaries = past(store.layout.folder)
    for summary in summaries if run.output.as_json else ():
        run.output.result(summary_record(summary))
    if summaries and not run.output.as_json:
        run.output.laid(history_lines(summaries, run.output.look))
    run.output.note(count_text(len(summaries), "clean-up"))
