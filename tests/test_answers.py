"""A report that was shown is shown again at once, as long as nothing that it depends on has changed, and only then."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path

import platformdirs
import pytest
from click.testing import CliRunner

from dedup.correlation.correlate import correlate
from dedup.errors import EXIT_DONE
from dedup.groups.judgements import find, record
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.plan import weigh
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.comparisons import Comparison
from dedup.store.digests import COLUMNS
from dedup.store.nulltests import NullTest
from dedup.store.protection import add_protection
from dedup.store.store import Store, open_for_reading, open_for_writing
from jobs import cli
from tests.stores import add_track, copied, open_store, recording


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two copies of a sound, one with other bits, and a sound that a person called different."""
    with open_store(tmp_path / "store") as store:
        items = recording(1, 300)
        for name, sound in (("a", items), ("b", copied(items, 0.02)), ("c", recording(2, 300)), ("d", items)):
            add_track(store, name, sound, size=1000 + ord(name))
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        say(store, "a", "c")
    return tmp_path / "store"


def say(store: Store, one: str, other: str, same: bool = False) -> None:
    a, b = (find(store, f"/music/{name}".encode()).content for name in (one, other))
    record(store, a, b, same, None)


@pytest.fixture
def found(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Gets an entry whenever groups are looked for."""
    told: list[int] = []
    find_groups = weigh.find_groups

    def counted(*arguments: object, **keywords: object) -> object:
        told.append(1)
        return find_groups(*arguments, **keywords)  # type: ignore[arg-type]

    monkeypatch.setattr(weigh, "find_groups", counted)
    return told


def report(folder: Path, *words: str) -> str:
    result = CliRunner().invoke(cli.cli, ["report", "--store", str(folder), *words])
    assert result.exit_code == EXIT_DONE, result.stderr
    return result.stdout


def answers() -> list[Path]:
    return sorted((platformdirs.user_cache_path("reprise") / "answers").iterdir())


@pytest.mark.parametrize("form", ["table", "json", "jsonl", "csv", "html"])
def test_the_same_report_is_looked_for_once(folder: Path, found: list[int], form: str) -> None:
    first = report(folder, "--limit", "3", "--format", form)
    assert first and report(folder, "--limit", "3", "--format", form) == first
    assert len(found) == 1


@pytest.mark.parametrize("words", [["--limit", "2"], ["--limit", "3", "--min-score", "0.9"], ["--limit", "3", "-q"]])
def test_another_question_has_another_answer(folder: Path, found: list[int], words: list[str]) -> None:
    report(folder, "--limit", "3")
    report(folder, *words)
    assert len(found) == 2


NOISE = {"common": 0.2, "decade": 0.1, "n_pairs": 400, "agreement": []}
CHANGES: dict[str, Callable[[Store], None]] = {
    "a judgement": lambda store: say(store, "a", "b"),
    "another one of the same pair": lambda store: say(store, "a", "c", same=True),
    "a file that is gone": lambda store: store.catalog.tracks.set_state([b"/music/b"], "absent"),
    "other tags": lambda store: store.catalog.tracks.set_properties([(b"/music/b", '{"tags": {"title": ["x"]}}')]),
    "a full hash": lambda store: store.catalog.tracks.set_full(b"/music/b", b"f" * 16),
    "a new file": lambda store: add_track(store, "e", recording(1, 300)),
    "a track that is forgotten": lambda store: store.catalog.tracks.forget([b"/music/b"]),
    "a protected folder": lambda store: add_protection(store, [b"/music"]),
    "the noise": lambda store: store.catalog.meta.set("noise", NOISE),
    "a null test": lambda store: store.catalog.nulltests.put(null_tests_of(store)),
    "no results": lambda store: store.catalog.results.clear(),
}


def null_tests_of(store: Store) -> list[tuple[bytes, bytes, NullTest]]:
    pairs = Matches(store, MatchSettings()).pairs()
    return [(pair.a.content, pair.b.content, NullTest(residual_db=-50.0)) for pair in pairs]


@pytest.mark.parametrize("change", CHANGES)
def test_a_store_that_changed_is_asked_again(folder: Path, found: list[int], change: str) -> None:
    report(folder, "--limit", "3")
    with open_for_writing(folder, "test") as store:
        CHANGES[change](store)
    now = report(folder, "--limit", "3")
    assert len(found) == 2
    for path in answers():
        path.unlink()
    assert report(folder, "--limit", "3") == now


def test_what_waits_beside_the_catalog_counts(folder: Path, found: list[int]) -> None:
    first = report(folder, "--limit", "3")
    with open_for_writing(folder, "test"), open_for_reading(folder) as reader:
        say(reader, "a", "b")
        assert report(folder, "--limit", "3") != first
    assert len(found) == 2


def test_the_state_covers_every_table_that_results_come_from(folder: Path) -> None:
    """Each row of each table with digests, one after the other; only runs, what a scan found before, what services
    answered, and fingerprints at other pitches, of which tiles have the results, decide none."""
    with open_for_writing(folder, "test") as store:
        store.catalog.nulltests.put([(b"1" * 16, b"2" * 16, NullTest("too short"))])
        store.catalog.comparisons.put("settings", [Comparison(b"1" * 16, b"2" * 16, b"")])
        unchanged = store.catalog.state()
        covered = set()
        for table in store.catalog.sealed_tables:
            for row in list(table.read_rows()):
                key = row[: table.keys]
                table.unseal([key])
                if store.catalog.state() != unchanged:
                    covered.add(table.name)
                table.put_rows([row], "INSERT OR REPLACE")
        assert store.catalog.state() == unchanged
    assert covered == COLUMNS.keys() - {"run", "probe", "pitches", "lookup", "naming", "measurement", "backed_up"}


def test_a_run_that_changed_nothing_changes_no_state(folder: Path) -> None:
    with open_for_reading(folder) as store:
        before = store.catalog.state()
    with open_for_writing(folder, "test") as store:
        store.catalog.runs.begin("1", "scan", "2026-01-01T00:00:00Z")
        assert store.catalog.state() == before


def test_nothing_is_kept_of_a_store_that_changes_meanwhile(
    folder: Path, found: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    find_groups = weigh.find_groups

    def disturbed(*arguments: object, **keywords: object) -> object:
        result = find_groups(*arguments, **keywords)  # type: ignore[arg-type]
        with open_for_writing(folder, "test") as store:
            say(store, "a", "b")
        return result

    with monkeypatch.context() as patched:
        patched.setattr(weigh, "find_groups", disturbed)
        report(folder, "--limit", "3")
    assert "groups  1, with 1 file" in report(folder, "--limit", "3")
    assert len(found) == 2


def test_a_damaged_answer_is_none(folder: Path, found: list[int]) -> None:
    first = report(folder, "--limit", "3")
    (path,) = answers()
    assert path.stat().st_mode & 0o077 == 0 and path.parent.stat().st_mode & 0o077 == 0
    sound = path.read_bytes()
    for at in range(0, len(sound), 37):
        path.write_bytes(sound[:at] + bytes([sound[at] ^ 1]) + sound[at + 1 :])
        assert report(folder, "--limit", "3") == first
    assert len(found) == 1 + len(range(0, len(sound), 37))


def test_no_place_for_answers_is_no_error(folder: Path, found: list[int]) -> None:
    place = platformdirs.user_cache_path("reprise")
    place.parent.mkdir(parents=True)
    place.write_text("not a folder")
    assert report(folder, "--limit", "3") == report(folder, "--limit", "3")
    assert len(found) == 2


def test_the_last_answers_are_kept(folder: Path) -> None:
    for limit in range(1, 20):
        report(folder, "--limit", str(limit))
    assert len(answers()) == 16
    assert all(os.path.getsize(path) > 16 for path in answers())
