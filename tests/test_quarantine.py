"""The quarantine: what is listed, what is removed for good, and that nothing else ever is."""

from __future__ import annotations

import json
import os
import re
import shutil
from pathlib import Path

import pytest

from dedup.cleanup.history import history
from dedup.cleanup.journal import JournalWriter, journals
from dedup.cleanup.moving import part_name
from dedup.cleanup.quarantine import empty_quarantine
from dedup.cleanup.steps import Move
from dedup.observer import Silent
from dedup.runner import Stop
from tests.cleanups import carry_out, group, know, make_files, make_store, opened, plan_of, run, tree
from tests.killing import run_killed

FILES = {"a.flac": 1, "a.wav": 1, "sub/a.flac": 1, "b.flac": 2, "deep/b.mp3": 2, "c.flac": 3}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """A library after a clean-up that moved three files away, one with its lyrics."""
    root = tmp_path / "music"
    make_files(root, FILES)
    (root / "deep/b.lrc").write_text("la la")
    make_store(tmp_path / "store", root, FILES)
    return root


def clean_up(root: Path, *options: object) -> str:
    plan = root.parent / "plan.json"
    run(root, "plan", "-o", plan, "--no-merge", *options)
    applied = run(root, "apply", plan)
    assert applied.exit_code == 0, applied.output
    return applied.stdout


def quarantined(root: Path) -> set[str]:
    held = root / ".reprise-quarantine"
    return {str(path.relative_to(held)) for path in held.rglob("*") if not path.is_dir()}


def listed(root: Path, *options: object) -> list[dict[str, object]]:
    return [json.loads(line) for line in run(root, "quarantine", "--json", *options).stdout.splitlines()]


def test_apply_says_where_the_files_are_and_how_they_are_freed(root: Path) -> None:
    said = clean_up(root)
    assert f"the files are in {root}/.reprise-quarantine" in said
    assert "nothing is freed until you empty the quarantine: `reprise quarantine --empty`" in said
    listing = run(root, "quarantine").stdout
    assert f"in {root}/.reprise-quarantine/\n" in listing
    assert re.search(r"^\d\S* k?B +sub/a\.flac$", listing, re.M)
    *files, summary = listed(root)
    assert {os.path.basename(str(file["path"])) for file in files} == {
        name.rsplit("/", 1)[-1] for name in quarantined(root)
    }
    assert summary == {
        "event": "quarantine",
        "files": len(files),
        "bytes": sum(int(str(file["bytes"])) for file in files),
        "left": 0,
    }


def test_what_is_removed_is_asked_for_and_gone_for_good(root: Path) -> None:
    clean_up(root)
    before, away = tree(root), len(quarantined(root))
    for typed in ("", "n\n"):
        refused = run(root, "quarantine", "--empty", typed=typed)
        assert refused.exit_code == 2
        assert "would be removed for good" in refused.stderr
        assert tree(root) == before
    kept = {name: told for name, told in before.items() if not name.startswith(".reprise-quarantine") and name != "."}
    emptied = run(root, "quarantine", "--empty", typed="y\n")
    assert emptied.exit_code == 0
    assert f"removed for good: {away} files" in emptied.stdout
    assert not (root / ".reprise-quarantine").exists(), "folders that the clean-up made go when they are empty"
    assert {name: told for name, told in tree(root).items() if name != "."} == kept
    assert run(root, "quarantine", "--empty", "--yes").exit_code == 5

    (summary,) = history(root.parent / "store")
    assert (summary.state, summary.did.files, summary.n_emptied) == ("done", 3, 3)
    assert "3 removed for good" in run(root, "history").stdout
    assert run(root, "check").exit_code == 0
    undone = run(root, "undo")
    assert undone.exit_code == 3
    assert undone.stdout.count("is gone for good: it was removed from the quarantine") == away
    assert run(root, "undo").exit_code == 22, "another undo does not come back to it by itself"
    assert run(root, "undo", "1").exit_code == 3


def test_an_undone_clean_up_keeps_what_it_was(root: Path) -> None:
    clean_up(root)
    assert run(root, "undo").exit_code == 0
    (summary,) = history(root.parent / "store")
    assert (summary.state, summary.n_files, summary.did.files) == ("undone", 0, 3)
    assert summary.did.bytes > 0
    assert "3 files" in run(root, "history").stdout
    assert "3 put back" in run(root, "history").stdout
    assert [record["event"] for record in listed(root)] == ["quarantine"]


