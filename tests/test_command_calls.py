"""Each command is one call: what it is called with, by which settings, and what is printed of what it gives back. The
calls themselves are replaced; what they do is tested where they stand."""

from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import CliRunner, Result

from dedup.correlation.correlate import Correlation, Unfinished, correlate
from dedup.correlation.scoring import BESIDE, Criterion
from dedup.errors import (
    EXIT_DONE,
    EXIT_NOTHING_TO_DO,
    EXIT_SOME_FAILED,
    EXIT_TIME_UP,
    EXIT_USAGE,
    CatalogDamagedError,
    StoreDamagedError,
)
from dedup.groups.explain import Explanation, Listened
from dedup.groups.groups import Found
from dedup.groups.news import News
from dedup.library.discover import Problem
from dedup.lookup.identify import Result as Identify
from dedup.observer import Silent
from dedup.pipeline import Full
from dedup.plan.weigh import find_groups
from dedup.report.export import group_record, pair_record
from dedup.report.glance import KnownFile
from dedup.runner import InlineRunner, Stop
from dedup.scan.imported import Counts
from dedup.scan.scan import Scan
from dedup.settings import (
    CompareSettings,
    DiscoverSettings,
    FingerprintSettings,
    KeepSettings,
    LookupSettings,
    MatchSettings,
    PlanSettings,
    ScanSettings,
)
from dedup.store.store import Store, make_or_open
from dedup.store.tracks import Track
from dedup.synthesis.library import DemoFile, DemoLibrary
from dedup.upkeep.check import Checked, Finding, Mended
from dedup.upkeep.compact import Compacted, Compaction
from jobs import cli
from jobs.commands.identify import show
from jobs.session import stores
from jobs.session.output import local_time
from jobs.session.progress import Progress
from tests.stores import add_track, copied, recording

MATCH = ("--max-false", "0.5", "--min-score", "0.7", "--min-prominence", "0.1", "--classic", "0.6")
MATCH_SETTINGS = MatchSettings(0.5, 0.7, 0.1, 0.6)
KEEP = ("--keep", "largest", "--prefer", "/a", "--protect", "/b", "--identity", "album", "--companion", "/c:/d")
KEEP_SETTINGS = KeepSettings(("largest",), (b"/a",), (b"/b",), "album", ((b"/c", b"/d"),))
COMPARE = ("--method", "exact", "--max-lag", "9", "--min-overlap", "0.5", "--min-overlap-items", "90", "--no-varispeed")
COMPARE_SETTINGS = CompareSettings("exact", 9, 0.5, 90, varispeed=False)
SCAN = ("--extensions", "mp3", "--include", "a*", "--exclude", "b*", "--max-depth", "2", "--hidden")
SCAN += ("--min-length", "20", "--time-limit", "5", "--retry-failed", "--reads-per-disk", "3", "--again", "pitch")
SCAN_SETTINGS = ScanSettings(
    DiscoverSettings(frozenset({"mp3"}), ("a*",), ("b*",), 2, True), 20.0, 5.0, True, 3, "pitch"
)


class Call:
    """Stands for a function: keeps what it was called with, and gives what it was told to."""

    def __init__(self, result: Any, act: Callable[[dict[str, Any]], None] = lambda _: None) -> None:
        self.result, self.act = result, act
        self.positional: list[Any] = []
        self.keywords: dict[str, Any] = {}
        self.n_calls = 0

    def __call__(self, *positional: Any, **keywords: Any) -> Any:
        self.n_calls += 1
        # A store is closed when it is looked at: its folder is what it is known by.
        self.positional = [one.layout.folder if isinstance(one, Store) else one for one in positional]
        self.keywords = {name: self._known(name, value) for name, value in keywords.items()}
        self.act(keywords)
        return self.result

    @staticmethod
    def _known(name: str, value: Any) -> Any:
        """Of what a run makes for itself, its kind."""
        kind = {"store": Store, "runner": InlineRunner, "observer": Progress, "stop": Stop}.get(name)
        return kind.__name__ if kind is not None and isinstance(value, kind) else value


Replaced = Callable[..., Call]


