"""A clean-up on disks that have something of their own, and after a person went through its quarantine: real mounts,
attributes, access lists, files that cannot be changed. Each says what it found, does the rest, and loses nothing."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import struct
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.cleanup import rewrite
from dedup.cleanup.apply import Applied
from dedup.cleanup.file_status import Status
from dedup.cleanup.journal import journals, open_journal
from dedup.errors import WriteError
from dedup.files.held import Spot
from dedup.files.quarantine import QUARANTINE
from dedup.plan.nouns import Action, Plan, PlannedPlaylist
from dedup.store.store import Store
from dedup.tags.merge import Merge
from dedup.tags.read import read_tags
from tests.cleanups import (
    FILES,
    carry_out,
    go_on,
    group,
    make_files,
    make_library,
    make_store,
    opened,
    plan_of,
    run,
    take_back,
    tree,
)

HELD = os.fsdecode(QUARANTINE)
ACL = "system.posix_acl_access"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_library(tmp_path, monkeypatch)


def reasons(applied: Applied) -> list[str]:
    return [refusal.reason for refusal in applied.refused]


def title(root: Path) -> Merge:
    """That a.flac gets a title."""
    return Merge(os.fsencode(root / "a.flac"), {"title": ("One",)})


def merging(store: Store, root: Path) -> Plan:
    """That sub/a.flac goes, and a.flac gets a title."""
    return plan_of(group(store, root, "a.flac", ["sub/a.flac"], title(root)))


def both(store: Store, root: Path, action: Action = "quarantine") -> Plan:
    """That sub/a.flac and deep/b.wav go."""
    first, second = group(store, root, "a.flac", {"sub/a.flac": action}), group(store, root, "b.flac", ["deep/b.wav"])
    return plan_of(first, second)


def files(root: Path) -> dict[str, object]:
    """What `tree` finds, without the folders, whose times change when anything is tried in them."""
    return {name: held for name, held in tree(root).items() if isinstance(held[0], bytes)}  # type: ignore[index]


def access_list(user: int) -> bytes:
    """An access list that lets another user read, as Linux keeps it."""
    entries = [
        (0x01, 6, 0xFFFFFFFF),
        (0x02, 4, user),
        (0x04, 4, 0xFFFFFFFF),
        (0x10, 4, 0xFFFFFFFF),
        (0x20, 0, 0xFFFFFFFF),
    ]
    return struct.pack("<I", 2) + b"".join(struct.pack("<HHI", *entry) for entry in entries)


def give(path: Path, name: str, value: bytes) -> None:
    try:
        os.setxattr(path, name, value)
    except OSError as error:
        pytest.skip(f"this file system takes no {name}: {error.strerror}")


# ---- attributes and access lists ----


def test_attributes_and_access_lists_stay_with_new_tags_and_with_a_move(root: Path) -> None:
    for name in ("a.flac", "sub/a.flac"):
        give(root / name, "user.rating", b"5")
        give(root / name, ACL, access_list(1234))
    with opened(root) as store:
        assert carry_out(store, merging(store, root)).n_merged == 1
        for path in (root / "a.flac", root / HELD / "sub/a.flac"):
            assert (os.getxattr(path, "user.rating"), os.getxattr(path, ACL)) == (b"5", access_list(1234))
        assert take_back(store).failed == ()
    for path in (root / "a.flac", root / "sub/a.flac"):
        assert (os.getxattr(path, "user.rating"), os.getxattr(path, ACL)) == (b"5", access_list(1234))


@pytest.mark.parametrize("name", ["user.rating", ACL])
def test_a_file_whose_new_version_could_not_have_its_attributes_is_left_alone(
    root: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    give(root / "a.flac", name, b"5" if name.startswith("user") else access_list(1234))
    before, setting = files(root), os.setxattr

    def refused(target: int | bytes, wanted: str, value: bytes) -> None:
        if wanted == name:
            raise OSError(errno.ENOTSUP, os.strerror(errno.ENOTSUP))
        setting(target, wanted, value)

    monkeypatch.setattr(os, "setxattr", refused)
    with opened(root) as store:
        (reason,) = reasons(carry_out(store, merging(store, root)))
        assert f"its new version cannot have its attributes: {name}" in reason
    assert files(root) == before


def test_a_playlist_keeps_its_attributes(root: Path) -> None:
    (root / "mine.m3u").write_bytes(b"sub/a.flac\n")
    give(root / "mine.m3u", "user.note", b"mine")
    with opened(root) as store:
        plan = replace(merging(store, root), playlists=(PlannedPlaylist(os.fsencode(root / "mine.m3u"), 1),))
        assert carry_out(store, plan).n_playlists == 1
    assert os.getxattr(root / "mine.m3u", "user.note") == b"mine"


# ---- files that cannot be changed ----


@contextlib.contextmanager
def unchangeable(path: Path) -> Iterator[None]:
    """A file or folder with the attribute "immutable", if this user may set it."""
    chattr = shutil.which("chattr")
    if chattr is None or subprocess.run([chattr, "+i", path], capture_output=True, check=False).returncode:
        pytest.skip("no file can be made unchangeable here")
    try:
        yield
    finally:
        subprocess.run([chattr, "-i", path], check=True)


@pytest.mark.parametrize("action", ["quarantine", "trash", "hardlink", "delete"])
def test_a_file_that_cannot_be_changed_stays_and_the_rest_goes(root: Path, action: Action) -> None:
    with opened(root) as store:
        plan = both(store, root, action)
        with unchangeable(root / "sub/a.flac"):
            applied = carry_out(store, plan)
        assert reasons(applied) == ["refused by the system: operation not permitted"]
        assert applied.done == {"quarantine": 1} and (root / "sub/a.flac").stat().st_size > 1000
        assert not list((root / "sub").glob(".reprise*"))
        assert take_back(store).failed == ()


def test_a_kept_file_that_cannot_be_changed_gets_no_tags_and_its_copies_stay(root: Path) -> None:
    before = files(root)
    with opened(root) as store:
        with unchangeable(root / "a.flac"):
            (reason,) = reasons(carry_out(store, merging(store, root)))
        assert "cannot get their tags: refused by the system: operation not permitted" in reason
    assert files(root) == before


def test_an_undo_into_a_folder_that_cannot_be_changed_can_be_tried_again(root: Path) -> None:
    before = files(root)
    with opened(root) as store:
        carry_out(store, both(store, root))
        with unchangeable(root / "sub"):
            failed = take_back(store).failed
        assert any("operation not permitted" in refusal.reason for refusal in failed)
        assert (root / "deep/b.wav").exists() and (root / HELD / "sub/a.flac").exists()
        assert take_back(store).failed == ()
    assert files(root) == before


# ---- a disk that is full ----


@contextlib.contextmanager
def small_disk(folder: Path, size: str) -> Iterator[Path]:
    """A file system of its own of that size, if this user may mount one."""
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    if sys.platform != "linux" or subprocess.run(command, capture_output=True, check=False).returncode:
        pytest.skip("no file system can be mounted here")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def fill(disk: Path, leave: int = 0) -> None:
    """Fills a disk but for some bytes."""
    with contextlib.suppress(OSError), open(disk / "full", "wb", buffering=0) as file:
        while True:
            file.write(bytes(4096))
    os.truncate(disk / "full", max(0, (disk / "full").stat().st_size - leave))


def test_a_full_disk_of_the_quarantine_is_said_and_the_clean_up_goes_on_later(root: Path) -> None:
    before = tree(root)
    with small_disk(root.parent / "disk", "1m") as disk, opened(root) as store:
        plan = replace(plan_of(group(store, root, "a.flac", ["sub/a.flac", "a.wav"])), to=os.fsencode(disk / "q"))
        fill(disk, 8192)
        with pytest.raises(WriteError, match="the disk is full"):
            carry_out(store, plan)
        assert (root / "sub/a.flac").exists() and open_journal(store.layout.folder).state == "broken off"
        (disk / "full").unlink()
        assert go_on(store, plan.to).done == {"quarantine": 2}
        assert (disk / "q/sub/a.flac").stat().st_size > 1000
        assert take_back(store).failed == ()
    assert tree(root) == before


def test_a_full_disk_of_the_library_is_said_by_the_command_and_nothing_is_lost(tmp_path: Path) -> None:
    with small_disk(tmp_path / "disk", "2m") as disk:
        root = tmp_path / "music"
        root.symlink_to(disk / "music")
        make_files(disk / "music", FILES)
        make_store(tmp_path / "store", root, FILES)
        before, plan = files(disk / "music"), tmp_path / "plan.json"
        with opened(root) as store:
            from dedup.plan.document import write_plan

            write_plan(os.fsencode(plan), merging(store, root))
        fill(disk)
        result = run(root, "apply", plan)
        assert result.exit_code == 14 and "the disk is full" in result.output and "apply --resume" in result.output
        assert files(disk / "music") == before
        (disk / "full").unlink()
        assert run(root, "apply", "--resume").exit_code == 0
        assert read_tags(os.fsencode(root / "a.flac")).fields["title"] == ("One",)
        fill(disk)
        result = run(root, "undo")
        assert (
            result.exit_code == 14 and "the disk is full" in result.output and "`reprise undo` again" in result.output
        )
        (disk / "full").unlink()
        assert run(root, "undo").exit_code == 0
        assert files(disk / "music") == before


# ---- after a person went through the quarantine ----


def test_what_only_could_not_be_synced_is_done_and_can_be_taken_back(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The disk fails when the folders are synced: then the files have moved, and the journal must say so."""
    before = files(root)

    def sync(spot: Spot) -> None:
        if QUARANTINE in spot.path:
            raise OSError(errno.EIO, "failing", spot.path)

    with opened(root) as store:
        plan = both(store, root)
        with monkeypatch.context() as failing:
            failing.setattr(Spot, "sync", sync)
            assert reasons(carry_out(store, plan)) == []
        assert files(root) != before
        assert take_back(store).failed == ()
    assert files(root) == before


