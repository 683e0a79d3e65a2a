"""The gate: what it says about a file is what scanning and comparing that file would say; and what it answers then."""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from dedup.confirm.run import confirm
from dedup.correlation.correlate import correlate
from dedup.correlation.match import identity_match
from dedup.correlation.scoring import Verdict
from dedup.files.disks import Disks
from dedup.files.standby import Standby
from dedup.gate.backfill import backfill
from dedup.gate.decide import OF_PLACE, Policy, decide, rules_for
from dedup.gate.gate import Gate
from dedup.gate.newcomer import Newcomer
from dedup.gate.nouns import Decision
from dedup.gate.shelves import MOST_ITEMS, MOST_SMALL, planned, shelves_of
from dedup.groups.companions import Intended
from dedup.groups.judgements import record
from dedup.groups.matches import ListedTrack, Matches, TrackPair
from dedup.groups.verdicts import heard, verdict_of
from dedup.library.metadata import AudioProperties
from dedup.library.streams import Stream
from dedup.library.unusable import Unusable
from dedup.observer import Silent
from dedup.runner import InlineRunner, Stop
from dedup.scan.scan import scan
from dedup.settings import CompareSettings, FingerprintSettings, GateSettings, KeepSettings, MatchSettings, ScanSettings
from dedup.store.nulltests import NullTest, Span
from dedup.store.store import make_or_open, open_for_reading, open_for_writing
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import compose
from dedup.tags.extras import Extra
from dedup.upkeep.compact import compact
from scripts.study.speeds import changed
from tests import stores

LIBRARY = ("a song.flac", "b other.mp3")
MP3, FLAC, OPUS = Encoding("mp3", 128_000), Encoding("flac"), Encoding("opus", 96_000)
SECONDS = 30.0


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`library`, and `new`: files on their way in."""
    base = tmp_path_factory.mktemp("gate")
    library, new = base / "library", base / "new"
    library.mkdir()
    new.mkdir()
    song, other = compose(1, "one", SECONDS), compose(2, "two", SECONDS)
    write(str(library / LIBRARY[0]), song, FLAC)
    write(str(library / LIBRARY[1]), other, MP3)
    shutil.copy(library / LIBRARY[0], new / "identical.flac")
    write(str(new / "copy.mp3"), song, MP3)
    write(str(new / "better.flac"), other, FLAC)
    write(str(new / "part.mp3"), song[: len(song) // 2], MP3)
    write(str(new / "faster.opus"), changed(song, "speed", 1.03), OPUS)
    write(str(new / "strange.mp3"), compose(3, "three", SECONDS), MP3)
    write(str(new / "short.mp3"), song[:44_100], MP3)
    (new / "garbage.mp3").write_bytes(np.random.default_rng(1).bytes(50_000))
    return base


@pytest.fixture(scope="module")
def folder(music: Path) -> Path:
    """A store of the library."""
    return scanned(music / "store", music / "library")


@pytest.fixture(scope="module")
def standby() -> Iterator[Standby]:
    made = Standby(1)
    yield made
    made.close()


@pytest.fixture
def gate(folder: Path, standby: Standby) -> Iterator[Gate]:
    with open_for_reading(folder) as store:
        made = Gate(store, standby, MatchSettings(), Policy(), ScanSettings(), n_threads=2)
        yield made
        made.close()


def scanned(folder: Path, *roots: Path) -> Path:
    with make_or_open(folder, FingerprintSettings(), 4, "test") as store:
        runner = InlineRunner()
        scan(store, [os.fsencode(root) for root in roots], ScanSettings(), runner, Silent())
        correlate(store, CompareSettings(), runner, Silent())
        confirm(store, Matches(store, MatchSettings()), runner, Silent(), Disks(runner, None), 60.0)
    return folder


def test_the_numbers_are_those_of_scan_and_correlate(music: Path, gate: Gate) -> None:
    """With the file in the library."""
    scanned(music / "whole", music / "library", music / "new")
    with open_for_reading(music / "whole") as whole:
        matches = Matches(whole, MatchSettings())
        seen = set()
        for path in sorted(map(os.fsencode, (music / "new").iterdir())):
            newcomer = gate.reader.read(path)
            if isinstance(newcomer, Unusable):
                continue
            expected = [p for p in matches.of_path(path) if p.b.path.startswith(os.fsencode(music / "library"))]
            found = gate.relations.of(newcomer)
            assert [each.b.path for each in found] == [each.b.path for each in expected]
            for mine, theirs in zip(found, expected, strict=True):
                assert mine.match == theirs.match
                assert (mine.verdict, mine.change) == (theirs.verdict, theirs.change)
                assert as_known(mine.a) == as_known(theirs.a)
                assert as_known(mine.b) == as_known(theirs.b)
                seen.add(mine.verdict)
    assert seen == {"identical file", "same recording", "contained", "same recording, other speed"}


def as_known(track: ListedTrack) -> ListedTrack:
    """Without what depends on the store, and on which other files were hashed."""
    return track._replace(root=b"", full=None, audio=0, fingerprint=0)


@pytest.mark.parametrize(
    ("name", "answer", "why"),
    [
        ("identical.flac", "duplicate", "a song.flac has the same bytes"),
        ("copy.mp3", "duplicate", "a song.flac is the same recording, and better: flac, the other mp3"),
        ("better.flac", "better", "it is better than LIBRARY/b other.mp3: flac, the other mp3"),
        ("part.mp3", "other version", "it is 0:00 to 0:"),
        ("faster.opus", "other version", " % faster and higher"),
        ("strange.mp3", "import", "nothing in the library agrees with it"),
        ("short.mp3", "unusable", "too short: 1.0 s of audio"),
        ("garbage.mp3", "unusable", ""),
        ("missing.mp3", "unusable", "vanished"),
        (".", "unusable", "a folder"),
        ("../library/a song.flac", "known", "in the library already"),
    ],
)
def test_one_answer(music: Path, gate: Gate, name: str, answer: str, why: str) -> None:
    decision = gate.check(os.fsencode(music / "new" / name))
    assert decision.answer == answer
    assert why in decision.why.replace(str(music / "library"), "LIBRARY")


def test_another_name_of_a_file_of_the_library_is_known(music: Path, gate: Gate, tmp_path: Path) -> None:
    """Whoever removed it as a duplicate would remove the library's."""
    song = music / "library" / LIBRARY[0]
    (tmp_path / "link.flac").symlink_to(song)
    os.link(song, tmp_path / "hard.flac")
    said = {name: gate.check(os.fsencode(tmp_path / name)) for name in ("link.flac", "hard.flac")}
    assert {each.answer for each in said.values()} == {"known"}
    assert "under another name" in said["hard.flac"].why


