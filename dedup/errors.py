"""One class per condition. Each prints as one line (where, what was found, what was expected, what to do) and has
its own exit code; the codes are a table in docs/exit-codes.md that only grows."""

from __future__ import annotations

import contextlib
import errno
from collections.abc import Iterator, Sequence
from typing import Any

EXIT_DONE = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_SOME_FAILED = 3
EXIT_TIME_UP = 4
EXIT_NOTHING_TO_DO = 5
EXIT_DUPLICATE = 6
EXIT_BETTER = 7
EXIT_OTHER_VERSION = 8
EXIT_INTERRUPTED = 130


class RepriseError(Exception):
    """A condition that ends the run, reported on one line.

    `found` is a phrase that follows "where: ". `expected` is a noun phrase for a value of the right kind; leave it out
    if it only repeats what `remedy` says. `remedy` is an instruction, and a sentence of its own."""

    exit_code = EXIT_BUG

    def __init__(self, where: str, found: str, expected: str = "", remedy: str = "") -> None:
        self.where, self.found, self.expected, self.remedy = where, found, expected, remedy
        text = f"{where}: {found}"
        if expected:
            text += f"; expected {expected}"
        if remedy:
            text += f". {remedy}"
        super().__init__(text)

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.where, self.found, self.expected, self.remedy)


class UsageError(RepriseError):
    """An option, setting or profile that does not exist, or a value out of its range."""

    exit_code = EXIT_USAGE


class LibraryError(RepriseError):
    """No library was given, or a root does not exist or cannot be read."""

    exit_code = 10


class StoreMissingError(RepriseError):
    """A command needs the results of a scan, but there is no store yet."""

    exit_code = 18


class StoreLockedError(RepriseError):
    """Another run holds the store."""

    exit_code = 11


class StoreMismatchError(RepriseError):
    """The store has another format version or other fingerprint settings."""

    exit_code = 12


class StoreDamagedError(RepriseError):
    """Something in the store does not match FORMAT.md."""

    exit_code = 13


class CatalogDamagedError(StoreDamagedError):
    """The catalog is not a sound database, or its stamp cannot be read: `check --repair` makes a new one from its
    rows."""


class WriteError(RepriseError):
    """The disk is full, or writing to it is not allowed."""

    exit_code = 14


_REFUSALS = {
    errno.ENOSPC: ("the disk is full", "Make room"),
    errno.EDQUOT: ("the disk is full up to your quota", "Make room"),
    errno.EFBIG: ("the disk does not take files of that size", "Use another disk"),
    errno.EROFS: ("the disk is read-only", "Make it writable"),
    errno.EIO: ("the disk failed to read or write (I/O error)", "Look at the disk and its cable"),
    errno.EACCES: ("permission denied", "Get the right to write there"),
    errno.EPERM: ("operation not permitted", "Look whose it is, and whether it is marked as immutable"),
}
"""What the system means by the number of an error, and what to do first."""

AGAIN = "run the same command again: what was done is kept"


def is_refusal(error: OSError) -> bool:
    """Whether a disk refused: it is full, over quota, read-only, failing, or not the user's to write to."""
    return error.errno in _REFUSALS


def is_full(error: OSError) -> bool:
    """Whether there is no room, so that whatever is written next is refused too."""
    return error.errno in (errno.ENOSPC, errno.EDQUOT)


def refusal(error: OSError) -> str:
    """Why the system refused to write, in words: "the disk is full"."""
    return _REFUSALS[error.errno][0] if error.errno in _REFUSALS else error.strerror or str(error)


def refused(where: str, error: OSError, instead: str = "", then: str = AGAIN) -> WriteError:
    """A WriteError that says what the system refused at `where`. `instead` is another way out, such as "choose another
    folder with --store"; `then` is what comes after that."""
    first = _REFUSALS[error.errno][1] if error.errno in _REFUSALS else "Make sure that it can be written"
    ways = f"{first} or {instead}" if instead else first
    return WriteError(where, refusal(error), remedy=f"{ways}, then {then}")


@contextlib.contextmanager
def writing(where: str, instead: str = "") -> Iterator[None]:
    """Turns the OSError of a write within it into what `refused` gives."""
    try:
        yield
    except OSError as error:
        raise refused(where, error, instead) from error


class InputError(RepriseError):
    """A file given on the command line cannot be used: it has no audio, does not exist or cannot be read."""

    exit_code = 15


class PlanError(RepriseError):
    """A plan that cannot be carried out as it stands, with everything that is wrong with it."""

    exit_code = 21

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        more = f", and {len(problems) - 1:,} more" if len(problems) > 1 else ""
        super().__init__(where, f"{problems[0]}{more}")
        self.problems = list(problems)
        """Everything that is wrong, one line each."""

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.where, self.problems)


class ClusterError(RepriseError):
    """No worker could be started, or all were lost."""

    exit_code = 17


class PreflightError(ClusterError):
    """Some workers cannot take part; carries every reason."""

    def __init__(self, where: str, found: str, expected: str = "", remedy: str = "") -> None:
        super().__init__(where, found, expected, remedy)
        self.problems: list[tuple[str, str]] = []
        """Pairs of host and reason."""


class TooLittleMemoryError(RepriseError):
    """The work does not fit into the memory that there is; found before it starts."""

    exit_code = 19


class SetupError(RepriseError):
    """The launcher could not install what the program needs (raised by scripts/reprise, listed here for the table)."""

    exit_code = 20


class JournalError(RepriseError):
    """A clean-up that does not exist, cannot be read, or is not in the state that a command needs."""

    exit_code = 22


class GateClosedError(RepriseError):
    """No gate is open where a command asks."""

    exit_code = 23


class GateBusyError(GateClosedError):
    """A gate is open, and does not answer in time."""


class ServerError(RepriseError):
    """A media server cannot be reached, does not let us in, or refuses what it was asked."""

    exit_code = 24


class ServiceError(RepriseError):
    """AcoustID, MusicBrainz or Yandex Music cannot be reached, or refuses what it was asked."""

    exit_code = 25
