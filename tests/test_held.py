"""Paths are held, not believed: what is swapped, linked or invented between a look and a step leads nowhere else."""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import random
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from dedup.cleanup import steps
from dedup.cleanup.allowed import Allowed, Trust
from dedup.cleanup.apply import Applied
from dedup.cleanup.checks import Checks, Protection, StoppedError
from dedup.cleanup.gain import loudness
from dedup.cleanup.tagging import Wanted, measure, tag_files
from dedup.files.held import OutOfReachError, Reach
from dedup.files.paths import and_above, volume_of
from dedup.files.quarantine import QUARANTINE
from dedup.library.identity import flac_md5, full_hash, stream_hash
from dedup.library.metadata import read_properties
from dedup.observer import Silent
from dedup.plan.document import write_plan
from dedup.plan.nouns import Action, Plan, PlannedPlaylist
from dedup.playlists.playlists import read_content, references, rewritten
from dedup.runner import Stop
from dedup.settings import KeepSettings
from dedup.store.store import Store
from dedup.tags.extras import ExtraKind
from dedup.tags.merge import CarriedExtra, Merge
from dedup.tags.read import read_tags
from dedup.tags.write import write_tags
from tests.cleanups import (
    FILES,
    carry_out,
    group,
    know,
    make_files,
    make_library,
    make_store,
    opened,
    plan_of,
    run,
    take_back,
    tone,
    tree,
)
from tests.tag_files import png

HELD = os.fsdecode(QUARANTINE)
ACTIONS: tuple[Action, ...] = ("quarantine", "trash", "hardlink", "delete")


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_library(tmp_path, monkeypatch)


@pytest.fixture
def outside(root: Path) -> Path:
    """A folder outside the library that holds what `sub` does: the same bytes, sizes and times."""
    return Path(shutil.copytree(root / "sub", root.parent / "outside"))


def reasons(applied: Applied) -> list[str]:
    return [refusal.reason for refusal in applied.refused]


def one(store: Store, root: Path, action: Action = "quarantine", merge: Merge | None = None) -> Plan:
    """That sub/a.flac, whose bytes are those of a.flac, goes."""
    return plan_of(group(store, root, "a.flac", {"sub/a.flac": action}, merge))


def become_link(folder: Path, target: Path) -> None:
    """Puts a link in the place of a folder, which gets another name."""
    folder.rename(folder.with_name(f"{folder.name} before"))
    folder.symlink_to(target)


# ---- folders of the library ----


@pytest.mark.parametrize("action", ACTIONS)
def test_a_folder_that_became_a_link_is_not_followed(root: Path, outside: Path, action: Action) -> None:
    before = tree(outside)
    with opened(root) as store:
        plan = one(store, root, action)
        become_link(root / "sub", outside)
        (reason,) = reasons(carry_out(store, plan))
        assert "which no scan saw there" in reason and str(outside) in reason
    assert tree(outside) == before


@pytest.mark.parametrize("action", ACTIONS)
def test_a_folder_that_becomes_a_link_after_the_checks_is_not_followed(
    root: Path, outside: Path, action: Action
) -> None:
    kind = {"quarantine": steps.Move, "trash": steps.Trash, "hardlink": steps.Share, "delete": steps.Delete}[action]
    before, doing = tree(outside), kind.do

    def swapped(step: Any, *arguments: Any) -> None:
        become_link(root / "sub", outside)
        doing(step, *arguments)

    with opened(root) as store, mock.patch.object(kind, "do", swapped):
        (reason,) = reasons(carry_out(store, one(store, root, action)))
    assert "which no scan saw there" in reason
    assert tree(outside) == before


def test_a_linked_folder_that_the_scan_followed_is_cleaned_up_and_taken_back(root: Path, outside: Path) -> None:
    (root / "linked").symlink_to(outside)
    make_store(root.parent / "store", root, {"linked/a.flac": 1})
    before, there = tree(root), tree(outside)
    with opened(root) as store:
        kept = os.fsencode(root / "linked/a.flac")
        plan = plan_of(group(store, root, "linked/a.flac", ["a.flac"], Merge(kept, {"title": ("One",)})))
        assert carry_out(store, plan).n_merged == 1
        assert read_tags(os.fsencode(outside / "a.flac")).fields["title"] == ("One",)
        assert take_back(store).failed == ()
        assert (tree(root), tree(outside)) == (before, there)
        assert carry_out(store, plan_of(group(store, root, "a.flac", ["linked/a.flac"]))).done == {"quarantine": 1}
        assert (root / HELD / "linked/a.flac").exists() and not (outside / "a.flac").exists()
        assert take_back(store).failed == ()
    assert (tree(root), tree(outside)) == (before, there)


