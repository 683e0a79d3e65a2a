"""A plan in tables for people."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jobs.session.output import Column, aligned, count_text, one_line, path_text, shortened, size_text
from jobs.show.groups import common_folder

if TYPE_CHECKING:
    from dedup.plan.nouns import Plan, PlannedFile, PlannedGroup
    from dedup.tags.merge import Merge

NUMBER = Column("number", "")

COLUMNS = (
    Column("action", ""),
    Column("rule", "rule"),
    Column("score", "score"),
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
    if plan.playlists:
        lines = [f"{path_text(list_.path)}: {count_text(list_.n_references, 'reference')}" for list_ in plan.playlists]
        yield ["playlists to rewrite", *(f"  {line}" for line in lines)]


def planned_group_lines(group: PlannedGroup, folder: bytes, numbered: bool = False) -> Iterator[str]:
    """Yields the lines of a group: its files, and what the kept one gets."""
    rows = [{"number": number, **_row(file, folder)} for number, file in enumerate(group.files, start=1)]
    yield f"{size_text(group.n_bytes)} reclaimable, {count_text(len(group.files), 'file')}"
    yield from aligned((NUMBER, *COLUMNS) if numbered else COLUMNS, rows)
    if group.merge is not None:
        yield from (f"      {line}" for line in merge_lines(group.merge, folder))
    if group.note:
        yield f"      {one_line(group.note)}"


def _row(file: PlannedFile, folder: bytes) -> dict[str, str]:
    return {
        "action": file.action,
        "rule": file.rule,
        "score": "" if file.score is None else f"{file.score:.3f}",
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
    for conflict in merge.conflicts:
        other = path_text(conflict.path.removeprefix(folder))
        yield f"{conflict.name} stays {values_text(conflict.kept)}; {other} has {values_text(conflict.other)}"


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
    if numbers["playlists"]:
        text += f"; {count_text(numbers['playlists'], 'playlist')} would be rewritten"
    return text
