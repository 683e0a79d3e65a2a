from __future__ import annotations

import inspect
import os
import re
import socket
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.errors import LibraryError
from dedup.files.paths import compile_globs, json_path, path_from_json, printable, volume_of
from dedup.library.discover import Discovery, discover
from dedup.observer import Kind, Silent
from dedup.settings import DiscoverSettings


class Witness(Silent):
    """Keeps what it is told."""

    def __init__(self) -> None:
        self.n_files = 0
        self.folders: list[bytes] = []
        self.problems: list[tuple[Kind, bytes, str]] = []

    def advance(self, n: int = 1) -> None:
        self.n_files += n

    def folder(self, path: bytes) -> None:
        self.folders.append(path)

    def problem(self, kind: Kind, path: bytes, reason: str) -> None:
        self.problems.append((kind, path, reason))


@pytest.fixture
def music(tmp_path: Path) -> Path:
    folder = tmp_path / "music"
    folder.mkdir()
    return folder


def _write(path: Path, content: bytes = b"audio") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def _discover(*roots: Path, **settings: Any) -> Discovery:
    return discover([os.fsencode(root) for root in roots], DiscoverSettings(**settings), Silent())


def _names(found: Discovery, base: Path) -> list[str]:
    return [os.fsdecode(os.path.relpath(candidate.path, os.fsencode(base))) for candidate in found.candidates]


def _problems(found: Discovery, base: Path) -> dict[str, tuple[str, str]]:
    """(kind, reason) by path below `base`; each path has one at most."""
    by_path = {
        os.fsdecode(os.path.relpath(problem.path, os.fsencode(base))): (problem.kind, problem.reason)
        for problem in found.problems
    }
    assert len(by_path) == len(found.problems)
    return by_path


def test_candidates_are_sorted_and_carry_their_status(music: Path) -> None:
    _write(music / "b.MP3")
    _write(music / "a" / "x.flac", b"12345")
    found = _discover(music)
    assert _names(found, music) == ["a/x.flac", "b.MP3"]
    assert found.problems == [] and found.unlisted == []
    flac, status = found.candidates[0], os.stat(music / "a" / "x.flac")
    assert (flac.size, flac.mtime_ns) == (5, status.st_mtime_ns)
    assert (flac.device, flac.inode) == (status.st_dev, status.st_ino)
    assert flac.root == os.fsencode(music)
    assert flac.volume == volume_of(flac.path)
    assert os.path.ismount(flac.volume)


def test_every_kind_of_thing_that_is_no_track(music: Path) -> None:
    _write(music / "cover.jpg")
    _write(music / "README")
    _write(music / ".mp3")
    _write(music / "song.mp3.part")
    _write(music / "film.crdownload")
    _write(music / ".hidden.mp3")
    _write(music / ".cache" / "x.mp3")
    _write(music / "empty.mp3", b"")
    os.mkfifo(music / "pipe.mp3")
    os.mkfifo(music / "pipe")
    with socket.socket(socket.AF_UNIX) as listener:
        folder = os.open(music, os.O_RDONLY)  # a socket's path may be only 108 bytes long
        listener.bind(f"/proc/self/fd/{folder}/socket.mp3")
        os.close(folder)
        found = _discover(music)
    assert found.candidates == []
    assert _problems(found, music) == {
        "cover.jpg": ("ignored", "not an audio extension (.jpg)"),
        "README": ("ignored", "no extension"),
        ".mp3": ("ignored", "no extension"),
        "song.mp3.part": ("skipped", "unfinished download (.part)"),
        "film.crdownload": ("skipped", "unfinished download (.crdownload)"),
        ".hidden.mp3": ("skipped", "hidden"),
        ".cache": ("ignored", "a hidden folder"),
        "empty.mp3": ("failed", "empty file"),
        "pipe.mp3": ("skipped", "a FIFO"),
        "pipe": ("ignored", "no extension"),
        "socket.mp3": ("skipped", "a socket"),
    }


@pytest.mark.parametrize("hidden", [False, True])
def test_quarantined_files_are_never_found_again(music: Path, hidden: bool) -> None:
    quarantine = music / "album" / ".reprise-quarantine"
    _write(quarantine / "deep" / "copy.mp3")
    _write(music / "album" / "song.mp3")
    (music / "link").symlink_to(quarantine / "deep")
    (music / "link.mp3").symlink_to(quarantine / "deep" / "copy.mp3")
    found = _discover(music, hidden=hidden)
    assert _names(found, music) == ["album/song.mp3"]
    assert found.problems == []
    for root in (quarantine, quarantine / "deep", quarantine / "deep" / "copy.mp3"):
        with pytest.raises(LibraryError, match="in a folder of quarantined files"):
            _discover(root)


