"""Media servers that are slow, endless, proxied, half refusing or oddly addressed: what they say comes to an end, is
one line, and costs no secret."""

from __future__ import annotations

import json
import os
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup.errors import ServerError
from dedup.servers import http
from dedup.servers import link as links
from dedup.servers.attention import Attention, Heard, Listed, Loved, of_record, to_record
from dedup.servers.link import Link, open_links
from dedup.servers.settings import Kind, ServerSettings
from tests.dripping import DRIPS, dripping
from tests.server_stand_ins import PASSWORD, USER, Jellyfin, Model, Subsonic, serving


@pytest.fixture
def model(tmp_path: Path) -> Model:
    (tmp_path / "m").mkdir()
    names = ("kept.flac", "gone.mp3")
    for name in names:
        (tmp_path / "m" / name).touch()
    return Model(
        {name[0]: {"path": f"/music/{name}", "starred": False, "rating": 0, "plays": 0} for name in names},
        {"p": ("Evening", ["g"], USER)},
    )


def settings_for(url: str, folder: Path, kind: Kind = "subsonic", **more: Any) -> ServerSettings:
    token = folder / "token"
    token.write_text(PASSWORD)
    token.chmod(0o600)
    mapped = (("/music", os.fsencode(folder / "m")),)
    return ServerSettings("home", kind, url, USER, mapped, token_file=str(token), wait_s=0.0, **more)


def linked(url: str, folder: Path, kind: Kind = "subsonic", **more: Any) -> Link:
    return open_links([settings_for(url, folder, kind, **more)])["home"]


def altered(answer: Callable[..., Any], change: Callable[[str, Any], Any]) -> Callable[..., Any]:
    """A server whose answers are changed, by the path that was asked for."""

    def answered(method: str, path: str, *rest: Any) -> Any:
        status, said = answer(method, path, *rest)
        return status, change(path, said)

    return answered


def refused(message: str, code: int = 0) -> dict[str, Any]:
    return {"subsonic-response": {"status": "failed", "error": {"code": code, "message": message}}}


# ---- an end ----


