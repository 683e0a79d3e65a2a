"""What people say while another process holds the store: it waits beside the catalog, counts at once, is never lost,
and is taken in once."""

from __future__ import annotations

import contextlib
import fcntl
import os
import stat
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from dedup.errors import InputError, StoreLockedError, WriteError
from dedup.groups.judgements import Judgements, forget, history, record
from dedup.groups.mark import Said, all_judgements, say, say_all, unsay
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.settings import MatchSettings
from dedup.store.catalog import Catalog
from dedup.store.change import store_version
from dedup.store.judgements import Judgement
from dedup.store.layout import Layout, write_lock
from dedup.store.ledgers import sealed_line
from dedup.store.store import open_for_reading, open_for_writing
from dedup.store.waiting import PAIRS, Waiting, WaitingFile
from dedup.upkeep.check import check
from dedup.upkeep.salvage import mend_catalog
from tests.killing import REPO, run_killed
from tests.stores import add_audio, add_track, open_store, recording, repaired

A, B, C = (bytes([n]) * 16 for n in (1, 2, 3))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of two recordings that sound nothing alike."""
    with open_store(tmp_path / "store") as store:
        add_track(store, "a.mp3", add_audio(store, recording(1, 200), stream=A))
        add_track(store, "b.mp3", add_audio(store, recording(2, 200), stream=B))
    return tmp_path / "store"


@pytest.fixture
def held(folder: Path) -> Iterator[Path]:
    """The same, held by a run until the test is over."""
    with write_lock(Layout(folder), "another run"):
        yield folder


def file_of(folder: Path) -> WaitingFile[Waiting]:
    return WaitingFile(Layout(folder).waiting, PAIRS)


def said(folder: Path) -> dict[tuple[bytes, bytes], bool]:
    """What a reader sees."""
    with open_for_reading(folder) as store:
        return Judgements(store).said


def in_catalog(folder: Path) -> dict[tuple[bytes, bytes], bool]:
    """What the table alone says."""
    with open_for_reading(folder) as store:
        return {(row[0], row[1]): bool(row[2]) for row in store.catalog.judgements.read_rows()}


def write(folder: Path) -> None:
    """A run that writes, and has nothing to do with judgements."""
    with open_for_writing(folder, "test"):
        pass


def findings(folder: Path) -> list[tuple[str, str]]:
    with open_for_reading(folder) as store:
        return [(finding.kind, finding.name) for finding in check(store, Silent())]


# ---- what a reader sees ----


def test_without_a_run_nothing_waits(folder: Path) -> None:
    assert say(folder, B, A, True, 0.5, "test") == Said(B, A, True, None, waits=False)
    assert in_catalog(folder) == {(A, B): True}
    assert not Layout(folder).waiting.exists()


def test_beside_a_run_it_counts_at_once_and_is_in_the_catalog_when_that_ends(folder: Path) -> None:
    with open_for_writing(folder, "another run") as store:
        first = say(folder, B, A, True, 0.5, "test")
        assert (first.before, first.waits) == (None, True)
        again = say(folder, A, B, False, 0.6, "test")
        assert again.before is not None
        assert (again.before.same, again.before.score) == (True, 0.5)
        assert said(folder) == {(A, B): False}
        assert Judgements(store).said == {(A, B): False}, "the run itself sees it too"
        assert in_catalog(folder) == {}
    assert in_catalog(folder) == {(A, B): False}
    assert Layout(folder).waiting.stat().st_size == 0
    assert findings(folder) == []


def test_the_file_is_its_owners_alone(held: Path) -> None:
    say(held, A, B, True, None, "test")
    assert stat.S_IMODE(Layout(held).waiting.stat().st_mode) == 0o600


def test_what_is_called_the_same_becomes_a_pair_at_once(held: Path) -> None:
    """Property: a reader beside the run finds the tracks by what waits alone."""
    say(held, A, B, True, None, "test")
    with open_for_reading(held) as store:
        (pair,) = Matches(store, MatchSettings()).pairs()
        (listed,) = all_judgements(store=store)
    assert (pair.verdict, pair.judged) == ("same recording", True)
    assert (listed.a, listed.b) == ((b"/music/a.mp3",), (b"/music/b.mp3",))
    say(held, A, B, None, None, "test")
    with open_for_reading(held) as store:
        assert list(Matches(store, MatchSettings()).pairs()) == []


def test_what_was_said_is_undone(folder: Path) -> None:
    say(folder, A, B, True, 0.5, "test")
    for _ in ("alone", "beside a run"):
        words = say_all(folder, [(A, B, False, 0.6), (A, C, False, None), (A, B, None, None)], "test")
        assert said(folder) == {(A, C): False}
        unsay(folder, words, "test")
        assert said(folder) == {(A, B): True}
        with open_for_reading(folder) as store:
            assert history(store)[0].score == 0.5
        with write_lock(Layout(folder), "another run"):
            words = say_all(folder, [(A, B, False, 0.6), (C, A, True, None)], "test")
            assert all(word.waits for word in words)
            unsay(folder, words, "test")
            assert said(folder) == {(A, B): True}


def test_one_audio_is_not_called_two(held: Path) -> None:
    with pytest.raises(InputError):
        say(held, A, A, False, None, "test")
    assert file_of(held).read() == ([], [])


def test_where_nothing_can_be_written_it_says_so(held: Path) -> None:
    os.mkdir(Layout(held).waiting)  # in the way of the file, for whoever it is
    with pytest.raises(WriteError, match="waiting-judgements"):
        file_of(held).leave(Waiting(A, B, True, None, "2026-01-01T00:00:00Z"))


# ---- what is taken in ----


def test_what_a_run_records_itself_comes_after_what_waited_then(folder: Path) -> None:
    """Property: the last word stands, whoever writes it down first."""
    with open_for_writing(folder, "another run") as store:
        say(folder, A, B, True, None, "test")
        before = record(store, A, B, False, None)
        assert before is not None and before.same
        say(folder, A, C, True, None, "test")
        forget(store, A, C)
    assert said(folder) == in_catalog(folder) == {(A, B): False}


def test_nothing_is_taken_in_twice(folder: Path) -> None:
    """Property: if a kill comes between the commit and the emptying, what was said since stands."""
    with open_for_writing(folder, "another run"):
        say(folder, A, B, True, None, "test")
        say(folder, A, C, True, None, "test")
        told = Layout(folder).waiting.read_bytes()
    Layout(folder).waiting.write_bytes(told)
    assert said(folder) == {(A, B): True, (A, C): True}
    with open_for_reading(folder) as store:
        assert store.catalog.judgements.count_waiting() == 0
    with (
        contextlib.closing(Catalog(Layout(folder).catalog)) as catalog,
        catalog.transaction(),
    ):  # as a run does that has just emptied it
        catalog.judgements.drop(A, B)
        catalog.judgements.put(Judgement(A, C, False, None, "2000-01-01T00:00:00Z"))
    assert said(folder) == {(A, C): False}
    say_beside(folder, B, C, True)
    write(folder)
    assert said(folder) == in_catalog(folder) == {(A, C): False, (B, C): True}


def say_beside(folder: Path, a: bytes, b: bytes, same: bool | None) -> None:
    with write_lock(Layout(folder), "another run"):
        assert say(folder, a, b, same, None, "test").waits


def test_the_same_words_again_are_not_taken_for_those_before(folder: Path) -> None:
    say_beside(folder, A, B, True)
    with open_for_writing(folder, "test") as store:
        forget(store, A, B)
    say_beside(folder, A, B, True)
    write(folder)
    assert in_catalog(folder) == {(A, B): True}


def test_a_half_line_does_not_count_and_is_gone_with_the_next(folder: Path) -> None:
    say_beside(folder, A, B, True)
    with Layout(folder).waiting.open("ab") as file:
        file.write(b'{"a": "01010101')
    assert said(folder) == {(A, B): True}
    assert findings(folder) == [("note", "waiting-judgements")]
    say_beside(folder, A, C, False)
    assert file_of(folder).read().damaged == []
    assert said(folder) == {(A, B): True, (A, C): False}
    with Layout(folder).waiting.open("ab") as file:
        file.write(b'{"a": "01010101')
    write(folder)
    assert in_catalog(folder) == {(A, B): True, (A, C): False}
    assert not file_of(folder).set_aside.exists()


@pytest.mark.parametrize("bit", range(0, 8))
def test_a_flipped_bit_costs_one_line_and_is_named(folder: Path, bit: int) -> None:
    """Property: wherever it is, it never turns one judgement into another, and no line goes without a word."""
    say_beside(folder, A, B, True)
    start = Layout(folder).waiting.stat().st_size
    say_beside(folder, A, C, True)
    end = Layout(folder).waiting.stat().st_size
    data = bytearray(Layout(folder).waiting.read_bytes())
    for at in range(start, end, 7):
        rotten = data.copy()
        rotten[at] ^= 1 << bit
        Layout(folder).waiting.write_bytes(rotten)
        read = file_of(folder).read()
        assert [(each.content_a, each.content_b) for each in read.waiting] == [(A, B)]
        assert read.damaged
    assert findings(folder) == [("note", "waiting-judgements"), ("judgement", "waiting-judgements")]
    say_beside(folder, B, C, False)
    write(folder)
    assert in_catalog(folder) == {(A, B): True, (B, C): False}
    assert findings(folder) == [("judgement", "waiting-judgements.damaged")]
    checked = repaired(folder)
    assert (checked.n_dropped, checked.trouble) == (1, None)
    assert findings(folder) == []


@pytest.mark.parametrize(
    "change",
    [
        {"same": 1},
        {"same": "true"},
        {"a": "01"},
        {"a": "ff" * 16},
        {"b": None},
        {"score": "x"},
        {"same": False, "b": "01" * 16},
    ],
)
def test_a_line_that_says_nothing_is_set_aside(folder: Path, change: dict[str, object]) -> None:
    sound = {"a": A.hex(), "b": B.hex(), "same": True, "score": None, "judged": "2026-01-01T00:00:00Z", "once": "1"}
    Layout(folder).waiting.write_bytes(sealed_line({**sound, **change}) + sealed_line({**sound, "b": C.hex()}))
    write(folder)
    assert in_catalog(folder) == {(A, C): True}
    assert len(file_of(folder).set_aside_lines()) == 1


def test_what_cannot_be_taken_in_waits_on_and_counts(folder: Path) -> None:
    """Property: a damaged row of the catalog keeps nobody from mending it, and what waits outlives the repair."""
    say_beside(folder, A, B, True)
    with contextlib.closing(Catalog(Layout(folder).catalog)) as catalog:
        catalog.connection.execute("UPDATE meta SET value = '1' WHERE key = 'told'")
        catalog.connection.execute("INSERT INTO meta VALUES ('noise', '1', x'')")
    write(folder)
    assert in_catalog(folder) == {}
    checked = repaired(folder)
    assert checked.trouble is None
    write(folder)
    assert in_catalog(folder) == {(A, B): True}


KILLED = """
import os, sys
from pathlib import Path
from dedup.groups.mark import say
from dedup.store.database import Database
from dedup.store.layout import Layout, write_lock
from dedup.store.store import open_for_writing
from tests.killing import kill_at_each_step
from tests.test_waiting import A, B, C

