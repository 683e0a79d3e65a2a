"""Fingerprints at other pitches: made with the plain ones, kept with them, made later for a store that lacks them."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dedup.correlation.correlate import correlate, unfinished
from dedup.correlation.match import match_at
from dedup.errors import StoreDamagedError
from dedup.fingerprint.chromaprint import Fingerprinter
from dedup.fingerprint.decode import decode_audible
from dedup.fingerprint.pitches import HIGHER, LOWER, PITCHES
from dedup.observer import Silent
from dedup.runner import InlineRunner, Stop
from dedup.scan.scan import Scan, scan
from dedup.settings import CompareSettings, FingerprintSettings, ScanSettings
from dedup.store.items import Items
from dedup.store.pitches import N_PITCHES, PITCHES_VERSION
from dedup.store.store import Store, make_or_open, open_for_writing
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import compose
from dedup.upkeep.check import check, repair
from dedup.upkeep.compact import compact
from dedup.upkeep.salvage import mend_catalog
from scripts.study.speeds import changed
from tests import stores

PLAIN, AGAIN = ScanSettings(), ScanSettings(again="pitch")
BOTH = CompareSettings(varispeed=True)
ONE, OTHER = BOTH.passes


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("pitches") / "library"
    folder.mkdir()
    song = compose(3, "one", 30.0)
    write(str(folder / "song.flac"), song, Encoding("flac"))
    write(str(folder / "faster.flac"), changed(song, "speed", 1.06), Encoding("flac"))
    write(str(folder / "other.flac"), compose(4, "two", 30.0), Encoding("flac"))
    return folder


@pytest.fixture
def folder(library: Path, tmp_path: Path) -> Path:
    """A store of it, compared."""
    with make_or_open(tmp_path / "store", FingerprintSettings(), 2, "test") as store:
        scanned(store, library)
        correlate(store, BOTH, InlineRunner(), Silent())
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with open_for_writing(folder, "test") as store:
        yield store


class Said(Silent):
    """What a person is told."""

    def __init__(self) -> None:
        self.messages: list[str] = []
        self.problems: list[str] = []

    def message(self, text: str) -> None:
        self.messages.append(text)

    def problem(self, kind: str, path: bytes, reason: str) -> None:
        self.problems.append(f"{kind} {os.fsdecode(os.path.basename(path))}: {reason}")


def scanned(store: Store, library: Path, settings: ScanSettings = PLAIN, said: Silent | None = None) -> Scan:
    return scan(store, [os.fsencode(library)], settings, InlineRunner(), said or Silent())


def rows(store: Store) -> dict[int, bytes]:
    query = "SELECT fingerprint, items FROM pitches WHERE version = ?"
    return dict(store.catalog.connection.execute(query, (PITCHES_VERSION,)))


def results(store: Store) -> list[tuple[str, bytes]]:
    return sorted(store.catalog.connection.execute("SELECT name, pairs FROM tile"))


def forget(store: Store, which: str = "1") -> None:
    with store.catalog.transaction():
        store.catalog.connection.execute(f"DELETE FROM pitches WHERE {which}")


# ---- made with the plain ones ----


def test_a_scan_makes_them_from_the_same_sound(store: Store) -> None:
    assert (PITCHES, N_PITCHES) == ((1.0, HIGHER, LOWER), 2)
    for track in store.catalog.tracks.all():
        audio = store.catalog.audios.get(track.audio)
        assert audio is not None
        found = store.catalog.pitches.get(audio.fingerprint)
        assert found is not None
        for number, pitch in enumerate((HIGHER, LOWER)):
            fingerprinter = Fingerprinter(FingerprintSettings(), (pitch,))
            decode_audible(track.path, 11_025, lambda: fingerprinter.feed, 0.0, 60.0)  # noqa: B023
            assert np.array_equal(found[number], fingerprinter.finish())
        assert len(found[0]) == store.catalog.fingerprints.n_items(audio.fingerprint)
    assert check(store, Silent()) == []
    assert store.catalog.pitches.lacking() == 0
    assert sum(store.catalog.pitches.per_block().values()) == 3


def score(store: Store) -> float:
    """Of the copy that plays 6 % faster."""
    (tile,) = store.catalog.results.with_pairs(OTHER.digest())
    return match_at(tile.pairs, 0).score


def test_a_copy_a_semitone_off_is_found_by_them_alone(store: Store) -> None:
    assert score(store) > 0.6
    forget(store)
    store.catalog.results.clear()
    said = Said()
    correlate(store, BOTH, InlineRunner(), said)
    assert store.catalog.results.count_pairs(OTHER.digest()) == 0
    assert [text for text in said.messages if "reprise full --again pitch" in text and text.startswith("3 tracks")]


# ---- made later ----


def test_what_lacks_them_is_at_other_pitches_when_it_is_asked_for(library: Path, store: Store) -> None:
    expected, compared = rows(store), results(store)
    forget(store, "fingerprint = 1")
    assert scanned(store, library).at_other_pitches == 0
    assert 1 not in rows(store)
    done = scanned(store, library, AGAIN)
    assert (done.at_other_pitches, done.fingerprinted, done.unchanged) == (1, 0, 3)
    assert rows(store) == expected
    assert unfinished(store) is not None, "what was compared without them is compared again"
    again = correlate(store, BOTH, InlineRunner(), Silent())
    assert 0 < again.n_computed <= again.n_tiles // 2, "in the pass for other speeds alone"
    assert results(store) == compared
    assert scanned(store, library, AGAIN).at_other_pitches == 0


def test_a_stop_leaves_the_rest_to_the_next_run(library: Path, store: Store) -> None:
    class StopsSoon(Said):
        is_hearing = False

        def stage(self, name: str, total: int | None, unit: str) -> None:
            super().stage(name, total, unit)
            self.is_hearing = name == "hear at other pitches"

        def advance(self, n: int = 1) -> None:
            super().advance(n)
            if self.is_hearing:
                stop.request("test")

    expected, stop = rows(store), Stop()
    forget(store)
    first = scan(store, [os.fsencode(library)], AGAIN, InlineRunner(stop), StopsSoon())
    assert 0 < first.at_other_pitches < 3
    assert scanned(store, library, AGAIN).at_other_pitches == 3 - first.at_other_pitches
    assert rows(store) == expected


def test_a_file_that_cannot_be_heard_any_more_changes_nothing(library: Path, tmp_path: Path) -> None:
    own = tmp_path / "library"
    own.mkdir()
    for file in library.iterdir():
        (own / file.name).write_bytes(file.read_bytes())
    with make_or_open(tmp_path / "own", FingerprintSettings(), 2, "test") as store:
        scanned(store, own)
        forget(store)
        status = os.stat(own / "song.flac")
        (own / "song.flac").write_bytes(b"\0" * status.st_size)
        os.utime(own / "song.flac", ns=(status.st_atime_ns, status.st_mtime_ns))
        said = Said()
        assert scanned(store, own, AGAIN, said).at_other_pitches == 2
        assert [text for text in said.problems if text.startswith("failed song.flac: not heard again: ")]
        assert store.catalog.pitches.paths_lacking() == [os.fsencode(own / "song.flac")]


# ---- kept ----


def test_of_two_sounds_of_one_fingerprint_the_same_stays_whoever_comes_first(tmp_path: Path) -> None:
    items = stores.recording(1, 300)
    one, other = (np.stack([stores.recording(seed, 300)] * 2) for seed in (2, 3))
    kept: list[Items] = []
    for number, order in enumerate(([one, other], [other, one])):
        with stores.open_store(tmp_path / str(number)) as store:
            stores.add_track(store, "song", items)
            with store.catalog.transaction():
                store.keep_pitches((1, each) for each in order)
            found = store.catalog.pitches.get(1)
            assert found is not None
            kept.append(found)
    assert np.array_equal(*kept)


def test_they_go_with_their_fingerprint_and_move_with_it(store: Store) -> None:
    before = rows(store)
    with store.catalog.transaction():
        store.catalog.meta.set("block_size", 100)
    store.block_size = 100
    assert compact(store, Silent(), Stop()).merged == 2
    assert rows(store) == before
    (gone,) = [t for t in store.catalog.tracks.all() if t.path.endswith(b"other.flac")]
    with store.catalog.transaction():
        store.catalog.tracks.forget([gone.path])
    compact(store, Silent(), Stop())
    assert len(rows(store)) == 2
    assert check(store, Silent()) == []


def test_a_flipped_bit_is_found_and_at_other_pitches(library: Path, store: Store) -> None:
    expected, compared = rows(store), results(store)
    damaged = bytes([expected[2][0] ^ 4]) + expected[2][1:]
    store.catalog.connection.execute("UPDATE pitches SET items = ? WHERE fingerprint = 2", (damaged,))
    findings = check(store, Silent())
    assert [(f.kind, f.name, f.text) for f in findings] == [("pitches", "2", "does not match its digest")]
    with pytest.raises(StoreDamagedError, match="row 2 of table pitches"):
        store.catalog.pitches.get(2)
    repair(store, findings)
    assert check(store, Silent()) == []
    assert results(store) == compared, "they were made while it was sound"
    scanned(store, library, AGAIN)
    assert rows(store) == expected


def test_a_row_of_a_strange_length_is_found(store: Store) -> None:
    store.catalog.pitches.put_rows([(1, PITCHES_VERSION, b"12345")], "INSERT OR REPLACE")
    assert [(f.kind, f.name) for f in check(store, Silent())] == [("pitches", "1")]


def test_those_of_another_version_are_not_used(store: Store) -> None:
    store.catalog.pitches.put_rows([(1, PITCHES_VERSION + 1, rows(store)[1])], "INSERT OR REPLACE")
    assert store.catalog.pitches.get(1) is None
    assert store.catalog.pitches.lacking() == 1


def test_a_new_catalog_keeps_them(folder: Path) -> None:
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert mend_catalog(folder, "test")["pitches"] == 3
