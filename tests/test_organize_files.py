"""What `organize` does to real files: with hostile names and tags, in chains and circles, killed at any moment.
Nothing is lost or overwritten, and `undo` makes the tree what it was."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dedup.cleanup.journal import JournalWriter, journals
from dedup.cleanup.organizing import Organized, organize, resume
from dedup.cleanup.rename import Rename
from dedup.cleanup.steps import Step
from dedup.errors import WriteError
from dedup.files.paths import holds
from dedup.observer import Silent
from dedup.organize.fields import FIELDS
from dedup.organize.moves import organisation
from dedup.organize.nouns import Organisation
from dedup.organize.template import Template
from dedup.plan.references import References
from dedup.runner import Stop
from dedup.settings import TEMPLATE, KeepSettings
from dedup.store.store import Store
from tests.cleanups import make_store, opened, run, take_back, tone
from tests.killing import run_killed
from tests.made_names import byte_tree, make_hostile, tag_file

KILLED = """
import os, sys
from pathlib import Path
import numpy, blake3, av, zarr  # imported before the forks, not used
from tests.killing import kill_at_each_step
from tests.test_organize_files import begin, begin_undo, prepare, prepare_undo

first, run = {"organize": (prepare, begin), "undo": (prepare_undo, begin_undo)}[sys.argv[3]]
calls = [(os, name) for name in "rename replace unlink rmdir mkdir utime fsync".split()]
kill_at_each_step(Path(sys.argv[1]), Path(sys.argv[2]), run, calls, first, every=int(sys.argv[4]))
"""


def planned(
    store: Store, text: str = TEMPLATE, paths: Sequence[bytes] = (), protect: Sequence[bytes] = ()
) -> Organisation:
    """As the command plans."""
    plan = organisation(store, Template(text, FIELDS), paths=paths, protect=protect)
    references = References(store.catalog.tracks.roots(), plan.moved, Silent(), protect)
    return replace(plan, playlists=references.referring(plan.moved))


def carried_out(store: Store, plan: Organisation) -> Organized:
    return organize(store=store, plan=plan, keep=KeepSettings(), observer=Silent(), stop=Stop())


def music_of(root: Path) -> dict[str, bytes]:
    """The bytes of each piece of music, by its path, also of one on its way; each has tags of its own."""
    found = {}
    for path, (held, *_) in byte_tree(root).items():
        if held.startswith(b"fLaC"):
            assert held not in found.values()
            found[os.fsdecode(path)] = held
    return found


def know_all(root: Path, paths: Sequence[bytes]) -> None:
    make_store(
        root.parent / "store", root, {os.fsdecode(os.path.relpath(path, os.fsencode(root))): 1 for path in paths}
    )


def audios_of(store: Store) -> dict[int, int | None]:
    """The audio of each track, by its id."""
    return {track.id: track.audio for track in store.catalog.tracks.all()}


# ---- all of it, and back


def organised_and_undone(folder: Path, n_files: int) -> Organized:
    root = folder / "music"
    paths = make_hostile(root, n_files, tone(1, "flac"))
    know_all(root, paths)
    before, music = byte_tree(root), sorted(music_of(root).values())
    with opened(root) as store:
        known = audios_of(store)
        plan = planned(store)
        targets = [each.target for moving in plan.moves for each in moving.all_files]
        assert len(set(targets)) == len(targets) and all(holds(os.fsencode(root), target) for target in targets)
        assert all(max(map(len, target.split(b"/"))) <= 255 for target in targets)
        done = carried_out(store, plan)
        assert done.refused == ()
        assert done.n_files == len(plan.moves)
        assert sorted(music_of(root).values()) == music
        for track in store.catalog.tracks.all():
            status = os.lstat(track.path)
            assert (track.size, track.mtime_ns, track.inode) == (status.st_size, status.st_mtime_ns, status.st_ino)
        assert audios_of(store) == known
        assert planned(store).moves == ()  # where all is, nothing moves
        undone = take_back(store)
        assert undone.failed == () and undone.n_files == done.n_files
        assert audios_of(store) == known
        assert {track.path for track in store.catalog.tracks.all()} == set(paths)
    assert byte_tree(root) == before
    return done


def test_hostile_names_are_organised_and_undone(tmp_path: Path) -> None:
    assert organised_and_undone(tmp_path, 40).n_files > 30


@pytest.mark.long
def test_a_thousand_hostile_names_are_organised_and_undone(tmp_path: Path) -> None:
    assert organised_and_undone(tmp_path, 1000).n_files > 700


# ---- chains, circles, cases


def make_titled(root: Path, titles: dict[str, str]) -> None:
    """Files of one artist with these titles, each with sound and lyrics of its own."""
    for number, (name, title) in enumerate(titles.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tone(1, "flac"))
        tag_file(path, artist="X", title=title, comment=str(number))
        path.with_suffix(".lrc").write_text(name)
    know_all(root, [os.fsencode(root / name) for name in titles])


@pytest.mark.parametrize(
    "titles",
    [
        {"a.flac": "b", "b.flac": "c", "c.flac": "d"},
        {"a.flac": "b", "b.flac": "a"},
        {"a.flac": "b", "b.flac": "c", "c.flac": "a", "d.flac": "D"},
        {"a.flac": "A", "É.flac": "é"},
        {"a.flac": "b", "b.flac": "b", "c.flac": "b"},
    ],
    ids=["chain", "swap", "circle", "case", "one name for all"],
)
def test_names_that_wait_for_each_other(tmp_path: Path, titles: dict[str, str]) -> None:
    root = tmp_path / "music"
    make_titled(root, titles)
    before, music = byte_tree(root), {name: (root / name).read_bytes() for name in titles}
    with opened(root) as store:
        plan = planned(store, "$title")
        assert carried_out(store, plan).refused == ()
        for moving in plan.moves:
            name = os.fsdecode(os.path.basename(moving.path))
            target = Path(os.fsdecode(moving.target))
            assert target.read_bytes() == music[name]
            assert target.with_suffix(".lrc").read_text() == name
            assert store.catalog.tracks.get(moving.target) is not None
        assert not [name for name in os.listdir(root) if name.startswith(".reprise")]
        assert planned(store, "$title").moves == ()
        assert take_back(store).failed == ()
    assert byte_tree(root) == before


def test_what_is_not_ours_to_move_stays(tmp_path: Path) -> None:
    root = tmp_path / "music"
    names = [
        "plain.flac",
        "safe/protected.flac",
        "linked.flac",
        "hard.flac",
        "changed.flac",
        "gone.flac",
        "away/in.flac",
    ]
    make_titled(root, {name: f"new {number}" for number, name in enumerate(names)})
    (root / "linked.flac").rename(tmp_path / "real.flac")
    (root / "linked.flac").symlink_to(tmp_path / "real.flac")
    os.link(root / "hard.flac", tmp_path / "other name.flac")
    tag_file(root / "changed.flac", artist="X", title="Y")
    os.utime(root / "changed.flac")
    (root / "gone.flac").unlink()
    (root / "away").rename(tmp_path / "elsewhere")
    (root / "away").symlink_to(tmp_path / "elsewhere")
    (root / "unknown.flac").write_bytes(tone(2, "flac"))
    (root / "notes.txt").write_text("mine")
    with opened(root) as store:
        plan = planned(store, "$title", protect=[os.fsencode(root / "safe")])
        assert [os.path.basename(moving.path) for moving in plan.moves] == [b"plain.flac"]
        assert {os.path.basename(each.path).decode(): each.reason.split(":")[0] for each in plan.staying} == {
            "protected.flac": "it is in a protected folder",
            "linked.flac": "it is a symbolic link",
            "hard.flac": "it has other names, by hard links",
            "changed.flac": "it has changed since it was scanned. Scan its folder again",
            "gone.flac": "cannot be looked at",
            "in.flac": "its folder is reached through a link",
        }
        assert carried_out(store, plan).n_files == 1
    assert (root / "unknown.flac").exists() and (root / "notes.txt").read_text() == "mine"


def test_what_comes_between_the_plan_and_the_move_is_seen(tmp_path: Path) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "1", "b.flac": "2", "c.flac": "3", "d.flac": "4"})
    with opened(root) as store:
        plan = planned(store, "$title")
        (root / "1.flac").write_bytes(b"another's")
        os.utime(root / "b.flac")
        (root / "3.lrc").write_bytes(b"another's")
        done = carried_out(store, plan)
        assert (done.n_files, done.n_beside) == (1, 1)
        told = {os.path.basename(each.path).decode(): each.reason for each in done.refused}
        assert "something is already at its new path" in told["a.flac"]
        assert told["b.flac"] == "it was changed since the plan was made"
        assert "c.lrc" in told["c.flac"]  # the music stays with what goes along
        assert {os.path.basename(track.path) for track in store.catalog.tracks.all()} == {
            b"a.flac", b"b.flac", b"c.flac", b"4.flac"
        }  # fmt: skip
    assert (root / "1.flac").read_bytes() == (root / "3.lrc").read_bytes() == b"another's"


def test_what_the_store_remembers_of_a_path_gives_way(tmp_path: Path) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "b", "b.flac": "c"})
    (root / "b.flac").unlink()
    (root / "b.lrc").unlink()
    with opened(root) as store:
        (before,) = [track for track in store.catalog.tracks.all() if track.path.endswith(b"a.flac")]
        assert carried_out(store, planned(store, "$title", [before.path])).n_files == 1
        (after,) = store.catalog.tracks.all()
        assert (after.id, after.path, after.audio) == (before.id, os.fsencode(root / "b.flac"), before.audio)


def test_nothing_goes_to_another_file_system(tmp_path: Path) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "b"})
    other = next(path for path in (b"/dev/shm", b"/proc") if os.stat(path).st_dev != root.stat().st_dev)
    with opened(root) as store:
        plan = organisation(store, Template("$title", FIELDS), to=other)
        assert plan.moves == ()
        assert "on another file system" in plan.staying[0].reason


def test_files_go_to_a_folder_of_their_own_and_come_back(tmp_path: Path) -> None:
    root, to = tmp_path / "music", tmp_path / "sorted"
    make_titled(root, {"new/a.flac": "One", "b.flac": "Two"})
    to.mkdir()
    before = byte_tree(root)
    done = run(root, "organize", root / "new", "--template", "$artist/$title", "--to", to, "--yes")
    assert done.exit_code == 0 and "1 file moved, 1 along" in done.stdout
    assert sorted(os.listdir(to / "X")) == ["One.flac", "One.lrc"] and sorted(os.listdir(root)) == ["b.flac", "b.lrc"]
    with opened(root) as store:
        roots = {os.path.basename(track.path): track.root for track in store.catalog.tracks.all()}
    assert roots == {b"One.flac": os.fsencode(to), b"b.flac": os.fsencode(root)}
    assert run(root, "undo").exit_code == 0
    assert byte_tree(root) == before and os.listdir(to) == []
    with opened(root) as store:
        assert {track.root for track in store.catalog.tracks.all()} == {os.fsencode(root)}


# ---- what goes along


def test_covers_cue_sheets_and_playlists_follow(tmp_path: Path) -> None:
    root = tmp_path / "music"
    make_titled(root, {"in/one.flac": "1", "in/two.flac": "2", "mixed/three.flac": "3", "mixed/four.flac": "4"})
    (root / "in/cover.jpg").write_bytes(b"c")
    (root / "in/album.cue").write_bytes(b'TITLE "x"\r\nFILE "one.flac" WAVE\r\nFILE "../mixed/four.flac" WAVE\r\n')
    (root / "in/log.txt").write_bytes(b"stays")
    (root / "mixed/cover.jpg").write_bytes(b"c")
    (root / "list.m3u").write_bytes(b"#EXTM3U\nin/one.flac\nmixed/three.flac\nin/log.txt\n")
    tag_file(root / "mixed/four.flac", artist="Y", title="4", comment="9")
    with opened(root) as store:
        take_over(store, root / "mixed/four.flac")
        done = carried_out(store, planned(store, "$artist/$title"))
        assert done.refused == ()
        assert (done.n_playlists, done.n_beside) == (2, 4 + 2)
        assert sorted(os.listdir(root / "X")) == sorted(
            ["1.flac", "1.lrc", "2.flac", "2.lrc", "3.flac", "3.lrc", "album.cue", "cover.jpg"]
        )
        assert (root / "X/album.cue").read_bytes() == b'TITLE "x"\r\nFILE "1.flac" WAVE\r\nFILE "../Y/4.flac" WAVE\r\n'
        assert (root / "list.m3u").read_bytes() == b"#EXTM3U\nX/1.flac\nX/3.flac\nin/log.txt\n"
        assert os.listdir(root / "in") == ["log.txt"] and os.listdir(root / "mixed") == ["cover.jpg"]


def take_over(store: Store, path: Path) -> None:
    """Lets the store know a file as it is now."""
    from dedup.cleanup.reach import reach_of_tracks
    from dedup.cleanup.records import renew

    with reach_of_tracks(store, [os.fsencode(path)]) as reach:
        renew(store, os.fsencode(path), reach)


# ---- kills


def prepare(folder: Path) -> None:
    root = folder / "music"
    paths = [path for path in byte_tree(root) if path.endswith(b".flac")]
    know_all(root, [os.path.join(os.fsencode(root), path) for path in paths])


def begin(folder: Path) -> None:
    with opened(folder / "music") as store:
        carried_out(store, planned(store, "$artist/$title"))


def prepare_undo(folder: Path) -> None:
    prepare(folder)
    begin(folder)


def begin_undo(folder: Path) -> None:
    with opened(folder / "music") as store:
        take_back(store)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library with a circle, a chain, lyrics, a cover, litter and a playlist."""
    folder = tmp_path_factory.mktemp("made")
    root = folder / "music"
    titles = {"X/a.flac": "b", "X/b.flac": "a", "x/c.flac": "d", "X/d.flac": "e", "deep/er/f.flac": "F"}
    for number, (name, title) in enumerate(titles.items()):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(tone(1, "flac"))
        tag_file(path, artist="X", title=title, comment=str(number))
    (root / "X/a.lrc").write_text("a")
    (root / "X/b.lrc").write_text("b")
    (root / "deep/er/cover.jpg").write_bytes(b"c")
    (root / "deep/er/Thumbs.db").write_bytes(b"litter")
    (root / "list.m3u").write_bytes(b"X/a.flac\nX/b.flac\ndeep/er/f.flac\n")
    for path in [*sorted(root.rglob("*"), reverse=True), root]:
        os.utime(path, ns=(1, 1_500_000_000_000_000_001))
    return folder


