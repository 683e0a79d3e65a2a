"""A sound in the cache, as whoever plays it sees it: any samples of it, as soon as they are decoded."""

from __future__ import annotations

import os
import threading
import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import numpy as np

from dedup.errors import InputError
from dedup.files.paths import printable
from dedup.playback.flac import N_CHANNELS, SOUND_RATE, DamagedError, Samples, decode
from dedup.playback.folder import SEGMENT, Facts, read_facts, read_outline, segment_path
from dedup.playback.task import Task
from dedup.playback.waveform import STEP, Waveform, coarser
from dedup.playback.work import Work

WAIT_S = 60.0
"""Seconds to wait for a segment."""
_TRIES = 3
"""Times that a sound is decoded because a segment is missing or damaged, for one request."""
_RETRY_S = 30.0
"""Seconds after which a sound that could not be played is tried again."""
_USED_EVERY_S = 5.0
"""Seconds after which a use is noted again."""


class Decoded:
    """Segments that were read not long ago, as samples: the next window needs most of the same."""

    def __init__(self, n_segments: int) -> None:
        self._most, self._lock = n_segments, threading.Lock()
        self._kept: OrderedDict[tuple[str, int], Samples] = OrderedDict()

    def get(self, key: str, number: int) -> Samples | None:
        with self._lock:
            found = self._kept.get((key, number))
            if found is not None:
                self._kept.move_to_end((key, number))
            return found

    def put(self, key: str, number: int, samples: Samples) -> None:
        with self._lock:
            self._kept[key, number] = samples
            while len(self._kept) > self._most:
                self._kept.popitem(last=False)


class Sound:
    """The sound of a file, or the difference of two. Made by `SoundCache`; may be used by many threads at a time."""

    def __init__(
        self, task: Task, folder: Path, start: Callable[[Work], None], make: Callable[[], Work], decoded: Decoded
    ):
        self.task, self.folder = task, folder
        self.key = folder.name
        self._start, self._make, self._decoded = start, make, decoded
        self._lock = threading.Lock()
        self._work: Work | None = None
        self._facts = read_facts(folder)
        self._used = 0.0
        self._began = time.monotonic()

    # ---- what is known of it ----

    @property
    def facts(self) -> Facts | None:
        """Its length, loudness and the like; None until it has been decoded to its end."""
        if self._facts is None:
            work = self._work
            if work is not None and work.is_over and not work.problem:
                self._facts = read_facts(self.folder)
        return self._facts

    @property
    def problem(self) -> str:
        """Why it cannot be played, as far as anybody tried; empty if it can."""
        work = self._work
        return work.problem if work is not None and work.is_over else ""

    @property
    def is_being_decoded(self) -> bool:
        return self._work is not None and not self._work.is_over

    @property
    def may_be_tried_again(self) -> bool:
        """Whether it failed, some time ago."""
        return bool(self.problem) and time.monotonic() - self._began > _RETRY_S

    @property
    def ready_s(self) -> float:
        """Seconds from its start that can be played without waiting."""
        facts, work = self.facts, self._work
        if facts is not None:
            return facts.length_s
        return work.n_segments * SEGMENT / SOUND_RATE if work is not None else 0.0

    def begin(self) -> Sound:
        """Has it decoded, unless it is or is being decoded; returns at once."""
        if self.facts is None:
            self._working()
        return self

    def wait(self, timeout_s: float = WAIT_S) -> Facts:
        """Its facts, when it has been decoded to its end. Raises InputError."""
        deadline = time.monotonic() + timeout_s
        for _ in range(_TRIES):
            facts = self.facts
            if facts is not None:
                return facts
            self._await(self._working(), 1 << 31, deadline)
        raise self._error("it disappears from the cache while it is read")

    def waveform(self, n_steps: int = 2000) -> Waveform:
        """Its outline in at most so many steps, as far as it is decoded; decodes nothing."""
        outline = read_outline(self.folder)
        n_each, outline = coarser(outline, n_steps)
        return Waveform(n_each * STEP / SOUND_RATE, outline, self.facts is not None)

    # ---- its samples ----

    def samples(self, first: int, end: int) -> Samples:
        """int16[end - first, 2], with zeros before 0 and behind its end; waits for what is not decoded yet. Raises
        InputError if it cannot be decoded, or not in `WAIT_S`."""
        found = np.zeros((max(0, end - first), N_CHANNELS), np.int16)
        for number in range(max(first, 0) // SEGMENT, -(-end // SEGMENT)):
            segment = self.segment(number)
            if not len(segment):
                break
            at = number * SEGMENT
            low, high = max(first, at), min(end, at + len(segment))
            if low < high:
                found[low - first : high - first] = segment[low - at : high - at]
        return found

    def segment(self, number: int) -> Samples:
        """The samples of one segment: `SEGMENT` of them, fewer at the end, none beyond it. Raises as `samples`."""
        self._note_use()
        kept = self._decoded.get(self.key, number)
        if kept is not None:
            return kept
        deadline = time.monotonic() + WAIT_S
        for _ in range(_TRIES):
            facts = self.facts
            if facts is not None and number * SEGMENT >= facts.n_samples:
                return np.zeros((0, N_CHANNELS), np.int16)
            samples = self._read(number)
            if samples is not None:
                self._decoded.put(self.key, number, samples)
                return samples
            self._await(self._again(number), number + 1, deadline)
        raise self._error("it disappears from the cache while it is read")

    def _read(self, number: int) -> Samples | None:
        """A segment from the cache; None if it is missing or damaged."""
        try:
            return decode(segment_path(self.folder, number).read_bytes())
        except (OSError, DamagedError):
            return None

    # ---- decoding ----

    def _again(self, number: int) -> Work:
        """The decoding that will give a segment which isn't there."""
        with self._lock:
            work = self._work
            if work is not None and not work.is_over and work.n_segments <= number:
                return work
        if work is not None and not work.is_over:  # it was there, and someone removed it
            self._await(work, 1 << 31, time.monotonic() + WAIT_S)
        self._facts = None
        return self._working()

    def _working(self) -> Work:
        """The decoding under way, or the one that failed; else a new one."""
        with self._lock:
            work = self._work
            if work is None or (work.is_over and not work.problem):
                work = self._work = self._make()
                self._start(work)
            return work

    def _await(self, work: Work, n_segments: int, deadline: float) -> None:
        if not work.wait(n_segments, max(0.0, deadline - time.monotonic())):
            raise self._error(f"decoding it takes longer than {WAIT_S:g} s")
        if work.is_over and work.problem:
            raise self._error(work.problem)

    def _error(self, found: str) -> InputError:
        where = " and ".join(printable(file.path) for file in self.task.files)
        return InputError(where, f"it cannot be played: {found}")

    def _note_use(self) -> None:
        now = time.monotonic()
        if now - self._used > _USED_EVERY_S:
            self._used = now
            try:
                os.utime(self.folder)
            except OSError:  # someone removed it: it is decoded again
                self._used = 0.0