@pytest.fixture
def replaced(monkeypatch: pytest.MonkeyPatch) -> Replaced:
    """Puts a call in the place of a function."""

    def put(name: str, result: Any, act: Callable[[dict[str, Any]], None] = lambda _: None) -> Call:
        call = Call(result, act)
        monkeypatch.setattr(name, call)
        return call

    return put


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """An empty store."""
    with make_or_open(tmp_path / "store", FingerprintSettings(), 512, "test"):
        pass
    return tmp_path / "store"


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Found:
    """A group of two, and a version beside it, as read from a store."""
    folder = tmp_path_factory.mktemp("found") / "store"
    with make_or_open(folder, FingerprintSettings(), 512, "test") as store:
        items = recording(1, 300)
        add_track(store, "a.flac", items, codec="flac", lossless=True, size=3000)
        add_track(store, "b.mp3", copied(items, 0.05), codec="mp3", size=1500)
        add_track(store, "live.mp3", copied(items, 0.3), codec="mp3")
        correlate(store, CompareSettings(), InlineRunner(), Silent())
        return find_groups(store, MatchSettings(), KeepSettings(), PlanSettings(let_go=("untested",)))


def invoke(folder: Path, *words: str, typed: str = "") -> Result:
    return CliRunner().invoke(cli.cli, [words[0], "--store", str(folder), *words[1:]], input=typed)


def records(result: Result) -> list[dict[str, Any]]:
    return [json.loads(line) for line in result.stdout.splitlines()]


def outcome(result: Result) -> tuple[int, str, str]:
    return result.exit_code, result.stdout, result.stderr


SCANNED = Scan(
    discovered=4,
    unchanged=1,
    fingerprinted=1,
    skipped=1,
    failed=1,
    ignored=1,
    problems=[
        Problem("failed", b"/m/x.mp3", "no audio"),
        Problem("skipped", b"/m/y.mp3", "too short"),
        Problem("ignored", b"/m/z.jpg", "jpg"),
    ],
    seconds={"discover": 1.26, "fingerprint": 61.0},
)
SCAN_PROBLEMS = "failed: /m/x.mp3: no audio\nskipped: /m/y.mp3: too short\nignored: /m/z.jpg: jpg\n"
SCAN_TEXT = (
    "files   4 discovered = 1 unchanged + 1 fingerprinted + 0 identical + 1 skipped + 1 failed\n"
    "        1 not audio by their names\n"
)
COUNTS = {"discovered": 4, "unchanged": 1, "fingerprinted": 1, "identical": 0, "skipped": 1, "failed": 1, "left": 0}
COUNTS |= {
    "ignored": 1,
    "unlisted": 0,
    "known_problems": 0,
    "known_failures": 0,
    "damaged": 0,
    "moved": 0,
    "changed": 0,
    "absent": 0,
    "newly_absent": 0,
    "returned": 0,
    "renewed": 0,
    "at_other_pitches": 0,
}
SCAN_RECORD = COUNTS | {"forgotten": 0, "new": 1, "seconds": {"discover": 1.26, "fingerprint": 61.0}}


# ---- scan, correlate, compact ----


def test_scan(folder: Path, replaced: Replaced) -> None:
    call = replaced("dedup.scan.scan.scan", SCANNED)
    told = outcome(invoke(folder, "scan", "/m", "/n", "--workers", "0", *SCAN))
    assert told == (EXIT_SOME_FAILED, SCAN_PROBLEMS + SCAN_TEXT, "")
    assert call.positional == [folder, (b"/m", b"/n")]
    assert not call.keywords.pop("may_forget")(b"/m", 51), "nobody sits at a terminal"
    assert call.keywords == {"settings": SCAN_SETTINGS, "runner": "InlineRunner", "observer": "Progress"}
    programs = invoke(folder, "scan", "/m", "--workers", "0", "--json")
    assert records(programs) == [
        {"event": "failed", "path": "/m/x.mp3", "reason": "no audio"},
        {"event": "skipped", "path": "/m/y.mp3", "reason": "too short"},
        {"event": "ignored", "path": "/m/z.jpg", "reason": "jpg"},
        {"event": "scan", **SCAN_RECORD},
    ]
    assert programs.stderr == SCAN_PROBLEMS + SCAN_TEXT


def test_correlate(folder: Path, replaced: Replaced) -> None:
    call = replaced("dedup.correlation.correlate.correlate", Correlation(5, 1, 2, 1, 1, 1234))
    text = "tiles   5 = 1 reused + 2 computed + 1 failed + 1 left for the next run (1,234 pairs compared)\n"
    told = outcome(invoke(folder, "correlate", "--workers", "0", *COMPARE))
    assert told == (EXIT_SOME_FAILED, text, "")
    assert call.positional == [folder]
    assert call.keywords == {"settings": COMPARE_SETTINGS, "runner": "InlineRunner", "observer": "Progress"}
    programs = invoke(folder, "correlate", "--workers", "0", "--json")
    counts = {"n_tiles": 5, "n_reused": 1, "n_computed": 2, "n_failed": 1, "n_left": 1, "n_pairs_compared": 1234}
    assert records(programs) == [{"event": "correlate", **counts, "computing_s": 0.0}]
    assert programs.stderr == text


