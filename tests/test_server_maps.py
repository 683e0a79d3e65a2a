"""A media server whose map, or whose list of songs, does not lead to the files: what it does not know stays, unless it
demonstrably knows the folder."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from click.testing import Result

from tests.cleanups import make_files, make_store, run
from tests.server_stand_ins import PASSWORD, USER, Model, Subsonic, serving

FILES = {"a.flac": 1, "loved/a.mp3": 1}


@dataclass
class World:
    """A library of a kept file and its copy, and a server that names its files from "/music" on."""

    root: Path
    model: Model
    url: str

    def name(self, id_: str, below: str, **more: object) -> None:
        """Lets the server have a song."""
        self.model.songs[id_] = {"path": f"/music/{below}", "starred": False, "rating": 0, "plays": 0, **more}

    def map(self, *folders: tuple[str, Path]) -> None:
        """Writes the settings file."""
        mapped = ", ".join(f"{json.dumps(theirs)} = {json.dumps(str(ours))}" for theirs, ours in folders)
        told = f'kind = "subsonic"\nurl = "{self.url}"\nuser = "{USER}"\ntoken-file = "secret"\nwait = 0\n'
        self.settings.write_text(f"[server.home]\n{told}map = {{ {mapped} }}\n")

    @property
    def settings(self) -> Path:
        return self.root.parent / "settings.toml"

    @property
    def copy(self) -> Path:
        return self.root / "loved/a.mp3"

    def run(self, *words: object) -> Result:
        return run(self.root, *words)

    def saved(self) -> Path:
        """A plan that was made before the server had anything to say."""
        plan = self.root.parent / "plan.json"
        kept = self.settings.read_text()
        self.settings.write_text("")
        assert "1 file of 1 group would change" in self.run("plan", "-o", plan).stdout
        self.settings.write_text(kept)
        return plan

    def stays(self, words: str) -> None:
        """Requires that the copy stays for these words, by the plan and by `apply` of one that was made before."""
        plan = self.saved()
        made = self.run("plan")
        assert made.exit_code == 5 and words in " ".join(made.stdout.split()), made.output
        refused = self.run("apply", plan)
        assert refused.exit_code == 3 and words in " ".join(refused.stdout.split()), refused.output
        assert self.copy.exists()

    def keeps_everything(self, why: str) -> None:
        """Requires that the map is called wrong, for this reason, and that no copy goes."""
        checked = self.run("server", "check")
        assert checked.exit_code == 24 and why in " ".join(checked.stdout.split())
        assert "no copy goes" in self.run("plan").stderr
        self.stays(why)


@pytest.fixture
def world(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[World]:
    root = tmp_path / "music"
    make_files(root, FILES)
    make_store(tmp_path / "store", root, FILES)
    (tmp_path / "secret").write_text(PASSWORD)
    (tmp_path / "secret").chmod(0o600)
    monkeypatch.setenv("REPRISE_CONFIG", str(tmp_path / "settings.toml"))
    model = Model({})
    with serving(model, Subsonic(model)) as url:
        made = World(root, model, url)
        made.map(("/music", root))
        made.name("k", "a.flac")
        yield made


def test_a_server_without_songs_says_nothing(world: World) -> None:
    """It is not mounted, or makes its list anew."""
    world.model.songs.clear()
    checked = world.run("server", "check")
    assert checked.exit_code == 24 and "names no song at all" in checked.stdout
    world.stays("names no song at all")


def test_what_is_not_known_stays_while_songs_lead_nowhere(world: World) -> None:
    """The loved song has a path that is made of its tags, as Navidrome has them; the others are right by chance."""
    world.name("g", "Some Artist/01 - A.mp3", starred=True)
    checked = world.run("server", "check")
    assert checked.exit_code == 0
    told = " ".join(checked.stdout.split())
    assert "1 song without a file here by the map" in told and "Some Artist/01 - A.mp3" in told
    world.stays("home does not know it under this path, and one of its songs leads to no file by its map")


def test_what_is_not_known_goes_if_all_songs_have_files(world: World) -> None:
    assert world.run("apply", world.saved()).exit_code == 0
    assert not world.copy.exists()


def test_a_copy_that_is_known_goes_though_another_song_leads_nowhere(world: World) -> None:
    world.name("g", "loved/a.mp3")
    world.name("x", "gone long ago.mp3")
    assert "1 file of 1 group would change" in world.run("plan").stdout
    assert world.run("apply", world.saved()).exit_code == 0


def test_a_song_whose_path_is_not_told_leads_nowhere(world: World) -> None:
    world.name("g", "", starred=True)
    world.model.songs["g"]["path"] = ""
    world.stays("home does not know it under this path")


def _through_the_map(world: World) -> None:
    link = world.root.parent / "link"
    link.symlink_to(world.root)
    world.map(("/music", link))
    world.name("g", "loved/a.mp3", starred=True)


def _through_the_folder(world: World) -> None:
    (world.root / "link").symlink_to(world.root / "loved")
    world.name("g", "link/a.mp3", starred=True)


def _through_the_file(world: World) -> None:
    (world.root / "link.mp3").symlink_to(world.copy)
    world.name("g", "link.mp3", starred=True)


def _by_two_folders(world: World) -> None:
    world.map(("/music", world.root), ("/other", world.root))
    world.name("g", "")
    world.model.songs["g"].update(path="/other/loved/a.mp3", starred=True)


@pytest.mark.parametrize("way", [_through_the_map, _through_the_folder, _through_the_file, _by_two_folders])
def test_paths_are_compared_as_they_really_are(world: World, way: Callable[[World], None]) -> None:
    way(world)
    plan = world.saved()
    made = world.run("plan", "--protect-loved")
    assert "loved: loved/a.mp3 (home: starred)" in made.stdout, made.output
    applied = world.run("apply", plan)
    assert applied.exit_code == 0 and "1 carried over on media servers" in applied.stdout, applied.output
    assert world.model.songs["k"]["starred"] and not world.copy.exists()


def test_a_folder_that_is_not_there_keeps_everything(world: World) -> None:
    """Nobody knows where its files are: they may be anywhere."""
    world.map(("/music", world.root.parent / "musci"))
    world.name("g", "loved/a.mp3", starred=True)
    world.keeps_everything("no such folder is there")


def test_a_map_that_is_one_folder_off_keeps_everything(world: World) -> None:
    world.map(("/music", world.root / "loved"))
    world.name("g", "loved/a.mp3", starred=True)
    world.keeps_everything("none of these files is there")


def test_a_folder_without_a_track_keeps_everything(world: World) -> None:
    """Such as one of a backup, in which all songs lead to files."""
    backup = world.root.parent / "backup"
    (backup / "loved").mkdir(parents=True)
    for name in FILES:
        os.link(world.root / name, backup / name)
    world.map(("/music", backup))
    world.name("g", "loved/a.mp3", starred=True)
    world.keeps_everything("holds no track of the library")


def test_a_backslash_is_part_of_a_name(world: World) -> None:
    """On a server that names files from its music folder on, and is not one of Windows."""
    world.root = world.root.parent / "other/music"
    names = {"a.flac": 1, "AC\\DC a.mp3": 1}
    make_files(world.root, names)
    make_store(world.root.parent / "store", world.root, names)
    world.map(("/", world.root))
    os.environ["REPRISE_CONFIG"] = str(world.settings)  # the fixture puts it back
    (world.root.parent / "secret").symlink_to(world.root.parents[1] / "secret")
    for id_, name in zip("kg", names, strict=True):
        world.name(id_, "")
        world.model.songs[id_].update(path=name, starred=id_ == "g")
    assert "loved: AC\\DC a.mp3 (home: starred)" in world.run("plan", "--protect-loved").stdout


def test_a_public_playlist_of_somebody_who_is_asked_too_keeps_nothing(world: World) -> None:
    world.name("g", "loved/a.mp3")
    world.model.playlists["p"] = "Bert's", ["g"], "Bert"
    told = "in the playlist Bert's of Bert on home, which only they may change"
    assert told in " ".join(world.run("plan").stdout.split())
    table = world.settings.read_text()
    world.settings.write_text(table + table.replace("server.home", "server.bert").replace(f'"{USER}"', '"bert"'))
    assert told not in " ".join(world.run("plan").stdout.split())
