"""`full` with scores: what is planned by rule, what is asked about, what is only shown; and that no file is touched."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import pytest
from click.testing import Result

from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, InputError, WriteError
from dedup.groups.judgements import history
from dedup.plan.document import read_plan
from dedup.store.store import open_for_reading
from jobs import cli
from tests.cleanups import fresh, make_files, make_store, run, tree
from tests.terminal import person

FILES = {"a.flac": 1, "a.wav": 1, "near/a.mp3": 1, "b.flac": 2, "b.wav": 2, "far/b.mp3": 2, "c.flac": 3, "c.mp3": 3}
DIFFERING = {"near/a.mp3": 0.015, "far/b.mp3": 0.08, "c.mp3": 0.02}
"""Scores of about 0.97, 0.84 and 0.96."""
SCORES = ("--auto", "0.98", "--ask", "0.95")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is made once for all tests: files, a store that knows them, and its first run."""
    place = tmp_path_factory.mktemp("full")
    root = place / "now" / "music"
    make_files(root, FILES)
    make_store(place / "now" / "store", root, FILES, DIFFERING)
    assert full(root).exit_code == EXIT_DONE
    os.rename(place / "now", place / "before")
    return place


@pytest.fixture
def root(made: Path) -> Path:
    return fresh(made)


def full(root: Path, *more: object) -> Result:
    """A run in which no file of the library changes."""
    before = tree(root)
    result = run(root, "full", root, "--workers", "0", *more)
    assert tree(root) == before
    return result


def plan_file(root: Path) -> Path:
    return root.parent / "store" / "plan.json"


def of_file(root: Path, name: str, path: Path | None = None) -> tuple[str, str]:
    """Action and rule of one file in a plan."""
    plan = read_plan(os.fsencode(path or plan_file(root)))
    (found,) = [f for group in plan.groups for f in group.files if f.path == os.fsencode(root / name)]
    return found.action, found.rule


def summary(result: Result) -> dict[str, Any]:
    return dict(json.loads(result.stdout.splitlines()[-1]))


# ---- by the score ----


def test_above_is_planned_between_is_left_and_below_is_only_shown(root: Path) -> None:
    text = full(root, *SCORES).stdout
    assert of_file(root, "a.flac") == ("quarantine", "oldest")
    assert of_file(root, "near/a.mp3") == of_file(root, "c.mp3") == ("leave", "uncertain")
    assert of_file(root, "far/b.mp3") == ("leave", "reported only")
    assert "plan    2 files of 2 groups would change" in text
    assert f"`reprise apply {plan_file(root)}` does it" in text
    assert "2 copies with a score from 0.95 to 0.98 left to you" in text
    assert f"`reprise resolve --ask 0.95 -o {plan_file(root)}` asks about them" in text
    assert run(root, "check").exit_code == EXIT_DONE, "a plan in the store's folder is no damage"
    assert run(root, "apply", plan_file(root)).exit_code == EXIT_DONE
    assert not (root / "a.flac").exists() and (root / "c.mp3").exists()


def test_programs_get_the_plan_with_the_summary(root: Path, tmp_path: Path) -> None:
    told, written = tmp_path / "told", tmp_path / "plan.json"
    found = summary(full(root, *SCORES, "--json", "-o", written, "--notify", f"cp /dev/stdin {told}"))["plan"]
    assert found["path"] == str(written)
    assert (found["groups"], found["files"], found["uncertain"]) == (3, 2, 2)
    assert json.loads(told.read_text())["plan"] == found
    assert not plan_file(root).exists()


def test_without_scores_there_is_no_plan_unless_a_file_is_named(root: Path, tmp_path: Path) -> None:
    assert summary(full(root, "--json"))["plan"] is None
    assert not plan_file(root).exists()
    assert summary(full(root, "--json", "-o", tmp_path / "plan.json"))["plan"]["uncertain"] == 0
    assert of_file(root, "far/b.mp3", tmp_path / "plan.json") == ("quarantine", "lossless")


