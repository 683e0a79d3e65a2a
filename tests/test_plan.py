"""Plans: what is decided of each copy, on real comparisons of made-up fingerprints; and what is read for it."""

from __future__ import annotations

import hashlib
import os
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import mutagen
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.correlation.correlate import correlate
from dedup.correlation.scoring import MERGING
from dedup.errors import StoreDamagedError, UsageError
from dedup.groups.albums import Albums
from dedup.groups.companions import Intended
from dedup.groups.going import Goings
from dedup.groups.groups import Group, make_groups
from dedup.groups.keep import is_below, keep_rules
from dedup.groups.losses import LOST_BY_VERDICT, let_go_with
from dedup.groups.matches import ListedTrack, Matches
from dedup.library.metadata import AudioProperties, Extra, Stream
from dedup.observer import Kind, Silent
from dedup.plan.decide import Decider
from dedup.plan.make import make_plan
from dedup.plan.nouns import REMOVING, STAYING, Plan, PlannedFile, PlannedGroup
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, KeepSettings, MatchSettings, PlanSettings
from dedup.store.nulltests import Difference, NullTest, Span
from dedup.store.protection import add_protection, drop_protection, protected
from dedup.store.store import Store
from dedup.upkeep.check import check, repair
from dedup.upkeep.salvage import mend_catalog
from tests import stores
from tests.audio_files import write_tone
from tests.listening import pass_all
from tests.made_tracks import pair, track

A, B = stores.recording(1, 200), stores.recording(2, 200)
FLAC = {"codec": "flac", "lossless": True, "bits": 16, "duration_s": 200.0}
MP3 = {"codec": "mp3", "bitrate": 128_000, "duration_s": 200.0}
NOTHING = Albums([])
USUAL = KeepSettings()


def decided(
    *groups: Group, keep: KeepSettings = USUAL, albums: Albums = NOTHING, **changes: Any
) -> tuple[PlannedGroup, ...]:
    rules = keep_rules(keep, albums)
    return Decider(rules, PlanSettings(**changes), keep.protect, albums).groups(groups)


def only(*groups: Group, **how: Any) -> PlannedFile:
    """What is decided of the one copy of one group."""
    ((kept, copy),) = (group.files for group in decided(*groups, **how))
    assert kept.action == "keep"
    return copy


KEPT = track("/music/kept.flac", **FLAC)


# ---- one copy ----


@pytest.mark.parametrize("action", ["quarantine", "trash", "delete"])
def test_a_copy_goes_by_the_rule_that_decides(action: Any) -> None:
    copy = track("/music/copy.mp3", size=77, mtime_ns=5, **MP3)
    ((kept, planned),) = (group.files for group in decided(Group(KEPT, (pair(copy, KEPT, 0.9),)), action=action))
    assert planned == PlannedFile(
        path=b"/music/copy.mp3",
        action=action,
        size=77,
        mtime_ns=5,
        content=copy.digest,
        rule="lossless",
        why="flac, the other mp3",
        verdict="same recording",
        score=0.9,
        null_test="passed, residual -40 dB",
    )
    assert (kept.action, kept.rule, kept.why) == ("keep", "lossless", "flac, the other mp3")
    assert (kept.verdict, kept.score) == ("", None)


