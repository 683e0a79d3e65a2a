"""`reprise tag --names`: what look-ups found is written into real files, shown before, and taken back."""

from __future__ import annotations

import json
import os
import signal
from dataclasses import replace
from itertools import chain
from pathlib import Path
from typing import Any

import mutagen
import pytest
from click.testing import CliRunner, Result
from mutagen.apev2 import APEv2
from mutagen.id3 import ID3

from dedup.cleanup.checks import Refusal
from dedup.cleanup.journal import journals
from dedup.cleanup.names import Compared, compare_files
from dedup.cleanup.names_document import read_names
from dedup.cleanup.tagging import Tagged, tag_files
from dedup.cleanup.undo import undo
from dedup.errors import EXIT_DONE, EXIT_INTERRUPTED, EXIT_NOTHING_TO_DO, PlanError
from dedup.library.identity import stream_hash
from dedup.lookup.tag_fields import ALL, IDS, RECORDING, Changes
from dedup.observer import Silent
from dedup.runner import Stop
from dedup.settings import KeepSettings
from dedup.store.store import Store, open_for_writing
from dedup.tags.read import read_tags
from dedup.tags.write import write_tags
from jobs import cli
from jobs.session.lines import Look, width_of
from jobs.show.tag_changes import compared_lines
from tests.cleanups import go_on, take_back, tree
from tests.killing import run_killed
from tests.looking_up import Clock, run
from tests.lookup_service import Services, mbid
from tests.made_albums import Made, Piece, add_file, album_title, make_library, make_pieces, publish, sound
from tests.named_files import make_real
from tests.stores import open_store
from tests.tag_files import FORMATS, write_tones


@pytest.fixture
def pieces() -> list[Piece]:
    return make_pieces(2, 10)


def named(store: Store, *paths: Path, **how: Any) -> list[Compared]:
    places = [os.fsencode(path) for path in paths]
    how = {"keep": KeepSettings(), **how}
    return list(chain.from_iterable(compare_files(store=store, paths=places, observer=Silent(), stop=Stop(), **how)))


def write(store: Store, files: list[Compared]) -> Tagged:
    taggings = [each.tagging for each in files if each.tagging is not None]
    return tag_files(store=store, taggings=taggings, keep=KeepSettings(), observer=Silent(), stop=Stop())


def fields(path: bytes | Path) -> dict[str, tuple[str, ...]]:
    return read_tags(os.fsencode(path)).fields


# ---- a library ----


def check_library(tmp_path: Path, services: Services, clock: Clock, n_albums: int, n_untold: int) -> None:
    """Looks up a made library, writes what is sure, and takes it back."""
    root = tmp_path / "music"
    with open_store(tmp_path / "store", block_size=256) as store:
        with store.catalog.gathered():
            made = make_library(store, services, make_pieces(n_albums, 10))
            moved = make_real(store, root)
        found = run(store, services, clock)
        before, tags = tree(root), {path: fields(path) for path in moved.values()}
        done = write(store, named(store))
        assert done.refused == ()
        require_right(made, moved, tags)
        n_right = sum(fields(moved[path]).get("title") == (made.truth[path].title,) for path in made.knowable)
        assert n_right >= 0.95 * len(made.knowable)
        assert len(made.knowable) - n_right == n_untold
        unidentified = {each.file.path for each in found.files if each.verdict != "identified"}
        assert all(fields(path) == tags[path] for path in unidentified)
        assert named(store) == [], "there is nothing left to write, and nothing to say"
        assert take_back(store).failed == ()
    assert tree(root) == before


def require_right(made: Made, moved: dict[bytes, bytes], tags: dict[bytes, dict[str, tuple[str, ...]]]) -> None:
    """All that was written is true, and all that a person wrote is there."""
    for old, path in moved.items():
        piece, now = made.truth[old], fields(path)
        new = {name: values for name, values in now.items() if tags[path].get(name) != values}
        expected = {
            "title": piece.title,
            "artist": piece.artist,
            "album": album_title(piece.album),
            "tracknumber": str(piece.number),
            "musicbrainz_trackid": piece.recording,
            "musicbrainz_albumid": piece.release,
            "musicbrainz_artistid": mbid("artist", piece.album),
        }
        assert {name: new[name] for name in expected if name in new} == {
            name: (value,) for name, value in expected.items() if name in new
        }
        assert new.keys() <= set(ALL)
        if piece.album % 4 == 0:
            assert tags[path].items() <= now.items()