def test_the_scores_may_stand_in_the_settings(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRISE_AUTO", "0.98")
    assert full(root).exit_code == EXIT_NOTHING_TO_DO
    assert of_file(root, "far/b.mp3") == ("leave", "uncertain")


# ---- the file ----


def test_what_is_no_plan_is_refused_before_any_work(tmp_path: Path) -> None:
    root, notes = tmp_path / "music", tmp_path / "notes.txt"
    make_files(root, {"a.flac": 1})
    notes.write_text("mine")
    for path in (notes, tmp_path / "nowhere" / "plan.json"):
        assert full(root, *SCORES, "-o", path).exit_code == InputError.exit_code
    assert notes.read_text() == "mine"
    assert not (tmp_path / "store").exists()


def test_what_a_person_answered_stays_when_the_plan_is_made_again(root: Path) -> None:
    full(root, *SCORES)
    asked = run(root, "resolve", "-o", plan_file(root), "--ask", "0.95", typed="2\ns\n").stdout
    assert asked.count("[q]uit?") == 2, "only about the groups with something uncertain"
    before = {name: of_file(root, name) for name in FILES}
    assert ("leave", "skipped") in before.values() and ("keep", "chosen") in before.values()
    assert summary(full(root, *SCORES, "--json"))["plan"]["uncertain"] == 0
    assert {name: of_file(root, name) for name in FILES} == before


def test_a_plan_that_cannot_be_understood_is_replaced_and_that_is_told(root: Path) -> None:
    plan_file(root).write_text('{"format": "reprise-plan", "version": 99}')
    assert "it was replaced, and none of your answers in it could be used" in full(root, *SCORES).stdout
    assert of_file(root, "a.flac") == ("quarantine", "oldest")


def test_what_goes_wrong_with_the_plan_takes_nothing_from_the_summary(root: Path) -> None:
    Path(f"{plan_file(root)}.{os.getpid()}.part").mkdir()
    result = full(root, *SCORES, "--json")
    assert result.exit_code == WriteError.exit_code
    found = [json.loads(line) for line in result.stdout.splitlines()]
    assert [record["event"] for record in found[-2:]] == ["summary", "error"]
    assert found[-2]["plan"] is None


# ---- on a terminal ----


def test_on_a_terminal_what_lies_between_is_asked_about(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Property: what is answered decides in the same run, and is not asked again."""
    words = ["full", str(root), "--store", str(root.parent / "store"), "--workers", "0", *SCORES]
    with person(monkeypatch, ("[q]uit?", b"s"), ("[q]uit?", b"d")) as somebody, pytest.raises(SystemExit) as ended:
        cli.cli.main(words)
    assert ended.value.code == EXIT_NOTHING_TO_DO
    assert "pair 2 of 2" in somebody.seen
    assert "asked   1 same, 1 different, 0 skipped, 0 left" in somebody.seen
    assert of_file(root, "near/a.mp3") == ("quarantine", "lossless")
    assert os.fsencode(root / "c.mp3") not in {
        file.path for group in read_plan(os.fsencode(plan_file(root))).groups for file in group.files
    }
    with open_for_reading(root.parent / "store") as store:
        assert sorted(said.same for said in history(store)) == [False, True]
    with person(monkeypatch) as somebody, pytest.raises(SystemExit):
        cli.cli.main(words)
    assert "[q]uit?" not in somebody.seen


def test_who_quits_has_the_rest_left(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ["full", str(root), "--store", str(root.parent / "store"), "--workers", "0", *SCORES]
    with person(monkeypatch, ("[q]uit?", b"\x03")) as somebody, pytest.raises(SystemExit) as ended:
        cli.cli.main(words)
    assert ended.value.code == EXIT_NOTHING_TO_DO
    assert "2 copies with a score from 0.95 to 0.98 left to you" in somebody.seen


def test_on_a_terminal_a_copy_that_would_go_but_for_what_it_holds_is_asked_about(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property: an answer is kept as in `resolve`, and not asked for again; without a terminal the copy stays."""
    (root / "near/a.srt").write_text("Hello")
    (root / "far/b.srt").write_text("Hello")
    scores = ("--auto", "0.95", "--ask", "0.9")
    full(root, *scores)
    assert of_file(root, "near/a.mp3") == of_file(root, "far/b.mp3") == ("leave", "sidecars")
    words = ["full", str(root), "--store", str(root.parent / "store"), "--workers", "0", *scores]
    with person(monkeypatch, ("[l]et go", b"l")) as somebody, pytest.raises(SystemExit):
        cli.cli.main(words)
    assert somebody.seen.count("[q]uit?") == 1, "not about a copy with too low a score"
    assert "near/a.srt goes along with its file" in somebody.seen
    assert "asked   about losses: 1 kept, 0 not the same, 0 skipped, 0 left" in somebody.seen
    assert of_file(root, "near/a.mp3") == ("quarantine", "let go")
    assert of_file(root, "c.mp3") == ("quarantine", "lossless"), "what the scores decide is in the plan too"
    with person(monkeypatch) as somebody, pytest.raises(SystemExit):
        cli.cli.main(words)
    assert "[q]uit?" not in somebody.seen
    assert of_file(root, "near/a.mp3") == ("quarantine", "let go")
    assert run(root, "apply", plan_file(root)).exit_code == EXIT_DONE
    assert not (root / "near/a.srt").exists() and (root / "far/b.srt").exists()


def test_what_is_called_the_same_is_then_asked_about_for_what_it_holds(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property: whoever quits is asked nothing more."""
    (root / "near/a.srt").write_text("Hello")
    words = ["full", str(root), "--store", str(root.parent / "store"), "--workers", "0", *SCORES]
    with person(monkeypatch, ("[q]uit?", b"q")) as somebody, pytest.raises(SystemExit):
        cli.cli.main(words)
    assert "[l]et go" not in somebody.seen
    script = [("[q]uit?", b"s"), ("[q]uit?", b"s"), ("[l]et go", b"\x03")]
    with person(monkeypatch, *script) as somebody, pytest.raises(SystemExit) as ended:
        cli.cli.main(words)
    assert ended.value.code == EXIT_NOTHING_TO_DO
    assert "asked   about losses: 0 kept, 0 not the same, 0 skipped, 1 left" in somebody.seen
    assert of_file(root, "near/a.mp3") == ("leave", "sidecars")
    assert of_file(root, "c.mp3") == ("quarantine", "lossless")


def test_nobody_is_asked_who_does_not_see_the_question(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Property: a run whose output goes to a file waits for nobody, though a terminal is there to type at."""
    words = ["full", str(root), "--store", str(root.parent / "store"), "--workers", "0", *SCORES]
    with person(monkeypatch), open(tmp_path / "log", "w") as log, monkeypatch.context() as patch:
        patch.setattr(sys, "stdout", log)
        with pytest.raises(SystemExit):
            cli.cli.main(words)
    assert "2 copies with a score from 0.95 to 0.98 left to you" in (tmp_path / "log").read_text()
