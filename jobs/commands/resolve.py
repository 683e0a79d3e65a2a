"""`reprise resolve`: groups gone through by a person, one by one, into a plan. Every answer is in the file at once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import click

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, StoreLockedError
from jobs.commands.plan import FILE, protect_from_now_on, require_replaceable, totals_text, write_plan
from jobs.session import options, stores
from jobs.session.output import count_text, path_text
from jobs.session.run import Run, reader
from jobs.show.groups import common_folder, tell_unfinished

if TYPE_CHECKING:
    from dedup.plan.nouns import Plan
    from dedup.plan.review import Question, Review
    from jobs.show.question import Answer


@dataclass
class Resolved:
    """What came of a review."""

    keep: int = 0
    different: int = 0
    """Answers that some files of a group are other recordings; what is left of it is asked about again."""
    skip: int = 0
    left: int = 0
    """Groups without an answer."""

    @property
    def n_answers(self) -> int:
        return self.keep + self.different + self.skip


@click.command("resolve")
@click.option("-o", "--output", "written", metavar="FILE", type=FILE, required=True, help="Keep the plan in this file.")
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Ask about N groups at most.")
@click.option("--again", is_flag=True, help="Ask about the groups too that were skipped before.")
@options.keep
@options.cleanup
@options.match
@options.common
@reader
def resolve(run: Run, written: bytes, limit: int | None, again: bool) -> int:
    """Go through the groups, most bytes to win first, and say of each what becomes of it. Changes no file of yours.

    Enter keeps the file that the rules chose, a number another one; n says that some are not the same, for good; m
    chooses between tags that contradict each other; s leaves all as it is. Every answer is kept at once, in a plan
    that `reprise apply FILE` carries out. With the FILE of an earlier review, or of `reprise plan` or `reprise full
    --auto`, only those groups are asked about that are not in it, whose files have changed, or of which it says
    "uncertain". --to and other settings of the whole plan are those of the last run.

    What scores less than --ask stays; --auto does not count here, for no score is too low for you to decide."""
    is_there = require_replaceable(written)
    protect_from_now_on(run, [])
    review = review_of_store(run, written if is_there else None, again)
    run.observer.close()
    if review.n_outdated:
        count = count_text(review.n_outdated, "group")
        run.output.note(f"not counted: {count} of {path_text(written)}, carried out or changed since")
    n_before = review.n_left
    done = resolve_groups(run, review, written, limit)
    show_resolved(run, done, review.plan(), written)
    return EXIT_DONE if n_before else EXIT_NOTHING_TO_DO


def review_of_store(run: Run, before: bytes | None, again: bool) -> Review:
    """What is to be asked, by the settings and by the plan in the file `before`."""
    from dedup.groups.matches import Matches
    from dedup.plan.document import read_plan
    from dedup.plan.review import review_of

    plan = read_plan(before) if before is not None else None
    with stores.for_reading(run) as store:
        tell_unfinished(run, store)
        matches = Matches(store, run.settings.match())
        return review_of(store, matches, run.settings.keep(), run.settings.cleanup(), plan, again, run.observer)


def resolve_groups(run: Run, review: Review, written: bytes, limit: int | None) -> Resolved:
    """Asks about `limit` groups at most; the plan is written after each answer. The end of stdin and Ctrl-C are
    "quit"."""
    from dedup.plan.document import Documents
    from jobs.show.question import ask_about

    done, folder, documents = Resolved(), common_folder(review.paths), Documents()
    if review.n_left:
        run.output.text(f"Paths are below {path_text(folder)}")
    try:
        while done.n_answers != limit and (question := review.next()) is not None:
            run.output.text(f"\n{count_text(review.n_left, 'group')} left")
            answer = ask_about(run.output, review, question, folder)
            if answer.word == "quit":
                break
            try:
                take(run, review, question, answer)
            except StoreLockedError as error:  # of what was answered nothing is lost: it is asked again
                run.output.text(str(error))
                continue
            write_plan(written, review.plan(), documents.to_bytes)
            done.keep += answer.word == "keep"
            done.different += answer.word == "different"
            done.skip += answer.word == "skip"
    except (EOFError, KeyboardInterrupt):
        run.output.text()
    done.left = review.n_left
    return done


def take(run: Run, review: Review, question: Question, answer: Answer) -> None:
    """Keeps an answer: in the plan, or what was said for good in the store."""
    from dedup.groups.judgements import record
    from dedup.store.store import open_for_writing

    if answer.planned is not None:
        review.put(question, answer.planned)
    else:
        said = review.apart(question, answer.odd)
        with open_for_writing(run.settings.store, "reprise resolve") as store:
            for (content_a, content_b), score in said.items():
                record(store, content_a, content_b, False, score)
            review.regroup(question, store)
    run.output.result({"event": "answer", **answer_record(question, answer)})


def answer_record(question: Question, answer: Answer) -> dict[str, Any]:
    """For programs."""
    from dedup.files.paths import json_path

    kept = answer.planned.kept if answer.planned is not None else None
    return {
        "answer": answer.word,
        "files": [json_path(file.path) for file in question.planned.files],
        "kept": json_path(kept.path) if kept else None,
        "different": [json_path(path) for path in answer.odd],
    }


def show_resolved(run: Run, done: Resolved, made: Plan, written: bytes) -> None:
    """What was answered, and what the plan comes to."""
    from dedup.files.paths import json_path
    from dedup.plan.document import totals

    counts = {"keep": done.keep, "different": done.different, "skip": done.skip, "left": done.left}
    run.output.result({"event": "resolve", **counts, **json_path(written), **totals(made)})
    text = f"resolved  {done.keep:,} kept, {done.different:,} not the same, {done.skip:,} skipped, {done.left:,} left"
    run.output.note(f"{text}; the same command goes on" if done.left else text)
    if made.groups:
        run.output.note(f"plan      {totals_text(made)}")
    if made.n_files:
        run.output.note(f"          `reprise apply {path_text(written)}` does it")
