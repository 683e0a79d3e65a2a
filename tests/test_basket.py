"""Answers to any group in any order, changed and taken back, and a plan that several reviews share: none loses an
answer of another, whoever is killed."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

from dedup.errors import InputError, PlanError, WriteError
from dedup.groups.mark import unsay
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.plan.basket import Basket, read_with_state
from dedup.plan.document import read_plan
from dedup.plan.resolve import keep_answer
from dedup.plan.review import Answer, Question, Review, review_of
from dedup.settings import KeepSettings, MatchSettings, PlanSettings
from dedup.store.layout import Layout, is_locked
from dedup.store.store import open_for_reading, open_for_writing
from tests.audio_files import write_tone
from tests.cleanups import fresh, run, tree
from tests.killing import REPO
from tests.test_resolve import actions, library

N_GROUPS = 8
FILES = {f"{letter}{n}.{kind}": n for n in range(1, N_GROUPS + 1) for letter, kind in (("x", "flac"), ("y", "wav"))}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is made once for all tests: eight groups of two, and one of three that sound alike less."""
    place = tmp_path_factory.mktemp("basket")
    library(place / "now", {**FILES, "z.flac": 20, "zz.mp3": 20, "zzz.wav": 20}, {"zz.mp3": 0.02, "zzz.wav": 0.01})
    os.rename(place / "now", place / "before")
    return place


@pytest.fixture
def root(made: Path) -> Path:
    return fresh(made)


def store_of(root: Path) -> Path:
    return root.parent / "store"


def plan_file(root: Path) -> bytes:
    return os.fsencode(root.parent / "plan.json")


def basket_in(root: Path, settings: PlanSettings | None = None, again: bool = False) -> Basket:
    """A review of its own, as a terminal or a page makes it."""
    before, state = read_with_state(plan_file(root))
    with open_for_reading(store_of(root)) as store:
        matches = Matches(store, MatchSettings())
        review = review_of(store, matches, KeepSettings(), settings or PlanSettings(), before, again, Silent())
    return Basket(store_of(root), plan_file(root), review, state)


def question(review: Review, root: Path, name: str) -> Question:
    found = review.question_of(os.fsencode(root / name))
    assert found is not None
    return found


def answer(basket: Basket, root: Path, name: str, word: str = "keep") -> None:
    """Answers about the group of a file: that it is kept, that all are, or not now."""
    review = basket.review
    asked = question(review, root, name)
    planned = {
        "keep": lambda: review.keeping(asked, os.fsencode(root / name), {}),
        "keep all": lambda: review.keeping_all(asked),
        "skip": lambda: review.skipping(asked),
    }[word]()
    keep_answer(store_of(root), basket, asked, Answer(word, planned), "test")  # type: ignore[arg-type]


def planned(root: Path) -> dict[str, dict[str, str]]:
    """What the plan says now, by the kept file, or the first."""
    groups = [actions(root, group) for group in read_plan(plan_file(root)).groups]
    return {next((n for n in sorted(group) if group[n] == "keep"), min(group)): group for group in groups}


# ---- any group in any order ----


def test_questions_are_answered_in_any_order_and_shown_again(root: Path) -> None:
    review = (basket := basket_in(root)).review
    assert [one.planned.n_bytes for one in review.questions] == sorted(
        (one.planned.n_bytes for one in review.questions), reverse=True
    )
    assert review.n_left == len(review.questions) == N_GROUPS + 1
    last = review.questions[-1]
    assert review.answer_of(last) is None
    name = os.path.relpath(os.fsdecode(last.planned.files[1].path), root)
    answer(basket, root, name)
    assert not review.is_open(last)
    assert review.n_left == N_GROUPS
    again = question(review, root, name)
    assert again.planned.contents == last.planned.contents
    (said,) = [review.answer_of(again)]
    assert said is not None and said.kept is not None
    assert said.kept.path == last.planned.files[1].path
    assert len(review.all_questions) == N_GROUPS + 1
    answer(basket, root, name, "skip")
    assert set(planned(root)[min(planned(root))].values()) == {"leave"}
    assert review.question_of(b"/nowhere") is None