def test_compact(folder: Path, replaced: Replaced) -> None:
    done = Compaction(9, 3, merged=8, dropped=1, left=2)
    call = replaced("dedup.upkeep.compact.compact_store", Compacted(done, 2_000_000, None))
    left = "        2 blocks not merged, since finished comparisons would be lost: "
    left += "run `reprise correlate` to the end first\n"
    told = outcome(invoke(folder, "compact", "--dry-run"))
    assert told == (EXIT_DONE, "compact 9 blocks would become 3, 1 retired fingerprint would go\n" + left, "")
    assert call.keywords.pop("open_store").func is stores.for_reading
    assert call.keywords == {"folder": folder, "observer": "Progress", "stop": "Stop", "dry_run": True}
    call = replaced("dedup.upkeep.compact.compact_store", Compacted(done, 2_000_000, 1_000_000))
    text = "compact 9 blocks became 3, 1 retired fingerprint dropped\nstore   2 MB → 1 MB\n"
    assert outcome(invoke(folder, "compact")) == (EXIT_DONE, text + left, "")
    assert call.keywords.pop("open_store").func is stores.for_writing
    assert call.keywords == {"folder": folder, "observer": "Progress", "stop": "Stop", "dry_run": False}
    counts = {"blocks_before": 9, "blocks_after": 3, "merged": 8, "dropped": 1, "tiles_carried": 0, "left": 2}
    counts |= {"kept_for_now": 0, "bytes_before": 2_000_000, "bytes_after": 1_000_000}
    assert records(invoke(folder, "compact", "--json")) == [{"event": "compact", "dry_run": False, **counts}]


# ---- the main job ----


def finished(found: Found, scanned: Scan = SCANNED) -> Full:
    return Full(
        scanned,
        {"discover": 1.26, "compact": 2.0},
        Correlation(1, 0, 1, 0, 0, 3),
        found,
        Counter({"same recording": 1, "related": 1}),
        News(1, 1),
        Compaction(2, 1, merged=2),
        complete=True,
    )


def concluding(*steps: Full) -> Callable[[dict[str, Any]], None]:
    """Tells the one who called how far it came, as the main job does."""

    def act(keywords: dict[str, Any]) -> None:
        for step in steps:
            keywords["conclude"](step)

    return act


FULL_TEXT = (
    SCAN_TEXT + "tiles   1 = 0 reused + 1 computed (3 pairs compared)\n"
    "pairs   1 of files that match, 1 related\n"
    "groups  1, with 1 file besides the best copies; 1.5 kB reclaimable\n"
    "compact 2 blocks became 1, 0 retired fingerprints dropped\n"
    "time    discover 1.3 s, compact 2.0 s\n"
)


def test_full(folder: Path, replaced: Replaced, found: Found) -> None:
    done = finished(found)
    call = replaced("dedup.pipeline.full", done, concluding(done))
    result = invoke(folder, "full", "/m", "--workers", "0", *SCAN, *COMPARE, *MATCH, *KEEP)
    assert (result.exit_code, result.stderr) == (EXIT_SOME_FAILED, "")
    assert result.stdout.startswith("Paths are below /music/\n\n1.5 kB reclaimable, 2 files\n")
    assert re.findall(r"^(best|    )  (\S+)$", result.stdout, re.M) == [("best", "a.flac"), ("    ", "b.mp3")]
    assert result.stdout.endswith("the steps alike)\n\n" + SCAN_PROBLEMS + FULL_TEXT)
    assert call.positional == [folder, (b"/m",)]
    assert callable(call.keywords.pop("conclude"))
    assert not call.keywords.pop("may_forget")(b"/m", 51), "nobody sits at a terminal"
    assert call.keywords.pop("place").folder.name == "matches"
    assert call.keywords == {
        "scan": SCAN_SETTINGS,
        "compare": COMPARE_SETTINGS,
        "match": MATCH_SETTINGS,
        "keep": KEEP_SETTINGS,
        "cleanup": PlanSettings(),
        "strict": False,
        "runner": "InlineRunner",
        "observer": "Progress",
    }


