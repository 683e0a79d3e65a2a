"""Sealed blocks of fingerprints: Zarr arrays, written once and named by a digest of their content.

Zarr's library reads them. They are written here, as the same bytes: to import it takes longer than decoding a song, and
a scan need not wait for that."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedup.errors import StoreDamagedError
from dedup.store.layout import PRIVATE_FILE, PRIVATE_FOLDER, tighten_tree

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

CHUNK_ITEMS = 1 << 20
"""Most elements in a Zarr chunk: 4 MiB of items, 8 MiB of offsets."""

WIP_PREFIX = "wip-"

METADATA = "zarr.json"

_CHECKSUM_BYTES = 4

_NAME = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True)
class Block:
    """Fingerprints of a block, concatenated: row `r` is `items[offsets[r]:offsets[r + 1]]`."""

    name: str
    items: npt.NDArray[np.uint32]
    """`uint32[n_items]`."""
    offsets: npt.NDArray[np.int64]
    """`int64[n_rows + 1]`, from 0 to `n_items`, never decreasing."""

    @property
    def n_rows(self) -> int:
        return len(self.offsets) - 1

    def row(self, row: int) -> npt.NDArray[np.uint32]:
        """The items of one fingerprint: a view, not a copy."""
        return self.items[self.offsets[row] : self.offsets[row + 1]]


def make_block(fingerprints: Sequence[npt.NDArray[np.uint32]]) -> Block:
    """The block that holds these fingerprints in this order, named."""
    import numpy as np

    offsets = np.zeros(len(fingerprints) + 1, np.int64)
    np.cumsum([len(items) for items in fingerprints], out=offsets[1:])
    items = np.concatenate([np.empty(0, np.uint32), *fingerprints])
    return Block(block_name(items, offsets), items, offsets)


def block_name(items: npt.NDArray[np.uint32], offsets: npt.NDArray[np.int64]) -> str:
    """32 hex digits: BLAKE2b, 16 bytes, of the number of offsets (int64), the offsets (int64) and the items (uint32),
    all little-endian."""
    import numpy as np

    digest = hashlib.blake2b(digest_size=16)
    digest.update(np.int64(len(offsets)).astype("<i8").tobytes())
    digest.update(np.ascontiguousarray(offsets, "<i8").data)
    digest.update(np.ascontiguousarray(items, "<u4").data)
    return digest.hexdigest()


class BlockStore:
    """The blocks of one store, under `fingerprints.zarr/`."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def create(self, attributes: dict[str, Any]) -> None:
        """Writes the Zarr root group, or repairs it: its metadata depends on the store's stamp alone."""
        self.folder.mkdir(mode=PRIVATE_FOLDER, exist_ok=True)
        temporary = self.folder / f"{WIP_PREFIX}{METADATA}"
        temporary.write_bytes(_group_metadata(attributes))
        temporary.chmod(PRIVATE_FILE)
        sync(temporary)
        temporary.rename(self.folder / METADATA)
        sync(self.folder)
        sync(self.folder.parent)

    def is_created(self, attributes: dict[str, Any]) -> bool:
        """Whether the root group exists, with exactly these attributes."""
        return _has(self.folder / METADATA, _group_metadata(attributes))

    def write(self, block: Block) -> None:
        """Writes a block under a temporary name, syncs it, then renames it. Keeps a sound block that already exists:
        the same name means the same content. Raises OSError, and then leaves nothing behind."""
        final = self.folder / block.name
        if final.exists():
            if self.problem(block.name) is None:
                return
            self.drop(block.name)
        wip = self.folder / f"{WIP_PREFIX}{block.name}"
        shutil.rmtree(wip, ignore_errors=True)
        try:
            _write_arrays(wip, block)
            tighten_tree(wip)
            _sync_tree(wip)
            wip.rename(final)
        except BaseException:
            shutil.rmtree(wip, ignore_errors=True)
            raise
        sync(self.folder)

    def read(self, name: str) -> Block:
        """The block of that name. Raises StoreDamagedError if it is missing or any of its bytes has changed: compares
        metadata byte by byte, chunks with their checksums, content with the name."""
        import numpy as np
        import zarr

        folder = self.folder / name
        if not folder.is_dir():
            raise _damaged(folder, "is missing")
        _require_metadata(folder)
        try:
            arrays = [zarr.open_array(folder / array, mode="r", zarr_format=3)[:] for array in ("items", "offsets")]
        except Exception as error:  # zarr raises many kinds of errors for damaged chunks
            raise _damaged(folder, f"cannot be read ({type(error).__name__}: {error})") from error
        items, offsets = np.asarray(arrays[0], np.uint32), np.asarray(arrays[1], np.int64)
        if block_name(items, offsets) != name:
            raise _damaged(folder, "its content does not match its name")
        return Block(name, items, offsets)

    def problem(self, name: str) -> str | None:
        """What is wrong with a block; None if it is sound."""
        try:
            self.read(name)
        except StoreDamagedError as error:
            return error.found
        return None

    def names(self) -> set[str]:
        """Names of the sealed blocks on disk, sound or not."""
        return {entry for entry in self._entries() if _NAME.fullmatch(entry)}

    def drop(self, name: str) -> None:
        """Removes a block from disk, if it is there."""
        _remove(self.folder / name)

    def unfinished(self) -> set[str]:
        """Names of what a killed run left half written."""
        return {entry for entry in self._entries() if entry.startswith(WIP_PREFIX)}

    def drop_unfinished(self) -> None:
        """Removes what a killed run left half written."""
        for entry in self.unfinished():
            _remove(self.folder / entry)

    def _entries(self) -> list[str]:
        return os.listdir(self.folder) if self.folder.is_dir() else []


