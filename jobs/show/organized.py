"""What `organize` would move, and what it moved: for people and for programs."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dedup.files.paths import json_path, named_path
from jobs.session.output import Output, count_text, path_text
from jobs.show.cleanups import show_refusals

if TYPE_CHECKING:
    from dedup.cleanup.organizing import Organized
    from dedup.organize.nouns import Beside, Moving, Organisation
    from jobs.session.lines import Look


def show_plan(output: Output, plan: Organisation) -> None:
    """Shows what moves, folder by folder, what stays, the playlists that cannot follow, and the counts."""
    for moving in plan.moves:
        output.result({"event": "move", **_record(moving), "beside": [_record(each) for each in moving.beside]})
    for staying in plan.staying:
        output.result({"event": "stays", **json_path(staying.path), "reason": staying.reason})
    left = [playlist for playlist in plan.playlists if playlist.problem]
    for playlist in left:
        output.result({"event": "not rewritten", **json_path(playlist.path), "reason": playlist.problem})
    if not output.as_json:
        if plan.moves:
            output.laid(list(_move_lines(plan, output.look)))
        for staying in plan.staying:
            output.text(f"stays: {path_text(staying.path)}: {staying.reason}")
        for playlist in left:
            why = f"{playlist.problem}. It names, or may name, files that move"
            output.text(f"not rewritten: {path_text(playlist.path)}: {why}")
    output.note(plan_text(plan))


def plan_text(plan: Organisation) -> str:
    """What a plan comes to."""
    n_beside = sum(len(moving.beside) for moving in plan.moves)
    n_playlists = sum(not playlist.problem for playlist in plan.playlists)
    n_left = len(plan.playlists) - n_playlists
    parts = (
        f"{count_text(len(plan.moves), 'file')} to move",
        f"{n_beside:,} along" if n_beside else "",
        f"{plan.n_numbered:,} numbered, as others have the same name" if plan.n_numbered else "",
        f"{count_text(n_playlists, 'playlist')} to rewrite" if n_playlists else "",
        f"{count_text(n_left, 'playlist')} that cannot be rewritten" if n_left else "",
    )
    return ", ".join(filter(None, parts)) + f"; {plan.n_there:,} there already, {len(plan.staying):,} stay"


def _record(each: Moving | Beside) -> dict[str, Any]:
    return {**json_path(each.path), **named_path("target", each.target)}


def _move_lines(plan: Organisation, look: Look) -> Iterator[str]:
    """Each pair of folders, with the files that go from one to the other; a name alone stays the same."""
    pairs = sorted(
        (os.path.dirname(each.path), os.path.dirname(each.target), each.path, each.target)
        for moving in plan.moves
        for each in moving.all_files
    )
    for (old, new), files in itertools.groupby(pairs, key=lambda pair: pair[:2]):
        yield from look.wrapped(look.styled(path_text(old), "bold"), hanging=4)
        if new != old:
            yield from look.wrapped(f"  → {path_text(new)}", hanging=6)
        for *_, path, target in files:
            name, new_name = os.path.basename(path), os.path.basename(target)
            line = f"    {path_text(name)}"
            yield from look.wrapped(line if name == new_name else f"{line} → {path_text(new_name)}", hanging=6)


def organized_record(organized: Organized) -> dict[str, Any]:
    """What was done, as a record for programs."""
    return {
        "number": organized.number,
        "files": organized.n_files,
        "beside": organized.n_beside,
        "playlists": organized.n_playlists,
        "folders_removed": organized.n_folders,
        "refused": len(organized.refused),
        "left": organized.left,
    }


def show_organized(output: Output, organized: Organized) -> None:
    """Shows each refusal, and what was done."""
    show_refusals(output, "refused", organized.refused)
    output.result({"event": "organize", **organized_record(organized)})
    text = f"{count_text(organized.n_files, 'file')} moved, {organized.n_beside:,} along"
    text += f"; {count_text(organized.n_playlists, 'playlist')} rewritten"
    text += f", {count_text(organized.n_folders, 'empty folder')} removed"
    output.note(text + (f"; {len(organized.refused):,} refused" if organized.refused else ""))
    if organized.n_files or organized.n_beside:
        output.note("`reprise undo` takes it back")
