"""Covers in real files: chosen, written into every format of tag, taken back byte for byte, also after a kill."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from pathlib import Path
from typing import Any

import mutagen
import pytest
from mutagen.apev2 import APEv2
from mutagen.asf import ASFByteArrayAttribute
from mutagen.flac import Picture as FlacPicture
from mutagen.id3 import APIC, ID3
from mutagen.mp4 import MP4Cover
from PIL import Image

from dedup.cleanup.covering import put_cover
from dedup.cleanup.journal import journals
from dedup.covers.edit import Edit
from dedup.covers.make import edited
from dedup.covers.sources import candidates, data_of, front_of
from dedup.errors import InputError
from dedup.library.identity import stream_hash
from dedup.observer import Silent
from dedup.runner import Stop
from dedup.settings import KeepSettings, MatchSettings
from dedup.store.store import Store
from dedup.tags.cover import Cover, Picture, cover_of
from dedup.tags.extras import picture_held
from dedup.tags.read import read_tags
from dedup.tags.write import write_tags
from tests.cleanups import go_on, know, make_files, make_library, make_store, opened, run, take_back, tree
from tests.killing import run_killed
from tests.tag_files import FORMATS, UNWRITABLE, pictures, png, write_tones
from tests.test_covers import noise, saved

FRONT, BACK = png(300, 300, b"old front"), png(200, 150, b"back")
JPEG = saved(noise(200, 200), "JPEG", quality=80)


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    return make_library(tmp_path, monkeypatch)


def put(store: Store, root: Path, *names: str, jpeg: bytes = JPEG) -> Any:
    paths = [os.fsencode(root / name) for name in names]
    return put_cover(store=store, paths=paths, jpeg=jpeg, keep=KeepSettings(), observer=Silent(), stop=Stop())


def covers(path: Path) -> list[bytes]:
    return [cover.data for cover in read_tags(os.fsencode(path)).covers]


def said(result: Any) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


# ---- every format ----


def give_pictures(path: Path, kind: str) -> None:
    """A front and a back cover, and a title."""
    fields = {"title": ("Title",)}
    if kind in ("m4a", "alac"):
        write_tags(os.fsencode(path), fields, cover_of(FRONT))
        file = mutagen.File(path)
        file["covr"] = [*file["covr"], MP4Cover(BACK, MP4Cover.FORMAT_PNG)]
        file.save()
    elif kind == "wma":
        write_tags(os.fsencode(path), fields, cover_of(FRONT))
        file = mutagen.File(path)
        mime = "image/png".encode("utf-16-le") + bytes(4)
        file.tags.append(
            ("WM/Picture", ASFByteArrayAttribute(bytes([4]) + len(BACK).to_bytes(4, "little") + mime + BACK))
        )
        file.save()
    elif kind == "wv":
        write_tags(os.fsencode(path), fields, cover_of(FRONT))
        tags = APEv2(path)
        tags["Cover Art (Back)"] = b"back.png\0" + BACK
        tags.save(path)
    else:
        write_tags(os.fsencode(path), fields, cover_of(FRONT), [picture_held(Picture(4, cover_of(BACK), "back"))])


def test_a_cover_goes_into_every_format_and_comes_out_byte_for_byte(tmp_path: Path) -> None:
    root = tmp_path / "music"
    root.mkdir()
    tones = write_tones(root)
    for kind in FORMATS:
        give_pictures(tones[kind], kind)
        os.utime(tones[kind], ns=(1, 1_500_000_000_123_456_789))
    names = {kind: path.name for kind, path in tones.items() if kind in (*FORMATS, *UNWRITABLE)}
    make_store(tmp_path / "store", root, {name: seed for seed, name in enumerate(names.values())})
    before = tree(root)
    streams = {name: stream_hash(os.fsencode(root / name)) for name in names.values()}
    with opened(root) as store:
        done = put(store, root, *names.values())
        assert done.n_files == len(FORMATS)
        assert {os.fsdecode(os.path.basename(each.path)): each.reason for each in done.refused} == {
            f"{kind}.{kind}": f"no cover can be written into {kind.upper()} files" for kind in UNWRITABLE
        }
        for kind in FORMATS:
            path = root / names[kind]
            found = read_tags(os.fsencode(path))
            assert [cover.data for cover in found.covers] == [JPEG], kind
            assert [cover.data for cover in pictures(found)] == [JPEG, BACK], kind
            assert found.covers[0] == Cover(JPEG, "image/jpeg", 200, 200), kind
            assert found.fields["title"] == ("Title",), kind
            assert stream_hash(os.fsencode(path)) == streams[names[kind]], kind
        assert put(store, root, names["flac"]).n_files == 0  # it has that cover
        assert len(journals(store.layout.folder)) == 1
        assert take_back(store).failed == ()
    assert tree(root) == before


def test_a_picture_without_a_type_stays(tmp_path: Path) -> None:
    root = tmp_path / "music"
    make_files(root, {"a.mp3": 1, "a.flac": 2})
    old = {"a.mp3": APIC(encoding=3, mime="image/png", type=0, desc="", data=FRONT), "a.flac": FlacPicture()}
    old["a.flac"].data, old["a.flac"].mime = FRONT, "image/png"
    tags = ID3()
    tags.add(old["a.mp3"])
    tags.save(root / "a.mp3")
    flac = mutagen.File(root / "a.flac")
    flac.add_picture(old["a.flac"])
    flac.save()
    make_store(tmp_path / "store", root, {"a.mp3": 1, "a.flac": 2})
    before = tree(root)
    with opened(root) as store:
        assert put(store, root, *old, *old).n_files == 2
        for name in old:
            found = read_tags(os.fsencode(root / name))
            assert covers(root / name) == [JPEG] and [cover.data for cover in pictures(found)] == [JPEG, FRONT], name
        assert take_back(store).failed == ()
    assert tree(root) == before


def test_only_a_jpeg_and_only_a_file_of_the_library_as_it_is(root: Path) -> None:
    before = tree(root)
    with opened(root) as store:
        for wrong in (b"", b"no picture", png(300, 300), JPEG[:20]):
            with pytest.raises(InputError, match="is no JPEG"):
                put(store, root, "a.flac", jpeg=wrong)
        make_files(root, {"new.flac": 4})
        with pytest.raises(InputError, match="not in the store"):
            put(store, root, "a.flac", "new.flac")
        (root / "new.flac").unlink()
        os.utime(root, ns=(1, 1))
        (root / "b.flac").write_bytes((root / "b.flac").read_bytes() + b"x")
        with pytest.raises(InputError, match="has changed since it was scanned"):
            put(store, root, "a.flac", "b.flac")
        assert journals(store.layout.folder) == []
    assert {name: now for name, now in tree(root).items() if name not in ("b.flac", "", ".")} == {
        name: then for name, then in before.items() if name not in ("b.flac", "", ".")
    }


def test_a_file_whose_tags_are_damaged_is_left_alone(root: Path) -> None:
    data = bytearray((root / "a.flac").read_bytes())
    data[5:8] = b"\xff\xff\xff"
    (root / "c.flac").write_bytes(data)
    with opened(root) as store:
        know(store, root, {"c.flac": 9})
        done = put(store, root, "c.flac", "a.flac")
        assert (done.n_files, len(done.refused)) == (1, 1)
        assert "damaged" in done.refused[0].reason
    assert (root / "c.flac").read_bytes() == bytes(data)


def test_the_store_knows_the_file_with_its_cover(root: Path) -> None:
    with opened(root) as store:
        assert put(store, root, "a.flac").n_files == 1
        path = os.fsencode(root / "a.flac")
        track = store.catalog.tracks.get(path)
        assert track is not None
        assert (track.size, track.mtime_ns) == (os.stat(path).st_size, os.stat(path).st_mtime_ns)
        assert put(store, root, "a.flac", jpeg=saved(noise(90, 90), "JPEG")).n_files == 1


# ---- killed ----

KILLED = """
import os, sys
from pathlib import Path
import numpy, blake3, av, zarr, mutagen  # imported before the forks, not used
from tests.killing import kill_at_each_step
from tests.test_cover_command import begin_cover, prepare_cover