def test_full_for_programs(folder: Path, replaced: Replaced, found: Found) -> None:
    done = finished(found)
    replaced("dedup.pipeline.full", done, concluding(done))
    result = invoke(folder, "full", "/m", "--workers", "0", "--json")
    assert result.exit_code == EXIT_SOME_FAILED
    group, *problems, summary = records(result)
    assert group == {"event": "group", **group_record(found.groups[0])}
    assert [record["event"] for record in problems] == ["failed", "skipped", "ignored"]
    expected = {
        "event": "summary",
        **SCAN_RECORD,
        "found": {"copies": 1, "groups": 1},
        "unfinished": "",
        "pairs": 1,
        "pairs_beside": {**dict.fromkeys(BESIDE, 0), "related": 1},
        "groups": 1,
        "bytes_reclaimable": 1500,
        "bytes_unheard": 0,
        "seconds": {"discover": 1.26, "compact": 2.0},
        "plan": None,
    }
    assert {name: summary[name] for name in expected} == expected
    assert summary.keys() - expected.keys() == {"tiles", "compact", "heard_again", "null_tests"}
    assert (summary["tiles"]["n_tiles"], summary["compact"]["merged"]) == (1, 2)
    assert result.stderr.endswith(FULL_TEXT)


def test_full_that_was_stopped_says_what_is_left(folder: Path, replaced: Replaced) -> None:
    done = Full(Scan(discovered=3, fingerprinted=1, left=2), {"discover": 1.0}, stopped=True)
    replaced("dedup.pipeline.full", done, concluding(done))
    result = invoke(folder, "full", "/m", "--workers", "0", "--max-hours", "1e-9")
    assert result.exit_code == EXIT_TIME_UP
    assert result.stdout == (
        "files   3 discovered = 0 unchanged + 1 fingerprinted + 0 identical + 0 skipped + 0 failed"
        " + 2 left for the next run\ntime    discover 1.0 s\n"
    )
    assert result.stderr.splitlines()[-1] == (
        "reprise: time is up: it ran for 1e-09 h; 2 files not looked at yet; "
        "what was done is kept: run the same command again to go on from there"
    )


@pytest.mark.parametrize(
    ("n_left", "uncompared", "text"),
    [
        (1, None, "1 file not looked at yet"),
        (0, Unfinished(3, 2, 0), "2 of 3 tiles are not computed yet"),
        (2, Unfinished(0, 0, 4), "2 files not looked at yet and 4 new fingerprints are not compared yet"),
        (0, None, "the last steps are left"),
    ],
)
def test_programs_get_what_a_stop_left_in_the_same_words(
    folder: Path, replaced: Replaced, n_left: int, uncompared: Unfinished | None, text: str
) -> None:
    done = Full(Scan(discovered=n_left, left=n_left), {}, stopped=True, uncompared=uncompared)
    replaced("dedup.pipeline.full", done, concluding(done))
    result = invoke(folder, "full", "/m", "--workers", "0", "--json")
    (summary,) = records(result)
    assert summary["unfinished"] == text
    (recorded,) = records(invoke(folder, "runs", "--json"))
    assert recorded["summary"]["unfinished"] == text


def test_full_reports_what_it_found_before_what_went_wrong(folder: Path, replaced: Replaced, found: Found) -> None:
    """Property: what breaks the housekeeping takes nothing from the summary, and is how the run ends."""
    done = finished(found, Scan(discovered=1, unchanged=1))

    def act(keywords: dict[str, Any]) -> None:
        keywords["conclude"](done)
        raise OSError(28, "No space left on device")

    replaced("dedup.pipeline.full", None, act)
    result = invoke(folder, "full", "/m", "--workers", "0", "--json")
    assert [record["event"] for record in records(result)] == ["group", "summary", "error"]
    assert result.exit_code == records(result)[-1]["exit_code"] == 14
    (recorded,) = records(invoke(folder, "runs", "--json"))
    assert (recorded["outcome"], recorded["exit_code"], recorded["found"]) == ("failed", 14, 1)


def test_full_that_fails_before_it_found_anything_has_nothing_to_show(folder: Path, replaced: Replaced) -> None:
    def act(_: dict[str, Any]) -> None:
        raise OSError(28, "No space left on device")

    replaced("dedup.pipeline.full", None, act)
    result = invoke(folder, "full", "/m", "--workers", "0")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (14, "", 1)


def test_full_with_nothing_to_do(folder: Path, replaced: Replaced) -> None:
    done = Full(Scan(), {}, Correlation(0, 0, 0, 0, 0, 0), idle=True)
    replaced("dedup.pipeline.full", done, concluding(done))
    assert invoke(folder, "full", "/m", "--workers", "0", "-q").exit_code == EXIT_NOTHING_TO_DO