def test_hidden_names_are_taken_when_asked_for(music: Path) -> None:
    _write(music / ".hidden.mp3")
    _write(music / ".folder" / "x.mp3")
    found = _discover(music, hidden=True)
    assert _names(found, music) == [".folder/x.mp3", ".hidden.mp3"]
    assert found.problems == []


def test_a_directory_named_like_audio_is_told_and_entered(music: Path) -> None:
    _write(music / "album.mp3" / "x.mp3")
    found = _discover(music)
    assert _names(found, music) == ["album.mp3/x.mp3"]
    assert _problems(found, music) == {"album.mp3": ("skipped", "a directory")}


def test_any_file_name_is_found(music: Path) -> None:
    folder = os.fsencode(music)
    names = sorted([b"new\nline.mp3", b"\xff\xfe.mp3", b"-rf *.mp3", b"n" * 251 + b".mp3", "Ä 音.mp3".encode()])
    for name in names:
        with open(os.path.join(folder, name), "wb") as file:
            file.write(b"audio")
    found = _discover(music)
    assert [os.path.basename(candidate.path) for candidate in found.candidates] == names


def test_links_that_lead_in_circles_or_nowhere_are_skipped(music: Path) -> None:
    _write(music / "album" / "x.mp3")
    (music / "album" / "up").symlink_to(music)
    (music / "beside").symlink_to("album")
    (music / "above").symlink_to("../..")
    (music / "gone.mp3").symlink_to("nowhere.mp3")
    (music / "through.mp3").symlink_to("album/x.mp3/y.mp3")
    (music / "self.mp3").symlink_to("self.mp3")
    found = _discover(music)
    assert _names(found, music) == ["album/x.mp3"]
    assert _problems(found, music) == {
        "album/up": ("skipped", f"link to a folder that was already walked: {music}"),
        "beside": ("skipped", f"link to a folder that was already walked: {music / 'album'}"),
        "above": ("skipped", f"link to a folder that holds a root: {music.parent.parent}"),
        "gone.mp3": ("skipped", "dangling link"),
        "through.mp3": ("skipped", "dangling link"),
        "self.mp3": ("skipped", "link to itself"),
    }
    assert found.unlisted == []


def test_a_link_to_a_folder_elsewhere_is_followed_once_and_after_all_real_ones(music: Path, tmp_path: Path) -> None:
    _write(tmp_path / "elsewhere" / "deep" / "x.mp3")
    (tmp_path / "elsewhere" / "deep" / "back").symlink_to("..")
    (music / "1").symlink_to(tmp_path / "elsewhere")
    (music / "2").symlink_to(tmp_path / "elsewhere")
    _write(music / "3" / "y.mp3")
    witness = Witness()
    found = discover([os.fsencode(music)], DiscoverSettings(), witness)
    assert _names(found, music) == ["1/deep/x.mp3", "3/y.mp3"]
    reason = f"link to a folder that was already walked: {tmp_path / 'elsewhere'}"
    assert _problems(found, music) == {"2": ("skipped", reason), "1/deep/back": ("skipped", reason)}
    assert witness.folders == [os.fsencode(music / name) for name in ("", "3", "1", "1/deep")]


def test_a_link_to_an_absent_drive_keeps_what_is_known_below_it(music: Path) -> None:
    (music / "drive").symlink_to("/nowhere/music")
    found = _discover(music)
    assert _problems(found, music) == {"drive": ("skipped", "dangling link")}
    assert found.unlisted == [os.fsencode(music / "drive")]


def test_a_link_to_a_file_counts_only_where_its_target_does_not(music: Path, tmp_path: Path) -> None:
    _write(music / "z.mp3")
    _write(tmp_path / "elsewhere.mp3", b"other audio")
    (music / "a.mp3").symlink_to("z.mp3")
    (music / "b.mp3").symlink_to(tmp_path / "elsewhere.mp3")
    (music / "c.mp3").symlink_to(tmp_path / "elsewhere.mp3")
    found = _discover(music)
    assert _names(found, music) == ["b.mp3", "z.mp3"]
    assert found.candidates[0].size == 11
    assert _problems(found, music) == {
        "a.mp3": ("skipped", f"link to {music / 'z.mp3'}"),
        "c.mp3": ("skipped", f"link to {music / 'b.mp3'}"),
    }


