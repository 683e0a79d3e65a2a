"""What becomes of the tags of an identified file: pure."""

from __future__ import annotations

from dataclasses import replace

import pytest

from dedup.lookup.agree import Opinion
from dedup.lookup.candidates import File, Song
from dedup.lookup.decide import Identified
from dedup.lookup.nouns import Recording, Release, ReleaseTrack
from dedup.lookup.tag_fields import ALL, IDS, NAMES, Changes, Fields, changes_of, fields_of
from dedup.tags.names import spelling_of
from dedup.tags.unite import ALBUM
from tests.lookup_service import mbid

RECORDING, OTHER = mbid("recording", 1), mbid("recording", 2)
TRACKS = tuple(
    ReleaseTrack(
        mbid("track", at), 1 + (at > 10), at - 10 * (at > 10), f"Song {at}", "Copper", (mbid("artist", 1),), id_
    )
    for at, id_ in enumerate([RECORDING, *(mbid("recording", 100 + at) for at in range(14))], start=1)
)
RELEASE = Release(
    id=mbid("release", 1),
    title="Amber and Lantern",
    artist="Copper",
    artist_ids=(mbid("artist", 1),),
    date="1994-03-01",
    group=mbid("group", 1),
    n_discs=2,
    n_tracks=15,
    tracks=TRACKS,
)
SONG = Song(
    "Harbour",
    "Copper",
    0.9,
    0.95,
    mbid("acoustid", 1),
    20,
    Opinion.FOR,
    (Recording(RECORDING, "Harbour", "Copper"), Recording(OTHER, "Harbour", "Copper")),
)
FOUND = Identified(
    File(b"/m/a.flac", "", 200.0),
    "identified",
    song=SONG,
    recording=SONG.recordings[0],
    release=RELEASE,
    track=replace(TRACKS[0], title="Harbour at Dawn"),
)
EXPECTED = {
    "title": ("Harbour at Dawn",),
    "artist": ("Copper",),
    "album": ("Amber and Lantern",),
    "albumartist": ("Copper",),
    "date": ("1994-03-01",),
    "tracknumber": ("1",),
    "tracktotal": ("10",),
    "discnumber": ("1",),
    "disctotal": ("2",),
    "musicbrainz_trackid": (RECORDING,),
    "musicbrainz_releasetrackid": (mbid("track", 1),),
    "musicbrainz_albumid": (mbid("release", 1),),
    "musicbrainz_releasegroupid": (mbid("group", 1),),
    "musicbrainz_artistid": (mbid("artist", 1),),
    "musicbrainz_albumartistid": (mbid("artist", 1),),
    "acoustid_id": (mbid("acoustid", 1),),
}
OF_ALBUM = ALBUM & set(ALL)


def test_the_fields_have_the_common_names_and_the_spellings_of_picard() -> None:
    assert list(EXPECTED) == list(ALL)
    assert spelling_of("musicbrainz_trackid", "id3").text == "UFID"
    assert spelling_of("musicbrainz_albumid", "id3").text == "MusicBrainz Album Id"
    assert spelling_of("acoustid_id", "mp4").text == "Acoustid Id"


def test_an_untagged_file_gets_everything() -> None:
    assert changes_of(FOUND, {}) == Changes(EXPECTED)
    assert changes_of(FOUND, {"title": (), "genre": ("Rock",)}).fields == EXPECTED
    assert not changes_of(FOUND, EXPECTED)
    assert not changes_of(FOUND, EXPECTED, overwrite=True)


@pytest.mark.parametrize("verdict", ["question", "unknown", "unasked"])
@pytest.mark.parametrize("overwrite", [False, True])
def test_only_what_is_identified_gets_anything(verdict: str, overwrite: bool) -> None:
    each = replace(FOUND, verdict=verdict)  # type: ignore[arg-type]
    assert fields_of(each) == {}
    assert not changes_of(each, {"title": ("Else",)}, overwrite=overwrite)


