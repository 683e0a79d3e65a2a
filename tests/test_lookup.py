"""`reprise identify`, against a server on this machine: what is asked, how often, and what is decided from it."""

from __future__ import annotations

import json
import tomllib
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_USAGE, InputError, ServiceError, UsageError
from dedup.lookup import acoustid, http, musicbrainz
from dedup.lookup.identify import Identified
from dedup.runner import Stop
from dedup.store.items import Items
from dedup.store.store import Store, open_for_reading, open_for_writing
from jobs import cli
from tests.looking_up import Clock, Found, run, settings_for
from tests.lookup_service import KEY, Services, mbid
from tests.made_albums import (
    Piece,
    add_file,
    album_title,
    make_doubtful_library,
    make_library,
    make_pieces,
    named,
    publish,
    sound,
)
from tests.stores import open_store

REPO = Path(__file__).resolve().parent.parent


def by_path(found: Found) -> dict[bytes, Identified]:
    return {each.file.path: each for each in found.files}


def require_rates(services: Services) -> None:
    """Never more than three requests to AcoustID within a second, and one to MusicBrainz."""
    for name, most in (("lookup", 3), ("ws", 1)):
        times = services.times[name]
        assert all(later - first >= 1 for first, later in zip(times, times[most:], strict=False)), name


# ---- what is decided ----


def test_made_albums_are_identified_and_kept_together_and_no_wrong_title_is_chosen(
    tmp_path: Path, services: Services, clock: Clock
) -> None:
    with open_store(tmp_path / "store", block_size=256) as store:
        with store.catalog.gathered():  # the disk is asked once
            made = make_library(store, services, make_pieces(20, 10))
        found = by_path(run(store, services, clock))
    assert len(found) == 200
    right = set()
    for path, each in found.items():
        if each.verdict == "identified":
            assert each.recording is not None
            assert each.recording.title == made.truth[path].title, (path, each.why)
            assert each.track is None or each.track.title == made.truth[path].title
            right.add(path)
    assert right <= made.knowable
    assert len(made.knowable) == 180
    assert len(right) >= 0.95 * len(made.knowable)
    for album in range(20):
        here = [found[path] for path in right if made.truth[path].album == album]
        assert {each.release.id for each in here if each.release} == {mbid("release", album)}
        assert all(each.track and each.track.number == made.truth[each.file.path].number for each in here)
    assert Counter(services.asked) == dict.fromkeys((piece.text for piece in made.pieces), 1)
    assert max(Counter(services.looked_at).values()) == 1
    require_rates(services)


def test_where_a_quarter_of_the_answers_is_wrong_no_wrong_title_is_chosen(
    tmp_path: Path, services: Services, clock: Clock
) -> None:
    with open_store(tmp_path / "store", block_size=256) as store:
        with store.catalog.gathered():
            made = make_doubtful_library(store, services, make_pieces(12, 10, seed=3), seed=3)
        found = by_path(run(store, services, clock))
    chosen = {path: each.recording for path, each in found.items() if each.verdict == "identified" and each.recording}
    assert {path: each.title for path, each in chosen.items()} == {path: made.truth[path].title for path in chosen}
    assert len(chosen.keys() & made.knowable) >= 0.9 * len(made.knowable)


@pytest.fixture
def pieces() -> list[Piece]:
    return make_pieces(2, 10)


def one(
    tmp_path: Path, services: Services, clock: Clock, piece: Piece, results: list[dict[str, Any]], **tags: str
) -> Identified:
    """What a file by itself is."""
    services.sounds[piece.text] = results
    with open_store(tmp_path / "store") as store:
        add_file(store, piece, "one/x.flac", **tags)
        (found,) = run(store, services, clock).files
    return found


