"""Check and repair: every kind of damage is named, a repair drops exactly that, and the next run redoes just that."""

from __future__ import annotations

import itertools
import os
import shutil
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest

from dedup.correlation.correlate import Correlation, correlate
from dedup.errors import CatalogDamagedError, StoreDamagedError
from dedup.groups.judgements import history, record
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.report.export import export_pairs
from dedup.runner import InlineRunner
from dedup.scan.scan import scan
from dedup.settings import CompareSettings, FingerprintSettings, MatchSettings, ScanSettings
from dedup.store.nulltests import NullTest
from dedup.store.pairs import N_STEPS, PAIR
from dedup.store.results import TileResult
from dedup.store.store import Store, make_or_open, open_for_reading, open_for_writing
from dedup.upkeep.check import Finding, check, check_store, repair
from tests.stores import add_track, copied, open_store, recording

SETTINGS = FingerprintSettings("1.5.1")
N_RECORDINGS, N_BLOCKS, N_TILES = 6, 4, 10


def fill(store: Store) -> None:
    """Six recordings, each twice, the second with a tenth of its bits changed and 3 items more in front."""
    for seed in range(N_RECORDINGS):
        items = recording(seed, 150 + seed)
        front = np.concatenate([recording(seed + 50, 3), copied(items, 0.1, seed)])
        add_track(store, f"{seed}.flac", items)
        add_track(store, f"{seed}.mp3", front, state="imported" if seed == 2 else "present")


def compare(store: Store) -> Correlation:
    return correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())


