"""A store as a whole: who may open it, what a kill at any moment leaves, and what a full or rotten disk does to it."""

from __future__ import annotations

import contextlib
import errno
import hashlib
import itertools
import json
import os
import random
import re
import signal
import socket
import sqlite3
import subprocess
import sys
import textwrap
from collections.abc import Callable
from contextlib import closing
from dataclasses import replace
from importlib import resources
from pathlib import Path

import pytest

from dedup.errors import (
    CatalogDamagedError,
    StoreDamagedError,
    StoreLockedError,
    StoreMismatchError,
    StoreMissingError,
    WriteError,
)
from dedup.observer import Silent
from dedup.report.glance import glance
from dedup.settings import BACKEND, FingerprintSettings
from dedup.store import store as store_module
from dedup.store import upgrades
from dedup.store.blocks import BlockStore, make_block
from dedup.store.catalog import Catalog
from dedup.store.layout import Layout, write_lock
from dedup.store.nulltests import NullTest
from dedup.store.runs import KEPT_RUN_RECORDS, Ending
from dedup.store.store import Store, make_or_open, open_for_reading, open_for_writing
from dedup.upkeep.check import check
from dedup.upkeep.salvage import mend_catalog
from jobs.session.failures import as_reprise_error
from tests.killing import run_killed
from tests.stores import add_audio, add_track, open_store, recording

SETTINGS = FingerprintSettings("1.5.1")
ROOT = Path(__file__).resolve().parent.parent


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A store of nine tracks, in two blocks and a tail of one."""
    folder = tmp_path / "store"
    with open_store(folder, block_size=4) as store:
        for seed in range(9):
            if seed == 8:
                store.seal_tail()
            add_track(store, f"{seed}.mp3", recording(seed, 100 + seed))
    return folder


def require_sound(folder: Path) -> None:
    with open_for_reading(folder) as store:
        assert check(store, Silent()) == []


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Another process that runs this code; it says a line when it is where the test wants it."""
    command = [sys.executable, "-c", textwrap.dedent(code), *map(str, arguments)]
    return subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)


# ---- the stamp ----


def test_a_store_remembers_how_it_was_made(folder: Path):
    with make_or_open(folder, SETTINGS, 1024, "test") as store:
        assert (store.block_size, store.fingerprint_settings) == (4, SETTINGS)
    with open_for_writing(folder, "test") as store:
        assert (store.block_size, store.fingerprint_settings) == (4, SETTINGS)
    with open_for_reading(folder) as store:
        assert (store.block_size, store.fingerprint_settings) == (4, SETTINGS)


def test_a_store_that_another_backend_filled_goes_on(folder: Path):
    for backend in ("1.4.3", "1.6.0", BACKEND):
        with make_or_open(folder, replace(SETTINGS, chromaprint=backend), 4, "test") as store:
            assert store.fingerprint_settings is not None
            assert store.fingerprint_settings.chromaprint == SETTINGS.chromaprint, "as it was made"
    require_sound(folder)


def test_fingerprints_made_otherwise_are_refused_with_both_values(folder: Path):
    other = replace(SETTINGS, algorithm=2, length_s=120.0)
    with pytest.raises(StoreMismatchError) as raised, make_or_open(folder, other, 4, "test"):
        pass
    assert "algorithm 1 / 2, length_s 0.0 / 120.0" in str(raised.value)
    require_sound(folder)


@pytest.mark.parametrize("version", [0, 7, 8, True, 6.0, "6", None])
def test_another_version_of_the_format_is_refused_with_both_values(folder: Path, version: object):
    with closing(Catalog(folder / "catalog.db")) as catalog:
        catalog.meta.set("format_version", version)
    every_way = (make_or_open(folder, SETTINGS, 4, "test"), open_for_writing(folder, "test"), open_for_reading(folder))
    for opened in every_way:
        with pytest.raises(StoreMismatchError) as raised, opened:
            pass
        assert str(raised.value).endswith(
            f"format version {version}; expected version 6. Use the release that made it, or name another store with "
            "--store"
        )
        assert raised.value.exit_code == 12


# ---- stores of the format versions before this one ----

LACKING_IN_1 = ("decoded_s", "n_bytes", "cancels", "width_db")


LATEST = ("naming", "measurement", "backed_up")
"""Tables of the newest version."""


