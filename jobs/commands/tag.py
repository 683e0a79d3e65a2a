"""`reprise tag`: measures files and writes the results into their tags."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_SOME_FAILED, UsageError
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.lines import shortened
from jobs.session.output import Output, count_text, one_line, path_text
from jobs.session.run import Run, session
from jobs.show.ask import is_agreed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedup.cleanup.tagging import Tagged, Tagging

STOPPED = "stopped; run the same command to go on from there, or `reprise undo` to take back what was written"
SHOWN = 60
"""Most characters of a value that are shown."""


@click.command("tag", cls=Command)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=click.Path(path_type=bytes))
@click.option("--fingerprint", is_flag=True, help="Write ACOUSTID_FINGERPRINT: the first two minutes, for AcoustID.")
@click.option("--audio-hash", is_flag=True, help="Write REPRISE_AUDIO_HASH: of the encoded audio, without the tags.")
@click.option(
    "--replaygain", is_flag=True, help="Write track gain and peak: ReplayGain 2.0 by EBU R128; for Opus, R128 gain."
)
@click.option("--yes", is_flag=True, help="Write without asking.")
@options.protect
@options.common
@session
def tag(run: Run, files: Sequence[bytes], fingerprint: bool, audio_hash: bool, replaygain: bool, yes: bool) -> int:
    """Measure each FILE of the library and write the results into its tags.

    Shows what would be written, and asks first. Checks that the audio stays the same; `reprise undo` takes the tags
    back."""
    from dedup.cleanup.tagging import Wanted, finish_broken_off, measure_files, tag_files

    wanted = Wanted(fingerprint, audio_hash, replaygain)
    if wanted == Wanted():
        raise UsageError("tag", "nothing to write", remedy="Add --fingerprint, --audio-hash or --replaygain")
    finish_broken_off(run.settings.store, f"reprise {run.command}")
    with stores.for_reading(run) as store:
        taggings = measure_files(store=store, paths=files, wanted=wanted, observer=run.observer, stop=run.stop)
    run.observer.close()
    for tagging in taggings:
        show_tagging(run.output, tagging)
    if not taggings:
        run.output.note("nothing to write: the files already have all of it")
        return run.exit_code or EXIT_NOTHING_TO_DO
    if not yes and not is_agreed(f"Write these tags into {count_text(len(taggings), 'file')}?"):
        run.output.note("nothing was written; add --yes to write without a question")
        return EXIT_DONE
    run.last_words = STOPPED
    with stores.for_writing(run) as store:
        keep = run.settings.keep()
        tagged = tag_files(store=store, taggings=taggings, keep=keep, observer=run.observer, stop=run.stop)
        run.conclude(EXIT_SOME_FAILED if tagged.refused else EXIT_DONE, {"tagged": tagged.n_files})
    run.observer.close()
    show_tagged(run.output, tagged)
    return run.exit_code


def show_tagging(output: Output, tagging: Tagging) -> None:
    """Shows the file, and each field with its new and its present value."""
    from dedup.files.paths import json_path

    output.result({"event": "measured", **json_path(tagging.path), "fields": tagging.fields})
    if output.as_json:
        return
    output.text(path_text(tagging.path))
    for name, values in tagging.fields.items():
        now = f"  (now {_short(tagging.before[name])})" if name in tagging.before else ""
        output.text(f"  {name.upper()} {_short(values)}{now}")


def show_tagged(output: Output, tagged: Tagged) -> None:
    """Shows each refusal, and how many files were written."""
    for refusal in tagged.refused:
        output.text(f"refused: {path_text(refusal.path)}: {refusal.reason}")
    output.result({"event": "tag", "files": tagged.n_files, "refused": len(tagged.refused)})
    output.note(f"{count_text(tagged.n_files, 'file')} tagged; `reprise undo` takes it back")


def _short(values: Sequence[str]) -> str:
    return shortened(one_line("; ".join(values)), SHOWN)
