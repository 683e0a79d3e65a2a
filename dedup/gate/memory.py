"""How much memory a gate takes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedup.errors import TooLittleMemoryError
from dedup.gate.shelves import items_to_pack

if TYPE_CHECKING:
    from dedup.store.store import Store

OWN_BYTES = 120 << 20
"""Of the gate itself. Shelves are mapped: the system takes their memory back when it needs it."""

PROCESS_BYTES = 150 << 20
"""Of each process that reads files."""

PACKING_BYTES = 40
"""Of an item, while the shelf that holds it is packed."""


def memory_needed(store: Store, n_processes: int) -> int:
    """Bytes that a gate of this store takes at most, with so many processes that read files."""
    return OWN_BYTES + n_processes * PROCESS_BYTES + PACKING_BYTES * items_to_pack(store)


def require_memory(store: Store, n_processes: int, limit_bytes: int) -> None:
    """Raises TooLittleMemoryError if a gate of this store takes more than there is."""
    needed = memory_needed(store, n_processes)
    if needed > limit_bytes:
        raise TooLittleMemoryError(
            "memory of the gate",
            f"{limit_bytes >> 20:,} MiB",
            f"at least {-(-needed >> 20):,} MiB, with {n_processes} processes that read files",
            "Give it more memory",
        )