def shape(root: Path) -> dict[bytes, bytes]:
    return {path: held for path, (held, *_) in byte_tree(root).items()}


def check_killed(made: Path, folders: Sequence[Path], first: str, expected: dict[bytes, bytes]) -> None:
    before = byte_tree(made / "music")
    for folder in folders:
        root = folder / "music"
        assert sorted(music_of(root).values()) == sorted(music_of(made / "music").values()), folder
        with opened(root) as store:
            begun = journals(store.layout.folder)
            if begun and begun[-1].is_open and not begun[-1].undoing and first == "go on":
                assert resume(store=store, keep=KeepSettings(), observer=Silent(), stop=Stop()).refused == ()
                assert shape(root) == expected, folder
                assert {os.path.relpath(t.path, os.fsencode(root)) for t in store.catalog.tracks.all()} == {
                    path for path in expected if path.endswith(b".flac")
                }
            if begun:
                assert take_back(store).failed == ()
            assert {os.path.relpath(t.path, os.fsencode(root)) for t in store.catalog.tracks.all()} == {
                path for path in before if path.endswith(b".flac")
            }
        assert byte_tree(root) == before, folder


@pytest.mark.parametrize("first", ["go on", "undo"])
def test_a_kill_anywhere_is_gone_on_with_and_taken_back(made: Path, tmp_path: Path, first: str) -> None:
    run_killed(KILLED, made, tmp_path, "organize", 47 if first == "undo" else 45)
    *killed, undisturbed = sorted(tmp_path.glob("killed *"))
    assert len(killed) >= 2
    check_killed(made, [*killed, undisturbed], first, shape(undisturbed / "music"))


