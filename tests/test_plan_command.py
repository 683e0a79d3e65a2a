"""`reprise plan` on small stores: what it shows, what it writes, what it refuses."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dedup.correlation.correlate import correlate
from dedup.errors import (
    EXIT_DONE,
    EXIT_NOTHING_TO_DO,
    EXIT_USAGE,
    InputError,
    PlanError,
    StoreLockedError,
    StoreMissingError,
)
from dedup.observer import Silent
from dedup.plan.document import read_plan
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings
from dedup.store.layout import Layout, write_lock
from dedup.store.protection import protected
from dedup.store.store import open_for_reading
from jobs import cli
from tests import stores
from tests.listening import pass_all

FLAC = {"codec": "flac", "lossless": True, "bits": 16, "sample_rate": 44_100}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three copies of one recording, and an album that needs a fourth."""
    items, folder = stores.recording(1, 200), tmp_path_factory.mktemp("made") / "store"
    with stores.open_store(folder) as store:
        stores.add_track(store, "good.flac", items, size=3_000_000, **FLAC)
        stores.add_track(store, "new/bad.mp3", stores.copied(items, 0.1), size=2_000_000, bitrate=128_000)
        stores.add_track(store, "new/bad (1).mp3", stores.copied(items, 0.1, 2), size=2_000_000, bitrate=128_000)
        for number in (1, 2, 3):
            tags = {"album": ("Café",), "artist": ("X",), "tracknumber": (f"0{number}/03",)}
            sound = stores.copied(items, 0.05, 3) if number == 3 else stores.recording(10 + number, 200)
            stores.add_track(store, f"album/{number}.mp3", sound, size=1_000_000, bitrate=320_000, tags=tags)
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        pass_all(store)
    return folder


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    """The same, of one test alone."""
    return Path(shutil.copytree(made, tmp_path / "store"))


def plan(folder: Path, *arguments: str) -> Result:
    return CliRunner().invoke(cli.cli, ["plan", "--store", str(folder), "--no-merge", *arguments])


def planned(result: Result) -> dict[str, tuple[str, str]]:
    """Action and rule of each file."""
    assert result.exit_code in (EXIT_DONE, EXIT_NOTHING_TO_DO), result.output
    (document,) = map(json.loads, result.stdout.splitlines())
    files = [file for group in document["groups"] for file in group["files"]]
    return {file["path"].removeprefix("/music/"): (file["action"], file["rule"]) for file in files}


def test_people_see_what_goes_what_stays_and_why(folder: Path) -> None:
    result = plan(folder)
    assert result.exit_code == EXIT_DONE
    lines = result.stdout.splitlines()
    assert lines[0] == "Paths are below /music/"
    assert "4 MB reclaimable, 4 files" in lines
    told = " ".join(result.stdout.split())
    parts = re.split(r" (?=(?:keep|stay|go) \S+/|keep good)", told.split("would stay")[0])[1:]
    assert [part.split(" ")[0] for part in parts] == ["keep", "stay", "go", "go"]
    assert [re.search(r"\b(lossless|album): ", part)[1] for part in parts] == [
        "lossless",
        "album",
        "lossless",
        "lossless",
    ]
    assert "lossless: flac, the other unknown" in parts[0]
    assert [("quarantine" in part, "null test passed, residual -40 dB" in part) for part in parts] == [
        (False, False),
        (False, True),
        (True, True),
        (True, True),
    ]
    assert "  album: album/3.mp3 (track 3 of Café, which is complete with it)" in lines
    assert lines[-1] == "total   2 files of 1 group would change; 4 MB reclaimable"


def test_programs_get_the_document_on_one_line(folder: Path) -> None:
    assert planned(plan(folder, "--json")) == {
        "good.flac": ("keep", "lossless"),
        "album/3.mp3": ("leave", "album"),
        "new/bad.mp3": ("quarantine", "lossless"),
        "new/bad (1).mp3": ("quarantine", "lossless"),
    }


def test_the_rules_are_the_users(folder: Path) -> None:
    found = planned(plan(folder, "--json", "--keep", "smallest", "--action", "delete", "--break-albums"))
    assert found["album/3.mp3"] == ("keep", "smallest")
    assert found["good.flac"] == ("delete", "smallest")
    found = planned(plan(folder, "--json", "--prefer", "/music/new"))
    assert found["new/bad.mp3"] == ("keep", "named")
    assert found["new/bad (1).mp3"] == ("quarantine", "named")
    assert found["good.flac"] == ("quarantine", "prefer")
    assert planned(plan(folder, "--json", "--identity", "album")) == {}
    assert "album/3.mp3" not in planned(plan(folder, "--json", "--companion", "/music/album:/music"))
    lost = plan(folder, "--break-albums").stdout
    assert "      lost to a complete album: track 3 of Café\n" in lost
    assert "would stay" not in lost


