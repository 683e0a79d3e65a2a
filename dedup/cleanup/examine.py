"""Reads the files of a plan before anything is done to them: which entries may be carried out, and why the others are
refused."""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from dedup.cleanup import records
from dedup.cleanup.allowed import Trust
from dedup.cleanup.checks import Checks, Protection, StoppedError
from dedup.files.held import Reach
from dedup.files.paths import printable
from dedup.plan.nouns import Plan, PlannedFile, PlannedGroup

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.runner import Stop
    from dedup.store.store import Store

_AHEAD = 4
"""Groups for each thread whose files are read before their turn."""


@dataclass
class Examined:
    """What is known about a group before anything is done."""

    root: dict[bytes, bytes] = field(default_factory=dict)
    """Root of each file that may be touched, by path."""
    known: dict[bytes, dict[str, object]] = field(default_factory=dict)
    """The catalog's record of each of these files."""
    full: dict[bytes, bytes] = field(default_factory=dict)
    """`identity.full_hash` of each of these files."""
    of_group: str = ""
    """Why nothing of the group can be done; empty if something may be."""
    of_file: dict[bytes, str] = field(default_factory=dict)
    """Reasons why files must not be touched, by path."""

    def problem(self, file: PlannedFile) -> str:
        """Why the file is not to be touched; empty if it may be."""
        return self.of_group or self.of_file.get(file.path, "")


def examine(
    store: Store, plan: Plan, protection: Protection, trust: Trust, reach: Reach, observer: Observer, stop: Stop
) -> Iterator[tuple[PlannedGroup, Examined]]:
    """Yields each group in which something changes, in order, until a stop; the files of the next ones are read
    meanwhile. Whoever takes them advances the observer by one for each file that is done or refused."""
    checks = Checks(store, plan, protection, trust, reach, stop)
    observer.stage("clean up", plan.n_files, "files")
    n_threads = os.cpu_count() or 1
    with ThreadPoolExecutor(max_workers=n_threads) as threads:
        waiting: deque[tuple[PlannedGroup, Future[Examined]]] = deque()
        coming = iter([group for group in plan.groups if group.changed])
        while not stop.requested:
            for group in coming:
                waiting.append((group, threads.submit(_examine, group, checks)))
                if len(waiting) > _AHEAD * n_threads:
                    break
            if not waiting:
                return
            group, future = waiting.popleft()
            try:
                examined = future.result()
            except StoppedError:
                break
            yield group, examined
        threads.shutdown(cancel_futures=True)


def _examine(group: PlannedGroup, checks: Checks) -> Examined:
    examined = Examined(of_group=checks.of_group(group))
    kept = group.kept
    if kept is None or examined.of_group:
        return examined
    examined.of_file = {file.path: told for file in group.changed if (told := checks.of_entry(group, file))}
    allowed = [file for file in group.changed if file.path not in examined.of_file]
    if not allowed:
        return examined
    problem, held = checks.kept_file(group, kept)
    if problem:
        examined.of_group = f"the file to keep, {printable(kept.path)}: {problem}"
        return examined
    for file in allowed:
        problem, full = checks.other_file(file, kept, held)
        if problem:
            examined.of_file[file.path] = problem
        else:
            track = checks.tracks[file.path]
            examined.full[file.path], examined.root[file.path] = full, track.root
            examined.known[file.path] = records.known_of(track)
    return examined