def test_demo(tmp_path: Path, replaced: Replaced, found: Found) -> None:
    root = tmp_path / "demo" / "library"
    files = (DemoFile("a.flac", "a", "original"), DemoFile("b.mp3", "a", "mp3"))
    writing = replaced(
        "dedup.synthesis.library.write_demo_library",
        DemoLibrary(root, files),
        lambda _: root.mkdir(parents=True, exist_ok=True),
    )
    done = finished(found, Scan(discovered=2, fingerprinted=2))
    call = replaced("dedup.pipeline.full", done, concluding(done))
    result = CliRunner().invoke(cli.cli, ["demo", "--out", str(tmp_path / "demo"), "--seed", "7", "--workers", "0"])
    assert result.exit_code == EXIT_DONE
    place = tmp_path / "demo"
    assert result.stdout.splitlines()[-2:] == [
        "truth   0 of 1 planted pairs found, 3 false",
        f"kept    {place} (library and store; reprise report --store {place / 'store'})",
    ]
    assert writing.positional == [root, 7]
    assert call.positional == [place / "store", (bytes(root),)]
    programs = CliRunner().invoke(cli.cli, ["demo", "--workers", "0", "--json"])
    assert records(programs)[-1] == {"event": "truth", "pairs": 1, "found": 0, "false": 3}


# ---- report, export, import ----


def test_report(folder: Path, replaced: Replaced, found: Found) -> None:
    call = replaced("dedup.plan.weigh.find_groups", found)
    result = invoke(folder, "report", *MATCH, *KEEP)
    assert (result.exit_code, result.stderr) == (EXIT_DONE, "")
    assert result.stdout.startswith("Paths are below /music/\n\n1.5 kB reclaimable, 2 files\n")
    assert "\ngroups  1, with 1 file besides the best copies; 1.5 kB reclaimable\nlimits  " in result.stdout
    assert call.positional == [folder]
    asked = {"settings": PlanSettings(), "place": stores.place_of_matches()}
    assert call.keywords == {"match": MATCH_SETTINGS, "keep": KEEP_SETTINGS, **asked}
    for form in ("jsonl", "json"):
        told = invoke(folder, "report", "--format", form)
        expected = [group_record(found.groups[0])]
        assert (json.loads(told.stdout) if form == "json" else records(told)) == expected
        assert (told.exit_code, told.stderr) == (EXIT_DONE, "")
    assert call.keywords == {"match": MatchSettings(), "keep": KeepSettings(), **asked}


def test_report_with_spectra(folder: Path, replaced: Replaced, found: Found) -> None:
    replaced("dedup.plan.weigh.find_groups", found)
    call = replaced("dedup.library.spectrum.hints", {b"/music/a.flac": "spectrum ends at 16.0 kHz"})
    result = invoke(folder, "report", "--spectrum", "--json")
    (group,) = records(result)
    assert [file["spectrum_hint"] for file in (group["reference_track"], *group["members"])] == [
        "spectrum ends at 16.0 kHz",
        "",
    ]
    files, observer = call.positional
    assert [path for path, _ in files] == [b"/music/a.flac", b"/music/b.mp3"]
    assert isinstance(observer, Progress)


def test_report_that_asks(folder: Path, replaced: Replaced, found: Found) -> None:
    replaced("dedup.plan.weigh.find_groups", found)
    call = replaced("dedup.groups.groups.find_uncertain", found.matches.beside()[:1])
    result = invoke(folder, "report", "--ask", *MATCH, typed="q\n")
    assert (
        "asked   0 same, 0 different, 0 skipped, 1 left; `reprise report --ask` asks again about 1\n" in result.stdout
    )
    assert (call.positional, call.keywords) == ([folder], {"match": MATCH_SETTINGS})
    refused = invoke(folder, "report", "--ask", "--format", "csv")
    assert (refused.exit_code, refused.stdout, call.n_calls) == (EXIT_USAGE, "", 1)


def test_export(folder: Path, replaced: Replaced, found: Found) -> None:
    call = replaced("dedup.plan.weigh.find_groups", found)
    groups = invoke(folder, "export", "groups", *MATCH, *KEEP)
    assert records(groups) == [group_record(found.groups[0])]
    assert (call.positional, call.keywords) == (
        [folder],
        {
            "match": MATCH_SETTINGS,
            "keep": KEEP_SETTINGS,
            "settings": PlanSettings(),
            "place": stores.place_of_matches(),
        },
    )
    call = replaced("dedup.groups.matches.Matches", found.matches)
    pairs = invoke(folder, "export", "pairs", *MATCH)
    assert records(pairs) == list(map(pair_record, found.matches.pairs()))
    assert call.positional == [folder, MATCH_SETTINGS]
    call = replaced("dedup.report.export.export_tracks", iter([{"path": "/ä"}]))
    tracks = invoke(folder, "export", "tracks")
    assert tracks.stdout_bytes == '{"path": "/ä"}\n'.encode()
    assert call.positional == [folder]
    assert [(told.exit_code, told.stderr) for told in (groups, pairs, tracks)] == [(EXIT_DONE, "")] * 3


