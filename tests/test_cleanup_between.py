"""What happens to files between the plan and the step, between a kill and what comes after it, and before the undo:
nothing that a user did meanwhile is lost, and nothing is said to be done that is not."""

from __future__ import annotations

import contextlib
import errno
import io
import os
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from dedup.cleanup import entries, moving
from dedup.cleanup.apply import Applied
from dedup.cleanup.checks import Protection
from dedup.cleanup.empty_folders import empty_folders
from dedup.cleanup.file_status import Status
from dedup.cleanup.journal import JournalWriter, journals, make_journal, require_none_open
from dedup.cleanup.steps import Delete, Move, Share, Step
from dedup.cleanup.tagging import Wanted, measure, tag_files
from dedup.cleanup.undo import undo
from dedup.errors import JournalError, UsageError, WriteError
from dedup.files import mount_table as mounted
from dedup.files.held import Reach
from dedup.files.quarantine import QUARANTINE
from dedup.library.identity import full_hash
from dedup.observer import Silent
from dedup.plan.document import to_bytes
from dedup.plan.nouns import Action, Plan, PlannedPlaylist
from dedup.playlists.moves import Moves
from dedup.playlists.playlists import count_references, rewritten
from dedup.runner import Stop
from dedup.settings import KeepSettings
from dedup.store.store import Store
from dedup.tags.merge import Merge
from dedup.tags.read import read_tags
from tests.cleanups import carry_out, go_on, group, make_files, make_store, opened, plan_all, plan_of, take_back, tree

FILES = {"a.flac": 1, "a.wav": 1, "sub/a.flac": 1, "b.flac": 2, "deep/b.wav": 2}
HELD = os.fsdecode(QUARANTINE)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    make_files(tmp_path / "music", FILES)
    make_store(tmp_path / "store", tmp_path / "music", FILES)
    return tmp_path / "music"


def reasons(applied: Applied) -> list[str]:
    return [refusal.reason for refusal in applied.refused]


def broken_off(store: Store, plan: Plan, step: Step) -> None:
    """The journal of a clean-up that was killed when it had told of this step."""
    with contextlib.closing(JournalWriter(make_journal(store.layout.folder, to_bytes(plan), "now"))) as writer:
        writer.begin(step)


def step_of(root: Path, kind: str) -> Step:
    """One that would take sub/a.flac away, or let it share the bytes of a.flac."""
    path, kept = os.fsencode(root / "sub/a.flac"), os.fsencode(root / "a.flac")
    size, full = os.path.getsize(path), full_hash(path)
    if kind == "hardlink":
        with open(path, "rb") as file:
            return Share(path, kept, "hardlink", size, full, Status.of(file.fileno()))
    if kind == "delete":
        return Delete(path, size, kept)
    (root / HELD / "sub").mkdir(parents=True)
    return Move(path, os.fsencode(root / HELD / "sub/a.flac"), size, full)


# ---- before a step ----


@pytest.mark.parametrize("action", ["quarantine", "delete", "hardlink"])
def test_a_kept_file_that_changes_after_it_was_looked_at_is_looked_at_again(root: Path, action: Action) -> None:
    doing = entries.Cleanup.group

    def after_a_change(self: entries.Cleanup, *arguments: object) -> None:
        (root / "a.flac").write_bytes(b"something else")
        doing(self, *arguments)  # type: ignore[arg-type]

    with opened(root) as store, mock.patch.object(entries.Cleanup, "group", after_a_change):
        (reason,) = reasons(carry_out(store, plan_of(group(store, root, "a.flac", {"sub/a.flac": action}))))
    assert "file to keep" in reason and "was changed since" in reason
    assert (root / "sub/a.flac").stat().st_size > 1000


