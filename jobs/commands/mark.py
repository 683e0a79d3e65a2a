"""`reprise mark`: records for good what a person says about two files, or lists all such judgements."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dedup.errors import UsageError
from jobs.session import options, stores
from jobs.session.helping import Command
from jobs.session.output import Output, count_text, local_time, path_text
from jobs.session.run import Run, reader

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedup.groups.mark import Held, Marked

FILE = click.Path(path_type=bytes)
GONE = "(not in the library now)"


@click.command("mark", cls=Command)
@click.argument("a", required=False, type=FILE)
@click.argument("b", required=False, type=FILE)
@click.option("--same", is_flag=True, help="They are one recording, whatever their score.")
@click.option("--different", is_flag=True, help="They are two recordings, whatever their score.")
@click.option("--forget", is_flag=True, help="Take back your judgement of them.")
@click.option("--list", "listing", is_flag=True, help="List all judgements.")
@options.common
@reader
def mark(run: Run, a: bytes | None, b: bytes | None, same: bool, different: bool, forget: bool, listing: bool) -> None:
    """Record for good that two files are the same recording, or that they are not.

    Your judgement overrides any score. It applies to what the files hold: you can move, rename and retag them."""
    if same + different + forget + listing != 1:
        found, remedy = "not exactly one option is given", "Give one of --same, --different, --forget or --list"
        raise UsageError("mark", found, remedy=remedy)
    from dedup.groups.mark import all_judgements, forget_files, judge_files

    if listing:
        if a is not None:
            raise UsageError("mark --list", "files are given", remedy="Leave them out")
        with stores.for_reading(run) as store:
            held = all_judgements(store=store)
        show_judgements(run.output, held)
        return
    if a is None or b is None:
        raise UsageError("mark", "fewer than two files are given", remedy="Name A and B")
    with stores.for_judging(run) as store:
        marked = forget_files(store=store, a=a, b=b) if forget else judge_files(store=store, a=a, b=b, same=same)
    show_marked(run.output, marked)


def show_marked(output: Output, marked: Marked) -> None:
    """Shows the judgement of the two files now, and the one before."""
    from dedup.files.paths import named_path

    paths = {**named_path("a", marked.a.path), **named_path("b", marked.b.path)}
    numbers = {
        "said": None if marked.same is None else _word(marked.same),
        "score": _rounded(marked.score),
        "before": _word(marked.before.same) if marked.before else None,
    }
    output.result({"event": "mark", **paths, **numbers})
    output.note(_marked_text(marked))
    if marked.waits:
        output.note("saved beside the store, which another run holds; it counts from now on")


def _marked_text(marked: Marked) -> str:
    both, before = f"{path_text(marked.a.path)} and {path_text(marked.b.path)}", marked.before
    told = f"; {_word(before.same)} before, said {local_time(before.judged)}" if before else ""
    if marked.same is None:
        return f"forgotten: {both}{told}" if before else f"no judgement to take back: {both}"
    score = "" if marked.score is None else f" (score {marked.score:.3f})"
    return f"{_word(marked.same)}: {both}{score}{told if before and before.same != marked.same else ''}"


def show_judgements(output: Output, held: Sequence[Held]) -> None:
    """Shows all judgements, with the files that each applies to now."""
    for one in held:
        output.result(_record(one))
        if not output.as_json:
            output.text("\n".join(_lines(one)) + "\n")
    output.note(count_text(len(held), "judgement"))


def _record(held: Held) -> dict[str, Any]:
    from dedup.files.paths import json_path

    judgement = held.judgement
    return {
        "event": "judgement",
        "said": _word(judgement.same),
        "score": _rounded(judgement.score),
        "judged": judgement.judged,
        "a": [json_path(path) for path in held.a],
        "b": [json_path(path) for path in held.b],
        "content_a": judgement.content_a.hex(),
        "content_b": judgement.content_b.hex(),
    }


def _lines(held: Held) -> list[str]:
    judgement = held.judgement
    score = "" if judgement.score is None else f", score {judgement.score:.3f}"
    lines = [f"{_word(judgement.same)}{score}, said {local_time(judgement.judged)}"]
    for name, paths in (("a", held.a), ("b", held.b)):
        first, *copies = map(path_text, paths) if paths else [GONE]
        lines += [f"  {name}  {first}", *(f"     {copy}" for copy in copies)]
    return lines


def _word(same: bool) -> str:
    return "same" if same else "different"


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 6)