def test_a_made_library_gets_no_wrong_title_and_nearly_all_that_can_be_known(
    tmp_path: Path, services: Services, clock: Clock
) -> None:
    check_library(tmp_path, services, clock, n_albums=4, n_untold=1)


@pytest.mark.long
def test_200_files_of_20_albums(tmp_path: Path, services: Services, clock: Clock) -> None:
    check_library(tmp_path, services, clock, n_albums=20, n_untold=2)


# ---- formats ----


def album(store: Store, services: Services, clock: Clock, pieces: list[Piece], root: Path, **how: Any) -> list[bytes]:
    """Real files of one album without tags, which were looked up; their paths."""
    publish(services, pieces)
    for piece in pieces:
        services.sounds[piece.text] = [sound(piece, 0.95, 50)]
        add_file(store, piece, f"here/{piece.number:02}.x")
    paths = list(make_real(store, root, **how).values())
    assert {each.verdict for each in run(store, services, clock).files} == {"identified"}
    return paths


SPELT = {
    "vorbis": "MUSICBRAINZ_TRACKID MUSICBRAINZ_RELEASETRACKID MUSICBRAINZ_ALBUMID MUSICBRAINZ_RELEASEGROUPID "
    "MUSICBRAINZ_ARTISTID MUSICBRAINZ_ALBUMARTISTID ACOUSTID_ID",
    "id3": "UFID:http://musicbrainz.org|TXXX:MusicBrainz Release Track Id|TXXX:MusicBrainz Album Id|"
    "TXXX:MusicBrainz Release Group Id|TXXX:MusicBrainz Artist Id|TXXX:MusicBrainz Album Artist Id|TXXX:Acoustid Id",
    "mp4": "MusicBrainz Track Id|MusicBrainz Release Track Id|MusicBrainz Album Id|MusicBrainz Release Group Id|"
    "MusicBrainz Artist Id|MusicBrainz Album Artist Id|Acoustid Id",
    "asf": "MusicBrainz/Track Id|MusicBrainz/Release Track Id|MusicBrainz/Album Id|MusicBrainz/Release Group Id|"
    "MusicBrainz/Artist Id|MusicBrainz/Album Artist Id|Acoustid/Id",
}
"""Where Picard keeps the identifiers, in the order of IDS (https://picard-docs.musicbrainz.org, Tag Mapping)."""


def raw_ids(path: Path, kind: str) -> list[str]:
    """The identifiers as a format spells them, read without anything of ours."""
    if kind == "aac" or kind.startswith("mp3"):
        tags: Any = ID3(path, translate=False)
    else:
        tags = APEv2(path) if kind == "wv" else mutagen.File(path).tags
    if kind in ("m4a", "alac"):
        return [bytes(tags[f"----:com.apple.iTunes:{name}"][0]).decode() for name in SPELT["mp4"].split("|")]
    if kind == "wma":
        return [str(tags[name][0]) for name in SPELT["asf"].split("|")]
    if isinstance(tags, ID3):
        first, *others = (tags[name] for name in SPELT["id3"].split("|"))
        return [first.data.decode(), *(str(frame.text[0]) for frame in others)]
    return [str(tags[name] if kind == "wv" else tags[name][0]) for name in SPELT["vorbis"].split()]


