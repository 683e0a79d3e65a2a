"""Makes the null tests that groups need before any of their copies may go, and groups again by what they show."""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Sequence
from typing import TYPE_CHECKING

from dedup.files.disks import Disks
from dedup.groups.losses import losses, needs_listening
from dedup.nulltest.run import Tested, null_tests

if TYPE_CHECKING:
    from dedup.groups.groups import Group
    from dedup.groups.matches import Matches, TrackPair
    from dedup.observer import Observer
    from dedup.runner import Runner
    from dedup.settings import LossKind, ScanSettings
    from dedup.store.store import Store

MOST_ROUNDS = 20
"""Most times that groups are made again. What is untested then stays, and the next run goes on."""

IRREFUTABLE: frozenset[LossKind] = frozenset({"picture", "tracks", "subtitles", "attachments"})
"""Kinds of loss that no null test can refute: a copy with one stays anyway."""


def untested(groups: Iterable[Group], let_go: Collection[LossKind] = ()) -> list[TrackPair]:
    """The pairs of a copy and its reference that must be listened to before the copy may go: both are there, and
    nothing else keeps the copy, except what a person lets go."""
    return [pair for group in groups for pair in group.members if _is_open(pair, IRREFUTABLE.difference(let_go))]


def _is_open(pair: TrackPair, irrefutable: frozenset[LossKind]) -> bool:
    if pair.test is not None or not needs_listening(pair) or {pair.a.state, pair.b.state} != {"present"}:
        return False
    return irrefutable.isdisjoint(loss.kind for loss in losses(pair))


def listen(
    store: Store,
    matches: Matches,
    make_groups: Callable[[Matches], Sequence[Group]],
    scan: ScanSettings,
    runner: Runner,
    observer: Observer,
    let_go: Collection[LossKind] = (),
) -> Tested:
    """Makes the null tests of the groups that `make_groups` gives, and of those that it gives after that, until none is
    needed; gives `matches` the tests. `scan` says how long decoding may take, and how many files of a disk are read at
    once. Kinds of loss that a person lets go (`let_go`) keep no copy. Ends early if the runner is to stop."""
    done, disks = Tested(), Disks(runner, scan.reads_per_disk)
    for _ in range(MOST_ROUNDS):
        pairs = untested(make_groups(matches), let_go)
        if not pairs or runner.stop.requested:
            break
        tested = null_tests(store, pairs, runner, observer, disks, scan.time_limit_s)
        done = done + tested
        matches.renew_tests(store)
        if not tested.n_tested:  # what cannot be tested now, such as a file that has changed, would come again
            break
    return done
