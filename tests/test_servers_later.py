"""What changes on media servers and in the settings between a plan, `apply` and `undo`: marks, settings, files."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

import pytest
from click.testing import Result

from dedup.cleanup.carrying import Carrying
from dedup.cleanup.steps import Move
from dedup.servers.link import Link
from tests.cleanups import make_files, make_store, run
from tests.server_stand_ins import PASSWORD, USER, Answer, Jellyfin, Subsonic, serving
from tests.test_servers import FILES, Played

SETTINGS = """
[server.{name}]
kind = "{kind}"
url = "{url}"
user = "{user}"
token-file = "secret"
map = {{ "{folder}" = "{folder}" }}
wait = 1
"""


@dataclass
class World:
    """A library, and a stand-in that plays it."""

    root: Path
    model: Played
    kind: str
    url: str = ""
    is_down: bool = False
    fails_at: str = ""
    """A part of the path of a call that fails."""
    dies_at: str = ""
    """A part of the path of a call that is still done, and after which the server is down."""

    def __call__(self, method: str, path: str, query: Any, body: bytes, headers: Any) -> Answer:
        if self.is_down or (self.fails_at and self.fails_at in path):
            return 503, {}
        answers = Jellyfin(self.model) if self.kind == "jellyfin" else Subsonic(self.model)
        said = answers(method, path, query, body, headers)
        if self.dies_at and self.dies_at in path:
            self.is_down = True
            return 503, {}
        return said

    def set(self, **more: object) -> None:
        """Writes the settings file, with other values."""
        values = {"name": "home", "kind": self.kind, "url": self.url, "user": USER, "folder": self.root, **more}
        (self.root.parent / "settings.toml").write_text(SETTINGS.format(**values))

    def unset(self) -> None:
        """Takes the server out of the settings."""
        (self.root.parent / "settings.toml").write_text("")

    def run(self, *words: object) -> Result:
        return run(self.root, *words)

    @property
    def plan(self) -> Path:
        return self.root.parent / "plan.json"

    def apply(self) -> None:
        """Makes a plan and carries it out."""
        assert self.run("plan", "-o", self.plan).exit_code == 0
        applied = self.run("apply", self.plan)
        assert applied.exit_code == 0, applied.output

    def id(self, name: str) -> str:
        return next(id_ for id_, song in self.model.songs.items() if song["path"] == f"{self.root}/{name}")

    def song(self, name: str) -> dict[str, Any]:
        return self.model.songs[self.id(name)]

    def is_there(self, name: str) -> bool:
        return (self.root / name).exists()


@pytest.fixture
def kind() -> str:
    return "subsonic"


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> Iterator[World]:
    root = tmp_path / "music"
    make_files(root, FILES)
    make_store(tmp_path / "store", root, FILES)
    monkeypatch.setenv("REPRISE_CONFIG", str(tmp_path / "settings.toml"))
    monkeypatch.setattr("dedup.servers.http.time.sleep", lambda _: None)
    (tmp_path / "secret").write_text(PASSWORD)
    (tmp_path / "secret").chmod(0o600)
    made = World(root, Played({}, root=root), kind)
    made.model.scan()
    with serving(made.model, made) as made.url:
        made.set()
        yield made


jellyfin = pytest.mark.parametrize("kind", ["jellyfin"])

# ---- other settings than those of the plan ----


@pytest.mark.parametrize("change", ["none", "user", "url", "map"])
def test_a_server_that_was_asked_for_the_plan_must_be_asked_again(world: World, change: str) -> None:
    world.song("loved/a.mp3")["starred"] = True
    world.run("plan", "-o", world.plan)
    match change:
        case "none":
            world.unset()
        case "user":
            world.set(user="bert")
        case "url":
            world.set(url="http://127.0.0.1:9")
        case _:
            world.set(folder=world.root / "copies")
    refused = world.run("apply", world.plan)
    assert refused.exit_code == 3, refused.output
    assert f"the server home (anna at {world.url}) was asked for this plan, and " in refused.stdout
    assert world.is_there("loved/a.mp3") and world.is_there("copies/b.mp3") == (change != "map")
    assert world.run("apply", world.plan, "--dry-run").exit_code == 3

    world.set(name="renamed")
    assert world.run("apply", world.plan).exit_code == 0
    assert world.song("a.flac")["starred"] and not world.is_there("loved/a.mp3")


def test_what_was_heard_last_is_a_witness_too(world: World) -> None:
    """For a plan from which somebody took the servers, and for one of an older release."""
    world.song("loved/a.mp3")["starred"] = True
    world.run("plan", "-o", world.plan)
    document = json.loads(world.plan.read_text())
    assert [server.pop("user") for server in document.pop("servers")] == [USER]
    world.plan.write_text(json.dumps(document))
    world.unset()
    assert "was asked for this plan" in world.run("apply", world.plan).stdout
    assert world.is_there("loved/a.mp3")

    world.run("plan", "-o", world.plan)  # that asks the servers of the settings, and there are none
    assert "servers" not in json.loads(world.plan.read_text())
    assert world.run("apply", world.plan).exit_code == 0


def test_a_report_does_not_take_what_another_user_said(world: World) -> None:
    world.song("loved/a.mp3")["starred"] = True
    world.run("report")
    asked = world.model.asked.count("getPlaylists")
    world.run("report")
    assert world.model.asked.count("getPlaylists") == asked
    world.set(user="bert")
    world.run("report")
    assert world.model.asked.count("getPlaylists") == asked + 1


def test_what_is_given_in_part_stays_when_the_settings_lack_the_server(world: World) -> None:
    world.song("loved/a.mp3")["starred"] = True
    world.run("plan", "-o", world.plan)
    with mock.patch.object(Link, "give", side_effect=KeyboardInterrupt):
        assert world.run("apply", world.plan).exit_code == 130
    document = json.loads(world.plan.read_text())
    (world.root.parent / "store" / "listeners.json").unlink()
    world.unset()
    resumed = world.run("apply", "--resume")
    assert resumed.exit_code == 3 and world.is_there("loved/a.mp3"), resumed.output
    assert document["servers"][0]["url"] == world.url

    world.set()
    assert world.run("apply", world.plan).exit_code == 0
    assert world.song("a.flac")["starred"] and not world.is_there("loved/a.mp3")


@pytest.mark.long
def test_what_is_given_in_part_stays_until_all_of_it_can_be_given(world: World) -> None:
    world.song("loved/a.mp3")["starred"] = True
    world.run("plan", "-o", world.plan)
    with mock.patch.object(Link, "give", side_effect=KeyboardInterrupt):
        assert world.run("apply", world.plan).exit_code == 130
    world.fails_at = "/star."
    resumed = world.run("apply", "--resume")
    assert resumed.exit_code == 3 and world.is_there("loved/a.mp3") and not world.is_there("copies/b.mp3")
    assert "nobody knows how much of what listeners did with it on home the kept file has" in resumed.stdout
    world.fails_at = ""
    assert world.run("apply", world.plan).exit_code == 0
    assert world.song("a.flac")["starred"] and not world.is_there("loved/a.mp3")
    assert world.run("undo").exit_code == 0 and world.is_there("loved/a.mp3")
    assert world.run("undo").exit_code == 0 and world.is_there("copies/b.mp3")
    assert (world.song("a.flac")["starred"], world.song("loved/a.mp3")["starred"]) == (False, True)


def test_undo_takes_nothing_back_from_another_user(world: World) -> None:
    world.song("loved/a.mp3")["starred"] = True
    world.apply()
    world.set(user="bert")
    undone = world.run("undo")
    assert undone.exit_code == 3 and world.is_there("loved/a.mp3")
    told = f"is bert at {world.url} in the settings now, and was anna at {world.url}"
    assert f"server home: {told}. Put [server.home] back as it was" in undone.stdout
    assert world.song("a.flac")["starred"]
    world.set(name="renamed")
    assert world.run("undo").exit_code == 0
    assert (world.song("a.flac")["starred"], world.song("loved/a.mp3")["starred"]) == (False, True)


# ---- what cannot come back ----


@pytest.mark.parametrize("action", ["quarantine", "delete"])
def test_what_is_gone_for_good_holds_up_no_undo(world: World, action: str) -> None:
    world.song("loved/a.mp3")["starred"] = True
    world.run("plan", "-o", world.plan)
    document = json.loads(world.plan.read_text())
    document["groups"] = [group for group in document["groups"] if "copies" in json.dumps(group)]
    world.plan.write_text(json.dumps(document))
    assert world.run("apply", world.plan).exit_code == 0
    older = world.root / ".reprise-quarantine"
    older.rename(world.root.parent / "older")
    world.run("plan", "--action", action, "-o", world.plan)
    assert world.run("apply", world.plan, "--yes").exit_code == 0
    if action == "quarantine":
        assert world.run("quarantine", "--empty", "--yes").exit_code in (0, 3)
    (world.root.parent / "older").rename(older)
    assert not world.is_there("loved/a.mp3") and not world.is_there("copies/b.mp3")

    told = "is gone for good; the kept file keeps what it was given on home"
    first = world.run("undo")
    assert first.exit_code == 3 and told in first.stdout and "waiting until the server" not in first.stderr
    assert world.song("a.flac")["starred"]
    second = world.run("undo")
    assert second.exit_code == 0, second.output
    assert world.is_there("copies/b.mp3")
    assert told in world.run("undo", 2).stdout

    make_files(world.root, {"loved/a.mp3": 1})  # from a backup
    assert told not in world.run("undo", 2).stdout
    assert (world.song("a.flac")["starred"], world.song("loved/a.mp3")["starred"]) == (False, True)


def test_what_is_not_back_yet_leaves_the_kept_file_what_it_was_given(world: World) -> None:
    world.song("loved/a.mp3")["starred"] = True
    world.apply()
    held, away = world.root / ".reprise-quarantine", world.root.parent / "away"
    held.rename(away)
    undone = world.run("undo")
    assert undone.exit_code == 3 and "is not back, so the kept file keeps what it was given on home" in undone.stdout
    assert world.song("a.flac")["starred"]
    away.rename(held)
    assert world.run("undo").exit_code == 0
    assert (world.song("a.flac")["starred"], world.song("loved/a.mp3")["starred"]) == (False, True)


@pytest.mark.long
def test_a_server_that_goes_down_while_apply_runs_keeps_the_rest(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run("plan", "-o", world.plan)

    def stop() -> None:
        world.is_down = True

    monkeypatch.setattr(Carrying, "ask", marked_after(Carrying.ask, stop))
    applied = world.run("apply", world.plan)
    assert applied.exit_code == 3 and world.is_there("loved/a.mp3") and world.is_there("copies/b.mp3")
    assert applied.stdout.count("the server home cannot be asked what listeners did with it (answers with") == 1


@pytest.mark.long
def test_what_is_given_in_part_is_taken_back_later(world: World) -> None:
    world.song("loved/a.mp3")["starred"] = True
    world.model.playlists["p"] = "Evening", [world.id("c.flac"), world.id("loved/a.mp3")], USER
    before = list(world.model.playlists["p"][1])
    world.run("plan", "-o", world.plan)
    world.dies_at = "createPlaylist"
    refused = world.run("apply", world.plan)
    assert refused.exit_code == 3 and "may have a part of what it was to get" in refused.stdout
    assert world.is_there("loved/a.mp3") and world.song("a.flac")["starred"]
    world.dies_at, world.is_down = "", False
    undone = world.run("undo")
    assert undone.exit_code == 0, undone.output
    assert not world.song("a.flac")["starred"] and world.song("loved/a.mp3")["starred"]
    assert world.model.playlists["p"][1] == before


@jellyfin
def test_plays_are_not_given_twice_after_a_kill(world: World) -> None:
    world.song("loved/a.mp3").update(plays=7, rating=3)
    world.song("a.flac").update(plays=3)
    world.run("plan", "-o", world.plan)
    with mock.patch.object(Move, "do", side_effect=KeyboardInterrupt):
        assert world.run("apply", world.plan).exit_code == 130
    assert world.run("apply", "--resume").exit_code == 0
    assert world.song("a.flac")["plays"] == 10
    assert world.run("undo").exit_code == 0
    assert (world.song("a.flac")["plays"], world.song("loved/a.mp3")["plays"]) == (3, 7)


# ---- what the listener does meanwhile and afterwards ----


@pytest.mark.parametrize("kind", ["jellyfin", "subsonic"])
def test_undo_leaves_what_the_listener_changed_since(world: World) -> None:
    plays = world.kind == "jellyfin"
    world.song("loved/a.mp3").update(starred=True, rating=4, plays=7 if plays else 0)
    world.song("a.flac").update(plays=3)
    world.model.bookmarks[world.id("loved/a.mp3")] = 61_000, ""
    world.model.playlists["p"] = "Out", [world.id("c.flac"), world.id("loved/a.mp3")], USER
    both = [world.id("a.flac"), world.id("loved/a.mp3"), world.id("c.flac")]
    world.model.playlists["q"] = "Both", both, USER
    world.apply()

    kept, other = world.id("a.flac"), world.id("c.flac")
    world.song("a.flac").update(rating=2, plays=world.song("a.flac")["plays"] + 5)
    world.model.bookmarks[kept] = 90_000, ""
    for id_ in "pq":
        world.model.playlists[id_][1][:] = [other]
    undone = world.run("undo")
    assert undone.exit_code == 0, undone.output
    now, back = world.song("a.flac"), world.song("loved/a.mp3")
    assert (now["starred"], now["rating"], now["plays"]) == (False, 2, 8)
    assert (back["starred"], back["rating"], back["plays"]) == (True, 4, 7 if plays else 0)
    assert world.model.bookmarks == {kept: (90_000, ""), world.id("loved/a.mp3"): (61_000, "")}
    assert [world.model.playlists[id_][1] for id_ in "pq"] == [[other], [other]]


@jellyfin
def test_fewer_plays_than_were_given_stay(world: World) -> None:
    world.song("loved/a.mp3").update(plays=7, starred=True)
    world.song("a.flac").update(plays=3)
    world.apply()
    world.song("a.flac")["plays"] = 1
    assert world.run("undo").exit_code == 0
    assert world.song("a.flac")["plays"] == 1


@pytest.mark.parametrize("moment", ["at rest", "killed"])
def test_undo_removes_only_the_shares_that_were_made(
    world: World, monkeypatch: pytest.MonkeyPatch, moment: str
) -> None:
    world.model.shares["s"] = "", "", [world.id("loved/a.mp3"), world.id("c.flac")]
    if moment == "killed":
        world.run("plan", "-o", world.plan)

        def killed(*_: object) -> None:
            raise KeyboardInterrupt

        with monkeypatch.context() as patch:
            patch.setattr("dedup.cleanup.carry.Carry.take_back", killed)
            patch.setattr("dedup.cleanup.journal.JournalWriter.set_state", killed_at_done(killed))
            assert world.run("apply", world.plan).exit_code == 130
        assert world.run("apply", "--resume").exit_code == 0
    else:
        world.apply()
    made = set(world.model.shares) - {"s"}
    assert len(made) == 1
    world.model.shares["hers"] = "", "", [world.id("a.flac")]
    assert world.run("undo").exit_code == 0
    assert "hers" in world.model.shares and not made & set(world.model.shares)
    shared = [songs for _, _, songs in world.model.shares.values()]
    assert [world.id("c.flac"), world.id("loved/a.mp3")] in [sorted(songs) for songs in shared]


def killed_at_done(killed: Any) -> Any:
    """In place of `set_state`: a kill before it is written that a server was given something."""
    from dedup.cleanup.carry import Carry
    from dedup.cleanup.journal import JournalWriter

    whole = JournalWriter.set_state

    def set_state(self: JournalWriter, number: int, state: Any) -> None:
        if isinstance(self.journal.entries[number].step, Carry):
            killed()
        whole(self, number, state)

    return set_state


def marked_after(ask: Any, mark: Any) -> Any:
    """`Carrying.ask`, after which the listener does something."""

    def asked(self: Carrying, *args: Any, **more: Any) -> None:
        ask(self, *args, **more)
        mark()

    return asked


@pytest.mark.parametrize("kind", ["jellyfin", "subsonic"])
def test_marks_that_are_set_while_apply_runs_are_carried_over(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run("plan", "-o", world.plan)
    mark = lambda: world.song("loved/a.mp3").update(starred=True, rating=3)  # noqa: E731
    monkeypatch.setattr(Carrying, "ask", marked_after(Carrying.ask, mark))
    applied = world.run("apply", world.plan)
    assert applied.exit_code == 0, applied.output
    assert (world.song("a.flac")["starred"], world.song("a.flac")["rating"]) == (True, 3)


def test_a_copy_that_is_loved_while_apply_runs_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run("plan", "-o", world.plan)
    mark = lambda: world.song("loved/a.mp3").update(starred=True)  # noqa: E731
    monkeypatch.setattr(Carrying, "ask", marked_after(Carrying.ask, mark))
    applied = world.run("apply", world.plan, "--protect-loved")
    assert applied.exit_code == 3 and "it is loved: starred on home" in applied.stdout
    assert world.is_there("loved/a.mp3") and not world.is_there("copies/b.mp3")


def test_a_copy_that_is_played_while_apply_runs_stays(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    world.run("plan", "-o", world.plan)
    mark = lambda: world.song("loved/a.mp3").update(plays=2)  # noqa: E731
    monkeypatch.setattr(Carrying, "ask", marked_after(Carrying.ask, mark))
    applied = world.run("apply", world.plan)
    assert applied.exit_code == 3 and "played 2 times on home, which cannot move plays" in applied.stdout
    assert world.is_there("loved/a.mp3")


def test_a_server_looks_for_files_that_come_back_without_marks(world: World) -> None:
    world.apply()
    asked = world.model.asked.count("startScan")
    undone = world.run("undo")
    assert undone.exit_code == 0 and "waiting" not in undone.stderr
    assert world.model.asked.count("startScan") == asked + 1
    assert world.song("loved/a.mp3")
    world.apply()
    world.is_down = True
    assert world.run("undo").exit_code == 0


def test_undo_does_not_write_a_playlist_anew_of_which_songs_are_hidden(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    listed = [world.id("c.flac"), world.id("loved/a.mp3")]
    world.model.playlists["p"] = "Evening", listed, USER
    world.apply()
    now, hidden = list(world.model.playlists["p"][1]), world.id("c.flac")
    whole = Subsonic._getPlaylist

    def hiding(self: Subsonic, form: Any) -> dict[str, Any]:
        said = whole(self, form)["playlist"]
        shown = [entry for entry in said["entry"] if entry["id"] != hidden]
        return {"playlist": {**said, "songCount": len(said["entry"]), "entry": shown}}

    with monkeypatch.context() as patch:
        patch.setattr(Subsonic, "_getPlaylist", hiding)
        undone = world.run("undo")
        assert undone.exit_code == 3 and "hides songs of the playlist Evening" in undone.stdout
    assert world.model.playlists["p"][1] == now
    assert world.run("undo").exit_code == 0
    assert world.model.playlists["p"][1] == [world.id("c.flac"), world.id("loved/a.mp3")]
