"""The digest of each row: what changes in a row without it is found, by `check` and by what decides from the row."""

from __future__ import annotations

import hashlib
import shutil
import sqlite3
from contextlib import closing
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dedup.correlation.correlate import correlate
from dedup.errors import CatalogDamagedError, StoreDamagedError, StoreMismatchError
from dedup.groups.called_same import remember
from dedup.groups.judgements import record
from dedup.groups.matches import Matches
from dedup.observer import Silent
from dedup.report.export import export_pairs, export_tracks
from dedup.runner import InlineRunner, Stop
from dedup.settings import CompareSettings, MatchSettings
from dedup.store.backups import BackedUp
from dedup.store.decoding import Decoding
from dedup.store.digests import COLUMNS, REAL, row_digest
from dedup.store.measurements import Measured
from dedup.store.namings import Naming
from dedup.store.nulltests import NullTest
from dedup.store.protection import PROTECT, add_protection, protected
from dedup.store.remembered import add_playlist_folders
from dedup.store.runs import Ending
from dedup.store.store import Store, open_for_reading, open_for_writing
from dedup.store.tracks import Track
from dedup.upkeep.check import Mended, check, repair
from tests.stores import add_track, copied, open_store, recording, repaired

AGAIN_PROTECT = "; name the protected folders (--protect) again after a repair"
AGAIN_PLAYLISTS = "; name the folders of playlists (--playlists) again after a repair"
AGAIN_ANY = (
    "; if its key is damaged, name the protected folders (--protect) and name the folders of playlists (--playlists) "
    "again after a repair"
)

SCHEMA = resources.files("dedup.store").joinpath("schema.sql").read_text()


def schema() -> dict[str, list[tuple[str, str]]]:
    """Names and types of the columns of each table."""
    with closing(sqlite3.connect(":memory:")) as connection:
        connection.executescript(SCHEMA)
        tables = [row[0] for row in connection.execute("SELECT name FROM sqlite_schema WHERE type = 'table'")]
        return {t: [row[1:3] for row in connection.execute(f"PRAGMA table_info({t})")] for t in tables}


TABLES = schema()

