"""A plan for people: what happens to each file of each group, and why."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING

from jobs.session.lines import PLAIN, Look, Role, shortened
from jobs.session.output import count_text, one_line, path_text, size_text
from jobs.show.entries import Entry, entry_lines, indented
from jobs.show.groups import common_folder
from jobs.show.table import sound_cells
from jobs.show.words import BY_NUMBERS, ids_text, judged_text, verdict_text

if TYPE_CHECKING:
    from dedup.groups.matches import ListedTrack, Matches
    from dedup.plan.nouns import Action, Plan, PlannedFile, PlannedGroup, PlannedPlaylist
    from dedup.tags.merge import Merge

MARKS: dict[Action, tuple[str, Role]] = {
    "keep": ("keep", "good"),
    "leave": ("stay", "quiet"),
    "quarantine": ("go", "go"),
    "trash": ("go", "go"),
    "delete": ("go", "go"),
    "hardlink": ("link", "link"),
    "reflink": ("link", "link"),
}
"""Mark of a file, and its colour, by what the plan does to it."""

SHOWN_LEFT = 40
"""Most files that stay and are listed at the end."""

SHOWN_VALUES = 3
"""Most values of a tag field that are shown."""


def plan_lines(
    plan: Plan, limit: int | None = None, look: Look = PLAIN, matches: Matches | None = None
) -> Iterator[list[str]]:
    """Yields blocks of lines: each group, what stays and why, the playlists. `matches`: what the tracks of the plan are
    to each other."""
    folder = common_folder(file.path for group in plan.groups for file in group.files)
    if plan.groups:
        yield look.wrapped(f"Paths are below {path_text(folder)}", hanging=2)
    for group in plan.groups[:limit]:
        yield list(planned_group_lines(group, folder, look, matches))
    if limit is not None and limit < len(plan.groups):
        yield [f"{limit:,} of {count_text(len(plan.groups), 'group')} are shown"]
    for block in (_left_lines(plan, folder), *_playlist_blocks(plan)):
        lines = [line for text in block for line in look.wrapped(text, hanging=4)]
        if lines:
            yield lines


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


def planned_group_lines(
    group: PlannedGroup, folder: bytes, look: Look, matches: Matches | None = None, numbered: bool = False
) -> Iterator[str]:
    """Yields the lines of a group: its files, and what the kept one gets."""
    kept = matches.track_at(group.files[0].path) if matches is not None else None
    entries = [
        _entry(file, folder, matches, kept, str(number) if numbered else "")
        for number, file in enumerate(group.files, start=1)
    ]
    heading = f"{size_text(group.n_bytes)} reclaimable, {count_text(len(group.files), 'file')}"
    yield look.styled(heading, "bold")
    yield from entry_lines(entries, look)
    told = list(merge_lines(group.merge, folder)) if group.merge is not None else []
    told += [*_sidecar_lines(group, folder), *([one_line(group.note)] if group.note else [])]
    yield from indented(told, look)


def _entry(file: PlannedFile, folder: bytes, matches: Matches | None, kept: ListedTrack | None, number: str) -> Entry:
    track = matches.track_at(file.path) if matches is not None else None
    sound = sound_cells(track) if track is not None else ("",) * 5
    verdict = file.verdict
    if verdict and matches is not None and track is not None and kept is not None:
        verdict = _verdict_with_kept(file.verdict, track, kept, matches)
    cells = (
        *sound[:5],
        size_text(file.size),
        file.action if file.action not in ("keep", "leave") else "",
        verdict,
        "" if file.score is None else f"score {file.score:.3f}",
        ids_text(track, kept) if verdict and track is not None and kept is not None else "",
        _heard_text(file.null_test),
    )
    mark, role = MARKS[file.action]
    why = ": ".join(filter(None, (file.rule, one_line(file.why))))
    heard = one_line(matches.listeners.words(file.path)) if matches is not None else ""
    notes = [text for text in (why, _lost_text(file), "" if heard in why else heard) if text]
    return Entry(path_text(file.path.removeprefix(folder)), cells, mark, role, notes, number)


def _verdict_with_kept(verdict: str, track: ListedTrack, kept: ListedTrack, matches: Matches) -> str:
    """The verdict on a file and the kept one, as a report has it. Only some need the numbers of the pair."""
    if verdict not in BY_NUMBERS:
        return judged_text(verdict, matches.judgements.of(track, kept) is not None)
    pair = next(matches.of(kept, {track.fingerprint: [track]}), None)
    return verdict if pair is None else verdict_text(pair.swapped())


def _lost_text(file: PlannedFile) -> str:
    """What is lost with a file that goes, as far as its reason does not say so; empty if nothing."""
    lost = [one_line(loss.what) for loss in file.lost if loss.what not in file.why]
    return f"lost with it: {'; '.join(lost)}" if lost and file.action not in ("keep", "leave") else ""


def _heard_text(told: str) -> str:
    """What a null test showed, as a report has it; empty if there is none."""
    return told and ("null test " if told.startswith("passed") else "null test: ") + told


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
    n_groups = sum(bool(group.changed) for group in plan.groups)
    text = f"{count_text(numbers['files'], 'file')} of {count_text(n_groups, 'group')} would change"
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