def statements_of(version: int) -> list[str]:
    """The statements of version 1 to 5: those of today, without what came later."""
    text = re.sub(r"--.*\n", "", resources.files("dedup.store").joinpath("schema.sql").read_text())
    if version >= 3:
        names = ("pitches", "lookup", *LATEST)[version - 3 :]
        later = re.compile("|".join(f"TABLE {name}" for name in names))
        return [part for part in text.split(";") if part.strip() and not later.search(part)]
    text = re.sub(r",\n *row_digest +BLOB NOT NULL DEFAULT x''", "", text)
    for table, column in (("tile", "pairs    BLOB"), ("nulltest", "result    TEXT")):
        assert text.count(f"{column} NOT NULL") == 1, table
        text = text.replace(f"{column} NOT NULL", f"{column} NOT NULL, digest BLOB NOT NULL")
    if version == 1:
        text = re.sub(rf",\n *({'|'.join(LACKING_IN_1)}) +\w+", "", text)
    later = re.compile(
        "TABLE comparison|TABLE pitches|TABLE lookup|INDEX audio_stream"
        + "".join(f"|TABLE {name}" for name in LATEST)
        + ("|TABLE nulltest" if version == 1 else "")
    )
    statements = [part for part in text.split(";") if part.strip() and not later.search(part)]
    assert not any(name in part for name in ("row_digest", *LACKING_IN_1[: 8 // version - 4]) for part in statements)
    return statements


def older_digest(*values: str | bytes) -> bytes:
    """What a tile and a null test had in version 2."""
    data = b"".join(value.encode() if isinstance(value, str) else value for value in values)
    return hashlib.blake2b(data, digest_size=16).digest()


def as_version(folder: Path, version: int) -> Path:
    """Turns a store into one of version 1 to 5 that holds the same."""
    catalog, newer = folder / "catalog.db", folder / "newer.db"
    with closing(sqlite3.connect(catalog)) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    catalog.rename(newer)
    with closing(Catalog(catalog)) as older:
        older.connection.create_function("older_digest", -1, older_digest)
        older.connection.execute("ATTACH ? AS newer", (str(newer),))
        older.connection.execute("PRAGMA foreign_keys = OFF")
        with older.transaction() as connection:
            for statement in statements_of(version):
                connection.execute(statement)
            tables = connection.execute("SELECT name FROM main.sqlite_schema WHERE type = 'table'").fetchall()
            for (table,) in tables:
                names = [row[1] for row in connection.execute(f"PRAGMA main.table_info({table})")]
                digested = {
                    "tile": "older_digest(name, pairs)",
                    "nulltest": "older_digest(content_a, content_b, result)",
                }
                values = [digested.get(table, name) if name == "digest" else name for name in names]
                connection.execute(f"INSERT INTO main.{table} SELECT {', '.join(values)} FROM newer.{table}")
            older.meta.set_version(version)
    newer.unlink()
    root = folder / "fingerprints.zarr" / "zarr.json"
    root.write_text(root.read_text().replace('"format_version": 6', f'"format_version": {version}'))
    assert versions(folder) == (version, version)
    return folder


def columns_and_places(folder: Path) -> list[object]:
    """The columns of each table, and the pages where tables and indexes begin."""
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        begins = connection.execute("SELECT name, rootpage FROM sqlite_schema ORDER BY name").fetchall()
        columns = [connection.execute(f"PRAGMA table_info({name})").fetchall() for name, _ in begins]
        return [begins, columns]


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_a_store_of_an_earlier_version_is_upgraded_and_keeps_all(folder: Path, tmp_path: Path, version: int):
    kept = what_an_upgrade_keeps(folder)
    with open_for_writing(as_version(folder, version), "test") as store, store.catalog.transaction():
        assert not list(store.catalog.nulltests.texts())
        store.catalog.nulltests.put([(b"a" * 16, b"b" * 16, NullTest(residual_db=-40.0))])
    assert versions(folder) == (6, 6)
    assert what_an_upgrade_keeps(folder) == kept
    require_sound(folder)
    with open_store(tmp_path / "fresh"):
        pass
    assert columns_and_places(folder) == columns_and_places(tmp_path / "fresh")


def test_an_upgraded_catalog_without_its_schema_is_rescued(folder: Path):
    """Its tables begin at the pages of every catalog, although one of them came later."""
    with open_for_writing(as_version(folder, 1), "test") as store, store.catalog.transaction():
        store.catalog.nulltests.put([(b"a" * 16, b"b" * 16, NullTest(residual_db=-40.0))])
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with open(folder / "catalog.db", "r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 64)
    rows = mend_catalog(folder, "test")
    assert (rows["track"], rows["nulltest"]) == (9, 1)
    require_sound(folder)


DIGESTS_KILLED = """
import sys
from pathlib import Path
from dedup.store import store, upgrades
from dedup.store.database import Database
from dedup.store.meta import Meta
from dedup.store.table import Table
from tests.killing import kill_at_each_step

def run(folder):
    with store.open_for_writing(folder, "test"):
        pass

steps = [(Path, "rename"), (upgrades, "upgrade"), (Meta, "set_version"), (Database, "shrink")]
steps += [(Table, "add_digests"), (Table, "seal"), (Table, "drop_older_digest"), (Table, "unseal")]
kill_at_each_step(Path(sys.argv[1]), Path(sys.argv[2]), run, steps)
"""


@pytest.mark.long
def test_rows_get_their_digests_whenever_a_kill_comes(folder: Path, tmp_path: Path):
    kept = what_an_upgrade_keeps(folder)
    run_killed(DIGESTS_KILLED, as_version(folder, 2), tmp_path)
    *killed, undisturbed = sorted(tmp_path.glob("killed *"))
    assert len(killed) == 3 * 4 + 2 * 10 + 2 * 2 + 1
    for found in [*killed, undisturbed]:
        with open_for_writing(found, "test"):
            pass
        assert (versions(found), what_an_upgrade_keeps(found)) == ((6, 6), kept)
        require_sound(found)


def test_an_upgrade_trusts_no_result_that_was_damaged_before(folder: Path):
    with open_for_writing(folder, "test") as store, store.catalog.transaction():
        pairs = itertools.combinations((b"a" * 16, b"b" * 16, b"c" * 16), 2)
        store.catalog.nulltests.put((*pair, NullTest(residual_db=-40.0)) for pair in pairs)
    with closing(sqlite3.connect(as_version(folder, 2) / "catalog.db", isolation_level=None)) as connection:
        connection.execute("UPDATE nulltest SET result = '{}' WHERE content_b = ?", (b"b" * 16,))
    with open_for_writing(folder, "test") as store:
        assert [(f.kind, f.name) for f in check(store, Silent())] == [("null test", f"{'61' * 16}-{'62' * 16}")]


# ---- a store of an older format version: versions 7 and 8 are made up ----


def note_where(catalog: Catalog) -> None:
    catalog.connection.execute("ALTER TABLE run ADD COLUMN host TEXT")
    catalog.connection.execute("UPDATE run SET host = 'here'")


def rename_where(catalog: Catalog) -> None:
    catalog.connection.execute("ALTER TABLE run RENAME COLUMN host TO place")


def fail_half_way(catalog: Catalog) -> None:
    catalog.tracks.forget([b"/music/0.mp3"])
    raise ZeroDivisionError


@pytest.fixture
def older(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A store of version 6, in which a run began, for a program whose stores have version 8."""
    with open_for_writing(folder, "test") as store:
        store.catalog.runs.begin("r1", "full", "2026-03-01T02:30:00Z")
    monkeypatch.setattr(upgrades, "FORMAT_VERSION", 8)
    monkeypatch.setattr(upgrades, "UPGRADES", {6: note_where, 7: rename_where})
    return folder


def versions(folder: Path) -> tuple[int, int]:
    """What the catalog's stamp says, and what the root group of the blocks repeats."""
    with closing(Catalog(folder / "catalog.db")) as catalog:
        told = catalog.meta.stamp()["format_version"]
    return told, json.loads((folder / "fingerprints.zarr" / "zarr.json").read_text())["attributes"]["format_version"]


def what_an_upgrade_keeps(folder: Path) -> list[tuple[object, ...]]:
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        kept = ("track", "audio", "fingerprint", "tail", "block")
        names = {table: [row[1] for row in connection.execute(f"PRAGMA table_info({table})")][:5] for table in kept}
        return [row for table in kept for row in connection.execute(f"SELECT {', '.join(names[table])} FROM {table}")]


def require_upgraded(folder: Path) -> None:
    with open_for_writing(folder, "test") as store:
        rows = store.catalog.connection.execute("SELECT id, place FROM run").fetchall()
    assert (rows, versions(folder)) == ([("r1", "here")], (8, 8))
    require_sound(folder)


@pytest.mark.parametrize("way", ["a scan", "any writer"])
def test_an_older_store_is_upgraded_by_whoever_writes(older: Path, way: str):
    kept = what_an_upgrade_keeps(older)
    opened = make_or_open(older, SETTINGS, 4, "test") if way == "a scan" else open_for_writing(older, "test")
    with opened as store:
        assert (store.block_size, store.fingerprint_settings) == (4, SETTINGS)
    assert what_an_upgrade_keeps(older) == kept
    require_upgraded(older)


def test_a_reader_refuses_an_older_store_and_says_what_upgrades_it(older: Path):
    with pytest.raises(StoreMismatchError) as raised, open_for_reading(older):
        pass
    assert str(raised.value).endswith(
        "format version 6; expected version 8. Run `reprise correlate` once: it upgrades the store"
    )
    assert versions(older) == (6, 6)


def test_a_store_from_which_an_upgrade_is_lacking_is_refused(older: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(upgrades, "UPGRADES", {6: note_where})
    refused = pytest.raises(StoreMismatchError, match=r"format version 6; expected version 8\. Use the release")
    with refused, open_for_writing(older, "test"):
        pass
    assert versions(older) == (6, 6)


def test_an_older_store_that_is_refused_is_left_as_it_is(older: Path):
    other = replace(SETTINGS, algorithm=2)
    with pytest.raises(StoreMismatchError, match="other settings"), make_or_open(older, other, 4, "test"):
        pass
    assert versions(older) == (6, 6)


def test_a_damaged_catalog_of_an_older_version_is_left_to_the_release_that_made_it(older: Path):
    before = (older / "catalog.db").read_bytes()
    with pytest.raises(StoreMismatchError, match=r"format version 6; expected version 8\. Use the release"):
        mend_catalog(older, "test")
    assert (older / "catalog.db").read_bytes() == before


@pytest.mark.parametrize(
    ("killed", "found"),
    [
        ("before", (6, 6)),
        ("at the first root group", (6, 6)),
        ("at the first catalog", (6, 7)),
        ("at the second root group", (7, 7)),
        ("at the second catalog", (7, 8)),
        ("after", (8, 8)),
    ],
)
def test_an_upgrade_that_was_killed_between_its_steps_is_done_again(
    older: Path, monkeypatch: pytest.MonkeyPatch, killed: str, found: tuple[int, int]
):
    """Property: the root group may be a version ahead of the catalog, never behind it."""
    kept, rename, renamed = what_an_upgrade_keeps(older), Path.rename, itertools.count(1)
    with monkeypatch.context() as kill:
        if killed == "before":
            kill.setattr(BlockStore, "create", lambda *_: 1 / 0)
        elif killed.endswith("root group"):
            last = 1 if "first" in killed else 2
            kill.setattr(Path, "rename", lambda *paths: 1 / 0 if next(renamed) == last else rename(*paths))
        elif killed == "after":
            kill.setattr(Catalog, "shrink", lambda *_: 1 / 0)
        else:
            kill.setitem(upgrades.UPGRADES, 6 if "first" in killed else 7, fail_half_way)
        with pytest.raises(ZeroDivisionError), open_for_writing(older, "test"):
            pass
    assert versions(older) == found
    assert what_an_upgrade_keeps(older) == kept
    require_upgraded(older)


UPGRADES_KILLED = """
import sys
from pathlib import Path
from dedup.store import store, upgrades
from dedup.store.database import Database
from dedup.store.meta import Meta
from tests.killing import kill_at_each_step
from tests.test_store import note_where, rename_where

def run(folder):
    with store.open_for_writing(folder, "test"):
        pass

upgrades.FORMAT_VERSION, upgrades.UPGRADES = 8, {6: note_where, 7: rename_where}
steps = [(Path, "rename"), (upgrades, "upgrade"), (Meta, "set_version"), (Database, "shrink")]
kill_at_each_step(Path(sys.argv[1]), Path(sys.argv[2]), run, steps)
"""


def test_an_upgrade_that_was_killed_is_done_again(older: Path, tmp_path: Path):
    """The stamp is set last in each transaction: killed there, all that came before is taken back."""
    run_killed(UPGRADES_KILLED, older, tmp_path)
    *killed, undisturbed = sorted(tmp_path.glob("killed *"))
    assert [versions(folder) for folder in killed] == [*[(6, 6), (6, 7), (6, 7)], *[(7, 7), (7, 8), (7, 8)], (8, 8)]
    for folder in [*killed, undisturbed]:
        require_upgraded(folder)


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("fingerprint", "[]"),
        ("fingerprint", '{"chromaprint": "1.5.1", "x": 1}'),
        ("block_size", "null"),
        ("block_size", "{{"),
    ],
)
def test_a_stamp_that_cannot_be_read_is_damage(folder: Path, key: str, value: str):
    with closing(Catalog(folder / "catalog.db")) as catalog:
        catalog.meta.put_rows([(key, value)], "INSERT OR REPLACE")
    for opened in (make_or_open(folder, SETTINGS, 4, "test"), open_for_reading(folder)):
        with pytest.raises(StoreDamagedError, match=r"catalog\.db"), opened:
            pass


def test_where_there_is_no_store_it_says_so(tmp_path: Path):
    for opened in (open_for_writing(tmp_path, "test"), open_for_reading(tmp_path)):
        with pytest.raises(StoreMissingError, match="no store"), opened:
            pass
    assert os.listdir(tmp_path) == []


def test_a_store_at_a_glance(folder: Path):
    with open_for_reading(folder) as store:
        found = glance(store)
    assert {key: found[key] for key in ("tracks", "fingerprints", "blocks", "tail", "tiles", "tiles_done")} == {
        "tracks": {"present": 9},
        "fingerprints": 9,
        "blocks": 2,
        "tail": 1,
        "tiles": 6,
        "tiles_done": 0,
    }
    assert found["bytes"] > 9 * 400


# ---- the lock ----

HOLD = """
    import sys
    from pathlib import Path
    from dedup.store.layout import Layout, write_lock
    with write_lock(Layout(Path(sys.argv[1])), "reprise scan"):
        print("held", flush=True)
        sys.stdin.read()
"""


def test_a_second_writer_is_refused_with_the_name_of_the_first(folder: Path):
    with python(HOLD, folder) as other:
        assert other.stdout.readline() == "held\n"
        for opened in (open_for_writing(folder, "test"), make_or_open(folder, SETTINGS, 4, "test")):
            with pytest.raises(StoreLockedError) as raised, opened:
                pass
            for part in (f"pid {other.pid}", socket.gethostname(), "since 20", "reprise scan"):
                assert part in str(raised.value)
        require_sound(folder)
        other.stdin.close()
    with open_for_writing(folder, "test"):
        pass


def test_the_lock_of_a_killed_process_is_free(folder: Path):
    with python(HOLD, folder) as other:
        assert other.stdout.readline() == "held\n"
        other.kill()
    with open_for_writing(folder, "test"):
        assert f'"pid": {os.getpid()}' in (folder / "lock").read_text()
    assert (folder / "lock").read_text() == ""


@pytest.mark.parametrize("content", [b"", b"[1]", b"\xff\xfe", b'{"pid": 3}'])
def test_a_holder_that_did_not_say_who_it_is(folder: Path, content: bytes):
    with write_lock(Layout(folder), "first"):
        (folder / "lock").write_bytes(content)
        with pytest.raises(StoreLockedError, match="another run"), write_lock(Layout(folder), "second"):
            pass


def test_a_full_disk_keeps_nobody_from_the_lock(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(os, "pwrite", refuse(errno.ENOSPC))
    refused = pytest.raises(StoreLockedError)
    with write_lock(Layout(folder), "first"), refused, write_lock(Layout(folder), "second"):
        pass


@pytest.mark.parametrize("call", ["open", "flock"])
def test_a_lock_that_cannot_be_made_is_told_in_one_line(folder: Path, monkeypatch: pytest.MonkeyPatch, call: str):
    import fcntl

    monkeypatch.setattr(*{"open": (os, "open"), "flock": (fcntl, "flock")}[call], refuse(errno.EROFS))
    with pytest.raises(WriteError, match="the disk is read-only"), write_lock(Layout(folder), "x"):
        pass


# ---- kills ----


def test_killed_between_a_block_on_disk_and_its_row_in_the_catalog(folder: Path):
    """Property: a block that never reached the catalog goes, and comes back under the same name."""
    with open_store(folder) as store:
        for seed in (20, 21):
            add_audio(store, recording(seed, 100 + seed))
        fingerprints, items = store.catalog.fingerprints.next_to_seal(store.block_size)
        store.blocks.write(make_block(items))  # and here it is killed
    with open_for_reading(folder) as store:
        (note,) = check(store, Silent())
        assert (note.kind, note.name) == ("note", make_block(items).name)
    with open_store(folder) as store:
        assert make_block(items).name not in store.blocks.names()
        assert store.seal_tail() == 1
        assert store.catalog.blocks.rows()[make_block(items).name] == len(fingerprints) == 3


SEAL_AND_DIE = """
    import os, sys, signal
    from pathlib import Path
    from dedup.store.store import open_for_writing
    syncs, real = iter(range(1000)), os.fsync
    def fsync(descriptor):
        if next(syncs) == int(sys.argv[2]):
            os.kill(os.getpid(), signal.SIGKILL)
        real(descriptor)
    os.fsync = fsync
    with open_for_writing(Path(sys.argv[1]), "test") as store:
        store.seal_tail()
"""


@pytest.mark.long
def test_killed_while_it_seals_the_same_blocks_come_of_it(tmp_path: Path):
    """Property: whatever moment of sealing the process is killed at, the next run ends with the blocks of an
    undisturbed one. The syncs of a block are its 10 files and folders, then that of its rename."""
    named = set()
    for sync, n_sealed in ((4, 0), (10, 0), (25, 2), (999, 3)):
        folder = tmp_path / str(sync)
        with open_store(folder, block_size=3) as store:
            for seed in range(8):
                add_track(store, f"{seed}.mp3", recording(seed, 90 + seed))
        with python(SEAL_AND_DIE, folder, sync) as other:
            assert other.wait() == (0 if sync == 999 else -signal.SIGKILL)
        with open_store(folder) as store:
            assert len(store.catalog.blocks.rows()) == n_sealed
            assert store.seal_tail() == 3 - n_sealed
            named.add(tuple(store.catalog.blocks.rows().items()))
    assert len(named) == 1


def test_the_newest_thousand_runs_are_remembered(folder: Path):
    ending = Ending("done", 0, "done", 0.5, None)
    with open_for_writing(folder, "test") as store:
        ran = (("full", "2026-03-01T02:30:00Z", f"r{number}") for number in range(KEPT_RUN_RECORDS + 3))
        for command, started, name in ran:
            store.catalog.runs.begin(name, command, started)
        store.catalog.runs.begin("last", "full", "2025-01-01T02:30:00Z")  # the clock was set back
        store.catalog.runs.end("last", "2025-01-01T02:31:00Z", ending)
        left = [run.id for run in store.catalog.runs.newest_first()]
        assert len(left) == KEPT_RUN_RECORDS == 1000
        assert left[:2] == ["last", f"r{KEPT_RUN_RECORDS + 2}"]
        assert next(store.catalog.runs.newest_first(1)).ending == ending
    require_sound(folder)


@pytest.mark.parametrize("made", ["nothing", "a folder", "the root group", "an empty catalog", "a wal"])
def test_killed_while_a_store_was_made(tmp_path: Path, made: str):
    folder = tmp_path / "store"
    if made != "nothing":
        folder.mkdir()
    if made in ("the root group", "an empty catalog", "a wal"):
        (folder / "fingerprints.zarr").mkdir()
        (folder / "fingerprints.zarr" / "wip-zarr.json").write_text('{"zarr')
    if made == "an empty catalog":
        (folder / "catalog.db").touch()
    if made == "a wal":
        with closing(Catalog(folder / "catalog.db")):
            pass
    if (folder / "catalog.db").exists():
        for opened in (open_for_reading(folder), open_for_writing(folder, "test")):
            with pytest.raises(StoreMissingError, match="unfinished"), opened:
                pass
    with open_store(folder) as store:
        add_track(store, "a.mp3", recording(1, 99))
        store.seal_tail()
    require_sound(folder)


def test_what_a_killed_writer_committed_is_read(folder: Path):
    """Property: a reader takes in the log of a killed writer, though it may not write itself."""
    with python(
        """
        import os, sys, signal
        from pathlib import Path
        from dedup.store.store import open_for_writing
        with open_for_writing(Path(sys.argv[1]), "test") as store:
            store.catalog.meta.set("last words", "done")
            os.kill(os.getpid(), signal.SIGKILL)
        """,
        folder,
    ) as other:
        other.wait()
    assert (folder / "catalog.db-wal").stat().st_size
    with open_for_reading(folder) as store:
        assert store.catalog.meta.read()["last words"] == "done"
    require_sound(folder)


# ---- a catalog that is not one ----


def damage_pages(content: bytes) -> bytes:
    rng, damaged = random.Random(3), bytearray(content)
    for start in range(4096, len(content), 4096):
        damaged[start : start + 16] = rng.randbytes(16)
    return bytes(damaged)


@pytest.mark.parametrize(
    "damage",
    [lambda _: b"", lambda _: b"garbage" * 999, lambda c: c[:5000], lambda c: c[:100], damage_pages],
    ids=["empty", "garbage", "truncated", "header only", "pages"],
)
def test_a_damaged_catalog_is_told_in_one_line(folder: Path, damage: Callable[[bytes], bytes]):
    catalog = folder / "catalog.db"
    catalog.write_bytes(damage(catalog.read_bytes()))

    def reading() -> None:
        with open_for_reading(folder) as store:
            list(store.catalog.tracks.all())
            store.catalog.fingerprints.totals()

    def writing() -> None:
        with open_for_writing(folder, "test") as store:
            add_track(store, "new.mp3", recording(77, 99))
            store.seal_tail()

    def scanning() -> None:
        with make_or_open(folder, SETTINGS, 4, "test") as store:
            add_track(store, "new.mp3", recording(77, 99))

    for use in (reading, writing, scanning):
        with pytest.raises(StoreDamagedError, match=r"catalog\.db"):
            use()
    with contextlib.suppress(StoreDamagedError), open_for_reading(folder) as store:
        assert {finding.kind for finding in check(store, Silent())} >= {"catalog"}


def test_damage_that_shows_only_later_is_told_as_damage(folder: Path):
    """Property: whatever was being done when SQLite found a rotten page, it is a StoreDamagedError."""
    with closing(sqlite3.connect(folder / "catalog.db")) as connection:
        query = "SELECT rootpage FROM sqlite_schema WHERE name = 'track'"
        (page,) = connection.execute(query).fetchone()
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    with open(folder / "catalog.db", "r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xff" * 64)
    with pytest.raises(StoreDamagedError, match="malformed"), open_for_reading(folder) as store:
        assert store.block_size == 4
        list(store.catalog.tracks.all())


@pytest.mark.parametrize("found", ["missing", "empty"])
def test_blocks_whose_catalog_is_gone_are_not_scanned_over(folder: Path, found: str):
    """Property: nobody makes a catalog beside them, nor takes away what may be left of the lost one in its log."""
    blocks = sorted(os.listdir(folder / "fingerprints.zarr"))
    catalog, log = folder / "catalog.db", folder / "catalog.db-wal"
    os.truncate(catalog, 0) if found == "empty" else catalog.unlink()
    log.write_bytes(b"commits")
    for opened in (
        make_or_open(folder, SETTINGS, 4, "test"),
        open_for_writing(folder, "test"),
        open_for_reading(folder),
    ):
        with (
            pytest.raises(CatalogDamagedError, match=rf"{found}, although there are blocks.*--repair.*are lost then$"),
            opened,
        ):
            pass
    assert sorted(os.listdir(folder / "fingerprints.zarr")) == blocks
    assert (catalog.exists(), log.read_bytes()) == (found == "empty", b"commits")


# ---- a disk that refuses ----


def refuse(code: int) -> Callable[..., object]:
    def refusing(*_: object, **__: object) -> object:
        raise OSError(code, os.strerror(code))

    return refusing


def told(error: BaseException, folder: Path) -> str:
    known = as_reprise_error(error, folder)
    assert isinstance(known, WriteError)
    return str(known)


def test_a_disk_that_is_full_when_a_block_is_written(folder: Path, monkeypatch: pytest.MonkeyPatch):
    with open_store(folder) as store:
        with monkeypatch.context() as full:
            full.setattr(os, "fsync", refuse(errno.ENOSPC))
            with pytest.raises(OSError, match="No space") as raised:
                store.seal_tail()
        assert "the disk is full" in told(raised.value, folder)
        assert check(store, Silent()) == []
        assert store.seal_tail() == 1


def test_a_disk_that_is_full_when_the_catalog_is_written(folder: Path):
    with open_store(folder) as store:
        before = list(store.catalog.tracks.all())
        (pages,) = store.catalog.connection.execute("PRAGMA page_count").fetchone()
        store.catalog.connection.execute(f"PRAGMA max_page_count = {pages}")
        with pytest.raises(sqlite3.OperationalError, match="full") as raised:
            for seed in range(100, 200):
                add_track(store, f"{seed}.mp3", recording(seed, 3000))
        assert "the disk is full" in told(raised.value, folder)
        assert {track.path for track in before} <= {track.path for track in store.catalog.tracks.all()}
        assert check(store, Silent()) == []
        store.catalog.connection.execute(f"PRAGMA max_page_count = {pages * 100}")
        add_track(store, "200.mp3", recording(200, 3000))
        store.seal_tail()


def test_a_disk_that_is_full_while_a_store_is_made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    folder = tmp_path / "store"
    with monkeypatch.context() as full:
        full.setattr(os, "fsync", refuse(errno.ENOSPC))
        with pytest.raises(OSError, match="No space"), make_or_open(folder, SETTINGS, 4, "test"):
            pass
    with pytest.raises(StoreMissingError, match="unfinished"), open_for_reading(folder):
        pass
    with open_store(folder) as store:
        add_track(store, "a.mp3", recording(1, 99))


def test_a_folder_that_cannot_be_made_is_told_in_one_line(tmp_path: Path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="Not a directory"), make_or_open(tmp_path / "file" / "s", SETTINGS, 4, "x"):
        pass


class Refusing(sqlite3.Connection):
    """A connection as on a read-only disk, where SQLite can make no file beside the catalog (chmod does not stop
    root): it opens, and the first query fails."""

    def execute(self, *_: object) -> sqlite3.Cursor:
        error = sqlite3.OperationalError("unable to open database file")
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error


@pytest.fixture
def read_only(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The store, on such a disk."""
    real = sqlite3.connect

    def connect(database: str, **kwargs: object) -> sqlite3.Connection:
        factory = sqlite3.Connection if "immutable" in database else Refusing
        return real(database, factory=factory, **kwargs)

    monkeypatch.setattr(sqlite3, "connect", connect)
    return folder


def test_a_store_on_a_read_only_disk_is_read(read_only: Path):
    require_sound(read_only)


def test_a_log_on_a_read_only_disk_is_not_passed_over(read_only: Path):
    (read_only / "catalog.db-wal").write_bytes(b"commits")
    with pytest.raises(WriteError, match="left commits in its log"), open_for_reading(read_only):
        pass


def test_any_other_error_passes_as_it_is(folder: Path):
    with pytest.raises(sqlite3.OperationalError, match="no such table"), open_for_reading(folder) as store:
        store.catalog.connection.execute("SELECT * FROM elsewhere")
    with pytest.raises(ZeroDivisionError), open_for_reading(folder):
        raise ZeroDivisionError


# ---- fingerprints ----


def test_items_are_found_wherever_they_are(folder: Path):
    with open_for_reading(folder) as store:
        for seed in range(9):
            fingerprint = store.catalog.fingerprints.find(recording(seed, 100 + seed))
            assert (store.items_of(fingerprint) == recording(seed, 100 + seed)).all()
        with pytest.raises(StoreDamagedError, match="fingerprint 77 is neither in a block nor in the tail"):
            store.items_of(77)


def test_a_long_tail_is_sealed_while_a_scan_goes_on(folder: Path, monkeypatch: pytest.MonkeyPatch):
    with open_store(folder) as store:
        assert store.seal_tail(all_of_it=False) == 0
        monkeypatch.setattr(store_module, "SEAL_AT_ROWS", 1)
        assert store.seal_tail(all_of_it=False) == 1
        assert store.seal_tail() == 0


def test_tidying_takes_only_what_is_its_own(folder: Path):
    (folder / "fingerprints.zarr" / "notes").mkdir()
    (folder / "fingerprints.zarr" / ".DS_Store").touch()
    with open_for_writing(folder, "test") as store:
        assert isinstance(store, Store)
    assert {"notes", ".DS_Store"} <= set(os.listdir(folder / "fingerprints.zarr"))
