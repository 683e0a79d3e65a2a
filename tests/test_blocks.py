"""Blocks: what is written is read, and whatever is not as it was written is found out and named."""

from __future__ import annotations

import errno
import json
import os
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as npst

from dedup.errors import StoreDamagedError
from dedup.store import blocks
from dedup.store.blocks import Block, BlockStore, make_block
from tests.stores import recording

FINGERPRINTS = st.lists(npst.arrays(np.uint32, st.integers(0, 40)), max_size=8)


@pytest.fixture
def store(tmp_path: Path) -> BlockStore:
    created = BlockStore(tmp_path / "fingerprints.zarr")
    created.create({"format_version": 1})
    return created


def a_block(seed: int = 0) -> Block:
    return make_block([recording(seed, 30), recording(seed + 1, 0), recording(seed + 2, 50)])


def tree(folder: Path) -> dict[str, bytes]:
    return {str(file.relative_to(folder)): file.read_bytes() for file in folder.rglob("*") if file.is_file()}


@settings(max_examples=15)
@given(FINGERPRINTS)
def test_what_is_written_is_read(tmp_path_factory: pytest.TempPathFactory, fingerprints: list[np.ndarray]):
    store = BlockStore(tmp_path_factory.mktemp("blocks"))
    block = make_block(fingerprints)
    store.write(block)
    found = store.read(block.name)
    assert found.name == block.name
    assert found.n_rows == len(fingerprints)
    for row, items in enumerate(fingerprints):
        assert np.array_equal(found.row(row), items)
    assert (found.items.dtype, found.offsets.dtype) == (np.uint32, np.int64)
    assert store.names() == {block.name}


@given(FINGERPRINTS, FINGERPRINTS)
def test_a_name_is_a_digest_of_the_content(a: list[np.ndarray], b: list[np.ndarray]):
    same = len(a) == len(b) and all(np.array_equal(x, y) for x, y in zip(a, b, strict=True))
    assert (make_block(a).name == make_block(b).name) == same


def test_a_name_is_the_same_on_every_machine():
    fingerprints = [np.array([1, 2, 0xFFFFFFFF], np.uint32), np.array([], np.uint32)]
    assert make_block(fingerprints).name == "c10c950e4dd2c38939c47630f1cd569b"
    assert make_block([items.astype(">u4") for items in fingerprints]).name == make_block(fingerprints).name


def test_where_a_row_ends_is_part_of_the_name():
    items = recording(1, 10)
    assert make_block([items[:4], items[4:]]).name != make_block([items[:5], items[5:]]).name


