"""What a clean-up refuses, and what befalls it: plans that lie, files that changed, disks that refuse."""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from dedup.cleanup import journal as journal_module
from dedup.cleanup import moving
from dedup.cleanup.allowed import Allowed
from dedup.cleanup.apply import Applied, check_plan
from dedup.cleanup.journal import JournalWriter, journals, open_journal, read_journal, require_none_open, to_be_undone
from dedup.cleanup.journal import plan_of as plan_of_journal
from dedup.cleanup.steps import Move
from dedup.errors import JournalError, UsageError, WriteError
from dedup.errors import refusal as why
from dedup.files.quarantine import QUARANTINE
from dedup.observer import Silent
from dedup.plan.nouns import Action, Plan, PlannedGroup, PlannedPlaylist
from dedup.runner import Stop
from dedup.settings import KeepSettings
from dedup.store.ledgers import opened_lines, sealed_line
from dedup.store.store import Store
from dedup.tags.merge import Merge
from dedup.upkeep.check import check
from tests.cleanups import carry_out, go_on, group, make_files, make_store, opened, plan_of, planned, take_back, tree

FILES = {"a.flac": 1, "a.wav": 1, "sub/a.flac": 1, "b.flac": 2, "deep/b.wav": 2}
ACTIONS: tuple[Action, ...] = ("quarantine", "trash", "hardlink", "delete")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    from send2trash import plat_other

    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setattr(plat_other, "XDG_DATA_HOME", os.fsencode(tmp_path / "data"))
    monkeypatch.setattr(plat_other, "HOMETRASH_B", os.fsencode(tmp_path / "data" / "Trash"))
    make_files(tmp_path / "music", FILES)
    make_store(tmp_path / "store", tmp_path / "music", FILES)
    return tmp_path / "music"


def one(store: Store, root: Path, action: Action = "quarantine") -> Plan:
    """That sub/a.flac, whose bytes are those of a.flac, is to go."""
    return plan_of(group(store, root, "a.flac", {"sub/a.flac": action}))


def dry_run(store: Store, plan: Plan, protect: tuple[bytes, ...]) -> Applied:
    allowed = Allowed(keep=KeepSettings(protect=protect))
    return check_plan(store=store, plan=plan, observer=Silent(), stop=Stop(), allowed=allowed)


def refused(root: Path, make: Callable[[Store], Plan], protect: tuple[bytes, ...] = ()) -> list[str]:
    """Reasons for which nothing of a plan is done; nothing is touched, in a dry run or a wet one."""
    before = tree(root)
    with opened(root) as store:
        plan = make(store)
        told = [r.reason for r in dry_run(store, plan, protect).refused]
        assert [r.reason for r in carry_out(store, plan, protect).refused] == told
    assert tree(root) == before
    return told


# ---- plans that were edited ----


def edited(plan: Plan, **changes: Any) -> Plan:
    """The plan with the second file of its first group changed."""
    kept, other = plan.groups[0].files
    return replace(plan, groups=(replace(plan.groups[0], files=(kept, replace(other, **changes))), *plan.groups[1:]))


def test_a_kept_file_that_is_removed_elsewhere(root: Path) -> None:
    def make(store: Store) -> Plan:
        return plan_of(group(store, root, "a.flac", ["a.wav"]), group(store, root, "sub/a.flac", ["a.flac"]))

    told = refused(root, make)
    assert len(told) == 2
    assert "is to be kept and is listed again elsewhere" in told[0]
    assert "file to keep in group 1" in told[1]


def test_the_last_copy_of_a_recording(root: Path) -> None:
    (reason,) = refused(root, lambda store: plan_of(group(store, root, "a.flac", ["b.flac"])))
    assert "may be the last of its recording" in reason


@pytest.mark.parametrize("name", ["../elsewhere.flac", "sub/../sub/a.flac", "unknown.flac"])
def test_a_path_that_is_no_track(root: Path, name: str) -> None:
    make_files(root.parent, {"elsewhere.flac": 1})
    make_files(root, {"unknown.flac": 1})
    path = os.fsencode(root) + b"/" + name.encode()
    (reason,) = refused(root, lambda store: edited(one(store, root), path=path))
    assert reason == "not a file of this library"
    assert (root.parent / "elsewhere.flac").exists()


