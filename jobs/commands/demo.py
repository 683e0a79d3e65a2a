"""`reprise demo`: a small music library made on the spot, and the main job run on it."""

from __future__ import annotations

import contextlib
import dataclasses
import os
import shutil
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, InputError, UsageError, writing
from jobs.session import options
from jobs.session.configuration import Settled
from jobs.session.helping import Command
from jobs.session.main_job import run_full
from jobs.session.run import Run, session
from jobs.show.main_job import conclude_full, show_found, show_summary

if TYPE_CHECKING:
    from dedup.pipeline import Full
    from dedup.synthesis.library import DemoLibrary


@click.command("demo", cls=Command)
@click.option("--out", metavar="DIR", type=click.Path(file_okay=False, path_type=Path), help="Keep the library here.")
@click.option(
    "--seed", type=click.IntRange(min=0), default=1, show_default=True, help="Number that the music depends on."
)
@options.worker_processes
@options.common
@session
def demo(run: Run, out: Path | None, seed: int) -> int:
    """Synthesize a small music library with known duplicates, run the main job on it, and show the groups.

    It needs no music and has a store of its own. Without --out it removes everything at the end."""
    if run.settings.settled["store"].source == "command line":
        remedy = "Leave out --store; with --out DIR the store is kept in DIR"
        raise UsageError("demo --store", "the demo has a store of its own", remedy=remedy)
    with contextlib.ExitStack() as stack:
        if out is None:
            run.last_words = "stopped; a demo without --out keeps nothing"
            with writing("temporary folder", "set TMPDIR to another folder"):
                folder = Path(
                    stack.enter_context(tempfile.TemporaryDirectory(prefix="reprise-demo-", ignore_cleanup_errors=True))
                )
        else:
            folder = out
            if not _is_for_demo(folder, seed):
                found = "the folder holds other files than this demo's"
                raise InputError(f"--out {folder}", found, remedy="Name a new or an empty folder")
        library = _write(run, folder / "library", seed)
        settled = {**run.settings.settled, "store": Settled(str(folder / "store"), "demo")}
        run.settings = dataclasses.replace(run.settings, settled=settled, servers=())
        ended = run_full(run, (os.fsencode(library.root.absolute()),), conclude_full)
        run.observer.close()
        show_found(run.output, ended.done)
        show_summary(run, ended.done)
        if ended.trouble is not None:
            raise ended.trouble
        _show_truth(run, ended.done, library)
        if out is not None:
            run.output.note(f"kept    {folder} (library and store; reprise report --store {folder / 'store'})")
    return EXIT_DONE


def _is_for_demo(folder: Path, seed: int) -> bool:
    """Whether the folder is new, empty, or holds what the same demo left there: one that was cut short goes on."""
    from dedup.synthesis.library import demo_paths

    if not folder.exists():
        return True
    library = folder / "library"
    files = {str(path.relative_to(library)) for path in library.rglob("*") if path.is_symlink() or not path.is_dir()}
    own = {path.name for path in (library, folder / "store") if not path.is_symlink()}
    return {path.name for path in folder.iterdir()} <= own and files <= demo_paths(seed)


def _write(run: Run, root: Path, seed: int) -> DemoLibrary:
    from dedup.synthesis.library import n_demo_files, write_demo_library

    def advance() -> None:
        run.observer.advance()
        if run.stop.requested:
            raise KeyboardInterrupt

    run.observer.stage("synthesize", n_demo_files(), "files")
    try:
        return write_demo_library(root, seed, advance=advance)
    except BaseException:
        shutil.rmtree(root, ignore_errors=True)  # a part of a library is in the way of the next one
        raise


def _show_truth(run: Run, done: Full, library: DemoLibrary) -> None:
    """Compares the result with the planted duplicates."""
    if done.found is None:
        return
    truth = library.truth((pair.a.path, pair.b.path) for pair in done.found.matches.pairs())
    run.output.result(
        {"event": "truth", "pairs": truth.n_planted, "found": truth.n_found, "false": truth.n_false},
    )
    run.output.note(f"truth   {truth.n_found} of {truth.n_planted} planted pairs found, {truth.n_false} false")