def test_what_a_person_said_counts(music: Path, folder: Path, standby: Standby, tmp_path: Path) -> None:
    shutil.copytree(folder, tmp_path / "store")
    with open_for_writing(tmp_path / "store", "test") as store:
        gate = Gate(store, standby, MatchSettings(), Policy(), ScanSettings())
        contents = [store.catalog.tracks.get(os.fsencode(music / "library" / name)) for name in LIBRARY]
        streams = [store.catalog.audios.hallmark(track.audio or 0).stream or b"" for track in contents if track]
        found = {name: gate.reader.read(os.fsencode(music / "new" / name)) for name in ("copy.mp3", "strange.mp3")}
        read = {name: each for name, each in found.items() if isinstance(each, Newcomer)}
        record(store, read["copy.mp3"].track.content, streams[0], False, None)
        record(store, read["strange.mp3"].track.content, streams[1], True, None)
        gate.library.refresh()
        said = {name: gate.decide(newcomer.track.path, newcomer) for name, newcomer in read.items()}
    assert said["copy.mp3"].answer == "import"
    assert [(pair.judged, pair.verdict) for pair in said["strange.mp3"].copies] == [(True, "same recording")]


def test_what_a_person_said_of_two_of_which_one_has_a_picture_counts_too() -> None:
    """As it does of two tracks of the library: both ask the same function."""
    film = file("/new/x.mkv", streams=(Stream("picture", "h264"),))
    sound = file("/l/a.flac")

    def by_sound() -> Verdict:
        return "same recording"

    said = [verdict_of(film, sound, False, judged, by_sound, lambda: None) for judged in (True, None, False)]
    assert said == ["same recording", "same audio, picture not compared", "other"]


