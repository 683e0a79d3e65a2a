"""Folders in which nothing is ever touched. A folder stays protected until a person takes that back: a plan that was
edited, or made without the option, cannot lift the protection."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dedup.store.database import damaged

if TYPE_CHECKING:
    from dedup.settings import KeepSettings
    from dedup.store.store import Store

PROTECT = "protect"
"""Key in the catalog's `meta` table: paths as hex digits, sorted."""


def protected(store: Store, folders: Iterable[bytes] = ()) -> tuple[bytes, ...]:
    """The folders that a store remembers, and these, sorted. Raises StoreDamagedError if what it remembers cannot be
    read: without it nothing may be touched."""
    try:
        remembered = folders_of(store.catalog.meta.get(PROTECT, []))
    except ValueError as error:
        raise damaged(store.layout.catalog, f"the protected folders cannot be read ({error})") from error
    return tuple(sorted({*remembered, *folders}))


def with_protected(store: Store, keep: KeepSettings) -> KeepSettings:
    """The settings with the folders that a store remembers. Raises StoreDamagedError as `protected` does."""
    return replace(keep, protect=protected(store, keep.protect))


def add_protection(store: Store, folders: Iterable[bytes]) -> None:
    """Protects these folders from now on, in addition to those already protected."""
    _put(store, protected(store, folders))


def drop_protection(store: Store, folders: Iterable[bytes]) -> None:
    """Stops protecting these folders; the folders in and above them do not change."""
    _put(store, tuple(sorted(set(protected(store)).difference(folders))))


def folders_of(value: Any) -> list[bytes]:
    """The folders in a value of `meta`. Raises ValueError for any other value."""
    if not isinstance(value, list) or not all(isinstance(folder, str) for folder in value):
        raise ValueError("not a list of texts")
    return [bytes.fromhex(folder) for folder in value]


def _put(store: Store, folders: tuple[bytes, ...]) -> None:
    with store.catalog.transaction():
        store.catalog.meta.set(PROTECT, [folder.hex() for folder in folders])