def test_a_block_of_several_chunks(store: BlockStore, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(blocks, "CHUNK_ITEMS", 16)
    block = make_block([recording(seed, 7) for seed in range(20)])
    store.write(block)
    assert sorted(os.listdir(store.folder / block.name / "items" / "c")) == sorted(str(i) for i in range(9))
    assert np.array_equal(store.read(block.name).items, block.items)


@pytest.mark.parametrize("n_rows", [0, 1, 5])
def test_a_block_without_items(store: BlockStore, n_rows: int):
    block = make_block([np.empty(0, np.uint32)] * n_rows)
    store.write(block)
    assert store.read(block.name).n_rows == n_rows


def test_a_chunk_of_zeros_is_a_file_too(store: BlockStore):
    block = make_block([np.zeros(20, np.uint32)])
    store.write(block)
    assert {"items/c/0", "offsets/c/0"} <= tree(store.folder / block.name).keys()
    assert store.problem(block.name) is None


def test_any_zarr_reader_reads_a_block(store: BlockStore):
    block = a_block()
    store.write(block)
    group = zarr.open_group(store.folder, mode="r")
    assert np.array_equal(group[f"{block.name}/items"][:], block.items)
    assert np.array_equal(group[f"{block.name}/offsets"][:], block.offsets)
    assert group[block.name].attrs.asdict() == {"n_items": 80, "n_rows": 3}


@pytest.mark.parametrize("n_items", [0, 1, 16, 17, 40])
def test_chunks_are_what_zarr_writes(store: BlockStore, monkeypatch: pytest.MonkeyPatch, n_items: int):
    monkeypatch.setattr(blocks, "CHUNK_ITEMS", 16)
    block = make_block([recording(3, n_items), np.zeros(16, np.uint32)])
    store.write(block)
    before = tree(store.folder)
    with zarr.config.set({"array.write_empty_chunks": True}):
        for name, content in (("items", block.items), ("offsets", block.offsets)):
            array = zarr.open_array(store.folder / block.name / name, mode="r+")
            shutil.rmtree(store.folder / block.name / name / "c")
            array[:] = content
    assert tree(store.folder) == before


@pytest.mark.parametrize("change", [lambda content: content[:-1], lambda content: content + b"\0"])
def test_a_chunk_of_another_length_is_damage(store: BlockStore, change: Callable[[bytes], bytes]):
    block = a_block()
    store.write(block)
    chunk = store.folder / block.name / "offsets/c/0"
    chunk.write_bytes(change(chunk.read_bytes()))
    problem = store.problem(block.name)
    assert problem is not None and problem.startswith("cannot be read")


def test_a_sound_block_is_not_written_again(store: BlockStore):
    block = a_block()
    store.write(block)
    before = {file: file.stat().st_ino for file in (store.folder / block.name).rglob("*")}
    store.write(block)
    assert {file: file.stat().st_ino for file in (store.folder / block.name).rglob("*")} == before


def test_a_damaged_block_of_the_same_name_is_replaced(store: BlockStore):
    block = a_block()
    store.write(block)
    before = tree(store.folder)
    flip(store.folder / block.name / "items/c/0", 10, 3)
    store.write(block)
    assert tree(store.folder) == before


def test_what_a_killed_run_left_half_written_is_removed_and_in_nobodys_way(store: BlockStore):
    block = a_block()
    half = store.folder / f"wip-{block.name}"
    half.mkdir()
    (half / "zarr.json").write_text("{")
    assert store.names() == set()
    assert store.unfinished() == {half.name}
    store.write(block)
    assert store.problem(block.name) is None
    half.mkdir()
    (store.folder / "wip-zarr.json").write_text("{")
    store.drop_unfinished()
    assert sorted(os.listdir(store.folder)) == sorted([block.name, "zarr.json"])


def test_what_is_no_block_is_left_alone(store: BlockStore):
    (store.folder / "my notes").mkdir()
    (store.folder / "0123").touch()
    assert store.names() == store.unfinished() == set()


def test_without_the_folder_there_are_no_blocks(tmp_path: Path):
    store = BlockStore(tmp_path / "gone")
    assert store.names() == set()
    store.drop_unfinished()
    store.drop("0" * 32)


# ---- damage ----


def flip(file: Path, byte: int, bit: int) -> None:
    content = bytearray(file.read_bytes())
    content[byte] ^= 1 << bit
    file.write_bytes(content)


def require_damaged(store: BlockStore, name: str) -> None:
    with pytest.raises(StoreDamagedError) as raised:
        store.read(name)
    assert name in str(raised.value)
    assert store.problem(name) is not None


def test_any_flipped_bit_is_found(store: BlockStore):
    """Property: no byte of any file of a block can change unnoticed: metadata, chunks, checksums."""
    block = a_block()
    store.write(block)
    rng = random.Random(5)
    folder = store.folder / block.name
    for relative, content in tree(folder).items():
        edges = {0, len(content) - 5, len(content) - 4, len(content) - 1}  # a chunk's last 4 bytes are its checksum
        for byte in sorted(edges | set(rng.sample(range(len(content)), min(40, len(content))))):
            flip(folder / relative, byte, rng.randrange(8))
            require_damaged(store, block.name)
            (folder / relative).write_bytes(content)
    assert store.read(block.name).name == block.name


def test_a_changed_number_in_the_metadata_is_found_before_anything_is_allocated(store: BlockStore):
    block = a_block()
    store.write(block)
    for relative, key in (("zarr.json", "attributes"), ("items/zarr.json", "shape")):
        file = store.folder / block.name / relative
        content = file.read_text()
        for huge in (10**15, -1, 1e400, "x", None):
            metadata = json.loads(content)
            metadata[key] = {"n_items": huge, "n_rows": 3} if key == "attributes" else [huge]
            file.write_text(json.dumps(metadata))
            require_damaged(store, block.name)
        file.write_text(content)


@pytest.mark.parametrize("file", ["zarr.json", "items/zarr.json", "offsets/zarr.json", "items/c/0", "offsets/c/0"])
@pytest.mark.parametrize(
    "damage",
    [
        lambda file: file.unlink(),
        lambda file: file.write_bytes(b""),
        lambda file: file.write_bytes(file.read_bytes()[:-1]),
        lambda file: file.write_bytes(file.read_bytes() + b"\0"),
        lambda file: file.write_bytes(b"[" * 100_000),
        lambda file: (file.unlink(), file.mkdir()),
    ],
    ids=["missing", "empty", "truncated", "longer", "nonsense", "a folder"],
)
def test_a_damaged_file_is_found(store: BlockStore, file: str, damage: Callable[[Path], object]):
    block = a_block()
    store.write(block)
    damage(store.folder / block.name / file)
    require_damaged(store, block.name)


def test_a_block_under_another_name_is_found(store: BlockStore):
    store.write(a_block(0))
    (store.folder / a_block(0).name).rename(store.folder / a_block(9).name)
    require_damaged(store, a_block(9).name)
    require_damaged(store, a_block(0).name)
    shutil.rmtree(store.folder)
    require_damaged(store, a_block(9).name)


# ---- writes that the disk refuses ----


@pytest.mark.parametrize("call", ["fsync", "rename", "write_bytes"])
@pytest.mark.parametrize("at", [0, 1, 2])
def test_a_full_disk_leaves_nothing_behind(store: BlockStore, monkeypatch: pytest.MonkeyPatch, call: str, at: int):
    owner = Path if call in ("rename", "write_bytes") else os
    real, calls = getattr(owner, call), iter(range(1000))

    def refusing(*args: object, **kwargs: object) -> object:
        if next(calls) >= (0 if call == "rename" else at):
            raise OSError(errno.ENOSPC, "No space left on device")
        return real(*args, **kwargs)

    store.write(a_block(0))
    before = tree(store.folder)
    with monkeypatch.context() as patched:
        patched.setattr(owner, call, refusing)
        with pytest.raises(OSError, match="No space") as raised:
            store.write(a_block(9))
    assert raised.value.errno == errno.ENOSPC
    assert tree(store.folder) == before
    store.write(a_block(9))
    assert store.names() == {a_block(0).name, a_block(9).name}


def test_the_root_group_is_replaced_whole(store: BlockStore, monkeypatch: pytest.MonkeyPatch):
    assert store.is_created({"format_version": 1})
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(errno.ENOSPC, "full")))
        with pytest.raises(OSError, match="full"):
            store.create({"format_version": 2})
    assert store.is_created({"format_version": 1})
    flip(store.folder / "zarr.json", 20, 1)
    assert not store.is_created({"format_version": 1})
    store.create({"format_version": 1})
    store.drop_unfinished()
    assert store.is_created({"format_version": 1})
    assert os.listdir(store.folder) == ["zarr.json"]
