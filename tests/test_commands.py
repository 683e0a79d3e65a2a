"""Every command on one small synthesized library, in this process: what it prints, for people and for programs."""

from __future__ import annotations

import csv
import functools
import io
import itertools
import json
import os
import re
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner, Result

from dedup.correlation.correlate import correlate
from dedup.errors import (
    EXIT_DONE,
    EXIT_SOME_FAILED,
    EXIT_USAGE,
    InputError,
    LibraryError,
    StoreDamagedError,
    StoreMissingError,
)
from dedup.groups.judgements import record
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings
from dedup.store.store import open_for_writing
from dedup.synthesis.library import DemoLibrary, demo_paths, write_demo_library
from jobs import cli
from tests import stores


@dataclass(frozen=True)
class Place:
    """A library, its store, and the first run's output."""

    library: DemoLibrary
    store: Path
    first: Result


def invoke(store: Path, *arguments: str, typed: str = "") -> Result:
    return CliRunner().invoke(cli.cli, [arguments[0], "--store", str(store), *arguments[1:]], input=typed)


def records(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Place:
    folder = tmp_path_factory.mktemp("commands")
    library = write_demo_library(folder / "library", seed=3, n_recordings=4, seconds=(20, 26), n_copies=6)
    first = invoke(folder / "store", "full", str(library.root), "--workers", "0", "--json")
    return Place(library, folder / "store", first)


@pytest.fixture
def copy_of_store(place: Place, tmp_path: Path) -> Path:
    return Path(shutil.copytree(place.store, tmp_path / "store"))


def relative(place: Place, path: str) -> str:
    return os.path.relpath(path, place.library.root)


def test_full_finds_what_was_planted_and_its_counts_add_up(place: Place) -> None:
    assert place.first.exit_code == EXIT_SOME_FAILED  # the text file that is called music
    found = records(place.first)
    summary = found[-1]
    assert summary["event"] == "summary"
    parts = ("unchanged", "fingerprinted", "identical", "skipped", "failed", "left")
    assert summary["discovered"] == sum(summary[part] for part in parts) == len(place.library.files)
    assert Counter(record["event"] for record in found[:-1]) == {"group": summary["groups"], "failed": 1, "skipped": 1}
    assert summary["pairs"] == len(place.library.true_pairs())
    assert summary["tiles"]["n_tiles"] == summary["tiles"]["n_computed"] == 1


def test_a_second_run_reads_no_audio_and_computes_no_tile(place: Place, copy_of_store: Path) -> None:
    again = records(invoke(copy_of_store, "full", str(place.library.root), "--workers", "0", "--json"))[-1]
    first = records(place.first)[-1]
    assert (again["fingerprinted"], again["identical"], again["tiles"]["n_computed"]) == (0, 0, 0)
    assert again["unchanged"] == first["fingerprinted"] + first["identical"]
    assert {key: again[key] for key in ("pairs", "groups", "failed", "skipped", "bytes_reclaimable")} == {
        key: first[key] for key in ("pairs", "groups", "failed", "skipped", "bytes_reclaimable")
    }


def test_the_stages_one_by_one_come_to_the_same(place: Place, tmp_path: Path) -> None:
    assert invoke(tmp_path / "s", "scan", str(place.library.root), "--workers", "0").exit_code == EXIT_SOME_FAILED
    assert invoke(tmp_path / "s", "correlate", "--workers", "0").exit_code == EXIT_DONE
    assert invoke(tmp_path / "s", "plan", "--workers", "0").exit_code == EXIT_DONE, "it makes the null tests"
    assert invoke(tmp_path / "s", "export", "pairs").stdout == invoke(place.store, "export", "pairs").stdout


def test_export_pairs_are_the_planted_ones(place: Place) -> None:
    pairs = records(invoke(place.store, "export", "pairs"))
    assert {frozenset(relative(place, pair[side]) for side in "ab") for pair in pairs} == place.library.true_pairs()
    for pair in pairs:
        assert {"a", "b", "lag_s", "overlap_s", "agreement", "score", "verdict"} <= pair.keys()
        assert pair["a"] < pair["b"]


def test_export_groups_and_report_say_the_same_in_every_form(place: Place) -> None:
    groups = records(invoke(place.store, "export", "groups"))
    assert [group["bytes_reclaimable"] for group in groups] == sorted(
        (group["bytes_reclaimable"] for group in groups), reverse=True
    )
    assert json.loads(invoke(place.store, "report", "--format", "json").stdout) == groups
    assert records(invoke(place.store, "report", "--format", "jsonl")) == groups
    assert records(invoke(place.store, "report", "--json")) == groups
    rows = list(csv.DictReader(io.StringIO(invoke(place.store, "report", "--format", "csv").stdout)))
    assert [row["path"] for row in rows if row["role"] == "reference"] == [group["reference"] for group in groups]
    assert len(rows) == sum(1 + len(group["members"]) for group in groups)


def test_report_for_people_names_every_copy_and_its_numbers(place: Place) -> None:
    text = invoke(place.store, "report").stdout
    for group in records(invoke(place.store, "export", "groups")):
        assert relative(place, group["reference"]) in text
        for member in group["members"]:
            lines = iter(text.splitlines())
            next(line for line in lines if line.endswith(f"      {relative(place, member['path'])}"))
            told = " ".join(" ".join(itertools.takewhile(lambda line: line.startswith(8 * " "), lines)).split())
            numbers = re.search(r"score ([01]\.\d{3}) agree ([01]\.\d{3})", told)
            assert numbers is not None
            assert [float(n) for n in numbers.groups()] == pytest.approx(
                [member["score"], member["agreement"]], abs=0.0006
            )
            assert member["verdict"] in told
    assert invoke(place.store, "report", "--limit", "1").stdout.count(" reclaimable, ") == 1


def test_other_thresholds_judge_the_stored_pairs_anew(place: Place) -> None:
    strict = records(invoke(place.store, "export", "pairs", "--min-score", "1", "--min-prominence", "0"))
    by_sound = {pair["verdict"] for pair in strict if pair["score"] < 1}
    assert by_sound <= {"related", "contained", "same audio", "identical file"}
    assert "related" in by_sound
    rare = records(invoke(place.store, "export", "pairs", "--max-false", "1e-300"))
    assert len(rare) < len(strict) == len(place.library.true_pairs())


def test_export_tracks_names_all_files_that_can_be_read(place: Place) -> None:
    tracks = records(invoke(place.store, "export", "tracks"))
    assert {relative(place, track["path"]) for track in tracks} == {file.path for file in place.library.files}


def test_info_of_the_store_and_of_a_file(place: Place) -> None:
    text = invoke(place.store, "info").stdout
    assert "made with            chromaprint" in text
    assert "last run             full" in text
    (store,) = records(invoke(place.store, "info", "--json"))
    assert store["tiles_done"] == store["tiles"] == 1
    path = records(invoke(place.store, "export", "pairs"))[0]["a"]
    (file,) = records(invoke(place.store, "info", path, "--json"))
    assert file["path"] == path
    assert file["matches"]
    assert invoke(place.store, "info", "/nowhere.mp3").exit_code == InputError.exit_code


def test_pair_says_why(place: Place, tmp_path: Path) -> None:
    pair = records(invoke(place.store, "export", "pairs"))[0]
    told = invoke(place.store, "pair", pair["a"], pair["b"], "--plot", str(tmp_path / "p.png"))
    assert told.exit_code == EXIT_DONE
    assert "verdict: " + pair["verdict"] in told.stdout
    (over_time,) = re.findall(r"^over time  (\S+)  ", told.stdout, re.M)
    assert re.fullmatch("[░▒▓█·]{1,64}", over_time)
    assert f"score {pair['score']:.3f}" in told.stdout
    assert (tmp_path / "p.png").read_bytes().startswith(b"\x89PNG")
    (record,) = records(invoke(place.store, "pair", pair["a"], pair["b"], "--json"))
    assert record.keys() == pair.keys() | {"false_match", "steps", "criteria"}
    assert {name: record[name] for name in pair} == pair
    assert all(criterion["met"] for criterion in record["criteria"])
    assert all(criterion.keys() == {"name", "value", "threshold", "at_most", "met"} for criterion in record["criteria"])
    assert 0 <= record["false_match"] < 1e-3
    assert len(record["steps"]) == -(-round(record["overlap_s"] * 11025 / 1365) // 32)
    outside = records(invoke(tmp_path / "none", "pair", pair["a"], pair["b"], "--json"))[0]
    assert outside["score"] == pair["score"]  # without a store both are decoded now


def test_pair_has_no_verdict_that_export_has_not(place: Place) -> None:
    pairs = records(invoke(place.store, "export", "pairs"))
    some = {pair["verdict"]: pair for pair in pairs}
    assert len(some) >= 2
    for verdict, pair in some.items():
        lines = invoke(place.store, "pair", pair["b"], pair["a"]).stdout.splitlines()
        assert lines[-1] == f"verdict: {verdict}" or lines[-1].startswith(f"verdict: {verdict}: ")


def test_pair_of_a_file_without_audio(place: Place) -> None:
    text_file = next(file.path for file in place.library.files if "shopping" in file.path)
    result = invoke(place.store, "pair", *[str(place.library.root / text_file)] * 2)
    assert result.exit_code == InputError.exit_code
    assert result.stderr.count("\n") == 1


# ---- judgements ----


@pytest.fixture
def versions(tmp_path: Path) -> Path:
    """A store with a group of two, three versions of its recording in falling likeness, and an excerpt of another."""
    with stores.open_store(tmp_path / "versions") as store:
        items = stores.recording(1, 300)
        stores.add_track(store, "a.flac", items, codec="flac", lossless=True)
        stores.add_track(store, "b.mp3", stores.copied(items, 0.05))
        for seed, share in ((1, 0.29), (2, 0.31), (3, 0.33)):
            stores.add_track(store, f"version {seed}.mp3", stores.copied(items, share, seed))
        stores.add_track(store, "whole.mp3", stores.recording(2, 300))
        stores.add_track(store, "part.mp3", stores.recording(2, 300)[100:200])
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
    return tmp_path / "versions"


def asked(result: Result) -> list[str]:
    """The versions that were asked about."""
    assert result.exit_code == EXIT_DONE, result.stderr
    pairs = result.stdout.split("\npair ") if "pair 1 of" in result.stdout else []
    return [re.search(r"version \d", pair)[0] for pair in pairs if "[s]ame" in pair]


def test_report_asks_only_for_what_nobody_answered(versions: Path) -> None:
    first = invoke(versions, "report", "--ask", typed="s\nd\nk\n")
    assert asked(first) == ["version 1", "version 2", "version 3"]
    assert "pair 3 of 3" in first.stdout
    assert "asked   1 same, 1 different, 1 skipped, 0 left" in first.stdout
    assert "same recording (you said so)" in first.stdout, "the report goes by what was just said"
    assert "2 judgements of yours" in first.stdout
    assert "version 2" not in first.stdout.split("asked   ")[1]
    again = invoke(versions, "report", "--ask", typed="q\n")
    assert asked(again) == ["version 3"]
    assert "asked   0 same, 0 different, 0 skipped, 1 left" in again.stdout
    assert [pair["judged"] for pair in records(invoke(versions, "export", "pairs")) if pair["judged"]] == [True]
    last = invoke(versions, "report", "--ask", "--json", typed="d\n")
    assert [group["reference"] for group in records(last)] == ["/music/a.flac"]
    assert "version 3" in last.stderr
    assert asked(invoke(versions, "report", "--ask", typed="")) == []


def test_what_was_answered_before_a_quit_is_kept(versions: Path) -> None:
    assert asked(invoke(versions, "report", "--ask", typed="d\nq\n")) == ["version 1", "version 2"]
    assert asked(invoke(versions, "report", "--ask", typed="")) == ["version 2"]
    listed = invoke(versions, "mark", "--list").stdout
    assert "1 judgement\n" in listed
    assert "different, score 0.4" in listed


def test_a_verdict_of_a_person_is_told_as_one(versions: Path) -> None:
    files = ("/music/a.flac", "/music/version 1.mp3")
    assert invoke(versions, "pair", *files).stdout.splitlines()[-1] == "verdict: related"
    for word, verdict in (("same", "same recording"), ("different", "other")):
        invoke(versions, "mark", f"--{word}", *files)
        told = invoke(versions, "pair", *files).stdout.splitlines()[-1]
        assert told == f"verdict: {verdict}, because a person said so"
        (record,) = records(invoke(versions, "pair", *files, "--json"))
        assert (record["verdict"], record["judged"]) == (verdict, True)


@pytest.mark.parametrize("command", [("report",), ("export", "pairs"), ("pair", "/music/a.flac", "/music/b.mp3")])
def test_as_approved_is_refused_where_little_was_judged(versions: Path, command: tuple[str, ...]) -> None:
    for asked_for in (("--min-score", "judged"), ("--profile", "aggressive")):
        refused = invoke(versions, *command, *asked_for)
        assert refused.exit_code == EXIT_USAGE
        assert refused.stderr.count("\n") == 1
        assert "found 0 judgements" in refused.stderr
        assert refused.stdout == ""


def test_full_refuses_it_before_anything_is_decoded(place: Place, tmp_path: Path) -> None:
    refused = invoke(tmp_path / "store", "full", str(place.library.root), "--workers", "0", "--profile", "aggressive")
    assert refused.exit_code == EXIT_USAGE
    assert "found 0 judgements" in refused.stderr
    (info,) = records(invoke(tmp_path / "store", "info", "--json"))
    assert info["fingerprints"] == 0


def test_ten_judgements_are_enough_to_go_by(versions: Path) -> None:
    with open_for_writing(versions, "test") as store:
        for n in range(10):
            record(store, bytes([n]) * 16, bytes([n + 100]) * 16, same=n != 0, score=0.41 + n / 100)
    by_default, as_approved = (
        {
            pair["b"]: pair["verdict"]
            for pair in records(invoke(versions, "export", "pairs", *options))
            if "a.f" in pair["a"]
        }
        for options in ((), ("--min-score", "judged", "--min-prominence", "0"))
    )
    assert by_default["/music/version 1.mp3"] == "related"
    assert as_approved["/music/b.mp3"] == "same recording"
    assert "from a score of 0.415 on" in invoke(versions, "report", "--min-score", "judged").stdout


# ---- the classic way ----


def test_the_classic_way_says_what_it_costs(tmp_path: Path) -> None:
    def told(*options: str) -> str:
        return " ".join(invoke(tmp_path, "report", *options).stdout.split())

    with stores.open_store(tmp_path, block_size=64) as store:
        stores.add_track(store, "copy", stores.copied(stores.recording(1, 200), 0.05))
        for seed in range(1, 31):
            stores.add_track(store, str(seed), stores.recording(seed, 200))
            if seed in (20, 30):
                assert "raw agreement 0.58 alone decides, as in older programs; what that" in told("--classic", "0.58")
                assert "was not measured: it takes 25 tracks and a `reprise correlate`" in told("--classic", "0.58")
                correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
    cost = re.search(
        r"([\d.]+)% of unrelated pairs .* about ([\d,]+) false .* the ([\d,]+) of", told("--classic", "0.53")
    )
    assert cost is not None
    assert 0 < float(cost[1]) < 100
    assert int(cost[2]) == pytest.approx(float(cost[1]) / 100 * 465, abs=1)
    assert cost[3] == "465"  # pairs of 31 tracks
    assert "0.9 alone decides, as in older programs; 0.00% of unrelated pairs" in told("--classic", "0.9")
    assert "raw agreement" not in told("--classic", "off")


# ---- import, check, demo ----


def test_import_compares_foreign_fingerprints_and_names_bad_lines(copy_of_store: Path, tmp_path: Path) -> None:
    lines = [{"path": f"/elsewhere/{n}.mp3", "duration": 20.0, "fingerprint": list(range(n, n + 900))} for n in (1, 2)]
    bad = {"path": "/elsewhere/3.mp3", "duration": 20.0, "fingerprint": [-1]}
    text = "\n".join(map(json.dumps, [lines[0], bad, lines[1]])) + "\nno json\n"
    (tmp_path / "fingerprints.jsonl").write_text(text)
    result = invoke(copy_of_store, "import", str(tmp_path / "fingerprints.jsonl"))
    assert result.exit_code == EXIT_SOME_FAILED
    assert "lines   4 = 2 imported + 0 unchanged + 0 scanned + 0 skipped + 2 rejected" in result.stdout
    assert "line 2" in result.stderr
    assert "line 4" in result.stderr
    correlated = records(invoke(copy_of_store, "correlate", "--workers", "0", "--json"))[-1]
    assert (correlated["n_reused"], correlated["n_computed"]) == (1, 2)


def test_check_names_damage_and_repair_lets_the_next_run_redo_it(place: Place, copy_of_store: Path) -> None:
    assert invoke(copy_of_store, "check").exit_code == EXIT_DONE
    items = next((copy_of_store / "fingerprints.zarr").glob("*/items/c/0"))
    data = bytearray(items.read_bytes())
    data[100] ^= 4
    items.write_bytes(data)
    damaged = invoke(copy_of_store, "check")
    assert damaged.exit_code == StoreDamagedError.exit_code
    assert items.parts[-4] in damaged.stdout
    assert invoke(copy_of_store, "report").exit_code == EXIT_DONE  # what was compared is still known
    assert invoke(copy_of_store, "check", "--repair").exit_code == EXIT_DONE
    again = records(invoke(copy_of_store, "full", str(place.library.root), "--workers", "0", "--json"))[-1]
    assert (again["unchanged"], again["tiles"]["n_computed"]) == (0, 1)
    assert invoke(copy_of_store, "check").exit_code == EXIT_DONE
    assert invoke(copy_of_store, "export", "pairs").stdout == invoke(place.store, "export", "pairs").stdout


@pytest.mark.parametrize("command", [("correlate",), ("report",), ("export", "pairs"), ("info",), ("check",)])
def test_commands_without_a_store_say_so_and_make_none(tmp_path: Path, command: tuple[str, ...]) -> None:
    result = invoke(tmp_path / "none", *command)
    assert result.exit_code == StoreMissingError.exit_code
    assert "there is no store" in result.stderr
    assert not (tmp_path / "none").exists()


def test_a_root_that_is_not_there_makes_no_store(tmp_path: Path) -> None:
    result = invoke(tmp_path / "store", "full", str(tmp_path / "nowhere"))
    assert result.exit_code == LibraryError.exit_code
    assert not (tmp_path / "store").exists()


def test_no_library_at_all_tells_how_to_give_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("REPRISE_ROOTS", raising=False)
    result = invoke(tmp_path / "store", "full")
    assert result.exit_code == LibraryError.exit_code
    assert "REPRISE_ROOTS" in result.stderr
    assert not (tmp_path / "store").exists()


@pytest.mark.usefixtures("small_demo")
def test_demo_keeps_library_and_store_where_asked(tmp_path: Path) -> None:
    result = CliRunner().invoke(cli.cli, ["demo", "--out", str(tmp_path / "demo"), "--workers", "0", "--json"])
    assert result.exit_code == EXIT_DONE
    truth = records(result)[-1]
    assert truth["found"] == truth["pairs"] > 0
    assert truth["false"] == 0
    assert (tmp_path / "demo" / "library").is_dir()


@pytest.mark.long
@pytest.mark.usefixtures("small_demo")
def test_a_demo_that_was_cut_short_goes_on(tmp_path: Path) -> None:
    begun = tmp_path / "demo" / "library" / "Downloads" / "jingle.mp3"
    begun.parent.mkdir(parents=True)
    begun.write_bytes(b"ID3")
    result = CliRunner().invoke(cli.cli, ["demo", "--out", str(tmp_path / "demo"), "--workers", "0", "--json"])
    assert result.exit_code == EXIT_DONE and records(result)[-1]["found"] > 0


@pytest.mark.parametrize("name", ["library", "store", "library/Downloads"])
def test_a_demo_writes_through_no_link(tmp_path: Path, name: str) -> None:
    (tmp_path / "elsewhere").mkdir()
    link = tmp_path / "demo" / name
    link.parent.mkdir(parents=True)
    link.symlink_to(tmp_path / "elsewhere")
    result = CliRunner().invoke(cli.cli, ["demo", "--out", str(tmp_path / "demo"), "--workers", "0"])
    assert result.exit_code == InputError.exit_code and not list((tmp_path / "elsewhere").iterdir())


@pytest.mark.parametrize("name", ["a song.mp3", "library/a song.mp3", "library/Downloads/jingle (2).mp3"])
def test_a_demo_takes_no_folder_that_holds_other_files(tmp_path: Path, name: str) -> None:
    other = tmp_path / "demo" / name
    other.parent.mkdir(parents=True, exist_ok=True)
    other.write_bytes(b"ID3")
    result = CliRunner().invoke(cli.cli, ["demo", "--out", str(tmp_path / "demo"), "--workers", "0"])
    assert result.exit_code == InputError.exit_code and "holds other files" in result.stderr
    assert [path for path in (tmp_path / "demo").rglob("*") if path.is_file()] == [other]


def test_the_demo_has_a_store_of_its_own(tmp_path: Path) -> None:
    refused = invoke(tmp_path / "store", "demo")
    assert refused.exit_code == 2
    assert "the demo has a store of its own" in refused.stderr
    assert not (tmp_path / "store").exists()


@pytest.fixture
def small_demo(monkeypatch: pytest.MonkeyPatch) -> None:
    """The demo's library with few and short recordings: the whole one takes ten seconds to make."""
    whole: Callable[..., DemoLibrary] = write_demo_library

    def small(root: Path, seed: int, advance: Callable[[], None]) -> DemoLibrary:
        return whole(root, seed, n_recordings=3, seconds=(18, 20), n_copies=3, advance=advance)

    monkeypatch.setattr("dedup.synthesis.library.write_demo_library", small)
    paths = functools.partial(demo_paths, n_recordings=3, n_copies=3)
    monkeypatch.setattr("dedup.synthesis.library.demo_paths", paths)


def test_a_folder_without_audio_files_is_said_to_have_none(tmp_path: Path) -> None:
    (tmp_path / "music").mkdir()
    (tmp_path / "music" / "notes.txt").write_text("x")
    for command in ("scan", "full"):
        found = invoke(tmp_path / "store", command, str(tmp_path / "music"), "--workers", "0")
        assert f"no audio files below {tmp_path / 'music'}" in found.stdout and "groups" not in found.stdout


def test_a_store_is_not_made_among_other_things(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "song.txt").write_text("x")
    (tmp_path / "music").mkdir()
    refused = invoke(tmp_path / "store", "scan", str(tmp_path / "music"))
    assert refused.exit_code == 2
    assert "the folder is no store and holds other things, such as song.txt" in refused.stderr
    assert sorted(path.name for path in (tmp_path / "store").iterdir()) == ["song.txt"]
    (tmp_path / "store" / "song.txt").rename(tmp_path / "store" / ".DS_Store")
    assert invoke(tmp_path / "store", "scan", str(tmp_path / "music")).exit_code == 0


def test_settings_say_that_there_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert "settings.toml (no file yet" in invoke(tmp_path, "info", "--settings").stdout
    (tmp_path / "settings.toml").write_text("")
    monkeypatch.setenv("REPRISE_CONFIG", str(tmp_path / "settings.toml"))
    assert invoke(tmp_path, "info", "--settings").stdout.endswith("settings.toml\n")
