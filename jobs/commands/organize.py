"""`reprise organize`: moves files to where they belong by their tags."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_SOME_FAILED, InputError, UsageError
from jobs.session import options, stores
from jobs.session.failures import going_on
from jobs.session.helping import Command
from jobs.session.listeners import present_paths
from jobs.session.output import count_text, path_text
from jobs.session.run import Run, session
from jobs.show.ask import is_agreed
from jobs.show.organized import organized_record, show_organized, show_plan

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedup.cleanup.organizing import Organized
    from dedup.organize.nouns import Organisation
    from dedup.store.store import Store

STOPPED = "stopped; `reprise organize --resume` goes on from there, `reprise undo` takes back what was done"
PATH = click.Path(path_type=bytes)


@click.command("organize", cls=Command)
@click.argument("paths", metavar="[ROOT|FILE]...", nargs=-1, type=PATH)
@click.option("--template", metavar="TEMPLATE", help="Path below the root.  [default: the setting organize-template]")
@click.option("--to", metavar="DIR", type=PATH, help="Folder to move to.  [default: the root of each file]")
@click.option("--dry-run", is_flag=True, help="Show what would move, and change nothing.")
@click.option("--resume", "resumed", is_flag=True, help="Go on with what was interrupted.")
@click.option("--yes", is_flag=True, help="Move without asking.")
@options.protect
@options.let_go
@options.common
@session
def organize(
    run: Run,
    paths: Sequence[bytes],
    template: str | None,
    to: bytes | None,
    dry_run: bool,
    resumed: bool,
    yes: bool,
) -> int:
    """Move the files at ROOT or FILE, or all files of the library, to where they belong by their tags.

    Fields and functions of the template are named as in beets: '$albumartist/$album/$track - $title'. Lyrics, covers
    and cue sheets go along, playlists are rewritten, and folders left empty are removed. A file that lacks a tag which
    the template needs stays. Shows what would move, and asks first. Nothing is overwritten; `reprise undo` takes it
    back."""
    if resumed:
        if paths or template is not None or to is not None or dry_run:
            raise UsageError("organize --resume", "cannot be combined with what to move", remedy="Leave out the rest")
        return _moved(run, None)
    if not dry_run:
        from dedup.cleanup.journal import require_none_open
        from dedup.cleanup.tagging import finish_broken_off

        finish_broken_off(run.settings.store, f"reprise {run.command}")
        require_none_open(run.settings.store)  # before anybody is asked
    plan = _plan(run, paths, template, to)
    run.observer.close()
    show_plan(run.output, plan)
    if not plan.moves:
        return run.exit_code or EXIT_NOTHING_TO_DO
    if dry_run:
        return run.exit_code or EXIT_DONE
    if not yes and not is_agreed(f"Move {count_text(len(plan.moves), 'file')}?"):
        run.output.note("nothing was moved; add --yes to move without a question")
        return EXIT_DONE
    return _moved(run, plan)


def _plan(run: Run, paths: Sequence[bytes], text: str | None, to: bytes | None) -> Organisation:
    """What would move. Raises UsageError for a template that cannot be read."""
    from dedup.organize.disk import as_library_names
    from dedup.organize.fields import FIELDS
    from dedup.organize.moves import organisation
    from dedup.organize.template import Template
    from dedup.plan.references import References
    from dedup.store.protection import protected

    template = Template(text if text is not None else run.settings.organize().organize_template, FIELDS)
    if to is not None and not os.path.isdir(to):
        raise InputError(
            path_text(os.path.abspath(to)), "is not a folder", remedy="Make it, or name another one as --to"
        )
    with stores.for_reading(run) as store:
        roots = store.catalog.tracks.roots()
        folder = None if to is None else as_library_names(to, roots)
        home = os.fsencode(store.layout.folder)
        protect = protected(store, (*run.settings.keep().protect, os.path.abspath(home), os.path.realpath(home)))
        discover = run.settings.discover()
        plan = organisation(store, template, paths=paths, to=folder, protect=protect, discover=discover)
        if not plan.moves:
            return plan
        folders = run.settings.cleanup().playlists or roots
        moved = plan.moved
        return replace(plan, playlists=References(folders, moved, run.observer, protect).referring(moved))


def _moved(run: Run, plan: Organisation | None) -> int:
    """Moves what a plan says, or what an interrupted one left, and shows what came of it."""
    run.last_words = STOPPED
    with going_on(run.settings.store), stores.for_writing(run) as store:
        organized = _carried_out(run, store, plan)
        run.conclude(EXIT_SOME_FAILED if organized.refused else EXIT_DONE, organized_record(organized))
    run.observer.close()
    show_organized(run.output, organized)
    return run.exit_code


def _carried_out(run: Run, store: Store, plan: Organisation | None) -> Organized:
    from dedup.cleanup.organizing import organize as carry_out
    from dedup.cleanup.organizing import resume
    from dedup.servers.link import open_links

    settings, keep, observer, stop = run.settings, run.settings.keep(), run.observer, run.stop
    links = open_links(settings.servers, lambda: present_paths(store)) if settings.servers else {}
    may_be_lost = "listeners" in settings.cleanup().let_go
    if plan is None:
        return resume(store=store, keep=keep, observer=observer, stop=stop, links=links, may_be_lost=may_be_lost)
    return carry_out(
        store=store, plan=plan, keep=keep, observer=observer, stop=stop, links=links, may_be_lost=may_be_lost
    )