def test_an_answer_is_taken_back_and_the_one_before_given_again(root: Path) -> None:
    review = (basket := basket_in(root)).review
    answer(basket, root, "y2.wav")
    asked = question(review, root, "y2.wav")
    first = review.answer_of(asked)
    answer(basket, root, "x2.flac")
    with basket.changing():
        second = review.take_back(asked)
    assert second is not None and second.kept is not None and second.kept.path.endswith(b"x2.flac")
    assert review.is_open(asked)
    assert planned(root) == {}
    assert review.take_back(asked) is None
    assert first is not None
    with basket.changing():
        review.put(asked, first)
    assert planned(root) == {"y2.wav": {"y2.wav": "keep", "x2.flac": "quarantine"}}


def test_all_files_of_a_group_are_kept_for_good(root: Path) -> None:
    """Property: nobody is asked again, and `full --auto` respects it."""
    basket = basket_in(root, again=True)
    answer(basket, root, "z.flac", "keep all")
    answer(basket, root, "y1.wav", "skip")
    assert set(planned(root)["z.flac"].values()) == {"leave"}
    assert basket.review.n_left == N_GROUPS - 1
    later = basket_in(root, again=True).review
    assert later.n_left == N_GROUPS, "what was skipped is asked about again, what is kept is not"
    assert not later.is_open(question(later, root, "z.flac"))
    assert run(root, "resolve", "-o", os.fsdecode(plan_file(root)), typed="a\n").stdout.count("[q]uit?") > 1
    assert sum(set(group.values()) == {"leave"} for group in planned(root).values()) == 3
    assert run(root, "apply", os.fsdecode(plan_file(root))).exit_code == 5


def test_several_files_of_a_group_are_kept(root: Path) -> None:
    before = tree(root)
    basket = basket_in(root)
    asked = question(basket.review, root, "z.flac")
    kept = [os.fsencode(root / name) for name in ("zz.mp3", "zzz.wav")]
    group = basket.review.keeping(asked, kept[0], {}, also=kept[1:])
    assert actions(root, group) == {"zz.mp3": "keep", "zzz.wav": "leave", "z.flac": "quarantine"}
    with pytest.raises(InputError, match="not a file of the group"):
        basket.review.keeping(asked, kept[0], {}, also=[os.fsencode(root / "y1.wav")])
    keep_answer(store_of(root), basket, asked, Answer("keep", group), "test")
    assert run(root, "apply", os.fsdecode(plan_file(root))).exit_code == 0
    assert not (root / "z.flac").exists()
    assert (root / "zzz.wav").exists()
    assert run(root, "undo").exit_code == 0
    assert tree(root) == before


def test_what_the_rules_decide_is_accepted_where_the_null_test_passed(root: Path) -> None:
    """Property: the preview is what is done; what nobody listened to, or scores too low, is left to a person."""
    with open_for_writing(store_of(root), "test") as store, store.catalog.transaction():
        first, *_ = store.catalog.nulltests.texts()
        store.catalog.nulltests.drop_row(first[:2])
    basket = basket_in(root, PlanSettings(auto=0.97))
    review = basket.review
    preview = review.acceptable(review.questions)
    assert len(preview.groups) == N_GROUPS - 1
    assert preview.n_files == N_GROUPS - 1
    assert preview.n_bytes == sum(one.planned.n_bytes for one, _ in preview.groups)
    assert review.n_left == N_GROUPS + 1, "a preview changes nothing"
    with basket.changing():
        assert review.accept(review.acceptable(review.questions)) == preview
    assert review.n_left == 2
    assert len(planned(root)) == N_GROUPS - 1
    assert all(group.is_answered for group in read_plan(plan_file(root)).groups)
    assert review.acceptable(review.questions).groups == ()
    everything = basket_in(root).review
    assert len(everything.acceptable(everything.all_questions).groups) == N_GROUPS, "no score is too low without --auto"


def test_an_answer_about_a_group_that_is_none_any_more_is_not_kept(root: Path) -> None:
    """Property: of a page that was left open, nothing gets into the plan that the rest of the world knows better."""
    page, terminal = basket_in(root), basket_in(root)
    shown = question(page.review, root, "y3.wav")
    planned_there = page.review.keeping(shown, shown.planned.files[0].path, {})
    keep_answer(
        store_of(root),
        terminal,
        question(terminal.review, root, "y3.wav"),
        Answer("different", odd=(os.fsencode(root / "y3.wav"),)),
        "test",
    )
    with pytest.raises(InputError, match="its group has changed"):
        keep_answer(store_of(root), page, shown, Answer("keep", planned_there), "test")
    assert not page.review.is_current(shown)
    assert page.review.n_left == N_GROUPS
    assert planned(root) == {}