@pytest.mark.parametrize("head", DRIPS, ids=["in its head", "in its body"])
def test_a_slow_answer_has_an_end(head: bytes, tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:  # noqa: ARG001
    monkeypatch.setattr(http, "WHOLE_S", 0.3)
    with dripping(head) as url:
        assert "took longer than" in linked(url, tmp_path).hear().problem


@pytest.mark.parametrize("head", DRIPS, ids=["in its head", "in its body"])
def test_a_slow_answer_ends_with_the_run(head: bytes, tmp_path: Path, model: Model) -> None:  # noqa: ARG001
    stop = threading.Event()
    with dripping(head) as url:
        link = open_links([settings_for(url, tmp_path)], must_end=stop.is_set)["home"]
        threading.Timer(0.2, stop.set).start()
        began = time.monotonic()
        assert link.hear().problem == "was asked no further, as the run is stopped"
        assert time.monotonic() - began < http.WHOLE_S / 2


@pytest.mark.parametrize("kind", ["subsonic", "jellyfin"])
def test_a_page_with_nothing_new_is_the_last(kind: Kind, tmp_path: Path, model: Model) -> None:
    """Some servers take no notice of where a page is to begin."""
    stand_in = Subsonic(model) if kind == "subsonic" else Jellyfin(model)

    def first_page(method: str, path: str, query: dict[str, Any], body: bytes, headers: Any) -> Any:
        if "startIndex" in query:
            query = {**query, "startIndex": ["0"]}
        parts = [b"songOffset=0" if part.startswith(b"songOffset=") else part for part in body.split(b"&")]
        return stand_in(method, path, query, b"&".join(parts), headers)

    with serving(model, first_page) as url:
        link = linked(url, tmp_path, kind)
        assert link.hear().problem == "" and link.placing.n_songs == 2


def test_songs_without_end_come_to_one(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "MOST_SONGS", 1)
    with serving(model, Subsonic(model)) as url:
        assert linked(url, tmp_path).hear().problem == "does not come to an end: it has named 2 songs"


def test_playlists_without_end_come_to_one(tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(links, "WHOLE_S", 0.2)
    for n in range(5000):
        model.playlists[f"p{n}"] = "Endless", [], USER
    with serving(model, Subsonic(model)) as url:
        assert "does not come to an end within" in linked(url, tmp_path).hear().problem
        monkeypatch.setattr(links, "WHOLE_S", 60.0)
        model.playlists.clear()


# ---- secrets ----


def test_no_proxy_comes_between_us_and_this_machine(
    tmp_path: Path, model: Model, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen = Model({})
    stranger = Subsonic(seen, takes_tokens=False)
    with serving(model, Subsonic(model, takes_tokens=False)) as url, serving(seen, stranger) as proxy:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"):
            monkeypatch.setenv(name, proxy)
        assert linked(url, tmp_path).hear().problem == ""
        assert not seen.asked
        assert "unencrypted" in linked("http://music.invalid:4040", tmp_path).hear().problem
        assert seen.asked == ["ping"]


def _refusal(link: Link) -> ServerError | None:
    try:
        link.about()
    except ServerError as error:
        return error
    return None


# ---- what is refused for a moment ----


@pytest.mark.parametrize("call", ["getBookmarks", "getShares", "getStarred2"])
@pytest.mark.parametrize(
    ("said", "is_heard"),
    [
        (refused("database is locked"), False),
        (refused("Not supported by Supysonic"), True),
        (refused("anna is not authorized to share", 50), True),
        (refused("no such thing", 70), True),
    ],
)
def test_a_refusal_that_passes_is_not_nothing(
    call: str, said: dict[str, Any], is_heard: bool, tmp_path: Path, model: Model
) -> None:
    model.bookmarks["g"] = 1000, ""
    answer = altered(Subsonic(model), lambda path, was: said if f"/{call}." in path else was)
    with serving(model, answer) as url:
        heard = linked(url, tmp_path).hear()
    assert (heard.problem == "") == is_heard
    assert is_heard or "database is locked" in heard.problem


# ---- playlists and names ----


def test_a_playlist_that_hides_songs_is_not_written_anew(tmp_path: Path, model: Model) -> None:
    def hiding(path: str, said: Any) -> Any:
        if "/getPlaylist." in path:
            said["subsonic-response"]["playlist"]["songCount"] += 1
        return said

    with serving(model, altered(Subsonic(model), hiding)) as url:
        link = linked(url, tmp_path)
        heard = link.hear()
        gone, kept = (os.fsencode(tmp_path / "m" / name) for name in ("gone.mp3", "kept.flac"))
        assert list(heard.losses(gone, kept)) == ["in the playlist Evening on home, which hides some songs of it"]
        link.give(link.of(gone), link.of(kept), gone, kept, [])
        playlist = link.server.playlist("p")
        assert playlist is not None
        with pytest.raises(ServerError, match="hides songs of the playlist Evening"):
            link.server.set_songs(playlist, ["k"])
    assert model.playlists["p"][1] == ["g"] and "createPlaylist" not in model.asked


def test_names_of_users_have_no_case(tmp_path: Path, model: Model) -> None:
    model.playlists["p"] = "Evening", ["g"], "ANNA"
    model.shares["s"] = "for Bert", "", ["g"]
    shared = altered(Subsonic(model), lambda _, said: json.loads(json.dumps(said).replace(f'"{USER}"', '"Anna"')))
    with serving(model, shared) as url:
        said = linked(url, tmp_path).hear().of(os.fsencode(tmp_path / "m/gone.mp3"))
    assert not said.playlists[0].owner and said.shares


def test_long_names_are_cut() -> None:
    said = Attention(playlists=(Listed("p", "L" * 20_000, (0,), "b" * 20_000),))
    assert len(", ".join(said.words())) < 120
    (lost,) = Heard("home", (b"/m",), attention={b"/m/a": said}).losses(b"/m/a", b"/m/b")
    assert len(lost) < 300


# ---- what is loved as a whole ----


@pytest.mark.parametrize("kind", ["subsonic", "jellyfin"])
@pytest.mark.parametrize("whole", ["album", "artist"])
def test_songs_of_what_is_loved_as_a_whole(kind: Kind, whole: str, tmp_path: Path, model: Model) -> None:
    model.loved["l"] = whole, "Nevermind", ["g"]
    gone, kept = (os.fsencode(tmp_path / "m" / name) for name in ("gone.mp3", "kept.flac"))
    with serving(model, Subsonic(model) if kind == "subsonic" else Jellyfin(model)) as url:
        link = linked(url, tmp_path, kind)
        said = link.hear().of(gone)
        assert said.is_loved and said.loved == (Loved(whole, "l", "Nevermind"),)
        assert of_record(to_record(said)) == said
        lost = f"of the starred {whole} Nevermind on home, the kept file not"
        assert list(link.hear().losses(gone, kept)) == [lost]
        model.loved["l"][2].append("k")
        assert list(link.hear().losses(gone, kept)) == []


def test_a_rating_of_jellyfin_is_taken_away(tmp_path: Path, model: Model) -> None:
    model.songs["k"]["rating"] = 4
    with serving(model, Jellyfin(model)) as url:
        linked(url, tmp_path, "jellyfin").server.rate("k", 0)
    assert model.songs["k"]["rating"] == 0


# ---- addresses ----


@pytest.mark.parametrize(
    "url",
    [
        "https://music..example.invalid",
        f"http://{'a' * 70}.invalid",
        "http://127.0.0.1:99999",
        "http://☃.invalid",
        "http://[fe80::1%25eth0]:1",
    ],
)
def test_an_odd_address_is_one_line(url: str, tmp_path: Path, model: Model) -> None:  # noqa: ARG001
    problem = linked(url, tmp_path, insecure=True).hear().problem
    assert problem and "\n" not in problem and "Traceback" not in problem


def test_a_token_that_no_header_can_hold(tmp_path: Path, model: Model) -> None:
    def token(path: str, said: Any) -> Any:
        return {"AccessToken": "t☃\n", "User": {"Id": "u1"}} if "Authenticate" in path else said

    with serving(model, altered(Jellyfin(model), token)) as url:
        assert "cannot be asked" in linked(url, tmp_path, "jellyfin").hear().problem


def test_an_address_with_a_part_too_much(tmp_path: Path, model: Model) -> None:
    def nested(method: str, path: str, *rest: Any) -> Any:
        if "/rest/rest/" in path:  # as Supysonic has it: who asks comes before what is asked for
            return (404, {}) if b"&p=enc" in rest[1] else (200, refused("no tokens", 41))
        return Subsonic(model)(method, path, *rest)

    with serving(model, nested) as url:
        refusal = _refusal(linked(f"{url}/rest", tmp_path))
        assert str(refusal) == "server home: has no Subsonic API there. Write its url without /rest"
        refusal = _refusal(linked(url.replace("http:", "https:"), tmp_path))
        assert "does not speak https there. Write http://" in str(refusal)
        missing = altered(Subsonic(model), lambda path, said: refused("Bad.") if "/getShares." in path else said)
    with serving(model, missing) as url:
        features = {each.name: each.problem for each in linked(url, tmp_path).about().features}
    assert features["shares"] == "getShares refused: Bad (error 0)"


def test_what_a_server_lacks_is_said_plainly(tmp_path: Path, model: Model) -> None:
    class Small(Subsonic):
        _getBookmarks = None  # type: ignore[assignment]  # noqa: N815

    with serving(model, Small(model)) as url:
        features = {each.name: each.problem for each in linked(url, tmp_path).about().features}
    assert features["bookmarks"] == "the server has none"


def test_a_wrong_map_is_mended_in_the_settings(tmp_path: Path, model: Model) -> None:
    with serving(model, Subsonic(model)) as url:
        settings = replace(settings_for(url, tmp_path), map=(("/srv", os.fsencode(tmp_path)),))
        link = open_links([settings])["home"]
        link.refresh()
        with pytest.raises(ServerError) as caught:
            link.placing.require_songs()
    assert "server check" not in str(caught.value) and "settings file" in str(caught.value)
