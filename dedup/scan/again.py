"""Hears files again whose fingerprints were made before sound was heard at other pitches too."""

from __future__ import annotations

import time
from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from dedup.files.host_paths import HostPath
from dedup.fingerprint.task import Fingerprinted, fingerprint_file
from dedup.library.identify import COMMIT_EVERY_S
from dedup.runner import Task

if TYPE_CHECKING:
    from dedup.files.disks import Disks
    from dedup.observer import Observer
    from dedup.runner import Runner
    from dedup.settings import ScanSettings
    from dedup.store.items import Items
    from dedup.store.store import Store


def hear_at_other_pitches(
    store: Store,
    unchanged: Collection[bytes],
    settings: ScanSettings,
    runner: Runner,
    observer: Observer,
    disks: Disks,
    limit_s: float,
) -> int:
    """Makes what the fingerprints of `unchanged` files lack at other pitches, from one file of each; gives the number
    of files that were heard. Their fingerprints stay as they are, and a file that gives another one now, or none,
    changes nothing. Commits about once a second; a stop leaves the rest to the next call."""
    tracks = store.catalog.tracks
    paths = [path for path in store.catalog.pitches.paths_lacking() if path in unchanged]
    observer.stage("hear at other pitches", len(paths), "files")

    def tasks() -> Iterator[Task]:
        for path in paths:
            track = tracks.get(path)
            if track is not None:
                seen = HostPath(path), track.size, track.mtime_ns, store.fingerprint_settings
                limits = settings.min_length_s, settings.time_limit_s, disks.reading(track.device)
                yield Task(path.hex(), (*seen, *limits))

    waiting: list[tuple[int, Items]] = []
    n_heard, committed_at = 0, time.monotonic()

    def commit() -> None:
        nonlocal waiting, committed_at
        ready, waiting = waiting, []  # first: a signal in between must not commit them twice
        with store.catalog.transaction():
            store.keep_pitches(ready)
        committed_at = time.monotonic()

    try:
        for outcome in runner.run(fingerprint_file, tasks(), limit_s):
            path, result = bytes.fromhex(outcome.name), outcome.result
            if outcome.failure is not None:
                observer.problem("failed", path, f"not heard again: {outcome.failure}")
            elif not isinstance(result, Fingerprinted):
                observer.problem("failed", path, f"not heard again: {result.reason}")
            elif (known := store.catalog.fingerprints.find(result.items)) is not None:
                waiting.append((known, result.pitches))
                n_heard += 1
            observer.advance()
            if time.monotonic() - committed_at > COMMIT_EVERY_S:
                commit()
    finally:
        commit()
    return n_heard
