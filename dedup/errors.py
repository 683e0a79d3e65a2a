"""One class a condition. Each prints as one line (what was found, what was expected, where, what to do) and has
an exit code of its own; the codes are a table in docs/exit-codes.md that only grows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

EXIT_DONE = 0
EXIT_BUG = 1
EXIT_USAGE = 2
EXIT_SOME_FAILED = 3
EXIT_TIME_UP = 4
EXIT_NOTHING_TO_DO = 5
EXIT_INTERRUPTED = 130


class RepriseError(Exception):
    """A condition that ends the run, told in one line."""

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
    """A command needs what a scan found, and there is no store yet."""

    exit_code = 18


class StoreLockedError(RepriseError):
    """Another run holds the store."""

    exit_code = 11


class StoreMismatchError(RepriseError):
    """The store is of another format version or of other fingerprint settings."""

    exit_code = 12


class StoreDamagedError(RepriseError):
    """Something in the store is not as FORMAT.md says."""

    exit_code = 13


class CatalogDamagedError(StoreDamagedError):
    """The catalog is no sound database, or its stamp cannot be read: `check --repair` makes a new one of its rows."""


class WriteError(RepriseError):
    """The disk is full, or may not be written."""

    exit_code = 14


class InputError(RepriseError):
    """A file given on the command line cannot be used: no audio, not found, not readable."""

    exit_code = 15


class PlanError(RepriseError):
    """A plan that cannot be carried out as it stands, with all that is wrong with it."""

    exit_code = 21

    def __init__(self, where: str, problems: Sequence[str]) -> None:
        more = f", and {len(problems) - 1:,} more" if len(problems) > 1 else ""
        super().__init__(where, f"{problems[0]}{more}")
        self.problems = list(problems)
        """Each on one line."""

    def __reduce__(self) -> tuple[type, tuple[Any, ...]]:
        return type(self), (self.where, self.problems)


class ChromaprintMissingError(RepriseError):
    """libchromaprint is not installed."""

    exit_code = 16


class ClusterError(RepriseError):
    """No worker could be started, or all were lost."""

    exit_code = 17


class PreflightError(ClusterError):
    """Workers that cannot take part, with every reason."""

    def __init__(self, where: str, found: str, expected: str = "", remedy: str = "") -> None:
        super().__init__(where, found, expected, remedy)
        self.problems: list[tuple[str, str]] = []
        """Host and reason."""


class TooLittleMemoryError(RepriseError):
    """The work does not fit into the memory that a worker has; found before it began."""

    exit_code = 19


class SetupError(RepriseError):
    """The launcher could not install what the program needs (raised by scripts/reprise, listed here for the table)."""

    exit_code = 20


class JournalError(RepriseError):
    """A clean-up that is not there, cannot be read, or is not in the state that a command needs."""

    exit_code = 22
