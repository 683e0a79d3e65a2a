"""What lies beside a copy: side-cars stay, move to the kept file or go along, and come back; cue sheets are rewritten;
a hard link never takes an owner's rights."""

from __future__ import annotations

import os
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.playlists.sidecars import Sidecars, renamed
from dedup.settings import KeepSettings, PlanSettings
from tests.cleanups import carry_out, go_on, make_files, make_store, opened, plan_all, take_back, tree

RECORDINGS = {"best/Song.flac": 1, "old/song.mp3": 1}


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "music"
    make_files(root, RECORDINGS)
    make_store(tmp_path / "store", root, RECORDINGS)
    return root


def beside(root: Path, name: str, text: str = "x") -> Path:
    path = root / name
    path.write_text(text)
    return path


def only_copy(root: Path, **settings: object):  # type: ignore[no-untyped-def]
    with opened(root) as store:
        (group,) = plan_all(store, settings=PlanSettings(**settings)).groups  # type: ignore[arg-type]
    return group.files[1]


@pytest.mark.parametrize(
    "name", ["song.wvc", "song.srt", "song.en.srt", "song.mp3.md5", "song.nfo", "song.info.json", "Song.CDG"]
)
def test_a_file_with_a_side_car_stays(root: Path, name: str) -> None:
    beside(root, f"old/{name}")
    copy = only_copy(root)
    assert (copy.action, copy.rule, copy.why) == ("leave", "sidecars", f"side-car {name}")


def test_a_side_car_that_the_kept_file_has_too_is_not_lost(root: Path) -> None:
    beside(root, "old/song.nfo", "the same")
    beside(root, "best/Song.nfo", "the same")
    assert only_copy(root).action == "quarantine"
    (root / "best/Song.nfo").write_text("another")
    assert only_copy(root).action == "leave"


@pytest.mark.parametrize("name", ["other.srt", "song 2.srt", "folder.jpg", "song.mp3.part", "song"])
def test_what_belongs_to_no_copy_is_left_alone(root: Path, name: str) -> None:
    beside(root, f"old/{name}")
    assert only_copy(root).action == "quarantine"


def test_a_link_or_a_folder_is_never_moved_so_its_copy_stays(root: Path) -> None:
    odd = root / "old/song.lrc"
    for make in (lambda: odd.symlink_to("nowhere"), lambda: odd.symlink_to("../best/Song.flac"), odd.mkdir):
        make()
        before = tree(root)
        copy = only_copy(root)
        assert (copy.action, copy.why) == ("leave", "side-car song.lrc")
        with opened(root) as store:
            plan = plan_all(store, settings=PlanSettings(let_go=("sidecars",)))
            assert (plan.groups[0].files[1].action, plan.groups[0].files[1].sidecars) == ("quarantine", ())
            assert carry_out(store, plan).refused == ()
            assert os.path.lexists(odd)
            take_back(store)
        assert tree(root) == before
        odd.rmdir() if odd.is_dir() and not odd.is_symlink() else odd.unlink()


def test_a_side_car_that_became_a_link_stays(root: Path) -> None:
    lyrics = beside(root, "old/song.lrc")
    with opened(root) as store:
        plan = plan_all(store)
        lyrics.rename(root / "elsewhere.txt")
        lyrics.symlink_to("../elsewhere.txt")
        (refused,) = carry_out(store, plan).refused
    assert "it is a symbolic link" in refused.reason
    assert lyrics.is_symlink()


def names_of(folder: Path, name: str) -> list[str]:
    return [os.path.basename(path).decode() for path in Sidecars().of(os.fsencode(folder / name))]


def test_a_side_car_belongs_to_the_music_of_its_longest_name(tmp_path: Path) -> None:
    for name in (
        "01.mp3",
        "01.srt",
        "01.de.srt",
        "01.Other.mp3",
        "01.Other.de.srt",
        "01.Other.ogg",
        "01.Other.ogg.txt",
    ):
        beside(tmp_path, name)
    assert names_of(tmp_path, "01.mp3") == ["01.de.srt", "01.srt"]
    assert names_of(tmp_path, "01.Other.mp3") == ["01.Other.de.srt"]
    assert names_of(tmp_path, "01.Other.ogg") == ["01.Other.de.srt", "01.Other.ogg.txt"]


def test_names_agree_in_any_case_and_form(tmp_path: Path) -> None:
    for name in ("caf\u00e9.mp3", "CAFE\u0301.De.LRC", "Caf\u00e9.MP3.lrc"):
        beside(tmp_path, name)
    copy = os.fsencode(tmp_path / "caf\u00e9.mp3")
    found = [renamed(path, copy, b"/best/Song.flac") for path in Sidecars().of(copy)]
    assert found == [b"/best/Song.De.LRC", b"/best/Song.flac.lrc"]


