"""Where decisions are made, asked by several threads and beside runs that change the store."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dedup.errors import InputError, WriteError
from dedup.plan import basket
from dedup.plan.choices import Choices
from dedup.settings import KeepSettings, MatchSettings, PlanSettings
from jobs.serve import desk as desks
from jobs.serve import shown
from jobs.serve.desk import Desk, Terms
from tests.cleanups import make_files, make_store

MUSIC = {f"{seed}/{name}": seed for seed in range(1, 5) for name in ("a.flac", "b.wav", "c.mp3")}
WAIT_S = 30.0


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    make_files(tmp_path / "music", MUSIC)
    make_store(tmp_path / "store", tmp_path / "music", MUSIC)
    return tmp_path


@pytest.fixture
def desk(folder: Path) -> Desk:
    store = folder / "store"
    return Desk(Terms(store, os.fsencode(store / "review.json"), MatchSettings(), KeepSettings(), PlanSettings()))


def add(folder: Path, music: dict[str, int]) -> None:
    """What a run would add to the store."""
    make_files(folder / "music", music)
    make_store(folder / "store", folder / "music", music)


def until(is_so: Callable[[], bool]) -> bool:
    deadline = time.monotonic() + WAIT_S
    while not is_so() and time.monotonic() < deadline:
        time.sleep(0.02)
    return is_so()


def path_of(folder: Path, name: str) -> bytes:
    return os.fsencode(folder / "music" / name)


def group_of(desk: Desk, folder: Path, name: str) -> str:
    found = desk.now().open_of({path_of(folder, name)})
    assert found is not None
    return found


def state(desk: Desk, group: str) -> str:
    return shown.state_of(desk.now().questions[group].group.tracks)


def test_what_a_run_changed_is_seen_after_an_answer_that_changes_the_store_too(
    desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The run ends between two looks at the store."""
    monkeypatch.setattr(desks, "LEAST_PAUSE_S", 1000.0)
    assert len(desk.now().questions) == 4
    add(folder, {"9/a.flac": 9, "9/b.wav": 9})
    desk.different(group_of(desk, folder, "1/a.flac"), [path_of(folder, "1/b.wav")])
    monkeypatch.setattr(desks, "LEAST_PAUSE_S", 0.0)
    monkeypatch.setattr(desks, "PAUSE_FACTOR", 0.0)
    assert until(lambda: len(desk.now().questions) == 5)


def test_an_answer_shows_although_the_list_was_being_made(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    row, is_at_it, may_go_on = shown._row, threading.Event(), threading.Event()
    ids = list(desk.now().questions)

    def slow(id_: str, *rest: Any) -> shown.Row:
        made = row(id_, *rest)
        if id_ == ids[0] and not may_go_on.is_set():
            is_at_it.set()
            may_go_on.wait(0.5)
        return made

    monkeypatch.setattr(shown, "_row", slow)
    listing = threading.Thread(target=lambda: desk.now().listed())
    listing.start()
    assert is_at_it.wait(WAIT_S)
    desk.keep_all(ids[0])
    may_go_on.set()
    listing.join(WAIT_S)
    assert [each.said for each in desk.now().listed().rows if each.id == ids[0]] == ["keep all"]


@pytest.mark.parametrize("is_preview", [True, False])
def test_pages_come_while_what_can_be_accepted_is_looked_up(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, is_preview: bool
) -> None:
    """It reads the tags of every file: on a slow disk that takes minutes."""
    is_at_it, may_go_on = threading.Event(), threading.Event()
    certain = Choices.certain

    def slow(self: Choices, *rest: Any) -> Any:
        is_at_it.set()
        assert may_go_on.wait(WAIT_S)
        return certain(self, *rest)

    monkeypatch.setattr(Choices, "certain", slow)
    ids, accepted = list(desk.now().questions), []
    accepting = threading.Thread(target=lambda: accepted.append(desk.accept(ids, is_preview)))
    accepting.start()
    assert is_at_it.wait(WAIT_S)
    asking = threading.Thread(target=lambda: desk.keep_all(ids[1]))
    asking.start()
    asking.join(WAIT_S / 3)
    was_answered = not asking.is_alive()
    may_go_on.set()
    accepting.join(WAIT_S)
    asking.join(WAIT_S)
    assert was_answered
    # the answer that was given meanwhile stays
    assert {row.id: row.said for row in desk.now().listed().rows}[ids[1]] == "keep all"
    assert len(accepted[0].groups) == (4 if is_preview else 3)


def test_an_answer_is_about_the_files_that_were_shown(
    desk: Desk, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A run has added a copy to the group since, which nobody has heard."""
    id_ = group_of(desk, folder, "1/a.flac")
    seen = state(desk, id_)
    desk.keep(id_, [path_of(folder, "1/a.flac")], {}, seen=seen)
    add(folder, {"1/a.flac": 1, "1/more.ogg": 1})
    monkeypatch.setattr(desks, "LEAST_PAUSE_S", 0.0)
    monkeypatch.setattr(desks, "PAUSE_FACTOR", 0.0)
    assert until(lambda: len(desk.now().questions[id_].group.tracks) == 4)
    for answer in (
        lambda: desk.keep(id_, [path_of(folder, "1/a.flac")], {}, seen=seen),
        lambda: desk.keep_all(id_, seen=seen),
        lambda: desk.different(id_, [path_of(folder, "1/b.wav")], seen=seen),
    ):
        with pytest.raises(InputError, match="Look at the list again"):
            answer()
    assert desk.keep_all(id_, seen=state(desk, id_)) is not None


def test_undo_gives_back_the_answer_that_another_one_replaced(desk: Desk, folder: Path) -> None:
    id_ = group_of(desk, folder, "1/a.flac")
    desk.keep_all(id_)
    desk.different(id_, [path_of(folder, "1/b.wav")])
    assert desk.undo() is not None
    assert {row.id: row.said for row in desk.now().listed().rows}[id_] == "keep all"


def test_an_answer_that_could_not_be_taken_back_can_be_taken_back_later(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = next(iter(desk.now().questions))
    desk.keep_all(id_)

    def full(*_: Any) -> None:
        raise WriteError("review.json", "no space left on the disk")

    with monkeypatch.context() as patched:
        patched.setattr(basket, "write_plan", full)
        with pytest.raises(WriteError):
            desk.undo()
    assert desk.undo() is not None
    assert not any(row.said for row in desk.now().listed().rows)
