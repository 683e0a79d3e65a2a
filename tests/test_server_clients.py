"""The clients of media servers against stand-ins that follow the documented interfaces, and what they do when a server
refuses, breaks off or sends nonsense. `test_servers` has a server that really runs."""

from __future__ import annotations

import copy
import os
import pickle
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup.errors import ServerError
from dedup.servers import http
from dedup.servers.attention import Attention, Bookmark, Heard, Share
from dedup.servers.link import Link, open_links
from dedup.servers.path_map import PathMap, normal
from dedup.servers.secret import Secret, secret_of
from dedup.servers.server import RefusedError
from dedup.servers.settings import Kind, ServerSettings
from tests.server_stand_ins import PASSWORD, USER, Jellyfin, Model, Subsonic, serving


def here(link: Link, name: str) -> bytes:
    """The local path of a file."""
    return os.path.join(link.settings.folders[0], os.fsencode(name))


def both(link: Link) -> tuple[bytes, bytes]:
    """The files that goes and that is kept."""
    return here(link, "gone.mp3"), here(link, "kept.flac")


def song(path: str, starred: bool = False, rating: int = 0, plays: int = 0) -> dict[str, Any]:
    return {"path": path, "starred": starred, "rating": rating, "plays": plays}


def model() -> Model:
    return Model(
        {
            "g": song("/music/gone.mp3", starred=True, rating=5, plays=3),
            "k": song("/music/kept.flac", plays=1),
            "o": song("/music/other.flac"),
            "x": song("/elsewhere/x.flac"),
        },
        {
            "p": ("Evening", ["o", "g", "x", "g"], USER),
            "q": ("Morning", ["k", "g"], USER),
            "r": ("Theirs", ["g"], "bert"),
        },
        {"g": (61_000, "")},
    )


def settings_for(url: str, kind: Kind, folder: Path, **more: Any) -> ServerSettings:
    (folder / "m").mkdir(exist_ok=True)
    (folder / "m" / "kept.flac").touch()
    token = folder / "token"
    token.write_text(f"{more.pop('password', PASSWORD)}\r\nnot this\n")
    token.chmod(0o600)
    return ServerSettings(
        "home", kind, url, USER, (("/music", os.fsencode(folder / "m")),), token_file=str(token), wait_s=0.0, **more
    )


def linked(settings: ServerSettings) -> Link:
    return open_links([settings])["home"]


