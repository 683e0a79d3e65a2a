"""The gate as a service: one answer to each question whatever is killed, and one import of each recording."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from typing import Any

import mutagen
import pytest

from dedup.errors import StoreLockedError, StoreMissingError
from dedup.gate import gate as gate_module
from dedup.gate import keeper as keeper_module
from dedup.gate.decide import Policy
from dedup.gate.keeper import Keeper, Terms
from dedup.gate.nouns import Decision
from dedup.settings import GateSettings, MatchSettings, ScanSettings
from dedup.store.layout import Layout
from dedup.store.questions import Questions, Reservation
from dedup.store.store import Store, open_for_reading, open_for_writing
from tests import stores
from tests.gate_music import make_music, scanned

TERMS = Terms(MatchSettings(), Policy(varispeed=False), ScanSettings(), 2)
SONGS = 2


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library, a store of it, and in `new` two encodings of each of some songs."""
    return make_music(tmp_path_factory.mktemp("keeper"), SONGS, 14.0)


@pytest.fixture
def folder(music: Path, tmp_path: Path) -> Path:
    shutil.copytree(music / "store", tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(gate_module, "REFRESH_S", 0.1)


def answered(keeper: Keeper, id_: int) -> dict[str, Any]:
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        found = keeper.answer(id_)
        if found is not None and found["answer"] is not None:
            return found
        time.sleep(0.01)
    raise AssertionError("no answer")


@contextlib.contextmanager
def opened(folder: Path, terms: Terms = TERMS) -> Iterator[Keeper]:
    with Keeper(folder, terms).opened() as keeper:
        yield keeper


def test_of_two_that_come_together_one_is_imported(music: Path, folder: Path) -> None:
    paths = [os.fsencode(path) for path in sorted((music / "new").iterdir())]
    with opened(folder) as keeper, ThreadPoolExecutor(len(paths)) as pool:
        said = list(pool.map(lambda path: answered(keeper, keeper.ask(path)), paths))
        by_song: dict[str, list[str]] = {}
        for each in said:
            by_song.setdefault(Path(each["path"]).stem, []).append(each["answer"])
        assert {answers.count("import") for answers in by_song.values()} == {1}
        assert {tuple(sorted(answers))[1] for answers in by_song.values()} <= {"duplicate", "import", "better"}
        assert keeper.queue() == []
        assert keeper.state.n_reserved == SONGS
        assert keeper.state.answers.total() == len(paths)
    with opened(folder) as keeper:
        assert keeper.state.n_reserved == SONGS, "promises outlive the process"
        mp3 = next(each for each in said if each["answer"] != "import")
        again = answered(keeper, keeper.ask(os.fsencode(mp3["path"])))
        assert (again["answer"], again["id"] != mp3["id"]) == (mp3["answer"], True)


def test_a_promise_lapses_or_is_kept_until_a_scan_has_seen_the_file(music: Path, folder: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    shutil.copytree(music / "library", library)
    flac, mp3 = (os.fsencode(music / "new" / name) for name in ("0.flac", "0.mp3"))
    with opened(folder, TERMS._replace(reserved_s=0.05)) as keeper:
        first = keeper.ask(flac)
        assert answered(keeper, first)["answer"] == "import"
        time.sleep(0.1)
        second = keeper.ask(mp3)
        assert answered(keeper, second)["answer"] == "import", "nobody has imported the first"
        moved = library / "kept.mp3"
        shutil.copy(os.fsdecode(mp3), moved)
    with opened(folder) as keeper:
        third = answered(keeper, keeper.ask(mp3))
        assert keeper.imported(third["id"], os.fsencode(moved))
        worse = answered(keeper, keeper.ask(flac))
        assert worse["answer"] == "better"
        assert worse["copies"][0]["path"] == str(moved)
        assert worse["copies"][0]["null_test"]["is_copy"], "it is listened to where it is now"
        scanned(folder, library)
        deadline = time.monotonic() + 20
        while keeper.state.n_reserved and time.monotonic() < deadline:
            time.sleep(0.05)
        assert keeper.state.n_reserved == 0
        assert [each["path"] for each in answered(keeper, keeper.ask(flac))["copies"]] == [str(moved)]


def test_what_is_imported_is_a_track_and_a_scan_decodes_nothing(music: Path, folder: Path, tmp_path: Path) -> None:
    """As if a scan had decoded it, whatever the answer was, with new tags, and told before it was answered."""
    library, new = tmp_path / "library", music / "new"
    shutil.copytree(music / "library", library)
    scanned(folder, library)
    paths = {name: os.fsencode(library / "new" / name) for name in ("0.flac", "0.mp3", "1.mp3")}
    with opened(folder) as keeper:
        asked = {}
        for name, answer in (("0.flac", "import"), ("0.mp3", "duplicate")):
            asked[name] = keeper.ask(os.fsencode(new / name))
            assert answered(keeper, asked[name])["answer"] == answer
        (library / "new").mkdir()
        for name in paths:
            shutil.copy(new / name, library / "new" / name)
        tagged = mutagen.File(library / "new" / "0.mp3", easy=True)
        tagged["title"] = "Another"
        tagged.save()
        assert all(keeper.imported(id_, paths[name]) for name, id_ in asked.items())
        assert keeper.imported(keeper.ask(paths["1.mp3"]))
        wait_for(lambda: all(path in paths_in(folder) for path in paths.values()))
    with open_for_reading(folder) as store:
        entered = {path: sound_of(store, path) for path in paths.values()}
    done = scanned(folder, library)
    assert (done.unchanged, done.fingerprinted, done.identical) == (4, 0, 0)
    scanned(tmp_path / "fresh", library)
    with open_for_reading(tmp_path / "fresh") as store:
        assert entered == {path: sound_of(store, path) for path in paths.values()}
    with stores.open_store(folder):
        pass  # the checker looks at it at the end


def paths_in(folder: Path) -> set[bytes]:
    with open_for_reading(folder) as store:
        return {path for _, path in store.catalog.tracks.paths()}


def sound_of(store: Store, path: bytes) -> tuple[Any, ...]:
    """What the store has of a file, except numbers that it gave itself."""
    track = store.catalog.tracks.get(path)
    assert track is not None
    audio = store.catalog.audios.get(track.audio)
    assert audio is not None
    pitches = store.catalog.pitches.get(audio.fingerprint)
    items = store.items_of(audio.fingerprint)
    unnumbered = replace(track, id=0, audio=0), replace(audio, id=0, fingerprint=0)
    return *unnumbered, items.tobytes(), None if pitches is None else pitches.tobytes()


def test_what_no_scan_would_find_is_no_track(music: Path, folder: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    shutil.copytree(music / "library", library)
    scanned(folder, library)
    hidden, elsewhere = library / ".new" / "0.flac", tmp_path / "0.flac"
    hidden.parent.mkdir()
    with opened(folder) as keeper:
        for path in (hidden, elsewhere):
            shutil.copy(music / "new" / "0.flac", path)
            assert keeper.imported(keeper.ask(os.fsencode(path)))
            wait_for(lambda: not keeper.queue())
    with open_for_reading(folder) as store:
        assert {os.path.basename(path) for _, path in store.catalog.tracks.paths()} == {b"song.flac"}


def test_while_a_run_holds_the_store_what_was_imported_waits(music: Path, folder: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    shutil.copytree(music / "library", library)
    scanned(folder, library)
    path = library / "0.flac"
    shutil.copy(music / "new" / "0.flac", path)
    with opened(folder) as keeper:
        with open_for_writing(folder, "reprise full"):
            first = keeper.ask(os.fsencode(path))
            assert answered(keeper, first)["answer"] == "import" and keeper.imported(first)
            assert answered(keeper, keeper.ask(os.fsencode(music / "new" / "0.mp3")))["answer"] == "duplicate"
            assert keeper.state.n_reserved == 1
        wait_for(lambda: keeper.state.n_reserved == 0)
    assert scanned(folder, library).unchanged == 2


def wait_for(is_so: Callable[[], bool]) -> None:
    deadline = time.monotonic() + 20
    while not is_so():
        assert time.monotonic() < deadline
        time.sleep(0.02)


def test_who_moves_a_file_need_not_say_what_it_was(music: Path, folder: Path, tmp_path: Path) -> None:
    first, moved = tmp_path / "0.flac", tmp_path / "moved.flac"
    shutil.copy(music / "new" / "0.flac", first)
    with opened(folder) as keeper:
        assert answered(keeper, keeper.ask(os.fsencode(first)))["answer"] == "import"
        first.rename(moved)
        again = keeper.ask(os.fsencode(moved))
        assert keeper.imported(again) and answered(keeper, again)
        said = answered(keeper, keeper.ask(os.fsencode(music / "new" / "0.mp3")))
        assert (said["answer"], [each["path"] for each in said["copies"]]) == ("duplicate", [str(moved)])
        assert keeper.state.n_reserved == 1


def test_a_promised_file_that_is_moved_just_now_is_heard_where_it_is(
    music: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, moved = tmp_path / "0.flac", tmp_path / "moved.flac"
    shutil.copy(music / "new" / "0.flac", first)
    with opened(folder) as keeper:
        id_ = keeper.ask(os.fsencode(first))
        answered(keeper, id_)
        first.rename(moved)

        seen = []
        is_of_moved = keeper_module._is_of_moved

        def told(decision: Decision) -> bool:
            seen.append(is_of_moved(decision))
            if seen[-1]:
                keeper.imported(id_, os.fsencode(moved))
            return seen[-1]

        monkeypatch.setattr(keeper_module, "_is_of_moved", told)
        assert answered(keeper, keeper.ask(os.fsencode(music / "new" / "0.mp3")))["answer"] == "duplicate"
        assert seen == [True, False]


def test_a_better_file_that_is_to_be_imported_is_promised_too(music: Path, folder: Path) -> None:
    worse, better = (os.fsencode(music / "new" / name) for name in ("0.mp3", "0.flac"))
    terms = TERMS._replace(policy=TERMS.policy._replace(gate=GateSettings(on_better="import")))
    with opened(folder, terms) as keeper:
        assert answered(keeper, keeper.ask(worse))["do"] == "import"
        said = answered(keeper, keeper.ask(better))
        assert (said["answer"], said["do"]) == ("better", "import")
        wait_for(lambda: keeper.state.n_reserved == 2)
        copy = folder.parent / "again.flac"
        shutil.copy(os.fsdecode(better), copy)
        again = answered(keeper, keeper.ask(os.fsencode(copy)))
        assert (again["answer"], again["do"]) == ("duplicate", "reject")


def test_a_store_has_one_keeper(folder: Path, tmp_path: Path) -> None:
    with opened(folder), pytest.raises(StoreLockedError, match="its gate is open already"), opened(folder):
        pass
    (tmp_path / "none").mkdir()
    with pytest.raises(StoreMissingError), opened(tmp_path / "none"):
        pass


def test_what_cannot_be_used_costs_one_line(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "x.mp3").write_bytes(bytes(5000))
    with opened(folder) as keeper:
        asked = [
            keeper.ask(os.fsencode(tmp_path / name))
            for name in ("x.mp3", "none.mp3", ".", b"\xff\n.mp3".decode("latin-1"))
        ]
        assert Counter(answered(keeper, id_)["answer"] for id_ in asked) == {"unusable": 4}
        assert keeper.answer(10**9) is None


def test_a_store_that_is_replaced_or_away_for_a_while(
    music: Path, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As by a repair, which puts a new catalog in the place of the old one."""
    monkeypatch.setattr(keeper_module, "AGAIN_S", 0.1)
    catalog, song = folder / "catalog.db", os.fsencode(music / "new" / "0.flac")
    with opened(folder) as keeper:
        assert answered(keeper, keeper.ask(song))["answer"] == "import"
        shutil.copy(catalog, tmp_path / "new.db")
        os.replace(catalog, tmp_path / "old.db")
        waiting = keeper.ask(os.fsencode(music / "new" / "0.mp3"))
        deadline = time.monotonic() + 20
        while not keeper.state.problem and time.monotonic() < deadline:
            time.sleep(0.02)
        assert keeper.state.problem
        assert [each["id"] for each in keeper.queue()] in ([waiting], [])
        for left in ("-wal", "-shm"):
            (folder / f"catalog.db{left}").unlink(missing_ok=True)
        os.replace(tmp_path / "new.db", catalog)
        assert answered(keeper, waiting)["answer"] == "duplicate", "what was promised still is"
        assert answered(keeper, keeper.ask(os.fsencode(music / "new" / "1.flac")))["answer"] == "import"
        assert keeper.state.problem == ""


# ---- the database ----


def test_questions_are_asked_once_while_they_are_open(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    with contextlib.closing(Questions(path)) as questions:
        assert questions.ask(b"/a", 1.0) == (1, True)
        assert questions.ask(b"/a", 2.0) == (1, False)
        assert questions.ask(b"/b", 3.0) == (2, True)
        promised = Reservation(1, json.dumps({}), b"1234", 99.0)
        questions.answer(1, "{}", 4.0, promised)
        assert [each.id for each in questions.unanswered()] == [2]
        assert questions.reservations() == [promised]
        assert questions.ask(b"/a", 5.0) == (3, True), "an answered one may be asked again"
    assert path.stat().st_mode & 0o077 == 0
    with contextlib.closing(Questions(path)) as questions:
        assert [each.path for each in questions.unanswered()] == [b"/b", b"/a"]
        found = questions.get(1)
        assert found is not None and (found.answered, found.record) == (4.0, "{}")
        questions.drop([1])
        assert questions.reservations() == []
        last = questions.last_of(b"/a")
        assert last is not None and last.id == 3


def test_a_damaged_database_is_set_aside(tmp_path: Path) -> None:
    path = tmp_path / "queue.db"
    path.write_bytes(b"no database" * 1000)
    with contextlib.closing(Questions(path)) as questions:
        assert questions.unanswered() == []
    assert (tmp_path / "queue.db.damaged").read_bytes().startswith(b"no database")
    with contextlib.closing(sqlite3.connect(path)) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)


def test_a_promise_of_another_version_is_dropped(folder: Path) -> None:
    Layout(folder).gate.mkdir(exist_ok=True)
    with contextlib.closing(Questions(Layout(folder).gate / "queue.db")) as questions:
        id_, _ = questions.ask(b"/a", time.time())
        questions.answer(id_, "{}", time.time(), Reservation(id_, '{"what": 1}', b"1234", time.time() + 99))
    with opened(folder) as keeper:
        assert keeper.state.n_reserved == 0