def test_a_kept_file_that_got_tags_is_not_put_in_the_place_of_one_that_was_identical(root: Path) -> None:
    before = tree(root)
    with opened(root) as store:
        merge = Merge(os.fsencode(root / "a.flac"), {"title": ("One",)})
        others: dict[str, Action] = {"a.wav": "quarantine", "sub/a.flac": "hardlink"}
        applied = carry_out(store, plan_of(group(store, root, "a.flac", others, merge)))
        assert applied.done == {"quarantine": 1} and "bytes are no longer those of the kept file" in reasons(applied)[0]
        assert (root / "sub/a.flac").read_bytes() == before["sub/a.flac"][0]  # type: ignore[index]
        assert take_back(store).failed == ()
    assert tree(root) == before


@pytest.mark.parametrize("action", ["quarantine", "delete"])
def test_one_file_by_two_names_that_the_system_takes_for_two(root: Path, action: Action) -> None:
    """As by a union or network file system: two devices, two inodes, one file."""
    (root / "alias").symlink_to("sub")
    names = {"sub/a.flac": 1, "alias/a.flac": 1}
    make_store(root.parent / "store", root, names)
    before = tree(root)
    with opened(root) as store, mock.patch.object(os.path, "samefile", return_value=False):
        plan = plan_of(group(store, root, "sub/a.flac", {"alias/a.flac": action}))
        assert reasons(carry_out(store, plan)) == ["it is the kept file under another name"]
        assert take_back(store).failed == ()
    assert tree(root) == before


def test_what_is_written_in_parts_is_copied_whole(tmp_path: Path) -> None:
    """A write that is not buffered may take a part, and raise nothing: so it is when a disk is full."""

    class Part(io.FileIO):
        def write(self, data: Any) -> int:
            return super().write(bytes(data)[:5000])

    def opening(descriptor: int, mode: str, buffering: int = -1) -> Any:
        raw = Part(descriptor, mode.replace("b", ""))
        return raw if buffering == 0 else io.BufferedRandom(raw) if "w" in mode else io.BufferedReader(raw)

    (tmp_path / "a").write_bytes(bytes(20_000))
    folder = os.fsencode(tmp_path)
    with (
        mock.patch.object(os, "fdopen", opening),
        Reach([folder]) as reach,
        reach.spot(folder + b"/a") as a,
        reach.spot(folder + b"/b") as b,
    ):
        moving.copy_whole(a, b)
    assert (tmp_path / "b").stat().st_size == 20_000


# ---- after a kill ----


@pytest.mark.parametrize("kind", ["move", "hardlink", "delete"])
def test_what_a_user_put_in_the_place_of_a_file_after_a_kill_stays(root: Path, kind: str) -> None:
    with opened(root) as store:
        action: Action = "quarantine" if kind == "move" else "hardlink" if kind == "hardlink" else "delete"
        plan = plan_of(group(store, root, "a.flac", {"sub/a.flac": action}))
        broken_off(store, plan, step_of(root, kind))
        (root / "sub/a.flac").write_bytes(b"mine")
        assert reasons(go_on(store)) == ["it was changed since the plan was made"]
        assert take_back(store).failed == ()
    assert (root / "sub/a.flac").read_bytes() == b"mine"


def test_a_file_that_was_to_be_deleted_gets_its_name_back(root: Path) -> None:
    before = tree(root)
    with opened(root) as store:
        step = step_of(root, "delete")
        broken_off(store, plan_of(group(store, root, "a.flac", {"sub/a.flac": "delete"})), step)
        os.rename(step.path, os.path.join(os.path.dirname(step.path), moving.part_name(step.path)))
        assert take_back(store).failed == ()
    assert tree(root, times=False) == {path: (*held[:2], 0) for path, held in before.items()}  # type: ignore[index]


@pytest.mark.parametrize("kind", ["move", "hardlink"])
def test_a_kept_file_that_is_gone_after_a_kill_is_a_refusal(root: Path, kind: str) -> None:
    with opened(root) as store:
        action: Action = "quarantine" if kind == "move" else "hardlink"
        broken_off(store, plan_of(group(store, root, "a.flac", {"sub/a.flac": action})), step_of(root, kind))
        (root / "a.flac").unlink()
        assert "it is gone" in reasons(go_on(store))[0]
    assert (root / "sub/a.flac").exists()


