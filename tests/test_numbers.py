"""One quantity has one value: every number that a command prints in two places, in text and for programs, over a busy
library, compared."""

from __future__ import annotations

import csv
import io
import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from mutagen.easyid3 import EasyID3
from mutagen.flac import FLAC

from dedup.errors import EXIT_DONE, EXIT_SOME_FAILED
from jobs.session.output import size_text
from tests.cleanups import make_files, make_store, opened, run, tree
from tests.stores import add_track, copied, recording
from tests.web_server import Served, serving

FILES = {
    **{f"album/{n}.flac": n for n in (1, 2, 3)},
    **{f"other/{n}.wav": n for n in (1, 2, 3)},
    "safe/1.wav": 1,
    "x/2.flac": 2,
    "near/3.mp3": 3,
    "near/4.flac": 4,
    "near/4.mp3": 4,
}
"""Four recordings; of an album, of a protected folder, with the same bytes, and with a score of about 0.9."""


@pytest.fixture(scope="module")
def busy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A library of copies that go, and of all that makes one stay; with what is no music, and is broken."""
    root = tmp_path_factory.mktemp("busy") / "music"
    make_files(root, FILES)
    for n in (1, 2, 3):
        tags = FLAC(root / f"album/{n}.flac")
        tags.update({"album": "One", "artist": "x", "tracknumber": f"{n}/3"})
        tags.save()
    titled = EasyID3()
    titled["title"] = "Only the copy has it"
    titled.save(root / "near/4.mp3")
    make_store(root.parent / "store", root, FILES, {"near/3.mp3": 0.05, "near/4.mp3": 0.05})
    with opened(root) as store:
        add_track(store, "away.mp3", copied(recording(1, 200), 0.01), state="absent", root="/elsewhere")
    (root / "all.m3u").write_text("other/1.wav\nalbum/2.flac\nx/2.flac\n")
    (root / "cover.jpg").write_bytes(b"jpg")
    (root / "broken.mp3").write_bytes(b"no music " * 1000)
    (root / "empty.mp3").touch()
    (root / ".reprise-quarantine" / "old").mkdir(parents=True)
    (root / ".reprise-quarantine" / "old" / "x.mp3").write_bytes(b"old")
    (root / ".hidden").mkdir()
    (root / "loop").symlink_to(root / "album")
    assert run(root, "plan", "--protect", root / "safe").exit_code == EXIT_DONE
    return root


def records(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def number(text: str, pattern: str) -> int:
    (found,) = re.findall(pattern, text)
    return int(found.replace(",", ""))


def test_a_scan_counts_alike_in_progress_text_and_json(busy: Path) -> None:
    told = run(busy, "full", busy, "--workers", "0", "--strict", "--json")
    assert told.exit_code == EXIT_SOME_FAILED
    *events, summary = records(told.stdout)
    text = told.stderr
    assert number(text, r"discover: ([\d,]+) files in") == summary["discovered"] == len(FILES) + 2
    assert number(text, r"files   ([\d,]+) discovered") == summary["discovered"]
    (line,) = (line for line in text.splitlines() if line.startswith("files "))
    for kind in ("unchanged", "fingerprinted", "identical", "skipped", "failed"):
        assert number(line, rf"([\d,]+) {kind}") == summary[kind]
    of_files = [event for event in events if "folder" not in event]
    for kind in ("failed", "skipped", "ignored"):
        assert sum(event["event"] == kind for event in of_files) == summary[kind]
    assert number(text, r"([\d,]+) not audio by their names") == summary["ignored"] == 2
    assert not any("quarantine" in event.get("path", "") for event in events)
    parts = ("unchanged", "fingerprinted", "identical", "skipped", "failed", "left")
    assert sum(summary[part] for part in parts) == summary["discovered"]
    assert number(text, r"groups  ([\d,]+),") == summary["groups"] == sum(e["event"] == "group" for e in events)
    groups = [event for event in events if event["event"] == "group"]
    assert summary["bytes_reclaimable"] == sum(group["bytes_reclaimable"] for group in groups) > 0
    assert f"{size_text(summary['bytes_reclaimable'])} reclaimable" in text
    pairs = run(busy, "export", "pairs").stdout
    assert number(text, r"pairs   ([\d,]+) of files that match") == summary["pairs"] <= len(records(pairs))


def test_an_unlisted_folder_is_no_file(busy: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (busy / "locked").mkdir(exist_ok=True)
    scandir = os.scandir

    def refusing(path: Any) -> Any:
        if os.fsencode(path).endswith(b"/locked"):
            raise PermissionError(13, "Permission denied")
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refusing)
    told = run(busy, "scan", busy, "--workers", "0", "--json")
    *events, summary = records(told.stdout)
    assert [event["path"] for event in events if event.get("folder") and event["event"] == "failed"] == [
        str(busy / "locked")
    ]
    assert (summary["unlisted"], summary["failed"], summary["discovered"]) == (1, 2, len(FILES) + 2)
    assert "1 folder that cannot be read" in told.stderr


def test_reclaimable_is_one_number_wherever_it_is_told(busy: Path) -> None:
    """Property: also with scores, with albums that may break and with losses that may happen."""
    for more in ({}, {"REPRISE_AUTO": "0.95"}, {"REPRISE_BREAK_ALBUMS": "yes"}, {"REPRISE_ACTION": "hardlink"}):
        with pytest.MonkeyPatch.context() as environment:
            for name, value in more.items():
                environment.setenv(name, value)
            document = json.loads(run(busy, "plan", "--json").stdout)
            planned = document["totals"]["bytes"]
            groups = json.loads(run(busy, "report", "--format", "json").stdout)
            assert sum(group["bytes_reclaimable"] for group in groups) == planned, more
            of_plan = {group["files"][0]["path"]: group for group in document["groups"]}
            for group in groups:
                files = of_plan[group["reference"]]["files"] if group["reference"] in of_plan else []
                goes = sum(file["size"] for file in files if file["action"] not in ("keep", "leave"))
                assert group["bytes_reclaimable"] == goes
            sheet = csv.DictReader(io.StringIO(run(busy, "report", "--format", "csv").stdout.lstrip("\ufeff")))
            of_sheet = {row["group"]: int(row["bytes_reclaimable"]) for row in sheet}
            assert list(of_sheet.values()) == [group["bytes_reclaimable"] for group in groups]
            page = run(busy, "report", "--format", "html").stdout
            assert list(map(int, re.findall(r'data-bytes="(\d+)"', page))) == list(of_sheet.values())
            assert [each["bytes_reclaimable"] for each in records(run(busy, "export", "groups").stdout)] == list(
                of_sheet.values()
            )
            for text in (run(busy, "report").stdout, run(busy, "plan").stdout, page):
                assert f"; {size_text(planned)} reclaimable" in text


@pytest.fixture
def served(busy: Path) -> Iterator[Served]:
    with serving(busy.parent / "store") as server:
        yield server


def test_the_first_page_has_the_number_of_the_report(busy: Path, served: Served) -> None:
    planned = json.loads(run(busy, "plan", "--json").stdout)["totals"]["bytes"]
    assert f"<dd>{size_text(planned)}" in served.ask("/").text


def test_a_dry_run_counts_as_apply_does(busy: Path, tmp_path: Path) -> None:
    plan = tmp_path / "plan.json"
    assert run(busy, "plan", "-o", plan).exit_code == EXIT_DONE
    before = tree(busy)
    tried, text = run(busy, "apply", plan, "--dry-run", "--json"), run(busy, "apply", plan, "--dry-run").stdout
    assert tree(busy) == before
    (expected,) = records(tried.stdout)
    done = run(busy, "apply", plan, "--json")
    (happened,) = records(done.stdout)
    where = happened["quarantines"]
    assert expected["quarantines"] == [] and len(where) == 1
    assert {**expected, "dry_run": False, "quarantines": where} == happened
    assert happened["merged"] > 0
    assert happened["playlists"] == 1
    totals = json.loads(plan.read_text())["totals"]
    counted = {"files": sum(happened["done"].values()), "bytes": happened["bytes"], "merges": happened["merged"]}
    assert {name: totals[name] for name in counted} == counted
    assert number(text, r"done: ([\d,]+) files?") == counted["files"]
    assert number(text, r"([\d,]+) merged") == counted["merges"]
    assert number(text, r"([\d,]+) playlists rewritten") == 1