EVERY_COLUMN = [(table, name, kind) for table, columns in TABLES.items() for name, kind in columns]


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store with rows in every table, and a value in every column of some row."""
    folder = tmp_path_factory.mktemp("made") / "store"
    with open_store(folder, block_size=3) as store:
        for seed in range(3):
            items = recording(seed, 150 + seed)
            for number, each in enumerate((items, copied(items, 0.1, seed))):
                _add(store, f"{seed}-{number}.flac", each, bytes([seed, number]) * 8)
        failed = {"audio": None, "problem_kind": "failed", "problem": "no sound in it", "judged_by": "settings"}
        track = next(iter(store.catalog.tracks.all()))
        with store.catalog.transaction():
            store.catalog.tracks.put(Track(**{**vars(track), "path": b"/music/broken.mp3", **failed}))
        correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())
        _add(store, "new.flac", recording(9, 170), b"n" * 16)  # stays in the tail
        record(store, bytes([0, 0]) * 8, bytes([0, 1]) * 8, True, 0.75)
        with store.catalog.transaction():
            probe = (b"/music/probed.mp3", 9, 9, b"p" * 16, "key", "{}")
            store.catalog.probes.put([probe])
            for column, n_bytes in (("full", 32), ("stream", 16)):
                store.catalog.probes.set_hashes(column, {b"/music/probed.mp3": b"h" * n_bytes})
            test = NullTest(residual_db=-60.0, length_a_s=20.0, length_b_s=20.0)
            row = BackedUp("folder /a", "1", b"/music/1.mp3", b"c" * 16, b"f" * 32, "kept", "2026-03-01T02:30:00Z")
            store.catalog.backups.put(row)
            store.catalog.lookups.put("acoustid", "2026-03-01T02:30:00Z", [("0" * 32, {"results": []})])
            store.catalog.namings.take(Naming("0" * 32, {"not": []}, "2026-03-01T02:30:00Z"))
            store.catalog.measurements.put([(1, Measured(used_bits=16, cutoff_hz=16_000, source_rate=44_100))])
            store.catalog.measurements.put([(2, Measured(problem="cannot be decoded"))])
            store.catalog.nulltests.put([(bytes([1, 0]) * 8, bytes([1, 1]) * 8, test)])
        remember(store, Silent(), Stop())
        add_protection(store, [b"/music/kept"])
        store.catalog.runs.begin("r1", "full", "2026-03-01T02:30:00Z")
        store.catalog.runs.end("r1", "2026-03-01T02:31:00Z", Ending("done", 0, "done", 0.5, "{}"))
        for table, columns in TABLES.items():
            for column, _ in columns:
                query = f"SELECT COUNT({column}) FROM {table}"
                assert store.catalog.connection.execute(query).fetchone()[0], f"no value in {table}.{column}"
    return folder


def _add(store: Store, name: str, items: Any, stream: bytes) -> None:
    with store.catalog.transaction():
        fingerprint = store.catalog.fingerprints.add(items)
        store.keep_pitches([(fingerprint, np.stack([items[::-1]] * 2))])
        decoding = Decoding(20.0, 1000, False, -20.0)
        damage = "cut short" if name == "2-1.flac" else None
        audio = store.catalog.audios.add(fingerprint, stream, "key", damage, decoding)
    add_track(store, name, audio, full=stream * 2)
    track = store.catalog.tracks.get(f"/music/{name}".encode())
    assert track is not None
    with store.catalog.transaction():
        store.catalog.tracks.put(Track(**{**vars(track), "partial": stream}))


@pytest.fixture
def folder(made: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(made, tmp_path / "store"))


def other(value: Any, kind: str) -> Any:
    """A value of the same type that differs a little."""
    match kind:
        case "TEXT":
            return chr(ord(value[0]) ^ 1) + value[1:] if value else "x"
        case "BLOB":
            return bytes([value[0] ^ 1]) + value[1:] if value else b"x"
        case "REAL":
            return value + 1 / 1024
        case "INTEGER":
            return value ^ 1024
    raise AssertionError(kind)


def changed(folder: Path, table: str, column: str, kind: str, at: int = 0) -> bool:
    """Changes one value of a column as a flipped bit would; whether there is an `at`-th."""
    with closing(sqlite3.connect(folder / "catalog.db", isolation_level=None)) as connection:
        connection.execute("PRAGMA ignore_check_constraints = ON")
        key = {"fingerprint": "id", "tail": "fingerprint", "audio": "id", "track": "id", "run": "id"}.get(table)
        n_keys = {"judgement": 2, "nulltest": 2, "comparison": 3, "lookup": 2, "backed_up": 2}.get(table, 1)
        key = key or ", ".join(COLUMNS[table][:n_keys])
        query = f"SELECT {column}, {key} FROM {table} WHERE {column} IS NOT NULL ORDER BY {key} LIMIT 1 OFFSET ?"
        row = connection.execute(query, (at,)).fetchone()
        if row is None:
            return False
        value, *keys = row
        where = f"({key}) = ({', '.join('?' * len(keys))})"
        connection.execute(f"UPDATE {table} SET {column} = ? WHERE {where}", (other(value, kind), *keys))
        return True


# ---- every column ----


def test_every_table_has_a_digest_and_it_covers_every_column() -> None:
    assert TABLES.keys() == {*COLUMNS, "tail"}
    for table, columns in TABLES.items():
        names = tuple(name for name, _ in columns)
        assert table == "tail" or names == (*COLUMNS[table], "row_digest"), table
        assert tuple(name for name, kind in columns if kind == "REAL") == REAL.get(table, ()), table


def damage_of(folder: Path) -> list[str]:
    """What `check` finds, by kind and name; the kind alone if the store cannot even be opened."""
    try:
        with open_for_reading(folder) as store:
            return [f"{finding.kind} {finding.name}" for finding in check(store, Silent()) if finding.is_damage]
    except CatalogDamagedError as error:
        return [f"catalog {error.found}"]


@pytest.mark.parametrize(("table", "column", "kind"), EVERY_COLUMN, ids=str)
def test_a_change_in_any_column_is_found(folder: Path, table: str, column: str, kind: str) -> None:
    assert damage_of(folder) == []
    assert changed(folder, table, column, kind)
    assert damage_of(folder) != []


def read_all_that_decides(store: Store) -> list[Any]:
    """What reports, exports, plans and clean-ups read."""
    settings = MatchSettings()
    found = [list(export_pairs(Matches(store, settings))), list(export_tracks(store)), store.catalog.tracks.roots()]
    return [*found, protected(store), list(store.catalog.probes.all()), list(store.catalog.runs.newest_first())]


@pytest.mark.parametrize(("table", "column", "kind"), EVERY_COLUMN, ids=str)
def test_nothing_is_decided_by_a_row_that_changed(folder: Path, table: str, column: str, kind: str) -> None:
    """Property: what reads a change refuses; what it does not read changes nothing."""
    with open_for_reading(folder) as store:
        expected = read_all_that_decides(store)
    assert changed(folder, table, column, kind)
    try:
        with open_for_reading(folder) as store:
            assert read_all_that_decides(store) == expected
    except StoreDamagedError as error:
        assert "check --repair" in str(error)
    else:
        assert table == "tail" or (table, column) in NOT_READ


NOT_READ = {
    *(("block", column) for column in ("name", "n_rows", "n_items", "row_digest")),  # only comparing reads blocks
    *(("comparison", "settings"), ("comparison", "kernel")),  # as if it were not there: the two are compared again
    *(("pitches", column) for column in ("fingerprint", "version", "items", "row_digest")),  # only comparing reads them
    *(("lookup", column) for column in ("subject", "service", "asked", "answer", "row_digest")),  # only identify does
    *(("naming", column) for column in ("subject", "answer", "said", "row_digest")),  # only identify does
    *(("measurement", column) for column in COLUMNS["measurement"]),  # only `quality` and exports read them
    ("measurement", "row_digest"),
    *(("backed_up", column) for column in (*COLUMNS["backed_up"], "row_digest")),  # only backup does
}


@pytest.mark.long
def test_no_flipped_bit_in_a_key_of_meta_lifts_a_protection(folder: Path) -> None:
    """Property: a folder is protected, or whoever asks is refused; the row that says so never just vanishes."""
    n_refused = 0
    with closing(sqlite3.connect(folder / "catalog.db", isolation_level=None)) as connection:
        keys = [key for (key,) in connection.execute("SELECT CAST(key AS BLOB) FROM meta")]
        assert PROTECT.encode() in keys
        rename = "UPDATE meta SET key = CAST(? AS TEXT) WHERE CAST(key AS BLOB) = ?"
        for key in keys:
            for bit in range(8 * len(key)):
                flipped = bytearray(key)
                flipped[bit // 8] ^= 1 << bit % 8
                connection.execute(rename, (bytes(flipped), key))
                try:
                    with open_for_reading(folder) as store:
                        assert protected(store) == (b"/music/kept",), flipped
                except (StoreDamagedError, StoreMismatchError):
                    n_refused += 1
                connection.execute(rename, (key, bytes(flipped)))
    assert n_refused == sum(8 * len(key) for key in keys)
    assert damage_of(folder) == []


@pytest.mark.parametrize(("table", "column", "kind"), EVERY_COLUMN, ids=str)
def test_a_repair_leaves_a_sound_store(folder: Path, table: str, column: str, kind: str) -> None:
    assert changed(folder, table, column, kind)
    assert repaired(folder).trouble is None
    assert damage_of(folder) == []


@pytest.mark.parametrize(
    ("change", "text"),
    [
        ("key = 'qrotect' WHERE key = 'protect'", AGAIN_ANY),
        ("value = '[]' WHERE key = 'protect'", AGAIN_PROTECT),
        ("value = '{}' WHERE key = 'protect'", AGAIN_PROTECT),
        ("value = '[]' WHERE key = 'playlists'", AGAIN_PLAYLISTS),
        ("value = '{}' WHERE key = 'noise'", ""),
    ],
)
def test_what_a_person_has_to_name_again_is_said(folder: Path, change: str, text: str) -> None:
    with open_for_writing(folder, "test") as store:
        add_playlist_folders(store, [b"/lists"])
        assert store.catalog.connection.execute(f"UPDATE meta SET {change}").rowcount
        told = [finding.text for finding in check(store, Silent()) if finding.is_damage]
        assert told == ["does not match its digest" + text]
        store.catalog.meta.seal()
        told = [finding.text for finding in check(store, Silent()) if finding.is_damage]
        assert told == (["its value cannot be read" + text] if "{}" in change else [])
        repair(store, check(store, Silent()))


AGAIN_TORN = [
    "name the protected folders (--protect)",
    "name the folders of playlists (--playlists)",
]


def test_what_a_new_catalog_does_not_know_is_to_be_named_again(folder: Path) -> None:
    """The rows of `meta` rot with the page that holds them; those that can be read are known without a word."""

    def mended() -> Mended:
        (folder / "catalog.db").write_bytes(bytes(4096) + (folder / "catalog.db").read_bytes()[4096:])
        checked = repaired(folder)
        assert checked.mended is not None
        return checked.mended

    assert list(mended().to_name_again) == AGAIN_TORN[1:]
    with closing(sqlite3.connect(folder / "catalog.db", isolation_level=None)) as connection:
        connection.execute("UPDATE meta SET key = 'qrotect' WHERE key = 'protect'")
    assert list(mended().to_name_again) == AGAIN_TORN


# ---- the digest itself ----


def test_the_form_of_a_row_that_is_digested() -> None:
    def of(text: bytes) -> bytes:
        return hashlib.blake2b(text, digest_size=16).digest()

    assert row_digest("meta", ("block_size", "512")) == of(b"t4:metat10:block_sizet3:512")
    values = ("é", None, -7, b"\0\xff", 0.5, "")
    written = b"t2:\xc3\xa9ni-7;b2:\0\xffr\0\0\0\0\0\0\xe0?t0:"
    assert row_digest("run", values) == of(b"t3:run" + written)


def test_text_and_bytes_are_told_apart() -> None:
    digests = {row_digest("meta", ("key", value)) for value in ("", b"", None, 0, 0.0, "0", b"0", "n", "i0;")}
    assert len(digests) == 9


def test_a_whole_number_in_a_column_of_others_is_sealed_as_sqlite_gives_it_back(folder: Path) -> None:
    with open_for_writing(folder, "test") as store:
        record(store, b"a" * 16, b"b" * 16, True, 1)
        with store.catalog.transaction():
            fingerprint = store.catalog.fingerprints.add(recording(1, 150))
            store.catalog.audios.add(fingerprint, None, "", None, Decoding(20, 7, True, -3))
    assert damage_of(folder) == []


def test_a_damaged_row_is_not_sealed_again_by_a_change_of_another_column(folder: Path) -> None:
    assert changed(folder, "track", "root", "BLOB")
    with open_for_writing(folder, "test") as store:
        path = next(row[1] for row in store.catalog.tracks.unsound())
        for change in (
            lambda: store.catalog.tracks.set_state([path], "absent"),
            lambda: store.catalog.tracks.set_place([(b"/", 1, 2, path)]),
            lambda: store.catalog.tracks.set_full(path, b"f" * 32),
            lambda: store.catalog.tracks.set_properties([(path, "{}")]),
        ):
            with pytest.raises(StoreDamagedError, match="of table track does not match"), store.catalog.transaction():
                change()
    assert damage_of(folder) == ["track 1"]


# ---- meaning ----

NONSENSE: dict[str, tuple[str, str]] = {
    "relative path": ("UPDATE track SET path = CAST('music/x.flac' AS BLOB) WHERE id = 1", "track"),
    "relative root": ("UPDATE track SET root = CAST('omusic' AS BLOB) WHERE id = 1", "track"),
    "root of another": ("UPDATE track SET root = CAST('/mus' AS BLOB) WHERE id = 1", "track"),
    "no plain path": ("UPDATE track SET path = CAST('/music/../etc/x' AS BLOB) WHERE id = 1", "track"),
    "size": ("UPDATE track SET size = -1 WHERE id = 1", "track"),
    "partial": ("UPDATE track SET partial = x'00' WHERE id = 1", "track"),
    "full": ("UPDATE track SET full = x'00' WHERE id = 1", "track"),
    "volume": ("UPDATE track SET volume = x'' WHERE id = 1", "track"),
    "imported with a size": ("UPDATE track SET state = 'imported' WHERE id = 1", "track"),
    "stream": ("UPDATE audio SET stream = x'00' WHERE id = 1", "audio"),
    "cancels": ("UPDATE audio SET cancels = 2 WHERE id = 1", "audio"),
    "width": ("UPDATE audio SET width_db = 121 WHERE id = 1", "audio"),
    "length": ("UPDATE audio SET decoded_s = -1 WHERE id = 1", "audio"),
    "bytes": ("UPDATE audio SET n_bytes = -1 WHERE id = 1", "audio"),
    "time of a judgement": ("UPDATE judgement SET judged = 'once'", "judgement"),
    "score": ("UPDATE judgement SET score = 9e9", "judgement"),
    "result": ("UPDATE nulltest SET result = '{}'", "null test"),
    "start of a run": ("UPDATE run SET started = ''", "run"),
    "half an end": ("UPDATE run SET why = NULL", "run"),
    "exit code": ("UPDATE run SET exit_code = 256", "run"),
    "summary": ("UPDATE run SET summary = '[]'", "run"),
    "path of a probe": ("UPDATE probe SET path = x'00'", "probe"),
    "service of a lookup": ("UPDATE lookup SET service = 'x'", "lookup"),
    "subject of a lookup": ("UPDATE lookup SET subject = 'x'", "lookup"),
    "time of a lookup": ("UPDATE lookup SET asked = 'once'", "lookup"),
    "answer of a lookup": ("UPDATE lookup SET answer = '[]'", "lookup"),
    "subject of a naming": ("UPDATE naming SET subject = 'x'", "naming"),
    "time of a naming": ("UPDATE naming SET said = 'once'", "naming"),
    "answer of a naming": ("UPDATE naming SET answer = '[]'", "naming"),
    "bits of a measurement": ("UPDATE measurement SET used_bits = 33 WHERE audio = 1", "measurement"),
    "cutoff of a measurement": ("UPDATE measurement SET cutoff_hz = 0 WHERE audio = 1", "measurement"),
    "rate of a measurement": ("UPDATE measurement SET source_rate = -1 WHERE audio = 1", "measurement"),
    "path of a back-up": ("UPDATE backed_up SET path = x'00'", "back-up"),
    "content of a back-up": ("UPDATE backed_up SET content = x'00'", "back-up"),
    "hash of a back-up": ("UPDATE backed_up SET full = x'00'", "back-up"),
    "time of a back-up": ("UPDATE backed_up SET at = 'once'", "back-up"),
    "hash of a probe": ("UPDATE probe SET full = x'00'", "probe"),
    "properties of a probe": ("UPDATE probe SET properties = '[]'", "probe"),
    "size of a probe": ("UPDATE probe SET size = -1", "probe"),
    "compare": ("UPDATE meta SET value = '{\"methode\": 1}' WHERE key = 'compare'", "meta"),
    "protect": ("UPDATE meta SET value = '[\"zz\"]' WHERE key = 'protect'", "meta"),
    "noise": ("UPDATE meta SET value = '{}' WHERE key = 'noise'", "meta"),
    "complete": ("UPDATE meta SET value = '[]' WHERE key = 'complete'", "meta"),
}


@pytest.mark.parametrize("nonsense", NONSENSE)
def test_a_row_that_makes_no_sense_is_found_although_its_digest_is_right(folder: Path, nonsense: str) -> None:
    statement, kind = NONSENSE[nonsense]
    with open_for_writing(folder, "test") as store:
        assert store.catalog.connection.execute(statement).rowcount
        for table in store.catalog.sealed_tables:
            table.seal()
        findings = [finding for finding in check(store, Silent()) if finding.is_damage]
        assert [finding.kind for finding in findings] == [kind]
        repair(store, findings)
        assert [finding for finding in check(store, Silent()) if finding.is_damage] == []
