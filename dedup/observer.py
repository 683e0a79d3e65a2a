"""What a long operation reports to its observer. `jobs.session.progress` shows it; `Silent` drops it."""

from __future__ import annotations

from typing import Literal, Protocol

Kind = Literal["failed", "skipped", "damaged", "ignored"]


class Observer(Protocol):
    """Receiver of progress; it never answers and never raises."""

    def stage(self, name: str, total: int | None, unit: str) -> None:
        """A stage begins, with `total` units of work ahead; None if that is unknown."""

    def advance(self, n: int = 1) -> None:
        """`n` more units of the current stage are done."""

    def folder(self, path: bytes) -> None:
        """A folder was entered."""

    def problem(self, kind: Kind, path: bytes, reason: str) -> None:
        """A file failed (could not be used), or was skipped (is not meant to be used), damaged (used as far as it could
        be decoded) or ignored (its name is not that of an audio file)."""

    def message(self, text: str) -> None:
        """One line for a person."""


class Silent:
    """An observer that drops everything."""

    def stage(self, name: str, total: int | None, unit: str) -> None:
        """Dropped."""

    def advance(self, n: int = 1) -> None:
        """Dropped."""

    def folder(self, path: bytes) -> None:
        """Dropped."""

    def problem(self, kind: Kind, path: bytes, reason: str) -> None:
        """Dropped."""

    def message(self, text: str) -> None:
        """Dropped."""
