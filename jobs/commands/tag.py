"""`reprise tag`: what was measured of files, written into their tags."""

from __future__ import annotations

import contextlib
import os
import sys
from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_SOME_FAILED, UsageError
from jobs.session import options, stores
from jobs.session.output import count_text, one_line, path_text, shortened
from jobs.session.run import Run, session, utc_now

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedup.cleanup.tagging import Tagged, Tagging, Wanted
    from dedup.store.store import Store

STOPPED = "stopped; the same command goes on from there, `reprise undo` takes back what was written"
SHOWN = 60
"""Characters of a value that are shown."""


@click.command("tag")
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=bytes))
@click.option("--fingerprint", is_flag=True, help="ACOUSTID_FINGERPRINT, of the first two minutes as AcoustID has it.")
@click.option(
    "--audio-hash",
    is_flag=True,
    help="REPRISE_AUDIO_HASH: that of the encoded audio, whatever the tags are.",
)
@click.option("--replaygain", is_flag=True, help="Track gain and peak: ReplayGain 2.0, by EBU R128; of Opus R128 gain.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@options.protect
@options.common
@session
def tag(run: Run, files: Sequence[bytes], fingerprint: bool, audio_hash: bool, replaygain: bool, yes: bool) -> int:
    """Write what was measured of each FILE of the library into its tags.

    Shows what would be written and asks. The audio is the same afterwards, which is checked; `reprise undo` takes it
    back."""
    from dedup.cleanup.tagging import Wanted

    wanted = Wanted(fingerprint, audio_hash, replaygain)
    if wanted == Wanted():
        raise UsageError("tag", "nothing to write", "--fingerprint, --audio-hash or --replaygain")
    taggings = measure_all(run, files, wanted)
    run.observer.close()
    for tagging in taggings:
        show_tagging(run, tagging)
    if not taggings:
        run.output.note("all of it is there already")
        return run.exit_code or EXIT_NOTHING_TO_DO
    if not yes and not _agreed(len(taggings)):
        run.output.note("nothing was written; --yes writes it")
        return EXIT_DONE
    run.last_words = STOPPED
    with stores.for_writing(run) as store:
        tagged = write_all(run, store, taggings)
        run.conclude(EXIT_SOME_FAILED if tagged.refused else EXIT_DONE, {"tagged": tagged.n_files})
    run.observer.close()
    for refusal in tagged.refused:
        run.output.text(f"refused: {path_text(refusal.path)}: {refusal.reason}")
    run.output.result({"event": "tag", "files": tagged.n_files, "refused": len(tagged.refused)})
    run.output.note(f"{count_text(tagged.n_files, 'file')} tagged; `reprise undo` takes it back")
    return run.exit_code


def measure_all(run: Run, files: Sequence[bytes], wanted: Wanted) -> list[Tagging]:
    """Those files of which something is to be written. Raises InputError for one that the store does not know."""
    from dedup.cleanup.tagging import measure

    taggings = []
    with stores.for_reading(run) as store:
        run.observer.stage("measure", len(files), "files")
        for path in files:
            if run.stop.requested:
                break
            tagging = measure(store, os.path.abspath(path), wanted)
            taggings += [tagging] if tagging.fields else []
            run.observer.advance()
    return taggings


def write_all(run: Run, store: Store, taggings: Sequence[Tagging]) -> Tagged:
    """Writes them, with a journal."""
    from dedup.cleanup import tagging
    from dedup.cleanup.checks import Protection
    from dedup.cleanup.journal import JournalWriter, make_journal, require_none_open
    from dedup.plan.document import to_bytes
    from dedup.plan.nouns import Plan
    from dedup.store.protection import protected

    require_none_open(store.layout.folder)
    protection = Protection(protected(store, run.settings.keep().protect))
    journal = make_journal(store.layout.folder, to_bytes(Plan(())), utc_now())
    run.observer.stage("write tags", len(taggings), "files")
    with contextlib.closing(JournalWriter(journal)) as writer:
        tagged = tagging.write_all(store, taggings, protection, writer, run.observer, run.stop)
        writer.end(utc_now())
    return tagged


def show_tagging(run: Run, tagging: Tagging) -> None:
    """The file, and each field with what it is and what it would be."""
    from dedup.files.paths import json_path

    run.output.result({"event": "measured", **json_path(tagging.path), "fields": tagging.fields})
    if run.output.as_json:
        return
    run.output.text(path_text(tagging.path))
    for name, values in tagging.fields.items():
        now = f"  (now {_short(tagging.before[name])})" if name in tagging.before else ""
        run.output.text(f"  {name.upper()} {_short(values)}{now}")


def _short(values: Sequence[str]) -> str:
    return shortened(one_line("; ".join(values)), SHOWN)


def _agreed(n_files: int) -> bool:
    """Whether a person says so; nobody does where there is no terminal."""
    if not sys.stdin.isatty():
        return False
    try:
        return click.confirm(f"Write these tags into {count_text(n_files, 'file')}?", err=True)
    except click.Abort:
        return False
