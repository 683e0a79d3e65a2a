"""What must never be chained together, and is in any large library: tracks that share silence, an intro or a mix,
mash-ups and overlapping excerpts. Fingerprints are those of synthesized music, compared as `correlate` does."""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from dedup.correlation.correlate import correlate
from dedup.correlation.scoring import MERGING
from dedup.groups.groups import Group, make_groups
from dedup.groups.matches import ListedTrack, Matches, TrackPair
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, MatchSettings
from tests import pieces, stores
from tests.pieces import Pcm

LOSSLESS = {"codec": "flac", "lossless": True, "bits": 16, "sample_rate": 44100}
CLAIMS = MERGING | {"same recording, other speed", "contained"}
"""Verdicts that say that some sound of both is the same recording."""

SONG_S, CROSSFADE_S = 40.0, 4.0


def matches_of(
    folder: Path, tracks: dict[str, Pcm], best: Iterable[str] = (), *, block_size: int = 8, instalments: int = 1
) -> Matches:
    """The matches of tracks with these sounds, put into a store in this order, at once or with a comparison after each
    instalment. Those named `best` are of better quality than the others."""
    names, lossless = list(tracks), frozenset(best)
    with stores.open_store(folder, block_size) as store:
        for part in range(instalments):
            for name in names[part::instalments]:
                properties: dict[str, Any] = LOSSLESS if name in lossless else {}
                stores.add_track(store, name, pieces.fingerprint(tracks[name]), **properties)
            correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        return Matches(store, MatchSettings())


def name_of(track: ListedTrack) -> str:
    return track.path.decode().removeprefix("/music/")


def by_names(pairs: Iterable[TrackPair]) -> dict[frozenset[str], TrackPair]:
    return {frozenset((name_of(pair.a), name_of(pair.b))): pair for pair in pairs}


def claimed(matches: Matches) -> set[frozenset[str]]:
    return set(by_names(pair for pair in matches.pairs() if pair.verdict in CLAIMS))


def grouped(matches: Matches) -> set[frozenset[str]]:
    """The names of each group."""
    return {frozenset(map(name_of, group.tracks)) for group in make_groups(matches)}


# ---- shared silence ----