def pairs(store: Store) -> list[dict[str, object]]:
    return list(export_pairs(Matches(store, MatchSettings())))


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store that is compared to the last tile."""
    folder = tmp_path_factory.mktemp("undisturbed") / "store"
    with open_store(folder, block_size=3) as store:
        fill(store)
        assert compare(store).n_computed == N_TILES
        assert len(pairs(store)) == N_RECORDINGS
    return folder


@pytest.fixture
def folder(undisturbed: Path, tmp_path: Path) -> Path:
    shutil.copytree(undisturbed, tmp_path / "store")
    return tmp_path / "store"


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with open_for_writing(folder, "test") as opened:
        yield opened


def damage(store: Store, statement: str, *parameters: object) -> None:
    """Changes the catalog as a program at fault would: the digests match what the rows say."""
    for pragma in ("foreign_keys = OFF", "ignore_check_constraints = ON"):
        store.catalog.connection.execute(f"PRAGMA {pragma}")
    assert store.catalog.connection.execute(statement, parameters).rowcount
    for table in store.catalog.sealed_tables:
        table.seal()
    for pragma in ("foreign_keys = ON", "ignore_check_constraints = OFF"):
        store.catalog.connection.execute(f"PRAGMA {pragma}")


def find_one(store: Store) -> Finding:
    (found,) = [finding for finding in check(store, Silent()) if finding.kind != "note"]
    return found


def mend(store: Store) -> Correlation:
    """Repairs, adds again what was forgotten, and compares: at the end all is as undisturbed."""
    repair(store, check(store, Silent()))
    assert [finding for finding in check(store, Silent()) if finding.kind != "note"] == []
    fill(store)
    done = compare(store)
    assert check(store, Silent()) == []
    return done


# ---- blocks ----

BLOCK_DAMAGE: dict[str, Callable[[Path], object]] = {
    "chunk missing": lambda block: (block / "items/c/0").unlink(),
    "offsets missing": lambda block: shutil.rmtree(block / "offsets"),
    "metadata missing": lambda block: (block / "zarr.json").unlink(),
    "truncated": lambda block: os.truncate(block / "items/c/0", 100),
    "gone": shutil.rmtree,
}


def flipped(file: Path, byte: int) -> None:
    content = bytearray(file.read_bytes())
    content[byte] ^= 0x10
    file.write_bytes(content)


for _file in ("items/c/0", "offsets/c/0", "items/zarr.json", "zarr.json"):
    BLOCK_DAMAGE[f"flipped {_file}"] = lambda block, file=_file: flipped(block / file, 7)


@pytest.mark.parametrize("kind", BLOCK_DAMAGE)
@pytest.mark.parametrize("at", [0, N_BLOCKS - 1])
def test_a_damaged_block_is_named_and_only_its_tiles_are_redone(store: Store, kind: str, at: int):
    expected, name = pairs(store), list(store.catalog.blocks.rows())[at]
    BLOCK_DAMAGE[kind](store.blocks.folder / name)
    found = find_one(store)
    assert (found.kind, found.name) == ("block", name)
    assert "3 tracks depend on it" in found.text
    done = mend(store)
    assert (done.n_computed, done.n_reused) == (N_BLOCKS, N_TILES - N_BLOCKS)
    assert pairs(store) == expected
    assert name in store.catalog.blocks.rows()


def test_what_a_repair_costs_is_said(store: Store):
    imported = store.catalog.tracks.get(b"/music/2.mp3")
    audio = store.catalog.audios.get(imported.audio)
    name, _ = store.catalog.fingerprints.place(audio.fingerprint)
    (store.blocks.folder / name / "zarr.json").unlink()
    assert "3 tracks depend on it, 1 of them imported: import those again after a repair" in find_one(store).text
    repair(store, check(store, Silent()))
    assert store.catalog.tracks.get(b"/music/2.mp3") is None
    assert len(list(store.catalog.tracks.all())) == 2 * N_RECORDINGS - 3


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("UPDATE block SET n_rows = 4 WHERE name = ?", "has 3 rows"),
        ("UPDATE block SET n_items = 1 WHERE name = ?", "the catalog says 3 and 1"),
        ("UPDATE fingerprint SET row = 7 WHERE block = ? AND row = 2", "each of its rows once"),
        ("UPDATE fingerprint SET digest = x'00' WHERE block = ? AND row = 1", "row 1 is not the fingerprint"),
        ("UPDATE fingerprint SET n_distinct = 2 WHERE block = ? AND row = 1", "row 1 is not the fingerprint"),
        ("UPDATE fingerprint SET n_items = 900 WHERE block = ? AND row = 0", "row 0 is not the fingerprint"),
    ],
)
def test_a_block_that_is_not_what_the_catalog_says(store: Store, change: str, text: str):
    expected, name = pairs(store), next(iter(store.catalog.blocks.rows()))
    damage(store, change, name)
    found = next(finding for finding in check(store, Silent()) if finding.kind != "note")
    assert (found.kind, found.name) == ("block", name)
    assert text in found.text
    mend(store)
    assert pairs(store) == expected


def test_every_damaged_block_is_named(store: Store):
    shutil.rmtree(store.blocks.folder)
    kinds = [finding.kind for finding in check(store, Silent())]
    assert kinds == ["root"] + ["block"] * N_BLOCKS
    assert mend(store).n_computed == N_TILES


@pytest.mark.parametrize("change", [lambda file: flipped(file, 30), os.unlink, lambda file: file.write_text("{}")])
def test_the_root_group_is_made_anew(store: Store, change: Callable[[Path], object]):
    change(store.blocks.folder / "zarr.json")
    assert find_one(store).kind == "root"
    assert mend(store).n_computed == 0


def test_what_a_killed_run_left_is_a_note(folder: Path):
    with open_for_reading(folder) as store:
        (store.blocks.folder / "wip-1").mkdir()
        (store.blocks.folder / ("0" * 32)).mkdir()
        assert [(finding.kind, finding.name) for finding in check(store, Silent())] == [
            ("note", "0" * 32),
            ("note", "wip-1"),
        ]
    with open_for_writing(folder, "test") as store:
        assert check(store, Silent()) == []


# ---- tiles ----


def a_tile(store: Store) -> TileResult:
    """One off the diagonal that has pairs."""
    return next(
        tile
        for tile in store.catalog.results.with_pairs(CompareSettings(varispeed=False).digest())
        if tile.block_a != tile.block_b
    )


def store_pairs(store: Store, tile: TileResult, pairs: np.ndarray) -> str:
    """Replaces a tile's pairs as a faulty kernel would have."""
    damage(store, "UPDATE tile SET pairs = ?, n_pairs = ? WHERE name = ?", pairs.tobytes(), len(pairs), tile.name)
    return tile.name


def change_pairs(field: str, by: float) -> Callable[[Store], str]:
    def changed(store: Store) -> str:
        tile = a_tile(store)
        records = np.frombuffer(tile.pairs, PAIR).copy()
        records[field] += by
        return store_pairs(store, tile, records)

    return changed


def set_pairs(field: str, value: Callable[[np.ndarray], object]) -> Callable[[Store], str]:
    """Changes a field of all pairs of a tile by what its records are."""

    def changed(store: Store) -> str:
        tile = a_tile(store)
        records = np.frombuffer(tile.pairs, PAIR).copy()
        records[field] = value(records)
        return store_pairs(store, tile, records)

    return changed


