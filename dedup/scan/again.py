"""Hears files again whose fingerprints were made before sound was heard at other pitches too."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import TYPE_CHECKING

from dedup.files.host_paths import HostPath
from dedup.fingerprint.task import Fingerprinted, fingerprint_file
from dedup.runner import Task
from dedup.store.in_time import InTime

if TYPE_CHECKING:
    from dedup.files.disks import Disks
    from dedup.observer import Observer
    from dedup.runner import Runner
    from dedup.settings import ScanSettings
    from dedup.store.items import Items
    from dedup.store.pitches import Lacking
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
    """Makes what the fingerprints of `unchanged` files lack at other pitches, from one file of each audio, as a scan
    does; gives the number of files that were heard. Their fingerprints stay as they are: a file that gives another one
    now, or none, is a problem and changes nothing. Commits about once a second; a stop leaves the rest to the next
    call."""
    tracks = store.catalog.tracks
    lacking: dict[int, Lacking] = {}
    for each in store.catalog.pitches.tracks_lacking():
        if each.path in unchanged:
            lacking.setdefault(each.audio, each)
    fingerprints = {each.path: each.fingerprint for each in lacking.values()}
    observer.stage("hear at other pitches", len(fingerprints), "files")

    def tasks() -> Iterator[Task]:
        for path in fingerprints:
            track = tracks.get(path)
            if track is not None:
                seen = HostPath(path), track.size, track.mtime_ns, store.fingerprint_settings
                limits = settings.min_length_s, settings.time_limit_s, disks.reading(track.device)
                yield Task(path.hex(), (*seen, *limits))

    rows = InTime[tuple[int, "Items"]](store.catalog, store.keep_pitches)
    n_heard = 0

    try:
        for outcome in runner.run(fingerprint_file, tasks(), limit_s):
            path, result = bytes.fromhex(outcome.name), outcome.result
            if outcome.failure is not None:
                observer.problem("failed", path, f"not heard again: {outcome.failure}")
            elif not isinstance(result, Fingerprinted):
                observer.problem("failed", path, f"not heard again: {result.reason}")
            elif store.catalog.fingerprints.find(result.items) != fingerprints[path]:
                why = "it gives another fingerprint now than when it was scanned; `touch` it to have it scanned again"
                observer.problem("failed", path, f"not heard again: {why}")
            else:
                rows.add((fingerprints[path], result.pitches))
                n_heard += 1
            observer.advance()
            rows.commit_in_time()
    finally:
        rows.commit()
    return n_heard