def run(folder):
    with write_lock(Layout(folder), "another run"):
        say(folder, A, B, None, None, "test")
        say(folder, A, C, False, None, "test")
        print("kept", folder.name, flush=True)
    with open_for_writing(folder, "test"):
        say(folder, B, C, True, None, "test")

def prepare(folder):
    sys.stdout = open(folder.parent / "kept", "a")

made, target = map(Path, sys.argv[1:])
steps = [(os, name) for name in ("write", "fsync", "ftruncate")] + [(Database, "transaction")]
kill_at_each_step(made, target, run, steps, prepare)
"""


def test_a_kill_at_any_step_loses_nothing_that_was_told_to_be_kept(folder: Path, tmp_path: Path) -> None:
    """Property: what was acknowledged counts, before and after the next writer, and nothing that was not said does."""
    say_beside(folder, A, B, True)
    target = tmp_path / "killed"
    target.mkdir()
    run_killed(KILLED, folder, target)
    kept = {line.split(maxsplit=1)[1] for line in (target / "kept").read_text().splitlines()}
    stores = sorted(target.glob("killed *"))
    assert len(stores) > 15
    assert 5 < len(kept) < len(stores)
    possible = [{(A, B): True}, {}, {(A, C): False}, {(A, C): False, (B, C): True}]
    for store in stores:
        found = said(store)
        assert found in (possible[2:] if store.name in kept else possible), store.name
        write(store)
        assert said(store) == in_catalog(store) == found, store.name
        assert [kind for kind, _ in findings(store) if kind != "note"] == []
    assert said(stores[-1]) == possible[-1]


SAYING = """
import sys
from pathlib import Path
from dedup.groups.mark import say