def add_a_step(store: Store) -> str:
    """Behind the last, as many as it says there are."""
    tile = a_tile(store)
    records = np.frombuffer(tile.pairs, PAIR).copy()
    records["steps"][:, records["n_steps"][0]] = 200
    return store_pairs(store, tile, records)


def double_pairs(store: Store) -> str:
    tile = a_tile(store)
    return store_pairs(store, tile, np.frombuffer(tile.pairs * 2, PAIR))


def flip_result(store: Store) -> str:
    tile = a_tile(store)
    data = bytearray(tile.pairs)
    data[20] ^= 1
    store.catalog.connection.execute("UPDATE tile SET pairs = ? WHERE name = ?", (bytes(data), tile.name))
    return tile.name


def change_tile(change: str) -> Callable[[Store], str]:
    def changed(store: Store) -> str:
        tile = a_tile(store)
        damage(store, f"UPDATE tile SET {change} WHERE name = ?", tile.name)
        return tile.name

    return changed


def drop_tile(store: Store) -> str:
    tile = a_tile(store)
    damage(store, "DELETE FROM tile WHERE name = ?", tile.name)
    return tile.name


TILE_DAMAGE: dict[str, tuple[Callable[[Store], str], str]] = {
    "flipped": (flip_result, "match its digest"),
    "n_pairs": (change_tile("n_pairs = n_pairs + 1"), "bytes of pairs"),
    "hidden": (change_tile("n_pairs = 0"), "bytes of pairs"),
    "settings": (change_tile("settings = 'unknown'"), "are not recorded"),
    "blocks": (change_tile("block_a = block_b, block_b = block_a"), "its name does not match"),
    "missing": (drop_tile, "missing: blocks"),
    "rows": (change_pairs("row_b", 3), "rows that its blocks do not have"),
    "twice": (double_pairs, "not in order, or one occurs twice"),
    "lag": (change_pairs("lag", 10), "the overlaps of its pairs do not match"),
    "overlap": (change_pairs("overlap", 1), "the overlaps of its pairs do not match"),
    "errors": (change_pairs("errors", 1 << 20), "out of range"),
    "kappa": (change_pairs("kappa", np.nan), "out of range"),
    "along": (change_pairs("along", 1), "out of range"),
    "prominence": (change_pairs("prominence", -np.inf), "out of range"),
    "contrast": (change_pairs("contrast", 1.5), "out of range"),
    "rate": (change_pairs("log_rate", np.inf), "out of range"),
    "no rate": (change_pairs("log_rate", np.nan), "out of range"),
    "path too long": (change_pairs("to_a", 9), "leave their fingerprints"),
    "path of the other too long": (change_pairs("to_b", 9), "leave their fingerprints"),
    "path backwards": (set_pairs("from_a", lambda records: records["to_a"] + 1), "leave their fingerprints"),
    "path of the other backwards": (set_pairs("to_b", lambda records: records["from_b"] - 1), "leave their"),
    "distinct": (set_pairs("distinct", lambda records: records["to_a"] + 1), "more different items"),
    "steps": (add_a_step, "beyond their last"),
    "n_steps": (set_pairs("n_steps", lambda _: N_STEPS + 1), "beyond their last"),
    "fewer steps": (set_pairs("n_steps", lambda records: records["n_steps"] - 1), "beyond their last"),
}


@pytest.mark.parametrize("kind", TILE_DAMAGE)
def test_a_damaged_tile_is_named_and_redone(store: Store, kind: str):
    expected = pairs(store)
    change, text = TILE_DAMAGE[kind]
    name = change(store)
    findings = check(store, Silent())
    assert {(finding.kind, finding.name) for finding in findings} == {("tile", name)}
    assert text in findings[0].text
    done = mend(store)
    assert (done.n_computed, done.n_reused) == (1, N_TILES - 1)
    assert pairs(store) == expected


def test_flipped_pairs_are_not_shown(store: Store):
    name = flip_result(store)
    with pytest.raises(StoreDamagedError, match=name):
        pairs(store)


def test_tiles_to_come_are_a_note(store: Store):
    add_track(store, "new.mp3", recording(99, 200))
    store.seal_tail()
    (note,) = check(store, Silent())
    assert (note.kind, note.text.split(";")[0]) == ("note", f"{N_BLOCKS + 1} tiles are not computed yet")
    assert compare(store).n_computed == N_BLOCKS + 1
    assert check(store, Silent()) == []