def test_without_a_release_only_the_song_is_known() -> None:
    alone = replace(FOUND, release=None, track=None)
    assert fields_of(alone) == {
        "title": ("Harbour",),
        "artist": ("Copper",),
        "musicbrainz_trackid": (RECORDING,),
        "acoustid_id": (mbid("acoustid", 1),),
    }


def test_control_characters_of_an_answer_are_never_written() -> None:
    track = replace(TRACKS[0], title="Harbour\n\x1b[31m at Dawn\x9b", artist="\x07")
    found = fields_of(replace(FOUND, track=track))
    assert found["title"] == ("Harbour [31m at Dawn",)
    assert "artist" not in found
    assert not changes_of(replace(FOUND, track=track), found, overwrite=True)


def test_what_nobody_knows_is_never_written() -> None:
    bare = replace(RELEASE, date="", group="", n_discs=0, n_tracks=0, tracks=TRACKS[:1], artist="", artist_ids=())
    found = fields_of(replace(FOUND, release=bare))
    assert set(ALL) - found.keys() == {
        "albumartist",
        "date",
        "tracktotal",
        "disctotal",
        "musicbrainz_releasegroupid",
        "musicbrainz_albumartistid",
    }
    present = {"date": ("1980",), "tracktotal": ("9",), "albumartist": ("Me",)}
    assert (
        not {"date", "tracktotal", "albumartist"}
        & changes_of(replace(FOUND, release=bare), present, overwrite=True).fields.keys()
    )


def test_what_a_person_wrote_stays_and_is_said() -> None:
    changes = changes_of(FOUND, {"title": ("Dawn",), "artist": ("COPPER",), "date": ("1994",)})
    assert changes.kept == {"title": ("Harbour at Dawn",)}, "spelling and exactness are no matter"
    assert changes.fields.keys() == set(ALL) - {"title", "artist", "date"}
    told = changes_of(FOUND, {"title": ("Dawn",), "artist": ("COPPER",), "date": ("1994",)}, overwrite=True)
    assert told.fields == {name: EXPECTED[name] for name in EXPECTED}
    assert changes_of(FOUND, EXPECTED | {"date": ("1994-03-01T00:00",)}, overwrite=True).fields == {}


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("title", "Track 07"),
        ("title", "AudioTrack 01"),
        ("artist", "Unknown Artist"),
        ("albumartist", "<unknown>"),
        ("album", "Unknown album"),
    ],
)
def test_what_programs_write_where_nobody_knows_is_nobodys(name: str, value: str) -> None:
    assert changes_of(FOUND, EXPECTED | {name: (value,)}) == Changes({name: EXPECTED[name]})


def test_what_is_nobodys_and_was_found_is_there() -> None:
    """MusicBrainz has an artist called "[unknown]"."""
    assert FOUND.track is not None
    each = replace(FOUND, track=replace(FOUND.track, artist="[unknown]"))
    assert not changes_of(each, EXPECTED | {"artist": ("[unknown]",)})
    assert changes_of(each, EXPECTED | {"artist": ("Unknown Artist",)}).fields == {"artist": ("[unknown]",)}


@pytest.mark.parametrize("title", ["1979", "Untitled", "Untitled #3", "Unknown", "Track", "Track 7 Blues"])
def test_a_title_that_may_be_one_stays(title: str) -> None:
    assert changes_of(FOUND, EXPECTED | {"title": (title,)}).fields == {}


def test_nothing_of_a_release_is_written_beside_another_album() -> None:
    changes = changes_of(FOUND, {"album": ("Greatest Hits",)})
    assert changes.fields.keys() == set(ALL) - OF_ALBUM
    assert changes.kept == {"album": ("Amber and Lantern",)}
    assert changes_of(FOUND, {"album": ("Greatest Hits",)}, overwrite=True).fields == EXPECTED
    spelt = changes_of(FOUND, {"album": ("Amber & Lantern (Deluxe)",)})
    assert spelt.fields.keys() == set(ALL) - {"album"}


