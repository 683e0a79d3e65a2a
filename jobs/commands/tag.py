"""`reprise tag`: writes into tags what was measured of files, or what a look-up found."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_SOME_FAILED, UsageError
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.lines import shortened
from jobs.session.output import Output, count_text, one_line, path_text
from jobs.session.run import Run, session
from jobs.show.ask import is_agreed
from jobs.show.tag_changes import compared_lines, compared_record, names_summary

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedup.cleanup.names import Compared
    from dedup.cleanup.tagging import Tagged, Tagging, Wanted

STOPPED = "stopped; run the same command to go on from there, or `reprise undo` to take back what was written"
STOPPED_BEFORE = "stopped before anything was written; run the same command again"
FILE = click.Path(path_type=bytes)
SHOWN = 60
"""Most characters of a value that are shown."""


@dataclass(frozen=True)
class Names:
    """What the command line says of names."""

    names: bool
    fields: str | None
    overwrite: bool
    output: bytes | None
    source: bytes | None

    def chosen(self) -> tuple[str, ...]:
        """The fields to be written, by their common names. Raises UsageError for one that there is not."""
        from dedup.lookup.tag_fields import ALL, IDS, NAMES

        if self.fields is None:
            return ALL
        asked = [name for name in self.fields.lower().replace(" ", "").split(",") if name]
        if not asked:
            raise UsageError("tag --fields", "names no field", expected=f"{', '.join(NAMES)} or ids")
        for name in asked:
            if name not in (*NAMES, "ids"):
                raise UsageError("tag --fields", f"{name!r} is no field", expected=f"{', '.join(NAMES)} or ids")
        return tuple(name for name in ALL if name in asked or (name in IDS and "ids" in asked))

    def guard(self, *, is_measured: bool, has_files: bool) -> None:
        """Raises UsageError for what cannot be meant."""
        if self.source is not None:
            others = {"files": has_files, "--names": self.names, "what is measured": is_measured}
            others |= {
                "--fields": self.fields is not None,
                "--overwrite": self.overwrite,
                "-o": self.output is not None,
            }
            for other in (name for name, is_given in others.items() if is_given):
                raise UsageError("tag --from", f"cannot be combined with {other}", remedy="Leave out one of them")
        elif self.names and is_measured:
            found = "cannot be combined with what is measured"
            raise UsageError("tag --names", found, remedy="Run the two one after the other")
        elif not self.names:
            given = {"--fields": self.fields is not None, "--overwrite": self.overwrite, "-o": self.output is not None}
            for option in (name for name, is_given in given.items() if is_given):
                raise UsageError(f"tag {option}", "is only for names", remedy="Add --names")
            if not is_measured:
                remedy = "Add --names, --fingerprint, --audio-hash or --replaygain"
                raise UsageError("tag", "nothing to write", remedy=remedy)
            if not has_files:
                raise UsageError("tag", "no file is named", remedy="Name files or folders of the library")
        self.chosen()


@click.command("tag", cls=Command)
@click.argument("files", metavar="[ROOT|FILE]...", nargs=-1, type=FILE)
@click.option("--fingerprint", is_flag=True, help="Write ACOUSTID_FINGERPRINT: the first two minutes, for AcoustID.")
@click.option("--audio-hash", is_flag=True, help="Write REPRISE_AUDIO_HASH: of the encoded audio, without the tags.")
@click.option(
    "--replaygain", is_flag=True, help="Write track gain and peak: ReplayGain 2.0 by EBU R128; for Opus, R128 gain."
)
@click.option(
    "--names", is_flag=True, help="Write what `reprise identify` found: title, artist, release, track, identifiers."
)
@click.option(
    "--fields",
    metavar="NAME,...",
    help="With --names: only these of title, artist, album, albumartist, date, tracknumber, tracktotal, discnumber, "
    "disctotal, ids.",
)
@click.option("--overwrite", is_flag=True, help="With --names: let what was found take the place of other values.")
@click.option(
    "-o", "--output", metavar="FILE", type=FILE, help="With --names: write a list of what would be written instead."
)
@click.option(
    "--from",
    "source",
    metavar="FILE",
    type=FILE,
    help="Write what such a list says, as far as the files are unchanged.",
)
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@options.protect
@options.common
@session
def tag(
    run: Run,
    /,
    files: Sequence[bytes],
    fingerprint: bool,
    audio_hash: bool,
    replaygain: bool,
    dry_run: bool,
    yes: bool,
    **of_names: Any,
) -> int:
    """Write into the tags of the files at ROOT or FILE what is measured of them, or with --names what `reprise
    identify` found.

    Shows what would be written, and asks first. Checks that the audio stays the same; `reprise undo` takes the tags
    back. --names writes only what is missing and sure, of the whole library if no ROOT or FILE is given: what you wrote
    stays, unless you add --overwrite. To go through it first, write a list with -o, edit it, and write what you leave
    in it with --from."""
    from dedup.cleanup.tagging import Wanted, finish_broken_off

    wanted = Wanted(fingerprint, audio_hash, replaygain)
    names = Names(**of_names)
    names.guard(is_measured=any(vars(wanted).values()), has_files=bool(files))
    if not dry_run and names.output is None:
        finish_broken_off(run.settings.store, f"reprise {run.command}")
    if not names.names and names.source is None:
        nothing = "nothing to write: the files already have all of it"
        return write(run, measure(run, files, wanted), 0, nothing, dry_run=dry_run, yes=yes)
    compared = compare(run, names, files)
    if compared and not run.stop.requested:
        run.output.note(names_summary(compared))
    n_problems = sum(bool(each.problem) for each in compared)
    if names.output is not None and is_listed(run, compared):
        run.output.note(f"{path_text(names.output)} lists it; `reprise tag --from` writes what you leave in it")
        return run.exit_code or (EXIT_SOME_FAILED if n_problems else EXIT_DONE)
    taggings = [each.tagging for each in compared if each.tagging is not None]
    nothing = "nothing to write" + ("; `reprise identify` looks up what is not identified yet" if names.names else "")
    return write(run, taggings, n_problems, nothing, dry_run=dry_run, yes=yes)


def compare(run: Run, names: Names, paths: Sequence[bytes]) -> list[Compared]:
    """Compares what was found, or what a list says, with the tags there are, and shows how they differ; writes a list
    if one is wanted."""
    from dedup.cleanup.names import compare_files
    from dedup.cleanup.names_document import listed_names, read_names, require_replaceable, write_names

    if names.output is not None:
        require_replaceable(names.output)
    listed = None if names.source is None else read_names(names.source)
    found: list[Compared] = []
    keep = run.settings.keep()
    with stores.for_reading(run) as store:
        if listed is not None:
            found = listed_names(store=store, listed=listed, keep=keep, observer=run.observer, stop=run.stop)
            show_compared(run.output, found)
        else:
            how: dict[str, Any] = {"fields": names.chosen(), "overwrite": names.overwrite, "keep": keep}
            for part in compare_files(store=store, paths=paths, observer=run.observer, stop=run.stop, **how):
                found += part
                show_compared(run.output, part)
        if names.output is not None and is_listed(run, found):
            write_names(names.output, found, store)
    run.observer.close()
    return found


def is_listed(run: Run, compared: Sequence[Compared]) -> bool:
    """Whether all was compared, and there is something to write or to decide."""
    return not run.stop.requested and not all(each.problem for each in compared)


def measure(run: Run, files: Sequence[bytes], wanted: Wanted) -> list[Tagging]:
    """Measures the files, and shows what is new."""
    from dedup.cleanup.tagging import measure_files

    with stores.for_reading(run) as store:
        taggings = measure_files(store=store, paths=files, wanted=wanted, observer=run.observer, stop=run.stop)
    run.observer.close()
    for tagging in taggings:
        show_tagging(run.output, tagging)
    return taggings


def write(run: Run, taggings: Sequence[Tagging], n_problems: int, nothing: str, *, dry_run: bool, yes: bool) -> int:
    """Writes the tags if it is agreed, and shows what came of it; `nothing` is said if there are none. `n_problems`
    files cannot be written."""
    from dedup.cleanup.tagging import tag_files

    if run.stop.requested:  # before all of it was shown
        run.last_words = STOPPED_BEFORE
        return run.exit_code
    if not taggings:
        run.output.note(nothing)
        return run.exit_code or (EXIT_SOME_FAILED if n_problems else EXIT_NOTHING_TO_DO)
    count = count_text(len(taggings), "file")
    if dry_run:
        run.output.note(f"would write tags into {count}")
        return run.exit_code or (EXIT_SOME_FAILED if n_problems else EXIT_DONE)
    if not yes and not is_agreed(f"Write these tags into {count}?"):
        run.output.note("nothing was written; add --yes to write without a question")
        return EXIT_DONE
    run.last_words = STOPPED
    with stores.for_writing(run) as store:
        keep = run.settings.keep()
        tagged = tag_files(store=store, taggings=taggings, keep=keep, observer=run.observer, stop=run.stop)
        has_failed = bool(tagged.refused or n_problems)
        run.conclude(EXIT_SOME_FAILED if has_failed else EXIT_DONE, {"tagged": tagged.n_files})
    run.observer.close()
    show_tagged(run.output, tagged)
    return run.exit_code


def show_compared(output: Output, files: Sequence[Compared]) -> None:
    """Shows the files of one folder."""
    for each in files:
        output.result({"event": "compared", **compared_record(each)})
    if files and not output.as_json:
        output.laid(list(compared_lines(files, output.look)))


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
