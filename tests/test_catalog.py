"""The catalog: all or nothing, one fingerprint for the same items, one order whatever the order of arrival."""

from __future__ import annotations

import random
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from dedup.errors import StoreDamagedError
from dedup.store import database
from dedup.store.catalog import Catalog
from dedup.store.database import is_damage
from dedup.store.items import SILENT_ITEM, items_digest, n_distinct
from dedup.store.results import TileResult
from dedup.store.store import Store
from dedup.store.tracks import Track
from tests.stores import add_audio, open_store, recording

AWKWARD = (b"/music/caf\xe9.mp3", b"/music/a\nb.mp3", b"/music/\xff\xfe", "/music/é".encode(), b"/music/" + b"x" * 255)


@pytest.fixture
def store(tmp_path: Path) -> Iterator[Store]:
    with open_store(tmp_path / "store") as opened:
        yield opened


def a_track(path: bytes, audio: int | None, **changes: object) -> Track:
    problem = ("failed", "no reason") if audio is None else (None, None)
    track = Track(
        0,
        path,
        b"/music",
        b"/",
        10,
        20,
        30,
        40,
        "present",
        None,
        None,
        audio,
        *problem,
        problem[0] and "settings",
        "{}",
    )
    return replace(track, **changes)


def count(store: Store, table: str) -> int:
    return store.catalog.connection.execute(f"SELECT COUNT(*) FROM {table}").fetchone()[0]


def test_a_transaction_is_all_or_nothing(store: Store):
    with pytest.raises(RuntimeError, match="half way"), store.catalog.transaction():
        fingerprint = store.catalog.fingerprints.add(recording(1, 99))
        store.catalog.tracks.put(a_track(b"/music/a", store.catalog.audios.add(fingerprint, None, "", None)))
        raise RuntimeError("half way")
    assert [count(store, table) for table in ("track", "audio", "fingerprint", "tail")] == [0, 0, 0, 0]
    with store.catalog.transaction():
        store.catalog.tracks.put(a_track(b"/music/a", None))
    assert count(store, "track") == 1