@pytest.mark.parametrize(
    ("copy", "how", "settings_", "rule"),
    [
        ({"state": "absent"}, {}, {}, "absent"),
        ({}, {"verdict": "same file"}, {}, "same file"),
        ({}, {}, {"action": "hardlink"}, "not identical"),
        ({}, {"verdict": "same audio"}, {"action": "reflink"}, "not identical"),
        ({"device": 2}, {"verdict": "identical file"}, {"action": "hardlink"}, "other disk"),
        ({}, {"score": 0.6}, {"auto": 0.7}, "uncertain"),
        ({}, {"score": 0.6}, {"auto": 0.7, "ask": 0.5}, "uncertain"),
        ({}, {"score": 0.4}, {"auto": 0.7, "ask": 0.5}, "reported only"),
        ({}, {"score": 0.4}, {"ask": 0.5}, "reported only"),
        ({}, {"test": NullTest(only_a=(Span(198.0, 200.5),), length_a_s=200.5)}, {}, "span"),
        ({}, {"test": NullTest(is_other_mix=True)}, {}, "mix"),
        ({}, {"test": NullTest(differences=(Difference(83.0, 84.0, "both"),))}, {}, "mix"),
        ({}, {"test": None}, {}, "untested"),
        ({}, {"test": NullTest(problem="vanished")}, {}, "untested"),
        ({}, {"verdict": "same recording, other speed", "rate": 0.02}, {}, "speed"),
        ({"channels": 6}, {}, {}, "channels"),
        ({"streams": (Stream("picture", "h264", width=640, height=360),)}, {}, {}, "picture"),
        ({"streams": (Stream("sound", language="deu"),)}, {}, {}, "tracks"),
        ({"streams": (Stream("subtitles", language="eng"),)}, {}, {}, "subtitles"),
        ({"streams": (Stream("attachment", title="booklet.pdf"),)}, {}, {}, "attachments"),
        ({"extras": (Extra("chapters", "12 chapters", "ab"),)}, {}, {}, "chapters"),
    ],
)
def test_what_stays_says_why(copy: Any, how: Any, settings_: Any, rule: str) -> None:
    there = track("/music/z.mp3", **MP3)  # a copy that goes, so that the group is one of the plan
    other = track("/music/copy.mp3", **{**MP3, **copy})
    members = (pair(other, KEPT, **how), pair(there, KEPT, verdict="identical file"))
    ((_, planned, _),) = (group.files for group in decided(Group(KEPT, members), **settings_))
    assert (planned.action, planned.rule) == ("leave", rule)
    assert planned.why


@pytest.mark.parametrize(
    ("copy", "how", "settings_"),
    [
        ({}, {"verdict": "identical file"}, {"action": "hardlink"}),
        ({}, {"verdict": "same audio", "score": 0.1}, {"auto": 0.9}),
        ({}, {"score": 0.1, "judged": True}, {"auto": 0.9, "ask": 0.5}),
        ({}, {"score": 0.7}, {"auto": 0.7}),
        ({}, {"score": 0.5}, {"ask": 0.5}),
        ({"duration_s": 219.0}, {}, {}),
        ({"duration_s": 150.0}, {}, {}),
        ({}, {"test": NullTest(only_b=(Span(0.0, 9.0),), length_b_s=200.0)}, {}),
        ({}, {"test": NullTest(differences=(Difference(83.0, 84.0, "b"),))}, {}),
        ({"channels": 6}, {}, {"let_go": ("channels",)}),
        ({"extras": (Extra("chapters", "12 chapters", "ab"),)}, {}, {"let_go": ("span", "chapters")}),
    ],
)
def test_what_is_certain_enough_goes(copy: Any, how: Any, settings_: Any) -> None:
    other = track("/music/copy.mp3", **{**MP3, **copy})
    planned = only(Group(KEPT, (pair(other, KEPT, **how),)), **settings_)
    assert planned.action == settings_.get("action", "quarantine")


def test_a_protected_file_does_not_become_one_with_another_by_a_hard_link() -> None:
    copy = track("/other/copy.flac", **FLAC)
    group = Group(KEPT, (pair(copy, KEPT, verdict="identical file"),))
    keep = KeepSettings(protect=(b"/music",))
    assert only(group, keep=keep, action="hardlink").rule == "protected"
    assert only(group, keep=keep, action="reflink").action == "reflink", "each is its own to change"


def test_a_protected_copy_stays_and_one_that_is_not_goes() -> None:
    keep = KeepSettings(protect=(b"/safe",))
    kept, copy, other = track("/safe/a.mp3", **MP3), track("/safe/b.mp3", **MP3), track("/c.flac", **FLAC)
    files = decided(Group(kept, (pair(copy, kept), pair(other, kept))), keep=keep)[0].files
    assert [(file.action, file.rule) for file in files] == [
        ("keep", "path"),
        ("leave", "protected"),
        ("quarantine", "protected"),
    ]