def test_a_link_that_leads_elsewhere_when_the_clean_up_is_taken_back(root: Path, outside: Path) -> None:
    (root / "linked").symlink_to(outside)
    make_store(root.parent / "store", root, {"linked/a.flac": 1})
    other = root.parent / "other"
    other.mkdir()
    with opened(root) as store:
        assert carry_out(store, plan_of(group(store, root, "a.flac", ["linked/a.flac"]))).done == {"quarantine": 1}
        (root / "linked").unlink()
        (root / "linked").symlink_to(other)
        take_back(store)
    assert not any(other.iterdir())
    assert (outside / "a.flac").exists()


def test_a_folder_that_became_a_link_before_the_undo_is_not_followed(root: Path) -> None:
    other = root.parent / "other"
    other.mkdir()
    with opened(root) as store:
        assert carry_out(store, one(store, root)).done == {"quarantine": 1}
        become_link(root / "sub", other)
        assert {"which no scan saw there" in refusal.reason for refusal in take_back(store).failed} == {True}
        assert not any(other.iterdir()) and (root / HELD / "sub/a.flac").exists()
        (root / "sub").unlink()
        (root / "sub before").rename(root / "sub")
        assert take_back(store).failed == ()
    assert (root / "sub/a.flac").exists()


def test_a_file_whose_folder_becomes_a_link_is_not_tagged(root: Path, outside: Path) -> None:
    before = tree(outside)
    with opened(root) as store:
        tagging = measure(store, os.fsencode(root / "sub/a.flac"), Wanted(audio_hash=True))
        become_link(root / "sub", outside)
        tagged = tag_files(store=store, taggings=[tagging], keep=KeepSettings(), observer=Silent(), stop=Stop())
    assert ["which no scan saw there" in refusal.reason for refusal in tagged.refused] == [True]
    assert tree(outside) == before


def test_a_part_that_becomes_a_link_while_tags_are_written_leads_nowhere(root: Path) -> None:
    """Whoever may write in the folder puts a link in the place of the new version: what it leads to stays."""
    victim = root.parent / "victim.flac"
    victim.write_bytes(tone(7, "flac"))
    before = victim.read_bytes()
    writing = steps.keep_original

    def swapped(old: Any, new: Any, place: Path) -> None:
        (part,) = root.glob(".reprise-*.part")
        part.unlink()
        part.symlink_to(victim)
        writing(old, new, place)

    with opened(root) as store, mock.patch.object(steps, "keep_original", swapped):
        carry_out(store, one(store, root, merge=Merge(os.fsencode(root / "a.flac"), {"title": ("One",)})))
    assert victim.read_bytes() == before


@contextlib.contextmanager
def swapping(folder: Path, other: Path, seed: int) -> Iterator[list[int]]:
    """Meanwhile two names change places all the time, at once each time. Gives a list that has how often."""
    libc, stopped, chance, swapped = ctypes.CDLL(None, use_errno=True), threading.Event(), random.Random(seed), [0]

    def exchange() -> None:
        exchange_names = 2  # RENAME_EXCHANGE of linux/fs.h
        if libc.renameat2(-100, os.fsencode(folder), -100, os.fsencode(other), exchange_names):
            code = ctypes.get_errno()
            raise OSError(code, os.strerror(code))
        swapped[0] += 1

    def swap() -> None:
        while not stopped.is_set():
            exchange()
            time.sleep(chance.random() / 1000)
            exchange()
            time.sleep(chance.random() / 500)

    thread = threading.Thread(target=swap)
    thread.start()
    try:
        yield swapped
    finally:
        stopped.set()
        thread.join()


@pytest.mark.skipif(sys.platform != "linux", reason="no system call here lets two names change places")
@pytest.mark.parametrize("seed", [0, *(pytest.param(seed, marks=pytest.mark.long) for seed in (1, 2))])
def test_nothing_outside_changes_while_a_folder_is_swapped_all_the_time(root: Path, outside: Path, seed: int) -> None:
    link = root.parent / "link"
    link.symlink_to(outside)
    there, n_swaps = tree(outside), 0
    for round_, action in enumerate(itertools.islice(itertools.cycle(ACTIONS[:3]), 12)):
        with opened(root) as store:
            plan = one(store, root, action, Merge(os.fsencode(root / "a.flac"), {"title": ("One",)}))
            with swapping(root / "sub", link, 100 * seed + round_) as swapped:
                carry_out(store, plan)
                if round_ % 2:
                    take_back(store)
            n_swaps += swapped[0]
            assert tree(outside) == there
            take_back(store)
            assert (root / "sub/a.flac").exists() and not (root / "sub").is_symlink()
            assert "title" not in read_tags(os.fsencode(root / "a.flac")).fields
            know(
                store, root, FILES
            )  # as the next scan would: what could not be looked at when it came back is no track
    assert n_swaps > 100


