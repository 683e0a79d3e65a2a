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


def processes_that_fit(store: Store, n_wanted: int, limit_bytes: int) -> int:
    """How many processes that read files a gate of this store may have, at most `n_wanted`. Raises
    TooLittleMemoryError if there is no memory for one."""
    n_fit = (limit_bytes - memory_needed(store, 0)) // PROCESS_BYTES
    if n_fit < 1:
        raise TooLittleMemoryError(
            "memory of the gate",
            f"{limit_bytes >> 20:,} MiB",
            f"at least {-(-memory_needed(store, 1) >> 20):,} MiB",
            "Give it more memory",
        )
    return min(n_wanted, n_fit)
