"""What a back-up does, for people and for programs."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dedup.files.paths import json_path
from jobs.session.output import Output, count_text, one_line, path_text, size_text

if TYPE_CHECKING:
    from dedup.backup.backup import Result, Wanted
    from dedup.backup.take import Taken

_WIDTH = 6


def show_taken(output: Output, taken: Taken) -> None:
    """One file. What was taken before is only counted, except with --json."""
    record: dict[str, Any] = {"event": "file", "outcome": taken.outcome, "id": taken.item.id, "name": taken.item.shown}
    record |= json_path(taken.path) if taken.path else {}
    output.result({**record, "note": taken.note or None})
    if output.as_json or taken.outcome == "known":
        return
    note = f": {one_line(taken.note)}" if taken.note else ""
    if taken.outcome == "failed":
        output.text(f"{'failed':{_WIDTH}}  {one_line(taken.item.shown)}{note}")
    elif taken.outcome == "here":
        output.text(f"{'here':{_WIDTH}}  {one_line(taken.item.shown)} is {path_text(taken.path)}{note}")
    else:
        output.text(f"{'new':{_WIDTH}}  {path_text(taken.path)}{note}")


def summary_record(result: Result) -> dict[str, Any]:
    """Counts of files and playlists."""
    counts: dict[str, Any] = {str(outcome): n for outcome, n in result.counts.items()}
    counts["unlisted"] = result.n_unlisted
    return counts | {"left": result.n_left, "playlists": result.n_playlists, "finished": result.n_finished}


def summary_text(result: Result) -> str:
    """What was done, in one line, and what was not."""
    counts = result.counts
    if not any(counts.values()) and not result.n_left and not result.n_unlisted:
        return "no audio file is there"
    parts = [f"{count_text(counts['new'], 'new file')}", f"{counts['known'] + counts['here']:,} already here"]
    here = [(counts["known"], "by an earlier run"), (counts["here"], "by sound")]
    parts[1] += f" ({', '.join(f'{n:,} {how}' for n, how in here if n)})" if counts["known"] or counts["here"] else ""
    if result.n_finished:
        parts.append(f"{result.n_finished:,} that an earlier run had begun")
    if counts["failed"]:
        parts.append(f"{counts['failed']:,} failed")
    if result.n_unlisted:
        parts.append(f"{result.n_unlisted:,} that cannot be looked at")
    if result.n_left:
        parts.append(f"{result.n_left:,} left")
    if result.n_playlists:
        parts.append(count_text(result.n_playlists, "playlist"))
    return ", ".join(parts)


def show_wanted(output: Output, wanted: Wanted, limit: int | None) -> None:
    """What would be fetched."""
    some = wanted.items if limit is None else wanted.items[:limit]
    for item in some:
        output.result({"event": "wanted", "id": item.id, "name": item.shown, "bytes": item.size})
        if not output.as_json:
            output.text(one_line(item.shown))
    size = sum(item.size or 0 for item in some)
    output.result({"event": "summary", "wanted": len(some), "bytes": size, "known": wanted.n_known})
    already = f"{wanted.n_known:,} already here by an earlier run"
    output.note(f"{count_text(len(some), 'file')} of {size_text(size)} would be fetched; {already}")