def test_groups_without_two_files_are_not_in_a_plan() -> None:
    away, back = track("/away", state="absent"), track("/imported", state="imported")
    assert decided(Group(KEPT, (pair(away, KEPT), pair(back, KEPT)))) == ()
    assert decided(Group(away, (pair(away._replace(path=b"/other"), away),))) == ()
    there = track("/music/copy", **MP3)
    (group,) = decided(Group(KEPT, (pair(there, KEPT), pair(back, KEPT))))
    assert [file.path for file in group.files] == [KEPT.path, there.path], "what was imported has no file"


# ---- albums ----


def of_album(path: str, number: int, **properties: Any) -> ListedTrack:
    tags = {"album": ("Album",), "artist": ("Artist",), "tracknumber": (f"{number}/3",)}
    return track(path, tags=tags, **properties)


def album_of(*tracks: ListedTrack) -> Albums:
    return Albums((one.path, one.properties.tags) for one in tracks)


def test_a_file_that_a_complete_album_needs_stays_unless_it_may_break() -> None:
    songs = [of_album(f"/music/album/{number}.mp3", number, **MP3) for number in (1, 2, 3)]
    group = Group(KEPT, (pair(songs[1], KEPT),))
    albums = album_of(*songs)
    left = only(group, albums=albums)
    assert (left.action, left.rule) == ("leave", "album")
    assert left.why == "track 2 of Album, which is complete with it"
    (broken,) = decided(group, albums=albums, break_albums=True)
    assert broken.files[1].action == "quarantine"
    assert broken.note == "lost to a complete album: track 2 of Album"
    assert only(group, albums=album_of(*songs[:2])).action == "quarantine", "it was not complete before"
    linked = pair(songs[1], KEPT, verdict="identical file")
    assert only(Group(KEPT, (linked,)), albums=albums, action="hardlink").action == "hardlink", "its name stays"


def test_of_an_album_that_is_there_twice_one_goes() -> None:
    good = [of_album(f"/music/flac/{number}.flac", number, **FLAC) for number in (1, 2, 3)]
    bad = [of_album(f"/music/mp3/{number}.mp3", number, **MP3) for number in (1, 2, 3)]
    groups = [Group(one, (pair(other, one),)) for one, other in zip(good, bad, strict=True)]
    planned = decided(*groups, albums=album_of(*good, *bad))
    assert [group.files[1].action for group in planned] == ["quarantine"] * 3


# ---- whatever the library ----

RECORDINGS = {
    "left": stores.copied(A, 0.2, 1),
    "middle": A,
    "right": stores.copied(A, 0.2, 2),
    "near": stores.copied(A, 0.02, 3),
    "other": B,
    "other, near": stores.copied(B, 0.02, 4),
    "part": A[20:125],
}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> Matches:
    """Real matches of these recordings, of which `library` draws the files."""
    with stores.open_store(tmp_path_factory.mktemp("store")) as store:
        for name, items in RECORDINGS.items():
            stores.add_track(store, name, items)
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        pass_all(store)
        return Matches(store, MatchSettings())


