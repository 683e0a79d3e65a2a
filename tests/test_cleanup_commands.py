"""plan, apply, undo, history and tag, as a user types them."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from dedup.plan.document import read_plan
from dedup.tags.read import read_tags
from dedup.tags.write import write_tags
from tests.cleanups import make_files, make_store, run, tree

FILES = {"a.flac": 1, "a.wav": 1, "sub/a.flac": 1, "b.flac": 2, "deep/b.mp3": 2, "c.flac": 3}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Three recordings, two of which have copies; one copy alone has a composer, and a playlist names it."""
    root = tmp_path / "music"
    make_files(root, FILES)
    write_tags(os.fsencode(root / "deep/b.mp3"), {"composer": ["Ines"]})
    (root / "list.m3u").write_bytes(b"deep/b.mp3\nc.flac\n")
    make_store(tmp_path / "store", root, FILES)
    return root


def test_the_whole_story(root: Path) -> None:
    before, plan = tree(root), root.parent / "plan.json"
    made = run(root, "plan", "-o", plan, "--remove-empty-folders")
    assert made.exit_code == 0 and tree(root) == before
    assert "quarantine" in made.stdout and "composer" in made.stdout

    dry = run(root, "apply", plan, "--dry-run")
    assert dry.exit_code == 0 and tree(root) == before
    assert "would be done: 3 files (3 quarantine)" in dry.stdout

    applied = run(root, "apply", plan, "--json")
    assert applied.exit_code == 0
    summary = json.loads(applied.stdout.splitlines()[-1])
    assert summary["done"] == {"quarantine": 3} and (summary["merged"], summary["playlists"]) == (1, 1)
    assert summary["folders_removed"] == 2
    assert read_tags(os.fsencode(root / "b.flac")).fields["composer"] == ("Ines",)
    assert (root / "list.m3u").read_bytes() == b"b.flac\nc.flac\n"
    assert run(root, "report").stdout.count("reclaimable") == 1  # the total, of nothing
    assert run(root, "plan").exit_code == 5

    assert "done" in run(root, "history").stdout
    undone = run(root, "undo")
    assert undone.exit_code == 0 and "3 files put back, 2 restored to their old content" in undone.stdout
    assert tree(root) == before
    assert json.loads(run(root, "history", "--json").stdout)["state"] == "undone"
    assert run(root, "check").exit_code == 0


def test_a_plan_that_was_applied_is_done_already(root: Path) -> None:
    plan = root.parent / "plan.json"
    run(root, "plan", "-o", plan)
    assert run(root, "apply", plan).exit_code == 0
    after = tree(root)
    for dry in ((), ("--dry-run",)):
        again = run(root, "apply", plan, *dry)
        assert again.exit_code == 5
        assert "already done by clean-up 1: 3 files" in again.stdout
        assert "refused" not in again.stdout
        assert "clean up: 3 of 3 files in" in again.stderr and "failed" not in again.stderr
        assert json.loads(run(root, "apply", plan, *dry, "--json").stdout.splitlines()[-1])["done_before"] == {"1": 3}
    assert tree(root) == after
    assert len(run(root, "history", "--json").stdout.splitlines()) == 1
    run(root, "undo")
    assert run(root, "apply", plan).exit_code == 0, "what was taken back can be done again"


def test_what_was_done_before_is_told_from_what_is_refused(root: Path) -> None:
    plan, back = root.parent / "plan.json", os.stat(root / "sub/a.flac")
    run(root, "plan", "-o", plan)
    os.utime(root / "sub/a.flac")
    assert run(root, "apply", plan).exit_code == 3
    again = run(root, "apply", plan)
    assert again.exit_code == 3
    assert "already done by clean-up 1: 2 files" in again.stdout
    assert "a.flac: it was changed since the plan was made" in again.stdout
    os.utime(root / "sub/a.flac", ns=(back.st_atime_ns, back.st_mtime_ns))
    assert run(root, "apply", plan).exit_code == 0
    last = run(root, "apply", plan)
    assert last.exit_code == 5
    assert "already done by clean-up 1: 2 files\nalready done by clean-up 2: 1 file" in last.stdout


