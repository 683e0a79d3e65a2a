"""Templates, names and moves of `organize`: what is pure of it."""

from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.files.safe_names import LONGEST_BYTES, LONGEST_UNITS, safe_file, safe_folder
from dedup.library.metadata import AudioProperties
from dedup.organize.fields import FIELDS, album_key, fields_of, multidisc_albums
from dedup.organize.functions import FUNCTIONS
from dedup.organize.order import is_hop, units
from dedup.organize.template import LackingError, Template, TemplateError, is_true
from dedup.playlists.moves import without_case
from dedup.settings import TEMPLATE


def filled(text: str, **fields: str) -> str:
    return Template(text, FIELDS).path(fields)


# ---- templates


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("$artist/$title", "A_C/T"),
        ("${artist}x", "A_Cx"),
        ("$$ 100% $%if $, $} a,b}", "$ 100% %if , } a,b}"),
        ("%if{$disc,a,b}", "a"),
        ("%if{$year,a,b}", "b"),
        ("%if{$year,a}x", "x"),
        ("$album%if{$multidisc, (Disc $disc)}", "L (Disc 02)"),
        ("%if{$year,$genre,$title}", "T"),
        ("%if{0,a,b}%if{false,a,b}%if{ ,a,b}%if{-1,a,b}", "bbba"),
        ("%ifdef{year,a,b}%ifdef{disc,a,b}%ifdef{artist}%ifdef{year}", "baA_C"),
        ("%first{$albumartist; $composer; Nobody}", "Nobody"),
        ("%first{a; b; c,2,1}", "b; c"),
        ("%first{a / b / c,2,0, / , & }", "a & b"),
        ("%lower{$title}%upper{$title}%title{the song}%capitalize{aB}", "tTThe SongAb"),
        ("%left{$artist,2}%right{$artist,1}", "A_C"),
        ("%asciify{Ægir Ñandú \u2014 ß Ж}", "AEgir Nandu - ss ?"),
        ("%the{The Beatles}", "Beatles, The"),
        ("%upper{%left{%if{$disc,$title,x},3}}", "T"),
        ("%if{$disc,a$,b$}}", "a,b}"),
    ],
)
def test_a_template_is_filled_as_in_beets(text: str, path: str) -> None:
    assert filled(text, artist="A/C", title="T", album="L", disc="02", multidisc="1") == path


@pytest.mark.parametrize(
    ("text", "lacking"),
    [
        ("$artist/$album/$artist", ("artist", "album")),
        ("%if{$year,x,$genre}", ("genre",)),
        ("%if{$title,$genre}", ("genre",)),
        ("%lower{$genre}", ("genre",)),
        ("%first{$genre; $composer}", ("genre", "composer")),
    ],
)
def test_what_a_path_needs_and_a_file_lacks_is_named(text: str, lacking: tuple[str, ...]) -> None:
    with pytest.raises(LackingError) as caught:
        filled(text, title="T")
    assert caught.value.names == lacking


@pytest.mark.parametrize(
    ("text", "told", "column"),
    [
        ("", "is empty", 1),
        ("/$title", "begins with a slash", 1),
        ("$artist/", "ends with a slash", 8),
        ("ab $ c", "has a $ without the name of a field", 4),
        ("x$tilte", "a field that there is not, $tilte", 2),
        ("x${title", "has a ${ without its }", 2),
        ("x%fist{a}", "calls %fist, which there is not", 2),
        ("%if $title", "calls %if without its braces", 1),
        ("ab%if{$title,x", "has a %if{ without its }", 3),
        ("%if{$title}", "gives %if 1 arguments", 1),
        ("%left{$title,x}", "gives %left no whole number", 1),
        ("%lower{a,b}", "gives %lower 2 arguments", 1),
        ("%ifdef{$title}", "gives %ifdef no name of a field", 1),
        ("%ifdef{no}", "a field that there is not, $no", 1),
        ("%lower{" * 30 + "x" + "}" * 30, "has too many calls within calls", 141),
    ],
)
def test_a_template_that_cannot_be_read_is_told_with_its_place(text: str, told: str, column: int) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(text, FIELDS)
    assert told in str(caught.value) and f"at character {column} of" in str(caught.value)
    assert "\n" not in str(caught.value)