def test_nothing_to_do_has_an_exit_code(folder: Path) -> None:
    result = plan(folder, "--action", "hardlink")
    assert result.exit_code == EXIT_NOTHING_TO_DO
    assert result.stdout.splitlines()[-1].startswith("total   0 files of 0 groups would")
    assert plan(folder, "--identity", "album").exit_code == EXIT_NOTHING_TO_DO


def test_only_the_first_groups_are_shown_if_asked(tmp_path: Path) -> None:
    with stores.open_store(tmp_path) as store:
        for number in range(3):
            sound = stores.recording(number, 200)
            for name in "ab":
                stores.add_track(store, f"{number}{name}", sound, size=1000 * (number + 1))
        pass_all(store)
    shown = plan(tmp_path, "--limit", "1").stdout
    assert "2b" in shown
    assert "1b" not in shown
    assert "1 of 3 groups are shown" in shown
    assert "3 files of 3 groups would change; 6 kB reclaimable" in shown


# ---- the file ----


def test_a_written_plan_is_what_was_shown_and_is_sound(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    result = plan(folder, "-o", str(path))
    assert f"written: {path}" in result.stdout
    assert [entry.name for entry in tmp_path.iterdir() if "plan" in entry.name] == ["plan.json"]
    made = read_plan(bytes(path))
    assert (made.n_files, made.store) == (2, str(folder))
    checked = plan(folder, "--check", str(path))
    assert (checked.exit_code, checked.stdout.count("\n")) == (EXIT_DONE, 1)
    assert f"{path}: the plan is sound; 2 files of 1 group" in checked.stdout
    (record,) = map(json.loads, plan(folder, "--check", str(path), "--json").stdout.splitlines())
    assert record == {"event": "check", "problems": 0, "groups": 1, "files": 2, "bytes": 4_000_000} | {
        "merges": 0,
        "sidecars": 0,
        "playlists": 0,
        "playlists_left": 0,
    }


def test_only_a_plan_is_replaced(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan(folder, "-o", str(path))
    edited = json.loads(path.read_text())
    edited["groups"][0]["files"][0]["action"] = "burn"  # no sound plan, and still one
    path.write_text(json.dumps(edited))
    again = plan(folder, "-o", str(path))
    assert again.exit_code == EXIT_DONE
    assert f"replaced: {path}" in again.stdout
    for content in ("my diary", "{}", '{"format": "another"}'):
        path.write_text(content)
        refused = plan(folder, "-o", str(path))
        assert refused.exit_code == InputError.exit_code
        assert "is not a plan, so it is not replaced" in refused.stderr
        assert path.read_text() == content
    assert plan(folder, "-o", str(tmp_path)).exit_code == InputError.exit_code
    assert plan(folder, "-o", str(tmp_path / "none" / "plan.json")).exit_code == InputError.exit_code
    assert plan(folder, "-o", "/dev/null").exit_code == InputError.exit_code


def test_every_problem_of_a_file_is_one_line(folder: Path, tmp_path: Path) -> None:
    path = tmp_path / "plan.json"
    plan(folder, "-o", str(path))
    edited = json.loads(path.read_text())
    kept, *others = edited["groups"][0]["files"]
    kept["size"], others[0]["action"] = -1, "burn"
    path.write_text(json.dumps(edited))
    refused = plan(folder, "--check", str(path))
    assert refused.exit_code == PlanError.exit_code
    lines = refused.stderr.splitlines()
    assert len(lines) == 3
    assert "size is -1; write the size of the file in bytes" in lines[0]
    assert "action is 'burn'; write one of" in lines[1]
    assert lines[2].startswith(f"reprise: {path}: group 1, file 1")
    records = [json.loads(line) for line in plan(folder, "--check", str(path), "--json").stdout.splitlines()]
    assert [record["event"] for record in records] == ["problem", "problem", "error"]
    assert plan(folder, "--check", str(tmp_path / "none")).exit_code == InputError.exit_code
    assert plan(folder, "--check", str(path), "-o", str(path)).exit_code == EXIT_USAGE


# ---- the report, by the same rules ----


def reported(folder: Path, *arguments: str) -> str:
    result = CliRunner().invoke(cli.cli, ["report", "--store", str(folder), *arguments])
    assert result.exit_code == EXIT_DONE, result.output
    return result.stdout


def test_the_report_names_the_deciding_rule_of_every_file(folder: Path) -> None:
    (group,) = map(json.loads, reported(folder, "--json", "--keep", "smallest").splitlines())
    assert group["reference"] == "/music/album/3.mp3"
    assert {(member["rule"], member["why"]) for member in group["members"]} == {
        ("smallest", "1,000,000 bytes, the other 2,000,000 bytes"),
        ("smallest", "1,000,000 bytes, the other 3,000,000 bytes"),
    }
    lines = reported(folder).splitlines()
    assert lines[3].startswith("best  good.flac")
    assert sum(line.endswith("rule lossless") for line in lines) == 3
    (reference, *members) = csv.DictReader(io.StringIO(reported(folder, "--format", "csv")))
    assert (reference["rule"], reference["why"]) == ("", "")
    assert {(line["rule"], line["why"]) for line in members} == {("lossless", "flac, the other unknown")}


def test_the_report_keeps_to_what_is_kept_twice_on_purpose(folder: Path) -> None:
    assert "good.flac" not in reported(folder, "--identity", "album")
    plan(folder, "--protect", "/music/new")
    (group,) = map(json.loads, reported(folder, "--json").splitlines())
    assert group["reference"] == "/music/new/bad.mp3", "what a plan protected is so here too"
    exported = CliRunner().invoke(cli.cli, ["export", "groups", "--store", str(folder), "--keep", "largest"])
    assert json.loads(exported.stdout)["reference"] == "/music/new/bad.mp3"


# ---- protected folders ----


def remembered(folder: Path) -> tuple[bytes, ...]:
    with open_for_reading(folder) as store:
        return protected(store)


def test_what_is_protected_is_remembered_until_it_is_taken_back(folder: Path) -> None:
    found = planned(plan(folder, "--json", "--protect", "/music/new", "--protect", "/music/album"))
    assert found["album/3.mp3"] == ("keep", "bitrate")
    assert {found[name] for name in ("new/bad.mp3", "new/bad (1).mp3")} == {("leave", "protected")}
    assert found["good.flac"] == ("quarantine", "protected")
    assert remembered(folder) == (b"/music/album", b"/music/new")
    assert planned(plan(folder, "--json")) == found, "without the option too"
    with write_lock(Layout(folder), "test"):
        assert planned(plan(folder, "--json", "--protect", "/music/new")) == found, "nothing new is written"
        assert plan(folder, "--protect", "/else").exit_code == StoreLockedError.exit_code
    found = planned(plan(folder, "--json", "--unprotect", "/music/album"))
    assert found["album/3.mp3"] == ("leave", "album")
    assert remembered(folder) == (b"/music/new",)


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--unprotect", "/music/x"), "/music/x: is not protected. Protected folders: /music/new"),
        (("--unprotect", "/music/new", "--protect", "/music/new"), "--protect or a setting protects it again"),
        (("--keep", "best,worst"), "there is no rule 'worst'. Write one of best, listener, oldest"),
        (("--auto", "0.5", "--ask", "0.7"), "setting ask: found 0.7. Write at most 0.5, the value of auto"),
        (("--action", "keep"), "'quarantine' or 'trash'"),
        (("--to", "/music/gone"), "is in the library, below /music"),
    ],
)
def test_what_is_refused(folder: Path, arguments: tuple[str, ...], words: str) -> None:
    plan(folder, "--protect", "/music/new")
    refused = plan(folder, *arguments)
    assert refused.exit_code == EXIT_USAGE
    assert words in refused.stderr


