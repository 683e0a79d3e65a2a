"""The numbers of the pairs that a person called the same. Tiles store only pairs that agree; these need not, so they
are compared one by one, once, and remembered."""

from __future__ import annotations

import itertools
import sqlite3
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from dedup.correlation.compare import compare_two
from dedup.correlation.correlate import last_compare_settings
from dedup.correlation.match import Match, record
from dedup.errors import StoreLockedError, WriteError
from dedup.runner import Stop
from dedup.store.comparisons import Comparison
from dedup.store.store import open_for_reading, open_for_writing

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.settings import CompareSettings
    from dedup.store.store import Store

_T = TypeVar("_T")

AT_ONCE = 500
"""Pairs whose fingerprints are in memory at the same time, and that a kill can lose: a second or two of work."""


class CalledSame(NamedTuple):
    """Two fingerprints of tracks that a person called the same, by the order of their digests."""

    a: int
    """Id of the fingerprint, like `b`."""
    b: int
    digest_a: bytes
    digest_b: bytes

    @property
    def ids(self) -> tuple[int, int]:
        return self.a, self.b

    @property
    def digests(self) -> tuple[bytes, bytes]:
        return self.digest_a, self.digest_b


def called_same(called: Iterable[tuple[bytes, bytes]], holding: Iterable[tuple[bytes, bytes, int]]) -> list[CalledSame]:
    """Each two different fingerprints that hold contents which a person `called` the same, once. `holding` are content,
    digest and id of the fingerprints that may hold one of them."""
    holders: dict[bytes, list[tuple[bytes, int]]] = {}
    for content, digest, fingerprint in sorted(holding):
        holders.setdefault(content, []).append((digest, fingerprint))
    found: dict[CalledSame, None] = {}
    for content_a, content_b in called:
        for pair in itertools.product(holders.get(content_a, ()), holders.get(content_b, ())):
            (digest_a, a), (digest_b, b) = sorted(pair)
            if a != b:
                found[CalledSame(a, b, digest_a, digest_b)] = None
    return list(found)


def records_of(store: Store, pairs: Sequence[CalledSame], compare: CompareSettings) -> Iterator[bytes]:
    """A record of PAIR for each pair: the one that is remembered, or that comparing gives now."""
    known = _known(store, compare)
    missing = [pair for pair in pairs if pair.digests not in known]
    known |= {(a, b): pair for a, b, pair in _compared(store, missing, compare)}
    return (known[pair.digests] or record(0, 0, _unlike(store, pair)).tobytes() for pair in pairs)


def remember(store: Store, observer: Observer, stop: Stop) -> None:
    """Compares those that no one has compared under the settings of the last `correlate`, and keeps the numbers, until
    a stop. The store must be open for writing."""
    compare = last_compare_settings(store)
    for chunk in _chunks(_compared_until(store, compare, observer, stop)):
        _keep(store, compare, chunk)


def remember_in(folder: Path, observer: Observer, purpose: str) -> None:
    """The same for the store in `folder`, which is locked, in the name of `purpose`, only to keep what was compared. If
    another run holds it or it cannot be written to, nothing is kept: whoever needs the numbers compares again."""
    with open_for_reading(folder) as store:
        compare = last_compare_settings(store)
        compared = list(_compared_until(store, compare, observer, Stop()))
    if compared:
        try:
            with open_for_writing(folder, purpose) as store:
                _keep(store, compare, compared)
        except (StoreLockedError, WriteError, sqlite3.OperationalError) as error:
            observer.message(f"{len(compared):,} pairs that you called the same are compared each time: {error}")


def _compared_until(store: Store, compare: CompareSettings, observer: Observer, stop: Stop) -> Iterator[Comparison]:
    missing = _missing(store, compare)
    if missing:
        observer.stage("compare what you called the same", len(missing), "pairs")
    for comparison in _compared(store, missing, compare):
        yield comparison
        observer.advance()
        if stop.requested:
            return


def _keep(store: Store, compare: CompareSettings, compared: Iterable[Comparison]) -> None:
    with store.catalog.transaction():
        store.catalog.comparisons.put(compare.digest(), compared)


def _missing(store: Store, compare: CompareSettings) -> list[CalledSame]:
    judgements = store.catalog.judgements
    if not judgements.count_waiting() and not store.catalog.comparisons.lacks_any(compare.digest()):
        return []
    called = [(said.content_a, said.content_b) for said in judgements.all() if said.same]
    known = _known(store, compare)
    holding = store.catalog.audios.holding(set(itertools.chain.from_iterable(called)))
    return [pair for pair in called_same(called, holding) if pair.digests not in known]


def _known(store: Store, compare: CompareSettings) -> dict[tuple[bytes, bytes], bytes]:
    return {(a, b): pair for a, b, pair in store.catalog.comparisons.all(compare.digest())}


def _compared(store: Store, pairs: Iterable[CalledSame], compare: CompareSettings) -> Iterator[Comparison]:
    for chunk in _chunks(pairs):
        items = store.items_of_all({each for pair in chunk for each in pair.ids})
        for a, b, digest_a, digest_b in chunk:
            match = compare_two(items[a], items[b], compare)
            yield Comparison(digest_a, digest_b, b"" if match is None else record(0, 0, match).tobytes())


def _chunks(things: Iterable[_T]) -> Iterator[list[_T]]:
    left = iter(things)
    while chunk := list(itertools.islice(left, AT_ONCE)):
        yield chunk


def _unlike(store: Store, pair: CalledSame) -> Match:
    """The match of two fingerprints that cannot be compared."""
    n = min(store.catalog.fingerprints.n_items(each) for each in pair.ids)
    return Match(0, n, 16 * n, 0.0, 0.0, 0.0, 0.0, 0.0, 0, 0, n, 0, n, b"")