@pytest.mark.parametrize(
    ("missing", "text"),
    [
        (Unfinished(6000, 1234, 0), "1,234 of 6,000 tiles are not computed yet"),
        (Unfinished(3, 1, 2), "1 of 3 tiles are not computed yet and 2 new fingerprints are not compared yet"),
        (Unfinished(3, 0, 0), "the noise floor is not measured yet"),
    ],
)
def test_what_is_not_compared_yet_is_announced(
    folder: Path, replaced: Replaced, missing: Unfinished, text: str
) -> None:
    replaced("dedup.correlation.correlate.unfinished", missing)
    told = f"incomplete: {text}; run `reprise correlate` first\n"
    assert outcome(invoke(folder, "export", "pairs")) == (EXIT_DONE, "", told)
    assert invoke(folder, "report").stderr == told
    assert invoke(folder, "export", "tracks").stderr == ""


def test_import(folder: Path, tmp_path: Path, replaced: Replaced) -> None:
    call = replaced("dedup.scan.imported.import_fingerprints", Counts(lines=3, imported=2, rejected=1))
    (tmp_path / "in").write_text("{}\n")
    told = outcome(invoke(folder, "import", str(tmp_path / "in"), "--min-length", "20"))
    text = "lines   3 = 2 imported + 0 unchanged + 0 scanned + 0 skipped + 1 rejected\n"
    assert told == (EXIT_SOME_FAILED, text, "")
    store, lines = call.positional
    assert (store, lines.__name__) == (folder, "bounded_lines")
    assert call.keywords == {"min_length_s": 20.0, "observer": "Progress", "stop": "Stop"}
    counts = {"lines": 3, "imported": 2, "unchanged": 0, "scanned": 0, "skipped": 0, "rejected": 1}
    programs = invoke(folder, "import", str(tmp_path / "in"), "--json")
    assert records(programs) == [{"event": "import", **counts}]


# ---- what is asked of a store ----


GLANCE = {
    "tracks": {"absent": 1, "present": 1200},
    "problems": {},
    "fingerprints": 1000,
    "hours": 66.66,
    "blocks": 2,
    "tail": 3,
    "tiles": 3,
    "tiles_done": 2,
    "pairs": 10,
    "bytes": 1_500_000,
    "last_run": ("full", "2026-11-01T02:30:00Z", None, None),
    "fingerprint_settings": {"chromaprint": "1.5.1", "length_s": 0.0},
}


def test_info_of_a_store(folder: Path, replaced: Replaced) -> None:
    call = replaced("dedup.report.glance.glance", GLANCE)
    text = f"""\
store {folder}
  tracks               1 absent, 1,200 present
  without fingerprint  none
  fingerprints         1,000, 66.7 hours of audio
  blocks               2 of at most 512, 3 fingerprints not sealed yet
  tiles                2 of 3 done
  stored pairs         10
  last run             full, began {local_time("2026-11-01T02:30:00Z")}, has no end: it runs now or was killed
  on disk              1.5 MB
  made with            chromaprint 1.5.1, length_s 0.0
"""
    assert outcome(invoke(folder, "info")) == (EXIT_DONE, text, "")
    assert (call.positional, call.keywords) == ([folder], {})
    (told,) = records(invoke(folder, "info", "--json"))
    last_run = list(GLANCE["last_run"])
    assert told == {"event": "store", "store": str(folder), **GLANCE, "last_run": last_run}


def test_info_of_a_file(folder: Path, replaced: Replaced, found: Found) -> None:
    (pair,) = found.groups[0].members
    properties = json.dumps({"codec": "mp3", "bits": None, "tags": {"title": ["a", "b"]}})
    track = Track(
        1, b"/music/b.mp3", b"/music", b"/", 1500, 1, 1, 1, "present", None, None, 1, None, None, None, properties
    )
    call = replaced("dedup.report.glance.look_up", KnownFile(track, [pair]))
    match = pair.match
    text = f"""\
/music/b.mp3
  state                present
  size                 1,500 bytes
  codec                mp3
  tag title            a · b
  matches              1
    same recording: /music/a.flac (score {match.score:.3f}, agreement {match.agreement:.3f}, lag +0.00 s)
"""
    assert outcome(invoke(folder, "info", "b.mp3", *MATCH)) == (EXIT_DONE, text, "")
    assert (call.positional, call.keywords) == ([folder, b"b.mp3"], {"match": MATCH_SETTINGS})
    (told,) = records(invoke(folder, "info", "b.mp3", "--json"))
    assert (told["event"], told["path"], told["matches"]) == ("file", "/music/b.mp3", [pair_record(pair)])