def test_a_side_car_of_two_files_is_lost_with_either(tmp_path: Path) -> None:
    root, names = tmp_path / "music", {**RECORDINGS, "old/song.ogg": 1}
    make_files(root, names)
    make_store(tmp_path / "store", root, names)
    sidecars = [beside(root, "old/song.lrc"), beside(root, "old/song.srt")]
    before = tree(root)
    with opened(root) as store:
        assert [file.action for file in plan_all(store).groups[0].files[1:]] == ["leave", "leave"]
        plan = plan_all(store, settings=PlanSettings(let_go=("sidecars",)))
        (group,) = plan.groups
        one = replace(group, files=(*group.files[:2], replace(group.files[2], action="leave")))
        assert carry_out(store, replace(plan, groups=(one,))).refused == ()
        assert all(map(os.path.exists, sidecars))  # the other file still needs them
        take_back(store)
        assert carry_out(store, plan).refused == ()
        assert not any(map(os.path.exists, sidecars))
        take_back(store)
    assert tree(root) == before


def test_the_kept_file_may_have_the_same_side_car(tmp_path: Path) -> None:
    root, names = tmp_path / "music", {"song.flac": 1, "song.mp3": 1}
    make_files(root, names)
    make_store(tmp_path / "store", root, names)
    sidecar = beside(root, "song.lrc")
    with opened(root) as store:
        assert carry_out(store, plan_all(store)).done["quarantine"] == 1
    assert sidecar.exists()


@pytest.mark.parametrize("action", ["quarantine", "delete"])
def test_side_cars_that_are_let_go_go_along(root: Path, action: str) -> None:
    sidecar = beside(root, "old/song.srt")
    before = tree(root)
    with opened(root) as store:
        plan = plan_all(store, settings=PlanSettings(action=action, let_go=("sidecars",)))  # type: ignore[arg-type]
        assert [each.path for each in plan.groups[0].files[1].sidecars] == [os.fsencode(sidecar)]
        assert carry_out(store, plan).refused == ()
        assert not sidecar.exists()
        assert not (root / "old/song.mp3").exists()
        if action == "quarantine":
            assert (root / ".reprise-quarantine/old/song.srt").exists()
            take_back(store)
            assert tree(root) == before


def test_lyrics_move_to_the_kept_file_and_back(root: Path) -> None:
    lyrics = beside(root, "old/song.lrc", "[00:01.00]la")
    before = tree(root)
    with opened(root) as store:
        assert carry_out(store, plan_all(store)).refused == ()
        assert (root / "best/Song.lrc").read_text() == "[00:01.00]la"
        assert not lyrics.exists()
        take_back(store)
    assert tree(root) == before


def test_a_side_car_that_changed_keeps_its_file(root: Path) -> None:
    beside(root, "old/song.lrc")
    notes = beside(root, "old/song.nfo")
    with opened(root) as store:
        plan = plan_all(store, settings=PlanSettings(let_go=("sidecars",)))
        notes.write_text("something else")
        before = tree(root)
        done = carry_out(store, plan)
        assert [(refused.path, refused.reason) for refused in done.refused] == [
            (
                os.fsencode(root / "old/song.mp3"),
                "song.nfo, which belongs to it: it was changed since the plan was made",
            )
        ]
        take_back(store)
    assert tree(root) == before


@pytest.mark.parametrize("action", ["quarantine", "delete"])
def test_a_clean_up_that_was_cut_short_moves_the_side_cars_when_it_goes_on(
    root: Path, monkeypatch: pytest.MonkeyPatch, action: str
) -> None:
    sidecars = [beside(root, "old/song.lrc"), beside(root, "old/song.nfo")]
    with opened(root) as store:
        plan = plan_all(store, settings=PlanSettings(action=action, let_go=("sidecars",)))  # type: ignore[arg-type]
        for name in ("_step", "sidecars"):
            with monkeypatch.context() as killed:
                killed.setattr(f"dedup.cleanup.entries.Cleanup.{name}", lambda *_: 1 / 0)
                with pytest.raises(ZeroDivisionError):
                    carry_out(store, plan) if name == "_step" else go_on(store)
        go_on(store)
    assert not any(map(os.path.exists, sidecars))
    assert (root / "best/Song.lrc").exists()


@pytest.fixture
def three(tmp_path: Path) -> Path:
    """The library with a further copy."""
    root, names = tmp_path / "music", {**RECORDINGS, "older/song.ogg": 1}
    make_files(root, names)
    make_store(tmp_path / "store", root, names)
    return root


def test_only_one_copy_s_lyrics_move_to_the_kept_file(three: Path) -> None:
    beside(three, "old/song.lrc", "english")
    other = beside(three, "older/song.lrc", "deutsch")
    with opened(three) as store:
        files = {file.path: file for file in plan_all(store).groups[0].files[1:]}
        assert sorted(file.action for file in files.values()) == ["leave", "quarantine"]
        other.write_text("english")
        plan = plan_all(store)
        assert [file.action for file in plan.groups[0].files[1:]] == ["quarantine", "quarantine"]
        assert carry_out(store, plan).refused == ()
    assert (three / "best/Song.lrc").read_text() == "english"


