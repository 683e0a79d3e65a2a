"""A plan in tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jobs.session.output import Column, aligned, count_text, one_line, path_text, shortened, size_text
from jobs.show.groups import common_folder

if TYPE_CHECKING:
    from dedup.plan.nouns import Plan, PlannedFile, PlannedGroup, PlannedPlaylist
    from dedup.tags.merge import Merge

NUMBER = Column("number", "")

COLUMNS = (
    Column("action", ""),
    Column("rule", "rule"),
    Column("score", "score"),
    Column("null_test", "null test"),
    Column("size", "size"),
    Column("path", "path"),
    Column("why", "why"),
)

SHOWN_LEFT = 40
"""Most files that stay and are listed at the end."""

SHOWN_VALUES = 3
"""Most values of a tag field that are shown."""


def plan_lines(plan: Plan, limit: int | None = None) -> Iterator[list[str]]:
    """Yields blocks of lines: each group, what stays and why, the playlists."""
    folder = common_folder(file.path for group in plan.groups for file in group.files)
    if plan.groups:
        yield [f"Paths are below {path_text(folder)}"]
    for group in plan.groups[:limit]:
        yield list(planned_group_lines(group, folder))
    if limit is not None and limit < len(plan.groups):
        yield [f"{limit:,} of {count_text(len(plan.groups), 'group')} are shown"]
    left = list(_left_lines(plan, folder))
    if left:
        yield left
    yield from _playlist_blocks(plan)


def _playlist_blocks(plan: Plan) -> Iterator[list[str]]:
    """Yields the playlists that are rewritten, and those that cannot be."""
    lines = [
        f"  {path_text(p.path)}: {count_text(p.n_references, 'reference')}" for p in plan.playlists if not p.problem
    ]
    if lines:
        yield ["playlists to rewrite", *lines]
    lines = [f"  {_unrewritable_text(playlist)}" for playlist in plan.playlists if playlist.problem]
    if lines:
        yield ["playlists that refer, or may refer, to files that go, and cannot be rewritten", *lines]


def _unrewritable_text(playlist: PlannedPlaylist) -> str:
    count = f"{count_text(playlist.n_references, 'reference')}; " if playlist.n_references else ""
    return f"{path_text(playlist.path)}: {count}{one_line(playlist.problem)}"


def planned_group_lines(group: PlannedGroup, folder: bytes, numbered: bool = False) -> Iterator[str]:
    """Yields the lines of a group: its files, and what the kept one gets."""
    rows = [{"number": number, **_row(file, folder)} for number, file in enumerate(group.files, start=1)]
    yield f"{size_text(group.n_bytes)} reclaimable, {count_text(len(group.files), 'file')}"
    yield from aligned((NUMBER, *COLUMNS) if numbered else COLUMNS, rows)
    if group.merge is not None:
        yield from (f"      {line}" for line in merge_lines(group.merge, folder))
    yield from (f"      {line}" for line in _sidecar_lines(group, folder))
    if group.note:
        yield f"      {one_line(group.note)}"


def _row(file: PlannedFile, folder: bytes) -> dict[str, str]:
    return {
        "action": file.action,
        "rule": file.rule,
        "score": "" if file.score is None else f"{file.score:.3f}",
        "null_test": file.null_test,
        "size": size_text(file.size),
        "path": path_text(file.path.removeprefix(folder)),
        "why": file.why,
    }


def merge_lines(merge: Merge, folder: bytes) -> Iterator[str]:
    """Yields what the kept file gets, and where other files contradict it."""
    for name, values in merge.fields.items():
        yield f"the kept file gets {name}: {values_text(values)}"
    if merge.cover_from is not None:
        yield f"the kept file gets the cover of {path_text(merge.cover_from.removeprefix(folder))}"
    for extra in merge.extras:
        yield f"the kept file gets {one_line(extra.what)} of {path_text(extra.path.removeprefix(folder))}"
    for conflict in merge.conflicts:
        other = path_text(conflict.path.removeprefix(folder))
        yield f"{conflict.name} stays {values_text(conflict.kept)}; {other} has {values_text(conflict.other)}"


def _sidecar_lines(group: PlannedGroup, folder: bytes) -> Iterator[str]:
    """Yields the side-cars that go."""
    told = {"with": "goes along with its file", "to kept": "goes to the kept file"}
    for path, action in {each.path: each.action for file in group.changed for each in file.sidecars}.items():
        yield f"{path_text(path.removeprefix(folder))} {told[action]}"


def values_text(values: Sequence[str]) -> str:
    """The values of a tag field on one line."""
    shown = [shortened(one_line(value), 80) for value in values[:SHOWN_VALUES]]
    more = len(values) - len(shown)
    return "; ".join(shown) + (f"; and {more:,} more" if more else "")


def _left_lines(plan: Plan, folder: bytes) -> Iterator[str]:
    """Yields the copies that stay, those of albums first, as nothing else points to an album that needs a look."""
    left = [file for group in plan.groups for file in group.files if file.action == "leave"]
    if not left:
        return
    yield f"{len(left):,} {'copy' if len(left) == 1 else 'copies'} would stay"
    left.sort(key=lambda file: (file.rule != "album", file.rule, file.path))
    for file in left[:SHOWN_LEFT]:
        yield f"  {file.rule}: {path_text(file.path.removeprefix(folder))} ({one_line(file.why)})"
    if len(left) > SHOWN_LEFT:
        yield f"  and {len(left) - SHOWN_LEFT:,} more"


def totals_text(plan: Plan) -> str:
    """One line: how much the plan would change."""
    from dedup.plan.document import totals

    numbers = totals(plan)
    text = f"{count_text(numbers['files'], 'file')} of {count_text(numbers['groups'], 'group')} would change"
    text += f"; {size_text(numbers['bytes'])} reclaimable"
    if numbers["merges"]:
        text += f"; {count_text(numbers['merges'], 'kept file')} would get tags or a cover"
    if numbers["sidecars"]:
        text += f"; {count_text(numbers['sidecars'], 'side-car')} would go along"
    if numbers["playlists"]:
        text += f"; {count_text(numbers['playlists'], 'playlist')} would be rewritten"
    if numbers["playlists_left"]:
        text += f"; {count_text(numbers['playlists_left'], 'playlist')} cannot be rewritten"
    return text
