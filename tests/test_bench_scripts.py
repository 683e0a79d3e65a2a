"""The benchmarks of the comparison run, and hold what they time against numpy first; what they measure is no test. The
evaluation counts what it should."""

from __future__ import annotations

import itertools
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dedup.correlation.correlate import correlate, unfinished
from dedup.groups.called_same import remember
from dedup.observer import Silent
from dedup.plan.weigh import find_groups
from dedup.runner import InlineRunner, Stop
from dedup.settings import ITEMS_PER_SECOND, METHODS, CompareSettings, KeepSettings, MatchSettings
from dedup.store.items import SILENT_ITEM, Items
from dedup.store.store import open_for_writing
from dedup.upkeep.check import check
from scripts.bench import gate as bench_gate
from scripts.bench import kernel as bench_kernel
from scripts.bench import peers as bench_peers
from scripts.bench import plan as bench_plan
from scripts.bench import playback as bench_playback
from scripts.bench import review as bench_review
from scripts.bench import varispeed as bench_varispeed
from scripts.study import evaluate, methods, speeds
from tests import stores


def printed(script: Any, *args: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(sys, "argv", [script.__file__, *map(str, args), "--json"])
    script.main()
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize(
    "script", [bench_gate, bench_kernel, bench_peers, bench_plan, bench_playback, bench_review, bench_varispeed]
)
def test_help_tells_what_is_timed(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script.__file__, "--help"])
    with pytest.raises(SystemExit) as exit_:
        script.main()
    assert exit_.value.code == 0
    assert "Times" in capsys.readouterr().out


@pytest.mark.parametrize(("n_items", "lags"), [(1, 5), (100, 33)])
def test_every_way_counts_what_numpy_counts(
    n_items: int, lags: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_kernel, "TURN_S", 1e-4)
    options = ("--items", n_items, "--lags", lags, "--rounds", 1)
    figures = printed(bench_kernel, *options, monkeypatch=monkeypatch, capsys=capsys)
    assert {"kernel", "plain loop"} <= set(figures["g_items_per_s"])
    assert (figures["kernel_to_c"] is None) == (figures["fastest_c"] is None)


def test_items_that_overlap_are_counted() -> None:
    assert bench_kernel.overlaps(3, 2) == 1 + 2 + 3 + 2 + 1


def test_peers_get_the_same_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(1)
    lines = [{"path": f"/{i}", "fingerprint": random.integers(1 << 32, size=200).tolist()} for i in range(5)]
    (tmp_path / "made.jsonl").write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.setenv("PATH", str(tmp_path))  # nothing is installed but what comes with Reprise
    options = (tmp_path / "made.jsonl", "--pairs", 9, "--rounds", 1, "--seconds", 1e-6)
    figures = printed(bench_peers, *options, monkeypatch=monkeypatch, capsys=capsys)
    assert figures["tracks"] == 4
    assert {figures["pairs"][f"{method}, all lags"] for method in METHODS} == {6}
    assert {"soundalike", "czkawka_cli"} <= set(figures["not_measured"])


