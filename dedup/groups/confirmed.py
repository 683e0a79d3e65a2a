"""What hearing a file again has confirmed, taken in by whoever asks about two files."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeVar

from dedup.correlation.match import match_at
from dedup.correlation.scoring import Change

if TYPE_CHECKING:
    from dedup.correlation.match import Match
    from dedup.store.comparisons import Confirmation


_Found = TypeVar("_Found", "Match", "Match | None")


def as_confirmed(found: _Found, is_at_other_pitch: bool, said: Confirmation) -> tuple[_Found, Change, bool]:
    """The numbers of two files, what was changed between them, and whether the numbers are those at a pitch that nobody
    has confirmed. Those that were confirmed count unless what was `found` before is better."""
    confirmed = match_at(said.pair, 0) if said.pair else None
    if confirmed is not None and (found is None or is_at_other_pitch or confirmed.score >= found.score):
        found, is_at_other_pitch = confirmed, False
    return found, Change(said.kind, said.pitch), is_at_other_pitch
