"""What the API says, as plain dictionaries."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from dedup.files.paths import printable
from dedup.groups.losses import losses, outcome_words
from dedup.groups.matches import ListedTrack, TrackPair
from dedup.playback.lanes import REFERENCE, Place, place_of
from dedup.playback.marks import Mark, marks, similarity_over_time
from dedup.report.export import format_numbers
from dedup.settings import ITEMS_PER_SECOND
from jobs.serve.lineup import Lineup
from jobs.serve.shown import Snapshot, id_of, said_of, state_of, title_of
from jobs.show.plan_text import merge_lines
from jobs.show.words import ids_text, verdict_text

if TYPE_CHECKING:
    from dedup.plan.nouns import PlannedFile, PlannedGroup
    from dedup.plan.review import Accepted
    from dedup.tags.read import Tags


def lineup_record(snapshot: Snapshot, kind: str, id_: str, lineup: Lineup) -> dict[str, Any]:
    """Files side by side, for the player: times in seconds of the reference's axis."""
    planned = answer = None
    if lineup.question is not None:
        answer = snapshot.review.answer_of(lineup.question)
        planned = answer or snapshot.review.complete(lineup.question).planned
    ids = list(snapshot.questions if lineup.question is not None else snapshot.uncertain)
    at, listeners = ids.index(id_), snapshot.review.grounds.matches.listeners
    return {
        "kind": kind,
        "id": id_,
        "title": title_of(lineup.reference),
        "state": state_of(track for track, _ in lineup.tracks),
        "said": said_of(answer),
        "note": planned.note if planned is not None else "",
        "n_bytes": planned.n_bytes if planned is not None else 0,
        "gets": list(merge_lines(planned.merge, b"")) if planned is not None and planned.merge is not None else [],
        "at": at + 1,
        "of": len(ids),
        "previous": ids[at - 1] if at else None,
        "next": ids[at + 1] if at + 1 < len(ids) else None,
        "files": [
            {
                **_file_record(track, pair, planned),
                "listeners": listeners.words(track.path),
            }
            for track, pair in lineup.tracks
        ],
    }


def _planned_file(planned: PlannedGroup | None, track: ListedTrack) -> PlannedFile | None:
    return next((file for file in planned.files if file.path == track.path), None) if planned else None


def evidence(pair: TrackPair | None, planned: PlannedGroup | None, file: PlannedFile | None) -> dict[str, Any]:
    """How the file and the kept one compare: the one that a person chose, else the first of the lineup."""
    kept = planned.kept if planned is not None else None
    reference = pair.b.path if pair is not None else file.path if file is not None else None
    if file is not None and kept is not None and kept.path != reference:
        verdict, score, null_test, lost = file.verdict, file.score, file.null_test, file.lost
    elif pair is not None:
        verdict = ", ".join(filter(None, (verdict_text(pair), ids_text(pair.a, pair.b))))
        score, null_test = round(pair.match.score, 4), outcome_words(pair.test)
        lost = losses(pair)
    else:
        verdict, score, null_test, lost = "", None, "", ()
    unheard = "; ".join(loss.what for loss in lost if loss.kind == "untested")
    return {
        "verdict": verdict,
        "score": score,
        "null_test": null_test,
        "unheard": "" if null_test else unheard,
        "lost": [loss.what for loss in lost if loss.kind != "untested"],
    }


def _file_record(track: ListedTrack, pair: TrackPair | None, group: PlannedGroup | None) -> dict[str, Any]:
    planned = _planned_file(group, track)
    place = REFERENCE if pair is None else place_of(pair)
    return {
        "id": id_of(track.path),
        "name": printable(os.path.basename(track.path)),
        "folder": printable(os.path.dirname(track.path)),
        **format_numbers(track),
        "is_there": track.state == "present",
        "faults": track.faults,
        "offset_s": round(place.offset_s, 5),
        "rate": place.rate,
        "action": planned.action if planned else "",
        "rule": planned.rule if planned else "",
        "why": planned.why if planned else "",
        **evidence(pair, group, planned),
        **(_alike(pair, place) if pair is not None else {"alike": None, "only": [], "differs": []}),
    }


def _alike(pair: TrackPair, place: Place) -> dict[str, Any]:
    """How well a copy matches over time, what only it has, and where the two differ, on the axis."""
    curve, found = similarity_over_time(pair.match), marks(pair.test, place) if pair.test is not None else []
    end_s = pair.match.to_b / ITEMS_PER_SECOND
    return {
        "alike": {"start_s": round(curve.start_s, 3), "end_s": round(end_s, 3), "steps": curve.values},
        "only": [_rounded(mark) for mark in found if mark.is_outside and mark.side == "a"],
        "differs": [{"side": mark.side, "at": _rounded(mark)} for mark in found if not mark.is_outside],
        "only_kept": [_rounded(mark) for mark in found if mark.is_outside and mark.side == "b"],
    }


def _rounded(mark: Mark) -> list[float]:
    return [round(mark.start_s, 3), round(mark.end_s, 3)]


def accepted_record(accepted: Accepted, text: str) -> dict[str, Any]:
    """What the rules decide about several groups, with a sentence about it."""
    return {"n_groups": len(accepted.groups), "n_files": accepted.n_files, "n_bytes": accepted.n_bytes, "text": text}


def tags_record(tags: Sequence[Tags | None], chosen: Mapping[str, Sequence[str]]) -> list[dict[str, Any]]:
    """The fields on which files differ, in the order of the files; None for a file that cannot be read. `chosen` are
    the values that the kept file gets."""
    names = sorted({name for each in tags if each is not None for name in each.fields})
    rows = []
    for name in names:
        values = [None if each is None else list(each.fields.get(name, ())) for each in tags]
        if any(value != values[0] for value in values):
            rows.append({"name": name, "values": values, "gets": list(chosen.get(name, ()))})
    return rows