folder, name = Path(sys.argv[1]), int(sys.argv[2])
for number in range(100_000):
    a, b = name.to_bytes(8, "big") + bytes(8), b"\\xff" * 8 + number.to_bytes(8, "big")
    say(folder, a, b, bool(number % 2), None, "test")
    print(number, flush=True)
"""


def test_processes_say_at_once_and_are_killed(folder: Path) -> None:
    """Property: SIGKILL in the middle loses none of the judgements that were acknowledged, with and without a run that
    holds the store, which takes them in meanwhile."""
    saying = [
        subprocess.Popen([sys.executable, "-c", SAYING, str(folder), str(name)], stdout=subprocess.PIPE, cwd=REPO)
        for name in (1, 2)
    ]
    last = {}
    try:
        for _ in range(3):
            with open_for_writing(folder, "another run") as store:
                for name, process in enumerate(saying, start=1):
                    assert process.stdout is not None
                    last[name] = [int(process.stdout.readline()) for _ in range(25)][-1]
                store.take_in_what_waits()
                assert store.catalog.judgements.count_waiting() >= 0
    finally:
        for process in saying:
            process.kill()
    for name, process in enumerate(saying, start=1):
        told, _ = process.communicate()
        last[name] = max([last[name], *map(int, told.split())])
    found = said(folder)
    for name in (1, 2):
        numbers = {int.from_bytes(b[8:], "big"): same for (a, b), same in found.items() if a[7] == name}
        assert len(numbers) in (last[name] + 1, last[name] + 2), "one more may be kept that nobody was told of"
        assert numbers == {number: bool(number % 2) for number in range(len(numbers))}
    write(folder)
    assert in_catalog(folder) == found
    assert findings(folder) == []


def test_a_run_waits_while_one_who_notes_a_word_follows_another(folder: Path) -> None:
    """In between, the lock's text says nothing."""
    entered = threading.Event()

    def hold() -> None:
        with open(Layout(folder).lock, "r+b", buffering=0) as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            lock.write(b'{"short": true}')
            entered.set()
            time.sleep(0.5)
            lock.truncate(0)
            time.sleep(0.1)

    with ThreadPoolExecutor() as pool:
        holding = pool.submit(hold)
        entered.wait()
        with open_for_writing(folder, "a run"):
            pass
        holding.result()


