"""What a long operation tells whoever watches it. `jobs.session.progress` shows it; `Silent` drops it."""

from __future__ import annotations

from typing import Literal, Protocol

Kind = Literal["failed", "skipped", "damaged", "ignored"]


class Observer(Protocol):
    """Receives progress; never answers, never raises."""

    def stage(self, name: str, total: int | None, unit: str) -> None:
        """A stage begins: `total` units of work are known to lie ahead, or None."""

    def advance(self, n: int = 1) -> None:
        """`n` more units of the current stage are done."""

    def folder(self, path: bytes) -> None:
        """A folder was entered."""

    def problem(self, kind: Kind, path: bytes, reason: str) -> None:
        """A file was failed (could not be used), skipped (not meant to be used), damaged (used as far as it could be
        decoded) or ignored (no audio file by name)."""

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