def test_a_kept_file_with_new_tags_that_is_gone_after_a_kill_is_a_refusal(root: Path) -> None:
    full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
    with opened(root) as store:
        merge = Merge(os.fsencode(root / "a.flac"), {"title": ("One",)})
        with mock.patch.object(moving, "_fill", side_effect=full), pytest.raises(WriteError):
            carry_out(store, plan_of(group(store, root, "a.flac", ["sub/a.flac"], merge)))
        (root / "a.flac").unlink()
        assert len(reasons(go_on(store))) == 1
    assert (root / "sub/a.flac").exists()


@pytest.mark.parametrize("is_copied", [False, True])
def test_a_copy_to_another_disk_that_is_killed_leaves_nothing(root: Path, is_copied: bool) -> None:
    """Killed in the middle of it, or before the source went."""
    before = tree(root)
    with opened(root) as store:
        step = step_of(root, "move")
        assert isinstance(step, Move)
        broken_off(store, plan_of(group(store, root, "a.flac", ["sub/a.flac"])), step)
        copied = (root / "sub/a.flac").read_bytes()
        Path(os.fsdecode(step.target)).write_bytes(copied if is_copied else b"")
        if not is_copied:
            part = os.path.join(os.path.dirname(step.target), moving.part_name(step.target))
            Path(os.fsdecode(part)).write_bytes(copied[:1000])
        assert take_back(store).failed == ()
        assert not list((root / HELD).rglob("*.*"))
    assert tree(root / "sub") == {".": before["sub"], "a.flac": before["sub/a.flac"]}


@pytest.mark.parametrize("is_undoing", [False, True])
def test_a_clean_up_that_was_killed_with_no_step_to_take_back_can_be_undone(root: Path, is_undoing: bool) -> None:
    """Killed before its first step, or after its undo took back the last; until it ends, nothing else may begin."""
    with opened(root) as store:
        with contextlib.closing(JournalWriter(make_journal(store.layout.folder, to_bytes(Plan(())), "now"))) as writer:
            if is_undoing:
                writer.begin_undoing()
        with pytest.raises(JournalError, match="reprise undo"):
            require_none_open(store.layout.folder)
        assert undo(store=store, number=None, observer=Silent(), stop=Stop()).n_files == 0
        require_none_open(store.layout.folder)


# ---- before it is taken back ----


def test_a_quarantined_file_that_is_empty_now_is_not_said_to_be_back(root: Path) -> None:
    with opened(root) as store:
        carry_out(store, plan_of(group(store, root, "b.flac", ["deep/b.wav"])))
        (root / HELD / "deep/b.wav").write_bytes(b"")
        undone = take_back(store)
    assert undone.n_files == 0 and "was changed since" in undone.failed[0].reason


def test_another_file_of_that_size_in_the_place_of_one_that_is_lost_is_not_said_to_be_it(root: Path) -> None:
    size = (root / "deep/b.wav").stat().st_size
    with opened(root) as store:
        carry_out(store, plan_of(group(store, root, "b.flac", ["deep/b.wav"])))
        (root / HELD / "deep/b.wav").unlink()
        (root / "deep/b.wav").write_bytes(bytes(size))
        assert "gone" in take_back(store).failed[0].reason


def test_a_folder_that_became_a_link_into_the_quarantine_loses_nothing(root: Path) -> None:
    with opened(root) as store:
        carry_out(store, plan_of(group(store, root, "b.flac", ["deep/b.wav"])))
        (root / "deep").rmdir()
        (root / "deep").symlink_to(f"{HELD}/deep")
        assert "which no scan saw there" in take_back(store).failed[0].reason
        assert (root / HELD / "deep/b.wav").exists()
        (root / "deep").unlink()
        assert take_back(store).failed == ()
    assert (root / "deep/b.wav").exists()


