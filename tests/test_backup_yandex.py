"""A back-up of Yandex Music, against a stand-in that answers as the package `yandex-music` documents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
import requests

from dedup.backup.yandex import Yandex
from dedup.files.standby import Standby
from dedup.playlists.playlists import references
from dedup.tags.read import read_tags
from tests.backups import Backup, MakeSource, Told, song
from tests.music_services import TOKEN, ToHere, YandexService, serving
from tests.test_backup_servers import Waits
from tests.test_cover_command import JPEG


@pytest.fixture
def backup(tmp_path: Path) -> Iterator[Backup]:
    with closing(Standby(1)) as standby:
        made = Backup(tmp_path, standby, Told())
        made.to.mkdir()
        yield made


@pytest.fixture(scope="module")
def mp3(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return song(tmp_path_factory.mktemp("mp3") / "a.mp3", 1, "mp3").read_bytes()


def track(id_: str, title: str, duration_ms: int = 13_000) -> dict[str, object]:
    artist = {"id": 5, "name": "Anna/Bert"}
    album = {"id": 9, "title": "An album", "year": 2001, "genre": "folk", "artists": [artist]}
    album |= {"coverUri": "storage/picture/%%", "trackPosition": {"volume": 1, "index": int(id_)}}
    said = {"id": id_, "title": title, "version": "live", "durationMs": duration_ms, "isrc": "QQ0000000001"}
    return {**said, "artists": [artist], "albums": [album], "available": True}


def service(mp3: bytes) -> YandexService:
    tracks = {"1": track("1", "One"), "2": track("2", "Two", 60_000), "3": track("3", "Three")}
    made = YandexService(tracks, {"1": mp3, "2": mp3, "3": mp3}, ["1", "2"], {1000: ("Evening", ["1", "3"])})
    made.previews, made.picture = {"3"}, JPEG
    return made


def yandex(url: str, token: str = TOKEN) -> MakeSource:
    http = requests.Session()
    http.mount("https://", ToHere(url))
    return lambda flow, told: Yandex(token, flow, url, http)  # noqa: ARG005


def test_liked_tracks_and_playlists_come_with_tags_and_cover(backup: Backup, mp3: bytes) -> None:
    made = service(mp3)
    waits = Waits()
    with serving(made) as url:
        made.url = url
        made.troubles.append(503)
        result, found = backup.run(yandex(url), flow=waits.flow)
    assert result.error is None
    assert {taken.item.id: taken.outcome for taken in found} == {"1": "new", "2": "failed", "3": "failed"}
    notes = {taken.item.id: taken.note for taken in found}
    assert notes["2"] == "13 of 60 s of sound came"
    assert notes["3"] == "only a preview of it may be fetched with this account"
    name = "Anna_Bert/An album/01 - One (live).mp3"
    assert backup.files() == [name, "Playlists/Evening.m3u8", "Playlists/Likes.m3u8"]
    tags = read_tags(bytes(backup.to / name))
    assert (tags.fields["artist"], tags.fields["date"]) == (("Anna/Bert",), ("2001",))
    assert (tags.fields["genre"], tags.fields["isrc"]) == (("folk",), ("QQ0000000001",))
    assert [cover.data for cover in tags.covers] == [JPEG]
    assert references(bytes(backup.to / "Playlists" / "Evening.m3u8")) == [bytes(backup.to / name)]
    assert made.tokens == {None}, "who has the files does not get the token"
    assert waits.seconds == [2.0]


def test_a_token_that_is_refused_is_said_and_never_shown(backup: Backup, mp3: bytes) -> None:
    made = service(mp3)
    with serving(made) as url:
        made.url = url
        result, _ = backup.run(yandex(url, "y0_wrong"))
    assert str(result.error).startswith("Yandex Music: does not accept the token")
    assert "y0_wrong" not in str(result.error)


def test_a_service_that_fails_again_and_again_ends_the_run(backup: Backup, mp3: bytes) -> None:
    made = service(mp3)
    waits = Waits()
    with serving(made) as url:
        made.url = url
        made.troubles.extend([502] * 4)
        result, _ = backup.run(yandex(url), flow=waits.flow)
    assert waits.seconds == [2.0, 5.0, 15.0]
    assert "cannot be asked (NetworkError)" in str(result.error)