def test_each_format_holds_the_identifiers_where_picard_looks_for_them(
    tmp_path: Path, services: Services, clock: Clock
) -> None:
    made = tmp_path / "made"
    made.mkdir()
    tones, root = write_tones(made), tmp_path / "music"
    pieces = make_pieces(1, len(FORMATS))
    with open_store(tmp_path / "store", block_size=32) as store:
        paths = album(store, services, clock, pieces, root, sources=[tones[kind] for kind in FORMATS])
        before, streams = tree(root), [stream_hash(path) for path in paths]
        assert write(store, named(store)).n_files == len(FORMATS)
        for piece, kind, path, stream in zip(pieces, FORMATS, paths, streams, strict=True):
            at = 1000 * int(piece.release[-12:], 16) + piece.number
            assert raw_ids(Path(os.fsdecode(path)), kind) == [
                piece.recording,
                mbid("track", at),
                piece.release,
                mbid("group", int(piece.release[-12:], 16)),
                mbid("artist", 0),
                mbid("artist", 0),
                mbid("acoustid", int(piece.recording[-12:], 16)),
            ], kind
            found = fields(path)
            assert found["title"] == (piece.title,), kind
            assert (found["tracknumber"], found["tracktotal"]) == ((str(piece.number),), (str(len(pieces)),)), kind
            assert (found["discnumber"], found["disctotal"], found["date"]) == (("1",), ("1",), ("1990-03-01",)), kind
            assert stream_hash(path) == stream is not None, kind
        assert ID3(os.fsdecode(paths[FORMATS.index("mp3-v23")]), translate=False).version == (2, 3, 0)
        assert named(store) == []
        assert take_back(store).failed == ()
        assert tree(root) == before
        assert len(named(store)) == len(FORMATS), "the store knows what is back"


def test_what_holds_no_tags_is_said_before_anything_is_written(
    tmp_path: Path, services: Services, clock: Clock
) -> None:
    tones = write_tones(tmp_path)
    with open_store(tmp_path / "store", block_size=32) as store:
        paths = album(store, services, clock, make_pieces(1, 3), tmp_path / "music", sources=[tones["flac"]] * 3)
        damaged = Path(os.fsdecode(paths[1]))
        data = bytearray(damaged.read_bytes())
        data[5:8] = b"\xff\xff\xff"
        status = damaged.stat()
        damaged.write_bytes(data)
        os.utime(damaged, ns=(1, status.st_mtime_ns))
        os.utime(os.fsdecode(paths[2]), ns=(1, 1))
        found = named(store)
        assert [each.tagging is None for each in found] == [False, True, True]
        assert found[1].problem == "tags cannot be written to its format, or they are damaged"
        assert found[2].problem == "it has changed since it was scanned; scan its folder again"


# ---- what a person wrote ----