def test_files_on_their_way_in_count_until_they_leave(music: Path, gate: Gate) -> None:
    strange = os.fsencode(music / "new" / "strange.mp3")
    again = os.fsencode(music / "again.mp3")
    shutil.copy(strange, again)
    newcomer = gate.reader.read(strange)
    assert isinstance(newcomer, Newcomer)
    id_ = gate.library.take(newcomer)
    assert gate.decide(strange, newcomer).answer == "import", "the file itself is no copy of itself"
    second = gate.check(again)
    assert (second.answer, [pair.b.path for pair in second.copies]) == ("duplicate", [strange])
    assert second.copies[0].verdict == "same audio"
    gate.library.leave([id_])
    assert gate.check(again).answer == "import"


def test_a_folder_is_decided_against_the_library_and_itself(
    music: Path, gate: Gate, standby: Standby, tmp_path: Path
) -> None:
    new = music / "new"
    for name in ("strange.mp3", "copy.mp3", "short.mp3"):
        shutil.copy2(new / name, tmp_path / name)
    write(str(tmp_path / "strange.flac"), compose(3, "three", SECONDS), FLAC)
    shutil.copy2(tmp_path / "strange.mp3", tmp_path / "newer.mp3")
    os.utime(tmp_path / "newer.mp3", (2e9, 2e9))
    paths = sorted(map(os.fsencode, tmp_path.iterdir()))
    said = list(backfill(gate, standby, [*paths, os.fsencode(music / "library" / LIBRARY[0])], 2, Silent()))
    answers = {os.path.basename(each.path).decode(): each.answer for each in said}
    assert answers == {
        "a song.flac": "known",
        "short.mp3": "unusable",
        "copy.mp3": "duplicate",
        "strange.flac": "import",
        "newer.mp3": "duplicate",
        "strange.mp3": "duplicate",
    }
    order = [os.path.basename(each.path) for each in said]
    assert order.index(b"strange.flac") < order.index(b"newer.mp3") < order.index(b"strange.mp3")
    assert os.path.basename(said[-1].copies[0].b.path) in (b"strange.flac", b"a song.flac")


def test_a_fingerprint_that_is_in_no_block_yet_is_found(music: Path, standby: Standby, tmp_path: Path) -> None:
    with make_or_open(tmp_path / "store", FingerprintSettings(), 4, "test") as store:
        gate = Gate(store, standby, MatchSettings(), Policy(), ScanSettings())
        copy = os.fsencode(music / "new" / "copy.mp3")
        assert gate.check(copy).answer == "import"
        song = gate.reader.read(os.fsencode(music / "library" / LIBRARY[0]))
        assert isinstance(song, Newcomer)
        stores.add_track(store, "song.flac", song.items, codec="flac", lossless=True, channels=2, sample_rate=44100)
        gate.library.refresh()
        (pair,) = gate.check(copy).copies + gate.check(copy).others
        assert pair.verdict == "same recording"
        store.seal_tail()
        gate.library.refresh()
        (sealed,) = gate.check(copy).copies + gate.check(copy).others
        assert sealed.match == pair.match


def test_a_store_that_was_compared_by_the_join_is_asked_so(
    music: Path, folder: Path, standby: Standby, gate: Gate, tmp_path: Path
) -> None:
    shutil.copytree(folder, tmp_path / "store")
    with open_for_writing(tmp_path / "store", "test") as store:
        store.catalog.meta.set("compare", CompareSettings("join").record())
        with contextlib.closing(Gate(store, standby, MatchSettings(), Policy(), ScanSettings())) as joined:
            for name in ("copy.mp3", "part.mp3", "faster.opus", "strange.mp3"):
                newcomer = gate.reader.read(os.fsencode(music / "new" / name))
                assert isinstance(newcomer, Newcomer)
                by_join, by_cascade = (
                    each.library.relations(newcomer.items, newcomer.pitches) for each in (joined, gate)
                )
                assert by_join == by_cascade
                assert len(by_join) == (name != "strange.mp3")


# ---- shelves ----


