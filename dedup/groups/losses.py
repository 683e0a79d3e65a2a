"""What one file holds that another lacks, so that it would be lost if the first went and the second stayed."""

from __future__ import annotations

from dataclasses import dataclass

from dedup.settings import LossKind


@dataclass(frozen=True)
class Loss:
    """One thing that would be lost."""

    kind: LossKind
    what: str
    """The thing in words: "2:00 at the end", "moving picture 640 by 360"."""