def test_an_undo_after_a_person_tidied_up_says_what_it_found_and_brings_back_the_rest(root: Path) -> None:
    with opened(root) as store:
        plan = plan_of(
            group(store, root, "a.flac", ["sub/a.flac", "a.wav"], title(root)),
            group(store, root, "b.flac", ["deep/b.wav"]),
            remove_empty_folders=True,
        )
        assert carry_out(store, plan).n_folders == 2
        held = root / HELD
        (held / "elsewhere").mkdir()
        (held / "sub/a.flac").rename(held / "elsewhere/a.flac")  # moved about in the quarantine
        (held / "sub").rmdir()
        (root / "deep").mkdir()  # made again, with something of the person's
        (root / "deep/mine.txt").write_bytes(b"mine")
        undone = take_back(store)
        told = {os.path.basename(refusal.path): refusal.reason for refusal in undone.failed}
        assert set(told) == {b"a.flac"} and "is gone, so it cannot be put back" in told[b"a.flac"]
        assert (root / "a.wav").exists() and (root / "deep/b.wav").exists()
        assert (root / "deep/mine.txt").read_bytes() == b"mine" and (held / "elsewhere/a.flac").exists()
        assert "title" not in read_tags(os.fsencode(root / "a.flac")).fields
        (held / "sub").mkdir()
        (held / "elsewhere/a.flac").rename(held / "sub/a.flac")
        assert take_back(store).failed == ()
        assert (root / "sub/a.flac").exists()


