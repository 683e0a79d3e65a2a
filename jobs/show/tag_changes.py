"""What becomes of the tags of files that are identified, for people and for programs."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dedup.files.paths import json_path
from dedup.lookup.candidates import unit_of
from dedup.lookup.tag_fields import IDS
from dedup.tags.values import PAIRS
from jobs.session.lines import Look, shortened
from jobs.session.output import count_text, one_line, path_text

if TYPE_CHECKING:
    from dedup.cleanup.names import Compared

SHOWN = 60
"""Most characters of a value that are shown."""

Change = tuple[str, tuple[str, ...], tuple[str, ...]]
"""A field, its values now, and those that were found."""


def compared_record(each: Compared) -> dict[str, Any]:
    """One file as a JSON object; fields by their common names, with all their values."""
    return {
        **json_path(each.path),
        "fields": each.changes.fields if each.tagging is not None else {},
        "before": dict(each.before),
        "kept": each.changes.kept,
        "doubts": each.changes.doubts,
        "links": each.n_links,
        **({"problem": each.problem} if each.problem else {}),
    }


def compared_lines(files: Sequence[Compared], look: Look) -> Iterator[str]:
    """Lines for people: each folder, what all its files get, then each file. `+` gets tags, `=` keeps other values, `?`
    has another identifier, `!` cannot be written."""
    for unit, of_unit in itertools.groupby(files, key=lambda each: unit_of(each.path)):
        yield from look.wrapped(look.styled(path_text(unit), "bold"))
        yield from _unit_lines(list(of_unit), unit, look)


def _unit_lines(files: Sequence[Compared], unit: bytes, look: Look) -> Iterator[str]:
    written = [each for each in files if each.tagging is not None]
    shared = _shared([_changes(each, each.changes.fields) for each in written])
    kept = _shared([_changes(each, each.changes.kept) for each in files if each.changes.kept])
    doubts = _shared([_changes(each, each.changes.doubts) for each in files if each.changes.doubts])
    n_ids = [len(_new_ids(each)) for each in written]
    has_ids = len(written) > 1 and min(n_ids) > 0
    told = _changes_texts(shared) + ([_identifiers(min(n_ids), max(n_ids))] if has_ids else [])
    if told:
        yield from look.wrapped(f"  + all {len(written):,}: {'; '.join(told)}", hanging=6)
    if kept:
        n_kept = sum(bool(each.changes.kept) for each in files)
        yield from look.wrapped(f"  = {n_kept:,} files: {_kept_text(kept)}", hanging=6)
    for change in doubts:
        n_doubtful = sum(bool(each.changes.doubts) for each in files)
        yield from look.wrapped(f"  ? {n_doubtful:,} files: {_doubt_text(change)}", hanging=6)
    for each in files:
        name = path_text(each.path.removeprefix(unit).lstrip(b"/"))
        for at, (mark, text) in enumerate(_parts(each, shared, (*kept, *doubts), has_ids)):
            yield from look.wrapped(f"  {mark} {name}: {text}" if at == 0 else f"    {mark} {text}", hanging=6)


def _parts(
    each: Compared, shared: Sequence[Change], told: Sequence[Change], has_ids: bool
) -> Iterator[tuple[str, str]]:
    """What is said of one file, each with its mark, beside what is `shared` by all that are written and what was
    `told` of several; new identifiers only if not all have some."""
    if each.problem:
        yield "!", one_line(each.problem)
        return
    texts = _changes_texts([change for change in _changes(each, each.changes.fields) if change not in shared])
    new, n_replaced = len(_new_ids(each)), len(_replaced_ids(each))
    texts += [_identifiers(new, new)] if new and not has_ids else []
    texts += [f"{count_text(n_replaced, 'identifier')} replaced"] if n_replaced else []
    if texts:
        yield "+", "; ".join(texts)
    own = [change for change in _changes(each, each.changes.kept) if change not in told]
    if own:
        yield "=", _kept_text(own)
    for change in _changes(each, each.changes.doubts):
        if change not in told:
            yield "?", f"its {_doubt_text(change)}"


def _changes(each: Compared, fields: Mapping[str, tuple[str, ...]]) -> list[Change]:
    return [(name, tuple(each.before.get(name, ())), values) for name, values in fields.items()]


def _shared(of_files: Sequence[Sequence[Change]]) -> list[Change]:
    """What several files have in common; nothing of a single one."""
    if len(of_files) < 2:
        return []
    return [change for change in of_files[0] if all(change in changes for changes in of_files)]


def _new_ids(each: Compared) -> list[str]:
    return [name for name in each.changes.fields if name in IDS and name not in each.before]


def _replaced_ids(each: Compared) -> list[str]:
    return [name for name in each.changes.fields if name in IDS and name in each.before]


def _identifiers(least: int, most: int) -> str:
    """How many there are; nobody reads them."""
    return count_text(most, "identifier") if least == most else f"{least} to {most} identifiers"


def _changes_texts(changes: Sequence[Change]) -> list[str]:
    """The fields with their values, without identifiers; a number and of how many as one, if both are new."""
    new = {name: values for name, old, values in changes if not old}
    texts = []
    for name, old, values in changes:
        number = next((number for number, total in PAIRS.items() if total == name and number in new), None)
        if name in IDS or (number is not None and not old):
            continue
        total = "".join(f"/{text}" for text in new.get(PAIRS.get(name, ""), ())) if not old else ""
        value = _text(values) + total
        texts.append(f"{name.upper()} {_text(old)} → {value}" if old else f"{name.upper()} {value}")
    return texts


def _kept_text(changes: Sequence[Change]) -> str:
    return "stays " + "; ".join(f"{name.upper()} {_text(old)} (found: {_text(new)})" for name, old, new in changes)


def _doubt_text(change: Change) -> str:
    name, old, new = change
    return f"{name.upper()} is {_text(old)}, and {_text(new)} was found"


def _text(values: Sequence[str]) -> str:
    return shortened(one_line("; ".join(values)), SHOWN)


def names_summary(files: Sequence[Compared]) -> str:
    """One line: how many files get tags, and what else was found."""
    told = [
        (sum(each.tagging is not None for each in files), "{} to be tagged"),
        (sum(bool(each.changes.doubts) for each in files), "{} with another identifier than was found"),
        (sum(bool(each.changes.kept) for each in files), "{} with other values, which stay"),
        (sum(bool(each.problem) for each in files), "{} that cannot be written"),
        (
            sum(each.tagging is not None and each.n_links > 1 for each in files),
            "{} with another hard link, which stays as it is",
        ),
    ]
    return ", ".join(text.format(count_text(n, "file")) for n, text in told if n)