@given(st.text(alphabet="$%{}, /a1tile", max_size=40))
def test_any_text_is_a_template_or_a_template_error(text: str) -> None:
    try:
        template = Template(text, FIELDS)
    except TemplateError:
        return
    assert isinstance(template.path(dict.fromkeys(FIELDS, "x")), str)


def test_every_function_says_how_it_is_written() -> None:
    assert all(function.form.startswith(f"%{name}{{") for name, function in FUNCTIONS.items())
    assert [is_true(text) for text in ("", "0", " 00 ", "False", "x", "1")] == [False] * 4 + [True] * 2


# ---- fields


def properties(**tags: str | tuple[str, ...]) -> AudioProperties:
    found = {name: (value,) if isinstance(value, str) else value for name, value in tags.items()}
    return AudioProperties("flac", True, 912_345, 44100, 16, 2, 61.6, tags=found)


def test_fields_are_those_of_beets() -> None:
    found = fields_of(
        properties(
            title="T", artist=("A", "B"), date="1999-7-03", originaldate="1980", tracknumber="3", discnumber="1",
            genre=("Rock", "Pop"), musicbrainz_albumid="id", comment="c", catalognumber="N 1",
        ),
        is_multidisc=False,
    )  # fmt: skip
    assert found == {
        "title": "T", "artist": "A; B", "albumartist": "A; B", "year": "1999", "month": "07", "day": "03",
        "original_year": "1980", "track": "03", "disc": "01", "genre": "Rock; Pop", "mb_albumid": "id",
        "comments": "c", "catalognum": "N 1", "format": "FLAC", "bitrate": "912kbps", "samplerate": "44kHz",
        "bitdepth": "16", "channels": "2", "length": "1:02",
    }  # fmt: skip
    assert found.keys() <= FIELDS


def test_artists_stand_in_for_each_other() -> None:
    assert fields_of(properties(albumartist="A"), False)["artist"] == "A"
    assert fields_of(properties(artist="A"), False)["albumartist"] == "A"
    assert fields_of(properties(artist="A", compilation="1"), False)["albumartist"] == "Various Artists"
    assert "artist" not in fields_of(properties(title="x"), False)


def test_an_album_is_of_several_discs_if_one_of_its_tracks_says_so() -> None:
    tags = [
        properties(album="One", artist="A", discnumber="1").tags,
        properties(album="ONE", artist="a", discnumber="2").tags,
        properties(album="Two", artist="A", disctotal="1").tags,
        properties(album="Three", artist="A", disctotal="3").tags,
        properties(artist="A", disctotal="3").tags,
    ]
    assert multidisc_albums(tags) == {("a", "one"), ("a", "three")}
    assert album_key(tags[-1]) is None


# ---- names

RESERVED = ["CON", "con", "Nul.txt", "aux", "COM1", "lpt9.mp3", "com¹", "CONIN$", "prn .x"]


@pytest.mark.parametrize("name", RESERVED)
def test_names_of_devices_get_another(name: str) -> None:
    assert safe_folder(name).split(".")[0].rstrip().endswith("_")
    assert safe_file(name.partition(".")[0].strip(), ".mp3").split(".")[0].endswith("_")


