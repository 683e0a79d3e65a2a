from __future__ import annotations

import unicodedata

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dedup.tags.cover import Cover, cover_of
from dedup.tags.merge import Conflict, Merge
from dedup.tags.names import AUDIO_HASH
from dedup.tags.read import Tags
from dedup.tags.unite import UNITED, good_cover, is_of_the_file, unite
from tests.tag_files import png


def _tags(covers: tuple[Cover, ...] = (), **fields: str | tuple[str, ...]) -> Tags:
    return Tags({name: (value,) if isinstance(value, str) else value for name, value in fields.items()}, covers)


def _unite(kept: Tags, *others: Tags, same_audio: frozenset[bytes] = frozenset()) -> Merge:
    """The others are called "0", "1" and so on."""
    return unite((b"kept", kept), [(str(n).encode(), other) for n, other in enumerate(others)], same_audio)


def test_missing_fields_come_from_the_first_that_has_them() -> None:
    kept = _tags(title="Title")
    merge = _unite(kept, _tags(title="Title", bpm="120"), _tags(bpm="121", key="Am"))
    assert merge == Merge(b"kept", {"bpm": ("120",), "key": ("Am",)})
    assert merge
    assert not _unite(kept, _tags(title=" TITLE "))


def test_a_conflict_is_shown_and_left_alone() -> None:
    kept = _tags(title="Title", rating="0.8", playcount="3")
    merge = _unite(kept, _tags(title="Titel", rating="0.6", playcount="12"), _tags(title="Titre"))
    assert not merge
    assert merge.conflicts == (
        Conflict("title", ("Title",), ("Titel",), b"0"),
        Conflict("rating", ("0.8",), ("0.6",), b"0"),
        Conflict("playcount", ("3",), ("12",), b"0"),
        Conflict("title", ("Title",), ("Titre",), b"1"),
    )


def test_fields_of_several_values_are_united() -> None:
    kept = _tags(genre=("Rock", "Café"), artist=("One",))
    decomposed = unicodedata.normalize("NFD", "CAFÉ")
    merge = _unite(kept, _tags(genre=("Jazz", decomposed)), _tags(genre="jazz", performer="Bob (bass)", artist="Two"))
    assert merge.fields == {"genre": ("Rock", "Café", "Jazz"), "performer": ("Bob (bass)",)}
    assert [conflict.name for conflict in merge.conflicts] == ["artist"]


def test_a_number_on_one_album_does_not_go_beside_the_title_of_another() -> None:
    kept = _tags(title="Title", album="Album")
    compilation = _tags(album="Hits of 2004", tracknumber="17", compilation="1", label="Cheap", lyrics="La")
    same = _tags(album=" album", tracknumber="3", musicbrainz_albumid="id")
    reissue = _tags(album="Album", musicbrainz_albumid="another", barcode="123")
    nameless = _tags(tracknumber="9", discnumber="1")
    merge = _unite(kept, compilation, nameless, same)
    assert merge.fields == {"lyrics": ("La",), "tracknumber": ("3",), "musicbrainz_albumid": ("id",)}
    assert merge.conflicts == ()
    assert not _unite(_tags(album="Album", musicbrainz_albumid="id"), reissue)


def test_a_file_of_no_album_gets_one_and_no_more() -> None:
    kept = _tags(title="Title", date="2004")
    first = _tags(title="Title", lyrics="La", date="2004-05")
    second = _tags(album="Album", tracknumber="3")
    third = _tags(album="Hits of 2004", tracknumber="17", disctotal="2")
    fourth = _tags(album="Album", disctotal="1")
    merge = _unite(kept, first, second, third, fourth)
    assert merge.fields == {
        "lyrics": ("La",),
        "album": ("Album",),
        "tracknumber": ("3",),
        "disctotal": ("1",),
    }
    assert merge.conflicts == ()
    merge = _unite(kept, _tags(tracknumber="9"), _tags(discnumber="1"))
    assert merge.fields == {"tracknumber": ("9",)}


@pytest.mark.parametrize(
    "name",
    [
        "encoder",
        "encodersettings",
        "encodedby",
        "length",
        "acoustid_fingerprint",
        "itunsmpb",
        "comment:itunnorm",
        "md5",
        "audio md5",
        "mp3gain_undo",
        AUDIO_HASH,
    ],
)
def test_what_tells_of_the_file_is_never_carried(name: str) -> None:
    assert is_of_the_file(name)
    assert not _unite(_tags(), Tags({name: ("value",)}), same_audio=frozenset((b"0",)))
    assert _unite(Tags({name: ("one",)}), Tags({name: ("two",)})).conflicts == ()


def test_gain_is_carried_where_the_audio_is_the_same() -> None:
    gain = _tags(replaygain_track_gain="-7 dB", replaygain_album_gain="-6 dB", album="Album")
    assert _unite(_tags(album="Album"), gain).fields == {}
    same = frozenset((b"0",))
    assert _unite(_tags(album="Other"), gain, same_audio=same).fields == {"replaygain_track_gain": ("-7 dB",)}
    assert set(_unite(_tags(album="Album"), gain, same_audio=same).fields) == {
        "replaygain_track_gain",
        "replaygain_album_gain",
    }
    assert _unite(_tags(replaygain_track_gain="-8 dB"), gain).conflicts == ()


def test_the_cover_is_the_largest_good_one() -> None:
    small, medium, large = (cover_of(png(size, size)) for size in (99, 300, 600))
    unknown, absurd = cover_of(b"no picture"), Cover(b"\0" * (16 * 1024 * 1024 + 1), "image/png", 9000, 9000)
    others = [_tags((small,)), _tags((unknown, medium)), _tags(), _tags((absurd, large)), _tags((large,))]
    assert _unite(_tags(), *others).cover_from == b"3"
    assert good_cover(others[1]) == medium
    assert _unite(_tags((small,)), *others).cover_from == b"3", "in place of one that is too small"
    assert _unite(_tags((small,)), _tags((small,))).cover_from is None
    assert _unite(_tags((medium,)), *others).cover_from is None
    assert _unite(_tags((unknown,)), *others).cover_from is None, "nobody can say that it is small"
    assert _unite(_tags(), _tags((small,))).cover_from == b"0"
    assert _unite(_tags(), _tags((unknown, absurd))).cover_from is None


NAMES = st.sampled_from(["title", "genre", "album", "tracknumber", "encoder", "replaygain_track_gain", "lyrics"])
FIELDS = st.dictionaries(NAMES, st.lists(st.sampled_from("aAbc"), min_size=1, unique=True).map(tuple))


@settings(max_examples=60)
@given(FIELDS, st.lists(FIELDS, max_size=4))
def test_nothing_that_the_kept_file_says_is_lost(
    kept: dict[str, tuple[str, ...]], others: list[dict[str, tuple[str, ...]]]
) -> None:
    merge = _unite(Tags(kept), *map(Tags, others))
    after = kept | merge.fields
    for name, values in kept.items():
        assert after[name][: len(values)] == values
        assert name in UNITED or after[name] == values
    assert not _unite(Tags(after), *map(Tags, others)), "the first time gave all there was"


@settings(max_examples=60)
@given(FIELDS, FIELDS)
def test_a_conflict_is_of_two_values_that_differ(
    kept: dict[str, tuple[str, ...]], other: dict[str, tuple[str, ...]]
) -> None:
    for conflict in _unite(Tags(kept), Tags(other)).conflicts:
        assert (conflict.kept, conflict.other) == (kept[conflict.name], other[conflict.name])
        assert conflict.name not in UNITED
        assert {value.casefold() for value in conflict.kept} != {value.casefold() for value in conflict.other}