def test_what_a_person_wrote_stays_and_what_contradicts_is_a_question(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    with open_store(tmp_path / "store", block_size=32) as store:
        publish(services, pieces)
        said = [
            {"title": "{}!"},
            {"tracknumber": "9"},
            {"musicbrainz_trackid": mbid("recording", 555)},
            {"genre": "Folk", "comment": "mine"},
        ]
        for piece, tags in zip(pieces[:4], said, strict=True):
            services.sounds[piece.text] = [sound(piece, 0.95, 50)]
            filled = {name: value.format(piece.title) for name, value in tags.items()}
            add_file(store, piece, f"here/{piece.items[9]:08x}.flac", **{"title": piece.title, **filled})
        moved = make_real(store, tmp_path / "music")
        run(store, services, clock)
        paths = [moved[f"/music/here/{piece.items[9]:08x}.flac".encode()] for piece in pieces[:4]]
        before = [fields(path) for path in paths]
        write(store, named(store))
        now = [fields(path) for path in paths]
        for old, new in zip(before, now, strict=True):
            assert old.items() <= new.items()
        assert "tracktotal" not in now[1] and "musicbrainz_releasetrackid" not in now[1]
        assert now[2] == before[2]
        left = named(store)
        assert [(each.path, each.changes.doubts, each.changes.kept) for each in sorted(left, key=path_of)] == [
            (path, doubts, kept)
            for path, doubts, kept in sorted(
                [
                    (paths[1], {}, {"tracknumber": ("2",)}),
                    (paths[2], {RECORDING: (pieces[2].recording,)}, {}),
                ]
            )
        ]
        write(store, named(store, overwrite=True, fields=("tracknumber", *IDS)))
        assert fields(paths[2])[RECORDING] == (pieces[2].recording,)
        assert fields(paths[1])["tracknumber"] == ("2",)
        assert fields(paths[0])["title"] == before[0]["title"]
        assert fields(paths[3])["genre"] == ("Folk",)


def path_of(each: Compared) -> bytes:
    return each.path


# ---- killed ----

KILLED = """
import os, sys
from pathlib import Path
import numpy, blake3, av, zarr, mutagen  # imported before the forks, not used
from tests.killing import kill_at_each_step
from tests.test_names import begin_names, prepare_names

calls = [(os, name) for name in "rename replace unlink link mkdir utime fsync".split()]
kill_at_each_step(Path(sys.argv[1]), Path(sys.argv[2]), begin_names, calls, prepare_names, every=int(sys.argv[3]))
"""


def prepare_names(folder: Path) -> None:
    """The store knows the files where they were copied to."""
    with open_for_writing(folder / "store", "test") as store, store.catalog.transaction():
        for track in list(store.catalog.tracks.all()):
            path = os.fsencode(folder / "music/here" / os.path.basename(os.fsdecode(track.path)))
            status, root = os.stat(path), os.fsencode(folder / "music")
            store.catalog.tracks.forget([track.path])
            store.catalog.tracks.put(replace(track, path=path, root=root, inode=status.st_ino, device=status.st_dev))


def begin_names(folder: Path) -> None:
    with open_for_writing(folder / "store", "test") as store:
        write(store, named(store))


@pytest.mark.parametrize("first", ["go on", "undo"])
def test_names_that_are_killed_anywhere_are_written_or_taken_back(
    tmp_path: Path, services: Services, clock: Clock, first: str
) -> None:
    made, pieces = tmp_path / "made", make_pieces(1, 3)
    with open_store(made / "store", block_size=32) as store:
        album(store, services, clock, pieces, made / "music")
    before, titles = tree(made / "music"), [piece.title for piece in pieces]
    run_killed(KILLED, made, tmp_path, 8 if first == "undo" else 7)
    *killed, whole = sorted(tmp_path.glob("killed *"))
    assert len(killed) > 3
    n_between = 0
    for folder in [*killed, whole]:
        root = folder / "music"
        with open_for_writing(folder / "store", "test") as store:
            begun = journals(store.layout.folder)
            n_done = sum("title" in fields(path) for path in sorted((root / "here").iterdir()))
            n_between += 0 < n_done < len(titles)
            if begun and begun[-1].is_open and first == "go on":
                assert go_on(store).refused == ()
                write(store, named(store))
                assert [fields(path)["title"] for path in sorted((root / "here").iterdir())] == [
                    (title,) for title in titles
                ]
            for past in reversed(journals(store.layout.folder)):
                if past.is_open or any(past.steps_of("begun", "done")):
                    number = int(past.id)
                    assert undo(store=store, number=number, observer=Silent(), stop=Stop()).failed == ()
        assert tree(root) == before, folder
    assert n_between


@pytest.mark.parametrize("n_files", [2, 3])
def test_a_few_songs_are_of_no_release_that_is_only_shorter(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece], n_files: int
) -> None:
    """Three songs of an album of ten are half of a collection of six, and on neither for certain."""
    with open_store(tmp_path / "store", block_size=32) as store:
        publish(services, pieces)
        for piece in pieces[:n_files]:
            services.sounds[piece.text] = [sound(piece, 0.95, 50)]
            add_file(store, piece, f"here/{piece.number}.flac")
        paths = list(make_real(store, tmp_path / "music").values())
        run(store, services, clock)
        assert write(store, named(store)).refused == ()
        titles = [fields(path)["title"] for path in paths]
    assert titles == [(piece.title,) for piece in pieces[:n_files]]
    assert not any(
        {"album", "albumartist", "tracknumber", "musicbrainz_albumid"} & fields(path).keys() for path in paths
    )


