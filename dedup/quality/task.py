"""What a worker does with one lossless file: measure it. Writes nothing."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any, NamedTuple

from dedup.files.disks import read_ahead
from dedup.files.host_paths import HostPath
from dedup.fingerprint.decode import TimeLimitError, UndecodableError
from dedup.fingerprint.task import NOT_THE_FILES_FAULT, is_as_seen
from dedup.library.probe import unreadable
from dedup.quality.measure import measure
from dedup.store.measurements import Measured


class MeasuredFile(NamedTuple):
    """What came of one file."""

    measured: Measured
    lasting: bool = True
    """Whether the same bytes would give the same again."""


def measure_file(
    path: HostPath, size: int, mtime_ns: int, bits: int, reading: AbstractContextManager[Any], time_limit_s: float
) -> MeasuredFile:
    """What a file shows that has `bits` bits by its headers; `size` and `mtime_ns` are what the scan saw. `reading` is
    its turn on the disk. Raises nothing."""
    try:
        read_ahead(path.here, reading)
        found = MeasuredFile(measure(path.here, bits, time_limit_s))
    except Exception as error:  # a broken file can make PyAV raise anything: it costs one line
        found = _failed(error, time_limit_s)
    if not is_as_seen(path, size, mtime_ns):
        return MeasuredFile(Measured(problem="changed since it was scanned"), lasting=False)
    return found


def _failed(error: Exception, time_limit_s: float) -> MeasuredFile:
    from av.error import FFmpegError

    match error:
        case UndecodableError():
            return MeasuredFile(Measured(problem=str(error)))
        case TimeLimitError():
            return MeasuredFile(Measured(problem=f"decoding took longer than {time_limit_s:g} s"))
        case OSError() if not isinstance(error, FFmpegError):
            return MeasuredFile(Measured(problem=unreadable(error).reason), lasting=False)
    lasting = not isinstance(error, NOT_THE_FILES_FAULT)
    return MeasuredFile(Measured(problem=f"cannot be decoded: {type(error).__name__}: {error}"), lasting)
