"""The commands that plan and clean up, with the one call that each makes replaced: its exact keywords, the exit code,
stdout and stderr. What the calls do is tested elsewhere."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest.mock import ANY

import pytest
from click.testing import CliRunner, Result

from dedup.cleanup.allowed import Allowed
from dedup.cleanup.apply import Applied
from dedup.cleanup.checks import Refusal
from dedup.cleanup.history import Counts, Summary
from dedup.cleanup.tagging import Tagged, Tagging, Wanted
from dedup.cleanup.undo import Undone
from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_SOME_FAILED, EXIT_USAGE, JournalError
from dedup.groups.judgements import Known
from dedup.groups.losses import Loss
from dedup.groups.mark import Held, Marked
from dedup.plan.document import write_plan
from dedup.plan.make import Made
from dedup.plan.nouns import Plan, PlannedFile, PlannedGroup
from dedup.plan.resolve import Resolved
from dedup.settings import KeepSettings, MatchSettings, PlanSettings
from dedup.store.judgements import Judgement
from jobs import cli
from jobs.session.output import local_time
from jobs.show.question import TerminalReviewer
from tests.stores import open_store

Replace = Callable[..., dict[str, Any]]

KEPT = PlannedFile(b"/m/a.flac", "keep", 3_000_000, 1, bytes(16), rule="lossless")
GONE = PlannedFile(b"/m/b.mp3", "quarantine", 2_000_000, 1, bytes(16), "lossless", "flac, the other mp3", score=0.9)
PLAN = Plan((PlannedGroup((KEPT, GONE)),))


@pytest.fixture
def store(tmp_path: Path) -> Path:
    """An empty store."""
    with open_store(tmp_path / "store"):
        return tmp_path / "store"


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Replace:
    """Puts a function that returns `result`, or raises it, in the place of another; gives the keywords of its call."""

    def replace(name: str, result: Any) -> dict[str, Any]:
        keywords: dict[str, Any] = {}

        def call(**given: Any) -> Any:
            assert not keywords, "called twice"
            keywords.update(given)
            if isinstance(result, Exception):
                raise result
            return result

        monkeypatch.setattr(name, call)
        return keywords

    return replace


def run(store: Path, command: str, *arguments: object, typed: str = "") -> Result:
    return CliRunner().invoke(cli.cli, [command, "--store", str(store), *map(str, arguments)], input=typed)


def outcome(result: Result) -> tuple[int, str, str]:
    return result.exit_code, result.stdout, result.stderr


def plan_file(store: Path) -> Path:
    write_plan(os.fsencode(store.parent / "plan.json"), PLAN)
    return store.parent / "plan.json"


# ---- apply ----


def test_apply(store: Path, replaced: Replace) -> None:
    done = Applied({"quarantine": 1}, 2_000_000, n_merged=1, n_playlists=2)
    keywords = replaced("dedup.cleanup.apply.apply_plan", done)
    result = run(store, "apply", plan_file(store), "--protect", "/mine")
    may_delete = keywords.pop("may_delete")
    assert keywords == {
        "store": ANY,
        "plan": PLAN,
        "observer": ANY,
        "stop": ANY,
        "allowed": Allowed(keep=KeepSettings(protect=(b"/mine",))),
        "links": {},
    }
    assert may_delete.__name__ == "_may_delete"
    text = "done: 1 file (1 quarantine), 2 MB; 1 merged, 2 playlists rewritten\n`reprise undo` takes it back\n"
    assert outcome(result) == (EXIT_DONE, text, "")


def test_apply_yes_lets_files_be_deleted(store: Path, replaced: Replace) -> None:
    keywords = replaced("dedup.cleanup.apply.apply_plan", Applied())
    result = run(store, "apply", plan_file(store), "--yes")
    assert keywords["may_delete"](7, 0) is True
    text = "done: 0 files, 0 B; 0 merged, 0 playlists rewritten\n"
    assert outcome(result) == (EXIT_NOTHING_TO_DO, text, "")


def test_apply_dry_run(store: Path, replaced: Replace) -> None:
    refused = Refusal(b"/m/c.mp3", "it is gone")
    keywords = replaced("dedup.cleanup.apply.check_plan", Applied({"trash": 2}, 1000, refused=(refused,)))
    result = run(store, "apply", plan_file(store), "--dry-run")
    common = {"store": ANY, "observer": ANY, "stop": ANY}
    assert keywords == {**common, "plan": PLAN, "allowed": Allowed(), "links": {}}
    text = "refused: /m/c.mp3: it is gone\nwould be done: 2 files (2 trash), 1 kB; 0 merged, 0 playlists rewritten"
    assert outcome(result) == (EXIT_SOME_FAILED, f"{text}; 1 refused\n", "")


def test_apply_resume(store: Path, replaced: Replace) -> None:
    keywords = replaced("dedup.cleanup.apply.resume_plan", Applied({"quarantine": 1}, 5))
    result = run(store, "apply", "--resume", "--json", "--let-go", "span", "--min-score", "0.5")
    allowed = Allowed(MatchSettings(min_score=0.5), ("span",))
    assert keywords == {"store": ANY, "observer": ANY, "stop": ANY, "allowed": allowed, "links": {}}
    assert result.exit_code == EXIT_DONE
    assert json.loads(result.stdout) == {
        "event": "apply",
        "dry_run": False,
        "done": {"quarantine": 1},
        "bytes": 5,
        "merged": 0,
        "playlists": 0,
        "folders_removed": 0,
        "carried": 0,
        "refused": 0,
        "done_before": {},
        "left": 0,
        "edited": 0,
        "settings_edited": False,
        "quarantines": [],
    }


def test_what_the_call_raises_is_one_line(store: Path, replaced: Replace) -> None:
    replaced("dedup.cleanup.apply.resume_plan", JournalError("store x", "no clean-up was broken off"))
    result = run(store, "apply", "--resume")
    assert outcome(result) == (JournalError.exit_code, "", "reprise: store x: no clean-up was broken off\n")


# ---- undo and history ----


def test_undo(store: Path, replaced: Replace) -> None:
    undone = Undone(3, n_files=2, n_rewritten=1, n_folders=1, failed=(Refusal(b"/m/x", "it is gone"),))
    keywords = replaced("dedup.cleanup.undo.undo", undone)
    result = run(store, "undo", 3)
    assert keywords == {"store": ANY, "number": 3, "observer": ANY, "stop": ANY, "links": {}}
    text = (
        "failed: /m/x: it is gone\n"
        "clean-up 3: 2 files put back, 1 restored to their old content, 1 folder made again; 1 failed\n"
    )
    assert outcome(result) == (EXIT_SOME_FAILED, text, "")


def test_undo_of_the_last(store: Path, replaced: Replace) -> None:
    keywords = replaced("dedup.cleanup.undo.undo", Undone(1))
    result = run(store, "undo", "--json")
    assert keywords["number"] is None
    assert result.exit_code == EXIT_DONE
    counts = {"files": 0, "rewritten": 0, "folders": 0, "failed": 0, "left": 0}
    assert json.loads(result.stdout) == {"event": "undo", "number": 1, **counts}


def test_history(store: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    summary = Summary(1, "2026-02-28T21:30:00Z", "undone", "", 0, 0, 0, did=Counts(2, 1000, 0))
    monkeypatch.setattr("dedup.cleanup.history.history", lambda folder: [summary] if folder == store else [])
    result = run(store, "history")
    assert result.exit_code == EXIT_DONE
    row, total = result.stdout.splitlines()
    assert row.split("  ") == ["clean-up 1", local_time(summary.began), "undone", "2 files", "1 kB", "2 put back"]
    assert (total, result.stderr) == ("1 clean-up", "")
    assert json.loads(run(store, "history", "--json").stdout) == {
        "number": 1,
        "began": "2026-02-28T21:30:00Z",
        "state": "undone",
        "gate": False,
        "organize": False,
        "files": 0,
        "bytes": 0,
        "rewritten": 0,
        "moved": 0,
        "did": {"files": 2, "bytes": 1000, "rewritten": 0, "moved": 0},
        "emptied": 0,
    }


# ---- tag ----


def test_tag(store: Path, replaced: Replace) -> None:
    tagging = Tagging(b"/m/a.mp3", {"reprise_audio_hash": ("ab",)}, {"reprise_audio_hash": ("cd",)}, (1, 2))
    measured = replaced("dedup.cleanup.tagging.measure_files", [tagging])
    written = replaced("dedup.cleanup.tagging.tag_files", Tagged(1, (Refusal(b"/m/b.mp3", "it is gone"),)))
    result = run(store, "tag", "/m/a.mp3", "--audio-hash", "--yes", "--protect", "/mine")
    assert measured == {
        "store": ANY,
        "paths": (b"/m/a.mp3",),
        "wanted": Wanted(audio_hash=True),
        "observer": ANY,
        "stop": ANY,
    }
    assert written == {
        "store": ANY,
        "taggings": [tagging],
        "keep": KeepSettings(protect=(b"/mine",)),
        "observer": ANY,
        "stop": ANY,
    }
    lines = ["/m/a.mp3", "  REPRISE_AUDIO_HASH ab  (now cd)", "refused: /m/b.mp3: it is gone"]
    text = "\n".join([*lines, "1 file tagged; `reprise undo` takes it back\n"])
    assert outcome(result) == (EXIT_SOME_FAILED, text, "")


def test_tag_writes_nothing_that_is_there_or_not_agreed_to(store: Path, replaced: Replace) -> None:
    written = replaced("dedup.cleanup.tagging.tag_files", Tagged())
    replaced("dedup.cleanup.tagging.measure_files", [])
    text = "nothing to write: the files already have all of it\n"
    assert outcome(run(store, "tag", "/m/a.mp3", "--replaygain")) == (EXIT_NOTHING_TO_DO, text, "")
    replaced("dedup.cleanup.tagging.measure_files", [Tagging(b"/m/a.mp3", {"x": ("1",)}, {}, (1, 2))])
    text = "/m/a.mp3\n  X 1\nnothing was written; add --yes to write without a question\n"
    question = "Write these tags into 1 file? [y/N]: "
    assert outcome(run(store, "tag", "/m/a.mp3", "--replaygain")) == (EXIT_DONE, text, question)
    assert written == {}
    replaced("dedup.cleanup.tagging.measure_files", [Tagging(b"/m/a.mp3", {"x": ("1",)}, {}, (1, 2))])
    run(store, "tag", "/m/a.mp3", "--replaygain", typed="y\n")
    assert written.keys() >= {"taggings"}


# ---- plan and resolve ----


def test_plan(store: Path, replaced: Replace) -> None:
    path = os.fsencode(store.parent / "plan.json")
    keywords = replaced("dedup.plan.make.plan_copies", Made(PLAN, path, replaced=True))
    result = run(store, "plan", "-o", os.fsdecode(path), "--action", "trash", "--unprotect", "/mine", "--auto", "0.9")
    assert keywords == {
        "folder": store,
        "match": MatchSettings(),
        "keep": KeepSettings(),
        "settings": PlanSettings(action="trash", auto=0.9),
        "observer": ANY,
        "purpose": "reprise plan",
        "ears": ANY,
        "path": path,
        "unprotect": [b"/mine"],
        "place": ANY,
        "is_document": False,
    }
    assert (result.exit_code, result.stderr) == (EXIT_DONE, "")
    assert [" ".join(line.split()) for line in result.stdout.splitlines()] == [
        "Paths are below /m/",
        "",
        "2 MB reclaimable, 2 files",
        "keep a.flac",
        "3 MB",
        "lossless",
        "go b.mp3",
        "2 MB quarantine score 0.900",
        "lossless: flac, the other mp3",
        "",
        "total 1 file of 1 group would change; 2 MB reclaimable",
        f"plan replaced: {os.fsdecode(path)}; `reprise apply` does it",
    ]


def test_what_is_lost_with_a_file_that_goes_is_said_once(store: Path, replaced: Replace) -> None:
    lost = (Loss("untested", "nobody has listened to the two"), Loss("lyrics", "lyrics"))
    going = replace(GONE, lost=lost, why="you let go: lyrics")
    staying = replace(GONE, path=b"/m/c.mp3", action="leave", rule="untested", why=lost[0].what, lost=lost[:1])
    unchanged = PlannedGroup((replace(KEPT, path=b"/m/d.flac"), replace(staying, path=b"/m/e.mp3")))
    replaced("dedup.plan.make.plan_copies", Made(Plan((PlannedGroup((KEPT, going, staying)), unchanged))))
    told = [line.strip() for line in run(store, "plan").stdout.splitlines()]
    assert [line for line in told if "lost with it" in line] == ["lost with it: nobody has listened to the two"]
    assert "total   1 file of 1 group would change; 2 MB reclaimable" in told, (
        "a group that stays as it is does not count"
    )


def test_plan_without_a_file_and_with_nothing_to_do(store: Path, replaced: Replace) -> None:
    keywords = replaced("dedup.plan.make.plan_copies", Made(Plan(())))
    result = run(store, "plan")
    assert (keywords["path"], keywords["unprotect"]) == (None, [])
    text = "total   0 files of 0 groups would change; 0 B reclaimable\n"
    assert outcome(result) == (EXIT_NOTHING_TO_DO, text, "")


def test_resolve(store: Path, replaced: Replace) -> None:
    path = os.fsencode(store.parent / "plan.json")
    keywords = replaced("dedup.plan.resolve.resolve_groups", Resolved(PLAN, keep=1, skip=2, left=3, n_before=6))
    result = run(store, "resolve", "-o", os.fsdecode(path), "--limit", "3", "--again", "--ask", "0.8")
    assert isinstance(keywords.pop("reviewer"), TerminalReviewer)
    assert keywords == {
        "folder": store,
        "path": path,
        "match": MatchSettings(),
        "keep": KeepSettings(),
        "settings": PlanSettings(ask=0.8),
        "observer": ANY,
        "purpose": "reprise resolve",
        "ears": ANY,
        "again": True,
        "limit": 3,
        "place": ANY,
    }
    lines = [
        "resolved  1 kept, 0 not the same, 2 skipped, 3 left; run the same command to go on",
        "plan      1 file of 1 group would change; 2 MB reclaimable",
        f"          `reprise apply {os.fsdecode(path)}` does it",
    ]
    assert outcome(result) == (EXIT_DONE, "\n".join(lines) + "\n", "")


def test_resolve_with_nothing_to_ask(store: Path, replaced: Replace) -> None:
    replaced("dedup.plan.resolve.resolve_groups", Resolved(Plan(())))
    result = run(store, "resolve", "-o", store.parent / "plan.json")
    text = "resolved  0 kept, 0 not the same, 0 skipped, 0 left\n"
    assert outcome(result) == (EXIT_NOTHING_TO_DO, text, "")


# ---- mark ----

A, B = Known(b"/m/a", b"a" * 16, 1), Known(b"/m/b", b"b" * 16, 2)
SAID = Judgement(A.content, B.content, False, 0.25, "2026-02-28T21:30:00Z")


@pytest.mark.parametrize(("option", "same"), [("--same", True), ("--different", False)])
def test_mark(store: Path, replaced: Replace, option: str, same: bool) -> None:
    keywords = replaced("dedup.groups.mark.judge_files", Marked(A, B, same, 0.5, SAID))
    result = run(store, "mark", "/m/a", "/m/b", option)
    assert keywords == {"store": ANY, "a": b"/m/a", "b": b"/m/b", "same": same}
    changed = f"; different before, said {local_time(SAID.judged)}" if same else ""
    assert outcome(result) == (EXIT_DONE, f"{option[2:]}: /m/a and /m/b (score 0.500){changed}\n", "")


def test_mark_forget(store: Path, replaced: Replace) -> None:
    keywords = replaced("dedup.groups.mark.forget_files", Marked(A, B, None, None, SAID))
    result = run(store, "mark", "/m/a", "/m/b", "--forget")
    assert keywords == {"store": ANY, "a": b"/m/a", "b": b"/m/b"}
    text = f"forgotten: /m/a and /m/b; different before, said {local_time(SAID.judged)}\n"
    assert outcome(result) == (EXIT_DONE, text, "")


def test_mark_list(store: Path, replaced: Replace) -> None:
    keywords = replaced("dedup.groups.mark.all_judgements", [Held(SAID, (b"/m/a",), ())])
    result = run(store, "mark", "--list")
    assert keywords == {"store": ANY}
    lines = [f"different, score 0.250, said {local_time(SAID.judged)}", "  a  /m/a", "  b  (not in the library now)"]
    assert outcome(result) == (EXIT_DONE, "\n".join([*lines, "", "1 judgement\n"]), "")


# ---- guards: nothing is called ----


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["apply"], "apply: neither PLAN nor --resume is given. Give one of them"),
        (["apply", "x", "--resume"], "apply: both PLAN and --resume are given. Give one of them"),
        (
            ["apply", "--resume", "--dry-run"],
            "apply --resume: cannot be combined with --dry-run. Leave out one of them",
        ),
        (["tag", "x"], "tag: nothing to write. Add --names, --fingerprint, --audio-hash or --replaygain"),
        (["tag", "--replaygain"], "tag: no file is named. Name files or folders of the library"),
        (["tag", "x", "--replaygain", "--overwrite"], "tag --overwrite: is only for names. Add --names"),
        (["tag", "x", "-o", "y", "--replaygain"], "tag -o: is only for names. Add --names"),
        (["tag", "x", "--from", "y"], "tag --from: cannot be combined with files. Leave out one of them"),
        (["tag", "--names", "--from", "y"], "tag --from: cannot be combined with --names. Leave out one of them"),
        (
            ["tag", "x", "--names", "--replaygain"],
            "tag --names: cannot be combined with what is measured. Run the two one after the other",
        ),
        (
            ["tag", "--names", "--fields", "title,mood"],
            "tag --fields: 'mood' is no field; expected title, artist, album, albumartist, date, tracknumber, "
            "tracktotal, discnumber, disctotal or ids",
        ),
        (["plan", "--check", "x", "-o", "y"], "plan --check: cannot be combined with -o. Leave out one of them"),
        (
            ["mark", "a", "b"],
            "mark: not exactly one option is given. Give one of --same, --different, --forget or --list",
        ),
    ],
)
def test_a_guard_calls_nothing(store: Path, replaced: Replace, words: list[str], told: str) -> None:
    calls = [
        replaced(name, None)
        for name in (
            "dedup.cleanup.apply.apply_plan",
            "dedup.cleanup.apply.resume_plan",
            "dedup.cleanup.tagging.measure_files",
            "dedup.plan.make.plan_copies",
            "dedup.groups.mark.judge_files",
        )
    ]
    assert outcome(run(store, *words)) == (EXIT_USAGE, "", f"reprise: {told}\n")
    assert calls == [{}] * 5