def test_an_undo_that_is_killed_anywhere_goes_on(made: Path, tmp_path: Path) -> None:
    run_killed(KILLED, made, tmp_path, "undo", 21)
    *killed, _ = sorted(tmp_path.glob("killed *"))
    assert len(killed) >= 2
    check_killed(made, killed, "undo", {})


@pytest.mark.long
@pytest.mark.parametrize("what", ["organize", "undo"])
def test_a_kill_before_every_other_call_loses_nothing(made: Path, tmp_path: Path, what: str) -> None:
    run_killed(KILLED, made, tmp_path, what, 2)
    *killed, undisturbed = sorted(tmp_path.glob("killed *"))
    assert len(killed) > 25
    expected = shape(undisturbed / "music") if what == "organize" else {}
    check_killed(made, killed, "go on", expected)


def test_what_a_kill_left_on_its_way_goes_home_if_it_cannot_go_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "b", "b.flac": "a"})
    begin_step = JournalWriter.begin

    def full(self: JournalWriter, step: Step, *known: Any) -> int:
        if isinstance(step, Rename) and step.path == os.fsencode(root / "b.flac"):
            raise WriteError("journal", "no space")
        return begin_step(self, step, *known)

    with opened(root) as store:
        with monkeypatch.context() as patched:
            patched.setattr(JournalWriter, "begin", full)
            with pytest.raises(WriteError):
                carried_out(store, planned(store, "$title"))
        assert not (root / "a.flac").exists()
        os.utime(root / "b.flac")
        before = shape(root)
        done = resume(store=store, keep=KeepSettings(), observer=Silent(), stop=Stop())
        assert (done.n_files, len(done.refused)) == (0, 2)
        assert sorted(os.listdir(root)) == ["a.flac", "a.lrc", "b.flac", "b.lrc"]
        assert sorted(shape(root).values()) == sorted(before.values())
        assert sorted(track.path for track in store.catalog.tracks.all()) == [
            os.fsencode(root / name) for name in ("a.flac", "b.flac")
        ]
        assert not journals(store.layout.folder)[-1].is_open


