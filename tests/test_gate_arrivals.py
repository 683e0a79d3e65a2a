"""What becomes of the files of an inbox: they go where the answer sends them, and `undo` takes it back."""

from __future__ import annotations

import contextlib
import errno
import os
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from dedup.cleanup import arrivals, moving
from dedup.cleanup.arrivals import Arrivals, Places
from dedup.cleanup.executor import Doing
from dedup.cleanup.journal import JournalWriter, journals, require_none_open, to_be_undone
from dedup.cleanup.quarantine import list_quarantine
from dedup.cleanup.undo import undo
from dedup.errors import JournalError, UsageError, WriteError
from dedup.files.held import Spot
from dedup.gate import gate as gate_module
from dedup.gate import keeper as keeper_module
from dedup.gate.decide import Policy
from dedup.gate.inbox import Inbox
from dedup.gate.keeper import Keeper, Terms
from dedup.observer import Silent
from dedup.runner import Stop
from dedup.settings import DiscoverSettings, MatchSettings, ScanSettings
from dedup.store.store import open_for_reading, open_for_writing
from tests.gate_music import make_music, scanned

TERMS = Terms(MatchSettings(), Policy(varispeed=False), ScanSettings(), 2)
ODD = os.fsdecode(b"-a\n\xff$(x).mp3")


class Killed(BaseException):
    """Ends a process in a test."""


class Desk:
    """An inbox, whose files are moved."""

    def __init__(self, base: Path, keeper: Keeper, folder: Path, accept: Path) -> None:
        self.inbox, self.accept, self.reject = base / "in", accept, base / "no"
        for each in (self.inbox, self.accept, self.reject):
            each.mkdir(exist_ok=True)
        self.told: list[dict[str, Any]] = []
        encoded = [os.fsencode(each) for each in (self.inbox, self.accept, self.reject)]
        places = Places((encoded[0],), *encoded[1:]).check()
        self.keeper, self.arrivals = keeper, Arrivals(folder, keeper, places, self.told.append)
        self.watch = Inbox(
            places.inboxes, DiscoverSettings(), encoded[1:], self.is_known, keeper.ask, 0, self.arrivals.settle
        )
        self.now = 0.0

    def is_known(self, path: bytes, moment: float) -> bool:
        return self.arrivals.is_left(path) or self.keeper.is_asked_since(path, moment)

    def look(self, times: int = 3) -> None:
        """Looks until nothing waits for an answer, and some times more."""
        deadline = time.monotonic() + 30
        while times and time.monotonic() < deadline:
            self.now += 1
            self.watch.look(self.now)
            if self.keeper.queue():
                time.sleep(0.02)
            else:
                times -= 1
        self.arrivals.work(lambda: False)

    def files(self) -> dict[str, list[str]]:
        folders = {"in": self.inbox, "yes": self.accept, "no": self.reject}
        return {
            name: sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
            for name, folder in folders.items()
        }