def test_blocks_come_onto_shelves_once(tmp_path: Path) -> None:
    """New blocks get a shelf of their own, a damaged one is packed again, and one of blocks that are gone goes."""
    with make_or_open(tmp_path / "store", FingerprintSettings(), 2, "test") as store:
        for seed in range(6):
            stores.add_track(store, f"{seed}", stores.recording(seed, 300 + seed))
        store.seal_tail()
        folder = store.layout.gate / "shelves"
        (shelf,) = shelves_of(store)
        made = {each.name: each.stat().st_mtime_ns for each in folder.iterdir()}
        assert sum(len(shelf.items(row)) for row in range(6)) == sum(300 + seed for seed in range(6))
        stores.add_track(store, "7", stores.recording(7, 300))
        store.seal_tail()
        assert len(shelves_of(store)) == 2
        (name,) = made
        assert made[name] == (folder / name).stat().st_mtime_ns
        (folder / name / "codes.npy").write_bytes(b"x")
        (folder / f"wip-{name}").mkdir()
        os.utime(folder / f"wip-{name}", (0, 0))
        assert len(shelves_of(store)) == 2
        assert not (folder / f"wip-{name}").exists()
        for seed in range(8, 20):
            stores.add_track(store, f"{seed}", stores.recording(seed, 300))
            store.seal_tail()
            found = shelves_of(store)
        assert len(found) <= MOST_SMALL + 1
        assert sorted(block for shelf in found for block in shelf.blocks) == sorted(store.catalog.blocks.names())
        compact(store, Silent(), Stop())
        found = shelves_of(store)
        assert sorted(block for shelf in found for block in shelf.blocks) == sorted(store.catalog.blocks.names())
        assert len(list(folder.iterdir())) == len(found)


