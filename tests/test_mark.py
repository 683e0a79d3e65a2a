"""`reprise mark` on small stores: what it keeps, what it says, and what it refuses."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dedup.errors import EXIT_DONE, EXIT_USAGE, InputError, StoreMissingError
from dedup.groups.judgements import history
from dedup.store.layout import Layout, write_lock
from dedup.store.store import open_for_reading, open_for_writing
from jobs import cli
from tests.stores import add_audio, add_track, copied, open_store, recording

A, B = "/music/a.flac", "/music/b.mp3"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A recording, a worse copy of it, the same file with other tags, and a short one that was imported."""
    with open_store(tmp_path / "store") as store:
        audio = add_audio(store, recording(1, 200), stream=b"a" * 16)
        add_track(store, "a.flac", audio)
        add_track(store, "a retagged.flac", audio)
        add_track(store, "b.mp3", copied(recording(1, 200), 0.1))
        add_track(store, "short.mp3", recording(2, 20), state="imported")
    return tmp_path / "store"


def mark(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli.cli, ["mark", "--store", str(folder), *arguments])


def records(result: Result) -> list[dict[str, Any]]:
    assert result.exit_code == EXIT_DONE, result.output
    return [json.loads(line) for line in result.stdout.splitlines()]


def said(folder: Path) -> list[bool]:
    with open_for_reading(folder) as store:
        return [judgement.same for judgement in history(store)]


def test_a_judgement_is_kept_told_in_one_line_and_taken_back(folder: Path) -> None:
    first = mark(folder, A, B, "--same")
    assert first.exit_code == EXIT_DONE
    assert first.stdout.startswith(f"same: {A} and {B} (score 0.")
    assert said(folder) == [True]
    assert "before" not in mark(folder, B, A, "--same").stdout
    changed = mark(folder, B, A, "--different").stdout
    assert changed.startswith(f"different: {B} and {A} (score 0.")
    assert "; same before, said 20" in changed
    assert said(folder) == [False]
    forgotten = mark(folder, A, B, "--forget").stdout
    assert forgotten.startswith(f"forgotten: {A} and {B}; different before, said 20")
    assert said(folder) == []
    nothing = mark(folder, A, B, "--forget")
    assert (nothing.exit_code, nothing.stdout) == (EXIT_DONE, f"no judgement to take back: {A} and {B}\n")
    assert {len(text.splitlines()) for text in (first.stdout, changed, forgotten)} == {1}


def test_programs_get_the_same(folder: Path) -> None:
    (first,) = records(mark(folder, A, B, "--different", "--json"))
    assert first.pop("score") > 0.5
    assert first == {"event": "mark", "a": A, "b": B, "said": "different", "before": None}
    (again,) = records(mark(folder, A, B, "--same", "--json"))
    assert (again["said"], again["before"]) == ("same", "different")
    (gone,) = records(mark(folder, A, B, "--forget", "--json"))
    assert gone == {"event": "mark", "a": A, "b": B, "said": None, "score": None, "before": "same"}


def test_a_pair_that_cannot_be_compared_has_no_score(folder: Path) -> None:
    assert mark(folder, A, "/music/short.mp3", "--same").stdout == f"same: {A} and /music/short.mp3\n"
    with open_for_reading(folder) as store:
        assert history(store)[0].score is None


def test_the_list_names_the_files_that_hold_it_now(folder: Path) -> None:
    mark(folder, A, B, "--different")
    mark(folder, B, "/music/short.mp3", "--same")
    with open_for_writing(folder, "test") as store, store.catalog.transaction():
        store.catalog.tracks.forget([b"/music/short.mp3"])
    blocks = mark(folder, "--list").stdout.split("\n\n")
    (different,) = (block for block in blocks if block.startswith("different, score 0."))
    assert different.splitlines()[0].split("said ")[1].startswith("20")
    first, retagged, b = sorted(line[5:] for line in different.splitlines()[1:])
    assert (first, retagged, b) == ("/music/a retagged.flac", A, B)
    (same,) = (block for block in blocks if block.startswith("same, said"))
    assert sorted(line[5:] for line in same.splitlines()[1:]) == ["(not in the library now)", B]
    assert blocks[-1] == "2 judgements\n"

    of_programs = {record["said"]: record for record in records(mark(folder, "--list", "--json"))}
    paths = [[path["path"] for path in of_programs["different"][side]] for side in "ab"]
    assert sorted(paths) == [["/music/a retagged.flac", A], [B]]
    assert [] in (of_programs["same"]["a"], of_programs["same"]["b"])
    assert b"a" * 16 in [bytes.fromhex(of_programs["different"][f"content_{side}"]) for side in "ab"]


def test_a_judgement_beside_a_writer_counts_at_once(folder: Path) -> None:
    mark(folder, A, B, "--same")
    with write_lock(Layout(folder), "reprise scan"):
        assert mark(folder, "--list").stdout.endswith("1 judgement\n")
        told = mark(folder, A, B, "--different").stdout
        assert "; same before, said 20" in told
        assert told.endswith("saved beside the store, which another run holds; it counts from now on\n")
        assert said(folder) == [False]
        assert mark(folder, "--list").stdout.startswith("different, score 0.")
        mark(folder, A, B, "--forget")
        assert said(folder) == []
        mark(folder, B, "/music/short.mp3", "--same")
    assert (folder / "waiting-judgements").stat().st_size > 0
    assert mark(folder, A, B, "--forget").stdout.startswith("no judgement to take back")
    assert (folder / "waiting-judgements").stat().st_size == 0
    assert said(folder) == [True]


@pytest.mark.parametrize(
    ("arguments", "text"),
    [
        ((A, B), "--same, --different, --forget or --list"),
        ((A, B, "--same", "--different"), "--same, --different, --forget or --list"),
        ((A, "--same"), "fewer than two files"),
        (("--forget",), "fewer than two files"),
        ((A, "--list"), "files are given"),
    ],
)
def test_wrong_usage_is_told_in_one_line(folder: Path, arguments: tuple[str, ...], text: str) -> None:
    result = mark(folder, *arguments)
    assert result.exit_code == EXIT_USAGE
    assert text in result.stderr
    assert result.stderr.count("\n") == 1
    assert said(folder) == []


@pytest.mark.parametrize("word", ["--same", "--different", "--forget"])
def test_a_file_that_the_store_does_not_know_is_refused(folder: Path, word: str) -> None:
    result = mark(folder, A, "/nowhere.mp3", word)
    assert result.exit_code == InputError.exit_code
    assert result.stderr == "reprise: /nowhere.mp3: not in the store. Scan the folder that holds it\n"


@pytest.mark.parametrize("word", ["--same", "--different"])
def test_a_file_is_not_judged_with_itself(folder: Path, word: str) -> None:
    result = mark(folder, A, A, word)
    assert (result.exit_code, result.stderr) == (
        EXIT_USAGE,
        f"reprise: mark: A and B are one file, {A}. Name two files\n",
    )
    assert said(folder) == []


def test_a_file_and_its_retagged_copy_are_not_different(folder: Path) -> None:
    result = mark(folder, A, "/music/a retagged.flac", "--different")
    assert result.exit_code == InputError.exit_code
    assert f"{A} and /music/a retagged.flac: both hold exactly the same audio" in result.stderr
    assert result.stderr.count("\n") == 1
    assert said(folder) == []


def test_without_a_store_it_says_so_and_makes_none(tmp_path: Path) -> None:
    for arguments in ((A, B, "--same"), ("--list",)):
        assert mark(tmp_path / "none", *arguments).exit_code == StoreMissingError.exit_code
    assert not (tmp_path / "none").exists()
