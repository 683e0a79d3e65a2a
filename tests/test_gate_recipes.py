"""Recipes for importers: each is run as its importer runs it, against an open gate, with names that a shell would trip
over. The importers themselves are not there: what they send is what they document."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.gate_music import make_music
from tests.gate_served import Served, served
from tests.web_server import REPO

RECIPES = REPO / "docs" / "gate"
ODD = "-n 'a' \"b\" $(touch x) `touch x`;\n*.mp3"


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library, a store of it, two encodings of each of some songs in `new`, and the program in `reprise`."""
    base = make_music(tmp_path_factory.mktemp("recipes"), 3, 13.0)
    shutil.copy(base / "library" / "song.flac", base / "new" / "known.flac")
    program = base / "reprise"
    program.write_text(
        f'#!/bin/sh\nverbs="$1 $2"\nshift 2\nPYTHONPATH="{REPO}" exec "{sys.executable}" -m jobs $verbs '
        f'--store "{base}/store" "$@"\n'
    )
    program.chmod(0o755)
    return base


@pytest.fixture(scope="module")
def gate(music: Path) -> Iterator[Served]:
    with served(music / "store") as gate:
        yield gate


def run(recipe: str, *arguments: Path, music: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "REPRISE": str(music / "reprise"), **variables}
    command = [str(RECIPES / recipe), *map(str, arguments)]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False, cwd=music)


def test_lidarr_imports_what_is_new_by_its_script(music: Path, gate: Served, tmp_path: Path) -> None:
    new, copy = tmp_path / ODD, tmp_path / ("2" + ODD)
    shutil.copy(music / "new" / "0.mp3", new)
    shutil.copy(music / "new" / "known.flac", copy)
    script = "lidarr-import.sh"
    assert run(script, music=music, lidarr_sourcepath=str(new), lidarr_destinationpath="/x").returncode == 3
    done = run(script, music=music, Lidarr_SourcePath=str(copy))
    assert (done.returncode, "duplicate" in done.stdout) == (1, True)
    assert run(script, music=music).returncode == 1
    closed = {"lidarr_sourcepath": str(copy), "REPRISE": "/no/such/program"}
    assert run(script, music=music, **closed).returncode == 3, "nobody can say"
    assert not list(music.rglob("x"))
    # After the import: the custom script, and the webhook with the fields of Lidarr's payload.
    tracks = "|".join([str(new), str(music / "new" / "1.mp3")])
    done = run("lidarr-imported.sh", music=music, lidarr_eventtype="AlbumDownload", lidarr_addedtrackpaths=tracks)
    assert (done.returncode, done.stderr) == (0, "")
    assert run("lidarr-imported.sh", music=music, lidarr_eventtype="Test").returncode == 0
    payload = {
        "eventType": "Download",
        "isUpgrade": False,
        "tracks": [{"id": 1, "title": "A"}],
        "trackFiles": [{"id": 1, "path": str(new), "quality": "MP3-320"}],
    }
    assert gate.ask("POST", "/v1/hooks/lidarr", payload)[0] == 202
    assert gate.ask("POST", "/v1/hooks/lidarr", {"eventType": "Test", "artist": {"path": "C:\\testpath"}}) == (
        202,
        {"ids": []},
    )


def test_slskd_gets_its_answer_at_once(music: Path, gate: Served, tmp_path: Path) -> None:
    path = tmp_path / ODD
    shutil.copy(music / "new" / "known.flac", path)
    event = {
        "type": "DownloadFileComplete",
        "version": 0,
        "localFilename": str(path),
        "remoteFilename": "@@x\\Music\\a.mp3",
        "transfer": {"username": "somebody", "size": 1},
        "id": "8f1e",
        "timestamp": "2026-01-01T00:00:00Z",
    }
    status, told = gate.ask("POST", "/v1/hooks/slskd", event)
    assert status == 202
    (id_,) = told["ids"]
    said = gate.ask("GET", f"/v1/decisions/{id_}?wait_s=60")[1]
    assert (said["path"], said["answer"]) == (str(path), "duplicate")
    for other in ({"type": "DownloadDirectoryComplete", "localDirectoryName": "/x"}, {"type": "Noop"}, {}):
        assert gate.ask("POST", "/v1/hooks/slskd", other) == (202, {"ids": []})
    assert gate.ask("POST", "/v1/hooks/slskd", "[]")[0] == 400
    assert (
        gate.ask("POST", "/v1/hooks/lidarr", {"eventType": "Download", "trackFiles": [{"path": "/a\ud800b"}]})[0] == 202
    )


@pytest.mark.long
def test_a_folder_that_was_fetched_is_sorted(music: Path, gate: Served, tmp_path: Path) -> None:
    fetched, mine, kept = (tmp_path / name for name in ("fetched", "-music", "kept"))
    (fetched / "a b").mkdir(parents=True)
    mine.mkdir()
    shutil.copy(music / "new" / "2.flac", fetched / "a b" / ODD)
    shutil.copy(music / "new" / "known.flac", fetched / "known.flac")
    shutil.copy(music / "new" / "known.flac", fetched / "a b" / "known.flac")
    (fetched / "broken.mp3").write_bytes(bytes(1000))
    (fetched / "cover.jpg").write_bytes(b"1")
    done = run("sort-new.sh", fetched, mine, kept, music=music)
    assert done.returncode == 0, done.stderr
    assert [path.name for path in mine.iterdir()] == [ODD]
    assert sorted(path.name for path in kept.rglob("*.*")) == ["broken.mp3", "known.flac"]
    left = sorted(str(path.relative_to(fetched)) for path in fetched.rglob("*.*"))
    assert left in (["a b/known.flac", "cover.jpg"], ["cover.jpg", "known.flac"]), "nothing is overwritten"
    assert not list(music.rglob("x")) and not list(tmp_path.rglob("x"))
    copy = gate.check(music / "new" / "2.mp3")
    assert copy["copies"][0]["path"] == str(mine / ODD), "it is known where it is now"


def test_a_webhook_that_knows_only_passwords_is_let_in(music: Path, tmp_path: Path) -> None:
    shutil.copytree(music / "store", tmp_path / "s", ignore=shutil.ignore_patterns("gate"))
    with served(tmp_path / "s", "--port", "0") as gate:
        token = (tmp_path / "s" / "gate" / "token").read_text().strip()
        for given, status in ((token, 202), ("x", 401), ("", 401)):
            header = "Basic " + base64.b64encode(f"lidarr:{given}".encode()).decode()
            assert gate.ask("POST", "/v1/hooks/lidarr", {"eventType": "Test"}, Authorization=header)[0] == status
        assert gate.ask("GET", "/health", Authorization="Basic ?")[0] == 401
