"""Lines that fit: nothing is longer than the terminal is wide, no word is broken that fits, and nothing is lost."""

from __future__ import annotations

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.groups.groups import Group
from dedup.plan.nouns import PlannedFile, PlannedGroup
from jobs.session.lines import PLAIN, Look, hanging_of, in_columns, look_of, width_of, wrapped, wrapped_path
from jobs.session.output import Column, aligned
from jobs.show.ask import pair_lines
from jobs.show.entries import Entry, entry_lines
from jobs.show.plan_text import planned_group_lines
from jobs.show.table import group_lines
from tests.made_tracks import pair, track

WIDTHS = (40, 60, 80, 120)
WORDS = st.text(st.sampled_from("ab é日👍🏽/-"), max_size=80)
LONG = (
    "/m/Été Indien & the Very Long Band Name/(1999) 長いアルバムの名前 [Deluxe Edition, Remastered]/01 "
    + "x" * 130
    + ".flac"
)


@given(WORDS, st.sampled_from(WIDTHS), st.integers(0, 12))
def test_a_text_is_broken_between_words_and_loses_none(text: str, width: int, hanging: int) -> None:
    lines = wrapped(text, width, hanging)
    assert all(width_of(line) <= width for line in lines)
    assert "".join("".join(lines).split()) == "".join(text.split())
    if len(lines) > 1:
        room = width - hanging
        whole = [word for word in text.split() if width_of(word) <= room]
        assert set(whole) <= set(" ".join(lines).split()), "a word that fits is not broken"


@given(WORDS, st.sampled_from(WIDTHS), st.integers(0, 8))
def test_a_path_can_be_put_together_again(path: str, width: int, hanging: int) -> None:
    first, *others = wrapped_path(path, width, hanging)
    assert all(width_of(line) <= width for line in (first, *others))
    assert all(line.startswith(" " * hanging) for line in others)
    assert "".join([first, *(line[hanging:] for line in others)]) == path


def test_a_path_is_broken_at_slashes_and_a_long_name_at_blanks() -> None:
    assert wrapped_path("/music/some artist/some album/song one.flac", 25) == [
        "/music/some artist/",
        "some album/song one.flac",
    ]
    assert wrapped_path("/m/a name of several words.flac", 16) == ["/m/a name of ", "several ", "words.flac"]


@given(st.lists(st.tuples(*[st.text("ab 日", max_size=20)] * 5), min_size=1, max_size=4), st.sampled_from(WIDTHS))
def test_columns_are_shared_and_fit(rows: list[tuple[str, ...]], width: int) -> None:
    told = in_columns(rows, Look(width, wraps=True), before=6)
    for row, lines in zip(rows, told, strict=True):
        assert all(width_of(line) <= width - 6 for line in lines)
        assert " ".join(" ".join(lines).split()) == " ".join(" ".join(row).split())


def test_a_row_goes_on_below_where_its_columns_do_not_fit() -> None:
    rows = [("flac", "789 kbit/s", "", "same recording"), ("mp3", "64 kbit/s", "", "")]
    assert in_columns(rows, Look(40)) == [["flac  789 kbit/s  same recording"], ["mp3   64 kbit/s"]]
    assert in_columns(rows, Look(20)) == [["flac  789 kbit/s", "same recording"], ["mp3   64 kbit/s"]]


@pytest.mark.parametrize("width", WIDTHS)
@pytest.mark.parametrize("has_colour", [False, True])
def test_no_line_of_a_group_is_longer_than_the_terminal(width: int, has_colour: bool) -> None:
    look = Look(width, wraps=True, has_colour=has_colour)
    known = {"codec": "flac", "bitrate": 1_411_000, "sample_rate": 44100, "bits": 16}
    kept, copy = track(LONG, **known), track("/m/b.mp3", damage="decoded with gaps " * 9, codec="mp3")
    group = Group(kept, (pair(copy, kept),), (pair(track(f"/m/Other/{'y' * 150}.mp3"), kept, verdict="related"),))
    files = [PlannedFile(LONG.encode(), "keep", 1, 1, b"c" * 16, "album", "in a complete album, the other not")]
    files.append(PlannedFile(b"/m/b.mp3", "quarantine", 1, 1, b"c" * 16, "named", "w " * 90, "same recording", 0.9))
    for lines in (
        group_lines(group, look, b"/m/"),
        list(planned_group_lines(PlannedGroup(tuple(files), note="n " * 99), b"/m/", look, numbered=True)),
    ):
        bare = [re.sub(r"\x1b\[[\d;]*m", "", line) for line in lines]
        assert all(width_of(line) <= width for line in bare)
        assert has_colour == (bare != lines)
        whole = "".join("".join(bare).split())
        assert "".join(LONG.removeprefix("/m/").split()) in whole
        assert {"best", "keep"} & set(" ".join(bare).split())


@pytest.mark.parametrize("width", WIDTHS)
def test_two_files_side_by_side_fit_and_nothing_of_a_tag_is_left_out(width: int) -> None:
    tags = {"title": ("長い名前 " * 20,), "artist": ("word " * 40,)}
    asked = pair(track(LONG, codec="flac", tags=tags), track("/m/b.mp3", codec="mp3", tags={"title": ("Short",)}))
    lines = pair_lines(asked, Look(width, wraps=True))
    assert all(width_of(line) <= width for line in lines)
    assert " ".join(lines).count("word") == 40
    assert "".join("".join(lines).split()).count("名前") >= 20
    assert "".join(LONG.split()) in "".join("".join(lines).split())


def test_the_marks_differ_without_colour_and_names_are_never_markup() -> None:
    entries = [Entry("[bold]/[red]a.flac", ("flac",), "keep", "good"), Entry("b.mp3", ("mp3",), "go", "go")]
    assert list(entry_lines(entries, PLAIN)) == [
        "keep  [bold]/[red]a.flac",
        "        flac",
        "go    b.mp3",
        "        mp3",
    ]
    first, _, second, _ = entry_lines(entries, Look(80, has_colour=True))
    assert first == "\x1b[1;32mkeep\x1b[0m  \x1b[2m[bold]/\x1b[0m\x1b[1m[red]a.flac\x1b[0m"
    assert second == "\x1b[1;33mgo\x1b[0m    \x1b[1mb.mp3\x1b[0m"


def test_a_table_that_is_too_wide_is_narrowed() -> None:
    columns = (Column("a", "a"), Column("b", "b"))
    rows = [{"a": "one", "b": "two three four five six seven eight nine ten"}]
    assert aligned(columns, rows, Look(40, wraps=True)) == [
        "a    b",
        "one  two three four five six seven eight",
        "     nine ten",
    ]
    assert len(aligned(columns, rows, PLAIN)) == 2, "in a pipe a cell stays on its line"


@pytest.mark.parametrize(
    ("line", "at"), [("groups  8, with", 8), ("compact nothing", 8), ("    kept", 4), ("failed: /m/a: why", 4)]
)
def test_a_long_line_hangs_below_its_text(line: str, at: int) -> None:
    assert hanging_of(line) == at


def test_without_a_terminal_lines_are_plain_and_as_wide_as_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("COLUMNS", raising=False)
    assert look_of(None) == Look(100)
    monkeypatch.setenv("COLUMNS", "70")
    assert look_of(None) == Look(70)