# ---- quarantine ----


@pytest.mark.parametrize("place", ["deep", "../outside", "../nowhere"])
def test_a_quarantine_that_is_a_link_is_refused(root: Path, outside: Path, place: str) -> None:
    (root / HELD).symlink_to(place)
    before = tree(outside)
    with opened(root) as store:
        (reason,) = reasons(carry_out(store, one(store, root)))
    assert "symbolic link" in reason or "refused by the system" in reason
    assert (root / "sub/a.flac").exists() and sorted(os.listdir(root / "deep")) == ["b.wav"]
    assert tree(outside) == before


def test_a_folder_in_the_quarantine_that_is_a_link_is_refused(root: Path, outside: Path) -> None:
    (root / HELD).mkdir()
    (root / HELD / "sub").symlink_to(outside)
    with opened(root) as store:
        (reason,) = reasons(carry_out(store, one(store, root)))
    assert "is or holds a symbolic link: name a folder as --to" in reason and (root / "sub/a.flac").exists()


def test_a_quarantine_that_is_named_may_be_a_link_and_may_be_missing(root: Path) -> None:
    before, disk = tree(root), root.parent / "disk"
    disk.mkdir()
    (root.parent / "q").symlink_to(disk)
    with opened(root) as store:
        for to in ("q", "q/below/x", "new/below"):
            assert carry_out(store, replace(one(store, root), to=os.fsencode(root.parent / to))).refused == ()
            assert (root.parent / to / "sub/a.flac").exists()
            assert take_back(store).failed == ()
            assert tree(root) == before
    assert not any(disk.iterdir()) and not (root.parent / "new").exists()


def test_a_quarantine_that_becomes_a_link_before_the_undo(root: Path, outside: Path) -> None:
    with opened(root) as store:
        carry_out(store, one(store, root))
        become_link(root / HELD / "sub", outside)
        assert any("which no scan saw there" in refusal.reason for refusal in take_back(store).failed)
        (root / HELD / "sub").unlink()
        (root / HELD / "sub before").rename(root / HELD / "sub")
        assert take_back(store).failed == ()
    assert (outside / "a.flac").exists() and (root / "sub/a.flac").exists()


# ---- what a plan or a catalog says ----


@pytest.mark.parametrize("name", ["mine.m3u", "linked/mine.m3u"])
def test_a_plan_cannot_rewrite_a_playlist_outside_the_library(root: Path, outside: Path, name: str) -> None:
    (root / "linked").symlink_to(outside)
    (outside / "mine.m3u").write_bytes(os.fsencode(root / "sub/a.flac") + b"\n")
    path = (outside if "/" not in name else root) / name
    before = tree(outside)
    with opened(root) as store:
        plan = replace(one(store, root), playlists=(PlannedPlaylist(os.fsencode(path), 1),))
        (reason,) = reasons(carry_out(store, plan))
    assert reason == "it lies neither below a root of the library nor in a folder that --playlists named"
    assert tree(outside) == before


def test_a_playlist_in_a_folder_that_the_user_named_is_rewritten_and_taken_back(root: Path, outside: Path) -> None:
    (outside / "mine.m3u").write_bytes(os.fsencode(root / "sub/a.flac") + b"\n" + os.fsencode(root / "a.wav") + b"\n")
    before, plan = tree(outside), root.parent / "plan.json"
    assert run(root, "plan", "--playlists", outside, "-o", plan).exit_code == 0
    assert "1 playlist" in run(root, "apply", plan).output
    assert tree(outside) != before
    assert run(root, "undo").exit_code == 0
    assert tree(outside) == before


def test_a_cover_comes_only_from_a_file_of_the_group(root: Path) -> None:
    other = root.parent / "mine.flac"
    other.write_bytes(tone(3, "flac"))
    from dedup.tags.cover import cover_of

    write_tags(os.fsencode(other), {}, cover_of(png(300, 300)))
    before = tree(root)
    kind: ExtraKind = "lyrics"
    for merge in (
        Merge(os.fsencode(root / "a.flac"), cover_from=os.fsencode(other)),
        Merge(os.fsencode(root / "a.flac"), cover_from=os.fsencode(root / "b.flac")),
        Merge(os.fsencode(root / "a.flac"), extras=(CarriedExtra(kind, "lyrics", "00", os.fsencode(other)),)),
    ):
        with opened(root) as store:
            (reason,) = reasons(carry_out(store, one(store, root, merge=merge)))
            assert "is not a file of its group that the library knows" in reason
    assert tree(root) == before


