"""What `organize` does to folders, to roots and to libraries that people change meanwhile."""

from __future__ import annotations

import json
import os
import shutil
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.cleanup.journal import JournalWriter
from dedup.cleanup.organizing import _Organizing, resume
from dedup.cleanup.rename import Rename
from dedup.cleanup.steps import NoWayBackError, Step
from dedup.errors import WriteError
from dedup.files.held import Reach
from dedup.observer import Silent
from dedup.organize.disk import as_library_names
from dedup.organize.order import units
from dedup.runner import Stop
from dedup.settings import KeepSettings
from tests.cleanups import opened, run, take_back
from tests.made_names import byte_tree
from tests.test_organize_files import carried_out, make_titled, planned


def refuse_steps(monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
    """Makes the disk full when the file at `path` is to get another one."""
    begin = JournalWriter.begin

    def full(self: JournalWriter, step: Step, *known: object) -> int:
        if isinstance(step, Rename) and step.path == os.fsencode(path):
            raise WriteError("journal", "no space")
        return begin(self, step, *known)  # type: ignore[arg-type]

    monkeypatch.setattr(JournalWriter, "begin", full)


# ---- a root that is left


def test_a_root_that_all_files_leave_is_cleared_and_comes_back(tmp_path: Path) -> None:
    root, to = tmp_path / "music", tmp_path / "sorted"
    make_titled(root, {"new/a.flac": "One", "other/b.flac": "Two"})
    to.mkdir()
    before = byte_tree(root)
    done = run(root, "organize", "--template", "$artist/$title", "--to", to, "--yes")
    assert done.exit_code == 0 and "2 empty folders removed" in done.stdout
    assert os.listdir(root) == []
    assert run(root, "undo").exit_code == 0
    assert byte_tree(root) == before and os.listdir(to) == []


def test_what_was_broken_off_on_the_way_to_another_root_goes_on(tmp_path: Path) -> None:
    root, to = tmp_path / "music", tmp_path / "sorted"
    make_titled(root, {"new/a.flac": "One"})
    to.mkdir()
    with pytest.MonkeyPatch.context() as patched:
        refuse_steps(patched, root / "new/a.lrc")
        run(root, "organize", "--template", "$artist/$title", "--to", to, "--yes")
    assert (to / "X/One.flac").exists() and (root / "new/a.lrc").exists()
    done = run(root, "organize", "--resume")
    assert done.exit_code == 0, done.output
    assert sorted(os.listdir(to / "X")) == ["One.flac", "One.lrc"] and os.listdir(root) == []


def test_an_undo_of_moves_to_another_root_may_be_broken_off_after_all_came_back(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root, to = tmp_path / "music", tmp_path / "sorted"
    make_titled(root, {"new/a.flac": "One"})
    to.mkdir()
    before = byte_tree(root)
    assert run(root, "organize", "--template", "$artist/$title", "--to", to, "--yes").exit_code == 0

    def full(*_: object) -> None:
        raise WriteError("journal", "no space")

    with monkeypatch.context() as patched:
        patched.setattr(JournalWriter, "set_state", full)
        assert run(root, "undo").exit_code != 0
    undone = run(root, "undo")
    assert undone.exit_code == 0, undone.output
    assert byte_tree(root) == before and os.listdir(to) == []


# ---- names of roots


def test_a_folder_named_through_a_link_is_the_root_that_it_is(tmp_path: Path) -> None:
    real, root = tmp_path / "disk", tmp_path / "music"
    real.mkdir()
    root.symlink_to(real)
    make_titled(root, {"a.flac": "One", "X/Two.flac": "Two"})
    for number, to in enumerate((real, root)):
        words = ("organize", "--template", "$artist/$title", "--to", to, "--yes")
        done = run(root, *words)
        assert done.exit_code == (5 if number else 0), done.output
        assert sorted(os.listdir(root / "X")) == ["One.flac", "One.lrc", "Two.flac", "Two.lrc"]
    with opened(root) as store:
        assert {track.root for track in store.catalog.tracks.all()} == {os.fsencode(root)}


def test_a_folder_in_a_root_makes_no_root_of_its_own(tmp_path: Path) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "One", "b.flac": "Two"})
    (root / "sorted").mkdir()
    words = ("organize", root / "a.flac", "--template", "$title", "--to", root / "sorted", "--yes")
    assert run(root, *words).exit_code == 0
    with opened(root) as store:
        assert {track.root for track in store.catalog.tracks.all()} == {os.fsencode(root)}


# ---- names and numbers


def test_a_name_is_waited_for_in_all_its_cases() -> None:
    wanted = [{b"/A": b"/Song"}, {b"/Song": b"/1"}, {b"/song": b"/2"}]
    order = [hop.path for unit in units(wanted) for hop in unit.hops]
    assert order.index(b"/Song") < order.index(b"/A")


def test_files_that_differ_by_case_only_give_their_names_to_another(tmp_path: Path) -> None:
    root = tmp_path / "music"
    make_titled(root, {"A.flac": "Song", "Song.flac": "1", "song.flac": "2"})
    for path in root.glob("[sS]ong.lrc"):
        path.unlink()
    with opened(root) as store:
        assert carried_out(store, planned(store, "$title")).refused == ()
        assert sorted(os.listdir(root)) == ["1.flac", "2.flac", "Song.flac", "Song.lrc"]
        assert take_back(store).failed == ()


