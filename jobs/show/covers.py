"""Pictures for covers: as text for people, and as records for programs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from jobs.session.output import Output, count_text, one_line, path_text, size_text
from jobs.show.cleanups import show_refusals

if TYPE_CHECKING:
    from dedup.cleanup.checks import Refusal
    from dedup.cleanup.tagging import Tagged
    from dedup.covers.make import Made
    from dedup.covers.sources import Candidate


def show_cover(output: Output, path: bytes, made: Made) -> None:
    """Shows the cover that a file gets, and the one that it has."""
    from dedup.covers.sources import front_of
    from dedup.files.paths import json_path

    now = front_of(path)
    before = None if now is None else {"width": now.width, "height": now.height, "bytes": len(now.data)}
    output.result({"event": "cover", **json_path(path), **made_record(made), "before": before})
    if output.as_json:
        return
    output.text(path_text(path))
    has = "none" if now is None else f"{_pixels(now.width, now.height)}, {size_text(len(now.data))}"
    output.text(f"  now   {has}")
    for label, line in zip(("new ", "from"), made_lines(made), strict=False):
        output.text(f"  {label}  {line}")


def made_record(made: Made) -> dict[str, Any]:
    """A cover as a record for programs."""
    return {
        "width": made.width,
        "height": made.height,
        "bytes": len(made.jpeg),
        "source": {"format": made.format, "width": made.whole[0], "height": made.whole[1], "box": list(made.box)},
    }


def made_lines(made: Made) -> list[str]:
    """A cover in words, and the picture that it was made of if that is another."""
    lines = [f"{_pixels(made.width, made.height)}, {size_text(len(made.jpeg))}"]
    cut = made.box.width, made.box.height
    if (made.width, made.height) != made.whole or made.format != "JPEG":
        part = f", cut to {_pixels(*cut)} at {made.box.left}, {made.box.top}" if cut != made.whole else ""
        lines.append(f"{made.format} {_pixels(*made.whole)}{part}")
    return lines


def show_candidates(output: Output, path: bytes, found: Sequence[Candidate]) -> None:
    """Shows the pictures for a file, under the file that holds them."""
    if not output.as_json:
        output.text(path_text(path))
    if not found:
        output.note("  no picture in its tags, in its copies or in its folder")
    for line in _candidate_lines(output, path, found):
        output.text(line)


_HOLDERS = {"own": "its own tags", "folder": "its folder"}


def _candidate_lines(output: Output, path: bytes, found: Sequence[Candidate]) -> Iterator[str]:
    from dedup.files.paths import json_path

    heading = ""
    for each in found:
        picture = {"origin": each.origin, "what": each.what, "format": each.format, "digest": each.digest}
        size = {"width": each.width, "height": each.height, "bytes": each.n_bytes}
        output.result({"event": "candidate", "for": json_path(path), **json_path(each.path), **picture, **size})
        if output.as_json:
            continue
        holder = f"copy {path_text(each.path)}" if each.origin == "copy" else _HOLDERS[each.origin]
        if heading != holder:
            heading = holder
            yield f"  {heading}"
        size_of = f"{_pixels(each.width, each.height)}, {size_text(each.n_bytes)}"
        yield f"    {each.format:4}  {size_of:24}  {one_line(each.what)}"


def show_written(output: Output, tagged: Tagged, refusals: Sequence[Refusal]) -> None:
    """Shows each refusal, and how many files were written."""
    show_refusals(output, "refused", (*refusals, *tagged.refused))
    n_refused = len(refusals) + len(tagged.refused)
    output.result({"event": "covers", "files": tagged.n_files, "refused": n_refused, "cleanup": tagged.number})
    way_back = "; `reprise undo` takes them back" if tagged.n_files else ""
    output.note(f"{count_text(tagged.n_files, 'cover')} written{way_back}")


def _pixels(width: int, height: int) -> str:
    return f"{width} x {height}" if width and height else "unknown size"
