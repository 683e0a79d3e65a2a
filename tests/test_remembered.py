"""Matches that are taken from where they were kept give the same answers, to the byte, as those that are read: whatever
was changed meanwhile, and whatever became of the file."""

from __future__ import annotations

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dedup.correlation.correlate import correlate
from dedup.groups import remembered
from dedup.groups.going import Going
from dedup.groups.groups import Found, Group, groups_of, relations_apart
from dedup.groups.judgements import find, forget, record
from dedup.groups.matches import Matches
from dedup.groups.remembered import Place, Remembered
from dedup.library.streams import Stream
from dedup.observer import Silent
from dedup.pipeline import Full, full
from dedup.plan.decide import Decider
from dedup.plan.make import grounds_of
from dedup.plan.weigh import find_groups
from dedup.report.export import group_record, pair_record
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, KeepSettings, MatchSettings, PlanSettings, ScanSettings
from dedup.store.comparisons import Confirmation
from dedup.store.nulltests import Difference, NullTest, Span
from dedup.store.protection import add_protection
from dedup.store.store import Store, open_for_reading, open_for_writing
from dedup.tags.extras import Extra
from tests.stores import add_audio, add_track, copied, open_store, recording

N_SOUNDS = 6
MIX = NullTest(rate=0.00313, residual_db=-9.0, is_other_mix=True, differences=(Difference(1.0, 9.5, "a"),))
SPANS = NullTest(lag_s=1.23, residual_db=-50.0, only_a=(Span(0.0, 4.0),), length_a_s=50.0, length_b_s=46.0)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of albums, some complete, with copies of their tracks, excerpts, and worn ones that relate; and a sound
    that has to do with nothing."""
    folder, chance = tmp_path_factory.mktemp("made") / "store", random.Random(1)
    with open_store(folder) as store:
        for number in range(N_SOUNDS):
            whole = recording(number + 1, 400)
            worn = [copied(whole, chance.choice((0.02, 0.1, 0.3)), seed=each) for each in range(2)]
            for at, items in enumerate((whole, *worn, whole[40:220], copied(whole[150:], 0.05))):
                audio = add_audio(store, items, stream=bytes([number + 1, at]) * 8)
                add_track(
                    store,
                    f"{at}/{number // 3}/{number}.mp3",
                    audio,
                    size=1000 + 10 * at + number,
                    tags=tags(0 if at == 4 else number // 3, number % 3 + 1),
                    streams=(Stream("sound"), Stream("picture", width=64, height=48)) if (number, at) == (1, 1) else (),
                    extras=(Extra("lyrics", "lyrics", "0123456789abcdef", "lyrics"),) if at == 2 else (),
                )
        for at in range(2):
            add_track(store, f"{at}/1/mate.mp3", recording(50 + at, 300), tags=tags(1, 4))
        add_track(store, "single.mp3", recording(70, 300), tags=tags(0, 2))
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        pairs = [pair for pair in Matches(store, MatchSettings()).pairs() if pair.verdict == "same recording"]
        store.catalog.nulltests.put((pair.a.content, pair.b.content, SPANS) for pair in pairs[::2])
    return folder


def tags(album: int, number: int) -> dict[str, tuple[str, ...]]:
    return {"artist": ("Ä",), "album": (f"Album {album}",), "tracknumber": (f"{number}/{4 if album else 3}",)}


@pytest.fixture
def folder(made: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A copy of it, of which matches are kept however few they are."""
    monkeypatch.setattr(remembered, "LEAST_TRACKS", 0)
    shutil.copytree(made, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def place(tmp_path: Path) -> Place:
    return Place(tmp_path / "kept", "program")


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets an entry whenever matches are read from a store."""
    told: list[int] = []
    init = Matches.__init__

    def counted(self: Matches, *arguments: object) -> None:
        told.append(1)
        init(self, *arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(Matches, "__init__", counted)
    return told


def told(
    store: Store,
    place: Place | None,
    asked: tuple[MatchSettings, KeepSettings, PlanSettings] | None = None,
) -> str:
    """All that commands tell of the matches and groups of a store."""
    match, keep, settings = asked or (MatchSettings(), KeepSettings(), PlanSettings())
    found: Found = find_groups(store, match, keep, settings, place)
    said = [[group_record(group) for group in found.groups]]
    said += [[pair_record(pair) for pair in pairs] for pairs in (relations_apart(*found), found.matches.pairs())]
    grounds = grounds_of(store, found.matches, keep, settings)
    planned = grounds.decider.groups(grounds.groups())
    return "\n".join([*map(json.dumps, said), repr(found.matches.thresholds), repr(planned)])


def pairs_of(store: Store) -> list[tuple[bytes, bytes]]:
    pairs = Matches(store, MatchSettings()).pairs()
    return sorted({(pair.a.content, pair.b.content) for pair in pairs if pair.a.content != pair.b.content})


def copies_of(store: Store, is_tested: bool) -> tuple[bytes, bytes]:
    pairs = (pair for pair in Matches(store, MatchSettings()).pairs() if pair.verdict == "same recording")
    pair = next(pair for pair in pairs if (pair.test is not None) == is_tested)
    return pair.a.content, pair.b.content


def say(store: Store, one: str, other: str, same: bool) -> None:
    a, b = (find(store, f"/music/{name}".encode()).content for name in (one, other))
    record(store, a, b, same, None)


def untag(store: Store, path: bytes) -> None:
    store.catalog.tracks.set_properties([(path, '{"tags": {}}')])


def confirm(store: Store) -> None:
    """Hears a pair again at another pitch."""
    pairs = (pair for pair in Matches(store, MatchSettings()).pairs() if pair.a.digest != pair.b.digest)
    pair = next(pair for pair in pairs if pair.verdict == "same recording")
    store.catalog.comparisons.put_confirmed([Confirmation.of(pair.a.digest, pair.b.digest, "pitch", 1.06, b"")])


LITTLE: dict[str, Callable[[Store], object]] = {
    "different": lambda store: say(store, "0/0/0.mp3", "1/0/0.mp3", same=False),
    "same, as it was": lambda store: say(store, "0/0/0.mp3", "1/0/0.mp3", same=True),
    "same, of an excerpt": lambda store: say(store, "0/0/1.mp3", "3/0/1.mp3", same=True),
    "a null test": lambda store: store.catalog.nulltests.put([(*copies_of(store, is_tested=False), MIX)]),
    "another null test": lambda store: store.catalog.nulltests.put([(*copies_of(store, is_tested=True), MIX)]),
    "a judgement of nothing there": lambda store: record(store, b"1" * 16, b"2" * 16, True, None),
}
"""Changes after which nothing but the tracks that they concern is looked at."""

MUCH: dict[str, Callable[[Store], object]] = {
    "same, of two that no tile found": lambda store: say(store, "0/0/0.mp3", "0/0/1.mp3", same=True),
    "same, of a track that was not read": lambda store: say(store, "0/0/0.mp3", "single.mp3", same=True),
    "other tags": lambda store: untag(store, b"/music/0/1/3.mp3"),
    "other tags beside it": lambda store: untag(store, b"/music/0/1/mate.mp3"),
    "a file that is gone": lambda store: store.catalog.tracks.set_state([b"/music/1/0/0.mp3"], "absent"),
    "a file beside it that is gone": lambda store: store.catalog.tracks.forget([b"/music/0/1/mate.mp3"]),
    "another root": lambda store: store.catalog.tracks.change("path", ["root"], [(b"/music/1/0/0.mp3", b"/music/1")]),
    "full hashes": lambda store: [store.catalog.tracks.set_full(b"/music/%d/0/0.mp3" % at, b"f" * 32) for at in (1, 2)],
    "a new file": lambda store: add_track(store, "new.mp3", recording(1, 400)),
    "a pair": lambda store: (add_track(store, "new.mp3", copied(recording(1, 400), 0.03)), compare(store)),
    "a protected folder": lambda store: add_protection(store, [b"/music/1"]),
    "the noise": lambda store: store.catalog.meta.set(
        "noise", {"common": 0.2, "decade": 0.1, "n_pairs": 400, "agreement": []}
    ),
    "another pitch": confirm,
    "no results": lambda store: store.catalog.results.clear(),
}
"""Changes after which everything is read."""


def compare(store: Store) -> None:
    correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())


@pytest.mark.parametrize("change", [None, *LITTLE, *MUCH])
def test_answers_are_those_of_a_store_that_is_read(
    folder: Path, place: Place, reads: list[int], change: str | None
) -> None:
    with open_for_writing(folder, "test") as store:
        before = told(store, place)
        if change is not None:
            {**LITTLE, **MUCH}[change](store)
        reads.clear()
        now = told(store, place)
        assert len(reads) == (change in MUCH)
        assert now == told(store, None)
        reads.clear()
        assert (told(store, place), len(reads)) == (now, 0)
    if change is not None and change not in ("a judgement of nothing there", "same, as it was", "another root"):
        assert now != before


def test_a_judgement_that_is_taken_back_leaves_no_pair(folder: Path, place: Place) -> None:
    with open_for_writing(folder, "test") as store:
        before = told(store, place)
        say(store, "0/0/0.mp3", "single.mp3", same=True)
        assert told(store, place) != before
        forget(store, *(find(store, f"/music/{name}".encode()).content for name in ("0/0/0.mp3", "single.mp3")))
        assert told(store, place) == before == told(store, None)


def test_what_waits_beside_the_catalog_counts(folder: Path, place: Place) -> None:
    with open_for_reading(folder) as store:
        before = told(store, place)
        say(store, "0/0/0.mp3", "1/0/0.mp3", same=False)
        assert before != told(store, place) == told(store, None)


def test_any_judgements_and_null_tests_one_after_the_other(folder: Path, place: Place, reads: list[int]) -> None:
    """Property: kept matches that were brought up to date many times are those that are read."""
    chance = random.Random(1)
    with open_for_writing(folder, "test") as store:
        pairs, n_kept = pairs_of(store), 0
        told(store, place)
        for _ in range(12):
            for both in chance.sample(pairs, 2):
                if chance.random() < 0.3:
                    forget(store, *both)
                elif chance.random() < 0.5:
                    record(store, *both, chance.random() < 0.5, None)
                else:
                    store.catalog.nulltests.put([(*both, chance.choice((MIX, SPANS, NullTest("too short"))))])
            reads.clear()
            now = told(store, place)
            n_kept += not reads
            assert now == told(store, None)
        assert n_kept == 12


SETTINGS: tuple[tuple[MatchSettings, KeepSettings, PlanSettings], ...] = (
    (MatchSettings(min_score=0.9), KeepSettings(), PlanSettings()),
    (MatchSettings(classic=0.9), KeepSettings(), PlanSettings()),
    (MatchSettings(), KeepSettings(rules=("smallest",)), PlanSettings()),
    (MatchSettings(), KeepSettings(identity="album"), PlanSettings()),
    (MatchSettings(), KeepSettings(companions=((b"/music/0", b"/music/1"),)), PlanSettings()),
    (MatchSettings(), KeepSettings(prefer=(b"/music/4",)), PlanSettings(break_albums=True)),
    (MatchSettings(), KeepSettings(), PlanSettings(let_go=("span", "untested"))),
)


def test_each_setting_has_its_own(folder: Path, place: Place) -> None:
    with open_for_reading(folder) as store:
        cold = [told(store, None, each) for each in SETTINGS]
        assert len({*cold, told(store, place)}) == len(SETTINGS) + 1
        for _ in range(2):
            for said, each in zip(cold, SETTINGS, strict=True):
                assert told(store, place, each) == said


def test_a_damaged_file_holds_nothing(folder: Path, place: Place, reads: list[int]) -> None:
    with open_for_reading(folder) as store:
        before = told(store, place)
        (path,) = place.folder.iterdir()
        assert path.stat().st_mode & 0o077 == 0 and place.folder.stat().st_mode & 0o077 == 0
        sound = path.read_bytes()
        flips = range(0, len(sound), len(sound) // 15)
        damaged = [sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :] for at in flips]
        reads.clear()
        for data in (*damaged, sound[:-1], sound[:20], b""):
            path.write_bytes(data)
            assert told(store, place) == before
        assert len(reads) == len(damaged) + 3
        assert path.read_bytes() == sound, "what is found again is kept again"


def test_another_program_and_another_store_have_their_own(folder: Path, place: Place, reads: list[int]) -> None:
    with open_for_reading(folder) as store:
        told(store, place)
        (path,) = place.folder.iterdir()
        reads.clear()
        told(store, place._replace(program="another"))
        assert len(reads) == 1
        (other,) = set(place.folder.iterdir()) - {path}
        other.write_bytes(path.read_bytes())
        told(store, place._replace(program="another"))
        assert len(reads) == 2, "a file that was given another's name is none"


def test_only_what_has_changed_is_decided_again(folder: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    asked = MatchSettings(), KeepSettings(), PlanSettings()
    with open_for_reading(folder) as store:
        remembered = Remembered(store, *asked[:2], place)  # as a plan does it
        remembered.keep(remembered.matches())
        find_groups(store, *asked, place)
        find_groups(store, *asked[:2], PlanSettings(auto=0.9, break_albums=True), place)
    decided: list[bytes] = []
    going = Decider._going

    def noted(self: Decider, group: Group) -> Going:
        decided.append(group.reference.path)
        return going(self, group)

    monkeypatch.setattr(Decider, "_going", noted)
    with open_for_reading(folder) as store:
        groups = find_groups(store, *asked, place).groups
        assert len(groups) > 2
        find_groups(store, *asked[:2], PlanSettings(auto=0.9), place)
        assert decided == []
    with open_for_writing(folder, "test") as store:
        say(store, *(track.path.decode().removeprefix("/music/") for track in groups[0].tracks[:2]), same=False)
    with open_for_reading(folder) as store:
        changed = find_groups(store, *asked, place).groups
        assert 0 < len(decided) < len(changed) - 1
        assert list(map(group_record, changed)) == list(map(group_record, find_groups(store, *asked).groups))


def test_what_is_confirmed_after_matches_were_taken_counts_for_their_groups(folder: Path, place: Place) -> None:
    asked = MatchSettings(), KeepSettings()
    with open_for_writing(folder, "test") as store:
        find_groups(store, *asked, PlanSettings(), place)
        matches = Remembered(store, *asked, place).matches()
        before = list(map(group_record, groups_of(store, matches, asked[1])))
        confirm(store)
        matches.take_in_confirmed(store)
        after = list(map(group_record, groups_of(store, matches, asked[1])))
        assert after == list(map(group_record, groups_of(store, Matches(store, asked[0]), asked[1])))
        assert after != before


def test_nothing_is_kept_of_a_store_that_changes_meanwhile(
    folder: Path, place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    init = Matches.__init__

    def disturbed(self: Matches, *arguments: object) -> None:
        init(self, *arguments)  # type: ignore[arg-type]
        with open_for_writing(folder, "test") as store:
            say(store, "0/0/0.mp3", "1/0/0.mp3", same=False)

    with open_for_reading(folder) as store:
        with monkeypatch.context() as patched:
            patched.setattr(Matches, "__init__", disturbed)
            find_groups(store, MatchSettings(), KeepSettings(), PlanSettings(), place)
        assert not place.folder.exists()
        assert told(store, place) == told(store, None)


def test_little_is_not_kept(folder: Path, place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remembered, "LEAST_TRACKS", 10_000)
    with open_for_reading(folder) as store:
        told(store, place)
    assert not place.folder.exists()


def test_no_place_is_no_error(folder: Path, tmp_path: Path, reads: list[int]) -> None:
    (tmp_path / "kept").write_text("not a folder")
    with open_for_reading(folder) as store:
        assert told(store, Place(tmp_path / "kept", "program")) == told(store, None)
    assert len(reads) == 2


def job(store: Store, root: Path, place: Place, conclude: Callable[[Full], None]) -> None:
    """The main job on an empty folder: files of this store are not there, so no null test can be made."""
    full(
        store,
        [bytes(root)],
        scan=ScanSettings(),
        compare=CompareSettings(varispeed=False),
        match=MatchSettings(),
        keep=KeepSettings(),
        runner=InlineRunner(),
        observer=Silent(),
        conclude=conclude,
        place=place,
    )


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "empty").mkdir()
    return tmp_path / "empty"


def test_who_asks_after_the_main_job_reads_nothing(folder: Path, place: Place, reads: list[int], root: Path) -> None:
    with open_for_writing(folder, "test") as store:
        job(store, root, place, lambda _: None)
        assert len(reads) == 1
        reads.clear()
        now = told(store, place)
        assert len(reads) == 0
        assert now == told(store, None)
        reads.clear()
        job(store, root, place, lambda _: None)
        assert (told(store, place), len(reads)) == (now, 0)


def test_what_a_person_says_while_the_main_job_ends_counts(folder: Path, place: Place, root: Path) -> None:
    with open_for_writing(folder, "test") as store:
        before = told(store, None)
        job(store, root, place, lambda _: say(store, "0/0/0.mp3", "1/0/0.mp3", same=False))
        assert before != told(store, place) == told(store, None)