def test_nothing_but_the_very_files_is_removed(root: Path) -> None:
    """Property: a file that is not as the journal says, one that nobody knows, and a link stay, and are named."""
    clean_up(root)
    held = root / ".reprise-quarantine"
    changed = held / "sub/a.flac"
    data = bytearray(changed.read_bytes())
    data[100] ^= 1
    status = changed.stat()
    changed.write_bytes(bytes(data))
    os.utime(changed, ns=(status.st_atime_ns, status.st_mtime_ns))
    (held / "mine.txt").write_text("mine")
    (shorter, linked) = sorted(held / name for name in quarantined(root) - {"sub/a.flac", "mine.txt", "deep/b.lrc"})
    shorter.write_bytes(b"other")
    victim = root.parent / "victim"
    linked.rename(victim)
    linked.symlink_to(victim)
    emptied = run(root, "quarantine", "--empty", "--yes")
    assert emptied.exit_code == 3
    assert f"failed: {changed}: is not as the clean-up left it" in emptied.stdout
    for path in (shorter, linked):
        assert f"left: {path}: is not as the clean-up left it" in emptied.stdout
    assert f"left: {held}/mine.txt: no clean-up of this store put it there" in emptied.stdout
    assert changed.read_bytes() == bytes(data)
    assert victim.exists() and linked.is_symlink()
    assert (held / "mine.txt").read_text() == "mine"
    assert shorter.read_bytes() == b"other"


def test_a_folder_that_became_a_link_is_not_followed(root: Path) -> None:
    clean_up(root)
    held, elsewhere = root / ".reprise-quarantine", root.parent / "elsewhere"
    shutil.move(held, elsewhere)
    held.symlink_to(elsewhere)
    before = tree(elsewhere)
    assert run(root, "quarantine", "--empty", "--yes").exit_code in (3, 5)
    assert tree(elsewhere) == before


def test_the_last_copy_is_never_removed(root: Path) -> None:
    """Property: if the kept file is gone, also after it went in favour of yet another one, its copies stay."""
    clean_up(root)
    kept = next(path for path in (root / "b.flac", root / "deep/b.mp3") if path.exists())
    kept.unlink()
    emptied = run(root, "quarantine", "--empty", "--yes")
    assert emptied.exit_code == 3
    assert f"{kept}, is not there: it may be the last copy" in emptied.stdout
    left = quarantined(root)
    assert any(name.rsplit("/", 1)[-1].startswith("b.") for name in left)
    assert not any(name.rsplit("/", 1)[-1].startswith("a.") for name in left)


@pytest.mark.parametrize("is_there", [True, False])
def test_a_kept_file_that_went_later_stands_for_the_one_that_was_kept_for_it(root: Path, is_there: bool) -> None:
    """The WAV is kept for the first FLAC, then the second FLAC for the WAV: the second is what must be there."""
    with opened(root) as store:
        carry_out(store, plan_of(group(store, root, "a.wav", ["a.flac"])))
        carry_out(store, plan_of(group(store, root, "sub/a.flac", ["a.wav"])))
    if not is_there:
        (root / "sub/a.flac").unlink()
    emptied = run(root, "quarantine", "--empty", "--yes")
    assert emptied.exit_code == (0 if is_there else 3), emptied.output
    assert quarantined(root) == (set() if is_there else {"a.flac", "a.wav"})


def test_a_stop_leaves_the_rest_for_the_next_run(root: Path) -> None:
    clean_up(root)
    before, stop = quarantined(root), Stop()

    class Watching(Silent):
        def advance(self, n: int = 1) -> None:  # noqa: ARG002
            stop.request("a signal")

    with opened(root) as store:
        emptied = empty_quarantine(store=store, before=None, may_empty=lambda *_: True, observer=Watching(), stop=stop)
    assert (emptied.n_files, emptied.left, emptied.refused) == (1, len(before) - 1, ())
    assert len(quarantined(root)) == len(before) - 1
    assert run(root, "quarantine", "--empty", "--yes").exit_code == 0
    assert quarantined(root) == set()


def test_a_clean_up_that_was_broken_off_comes_first(root: Path) -> None:
    clean_up(root)
    before = quarantined(root)
    (journal,) = journals(root.parent / "store")
    writer = JournalWriter(journal)
    writer.begin_undoing()
    writer.close()
    assert run(root, "quarantine", "--empty", "--yes").exit_code == 22
    assert quarantined(root) == before


def test_a_protected_folder_is_not_emptied(root: Path) -> None:
    clean_up(root)
    before = quarantined(root)
    run(root, "plan", "--protect", root)
    emptied = run(root, "quarantine", "--empty", "--yes")
    assert emptied.exit_code == 5
    assert emptied.stdout.count("it is in a protected folder") == len(before)
    assert quarantined(root) == before