def test_hard_links_are_candidates_both(music: Path) -> None:
    _write(music / "a.mp3")
    os.link(music / "a.mp3", music / "b.mp3")
    found = _discover(music)
    assert len({candidate.inode for candidate in found.candidates}) == 1


def test_roots_that_overlap_give_each_file_once(music: Path) -> None:
    _write(music / "a" / "b" / "x.mp3")
    _write(music / "a" / "y.mp3")
    _write(music / "z.mp3")
    link = music.parent / "link"
    link.symlink_to(music)
    roots = [link, music / "a", music, music / "a" / "b" / "x.mp3", music / "a" / ".." / "a"]
    found = _discover(*roots)
    assert _names(found, music) == ["a/b/x.mp3", "a/y.mp3", "z.mp3"]
    assert [os.fsdecode(candidate.root) for candidate in found.candidates] == [
        str(music / "a" / "b"),
        str(music / "a"),
        str(music),
    ]
    reason = f"a folder that was already walked: {music}"
    assert _problems(found, music.parent) == {"link": ("skipped", reason)}
    assert _discover(*reversed(roots)) == found


def test_a_root_inside_another_has_a_depth_of_its_own(music: Path) -> None:
    _write(music / "a" / "b" / "x.mp3")
    _write(music / "a" / "b" / "c" / "y.mp3")
    assert _names(_discover(music, music / "a" / "b", max_depth=0), music) == ["a/b/x.mp3"]
    assert _names(_discover(music, music / "a", max_depth=1), music) == ["a/b/x.mp3"]


def test_a_root_that_is_a_link_is_followed(music: Path) -> None:
    _write(music / "a" / "x.mp3")
    link = music.parent / "link"
    link.symlink_to(music)
    found = _discover(link)
    assert _names(found, link) == ["a/x.mp3"]
    assert found.candidates[0].volume == volume_of(os.fsencode(music))


def test_a_root_that_is_a_file_is_taken_whatever_its_name(music: Path) -> None:
    _write(music / ".odd")
    _write(music / "beside.mp3")
    found = _discover(music / ".odd", exclude=("*",))
    assert _names(found, music) == [".odd"]
    assert found.candidates[0].root == os.fsencode(music)


def test_roots_that_cannot_be_used_are_all_named_before_anything_is_walked(music: Path) -> None:
    _write(music / "x.mp3")
    os.mkfifo(music / "pipe")
    witness = Witness()
    roots = [music, music / "gone\n", music / "pipe"]
    with pytest.raises(LibraryError) as caught:
        discover([os.fsencode(root) for root in roots], DiscoverSettings(), witness)
    assert caught.value.where == f"{music}/gone\\n"
    assert "No such file or directory" in caught.value.found
    assert f"{music}/pipe: Not a directory" in caught.value.found
    assert caught.value.expected and caught.value.remedy
    assert "\n" not in str(caught.value)
    assert witness.folders == []
    with pytest.raises(LibraryError):
        _discover()


def test_a_folder_that_cannot_be_listed_costs_one_line(music: Path) -> None:
    _write(music / "closed" / "x.mp3")
    _write(music / "open" / "y.mp3")
    (music / "closed").chmod(0)
    try:
        is_closed = not os.access(music / "closed", os.R_OK)  # nothing is closed to root
        found = _discover(music)
    finally:
        (music / "closed").chmod(0o700)
    assert _names(found, music) == (["open/y.mp3"] if is_closed else ["closed/x.mp3", "open/y.mp3"])
    assert _problems(found, music) == ({"closed": ("failed", "Permission denied")} if is_closed else {})
    assert found.unlisted == ([os.fsencode(music / "closed")] if is_closed else [])


