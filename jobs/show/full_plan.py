"""What `reprise full` adds where copies may go by their score: a plan by the rules, and questions about what lies
between the two scores. All of it after the store was let go; nothing of the user's is touched."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dedup.errors import InputError, PlanError
from jobs.commands.plan import protect_from_now_on, require_replaceable, totals_text, write_plan
from jobs.session import stores
from jobs.session.output import path_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedup.groups.groups import Group
    from dedup.groups.matches import Matches, TrackPair
    from dedup.plan.nouns import Plan
    from dedup.settings import PlanSettings
    from jobs.session.run import Run
    from jobs.show.ask import Asked

NAME = b"plan.json"
"""In the store's folder, where no other file is named."""


@dataclass(frozen=True)
class FullPlan:
    """The plan that a run of `full` made, and where it is."""

    plan: Plan
    path: bytes
    settings: PlanSettings
    asked: Asked | None
    """None where nobody was asked."""

    @property
    def n_uncertain(self) -> int:
        """Copies of which a person is still to say whether they go."""
        from dedup.plan.decide import UNCERTAIN

        return sum(file.rule == UNCERTAIN for group in self.plan.groups for file in group.files)

    def record(self) -> dict[str, Any]:
        """For programs."""
        from dedup.files.paths import json_path
        from dedup.plan.document import totals

        return {**totals(self.plan), "uncertain": self.n_uncertain, **json_path(self.path)}

    def lines(self) -> list[str]:
        """For people."""
        told = [_asked_text(self.asked)] if self.asked else []
        told.append(f"plan    {totals_text(self.plan)}")
        if self.plan.n_files:
            told.append(f"        `reprise apply {path_text(self.path)}` does it")
        if self.n_uncertain:
            least, ask = "below", ""
            if self.settings.ask is not None:
                least, ask = f"from {self.settings.ask:g} to", f"--ask {self.settings.ask:g} "
            count = "1 copy" if self.n_uncertain == 1 else f"{self.n_uncertain:,} copies"
            told.append(
                f"        {count} with a score {least} {self.settings.auto:g} left to you; "
                f"`reprise resolve {ask}-o {path_text(self.path)}` asks about them"
            )
        return told


def _asked_text(asked: Asked) -> str:
    return f"asked   {asked.same:,} same, {asked.different:,} different, {asked.skipped:,} skipped, {asked.left:,} left"


def plan_path(run: Run, written: bytes | None) -> bytes | None:
    """Where the plan of this run is to go; None where none is wanted. Raises InputError, before any work is done, where
    there is something else than a plan, or no folder for it."""
    if written is None and run.settings["auto"] is None:
        return None
    path = os.path.abspath(written or os.path.join(os.fsencode(run.settings.store), NAME))
    if written is not None and not os.path.isdir(os.path.dirname(path)):
        raise InputError(path_text(path), "there is no such folder", "a file that a plan can be written to")
    require_replaceable(path)
    return path


def plan_and_ask(run: Run, path: bytes, matches: Matches, groups: Sequence[Group]) -> FullPlan:
    """Asks about what is uncertain, where there is somebody to ask; then makes the plan and writes it. What a person
    said of groups in the plan before it stays."""
    from dedup.plan.make import grounds_of, plan_all
    from dedup.plan.review import answers_in

    protect_from_now_on(run, [])
    settings = run.settings.cleanup()
    asked = ask_about_doubts(run, uncertain_pairs(groups, settings))
    before = _plan_before(run, path)
    with stores.for_reading(run) as store:
        matches.renew_judgements(store)
        grounds = grounds_of(store, matches, run.settings.keep(), settings)
        plan = plan_all(grounds, run.observer, answers_in(before, grounds.keep.protect) if before else ())
    run.observer.close()
    write_plan(path, plan)
    return FullPlan(plan, path, settings, asked)


def _plan_before(run: Run, path: bytes) -> Plan | None:
    """The plan that is replaced; None where there is none, or one that cannot be understood, which is told."""
    from dedup.plan.document import read_plan

    try:
        return read_plan(path) if require_replaceable(path) else None
    except PlanError as error:
        run.output.note(f"{error}; it is replaced, and no answer of yours is taken from it")
        return None


def uncertain_pairs(groups: Sequence[Group], settings: PlanSettings) -> list[TrackPair]:
    """Copies, each with the best one, whose score lies between the two, highest first."""
    from dedup.plan.decide import UNCERTAIN, doubt

    found = []
    for pair in (pair for group in groups for pair in group.members):
        doubtful = doubt(pair, settings)
        if pair.a.state == pair.b.state == "present" and doubtful is not None and doubtful[0] == UNCERTAIN:
            found.append(pair)
    return sorted(found, key=lambda pair: (-pair.match.score, pair.a.path))


def ask_about_doubts(run: Run, pairs: Sequence[TrackPair]) -> Asked | None:
    """What a person said; None without one, or where there is nothing to ask."""
    from jobs.show.ask import ask, record_answer

    if not pairs or not _somebody_is_there(run):
        return None
    return ask(run.output, pairs, lambda pair, same: record_answer(run, pair, same))


def _somebody_is_there(run: Run) -> bool:
    """Whether somebody sees the question and can answer it. Not where a run was told to stop."""
    streams = (sys.stdin, sys.stdout)
    is_terminal = all(stream is not None and stream.isatty() for stream in streams)
    return is_terminal and not run.output.as_json and not run.output.quiet and not run.stop.requested