def test_nothing_that_is_kept_or_two_that_are(root: Path) -> None:
    def none(store: Store) -> Plan:
        files = one(store, root).groups[0].files
        return plan_of(PlannedGroup((replace(files[0], action="leave"), files[1])))

    assert refused(root, none) == ["its group does not have exactly one file to keep"]

    def two(store: Store) -> Plan:
        files = one(store, root).groups[0].files
        return plan_of(PlannedGroup((*files, planned(store, root, "a.wav", "keep"))))

    assert refused(root, two) == ["its group does not have exactly one file to keep"]


def test_protected_folders_by_any_name(root: Path) -> None:
    link = root.parent / "link"
    link.symlink_to(root / "sub")
    for folder in (root / "sub", root, link, root / "sub" / ".." / "sub"):
        (reason,) = refused(root, lambda store: one(store, root), (os.fsencode(folder),))
        assert reason == "it is in a protected folder"


def test_a_quarantine_that_the_next_scan_would_look_into(root: Path) -> None:
    with opened(root) as store:
        for to in (root / "sub", root, root / ".." / "x"):
            with pytest.raises(UsageError):
                carry_out(store, replace(one(store, root), to=os.fsencode(to)))
        with pytest.raises(UsageError, match="protected"):
            carry_out(store, replace(one(store, root), to=os.fsencode(root.parent / "q")), (os.fsencode(root.parent),))


# ---- files that are no longer what they were ----


def test_a_file_that_changed(root: Path) -> None:
    with opened(root) as store:
        plan = one(store, root)
    os.utime(root / "sub/a.flac")
    assert refused(root, lambda _: plan) == ["it was changed since the plan was made"]
    (root / "sub/a.flac").unlink()
    assert refused(root, lambda _: plan) == ["it is gone"]


def test_a_file_with_other_audio_and_the_same_size_and_time(root: Path) -> None:
    path = root / "sub/a.flac"
    status, data = path.stat(), bytearray(path.read_bytes())
    data[-2000] ^= 0x55
    path.write_bytes(data)
    os.utime(path, ns=(1, status.st_mtime_ns))
    assert refused(root, lambda store: one(store, root)) == ["holds other audio than when it was scanned"]


def test_a_kept_file_that_cannot_be_decoded(root: Path) -> None:
    path = root / "a.flac"
    status, data = path.stat(), bytearray(path.read_bytes())
    data[5000:9000] = bytes(4000)
    path.write_bytes(data)
    os.utime(path, ns=(1, status.st_mtime_ns))
    (reason,) = refused(root, lambda store: one(store, root))
    assert reason.startswith("the file to keep, ")


@pytest.mark.parametrize("swapped", ["file", "folder"])
def test_a_symbolic_link_swapped_in(root: Path, swapped: str) -> None:
    with opened(root) as store:
        plan = one(store, root)
    os.utime(root / "a.flac", ns=(1, (root / "sub/a.flac").stat().st_mtime_ns))
    if swapped == "file":
        (root / "sub/a.flac").unlink()
        (root / "sub/a.flac").symlink_to(root / "a.flac")
    else:
        (root / "sub/a.flac").unlink()
        (root / "sub").rmdir()
        (root / "sub").symlink_to(root)
    make_store(root.parent / "store", root, {"a.flac": 1})
    with opened(root) as store:
        kept = planned(store, root, "a.flac", "keep")
    plan = replace(plan, groups=(replace(plan.groups[0], files=(kept, plan.groups[0].files[1])),))
    (reason,) = refused(root, lambda _: plan)
    assert reason == "it is a symbolic link" or "which no scan saw there" in reason


def test_a_hard_link_of_the_kept_file(root: Path) -> None:
    (root / "sub/a.flac").unlink()
    os.link(root / "a.flac", root / "sub/a.flac")
    make_store(root.parent / "store", root, {"sub/a.flac": 1})
    assert refused(root, lambda store: one(store, root)) == ["it is the kept file under another name"]


# ---- disks that refuse ----


@pytest.mark.parametrize("action", ACTIONS)
def test_every_action_is_taken_back_or_says_why_not(root: Path, action: Action) -> None:
    before = tree(root)
    with opened(root) as store:
        assert carry_out(store, one(store, root, action)).done == {action: 1}
        assert take_back(store).failed == () or action == "delete"
        assert action != "delete" or "for good" in take_back(store).failed[0].reason
    if action != "delete":
        assert tree(root) == before


