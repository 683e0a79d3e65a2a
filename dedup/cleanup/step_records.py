"""Steps as the journal keeps them, and back (JOURNAL.md)."""

from __future__ import annotations

import os
from dataclasses import fields
from pathlib import Path
from typing import Any

from dedup.cleanup.carry import Carry
from dedup.cleanup.file_status import Status
from dedup.cleanup.rename import Rename
from dedup.cleanup.repoint import Repoint
from dedup.cleanup.steps import Delete, FolderTime, MakeFolder, Move, RemoveFolder, Rewrite, Share, Step, Trash

KINDS: dict[str, type[Step]] = {
    step.kind: step
    for step in (FolderTime, MakeFolder, Move, Trash, Delete, Share, Rewrite, RemoveFolder, Carry, Rename, Repoint)
}


_LEFT_OUT = ("real", "origin", "root")
"""Fields that a record has only if they say something."""


def to_record(step: Step) -> dict[str, Any]:
    """The step in JSON types; `step_of` is the inverse. Bytes of a path that are not UTF-8 become lone surrogates."""
    record: dict[str, Any] = {"kind": step.kind}
    for each in fields(step):  # type: ignore[arg-type]
        value = getattr(step, each.name)
        if each.name == "full":
            record["full"] = value.hex()
        elif each.name == "status":
            record["status"] = None if value is None else vars(value)
        elif each.name == "place":
            record["place"] = value.name
        elif each.name not in ("build", "link", "made", "now") and (value or each.name not in _LEFT_OUT):
            record[each.name] = os.fsdecode(value) if isinstance(value, bytes) else value
    return record


def step_of(record: dict[str, Any], folder: Path) -> Step:
    """The step of a record that `to_record` made; `folder` holds the originals. Raises KeyError, TypeError or
    ValueError for anything else."""
    values = {name: value for name, value in record.items() if name != "kind"}
    for name in values.keys() & {"path", "target", "kept", "real", "origin", "root"}:
        values[name] = os.fsencode(values[name])
    if "full" in values:
        values["full"] = bytes.fromhex(values["full"])
    if values.get("status") is not None:
        values["status"] = Status(**values["status"])
    if "place" in values:
        values["place"] = folder / Path(values["place"]).name
    return KINDS[record["kind"]](**values)


def outcome_of(step: Step) -> dict[str, Any]:
    """What is known of a step only once it is done, in JSON types: the shares that it made on a media server,
    or what one had of a file before its move was taken back."""
    if isinstance(step, Repoint) and step.now:
        return {"now": step.now}
    return {"shares": list(step.made)} if isinstance(step, Carry) and step.made else {}


def take_outcome(step: Step, record: dict[str, Any]) -> None:
    """Gives a step what `outcome_of` wrote into a record."""
    if isinstance(step, Carry) and "shares" in record:
        step.made[:] = map(str, record["shares"])
    if isinstance(step, Repoint) and "now" in record:
        step.now.update(record["now"])
