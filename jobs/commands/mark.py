"""`reprise mark`: what a person says of two files, for good; and the list of all that was said."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import click

from dedup.errors import UsageError
from jobs.session import options, stores
from jobs.session.output import count_text, path_text
from jobs.session.run import Run, reader

if TYPE_CHECKING:
    from dedup.groups.judgements import Known
    from dedup.store.judgements import Judgement

FILE = click.Path(path_type=bytes)
GONE = "(not in the library now)"


@click.command("mark")
@click.argument("a", required=False, type=FILE)
@click.argument("b", required=False, type=FILE)
@click.option("--same", is_flag=True, help="They are one recording, whatever their score.")
@click.option("--different", is_flag=True, help="They are two recordings, whatever their score.")
@click.option("--forget", is_flag=True, help="Take back what was said of them.")
@click.option("--list", "listing", is_flag=True, help="List all that was said.")
@options.common
@reader
def mark(run: Run, a: bytes | None, b: bytes | None, same: bool, different: bool, forget: bool, listing: bool) -> None:
    """Say for good that two files are the same recording, or that they are not.

    It wins over any score. It goes by what the files hold: they may be moved, renamed and tagged anew."""
    if same + different + forget + listing != 1:
        raise UsageError("mark", "not one of its four options", "--same, --different, --forget or --list")
    if listing:
        if a is not None:
            raise UsageError("mark --list", "files are given", "none")
        show_judgements(run)
    elif a is None or b is None:
        raise UsageError("mark", "fewer than two files", "A and B")
    elif forget:
        forget_pair(run, a, b)
    else:
        judge_pair(run, a, b, same)


def judge_pair(run: Run, a: bytes, b: bytes, same: bool) -> None:
    """Keeps that two files are the same, or are not."""
    from dedup.groups.judgements import find, record, score_of

    with stores.for_writing(run) as store:
        one, other = find(store, a), find(store, b)
        score = score_of(store, one, other)
        before = record(store, one.content, other.content, same, score, where=_both(one, other))
    changed = f"; {_word(before.same)} before, said {before.judged}" if before and before.same != same else ""
    told = "" if score is None else f" (score {score:.3f})"
    _tell(run, one, other, _word(same), score, before, f"{_word(same)}: {_both(one, other)}{told}{changed}")


def forget_pair(run: Run, a: bytes, b: bytes) -> None:
    """Takes back what was said of two files."""
    from dedup.groups.judgements import find, forget

    with stores.for_writing(run) as store:
        one, other = find(store, a), find(store, b)
        before = forget(store, one.content, other.content)
    if before:
        text = f"forgotten: {_both(one, other)}; {_word(before.same)} before, said {before.judged}"
    else:
        text = f"nothing was said of {_both(one, other)}"
    _tell(run, one, other, None, None, before, text)


def _tell(
    run: Run, a: Known, b: Known, said: str | None, score: float | None, before: Judgement | None, text: str
) -> None:
    from dedup.report.export import named_path

    paths = {**named_path("a", a.path), **named_path("b", b.path)}
    numbers = {"said": said, "score": _rounded(score), "before": _word(before.same) if before else None}
    run.output.result({"event": "mark", **paths, **numbers})
    run.output.note(text)


def show_judgements(run: Run) -> None:
    """All that was said, oldest first, with the files that hold it now."""
    from dedup.groups.judgements import history, paths_of_judged

    with stores.for_reading(run) as store, store.catalog.snapshot():
        judgements, paths = history(store), paths_of_judged(store)
    for judgement in judgements:
        sides = [paths.get(content, []) for content in (judgement.content_a, judgement.content_b)]
        run.output.result(_record(judgement, *sides))
        if not run.output.as_json:
            run.output.text("\n".join(_lines(judgement, *sides)) + "\n")
    run.output.note(count_text(len(judgements), "judgement"))


def _record(judgement: Judgement, a: list[bytes], b: list[bytes]) -> dict[str, Any]:
    from dedup.files.paths import json_path

    return {
        "event": "judgement",
        "said": _word(judgement.same),
        "score": _rounded(judgement.score),
        "judged": judgement.judged,
        "a": [json_path(path) for path in a],
        "b": [json_path(path) for path in b],
        "content_a": judgement.content_a.hex(),
        "content_b": judgement.content_b.hex(),
    }


def _lines(judgement: Judgement, *sides: list[bytes]) -> list[str]:
    score = "" if judgement.score is None else f", score {judgement.score:.3f}"
    lines = [f"{_word(judgement.same)}{score}, said {judgement.judged}"]
    for name, paths in zip("ab", sides, strict=True):
        first, *copies = map(path_text, paths) if paths else [GONE]
        lines += [f"  {name}  {first}", *(f"     {copy}" for copy in copies)]
    return lines


def _word(same: bool) -> str:
    return "same" if same else "different"


def _rounded(score: float | None) -> float | None:
    return None if score is None else round(score, 6)


def _both(a: Known, b: Known) -> str:
    return f"{path_text(a.path)} and {path_text(b.path)}"