def test_what_a_person_writes_meanwhile_stays_even_at_the_same_size_and_time(
    tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]
) -> None:
    with open_store(tmp_path / "store", block_size=32) as store:
        paths = album(store, services, clock, pieces[:3], tmp_path / "music")
        compared = named(store)
        status = os.stat(paths[0])
        write_tags(paths[0], {"artist": ("Somebody",)})
        os.utime(paths[0], ns=(status.st_atime_ns, status.st_mtime_ns))
        assert os.stat(paths[0]).st_size == status.st_size, "it has padding"
        done = write(store, compared)
    assert done == replace(done, n_files=2, refused=(Refusal(paths[0], "its tags were changed since it was measured"),))
    assert fields(paths[0])["artist"] == ("Somebody",) and "title" not in fields(paths[0])


# ---- the command ----


def command(tmp_path: Path, *arguments: object, typed: str = "") -> Result:
    told = ["tag", "--names", "--store", str(tmp_path / "store"), *map(str, arguments)]
    return CliRunner().invoke(cli.cli, told, input=typed, env={"COLUMNS": "80"})


@pytest.fixture
def library(tmp_path: Path, services: Services, clock: Clock, pieces: list[Piece]) -> Path:
    """Four files of one album, looked up: one has a title of its own, one a number, one is another recording by its
    identifier; and one that nobody knows."""
    said: list[dict[str, str]] = [
        {},
        {"title": "{} (Demo of Mine)", "tracknumber": "2"},
        {"tracknumber": "9"},
        {"musicbrainz_trackid": "555"},
        {},
    ]
    with open_store(tmp_path / "store", block_size=32) as store:
        publish(services, pieces)
        for piece, tags in zip(pieces[:5], said, strict=True):
            services.sounds[piece.text] = [sound(piece, 0.95, 50)] if piece.number < 5 else []
            filled = {name: value.format(piece.title) for name, value in tags.items()}
            add_file(store, piece, f"here/{'abcde'[piece.number - 1]}.flac", **{"title": piece.title, **filled})
        make_real(store, tmp_path / "music")
        run(store, services, clock)
    return tmp_path / "music/here"


def test_the_command_shows_asks_writes_and_takes_back(tmp_path: Path, library: Path, pieces: list[Piece]) -> None:
    before = tree(library)
    asked = command(tmp_path)
    assert asked.exit_code == EXIT_DONE, asked.output
    assert asked.stderr.endswith("Write these tags into 3 files? [y/N]: ")
    artist, album_name = pieces[0].artist, album_title(0)
    assert asked.stdout.splitlines() == [
        str(library),
        f"  + all 3: ARTIST {artist}; ALBUM {album_name}; ALBUMARTIST {artist}; DATE 1990-03-01; 6 to 7 identifiers",
        "  + a.flac: TRACKNUMBER 1/10; DISCNUMBER 1/1",
        "  + b.flac: TRACKTOTAL 10; DISCNUMBER 1/1",
        f"    = stays TITLE {pieces[1].title} (Demo of Mine) (found: {pieces[1].title})",
        "  = c.flac: stays TRACKNUMBER 9 (found: 3)",
        f"  ? d.flac: its MUSICBRAINZ_TRACKID is 555, and {pieces[3].recording} was found",
        "3 files to be tagged, 1 file with another identifier than was found, 2 files with other values, which stay",
        "nothing was written; add --yes to write without a question",
    ]
    dry = command(tmp_path, "--dry-run", "--json")
    files = [json.loads(line) for line in dry.stdout.splitlines()]
    assert [each["event"] for each in files] == ["compared"] * 4
    assert files[1]["kept"] == {"title": [pieces[1].title]}
    assert files[3]["doubts"] == {RECORDING: [pieces[3].recording]} and files[3]["fields"] == {}
    assert files[0]["fields"]["tracknumber"] == ["1"] and files[0]["before"] == {}
    assert tree(library) == before
    done = command(tmp_path, typed="y\n")
    assert done.exit_code == EXIT_DONE
    assert done.stdout.splitlines()[-1] == "3 files tagged; `reprise undo` takes it back"
    assert fields(library / "a.flac")["album"] == (album_name,)
    again = command(tmp_path, library)
    assert (again.exit_code, again.stdout.splitlines()[-1]) == (
        EXIT_NOTHING_TO_DO,
        "nothing to write; `reprise identify` looks up what is not identified yet",
    )
    undone = CliRunner().invoke(cli.cli, ["undo", "--store", str(tmp_path / "store")])
    assert undone.exit_code == EXIT_DONE
    assert tree(library) == before