def test_shelves_are_bounded() -> None:
    sizes = dict.fromkeys("abcdefg", (100, MOST_ITEMS // 3)) | {"huge": (1, 2 * MOST_ITEMS)}
    assert list(planned(["a", "b", "huge", "c", "d", "e", "f"], sizes)) == [
        ("a", "b"),
        ("huge",),
        ("c", "d", "e"),
        ("f",),
    ]


# ---- the answer ----


def file(name: str, **changes: object) -> ListedTrack:
    known = AudioProperties("flac", lossless=True, sample_rate=44100, bits=16, channels=2, duration_s=60.0)
    properties = known._replace(**{k: v for k, v in changes.items() if k in known._fields})  # type: ignore[arg-type]
    track = ListedTrack(
        *(name.encode(), b"/", "present", 1000, 1, 1, hash(name), None, 1, name.encode().ljust(16), "", None, 1),
        *(name.encode().ljust(16), 480, 400, properties, 60.0, None, 0, -16.0),
    )
    return track._replace(**{k: v for k, v in changes.items() if k not in known._fields})  # type: ignore[arg-type]


NEWCOMER = file("/new/x.flac", audio=2, fingerprint=2)
USUAL = Policy()
COPY, MIX = NullTest(length_a_s=60.0, length_b_s=60.0), NullTest(is_other_mix=True)


def decided(
    *others: ListedTrack,
    test: NullTest = COPY,
    policy: Policy = USUAL,
    track: ListedTrack = NEWCOMER,
    said: Verdict = "same recording",
) -> Decision:
    def listen(pair: TrackPair) -> TrackPair:
        return pair._replace(test=test, verdict=heard(test))

    pairs = [TrackPair(track, other, identity_match(480, 400), said) for other in others]
    return decide(track, pairs, policy, Intended(policy.keep), listen)


def test_a_copy_that_is_as_good_is_a_duplicate() -> None:
    assert decided(file("/l/a.flac")).answer == "duplicate"
    assert decided(file("/l/z.flac")).answer == "duplicate", "names tell nothing"


def test_a_worse_copy_in_the_library_makes_it_better() -> None:
    decision = decided(file("/l/a.mp3", codec="mp3", lossless=False, bits=0, has_cover=True))
    assert (decision.answer, decision.rule and decision.rule.rule) == ("better", "lossless")
    assert decided(file("/l/a.mp3", codec="mp3", lossless=False), file("/l/b.flac")).answer == "duplicate"


def test_another_mix_is_another_version() -> None:
    decision = decided(file("/l/a.flac"), test=MIX)
    assert decision.answer == "other version"
    assert decision.why == "it is another mix of /l/a.flac: null test: another mix, residual 0 dB"


def test_what_is_in_it_alone_is_never_a_duplicate() -> None:
    more = NullTest(only_a=(Span(50.0, 60.0),), length_a_s=60.0, length_b_s=50.0)
    decision = decided(file("/l/a.flac"), test=more)
    assert (decision.answer, decision.why) == ("other version", "it holds what /l/a.flac lacks: 10 s at the end")
    assert decided(file("/l/a.flac"), test=more, policy=Policy(let_go=("span",))).answer == "duplicate"
    lyrics = file("/new/x.flac", extras=(Extra("lyrics", "lyrics", "digest"),), audio=2)
    decision = decided(file("/l/a.flac"), track=lyrics)
    assert (decision.answer, decision.why) == ("better", "it has what /l/a.flac lacks: lyrics")


def test_what_nobody_can_listen_to_is_no_duplicate() -> None:
    unmade = NullTest(problem="vanished")
    decision = decided(file("/l/a.flac"), test=unmade)
    assert decision.answer == "other version"
    assert decision.why == "it agrees with /l/a.flac like a copy, but nobody has listened to the two: vanished"
    assert decided(file("/l/a.flac"), test=unmade, policy=Policy(let_go=("untested",))).answer == "duplicate"


def test_the_same_recording_on_another_album_may_be_wanted() -> None:
    by_album = Policy(KeepSettings(identity="album"))
    tags = {"album": ("One",), "tracknumber": ("1",), "title": ("x",)}
    mine, single = file("/new/x.flac", tags=tags, audio=2), file("/l/a.flac", tags={**tags, "album": ("Single",)})
    assert decided(single, track=mine, policy=by_album).answer == "import"
    assert decided(file("/l/b.flac", tags=tags), single, track=mine, policy=by_album).answer == "duplicate"
    assert decided(single, track=mine).answer == "duplicate"


def test_one_album_from_two_shops() -> None:
    """The story that docs/gate/two-shops.md tells."""

    def tagged(name: str, album: str, **changes: object) -> ListedTrack:
        return file(name, tags={"album": (album,), "tracknumber": ("3",), "title": ("x",)}, audio=2, **changes)

    mp3 = file(
        "/l/3.mp3",
        **{"codec": "mp3", "lossless": False, "bits": 0},
        tags={"album": ("Songs",), "tracknumber": ("3",), "title": ("x",)},
    )
    by_album = Policy(KeepSettings(identity="album"))
    said = {
        album: (
            decided(mp3, track=tagged("/n/3.flac", album)).answer,
            decided(mp3, track=tagged("/n/3.flac", album), policy=by_album).answer,
        )
        for album in ("Songs (Deluxe Edition)", "Songs [2011 Remaster]", "Three", "Songs", "  SONGS ", "Songs (Disc 2)")
    }
    assert said == {
        "Songs (Deluxe Edition)": ("better", "import"),
        "Songs [2011 Remaster]": ("better", "import"),
        "Three": ("better", "import"),
        "Songs": ("better", "better"),
        "  SONGS ": ("better", "better"),
        "Songs (Disc 2)": ("better", "import"),
    }
    again = file("/l/3.flac", tags={"album": ("Songs",), "tracknumber": ("3",), "title": ("x",)})
    assert decided(again, mp3, track=tagged("/n/3.flac", "Songs"), policy=by_album).answer == "duplicate"


def test_what_becomes_of_a_file_follows_the_policy() -> None:
    worse, part = file("/l/a.mp3", codec="mp3", lossless=False, bits=0), file("/l/b.flac")
    for deed in ("import", "ask", "reject"):
        better = decided(worse, policy=Policy(gate=GateSettings(on_better=deed)))
        assert (better.answer, better.deed) == ("better", deed)
        other = decided(part, test=MIX, policy=Policy(gate=GateSettings(on_other=deed)))
        assert (other.answer, other.deed) == ("other version", deed)
    strict = Policy(gate=GateSettings("reject", "reject"))
    assert decided(policy=strict).deed == "import"
    assert decided(part, policy=Policy(gate=GateSettings("import", "import"))).deed == "reject"


def test_rules_of_place_do_not_count() -> None:
    names = {rule.name for rule in rules_for(KeepSettings(rules=("newest", "prefer"))).rules}
    assert names.isdisjoint(OF_PLACE) and "sound" in names
