"""Tracks, pairs and groups as plain dictionaries for JSON: what programs read. Paths that are not UTF-8 keep their raw
bytes in `path_hex` (`a_hex`, `b_hex`, `reference_hex`) beside the readable form."""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from dedup.correlation.match import Match, speed_of
from dedup.files.paths import json_path, named_path
from dedup.groups.groups import Group
from dedup.groups.losses import losses
from dedup.groups.matches import ListedTrack, Matches, TrackPair
from dedup.groups.recordings import is_one_recording
from dedup.store.audios import measured_bitrate

if TYPE_CHECKING:
    from dedup.correlation.scoring import Change
    from dedup.groups.explain import Explanation
    from dedup.groups.keep import Decision
    from dedup.groups.losses import Loss
    from dedup.store.audios import Audio
    from dedup.store.nulltests import NullTest
    from dedup.store.store import Store
    from dedup.store.tracks import Track


def numbers(match: Match) -> dict[str, Any]:
    """The numbers of a match, times in seconds."""
    return {
        "lag_s": round(match.lag_s, 3),
        "overlap_s": round(match.overlap_s, 3),
        "agreement": round(match.agreement, 6),
        "score": round(match.score, 6),
        "evidence": round(match.evidence, 6),
        "kappa": round(match.kappa, 6),
        "along": round(match.along, 6),
        "prominence": round(match.prominence, 6),
        "rate": round(match.rate, 5),
        "speed": round(speed_of(match.rate), 5),
    }


def place(match: Match) -> dict[str, float]:
    """Where the shared part lies in both tracks, in seconds."""
    names = ("a_from_s", "a_to_s", "b_from_s", "b_to_s")
    return {name: round(seconds, 3) for name, seconds in zip(names, match.place(), strict=True)}


def pair_record(pair: TrackPair) -> dict[str, Any]:
    """One pair; `lag_s` is positive if `a` has more in front."""
    paths = {**named_path("a", pair.a.path), **named_path("b", pair.b.path)}
    said: dict[str, Any] = {"verdict": pair.verdict, "judged": pair.judged, "null_test": test_record(pair.test)}
    return {
        **paths,
        **numbers(pair.match),
        **ids_record(pair),
        **place(pair.match),
        **said,
        **change_record(pair.change),
    }


def ids_record(pair: TrackPair) -> dict[str, bool]:
    """Whether the tags of both name one recording at MusicBrainz; empty unless both name one."""
    is_one = is_one_recording(pair.a, pair.b)
    return {} if is_one is None else {"same_recording_id": is_one}


def change_record(change: Change | None) -> dict[str, Any]:
    """What was changed between two files, and how many times as high as the second the first sounds; empty if nothing
    is known of that."""
    known = change is not None and change.kind != "none"
    return {"changed": change.kind, "pitch": round(change.pitch, 5)} if known and change else {}


def shallow(said: Decision | Loss | NullTest) -> dict[str, Any]:
    """The fields of a record that holds plain values, by name, without the deep copies that `asdict` makes of them."""
    return {name: getattr(said, name) for name in said.__dataclass_fields__}


def test_record(test: NullTest | None) -> dict[str, Any] | None:
    """What a null test showed, times in seconds of `a` unless the name says `b`; None if none was made."""
    return None if test is None else {**shallow(test), "is_copy": test.is_copy}


def lost_record(pair: TrackPair) -> list[dict[str, str]]:
    """What `a` holds that `b` lacks, as far as the store knows."""
    return [shallow(loss) for loss in losses(pair)]


def explanation_record(explained: Explanation) -> dict[str, Any]:
    """Two files and what they are to each other; `lag_s` is positive where `a` has more in front."""
    return {
        **named_path("a", explained.a.path),
        **named_path("b", explained.b.path),
        **(numbers(explained.match) if explained.match else {}),
        **(place(explained.match) if explained.match else {}),
        "false_match": explained.false_match,
        "steps": _steps(explained.match) if explained.match else [],
        **_called_record(explained),
        "verdict": explained.verdict,
        **change_record(explained.change),
        "judged": explained.judged,
        "criteria": [
            {"name": c.name, "value": c.value, "threshold": c.threshold, "at_most": c.at_most, "met": c.met}
            for c in explained.criteria
        ],
    }


