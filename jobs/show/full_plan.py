"""What `reprise full` adds if copies may go by their scores: the file of its plan, the questions, and the lines about
it at the end."""

from __future__ import annotations

import os
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from jobs.session.output import count_text, path_text
from jobs.show.plan_text import totals_text
from jobs.show.summaries import asked_text, resolved_text

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedup.groups.groups import Group
    from dedup.groups.mark import Asked, Record
    from dedup.groups.matches import Matches, TrackPair
    from dedup.plan.doubts import SurePlan
    from jobs.session.main_job import Ended
    from jobs.session.run import Run

NAME = b"plan.json"
"""File of the plan in the store's folder, if no other is named."""


@dataclass(frozen=True)
class FullPlan:
    """The plan of a run, as it is shown."""

    made: SurePlan

    def record(self) -> dict[str, Any]:
        """The record for programs."""
        from dedup.files.paths import json_path
        from dedup.plan.document import totals

        return {**totals(self.made.plan), "uncertain": self.made.n_uncertain, **json_path(self.made.path)}

    def lines(self) -> list[str]:
        """The lines for people."""
        made = self.made
        told = [asked_text(made.asked)] if made.asked else []
        told += [f"asked   about losses: {resolved_text(made.reviewed)}"] if made.reviewed else []
        told.append(f"plan    {totals_text(made.plan)}")
        if made.plan.n_files:
            told.append(f"        `reprise apply {path_text(made.path)}` does it")
        if made.n_uncertain:
            ask = "" if made.settings.ask is None else f"--ask {made.settings.ask:g} "
            told.append(
                f"        {self._uncertain_text()} left to you; "
                f"`reprise resolve {ask}-o {path_text(made.path)}` asks about them"
            )
        return told

    def _uncertain_text(self) -> str:
        """How many copies are left to a person, and for what."""
        made, auto = self.made, self.made.settings.auto
        n_by_score = made.n_uncertain - made.n_uncertain_by_ids
        told = []
        if n_by_score and auto is not None:
            least = "below" if made.settings.ask is None else f"from {made.settings.ask:g} to"
            told.append(f"{count_text(n_by_score, 'copy', 'copies')} with a score {least} {auto:g}")
        if made.n_uncertain_by_ids:
            told.append(
                f"{count_text(made.n_uncertain_by_ids, 'copy', 'copies')} tagged as another MusicBrainz recording"
            )
        return " and ".join(told)


def plan_path(run: Run, written: bytes | None) -> bytes | None:
    """The file for the plan of this run; None if none is wanted. Raises InputError, before any work is done, if there
    is something other than a plan, or if its folder does not exist."""
    from dedup.plan.document import is_replaceable

    if written is None and run.settings["auto"] is None:
        return None
    path = os.path.abspath(written or os.path.join(os.fsencode(run.settings.store), NAME))
    if written is not None or os.path.isdir(os.path.dirname(path)):  # the store may not have been made yet
        is_replaceable(path)
    return path


def plan_after(run: Run, ended: Ended, path: bytes | None) -> tuple[FullPlan | None, Exception | None]:
    """The plan, if one is wanted and all is known that it takes; and what is to be reported as gone wrong."""
    found, trouble = ended.done.found, ended.trouble
    is_stopped = run.stop.requested and not run.time_is_up
    if path is None or found is None or trouble is not None or is_stopped:
        return None, trouble
    try:
        return _make_plan(run, path, found.matches, found.groups), None
    except Exception as error:
        run.observer.close()
        return None, error


def _make_plan(run: Run, path: bytes, matches: Matches, groups: Sequence[Group]) -> FullPlan:
    """Makes the plan, and asks if somebody is there to answer."""
    from dedup.plan.doubts import plan_and_ask
    from jobs.show.question import TerminalReviewer

    def ask_here(pairs: Sequence[TrackPair], record: Record) -> Asked:
        from jobs.show.ask import ask

        return ask(run.output, pairs, record)

    is_there = _somebody_is_there(run)
    made = plan_and_ask(
        folder=run.settings.store,
        path=path,
        matches=matches,
        groups=groups,
        keep=run.settings.keep(),
        settings=run.settings.cleanup(),
        observer=run.observer,
        ask=ask_here if is_there else None,
        reviewer=TerminalReviewer(run.output, path, run.observer.close) if is_there else None,
        purpose=f"reprise {run.command}",
    )
    run.observer.close()
    if made.not_understood is not None:
        run.output.note(f"{made.not_understood}; it was replaced, and none of your answers in it could be used")
    return FullPlan(made)


def _somebody_is_there(run: Run) -> bool:
    """Whether somebody can see and answer a question; False if a stop was requested."""
    streams = (sys.stdin, sys.stdout)
    is_terminal = all(stream is not None and stream.isatty() for stream in streams)
    return is_terminal and not run.output.as_json and not run.output.quiet and not run.stop.requested
