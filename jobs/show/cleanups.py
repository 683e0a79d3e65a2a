"""What a clean-up or an undo did: as text for people, and as records for programs."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jobs.session.lines import hanging_rows
from jobs.session.output import Output, count_text, local_time, path_text, size_text

if TYPE_CHECKING:
    from dedup.cleanup.apply import Applied
    from dedup.cleanup.checks import Refusal
    from dedup.cleanup.history import Summary
    from dedup.cleanup.undo import Undone
    from jobs.session.lines import Look


_BY = {"gate": ", by the gate", "organize": ", organize"}
"""Who did a clean-up, in words."""


def show_applied(output: Output, applied: Applied, dry_run: bool) -> None:
    """Shows each refusal, and what was done."""
    show_refusals(output, "refused", applied.refused)
    output.result({"event": "apply", "dry_run": dry_run, **applied_record(applied)})
    actions = ", ".join(f"{count:,} {action}" for action, count in sorted(applied.done.items()))
    verb = "would be done" if dry_run else "done"
    text = f"{verb}: {count_text(applied.n_files, 'file')}" + (f" ({actions})" if actions else "")
    text += f", {size_text(applied.n_bytes)}; {applied.n_merged:,} merged, {applied.n_playlists:,} playlists rewritten"
    text += f"; {applied.n_carried:,} carried over on media servers" if applied.n_carried else ""
    output.note(text + (f"; {len(applied.refused):,} refused" if applied.refused else ""))
    for number, n_files in sorted(applied.before.items()):
        output.note(f"already done by clean-up {number}: {count_text(n_files, 'file')}")
    if applied.n_edited:
        output.note(edited_text(applied.n_edited))
    if applied.is_header_edited:
        output.note("the plan's settings are not as `reprise plan` wrote them")
    n_deleted = applied.done.get("delete", 0)
    if dry_run or applied.n_files <= n_deleted:
        return
    for folder in applied.quarantines:
        output.note(f"the files are in {path_text(folder)}")
    if applied.quarantines:
        output.note("nothing is freed until you empty the quarantine: `reprise quarantine --empty`")
    output.note("`reprise undo` takes it back" + (", except what was deleted for good" if n_deleted else ""))


def applied_record(applied: Applied) -> dict[str, Any]:
    """What a clean-up did, as a record for programs."""
    return {
        "done": dict(applied.done),
        "bytes": applied.n_bytes,
        "merged": applied.n_merged,
        "playlists": applied.n_playlists,
        "folders_removed": applied.n_folders,
        "carried": applied.n_carried,
        "refused": len(applied.refused),
        "done_before": {str(number): n_files for number, n_files in sorted(applied.before.items())},
        "left": applied.left,
        "edited": applied.n_edited,
        "settings_edited": applied.is_header_edited,
        "quarantines": [os.fsdecode(folder) for folder in applied.quarantines],
    }


def edited_text(n_edited: int) -> str:
    """How many entries of a plan are not the store's own."""
    if n_edited == 1:
        return "1 entry is not as `reprise plan` wrote it"
    return f"{n_edited:,} entries are not as `reprise plan` wrote them"


def show_undone(output: Output, undone: Undone) -> None:
    """Shows what could not be put back, and what was put back."""
    show_refusals(output, "failed", undone.failed)
    output.result({"event": "undo", **undone_record(undone)})
    text = f"clean-up {undone.number}: {count_text(undone.n_files, 'file')} put back"
    text += f", {undone.n_rewritten:,} restored to their old content"
    text += f", {count_text(undone.n_folders, 'folder')} made again"
    output.note(text + (f"; {len(undone.failed):,} failed" if undone.failed else ""))


def undone_record(undone: Undone) -> dict[str, Any]:
    """What an undo did, as a record for programs."""
    return {
        "number": undone.number,
        "files": undone.n_files,
        "rewritten": undone.n_rewritten,
        "folders": undone.n_folders,
        "failed": len(undone.failed),
        "left": undone.left,
    }


def show_refusals(output: Output, event: str, refusals: Iterable[Refusal]) -> None:
    """Shows what was not done, each with its reason."""
    from dedup.files.paths import json_path

    for refusal in refusals:
        output.result({"event": event, **json_path(refusal.path), "reason": refusal.reason})
        if not output.as_json:
            output.text(f"{event}: {path_text(refusal.path)}: {refusal.reason}")


def summary_record(summary: Summary) -> dict[str, Any]:
    """A clean-up in the list of clean-ups, as a record for programs."""
    return {
        "number": summary.number,
        "began": summary.began,
        "state": summary.state,
        "gate": summary.by == "gate",
        "organize": summary.by == "organize",
        "files": summary.n_files,
        "bytes": summary.n_bytes,
        "rewritten": summary.n_rewritten,
        "moved": summary.n_moved,
        "did": summary.did._asdict(),
        "emptied": summary.n_emptied,
    }


def history_lines(summaries: Sequence[Summary], look: Look) -> Iterator[str]:
    """A line for each clean-up, more where the terminal is narrow: what it did, and what is left of that."""
    rows = [
        (
            f"clean-up {each.number}",
            local_time(each.began),
            each.state + _BY.get(each.by, ""),
            count_text(each.did.files, "file") if each.did.files else "",
            size_text(each.did.bytes) if each.did.files else "",
            f"{each.did.moved:,} moved" if each.did.moved else "",
            f"{each.did.rewritten:,} rewritten" if each.did.rewritten else "",
            _left_text(each),
        )
        for each in summaries
    ]
    return hanging_rows(rows, look)


def _left_text(summary: Summary) -> str:
    """What became of the files since; empty if nothing."""
    emptied = f"{summary.n_emptied:,} removed for good" if summary.n_emptied else ""
    back = summary.did.files - summary.n_files + summary.did.moved - summary.n_moved
    return ", ".join(filter(None, (f"{back:,} put back" if back else "", emptied)))
