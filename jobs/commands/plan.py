"""`reprise plan`: what would be done with the copies, for a person to review and for `reprise apply` to carry out."""

from __future__ import annotations

import contextlib
import os
import stat
from typing import TYPE_CHECKING, Any

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, InputError, PlanError, UsageError
from jobs.session import options, stores
from jobs.session.output import complain, count_text, path_text, size_text
from jobs.session.run import Run, reader
from jobs.show.groups import tell_unfinished

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from dedup.plan.nouns import Plan

FILE = click.Path(path_type=bytes)


@click.command("plan")
@click.option("-o", "--output", "written", metavar="FILE", type=FILE, help="Write the plan, as JSON, to this file.")
@click.option("--check", "checked", metavar="FILE", type=FILE, help="Only say whether the plan in this file is sound.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Show only the first N groups.")
@click.option("--unprotect", metavar="DIR", multiple=True, type=FILE, help="Protect this folder no more. Repeatable.")
@options.keep
@options.cleanup
@options.match
@options.common
@reader
def plan(run: Run, written: bytes | None, checked: bytes | None, limit: int | None, unprotect: Sequence[bytes]) -> int:
    """Show which copies would go, which stay, and why. Changes no file.

    With -o the plan is kept in a file that may be edited: entries removed, actions changed, another copy kept.
    `reprise apply FILE` carries it out."""
    if checked is not None:
        if written is not None:
            raise UsageError("plan --check", "found together with -o", "one of them")
        return check_plan(run, checked)
    if written is not None:
        replaced = require_replaceable(written)
    protect_from_now_on(run, [os.path.abspath(folder) for folder in unprotect])
    made = plan_of_store(run)
    run.observer.close()
    show_plan(run, made, limit)
    if written is not None:
        write_plan(written, made)
        run.output.note(
            f"plan    {'replaced' if replaced else 'written'}: {path_text(written)}; `reprise apply` does it"
        )
    return EXIT_DONE if made.n_files else EXIT_NOTHING_TO_DO


def plan_of_store(run: Run) -> Plan:
    """What the settings come to."""
    from dedup.groups.matches import Matches
    from dedup.plan.make import make_plan

    with stores.for_reading(run) as store:
        tell_unfinished(run, store)
        matches = Matches(store, run.settings.match())
        return make_plan(store, matches, run.settings.keep(), run.settings.cleanup(), run.observer)


def protect_from_now_on(run: Run, unprotect: Sequence[bytes]) -> None:
    """Remembers the folders that are protected now, and forgets others. The store is written only for something new."""
    from dedup.store.protection import forget, protected, remember
    from dedup.store.store import open_for_writing

    folders = run.settings.keep().protect
    both = sorted(set(folders).intersection(unprotect))
    if both:
        raise UsageError(
            f"--unprotect {path_text(both[0])}", "is protected by --protect or a setting too", "one of them"
        )
    with stores.for_reading(run) as store:
        known = set(protected(store))
    unknown = sorted(set(unprotect) - known)
    if unknown:
        shown = ", ".join(map(path_text, sorted(known))) or "none"
        raise UsageError(f"--unprotect {path_text(unknown[0])}", "is not protected", f"one of those that are: {shown}")
    if known.issuperset(folders) and not unprotect:
        return
    with open_for_writing(run.settings.store, "reprise plan --protect") as store:
        remember(store, folders)
        forget(store, unprotect)


# ---- the file ----


def check_plan(run: Run, path: bytes) -> int:
    """Says what is wrong with the plan in a file, one line each; raises PlanError where anything is."""
    from dedup.plan.document import read_plan, totals

    try:
        found = read_plan(path)
    except PlanError as error:
        for problem in error.problems:
            complain(f"{path_text(path)}: {problem}")
            run.output.result({"event": "problem", "problem": problem})
        raise
    run.output.result({"event": "check", "problems": 0, **totals(found)})
    run.output.note(f"{path_text(path)}: a sound plan; {totals_text(found)}")
    return EXIT_DONE


def require_replaceable(path: bytes) -> bool:
    """Whether there is a plan at that path. Raises InputError where there is anything else."""
    from dedup.plan.document import is_plan

    try:
        status = os.stat(path)
        if stat.S_ISREG(status.st_mode):
            with open(path, "rb") as file:
                begins_so = file.read(64).lstrip(b"\xef\xbb\xbf \t\r\n").startswith(b"{")  # a film is not read whole
                file.seek(0)
                if begins_so and is_plan(file.read()):
                    return True
    except FileNotFoundError:
        return False
    except OSError as error:
        raise InputError(
            path_text(path), error.strerror or str(error), "a file that a plan can be written to"
        ) from error
    raise InputError(path_text(path), "there is something that is no plan", "a new file, or a plan to be replaced")


def write_plan(path: bytes, made: Plan, encode: Callable[[Plan], bytes] | None = None) -> None:
    """All of it or nothing. `encode` makes the document, where not `to_bytes` does."""
    from dedup.plan.document import to_bytes

    part = path + b".%d.part" % os.getpid()
    try:
        with open(part, "xb") as file:
            file.write((encode or to_bytes)(made))
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    except OSError as error:
        with contextlib.suppress(OSError):
            os.unlink(part)
        raise InputError(
            path_text(path), error.strerror or str(error), "a file that a plan can be written to"
        ) from error


# ---- showing it ----


def show_plan(run: Run, made: Plan, limit: int | None) -> None:
    """For programs the document on one line, for people tables."""
    from dedup.plan.document import to_bytes
    from jobs.show.plan_text import plan_lines

    if run.output.as_json:
        run.output.raw(to_bytes(made, indent=None))
        run.output.flush()
    else:
        for block in plan_lines(made, limit):
            run.output.text("\n".join(block) + "\n")
    run.output.note(f"total   {totals_text(made)}")


def totals_text(made: Plan) -> str:
    """One line: how much would be done."""
    from dedup.plan.document import totals

    numbers: dict[str, Any] = totals(made)
    text = (
        f"{count_text(numbers['files'], 'file')} of {count_text(numbers['groups'], 'group')} would not stay as they are"
    )
    text += f"; {size_text(numbers['bytes'])} to win"
    if numbers["merges"]:
        text += f"; {count_text(numbers['merges'], 'kept file')} would get tags or a cover"
    if numbers["playlists"]:
        text += f"; {count_text(numbers['playlists'], 'playlist')} would be rewritten"
    return text