def test_lyrics_that_find_their_place_taken_keep_their_copy(root: Path) -> None:
    lyrics = beside(root, "old/song.lrc", "english")
    with opened(root) as store:
        plan = plan_all(store)
        beside(root, "best/Song.lrc", "deutsch")
        before = tree(root)
        (refused,) = carry_out(store, plan).refused
        assert refused.path == os.fsencode(root / "old/song.mp3")
        assert "song.lrc, which belongs to it: refused by the system" in refused.reason
        assert lyrics.exists()
        take_back(store)
    assert tree(root) == before


def test_a_copy_that_cannot_go_keeps_its_lyrics(root: Path) -> None:
    beside(root, "old/song.lrc")
    with opened(root) as store:
        plan = plan_all(store)
        (root / ".reprise-quarantine").write_text("not a folder")
        before = tree(root)
        assert len(carry_out(store, plan).refused) == 1
        take_back(store)
    assert tree(root) == before


@pytest.mark.parametrize("name", ["song.nfo", "song.cue", "song.m3u"])
def test_a_side_car_that_appeared_keeps_its_file(root: Path, name: str) -> None:
    with opened(root) as store:
        plan = plan_all(store)
        beside(root, f"old/{name}", "song.mp3")
        (refused,) = carry_out(store, plan).refused
        assert refused.reason == f"{name}, which belongs to it, is not in the plan. Make the plan again"
        beside(root, f"best/Song.{name[-3:]}", "song.mp3")
        assert carry_out(store, plan).refused == ()


def test_a_plan_moves_nothing_that_does_not_belong_to_its_file(root: Path) -> None:
    beside(root, "old/song.lrc")
    other = beside(root, "old/other.lrc")
    with opened(root) as store:
        plan = plan_all(store)
        (group,) = plan.groups
        (sidecar,) = group.files[1].sidecars
        copy = replace(group.files[1], sidecars=(sidecar, replace(sidecar, path=os.fsencode(other))))
        edited = replace(plan, groups=(replace(group, files=(group.files[0], copy)),))
        (refused,) = carry_out(store, edited).refused
    assert refused.reason == f"{other} does not belong to it"


def test_nothing_comes_to_a_protected_folder(root: Path) -> None:
    beside(root, "old/song.lrc")
    protect = (os.fsencode(root / "best"),)
    with opened(root) as store:
        plan = plan_all(store)
        assert plan.groups[0].files[1].sidecars
        before = tree(root / "best")
        (refused,) = carry_out(store, plan, protect).refused
        assert "song.lrc, which belongs to it: it is in a protected folder" in refused.reason
        copy = plan_all(store, KeepSettings(protect=protect)).groups[0].files[1]
    assert (copy.action, copy.why) == ("leave", "side-car song.lrc")
    assert tree(root / "best") == before


def test_a_cue_sheet_refers_to_the_kept_file_and_back(root: Path) -> None:
    cue = beside(root, "old/song.cue", 'FILE "song.mp3" MP3\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n')
    before = tree(root)
    with opened(root) as store:
        plan = plan_all(store)
        assert [planned.path for planned in plan.playlists] == [os.fsencode(cue)]
        assert carry_out(store, plan).refused == ()
        assert cue.read_text().startswith('FILE "../best/Song.flac" MP3\n')
        take_back(store)
    assert tree(root) == before


def test_a_cue_sheet_that_will_not_be_rewritten_keeps_its_file(root: Path) -> None:
    cue = beside(root, "old/song.cue", 'FILE "song.wav" WAVE\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n')
    assert only_copy(root).why == "side-car song.cue"
    cue.unlink()
    sheet = beside(root.parent, "real.cue", 'FILE "song.mp3" MP3\n  TRACK 01 AUDIO\n    INDEX 01 00:00:00\n')
    cue.symlink_to(sheet)
    assert only_copy(root).why == "side-car song.cue"


def test_a_playlist_that_cannot_be_rewritten_keeps_the_file(root: Path) -> None:
    beside(root, "list.xspf", "<playlist><trackList><track><location>old/song.mp3</location>")
    copy = only_copy(root)
    assert (copy.action, copy.rule) == ("leave", "playlists")


def test_a_hard_link_is_made_only_where_the_rights_agree(tmp_path: Path) -> None:
    root, names = tmp_path / "music", {"a.flac": 1, "b.flac": 1}
    make_files(root, names)
    make_store(tmp_path / "store", root, names)
    with opened(root) as store:
        for name in names:
            store.catalog.tracks.set_full(os.fsencode(root / name), b"f" * 32)
    (root / "a.flac").chmod(0o600)
    (root / "b.flac").chmod(0o644)
    copy = only_copy(root, action="hardlink")
    assert (copy.action, copy.rule) == ("leave", "owner")
    (root / "b.flac").chmod(0o600)
    assert only_copy(root, action="hardlink").action == "hardlink"
    with opened(root) as store:
        plan = plan_all(store, settings=PlanSettings(action="hardlink"))
        (root / plan.groups[0].files[1].path.decode()).chmod(0o644)
        (refused,) = carry_out(store, plan).refused
    assert "a hard link has only one" in refused.reason
