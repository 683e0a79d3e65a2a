"""The thresholds by which two tracks are related, and copies: of the settings, the library and what people said."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dedup.correlation.noise import noise_of
from dedup.correlation.scoring import HYPOTHESES, MORE_EVIDENCE, Thresholds, usual_noise
from dedup.errors import UsageError
from dedup.groups.judgements import history
from dedup.settings import MatchSettings

if TYPE_CHECKING:
    from dedup.store.store import Store

LEAST_JUDGEMENTS, JUST_BELOW = 10, 0.005


def thresholds(store: Store | None, settings: MatchSettings, n_tracks: int | None = None) -> Thresholds:
    """The thresholds that follow from the settings for a store's library, or without a store, for a library of 10,000
    tracks. `n_tracks` is the number of different fingerprints in the store, if that is known. Raises UsageError if
    judgements are to set the score and there are too few."""
    if store is None:
        noise, n_tracks = usual_noise(), 10_000
    else:
        noise = noise_of(store)
        n_tracks = store.catalog.fingerprints.count_held() if n_tracks is None else n_tracks
    related = noise.threshold(n_tracks, settings.max_false)
    other_speed = noise.threshold(n_tracks, settings.max_false / HYPOTHESES) + MORE_EVIDENCE
    same = settings.min_score
    if same is None:  # judgements set no score if raw agreement alone decides
        same = 0.0 if settings.classic is not None else max(related, approved_score(store))
    return Thresholds(related, other_speed, same, settings.min_prominence, settings.classic, noise, n_tracks)


def approved_score(store: Store | None) -> float:
    """A score just below the lowest of a pair that a person called the same. Raises UsageError if too few were
    judged."""
    said = [] if store is None else history(store)
    approved = [judgement.score for judgement in said if judgement.same and judgement.score is not None]
    if len(said) < LEAST_JUDGEMENTS or not approved:
        raise UsageError(
            "min-score 'judged'",
            f"found {len(said)} judgements, {len(approved)} of them 'same' with a score",
            f"{LEAST_JUDGEMENTS} judgements or more to learn from",
            "Judge pairs with `reprise report --ask` or `reprise mark`, or use the profile basic",
        )
    return max(0.0, min(approved) - JUST_BELOW)
