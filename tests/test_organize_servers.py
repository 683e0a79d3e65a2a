"""Files that `organize` moves keep what listeners did with them on a Subsonic server that really runs (Supysonic): a
file at another path is another song for it. `undo` gives it back."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from dedup.cleanup.journal import journals
from tests.cleanups import make_files, opened, run, tree
from tests.made_names import tag_file
from tests.test_servers import World, open_world

FILES = {"a.flac": 1, "b.flac": 2, "c.flac": 3}
TEMPLATE = "$artist/$title"


def make_tagged(root: Path) -> dict[str, int]:
    make_files(root, FILES)
    for name in FILES:
        tag_file(root / name, artist="X", title=name[0].upper())
    return FILES


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    with open_world(monkeypatch, make_tagged) as made:
        yield made


def organize(world: World, *more: str) -> int:
    return run(world.root, "organize", "--template", TEMPLATE, "--yes", *more).exit_code


def test_marks_and_playlists_go_along_and_come_back(world: World) -> None:
    server = world.server
    server.call("star", id=world.id("a.flac"))
    server.call("setRating", id=world.id("b.flac"), rating=4)
    evening = server.make_playlist("Evening", *map(world.id, ("c.flac", "a.flac", "b.flac", "a.flac")))
    before = tree(world.root)

    assert organize(world) == 0
    server.scan()
    assert world.marks() == {"X/A.flac": (True, 0), "X/B.flac": (False, 4), "X/C.flac": (False, 0)}
    assert server.playlist(evening) == ["X/C.flac", "X/A.flac", "X/B.flac", "X/A.flac"]

    server.call("star", id=world.id("X/C.flac"))  # meanwhile
    undone = world.run("undo")
    assert undone.exit_code == 0, undone.output
    assert tree(world.root) == before
    server.scan()
    assert world.marks() == {"a.flac": (True, 0), "b.flac": (False, 4), "c.flac": (True, 0)}
    assert server.playlist(evening) == ["c.flac", "a.flac", "b.flac", "a.flac"]


@pytest.mark.long
def test_what_would_be_lost_stays_unless_it_is_let_go(world: World) -> None:
    server = world.server
    server.call("createPlaylist", "bert", name="Theirs", songId=[world.id("a.flac")])
    (theirs,) = server.call("getPlaylists", "bert")["playlists"]["playlist"]
    server.call("updatePlaylist", "bert", playlistId=theirs["id"], public="true")
    assert organize(world) == 3
    server.scan()
    assert sorted(server.songs()) == ["X/B.flac", "X/C.flac", "a.flac"]
    assert organize(world, "--let-go", "listeners") == 3  # Supysonic fails for a playlist with a song that is gone
    with opened(world.root) as store:
        assert not journals(store.layout.folder)[-1].is_open
    server.scan()
    assert sorted(server.songs()) == ["X/A.flac", "X/B.flac", "X/C.flac"]


def test_a_server_that_does_not_answer_keeps_its_files_in_place(world: World) -> None:
    world.server.stop()
    before = tree(world.root)
    assert organize(world) == 3
    assert tree(world.root) == before


def test_a_server_that_falls_silent_on_the_way_is_asked_again(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    from dedup.cleanup.repointing import Repointing

    world.server.call("star", id=world.id("a.flac"))
    finish = Repointing.finish
    with monkeypatch.context() as patched:

        def fall_silent(self: Repointing, *arguments: object) -> object:
            world.server.stop()
            return finish(self, *arguments)  # type: ignore[arg-type]

        patched.setattr(Repointing, "finish", fall_silent)
        assert organize(world) == 3
    with opened(world.root) as store:
        assert journals(store.layout.folder)[-1].is_open
    world.server.start()
    world.server.scan()
    resumed = world.run("organize", "--resume")
    assert resumed.exit_code == 0, resumed.output
    assert world.marks()["X/A.flac"] == (True, 0)
    with opened(world.root) as store:
        assert not journals(store.layout.folder)[-1].is_open
        paths = {
            os.fsdecode(os.path.relpath(track.path, os.fsencode(world.root))) for track in store.catalog.tracks.all()
        }
    assert paths == {"X/A.flac", "X/B.flac", "X/C.flac"}