def test_what_is_refused_is_told_and_the_rest_is_done(root: Path) -> None:
    plan = root.parent / "plan.json"
    run(root, "plan", "-o", plan)
    os.utime(root / "sub/a.flac")
    applied = run(root, "apply", plan)
    assert applied.exit_code == 3
    assert "a.flac: it was changed since the plan was made" in applied.stdout
    assert not (root / "a.wav").exists() or not (root / "deep/b.mp3").exists()


def test_a_plan_that_is_none(root: Path) -> None:
    bad = root.parent / "bad.json"
    bad.write_text('{"format": "reprise-plan", "version": 99}')
    assert run(root, "apply", bad).exit_code == 21
    assert run(root, "apply", root.parent / "nowhere.json").exit_code in (15, 21)
    assert run(root, "apply").exit_code == 2
    assert run(root, "apply", bad, "--resume").exit_code == 2


def test_there_is_nothing_to_go_on_with_or_to_take_back(root: Path) -> None:
    assert run(root, "apply", "--resume").exit_code == 22
    assert run(root, "undo").exit_code == 22
    assert run(root, "undo", 3).exit_code == 22


def test_deleting_is_asked_for(root: Path) -> None:
    plan, before = root.parent / "plan.json", tree(root)
    run(root, "plan", "-o", plan, "--action", "delete", "--no-merge")
    for typed in ("", "n\n"):
        refused = run(root, "apply", plan, typed=typed)
        assert refused.exit_code == 2 and "deleted for good" in refused.stderr
        assert tree(root) == before
    assert run(root, "apply", plan, "--yes").exit_code == 0
    assert not (root / "sub/a.flac").exists()
    undone = run(root, "undo")
    assert undone.exit_code == 3 and "was deleted for good" in undone.stdout


def test_a_protected_folder_stays_protected_whatever_a_later_plan_says(root: Path) -> None:
    plan, before = root.parent / "plan.json", tree(root / "sub")
    run(root, "plan", "-o", plan)
    assert b"sub/a.flac" in plan.read_bytes()
    run(root, "plan", "--protect", root / "sub")
    run(root, "apply", plan)
    assert tree(root / "sub") == before
    document = json.loads(plan.read_text())
    document["protect"] = []
    plan.write_text(json.dumps(document))
    run(root, "apply", plan)
    assert tree(root / "sub") == before


def test_files_are_tagged_when_it_is_agreed(root: Path) -> None:
    before, file = tree(root), root / "c.flac"
    wanted = ("tag", file, "--audio-hash", "--replaygain")
    shown = run(root, *wanted)
    assert "REPLAYGAIN_TRACK_GAIN" in shown.stdout and "nothing was written" in shown.stdout
    assert tree(root) == before
    tagged = run(root, *wanted, "--yes")
    assert tagged.exit_code == 0
    fields = read_tags(os.fsencode(file)).fields
    assert len(fields["reprise_audio_hash"][0]) == 32 and fields["replaygain_track_gain"][0].endswith(" dB")
    assert run(root, *wanted, "--yes").exit_code == 5
    assert run(root, "undo").exit_code == 0
    assert tree(root) == before


def test_tag_wants_to_know_what_and_a_file_of_the_library(root: Path) -> None:
    assert run(root, "tag", root / "c.flac").exit_code == 2
    make_files(root, {"new.flac": 4})
    assert run(root, "tag", root / "new.flac", "--audio-hash").exit_code == 15


def test_a_plan_is_kept_with_what_was_done(root: Path) -> None:
    plan = root.parent / "plan.json"
    run(root, "plan", "-o", plan)
    run(root, "apply", plan)
    kept = root.parent / "store/cleanups/0001/plan.json"
    assert read_plan(os.fsencode(kept)) == read_plan(os.fsencode(plan))
