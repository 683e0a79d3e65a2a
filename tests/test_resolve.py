"""Groups gone through by a person: what each answer comes to, what is kept of it, and that no file is touched."""

from __future__ import annotations

import json
import os
import random
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import pytest
from click.testing import Result

from dedup.correlation.correlate import correlate
from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, InputError, PlanError
from dedup.groups.judgements import history
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.plan.document import read_plan
from dedup.plan.nouns import Plan, PlannedGroup
from dedup.plan.resolve import resolve_groups
from dedup.plan.review import Answer, Question, Review, review_of
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, KeepSettings, MatchSettings, PlanSettings
from dedup.store.store import open_for_reading, open_for_writing
from dedup.tags.read import read_tags
from dedup.tags.write import write_tags
from jobs import cli
from tests.cleanups import fresh, make_files, make_store, run, tree
from tests.listening import pass_all
from tests.terminal import person

FILES = {"a.flac": 1, "a.wav": 1, "sub/a2.mp3": 1, "b.flac": 2, "deep/b.mp3": 2, "c.flac": 3}
DIFFERING = {"a.flac": 0.01, "deep/b.mp3": 0.02}


def library(folder: Path, files: Mapping[str, int], differing: Mapping[str, float]) -> Path:
    """A folder of real files, and a store beside it that has compared them."""
    root = folder / "music"
    make_files(root, files)
    write_all_tags(root)
    make_store(folder / "store", root, files, differing)
    with open_for_writing(folder / "store", "test") as store:
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        pass_all(store)
    return root