def test_gathered_transactions_are_committed_together_and_each_is_all_or_nothing(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def put(*paths: bytes, fails: bool = False) -> None:
        with store.catalog.transaction():
            for path in paths:
                store.catalog.tracks.put(a_track(path, None))
            if fails:
                raise RuntimeError("half way")

    with closing(Catalog(store.layout.catalog, writable=False)) as reader:

        def seen() -> list[bytes]:
            return [track.path for track in reader.tracks.all()]

        with store.catalog.gathered() as commit_in_time:
            assert commit_in_time(), "nothing waits"
            put(b"/music/a")
            with pytest.raises(RuntimeError, match="half way"):
                put(b"/music/b", b"/music/c", fails=True)
            assert not commit_in_time() and seen() == []
            monkeypatch.setattr(database, "GATHER_S", 0.0)
            assert commit_in_time() and seen() == [b"/music/a"]
            put(b"/music/d")
            assert seen() == [b"/music/a"]
        assert seen() == [b"/music/a", b"/music/d"]
        with pytest.raises(RuntimeError, match="half way"), store.catalog.gathered():
            put(b"/music/e")
            put(b"/music/f", fails=True)
        assert seen() == [b"/music/a", b"/music/d", b"/music/e"]
        put(b"/music/g")
        assert seen()[-1] == b"/music/g"


def test_a_full_disk_does_not_hide_the_error_in_which_gathered_transactions_end(
    store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refused() -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(store.catalog, "_commit", refused)
    with pytest.raises(RuntimeError, match="half way"), store.catalog.gathered():
        raise RuntimeError("half way")
    with pytest.raises(sqlite3.OperationalError, match="full"), store.catalog.gathered():
        pass


def test_what_a_rolled_back_transaction_met_is_what_is_told(store: Store):
    """Property: a statement after which SQLite rolls back by itself does not hide behind a second error."""
    with pytest.raises(sqlite3.IntegrityError, match="UNIQUE"), store.catalog.transaction() as connection:
        connection.execute("INSERT OR ROLLBACK INTO meta (key, value) VALUES ('block_size', '1')")
    with store.catalog.transaction():
        store.catalog.meta.set("later", 1)
    assert store.catalog.meta.read()["later"] == 1


def test_putting_a_track_replaces_what_was_known_of_its_path(store: Store):
    audio = add_audio(store, recording(1, 99))
    with store.catalog.transaction():
        store.catalog.tracks.put(a_track(b"/music/a", None))
        first = store.catalog.tracks.get(b"/music/a")
        store.catalog.tracks.put(a_track(b"/music/a", audio, size=11, state="absent", full=b"f" * 32))
    found = store.catalog.tracks.get(b"/music/a")
    assert found == a_track(b"/music/a", audio, size=11, state="absent", full=b"f" * 32, id=first.id)
    assert count(store, "track") == 1


def test_a_path_is_bytes(store: Store):
    audio = add_audio(store, recording(1, 99))
    with store.catalog.transaction():
        for path in AWKWARD:
            store.catalog.tracks.put(a_track(path, audio))
    assert [track.path for track in store.catalog.tracks.all()] == sorted(AWKWARD)
    with store.catalog.transaction():
        store.catalog.tracks.set_state(AWKWARD[:2], "absent")
        store.catalog.tracks.set_full(AWKWARD[0], b"f" * 32)
        store.catalog.tracks.forget(AWKWARD[2:])
    assert [(t.path, t.state, t.full) for t in store.catalog.tracks.all()] == [
        (b"/music/a\nb.mp3", "absent", None),
        (b"/music/caf\xe9.mp3", "absent", b"f" * 32),
    ]


def test_the_same_items_are_one_fingerprint(store: Store):
    first, second = (add_audio(store, recording(1, 99), stream=stream * 16) for stream in (b"a", b"b"))
    add_audio(store, recording(2, 99))
    a, b = (store.catalog.audios.get(audio) for audio in (first, second))
    assert (a.fingerprint, a.stream, b.stream) == (b.fingerprint, b"a" * 16, b"b" * 16)
    assert count(store, "fingerprint") == count(store, "tail") == 2
    store.seal_tail()
    add_audio(store, recording(1, 99))
    assert (count(store, "fingerprint"), store.catalog.fingerprints.tail_length()) == (2, 0)


def test_blocks_do_not_depend_on_the_order_of_arrival(tmp_path: Path):
    fingerprints = [recording(seed, 80 + seed // 3) for seed in range(11)]
    named = []
    for order in range(4):
        random.Random(order).shuffle(fingerprints)
        with open_store(tmp_path / str(order), block_size=4) as store:
            for items in fingerprints:
                add_audio(store, items)
            assert store.seal_tail() == 3
            named.append(store.catalog.blocks.rows())
            for items in fingerprints:
                assert np.array_equal(store.items_of(store.catalog.fingerprints.find(items)), items)
    assert named == named[:1] * 4
    assert sorted(named[0].values()) == [3, 4, 4]


def test_a_reference_to_what_is_not_there_is_refused(store: Store):
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"), store.catalog.transaction():
        store.catalog.tracks.put(a_track(b"/music/a", 7))
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        store.catalog.results.commit([TileResult("t", "s", "no block", "no block", 0, b"")])
    add_audio(store, recording(1, 99))
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        store.catalog.connection.execute("DELETE FROM fingerprint")


@pytest.mark.parametrize(
    ("audio", "changes"),
    [(None, {"problem": None}), (None, {"problem_kind": None}), (1, {"problem": "x"}), (1, {"state": "lost"})],
)
def test_a_track_that_makes_no_sense_is_refused(store: Store, audio: int | None, changes: dict[str, object]):
    add_audio(store, recording(1, 99))
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        store.catalog.tracks.put(a_track(b"/music/a", audio, **changes))


def test_a_reader_beside_a_writer_sees_only_what_is_committed(store: Store):
    add_audio(store, recording(1, 99))
    with closing(Catalog(store.catalog.path, writable=False)) as reader:
        with store.catalog.transaction():
            store.catalog.tracks.put(a_track(b"/music/a", None))
            assert list(reader.tracks.all()) == []
        assert len(list(reader.tracks.all())) == 1
        with reader.snapshot():
            assert len(list(reader.tracks.all())) == 1
            with store.catalog.transaction():
                store.catalog.tracks.put(a_track(b"/music/b", None))
            store.seal_tail()
            assert (len(list(reader.tracks.all())), reader.fingerprints.tail_length()) == (1, 1)
        assert (len(list(reader.tracks.all())), reader.fingerprints.tail_length()) == (2, 0)


def test_a_reader_cannot_write(store: Store):
    refused = pytest.raises(sqlite3.OperationalError, match="readonly")
    with closing(Catalog(store.catalog.path, writable=False)) as reader, refused:
        reader.meta.set("block_size", 9)


def test_sealing_gives_the_room_of_the_tail_back(store: Store):
    for seed in range(40):
        add_audio(store, recording(seed, 2000))
    store.seal_tail()
    assert store.catalog.connection.execute("PRAGMA freelist_count").fetchone() == (0,)
    store.catalog.connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    assert store.catalog.path.stat().st_size < 40 * 8000 / 2


def test_how_many_items_differ():
    for items in ([], [SILENT_ITEM] * 3, [4], [4, SILENT_ITEM, 4], [9, 4, 4, 9, 7, SILENT_ITEM]):
        assert n_distinct(np.array(items, np.uint32)) == len(set(items) - {SILENT_ITEM})


def test_digests_are_the_same_on_every_machine():
    items = np.array([1, 0xFFFFFFFF], np.uint32)
    assert items_digest(items).hex() == items_digest(items.astype(">u4")).hex() == "10aa871eede567e2e0d181dc7e6d428b"


def test_a_result_that_is_not_what_was_committed_is_never_given(store: Store):
    for seed in range(5):
        add_audio(store, recording(seed, 99))
    store.seal_tail()
    block = next(iter(store.catalog.blocks.rows()))
    store.catalog.meta.set("compare s", {})
    store.catalog.results.commit([TileResult(name, "s", block, block, 1, b"p" * 36) for name in ("t", "u")])
    assert [tile.name for tile in store.catalog.results.with_pairs("s")] == ["t", "u"]
    for change in (f"pairs = x'{'71' * 36}'", "row_digest = x'00'", "name = 'v'", "n_pairs = 2"):
        store.catalog.connection.execute("SAVEPOINT before")
        store.catalog.connection.execute(f"UPDATE tile SET {change} WHERE name = 'u'")
        with pytest.raises(StoreDamagedError, match=r"row [uv] of table tile"):
            list(store.catalog.results.with_pairs("s"))
        store.catalog.connection.execute("ROLLBACK TO before")
        store.catalog.connection.execute("RELEASE before")
    with store.catalog.transaction() as connection:
        connection.execute("DELETE FROM tile")
        store.catalog.meta.drop("compare s")


@pytest.mark.parametrize(
    ("content", "damage"), [(b"garbage" * 1000, True), (b"SQLite format 3\0" + b"\xff" * 5000, True), (b"", False)]
)
def test_what_sqlite_calls_damage(tmp_path: Path, content: bytes, damage: bool):
    (tmp_path / "catalog.db").write_bytes(content)
    for writable in (False, True):
        try:
            with closing(Catalog(tmp_path / "catalog.db", writable)) as catalog:
                assert catalog.meta.stamp() == {}
        except sqlite3.DatabaseError as error:
            assert is_damage(error)
            assert damage
        else:
            assert not damage


def test_not_every_error_is_damage():
    assert not is_damage(sqlite3.OperationalError("database or disk is full"))
    with closing(sqlite3.connect(":memory:")) as connection:
        with pytest.raises(sqlite3.Error) as raised:
            connection.execute("SELECT nothing")
        assert not is_damage(raised.value)
        with pytest.raises(sqlite3.Error) as raised:
            connection.execute("SELECT CAST(x'ff' AS TEXT)").fetchone()
        assert is_damage(raised.value)