def test_a_listing_that_fails_midway_is_told(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _write(music / "bad" / "x.mp3")
    _write(music / "good" / "y.mp3")
    scandir = os.scandir

    def failing(path: bytes) -> Any:
        if path.endswith(b"/bad"):
            raise OSError(5, "Input/output error")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", failing)
    found = _discover(music)
    assert _names(found, music) == ["good/y.mp3"]
    assert _problems(found, music) == {"bad": ("failed", "Input/output error")}
    assert found.unlisted == [os.fsencode(music / "bad")]


def test_what_vanishes_or_cannot_be_looked_at(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("vanishes.mp3", "broken.mp3", "folder", "fine.mp3"):
        _write(music / name)
    lstat = os.lstat
    errors = {
        b"vanishes.mp3": FileNotFoundError(2, "gone"),
        b"folder": PermissionError(13, "Permission denied"),
    }
    errors[b"broken.mp3"] = OSError(5, "Input/output error")

    def failing(path: bytes) -> os.stat_result:
        if error := errors.get(os.path.basename(path)):
            raise error
        return lstat(path)

    monkeypatch.setattr(os, "lstat", failing)
    found = _discover(music)
    assert _names(found, music) == ["fine.mp3"]
    assert _problems(found, music) == {
        "vanishes.mp3": ("skipped", "vanished"),
        "broken.mp3": ("failed", "Input/output error"),
        "folder": ("failed", "Permission denied"),
    }
    assert found.unlisted == [os.fsencode(music / name) for name in ("broken.mp3", "folder")]  # neither is known gone


GLOBS = [
    (("*.mp3",), "a/b/x.mp3", True),
    (("*.mp3",), "a/b/x.flac", False),
    (("a/*.mp3",), "a/x.mp3", True),
    (("a/*.mp3",), "a/b/x.mp3", False),
    (("a/**/x.mp3",), "a/x.mp3", True),
    (("a/**/x.mp3",), "a/b/c/x.mp3", True),
    (("a/**",), "a/b/c/x.mp3", True),
    (("a/**",), "ab/x.mp3", False),
    (("**/b/*",), "b/x.mp3", True),
    (("/x.mp3",), "x.mp3", True),
    (("/x.mp3",), "a/x.mp3", False),
    (("b",), "a/b", True),
    (("b",), "a/bb", False),
    (("b/",), "a/b", False),
    (("?.mp3",), "x.mp3", True),
    (("a?b",), "a/b", False),
    (("[!a-c].mp3",), "d.mp3", True),
    (("[!a-c].mp3",), "b.mp3", False),
    (("a[!x]b",), "a/b", False),
    (("[]a].mp3",), "].mp3", True),
    (("[a.mp3",), "[a.mp3", True),
    (("new*.mp3",), "new\nline.mp3", True),
    (("x.mp3",), "xymp3", False),
    ((), "x.mp3", False),
    (("no", "*.mp3"), "x.mp3", True),
    (("[z-a].mp3",), "b.mp3", False),
    (("[!z-a].mp3",), "b.mp3", True),
    (("[&&-~|].mp3",), "&.mp3", True),
    (("#1 hits",), "#1 hits", True),
    (("!!!",), "!!!", True),
    (("!x.mp3",), "x.mp3", False),
    (("x ",), "x ", True),
    (("x ",), "x", False),
    (("a\\*",), "a\\b", True),
    (("*[[]live]*",), "a [live].mp3", True),
    (("*[[]live]*",), "a live.mp3", False),
    (("**/x.mp3",), "new\nline/x.mp3", True),
    (("jazz/**/x.mp3",), "jazz/new\nline/x.mp3", True),
    (("x.mp3",), "x.mp3\n", False),
    (("a**c",), "a/b/c", True),
    (("jazz",), "jazz/a.mp3", False),
]


def test_a_slash_at_the_end_means_folders_only() -> None:
    matches = compile_globs(("b/", "/c/d/"))
    asked = {(path, is_folder) for path in ("b", "a/b", "c/d", "a/c/d") for is_folder in (True, False)}
    assert {one for one in asked if matches(one[0].encode(), one[1])} == {("b", True), ("a/b", True), ("c/d", True)}


@pytest.mark.parametrize(("patterns", "path", "expected"), GLOBS)
def test_globs(patterns: tuple[str, ...], path: str, expected: bool) -> None:
    assert compile_globs(patterns)(path.encode(), False) is expected


@given(st.text(alphabet="ab*?[]!^-/\\.&|~"), st.text(alphabet="ab/-[]"))
def test_any_text_is_a_glob(pattern: str, path: str) -> None:
    compile_globs((pattern,))(path.encode(), False)


def test_a_glob_matches_bytes_that_are_no_text() -> None:
    assert compile_globs(("*.mp3",))(b"a/\xff.mp3", False)


def test_excluded_and_too_deep_is_not_even_counted(music: Path) -> None:
    _write(music / "podcasts" / "x.mp3")
    _write(music / "rock" / "podcasts" / "x.mp3")
    _write(music / "rock" / "live" / "deep" / "x.mp3")
    _write(music / "rock" / "live" / "x.mp3")
    _write(music / "rock" / "a.wav")
    _write(music / "rock" / "a.mp3")
    witness = Witness()
    settings = DiscoverSettings(exclude=("podcasts/", "*.wav"), max_depth=2)
    found = discover([os.fsencode(music)], settings, witness)
    assert _names(found, music) == ["rock/a.mp3", "rock/live/x.mp3"]
    assert found.problems == []
    assert witness.folders == [os.fsencode(music / name) for name in ("", "rock", "rock/live")]
    assert witness.n_files == 2


def test_include_is_of_files_and_exclude_wins(music: Path) -> None:
    for name in ("jazz/a.mp3", "jazz/b.mp3", "rock/a.mp3", "rock/cover.jpg"):
        _write(music / name)
    found = _discover(music, include=("jazz/**", "z*"), exclude=("b.*",))
    assert _names(found, music) == ["jazz/a.mp3"]
    assert found.problems == []


def test_only_the_settings_say_what_audio_is(music: Path) -> None:
    _write(music / "a.mp3")
    _write(music / "a.XYZ")
    found = _discover(music, extensions=frozenset(["xyz"]))
    assert _names(found, music) == ["a.XYZ"]


def test_the_observer_hears_all(music: Path) -> None:
    _write(music / "b" / "x.mp3")
    _write(music / "a" / "y.mp3")
    _write(music / "a" / "cover.jpg")
    (music / "a" / "link.mp3").symlink_to("y.mp3")
    witness = Witness()
    found = discover([os.fsencode(music)], DiscoverSettings(), witness)
    assert witness.folders == [os.fsencode(music / name) for name in ("", "a", "b")]
    assert witness.n_files == 3 == len(found.candidates) + sum(each.kind != "ignored" for each in found.problems)
    assert witness.problems == [(problem.kind, problem.path, problem.reason) for problem in found.problems]


def test_the_order_of_listing_does_not_matter(music: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("c/x.mp3", "a/x.mp3", "b.mp3", "a/y.jpg"):
        _write(music / name)
    (music / "b").symlink_to("a")
    found = _discover(music)
    scandir = os.scandir

    class Backwards:
        def __init__(self, path: bytes) -> None:
            with scandir(path) as entries:
                self.entries = sorted(entries, key=lambda entry: entry.name, reverse=True)

        def __enter__(self) -> Sequence[os.DirEntry[bytes]]:
            return self.entries

        def __exit__(self, *exception: object) -> None:
            pass

    monkeypatch.setattr(os, "scandir", Backwards)
    assert _discover(music) == found


def test_very_deep_folders_do_not_exhaust_the_stack(music: Path) -> None:
    _write(music / Path(*["d"] * 300) / "x.mp3")
    limit = sys.getrecursionlimit()
    sys.setrecursionlimit(len(inspect.stack(0)) + 100)
    try:
        found = _discover(music)
    finally:
        sys.setrecursionlimit(limit)
    assert len(found.candidates) == 1


PRINTED = [
    (b"/a/plain.mp3", "/a/plain.mp3"),
    ("/a/Ä 音.mp3".encode(), "/a/Ä 音.mp3"),
    (b"/a/new\nline.mp3", "/a/new\\nline.mp3"),
    (b"/a/\xff.mp3", "/a/\\xff.mp3"),
    (b"/a/\x1b[31m", "/a/\\x1b[31m"),
    ("/a/\u202e3pm".encode(), "/a/\\u202e3pm"),
    (b"/a/back\\slash", "/a/back\\slash"),
    (b"/a/back\\n\n", "/a/back\\\\n\\n"),
]


@pytest.mark.parametrize(("path", "expected"), PRINTED)
def test_printable_paths(path: bytes, expected: str) -> None:
    assert printable(path) == expected


@given(st.binary())
def test_a_printed_path_is_one_line_of_valid_text(path: bytes) -> None:
    shown = printable(path)
    assert shown.isprintable()
    shown.encode("utf-8")
    if shown.encode() != path:  # something was escaped, so the escapes can be undone
        undone = re.sub(rb"\\(\\|x..|u....|U.{8}|[nrt])", _undo, shown.encode())
        assert undone == path


def _undo(escape: re.Match[bytes]) -> bytes:
    text = escape[0]
    if text.startswith(b"\\x"):
        return bytes.fromhex(text[2:].decode())
    return text.decode("unicode_escape").encode()


@given(st.one_of(st.binary(), st.text().map(lambda text: text.encode("utf-8", "ignore"))))
def test_json_paths_come_back(path: bytes) -> None:
    value = json_path(path)
    assert path_from_json(value) == path
    assert ("path_hex" in value) != _is_utf8(path)


def _is_utf8(path: bytes) -> bool:
    try:
        path.decode("utf-8")
    except UnicodeDecodeError:
        return False
    return True