calls = [(os, name) for name in "rename replace unlink link mkdir utime fsync".split()]
kill_at_each_step(Path(sys.argv[1]), Path(sys.argv[2]), begin_cover, calls, prepare_cover, every=int(sys.argv[3]))
"""
KILLED_FILES = {"a.flac": 1, "b.wav": 2}


def prepare_cover(folder: Path) -> None:
    make_store(folder / "store", folder / "music", KILLED_FILES)


def begin_cover(folder: Path) -> None:
    with opened(folder / "music") as store:
        put(store, folder / "music", *KILLED_FILES)


@pytest.mark.parametrize("first", ["go on", pytest.param("undo", marks=pytest.mark.long)])
def test_covers_that_are_killed_anywhere_are_taken_back(tmp_path: Path, first: str) -> None:
    made = tmp_path / "made"
    make_files(made / "music", KILLED_FILES)
    before = tree(made / "music")
    run_killed(KILLED, made, tmp_path, 8 if first == "undo" else 7)
    *killed, whole = sorted(tmp_path.glob("killed *"))
    assert len(killed) > 3
    assert [covers(whole / "music" / name) for name in KILLED_FILES] == [[JPEG], [JPEG]]
    n_between = 0
    for folder in [*killed, whole]:
        root = folder / "music"
        with opened(root) as store:
            begun = journals(store.layout.folder)
        n_between += sum(covers(root / name) == [JPEG] for name in KILLED_FILES) == 1
        if begun and begun[-1].is_open and first == "go on":
            with opened(root) as store:
                assert go_on(store).refused == ()
        if begun:
            with opened(root) as store:
                assert take_back(store).failed == ()
        assert tree(root) == before, folder
    assert n_between


# ---- where pictures come from ----


def test_pictures_are_found_in_tags_copies_and_the_folder(root: Path) -> None:
    own, back = saved(noise(60, 60, 2), "JPEG"), saved(noise(50, 60, 3), "PNG")
    write_tags(os.fsencode(root / "a.flac"), {}, cover_of(own), [picture_held(Picture(4, cover_of(back)))])
    write_tags(os.fsencode(root / "sub/a.flac"), {}, cover_of(JPEG))
    for name, kind, seed in (("zebra.png", "PNG", 4), ("Front.TIFF", "TIFF", 5), ("cover.webp", "WEBP", 6)):
        (root / name).write_bytes(saved(noise(70, 50, seed), kind))
    (root / "Scans").mkdir()
    (root / "Scans/back.jpg").write_bytes(saved(noise(40, 40, 7), "JPEG"))
    (root / "same.jpg").write_bytes(own)
    (root / "text.jpg").write_text("no picture")
    os.mkfifo(root / "folder.jpg")
    secret = root.parent / "secret.png"
    secret.write_bytes(saved(noise(30, 30, 8), "PNG"))
    (root / "folder.png").symlink_to(secret)
    (root / "art").symlink_to(root.parent)
    with opened(root) as store:
        know(store, root, {"a.flac": 1, "sub/a.flac": 1})
        found = candidates(store, os.fsencode(root / "a.flac"), MatchSettings())
        assert [(each.origin, each.what, each.format, each.width, each.height) for each in found] == [
            ("own", "front cover", "JPEG", 60, 60),
            ("own", "back cover", "PNG", 50, 60),
            ("copy", "front cover", "JPEG", 200, 200),
            ("folder", "cover.webp", "WebP", 70, 50),
            ("folder", "Front.TIFF", "TIFF", 70, 50),
            ("folder", "Scans/back.jpg", "JPEG", 40, 40),
            ("folder", "zebra.png", "PNG", 70, 50),
        ]
        assert found[2].path == os.fsencode(root / "sub/a.flac")
        assert [data_of(found, each.digest) for each in found[:3]] == [own, back, JPEG]
        assert data_of(found, found[3].digest) == (root / "cover.webp").read_bytes()
        (root / "cover.webp").write_bytes(b"other")
        for digest in (found[3].digest, "0" * 16, "../../etc"):
            with pytest.raises(InputError, match="is none of the pictures"):
                data_of(found, digest)
        with pytest.raises(InputError, match="not in the store"):
            candidates(store, os.fsencode(secret), MatchSettings())


# ---- the command ----


def test_a_scan_becomes_the_cover_of_an_album_when_it_is_agreed(root: Path) -> None:
    scan = Image.new("RGB", (520, 460), "white")
    scan.paste(noise(400, 400), (100, 40))
    picture = root.parent / "scan.tif"
    picture.write_bytes(saved(scan, "TIFF"))
    before = tree(root)
    wanted = ("cover", root / "a.flac", root / "b.flac", "--from", picture, "--trim", "--fit", "150-250")
    shown = run(root, *wanted)
    assert "nothing was written" in shown.stdout and shown.exit_code == 0
    assert "  now   none\n" in shown.stdout
    assert re.search(
        r"  new   200 x 200, [\d.]+ kB\n  from  TIFF 520 x 460, cut to 400 x 400 at 100, 40\n", shown.stdout
    )
    dry = run(root, *wanted, "--dry-run", "--yes")
    assert dry.exit_code == 0 and "would write 2 covers" in dry.stdout
    assert tree(root) == before
    assert run(root, *wanted, typed="y\n").exit_code == 0
    expected = edited(picture.read_bytes(), Edit(trim=True, fit=(150, 250))).jpeg
    assert covers(root / "a.flac") == covers(root / "b.flac") == [expected]
    assert run(root, *wanted, "--yes").exit_code == 5
    assert run(root, "undo").exit_code == 0
    assert tree(root) == before


def test_a_file_gets_the_cover_of_another_and_its_own_shrinks(root: Path) -> None:
    from_other = ("cover", root / "a.wav", "--from", root / "a.flac", "--yes")
    assert run(root, *from_other).exit_code == 15
    with opened(root) as store:
        put(store, root, "a.flac")
    assert run(root, *from_other).exit_code == 0
    assert covers(root / "a.wav") == [JPEG]  # as it is: nothing has changed it
    own = run(root, "cover", root / "a.wav", root / "b.wav", root / "a.flac", "--crop", "10%,20%,50%,80%", "--yes")
    none = run(root, "cover", root / "deep/b.wav", "--size", "100x100", "--yes")
    assert own.exit_code == 15 and "not in the store" in own.stderr
    assert none.exit_code == 3 and "refused: " in none.stdout and "holds no cover" in none.stdout
    shrunk = run(root, "cover", root / "a.wav", root / "a.flac", "--crop", "10%,20%,50%,80%", "--yes", "--json")
    assert shrunk.exit_code == 0
    first, _, last = said(shrunk)
    assert (first["width"], first["height"], first["source"]["box"]) == (100, 160, [20, 40, 120, 200])
    assert first["before"] == {"width": 200, "height": 200, "bytes": len(JPEG)}
    assert last == {"event": "covers", "files": 2, "refused": 0, "cleanup": 3}
    found = front_of(os.fsencode(root / "a.wav"))
    assert found is not None and (found.width, found.height) == (100, 160)


def test_what_cannot_be_a_cover_is_one_line(root: Path) -> None:
    before = tree(root)
    text = root.parent / "text.jpg"
    text.write_text("no picture at all")
    half = root.parent / "half.png"
    half.write_bytes(saved(noise(90, 90), "PNG")[:2000])
    small = root.parent / "small.png"
    small.write_bytes(saved(noise(90, 90), "PNG"))
    for picture, options, words in (
        (text, (), "text.jpg: holds no cover and is not a picture itself"),
        (half, (), "half.png: is damaged or cut short"),
        (root.parent / "none.png", (), "none.png: cannot be read: No such file or directory"),
        (root.parent, (), "cannot be read: not a regular file"),
        (small, ("--size", "91x90"), "small.png: it has 90 x 90 pixels, fewer than 91 x 90, and nothing is enlarged"),
        (small, ("--fit", "100-200"), "it has 90 x 90 pixels, fewer than the 100 wanted"),
        (small, ("--fit", "50-80"), "no whole factor brings its 90 x 90 pixels to 50 to 80 each way"),
        (small, ("--crop", "50,50,50,50"), "it has 90 x 90 pixels, so 50,50,50,50 is not a part of it"),
    ):
        ended = run(root, "cover", root / "a.flac", "--from", picture, *options, "--yes")
        assert ended.exit_code == 15 and words in ended.stderr, ended.stderr
    for options in (
        ("--crop", "1,2,3"),
        ("--crop", "1%,2,3,4"),
        ("--size", "10"),
        ("--fit", "20-10"),
        ("--size", "9x9", "--fit", "8-9"),
        ("--quality", "100"),
        ("--list", "--trim"),
        ("--save", root.parent / "o.jpg", root / "b.flac"),
    ):
        assert run(root, "cover", root / "a.flac", "--from", small, *options).exit_code == 2, options
    assert tree(root) == before


def test_a_picture_is_saved_into_a_new_file_only(root: Path) -> None:
    picture, target = root.parent / "p.png", root.parent / "o.jpg"
    picture.write_bytes(saved(noise(90, 80), "PNG"))
    before = tree(root)
    wanted = ("cover", root / "a.flac", "--from", picture, "--crop", "square", "--save", target)
    result = run(root, *wanted, "--json")
    assert result.exit_code == 0 and said(result)[0]["width"] == 80
    made = target.read_bytes()
    assert Image.open(io.BytesIO(made)).size == (80, 80)
    again = run(root, *wanted, "--quality", "10")
    assert again.exit_code == 15 and "nothing is overwritten" in again.stderr
    assert target.read_bytes() == made and tree(root) == before
    assert run(root, *wanted[:-1], root.parent / "no/folder.jpg").exit_code == 14


def test_the_pictures_for_a_file_are_listed(root: Path) -> None:
    none = run(root, "cover", root / "b.flac", "--list")
    assert none.exit_code == 5 and "no picture in its tags, in its copies or in its folder" in none.stdout
    (root / "cover.png").write_bytes(saved(noise(90, 80), "PNG"))
    with opened(root) as store:
        put(store, root, "sub/a.flac")
    listed = run(root, "cover", root / "a.flac", "--list")
    assert listed.exit_code == 0
    size = len(JPEG) / 1000
    assert [line.split() for line in listed.stdout.splitlines()[1:]] == [
        ["copy", str(root / "sub/a.flac")],
        ["JPEG", "200", "x", "200,", f"{size:.3g}", "kB", "front", "cover"],
        ["its", "folder"],
        ["PNG", "90", "x", "80,", f"{(root / 'cover.png').stat().st_size / 1000:.3g}", "kB", "cover.png"],
    ]
    found = said(run(root, "cover", root / "a.flac", "--list", "--json"))
    assert [(each["origin"], each["format"]) for each in found] == [("copy", "JPEG"), ("folder", "PNG")]


def test_a_protected_file_gets_no_cover(root: Path) -> None:
    picture = root.parent / "p.png"
    picture.write_bytes(saved(noise(90, 80), "PNG"))
    before = tree(root / "sub")
    files = (root / "sub/a.flac", root / "a.flac")
    done = run(root, "cover", *files, "--from", picture, "--protect", root / "sub", "--yes")
    assert done.exit_code == 3 and "it is in a protected folder" in done.stdout
    assert tree(root / "sub") == before and len(covers(root / "a.flac")) == 1


def test_without_pillow_the_command_says_what_to_install(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "PIL", None)
    ended = run(root, "cover", root / "a.flac", "--from", root / "a.wav")
    assert ended.exit_code == 2
    assert ended.stderr == (
        "reprise: cover: Pillow is not installed. Install the extra `serve`: uv tool install 'reprise-dedup[serve]'\n"
    )
    assert run(root, "cover", root / "a.flac", "--list").exit_code == 5