def test_what_a_file_was_that_is_kept_no_more_is_told(root: Path) -> None:
    kept = os.fsencode(root / "a.flac")
    with opened(root) as store:
        carry_out(store, plan_of(group(store, root, "a.flac", ["sub/a.flac"], Merge(kept, {"title": ("One",)}))))
        (kept_as,) = journals(store.layout.folder)[0].originals.glob("*.json")
        kept_as.write_bytes(b"")
        undone = take_back(store)
    assert undone.n_rewritten == 0 and "is gone or damaged" in undone.failed[0].reason
    assert read_tags(kept).fields["title"] == ("One",)


def test_empty_litter_comes_back(root: Path) -> None:
    (root / "deep/Thumbs.db").write_bytes(b"")
    before = tree(root)
    with opened(root) as store:
        plan = replace(plan_of(group(store, root, "b.flac", ["deep/b.wav"])), remove_empty_folders=True)
        assert carry_out(store, plan).n_folders == 1
        assert take_back(store).failed == ()
    assert tree(root) == before


def test_a_quarantine_that_keeps_no_times_and_modes(root: Path) -> None:
    """As FAT."""
    os.chmod(root / "deep/b.wav", 0o640)
    before = tree(root)
    with opened(root) as store:
        carry_out(store, plan_of(group(store, root, "b.flac", ["deep/b.wav"])))
        os.utime(root / HELD / "deep/b.wav", (0, 2))
        os.chmod(root / HELD / "deep/b.wav", 0o777)
        assert take_back(store).failed == ()
    assert tree(root) == before


def test_a_link_of_which_the_kept_name_is_gone_gets_its_own_bytes(root: Path) -> None:
    with opened(root) as store:
        carry_out(store, plan_of(group(store, root, "a.flac", {"sub/a.flac": "hardlink"})))
        os.rename(root / "a.flac", root / "renamed.flac")
        assert take_back(store).failed == ()
    assert not (root / "sub/a.flac").samefile(root / "renamed.flac")


# ---- protected folders and other places ----


def test_a_quarantine_that_is_a_link_to_a_protected_folder(root: Path) -> None:
    (root.parent / "mine").mkdir()
    (root / HELD).symlink_to(root.parent / "mine")
    with opened(root) as store:
        plan = plan_of(group(store, root, "b.flac", ["deep/b.wav"]))
        (reason,) = reasons(carry_out(store, plan, (os.fsencode(root.parent / "mine"),)))
    assert "would be in a protected folder" in reason and not any((root.parent / "mine").iterdir())


def test_a_protected_file_and_a_protected_file_as_a_hard_link(root: Path) -> None:
    with opened(root) as store:
        plan = plan_of(group(store, root, "a.flac", {"sub/a.flac": "hardlink"}))
        for folder, told in (("sub/a.flac", "in a protected folder"), ("a.flac", "would change with a hard link")):
            (reason,) = reasons(carry_out(store, plan, (os.fsencode(root / folder),)))
            assert told in reason
    assert not (root / "a.flac").samefile(root / "sub/a.flac")


