"""Opens the store of a run: a scan makes one if there is none, other commands need it. Records the runs that write."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from dedup.clock import utc_now
from dedup.errors import EXIT_INTERRUPTED, EXIT_TIME_UP, PreflightError, StoreLockedError
from jobs.session.configuration import Settled
from jobs.session.failures import as_reprise_error
from jobs.session.output import complain
from jobs.session.run import Run, code_of, why_it_ended
from jobs.session.run_settings import RunSettings

if TYPE_CHECKING:
    from cluster.preflight import Terms
    from dedup.groups.remembered import Place
    from dedup.plan.listening import Ears
    from dedup.runner import Runner
    from dedup.store.store import Store


@contextlib.contextmanager
def for_scanning(run: Run, roots: Sequence[bytes] = (), runner: Runner | None = None) -> Iterator[Store]:
    """The store, made if there is none, and stamped with the settings of this run. Before it makes a store, raises
    LibraryError for a root that is not there. If there is none, the runner knows that there will be work: it starts a
    worker meanwhile."""
    from dedup.fingerprint.modules import MODULES
    from dedup.library.discover import require_usable
    from dedup.store.layout import Layout

    layout = Layout(run.settings.store)
    if not layout.catalog.exists():
        require_usable(roots)
        if runner is not None:
            layout.make()  # a runner keeps its logs there
            runner.prepare(1, MODULES)
    from dedup.store.store import make_or_open

    block_size, purpose = run.settings.of(RunSettings).block_size, f"reprise {run.command}"
    opened = make_or_open(run.settings.store, run.settings.fingerprint(), block_size, purpose)
    with opened as store, _recorded(run, store):
        yield store


def find_roots(run: Run) -> tuple[bytes, ...]:
    """The library's folders: those of the settings, or if there are none, those that the store was scanned from, which
    the run's settings then have. Raises LibraryError if there are none there either."""
    from dedup.store.layout import Layout

    if not run.settings["roots"] and Layout(run.settings.store).catalog.exists():
        from dedup.store.store import open_for_reading

        with open_for_reading(run.settings.store) as store:
            known = tuple(sorted(filter(None, store.catalog.tracks.roots())))
        settled = {**run.settings.settled, "roots": Settled(known, "store")}
        run.settings = dataclasses.replace(run.settings, settled=settled)
    return run.settings.roots()


@contextlib.contextmanager
def for_writing(run: Run) -> Iterator[Store]:
    """The existing store, locked against other writers."""
    from dedup.store.store import open_for_writing

    with open_for_writing(run.settings.store, f"reprise {run.command}") as store, _recorded(run, store):
        yield store


@contextlib.contextmanager
def for_asking(run: Run) -> Iterator[Store]:
    """The existing store, open for reading beside others, for a command that writes now and then under a lock of its
    own, such as for what services on the net answer."""
    from dedup.store.store import open_for_reading, open_for_writing

    folder, purpose = run.settings.store, f"reprise {run.command}"

    @contextlib.contextmanager
    def for_a_moment() -> Iterator[Store]:
        with open_for_writing(folder, purpose, is_short=True) as store:
            yield store

    with for_a_moment() as store:
        store.catalog.runs.begin(run.id, run.command, run.started)
    with _recorded_by(run, for_a_moment), open_for_reading(folder) as store:
        yield store


@contextlib.contextmanager
def for_judging(run: Run) -> Iterator[Store]:
    """The store for a command that only records what a person says: locked, or open for reading beside the run that
    holds it, for which what is said then waits."""
    with contextlib.ExitStack() as opened:
        try:
            store = opened.enter_context(for_writing(run))
        except StoreLockedError:
            store = opened.enter_context(for_reading(run))
        yield store


@contextlib.contextmanager
def _recorded(run: Run, store: Store) -> Iterator[None]:
    """Records in the catalog that the run began and how it ended; a run that was killed has no end."""
    store.catalog.runs.begin(run.id, run.command, run.started)
    with _recorded_by(run, lambda: contextlib.nullcontext(store)):
        yield


