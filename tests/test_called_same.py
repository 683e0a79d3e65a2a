"""What a person called the same is compared once, whoever asks, and gives the numbers that comparing gives."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from dedup.correlation.compare import compare_two
from dedup.correlation.correlate import correlate, last_compare_settings
from dedup.errors import StoreDamagedError
from dedup.groups import called_same
from dedup.groups.called_same import remember, remember_in
from dedup.groups.judgements import content, find, forget, record
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.runner import InlineRunner, Stop
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.store import Store, open_for_reading
from dedup.upkeep.check import check, repair
from tests import stores

ITEMS = {name: stores.recording(seed, n) for seed, (name, n) in enumerate((("a", 300), ("b", 200), ("short", 20)))}
"""No two have anything in common, and the last is too short to be compared."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store in which a person called each the same as "a"."""
    with stores.open_store(tmp_path) as store:
        for name, items in ITEMS.items():
            stores.add_track(store, name, items)
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        for name in ("b", "short"):
            one, other = find(store, b"/music/a"), find(store, f"/music/{name}".encode())
            record(store, one.content, other.content, True, None)
    return tmp_path


def numbers(store: Store) -> list[tuple[object, ...]]:
    return [(pair.b.path, pair.verdict, pair.match) for pair in Matches(store, MatchSettings()).pairs()]


def compared(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """A list that gets an entry for each comparison from now on."""
    told: list[int] = []

    def counted(*arguments: object) -> object:
        told.append(1)
        return compare_two(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(called_same, "compare_two", counted)
    return told


def test_a_pair_is_compared_once_and_has_the_same_numbers_from_then_on(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = compared(monkeypatch)
    with open_for_reading(folder) as store:
        before = numbers(store)
        assert len(told) == 2
        expected = compare_two(ITEMS["a"], ITEMS["b"], last_compare_settings(store))
    assert [(path, verdict) for path, verdict, _ in before] == [
        (b"/music/b", "same recording"),
        (b"/music/short", "same recording"),
    ]
    assert before[0][2] == expected
    remember_in(folder, Silent(), "test")
    assert len(told) == 4, "readers write nothing"
    with open_for_reading(folder) as store:
        assert numbers(store) == before
    remember_in(folder, Silent(), "test")
    assert len(told) == 4
    with stores.open_store(folder) as store:
        assert numbers(store) == before


def test_nothing_is_remembered_of_what_was_called_different(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    told = compared(monkeypatch)
    with stores.open_store(tmp_path) as store:
        for name in ("a", "b"):
            stores.add_track(store, name, ITEMS[name])
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        one, other = find(store, b"/music/a"), find(store, b"/music/b")
        record(store, one.content, other.content, False, None)
        remember(store, Silent(), Stop())
        assert numbers(store) == []
    assert told == []


def test_while_another_run_holds_the_store_everybody_compares_for_himself(folder: Path) -> None:
    with stores.open_store(folder) as store:
        remember_in(folder, Silent(), "test")
        assert list(store.catalog.comparisons.all(CompareSettings(varispeed=False).digest())) == []
        assert len(numbers(store)) == 2


def test_other_settings_give_other_numbers(folder: Path) -> None:
    remember_in(folder, Silent(), "test")
    other = CompareSettings(varispeed=False, min_overlap_items=250)
    with stores.open_store(folder) as store:
        correlate(store, other, InlineRunner(), Silent())
        matches = {path: match for path, _, match in numbers(store)}
        assert matches[b"/music/b"].evidence == 0, "too short for these settings"  # type: ignore[attr-defined]


def test_a_damaged_comparison_is_told_and_made_again(folder: Path) -> None:
    remember_in(folder, Silent(), "test")
    with stores.open_store(folder) as store:
        before = numbers(store)
        store.catalog.connection.execute("UPDATE comparison SET pair = zeroblob(209) WHERE length(pair) > 0")
        with pytest.raises(StoreDamagedError, match="comparison"):
            numbers(store)
        findings = [finding for finding in check(store, Silent()) if finding.is_damage]
        assert [finding.kind for finding in findings] == ["comparison"]
        repair(store, findings)
        remember(store, Silent(), Stop())
        assert numbers(store) == before


def test_what_is_missing_is_known_without_looking(tmp_path: Path) -> None:
    """Property: SQL finds that a comparison is missing whenever there is one to be made; an audio may have a stream, a
    fingerprint several audios, and a content no track."""
    chance = random.Random(1)
    with stores.open_store(tmp_path) as store:
        for number in range(12):
            items = stores.recording(number // 2, 100)
            stream = None if number % 3 else bytes([number % 5 + 1]) * 16
            audio = stores.add_audio(store, items, stream=stream)
            if number != 7:
                stores.add_track(store, str(number), audio)
        compare = last_compare_settings(store)
        contents = [content_of(store, audio) for audio in range(1, 13)]
        seen = set()
        for _ in range(40):
            one, other = chance.choices(contents, k=2)
            if chance.random() < 0.2:
                forget(store, one, other)
            elif one != other:
                record(store, one, other, chance.random() < 0.7, None)
            missing = called_same._missing(store, compare)
            assert store.catalog.comparisons.lacks_any(compare.digest()) == bool(missing)
            seen.add(bool(missing))
            if chance.random() < 0.5:
                remember(store, Silent(), Stop())
        assert seen == {True, False}


def content_of(store: Store, audio: int) -> bytes:
    stream, digest, _ = store.catalog.audios.hallmark(audio)
    return content(stream, digest)
