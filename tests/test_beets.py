"""The plugin for beets, in the real beets: what it imports, and what it leaves out, asks about and says."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dedup.store.store import open_for_reading
from tests.gate_music import make_music, scanned
from tests.gate_served import served
from tests.web_server import REPO

CONFIG = """
directory: {music}
library: {folder}/beets.db
plugins: [inline, reprise]
ui: {{color: no}}
import: {{copy: yes, autotag: no, quiet_fallback: skip, duplicate_action: keep}}
paths: {{default: $filename, singleton: $filename, comp: $filename}}
item_fields: {{filename: "path.rsplit(b'/', 1)[1].rsplit(b'.', 1)[0].decode(errors='replace')"}}
reprise: {{store: {store}, command: "{command}"}}
"""


class Beets:
    """Beets with a library of its own, whose music lies in the library of the store."""

    def __init__(self, folder: Path, library: Path, store: Path, command: str = "") -> None:
        self.folder, self.music = folder, library
        folder.mkdir()
        text = CONFIG.format(music=library, folder=folder, store=store, command=command)
        (folder / "config.yaml").write_text(text)

    def imports(self, *files: Path, options: tuple[str, ...] = ("-sq",), answers: str = "") -> str:
        """What beets says while it imports files one by one, or albums."""
        environment = {**os.environ, "BEETSDIR": str(self.folder), "PYTHONPATH": str(REPO), "LC_ALL": "C.UTF-8"}
        command = [sys.executable, "-W", "ignore", "-m", "beets", "import", *options, "--", *map(str, files)]
        done = subprocess.run(
            command,
            env=environment,
            input=answers.encode(),
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            check=False,
        )
        said = done.stdout.decode(errors="surrogateescape")
        assert done.returncode == 0, said
        return said

    def names(self) -> list[str]:
        return sorted(path.name for path in self.music.iterdir())


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library, a store of it, and in `new` two encodings of each of some songs."""
    base = make_music(tmp_path_factory.mktemp("beets"), 2, 13.0)
    shutil.copy(base / "library" / "song.flac", base / "new" / "known.flac")
    return base


@pytest.mark.long
def test_beets_imports_what_is_new_and_asks_about_what_is_better(music: Path, tmp_path: Path) -> None:
    new, store = music / "new", tmp_path / "s"
    shutil.copytree(music / "library", tmp_path / "library")
    scanned(store, tmp_path / "library")
    odd = tmp_path / "-{odd}\n$(x).flac"
    shutil.copy(new / "known.flac", odd)
    beets = Beets(tmp_path / "beets", tmp_path / "library", store)
    with served(store) as gate:
        said = beets.imports(new / "0.mp3", new / "known.flac", odd)
        assert beets.names() == ["0.mp3", "song.flac"]
        assert (
            f"reprise: {new / 'known.flac'}: not imported, duplicate: {beets.music / 'song.flac'} has the same" in said
        )
        assert "-{odd}" in said
        better = f"better: it is better than {beets.music / '0.mp3'}: flac, the other mp3"
        said = beets.imports(new / "0.flac", options=("-s",), answers="n\n")
        assert "not imported, " + better in said and "Import it (Y/n)?" in said
        assert "not imported, " + better in beets.imports(new / "0.flac"), "quiet_fallback: skip"
        assert beets.names() == ["0.mp3", "song.flac"]
        beets.imports(new / "0.flac", options=("-s",), answers="y\n")
        assert beets.names() == ["0.flac", "0.mp3", "song.flac"]
        deadline = time.monotonic() + 20
        while gate.ask("GET", "/health")[1]["tracks"] < 3 and time.monotonic() < deadline:
            time.sleep(0.1)
        assert gate.ask("GET", "/health")[1]["tracks"] == 3, "what beets imported is a track at once"
    done = scanned(store, beets.music)
    assert (done.unchanged, done.fingerprinted) == (3, 0)
    with open_for_reading(store) as opened:
        assert len(list(opened.catalog.tracks.paths())) == 3


@pytest.mark.long
def test_without_an_open_gate_the_command_is_asked_and_an_album_loses_its_duplicates(
    music: Path, tmp_path: Path
) -> None:
    shutil.copytree(music / "library", tmp_path / "library")
    album = tmp_path / "an album"
    album.mkdir()
    shutil.copy(music / "new" / "known.flac", album / "-odd\n$(x).flac")
    shutil.copy(music / "new" / "1.mp3", album)
    command = f"/usr/bin/env PYTHONPATH={REPO} {sys.executable} -m jobs"
    beets = Beets(tmp_path / "beets", tmp_path / "library", music / "store", command)
    said = beets.imports(album, options=("-q",))
    assert said.count("not imported, duplicate: ") == 1
    assert beets.names() == ["1.mp3", "song.flac"]


def test_if_nobody_answers_beets_imports_with_a_warning(music: Path, tmp_path: Path) -> None:
    (tmp_path / "library").mkdir()
    for name, command in (("a", ""), ("b", "no-such-program")):
        beets = Beets(tmp_path / name, tmp_path / "library", tmp_path / "none", command)
        said = beets.imports(music / "new" / "known.flac")
        assert "nobody says whether the library has it, so it is imported" in said
    assert beets.names() == ["known.1.flac", "known.flac"]