@pytest.mark.parametrize("instead", ["nothing", "file", "other folder"])
def test_an_undo_without_its_quarantine_says_what_is_gone(root: Path, instead: str) -> None:
    with opened(root) as store:
        carry_out(store, both(store, root))
        (root / HELD).rename(root.parent / "put away")
        if instead == "file":
            (root / HELD).write_bytes(b"mine")
        elif instead == "other folder":
            (root / HELD / "sub").mkdir(parents=True)
        undone = take_back(store)
        assert {os.path.basename(refusal.path) for refusal in undone.failed} >= {b"a.flac", b"b.wav"}
        assert (root.parent / "put away/sub/a.flac").exists()
        if instead == "file":
            assert (root / HELD).read_bytes() == b"mine"
            (root / HELD).unlink()
        elif instead == "other folder" and (root / HELD).exists():
            shutil.rmtree(root / HELD)
        (root.parent / "put away").rename(root / HELD)
        assert take_back(store).failed == ()
    assert (root / "sub/a.flac").exists() and (root / "deep/b.wav").exists()


def test_what_a_status_lacks(tmp_path: Path) -> None:
    status = Status(0o644, 0, 0, 0, {"user.a": "01", "user.b": "02", ACL: "03", "security.x": "04"})
    assert status.lacking(replace(status, attributes={"user.a": "01", "user.b": "00"})) == [ACL, "user.b"]
    path = tmp_path / "x"
    path.write_bytes(b"x")
    with open(path, "r+b") as file:
        rewrite.take_over(b"x", Status.of(file.fileno()), file)
    assert journals(tmp_path) == []