@pytest.mark.long
def test_a_clean_up_does_all_that_it_is_timed_for(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = printed(bench_plan, "--files", "10,20", "--folder", tmp_path, monkeypatch=monkeypatch, capsys=capsys)
    told = [(run["command"], run["files"], run["growth"] is None) for run in figures["runs"]]
    assert told == [(name, files, files == 10) for files in (10, 20) for name in bench_plan.COMMANDS]
    assert all(run["memory_mb"] > 0 and run["processor_s"] > 0 for run in figures["runs"])
    assert list(tmp_path.iterdir()) == []


def test_the_pass_for_other_speeds_is_timed_beside_the_first(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    options = ("--tracks", 6, "--rounds", 1)
    figures = printed(bench_varispeed, *options, monkeypatch=monkeypatch, capsys=capsys)
    assert figures["pairs"] == 15
    assert min(figures["first_us"], figures["varispeed_us"]) > 0


def test_each_change_of_the_study_is_made_once() -> None:
    made = list(speeds.plan(1))
    assert len({name for name, *_ in made}) == len(made) == 1 + len(speeds.KINDS) * len(speeds.RATIOS)
    assert {(kind, ratio) for _, kind, ratio, _ in made[1:]} == set(itertools.product(speeds.KINDS, speeds.RATIOS))


def test_a_changed_sound_is_as_long_as_its_tempo_says() -> None:
    sound = np.random.default_rng(1).uniform(-0.1, 0.1, (2 * 44_100, 2)).astype(np.float32)
    for kind, length_s in (("plain", 2.0), ("speed", 2 / 1.25), ("tempo", 2 / 1.25), ("pitch", 2.0)):
        assert len(speeds.changed(sound, kind, 1.25)) / 44_100 == pytest.approx(length_s, abs=0.06), kind


# ---- evaluate: the labels


@pytest.mark.parametrize(
    ("filters", "start_s", "speed"),
    [
        ("", 0, 1),
        ("volume=-12dB", 0, 1),
        ("atrim=start=15,asetpts=PTS-STARTPTS", 15, 1),
        ("atrim=start=68.639:end=107.348,asetpts=PTS-STARTPTS", 68.639, 1),
        ("adelay=200:all=1", -0.2, 1),
        ("aformat=channel_layouts=mono,adelay=1000:all=1,atrim=start=3,asetpts=PTS-STARTPTS", 2, 1),
        ("asetrate=44100*1.04,aresample=44100", 0, 1.04),
        ("atempo=0.99", 0, 0.99),
        ("atempo=0.5,atrim=start=10", 5, 0.5),
    ],
)
def test_filters_tell_the_part_and_the_speed(filters: str, start_s: float, speed: float) -> None:
    assert evaluate.timeline(filters) == pytest.approx((start_s, speed))


def test_a_change_of_pitch_alone_is_none_of_speed() -> None:
    _, speed = evaluate.timeline("asetrate=44100*0.9438743126816935,aresample=44100,atempo=1.059463")
    assert speed == pytest.approx(1, abs=1e-6)


# ---- evaluate: a small library

SONG, OTHER = stores.recording(1, 600), stores.recording(2, 500)
SILENCE = np.full(400, SILENT_ITEM, np.uint32)
EXCERPT_S = 200 / ITEMS_PER_SECOND
LIBRARY: dict[str, tuple[Items, dict[str, str]]] = {
    "base": (SONG, {"recording": "song", "class": "base", "expect": "dup"}),
    "copy": (stores.copied(SONG, 0.05), {"recording": "song", "class": "codec", "expect": "dup"}),
    "excerpt": (
        stores.copied(SONG[200:400], 0.02),
        {"recording": "song", "class": "excerpt", "expect": "subset", "filter": f"atrim=start={EXCERPT_S}:end=99"},
    ),
    "misplaced": (
        stores.copied(SONG[300:500], 0.02),
        {"recording": "song", "class": "excerpt", "expect": "subset", "filter": "atrim=start=1"},
    ),
    "faster": (
        stores.recording(3, 580),
        {"recording": "song", "class": "speed", "expect": "hard", "filter": "asetrate=44100*1.02"},
    ),
    "pitch": (stores.recording(4, 590), {"recording": "song", "class": "pitch", "expect": "no"}),
    "snippet": (SONG[:20], {"recording": "song", "class": "snippet", "expect": "may"}),
    "other": (OTHER, {"recording": "other", "class": "base", "expect": "dup"}),
    "mislabelled": (stores.copied(OTHER, 0.1), {"recording": "third", "class": "base", "expect": "dup"}),
    "silence": (SILENCE, {"recording": "signal: silence", "class": "signal", "expect": "may"}),
    "silence too": (SILENCE[:300], {"recording": "signal: silence", "class": "signal", "expect": "may"}),
}


@pytest.fixture(scope="module")
def labelled(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A store of the library, and its ground truth."""
    folder = tmp_path_factory.mktemp("labelled")
    with stores.open_store(folder / "store") as store:
        for name, (items, _) in LIBRARY.items():
            stores.add_track(store, name, items)
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
    files = [{"path": name, **labels} for name, (_, labels) in LIBRARY.items()]
    files.append({"path": "\ufffd", "path_hex": "ff", "recording": "song", "class": "unreadable", "expect": "may"})
    (folder / "truth.json").write_text(json.dumps({"files": files}))
    return folder / "store", folder / "truth.json"


def evaluated(*arguments: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    return printed(evaluate, *arguments, "--root", "/music", monkeypatch=monkeypatch, capsys=capsys)


def test_pairs_are_counted_by_what_is_expected_of_them(
    labelled: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = evaluated(*labelled, monkeypatch=monkeypatch, capsys=capsys)["files"]
    counts = {name: (files[name]["pairs"], files[name]["found"], files[name]["right"]) for name in evaluate.WEAKER}
    assert counts["dup"] == (1, 1, 1)
    assert counts["hard"] == (2, 0, 0)
    assert counts["subset"][0] == 7  # the two with base, copy, faster, and each other
    assert files["subset"]["right"] == 2, "base and copy have it, the other one is elsewhere than its label says"
    assert counts["no"] == (7, 0, 7)
    assert counts["may"][0] == 6 + 5 + 1
    assert files["dup"]["classes"].keys() == {"base", "codec"}
    assert files["hard"]["classes"]["speed"]["pairs"] == 2
    assert sum(files[name]["pairs"] for name in (*evaluate.WEAKER, methods.DIFFERENT)) == 12 * 11 // 2
    assert files[evaluate.SIGNALS]["pairs"] == 2 * 10 + 1
    assert files[evaluate.SIGNALS]["found"] == 0
    assert {(pair["expect"], pair["true_rate"]) for pair in files["wrong"]} == {
        ("hard", 0.02),
        ("subset", 0.0),
        ("subset", 0.02),  # in the excerpt for a time in the faster one
        ("subset", round(1 / 1.02 - 1, 4)),
    }


def test_false_pairs_are_listed_with_their_numbers(
    labelled: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    files = evaluated(*labelled, monkeypatch=monkeypatch, capsys=capsys)["files"]
    (false,) = files["false"]
    assert (false["a"], false["b"], false["verdict"]) == ("mislabelled", "other", "same recording")
    assert 0.75 < false["kappa"] < 0.85
    assert (false["lag_s"], false["rate"]) == (0, 0)
    assert files["related"] == []


def test_methods_are_weighed_on_the_same_pairs(
    labelled: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    weighed = evaluated(*labelled, monkeypatch=monkeypatch, capsys=capsys)["methods"]
    assert set(weighed["all"]) == {"pairs", *methods.METHODS}
    assert weighed["all"]["pairs"]["dup"] == weighed["music only"]["pairs"]["dup"] == 1
    ours, raw = weighed["music only"]["Reprise"], weighed["music only"]["raw, ±80 lags"]
    assert ours["as_used"] == {"threshold": None, "dup": 1, "hard": 0, "subset": 4, "false": 1}
    assert raw["as_used"] == {"threshold": 0.58, "dup": 1, "hard": 0, "subset": 0, "false": 1}
    assert ours["no_false"]["dup"] == 1
    assert ours["no_false"]["false"] == 0


def test_a_store_of_other_files_is_pointed_out(
    labelled: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["evaluate.py", *map(str, labelled), "--json"])  # of library/ beside the truth
    evaluate.main()
    said = capsys.readouterr()
    assert "warning: no file of the ground truth below" in said.err
    assert "--root" in said.err
    assert json.loads(said.out)["files"]["dup"]["found"] == 0


def test_people_read_a_table_and_see_a_picture(
    labelled: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    picture = tmp_path / "scores.svg"
    drawn = []
    for _ in range(2):
        monkeypatch.setattr(
            sys, "argv", ["evaluate.py", *map(str, labelled), "--root", "/music", "--plot", str(picture)]
        )
        evaluate.main()
        drawn.append(picture.read_bytes())
    out = capsys.readouterr().out
    assert drawn[0] == drawn[1]
    assert b"<svg" in drawn[0]
    assert "1 false pairs\n    same recording: mislabelled <-> other\n" in out
    assert "hard, rate +0.0200, called other: base <-> faster\n" in out
    assert all(f"\n{name:16} " in out for name in methods.METHODS)


def test_a_reader_that_has_enough_ends_it_quietly(labelled: tuple[Path, Path]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    command = [sys.executable, evaluate.__file__, *map(str, labelled), "--root", "/music"]
    done = subprocess.run(command, stdout=writing, stderr=subprocess.PIPE, check=False)
    os.close(writing)
    assert (done.returncode, done.stderr) == (0, b"")


# ---- evaluate: the methods


def test_acoustids_score_of_pairs_that_are_easy_to_check() -> None:
    assert methods.acoustid(SONG, SONG) == 1
    assert methods.acoustid(SONG, OTHER) == 0
    assert methods.acoustid(SONG[60:], SONG) == 1
    assert methods.acoustid(SONG[100:], SONG) < 0.1, "beyond 80 items"
    assert methods.acoustid(SONG[:300], SONG) == 1, "a part is taken for the whole"
    flipped = SONG ^ np.uint32(0b1111)
    assert methods.acoustid(flipped, SONG) == pytest.approx(1 - 2 * 4 / 32)
    bar = np.tile(SONG[:60], 10)
    repeated = methods.acoustid(bar ^ np.uint32(0b1111), bar)
    assert repeated == pytest.approx(0.75 ** (8 - 7 * ((60 + 10) / 600 + 0.5)), rel=0.05)
    assert methods.acoustid(SONG[:1], SONG) == methods.acoustid(SONG[:0], SONG) == 0


def test_average_precision_takes_ties_together() -> None:
    scores, true = np.array([0.9, 0.8, 0.7, 0.7, 0.1]), np.array([True, False, True, False, False])
    assert methods.average_precision(scores, true) == pytest.approx(1 / 2 + 1 / 2 * 2 / 4)
    assert methods.average_precision(scores, scores > 0.75) == 1
    assert methods.average_precision(scores, scores > 1) == 0


def test_the_margin_compares_the_worst_with_the_best() -> None:
    assert methods.margin(np.array([0.9, 0.6]), 0.3) == pytest.approx(0.5)
    assert methods.margin(np.array([0.9, 0.6]), 0.7) == pytest.approx(-0.5)
    assert methods.margin(np.array([0.9]), 0.95) is None


def test_a_made_library_has_the_groups_and_the_judgements_that_it_should(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    bench_review.make_library(folder, 40, 6, 4)
    with open_for_writing(folder, "test") as store:
        assert unfinished(store) is None
        remember(store, Silent(), Stop())
        found = find_groups(store, MatchSettings(), KeepSettings())
        assert sorted(len(group.members) for group in found.groups) == [2, 2, 3, 3, 3, 3]
        assert {pair.verdict for group in found.groups for pair in group.members} == {"same recording"}
        assert [finding for finding in check(store, Silent()) if finding.is_damage] == []


@pytest.mark.long
def test_the_gate_is_timed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    with stores.open_store(tmp_path / "store") as store:
        for seed in range(6):
            stores.add_track(store, f"{seed}", stores.recording(seed, 300))
        store.seal_tail()
    monkeypatch.setattr(bench_gate, "ROUNDS", 1)
    options = (tmp_path / "store", "--minutes", 0.25, "--files", 1, "--questions", 2)
    figures = printed(bench_gate, *options, monkeypatch=monkeypatch, capsys=capsys)
    assert (figures["tracks"], figures["items"]) == (6, 1800)
    assert all(figures[name]["median"] <= figures[name]["worst"] for name in bench_gate.TIMES)
    assert figures["files_per_s"] > 0