def test_only_what_is_old_enough_goes(root: Path) -> None:
    clean_up(root)
    before = quarantined(root)
    assert run(root, "quarantine", "--empty", "--yes", "--older-than", 1).exit_code == 5
    assert quarantined(root) == before
    assert [record["event"] for record in listed(root, "--older-than", 1)] == ["quarantine"]
    assert run(root, "quarantine", "--yes").exit_code == 2


def test_a_named_quarantine_and_a_second_file_of_one_name(root: Path) -> None:
    """Property: what was removed, and lies there again after another clean-up, counts once, for the later one."""
    to = root.parent / "away"
    said = clean_up(root, "--to", to)
    assert f"the files are in {to}" in said
    (to / "note.txt").write_text("mine")
    assert run(root, "quarantine", "--empty", "--yes").exit_code == 0
    assert [path.name for path in to.rglob("*") if path.is_file()] == ["note.txt"]
    again = {name: seed for name, seed in FILES.items() if not (root / name).exists()}
    make_files(root, again)
    with opened(root) as store:
        know(store, root, again)
    clean_up(root, "--to", to)
    *files, left, summary = listed(root)
    assert left["path"] == f"{to}/note.txt"
    assert summary["files"] == len(again) == len({str(file["path"]) for file in files})
    assert {file["cleanup"] for file in files} == {2}


@pytest.mark.parametrize("is_removed", [False, True])
def test_a_kill_between_the_journal_and_the_file_loses_nothing(root: Path, is_removed: bool) -> None:
    """As if killed after the file lost its name, or before: the next run goes on, and undo puts it back."""
    clean_up(root)
    (journal,) = journals(root.parent / "store")
    number, step = next((n, e.step) for n, e in journal.steps_of("done") if isinstance(e.step, Move))
    writer = JournalWriter(journal)
    writer.note_emptied(number)
    writer.close()
    target = Path(os.fsdecode(step.target))
    if is_removed:
        target.rename(target.parent / os.fsdecode(part_name(step.target)))
    n_files = len(listed(root)) - 1
    assert n_files == len(quarantined(root))
    undone = run(root, "undo")
    assert undone.exit_code == 0, undone.output
    assert Path(os.fsdecode(step.path)).exists()
    assert quarantined(root) == set()


# ---- killed ----

KILLED = """
import os, sys
from pathlib import Path
import numpy, blake3, av, zarr  # imported before the forks, not used
from tests.killing import kill_at_each_step
from tests.test_quarantine import begin_emptying, prepare_emptying

calls = [(os, name) for name in "rename unlink rmdir fsync truncate".split()]
kill_at_each_step(Path(sys.argv[1]), Path(sys.argv[2]), begin_emptying, calls, prepare_emptying)
"""


def prepare_emptying(folder: Path) -> None:
    make_store(folder / "store", folder / "music", FILES)
    with opened(folder / "music") as store:
        carry_out(store, plan_of(group(store, folder / "music", "a.flac", ["a.wav", "sub/a.flac"])))


def begin_emptying(folder: Path) -> None:
    with opened(folder / "music") as store:
        empty_quarantine(store=store, before=None, may_empty=lambda *_: True, observer=Silent(), stop=Stop())


@pytest.mark.long
def test_killed_before_any_call_it_goes_on_and_what_is_there_comes_back(tmp_path: Path) -> None:
    """Property: nothing outside the quarantine changes; what is still there, under whatever name, can be put back or
    removed; what is gone is called gone."""
    make_files(tmp_path / "made/music", FILES)
    run_killed(KILLED, tmp_path / "made", tmp_path / "tries")
    tries = sorted((tmp_path / "tries").iterdir())
    assert len(tries) > 8
    outside = {name: tree(tries[0] / "music")[name] for name in ("a.flac", "b.flac", "c.flac")}
    seen = set()
    for folder in tries:
        root = folder / "music"
        assert {name: tree(root)[name] for name in outside} == outside
        there = len(quarantined(root))
        seen.add(there)
        if folder.name[-1] in "02468":
            undone = run(root, "undo")
            assert undone.exit_code == (0 if there == 2 else 3), undone.output
            assert undone.stdout.count("is gone for good") == 2 - there
            assert sum((root / name).exists() for name in ("a.wav", "sub/a.flac")) == there
        else:
            emptied = run(root, "quarantine", "--empty", "--yes")
            assert emptied.exit_code == (0 if there else 5), emptied.output
        assert quarantined(root) == set()
        assert run(root, "check").exit_code == 0
    assert seen == {0, 1, 2}