def test_a_cover_from_a_pipe_is_refused_at_once(root: Path) -> None:
    with opened(root) as store:
        plan = one(store, root, merge=Merge(os.fsencode(root / "a.flac"), cover_from=os.fsencode(root / "a.wav")))
        files = (
            *plan.groups[0].files,
            replace(plan.groups[0].files[1], path=os.fsencode(root / "a.wav"), action="leave"),
        )
        plan = replace(plan, groups=(replace(plan.groups[0], files=files),))
        (root / "a.wav").unlink()
        os.mkfifo(root / "a.wav")
        (reason,) = reasons(carry_out(store, plan))
    assert "not a regular file" in reason and (root / "sub/a.flac").exists()


@pytest.mark.parametrize("bad", [b"olib", b"o/music", b"", b"/elsewhere"])
def test_a_root_in_the_catalog_that_is_no_root_is_refused_at_once(root: Path, bad: bytes) -> None:
    with opened(root) as store:
        plan = one(store, root)
        track = store.catalog.tracks.get(os.fsencode(root / "sub/a.flac"))
        assert track is not None
        with store.catalog.transaction():
            store.catalog.tracks.put(replace(track, root=bad))
        (reason,) = reasons(carry_out(store, plan))
    assert "root" in reason and (root / "sub/a.flac").exists()


def test_a_name_with_a_line_break_stays_one_entry(tmp_path: Path) -> None:
    folder = os.fsencode(tmp_path)
    old = folder + b"/old.mp3"
    for odd in (b"x\ny", b"x\r\ny", b"x\x0by", b"x\xc2\x85y", b"x\xe2\x80\xa8y"):
        new = folder + b"/" + odd + b".mp3"
        Path(os.fsdecode(new)).write_bytes(b"x")
        for name, content in ((b"a.m3u", b"a\nold.mp3\nb\n"), (b"a.pls", b"[playlist]\nFile1=old.mp3\nFile2=b\n")):
            path = folder + b"/" + name
            out = rewritten(path, content, {old: new})
            Path(os.fsdecode(path)).write_bytes(out)
            assert new in references(path)
            assert len(out.decode().splitlines()) == len(content.splitlines())


# ---- folders held open ----


def test_what_lies_in_no_folder_of_the_user_is_out_of_reach(tmp_path: Path) -> None:
    (tmp_path / "music/sub").mkdir(parents=True)
    (tmp_path / "music/file").write_bytes(b"x")
    (tmp_path / "music/pipe").mkdir()
    os.mkfifo(tmp_path / "music/pipe/f")
    music = os.fsencode(tmp_path / "music")
    with Reach([music, b"relative", b"", b"/not/../plain"]) as reach:
        for path in (
            os.fsencode(tmp_path / "other/x"),
            music + b"/sub/../../x",
            music + b"/..",
            b"relative/x",
            b"x",
            b"",
        ):
            with pytest.raises(OutOfReachError), reach.spot(path):
                pass
        for path in (music + b"/file/x", music + b"/none/x"):
            with pytest.raises(OSError), reach.spot(path):
                pass
        with reach.spot(music + b"/pipe/f") as spot, pytest.raises(OSError, match="not a regular file"):
            spot.open()
    with Reach([b"/"]) as reach, reach.spot(music + b"/file") as spot:
        assert spot.is_file()


def test_a_folder_that_moves_while_it_is_held_takes_its_names_along(tmp_path: Path) -> None:
    (tmp_path / "music/sub").mkdir(parents=True)
    (tmp_path / "other").mkdir()
    with Reach([os.fsencode(tmp_path / "music")]) as reach, reach.spot(os.fsencode(tmp_path / "music/sub/x")) as spot:
        become_link(tmp_path / "music/sub", tmp_path / "other")
        spot.create().close()
    assert (tmp_path / "music/sub before/x").exists() and not (tmp_path / "other/x").exists()


@pytest.mark.parametrize("path", [b"", b"a", b"a/b", b"./a", b"/", b"//", b"//a", b"/a/b/c", b"/a//b/", b"..", b"/.."])
def test_every_way_up_ends(path: bytes) -> None:
    above = list(itertools.islice(and_above(path), 10))
    assert len(above) < 10 and len(set(above)) == len(above)
    assert (above[:1] == [path]) == bool(path)
    assert os.path.ismount(volume_of(path))


