"""In which order files get their new names, so that every name is free when its turn comes: chains from their end, and
what goes in a circle, or only changes its case, by names in between. Pure."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from dedup.playlists.moves import without_case

HOP = b".reprise-%s.move"
"""Name of a file on its way, in the folder that it goes to. Hidden, and with the extension of no music."""


class Hop(NamedTuple):
    """One renaming."""

    path: bytes
    target: bytes
    origin: bytes
    """Where the file was before all of it."""


@dataclass(frozen=True)
class Unit:
    """Files that all move, or none."""

    files: tuple[int, ...]
    """Numbers of what was given."""
    hops: tuple[Hop, ...]


def is_hop(path: bytes) -> bool:
    """Whether a path is one in between."""
    name = os.path.basename(path)
    return name.startswith(b".reprise-") and name.endswith(b".move")


def units(wanted: Sequence[Mapping[bytes, bytes]], origins: Mapping[bytes, bytes] | None = None) -> list[Unit]:
    """The units, in an order in which they can be done. `wanted`: of each piece of music with what goes along, the new
    paths by the present ones; `origins`: where those files were first that are on their way."""
    origins = origins or {}
    owners: defaultdict[bytes, set[int]] = defaultdict(set)
    for number, files in enumerate(wanted):
        for path in files:
            owners[without_case(path)].add(number)
    none: set[int] = set()
    waits = [none.union(*(owners.get(without_case(target), none) for target in files.values())) for files in wanted]
    found = []
    for component in _components(waits):
        members = sorted(component)
        is_circle = len(members) > 1 or members[0] in waits[members[0]]
        pairs = [pair for number in members for pair in wanted[number].items()]
        hops = _by_hops(pairs) if is_circle else [Hop(path, target, path) for path, target in pairs]
        known = tuple(hop._replace(origin=origins.get(hop.origin, hop.origin)) for hop in hops)
        found.append(Unit(tuple(members), known))
    return found


def _by_hops(pairs: Iterable[tuple[bytes, bytes]]) -> list[Hop]:
    pairs = list(pairs)
    via = {path: _hop(target) for path, target in pairs}
    before = [Hop(path, via[path], path) for path, _ in pairs if path != via[path]]  # after a kill some are there
    return before + [Hop(via[path], target, path) for path, target in pairs]


def _hop(target: bytes) -> bytes:
    from blake3 import blake3

    return os.path.join(os.path.dirname(target), HOP % blake3(target).hexdigest(length=8).encode())


def _components(waits: Sequence[set[int]]) -> list[list[int]]:
    """The strongly connected components of a graph, each after those that it waits for (Tarjan, without recursion)."""
    index: dict[int, int] = {}
    low: dict[int, int] = {}
    stack: list[int] = []
    on_stack: set[int] = set()
    found: list[list[int]] = []
    for start in range(len(waits)):
        if start in index:
            continue
        work = [(start, iter(sorted(waits[start])))]
        index[start] = low[start] = len(index)
        stack.append(start)
        on_stack.add(start)
        while work:
            node, others = work[-1]
            following = next(others, None)
            if following is None:
                work.pop()
                if work:
                    low[work[-1][0]] = min(low[work[-1][0]], low[node])
                if low[node] == index[node]:
                    at = stack.index(node)
                    found.append(stack[at:])
                    on_stack.difference_update(stack[at:])
                    del stack[at:]
            elif following not in index:
                index[following] = low[following] = len(index)
                stack.append(following)
                on_stack.add(following)
                work.append((following, iter(sorted(waits[following]))))
            elif following in on_stack:
                low[node] = min(low[node], index[following])
    return found
