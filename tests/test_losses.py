"""What a copy holds that the kept file lacks, by what the store knows of both."""

from __future__ import annotations

from typing import Any

import pytest

from dedup.groups.losses import LOST_BY_VERDICT, losses
from dedup.groups.matches import ListedTrack
from dedup.library.metadata import Stream
from dedup.store.nulltests import NullTest
from tests.made_tracks import pair, track

CD = {"codec": "mp3", "sample_rate": 44_100, "channels": 2}
PICTURE = Stream("picture", width=320, height=240)


def made(path: str, width_db: float | None = None, **properties: Any) -> ListedTrack:
    return track(path, **{**CD, **properties})._replace(width_db=width_db)


def lost(copy: ListedTrack, kept: ListedTrack, **how: Any) -> list[tuple[str, str]]:
    return [(loss.kind, loss.what) for loss in losses(pair(copy, kept, **how))]


@pytest.mark.parametrize(
    ("copy_db", "kept_db", "is_lost"),
    [
        (-10.0, -120.0, True),
        (-10.0, -61.0, True),
        (0.0, -48.0, True),  # two languages, left and right, against both in the middle with some hiss
        (-10.0, -25.0, False),  # what encoders do
        (-45.0, -120.0, False),  # a mono record with some noise
        (14.0, -14.0, False),  # one channel turned over
        (120.0, -120.0, False),
        (0.0, 48.0, True),
        (None, None, False),
    ],
)
def test_stereo_is_lost_to_what_is_almost_mono(copy_db: float | None, kept_db: float | None, is_lost: bool) -> None:
    found = lost(made("/a", copy_db), made("/b", kept_db))
    assert found == ([("channels", "stereo")] if is_lost else [])


@pytest.mark.parametrize(
    ("copy_hz", "kept_hz", "what"),
    [
        (44_100, 8_000, "sound above 4 kHz"),
        (22_050, 8_000, "sound above 4 kHz"),
        (48_000, 22_050, "sound above 11 kHz"),
        (48_000, 44_100, None),
        (96_000, 44_100, None),
        (8_000, 44_100, None),
        (44_100, 0, None),  # nobody knows it of an import
    ],
)
def test_what_a_low_rate_leaves_out_is_lost(copy_hz: int, kept_hz: int, what: str | None) -> None:
    found = lost(made("/a", sample_rate=copy_hz), made("/b", sample_rate=kept_hz))
    assert found == ([("mix", what)] if what else [])


def test_a_slightly_different_speed_is_lost_and_that_of_clocks_is_not() -> None:
    for rate, found in ((0.003, [("speed", "its own speed, 0.3 % slower")]), (0.0001, [])):
        assert lost(made("/a"), made("/b"), test=NullTest(residual_db=-20.0, rate=rate)) == found


def test_sound_never_goes_for_a_film_nor_a_film_for_sound() -> None:
    song, film = made("/a"), made("/b", streams=(PICTURE,))
    verdict = "same audio, picture not compared"
    assert lost(song, film, verdict=verdict)[0] == ("picture", "pictures were not compared")
    assert lost(film, song, verdict=verdict)[0] == ("picture", "moving picture 320 by 240")


@pytest.mark.parametrize("verdict", LOST_BY_VERDICT)
def test_what_is_beside_a_group_always_has_something_of_its_own(verdict: Any) -> None:
    for one, other in (("/a", "/b"), ("/b", "/a")):
        assert LOST_BY_VERDICT[verdict] in {kind for kind, _ in lost(made(one), made(other), verdict=verdict)}
