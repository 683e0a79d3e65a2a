"""How two tracks relate to each other, in words: the null test in one wording wherever it is shown."""

from __future__ import annotations

import pytest

from dedup.correlation.match import identity_match
from dedup.groups.groups import Group
from dedup.groups.losses import null_test_words, outcome_words
from dedup.report.sheet import sheet
from dedup.store.nulltests import Difference, NullTest, Span
from jobs.session.lines import PLAIN
from jobs.show.table import COLUMNS, group_lines, row
from jobs.show.words import beside_text, lag_text, null_test_lines, verdict_text
from tests.made_tracks import pair, track

LEAD = (Difference(12.0, 185.0, "a"),)
PLACES = tuple(Difference(at, at + 1.0, "b") for at in (5.0, 70.0, 80.0, 90.0, 4000.0))


@pytest.mark.parametrize(
    ("test", "words"),
    [
        (NullTest(residual_db=-38.4), "null test passed, residual -38 dB"),
        (NullTest(residual_db=-9.0, differences=LEAD), "null test: differs 0:12-3:05, residual -9 dB"),
        (
            NullTest(residual_db=-9.0, differences=PLACES),
            "null test: differs 0:05-0:06, 1:10-1:11, 1:20-1:21 and at 2 more, residual -9 dB",
        ),
        (
            NullTest(residual_db=-4.0, is_other_mix=True, differences=LEAD),
            "null test: another mix, differs 0:12-3:05, residual -4 dB",
        ),
        (NullTest(residual_db=-4.0, is_other_mix=True), "null test: another mix, residual -4 dB"),
        (NullTest(problem="too little sound in common"), "null test: not made: too little sound in common"),
    ],
)
def test_a_null_test_in_words(test: NullTest, words: str) -> None:
    assert null_test_words(test) == words
    below_a_heading = words.removeprefix("null test").lstrip(": ")
    assert outcome_words(test) == below_a_heading
    assert row("", track("/a"), pair(track("/a"), track("/b"), test=test), b"", {})["null_test"] == below_a_heading
    assert words in beside_text(pair(track("/a"), track("/b"), verdict="another mix", test=test), "a", "b")
    assert next(null_test_lines(test)) == words


def test_without_a_null_test_nothing_is_said_of_it() -> None:
    untested = pair(track("/a"), track("/b"), test=None)
    assert (
        row("", untested.a, untested, b"", {})["null_test"] == row("best", untested.b, None, b"", {})["null_test"] == ""
    )
    assert beside_text(pair(track("/a"), track("/b"), verdict="related"), "a", "b").endswith("of the steps alike)")


def test_what_only_one_has_follows_in_lines() -> None:
    test = NullTest(only_a=(Span(0.0, 5.0),), only_b=(Span(100.0, 220.0),), length_a_s=100.0, length_b_s=220.0)
    assert list(null_test_lines(test))[1:] == ["only in a: 5.0 s at the start", "only in b: 2:00 at the end"]


def test_the_table_and_the_sheet_have_it_in_a_column() -> None:
    kept, copy = track("/m/a.flac"), track("/m/b.mp3")
    group = Group(kept, (pair(copy, kept),))
    assert ("null_test", "null test") in COLUMNS
    assert "null test passed, residual -40 dB" in " ".join(group_lines(group, PLAIN, b"/m/"))
    assert b'same recording,False,"passed, residual -40 dB"' in b"".join(sheet([group], {}))


def test_a_verdict_says_the_speed_and_who_gave_it() -> None:
    assert verdict_text(pair(track("/a"), track("/b"), judged=True)) == "same recording (you said so)"
    slower = pair(track("/a"), track("/b"), verdict="same recording, other speed", rate=0.02)
    assert verdict_text(slower) == "same recording, 2.0 % slower"


@pytest.mark.parametrize(
    ("lag", "log_rate", "words"),
    [
        (17, 0.0, "lag +2.10 s"),
        (-17, 0.0, "lag -2.10 s"),
        (17, 0.02, "starts 2.1 s earlier"),
        (-17, 0.02, "starts 2.1 s later"),
        (3, -0.02, "starts together"),
    ],
)
def test_a_lag_that_changes_all_the_time_is_told_as_a_start(lag: int, log_rate: float, words: str) -> None:
    assert lag_text(identity_match(1000, 900)._replace(lag=lag, log_rate=log_rate)) == words