def test_what_is_below_a_protected_folder_mounted_elsewhere(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    table = root.parent / "mountinfo"
    where = os.fsencode(root / "sub").replace(b" ", b"\\040")
    table.write_bytes(b"1 0 8:1 / / rw - ext4 x rw\n2 1 8:1 /mine/deeper " + where + b" rw - ext4 x rw\n")
    monkeypatch.setattr(mounted, "MOUNTS", str(table))
    protection = Protection([b"/mine"])
    assert protection.holds(os.fsencode(root / "sub/a.flac"))
    assert not protection.holds(os.fsencode(root / "a.flac"))


def test_a_quarantine_that_is_a_file(root: Path) -> None:
    (root.parent / "q").write_bytes(b"x")
    with opened(root) as store, pytest.raises(UsageError, match="is not a folder"):
        carry_out(
            store, replace(plan_of(group(store, root, "b.flac", ["deep/b.wav"])), to=os.fsencode(root.parent / "q"))
        )


@pytest.mark.parametrize("name", ["run.sh", "pipe.m3u", "link.m3u", "."])
def test_a_playlist_that_is_none_is_left_alone(root: Path, name: str) -> None:
    (root / "run.sh").write_bytes(b"sub/a.flac\n")
    os.mkfifo(root / "pipe.m3u")
    (root / "link.m3u").symlink_to("run.sh")
    with opened(root) as store:
        plan = plan_of(group(store, root, "a.flac", ["sub/a.flac"]))
        applied = carry_out(store, replace(plan, playlists=(PlannedPlaylist(os.fsencode(root / name), 1),)))
    assert "not a playlist file" in reasons(applied)[0]
    assert (root / "run.sh").read_bytes() == b"sub/a.flac\n"


def test_a_playlist_that_names_the_folder_by_a_link(root: Path) -> None:
    (root.parent / "link").symlink_to(root)
    (root / "mine.m3u").write_bytes(os.fsencode(root.parent / "link/sub/a.flac") + b"\n")
    with opened(root) as store:
        plan = plan_all(store)
        assert [playlist.n_references for playlist in plan.playlists] == [1]
        kept = next(
            file.path for one in plan.groups for file in one.files if file.action == "keep" and b"/a." in file.path
        )
        assert carry_out(store, plan).n_playlists == 1
    assert (root / "mine.m3u").read_bytes() == kept + b"\n"


def test_a_playlist_that_names_a_file_in_other_case(root: Path) -> None:
    """As on a disk to which both are one: both names are there before, and none is afterwards."""
    playlist, old = os.fsencode(root / "mine.m3u"), os.fsencode(root / "sub/a.flac")
    moves = Moves({old: os.fsencode(root / "a.flac")})
    os.link(old, root / "sub/A.FLAC")
    assert count_references(playlist, b"sub/A.FLAC\na.wav\n", moves) == {os.fsencode(root / "a.flac"): 1}
    os.unlink(old)
    assert rewritten(playlist, b"sub/A.FLAC\n", moves) == b"sub/A.FLAC\n"
    os.unlink(root / "sub/A.FLAC")
    assert rewritten(playlist, b"sub/A.FLAC\nA.wav\n", moves) == b"a.flac\nA.wav\n"


def test_a_file_that_changed_after_it_was_measured_is_not_tagged(root: Path) -> None:
    path = os.fsencode(root / "a.flac")
    with opened(root) as store:
        tagging = measure(store, path, Wanted(audio_hash=True))
        os.utime(path)
        tagged = tag_files(store=store, taggings=[tagging], keep=KeepSettings(), observer=Silent(), stop=Stop())
    assert [refusal.reason for refusal in tagged.refused] == ["it was changed since it was measured"]
    assert "reprise_audio_hash" not in read_tags(path).fields


# ---- how much is read ----


def test_an_old_journal_that_has_ended_is_not_read_again(root: Path) -> None:
    with opened(root) as store:
        carry_out(store, plan_of(group(store, root, "b.flac", ["deep/b.wav"])))
        path = journals(store.layout.folder)[0].folder / "journal.jsonl"
        path.write_bytes(path.read_bytes().replace(b'"begin"', b'"begun"'))
        require_none_open(store.layout.folder)


def test_empty_folders_are_gone_through_the_deepest_first(tmp_path: Path) -> None:
    gone = [os.fsencode(tmp_path / f"{n % 7}/{n}/x.flac") for n in range(50)]
    for path in gone:
        os.makedirs(os.path.dirname(path))
    found = []
    for folder, _ in empty_folders(gone, [os.fsencode(tmp_path)]):
        os.rmdir(folder)
        found.append(folder)
    assert len(found) == 57 and not any(tmp_path.iterdir())
    assert [path.count(b"/") for path in found] == sorted((path.count(b"/") for path in found), reverse=True)
