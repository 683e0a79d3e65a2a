"""Why a file gives no fingerprint."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Unusable:
    """Why a file gives no fingerprint."""

    kind: Literal["failed", "skipped"]
    reason: str
    lasting: bool
    """Whether the same bytes would fail again: then the file is not tried again until it changes."""
