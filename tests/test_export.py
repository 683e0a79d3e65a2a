"""Export: records exactly as the manual says, every path with its raw bytes."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dedup.correlation.correlate import correlate
from dedup.files.paths import path_from_json
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.plan.weigh import find_groups
from dedup.report.export import export_pairs, export_tracks, group_record
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, KeepSettings, MatchSettings
from dedup.store.store import Store
from tests.stores import add_track, copied, open_store, recording, rename

NUMBERS = {"lag_s", "overlap_s", "agreement", "score", "evidence", "kappa", "along", "prominence", "rate", "speed"}
PLACE = {"a_from_s", "a_to_s", "b_from_s", "b_to_s"}
TRACK = {
    "codec",
    "lossless",
    "bitrate",
    "sample_rate",
    "bits",
    "channels",
    "duration_s",
    "size",
    "state",
    "damage",
    "cancels",
}


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    """A FLAC, an MP3 of it with the first second cut off and a name that is no UTF-8, and a track of its own."""
    items = recording(1, 300)
    with open_store(tmp_path / "store") as opened:
        add_track(opened, "a.flac", items, size=5000, lossless=True, codec="flac", bits=16, duration_s=40.0)
        add_track(opened, "a.mp3", copied(items[8:], 0.05), size=700)
        add_track(opened, "lonely.mp3", recording(2, 300))
        rename(opened, b"/music/a.mp3", b"/music/caf\xe9.mp3")
        correlate(opened, CompareSettings(varispeed=False), InlineRunner(), Silent())
        yield opened


def through_json(records: Any) -> list[dict[str, Any]]:
    return [json.loads(json.dumps(record)) for record in records]


def test_a_pair(store: Store):
    (pair,) = through_json(export_pairs(Matches(store, MatchSettings())))
    assert pair.keys() == {"a", "b", "b_hex", "verdict", "judged", "null_test"} | NUMBERS | PLACE
    assert (pair["a"], pair["b"], bytes.fromhex(pair["b_hex"])) == (
        "/music/a.flac",
        "/music/caf\\xe9.mp3",
        b"/music/caf\xe9.mp3",
    )
    assert (pair["verdict"], pair["judged"]) == ("same recording", False)
    assert (pair["lag_s"], pair["overlap_s"]) == (0.990, 36.152)
    assert pair["agreement"] == pytest.approx(0.95, abs=0.01)
    assert pair["score"] == pytest.approx(0.9, abs=0.02)
    assert pair["score"] == max(pair["kappa"], pair["along"]) > pair["evidence"] > 0
    assert (pair["rate"], pair["speed"]) == (0, 0)
    assert [pair[name] for name in ("a_from_s", "a_to_s", "b_from_s", "b_to_s")] == pytest.approx(
        [0.990, 37.143, 0, 36.152], abs=0.002
    )


def test_a_group(store: Store):
    (group,) = through_json(map(group_record, find_groups(store, MatchSettings(), KeepSettings()).groups))
    assert group.keys() == {
        "reference",
        "reference_track",
        "members",
        "weakest_score",
        "beside",
        "bytes_reclaimable",
        "bytes_unheard",
    }
    assert group["bytes_unheard"] == 700
    assert (group["reference"], group["bytes_reclaimable"]) == ("/music/a.flac", 0)
    assert group["reference_track"].keys() == TRACK
    (member,) = group["members"]
    assert (
        member.keys() == {"path", "path_hex", "verdict", "judged", "null_test", "lost", "rule", "why"} | NUMBERS | TRACK
    )
    assert (member["rule"], member["why"]) == ("lossless", "flac, the other unknown")
    assert path_from_json(member) == b"/music/caf\xe9.mp3"
    assert member["lag_s"] == -0.990
    assert group["weakest_score"] == member["score"]
    assert group["beside"] == []
    assert (member["size"], member["state"], member["damage"]) == (700, "present", None)


def test_what_hangs_beside_a_group_tells_its_place_in_the_reference(store: Store):
    add_track(store, "part.mp3", recording(1, 300)[150:260], size=90)
    correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
    (group,) = through_json(map(group_record, find_groups(store, MatchSettings(), KeepSettings()).groups))
    (part,) = group["beside"]
    assert part.keys() == {"path", "verdict", "null_test", "lost"} | NUMBERS | PLACE | TRACK
    assert (part["path"], part["verdict"], part["size"]) == ("/music/part.mp3", "contained", 90)
    place = [part[name] for name in ("a_from_s", "a_to_s", "b_from_s", "b_to_s")]
    assert place == pytest.approx([items * 1365 / 11025 for items in (0, 110, 150, 260)], abs=0.001)
    assert (group["bytes_reclaimable"], group["bytes_unheard"]) == (0, 700)


def test_a_reference_whose_name_is_no_utf8(store: Store):
    rename(store, b"/music/a.flac", b"/music/\xff.flac")
    (group,) = map(group_record, find_groups(store, MatchSettings(), KeepSettings()).groups)
    assert bytes.fromhex(group["reference_hex"]) == b"/music/\xff.flac"
    (pair,) = export_pairs(Matches(store, MatchSettings()))
    assert [bytes.fromhex(pair[f"{side}_hex"]) for side in "ab"] == [b"/music/caf\xe9.mp3", b"/music/\xff.flac"]


def test_tracks(store: Store):
    tracks = through_json(export_tracks(store))
    assert [path_from_json(track) for track in tracks] == [
        b"/music/a.flac",
        b"/music/caf\xe9.mp3",
        b"/music/lonely.mp3",
    ]
    assert tracks[0].keys() == {
        *("path", "state", "size", "mtime_ns", "problem", "damage", "cancels", "width_db", "properties")
    }
    assert (tracks[0]["size"], tracks[0]["properties"]["codec"]) == (5000, "flac")
    assert "version" not in tracks[0]["properties"]


def test_re_thresholding_computes_nothing(store: Store):
    def verdicts(**settings: float) -> list[str]:
        return [pair["verdict"] for pair in export_pairs(Matches(store, MatchSettings(**settings)))]

    assert verdicts(min_score=0.99) == ["related"]
    assert verdicts(min_score=0.2) == ["same recording"]
    assert verdicts(max_false=1e-300) == []