def test_identify(folder: Path, replaced: Replaced) -> None:
    result = Identify(n_silent=2, n_left=1)
    called = replaced("dedup.lookup.identify.identify", result)
    words = ("--limit", "7", "--again", "--ask-again-days", "3", "--acoustid-key-file", "/key", "/music/a", "/music/b")
    done = invoke(folder, "identify", *words)
    way = called.keywords.pop("way")
    assert called.keywords.pop("tell").func is show
    assert called.keywords == {
        "store": "Store",
        "paths": (b"/music/a", b"/music/b"),
        "observer": "Progress",
        "stop": "Stop",
        "limit": 7,
        "anew": True,
    }
    assert way.settings == LookupSettings(acoustid_key_file=b"/key", ask_again_days=3.0)
    assert way.folder == stores.place_of_rates()
    assert outcome(done) == (
        EXIT_NOTHING_TO_DO,
        "0 of 0 files identified, 2 with too little sound; asked about 0 recordings. No tag was written\n",
        "",
    )
    assert "no such option" in invoke(folder, "identify", "--acoustid-key", "k3y").stderr.lower()


def test_check(folder: Path, replaced: Replaced) -> None:
    call = replaced("dedup.upkeep.check.check_store", Checked(()))
    assert outcome(invoke(folder, "check")) == (EXIT_DONE, "the store is sound\n", "")
    assert call.keywords.pop("open_store").func is stores.for_reading
    asked = {"folder": folder, "purpose": "reprise check --repair", "observer": "Progress"}
    assert (call.positional, call.keywords) == ([], {**asked, "repair": False})
    findings = (Finding("tile", "t", "a bit was flipped"), Finding("note", "n", "a rest"))
    replaced("dedup.upkeep.check.check_store", Checked(findings))
    lines = "tile t: a bit was flipped\nnote n: a rest\n"
    remedy = "run `reprise check --repair` to drop what is damaged; the next run redoes only that"
    told = outcome(invoke(folder, "check"))
    assert told == (StoreDamagedError.exit_code, f"{lines}1 thing damaged; {remedy}\n", "")
    assert records(invoke(folder, "check", "--json")) == [
        {"event": "tile", "name": "t", "text": "a bit was flipped"},
        {"event": "note", "name": "n", "text": "a rest"},
        {"event": "check", "damaged": 1, "notes": 1},
    ]
    call = replaced("dedup.upkeep.check.check_store", Checked(findings, n_dropped=1))
    told = outcome(invoke(folder, "check", "--repair"))
    assert told == (EXIT_DONE, f"{lines}1 dropped; run `reprise full` to redo what they held\n", "")
    assert call.keywords.pop("open_store").func is stores.for_writing
    assert call.keywords == {**asked, "repair": True}


def test_check_that_mends_the_catalog(folder: Path, replaced: Replaced) -> None:
    damage = CatalogDamagedError("catalog c", "a page is rotten")
    rows = {"track": 2, "fingerprint": 1, "tile": 0, "judgement": 0}
    mended = Mended(damage, (Finding("catalog", "catalog.db", "rotten"),), rows, was_there=True)
    replaced("dedup.upkeep.check.check_store", Checked((), mended=mended))
    text = """\
catalog catalog.db: rotten
catalog c: a page is rotten
made a new catalog from everything that could be read: 2 tracks, 1 fingerprint, 0 tiles, 0 judgements; \
the damaged one is kept as catalog.db.damaged
the store is sound
"""
    assert outcome(invoke(folder, "check", "--repair")) == (EXIT_DONE, text, "")
    assert records(invoke(folder, "check", "--repair", "--json")) == [
        {"event": "catalog", "name": "catalog.db", "text": "rotten"},
        {"event": "check", "damaged": 1, "notes": 0},
        {"event": "salvaged", **rows},
        {"event": "check", "damaged": 0, "notes": 0},
    ]
    replaced("dedup.upkeep.check.check_store", Checked((), mended=replace(mended, to_name_again=("name a", "name b"))))
    told = "the damaged one is kept as catalog.db.damaged; if you had done so before, name a and name b again\n"
    assert told in invoke(folder, "check", "--repair").stdout
    lost = Mended(damage, None, dict.fromkeys(rows, 0), was_there=False)
    replaced("dedup.upkeep.check.check_store", Checked((), mended=lost))
    text = """\
catalog c: a page is rotten
made a new catalog from everything that could be read: 0 tracks, 0 fingerprints, 0 tiles, 0 judgements; \
`reprise full` reads all files again, but your judgements of pairs are lost
the store is sound
"""
    assert outcome(invoke(folder, "check", "--repair")) == (EXIT_DONE, text, "")