@contextlib.contextmanager
def refusing(root: Path, code: int, *calls: str) -> Iterator[None]:
    """These functions of `os` are refused for what is below the root."""
    below = os.fsencode(root)

    def refusing_one(function: Any) -> Any:
        def call(*arguments: Any, **more: Any) -> Any:
            folders = [more.get(name) for name in ("dir_fd", "src_dir_fd", "dst_dir_fd")]
            known = [os.readlink(f"/proc/self/fd/{folder}") for folder in folders if folder is not None]
            if any(
                isinstance(path, bytes) and path.startswith(below) for path in (*arguments, *map(os.fsencode, known))
            ):
                raise OSError(code, os.strerror(code))
            return function(*arguments, **more)

        return call

    with mock.patch.multiple(os, **{name: refusing_one(getattr(os, name)) for name in calls}):
        yield


@pytest.mark.parametrize("action", ACTIONS)
@pytest.mark.parametrize("code", [errno.EACCES, errno.EROFS, errno.EIO])
def test_a_refusal_by_the_system_leaves_the_file(root: Path, action: Action, code: int) -> None:
    before = tree(root)
    calls = {"delete": ["unlink"], "hardlink": ["link"]}.get(action, ["rename"])
    with opened(root) as store:
        with refusing(root, code, *calls):
            (refusal,) = carry_out(store, one(store, root, action)).refused
        assert refusal.reason == f"refused by the system: {why(OSError(code, os.strerror(code)))}"
        assert take_back(store).failed == ()
    assert tree(root) == before


def test_a_full_disk_stops_the_run_and_it_goes_on_when_there_is_room(root: Path) -> None:
    before = tree(root)
    with opened(root) as store:
        plan = plan_of(group(store, root, "a.flac", ["sub/a.flac"]), group(store, root, "b.flac", ["deep/b.wav"]))
        full = OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        with mock.patch.object(moving, "_fill", side_effect=full), pytest.raises(WriteError, match="apply --resume"):
            carry_out(store, plan)
        assert open_journal(store.layout.folder).state == "broken off"
        with pytest.raises(JournalError, match="broken off"):
            require_none_open(store.layout.folder)
        assert go_on(store).done == {"quarantine": 2}
        assert take_back(store).failed == ()
    assert tree(root) == before


def test_another_file_system(root: Path) -> None:
    """As renaming answers there; the copy is read again before the source goes."""
    before = tree(root)
    with refusing(root, errno.EXDEV, "rename"), opened(root) as store:
        assert carry_out(store, one(store, root)).done == {"quarantine": 1}
        moved = root / os.fsdecode(QUARANTINE) / "sub/a.flac"
        assert moved.stat().st_mtime_ns == before["sub/a.flac"][2]  # type: ignore[index]
        assert take_back(store).failed == ()
    assert tree(root) == before


def test_a_copy_that_is_not_what_was_written_is_refused(root: Path) -> None:
    before = tree(root)
    with opened(root) as store:
        hashes = mock.patch.object(moving, "hash_of", side_effect=[b"one", b"other"])
        with refusing(root, errno.EXDEV, "rename"), hashes:
            (refusal,) = carry_out(store, one(store, root)).refused
        assert "refused by the system" in refusal.reason
        assert take_back(store).failed == ()
    assert tree(root) == before


@pytest.mark.parametrize("moment", ["hash_of", "copy_whole"])
def test_a_file_that_is_written_to_while_it_goes_to_another_disk_stays(root: Path, moment: str) -> None:
    """While its copy is read again, or after that."""
    real = getattr(moving, moment)

    def written(*arguments: Any) -> Any:
        done = real(*arguments)
        with open(root / "sub/a.flac", "ab") as file:
            file.write(b"more")
        return done

    with opened(root) as store:
        plan = one(store, root)
        with refusing(root, errno.EXDEV, "rename"), mock.patch.object(moving, moment, written):
            (refusal,) = carry_out(store, plan).refused
    assert "a program is writing to it" in refusal.reason
    assert (root / "sub/a.flac").read_bytes().endswith(b"more")
    assert not (root / os.fsdecode(QUARANTINE) / "sub/a.flac").exists()