def test_a_run_waits_for_whoever_notes_a_word_and_for_nobody_else(folder: Path) -> None:
    entered = threading.Event()

    def hold(is_short: bool) -> None:
        with open_for_writing(folder, "somebody", is_short=is_short):
            entered.set()
            time.sleep(0.5)

    for is_short in (True, False):
        entered.clear()
        with ThreadPoolExecutor() as pool:
            holding = pool.submit(hold, is_short)
            entered.wait()
            if is_short:
                write(folder)
            else:
                with pytest.raises(StoreLockedError, match="somebody"):
                    write(folder)
            holding.result()


def test_it_outlives_a_new_catalog(folder: Path) -> None:
    say_beside(folder, A, B, True)
    mend_catalog(folder, "test")
    assert said(folder) == {(A, B): True}
    assert in_catalog(folder) == {}
    with open_for_writing(folder, "test"):
        pass
    assert in_catalog(folder) == {(A, B): True}


# ---- has the store changed? ----


def test_a_store_has_another_version_after_every_change_and_the_same_without_one(folder: Path) -> None:
    versions = [store_version(folder)]

    def changed() -> bool:
        versions.append(store_version(folder))
        return versions[-1] not in versions[:-1]

    with open_for_reading(folder) as store:
        history(store)
        assert not changed()
    assert not changed()
    say_beside(folder, A, B, True)
    assert changed()
    say(folder, A, C, True, None, "test")
    assert changed()
    with open_for_writing(folder, "test") as store:
        for number in range(50):  # faster than the clock of the file system ticks
            record(store, B, C, bool(number % 2), None)
            assert changed()
        with open_for_reading(folder) as reader:
            history(reader)
            assert not changed()
    say_beside(folder, A, B, False)
    assert changed()
    Layout(folder).plan_key.write_bytes(b"x")
    assert changed()
    assert store_version(folder / "nowhere") == store_version(folder / "nowhere")
