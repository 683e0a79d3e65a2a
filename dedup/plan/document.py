"""A plan as a JSON document, and back: PLAN.md says what is in it. A document may come from an editor or a script, so
all that is wrong with it is told at once, and nothing but PlanError is raised. The files it names are not looked at."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

from dedup.errors import InputError, PlanError
from dedup.files.paths import json_path, printable
from dedup.plan.nouns import Plan, PlannedFile, PlannedGroup
from dedup.plan.validate import FORMAT, VERSION, parse_plan
from dedup.tags.merge import Conflict, Merge


def to_json(plan: Plan) -> dict[str, Any]:
    """Only what JSON has; `from_bytes` reads it. The totals are for reading."""
    return {
        "format": FORMAT,
        "version": VERSION,
        "made": plan.made,
        "store": plan.store.encode("utf-8", "backslashreplace").decode(),
        "rules": list(plan.rules),
        "identity": plan.identity,
        "match": asdict(plan.match),
        "protect": [json_path(folder) for folder in plan.protect],
        **(_named("to", plan.to) if plan.to is not None else {"to": None}),
        "remove_empty_folders": plan.remove_empty_folders,
        "totals": totals(plan),
        "groups": [_group(group) for group in plan.groups],
        "playlists": [{**json_path(list_.path), "n_references": list_.n_references} for list_ in plan.playlists],
    }


def to_bytes(plan: Plan, indent: int | None = 1) -> bytes:
    """The document as it stands in a file, UTF-8; on one line with `indent` None."""
    return _text(to_json(plan), indent).encode("utf-8", "backslashreplace") + b"\n"


class Documents:
    """Plans as documents, one after the other, each as `to_bytes` gives it. Of the groups that the one before had too
    nothing is encoded again: of 20,000 groups that takes a fifteenth of the time."""

    def __init__(self) -> None:
        self._known: dict[int, tuple[PlannedGroup, str]] = {}
        """Each group with its text, by its `id`."""

    def to_bytes(self, plan: Plan) -> bytes:
        """The document, UTF-8."""
        self._known = {id(group): self._known.get(id(group)) or (group, _group_text(group)) for group in plan.groups}
        empty = _text({**to_json(replace(plan, groups=())), "totals": totals(plan)})
        if plan.groups:
            texts = ",\n  ".join(self._known[id(group)][1] for group in plan.groups)
            empty = empty.replace('\n "groups": []', f'\n "groups": [\n  {texts}\n ]', 1)
        return empty.encode("utf-8", "backslashreplace") + b"\n"


def totals(plan: Plan) -> dict[str, int]:
    """How many groups, how many files that do not stay as they are, their bytes, and the playlists to be rewritten."""
    return {
        "groups": len(plan.groups),
        "files": plan.n_files,
        "bytes": plan.n_bytes,
        "merges": sum(bool(group.merge) for group in plan.groups),
        "playlists": len(plan.playlists),
    }


def from_bytes(data: bytes, where: str) -> Plan:
    """The plan of a document; `where` names it. Raises PlanError with all that is wrong."""
    problems: list[str] = []
    document = _parsed(data, problems)
    plan = None if problems else parse_plan(document, problems)
    if plan is None or problems:
        raise PlanError(where, problems)
    return plan


def read_plan(path: bytes) -> Plan:
    """The plan that is in a file. Raises InputError where it cannot be read, PlanError as `from_bytes` does."""
    try:
        data = Path(path.decode("utf-8", "surrogateescape")).read_bytes()
    except (OSError, ValueError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise InputError(printable(path), reason, "a plan, as `reprise plan -o FILE` writes it") from error
    return from_bytes(data, printable(path))


def is_plan(data: bytes) -> bool:
    """Whether it is meant to be a plan, sound or not."""
    document = _parsed(data, [])
    return isinstance(document, dict) and document.get("format") == FORMAT


# ---- writing ----


def _text(value: Any, indent: int | None = 1) -> str:
    return json.dumps(value, ensure_ascii=False, allow_nan=False, indent=indent)


def _group_text(group: PlannedGroup) -> str:
    """As it stands in the list of a document: a line break is never in a text of JSON, but between its parts."""
    return _text(_group(group)).replace("\n", "\n  ")


def _named(name: str, path: bytes) -> dict[str, str]:
    return {key.replace("path", name, 1): text for key, text in json_path(path).items()}


def _group(group: PlannedGroup) -> dict[str, Any]:
    return {
        "note": group.note,
        "files": [_file(file) for file in group.files],
        "merge": _merge(group.merge) if group.merge is not None else None,
    }


def _file(file: PlannedFile) -> dict[str, Any]:
    return {
        **json_path(file.path),
        "action": file.action,
        "rule": file.rule,
        "why": file.why,
        "verdict": file.verdict,
        "score": file.score,
        "size": file.size,
        "mtime_ns": str(file.mtime_ns),  # as text: many programs round a number of that size
        "content": file.content.hex(),
    }


def _merge(merge: Merge) -> dict[str, Any]:
    return {
        **_named("into", merge.into),
        "fields": {name: list(values) for name, values in merge.fields.items()},
        **(_named("cover_from", merge.cover_from) if merge.cover_from is not None else {"cover_from": None}),
        "conflicts": [_conflict(conflict) for conflict in merge.conflicts],
    }


def _conflict(conflict: Conflict) -> dict[str, Any]:
    return {
        "name": conflict.name,
        "kept": list(conflict.kept),
        "other": list(conflict.other),
        **json_path(conflict.path),
    }


# ---- reading ----


def _parsed(data: bytes, problems: list[str]) -> Any:
    """The JSON value; None, and a problem, where it is none."""
    try:
        return json.loads(data, parse_constant=_refuse, object_pairs_hook=_unique)
    except RecursionError:
        problems.append("is no plan: brackets are nested too deep")
    except (ValueError, MemoryError) as error:
        problems.append(f"is no JSON: {error}")
    return None


def _refuse(name: str) -> Any:
    raise ValueError(f"there is no number {name}")


def _unique(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """An object in which no key stands twice: which of the two was meant?"""
    found = dict(pairs)
    if len(found) < len(pairs):
        ((twice, _),) = Counter(name for name, _ in pairs).most_common(1)
        raise ValueError(f"{twice!r} stands twice in one object")
    return found
