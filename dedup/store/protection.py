"""Folders in which nothing is ever touched. What was protected once stays so until it is taken back: a plan that was
edited, or made without the option, cannot lose it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from dedup.store.database import damaged

if TYPE_CHECKING:
    from dedup.store.store import Store

PROTECT = "protect"
"""Key of the catalog's `meta`: hex digits of paths, sorted."""


def protected(store: Store, folders: Iterable[bytes] = ()) -> tuple[bytes, ...]:
    """The folders that a store remembers, and these, sorted. Raises StoreDamagedError where what it remembers cannot be
    read: without it nothing may be touched."""
    try:
        remembered = folders_of(store.catalog.meta.get(PROTECT, []))
    except ValueError as error:
        raise damaged(store.layout.catalog, f"the protected folders cannot be read ({error})") from error
    return tuple(sorted({*remembered, *folders}))


def add_protection(store: Store, folders: Iterable[bytes]) -> None:
    """Protects these folders from now on, besides those that are protected already."""
    _put(store, protected(store, folders))


def drop_protection(store: Store, folders: Iterable[bytes]) -> None:
    """Takes back that these folders are protected; those in and above them stay as they are."""
    _put(store, tuple(sorted(set(protected(store)).difference(folders))))


def folders_of(value: Any) -> list[bytes]:
    """What `meta` has. Raises ValueError for anything else."""
    if not isinstance(value, list) or not all(isinstance(folder, str) for folder in value):
        raise ValueError("no list of texts")
    return [bytes.fromhex(folder) for folder in value]


def _put(store: Store, folders: tuple[bytes, ...]) -> None:
    with store.catalog.transaction():
        store.catalog.meta.set(PROTECT, [folder.hex() for folder in folders])