# ---- the command


def test_the_command_shows_asks_moves_and_comes_back(tmp_path: Path) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "One", "b.flac": "One", "c.flac": ""})
    before = byte_tree(root)
    dry = run(root, "organize", "--template", "$artist/$title", "--dry-run")
    assert dry.exit_code == 0
    assert "a.flac → One.flac" in dry.stdout and "b.flac → One (2).flac" in dry.stdout
    assert "c.flac: no title" in dry.stdout
    assert "2 files to move, 2 along, 1 numbered, as others have the same name; 0 there already, 1 stay" in dry.stdout
    assert "nothing was moved" in run(root, "organize", "--template", "$artist/$title", typed="n\n").stdout
    assert byte_tree(root) == before
    done = run(root, "organize", "--template", "$artist/$title", typed="y\n")
    assert done.exit_code == 0 and "2 files moved, 2 along" in done.stdout
    scanned = run(root, "scan", root, "--workers", "0")
    assert "3 discovered = 3 unchanged + 0 fingerprinted" in scanned.stdout
    again = run(root, "organize", "--template", "$artist/$title", "--yes")
    assert again.exit_code == 5
    history = run(root, "history")
    assert "done, organize" in history.stdout and "2 moved" in history.stdout
    (told,) = [json.loads(line) for line in run(root, "history", "--json").stdout.splitlines()]
    assert told["organize"] and told["did"]["moved"] == 2
    assert run(root, "undo").exit_code == 0
    assert byte_tree(root) == before