def test_silence_that_tracks_share_is_no_evidence(tmp_path: Path) -> None:
    first, second, third = (pieces.song(seed, SONG_S) for seed in (0, 1, 2))
    nothing = first[:0]
    tracks = {
        "silence after": pieces.with_silence(first, 0, 35),
        "silence after, copy": pieces.with_silence(pieces.quieter(first, 6), 0, 35),
        "silence after, other song": pieces.with_silence(second, 0, 40),
        "silence before": pieces.with_silence(third, 35, 0),
        "silence before, other song": pieces.with_silence(second[: len(second) // 2], 30, 0),
        "silence around": pieces.with_silence(pieces.song(3, SONG_S), 30, 30),
        "silence alone": pieces.with_silence(nothing, 60, 0),
        "silence alone, as long": pieces.with_silence(nothing, 60, 0),
        "silence alone, longer": pieces.with_silence(nothing, 90, 0),
    }
    pairs = by_names(matches_of(tmp_path, tracks).pairs())
    copies = pairs.pop(frozenset(("silence after", "silence after, copy")))
    assert copies.verdict == "same recording"
    of_one_song = frozenset(("silence after, other song", "silence before, other song"))
    assert pairs.keys() <= {of_one_song}


# ---- mash-ups and mixes ----


@pytest.mark.parametrize("best", ["both", "first", "second"])
@pytest.mark.parametrize("kind", ["mash-up", "medley"])
def test_what_is_made_of_two_songs_does_not_join_them(tmp_path: Path, kind: str, best: str) -> None:
    first, second = pieces.song(0, SONG_S), pieces.song(1, SONG_S)
    made = pieces.mash_up(0, 1, SONG_S) if kind == "mash-up" else pieces.mix([first, second], CROSSFADE_S)[0]
    tracks = {"both": made, "first": first, "second": second}
    tracks |= {f"{name}, copy": pieces.quieter(tracks[name], 9) for name in ("first", "second")}
    assert grouped(matches_of(tmp_path, tracks, [best])) == {
        frozenset(("first", "first, copy")),
        frozenset(("second", "second, copy")),
    }


@pytest.mark.parametrize("n_songs", [10, pytest.param(40, marks=pytest.mark.long)])
@pytest.mark.parametrize("best", ["mix", "song 7"])
def test_a_mix_contains_its_tracks_and_joins_none(tmp_path: Path, best: str, n_songs: int) -> None:
    songs = [pieces.song(seed, 30.0) for seed in range(n_songs)]
    mix, starts_s = pieces.mix(songs, CROSSFADE_S)
    tracks = {"mix": mix} | {f"song {number}": song for number, song in enumerate(songs)}
    copied = range(0, n_songs, 7)
    tracks |= {f"copy {number}": pieces.quieter(songs[number], 6, number) for number in copied}
    matches = matches_of(tmp_path, tracks, [best])
    pairs = by_names(matches.pairs())
    for number, start_s in enumerate(starts_s):
        pair = pairs[frozenset(("mix", f"song {number}"))]
        into_mix_s = pair.match.lag_s if name_of(pair.a) == "mix" else -pair.match.lag_s
        assert pair.verdict == "contained"
        assert abs(into_mix_s - start_s) < 1
    copies = {frozenset((f"song {number}", f"copy {number}")) for number in copied}
    parts = {frozenset(("mix", name)) for name in tracks if name != "mix"}
    assert claimed(matches) == copies | parts
    assert grouped(matches) == copies


# ---- shared intros ----


@pytest.mark.parametrize("best", ["intro", "song 1", "song 4"])
@pytest.mark.parametrize("intro_s", [15.0, 20.0])
def test_songs_that_share_an_intro_are_no_group(tmp_path: Path, intro_s: float, best: str) -> None:
    intro = pieces.excerpt(pieces.song(20, SONG_S), 0, intro_s)
    lengths_s = {1: 30.0, 2: 35.0, 3: SONG_S, 4: SONG_S, 5: SONG_S}
    tracks = {
        f"song {seed}": pieces.with_intro(intro, pieces.excerpt(pieces.song(seed, SONG_S), 0, seconds))
        for seed, seconds in lengths_s.items()
    }
    matches = matches_of(tmp_path, tracks | {"intro": intro}, [best])
    assert claimed(matches) == {frozenset(("intro", name)) for name in tracks}
    assert grouped(matches) == set()


# ---- excerpts that overlap ----


@pytest.mark.parametrize("best", ["early", "middle", "late"])
def test_excerpts_that_overlap_are_copies_of_nothing(tmp_path: Path, best: str) -> None:
    whole = pieces.song(21, 100.0)
    tracks = {
        "early": pieces.excerpt(whole, 0, 60),
        "middle": pieces.excerpt(whole, 20, 80),
        "late": pieces.excerpt(whole, 40, 100),
    }
    matches = matches_of(tmp_path, tracks, [best])
    overlapping = by_names(pair for pair in matches.pairs() if pair.verdict == "overlapping").keys()
    assert overlapping >= {frozenset(neighbours) for neighbours in pairwise(tracks)}
    assert grouped(matches) == set()


# ---- the order in which tracks come ----


@pytest.fixture(scope="module")
def library() -> dict[str, Pcm]:
    """Copies and all of the above."""
    songs = [pieces.song(seed, SONG_S) for seed in range(9)]
    intro = pieces.excerpt(pieces.song(20, SONG_S), 0, 18)
    tracks = {f"song {number}": song for number, song in enumerate(songs)}
    tracks |= {f"copy {number}": pieces.quieter(songs[number], 6, number) for number in range(3)}
    tracks |= {f"second copy {number}": pieces.quieter(songs[number], 12, number) for number in range(2)}
    tracks |= {f"intro {number}": pieces.with_intro(intro, songs[number]) for number in (3, 4)}
    return tracks | {
        "cut 0": pieces.excerpt(songs[0], 0, 30),
        "cut 0, later": pieces.excerpt(songs[0], 14, 40),
        "dropped 1": pieces.dropped(songs[1], 21, 0.3),
        "edited 2": pieces.edited(songs[2], 15, 22),
        "faster 5": pieces.sped(songs[5], 0.02),
        "mash-up": pieces.mash_up(6, 7, SONG_S),
        "mix": pieces.mix(songs[:6], CROSSFADE_S)[0],
        "other vocal 8": pieces.other_vocal(8, 80, SONG_S),
        "silence before 8": pieces.with_silence(songs[8], 35, 0),
        "silence before 7": pieces.with_silence(songs[7], 35, 0),
    }


def told(groups: Sequence[Group]) -> list[tuple[str, list[tuple[str, str, Any]]]]:
    return [
        (name_of(group.reference), [(name_of(pair.a), pair.verdict, pair.match) for pair in group.members])
        for group in groups
    ]


@pytest.fixture(scope="module")
def in_order(library: dict[str, Pcm], tmp_path_factory: pytest.TempPathFactory) -> Matches:
    return matches_of(tmp_path_factory.mktemp("in order"), library)


@pytest.mark.parametrize(
    ("seed", "block_size", "instalments"), [(1, 2, 1), (2, 5, 1), (3, 64, 1), (4, 4, 3), (5, 1, 2)]
)
def test_neither_order_nor_blocks_change_the_groups(
    tmp_path: Path, library: dict[str, Pcm], in_order: Matches, seed: int, block_size: int, instalments: int
) -> None:
    names = sorted(library)
    random.Random(seed).shuffle(names)
    shuffled = {name: library[name] for name in names}
    matches = matches_of(tmp_path, shuffled, block_size=block_size, instalments=instalments)
    assert told(make_groups(matches)) == told(make_groups(in_order))
    numbers = [[(p.a.path, p.b.path, p.verdict, p.match) for p in found.pairs()] for found in (matches, in_order)]
    assert numbers[0] == numbers[1]


def test_the_library_of_many_orders_has_its_groups(in_order: Matches) -> None:
    numbers = [{song_number(name) for name in names} for names in grouped(in_order)]
    assert all(len(of_group) == 1 and None not in of_group for of_group in numbers), "a group is of one song"
    assert {number for of_group in numbers for number in of_group} >= {"0", "1", "2"}


def song_number(name: str) -> str | None:
    """What of the library's names says which song it is; None for those of several."""
    number = re.search(r"\d+", name)
    return number[0] if number else None