READERS = (read_tags, full_hash, stream_hash, flac_md5, read_properties, read_content, loudness)
COMMANDS = (("plan",), ("resolve", "-o", "p.json"), ("apply", "plan.json"), ("apply", "--dry-run", "plan.json"))


@pytest.mark.parametrize("read", READERS)
def test_no_reader_waits_for_a_pipe(tmp_path: Path, read: Any) -> None:
    os.mkfifo(tmp_path / "a.flac")
    with pytest.raises(OSError, match="not a regular file"):
        read(os.fsencode(tmp_path / "a.flac"))


@pytest.mark.parametrize("command", COMMANDS)
def test_no_command_waits_for_a_pipe_in_the_place_of_a_track(root: Path, command: tuple[str, ...]) -> None:
    folder = root.parent
    with opened(root) as store:
        write_plan(os.fsencode(folder / "plan.json"), one(store, root))
    for name in ("a.wav", "sub/a.flac", "b.flac"):
        (root / name).unlink()
        os.mkfifo(root / name)
    words = [str(folder / word) if word.endswith(".json") else word for word in command]
    program = [sys.executable, "-m", "jobs", words[0], "--store", str(folder / "store"), *words[1:]]
    ended = subprocess.run(program, capture_output=True, stdin=subprocess.DEVNULL, timeout=60, check=False)
    assert ended.returncode in (0, 3, 5) and b"Traceback" not in ended.stderr


def test_a_stop_ends_the_decoding_of_a_kept_file(root: Path) -> None:
    stop = Stop()
    with opened(root) as store, Reach([os.fsencode(root)]) as reach:
        plan = one(store, root)
        checks, kept = (
            Checks(store, plan, Protection([]), Trust(store, plan, Allowed()), reach, stop),
            plan.groups[0].files[0],
        )
        assert checks.kept_file(plan.groups[0], kept)[0] == ""
        stop.request("interrupted")
        with pytest.raises(StoppedError):
            checks.kept_file(plan.groups[0], kept)


def test_a_track_that_is_a_link_is_tagged_where_it_leads_and_taken_back(root: Path, outside: Path) -> None:
    (root / "linked.flac").symlink_to(outside / "a.flac")
    make_store(root.parent / "store", root, {"linked.flac": 1})
    (root.parent / "other.flac").write_bytes(tone(3, "flac"))
    there, path = tree(outside), os.fsencode(root / "linked.flac")
    with opened(root) as store:
        track = store.catalog.tracks.get(path)
        assert track is not None
        with store.catalog.transaction():  # as a scan enters it: the file that the link leads to
            store.catalog.tracks.put(replace(track, inode=os.stat(path).st_ino))
        tagging = measure(store, path, Wanted(audio_hash=True))
        tagged = tag_files(store=store, taggings=[tagging], keep=KeepSettings(), observer=Silent(), stop=Stop())
        assert tagged.n_files == 1 and "reprise_audio_hash" in read_tags(os.fsencode(outside / "a.flac")).fields
        assert take_back(store).failed == ()
        assert tree(outside) == there
        (root / "linked.flac").unlink()
        (root / "linked.flac").symlink_to(root.parent / "other.flac")
        tagged = tag_files(store=store, taggings=[tagging], keep=KeepSettings(), observer=Silent(), stop=Stop())
    assert tagged.n_files == 0 and (root.parent / "other.flac").read_bytes() == tone(3, "flac")


@pytest.mark.parametrize("number", [signal.SIGTERM, pytest.param(signal.SIGINT, marks=pytest.mark.long)])
def test_a_signal_ends_a_clean_up_soon(root: Path, number: signal.Signals) -> None:
    names = {f"many/{n}.flac": 1 for n in range(60)}
    make_files(root, names)
    make_store(root.parent / "store", root, {**FILES, **names})
    plan, journal = root.parent / "plan.json", root.parent / "store/cleanups/0001/journal.jsonl"
    with opened(root) as store:
        write_plan(os.fsencode(plan), plan_of(group(store, root, "a.flac", list(names))))
    for words in (["apply", plan], ["apply", "--resume"], ["undo"]):
        program = [sys.executable, "-m", "jobs", words[0], "--store", root.parent / "store", *words[1:]]
        size = journal.stat().st_size if journal.exists() else 0
        with subprocess.Popen(program, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None and not (journal.exists() and journal.stat().st_size > size):
                time.sleep(0.005)
            process.send_signal(number)
            assert process.wait(timeout=10) in (0, 22, 130)
    with opened(root) as store:
        take_back(store)
    assert all((root / name).stat().st_size > 1000 for name in names)
