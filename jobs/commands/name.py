"""`reprise name`: a person answers what `reprise identify` could not tell."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, UsageError
from jobs.session import options
from jobs.session.helping import Command
from jobs.session.output import Output, count_text, path_text
from jobs.session.run import Run, reader

if TYPE_CHECKING:
    from dedup.lookup.questions import Asked
    from dedup.lookup.said import Kept


@click.command("name", cls=Command)
@click.argument("paths", metavar="[ROOT|FILE]...", nargs=-1, type=click.Path(path_type=bytes))
@click.option("--again", is_flag=True, help="Ask also about files about which you said something before.")
@click.option("--forget", "forgetting", is_flag=True, help="Take back what you said about the files at ROOT or FILE.")
@options.common
@reader
def name(run: Run, paths: Sequence[bytes], again: bool, forgetting: bool) -> int:
    """Answer what `reprise identify` asks: which recording each of its questions at ROOT or FILE is, or of all.

    Shows each file with its tags, the reason, the files beside it and the recordings that it may be. A number says
    which it is; n says that it is none of them; s skips it. Every answer is kept at once, for every file with this
    sound wherever it goes, and later runs decide by it; --again changes it, --forget takes it back. Nothing is asked
    of any service. No tag is written, and no file is changed."""
    from dedup.lookup.questions import ask, forget
    from jobs.show.naming import TerminalNamer

    purpose = f"reprise {run.command}"
    if forgetting:
        if again or not paths:
            remedy = "Name the files, without --again"
            raise UsageError("name --forget", "--again is given, or no file is named", remedy=remedy)
        show_forgotten(run.output, forget(folder=run.settings.store, paths=paths, purpose=purpose))
        return EXIT_DONE
    asked = ask(
        folder=run.settings.store, paths=paths, reviewer=TerminalNamer(run.output), purpose=purpose, again=again
    )
    show_asked(run.output, asked)
    return EXIT_DONE if asked.n_all else EXIT_NOTHING_TO_DO


def show_asked(output: Output, asked: Asked) -> None:
    """Shows what came of the questions."""
    counts = {"named": asked.n_named, "none": asked.n_none, "forgotten": asked.n_forgotten}
    counts |= {"skipped": asked.n_skipped, "left": asked.n_left}
    output.result({"event": "name", **counts})
    if not asked.n_all:
        output.note("no question is open; `reprise identify` asks AcoustID and MusicBrainz")
        return
    told = [f"{count_text(asked.n_named, 'file')} named"]
    told += [f"{asked.n_none:,} none of the candidates"] if asked.n_none else []
    told += [f"{asked.n_forgotten:,} forgotten"] if asked.n_forgotten else []
    told += [f"{asked.n_skipped:,} skipped"] if asked.n_skipped else []
    told += [f"{asked.n_left:,} left: run the same command to go on"] if asked.n_left else []
    output.note(", ".join(told))


def show_forgotten(output: Output, forgotten: Sequence[tuple[bytes, Kept]]) -> None:
    """Shows the files about which nothing is said any more."""
    from dedup.files.paths import json_path

    for path, kept in forgotten:
        output.result({"event": "forgotten", **json_path(path), "waits": kept.waits})
        output.note(f"forgotten: {path_text(path)}")
    if not forgotten:
        output.note("nothing was said about these files")
    elif any(kept.waits for _, kept in forgotten):
        output.note("saved beside the store, which another run holds; it counts from now on")