def test_what_was_called_different_is_undone(root: Path) -> None:
    page = basket_in(root)
    asked = question(page.review, root, "z.flac")
    with open_for_writing(store_of(root), "another run"):
        said = keep_answer(
            store_of(root), page, asked, Answer("different", odd=(os.fsencode(root / "zz.mp3"),)), "test"
        )
        assert [(each.same, each.before, each.waits) for each in said] == [(False, None, True)] * 2
        assert len(question(page.review, root, "z.flac").planned.files) == 2
        unsay(store_of(root), said, "test")
        assert page.refresh()
        assert len(question(page.review, root, "z.flac").planned.files) == 3


# ---- several at once ----


def test_two_reviews_see_and_keep_each_others_answers(root: Path) -> None:
    page, terminal = basket_in(root), basket_in(root)
    answer(page, root, "y1.wav")
    answer(terminal, root, "y2.wav")
    answer(page, root, "y3.wav")
    assert set(planned(root)) == {"y1.wav", "y2.wav", "y3.wav"}
    assert terminal.refresh() and not terminal.refresh()
    assert terminal.review.n_left == page.review.n_left == N_GROUPS - 2
    answer(terminal, root, "x1.flac")
    assert set(planned(root)) == {"x1.flac", "y2.wav", "y3.wav"}, "the last answer about a group counts"
    with page.changing():
        page.review.take_back(question(page.review, root, "y2.wav"))
    assert terminal.refresh()
    assert terminal.review.is_open(question(terminal.review, root, "y2.wav"))
    answer(terminal, root, "x4.flac")
    assert set(planned(root)) == {"x1.flac", "y3.wav", "x4.flac"}


def test_an_answer_of_another_whose_file_has_changed_does_not_count(root: Path) -> None:
    page, terminal = basket_in(root), basket_in(root)
    answer(page, root, "y1.wav")
    with open_for_writing(store_of(root), "test") as store, store.catalog.transaction():
        track = store.catalog.tracks.get(os.fsencode(root / "y1.wav"))
        assert track is not None
        store.catalog.tracks.put(replace(track, mtime_ns=track.mtime_ns + 1))
    answer(terminal, root, "y2.wav")
    assert set(planned(root)) == {"y2.wav"}


def test_what_somebody_wrote_into_the_plan_by_hand_stays_unsealed(root: Path) -> None:
    """Property: taking in what is in the file seals nothing that the store did not decide."""
    page, terminal = basket_in(root), basket_in(root)
    answer(page, root, "y1.wav")
    plan = json.loads(Path(os.fsdecode(plan_file(root))).read_text())
    plan["groups"][0]["files"][1]["action"] = "delete"
    Path(os.fsdecode(plan_file(root))).write_text(json.dumps(plan))
    answer(terminal, root, "y2.wav")
    seals = {file.path: file.seal for group in read_plan(plan_file(root)).groups for file in group.files}
    told = run(root, "apply", os.fsdecode(plan_file(root)), "--dry-run").stdout
    assert "1 entry is not as `reprise plan` wrote it" in told
    assert all(seals[os.fsencode(root / name)] for name in ("y2.wav", "x2.flac"))


def test_a_plan_that_cannot_be_understood_is_not_replaced_and_a_lost_one_is_written_again(root: Path) -> None:
    page = basket_in(root)
    answer(page, root, "y1.wav")
    file = Path(os.fsdecode(plan_file(root)))
    sound = file.read_bytes()
    file.write_text('{"format": "reprise-plan", "version": 99}')
    with pytest.raises(PlanError):
        answer(page, root, "y2.wav")
    file.write_text("my notes")
    with pytest.raises(InputError, match="is not a plan"):
        answer(page, root, "y2.wav")
    assert file.read_text() == "my notes"
    file.write_bytes(sound)
    answer(page, root, "y2.wav")
    assert set(planned(root)) == {"y1.wav", "y2.wav"}
    file.unlink()
    answer(page, root, "y3.wav")
    assert set(planned(root)) == {"y1.wav", "y2.wav", "y3.wav"}