def _write_arrays(folder: Path, block: Block) -> None:
    n_items, n_offsets = len(block.items), len(block.offsets)
    for relative, content in _metadata(n_items, n_offsets).items():
        (folder / relative).parent.mkdir(parents=True, exist_ok=True)
        (folder / relative).write_bytes(content)
    for name, data, kind in (("items", block.items, "<u4"), ("offsets", block.offsets, "<i8")):
        chunks = folder / name / "c"
        for number, start in enumerate(range(0, len(data), CHUNK_ITEMS)):
            chunks.mkdir(exist_ok=True)
            part = data[start : start + CHUNK_ITEMS].astype(kind, copy=False).tobytes()
            content = part.ljust(_chunk_length(len(data)) * data.itemsize, b"\0")
            (chunks / str(number)).write_bytes(content + _checksum(content))


def _checksum(content: bytes) -> bytes:
    """That of the codec `crc32c`, which stands behind the content of a chunk."""
    import google_crc32c

    value: int = google_crc32c.value(content)
    return value.to_bytes(_CHECKSUM_BYTES, "little")


def _chunk_length(length: int) -> int:
    """Elements of each chunk of an array, also of its last one, which zeros fill up."""
    return max(1, min(length, CHUNK_ITEMS))


def _metadata(n_items: int, n_offsets: int) -> dict[str, bytes]:
    """The `zarr.json` files of a block, by path: they depend on its size alone, so any other byte is damage."""
    return {
        METADATA: _group_metadata({"n_items": n_items, "n_rows": n_offsets - 1}),
        f"items/{METADATA}": _array_metadata("uint32", n_items),
        f"offsets/{METADATA}": _array_metadata("int64", n_offsets),
    }


def _group_metadata(attributes: dict[str, Any]) -> bytes:
    return _json({"attributes": attributes, "node_type": "group", "zarr_format": 3})


def _array_metadata(data_type: str, length: int) -> bytes:
    return _json(
        {
            "attributes": {},
            "chunk_grid": {"configuration": {"chunk_shape": [_chunk_length(length)]}, "name": "regular"},
            "chunk_key_encoding": {"configuration": {"separator": "/"}, "name": "default"},
            "codecs": [{"configuration": {"endian": "little"}, "name": "bytes"}, {"name": "crc32c"}],
            "data_type": data_type,
            "fill_value": 0,
            "node_type": "array",
            "shape": [length],
            "storage_transformers": [],
            "zarr_format": 3,
        }
    )


def _json(value: dict[str, Any]) -> bytes:
    return json.dumps(value, indent=2, sort_keys=True).encode() + b"\n"


def _require_metadata(folder: Path) -> None:
    """Raises StoreDamagedError unless the metadata fits a block of the size it names and every chunk of that size is on
    disk: a damaged number must not allocate memory."""
    try:
        attributes = json.loads((folder / METADATA).read_bytes())["attributes"]
        n_items, n_rows = int(attributes["n_items"]), int(attributes["n_rows"])
    except (OSError, ValueError, KeyError, TypeError, OverflowError, RecursionError) as error:
        raise _damaged(folder, f"{METADATA} cannot be read ({type(error).__name__}: {error})") from error
    for relative, content in _metadata(n_items, n_rows + 1).items():
        if not _has(folder / relative, content):
            raise _damaged(folder, f"{relative} is missing or has changed since it was written")
    for array, length in (("items", n_items), ("offsets", n_rows + 1)):
        for chunk in range(-(-length // CHUNK_ITEMS)):
            if not (folder / array / "c" / str(chunk)).is_file():
                raise _damaged(folder, f"chunk {array}/c/{chunk} is missing")


def _has(file: Path, content: bytes) -> bool:
    try:
        return file.read_bytes() == content
    except OSError:
        return False


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def _damaged(folder: Path, found: str) -> StoreDamagedError:
    return StoreDamagedError(
        f"block {folder}",
        found,
        remedy="Run `reprise check --repair`, then `reprise full`, which redoes only what is lost",
    )


def _sync_tree(folder: Path) -> None:
    for directory, _, names in os.walk(folder):
        for name in names:
            sync(Path(directory, name))
        sync(Path(directory))


def sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
