"""Media servers, as a user meets them: what listeners did on a Subsonic server that really runs (Supysonic) counts in
plans, goes to the kept file when a copy goes, and comes back with `undo`."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from random import Random
from unittest import mock

import pytest
from click.testing import Result

from dedup.cleanup.carrying import Carrying
from dedup.cleanup.steps import Move
from dedup.servers.link import Link
from tests.cleanups import know, make_files, make_store, opened, run, tree
from tests.server_stand_ins import PASSWORD as STAND_IN_PASSWORD
from tests.server_stand_ins import Jellyfin, Model, Subsonic, serving
from tests.supysonic_server import PASSWORD, USER, Supysonic, supysonic
from tests.web_server import serving as page

FILES = {"a.flac": 1, "loved/a.mp3": 1, "b.flac": 2, "copies/b.mp3": 2, "c.flac": 3}
MORE = {"loved/a.ogg": 1, "loved/a1.mp3": 1}
"""Further copies."""


@dataclass
class World:
    """A library, its store, the server that plays it, and the settings file that names the server."""

    root: Path
    server: Supysonic
    settings: Path

    def set(self, *lines: str) -> None:
        """Writes the settings file with further lines."""
        mapped = json.dumps({"/": str(self.root)})[1:-1].replace(": ", " = ")
        told = ('kind = "subsonic"', f'url = "{self.server.url}"', f'user = "{USER}"', f"map = {{ {mapped} }}")
        self.settings.write_text("\n".join(("[server.home]", *told, 'token-file = "secret"', "wait = 10", *lines)))

    def run(self, *words: object) -> Result:
        return run(self.root, *words)

    @property
    def plan(self) -> Path:
        return self.root.parent / "plan.json"

    def id(self, name: str) -> str:
        return str(self.server.songs()[name]["id"])

    def marks(self) -> dict[str, tuple[bool, int]]:
        """Whether each song is starred, and its stars."""
        return {name: ("starred" in song, song.get("userRating", 0)) for name, song in self.server.songs().items()}


@contextmanager
def open_world(monkeypatch: pytest.MonkeyPatch, make_music: Callable[[Path], dict[str, int]]) -> Iterator[World]:
    """A library and a server that plays it; `make_music` makes files in a folder, and gives the recording of each."""
    with tempfile.TemporaryDirectory(prefix="rs") as short:  # sockets need short paths
        folder = Path(short)
        root, settings = folder / "music", folder / "settings.toml"
        make_store(folder / "store", root, make_music(root))
        monkeypatch.setenv("REPRISE_CONFIG", str(settings))
        (folder / "secret").write_text(f"{PASSWORD}\n")
        (folder / "secret").chmod(0o600)
        with supysonic(folder / "s", root) as server:
            made = World(root, server, settings)
            made.set()
            yield made


def make_copies(root: Path) -> dict[str, int]:
    make_files(root, FILES)
    return FILES


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with open_world(monkeypatch, make_copies) as made:
        yield made


def test_the_whole_story(world: World) -> None:
    """Star, rating and playlist go from the copies to the kept files, and come back with the copies."""
    server = world.server
    server.call("star", id=world.id("loved/a.mp3"))
    server.call("setRating", id=world.id("loved/a.mp3"), rating=4)
    server.call("setRating", id=world.id("a.flac"), rating=2)
    evening = server.make_playlist("Evening", *map(world.id, ("c.flac", "loved/a.mp3", "copies/b.mp3", "loved/a.mp3")))
    both = server.make_playlist("Both", *map(world.id, ("b.flac", "c.flac", "copies/b.mp3")))
    before, marks = tree(world.root), world.marks()

    made = world.run("plan", "-o", world.plan)
    assert made.exit_code == 0 and "2 files of 2 groups would change" in made.stdout
    assert PASSWORD not in made.output + world.plan.read_text()

    applied = world.run("apply", world.plan)
    assert applied.exit_code == 0, applied.output
    assert "2 carried over on media servers" in applied.stdout
    server.scan()
    assert world.marks() == {"a.flac": (True, 2), "b.flac": (False, 0), "c.flac": (False, 0)}  # its own rating stays
    assert server.playlist(evening) == ["c.flac", "a.flac", "b.flac", "a.flac"]
    assert server.playlist(both) == ["b.flac", "c.flac"]

    assert "2 files" in world.run("history").stdout and "2 files" in world.run("quarantine").stdout

    undone = world.run("undo")
    assert undone.exit_code == 0, undone.output
    assert tree(world.root) == before
    assert world.marks() == marks
    assert server.playlist(evening) == ["c.flac", "loved/a.mp3", "copies/b.mp3", "loved/a.mp3"]
    assert server.playlist(both) == ["b.flac", "c.flac", "copies/b.mp3"]


def test_a_kept_file_that_the_server_does_not_know_yet_is_waited_for(world: World) -> None:
    kept = world.root / "a.flac"
    kept.rename(world.root.parent / "away")
    world.server.scan()
    (world.root.parent / "away").rename(kept)
    world.server.call("star", id=world.id("loved/a.mp3"))
    world.run("plan", "-o", world.plan)
    dry = world.run("apply", world.plan, "--dry-run")
    assert dry.exit_code == 3 and "starred on home, which does not know" in dry.stdout
    applied = world.run("apply", world.plan)
    assert applied.exit_code == 0, applied.output
    assert "waiting until the server home knows" in applied.stderr
    assert world.marks()["a.flac"] == (True, 0)


def test_the_page_shows_what_listeners_did(world: World) -> None:
    world.server.call("star", id=world.id("loved/a.mp3"))
    with page(world.root.parent / "store") as served:
        groups = served.ask("/groups").text.split('name="group" value="')[1:]
        told = [served.ask(f"/api/lineups/group/{part.partition(chr(34))[0]}").json() for part in groups]
    listeners = {file["name"]: file["listeners"] for group in told for file in group["files"]}
    assert listeners == {"a.flac": "", "a.mp3": "home: starred", "b.flac": "", "b.mp3": ""}


@dataclass
class Played(Model):
    """What a server has that scans one folder."""

    root: Path = Path()

    def scan(self) -> None:
        there = {str(path) for path in self.root.rglob("*.*") if ".reprise" not in str(path)}
        for id_ in [id_ for id_, song in self.songs.items() if song["path"] not in there]:
            self.forget(id_)
        for path in sorted(there.difference(song["path"] for song in self.songs.values())):
            self.songs[self.new_id()] = {"path": path, "starred": False, "rating": 0, "plays": 0}


@pytest.mark.parametrize("kind", ["jellyfin", "subsonic"])
def test_other_servers_from_plan_to_undo(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """With a stand-in that has plays, bookmarks and, for Subsonic, shares."""
    root = tmp_path / "music"
    make_files(root, FILES)
    make_store(tmp_path / "store", root, FILES)
    model = Played({}, root=root)
    model.scan()
    ids = {song["path"].removeprefix(f"{root}/"): id_ for id_, song in model.songs.items()}
    loved = model.songs[ids["loved/a.mp3"]]
    loved.update(starred=True, rating=5, plays=7 if kind == "jellyfin" else 0)
    model.bookmarks[ids["loved/a.mp3"]] = 61_000, ""
    model.playlists["p"] = "Evening", [ids["c.flac"], ids["loved/a.mp3"]], USER
    if kind == "subsonic":
        model.shares["s"] = "for Bert", "", [ids["loved/a.mp3"]]

    def told() -> tuple[object, ...]:
        names = {id_: song["path"].removeprefix(f"{root}/") for id_, song in model.songs.items()}
        marks = {names[id_]: (song["starred"], song["rating"], song["plays"]) for id_, song in model.songs.items()}
        listed = [names[id_] for id_ in model.playlists["p"][1]]
        shared = [names[id_] for *_, songs in model.shares.values() for id_ in songs]
        return marks, listed, {names[id_]: at for id_, (at, _) in model.bookmarks.items()}, shared

    before, was = tree(root), told()
    (tmp_path / "secret").write_text(STAND_IN_PASSWORD)
    (tmp_path / "secret").chmod(0o600)
    monkeypatch.setenv("REPRISE_CONFIG", str(tmp_path / "settings.toml"))
    with serving(model, Jellyfin(model) if kind == "jellyfin" else Subsonic(model)) as url:
        (tmp_path / "settings.toml").write_text(
            f'[server.home]\nkind = "{kind}"\nurl = "{url}"\nuser = "{USER}"\ntoken-file = "secret"\n'
            f'map = {{ "{root}" = "{root}" }}\nwait = 2\n'
        )
        assert run(root, "plan", "-o", tmp_path / "plan.json").exit_code == 0
        applied = run(root, "apply", tmp_path / "plan.json")
        assert applied.exit_code == 0, applied.output
        kept = True, 5, 7 if kind == "jellyfin" else 0
        marks = {"a.flac": kept, "b.flac": (False, 0, 0), "c.flac": (False, 0, 0)}
        shared = ["a.flac"] if kind == "subsonic" else []
        assert told() == (marks, ["c.flac", "a.flac"], {"a.flac": 61_000}, shared)
        undone = run(root, "undo")
        assert undone.exit_code == 0, undone.output
    assert (tree(root), told()) == (before, was)


@pytest.mark.long
def test_two_listeners_of_one_server(world: World) -> None:
    server, bert = world.server, {"user": "bert"}
    server.call("star", id=world.id("loved/a.mp3"))
    server.call("setRating", id=world.id("loved/a.mp3"), rating=3, **bert)
    theirs = world.settings.read_text().replace("server.home", "server.bert").replace('"anna"', '"bert"')
    world.settings.write_text(f"{world.settings.read_text()}\n{theirs}")
    made = world.run("plan", "-o", world.plan)
    assert "bert: rated 3; home: starred" in made.stdout
    assert world.run("apply", world.plan).exit_code == 0
    assert (world.marks()["a.flac"], server.songs("bert")["a.flac"]["userRating"]) == ((True, 0), 3)
    assert world.run("undo").exit_code == 0
    assert world.marks()["a.flac"] == (False, 0) and "userRating" not in server.songs("bert")["a.flac"]
    assert (world.marks()["loved/a.mp3"], server.songs("bert")["loved/a.mp3"]["userRating"]) == ((True, 0), 3)


@pytest.mark.long
@pytest.mark.parametrize("seed", range(6))
def test_playlists_get_their_order_back(world: World, seed: int) -> None:
    """Whatever stands in them, and however many copies of a file."""
    make_files(world.root, MORE)
    with opened(world.root) as store:
        know(store, world.root, MORE)
    world.server.scan()
    random, names = Random(seed), [*FILES, *MORE]
    drawn = [random.choices(names, k=8) for _ in range(4)]
    lists = {world.server.make_playlist(f"{n}", *map(world.id, some)): some for n, some in enumerate(drawn)}
    world.run("plan", "-o", world.plan)
    applied = world.run("apply", world.plan)
    assert applied.exit_code == 0, applied.output
    kept = {name: f"{name.rpartition('/')[2][0]}.flac" for name in names}
    world.server.scan()
    for id_, some in lists.items():
        assert set(world.server.playlist(id_)) == {kept[name] for name in some}
    assert world.run("undo").exit_code == 0
    assert {id_: world.server.playlist(id_) for id_ in lists} == lists


def test_the_loved_file_is_kept_and_shown(world: World) -> None:
    world.server.call("star", id=world.id("loved/a.mp3"))
    reported = world.run("report")
    assert "home: starred" in reported.stdout, reported.output
    (line,) = [line for line in world.run("report", "--json").stdout.splitlines() if "loved/a.mp3" in line]
    assert [file["listeners"] for file in json.loads(line)["members"]] == ["home: starred"]

    kept = world.run("plan", "--keep", "listener").stdout
    assert "loved: home: starred, the other without listeners" in kept
    stays = world.run("plan", "--protect-loved").stdout
    assert "loved: loved/a.mp3 (home: starred)" in stays and "1 file of 1 group would change" in stays

    world.server.call("unstar", id=world.id("loved/a.mp3"))
    assert "home: starred" in world.run("report", "--limit", 9).stdout  # what the server said a moment ago
    world.run("plan", "-o", world.plan)
    assert "home: starred" not in world.run("report", "--limit", 9).stdout
    world.server.call("star", id=world.id("loved/a.mp3"))
    applied = world.run("apply", world.plan, "--protect-loved")
    assert applied.exit_code == 3 and "loved/a.mp3: it is loved: starred on home" in applied.stdout
    assert (world.root / "loved/a.mp3").exists() and not (world.root / "copies/b.mp3").exists()


def test_the_songs_of_a_starred_folder_are_loved(world: World) -> None:
    top = world.server.call("getMusicFolders")["musicFolders"]["musicFolder"][0]["id"]
    listed = world.server.call("getMusicDirectory", id=top)["directory"]["child"]
    world.server.call("star", id=next(each["id"] for each in listed if each["title"] == "loved"))
    told = "of the starred folder loved on home, the kept file not"
    made = world.run("plan", "-o", world.plan)
    assert f"listeners: loved/a.mp3 ({told})" in made.stdout, made.stdout
    assert "of the starred folder loved" in world.run("plan", "--let-go", "listeners", "--protect-loved").stdout


@pytest.mark.long
def test_what_a_server_cannot_move_keeps_the_file(world: World) -> None:
    song = world.id("copies/b.mp3")
    world.server.call("createPlaylist", "bert", name="Bert's", songId=song)
    listed = world.server.call("getPlaylists", "bert")["playlists"]["playlist"][0]["id"]
    world.server.call("updatePlaylist", "bert", playlistId=listed, public=True)
    told = "in the playlist [bert] Bert's of bert on home, which only they may change"
    made = world.run("plan")
    assert f"listeners: {told}" in made.stdout and "1 file of 1 group would change" in made.stdout

    world.run("plan", "--let-go", "listeners", "-o", world.plan)
    world.server.stop()
    refused = world.run("apply", world.plan)
    assert refused.exit_code == 3 and refused.stdout.count("Apply the plan again when it answers") == 2
    world.run("plan", "--let-go", "listeners", "-o", world.plan)
    assert world.run("apply", world.plan).exit_code == 0
    assert not (world.root / "copies/b.mp3").exists()


def test_a_server_that_is_down_keeps_what_it_plays(world: World) -> None:
    world.server.call("star", id=world.id("loved/a.mp3"))
    world.run("plan", "-o", world.plan)
    before = tree(world.root)
    world.server.stop()
    made = world.run("plan")
    assert made.exit_code == 5
    assert "server home cannot be reached" in made.stderr
    assert made.stdout.count("the server home cannot be asked what listeners did with it (cannot be reached") >= 2
    refused = world.run("apply", world.plan)
    assert refused.exit_code == 3 and refused.stdout.count("cannot be asked") == 2
    assert tree(world.root) == before

    world.server.start()
    assert world.run("apply", world.plan).exit_code == 0
    world.server.stop()
    failed = world.run("undo")
    assert failed.exit_code == 3 and "2 files put back" in failed.stdout
    assert tree(world.root) == before

    world.server.start()
    assert world.marks()["a.flac"] == (True, 0)
    again = world.run("undo")
    assert again.exit_code == 0, again.output
    assert (world.marks()["a.flac"], world.marks()["loved/a.mp3"]) == ((False, 0), (True, 0))


AFTER = [pytest.param(moment, marks=pytest.mark.long) for moment in ("before it goes", "after it went")]


@pytest.mark.parametrize("moment", ["while it is given", *AFTER])
def test_after_a_kill_nothing_is_lost(world: World, monkeypatch: pytest.MonkeyPatch, moment: str) -> None:
    server = world.server
    server.call("star", id=world.id("loved/a.mp3"))
    evening = server.make_playlist("Evening", world.id("loved/a.mp3"), world.id("c.flac"))
    before, marks = tree(world.root), world.marks()
    world.run("plan", "-o", world.plan)

    def killed(*_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(
            *{
                "while it is given": (Link, "_replace", killed),
                "before it goes": (Move, "do", killed),
                "after it went": (Carrying, "confirm", killed),
            }[moment]
        )
        assert world.run("apply", world.plan).exit_code == 130
    resumed = world.run("apply", "--resume")
    assert resumed.exit_code == (5 if moment == "after it went" else 0), resumed.output
    server.scan()
    assert world.marks() == {"a.flac": (True, 0), "b.flac": (False, 0), "c.flac": (False, 0)}
    assert server.playlist(evening) == ["a.flac", "c.flac"]
    assert world.run("undo").exit_code == 0
    assert (tree(world.root), world.marks()) == (before, marks)
    assert server.playlist(evening) == ["loved/a.mp3", "c.flac"]


@pytest.mark.long
def test_after_a_kill_a_server_that_is_down_or_not_set_loses_nothing(world: World) -> None:
    server = world.server
    server.call("star", id=world.id("loved/a.mp3"))
    before, marks = tree(world.root), world.marks()
    world.run("plan", "-o", world.plan)
    with mock.patch.object(Link, "give", side_effect=KeyboardInterrupt):
        assert world.run("apply", world.plan).exit_code == 130
    server.stop()
    resumed = world.run("apply", "--resume")
    assert resumed.exit_code == 3 and "cannot be asked" in resumed.stdout
    assert tree(world.root) == before
    server.start()
    assert world.run("apply", world.plan).exit_code == 0

    settings = world.settings.read_text()
    world.settings.write_text("")
    undone = world.run("undo")
    assert undone.exit_code == 3 and "Put [server.home] back into the settings file" in undone.stdout
    assert tree(world.root) == before
    world.settings.write_text(settings)
    assert world.run("undo").exit_code == 0
    assert world.marks() == marks
    assert world.run("check").exit_code == 0


def test_check_says_what_works_and_no_secret(world: World) -> None:
    found = world.run("server", "check")
    assert found.exit_code == 0, found.output
    assert "works: favourites, ratings, playlists, rescan" in found.stdout
    assert "does not work: shares: getShares refused: Not supported by Supysonic" in found.stdout
    assert "5 songs, 5 in the folders of the map" in found.stdout
    assert "5 tracks of the library in these folders, 5 known there" in found.stdout
    record = json.loads(world.run("server", "check", "home", "--json").stdout)
    assert (record["tracks"], record["tracks_known"], record["problem"]) == (5, 5, None)

    secret = world.root.parent / "secret"
    secret.write_text("wrong")
    refused = world.run("server", "check")
    assert refused.exit_code == 24 and "does not let anna in" in refused.stdout
    secret.chmod(0o640)
    assert "others can read or change" in world.run("server", "check").stdout
    world.server.stop()
    secret.chmod(0o600)
    assert "cannot be reached: Connection refused" in world.run("server", "check").stdout
    assert world.run("server", "check", "away").exit_code == 2
    world.settings.write_text("")
    none = world.run("server", "check")
    assert none.exit_code == 5 and "no server is set" in none.stdout
    assert "wrong" not in refused.output + none.output
