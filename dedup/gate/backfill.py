"""A whole folder of files that are not imported yet, decided against the library and against each other."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from queue import SimpleQueue
from typing import TYPE_CHECKING, Any

from dedup.gate.decide import rules_for
from dedup.gate.nouns import Decision
from dedup.gate.readers import Read, Readers
from dedup.library.unusable import Unusable

if TYPE_CHECKING:
    from dedup.files.standby import Standby
    from dedup.gate.gate import Gate
    from dedup.groups.matches import ListedTrack
    from dedup.observer import Observer
    from dedup.settings import KeepSettings


def backfill(gate: Gate, standby: Standby, paths: Sequence[bytes], n: int, observer: Observer) -> Iterator[Decision]:
    """The decisions on all files, `n` of which are read at a time: first those that are known or cannot be used, then
    the others, best first by the keep rules, and of equal ones the newest. What was decided before counts as imported,
    unless it is rejected, as duplicates are. Keeps all fingerprints in memory, 4 KB for two minutes. Raises what
    `Gate.check` raises."""
    unknown = []
    for path in paths:
        known = gate.known(path)
        if known is None:
            unknown.append(path)
        else:
            yield known
    observer.stage("read", len(unknown), "files")
    coming = []
    done: SimpleQueue[Read] = SimpleQueue()
    with contextlib.closing(Readers(gate.store.layout.folder, standby, gate.scan, n, done.put)) as readers:
        for path in unknown:
            readers.put(None, path)
        for _ in unknown:
            read = done.get()
            path, found = read.path, read.found
            observer.advance()
            if isinstance(found, Exception):
                raise found
            if isinstance(found, Unusable):
                yield gate.decide(path, found)
            else:
                coming.append(found)
    coming.sort(key=lambda each: preference(each.track, gate.policy.keep))
    observer.stage("decide", len(coming), "files")
    for newcomer in coming:
        decision = gate.decide(newcomer.track.path, newcomer)
        if decision.deed != "reject":
            gate.library.take(newcomer)
        observer.advance()
        yield decision


def preference(track: ListedTrack, keep: KeepSettings) -> tuple[Any, ...]:
    """A key by which the better file comes first, of equal ones the newer."""
    values = (-rule.key(track) for rule in rules_for(keep).rules)
    return *values, -track.mtime_ns, track.path
