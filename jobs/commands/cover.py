"""`reprise cover`: chooses a picture, cuts and shrinks it, and makes it the front cover of files."""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_SOME_FAILED, InputError, UsageError, refused
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.output import count_text, path_text
from jobs.session.run import Run, session
from jobs.show.ask import is_agreed
from jobs.show.cleanups import show_refusals
from jobs.show.covers import made_lines, made_record, show_candidates, show_cover, show_written

if TYPE_CHECKING:
    from dedup.cleanup.checks import Refusal
    from dedup.cleanup.tagging import Tagging
    from dedup.covers.edit import Crop, Edit
    from dedup.covers.make import Made
    from dedup.store.store import Store

STOPPED = "stopped; run the same command to go on from there, or `reprise undo` to take back what was written"
FILE = click.Path(path_type=bytes)


@dataclass(frozen=True)
class Asked:
    """What the command line says of the picture."""

    source: bytes | None
    crop: str | None
    trim: bool
    size: str | None
    fit: str | None
    quality: int | None

    def edit(self) -> Edit:
        """Raises UsageError."""
        from dedup.covers.edit import Edit

        is_square = self.crop == "square"
        return Edit(
            crop=None if self.crop is None or is_square else crop_of(self.crop),
            trim=self.trim,
            square=is_square,
            size=None if self.size is None else pair_of("size", self.size, "x", "WIDTHxHEIGHT, such as 600x600"),
            fit=None if self.fit is None else pair_of("fit", self.fit, "-", "MIN-MAX, such as 500-1000"),
            quality=self.quality,
        )


@click.command("cover", cls=Command)
@click.argument("files", metavar="FILE...", nargs=-1, required=True, type=FILE)
@click.option(
    "--from",
    "source",
    metavar="IMAGE|COPY",
    type=FILE,
    help="A JPEG, PNG, TIFF or WebP, or a music file with a cover.  [default: each file's own cover]",
)
@click.option(
    "--crop",
    metavar="square|L,T,W,H",
    help="Keep the middle square; or what starts L from the left and T from the top, W wide, H high: pixels or %.",
)
@click.option("--trim", is_flag=True, help="Cut off borders of one colour.")
@click.option("--size", metavar="WxH", help="Shrink to exactly this, and cut off what does not fit.")
@click.option("--fit", metavar="MIN-MAX", help="Shrink by a whole factor, so that each side has MIN to MAX pixels.")
@click.option("--quality", metavar="1-95", type=int, help="JPEG quality.  [default: 90]")
@click.option("--list", "to_list", is_flag=True, help="List the pictures in the file, its copies and its folder.")
@click.option(
    "--save", metavar="OUT.jpg", type=click.Path(dir_okay=False, path_type=Path), help="Write a new file instead."
)
@click.option("--dry-run", is_flag=True, help="Show what would be written, and write nothing.")
@click.option("--yes", is_flag=True, help="Write without asking.")
@options.protect
@options.common
@session
def cover(
    run: Run,
    /,
    files: Sequence[bytes],
    to_list: bool,
    save: Path | None,
    dry_run: bool,
    yes: bool,
    **picture: Any,
) -> int:
    """Make a picture the front cover of each FILE of the library, as a JPEG.

    Shows what would be written, and asks first. Other pictures stay, and the audio stays the same; `reprise undo` takes
    the covers back. Nothing is ever enlarged."""
    asked = Asked(**picture)
    _guard(asked, files, to_list, save)
    edit = asked.edit()
    if to_list:
        with stores.for_matching(run) as store:
            return list_candidates(run, store, files)
    if save is not None:
        return save_picture(run, asked, files[0], edit, save)
    if not dry_run:
        from dedup.cleanup.tagging import finish_broken_off

        finish_broken_off(run.settings.store, f"reprise {run.command}")
    with stores.for_reading(run) as store:
        taggings, refusals = prepare(run, store, files, asked.source, edit)
    run.observer.close()
    if not taggings or dry_run or not _may_write(run, len(taggings), yes):
        return finish(run, taggings, refusals, dry_run)
    return write(run, taggings, refusals)


def _guard(asked: Asked, files: Sequence[bytes], to_list: bool, save: Path | None) -> None:
    from dedup.covers.make import require_pillow

    if to_list and (save is not None or any(vars(asked).values())):
        raise UsageError("cover --list", "cannot be combined with a picture to write", remedy="Leave out the rest")
    if save is not None and len(files) > 1:
        raise UsageError("cover --save", f"{len(files)} files are named", remedy="Name one")
    if not to_list:
        require_pillow()


def _may_write(run: Run, n_files: int, yes: bool) -> bool:
    if yes or is_agreed(f"Write this cover into {count_text(n_files, 'file')}?"):
        return True
    run.output.note("nothing was written; add --yes to write without a question")
    return False


# ---- what is written where ----


def prepare(
    run: Run, store: Store, files: Sequence[bytes], source: bytes | None, edit: Edit
) -> tuple[list[Tagging], list[Refusal]]:
    """Makes the cover of each file, and shows it. Raises InputError for a picture that is none, or for a file that the
    store does not know."""
    from dedup.cleanup.checks import Refusal
    from dedup.cleanup.covering import cover_tagging, require_room
    from dedup.groups.judgements import find
    from dedup.tags.write import TagsError

    given = None if source is None else made_of(source, edit)
    taggings: list[Tagging] = []
    refusals: list[Refusal] = []
    known = list(dict.fromkeys(find(store, file).path for file in files))
    run.observer.stage("make covers", len(known), "files")
    for path in known:
        if run.stop.requested:
            break
        try:
            require_room(path)
            made = given or made_of_own(path, edit)
            tagging = cover_tagging(store, path, made.jpeg)
        except TagsError as error:
            refusals.append(Refusal(path, error.found))
        except InputError as error:
            if given is not None:
                raise
            refusals.append(Refusal(path, error.found))
        else:
            if tagging is not None:
                taggings.append(tagging)
                show_cover(run.output, path, made)
        run.observer.advance()
    return taggings, refusals


