"""Back-ups of Subsonic servers: Supysonic, which really runs, and stand-ins that lie, break off and refuse."""

from __future__ import annotations

import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from dedup.backup.flow import Flow
from dedup.backup.subsonic import SubsonicSource
from dedup.backup.take import Taken
from dedup.files.standby import Standby
from dedup.library.identity import stream_hash
from dedup.lookup.pace import StoppedError
from dedup.net import download
from dedup.playlists.playlists import references
from dedup.runner import Stop
from dedup.servers.secret import Secret
from dedup.servers.settings import ServerSettings
from dedup.tags.read import read_tags
from tests.backups import Backup, MakeSource, Told, song
from tests.music_services import Files, Trouble, serving
from tests.supysonic_server import PASSWORD, USER, Supysonic, supysonic
from tests.test_cover_command import JPEG


@pytest.fixture(scope="module")
def standby() -> Iterator[Standby]:
    with closing(Standby(1)) as made:
        yield made


@pytest.fixture
def backup(tmp_path: Path, standby: Standby) -> Backup:
    made = Backup(tmp_path, standby, Told())
    made.to.mkdir()
    return made


def subsonic(url: str, password: str = PASSWORD, user: str = USER) -> MakeSource:
    settings = ServerSettings("home", "subsonic", url, user, ())
    return lambda flow, told: SubsonicSource(settings, Secret(password), flow)  # noqa: ARG005


@pytest.fixture(scope="module")
def server() -> Iterator[tuple[Supysonic, Path]]:
    """A server with an album of two songs, and a copy of the second with other tags."""
    with tempfile.TemporaryDirectory(prefix="r") as home:
        music = Path(home) / "m"
        album = {"album": "An album: part 1/2", "albumartist": "Anna", "artist": "Anna & Bert"}
        song(music / "a" / "1.flac", 1, **album, title="One", tracknumber="1", date="1999")
        song(music / "a" / "2.mp3", 2, "mp3", **album, title="../../Two?", tracknumber="2")
        shutil.copy(music / "a" / "2.mp3", music / "copy.mp3")
        (music / "a" / "cover.jpg").write_bytes(JPEG)
        with supysonic(Path(home) / "s", music) as running:
            yield running, music


def test_files_of_a_real_server_come_byte_by_byte(server: tuple[Supysonic, Path], backup: Backup) -> None:
    running, music = server
    result, found = backup.run(subsonic(running.url), as_is=True)
    assert result.error is None
    assert sorted(taken.outcome for taken in found) == ["here", "new", "new"]
    assert backup.files() == ["Anna/An album_ part 1_2/01 - One.flac", "Anna/An album_ part 1_2/02 - .._.._Two_.mp3"]
    for name, original in zip(backup.files(), ("1.flac", "2.mp3"), strict=True):
        assert (backup.to / name).read_bytes() == (music / "a" / original).read_bytes()


def test_tags_cover_and_playlists_of_a_real_server_come_along(server: tuple[Supysonic, Path], backup: Backup) -> None:
    running, music = server
    songs = running.songs()
    first, second, copy = (songs[name]["id"] for name in ("a/1.flac", "a/2.mp3", "copy.mp3"))
    list_id = running.make_playlist("Evening / late", second, first, copy)
    result, _ = backup.run(subsonic(running.url))
    assert (result.error, result.n_playlists) == (None, 1)
    path = os.fsencode(backup.to / "Anna" / "An album_ part 1_2" / "01 - One.flac")
    tags = read_tags(path)
    assert tags.fields["date"] == ("1999",)
    assert "replaygain_track_gain" in tags.fields
    assert stream_hash(path) == stream_hash(os.fsencode(music / "a" / "1.flac"))
    assert [cover.data for cover in tags.covers] == [JPEG]
    playlist = os.fsencode(backup.to / "Playlists" / "Evening _ late.m3u8")
    other = os.path.join(os.path.dirname(path), b"02 - .._.._Two_.mp3")
    assert references(playlist) == [other, path, other]
    assert b"\n../Anna/" in Path(os.fsdecode(playlist)).read_bytes()

    running.call("updatePlaylist", playlistId=list_id, songIndexToRemove=0)
    backup.run(subsonic(running.url))
    assert references(playlist) == [path, other], "one of ours is written anew"
    with open(playlist, "ab") as file:
        file.write(b"../of mine.mp3\n")
    running.call("updatePlaylist", playlistId=list_id, songIndexToRemove=0)
    backup.run(subsonic(running.url))
    assert len(references(playlist)) == 3, "one that a person changed stays"
    assert [name for name in backup.files() if name.startswith("Playlists")] == ["Playlists/Evening _ late.m3u8"]
    assert any("changed by hand" in message for message in backup.told.messages)
    running.call("deletePlaylist", id=list_id)