def test_the_command_overwrites_chosen_fields_of_chosen_files(
    tmp_path: Path, library: Path, pieces: list[Piece]
) -> None:
    before = fields(library / "b.flac")
    done = command(tmp_path, library / "b.flac", "--overwrite", "--fields", "title, IDS", "--yes")
    assert done.exit_code == EXIT_DONE, done.output
    assert f"  + b.flac: TITLE {before['title'][0]} → {pieces[1].title}; 7 identifiers" in done.stdout.splitlines()
    now = fields(library / "b.flac")
    assert now["title"] == (pieces[1].title,) and set(IDS) < now.keys() and "album" not in now
    assert "album" not in fields(library / "a.flac")
    replaced = command(tmp_path, library / "d.flac", "--overwrite", "--fields", "ids", "--dry-run")
    assert "  + d.flac: 6 identifiers; 1 identifier replaced" in replaced.stdout.splitlines()
    assert command(tmp_path, tmp_path / "elsewhere").exit_code == 15
    none = command(tmp_path, "--fields", " ,", "--overwrite", "--yes")
    assert (none.exit_code, "names no field" in none.stderr) == (2, True)


def test_a_protected_folder_gets_no_names(tmp_path: Path, library: Path) -> None:
    before = tree(library)
    listed = tmp_path / "names.json"
    assert command(tmp_path, "-o", listed, "--fields", "album").exit_code == EXIT_DONE
    told = ["tag", "--store", str(tmp_path / "store"), "--from", str(listed), "--protect", str(library)]
    for done in (command(tmp_path, "--protect", library), CliRunner().invoke(cli.cli, told)):
        assert done.exit_code == 3
        assert "  ! a.flac: it is in a protected folder" in done.stdout.splitlines()
        assert done.stdout.splitlines()[-1].startswith("nothing to write"), "nobody is asked"
    assert tree(library) == before


def test_a_file_with_another_hard_link_is_told_before_the_two_part(tmp_path: Path, library: Path) -> None:
    other = library.parent / "a2.flac"
    os.link(library / "a.flac", other)
    before = other.read_bytes()
    shown = command(tmp_path, "--dry-run")
    assert "1 file with another hard link, which stays as it is" in shown.stdout
    files = [json.loads(line) for line in command(tmp_path, "--dry-run", "--json").stdout.splitlines()]
    assert [each["links"] for each in files] == [2, 1, 1, 1]
    assert command(tmp_path, "--yes").exit_code == EXIT_DONE
    assert other.read_bytes() == before and "album" in fields(library / "a.flac")


def test_what_is_measured_of_a_folder(tmp_path: Path, library: Path) -> None:
    done = CliRunner().invoke(
        cli.cli,
        ["tag", "--store", str(tmp_path / "store"), str(library), str(library / "a.flac"), "--audio-hash", "--yes"],
    )
    assert done.exit_code == EXIT_DONE, done.output
    assert all("reprise_audio_hash" in fields(path) for path in library.iterdir())
    assert "title" in fields(library / "a.flac")
    nowhere = CliRunner().invoke(cli.cli, ["tag", "--store", str(tmp_path / "store"), str(tmp_path), "--replaygain"])
    assert nowhere.exit_code == EXIT_DONE, "a root above the library holds it"
    (tmp_path / "none").mkdir()
    empty = CliRunner().invoke(
        cli.cli, ["tag", "--store", str(tmp_path / "store"), str(tmp_path / "none"), "--replaygain"]
    )
    assert (empty.exit_code, "no file of the library is there" in empty.stderr) == (15, True)