FOLDERS = ("/music/a", "/music/b", "/music/safe", "/music/flac", "/music/mp3")
KEEP = st.builds(
    KeepSettings,
    rules=st.sampled_from([("best",), ("smallest",), ("album", "tags", "newest")]),
    prefer=st.sampled_from([(), (b"/music/b",)]),
    protect=st.sampled_from([(), (b"/music/safe",)]),
    identity=st.sampled_from(["recording", "album"]),
    companions=st.sampled_from([(), ((b"/music/flac", b"/music/mp3"),)]),
)
CLEANUP = st.builds(
    PlanSettings,
    action=st.sampled_from(["quarantine", "delete", "hardlink"]),
    break_albums=st.booleans(),
    auto=st.sampled_from([None, 0.7]),
    let_go=st.sampled_from([(), ("untested",), ("span", "mix", "chapters")]),
)
PROPERTIES = st.builds(
    AudioProperties,
    lossless=st.booleans(),
    bitrate=st.sampled_from([0, 128_000, 320_000]),
    duration_s=st.sampled_from([100.0, 100.3, 130.0]),
    tags=st.one_of(
        st.just({}),
        st.builds(
            lambda album, number: {"album": (album,), "artist": ("x",), "tracknumber": (f"{number}/3",)},
            st.sampled_from(["One", "Two"]),
            st.integers(1, 3),
        ),
    ),
)
FILES = st.lists(
    st.tuples(
        st.sampled_from(FOLDERS),
        st.integers(0, 3),
        st.sampled_from(sorted(RECORDINGS)),
        st.sampled_from(["present", "present", "present", "absent", "imported"]),
        st.sampled_from([None, None, "breaks off"]),
        st.booleans(),
        PROPERTIES,
    ),
    unique_by=lambda file: file[:2],
    max_size=14,
)


def library(compared: Matches, files: Sequence[Any]) -> Matches:
    """These files, each with the sound of one of the recordings."""
    of_sound = {one.path.decode().removeprefix("/music/"): one for one in compared.tracks}
    matches = Matches.__new__(Matches)
    matches.__dict__ |= compared.__dict__
    matches.tracks, matches.by_fingerprint = [], {}
    for folder, number, sound, state, damage, is_identical, properties in files:
        path = f"{folder}/{number}".encode()
        one = of_sound[sound]._replace(
            path=path,
            state=state,
            damage=damage,
            size=1000 + number,
            inode=int.from_bytes(hashlib.sha256(path).digest()[:6], "big"),
            full=sound.encode() if is_identical else None,
            properties=properties,
        )
        matches.tracks.append(one)
        matches.by_fingerprint.setdefault(one.fingerprint, []).append(one)
    return matches


def planned_of(matches: Matches, keep: KeepSettings, cleanup: PlanSettings) -> tuple[PlannedGroup, ...]:
    there = [one for one in matches.tracks if one.state == "present"]
    albums = album_of(*there)
    rules = keep_rules(keep, albums)
    decider = Decider(rules, cleanup, keep.protect, albums)
    planned = decider.groups(make_groups(matches, rules, Intended(keep), frozenset(LOST_BY_VERDICT)))
    weighed = decider.weighed(make_groups(matches, rules, Intended(keep), let_go_with(cleanup.let_go)), Goings({}))
    assert {one.reference.path: one.bytes_reclaimable for one in weighed if one.bytes_reclaimable} == {
        one.files[0].path: one.n_bytes for one in planned if one.n_bytes
    }, "a report counts what the plan lets go"
    return planned


@settings(max_examples=70)
@given(FILES, KEEP, CLEANUP, st.randoms(use_true_random=False))
def test_what_holds_of_every_plan(
    compared: Matches, files: list[Any], keep: KeepSettings, cleanup: PlanSettings, shuffled: random.Random
) -> None:
    matches = library(compared, files)
    groups = planned_of(matches, keep, cleanup)
    shuffled.shuffle(files)
    assert planned_of(library(compared, files), keep, cleanup) == groups, "the order of files does not matter"
    tracks = {one.path: one for one in matches.tracks}
    listed = [file.path for group in groups for file in group.files]
    assert len(listed) == len(set(listed)), "no file is listed twice"
    for group in groups:
        kept = group.files[0]
        assert group.kept == kept
        assert tracks[kept.path].state == "present", "what is kept is there"
        verdicts = {pair.b.path: pair.verdict for pair in matches.of(tracks[kept.path])}
        intended = Intended(keep)
        for file in group.changed:
            assert verdicts[file.path] in MERGING | let_go_with(cleanup.let_go), "what goes matches what is kept"
            assert not is_below(file.path, keep.protect), "nothing protected is touched"
            assert tracks[file.path].state == "present"
            assert tracks[kept.path].damage is None or tracks[file.path].damage is not None
            together = [tracks[other.path] for other in group.files]
            assert all(intended.may_merge(tracks[file.path], one) for one in together if one.path != file.path)
        assert {file.action for file in group.files[1:]} <= {"leave", cleanup.action}
        assert all(file.why and file.rule for file in group.files)
    assert_albums_whole(matches, groups, cleanup)