@pytest.fixture(params=["subsonic", "jellyfin"])
def world(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[tuple[Model, Link]]:
    made = model()
    if request.param == "subsonic":
        made.bookmarks["g"] = 61_000, "the bridge"
        made.shares = {"s": ("for Bert", "2030-01-01T00:00:00Z", ["o", "g"])}
    answer = Subsonic(made) if request.param == "subsonic" else Jellyfin(made)
    with serving(made, answer) as url:
        yield made, linked(settings_for(url, request.param, tmp_path))


def test_what_listeners_did_is_read(world: tuple[Model, Link]) -> None:
    made, link = world
    heard = link.hear()
    assert heard.problem == "" and (link.placing.n_songs, link.placing.n_unmapped, link.placing.unmapped) == (
        4,
        1,
        "/elsewhere/x.flac",
    )
    said = heard.of(here(link, "gone.mp3"))
    assert (said.starred, said.rating, said.plays) == (True, 5, 3)
    assert [(listed.name, listed.at, bool(listed.owner)) for listed in said.playlists] == [
        ("Evening", (1, 3), False),
        ("Morning", (1,), False),
        ("Theirs", (0,), True),
    ]
    assert said.bookmark == Bookmark(*made.bookmarks["g"])
    if made.shares:
        assert said.shares == (Share("s", "for Bert", "2030-01-01T00:00:00Z"),)
        assert heard.of(here(link, "other.flac")).shares == said.shares
    lost = list(heard.losses(*both(link)))
    assert lost[-1].startswith("in the playlist Theirs of ")
    plays = "played 3 times on home, which cannot move plays, the kept file 1"
    assert lost[:-1] == ([] if heard.moves_plays else [plays])


def test_the_kept_file_gets_all_and_gives_it_back(world: tuple[Model, Link]) -> None:
    made, link = world
    before = copy.deepcopy(made)
    link.refresh()
    theirs, ours = map(link.of, both(link))
    shared: list[str] = []
    for _ in range(2):  # a kill may let it be done twice
        link.give(theirs, ours, *both(link), shared)
    kept = made.songs["k"]
    assert (kept["starred"], kept["rating"]) == (True, 5)
    assert kept["plays"] == (4 if link.server.moves_plays else 1)
    assert [made.playlists[id_][1] for id_ in "pqr"] == [["o", "k", "x", "k"], ["k"], ["g"]]
    assert made.bookmarks["k"] == before.bookmarks["g"]
    if made.shares:
        assert [each for each in made.shares.values() if "k" in each[2]] == [
            ("for Bert", "2030-01-01T00:00:00Z", ["o", "k"])
        ]

    # the server forgets the file, which then comes back as another song
    made.forget("g")
    made.songs["h"] = song("/music/gone.mp3")
    link.refresh()
    for _ in range(2):
        link.take(theirs, ours, *both(link), shared)
    now = copy.deepcopy(made)
    for held in now.playlists.values():
        held[1][:] = ["g" if each == "h" else each for each in held[1]]
    assert now.songs["k"] == before.songs["k"]
    assert {**now.songs["h"], "plays": 3} == before.songs["g"]
    assert now.songs["h"]["plays"] == (3 if link.server.moves_plays else 0)
    assert (now.playlists["p"], now.playlists["q"]) == (before.playlists["p"], before.playlists["q"])
    assert now.bookmarks == {"h": before.bookmarks["g"]}
    assert [each[2] for each in made.shares.values()] == ([["o"], ["o", "h"]] if before.shares else [])


def test_what_both_have_stays_the_kept_files_own() -> None:
    theirs = Attention(True, 5, 3, bookmark=Bookmark(1), shares=(Share("s"),))
    given = theirs.lacking(Attention(True, 2, 1, bookmark=Bookmark(2)))
    assert given == Attention(False, 0, 4, bookmark=None, shares=(Share("s"),))


def test_a_server_that_finds_nothing_by_an_empty_search_is_asked_album_by_album(tmp_path: Path) -> None:
    made = model()
    with serving(made, Subsonic(made, finds_all=False)) as url:
        link = linked(settings_for(url, "subsonic", tmp_path))
        assert link.hear().of(here(link, "gone.mp3")).starred and link.placing.n_songs == 4


def test_about_says_what_works(world: tuple[Model, Link]) -> None:
    _, link = world
    features = {feature.name: feature.problem for feature in link.about().features}
    fine = {name for name, problem in features.items() if not problem}
    common = {"favourites", "ratings", "playlists", "bookmarks", "rescan"}
    assert fine == common | ({"plays"} if link.server.moves_plays else {"shares"})


def test_a_password_is_not_sent_in_the_open(tmp_path: Path) -> None:
    made = model()
    with serving(made, Subsonic(made, takes_tokens=False)) as url:
        assert linked(settings_for(url, "subsonic", tmp_path)).hear().problem == ""
        away = linked(settings_for(url.replace("127.0.0.1", "music.example.org"), "jellyfin", tmp_path))
        assert "unencrypted" in away.hear().problem
    client = http.Http("home", "http://music.example.org", insecure=False)
    assert not client.is_private
    assert all(
        http.Http("home", url, False).is_private for url in ("https://x.org", "http://[::1]:4040", "http://localhost")
    )


@pytest.mark.parametrize("kind", ["subsonic", "jellyfin"])
def test_a_wrong_password_is_refused_and_not_told(kind: Kind, tmp_path: Path) -> None:
    made = model()
    with serving(made, Subsonic(made) if kind == "subsonic" else Jellyfin(made)) as url:
        link = linked(settings_for(url, kind, tmp_path, password="not hers"))
        with pytest.raises(ServerError) as caught:
            link.refresh()
    assert "password" in str(caught.value) and "not hers" not in str(caught.value)


@pytest.mark.parametrize(
    ("status", "body", "found"),
    [
        (200, b"<html>Welcome</html>", "something other than JSON"),
        (200, b"[" * 100_000, "something other than JSON"),
        (200, b'{"subsonic-response": []}', "none of Subsonic's API"),
        (302, b"", "sends us on to"),
        (500, b"", "failed (status 500)"),
        (403, b"", "refused (status 403)"),
    ],
)
def test_nonsense_is_one_line(status: int, body: bytes, found: str, tmp_path: Path) -> None:
    made = model()
    made.troubles = [(status, body)]
    with serving(made, Subsonic(made)) as url:
        assert found in linked(settings_for(url, "subsonic", tmp_path)).hear().problem


def test_a_server_that_is_busy_is_asked_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(http, "PAUSES_S", (0.01, 0.01))
    made = model()
    with serving(made, Subsonic(made)) as url:
        link = linked(settings_for(url, "subsonic", tmp_path))
        link.refresh()
        made.troubles = [(503, b""), (429, b"")]
        assert link.hear().problem == ""
        made.troubles = [(503, b"")] * 3
        assert link.hear().problem == "answers with status 503"
    assert "cannot be reached" in link.hear().problem
    assert not link.knows(here(link, "kept.flac"))
    with pytest.raises(ServerError, match="cannot be reached"):
        link.song(here(link, "kept.flac"))


def test_a_user_who_may_not_scan_waits_for_the_servers_own(tmp_path: Path) -> None:
    made = model()
    with serving(made, Subsonic(made)) as url:
        link = linked(settings_for(url, "subsonic", tmp_path))
        link.refresh()
        made.troubles = [(403, b""), (403, b"")]
        assert link.wait_for([here(link, "kept.flac"), here(link, "new.mp3")], lambda: False) == [here(link, "new.mp3")]
        with pytest.raises(ServerError, match=r"does not know .*/m/new\.mp3"):
            link.song(here(link, "new.mp3"))


def test_one_path_for_two_songs_is_no_song(tmp_path: Path) -> None:
    made = model()
    made.songs["y"] = song("/music/kept.flac")
    with serving(made, Subsonic(made)) as url:
        link = linked(settings_for(url, "subsonic", tmp_path))
        with pytest.raises(ServerError, match="has 2 songs that the map takes for"):
            link.song(here(link, "kept.flac"))


def test_a_map_that_leads_nowhere_protects_everything(tmp_path: Path) -> None:
    made = model()
    with serving(made, Subsonic(made)) as url:
        settings = settings_for(url, "subsonic", tmp_path)
        (tmp_path / "m" / "kept.flac").unlink()
        assert "none of these files is there" in linked(settings).hear().problem
        elsewhere = replace(settings, map=(("/srv", os.fsencode(tmp_path)),))
        assert linked(elsewhere).hear().problem == "has no song in a folder of its map"
        made.songs.clear()
        made.playlists.clear()
        made.bookmarks.clear()
        assert linked(elsewhere).hear().problem == "names no song at all"


# ---- secrets and paths ----


def test_a_secret_shows_itself_to_nobody(tmp_path: Path) -> None:
    settings = settings_for("https://x.org", "subsonic", tmp_path)
    secret = secret_of(settings)
    assert secret.reveal() == PASSWORD and PASSWORD not in f"{secret} {secret!r} {settings}"
    with pytest.raises(TypeError):
        pickle.dumps(secret)


@pytest.mark.parametrize(
    ("command", "found"),
    [
        ("printf 'her secret\\nmore'", ""),
        ("false", "ended with exit code 1"),
        ("true", "prints nothing"),
        ("/no/such/program", "cannot be run: No such file"),
        ("printf '\\377'", "is not UTF-8"),
    ],
)
def test_a_password_command(command: str, found: str) -> None:
    settings = ServerSettings("home", "subsonic", "https://x.org", USER, (), password_command=command)
    if not found:
        assert secret_of(settings).reveal() == PASSWORD
        return
    with pytest.raises(ServerError, match=found):
        secret_of(settings)


@pytest.mark.parametrize(
    ("theirs", "local"),
    [
        ("/music/a/b.mp3", b"/m/a/b.mp3"),
        ("music/a/b.mp3", b"/m/a/b.mp3"),
        ("/music/live/b.mp3", b"/live/b.mp3"),
        ("/music/../etc/passwd", None),
        ("/music/a/../../../etc/passwd", None),
        ("/musical/b.mp3", None),
        ("/music", None),
        ("", None),
        ("/music/a\0b", None),
        ("/music/\ud800", None),
        ("\\music\\a\\b.mp3", None),
        ("/music/AC\\DC a.mp3", b"/m/AC\\DC a.mp3"),
        ("music/AC\\DC/a.mp3", b"/m/AC\\DC/a.mp3"),
        ("/music/\udcff.mp3", b"/m/\xff.mp3"),
    ],
)
def test_a_path_of_the_server_leads_below_its_folder_or_nowhere(theirs: str, local: bytes | None) -> None:
    assert PathMap((("/music", b"/m"), ("/music/live", b"/live/"))).local(theirs) == local


def test_accents_are_one_character_or_two() -> None:
    said = Attention(starred=True)
    heard = Heard("home", (b"/m",), attention={normal("/m/\u00e9".encode()): said})
    assert heard.of("/m/e\u0301".encode()) == heard.of("/m/\u00e9".encode()) == said
    assert normal(b"/m/\xff") == b"/m/\xff" and not heard.of(b"/m/e")


def test_a_root_of_the_map_takes_relative_paths() -> None:
    relative = PathMap((("/", b"/m"),))
    assert relative.local("a/b.mp3") == b"/m/a/b.mp3"
    assert relative.local("AC\\DC a.mp3") == b"/m/AC\\DC a.mp3"  # a name, not a folder


@pytest.mark.parametrize("folder", ["C:\\Music", "C:/Music", "\\\\nas\\Music"])
def test_a_server_on_windows_has_other_slashes(folder: str) -> None:
    mapped = PathMap(((folder, b"/m"), ("/music", b"/n")))
    assert mapped.local(f"{folder}\\a\\b.mp3") == mapped.local(f"{folder}/a/b.mp3") == b"/m/a/b.mp3"
    assert mapped.local("/music/a\\b.mp3") == b"/n/a\\b.mp3"


def test_errors_are_told_apart() -> None:
    assert issubclass(RefusedError, ServerError) and ServerError.exit_code == 24
    assert repr(Secret("x")) == "Secret(…)"
