"""A library by formats, and the files that are not what they say."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, NamedTuple, get_args

from dedup.quality.findings import Finding, FindingKind
from dedup.quality.listing import LibraryFile, files_of

if TYPE_CHECKING:
    from dedup.store.store import Store

KINDS: tuple[FindingKind, ...] = get_args(FindingKind)

MOST_LISTED = 2000
"""Most files of each kind that are listed."""

BITRATES = (96, 128, 192, 256, 320)
"""Least kbit/s of the classes by which lossy files are counted, besides those below the first."""

NEARLY = 0.98
"""Share of such a bit rate from which a file counts as of it: headers and padding make it a little less."""


class Amount(NamedTuple):
    """How much there is of something."""

    n_files: int = 0
    n_bytes: int = 0
    seconds: float = 0.0

    def with_one(self, n_bytes: int, seconds: float) -> Amount:
        return Amount(self.n_files + 1, self.n_bytes + n_bytes, self.seconds + seconds)


class Found(NamedTuple):
    """A file, and what it is and does not say."""

    path: bytes
    audio: int
    codec: str
    finding: Finding


@dataclass
class Survey:
    """What is in a library."""

    codecs: dict[tuple[str, bool], Amount] = field(default_factory=dict)
    """By codec, and whether it is lossless."""
    rates: Counter[int] = field(default_factory=Counter)
    """Files by sample rate in Hz; 0 is unknown."""
    bits: Counter[int] = field(default_factory=Counter)
    """Lossless files by bits; 0 is unknown, or a codec that has none."""
    bitrates: Counter[int] = field(default_factory=Counter)
    """Lossy files by the highest of `BITRATES` that they reach; 0 is below all, or unknown."""
    found: dict[FindingKind, list[Found]] = field(default_factory=lambda: {kind: [] for kind in KINDS})
    """At most `MOST_LISTED` of each kind, by path."""
    n_found: Counter[FindingKind] = field(default_factory=Counter)
    n_measurable: int = 0
    """Lossless files that are there."""
    n_measured: int = 0
    """Those of them that were measured."""
    n_unusable: int = 0
    """Files that could not be decoded, or were left out: these count nowhere else."""

    def take(self, file: LibraryFile) -> None:
        """Counts one file."""
        listed, properties = file.listed, file.properties
        if listed is None:
            self.n_unusable += 1
            return
        codec = properties.codec, properties.lossless
        self.codecs[codec] = self.codecs.get(codec, Amount()).with_one(file.track.size, listed.seconds)
        self.rates[properties.sample_rate] += 1
        if properties.lossless:
            self.bits[properties.bits] += 1
        else:
            self.bitrates[_class_of(listed.bitrate)] += 1
        if file.is_measurable:
            self.n_measurable += 1
            self.n_measured += file.measured is not None
        for finding in file.findings:
            self.n_found[finding.kind] += 1
            if len(self.found[finding.kind]) < MOST_LISTED:
                self.found[finding.kind].append(Found(listed.path, listed.audio, properties.codec, finding))


def survey(store: Store) -> Survey:
    """What is in the library of a store, without tracks that were imported."""
    found = Survey()
    for file in files_of(store):
        if file.track.state != "imported":
            found.take(file)
    return found


def _class_of(bitrate: int) -> int:
    return max((least for least in BITRATES if bitrate >= NEARLY * 1000 * least), default=0)