# ---- tail and tracks ----


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("UPDATE tail SET items = CAST(items || x'00' AS BLOB)", "match its digest"),
        ("UPDATE tail SET items = x'00000000'", "match its digest"),
        ("UPDATE fingerprint SET n_items = 900 WHERE block IS NULL", "match its digest"),
        ("DELETE FROM tail", "neither in a block nor in the tail"),
    ],
)
def test_a_damaged_tail_is_named_and_forgotten(store: Store, change: str, text: str):
    add_track(store, "new.mp3", recording(99, 200))
    fingerprint = store.catalog.fingerprints.find(recording(99, 200))
    damage(store, change)
    found = find_one(store)
    assert (found.kind, found.name) == ("fingerprint", str(fingerprint))
    assert text in found.text
    repair(store, check(store, Silent()))
    assert store.catalog.tracks.get(b"/music/new.mp3") is None
    assert check(store, Silent()) == []


def test_a_fingerprint_in_two_places(store: Store):
    damage(store, "INSERT INTO tail SELECT id, x'00' FROM fingerprint WHERE block IS NOT NULL LIMIT 1")
    assert find_one(store).text == "both in a block and in the tail"


@pytest.mark.parametrize("properties", ["", "{", "[]", "null"])
def test_a_track_with_damaged_properties_is_named_and_forgotten(store: Store, properties: str):
    damage(store, "UPDATE track SET properties = ? WHERE path = ?", properties, b"/music/1.mp3")
    found = find_one(store)
    assert found.kind == "track"
    assert "/music/1.mp3" in found.text
    assert mend(store).n_computed == 0
    assert store.catalog.tracks.get(b"/music/1.mp3") is not None


# ---- judgements ----


@pytest.mark.parametrize(
    ("content_a", "content_b", "same", "text"),
    [
        (b"a" * 15, b"b" * 16, 1, "its contents have 15 and 16 bytes, not 16 each"),
        (b"", b"b" * 16, 0, "its contents have 0 and 16 bytes"),
        (b"a" * 16, b"a" * 16, 0, "differs from itself"),
    ],
)
def test_a_damaged_judgement_is_named_and_dropped(
    store: Store, content_a: bytes, content_b: bytes, same: int, text: str
):
    record(store, b"c" * 16, b"d" * 16, False, 0.5)
    sound = history(store)
    statement = "INSERT INTO judgement (content_a, content_b, same, judged) VALUES (?, ?, ?, '2026-02-28T21:30:00Z')"
    damage(store, statement, content_a, content_b, same)
    found = find_one(store)
    assert (found.kind, found.name) == ("judgement", f"{content_a.hex()}-{content_b.hex()}")
    assert text in found.text
    assert mend(store).n_computed == 0
    assert history(store) == sound


def test_a_repair_of_something_else_keeps_what_was_said(store: Store):
    record(store, b"c" * 16, b"d" * 16, True, 0.5)
    said = history(store)
    shutil.rmtree(store.blocks.folder)
    assert mend(store).n_computed == N_TILES
    assert history(store) == said


def test_a_damaged_null_test_is_named_and_dropped(store: Store):
    contents = [b"c" * 16, b"d" * 16, b"e" * 16]
    with store.catalog.transaction():
        store.catalog.nulltests.put([(*pair, NullTest(lag_s=1.0)) for pair in itertools.combinations(contents, 2)])
    store.catalog.connection.execute("UPDATE nulltest SET result = '{}' WHERE content_b = ?", contents[1:2])
    found = find_one(store)
    assert (found.kind, found.name) == ("null test", f"{contents[0].hex()}-{contents[1].hex()}")
    with pytest.raises(StoreDamagedError, match="of table nulltest does not match its digest"):
        list(store.catalog.nulltests.texts())
    assert mend(store).n_computed == 0
    assert [pair for *pair, _ in store.catalog.nulltests.texts()] == [[contents[0], contents[2]], contents[1:]]