@contextlib.contextmanager
def _recorded_by(run: Run, opened: Callable[[], AbstractContextManager[Store]]) -> Iterator[None]:
    """Records how a run that began ends, in the store as `opened` then gives it."""
    try:
        yield
    except BaseException as error:
        code = code_of(error, run.settings.store)
        _note_end(run, opened, "stopped" if code == EXIT_INTERRUPTED else "failed", code, error)
        raise
    stopped = run.exit_code in (EXIT_INTERRUPTED, EXIT_TIME_UP)
    _note_end(run, opened, "stopped" if stopped else "done", run.exit_code)


def _note_end(
    run: Run,
    opened: Callable[[], AbstractContextManager[Store]],
    outcome: Literal["done", "stopped", "failed"],
    code: int,
    error: BaseException | None = None,
) -> None:
    """Records how the run ended. If that fails, the work is done all the same; what ended a run is told by others."""
    from dedup.store.runs import Ending

    summary = None if run.summary is None else json.dumps(run.summary)
    ending = Ending(outcome, code, why_it_ended(run, code, error), run.seconds, summary)
    try:
        with opened() as store:
            store.catalog.runs.end(run.id, utc_now(), ending)
    except Exception as unrecorded:
        if error is None:
            known = as_reprise_error(unrecorded, run.settings.store)
            why = f"{known.where}: {known.found}" if known is not None else str(unrecorded)
            run.observer.close()
            complain(f"reprise: `reprise runs` cannot say how this run ended: {why}. Everything else is done")


def for_reading(run: Run) -> AbstractContextManager[Store]:
    from dedup.store.store import open_for_reading

    return open_for_reading(run.settings.store)


@contextlib.contextmanager
def for_matching(run: Run) -> Iterator[Store]:
    """The store for a command that shows which tracks match, once `compare_called_same` is done."""
    compare_called_same(run)
    with for_reading(run) as store:
        yield store


def compare_called_same(run: Run) -> None:
    """Compares the pairs that a person called the same and nobody has compared: whoever asks first pays for it."""
    from dedup.groups.called_same import remember_in

    remember_in(run.settings.store, run.observer, f"reprise {run.command}")
    run.observer.close()


def place_of_matches() -> Place:
    """Where this user keeps matches that were found."""
    import platformdirs

    from dedup.groups.remembered import Place
    from jobs.session.answers import program

    return Place(platformdirs.user_cache_path("reprise") / "matches", program())


def place_of_rates() -> Path:
    """Where all processes of this user keep how often services on the net may be asked."""
    import platformdirs

    return platformdirs.user_cache_path("reprise") / "rates"


@contextlib.contextmanager
def workers(run: Run, roots: Sequence[bytes] = (), memory_bytes: int = 0) -> Iterator[Runner]:
    """The runner of this run; it starts and connects nothing before there is work. Workers on other hosts must be able
    to read those `roots` that are there, and have `memory_bytes` of memory each."""
    from cluster.open import open_remote_runner, open_runner

    settings, log_folder = run.settings.of(RunSettings), run.settings.store
    if not settings.is_remote:
        opened = open_runner(
            settings.workers,
            run.stop,
            log_folder=log_folder,
            worker_timeout_s=settings.worker_timeout_s,
            few=settings.few_tasks,
        )
        with opened as runner:
            yield runner
        return
    place = settings.place()
    try:
        terms, say = _terms(run, roots, memory_bytes), run.observer.message
        with open_remote_runner(place, terms, run.stop, log_folder=log_folder, say=say) as runner:
            yield runner
    except PreflightError as error:
        run.observer.close()
        for host, problem in error.problems:
            complain(f"{host}: {problem}")
            run.output.result({"event": "problem", "host": host, "problem": problem})
        raise


def ears(run: Run) -> Ears:
    """Who makes the null tests of a run."""
    from dedup.plan.listening import Ears

    return Ears(lambda: workers(run), run.settings.scan())


def _terms(run: Run, roots: Sequence[bytes], memory_bytes: int) -> Terms:
    """What each worker must have; a drive that is absent or empty here need not be there elsewhere."""
    from cluster.preflight import MIN_MEMORY_BYTES, Terms
    from dedup.versions import versions

    there = tuple(os.path.abspath(root) for root in roots if os.path.isdir(root) and os.listdir(root))
    return Terms(versions(), there, run.settings.of(RunSettings).map, max(MIN_MEMORY_BYTES, memory_bytes))