def test_check_tells_what_it_knows_before_what_went_wrong(folder: Path, replaced: Replaced) -> None:
    full_disk = OSError(28, "No space left on device")
    replaced("dedup.upkeep.check.check_store", Checked((Finding("tile", "t", "flipped"),), trouble=full_disk))
    result = invoke(folder, "check", "--repair")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (14, "tile t: flipped\n", 1)
    mended = Mended(CatalogDamagedError("catalog c", "rotten"), None, None, was_there=True)
    replaced("dedup.upkeep.check.check_store", Checked(None, mended=mended, trouble=full_disk))
    result = invoke(folder, "check", "--repair")
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (14, "catalog c: rotten\n", 1)


def test_runs(folder: Path, replaced: Replaced) -> None:
    record = {"event": "run", "command": "full", "started": "long ago", "took_s": 61.0, "new": 1200, "why": "done"}
    call = replaced("dedup.report.runs.run_records", [record])
    text = "long ago  full  1 min 01 s  1,200 new  done\n"
    assert outcome(invoke(folder, "runs", "--limit", "3")) == (EXIT_DONE, text, "")
    assert (call.positional, call.keywords) == ([folder], {"limit": 3})
    assert records(invoke(folder, "runs", "--json")) == [record]
    replaced("dedup.report.runs.run_records", [])
    assert outcome(invoke(folder, "runs")) == (EXIT_DONE, "no run yet\n", "")


@pytest.fixture
def explained() -> Iterator[Explanation]:
    """Two files that overlap too little."""
    items = np.zeros(97, np.uint32)
    a = Listened(b"/a.mp3", items, None, b"a", None, from_store=True, pitches=None)
    b = Listened(b"/b.mp3", items, None, b"b", "cut short", from_store=False, pitches=None)
    yield Explanation(a, b, None, "other", (Criterion("overlap, items", 97, 120),), None, judged=False)


def test_pair(folder: Path, replaced: Replaced, explained: Explanation) -> None:
    call = replaced("dedup.groups.explain.explain", explained)
    text = """\
a: /a.mp3 (12.0 s of items, from the store)
b: /b.mp3 (12.0 s of items, decoded now, damaged: cut short)
the two do not overlap enough at any lag
why             value  needed
overlap, items     97     120  NOT met
verdict: other
"""
    told = outcome(invoke(folder, "pair", "/a.mp3", "/b.mp3", *COMPARE, *MATCH))
    assert told == (EXIT_DONE, text, "")
    assert call.positional == [b"/a.mp3", b"/b.mp3"]
    assert call.keywords.pop("fingerprint") == FingerprintSettings()
    assert call.keywords.pop("time_limit_s") == ScanSettings().time_limit_s
    assert call.keywords.pop("is_apart")
    assert call.keywords == {"store": "Store", "compare": COMPARE_SETTINGS, "match": MATCH_SETTINGS}
    (record,) = records(invoke(folder, "pair", "/a.mp3", "/b.mp3", "--json"))
    assert record == {
        "a": "/a.mp3",
        "b": "/b.mp3",
        "false_match": None,
        "steps": [],
        "verdict": "other",
        "judged": False,
        "criteria": [{"name": "overlap, items", "value": 97, "threshold": 120, "at_most": False, "met": False}],
        "null_test": None,
    }
    invoke(folder.parent / "none", "pair", "/a.mp3", "/b.mp3", "--length", "60")
    assert call.keywords["store"] is None
    assert call.keywords["fingerprint"].length_s == 60


# ---- cluster keys ----


def test_cluster_keys(replaced: Replaced, tmp_path: Path) -> None:
    call = replaced("cluster.keys.make_keys", [tmp_path / "nas"])
    told = outcome(CliRunner().invoke(cli.cli, ["cluster", "keys", str(tmp_path), "nas", "tower"]))
    lines = f"nas: {tmp_path}/nas\ntower: {tmp_path}/tower (kept as it was)\n"
    assert told == (EXIT_DONE, lines, "")
    assert (call.n_calls, call.positional, call.keywords) == (1, [tmp_path, ("nas", "tower")], {})
    written = CliRunner().invoke(cli.cli, ["cluster", "keys", str(tmp_path), "nas", "tower", "--json"])
    assert [(record["host"], record["made"]) for record in records(written)] == [("nas", True), ("tower", False)]