def test_a_name_that_is_taken_gets_a_number_and_a_long_one_is_cut(root: Path) -> None:
    quarantine = root / os.fsdecode(QUARANTINE)
    (quarantine / "sub").mkdir(parents=True)
    (quarantine / "sub/a.flac").write_bytes(b"of another night")
    long = "ü" * 125 + ".flac"
    make_files(root, {long: 1})
    (quarantine / long).write_bytes(b"also")
    make_store(root.parent / "store", root, {long: 1})
    with opened(root) as store:
        assert carry_out(store, plan_of(group(store, root, "a.flac", ["sub/a.flac", long]))).done == {"quarantine": 2}
    assert (quarantine / "sub/a_01.flac").exists()
    (cut,) = [path.name for path in quarantine.iterdir() if "_01" in path.name]
    assert cut.endswith("ü_01.flac") and len(cut.encode()) <= 255


def test_a_name_that_is_no_text(tmp_path: Path) -> None:
    root = tmp_path / "music"
    name = os.fsdecode(b"caf\xe9 \xff.flac")
    make_files(root, {"a.flac": 1, name: 1})
    make_store(tmp_path / "store", root, {"a.flac": 1, name: 1})
    before = tree(root)
    with opened(root) as store:
        assert carry_out(store, plan_of(group(store, root, "a.flac", [name]))).done == {"quarantine": 1}
        assert not (root / name).exists()
        assert take_back(store).failed == ()
    assert tree(root) == before


# ---- taking back what is no longer as it was left ----


def test_undo_says_what_it_could_not_and_why(root: Path) -> None:
    with opened(root) as store:
        plan = plan_of(
            group(store, root, "a.flac", ["sub/a.flac", "a.wav"]), group(store, root, "b.flac", ["deep/b.wav"])
        )
        carry_out(store, plan)
        quarantine = root / os.fsdecode(QUARANTINE)
        (quarantine / "sub/a.flac").unlink()
        (quarantine / "a.wav").write_bytes(b"other")
        (root / "deep/b.wav").write_bytes(b"a new one")
        told = {os.path.basename(refusal.path): refusal.reason for refusal in take_back(store).failed}
        assert "gone" in told[b"a.flac"]
        assert "was changed since" in told[b"a.wav"]
        assert "a file already exists there" in told[b"b.wav"]
        assert read_journal(journals(store.layout.folder)[-1].folder).state == "partly undone"
        (root / "deep/b.wav").unlink()
        assert {os.path.basename(refusal.path) for refusal in take_back(store).failed} == {b"a.flac", b"a.wav"}
        assert (root / "deep/b.wav").stat().st_size > 1000


def test_a_kept_file_that_was_tagged_since_keeps_its_new_tags(root: Path) -> None:
    from dedup.tags.read import read_tags
    from dedup.tags.write import write_tags

    kept = os.fsencode(root / "a.flac")
    with opened(root) as store:
        plan = plan_of(group(store, root, "a.flac", ["sub/a.flac"], Merge(kept, {"title": ("One",)})))
        assert carry_out(store, plan).n_merged == 1
        assert read_tags(kept).fields["title"] == ("One",)
        write_tags(kept, {"title": ["Mine"]})
        (failed,) = take_back(store).failed
        assert "was changed since" in failed.reason
        assert read_tags(kept).fields["title"] == ("Mine",)
        assert (root / "sub/a.flac").exists()


def test_playlists_refer_to_what_is_kept_and_come_back(root: Path) -> None:
    playlist = root / "mine.m3u8"
    playlist.write_bytes(b"#EXTM3U\r\nsub/a.flac\r\n")
    before = tree(root)
    with opened(root) as store:
        plan = replace(one(store, root), playlists=(PlannedPlaylist(os.fsencode(playlist), 1),))
        assert carry_out(store, plan).n_playlists == 1
        assert playlist.read_bytes() == b"#EXTM3U\r\na.flac\r\n"
        assert take_back(store).failed == ()
    assert tree(root) == before