def test_a_file_by_itself_needs_a_sure_sound_its_length_and_several_people(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    first = pieces[0]
    assert one(tmp_path / "a", services, clock, first, [sound(first, 0.95, 5)]).verdict == "identified"
    few = one(tmp_path / "b", services, clock, first, [sound(first, 0.95, 4)])
    assert (few.verdict, few.why, few.song is not None) == ("question", "too little speaks for it", True)
    assert one(tmp_path / "c", services, clock, first, [sound(first, 0.85, 90)]).verdict == "question"
    longer = sound(first, 0.95, 90)
    longer["recordings"][0]["duration"] += 5
    assert one(tmp_path / "d", services, clock, first, [longer]).verdict == "question"
    longer["recordings"][0]["duration"] += 5
    assert one(tmp_path / "e", services, clock, first, [longer]).verdict == "unknown"
    assert one(tmp_path / "f", services, clock, first, []).verdict == "unknown"


def test_two_songs_that_fit_alike_are_a_question_unless_tags_say_which(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    first, other = pieces[0], pieces[12]
    both = [sound(first, 0.95, 50, named(other, 40) | {"duration": round(first.length_s)})]
    assert one(tmp_path / "a", services, clock, first, both).why == "several songs fit"
    tagged = one(tmp_path / "b", services, clock, first, both, title=other.title.lower(), artist=other.artist)
    assert tagged.verdict == "identified"
    assert tagged.recording is not None
    assert tagged.recording.id == other.recording


@pytest.mark.parametrize(
    ("tags", "why"),
    [
        ({"title": "Something Else Entirely"}, "its tags have another title"),
        ({"artist": "Nobody You Know"}, "its tags have another artist"),
        ({"title": "{} (Live)"}, "its tags have another version of the title"),
        ({"title": "{}, Part 2"}, "its tags have another title"),
    ],
)
def test_tags_that_say_otherwise_make_it_a_question(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece], tags: dict[str, str], why: str
) -> None:
    first = pieces[0]
    said = {name: value.format(first.title) for name, value in tags.items()}
    found = one(tmp_path, services, clock, first, [sound(first, 0.99, 200)], **said)
    assert (found.verdict, found.why) == ("question", why)


def album_in(store: Store, services: Services, pieces: list[Piece], number: int = 0) -> list[Piece]:
    """The files of one album, known, without tags."""
    publish(services, pieces)
    own = [piece for piece in pieces if piece.album == number]
    for piece in own:
        services.sounds[piece.text] = [sound(piece, 0.95, 50)]
        add_file(store, piece, f"here/{piece.items[9]:08x}.flac")
    return own


def test_what_is_not_on_the_release_of_the_files_beside_it_is_a_question(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    with open_store(tmp_path / "store", block_size=32) as store:
        own = album_in(store, services, pieces)
        odd = pieces[15]
        services.sounds[own[4].text] = [sound(odd, 0.99, 90) | {"id": mbid("acoustid", 777)}]
        services.sounds[own[4].text][0]["recordings"][0]["duration"] = round(own[4].length_s)
        found = run(store, services, clock)
    verdicts = Counter(each.verdict for each in found.files)
    assert verdicts == {"identified": 9, "question": 1}
    (asked,) = [each for each in found.files if each.verdict == "question"]
    assert asked.why == "it is not on the release of the files beside it"


def test_a_folder_that_is_two_releases_by_halves_is_a_question(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    with open_store(tmp_path / "store", block_size=32) as store:
        own = album_in(store, services, pieces)
        for piece, other in zip(own[5:], pieces[15:], strict=True):
            services.sounds[piece.text] = [sound(other, 0.97, 80)]
            services.sounds[piece.text][0]["recordings"][0]["duration"] = round(piece.length_s)
        found = run(store, services, clock)
    assert {each.verdict for each in found.files} == {"question"}


def test_numbers_choose_among_editions_and_tell_tracks_apart(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    """Another edition has the tracks the other way round; one file may be two tracks, and its number says which."""
    publish(services, pieces)
    own = pieces[:10]
    turned = services.releases[mbid("release", 0)]["media"][0]
    turned["tracks"] = [part | {"position": 11 - part["position"]} for part in turned["tracks"]]
    with open_store(tmp_path / "store", block_size=32) as store:
        for piece in own:
            services.sounds[piece.text] = [sound(piece, 0.95, 50)]
            add_file(store, piece, f"here/{piece.number:02} - x.flac")
        next_one = named(own[5], 2) | {"duration": round(own[4].length_s)}
        services.sounds[own[4].text] = [sound(own[4], 0.95, 50, next_one)]
        found = run(store, services, clock)
    assert {each.verdict for each in found.files} == {"identified"}
    assert {each.release.id for each in found.files if each.release} == {mbid("later", 0)}
    assert [each.track.title for each in found.files if each.track] == [piece.title for piece in own]


def test_a_folder_of_downloads_holds_several_albums(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    """They are told apart by their tags; each is kept together."""
    with open_store(tmp_path / "store", block_size=32) as store:
        publish(services, pieces)
        for piece in pieces:
            services.sounds[piece.text] = [sound(piece, 0.95, 50)]
            add_file(store, piece, f"all/{piece.items[9]:08x}.flac", album=album_title(piece.album).upper())
        found = run(store, services, clock)
    assert Counter(each.release.id for each in found.files if each.release) == {
        mbid("release", 0): 10,
        mbid("release", 1): 10,
    }
    assert [each.file.path for each in found.files] == sorted(each.file.path for each in found.files)


def test_discs_in_folders_of_their_own_are_one_release(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    publish(services, pieces)
    own = pieces[:10]
    whole = services.releases[mbid("release", 0)]
    tracks = whole["media"][0]["tracks"]
    whole["media"] = [
        {"position": disc, "track-count": 5, "tracks": [part | {"position": at} for at, part in enumerate(of, start=1)]}
        for disc, of in ((1, tracks[:5]), (2, tracks[5:]))
    ]
    del services.releases[mbid("later", 0)]
    with open_store(tmp_path / "store", block_size=32) as store:
        for piece in own:
            services.sounds[piece.text] = [sound(piece, 0.95, 50)]
            disc, number = divmod(piece.number - 1, 5)
            add_file(store, piece, f"here/CD {disc + 1}/{number + 1:02}.flac")
        found = run(store, services, clock)
    places = [(each.track.disc, each.track.number) for each in found.files if each.track]
    assert places == [(disc, number) for disc in (1, 2) for number in range(1, 6)]
    assert {each.release.id for each in found.files if each.release} == {mbid("release", 0)}


def test_two_files_of_different_sound_are_not_the_same_track(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    with open_store(tmp_path / "store", block_size=32) as store:
        own = album_in(store, services, pieces)
        services.sounds[own[4].text] = [sound(own[5], 0.95, 50)]
        services.sounds[own[4].text][0]["recordings"][0]["duration"] = round(own[4].length_s)
        found = run(store, services, clock)
    asked = [each for each in found.files if each.verdict == "question"]
    assert len(asked) == 2
    assert {each.why for each in asked} == {"another file that sounds otherwise would be the same recording"}


def test_a_file_by_itself_gets_the_release_that_its_tags_name(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    first = pieces[0]
    publish(services, pieces)
    with_it = [services.releases[mbid("release", 0)], services.releases[mbid("best", 0)]]
    only = [
        one_release | {"media": [one_release["media"][0] | {"tracks": one_release["media"][0]["tracks"][:1]}]}
        for one_release in with_it
    ]
    services.recordings[first.recording] = {"id": first.recording, "title": first.title, "releases": only}
    results = [sound(first, 0.95, 50)]
    assert one(tmp_path / "a", services, clock, first, results).release is None, "there are two"
    named_so = one(tmp_path / "b", services, clock, first, results, album="the best of everything")
    assert named_so.release is not None
    assert (named_so.release.id, named_so.track and named_so.track.number) == (mbid("best", 0), 1)


# ---- what is asked ----


def test_only_what_is_new_is_asked_and_what_nobody_knew_after_a_while(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    with open_store(tmp_path / "store", block_size=32) as store:
        own = album_in(store, services, pieces)
        services.sounds[own[0].text] = []
        assert run(store, services, clock).n_asked == 10
        assert run(store, services, clock, settings=settings_for(services, key=None)).n_asked == 0, "no key is needed"
        assert len(services.asked) == 10
        add_file(store, pieces[11], "there/new.flac")
        assert run(store, services, clock).n_asked == 1
        clock.time += 31 * 86400
        assert run(store, services, clock).n_asked == 2
        assert Counter(services.asked) == {
            piece.text: 2 if piece in (own[0], pieces[11]) else 1 for piece in (*own, pieces[11])
        }
        clock.time += 5
        assert run(store, services, clock, anew=True).n_asked == 11


def test_a_limit_leaves_the_rest_for_the_next_run(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    with open_store(tmp_path / "store", block_size=32) as store:
        album_in(store, services, pieces)
        first = run(store, services, clock, limit=4)
        assert (first.n_asked, first.n_left) == (4, 6)
        assert {each.verdict for each in first.files} == {"unasked"}, "nothing is decided of a part"
        assert not services.looked_at
        second = run(store, services, clock)
    assert (second.n_asked, second.n_left) == (6, 0)
    assert {each.verdict for each in second.files} == {"identified"}
    assert max(Counter(services.asked).values()) == 1


def test_one_file_is_decided_with_what_is_known_of_those_beside_it(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    with open_store(tmp_path / "store", block_size=32) as store:
        own = album_in(store, services, pieces)
        path = f"/music/here/{own[4].items[9]:08x}.flac".encode()
        (alone,) = run(store, services, clock, path).files
        assert (alone.verdict, alone.release, len(services.asked)) == ("identified", None, 1)
        run(store, services, clock, b"/music/here")
        (beside,) = run(store, services, clock, path).files
        assert beside.release is not None
        with pytest.raises(InputError, match="no file of the library is there"):
            run(store, services, clock, b"/elsewhere")


def test_silence_is_not_asked_about(tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]) -> None:
    with open_store(tmp_path / "store") as store:
        silent: Items = pieces[0].items * 0 + 627964279
        pieces[0].items = silent
        add_file(store, pieces[0], "silent.flac")
        found = run(store, services, clock)
    assert (found.n_silent, found.files, services.asked) == (1, [], [])


# ---- services that do not answer ----


def test_troubles_are_waited_out_by_all_processes_and_nothing_is_asked_twice(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    with open_store(tmp_path / "store", block_size=32) as store:
        own = album_in(store, services, pieces)
        services.troubles.extend(["busy", "malformed", "wait", "cut", "gone", "slow"])
        found = run(store, services, clock)
    assert {each.verdict for each in found.files} == {"identified"}
    assert Counter(services.asked) == dict.fromkeys((piece.text for piece in own), 1)
    gaps = [later - first for first, later in zip(services.times["lookup"], services.times["lookup"][1:], strict=False)]
    assert [round(gap) for gap in gaps] == [2, 4, 90, 16, 32]
    require_rates(services)
    assert services.agents == {http.USER_AGENT}


def test_a_service_that_never_answers_ends_the_run_and_keeps_what_came(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    with open_store(tmp_path / "store", block_size=32) as store:
        album_in(store, services, pieces)
        run(store, services, clock, limit=3)
        services.troubles.extend(["busy"] * 7)
        with pytest.raises(ServiceError, match=r"AcoustID: answers with status 503\. Run the same command later"):
            run(store, services, clock)
        assert run(store, services, clock).n_asked == 7
    assert max(Counter(services.asked).values()) == 1


def test_a_key_is_needed_and_a_wrong_one_is_said(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    with open_store(tmp_path / "store", block_size=32) as store:
        album_in(store, services, pieces)
        with pytest.raises(UsageError, match=r"there is no key for it\. Get one for free at https://acoustid\.org"):
            run(store, services, clock, settings=settings_for(services, key=None))
        with pytest.raises(ServiceError, match="does not accept the key") as raised:
            run(store, services, clock, settings=settings_for(services, key="foreign"))
        assert "foreign" not in str(raised.value)
    assert services.asked == []


def test_what_a_service_cannot_read_holds_nothing_else_up(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    """It refuses all that was asked together with it."""
    with open_store(tmp_path / "store", block_size=32) as store:
        own = album_in(store, services, pieces)
        services.unreadable = {own[3].text: 3, own[7].text: 8}
        found = run(store, services, clock)
    unknown = {f"/music/here/{own[at].items[9]:08x}.flac".encode() for at in (3, 7)}
    assert {each.file.path for each in found.files if each.verdict == "unknown"} == unknown
    assert Counter(each.verdict for each in found.files) == {"identified": 8, "unknown": 2}
    assert (found.n_asked, found.n_left) == (10, 0)
    assert max(Counter(services.asked).values()) == 1
    require_rates(services)


def test_a_stop_ends_the_waiting_and_keeps_what_came(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    stop = Stop()

    class Stopping(Clock):
        def wait(self, seconds: float) -> None:
            super().wait(seconds)
            stop.request("interrupted")

    with open_store(tmp_path / "store", block_size=32) as store:
        publish(services, pieces)
        for piece in pieces:
            services.sounds[piece.text] = [sound(piece, 0.95, 50)]
            add_file(store, piece, f"{piece.album}/{piece.number:02}.flac")
        found = run(store, services, Stopping(), stop=stop)
        assert (found.n_asked, found.n_left, len(services.asked)) == (10, 10, 10)
        assert run(store, services, clock).n_asked == 10


# ---- the command ----


def command(services: Services, store: Path, *arguments: str, key: str = KEY) -> Result:
    environment = {
        "REPRISE_ACOUSTID_KEY": key,
        "REPRISE_ACOUSTID_URL": f"{services.url}/v2",
        "REPRISE_MUSICBRAINZ_URL": f"{services.url}/ws/2",
        "COLUMNS": "80",
    }
    return CliRunner().invoke(cli.cli, ["identify", "--store", str(store), *arguments], env=environment)


@pytest.fixture
def small(tmp_path: Path, services: Services, pieces: list[Piece], monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of three files that are on one release, and one that nobody knows; commands wait little."""
    for service in (acoustid, musicbrainz):
        monkeypatch.setattr(service, "INTERVAL_S", 0.01)
    with open_store(tmp_path / "store") as store:
        publish(services, pieces)
        del services.releases[mbid("later", 0)]
        for piece in pieces[:4]:
            services.sounds[piece.text] = [sound(piece, 0.95, 50)] if piece.number < 4 else []
            add_file(store, piece, f"here/{piece.number:02}.flac", album=album_title(0))
    return tmp_path / "store"


def test_the_command_tells_each_folder_with_its_release(services: Services, small: Path, pieces: list[Piece]) -> None:
    done = command(services, small)
    assert done.exit_code == EXIT_DONE, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == "/music/here"
    assert lines[1] == f"  {album_title(0)} · {pieces[0].artist} (1990, XW, Album)"
    assert lines[2] == f"  = 01.flac  01 {pieces[0].title} (0.95)"
    assert "  - 04.flac: AcoustID does not know it" in lines
    assert lines[-1] == "3 of 4 files identified, 1 unknown; asked about 4 recordings. No tag was written"


def test_the_command_in_json(services: Services, small: Path, pieces: list[Piece]) -> None:
    done = command(services, small, "--json")
    *files, summary = [json.loads(line) for line in done.stdout.splitlines()]
    assert [each["verdict"] for each in files] == ["identified"] * 3 + ["unknown"]
    first = files[0]
    assert first["recording"]["id"] == pieces[0].recording
    assert (first["release"]["id"], first["track"]["number"]) == (mbid("release", 0), 1)
    assert first["track"]["artist_ids"] == [mbid("artist", 0)]
    counts = {"identified": 3, "question": 0, "unknown": 1, "unasked": 0, "too_little_sound": 0}
    assert summary == {"event": "identify", "files": 4, **counts, "asked": 4, "left": 0}


def test_the_command_without_a_key_or_a_file(services: Services, small: Path, tmp_path: Path) -> None:
    done = command(services, small, key="")
    assert (done.exit_code, services.asked) == (EXIT_USAGE, [])
    assert "https://acoustid.org/new-application" in done.stderr
    with open_store(tmp_path / "empty"):
        pass
    assert command(services, tmp_path / "empty").exit_code == EXIT_NOTHING_TO_DO


def test_the_command_leaves_tags_alone_and_its_answers_in_the_store(services: Services, small: Path) -> None:
    with open_for_reading(small) as store:
        before = list(store.catalog.tracks.all())
    command(services, small)
    with open_for_reading(small) as store:
        assert list(store.catalog.tracks.all()) == before
        assert len(store.catalog.lookups.get_all("release", [mbid("release", 0)])) == 1
    with open_for_writing(small, "test"):
        pass


def test_services_are_told_who_asks() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())["project"]
    assert project["urls"]["Homepage"] == http.HOMEPAGE
    assert http.USER_AGENT.startswith("Reprise/")