def assert_albums_whole(matches: Matches, groups: Sequence[PlannedGroup], cleanup: PlanSettings) -> None:
    """What is complete stays so, or is told of."""
    gone = {file.path for group in groups for file in group.files if file.action in REMOVING}
    there = [one for one in matches.tracks if one.state == "present"]
    lost = album_of(*there).lacking(gone)
    if not cleanup.break_albums:
        assert lost == {}
    noted = {file.path for group in groups if group.note for file in group.files}
    assert set(lost) <= noted


# ---- a plan of a store ----


class Told(Silent):
    """An observer that remembers problems."""

    def __init__(self) -> None:
        self.problems: list[tuple[bytes, str]] = []

    def problem(self, kind: Kind, path: bytes, reason: str) -> None:
        assert kind == "failed"
        self.problems.append((path, reason))


def plan_of(store: Store, keep: KeepSettings = USUAL, told: Told | None = None, **changes: Any) -> Plan:
    correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
    pass_all(store)
    return make_plan(store, Matches(store, MatchSettings()), keep, PlanSettings(**changes), told or Told())


def add_file(store: Store, folder: Path, name: str, items: Any, **fields: str) -> Path:
    """A real file of that format with these tags, and a track of it with these items."""
    path = write_tone(folder / name, 1.0)
    file = mutagen.File(path, easy=True)
    for field, value in fields.items():
        file[field] = value
    file.save()
    is_flac = path.suffix == ".flac"
    properties = {"codec": path.suffix[1:], "lossless": is_flac, "tags": {name: (v,) for name, v in fields.items()}}
    stores.add_track(store, name, items, root=str(folder), size=path.stat().st_size, **properties)
    return path


def test_a_plan_has_what_is_to_be_merged_and_rewritten(tmp_path: Path) -> None:
    music = tmp_path / "music"
    music.mkdir()
    with stores.open_store(tmp_path / "store") as store:
        flac = add_file(store, music, "a.flac", A, title="Song")
        mp3 = add_file(store, music, "a.mp3", stores.copied(A, 0.05), title="Song!", genre="Folk")
        (music / "list.m3u").write_text("a.flac\na.mp3\na.mp3\n")
        (music / "other.m3u").write_text("b.mp3\n")
        plan = plan_of(store)
        assert plan_of(store, merge=False).groups[0].merge is None
    (group,) = plan.groups
    assert [(file.path, file.action) for file in group.files] == [
        (os.fsencode(flac), "keep"),
        (os.fsencode(mp3), "quarantine"),
    ]
    assert group.merge is not None
    assert group.merge.into == os.fsencode(flac)
    assert group.merge.fields == {"genre": ("Folk",)}
    assert [(c.name, c.kept, c.other) for c in group.merge.conflicts] == [("title", ("Song",), ("Song!",))]
    assert [(one.path, one.n_references) for one in plan.playlists] == [(os.fsencode(music / "list.m3u"), 2)]
    assert (plan.n_files, plan.n_bytes) == (1, mp3.stat().st_size)
    assert (plan.store, plan.identity, plan.protect) == (str(tmp_path / "store"), "recording", ())
    assert plan.rules[:6] == ("present", "protected", "sound", "phase", "band", "lossless")


def test_a_file_whose_tags_cannot_be_read_is_told(tmp_path: Path) -> None:
    told = Told()
    with stores.open_store(tmp_path / "store") as store:
        add_file(store, tmp_path, "a.flac", A)
        add_file(store, tmp_path, "a.mp3", stores.copied(A, 0.05)).unlink()
        (group,) = plan_of(store, told=told).groups
    assert group.merge is None
    ((path, reason),) = told.problems
    assert path == os.fsencode(tmp_path / "a.mp3")
    assert "No such file" in reason


