"""What a worker does with two files: decode and compare them. Writes nothing."""

from __future__ import annotations

import time
from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

import numpy as np

from dedup.files.disks import read_ahead
from dedup.files.host_paths import HostPath
from dedup.fingerprint.decode import TimeLimitError, UndecodableError, decode_audible
from dedup.fingerprint.task import NOT_THE_FILES_FAULT, is_as_seen
from dedup.library.probe import unreadable
from dedup.nulltest.compare import compare
from dedup.nulltest.residual import Residual, residual
from dedup.nulltest.spectra import SAMPLE_RATE, Pcm
from dedup.store.nulltests import NullTest

Side = tuple[HostPath, int, int, AbstractContextManager[Any]]
"""One of the two files: its path, its size and time of change when it was discovered, and its turn on the disk."""


@dataclass(frozen=True)
class Compared:
    """What came of two files."""

    test: NullTest
    lasting: bool = True
    """Whether the same bytes would give the same again: otherwise the test is to be made another time."""
    residual: Residual | None = None
    """What only one of the two has, over time; None if it was not asked for or the test could not be made."""


def compare_files(a: Side, b: Side, lag_s: float, time_limit_s: float, *, to_draw: bool = False) -> Compared:
    """The null test of two files; the first has about `lag_s` seconds more in front. Both together may take
    `time_limit_s`; `to_draw` asks for the residual too. Raises nothing: a file that changed, or that cannot be decoded,
    is the test's problem."""
    deadline = time.monotonic() + time_limit_s
    try:
        heard_a, heard_b = _heard(a, deadline), _heard(b, deadline)
        if not all(is_as_seen(path, size, mtime_ns) for path, size, mtime_ns, _ in (a, b)):
            return Compared(NullTest(problem="changed since it was discovered"), lasting=False)
        test = compare(heard_a, heard_b, lag_s)
        left = residual(heard_a, heard_b, lag_s) if to_draw and test.is_made else None
        return Compared(test, residual=left)
    except Exception as error:  # a broken file can make PyAV raise anything: it costs one line
        problem, lasting = _problem(error, time_limit_s)
        return Compared(NullTest(problem=problem), lasting)


def _problem(error: Exception, time_limit_s: float) -> tuple[str, bool]:
    """What is wrong, and whether it would be the next time."""
    match error:
        case TimeLimitError():
            return f"decoding took longer than {time_limit_s:g} s", True
        case UndecodableError():
            return str(error), True
        case OSError():
            return unreadable(error).reason, False
    text = f"{type(error).__name__}: {error}"
    return (text, False) if isinstance(error, NOT_THE_FILES_FAULT) else (f"cannot be decoded: {text}", True)


def _heard(side: Side, deadline: float) -> Pcm:
    """The sound of a file, as its fingerprint heard it."""
    path, _, _, reading = side
    read_ahead(path.here, reading)
    sound = bytearray()

    def begin() -> Callable[[bytes], None]:
        sound.clear()
        return sound.extend

    decode_audible(path.here, SAMPLE_RATE, begin, time_limit_s=max(0.0, deadline - time.monotonic()))
    return np.frombuffer(sound, "<i2")
