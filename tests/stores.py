"""Small stores of made-up fingerprints, for the tests of what is read from a store."""

from __future__ import annotations

import contextlib
import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np

from dedup.library.metadata import AudioProperties, to_json
from dedup.observer import Silent
from dedup.settings import FingerprintSettings
from dedup.store.items import Items
from dedup.store.store import Store, make_or_open, open_for_writing
from dedup.store.tracks import Track
from dedup.upkeep.check import Checked, check, check_store


def recording(seed: int, n_items: int) -> Items:
    """A fingerprint like no other, the same on every machine and with every NumPy. As in real ones, whose items
    describe overlapping audio, a bit stays as it is from one item to the next seven times in eight."""
    noise = np.frombuffer(_noise(f"recording {seed}", 12 * n_items), "<u4").reshape(n_items, 3)
    flips = noise[:, 0] & noise[:, 1] & noise[:, 2]
    flips[:1] = noise[:1, 0]
    return np.bitwise_xor.accumulate(flips).astype(np.uint32)


def copied(items: Items, share: float, seed: int = 0) -> Items:
    """The same with that share of its bits flipped: scores about `1 - 2 share`."""
    noise = np.frombuffer(_noise(f"copy {seed}", 32 * len(items)), np.uint8)
    flips = np.packbits(noise < round(256 * share)).view("<u4")
    return items ^ flips


def _noise(name: str, n_bytes: int) -> bytes:
    return hashlib.shake_128(name.encode()).digest(n_bytes)


@contextlib.contextmanager
def open_store(folder: Path, block_size: int = 4) -> Iterator[Store]:
    """A store that is sound when the test is over."""
    with make_or_open(folder, FingerprintSettings("1.5.1"), block_size, "test") as store:
        yield store
        assert [finding for finding in check(store, Silent()) if finding.kind != "note"] == []


def add_audio(store: Store, items: Items, stream: bytes | None = None, key: str = "", damage: str | None = None) -> int:
    stream = stream and stream.ljust(16, b"0")
    with store.catalog.transaction():
        return store.catalog.audios.add(store.catalog.fingerprints.add(items), stream, key, damage)


def add_track(
    store: Store,
    name: str,
    audio: int | Items,
    *,
    size: int = 1000,
    inode: int | None = None,
    full: bytes | None = None,
    state: Literal["present", "absent", "imported"] = "present",
    mtime_ns: int = 1,
    device: int = 1,
    root: str = "/music",
    **properties: Any,
) -> None:
    """A track of that audio, or of a new one with these items; each is a file of its own unless `inode` says
    otherwise."""
    if not isinstance(audio, int):
        audio = add_audio(store, audio)
    path, is_file = f"{root}/{name}".encode(), state != "imported"
    inode = inode if inode is not None else int.from_bytes(_noise(name, 6), "big")
    track = Track(
        id=0,
        path=path,
        root=root.encode() if is_file else b"",
        volume=b"/" if is_file else b"",
        size=size if is_file else 0,
        mtime_ns=mtime_ns if is_file else 0,
        inode=inode if is_file else 0,
        device=device if is_file else 0,
        state=state,
        partial=None,
        full=full and full.ljust(32, b"0"),
        audio=audio,
        problem_kind=None,
        problem=None,
        judged_by=None,
        properties=json.dumps(to_json(AudioProperties(**properties))),
    )
    with store.catalog.transaction():
        store.catalog.tracks.put(track)


def repaired(folder: Path) -> Checked:
    """Repairs a store, as `reprise check --repair` does."""
    return check_store(
        folder=folder,
        open_store=lambda: open_for_writing(folder, "test"),
        repair=True,
        purpose="test",
        observer=Silent(),
    )


def rename(store: Store, path: bytes, name: bytes) -> None:
    """Gives a track another path, and for one outside its root that of a root that holds everything."""
    with store.catalog.transaction():
        store.catalog.tracks.change("path", ["path", "root"], [(path, name, b"/" if name[:1] == b"/" else b"")])