def test_a_protected_file_gets_no_tags(tmp_path: Path) -> None:
    with stores.open_store(tmp_path / "store") as store:
        (tmp_path / "safe").mkdir()
        add_file(store, tmp_path / "safe", "a.flac", A)
        add_file(store, tmp_path, "a.mp3", stores.copied(A, 0.05), genre="Folk")
        (group,) = plan_of(store, KeepSettings(protect=(os.fsencode(tmp_path / "safe"),))).groups
    assert [file.action for file in group.files] == ["keep", "quarantine"]
    assert group.merge is None


def test_what_was_protected_once_stays_so(tmp_path: Path) -> None:
    with stores.open_store(tmp_path / "store") as store:
        stores.add_track(store, "a", A)
        stores.add_track(store, "safe/b", A)
        assert plan_of(store, merge=False).groups[0].files[0].path == b"/music/a"
        add_protection(store, [b"/music/safe"])
        add_protection(store, [b"/caf\xe9"])
        assert protected(store, [b"/now"]) == (b"/caf\xe9", b"/music/safe", b"/now")
        plan = plan_of(store, merge=False)
        assert plan.protect == (b"/caf\xe9", b"/music/safe")
        assert [file.path for file in plan.groups[0].files] == [b"/music/safe/b", b"/music/a"]
        drop_protection(store, [b"/music/safe"])
        assert plan_of(store, merge=False).protect == (b"/caf\xe9",)


@pytest.mark.parametrize("value", [3, ["/music"], [3]])
def test_where_it_is_not_known_what_is_protected_nothing_is_planned(tmp_path: Path, value: Any) -> None:
    with stores.open_store(tmp_path / "store") as store:
        add_protection(store, [b"/safe"])
    mend_catalog(tmp_path / "store", "test")
    with stores.open_store(tmp_path / "store") as store:
        assert protected(store) == (b"/safe",)
        with store.catalog.transaction():
            store.catalog.meta.set("protect", value)
        with pytest.raises(StoreDamagedError, match="the protected folders cannot be read"):
            plan_of(store)
        repair(store, check(store, Silent()))
        assert protected(store) == ()


def test_a_quarantine_that_the_next_scan_would_look_into_is_refused(tmp_path: Path) -> None:
    with stores.open_store(tmp_path / "store") as store:
        for name in ("a", "b"):
            stores.add_track(store, name, A)
        with pytest.raises(UsageError, match="is in the library, below /music"):
            plan_of(store, to=b"/music/gone")
        assert plan_of(store, to=b"/music/.reprise-quarantine/x", merge=False).n_files == 1
        assert plan_of(store, to=b"/elsewhere", merge=False).to == b"/elsewhere"


def test_a_store_of_nothing_has_a_plan_of_nothing(tmp_path: Path) -> None:
    with stores.open_store(tmp_path / "store") as store:
        plan = plan_of(store)
    assert (plan.groups, plan.playlists, plan.n_files, plan.n_bytes) == ((), (), 0, 0)
    assert STAYING == ("keep", "leave")


def test_tags_that_the_kept_file_cannot_take_are_not_lost(tmp_path: Path) -> None:
    from dedup.tags.write import write_tags
    from tests.cleanups import make_files, make_store, opened, plan_all

    root, files = tmp_path / "music", {"a.mka": 1, "b.mp3": 1, "c.mp3": 1}
    make_files(root, files)
    write_tags(bytes(root / "b.mp3"), {"title": ["Only here"]})
    make_store(tmp_path / "store", root, files)
    with opened(root) as store:
        (group,) = plan_all(store).groups
        told = {file.path: (file.action, file.rule) for file in group.files}
        assert [path for path, (action, _) in told.items() if action == "keep"] == [bytes(root / "a.mka")]
        assert {told[bytes(root / name)] for name in ("b.mp3", "c.mp3")} == {("leave", "tags")}
        (unmerged,) = plan_all(store, settings=PlanSettings(merge=False)).groups
        assert [file.action for file in unmerged.files] == ["keep", "quarantine", "quarantine"]