def write_all_tags(root: Path) -> None:
    """Two titles of b, of which one is wrong; a playlist that names a copy of each."""
    if (root / "deep/b.mp3").exists():
        write_tags(os.fsencode(root / "b.flac"), {"title": ["Sogn"], "artist": ["Ines"]})
        write_tags(os.fsencode(root / "deep/b.mp3"), {"title": ["Song"], "composer": ["Ana"], "artist": ["Inez"]})
        (root / "list.m3u").write_bytes(b"deep/b.mp3\nc.flac\na.wav\n")


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with what is made once for all tests."""
    place = tmp_path_factory.mktemp("resolve")
    library(place / "now", FILES, DIFFERING)
    os.rename(place / "now", place / "before")
    return place


@pytest.fixture
def root(made: Path) -> Path:
    return fresh(made)


def resolve(root: Path, typed: str, *more: object) -> Result:
    """A review into the usual file, in which no file of the library changes."""
    before = tree(root)
    result = run(root, "resolve", "-o", plan_file(root), *more, typed=typed)
    assert tree(root) == before
    return result


def plan_file(root: Path) -> Path:
    return root.parent / "plan.json"


def plan_of(root: Path) -> Plan:
    return read_plan(os.fsencode(plan_file(root)))


def actions(root: Path, group: PlannedGroup) -> dict[str, str]:
    return {os.path.relpath(os.fsdecode(file.path), root): file.action for file in group.files}


def review_in(root: Path) -> Review:
    """A review of the store as `resolve` makes it."""
    with open_for_reading(root.parent / "store") as store:
        matches = Matches(store, MatchSettings())
        return review_of(store, matches, KeepSettings(), PlanSettings(), None, False, Silent())


def n_judged(root: Path) -> int:
    with open_for_reading(root.parent / "store") as store:
        return len(history(store))


# ---- answers ----


def test_enter_keeps_what_the_rules_chose_and_apply_carries_it_out(root: Path) -> None:
    result = resolve(root, "\n\n")
    assert result.exit_code == EXIT_DONE
    assert "resolved  2 kept, 0 not the same, 0 skipped, 0 left" in result.stdout
    a, b = plan_of(root).groups
    assert actions(root, a) == {"a.wav": "keep", "a.flac": "quarantine", "sub/a2.mp3": "quarantine"}
    assert actions(root, b) == {"b.flac": "keep", "deep/b.mp3": "quarantine"}
    assert (a.files[0].rule, b.files[1].why) == ("oldest", "flac, the other mp3")
    assert [list_.n_references for list_ in plan_of(root).playlists] == [1]
    applied = json.loads(run(root, "apply", plan_file(root), "--json").stdout.splitlines()[-1])
    assert (applied["done"], applied["refused"], applied["merged"]) == ({"quarantine": 3}, 0, 1)


def test_the_table_is_numbered_and_shows_tags_and_rules(root: Path) -> None:
    text = resolve(root, "").stdout
    lines = text.splitlines()
    shown = [at for at, line in enumerate(lines) if re.match(r"\d (keep|go) ", line)]
    assert [lines[at].split()[:2] for at in shown] == [["1", "keep"], ["2", "go"], ["3", "go"]]
    rules = [line.split(":")[0].strip() for line in lines[shown[0] :] if re.match(" +(oldest|lossless): ", line)]
    assert rules[:3] == ["oldest", "oldest", "lossless"]
    assert "pcm" in lines[shown[0] + 1] and "kbit/s" in lines[shown[0] + 1] and "0:01" in lines[shown[0] + 1]
    text = resolve(root, "s\n").stdout
    assert "the kept file gets composer: Ana" in text
    assert "title stays Sogn; deep/b.mp3 has Song" in text


def test_another_file_is_kept_and_gets_what_it_lacks(root: Path) -> None:
    assert resolve(root, "3\n2\n").exit_code == EXIT_DONE
    a, b = plan_of(root).groups
    assert actions(root, a) == {"sub/a2.mp3": "keep", "a.wav": "quarantine", "a.flac": "quarantine"}
    assert {file.rule for file in a.files} == {"chosen"}
    assert actions(root, b) == {"deep/b.mp3": "keep", "b.flac": "quarantine"}
    assert b.merge is not None
    assert (b.merge.into, b.merge.fields) == (os.fsencode(root / "deep/b.mp3"), {})
    assert [(conflict.name, conflict.kept) for conflict in b.merge.conflicts] == [
        ("artist", ("Inez",)),
        ("title", ("Song",)),
    ]
    assert run(root, "apply", plan_file(root)).exit_code == EXIT_DONE
    assert not (root / "a.wav").exists()


def test_tags_are_merged_by_hand(root: Path) -> None:
    """Property: what was chosen is written whichever file is kept, and what that one has already is not."""
    text = resolve(root, "\nm\n2\n\nm\n\n1\n\n").stdout
    assert "the kept file gets title: Song" in text
    merge = plan_of(root).groups[1].merge
    assert merge is not None
    assert (merge.fields, merge.conflicts) == ({"composer": ("Ana",), "title": ("Song",)}, ())
    run(root, "apply", plan_file(root))
    fields = read_tags(os.fsencode(root / "b.flac")).fields
    assert (fields["title"], fields["artist"], fields["composer"]) == (("Song",), ("Ines",), ("Ana",))


def test_tags_chosen_for_one_file_go_to_another_that_is_kept(root: Path) -> None:
    resolve(root, "\nm\n2\n7\n1\n2\n")  # 7 names no file
    merge = plan_of(root).groups[1].merge
    assert merge is not None
    assert (merge.into, merge.fields) == (os.fsencode(root / "deep/b.mp3"), {"artist": ("Ines",)})


def test_what_is_not_the_same_is_remembered_and_the_rest_is_asked_about(root: Path) -> None:
    result = resolve(root, "n\n2\n\n\n")
    assert result.exit_code == EXIT_DONE
    assert "2 kept, 1 not the same, 0 skipped, 0 left" in result.stdout
    a = next(group for group in plan_of(root).groups if group.files[0].path.endswith(b"a.wav"))
    assert actions(root, a) == {"a.wav": "keep", "sub/a2.mp3": "quarantine"}
    assert n_judged(root) == 2, "that with each of the others"
    assert run(root, "plan").stdout.count("reclaimable, 2 files") == 2
    assert resolve(root, "").exit_code == EXIT_NOTHING_TO_DO


def test_of_two_files_it_is_not_asked_which_differs(root: Path) -> None:
    resolve(root, "\nn\n")
    assert len(plan_of(root).groups) == n_judged(root) == 1


def test_one_sound_is_not_called_two(tmp_path: Path) -> None:
    root = library(tmp_path, {"a.flac": 1, "b.flac": 1, "x/c.wav": 1}, {})
    text = resolve(root, "n\n2\nn\n9\nn\n1 2 3\nn\n\n").stdout
    assert "both hold the very same audio" in text
    assert "'9': not the number of a file" in text
    assert "all of its files are named" in text
    assert n_judged(root) == 0
    assert not plan_file(root).exists()
    resolve(root, "n\n3\n\n")
    assert n_judged(root) == 1
    assert [actions(root, group) for group in plan_of(root).groups] == [{"a.flac": "keep", "b.flac": "quarantine"}]


def test_a_file_that_does_not_match_the_one_that_is_kept_stays(tmp_path: Path) -> None:
    """Property: apply would refuse it."""
    root = library(tmp_path, {"a.flac": 1, "bb.wav": 1, "ccc.mp3": 1}, {"bb.wav": 0.2, "ccc.mp3": 0.2})
    resolve(root, "2\n")
    (group,) = plan_of(root).groups
    assert actions(root, group) == {"bb.wav": "keep", "a.flac": "quarantine", "ccc.mp3": "leave"}
    assert group.files[2].rule == "no copy"
    assert run(root, "apply", plan_file(root)).exit_code == EXIT_DONE


def test_what_is_let_go_takes_its_side_cars_along(root: Path) -> None:
    """Property: they are never left behind alone, and undo brings back all of it."""
    (root / "sub/a2.srt").write_text("Hello")
    before = tree(root)
    assert "[l]et go what stays for itself" in resolve(root, "q\n").stdout
    text = resolve(root, "l\nq\n").stdout
    assert "sub/a2.srt goes along with its file" in text
    (a, *_) = plan_of(root).groups
    assert actions(root, a) == {"a.wav": "keep", "a.flac": "quarantine", "sub/a2.mp3": "quarantine"}
    (copy,) = [file for file in a.files if file.rule == "let go"]
    assert (copy.why, [loss.kind for loss in copy.lost]) == ("you let go: side-car a2.srt", ["sidecars"])
    assert [(each.path, each.action) for each in copy.sidecars] == [(os.fsencode(root / "sub/a2.srt"), "with")]
    assert run(root, "apply", plan_file(root)).exit_code == EXIT_DONE
    assert not (root / "sub/a2.srt").exists()
    assert (root / ".reprise-quarantine/sub/a2.srt").exists()
    assert run(root, "undo").exit_code == EXIT_DONE
    assert tree(root) == before


def test_another_file_is_kept_and_what_stays_is_let_go(root: Path) -> None:
    """As a web page may ask for; what needs no word of a person goes because they chose."""
    (root / "sub/a2.srt").write_text("Hello")
    review = review_in(root)
    question = review.next()
    assert question is not None
    other = os.fsencode(root / "a.flac")
    for let_go, wanted in ((False, {"keep", "quarantine", "leave"}), (True, {"keep", "quarantine"})):
        planned = review.keeping(question, other, {}, let_go=let_go)
        assert set(actions(root, planned).values()) == wanted
    assert [file.rule for file in planned.files] == ["chosen", "chosen", "let go"]
    assert len(planned.files[2].sidecars) == 1


def test_a_protected_file_stays_whichever_is_kept(root: Path) -> None:
    resolve(root, "2\n", "--protect", root / "deep", "--limit", 1)
    resolve(root, "2\n")
    groups = {frozenset(actions(root, group).items()) for group in plan_of(root).groups}
    assert frozenset({"deep/b.mp3": "leave", "b.flac": "keep"}.items()) in groups


def test_a_file_that_is_not_there_is_not_kept(root: Path) -> None:
    with open_for_writing(root.parent / "store", "test") as store, store.catalog.transaction():
        track = store.catalog.tracks.get(os.fsencode(root / "sub/a2.mp3"))
        assert track is not None
        store.catalog.tracks.put(replace(track, state="absent"))
    text = resolve(root, "3\n1\n").stdout
    assert "not there now. Keep a sound file" in text
    assert actions(root, plan_of(root).groups[0])["sub/a2.mp3"] == "leave"


# ---- albums ----


def test_an_album_stays_whole_whatever_is_answered(tmp_path: Path) -> None:
    """Property: each answer counts with all that were given before it."""
    names = {f"{folder}/{number}.flac": number for folder in ("one", "other") for number in (1, 2, 3)}
    root = tmp_path / "music"
    make_files(root, names)
    for name, number in names.items():
        write_tags(os.fsencode(root / name), {"album": ["Tides"], "artist": ["Ines"], "tracknumber": [f"{number}/3"]})
    make_store(tmp_path / "store", root, names)
    resolve(root, "1\n2\n1\n")
    left = [file for group in plan_of(root).groups for file in group.files if file.rule == "album"]
    assert len(left) >= 1
    gone = {file.path for group in plan_of(root).groups for file in group.changed}
    folders = [{os.fsencode(root / f"{folder}/{number}.flac") for number in (1, 2, 3)} for folder in ("one", "other")]
    assert any(folder.isdisjoint(gone) for folder in folders)


# ---- going on ----


def test_a_review_is_gone_on_with_where_it_was_broken_off(root: Path) -> None:
    first = resolve(root, "\n")
    assert "1 left; run the same command to go on" in first.stdout
    assert len(plan_of(root).groups) == 1
    second = resolve(root, "q\n")
    assert second.stdout.count("[q]uit?") == 1
    assert "b.flac" in second.stdout and "a.wav" not in second.stdout.split("resolved")[0]
    resolve(root, "\n")
    assert len(plan_of(root).groups) == 2
    assert resolve(root, "").exit_code == EXIT_NOTHING_TO_DO


def test_limit_and_nothing_answered(root: Path) -> None:
    assert resolve(root, "").exit_code == EXIT_DONE
    assert not plan_file(root).exists()
    assert "1 kept, 0 not the same, 0 skipped, 1 left" in resolve(root, "\n\n", "--limit", 1).stdout


def test_what_was_skipped_stays_and_is_asked_about_again_when_wanted(root: Path) -> None:
    resolve(root, "s\n\n")
    skipped = plan_of(root).groups[-1]
    assert set(actions(root, skipped).values()) == {"leave"}
    assert resolve(root, "").exit_code == EXIT_NOTHING_TO_DO
    assert resolve(root, "\n\n", "--again").stdout.count("[q]uit?") == 1
    assert [len(group.changed) for group in plan_of(root).groups] == [2, 1]


def test_what_changed_or_was_carried_out_counts_no_more(root: Path) -> None:
    resolve(root, "\n\n")
    run(root, "apply", plan_file(root))
    text = resolve(root, "").stdout
    assert "not counted: 2 groups" in text
    assert run(root, "undo").exit_code == EXIT_DONE
    assert "not counted: 2 groups" not in resolve(root, "").stdout


def test_what_was_skipped_again_is_not_asked_about_twice(root: Path) -> None:
    resolve(root, "s\ns\n")
    text = resolve(root, "s\nn\n1\n", "--again").stdout
    assert "0 kept, 1 not the same, 1 skipped, 0 left" in text


def test_what_is_protected_since_is_asked_about_again(root: Path) -> None:
    """Property: no plan lets a protected file go."""
    resolve(root, "\n\n")
    text = resolve(root, "\n", "--protect", root / "deep").stdout
    assert "not counted: 1 group" in text
    assert text.count("[q]uit?") == 1
    assert [actions(root, group) for group in plan_of(root).groups if b"/b." in group.files[0].path] == [
        {"deep/b.mp3": "keep", "b.flac": "quarantine"}
    ]


def test_a_plan_of_the_rules_is_gone_on_with_where_it_is_uncertain(root: Path) -> None:
    made = run(root, "plan", "-o", plan_file(root), "--auto", "0.97")
    assert made.exit_code == EXIT_DONE
    assert {file.rule for group in plan_of(root).groups for file in group.files} == {"oldest", "lossless", "uncertain"}
    assert resolve(root, "\n").stdout.count("[q]uit?") == 1
    assert "uncertain" not in {file.rule for group in plan_of(root).groups for file in group.files}


def test_no_score_is_too_low_for_a_person(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRISE_AUTO", "0.99")
    resolve(root, "\n\n")
    assert "leave" not in {file.action for group in plan_of(root).groups for file in group.files}


def test_with_a_least_score_what_is_below_is_not_asked_about(root: Path) -> None:
    assert resolve(root, "\n\n", "--ask", "0.97").stdout.count("[q]uit?") == 1
    assert actions(root, plan_of(root).groups[0])["a.flac"] == "quarantine"


# ---- what is refused ----


def test_only_a_plan_is_replaced(root: Path) -> None:
    plan_file(root).write_text("my notes")
    assert resolve(root, "\n").exit_code == InputError.exit_code
    assert plan_file(root).read_text() == "my notes"
    broken = '{"format": "reprise-plan", "version": 99}'
    plan_file(root).write_text(broken)
    assert resolve(root, "\n").exit_code == PlanError.exit_code
    assert plan_file(root).read_text() == broken


def test_while_another_run_holds_the_store_a_judgement_counts_at_once(root: Path) -> None:
    """Property: it is seen beside the run, and in the catalog when that ends."""
    with open_for_writing(root.parent / "store", "another run") as store:
        text = resolve(root, "n\n2\n\n").stdout
        assert n_judged(root) == 2
        assert store.catalog.judgements.count_waiting() == 2
    assert "1 kept, 1 not the same, 0 skipped, 1 left" in text
    assert len(plan_of(root).groups) == 1
    with open_for_reading(root.parent / "store") as store:
        assert len(list(store.catalog.judgements.read_rows())) == 2
        assert store.catalog.judgements.waiting.read() == ([], [])


def test_an_answer_is_taken_back_and_what_is_done_is_counted_right(root: Path) -> None:
    """Property: the plan and the counts are as if the answers that were taken back had never been given."""
    result = resolve(root, "u\n\n\ufeff\nu\na\nu\ns\n\n")
    assert "resolved  1 kept, 0 not the same, 1 skipped, 0 left" in result.stdout
    assert result.stdout.count("is not an answer here; ? explains the keys") == 1
    assert result.stdout.count("there is no answer to take back") == 1
    a, b = plan_of(root).groups
    assert (a.changed, len(b.changed)) == ((), 1) or (b.changed, len(a.changed)) == ((), 1)
    assert result.stdout.count("2 groups left") == 3
    assert "[u] back" not in result.stdout.split("1 group left")[0]


def test_what_was_said_about_files_is_taken_back_too(root: Path) -> None:
    result = resolve(root, "n\n2\nu\nq\n")
    assert "resolved  0 kept, 0 not the same, 0 skipped, 2 left" in result.stdout
    with open_for_reading(root.parent / "store") as store:
        assert [said for said in history(store) if said.same is not None] == []
    assert plan_of(root).groups == ()


@pytest.mark.parametrize("typed", ["1 3\n", "k\n1,3\n", "k\n\n1+3\n"])
def test_several_files_are_kept(root: Path, typed: str) -> None:
    result = resolve(root, typed + "q\n")
    assert "resolved  1 kept, 0 not the same, 0 skipped, 1 left" in result.stdout
    (group,) = plan_of(root).groups
    assert sorted(file.action for file in group.files) == ["keep", "leave", "quarantine"]
    assert " and sub/a2.mp3; 1 file would go" in result.stdout


def test_of_several_that_stay_each_is_chosen(root: Path) -> None:
    text = resolve(root, "k\n1 3\na\n").stdout
    assert "chosen: you keep it too" in text
    assert "resolved  1 kept, 1 keep all, 0 not the same" in text


@pytest.mark.parametrize("back", ["", "u"])
def test_mistyped_numbers_are_asked_for_again(root: Path, back: str) -> None:
    for key, asked in (("k", "which of them stay?"), ("n", "which of them are other recordings?")):
        text = resolve(root, f"{key}\n1 9\n3 x\n{back}\nq\n").stdout
        assert text.count(asked) == 3
        assert "'1 9': not the number of a file; type numbers from 1 to 3" in text
        assert text.count("[q]uit?") == 2, "back to the question about the group"
        assert "resolved  0 kept, 0 not the same" in text


def test_the_keys_are_explained_and_a_wrong_one_says_so(root: Path) -> None:
    text = resolve(root, "?\nx\n7\n1 7\nq\n").stdout
    assert 'k      keep several files: then type their numbers, such as "1 3", the best first' in text
    assert "l      let the copies go" not in text, "only keys that count here"
    for typed in ("x", "7", "1 7"):
        assert f"{typed!r} is not an answer here; ? explains the keys" in text


def test_with_json_there_is_a_record_of_each_answer(root: Path) -> None:
    records = [json.loads(line) for line in resolve(root, "n\n2\ns\n\n", "--json").stdout.splitlines()]
    assert [record.get("answer") for record in records] == ["different", "skip", "keep", None]
    assert [path["path"] for path in records[0]["different"]] == [str(root / "a.flac")]
    assert records[2]["kept"] == {"path": str(root / "b.flac")}
    assert {key: records[3][key] for key in ("event", "keep", "different", "skip", "left", "files")} == {
        "event": "resolve",
        "keep": 1,
        "different": 1,
        "skip": 1,
        "left": 0,
        "files": 1,
    }


# ---- whoever answers ----


class Page:
    """Answers as a web page would: nothing is read from stdin, and the second question is left."""

    def __init__(self) -> None:
        self.told: list[str] = []

    def begin(self, review: Review) -> None:
        self.told.append(f"{review.n_left} left")

    def answer(self, review: Review, question: Question) -> Answer:
        if len(self.told) > 1:
            raise KeyboardInterrupt
        return Answer("keep", review.keeping(question, question.planned.files[0].path, {}))

    def kept(self, question: Question, answer: Answer) -> None:
        assert answer.planned is not None and len(answer.planned.files) == len(question.planned.files)
        self.told.append(answer.word)

    def taken_back(self, question: Question, answer: Answer) -> None:
        raise AssertionError(question, answer)

    def not_kept(self, error: InputError) -> None:
        raise error


def test_the_questions_may_be_answered_without_a_terminal(root: Path) -> None:
    page = Page()
    resolved = resolve_groups(
        folder=root.parent / "store",
        path=os.fsencode(plan_file(root)),
        match=MatchSettings(),
        keep=KeepSettings(),
        settings=PlanSettings(),
        reviewer=page,
        observer=Silent(),
        purpose="test",
    )
    assert page.told == ["2 left", "keep"]
    assert (resolved.keep, resolved.left, resolved.n_before, resolved.was_interrupted) == (1, 1, 2, True)
    assert resolved.plan.groups == plan_of(root).groups


# ---- on a terminal ----


@pytest.mark.parametrize("last", [b"\x03", b"\x04", b"q"], ids=["Ctrl-C", "Ctrl-D", "q"])
def test_on_a_terminal_an_answer_is_a_key(root: Path, monkeypatch: pytest.MonkeyPatch, last: bytes) -> None:
    script = [("[q]uit?", b"x"), ("[q]uit?", b"n"), ("Enter: none", b"2\n"), ("[q]uit?", b"\r"), ("[q]uit?", last)]
    words = ["resolve", "--store", str(root.parent / "store"), "-o", str(plan_file(root))]
    with person(monkeypatch, *script) as somebody, pytest.raises(SystemExit) as ended:
        cli.cli.main(words)
    assert ended.value.code == EXIT_DONE
    assert "1 kept, 1 not the same, 0 skipped, 1 left" in somebody.seen
    assert [actions(root, group) for group in plan_of(root).groups] == [{"a.wav": "keep", "sub/a2.mp3": "quarantine"}]


# ---- whatever is answered ----


@pytest.mark.parametrize("seed", range(3))
def test_every_plan_of_a_review_is_sound_and_is_carried_out(tmp_path: Path, seed: int) -> None:
    """Property: no answers make a plan that contradicts itself, or of which an entry is refused; and where nothing is
    left, nothing is asked about again."""
    chance = random.Random(seed)
    names = {f"{'x' * n}{n}.{chance.choice(['flac', 'mp3', 'wav'])}": chance.randrange(3) for n in range(1, 8)}
    root = library(tmp_path, names, {name: chance.choice([0, 0, 0.02, 0.2]) for name in names})
    lines = [chance.choice(["", "1", "2", "3", "n", "2", "3 1", "s", "x", "m"]) for _ in range(60)]
    for _ in range(3):
        resolve(root, "\n".join(lines[:12]) + "\n", "--again")
        lines = lines[12:]
    resolve(root, "\n" * 20)
    assert resolve(root, "").exit_code == EXIT_NOTHING_TO_DO
    dry = run(root, "apply", plan_file(root), "--dry-run", "--json")
    assert json.loads(dry.stdout.splitlines()[-1])["refused"] == 0, dry.stdout
