"""The main job on the store and the workers of a run, as `full` and `demo` do it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from jobs.session import stores
from jobs.session.listeners import ask_servers
from jobs.session.run_settings import RunSettings

if TYPE_CHECKING:
    from dedup.pipeline import Full
    from dedup.scan.empty_roots import MayForget
    from jobs.session.run import Run


@dataclass(frozen=True)
class Ended:
    """How the main job ended."""

    done: Full
    trouble: Exception | None = None
    """What went wrong when all this was known; reported after it."""


def run_full(
    run: Run, roots: tuple[bytes, ...], conclude: Callable[[Run, Full], None], may_forget: MayForget | None = None
) -> Ended:
    """The main job, which calls `conclude` while the store is held, as `pipeline.full` says. What goes wrong after the
    stages takes nothing from what they found."""
    from dedup.correlation.correlate import memory_needed
    from dedup.pipeline import full
    from dedup.scan.empty_roots import never

    known: list[Full] = []

    def concluded(done: Full) -> None:
        known.append(done)
        conclude(run, done)

    settings = run.settings
    try:
        with (
            stores.for_scanning(run, roots) as store,
            stores.workers(run, roots, memory_needed(store, settings.compare())) as runner,
        ):
            ask_servers(run)
            full(
                store,
                roots,
                scan=settings.scan(),
                compare=settings.compare(),
                match=settings.match(),
                keep=settings.keep(),
                cleanup=settings.cleanup(),
                runner=runner,
                observer=run.observer,
                conclude=concluded,
                may_forget=may_forget or never,
                strict=settings.of(RunSettings).strict,
                place=stores.place_of_matches(),
            )
    except Exception as error:
        if not known:
            raise
        return Ended(known[-1], error)
    return Ended(known[-1])
