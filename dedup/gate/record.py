"""A decision as a plain dictionary for JSON: what programs read."""

from __future__ import annotations

from typing import Any

from dedup.files.paths import json_path
from dedup.gate.nouns import Decision
from dedup.groups.matches import TrackPair
from dedup.report.export import change_record, format_numbers, lost_record, numbers, place, shallow, test_record


def decision_record(decision: Decision) -> dict[str, Any]:
    """The answer, why, the copies and what else the file is related to, each with its numbers. A file that is compared
    comes first in these: `lag_s` is positive if it has more in front, `a` is the file, `b` the other."""
    return {
        **json_path(decision.path),
        "answer": decision.answer,
        "do": decision.deed,
        "why": decision.why,
        "rule": None if decision.rule is None else decision.rule.rule,
        "lost": [shallow(loss) for loss in decision.losses],
        "lacks": [shallow(loss) for loss in decision.lacks],
        "copies": [pair_record(pair) for pair in decision.copies],
        "others": [pair_record(pair) for pair in decision.others],
        "file": None if decision.track is None else {**format_numbers(decision.track), "damage": decision.track.damage},
        "seen": None if decision.track is None else [decision.track.size, decision.track.mtime_ns],
        "seconds": decision.seconds,
    }


def pair_record(pair: TrackPair) -> dict[str, Any]:
    """A file of the library, and what the file in question is to it."""
    said: dict[str, Any] = {"verdict": pair.verdict, "judged": pair.judged, "null_test": test_record(pair.test)}
    known = {**format_numbers(pair.b), "state": pair.b.state}
    return {
        **json_path(pair.b.path),
        **said,
        **numbers(pair.match),
        **place(pair.match),
        **change_record(pair.change),
        "lost": lost_record(pair),
        **known,
    }
