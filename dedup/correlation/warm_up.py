"""Compiles the kernels into the cache before they are needed, each part once, as tasks side by side: workers that all
begin at a tile would each compile everything."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING

import numpy as np

from dedup.correlation.kernel_cache import cache_folder, is_compiled, note_compiled
from dedup.observer import Observer
from dedup.runner import Runner, Task
from dedup.settings import CompareSettings
from dedup.store.items import frozen

if TYPE_CHECKING:
    from dedup.correlation.kernels import BlockItems, LagLimits
    from dedup.correlation.worth_storing import Floor

PART_S = 10
"""Seconds that a part takes to compile, about."""


def compile_first(settings: CompareSettings, runner: Runner, observer: Observer) -> None:
    """Compiles what these settings take and the cache of this machine lacks, on the runner. Other hosts compile their
    own when they begin, and without a cache each process does."""
    if not runner.is_local or cache_folder() is None:
        return
    missing = [part for part in PARTS if not is_compiled(part) and part in parts_of(settings)]
    if not missing:
        return
    seconds = PART_S * -(-len(missing) // min(runner.n_workers, len(missing)))
    observer.message(f"compiling the comparison for this machine, once; it takes about {seconds} s")
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
        seconds = PART_S * len(missing)
        observer.message(f"compiling the comparison for this machine, once; it takes about {seconds} s")
    for part in missing:
        compile_part(part)


def compile_all() -> None:
    """Compiles every part in this process, or takes it from the cache."""
    for part in PARTS:
        compile_part(part)


def compile_part(part: str) -> None:
    """Compiles a part by comparing made-up fingerprints; takes it from the cache if it is there."""
    PARTS[part]()
    note_compiled(part)


def parts_of(settings: CompareSettings) -> tuple[str, ...]:
    """The parts that a comparison takes. The noise floor takes the cascade."""
    join, stretch = ("join",) if settings.method == "join" else (), ("stretch", "tilted") if settings.varispeed else ()
    return "sweep", "path", *join, *stretch


def _sweep() -> None:
    """What finds pairs by comparing them, whatever the method."""
    from dedup.correlation.sweep import Work, pack_block, room_for_curves, sweep
    from dedup.correlation.worth_storing import FOUND_COLUMNS

    block, limits, floor = _arguments()
    x, _ = pack_block(*block, "cascade")
    work, curves = Work(0, 2, np.zeros(2, np.int64), 0, 1), room_for_curves(x, x, limits.max_lag)
    sweep(x, x, work, False, limits, floor, curves, np.empty((0, FOUND_COLUMNS)))


def _join() -> None:
    """What finds pairs by what they share."""
    from dedup.correlation.join import join_blocks, make_joined
    from dedup.correlation.votes import Room

    fingerprints, limits, floor = _arguments()
    block = make_joined(fingerprints)
    join_blocks(block, block, True, 0, 2, limits, floor, Room())


def _stretch() -> None:
    """What stretches fingerprints; the rest of comparing them is in the other parts."""
    from dedup.correlation.stretch import refined, stretched, stretched_block

    fingerprints, limits, _ = _arguments()
    stretched_block(fingerprints, 1.01)
    one = frozen(fingerprints.items[:250], np.uint32)
    stretched(one, 1.01)
    refined(one, one, 1.01, 0, limits)


def _tilted() -> None:
    """What finds pairs along a tilted line."""
    from dedup.correlation.tilted import likely_pairs, make_image

    fingerprints, limits, _ = _arguments()
    twice = np.concatenate([fingerprints.items[:200]] * 2)  # or there would be nothing to look at closely
    images = [make_image(twice, np.array([0, 200, 400]))] * 3
    none = np.empty(0, np.int64)
    likely_pairs(images, images, True, (0, 2), (none, none), limits, 0.1)


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


PARTS: dict[str, Callable[[], None]] = {
    "sweep": _sweep,
    "path": _path,
    "join": _join,
    "stretch": _stretch,
    "tilted": _tilted,
}
"""What compiles each part; a part is all that one kernel calls."""
