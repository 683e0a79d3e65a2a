"""The null tests that a plan needs, made before it."""

from __future__ import annotations

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from dedup.errors import StoreLockedError, WriteError
from dedup.groups.called_same import remember_in
from dedup.groups.groups import groups_of
from dedup.groups.losses import let_go_with
from dedup.groups.remembered import Place, Remembered
from dedup.nulltest.listen import listen, untested
from dedup.runner import InlineRunner, Runner
from dedup.settings import KeepSettings, LossKind, MatchSettings, ScanSettings
from dedup.store.store import open_for_reading, open_for_writing

if TYPE_CHECKING:
    from dedup.groups.matches import Matches
    from dedup.observer import Observer


def _here() -> AbstractContextManager[Runner]:
    import contextlib

    return contextlib.nullcontext(InlineRunner())


@dataclass(frozen=True)
class Ears:
    """Who makes null tests."""

    workers: Callable[[], AbstractContextManager[Runner]] = _here
    """The runner, started only if there is something to hear."""
    scan: ScanSettings = field(default_factory=ScanSettings)
    """How long decoding may take, and how many files of a disk are read at once."""


HERE = Ears()
"""Null tests in the calling process."""


def listened(
    folder: Path,
    match: MatchSettings,
    keep: KeepSettings,
    let_go: Collection[LossKind],
    ears: Ears,
    observer: Observer,
    purpose: str,
    place: Place | None = None,
) -> Matches:
    """The matches of the store in `folder`, after the null tests that a plan needs which lets go losses of these kinds.
    The store is locked for them, in the name of `purpose`; while another run holds it, or where nothing can be written,
    none are made, and a message says so. What was found before them is kept at `place`, and taken from there."""
    remember_in(folder, observer, purpose)
    also = let_go_with(let_go)
    with open_for_reading(folder) as store:
        remembered = Remembered(store, match, keep, place)
        matches = remembered.matches()
        n_untested = len(untested(groups_of(store, matches, keep, also), let_go))
        remembered.keep(matches)
    if not n_untested:
        return matches
    try:
        with open_for_writing(folder, purpose) as store, ears.workers() as runner:
            listen(
                store,
                matches,
                lambda found: groups_of(store, found, keep, also),
                ears.scan,
                runner,
                observer,
                let_go,
            )
    except (StoreLockedError, WriteError) as error:
        copies = "1 copy stays" if n_untested == 1 else f"{n_untested:,} copies stay"
        observer.message(f"{copies} for now, since nobody has listened to them: {error}")
    return matches
