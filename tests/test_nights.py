"""Nights: what is told once, what is no news, and a library that is suddenly empty. Real files, real runs."""

from __future__ import annotations

import json
import os
import shutil
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result
from mutagen.flac import FLAC

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_SOME_FAILED, LibraryError
from dedup.store.store import open_for_reading
from jobs import cli
from tests.audio_files import write_tone
from tests.cleanups import FILES, make_files, make_library, make_store, run
from tests.terminal import person


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A library that was looked at, and all of it told."""
    music = make_library(tmp_path, monkeypatch)
    assert night(music).exit_code == EXIT_DONE
    assert night(music).exit_code == EXIT_NOTHING_TO_DO
    return music


def night(root: Path, *more: str) -> Result:
    return run(root, "full", root, "--workers", "0", *more)


def found(result: Result) -> dict[str, Any]:
    return dict(json.loads(result.stdout.splitlines()[-1]))


def retag(path: Path, title: str) -> None:
    tags = FLAC(path)
    tags["title"] = title
    tags.save()


def n_tracks(root: Path) -> int:
    with open_for_reading(root.parent / "store") as store:
        return store.catalog.tracks.count_by_state()["present"]


def test_a_night_without_a_folder_goes_through_those_it_knows(root: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    write_tone(other / "new.flac", seconds=12)
    assert run(root, "scan", other, "--workers", "0").exit_code == EXIT_DONE
    write_tone(root / "newer.flac", seconds=13)
    (other / "new.flac").unlink()
    summary = found(run(root, "full", "--workers", "0", "--json"))
    assert (summary["new"], summary["forgotten"]) == (1, 1)


# ---- broken files ----


def test_a_broken_file_is_told_once(root: Path) -> None:
    (root / "broken.mp3").write_bytes(b"no music " * 1000)
    (root / "empty.flac").touch()
    first = night(root)
    assert first.exit_code == EXIT_SOME_FAILED
    assert [line.split(":")[0] for line in first.stdout.splitlines() if "broken.mp3" in line] == ["failed"]
    again = night(root)
    assert again.exit_code == EXIT_NOTHING_TO_DO
    assert "broken.mp3" not in again.output
    assert "2 failed\n        2 failed or skipped as before" in again.stdout
    assert "broken.mp3" not in night(root, "-q").output
    record = found(night(root, "--json"))
    assert (record["failed"], record["known_failures"]) == (2, 2)
    (root / "another.mp3").write_bytes(b"nor this " * 1000)
    assert night(root).exit_code == EXIT_SOME_FAILED
    assert night(root).exit_code == EXIT_NOTHING_TO_DO


def test_a_run_on_another_folder_forgets_no_broken_file(root: Path, tmp_path: Path) -> None:
    other, inner = tmp_path / "other", root / "inner"
    for folder in (other, inner):
        folder.mkdir()
    for path in (root / "broken.mp3", inner / "broken.mp3"):
        path.write_bytes(b"no music " * 1000)
    assert night(root).exit_code == EXIT_SOME_FAILED
    for folder in (other, inner, root):
        assert run(root, "full", folder, "--workers", "0").exit_code == EXIT_NOTHING_TO_DO
    (inner / "broken.mp3").unlink()
    night(root)
    (inner / "broken.mp3").write_bytes(b"no music " * 1000)
    assert night(root).exit_code == EXIT_SOME_FAILED, "what was put right is told when it comes back"
    assert run(root, "check").exit_code == EXIT_DONE


def test_strict_counts_and_lists_them_every_time(root: Path) -> None:
    (root / "broken.mp3").write_bytes(b"no music " * 1000)
    for _ in range(2):
        strict = night(root, "--strict")
        assert strict.exit_code == EXIT_SOME_FAILED
        assert "broken.mp3" in strict.stdout
    assert run(root, "scan", root, "--workers", "0").exit_code == EXIT_SOME_FAILED


# ---- what comes back ----


def test_what_an_undo_puts_back_is_no_news(root: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    run(root, "plan", "-o", plan)
    assert run(root, "apply", plan).exit_code == EXIT_DONE
    assert found(night(root, "--json"))["found"]["copies"] == 0
    assert run(root, "undo").exit_code == EXIT_DONE
    assert (root / "a.wav").exists()
    assert found(night(root, "--json"))["found"]["copies"] == 0


def test_a_file_that_is_renamed_or_gets_other_tags_is_no_news(tmp_path: Path) -> None:
    """Property: nor one whose audio another file has too."""
    music = tmp_path / "music"
    music.mkdir()
    write_tone(music / "one.flac", 15)
    shutil.copy(music / "one.flac", music / "twin.flac")
    assert found(night(music, "--json"))["found"]["copies"] == 1
    os.rename(music / "twin.flac", music / "renamed.flac")
    record = found(night(music, "--json"))
    assert (record["moved"], record["found"]["copies"]) == (1, 0)
    retag(music / "renamed.flac", "another")
    record = found(night(music, "--json"))
    assert (record["changed"], record["found"]["copies"]) == (1, 0)
    os.rename(music / "renamed.flac", music / "moved.flac")
    retag(music / "moved.flac", "and another")
    record = found(night(music, "--json"))
    assert (record["moved"], record["found"]["copies"]) == (1, 0)
    shutil.copy(music / "one.flac", music / "copied.flac")
    assert found(night(music, "--json"))["found"]["copies"] == 1


# ---- an empty root ----


@pytest.fixture
def large(tmp_path: Path) -> Path:
    """The root of a library of 51 files, all of which are gone."""
    names = {f"{number}.wav": 1 for number in range(51)}
    make_files(tmp_path / "music", names)
    make_store(tmp_path / "store", tmp_path / "music", names)
    for path in (tmp_path / "music").iterdir():
        path.unlink()
    return tmp_path / "music"


@pytest.mark.parametrize("command", ["full", "scan"])
def test_a_root_that_is_suddenly_empty_forgets_nothing(large: Path, command: str) -> None:
    refused = run(large, command, large, "--workers", "0")
    assert refused.exit_code == LibraryError.exit_code
    assert "held 51 when it was last scanned; nothing is forgotten" in refused.stderr
    assert "--allow-empty" in refused.stderr
    assert n_tracks(large) == 51
    assert run(large, command, large, "--workers", "0", "--allow-empty").exit_code == EXIT_DONE
    with open_for_reading(large.parent / "store") as store:
        assert store.catalog.tracks.count_by_state() == {}


def test_a_person_is_asked_about_an_empty_root(large: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["scan", "--store", str(large.parent / "store"), str(large), "--workers", "0"]
    for answer, code, left in ((b"n\n", LibraryError.exit_code, {"present": 51}), (b"y\n", EXIT_DONE, {})):
        with person(monkeypatch, ("Forget them? [y/N]:", answer)), pytest.raises(SystemExit) as ended:
            monkeypatch.setattr(sys, "stderr", sys.stdout)
            cli.cli(words)
        assert ended.value.code == code
        with open_for_reading(large.parent / "store") as store:
            assert store.catalog.tracks.count_by_state() == left


def test_a_few_files_may_go_at_once(root: Path) -> None:
    for name in FILES:
        (root / name).unlink()
    assert night(root).exit_code == EXIT_DONE
