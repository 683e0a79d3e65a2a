"""Recordings at MusicBrainz that the tags of two files name: shown beside the score, and a reason to ask."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from dedup.correlation.correlate import correlate
from dedup.fingerprint.acoustid_text import acoustid_text
from dedup.groups.albums import Albums
from dedup.groups.explain import explain
from dedup.groups.groups import Group, groups_of
from dedup.groups.keep import keep_rules
from dedup.groups.matches import Matches, TrackPair
from dedup.groups.recordings import FIELD, Called, ids_in, is_doubtful, is_one, is_one_recording
from dedup.observer import Silent
from dedup.plan.decide import Decider, doubt
from dedup.plan.doubts import SurePlan, uncertain_pairs
from dedup.plan.make import make_plan
from dedup.plan.nouns import Plan
from dedup.plan.review import review_of
from dedup.plan.weigh import find_groups
from dedup.report.export import explanation_record, group_record, pair_record
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, FingerprintSettings, KeepSettings, MatchSettings, PlanSettings
from dedup.store.nulltests import Difference, NullTest
from dedup.store.store import open_for_writing
from dedup.tags.write import write_tags
from jobs.serve.records import evidence
from jobs.session.lines import Look
from jobs.show.ask import pair_lines
from jobs.show.full_plan import FullPlan
from jobs.show.plan_text import plan_lines
from jobs.show.table import group_lines, row
from jobs.show.words import beside_text, called_lines
from tests.audio_files import write_tone
from tests.cleanups import make_files, make_store
from tests.listening import pass_all
from tests.looking_up import Clock, run
from tests.lookup_service import Services, mbid, served
from tests.made_albums import make_pieces, publish, sound
from tests.made_tracks import pair, track
from tests.stores import add_track, copied, open_store, recording

ONE, OTHER = mbid("recording", 1), mbid("recording", 2)
FLAC = {"codec": "flac", "lossless": True, "bits": 16, "duration_s": 200.0}
MP3 = {"codec": "mp3", "bitrate": 128_000, "duration_s": 200.0}
UNTESTED = PlanSettings(let_go=("untested",), merge=False)


def both(ids_a: tuple[str, ...], ids_b: tuple[str, ...], **how: Any) -> TrackPair:
    """An MP3 and a FLAC file with these identifiers; nobody has listened to them unless `how` says so."""
    copy = track("/music/copy.mp3", **MP3, tags={FIELD: ids_a} if ids_a else {})
    kept = track("/music/kept.flac", **FLAC, tags={FIELD: ids_b} if ids_b else {})
    return pair(copy, kept, 0.9, **{"test": None, **how})


@pytest.mark.parametrize(
    ("ids_a", "ids_b", "is_same"),
    [
        ((ONE,), (ONE,), True),
        ((ONE.upper(),), (f" {ONE}",), True),
        ((ONE, OTHER), (OTHER,), True),
        ((ONE,), (OTHER,), False),
        ((ONE,), (), None),
        ((), (), None),
        (("555",), (ONE,), None),
        ((ONE + "0",), (OTHER,), None),
    ],
)
def test_two_are_one_if_they_share_an_identifier(
    ids_a: tuple[str, ...], ids_b: tuple[str, ...], is_same: bool | None
) -> None:
    of_both = both(ids_a, ids_b)
    assert is_one_recording(of_both.a, of_both.b) is is_same
    assert is_one(ids_in({FIELD: ids_a}), ids_in({FIELD: ids_b})) is is_same
    assert is_doubtful(of_both) is (is_same is False)


# ---- what is decided ----


def rule_of(of_both: TrackPair, settings: PlanSettings = UNTESTED, **more: Any) -> tuple[str, str]:
    """Action and rule of the copy."""
    albums = Albums([])
    decider = Decider(keep_rules(KeepSettings(), albums), settings, (), albums, **more)
    ((_, copy),) = (group.files for group in decider.groups([Group(of_both.b, (of_both,))]))
    return copy.action, copy.rule


def test_two_recordings_by_their_tags_that_nobody_has_heard_are_a_question() -> None:
    of_both = both((ONE,), (OTHER,))
    assert rule_of(of_both) == ("leave", "uncertain")
    assert doubt(of_both, UNTESTED) == ("uncertain", "tagged as two MusicBrainz recordings: a person must decide")
    assert rule_of(of_both, PlanSettings()) == ("leave", "untested"), "what may be lost comes first"
    assert rule_of(of_both, asks=False) == ("quarantine", "lossless")
    score = PlanSettings(auto=0.95, ask=0.92, let_go=("untested",))
    assert rule_of(of_both, score) == ("leave", "reported only")


DIFFERS = NullTest(residual_db=-9.0, differences=(Difference(1.0, 5.0, "b"),))


@pytest.mark.parametrize(
    "how",
    [
        {"test": NullTest(residual_db=-40.0)},
        {"judged": True},
        {"verdict": "same audio"},
        {"verdict": "identical file"},
    ],
)
def test_what_was_heard_said_or_is_the_same_packets_outweighs_identifiers(how: dict[str, Any]) -> None:
    """MusicBrainz has many a recording twice, and libraries have wrong identifiers: they must not stop a clean-up."""
    assert rule_of(both((ONE,), (OTHER,), **how))[0] == "quarantine"
    assert doubt(both((ONE,), (OTHER,), **how), UNTESTED) is None


def test_a_null_test_that_finds_a_difference_outweighs_nothing() -> None:
    assert rule_of(both((ONE,), (OTHER,), test=DIFFERS))[1] == "uncertain"
    assert rule_of(both((ONE,), (ONE,), test=DIFFERS))[0] == "quarantine"


@pytest.mark.parametrize("ids", [((), ()), ((ONE,), ()), ((ONE,), (ONE,)), (("x",), (OTHER,))])
def test_identifiers_that_do_not_contradict_change_nothing(ids: tuple[tuple[str, ...], tuple[str, ...]]) -> None:
    assert rule_of(both(*ids)) == ("quarantine", "lossless")


def test_only_pairs_that_would_go_are_asked_about() -> None:
    of_both = both((ONE,), (OTHER,))
    groups = [Group(of_both.b, (of_both,))]
    assert uncertain_pairs(groups, UNTESTED) == [of_both]
    assert uncertain_pairs(groups, PlanSettings()) == [], "it stays anyway until somebody has listened"
    assert uncertain_pairs([Group(of_both.b, (both((ONE,), (ONE,)),))], UNTESTED) == []


def two_in(folder: Path, *ids: str, heard: bool) -> Path:
    with open_store(folder) as store:
        for number, id_ in enumerate(ids):
            own = {"tags": {FIELD: (id_,), "title": ("Song",)}} if id_ else {}
            add_track(store, f"{number}.flac", copied(recording(1, 200), 0.05, number), size=500 - number, **own)
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        if heard:
            pass_all(store)
    return folder


def test_reports_count_what_plans_free(tmp_path: Path) -> None:
    """Bytes that go, and that would go once heard."""
    match, keep = MatchSettings(), KeepSettings()
    freed = {}
    for heard in (False, True):
        for settings in (PlanSettings(merge=False), UNTESTED):
            folder = two_in(tmp_path / f"{heard} {settings.let_go}", ONE, OTHER, heard=heard)
            with open_store(folder) as store:
                found = find_groups(store, match, keep, settings)
                plan = make_plan(store, found.matches, keep, settings, Silent())
                (group,) = found.groups
                assert plan.n_bytes == group.bytes_reclaimable
                freed[heard, settings.let_go] = group.bytes_reclaimable, group.bytes_unheard
    assert freed == {
        (False, ()): (0, 499),
        (False, ("untested",)): (0, 499),
        (True, ()): (499, 0),
        (True, ("untested",)): (499, 0),
    }


def test_a_person_who_is_asked_about_each_group_decides(tmp_path: Path) -> None:
    with open_store(two_in(tmp_path, ONE, OTHER, heard=False)) as store:
        matches = Matches(store, MatchSettings())
        review = review_of(store, matches, KeepSettings(), UNTESTED, None, False, Silent())
        question = review.next()
        assert question is not None
        assert [file.action for file in question.planned.files] == ["keep", "quarantine"]
        assert review.acceptable(review.questions).groups == (), "not without being looked at"


# ---- what is shown ----


@pytest.mark.parametrize(
    ("ids", "told"), [((ONE, ONE), "same MBID"), ((ONE, OTHER), "other MBID"), ((ONE, ""), ""), (("", ""), "")]
)
def test_it_stands_beside_the_score(tmp_path: Path, ids: tuple[str, str], told: str) -> None:
    with open_store(two_in(tmp_path, *ids, heard=True)) as store:
        matches = Matches(store, MatchSettings())
        (group,) = groups_of(store, matches, KeepSettings())
        plan = make_plan(store, matches, KeepSettings(), PlanSettings(merge=False), Silent())
        (member,) = group.members
        shown = {
            "table": "\n".join(group_lines(group, Look(200))),
            "question": "\n".join(pair_lines(member, Look(200))),
            "beside": beside_text(member, "a", "b"),
            "page": row("", member.a, member, b"", {})["verdict"],
            "player": evidence(member, None, None)["verdict"],
            "plan": "\n".join(line for block in plan_lines(plan, matches=matches) for line in block),
        }
        for place, text in shown.items():
            assert ("MBID" in text, told in text) == (bool(told), True), place
        record = {"same_recording_id": ids[0] == ids[1]} if told else {}
        for each in (pair_record(member), group_record(group)["members"][0]):
            assert {name: value for name, value in each.items() if name == "same_recording_id"} == record


def test_pair_tells_by_the_tags_of_any_two_files(tmp_path: Path) -> None:
    for name, id_ in (("a.flac", ONE), ("b.flac", ONE), ("c.flac", OTHER), ("d.flac", "")):
        write_tone(tmp_path / name, 5.0, seed=1)
        write_tags(os.fsencode(tmp_path / name), {FIELD: [id_] if id_ else []})

    def told(a: str, b: str) -> tuple[list[str], dict[str, Any]]:
        paths = (os.fsencode(tmp_path / name) for name in (a, b))
        found = explain(*paths, None, FingerprintSettings(), CompareSettings(), MatchSettings())
        record = explanation_record(found)
        return list(called_lines(found)), {name: value for name, value in record.items() if "recording" in name}

    one, other = {"ids": [ONE], "by": "tags"}, {"ids": [OTHER], "by": "tags"}
    assert told("a.flac", "b.flac") == (
        [f"same MusicBrainz recording: {ONE}"],
        {"recording_a": one, "recording_b": one, "same_recording_id": True},
    )
    assert told("a.flac", "c.flac") == (
        [f"a is MusicBrainz recording {ONE} by its tags", f"b is MusicBrainz recording {OTHER} by its tags"],
        {"recording_a": one, "recording_b": other, "same_recording_id": False},
    )
    assert told("d.flac", "c.flac") == (
        [f"b is MusicBrainz recording {OTHER} by its tags"],
        {"recording_b": other},
    )
    assert told("d.flac", "d.flac") == ([], {})


def test_pair_tells_what_the_look_up_found(tmp_path: Path) -> None:
    clock, root, names = Clock(), tmp_path / "music", {"here/a.flac": 1, "here/b.flac": 2}
    make_files(root, names)
    make_store(tmp_path / "store", root, names)
    (piece,) = make_pieces(1, 1)
    with served(Services(now=clock.now)) as services, open_for_writing(tmp_path / "store", "test") as store:
        publish(services, [piece])
        text = acoustid_text(recording(1, 200), 1)
        services.sounds[text] = [sound(piece, 0.99, 50)]
        services.sounds[text][0]["recordings"][0]["duration"] = 1
        run(store, services, clock)
        paths = [os.fsencode(root / name) for name in names]
        found = explain(*paths, store, FingerprintSettings("1.5.1"), CompareSettings(), MatchSettings())
        assert found.called == (Called(frozenset({piece.recording}), "look-up"), None)
        assert list(called_lines(found)) == [f"a is MusicBrainz recording {piece.recording} by its look-up"]


@pytest.mark.parametrize("auto", [None, 0.5])
def test_a_whole_run_leaves_them_to_a_person(auto: float | None) -> None:
    of_both = both((ONE,), (OTHER,))
    settings = PlanSettings(let_go=("untested",), merge=False, auto=auto)
    albums = Albums([])
    groups = Decider(keep_rules(KeepSettings(), albums), settings, (), albums).groups([Group(of_both.b, (of_both,))])
    made = FullPlan(SurePlan(Plan(groups), b"/p.json", settings, None))
    assert (made.made.n_uncertain, made.made.n_uncertain_by_ids) == (1, 1)
    assert made.lines()[-1] == (
        "        1 copy tagged as another MusicBrainz recording left to you; "
        "`reprise resolve -o /p.json` asks about them"
    )