@pytest.mark.parametrize(
    ("text", "folder", "file"),
    [
        ("", "_", "_.mp3"),
        ("..", "__", "_..mp3"),
        ("R.E.M.", "R.E.M_", "R.E.M..mp3"),
        (" a\t", "a_", "a_.mp3"),
        (".hidden", "_hidden", "_hidden.mp3"),
        ("a:b/c\\d", "a_b_c_d", "a_b_c_d.mp3"),
        ("O\u0308", "Ö", "Ö.mp3"),
        ("\u202egpj", "_gpj", "_gpj.mp3"),
    ],
)
def test_names_are_made_safe(text: str, folder: str, file: str) -> None:
    assert safe_folder(text) == folder
    assert safe_file(text, ".mp3") == file


@given(st.text(max_size=400), st.integers(1, 120), st.integers(0, 20), st.sampled_from((143, 255)))
def test_any_text_gives_a_name_that_every_system_takes(text: str, number: int, room: int, most: int) -> None:
    for name, left in ((safe_folder(text, most), 0), (safe_file(text, ".flac", number, room, most), room)):
        assert 0 < len(name.encode()) <= most - left <= LONGEST_BYTES
        assert len(name.encode("utf-16-le")) // 2 <= LONGEST_UNITS
        assert not set(name) & set('<>:"/\\|?*\0') and name.isprintable() | any(
            unicodedata.category(c)[0] in "CZ" for c in name
        )
        assert not any(unicodedata.category(each) == "Cc" for each in name)
        assert name[0] not in ". " and name[-1] not in ". "
        assert unicodedata.is_normalized("NFC", name)
        assert safe_folder(name, most) == name or name.endswith(".flac")


def test_long_names_differ_by_their_number() -> None:
    names = {safe_file("é" * 300, ".flac", number) for number in range(1, 12)}
    assert len(names) == 11 and all(name.endswith(".flac") for name in names)
    assert "e\u0301" not in safe_file("x" * 249 + "e\u0301\u0327\u0301", ".flac")  # no mark without its letter


# ---- order


@given(st.permutations(range(6)), st.sets(st.integers(0, 5)))
def test_whatever_waits_for_whatever_every_name_is_free_when_its_turn_comes(order: list[int], moving: set[int]) -> None:
    """Files 0 to 5 that get each other's names, or, of those that do not move, none."""
    places = {b"/%d" % number: number for number in range(6)}
    targets = {number: b"/%d" % order[number] if order[number] in moving else b"/new %d" % number for number in moving}
    wanted = [{b"/%d" % number: target} for number, target in sorted(targets.items())]
    for unit in units(wanted):
        for hop in unit.hops:
            assert hop.target not in places
            places[hop.target] = places.pop(hop.path)
    assert not any(map(is_hop, places))
    assert places == {targets.get(number, b"/%d" % number): number for number in range(6)}


def test_what_is_halfway_in_a_circle_goes_on() -> None:
    (circle,) = units([{b"/a": b"/b"}, {b"/b": b"/a"}])
    first = circle.hops[0]
    (rest,) = units(
        [{first.target: b"/b", b"/a.lrc": b"/b.lrc"}, {b"/b": b"/a", b"/b.lrc": b"/a.lrc"}], {first.target: b"/a"}
    )
    places = {first.target: 0, b"/b": 1, b"/a.lrc": 2, b"/b.lrc": 3}
    for hop in rest.hops:
        assert hop.target not in places
        places[hop.target] = places.pop(hop.path)
    assert places == {b"/b": 0, b"/a": 1, b"/b.lrc": 2, b"/a.lrc": 3}
    assert rest.hops[-4].origin == b"/a"


def test_only_what_must_goes_by_a_name_in_between() -> None:
    found = units([{b"/a": b"/b"}, {b"/b": b"/c"}, {b"/x": b"/X"}])
    assert [len(unit.hops) for unit in found] == [1, 1, 2]
    assert [unit.files for unit in found] == [(1,), (0,), (2,)]
    assert without_case(b"/x") == without_case(b"/X")


def test_the_default_template_is_one() -> None:
    assert filled(TEMPLATE, albumartist="A", album="L", track="01", title="T") == "A/L/01 - T"
