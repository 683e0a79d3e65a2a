"""Which playlists refer to which files, and which of them cannot be rewritten."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from dedup.observer import Silent
from dedup.plan.nouns import Action, PlannedFile, PlannedGroup, PlannedPlaylist, PlannedSidecar
from dedup.plan.references import References


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "my songs").mkdir()
    for name in ("keep.flac", "my songs/ä b.mp3"):
        (tmp_path / name).write_bytes(b"x")
    return tmp_path


def path_of(root: Path, name: str) -> bytes:
    return os.fsencode(root / name)


def copy_of(root: Path) -> bytes:
    return path_of(root, "my songs/ä b.mp3")


def looked(root: Path, protect: tuple[bytes, ...] = ()) -> References:
    return References([os.fsencode(root)], [path_of(root, "keep.flac"), copy_of(root)], Silent(), protect)


def group(root: Path, action: Action = "quarantine", sidecars: tuple[PlannedSidecar, ...] = ()) -> PlannedGroup:
    kept = PlannedFile(path_of(root, "keep.flac"), "keep", 1, 1, b"c" * 16)
    copy = PlannedFile(copy_of(root), action, 1, 1, b"c" * 16, sidecars=sidecars)
    return PlannedGroup((kept, copy))


MENTIONS = {
    "broken XML": ("a.xspf", b"<playlist><track><location>my%20songs/%C3%A4%20b.mp3</location>"),
    "broken XML with entities": ("a.wpl", b"<smil><media src='my songs\\&#xe4; b.mp3'/> & <"),
    "broken XML in plain letters": ("a.xspf", "<a><b>file:///x/my songs/ä b.mp3</b>".encode()),
    "UTF-16": ("a.m3u", "#EXTM3U\r\nmy songs\\Ä b.mp3\r\n".encode("utf-16")),
    "UTF-16, big-endian": ("a.cue", 'FILE "ä b.mp3" WAVE'.encode("utf-16-be")),
    "no text": ("a.pls", "File1=ä b.mp3\n\0".encode()),
}


@pytest.mark.parametrize("kind", MENTIONS)
def test_a_broken_playlist_is_known_by_the_names_in_it(root: Path, kind: str) -> None:
    name, content = MENTIONS[kind]
    (root / name).write_bytes(content)
    found = looked(root)
    assert found.unrewritable(copy_of(root)) == (path_of(root, name),)
    assert found.unrewritable(path_of(root, "keep.flac")) == ()
    (playlist,) = found.planned([group(root)])
    assert (playlist.path, playlist.n_references) == (path_of(root, name), 1)
    assert playlist.problem
    assert found.planned([group(root, "leave")]) == ()


def test_a_broken_playlist_without_the_name_does_not_matter(root: Path) -> None:
    (root / "a.xspf").write_bytes("<playlist><track><location>ä b.mp3.bak".encode())
    found = looked(root)
    assert found.unrewritable(copy_of(root)) == ()
    assert found.planned([group(root)]) == ()


def test_playlists_that_can_be_rewritten(root: Path) -> None:
    for name in ("a.m3u", "a.m3u8"):
        (root / name).write_bytes(b"#EXTM3U\nmy%20songs/%C3%A4%20b.mp3\nmy songs/\xc3\xa4 b.mp3\n")
    found = looked(root)
    assert found.unrewritable(copy_of(root)) == ()
    assert found.planned([group(root)]) == tuple(
        PlannedPlaylist(path_of(root, name), 2) for name in ("a.m3u", "a.m3u8")
    )


def test_a_playlist_in_a_protected_folder_cannot_be_rewritten(root: Path) -> None:
    (root / "lists").mkdir()
    (root / "lists" / "a.m3u").write_bytes("../my songs/ä b.mp3\nx.mp3\n".encode())
    (root / "link").symlink_to(root / "lists")
    for protect in ("lists", "link"):
        found = looked(root, (path_of(root, protect),))
        assert found.unrewritable(copy_of(root)) == (path_of(root, "lists/a.m3u"),)
        assert found.planned([group(root)])[0].problem == "it is in a protected folder"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write anywhere")
def test_a_folder_that_takes_no_new_file(root: Path) -> None:
    (root / "a.m3u").write_bytes("my songs/ä b.mp3\n".encode())
    root.chmod(0o555)
    try:
        assert looked(root).unrewritable(copy_of(root)) == (path_of(root, "a.m3u"),)
    finally:
        root.chmod(0o755)


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read anything")
def test_a_playlist_that_cannot_be_read_may_refer_to_anything(root: Path) -> None:
    (root / "a.m3u").write_bytes(b"x")
    (root / "a.m3u").chmod(0)
    found = looked(root)
    assert found.unrewritable(copy_of(root)) == (), "nobody can know"
    (playlist,) = found.planned([group(root)])
    assert (playlist.n_references, playlist.problem) == (0, "it cannot be read: Permission denied")


def test_a_cue_sheet_that_goes_along_is_not_rewritten(root: Path) -> None:
    (root / "my songs" / "ä b.cue").write_bytes('FILE "ä b.mp3" WAVE'.encode())
    cue, found = path_of(root, "my songs/ä b.cue"), looked(root)
    assert found.planned([group(root)]) == (PlannedPlaylist(cue, 1),)
    assert found.planned([group(root, sidecars=(PlannedSidecar(cue, "with", 1, 1),))]) == ()