@pytest.fixture(scope="module")
def music(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library, a store of it, and in `new` two encodings of each of some songs."""
    base = make_music(tmp_path_factory.mktemp("arrivals"), 2, 13.0)
    shutil.copy(base / "library" / "song.flac", base / "new" / "known.flac")
    return base


@pytest.fixture(autouse=True)
def looks_often(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keeper_module, "LOOK_EVERY_S", 0.1)
    monkeypatch.setattr(gate_module, "REFRESH_S", 0.1)


@pytest.fixture
def desk(music: Path, tmp_path: Path) -> Iterator[Desk]:
    with opened(music, tmp_path, tmp_path / "yes") as desk:
        yield desk


@contextlib.contextmanager
def opened(music: Path, base: Path, accept: Path, terms: Terms = TERMS) -> Iterator[Desk]:
    if not (base / "store").exists():
        shutil.copytree(music / "store", base / "store")
    with Keeper(base / "store", terms).opened() as keeper:
        yield Desk(base, keeper, base / "store", accept)


def taken_back(folder: Path) -> int:
    """Takes back the last clean-up; returns how many files that brought back."""
    last = int(journals(folder)[-1].id)
    return taken_back_of(folder, last)


def taken_back_of(folder: Path, number: int) -> int:
    with open_for_writing(folder, "test") as store:
        with pytest.raises(JournalError, match="there is no clean-up to take back"):
            undo(store=store, number=None, observer=Silent(), stop=Stop())
        done = undo(store=store, number=number, observer=Silent(), stop=Stop())
    assert not done.failed
    return done.n_files


def test_files_go_where_the_answer_sends_them_and_undo_brings_them_back(music: Path, desk: Desk) -> None:
    (desk.inbox / "an album" / "cd 1").mkdir(parents=True)
    shutil.copy2(music / "new" / "0.mp3", desk.inbox / "an album" / "cd 1" / ODD)
    shutil.copy2(music / "new" / "known.flac", desk.inbox / "x.flac")
    shutil.copy2(music / "new" / "known.flac", desk.inbox / "an album" / "x.flac")
    shutil.copy2(music / "new" / "1.mp3", desk.inbox / "y.mp3")
    (desk.inbox / "broken.mp3").write_bytes(bytes(2000))
    (desk.inbox / "cover.jpg").write_bytes(b"1")
    (desk.accept / "y.mp3").write_bytes(b"there before")
    before = desk.files()
    times = {path: path.stat().st_mtime_ns for path in desk.inbox.rglob("*")}
    desk.look()
    assert desk.files() == {
        "in": ["broken.mp3", "cover.jpg"],
        "yes": [f"an album/cd 1/{ODD}", "y.mp3", "y_01.mp3"],
        "no": ["an album/x.flac", "x.flac"],
    }
    assert (desk.accept / "y.mp3").read_bytes() == b"there before"
    assert {os.path.basename(each["path"]) for each in desk.told} == {os.fsencode(ODD), b"x.flac", b"y.mp3"}
    said = desk.keeper.ask(os.fsencode(music / "new" / "0.flac"))
    while not (answer := desk.keeper.answer(said) or {}).get("answer"):
        time.sleep(0.02)
    assert answer["copies"][0]["path_hex"] == os.fsencode(desk.accept / "an album" / "cd 1" / ODD).hex()
    desk.look()
    store = desk.arrivals.folder
    with open_for_reading(store) as reading:
        assert list_quarantine(reading).batches == (), "what was moved is not in quarantine"
    n = sum(taken_back_of(store, int(each.id)) for each in reversed(journals(store)))
    assert (n, desk.files()) == (4, before)
    assert times == {path: path.stat().st_mtime_ns for path in desk.inbox.rglob("*")}
    desk.look()
    assert desk.files() == before, "what a person has put back stays"
    deadline = time.monotonic() + 20
    while desk.keeper.state.n_reserved and time.monotonic() < deadline:
        time.sleep(0.02)
    assert desk.keeper.state.n_reserved == 0, "and is promised no more"
    shutil.copy2(music / "new" / "1.flac", desk.inbox / "y.mp3")
    desk.look()
    assert desk.files()["in"] == [name for name in before["in"] if name != "y.mp3"], "another file is another question"


def test_files_wait_while_another_run_holds_the_store(music: Path, desk: Desk) -> None:
    shutil.copy(music / "new" / "0.mp3", desk.inbox)
    with open_for_writing(desk.arrivals.folder, "reprise full"):
        desk.look()
        assert desk.files()["in"] == ["0.mp3"]
        assert "in use by reprise full" in desk.keeper.state.inbox
    desk.arrivals.work(lambda: False)
    assert (desk.files()["yes"], desk.keeper.state.inbox) == (["0.mp3"], "")


@pytest.mark.long
def test_a_promise_lasts_as_long_as_its_file_waits_for_the_store(music: Path, tmp_path: Path) -> None:
    brief = TERMS._replace(reserved_s=0.2)

    def answer_on(desk: Desk, name: str) -> str:
        asked = desk.keeper.ask(os.fsencode(music / "new" / name))
        while not (answer := (desk.keeper.answer(asked) or {}).get("answer")):
            time.sleep(0.02)
        return str(answer)

    with opened(music, tmp_path, tmp_path / "yes", brief) as desk:
        shutil.copy(music / "new" / "0.mp3", desk.inbox)
        with open_for_writing(desk.arrivals.folder, "reprise full"):
            desk.look()
            time.sleep(0.6)
            assert answer_on(desk, "0.flac") == "better"
            assert desk.files()["in"] == ["0.mp3"]
    time.sleep(0.3)
    with opened(music, tmp_path, tmp_path / "yes", brief) as desk:  # as if the gate had been closed for a while
        assert answer_on(desk, "0.flac") == "import"
        desk.look()
        assert desk.files() == {"in": [], "yes": [], "no": ["0.mp3"]}, "it is asked about anew"


def test_a_file_that_was_replaced_while_it_waited_is_promised_no_more(music: Path, tmp_path: Path) -> None:
    with opened(music, tmp_path, tmp_path / "yes", TERMS._replace(reserved_s=0.2)) as desk:
        shutil.copy(music / "new" / "0.mp3", desk.inbox / "x.mp3")
        with open_for_writing(desk.arrivals.folder, "reprise full"):
            desk.look()
            shutil.copy(music / "new" / "known.flac", desk.inbox / "x.mp3")
            desk.look()
        desk.look()
        assert desk.files() == {"in": [], "yes": [], "no": ["x.mp3"]}
        deadline = time.monotonic() + 20
        while desk.keeper.state.n_reserved and time.monotonic() < deadline:
            time.sleep(0.02)
        assert (desk.keeper.state.n_reserved, desk.keeper._held) == (0, set())


def test_a_file_that_has_gone_waits_for_nothing(music: Path, desk: Desk) -> None:
    shutil.copy(music / "new" / "0.mp3", desk.inbox)
    work, desk.arrivals.work = desk.arrivals.work, lambda _: None  # type: ignore[method-assign]
    desk.look()
    (desk.inbox / "0.mp3").unlink()
    work(lambda: False)
    assert (desk.arrivals._waiting, desk.arrivals._later, desk.keeper._held) == ({}, [], set())


def test_a_file_that_was_replaced_after_the_answer_stays(
    music: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copy(music / "new" / "0.mp3", desk.inbox / "a.mp3")
    shutil.copy(music / "new" / "1.mp3", desk.inbox / "b.mp3")
    rename = Spot.rename

    def replaced(source: Spot, target: Spot) -> None:
        if source.name == b"b.mp3" and (desk.inbox / "other").exists():
            os.replace(desk.inbox / "other", desk.inbox / "b.mp3")
        rename(source, target)

    monkeypatch.setattr(Spot, "rename", replaced)
    (desk.inbox / "other").write_bytes(b"other")
    work, desk.arrivals.work = desk.arrivals.work, lambda _: None  # type: ignore[method-assign]
    desk.look()
    (desk.inbox / "a.mp3").write_bytes(b"another")
    work(lambda: False)
    assert desk.files() == {"in": ["a.mp3", "b.mp3"], "yes": [], "no": []}
    assert (desk.inbox / "b.mp3").read_bytes() == b"other"


@pytest.mark.parametrize("is_moved", [True, False])
def test_after_a_kill_each_file_is_in_one_place_and_goes_on(
    music: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, is_moved: bool
) -> None:
    do = Doing.do

    def kills(doing: Doing, step: Any, known: Any = None) -> int:
        if step.kind != "move":
            return do(doing, step, known)
        doing._note_time(os.path.dirname(step.path))
        doing._note_time(os.path.dirname(step.target))
        doing.writer.begin(step)
        if is_moved:
            step.do(doing.reach)
        raise Killed

    def dies(*_: Any) -> None:
        raise WriteError("a process that is killed", "writes nothing more")

    with opened(music, tmp_path, tmp_path / "yes") as desk:
        shutil.copy(music / "new" / "0.mp3", desk.inbox)
        with monkeypatch.context() as patched:
            patched.setattr(Doing, "do", kills)
            patched.setattr(JournalWriter, "end", dies)
            with pytest.raises(Killed):
                desk.look()
        (journal,) = journals(desk.arrivals.folder)
        assert journal.is_open
        with pytest.raises(JournalError, match="no clean-up to take back"):
            to_be_undone(desk.arrivals.folder, None)
        with pytest.raises(JournalError, match="Open the gate, which finishes it, or run `reprise undo 1`"):
            require_none_open(desk.arrivals.folder)
    with opened(music, tmp_path, tmp_path / "yes") as desk:
        desk.arrivals.work(lambda: False)
        desk.look()
        assert desk.files() == {"in": [], "yes": ["0.mp3"], "no": []}
        assert not any(each.is_open for each in journals(desk.arrivals.folder))
        assert len(desk.told) == 1, "and it is said once"
        assert taken_back(desk.arrivals.folder) == 1
        assert desk.files()["in"] == ["0.mp3"]


def test_another_disk_and_a_full_one(music: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def other_disk(*_: Any) -> None:
        raise OSError(errno.EXDEV, os.strerror(errno.EXDEV))

    def full(*_: Any) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    shutil.copy2(music / "new" / "0.mp3", desk.inbox)
    monkeypatch.setattr(Spot, "rename", other_disk)
    with monkeypatch.context() as patched:
        patched.setattr(moving, "copy_whole", full)
        desk.look()
    assert desk.files() == {"in": ["0.mp3"], "yes": [], "no": []}
    desk.arrivals.work(lambda: False)
    assert desk.files()["in"] == ["0.mp3"], "it is not tried again at once"
    desk.arrivals._not_before = 0.0
    desk.arrivals.work(lambda: False)
    assert desk.files() == {"in": [], "yes": ["0.mp3"], "no": []}
    assert (desk.accept / "0.mp3").read_bytes() == (music / "new" / "0.mp3").read_bytes()
    assert taken_back(desk.arrivals.folder) == 1
    assert desk.files() == {"in": ["0.mp3"], "yes": [], "no": []}


def test_what_goes_into_the_library_is_a_track_at_once(music: Path, tmp_path: Path) -> None:
    library = tmp_path / "library"
    shutil.copytree(music / "library", library)
    scanned(tmp_path / "store", library)
    with opened(music, tmp_path, library / "new") as desk:
        shutil.copy(music / "new" / "0.mp3", desk.inbox)
        desk.look()
        deadline = time.monotonic() + 20
        while desk.keeper.state.n_reserved and time.monotonic() < deadline:
            time.sleep(0.02)
    assert (library / "new" / "0.mp3").exists()
    assert scanned(tmp_path / "store", library).unchanged == 2


def test_folders_that_would_be_looked_into_again_are_refused(tmp_path: Path) -> None:
    base = os.fsencode(tmp_path)
    for places in (
        Places((), accept=base),
        Places((base + b"/a",), accept=base),
        Places((base,), reject=base),
        Places((base,), reject=base + b"/.reprise-quarantine"),
        Places((base,), accept=base + b"/not mounted"),
    ):
        with pytest.raises(UsageError):
            places.check()
    (tmp_path / "yes").mkdir()
    assert Places((base,), accept=base + b"/yes").check()


def test_a_folder_whose_disk_goes_takes_nothing_until_it_is_back(music: Path, desk: Desk, tmp_path: Path) -> None:
    shutil.copy2(music / "new" / "0.mp3", desk.inbox / "first.mp3")
    desk.look()
    desk.accept.rename(tmp_path / "away")
    shutil.copy2(music / "new" / "1.mp3", desk.inbox / "second.mp3")
    desk.look()
    assert (desk.accept.exists(), desk.files()["in"]) == (False, ["second.mp3"])
    assert "the folder has gone" in desk.keeper.state.inbox
    (tmp_path / "away").rename(desk.accept)
    desk.arrivals._not_before = 0.0
    desk.arrivals.work(lambda: False)
    assert desk.files() == {"in": [], "yes": ["first.mp3", "second.mp3"], "no": []}
    assert desk.keeper.state.inbox == ""


def test_a_file_that_cannot_be_moved_is_tried_again(music: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    shutil.copy2(music / "new" / "0.mp3", desk.inbox)
    with monkeypatch.context() as patched:
        patched.setattr(arrivals, "is_written", lambda _: True)
        desk.look()
    assert desk.files()["in"] == ["0.mp3"]
    assert "0.mp3 stays for now: a program is writing to it" in desk.keeper.state.inbox
    desk.arrivals.work(lambda: False)
    assert desk.files()["in"] == ["0.mp3"], "it is not tried again at once"
    monkeypatch.setattr(arrivals, "AGAIN_S", 0.0)
    desk.arrivals._later = [(0.0, each) for _, each in desk.arrivals._later]
    desk.arrivals.work(lambda: False)
    assert (desk.files()["yes"], desk.keeper.state.inbox) == (["0.mp3"], "")


def test_one_file_that_makes_trouble_keeps_no_other_waiting(
    music: Path, desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    settle = desk.arrivals.settle

    def troubled(path: bytes, size: int, mtime_ns: int) -> bool:
        if path.endswith(b"a.mp3"):
            raise RuntimeError("trouble")
        return settle(path, size, mtime_ns)

    monkeypatch.setattr(desk.watch, "_settle", troubled)
    shutil.copy2(music / "new" / "0.mp3", desk.inbox / "a.mp3")
    shutil.copy2(music / "new" / "1.mp3", desk.inbox / "b.mp3")
    desk.look()
    assert desk.files()["in"] == ["a.mp3"]