def test_one_name_for_very_many_files_costs_little_more_than_many_names(tmp_path: Path) -> None:
    from tests.cleanups import make_store, tone

    root = tmp_path / "music"
    root.mkdir()
    (root / "0.flac").write_bytes(tone(1, "flac"))
    for number in range(1, 1500):
        shutil.copy(root / "0.flac", root / f"{number}.flac")
    make_store(tmp_path / "store", root, {f"{number}.flac": 1 for number in range(1500)})
    with opened(root) as store:
        began = time.process_time()
        plan = planned(store, "$length $bitdepth")
        spent_s = time.process_time() - began
    assert len({moving.target for moving in plan.moves}) == len(plan.moves) == 1500
    assert spent_s < 6  # it was 40 when every file was tried with every number


# ---- a scan in between


def test_what_a_scan_entered_anew_after_a_kill_is_not_there_twice(tmp_path: Path) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "b"})
    with opened(root) as store:
        (before,) = store.catalog.tracks.all()
        carried_out(store, planned(store, "$title"))
        (moved,) = store.catalog.tracks.all()
        other = replace(moved, path=os.fsencode(root / "other"))
        with store.catalog.transaction():  # as if the kill had come before the store kept it: the scan gives another id
            store.catalog.tracks.forget([moved.path])
            store.catalog.tracks.put(other)
            store.catalog.tracks.put(moved)
            store.catalog.tracks.forget([other.path])
        assert take_back(store).failed == ()
        (after,) = store.catalog.tracks.all()
        assert (after.path, after.audio) == (before.path, before.audio)


def test_a_template_that_gives_a_file_no_name_leaves_it(tmp_path: Path) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "One", "b.flac": "Two"})
    with opened(root) as store:
        plan = planned(store, "$artist/%if{$year,$year}")
        assert plan.moves == ()
        assert {each.reason for each in plan.staying} == {"the template gives it no name"}


# ---- playlists


def test_a_playlist_follows_what_moves_only_when_it_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "1", "b.flac": "2"})
    (root / "list.m3u").write_bytes(b"a.flac\nb.flac\n")
    with opened(root) as store:
        plan = planned(store, "$title")
        (root / "2.flac").write_bytes(b"another's")
        with monkeypatch.context() as patched:
            patched.setattr(_Organizing, "_finish_servers", lambda _: False)
            assert carried_out(store, plan).n_files == 1
        assert (root / "list.m3u").read_bytes() == b"1.flac\nb.flac\n"
        (root / "2.flac").unlink()
        done = resume(store=store, keep=KeepSettings(), observer=Silent(), stop=Stop())
        assert (done.n_files, done.refused) == (2, ())
        assert (root / "list.m3u").read_bytes() == b"1.flac\n2.flac\n"
        assert take_back(store).failed == ()
        assert (root / "list.m3u").read_bytes() == b"a.flac\nb.flac\n"


def test_a_playlist_that_cannot_follow_is_named_before_anything_moves(tmp_path: Path) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "1"})
    (root / "old.m3u8").write_bytes("a.flac\r\n".encode("utf-16"))
    words = ("organize", "--template", "$title", "--dry-run")
    shown = run(root, *words)
    assert (
        f"not rewritten: {root}/old.m3u8: not text, or UTF-16. It names, or may name, files that move" in shown.stdout
    )
    events = [json.loads(line) for line in run(root, *words, "--json").stdout.splitlines()]
    (told,) = [event for event in events if event["event"] == "not rewritten"]
    assert told["path"] == f"{root}/old.m3u8" and told["reason"] == "not text, or UTF-16"


# ---- folders that take no music


@pytest.mark.parametrize(
    ("to", "why"),
    [
        ("store", "which is protected"),
        ("store/cleanups", "which is protected"),
        ("music/.reprise-quarantine/x", "which is a quarantine"),
        (".reprise-quarantine", "which is a quarantine"),
        ("music/.hidden", "and no scan looks into hidden folders"),
    ],
)
def test_no_music_goes_where_no_scan_would_find_it(tmp_path: Path, to: str, why: str) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "1"})
    (tmp_path / to).mkdir(parents=True, exist_ok=True)
    done = run(root, "organize", "--template", "$title", "--to", tmp_path / to, "--yes")
    assert done.exit_code == 5 and f"it belongs in {tmp_path / to}, {why}" in done.stdout
    assert {"a.flac", "a.lrc"} <= set(os.listdir(root)) and not any((tmp_path / to).glob("1.*"))


def test_no_music_goes_where_scans_are_told_not_to_look(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "1", "b.flac": "2"})
    (tmp_path / "settings.toml").write_text('exclude = ["X", "2.*"]\n')
    monkeypatch.setenv("REPRISE_CONFIG", str(tmp_path / "settings.toml"))
    words = ("organize", "--dry-run", "--template")
    shown = run(root, *words, "in/$title").stdout
    assert f"stays: {root}/b.flac: it belongs in {root}/in, which scans exclude" in shown and "1.flac" in shown
    assert run(root, *words, "$artist/$title").exit_code == 5


# ---- a step that is taken back twice


def test_a_file_that_is_home_again_by_another_inode_is_back(tmp_path: Path) -> None:
    """As a cue sheet is whose content was put back, too, before its undo was killed."""
    home, hop, target = (os.fsencode(tmp_path / name) for name in ("home.cue", ".hop", "there.cue"))
    Path(os.fsdecode(home)).write_bytes(b"content")
    status = os.stat(home)
    step = Rename(hop, target, status.st_size, status.st_mtime_ns, status.st_ino + 1, origin=home)
    with Reach([os.fsencode(tmp_path)]) as reach:
        step.undo(reach)
        with pytest.raises(NoWayBackError, match="is gone"):
            replace(step, size=1).undo(reach)
    assert os.listdir(tmp_path) == ["home.cue"]


def test_what_was_imported_has_no_root_that_files_could_go_to(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    to = os.fsencode(tmp_path / "sorted")
    assert as_library_names(to, [b"", b"/music"]) == to