def test_what_could_not_be_written_is_no_answer(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = basket_in(root)
    real = os.replace

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    for names in (set(), {"y2.wav"}):
        monkeypatch.setattr(os, "replace", full)
        with pytest.raises(WriteError, match="the disk is full"):
            answer(page, root, "y1.wav")
        monkeypatch.setattr(os, "replace", real)
        page.refresh()
        assert page.review.is_open(question(page.review, root, "y1.wav"))
        answer(page, root, "y2.wav")
        assert set(planned(root)) == {*names, "y2.wav"}


def test_nothing_else_lies_beside_the_plan(root: Path, tmp_path: Path) -> None:
    page = basket_in(root)
    page.path = os.fsencode(tmp_path / "plan.json")
    answer(page, root, "y1.wav")
    assert os.listdir(tmp_path) == ["plan.json"]


# ---- processes ----

ANSWERING = """
import os, sys
from pathlib import Path
from tests.test_basket import answer, basket_in, question

root, kind, word = Path(sys.argv[1]), sys.argv[2], sys.argv[3]
basket = basket_in(root)
print("ready", flush=True)
sys.stdin.readline()
for number in map(int, sys.argv[4:]):
    name = f"{'x' if kind == 'flac' else 'y'}{number}.{kind}"
    answer(basket, root, name, word)
    print(name, flush=True)
"""


def answering(root: Path, *arguments: object) -> subprocess.Popen[str]:
    """A process that answers about these groups, once it is told to begin."""
    command = [sys.executable, "-c", ANSWERING, str(root), *map(str, arguments)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, cwd=REPO)
    assert process.stdout is not None
    return process


def begin(*processes: subprocess.Popen[str]) -> None:
    for process in processes:
        assert process.stdout is not None and process.stdout.readline() == "ready\n"
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("\n")
        process.stdin.flush()


def test_two_processes_answer_at_once_and_one_is_killed(root: Path) -> None:
    """Property: every answer that was acknowledged is in the plan; beside a run that holds the store too."""
    numbers = list(range(1, N_GROUPS + 1))
    random.Random(1).shuffle(numbers)
    with open_for_writing(store_of(root), "another run"):
        both = [answering(root, "flac", "keep", *numbers[::2]), answering(root, "wav", "keep", *numbers[1::2])]
        begin(*both)
        assert both[1].stdout is not None
        told = {both[1].stdout.readline().strip() for _ in range(2)}
        both[1].send_signal(signal.SIGKILL)
        rest, _ = both[1].communicate()
        told |= set(rest.split())
        whole, _ = both[0].communicate(timeout=60)
        assert both[0].returncode == 0
    assert len(whole.split()) == N_GROUPS // 2
    kept = set(planned(root))
    assert kept >= told.union(whole.split())
    assert len(kept) <= len(whole.split()) + len(told) + 1, "one more may be kept that nobody was told of"
    assert basket_in(root).review.n_left == N_GROUPS + 1 - len(kept)


@pytest.mark.long
def test_a_run_that_holds_the_store_takes_in_what_was_said_meanwhile(tmp_path: Path) -> None:
    """`full`, stopped while it holds the store; `mark` and `report` beside it; then it goes on."""
    root = tmp_path / "music"
    root.mkdir()
    for name, seed in (("a.flac", 1), ("a.mp3", 1), ("b.wav", 2)):
        write_tone(root / name, 15, seed=seed)
    assert run(root, "full", root, "--workers", 1).exit_code in (0, 3)
    write_tone(root / "c.flac", 15, seed=3)
    command = [sys.executable, "-m", "jobs", "full", root, "--store", store_of(root), "--workers", "1"]
    full = subprocess.Popen(list(map(str, command)), cwd=REPO, stdout=subprocess.PIPE, text=True)
    try:
        while not is_locked(Layout(store_of(root))):
            assert full.poll() is None
            time.sleep(0.01)
        full.send_signal(signal.SIGSTOP)
        a, b = root / "a.flac", root / "b.wav"
        assert run(root, "mark", a, b, "--same").exit_code == 0
        assert run(root, "mark", "--list").stdout.startswith("same")
        assert "b.wav" in run(root, "report", "--format", "jsonl").stdout
        assert is_locked(Layout(store_of(root)))
        with open_for_reading(store_of(root)) as store:
            assert list(store.catalog.judgements.read_rows()) == []
    finally:
        full.send_signal(signal.SIGCONT)
        told, _ = full.communicate(timeout=240)
    assert full.returncode in (0, 3, 5), told
    with open_for_reading(store_of(root)) as store:
        assert len(list(store.catalog.judgements.read_rows())) == 1
        assert store.catalog.judgements.waiting.read() == ([], [])
