"""`reprise backup`: what it prints, how it ends, and how sources are named."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner, Result

from jobs import cli
from jobs.session.sources import BYTES_PER_S, PER_MINUTE
from tests.backups import song
from tests.supysonic_server import PASSWORD, USER, supysonic


@pytest.fixture(scope="module")
def songs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    base = tmp_path_factory.mktemp("songs")
    song(base / "1.flac", 1, title="One", artist="Anna", album="A", tracknumber="1")
    song(base / "2.mp3", 2, "mp3", title="Two", artist="Anna", album="A", tracknumber="2")
    return base


@pytest.fixture
def place(tmp_path: Path, songs: Path) -> Path:
    """A folder with a drive, one that takes files, and settings."""
    shutil.copytree(songs, tmp_path / "drive")
    shutil.copy(songs / "1.flac", tmp_path / "drive" / "copy.flac")
    (tmp_path / "drive" / "broken.mp3").write_bytes(b"no music")
    (tmp_path / "to").mkdir()
    return tmp_path


def backup(place: Path, source: object, *options: str) -> Result:
    words = ["backup", str(source), "--to", str(place / "to"), "--store", str(place / "store"), *options]
    return CliRunner().invoke(cli.cli, words, env={"COLUMNS": "80"})


def test_a_drive_is_listed_then_copied_and_then_known(place: Path) -> None:
    drive = place / "drive"
    dry = backup(place, drive, "--dry-run", "--limit", "3")
    assert dry.exit_code == 0
    assert dry.stdout.splitlines()[:3] == ["1.flac", "2.mp3", "broken.mp3"]
    assert re.search(r"3 files of 1\.\d\d MB would be fetched; 0 already here by an earlier run", dry.stdout)
    assert not (place / "store").joinpath("catalog.db").exists() and not list((place / "to").iterdir())

    done = backup(place, drive)
    assert done.exit_code == 3
    lines = done.stdout.splitlines()
    assert lines[0] == f"new     {place}/to/1.flac"
    assert lines[1] == f"new     {place}/to/2.mp3"
    assert lines[2].startswith("failed  broken.mp3: not an audio file")
    assert lines[3] == f"here    copy.flac is {place}/to/1.flac"
    assert lines[4] == "2 new files, 1 already here (1 by sound), 1 failed"

    again = backup(place, drive, "--json")
    *files, last = map(json.loads, again.stdout.splitlines())
    assert [file["outcome"] for file in files] == ["known", "known", "known", "failed"]
    assert files[0]["path"] == f"{place}/to/1.flac"
    assert (last["event"], last["known"], last["new"]) == ("backup", 3, 0)
    (drive / "broken.mp3").write_bytes(b"")
    unlisted = backup(place, drive)
    assert unlisted.exit_code == 3
    assert "broken.mp3: empty file" in unlisted.stderr
    assert unlisted.stdout.endswith(", 1 that cannot be looked at\n")
    assert backup(place, drive, "--dry-run").exit_code == 3
    (drive / "broken.mp3").unlink()
    assert backup(place, drive).exit_code == 0
    dry = backup(place, drive, "--dry-run")
    assert (dry.exit_code, dry.stdout) == (0, "0 files of 0 B would be fetched; 3 already here by an earlier run\n")
    every = backup(place, drive, "--dry-run", "--all")
    assert every.stdout.startswith("copy.flac\n1 file of "), "what was here by sound is kept with --all"
    assert backup(place, drive, "--all", "--limit", "0").exit_code == 0
    runs = CliRunner().invoke(cli.cli, ["runs", "--store", str(place / "store")])
    assert "backup" in runs.stdout


def test_a_server_at_an_address_and_one_of_the_settings_are_backed_up(place: Path, songs: Path) -> None:
    token = place / "token"
    token.write_text(PASSWORD)
    token.chmod(0o600)
    home = place / "s"
    with supysonic(home, songs) as server:
        who = ("--user", USER, "--token-file", str(token), "--rate", "6000")
        done = backup(place, f"subsonic:{server.url}", *who)
        assert (done.exit_code, done.stdout.splitlines()[-1]) == (0, "2 new files, 0 already here")
        settings = place / "settings.toml"
        settings.write_text(
            f'[server.home]\nkind = "subsonic"\nurl = "{server.url}"\nuser = "{USER}"\n'
            f'token-file = "{token}"\nmap = {{ "/" = "{songs}" }}\n'
        )
        words = ["backup", "home", "--to", str(place / "to"), "--store", str(place / "store")]
        known = CliRunner().invoke(cli.cli, words, env={"REPRISE_CONFIG": str(settings)})
        assert known.stdout == "0 new files, 2 already here (2 by an earlier run)\n"
        settings.write_text(settings.read_text().replace('"subsonic"', '"jellyfin"'))
        other = CliRunner().invoke(cli.cli, words, env={"REPRISE_CONFIG": str(settings)})
        assert (other.exit_code, "home is a jellyfin server" in other.stderr) == (2, True)
    gone = backup(place, f"subsonic:{server.url}", *who)
    assert gone.exit_code == 24
    assert PASSWORD not in gone.output


@pytest.mark.parametrize(
    ("source", "options", "why"),
    [
        ("nowhere", (), "no folder 'nowhere', and no server of that name"),
        ("subsonic:ftp://x", (), "is not the address of a server alone"),
        ("subsonic:http://user:pass@x", (), "is not the address of a server alone"),
        ("subsonic:http://127.0.0.1:9", ("--user", "anna"), "Add --user NAME, and --token-file FILE"),
        ("yandex", (), "Add --token-file FILE or --token-command COMMAND"),
        ("yandex", ("--token-command", "false"), "the command of --token-command ended with exit code 1"),
        ("yandex", ("--token-file", "/nowhere/token"), "cannot be read"),
    ],
)
def test_a_source_that_cannot_be_used_is_said(place: Path, source: str, options: tuple[str, ...], why: str) -> None:
    done = backup(place, source, *options)
    assert done.exit_code == 2
    assert why in done.stderr
    assert "pass@" not in done.output


def test_the_page_tells_the_rates_that_hold() -> None:
    page = (Path(cli.__file__).parent.parent / "docs" / "backup.md").read_text(encoding="utf-8")
    assert f"fetches {PER_MINUTE} files a minute and {BYTES_PER_S >> 20} MiB a second at most" in page
