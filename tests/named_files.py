"""Made albums as real files: short ones, with the tags of the album's kind, in a store that takes them for as long as
the pieces are, and knows what both services say of them."""

from __future__ import annotations

import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from dedup.library.metadata import from_json, read_properties, to_json
from dedup.store.store import Store
from dedup.store.tracks import Track
from dedup.tags.write import write_tags
from tests.cleanups import tone


def make_real(store: Store, root: Path, sources: Sequence[Path] = ()) -> dict[bytes, bytes]:
    """Writes the tracks of a store below /music as real files below `root`, tagged as the store says, and makes
    the store know these; returns their new paths by the old ones. Each is a copy of one of `sources`, in their order,
    or else of a tone."""
    moved = {}
    with store.catalog.transaction():
        lengths = {}
        for at, track in enumerate(list(store.catalog.tracks.all())):
            new, length_s = _made(track, root, sources[at] if sources else None)
            lengths[track.audio] = length_s
            store.catalog.tracks.forget([track.path])
            store.catalog.tracks.put(new)
            moved[track.path] = new.path
        store.catalog.audios.change("id", ["decoded_s"], lengths.items())
    return moved


def _made(track: Track, root: Path, source: Path | None) -> tuple[Track, float]:
    made = from_json(json.loads(track.properties))
    path = (root / os.fsdecode(track.path.removeprefix(b"/music/"))).with_suffix(source.suffix if source else ".flac")
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(source.read_bytes() if source else tone(1, "flac"))
    write_tags(os.fsencode(path), made.tags)
    status = path.stat()
    return replace(
        track,
        path=os.fsencode(path),
        root=os.fsencode(root),
        size=status.st_size,
        mtime_ns=status.st_mtime_ns,
        inode=status.st_ino,
        device=status.st_dev,
        properties=json.dumps(to_json(read_properties(os.fsencode(path)))),
    ), made.duration_s
