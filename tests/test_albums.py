"""Releases: how tags say which one, what is complete, and what a removal would take from it."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.groups.albums import Albums, Release, albums_of, position
from dedup.groups.companions import Intended
from dedup.groups.matches import Matches
from dedup.settings import KeepSettings, MatchSettings
from dedup.store.tracks import Tracks
from tests import stores
from tests.made_tracks import track

Tags = dict[str, tuple[str, ...]]


def tags(album: str = "Album", number: object = 1, **others: str) -> Tags:
    return {
        "album": (album,),
        "tracknumber": (str(number),),
        **{name: (value,) for name, value in {"artist": "Artist", **others}.items()},
    }


# ---- which release, which track ----


@pytest.mark.parametrize(
    ("told", "number", "total"),
    [
        ("3", 3, None),
        ("03/12", 3, 12),
        ("3 / 12", 3, 12),
        ("3 of 12", 3, 12),
        ("Track 3", 3, None),
        ("３", 3, None),  # noqa: RUF001
        ("0", None, None),
        ("3/0", 3, None),
        ("A1", None, None),
        ("", None, None),
        ("20240131", None, None),
        ("-3", None, None),
        ("3.5", None, None),
    ],
)
def test_track_numbers(told: str, number: int | None, total: int | None) -> None:
    at = position(tags(number=told))
    assert at is not None
    assert (at.number, at.total) == (number, total)


@pytest.mark.parametrize(
    ("album", "disc", "release"),
    [
        ("Album", "", ("album", 1)),
        ("  ALBUM ", "1", ("album", 1)),
        ("Ａlbum", "1/2", ("album", 1)),  # noqa: RUF001
        ("Cafe\u0301  Noir", "Disc 2", ("café noir", 2)),
        ("Caf\u00e9 Noir", "CD2", ("café noir", 2)),
        ("STRASSE", "", ("strasse", 1)),
        ("Straße", "", ("strasse", 1)),
        ("Album (Disc 2)", "", ("album", 2)),
        ("Album [CD 2]", "", ("album", 2)),
        ("Album, disc 2 of 3", "", ("album", 2)),
        ("Album - CD2", "", ("album", 2)),
        ("Album (Disc 2)", "3", ("album", 3)),
        ("Disc 2", "", ("disc 2", 1)),
        ("Discovery", "", ("discovery", 1)),
        ("Album 2", "", ("album 2", 1)),
    ],
)
def test_albums_and_discs(album: str, disc: str, release: tuple[str, int]) -> None:
    at = position(tags(album, discnumber=disc))
    assert at is not None
    assert (at.release.album, at.release.disc) == release


@pytest.mark.parametrize(
    ("artists", "name"),
    [
        ({"albumartist": "The  BAND", "artist": "Someone"}, "the band"),
        ({"artist": "Someone"}, "someone"),
        ({"artist": "Someone feat. Other"}, "someone"),
        ({"artist": "Someone (ft. Other)"}, "someone"),
        ({"artist": "Someone", "compilation": "1"}, "various artists"),
        ({"artist": "Someone", "compilation": "0"}, "someone"),
    ],
)
def test_whose_album_it_is(artists: dict[str, str], name: str) -> None:
    at = position(tags(**artists))
    assert at is not None
    assert at.release == Release(name, "album", 1)


def test_how_many_tracks_there_are_stands_in_either_of_two_fields() -> None:
    for found in (tags("Album", "03/12"), tags("Album", 3, tracktotal="12"), tags("Album", "3/12", tracktotal="99")):
        at = position(found)
        assert at is not None
        assert (at.number, at.total) == (3, 12)


def test_what_names_no_album_is_on_none() -> None:
    assert position({"title": ("x",)}) is None
    assert position({"album": ("  ",), "tracknumber": ("1",)}) is None


@given(
    st.dictionaries(
        st.sampled_from(["album", "tracknumber", "discnumber", "artist", "albumartist"]), st.text().map(lambda t: (t,))
    )
)
def test_any_text_may_stand_in_a_tag(found: Tags) -> None:
    at = position(found)
    assert at is None or (at.release.album and at.release.disc >= 1)


# ---- what is kept twice on purpose ----


def may_merge(one: Any, other: Any, identity: Any = "album", **settings: Any) -> bool:
    intended = Intended(KeepSettings(identity=identity, **settings))
    assert intended.may_merge(one, other) == intended.may_merge(other, one)
    return intended.may_merge(one, other)


@pytest.mark.parametrize(
    ("a", "b", "same"),
    [
        (tags("Album", "03/12"), tags("ALBUM (Disc 1)", 3, artist="Someone Else"), True),
        (tags("Album"), tags("Single"), False),
        (tags("Album", 1), tags("Album", 2), False),
        (tags("Album", discnumber="1"), tags("Album", discnumber="2"), False),
        (tags("Album"), {"title": ("x",)}, False),
        ({"title": ("x",)}, {"title": ("x",)}, False),
    ],
)
def test_identity_album_keeps_a_recording_once_a_release(a: Tags, b: Tags, same: bool) -> None:
    one, other = track("/a", tags=a), track("/b", tags=b)
    assert may_merge(one, other) == same
    assert may_merge(one, other, "recording")


def test_companions_are_no_copies_of_each_other() -> None:
    trees = {"identity": "recording", "companions": ((b"/flac", b"/mp3"),)}
    assert not may_merge(track("/flac/x"), track("/mp3/deep/x"), **trees)
    assert may_merge(track("/flac/x"), track("/flac/y"), **trees)
    assert may_merge(track("/flac/x"), track("/other/x"), **trees)
    assert may_merge(track("/flac2/x"), track("/mp3/x"), **trees)


# ---- complete releases ----


def album(folder: str, numbers: Sequence[int], **others: str) -> list[tuple[bytes, Tags]]:
    return [(f"{folder}/{number}".encode(), tags(number=number, **others)) for number in numbers]


@pytest.mark.parametrize(
    ("numbers", "complete"),
    [
        ((1, 2, 3), True),
        ((1, 2), False),  # a single
        ((1, 2, 4), False),
        (("1/3", 2, 3), True),
        (("1/4", 2, 3), False),
        ((2, 3, 4), False),
        (("1/3", 2, 3, 4), True),  # a bonus
    ],
)
def test_a_release_is_complete_with_all_its_numbers(numbers: Sequence[object], complete: bool) -> None:
    files = [(b"/a/%d" % at, tags(number=number)) for at, number in enumerate(numbers)]
    albums = Albums(files)
    assert {albums.is_complete(path) for path, _ in files} == {complete}
    assert bool(albums.lacking({files[0][0]})) == complete


def test_a_disc_is_complete_by_itself() -> None:
    albums = Albums([*album("/1", (1, 2, 3), discnumber="1"), *album("/2", (1, 2), discnumber="2")])
    assert albums.is_complete(b"/1/1")
    assert not albums.is_complete(b"/2/1")
    assert not albums.is_complete(b"/nowhere")
    assert albums.lacking({b"/1/2", b"/2/2"}) == {b"/1/2": "track 2 of Album"}


def test_one_whole_copy_of_a_release_is_enough() -> None:
    albums = Albums([*album("/a", (1, 2, 3)), *album("/b", (1, 2, 3))])
    assert albums.lacking({b"/a/1", b"/a/2", b"/a/3"}) == {}
    assert albums.lacking({b"/a/1", b"/b/2", b"/b/3"}) == {b"/a/1": "track 1 of Album"}
    assert albums.lacking({b"/a/1", b"/b/1"}) == {b"/a/1": "track 1 of Album"}


def test_a_release_in_several_folders_is_complete_together() -> None:
    albums = Albums([*album("/a", (1, 2)), *album("/b", (2, 3))])
    assert not albums.is_complete(b"/a/1")
    assert albums.lacking({b"/a/2"}) == {}
    assert albums.lacking({b"/a/2", b"/b/2"}) == {b"/a/2": "track 2 of Album"}


files = st.lists(
    st.tuples(
        st.tuples(st.sampled_from("ab"), st.integers(0, 9)).map(lambda at: f"/{at[0]}/{at[1]}".encode()),
        st.builds(tags, st.sampled_from(["A", "B"]), st.integers(1, 4)),
    ),
    unique_by=lambda file: file[0],
    max_size=16,
)


@given(files, st.data())
def test_with_what_is_lacking_put_back_every_complete_release_is_complete(
    found: list[tuple[bytes, Tags]], data: st.DataObject
) -> None:
    removed = set(data.draw(st.lists(st.sampled_from([path for path, _ in found])))) if found else set()
    albums = Albums(found)
    lacking = albums.lacking(removed)
    assert set(lacking) <= removed
    gone = removed - set(lacking)
    left = Albums([file for file in found if file[0] not in gone])
    assert left.lacking(set()) == {}
    for path, own in found:
        if albums.is_complete(path):
            same = {other for other, others in found if others["album"] == own["album"]} - gone
            assert any(left.is_complete(other) for other in same)
    assert albums.lacking(gone) == {}


class Others(list[tuple[bytes, Tags]]):
    """Files beside some tracks."""

    def count(self, folder: bytes) -> int:
        return sum(os.path.dirname(path) == folder for path, _ in self)

    def read(self) -> Others:
        return self


@given(files, files, st.data())
def test_what_was_asked_before_changes_no_answer(
    found: list[tuple[bytes, Tags]], beside: list[tuple[bytes, Tags]], data: st.DataObject
) -> None:
    others = Others((path + b"x", tags) for path, tags in beside)
    albums, paths = Albums(found, others), [path for path, _ in (*found, *others)]
    for _ in range(3):
        removed = set(data.draw(st.lists(st.sampled_from(paths)))) if paths else set()
        fresh = Albums(found, others).lacking(removed)
        assert albums.lacking(removed) == fresh
        if (plain := albums.plain()) is not None:
            assert Albums.of_plain(plain).lacking(removed) == fresh


# ---- of a store ----


def test_only_the_folders_that_matter_are_read(tmp_path: Path) -> None:
    items = stores.recording(1, 200)
    with stores.open_store(tmp_path) as store:
        for number in (1, 2, 3):
            stores.add_track(store, f"a/{number}", stores.recording(10 + number, 200), tags=tags(number=number))
            stores.add_track(store, f"far/{number}", stores.recording(20 + number, 200), tags=tags(number=number))
        stores.add_track(store, "a/copy", items, tags=tags(number=4))
        stores.add_track(store, "b/copy", items, tags=tags("Other"))
        stores.add_track(store, "b/away", items, state="absent", tags=tags("Other", 2))
        tracks = Matches(store, MatchSettings()).tracks
        assert {os.path.dirname(one.path) for one in tracks} == {b"/music/a", b"/music/b"}
        albums = albums_of(store, tracks)
    assert albums.is_complete(b"/music/a/copy")
    assert albums.lacking({b"/music/a/copy"}) == {b"/music/a/copy": "track 4 of Album"}
    assert not albums.is_complete(b"/music/far/1"), "no copy is in that folder"
    assert not albums.is_complete(b"/music/b/copy")
    assert not albums.is_complete(b"/music/b/away")


def test_other_files_are_read_only_if_an_answer_depends_on_them(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    of_present = Tracks.properties_of_present

    def counted(self: Tracks, ids: Sequence[int]) -> Iterator[tuple[bytes, str]]:
        read.extend(ids)
        return of_present(self, ids)

    monkeypatch.setattr(Tracks, "properties_of_present", counted)
    items = stores.recording(1, 200)
    with stores.open_store(tmp_path) as store:
        for number in (2, 3):
            stores.add_track(store, f"a/{number}", stores.recording(10 + number, 200), tags=tags(number=number))
        for folder in ("a", "b"):
            stores.add_track(store, f"{folder}/1", items, tags=tags(number="1/3"))
        stores.add_track(store, "b/x", stores.recording(20, 200), tags={})
        albums = albums_of(store, Matches(store, MatchSettings()).tracks)
    assert not albums.is_complete(b"/music/b/1"), "two files are no album of three"
    assert albums.lacking({b"/music/b/1"}) == {}, "the other copy stays"
    assert read == []
    assert albums.lacking({b"/music/a/1"}) == {b"/music/a/1": "track 1 of Album"}
    assert albums.is_complete(b"/music/a/1")
    assert len(read) == 3, "all at once"