def test_what_was_broken_off_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "b", "b.flac": "c"})

    def full(*_: object) -> None:
        raise WriteError("journal", "no space")

    with opened(root) as store, monkeypatch.context() as patched:
        patched.setattr(JournalWriter, "end", full)
        with pytest.raises(WriteError):
            carried_out(store, planned(store, "$title"))
    for words in (("organize", "--yes"), ("apply", "--resume")):
        refused = run(root, *words)
        assert refused.exit_code not in (0, 5) and "`reprise organize --resume`" in refused.stderr
    assert run(root, "organize", "--resume").exit_code == 0
    assert "there is nothing to resume" in run(root, "organize", "--resume").stderr.lower()


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (("--template", "$tilte"), "Did you mean $title?"),
        (("--resume", "--dry-run"), "cannot be combined"),
        (("--to", "/no/such/folder"), "is not a folder"),
        (("/no/such/file",), "the store knows no file there"),
    ],
)
def test_what_cannot_be_meant_is_one_line(tmp_path: Path, words: tuple[str, ...], told: str) -> None:
    root = tmp_path / "music"
    make_titled(root, {"a.flac": "One"})
    done = run(root, "organize", *words)
    assert done.exit_code not in (0, 5) and told in done.stderr and len(done.stderr.strip().splitlines()) == 1
