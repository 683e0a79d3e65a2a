"""A store in a few numbers."""

from __future__ import annotations

import contextlib
import os
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

from dedup.correlation.correlate import last_compare_settings
from dedup.settings import ITEMS_PER_SECOND
from dedup.store.tiles import count_tiles

if TYPE_CHECKING:
    from dedup.store.store import Store


def glance(store: Store) -> dict[str, Any]:
    """Counts of tracks by state, problems by kind, fingerprints, blocks, tiles and pairs; bytes on disk."""
    execute = store.catalog.connection.execute
    n_fingerprints, n_items = execute("SELECT COUNT(*), IFNULL(SUM(n_items), 0) FROM fingerprint").fetchone()
    blocks = store.catalog.blocks()
    settings = last_compare_settings(store).digest()
    n_done, n_pairs = execute(
        "SELECT COUNT(*), IFNULL(SUM(n_pairs), 0) FROM tile WHERE settings = ?", (settings,)
    ).fetchone()
    stamped = store.fingerprint_settings
    return {
        "tracks": dict(
            execute("SELECT state, COUNT(*) FROM track WHERE audio IS NOT NULL GROUP BY state ORDER BY state")
        ),
        "problems": dict(
            execute("SELECT problem_kind, COUNT(*) FROM track WHERE audio IS NULL GROUP BY problem_kind ORDER BY 1")
        ),
        "fingerprints": n_fingerprints,
        "hours": round(n_items / ITEMS_PER_SECOND / 3600, 3),
        "blocks": len(blocks),
        "tail": store.catalog.tail_length(),
        "tiles": count_tiles(len(blocks)),
        "tiles_done": n_done,
        "pairs": n_pairs,
        "bytes": bytes_on_disk(store.layout.folder),
        "last_run": store.catalog.last_run(),
        "fingerprint_settings": asdict(stamped) if stamped else {},
    }


def bytes_on_disk(folder: Path) -> int:
    """Size of all files of a store."""
    total = 0
    for parent, _, names in os.walk(folder):
        for name in names:
            with contextlib.suppress(FileNotFoundError):  # a concurrent writer has just removed it
                total += os.lstat(os.path.join(parent, name)).st_size
    return total