def _called_record(explained: Explanation) -> dict[str, Any]:
    """The recordings that each file is said to be, and by what; empty if nothing is said."""
    sides = zip(("a", "b"), explained.called, strict=True)
    found: dict[str, Any] = {
        f"recording_{name}": {"ids": sorted(said.ids), "by": said.by} for name, said in sides if said is not None
    }
    is_one = explained.is_one_by_ids
    return found if is_one is None else {**found, "same_recording_id": is_one}


def _steps(match: Match) -> list[float | None]:
    """Similarity over time; JSON knows no NaN, so a step that is silent in both is null."""
    return [None if math.isnan(value) else round(value, 4) for value in match.similarity.tolist()]


def track_numbers(track: ListedTrack) -> dict[str, Any]:
    """Format, size and state of one file."""
    return {
        **format_numbers(track),
        "state": track.state,
        "damage": track.damage,
        "cancels": bool(track.cancels),
    }


def format_numbers(track: ListedTrack) -> dict[str, Any]:
    """Format and size of one file."""
    properties = track.properties
    return {
        "codec": properties.codec,
        "lossless": properties.lossless,
        "bitrate": track.bitrate,
        "sample_rate": properties.sample_rate,
        "bits": properties.bits,
        "channels": properties.channels,
        "duration_s": round(track.seconds, 3),
        "size": track.size,
    }


def group_record(group: Group) -> dict[str, Any]:
    """One group; a member's `lag_s` is positive if it has more in front than the reference, `rule` and `why` say why
    the reference is better. A track beside the group comes with the shared part: `a` is that track, `b` the
    reference."""
    members = [
        {
            **json_path(p.a.path),
            **numbers(p.match),
            **ids_record(p),
            "verdict": p.verdict,
            "judged": p.judged,
            "null_test": test_record(p.test),
            "lost": lost_record(p),
            **shallow(group.decision(p)),
            **track_numbers(p.a),
        }
        for p in group.members
    ]
    beside = [
        {
            **json_path(p.a.path),
            **numbers(p.match),
            **ids_record(p),
            **place(p.match),
            "verdict": p.verdict,
            "null_test": test_record(p.test),
            "lost": lost_record(p),
            **track_numbers(p.a),
        }
        for p in group.beside
    ]
    return {
        **named_path("reference", group.reference.path),
        "reference_track": track_numbers(group.reference),
        "members": members,
        "weakest_score": round(group.weakest.match.score, 6),
        "beside": beside,
        "bytes_reclaimable": group.bytes_reclaimable,
        "bytes_unheard": group.bytes_unheard,
    }


def export_pairs(matches: Matches) -> Iterator[dict[str, Any]]:
    """Every matching pair, sorted by its paths."""
    return (pair_record(pair) for pair in matches.pairs())


def export_tracks(store: Store) -> Iterator[dict[str, Any]]:
    """Every track, by path."""
    audios = store.catalog.audios
    return (track_record(track, audios.get(track.audio)) for track in store.catalog.tracks.all())


def track_record(track: Track, audio: Audio | None) -> dict[str, Any]:
    """A track and what decoding showed of its audio; length and bit rate are those of `ListedTrack`."""
    properties = {name: value for name, value in json.loads(track.properties).items() if name != "version"}
    heard: dict[str, Any] = {"damage": None, "cancels": False, "width_db": None}
    if audio is not None:
        heard = {"damage": audio.damage, "cancels": bool(audio.cancels), "width_db": audio.width_db}
        properties.update(_measured(audio))
    return {
        **json_path(track.path),
        "state": track.state,
        "size": track.size,
        "mtime_ns": track.mtime_ns,
        "problem": track.problem,
        **heard,
        "properties": properties,
    }


def _measured(audio: Audio) -> dict[str, Any]:
    if not audio.decoded_s:
        return {}
    bitrate = measured_bitrate(audio.decoded_s, audio.n_bytes)
    return {"duration_s": round(audio.decoded_s, 3), **({"bitrate": bitrate} if bitrate is not None else {})}