def test_a_journal_whose_last_line_was_cut_short_is_read_and_one_that_is_damaged_is_told(
    root: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with opened(root) as store:
        carry_out(store, one(store, root))
        journal = journals(store.layout.folder)[-1]
        path = journal.folder / "journal.jsonl"
        whole = path.read_bytes()
        path.write_bytes(whole[:-9])
        assert read_journal(journal.folder).state == "broken off"
        for piece in (1, 7, 1 << 16):
            monkeypatch.setattr(journal_module, "_PIECE", piece)
            path.write_bytes(whole[:-9])
            JournalWriter(read_journal(journal.folder)).close()
            assert path.read_bytes().splitlines() == whole.splitlines()[:-1]
        for damaged in (whole.replace(b'"begin"', b'"begun"'), whole.replace(b'"known": {', b'"known": 1, "more": {')):
            path.write_bytes(damaged)
            with pytest.raises(JournalError, match=r"line \d+ does not match its digest"):
                read_journal(journal.folder)


def test_a_flipped_bit_in_a_journal_is_found_wherever_it_is(root: Path) -> None:
    """Every bit of its first and last lines. One exception: a mark of the digest of the first line, whose loss makes
    the line one of an older release that says the same."""
    with opened(root) as store:
        carry_out(store, one(store, root))
        (journal,) = journals(store.layout.folder)
        path = journal.folder / "journal.jsonl"
        lines = path.read_bytes().splitlines(keepends=True)
        whole = b"".join([lines[0], lines[-1]])
        records = list(opened_lines_of(path, whole))
        for bit in range(8 * len(whole)):
            data = bytearray(whole)
            data[bit // 8] ^= 1 << bit % 8
            try:
                found = list(opened_lines_of(path, bytes(data)))
            except ValueError:
                continue
            assert bit // 8 < len(lines[0])
            assert [{k: v for k, v in found[0].items() if k in records[0]}, *found[1:]] == records
        path.write_bytes(b"".join(lines))
        assert check(store, Silent()) == []


def opened_lines_of(path: Path, data: bytes) -> Iterator[dict[str, object]]:
    path.write_bytes(data)
    return opened_lines(path)


def test_what_a_clean_up_kept_is_checked(root: Path) -> None:
    with opened(root) as store:
        carry_out(store, one(store, root))
        (journal,) = journals(store.layout.folder)
        plan = journal.folder / "plan.json"
        plan.write_bytes(plan.read_bytes().replace(b'"match"', b'"macht"'))
        (found,) = check(store, Silent())
        assert (found.kind, found.name) == ("clean-up", "cleanups/0001/plan.json")
        with pytest.raises(JournalError, match="not the plan with which the clean-up began"):
            plan_of_journal(journal)


def test_a_file_of_a_clean_up_that_is_gone_is_named(root: Path) -> None:
    with opened(root) as store:
        carry_out(store, one(store, root))
        (journal,) = journals(store.layout.folder)
        kept = sealed_line({"kept": "0" * 32})
        (journal.originals / "7.json").write_bytes(kept)
        (journal.folder / "plan.json").unlink()
        found = {finding.name: finding.text.partition(";")[0] for finding in check(store, Silent())}
        gone = "cannot be read: No such file or directory"
        assert found == {"cleanups/0001/plan.json": gone, "cleanups/0001/originals/7.bin": gone}
        (journal.folder / "journal.jsonl").unlink()
        found = {finding.name: finding.text.partition(";")[0] for finding in check(store, Silent())}
        assert found["cleanups/0001/journal.jsonl"] == gone


def test_a_journal_of_an_older_release_is_read(root: Path) -> None:
    with opened(root) as store:
        carry_out(store, one(store, root))
        (journal,) = journals(store.layout.folder)
        path = journal.folder / "journal.jsonl"
        path.write_bytes(re.sub(rb', "(digest|plan)": "[0-9a-f]{32}"', b"", path.read_bytes()))
        assert read_journal(journal.folder).entries == journal.entries
        assert check(store, Silent()) == []


def test_there_must_be_something_to_take_back(root: Path) -> None:
    with opened(root) as store:
        with pytest.raises(JournalError, match="no clean-up to take back"):
            to_be_undone(store.layout.folder, None)
        carry_out(store, one(store, root))
        with pytest.raises(JournalError, match="no clean-up 7"):
            to_be_undone(store.layout.folder, 7)
        take_back(store)
        with pytest.raises(JournalError, match="taken back already"):
            to_be_undone(store.layout.folder, 1)
        (step,) = [entry.step for entry in journals(store.layout.folder)[0].entries if isinstance(entry.step, Move)]
        assert step.path == os.fsencode(root / "sub/a.flac")