def test_without_a_store_it_says_so(tmp_path: Path) -> None:
    assert plan(tmp_path / "none").exit_code == StoreMissingError.exit_code
    assert not os.path.exists(tmp_path / "none")


def test_merges_and_conflicts_are_shown() -> None:
    from dedup.plan.nouns import Plan, PlannedFile, PlannedGroup, PlannedPlaylist
    from dedup.tags.merge import CarriedExtra, Conflict, Merge
    from jobs.show.plan_text import plan_lines

    files: list[Any] = [PlannedFile(f"/m/{name}".encode(), "keep", 1, 1, b"c" * 16) for name in "ab"]
    conflict = Conflict("title", ("A",), ("B",), b"/m/b")
    extra = CarriedExtra("chapters", "12 chapters", "0" * 16, b"/m/b")
    merge = Merge(b"/m/a", {"genre": ("w", "x", "y\n", "z"), "mood": ("m" * 100,)}, b"/m/b", (conflict,), (extra,))
    made = Plan(
        (PlannedGroup(tuple(files), merge),), (PlannedPlaylist(b"/l.m3u", 2), PlannedPlaylist(b"/x.m3u", 1, "not text"))
    )
    lines = [line for block in plan_lines(made) for line in block]
    assert "      the kept file gets genre: w; x; y\\n; and 1 more" in lines
    assert f"      the kept file gets mood: {'m' * 79}…" in lines
    assert "      the kept file gets the cover of b" in lines
    assert "      the kept file gets 12 chapters of b" in lines
    assert "      title stays A; b has B" in lines
    assert lines[-4:-2] == ["playlists to rewrite", "  /l.m3u: 2 references"]
    assert lines[-1] == "  /x.m3u: 1 reference; not text"
