"""The quality of a file as one text: larger is better, as texts are sorted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dedup.groups.keep import keep_rules

if TYPE_CHECKING:
    from collections.abc import Sequence

    from dedup.groups.matches import ListedTrack
    from dedup.quality.findings import Finding
    from dedup.settings import KeepSettings

DIGITS = {"sound": 1, "phase": 1, "band": 5, "lossless": 1, "bits": 2, "rate": 6, "channels": 2, "bitrate": 4}
"""Keep rules that are about the sound alone, and the digits of their values. Lossless files have the highest bit rate
that there are digits for."""

MOST_KNOWN = 10_000

SUSPECTED, UNSUSPECTED = "0", "1"


class Rank:
    """Puts files in the order of the keep rules that are about their sound. Of files that these leave equal, those
    that are not what they say come after the others."""

    def __init__(self, settings: KeepSettings) -> None:
        """By the rules that `settings` choose, in their order. Raises UsageError as `keep_rules` does."""
        rules = {rule.name: rule for rule in keep_rules(settings).rules if rule.name in DIGITS}
        self.names = (*rules, "unsuspected")
        """What the parts of a text stand for."""
        self._rules = [(rule.key, DIGITS[name], 10 ** DIGITS[name] - 1) for name, rule in rules.items()]
        self._known: dict[Any, str] = {}
        """What was made of tracks with the same values, as far as these rules read any: there are few such."""

    def of(self, track: ListedTrack, findings: Sequence[Finding]) -> str:
        """The quality of a file: the value of each rule, then 0 if there are findings, parted by dots."""
        properties = track.properties
        read = (
            *(properties.codec, properties.lossless, properties.bits, properties.sample_rate, properties.channels),
            *(track.bitrate, track.damage is None, track.cancels, track.width_db, bool(findings)),
        )
        known = self._known.get(read)
        if known is None:
            if len(self._known) >= MOST_KNOWN:
                self._known.clear()
            parts = [f"{min(key(track), most):0{digits}d}" for key, digits, most in self._rules]
            known = self._known[read] = ".".join((*parts, SUSPECTED if findings else UNSUSPECTED))
        return known
