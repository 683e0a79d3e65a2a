"""Compiles the kernels into the cache before they are needed, each part once, as tasks side by side: workers that all
begin at a tile would each compile everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np

from dedup.correlation.kernel_cache import cache_folder, is_compiled, note_compiled
from dedup.observer import Observer
from dedup.runner import Runner, Task
from dedup.settings import CompareSettings
from dedup.store.items import frozen

if TYPE_CHECKING:
    from dedup.correlation.kernels import BlockItems, LagLimits
    from dedup.correlation.worth_storing import Floor


def compile_first(settings: CompareSettings, runner: Runner, observer: Observer) -> None:
    """Compiles what these settings take and the cache of this machine lacks, on the runner. Other hosts compile their
    own when they begin, and without a cache each process does."""
    if not runner.is_local or cache_folder() is None:
        return
    needed = parts_of(settings)
    missing = [part for part in PARTS if part in needed and not is_compiled(part)]
    if not missing:
        return
    _announce(missing, runner.n_workers, observer)
    observer.stage("compile", len(missing), "kernels")
    for outcome in runner.run(compile_part, [Task(f"compile-{part}", (part,)) for part in missing]):
        if outcome.failure is not None:
            observer.message(f"the kernel {outcome.name} could not be compiled ahead: {outcome.failure}")
        observer.advance()


def compile_pair(settings: CompareSettings, observer: Observer) -> None:
    """Compiles in this process what the comparison of two files takes, if it is not in the cache."""
    compile_here(("path", "sweep", "stretch") if settings.varispeed else ("path",), observer)


def compile_here(parts: Iterable[str], observer: Observer) -> None:
    """Compiles these parts in this process, if they are not in the cache."""
    missing = [part for part in parts if not is_compiled(part)]
    if missing:
        _announce(missing, 1, observer)
    for part in missing:
        compile_part(part)


def _announce(missing: Sequence[str], n_workers: int, observer: Observer) -> None:
    taken = [PARTS[part].seconds for part in missing]
    seconds = max(*taken, -(-sum(taken) // n_workers))
    observer.message(f"compiling the comparison for this machine, once; it takes about {seconds} s")


def compile_all() -> None:
    """Compiles every part in this process, or takes it from the cache."""
    for part in PARTS:
        compile_part(part)


def compile_part(part: str) -> None:
    """Compiles a part by comparing made-up fingerprints; takes it from the cache if it is there."""
    PARTS[part].compile()
    note_compiled(part)


def parts_of(settings: CompareSettings) -> tuple[str, ...]:
    """The parts that a comparison takes. The noise floor takes the cascade."""
    method = (settings.method,) if settings.method != "cascade" else ()
    varispeed = ("keys", "tilted", "stretch") if settings.varispeed else ()
    return "path", "sweep", *method, *varispeed


def _sweep() -> None:
    """What finds pairs by the cascade."""
    _compile_sweep(None)


def _exact() -> None:
    """What finds pairs by comparing them at every lag."""
    _compile_sweep(True)


def _compile_sweep(exact: Literal[True] | None) -> None:
    from dedup.correlation.sweep import Work, pack_block, room_for_curves, sweep
    from dedup.correlation.worth_storing import FOUND_COLUMNS

    block, limits, floor = _arguments()
    x, _ = pack_block(*block, "cascade")
    work, curves = Work(0, 2, np.zeros(2, np.int64), 0, 1), room_for_curves(x, x, limits.max_lag)
    sweep(x, x, work, exact, limits, floor, curves, np.empty((0, FOUND_COLUMNS)))


def _join() -> None:
    """What finds pairs by what they share."""
    from dedup.correlation.join import join_blocks, make_joined
    from dedup.correlation.votes import Room, Rows

    fingerprints, limits, floor = _arguments()
    block = make_joined(fingerprints)
    join_blocks(block, block, Rows(True, 0, 2, 2), limits, floor, Room())


def _stretch() -> None:
    """What stretches fingerprints; the rest of comparing them is in the other parts."""
    from dedup.correlation.stretch import refined, stretched, stretched_block

    fingerprints, limits, _ = _arguments()
    stretched_block(fingerprints, 1.01)
    one = frozen(fingerprints.items[:250], np.uint32)
    stretched(one, 1.01)
    refined(one, one, 1.01, 0, limits)


def _keys() -> None:
    """What sorts the keys of a block, and finds those that two share near the diagonal."""
    from dedup.correlation.tilted import likely_pairs, make_image

    fingerprints, limits, _ = _arguments()
    images = [make_image(*fingerprints)] * 3
    none = np.empty(0, np.int64)
    likely_pairs(images, images, True, (0, 2), (none, none), limits, 0.1)  # which have none, so nothing is judged


def _tilted() -> None:
    """What judges pairs along a tilted line."""
    from dedup.correlation.tilted import HYPOTHESES, VOTES, judged

    fingerprints, limits, _ = _arguments()
    pairs, ends, places = np.array([[0, 1]]), np.array([VOTES]), np.zeros((VOTES, 2), np.int32)
    judged(fingerprints, fingerprints, pairs, ends, places, HYPOTHESES[0], limits, 0.1)


def _path() -> None:
    """What decides about the pairs found, and follows them along their path."""
    from dedup.correlation.compare import compare_two
    from dedup.correlation.worth_storing import FOUND_COLUMNS, keep_worth_storing

    block, limits, floor = _arguments()
    keep_worth_storing(block, block, False, limits, floor, np.empty((0, FOUND_COLUMNS)))
    items, offsets = block
    compare_two(items[: offsets[1]], items[offsets[1] :], CompareSettings())


def _arguments() -> tuple[BlockItems, LagLimits, Floor]:
    """Two fingerprints, and what else the kernels take, of the types that `tile` passes."""
    from dedup.correlation.kernels import BlockItems, lag_limits
    from dedup.correlation.worth_storing import floor_of

    items = np.random.default_rng(1).integers(0, 1 << 32, 400, dtype=np.uint32)
    block = BlockItems(frozen(items, np.uint32), frozen(np.array([0, 250, 400]), np.int64))
    settings = CompareSettings()
    return block, lag_limits(settings), floor_of(settings)


class _Part(NamedTuple):
    """Kernels that are compiled together."""

    compile: Callable[[], None]
    seconds: int
    """What that takes, about."""


PARTS = {
    "path": _Part(_path, 8),
    "sweep": _Part(_sweep, 6),
    "exact": _Part(_exact, 6),
    "join": _Part(_join, 6),
    "keys": _Part(_keys, 3),
    "tilted": _Part(_tilted, 3),
    "stretch": _Part(_stretch, 2),
}
"""A part is all that one kernel calls. Those that take longest come first, so that two workers end at about the same
time."""