def test_another_number_keeps_the_place_out() -> None:
    changes = changes_of(FOUND, {"tracknumber": ("11",)})
    place = {"tracknumber", "tracktotal", "discnumber", "disctotal", "musicbrainz_releasetrackid"}
    assert changes.fields.keys() == set(ALL) - place
    assert changes.kept == {"tracknumber": ("1",)}


def test_another_artist_gets_no_identifier_of_the_one_that_was_found() -> None:
    changes = changes_of(FOUND, {"artist": ("Wholly Different",)})
    assert "musicbrainz_artistid" not in changes.fields and "musicbrainz_albumartistid" in changes.fields
    assert "musicbrainz_artistid" in changes_of(FOUND, {"artist": ("Copper feat. Me",)}).fields


def test_another_recording_by_its_own_identifier_is_a_question_and_nothing_is_written() -> None:
    changes = changes_of(FOUND, {"musicbrainz_trackid": (mbid("recording", 77),)})
    assert changes == Changes(doubts={"musicbrainz_trackid": (RECORDING,)})
    assert changes_of(FOUND, {"musicbrainz_trackid": (mbid("recording", 77),)}, overwrite=True).fields == EXPECTED


def test_another_entry_of_the_same_song_is_no_question() -> None:
    changes = changes_of(FOUND, {"musicbrainz_trackid": (OTHER.upper(),)})
    assert changes.doubts == {}
    assert changes.fields.keys() == set(ALL) - {"musicbrainz_trackid", "musicbrainz_releasetrackid"}


@pytest.mark.parametrize("name", ["musicbrainz_albumid", "musicbrainz_releasegroupid"])
def test_another_release_by_its_own_identifier_is_a_question(name: str) -> None:
    changes = changes_of(FOUND, {name: (mbid("release", 77),)})
    assert changes.doubts == {name: EXPECTED[name]}
    assert changes.fields.keys() == set(ALL) - OF_ALBUM


def test_another_edition_of_the_same_release_group_is_a_persons_choice() -> None:
    """Picard asks which edition it is; a look-up takes the likeliest."""
    present = EXPECTED | {
        "musicbrainz_albumid": (mbid("release", 77),),
        "musicbrainz_releasetrackid": (mbid("track", 77),),
        "date": ("2015",),
        "tracktotal": ("13",),
    }
    assert not changes_of(FOUND, present)
    del present["albumartist"], present["musicbrainz_artistid"]
    assert changes_of(FOUND, present).fields.keys() == {"musicbrainz_artistid"}
    assert changes_of(FOUND, present, overwrite=True).fields.keys() == {
        "albumartist",
        "musicbrainz_artistid",
        "musicbrainz_albumid",
        "musicbrainz_releasetrackid",
        "date",
        "tracktotal",
    }


def test_another_sound_at_acoustid_stays_and_asks_nothing() -> None:
    """AcoustID has most recordings under several identifiers, and merges them."""
    assert not changes_of(FOUND, EXPECTED | {"acoustid_id": (mbid("acoustid", 9),)})


def test_only_chosen_fields_count() -> None:
    assert changes_of(FOUND, {}, names=("title", "date")).fields.keys() == {"title", "date"}
    assert changes_of(FOUND, {"title": ("Else",)}, names=IDS).kept == {}
    assert changes_of(FOUND, {"album": ("Greatest Hits",)}, names=("date",)).fields == {}


def test_nothing_is_ever_emptied() -> None:
    present: Fields = dict.fromkeys((*NAMES, "genre", "comment"), ("x",))
    for overwrite in (False, True):
        changes = changes_of(FOUND, present, overwrite=overwrite)
        assert all(values and all(values) for values in changes.fields.values())
        assert changes.fields.keys() <= set(ALL)
