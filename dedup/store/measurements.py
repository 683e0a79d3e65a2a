"""The table `measurement`: what the samples of lossless audio show of what it was made from."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import astuple, dataclass

from dedup.store.table import Table

MEASUREMENT_VERSION = 1
"""Counts the ways in which audio was measured; measurements of another version are made again. Raise it with any change
to what `quality.measure` gives of a file."""

DEEPEST = 32
"""Bits that a sample has at most."""


@dataclass(frozen=True, slots=True)
class Measured:
    """What was measured of an audio."""

    used_bits: int | None = None
    """Bits of its samples that are in use (`quality.depth`); None if the headers state no bits, or for silence."""
    cutoff_hz: int | None = None
    """Where its spectrum breaks off as that of a lossy encoder does, in Hz; None if it does not."""
    source_rate: int | None = None
    """Sample rate, in Hz, that can hold all that is in it, if its own is about twice that or more; None if none can."""
    problem: str | None = None
    """Why it could not be measured; then the rest is None."""


class Measurements(Table):
    """One row per audio that was measured. It goes with its audio."""

    name = "measurement"

    def create(self) -> None:
        """Makes the table in a catalog that has none, as `schema.sql` does."""
        self.connection.execute(
            "CREATE TABLE measurement (audio INTEGER PRIMARY KEY REFERENCES audio (id) ON DELETE CASCADE, "
            "version INTEGER NOT NULL, used_bits INTEGER, cutoff_hz INTEGER, source_rate INTEGER, problem TEXT, "
            "row_digest BLOB NOT NULL DEFAULT x'') STRICT"
        )

    def get(self, audio: int | None) -> Measured | None:
        """What was measured of an audio; None if nothing was."""
        row = next(self.read_rows("WHERE audio = ? AND version = ?", (audio, MEASUREMENT_VERSION)), None)
        return None if row is None else Measured(*row[2:])

    def put(self, measured: Iterable[tuple[int, Measured]]) -> None:
        """Records what was measured, by audio, in place of what was known."""
        rows = ((audio, MEASUREMENT_VERSION, *astuple(found)) for audio, found in measured)
        self.put_rows(rows, "INSERT OR REPLACE")