# ---- the catalog ----


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("UPDATE track SET audio = 999 WHERE path = x'2f6d757369632f312e6d7033'", "refers to a missing row of audio"),
        ("DELETE FROM block", "refers to a missing row of block"),
        ("UPDATE track SET state = 'lost'", "CHECK"),
        ("INSERT INTO judgement (content_a, content_b, same, judged) VALUES (x'02', x'01', 1, '')", "CHECK"),
        ("INSERT INTO judgement (content_a, content_b, same, judged) VALUES (x'01', x'02', 2, '')", "CHECK"),
    ],
)
def test_what_no_row_can_be_dropped_for_takes_a_new_catalog(store: Store, change: str, text: str):
    damage(store, change)
    findings = check(store, Silent())
    assert any(finding.kind == "catalog" and text in finding.text for finding in findings)
    with pytest.raises(StoreDamagedError, match="saves all it can read"):
        repair(store, findings)


def test_a_rotten_page_is_a_finding_and_no_traceback(folder: Path):
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'tile'").fetchone()
    with open(folder / "catalog.db", "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 64)
    with open_for_reading(folder) as store:
        findings = check(store, Silent())
    assert findings
    assert {finding.kind for finding in findings} == {"catalog"}


def test_other_errors_of_the_database_are_not_called_damage(store: Store):
    store.catalog.connection.set_progress_handler(lambda: 1, 1)
    with pytest.raises(sqlite3.OperationalError, match="interrupted"):
        check(store, Silent())
    store.catalog.connection.set_progress_handler(None, 1)


@pytest.mark.parametrize("change", ["TABLE tail RENAME TO elsewhere", "TABLE tile RENAME COLUMN pairs TO qairs"])
def test_a_name_that_the_schema_has_lost_is_damage_of_the_catalog(store: Store, change: str):
    store.catalog.connection.execute(f"ALTER {change}")
    assert {finding.kind for finding in check(store, Silent()) if finding.is_damage} == {"catalog"}


def test_a_check_beside_a_writer_sees_one_moment(folder: Path):
    """Property: what a writer commits while a check goes on is no damage."""

    class Writing(Silent):
        def advance(self, n: int = 1) -> None:
            if n and not written:
                written.append(n)
                with open_for_writing(folder, "writer") as writer:
                    add_track(writer, "new.mp3", recording(99, 200))
                    compare(writer)

    written: list[int] = []
    with open_for_reading(folder) as store:
        findings = check(store, Writing())
    assert written
    assert {finding.kind for finding in findings} <= {"note"}


# ---- with real audio ----


def test_a_dropped_block_is_scanned_again(tmp_path: Path):
    from tests.audio_files import write_tone

    music, folder = tmp_path / "music", tmp_path / "store"
    music.mkdir()
    for seed in range(3):
        write_tone(music / f"{seed}.wav", seconds=13, seed=seed)
    roots = [os.fsencode(music)]
    with make_or_open(folder, SETTINGS, 2, "test") as store:
        assert scan(store, roots, ScanSettings(), InlineRunner(), Silent()).fingerprinted == 3
        compare(store)
        before = dict(store.catalog.blocks.rows())
        name = max(before, key=before.__getitem__)
        flipped(store.blocks.folder / name / "items/c/0", 9)
        repair(store, check(store, Silent()))
        again = scan(store, roots, ScanSettings(), InlineRunner(), Silent())
        assert (again.fingerprinted, again.unchanged) == (2, 1)
        assert store.catalog.blocks.rows() == before
        assert compare(store).n_computed == 2
        assert check(store, Silent()) == []


@pytest.mark.parametrize("repair_too", [False, True])
def test_a_check_of_a_damaged_catalog_makes_a_new_one_only_for_a_repair(
    undisturbed: Path, tmp_path: Path, repair_too: bool
):
    folder = tmp_path / "store"
    shutil.copytree(undisturbed, folder)
    catalog = folder / "catalog.db"
    whole = catalog.read_bytes()
    catalog.write_bytes(b"\0" * 100 + whole[100:])
    checked = check_store(
        folder=folder,
        open_store=lambda: open_for_writing(folder, "test") if repair_too else open_for_reading(folder),
        repair=repair_too,
        purpose="test",
        observer=Silent(),
    )
    if not repair_too:
        assert isinstance(checked.trouble, CatalogDamagedError)
        assert (checked.findings, checked.mended, catalog.read_bytes()[:100]) == (None, None, b"\0" * 100)
        return
    assert checked.trouble is None
    assert checked.mended is not None
    assert (checked.mended.findings, checked.mended.was_there) == (None, True)
    assert checked.mended.rows is not None
    assert checked.mended.rows["track"] == 2 * N_RECORDINGS
    with open_for_reading(folder) as store:
        assert [finding for finding in check(store, Silent()) if finding.is_damage] == []