def made_of(source: bytes, edit: Edit) -> Made:
    """The cover made of a picture, or of the front cover in a music file. Raises InputError, which names the file."""
    from dedup.covers.make import edited, picture_in
    from dedup.covers.sources import is_picture

    name = path_text(source)
    try:
        return edited(picture_in(source), edit, name) if is_picture(source) else made_of_own(source, edit)
    except OSError as error:
        raise InputError(name, f"cannot be read: {error.strerror or error}") from error


def made_of_own(path: bytes, edit: Edit) -> Made:
    """The cover made of the one in a music file. Raises InputError, which names the file; OSError."""
    from dedup.covers.make import edited
    from dedup.covers.sources import front_of

    front = front_of(path)
    if front is None:
        remedy = "Name a JPEG, PNG, TIFF or WebP picture, or a music file with a cover, as --from"
        raise InputError(path_text(path), "holds no cover and is not a picture itself", remedy=remedy)
    return edited(front.data, edit, f"the cover of {path_text(path)}")


def finish(run: Run, taggings: Sequence[Tagging], refusals: Sequence[Refusal], dry_run: bool) -> int:
    """Ends without writing anything."""
    show_refusals(run.output, "refused", refusals)
    if not taggings and not refusals:
        run.output.note("nothing to write: the files already have this cover")
        return run.exit_code or EXIT_NOTHING_TO_DO
    if dry_run:
        run.output.note(f"would write {count_text(len(taggings), 'cover')}")
    return run.exit_code or (EXIT_SOME_FAILED if refusals else EXIT_DONE)


def write(run: Run, taggings: Sequence[Tagging], refusals: Sequence[Refusal]) -> int:
    """Writes the covers, and shows what came of it."""
    from dedup.cleanup.tagging import tag_files

    run.last_words = STOPPED
    with stores.for_writing(run) as store:
        keep = run.settings.keep()
        tagged = tag_files(store=store, taggings=taggings, keep=keep, observer=run.observer, stop=run.stop)
        has_failed = bool(refusals or tagged.refused)
        run.conclude(EXIT_SOME_FAILED if has_failed else EXIT_DONE, {"covers": tagged.n_files})
    run.observer.close()
    show_written(run.output, tagged, refusals)
    return run.exit_code


def save_picture(run: Run, asked: Asked, file: bytes, edit: Edit, target: Path) -> int:
    """Writes the cover into a new file. Raises InputError if there is one of that name, WriteError."""
    from dedup.files.paths import json_path
    from dedup.groups.judgements import find

    with stores.for_reading(run) as store:
        path = find(store, file).path
    made = made_of_own(path, edit) if asked.source is None else made_of(asked.source, edit)
    name = path_text(os.fsencode(target))
    try:
        with open(target, "xb") as opened:
            try:
                opened.write(made.jpeg)
                opened.flush()
            except BaseException:
                target.unlink(missing_ok=True)  # it is ours, and not whole
                raise
    except FileExistsError:
        raise InputError(name, "is there already, and nothing is overwritten", remedy="Choose another name") from None
    except OSError as error:
        raise refused(name, error) from error
    run.output.result({"event": "saved", **json_path(os.fsencode(target)), **made_record(made)})
    run.output.note(f"saved {name}: {made_lines(made)[0]}")
    return run.exit_code or EXIT_DONE


def list_candidates(run: Run, store: Store, files: Sequence[bytes]) -> int:
    """Shows the pictures for each file."""
    from dedup.covers.sources import candidates_of, copies_of
    from dedup.groups.judgements import find
    from dedup.groups.matches import Matches

    known = [find(store, file).path for file in files]
    matches = Matches(store, run.settings.match())
    n_found = 0
    for path in known:
        found = candidates_of(path, copies_of(matches, path))
        n_found += len(found)
        show_candidates(run.output, path, found)
    return run.exit_code or (EXIT_DONE if n_found else EXIT_NOTHING_TO_DO)


# ---- what the options mean ----


def crop_of(text: str) -> Crop:
    """The part that "10,10,500,500" or "5%,5%,90%,90%" means. Raises UsageError."""
    from dedup.covers.edit import Crop

    number = r"\s*(\d+(?:\.\d+)?)(%?)\s*"
    found = re.fullmatch(",".join([number] * 4), text)
    signs = set() if found is None else set(found.groups()[1::2])
    if found is None or len(signs) != 1:
        expected = "square, or LEFT,TOP,WIDTH,HEIGHT in pixels or all in %"
        raise UsageError("crop", f"{text!r} is not a part of a picture", expected)
    left, top, width, height = (float(each) for each in found.groups()[::2])
    if signs == {"%"}:
        return Crop(left / 100, top / 100, width / 100, height / 100, "share")
    return Crop(left, top, width, height)


def pair_of(name: str, text: str, between: str, expected: str) -> tuple[int, int]:
    """The two whole numbers of an option. Raises UsageError."""
    found = re.fullmatch(rf"(\d{{1,6}}){between}(\d{{1,6}})", text.strip().lower().replace("×", "x"))  # noqa: RUF001
    if found is None:
        raise UsageError(name, f"{text!r} is given", expected)
    return int(found[1]), int(found[2])