# ---- servers that lie, break off and refuse ----


@pytest.fixture(scope="module")
def flac(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    return song(tmp_path_factory.mktemp("flac") / "a.flac", 1, title="One", artist="Anna", album="A").read_bytes()


def one(data: bytes, **said: object) -> Files:
    return Files({"s1": ({"title": "One", "artist": "Anna", "album": "A", "suffix": "flac", **said}, data)})


class Waits:
    """A flow whose pauses take no time, and are remembered."""

    def __init__(self) -> None:
        self.seconds: list[float] = []
        stop = Stop()
        self.flow = Flow(stop, wait=self.seconds.append)


def test_a_file_that_breaks_off_is_fetched_on_from_there(backup: Backup, flac: bytes) -> None:
    files = one(flac, size=len(flac))
    files.troubles.extend(["busy", "cut", "cut", "slow"])
    waits = Waits()
    with serving(files) as url:
        _, found = backup.run(subsonic(url), flow=waits.flow, as_is=True)
    assert [taken.outcome for taken in found] == ["new"]
    assert waits.seconds == [7.0, 1.0, 1.0], "as long as the server asks, else a little"
    half, quarter = len(flac) // 2, len(flac) // 2 + (len(flac) - len(flac) // 2) // 2
    assert files.ranges == ["", "", f"bytes={half}-", f"bytes={quarter}-"]
    assert (backup.to / "Anna" / "A" / "One.flac").read_bytes() == flac


def test_the_rest_of_another_version_is_not_put_behind_the_first(backup: Backup, flac: bytes) -> None:
    files = one(flac, size=len(flac))
    files.troubles.append("cut")
    files.versions.extend(['"1"', '"2"'])
    with serving(files) as url:
        _, found = backup.run(subsonic(url), flow=Waits().flow)
        assert files.known_versions == ["", '"1"']
        assert [(taken.outcome, taken.note) for taken in found] == [("failed", "it changed while it was fetched")]
        assert [taken.outcome for taken in backup.run(subsonic(url), flow=Waits().flow)[1]] == ["new"]


def test_bytes_come_no_faster_than_they_may() -> None:
    now = [0.0]
    waited: list[float] = []

    def wait(seconds: float) -> None:
        waited.append(seconds)
        now[0] += seconds

    stop = Stop()
    flow = Flow(stop, bytes_per_s=100, now=lambda: now[0], wait=wait)
    for n_bytes in (50, 100, 0):
        flow.passed(n_bytes)
    assert waited == [0.5, 1.0]
    now[0] += 10
    flow.passed(10)
    assert waited[2:] == [pytest.approx(0.1)], "what was not used is not made up for"
    stop.request("Ctrl-C")
    with pytest.raises(StoppedError):
        flow.passed(1)


def test_what_comes_too_slowly_is_given_up(backup: Backup, flac: bytes, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(download, "LEAST_S", 0.0)
    monkeypatch.setattr(download, "SLOWEST_BYTES_PER_S", 1 << 40)
    files = one(flac)
    files.troubles.append("slow")
    with serving(files) as url:
        _, found = backup.run(subsonic(url))
    assert "it comes too slowly" in found[0].note


def test_a_server_without_ranges_sends_all_of_it_again(backup: Backup, flac: bytes) -> None:
    files = one(flac)
    files.takes_ranges = False
    files.troubles.append("cut")
    with serving(files) as url:
        backup.run(subsonic(url), flow=Waits().flow, as_is=True)
    assert (backup.to / "Anna" / "A" / "One.flac").read_bytes() == flac


@pytest.mark.parametrize(
    ("trouble", "size", "why"),
    [
        ("short", True, r"[\d,]+ of [\d,]+ bytes came"),
        ("short", False, r"too short: 6"),
        ("long", True, r"more than [\d,]+ bytes come"),
        ("gone", True, r"has nothing for download: not\\x1b\[2J here"),
        ("packed", True, r"sends it packed"),
        ("wait for ever", True, r""),
    ],
)
def test_what_does_not_come_whole_is_not_kept(
    backup: Backup, flac: bytes, trouble: Trouble, size: bool, why: str
) -> None:
    files = one(flac, duration=13, **({"size": len(flac)} if size else {}))
    files.troubles.append(trouble)
    with serving(files) as url:
        result, found = backup.run(subsonic(url), flow=Waits().flow)
    assert backup.files() == []
    if trouble == "wait for ever":
        assert "asks to wait 99,999 s" in str(result.error) and result.n_left == 1
    elif trouble == "gone":
        assert [taken.outcome for taken in found] == ["failed"] and "not\\x1b[2J here" in found[0].note
    else:
        assert [taken.outcome for taken in found] == ["failed"] and re.search(why, found[0].note)
    with serving(one(flac, size=len(flac))) as url:
        assert [taken.outcome for taken in backup.run(subsonic(url))[1]] == ["new"]


def test_a_server_behind_a_login_page_ends_the_run(backup: Backup, flac: bytes) -> None:
    files = one(flac)
    files.songs["s2"] = ({"title": "Two", "suffix": "flac"}, flac)

    def log_out(_: Taken) -> None:
        files.is_behind_login = True

    with serving(files) as url:
        result, found = backup.run(subsonic(url), flow=Waits().flow, tell=log_out)
    assert len(found) == 1 and result.n_left == 1
    assert str(result.error).startswith("server home: ")


@pytest.mark.parametrize(
    ("trouble", "why"),
    [("page", "gives something other than a file"), ("silence", "it cannot be reached")],
)
def test_a_file_at_which_a_server_stumbles_costs_itself_alone(
    backup: Backup, flac: bytes, trouble: Trouble, why: str
) -> None:
    files = Files({"s0": ({"title": "Bad", "suffix": "flac"}, flac), **one(flac).songs})
    files.troubles.extend([trouble] * (download.MOST_TRIES if trouble == "silence" else 1))
    with serving(files) as url:
        result, found = backup.run(subsonic(url), flow=Waits().flow)
    assert result.error is None
    assert [taken.outcome for taken in found] == ["failed", "new"]
    assert why in found[0].note


def test_a_file_that_breaks_off_again_and_again_is_given_up(
    backup: Backup, flac: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "LEAST_S", 3.5)
    monkeypatch.setattr(download, "SLOWEST_BYTES_PER_S", 1 << 40)
    files = one(flac, size=len(flac))
    files.troubles.extend(["cut"] * 12)
    with serving(files) as url:
        _, found = backup.run(subsonic(url), flow=Waits().flow)
    assert "it comes too slowly" in found[0].note
    assert len(files.ranges) == 4


def test_no_answer_that_begins_byte_by_byte_holds_up_the_others(
    backup: Backup, flac: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(download, "ANSWER_S", 0.3)
    files = Files({"s0": ({"title": "Bad", "suffix": "flac"}, flac), **one(flac).songs})
    files.troubles.extend(["drip"] * download.MOST_TRIES)
    with serving(files) as url:
        result, found = backup.run(subsonic(url), flow=Waits().flow)
    assert result.error is None
    assert [taken.outcome for taken in found] == ["failed", "new"]
    assert "does not answer in time" in found[0].note


def test_a_server_that_went_away_ends_the_run_and_what_came_is_kept(backup: Backup, flac: bytes) -> None:
    files = one(flac)
    files.songs["s2"] = ({"title": "Two", "suffix": "flac"}, flac)
    waits = Waits()

    def go_away(_: Taken) -> None:
        files.is_away = True

    with serving(files) as url:
        result, found = backup.run(subsonic(url), flow=waits.flow, tell=go_away)
    assert [taken.outcome for taken in found] == ["new"]
    assert result.n_left == 1 and "cannot be reached" in str(result.error)


def test_hostile_ids_names_and_suffixes_lead_nowhere(backup: Backup, flac: bytes) -> None:
    evil = "../../../../tmp/evil"
    said = {"title": evil, "artist": "..", "albumArtists": [{"name": "/etc"}], "album": ".\x00\u202e/", "track": 1}
    files = Files(
        {
            evil: ({**said, "suffix": "flac"}, flac),
            "s2": ({**said, "suffix": "../../x.flac"}, flac),
            "s3": ({**said, "suffix": "exe"}, flac),
            "": ({**said, "suffix": "flac"}, flac),
            "\ud800": ({**said, "suffix": "flac"}, flac),
            "s4": ({**said, "title": "half \ud800", "suffix": "exe\ud800"}, flac),
        }
    )
    with serving(files) as url:
        _, found = backup.run(subsonic(url), as_is=True)
    assert [taken.outcome for taken in found] == ["new", "failed", "failed", "failed"]
    assert backup.files() == ["_etc/A/01 - One.flac"]
    assert sorted(os.listdir(backup.base)) == ["store", "to"]


def test_another_password_is_said_and_no_message_holds_it(server: tuple[Supysonic, Path], backup: Backup) -> None:
    result, _ = backup.run(subsonic(server[0].url, password="wr0ng"))
    assert "does not let anna in" in str(result.error)
    assert "wr0ng" not in str(result.error)
