"""The main job: scan → correlate → null tests → groups → housekeeping, for whoever calls: a command, a web page, a
daemon."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from dedup.confirm.run import Confirmed, confirm
from dedup.correlation.correlate import Correlation, Unfinished, correlate, unfinished
from dedup.correlation.scoring import Verdict
from dedup.errors import EXIT_DONE, EXIT_NOTHING_TO_DO, EXIT_SOME_FAILED
from dedup.files.disks import Disks
from dedup.groups.called_same import remember
from dedup.groups.groups import Found, Group, groups_of
from dedup.groups.matches import Matches
from dedup.groups.news import News, OnlyNew, end_news, marked, news, problems_known
from dedup.groups.remembered import Place, Remembered
from dedup.groups.thresholds import thresholds
from dedup.nulltest.listen import listen
from dedup.nulltest.run import Tested
from dedup.observer import Observer
from dedup.plan.weigh import USUAL, weighed_groups
from dedup.runner import Runner
from dedup.scan.empty_roots import MayForget, never
from dedup.scan.scan import Scan
from dedup.scan.scan import scan as scan_library
from dedup.settings import CompareSettings, KeepSettings, MatchSettings, PlanSettings, ScanSettings
from dedup.upkeep.compact import Compaction, compact_if_it_pays

if TYPE_CHECKING:
    from dedup.store.store import Store


@dataclass(frozen=True)
class Full:
    """What the main job did, up to where it ended."""

    scan: Scan
    seconds: dict[str, float]
    """Wall time of each stage."""
    correlation: Correlation | None = None
    """None if a stop came before it."""
    found: Found | None = None
    """Pairs and groups of the whole store; None if a stop came before them."""
    n_pairs: Counter[Verdict] | None = None
    """Number of pairs by verdict (`Matches.count_pairs`); None without `found`."""
    news: News | None = None
    """What is new in the groups; None without `found`."""
    compaction: Compaction | None = None
    """What was compacted; None if it did not pay."""
    stopped: bool = False
    """Whether a stop left something for the next run: files (`scan.left`), comparisons or the last steps."""
    uncompared: Unfinished | None = None
    """Comparisons that a stop left for the next run."""
    idle: bool = False
    """Whether there was nothing to do."""
    complete: bool = False
    """Whether everything is done, including the housekeeping."""
    tested: Tested | None = None
    """Null tests of the copies that may go; None if a stop came before them."""
    confirmed: Confirmed | None = None
    """Copies at another speed or pitch that were heard again; None if a stop came before them."""
    strict: bool = False
    """Whether failures of which an earlier run has told count too."""

    @property
    def exit_code(self) -> int:
        """Exit code of a run that nothing stopped."""
        failed = self.scan.failed + self.scan.unlisted - (0 if self.strict else self.scan.known_failures)
        if failed or (self.correlation is not None and self.correlation.n_failed):
            return EXIT_SOME_FAILED
        return EXIT_NOTHING_TO_DO if self.idle else EXIT_DONE


def _nobody(done: Full) -> None:
    """Ignores the result."""


def full(
    store: Store,
    roots: Sequence[bytes],
    *,
    scan: ScanSettings,
    compare: CompareSettings,
    match: MatchSettings,
    keep: KeepSettings,
    runner: Runner,
    observer: Observer,
    conclude: Callable[[Full], None] = _nobody,
    cleanup: PlanSettings = USUAL,
    may_forget: MayForget = never,
    strict: bool = False,
    place: Place | None = None,
) -> Full:
    """Scans `roots`, compares what is new, finds the groups of the whole store, weighed by what `cleanup` lets go, and
    does the housekeeping. A request to `runner.stop` ends it early; the next run continues from there.

    Files of which an earlier run has said that they failed do not decide the exit code unless `strict`, and the
    observer hears of them only then. `may_forget` is as in `scan`. Matches are kept at `place`, and taken from there.

    Calls `conclude` with the result so far while the store is still locked: after the groups or a stop, and again after
    the housekeeping. Only after that do the groups found count as reported: if a run fails or is killed before, it has
    reported nothing, and they are new again to the next one.

    Raises UsageError, before a file is read, if the score is to be learned from judgements and these are too few; and
    what `scan` and `correlate` raise."""
    thresholds(store, match)
    remembered = Remembered(store, match, keep, place)
    job = _Job(store, scan, compare, match, keep, cleanup, runner, observer, may_forget, strict, remembered)
    done = job.run(roots)
    conclude(done)
    if done.found is None:
        return done
    matches = done.found.matches
    done = replace(job.keep_house(done), complete=True)
    conclude(done)
    end_news(store, done.scan.problems, [os.path.abspath(root) for root in roots])
    if done.compaction is None:
        remembered.keep_at_end(matches)
    return done


@dataclass(frozen=True)
class _Job:
    """One run of the main job."""

    store: Store
    scan: ScanSettings
    compare: CompareSettings
    match: MatchSettings
    keep: KeepSettings
    cleanup: PlanSettings
    runner: Runner
    observer: Observer
    may_forget: MayForget
    strict: bool
    remembered: Remembered

    def run(self, roots: Sequence[bytes]) -> Full:
        """The three stages, or as many as come before a stop."""
        was_finished, troubles = unfinished(self.store) is None, self.store.catalog.tracks.troubles()
        scanned = self._scanned(roots)
        done = Full(scanned, dict(scanned.seconds), strict=self.strict)
        if self.runner.stop.requested:
            return replace(done, stopped=True, uncompared=unfinished(self.store))
        done = self._correlate(done)
        if done.stopped or done.correlation is None:
            return done
        n_done = scanned.fingerprinted + scanned.identical + scanned.forgotten + done.correlation.n_computed
        n_done += scanned.newly_absent + scanned.returned + scanned.renewed + scanned.at_other_pitches
        idle = was_finished and not n_done and self.store.catalog.tracks.troubles() == troubles
        return self._group(replace(done, idle=idle))

    def _scanned(self, roots: Sequence[bytes]) -> Scan:
        is_known = problems_known(self.store)
        observer = self.observer if self.strict else OnlyNew(self.observer, is_known)
        scanned = scan_library(self.store, roots, self.scan, self.runner, observer, self.may_forget)
        problems = marked(scanned.problems, is_known)
        known = [each for each in problems if each.is_known and (each.kind == "failed" or not each.is_folder)]
        n_failed = sum(each.kind == "failed" for each in known)
        return replace(scanned, problems=problems, known_problems=len(known), known_failures=n_failed)

    def _correlate(self, done: Full) -> Full:
        began = time.monotonic()
        correlation = correlate(self.store, self.compare, self.runner, self.observer)
        done = replace(done, correlation=correlation, seconds={**done.seconds, "correlate": time.monotonic() - began})
        left, stop = unfinished(self.store), self.runner.stop
        if stop.requested and (left or not stop.time_is_up):  # if nothing is left, a time that is up stops nothing
            done = replace(done, stopped=True, uncompared=left)
        return done

    def _group(self, done: Full) -> Full:
        began = time.monotonic()
        self.store.take_in_what_waits()  # what a person said while files were scanned and compared
        remember(self.store, self.observer, self.runner.stop)
        matches = self.remembered.matches()
        disks = Disks(self.runner, self.scan.reads_per_disk)
        confirmed = Confirmed()
        if self.compare.varispeed:
            confirmed = confirm(self.store, matches, self.runner, self.observer, disks, self.scan.time_limit_s)
        done = replace(done, confirmed=confirmed, seconds={**done.seconds, "hear again": time.monotonic() - began})
        if self.runner.stop.requested and (confirmed.n_left or not self.runner.stop.time_is_up):
            return replace(done, stopped=True)
        began = time.monotonic()
        tested = listen(self.store, matches, self._groups, self.scan, self.runner, self.observer)
        done = replace(done, tested=tested, seconds={**done.seconds, "listen": time.monotonic() - began})
        stop = self.runner.stop
        if stop.requested and (tested.n_left or not stop.time_is_up):
            return replace(done, stopped=True)
        began = time.monotonic()
        found = Found(matches, weighed_groups(self.store, matches, self.keep, self.cleanup))
        n_pairs, new = matches.count_pairs(), news(self.store, found.groups)
        seconds = {**done.seconds, "group": time.monotonic() - began}
        idle = done.idle and not tested.n_tested and not confirmed.n_heard
        return replace(done, found=found, n_pairs=n_pairs, news=new, seconds=seconds, idle=idle)

    def _groups(self, matches: Matches) -> list[Group]:
        return groups_of(self.store, matches, self.keep)

    def keep_house(self, done: Full) -> Full:
        """Compacts the store if it pays, unless tiles failed: these must be computed first."""
        if done.correlation is None or done.correlation.n_failed:
            return done
        began = time.monotonic()
        compaction = compact_if_it_pays(self.store, self.observer, self.runner.stop)
        if compaction is None:
            return done
        return replace(done, compaction=compaction, seconds={**done.seconds, "compact": time.monotonic() - began})