@pytest.mark.parametrize("how", [("--yes",), ("-o", "names.json")])
def test_a_stop_while_tags_are_compared_asks_and_writes_nothing(
    tmp_path: Path, library: Path, how: tuple[str, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stopped(path: bytes) -> Any:
        os.kill(os.getpid(), signal.SIGINT)
        return read_tags(path)

    monkeypatch.setattr("dedup.cleanup.names.read_tags", stopped)
    monkeypatch.chdir(tmp_path)
    before = tree(library)
    done = command(tmp_path, library / "a.flac", *how)
    assert done.exit_code == EXIT_INTERRUPTED, done.output
    assert "stopped before anything was written; run the same command again" in done.stderr
    assert "tagged" not in done.output and "lists it" not in done.output
    assert tree(library) == before and not (tmp_path / "names.json").exists()
    assert journals(tmp_path / "store") == []


# ---- as a list ----


def test_a_list_is_written_edited_and_carried_out(tmp_path: Path, library: Path, pieces: list[Piece]) -> None:
    before, path = tree(library), tmp_path / "names.json"
    listed = command(tmp_path, "-o", path)
    assert listed.exit_code == EXIT_DONE, listed.output
    assert listed.stdout.splitlines()[-1] == f"{path} lists it; `reprise tag --from` writes what you leave in it"
    assert command(tmp_path, "-o", path).exit_code == EXIT_DONE, "a list as it was written is replaced"
    document = json.loads(path.read_text())
    a, b, c, d = document["files"]
    assert [each["path"] for each in (a, b, c, d)] == [str(library / f"{name}.flac") for name in "abcd"]
    assert b["kept"] == {"title": [pieces[1].title]} and d["doubts"] == {RECORDING: [pieces[3].recording]}
    assert a["fields"]["tracknumber"] == ["1"] and d["fields"] == {}
    b["fields"]["title"] = b["kept"]["title"]
    del a["fields"]["date"], document["files"][2]
    path.write_text(json.dumps(document))
    edited = command(tmp_path, "-o", path)
    assert (edited.exit_code, "was edited, so it is not replaced" in edited.stderr) == (15, True)
    assert json.loads(path.read_text()) == document
    from_list = ("tag", "--store", tmp_path / "store", "--from", path)
    assert tree(library) == before
    done = CliRunner().invoke(cli.cli, [*map(str, from_list), "--yes"])
    assert done.exit_code == EXIT_DONE, done.output
    assert "date" not in fields(library / "a.flac") and fields(library / "a.flac")["tracknumber"] == ("1",)
    assert fields(library / "b.flac")["title"] == (pieces[1].title,)
    again = CliRunner().invoke(cli.cli, [*map(str, from_list), "--yes"])
    assert (again.exit_code, again.stdout) == (EXIT_NOTHING_TO_DO, "nothing to write\n"), "it is all there"
    a["fields"]["album"] = ["Another"]
    path.write_text(json.dumps(document))
    changed = CliRunner().invoke(cli.cli, [*map(str, from_list), "--yes"])
    assert changed.exit_code == 3
    assert "  ! a.flac: it has changed since the list was written" in changed.stdout.splitlines()
    assert CliRunner().invoke(cli.cli, ["undo", "--store", str(tmp_path / "store")]).exit_code == EXIT_DONE
    assert tree(library) == before
    assert CliRunner().invoke(cli.cli, [*map(str, from_list), "--dry-run"]).stdout.splitlines()[-1] == (
        "would write tags into 2 files"
    )


def test_a_list_that_is_wrong_tells_all_of_it_and_writes_nothing(tmp_path: Path, library: Path) -> None:
    before, path = tree(library), tmp_path / "names.json"
    command(tmp_path, "-o", path)
    sound_one = json.loads(path.read_text())

    def told(change: Any) -> list[str]:
        document = json.loads(json.dumps(sound_one))
        change(document)
        path.write_text(json.dumps(document))
        with pytest.raises(PlanError) as raised:
            read_names(os.fsencode(path))
        return raised.value.problems

    def spoil(document: dict[str, Any]) -> None:
        a, b, c, d = document["files"]
        a["fields"] |= {"comment": ["x"], "title": [], "album": ["caf\ud800"], "tracknumber": ["3/12"]}
        b["size"], b["more"] = "1", 2
        c["path"] = "here/c.flac"
        document["files"].append(d)

    name = library / "a.flac"
    assert told(spoil) == [
        f"{name}: album holds no value that can be written; write a list of texts, or take the field out",
        f"{name}: tracknumber holds a number and a total; write the total into tracktotal",
        f"{name}: 'comment' is not one of the fields {', '.join(ALL)}; take it out",
        f"{name}: title holds no value that can be written; write a list of texts, or take the field out",
        f"{library / 'b.flac'}: size is '1'; write a number of bytes",
        f"{library / 'b.flac'}: 'more' is an unknown field; remove it, or put _ before its name",
        "file 3: path is 'here/c.flac'; write an absolute path without '..', '.' and '//'",
        f"{library / 'd.flac'}: is listed twice; leave one",
    ]
    for change in (
        lambda document: document.update(version=2),
        lambda document: document.update(format="reprise-plan"),
    ):
        assert told(change) == ["is not a list of names of this release; write one with `reprise tag --names -o FILE`"]
    for data, what in ((b"{", "not JSON"), (b"[1]", "of this release"), (b'{"a":' * 99, "nested too deep")):
        path.write_bytes(data)
        with pytest.raises(PlanError, match=what):
            read_names(os.fsencode(path))
    nothing = command(tmp_path, library / "e.flac", "-o", tmp_path / "new.json")
    assert (nothing.exit_code, (tmp_path / "new.json").exists()) == (EXIT_NOTHING_TO_DO, False)
    unwritten = command(tmp_path, library / "a.flac", "--protect", library, "-o", tmp_path / "new.json")
    assert (unwritten.exit_code, (tmp_path / "new.json").exists()) == (3, False)
    assert "lists it" not in unwritten.stdout
    refused = command(tmp_path, "-o", path)
    assert (refused.exit_code, "is not a list of names, so it is not replaced" in refused.stderr) == (15, True)
    assert tree(library) == before


def test_a_list_writes_only_into_the_library_as_it_is_known(tmp_path: Path, library: Path) -> None:
    path = tmp_path / "names.json"
    command(tmp_path, "-o", path)
    document = json.loads(path.read_text())
    foreign = tmp_path / "foreign.flac"
    foreign.write_bytes((library / "a.flac").read_bytes())
    document["files"][0]["path"] = str(foreign)
    os.utime(library / "b.flac", ns=(1, 1))
    path.write_text(json.dumps(document))
    done = CliRunner().invoke(cli.cli, ["tag", "--store", str(tmp_path / "store"), "--from", str(path), "--yes"])
    assert done.exit_code == 3
    assert "no file of the library is there; scan its folder" in done.stdout
    assert "it has changed since it was scanned; scan its folder again" in done.stdout
    assert "title" in fields(foreign) and "album" not in fields(foreign)
    assert "album" not in fields(library / "b.flac") and "album" in fields(library / "c.flac")


def test_what_several_files_have_in_common_is_said_once() -> None:
    def of(name: str, **parts: dict[str, tuple[str, ...]]) -> Compared:
        before = {"album": ("Greatest Hits",), "musicbrainz_albumid": ("x",), "title": ("Old",)}
        return Compared(f"/m/{name}.flac".encode(), Changes(**parts), before, (1, 2))

    files = [
        of("a", fields={"artist": ("Me",)}, kept={"album": ("Hits",)}),
        of("b", fields={"artist": ("Me",), "title": ("New",)}, kept={"album": ("Hits",), "title": ("N",)}),
        of("c", doubts={"musicbrainz_albumid": ("y",)}),
        of("d", doubts={"musicbrainz_albumid": ("y",)}),
    ]
    assert list(compared_lines(files, Look(80))) == [
        "/m",
        "  + all 2: ARTIST Me",
        "  = 2 files: stays ALBUM Greatest Hits (found: Hits)",
        "  ? 2 files: MUSICBRAINZ_ALBUMID is x, and y was found",
        "  + b.flac: TITLE Old → New",
        "    = stays TITLE Old (found: N)",
    ]
    for narrow in compared_lines(files, Look(40, wraps=True)):
        assert width_of(narrow) <= 40
