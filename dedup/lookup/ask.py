"""Asks the services what the store does not know yet, and keeps each answer as it comes: a run that was killed goes on
from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from dedup.clock import seconds_of, utc_at
from dedup.fingerprint.acoustid_text import acoustid_text
from dedup.lookup import nouns
from dedup.lookup.acoustid import BATCH, AcoustId, Question
from dedup.lookup.musicbrainz import MusicBrainz
from dedup.lookup.nouns import RecordingReleases, Release, Sound

if TYPE_CHECKING:
    from dedup.observer import Observer
    from dedup.store.lookups import Service
    from dedup.store.store import Store

DAY_S = 86400.0


class Subject(NamedTuple):
    """A fingerprint that is to be looked up."""

    digest: str
    """In hexadecimal; answers are kept by it."""
    fingerprint: int
    length_s: float
    """Of the whole track."""


class Answers:
    """What the services said, from the store or asked now. Methods that ask raise ServiceError, StoppedError."""

    def __init__(
        self,
        store: Store,
        observer: Observer,
        now: Callable[[], float],
        again_s: float = 30 * DAY_S,
        anew: bool = False,
    ) -> None:
        """`again_s`: after how many seconds it is asked again for what nobody knew. `anew`: whether what is kept does
        not count, unless it came since."""
        self._store, self._observer, self._now = store, observer, now
        self._since = now() if anew else None
        self._again_s = again_s

    def sounds(self, digests: Sequence[str]) -> dict[str, tuple[Sound, ...]]:
        """What AcoustID said of fingerprints, by digest; those that need no question now."""
        kept = self._store.catalog.lookups.get_all("acoustid", digests)
        return {
            digest: nouns.sounds_from_json(said.answer)
            for digest, said in kept.items()
            if self._counts(said.asked, bool(said.answer))
        }

    def unknown(self, digests: Sequence[str]) -> list[str]:
        """Those of these fingerprints that AcoustID is to be asked about."""
        kept = self._store.catalog.lookups.kept("acoustid", digests)
        return [digest for digest in digests if digest not in kept or not self._counts(*kept[digest])]

    def _counts(self, asked: str, has_anything: bool) -> bool:
        return self._is_new_enough(asked) and (has_anything or self._now() - seconds_of(asked) < self._again_s)

    def ask_for_sounds(self, subjects: Sequence[Subject], service: AcoustId) -> None:
        """Asks AcoustID about these fingerprints, `BATCH` at a time, and keeps what it says of each."""
        self._observer.stage("ask AcoustID", len(subjects), "recordings")
        settings = self._store.fingerprint_settings
        algorithm = settings.algorithm if settings is not None else 1
        for at in range(0, len(subjects), BATCH):
            batch = subjects[at : at + BATCH]
            items = self._store.items_of_all([subject.fingerprint for subject in batch])
            questions = [
                Question(acoustid_text(items[subject.fingerprint], algorithm), subject.length_s) for subject in batch
            ]
            said = service.look_up(questions)
            answers = [
                (subject.digest, nouns.sounds_to_json(sounds)) for subject, sounds in zip(batch, said, strict=True)
            ]
            with self._store.catalog.transaction():
                self._store.catalog.lookups.put("acoustid", utc_at(self._now()), answers)
            self._observer.advance(len(batch))

    def releases(self, ids: Sequence[str], service: MusicBrainz) -> list[Release]:
        """The releases with these identifiers, those that there are."""
        kept = self._store.catalog.lookups.get_all("release", ids)
        found = []
        for id_ in ids:
            if id_ in kept and self._is_new_enough(kept[id_].asked):
                found.append(nouns.release_from_json(kept[id_].answer))
            else:
                release = service.release(id_)
                self._keep("release", id_, nouns.release_to_json(release))
                found.append(release)
        return [release for release in found if release is not None]

    def recording(self, id_: str, service: MusicBrainz) -> RecordingReleases | None:
        """The recording with this identifier; None if there is none any more."""
        kept = self._store.catalog.lookups.get_all("recording", [id_])
        if id_ in kept and self._is_new_enough(kept[id_].asked):
            return nouns.recording_from_json(kept[id_].answer)
        recording = service.recording(id_)
        self._keep("recording", id_, nouns.recording_to_json(recording))
        return recording

    def _is_new_enough(self, asked: str) -> bool:
        return self._since is None or seconds_of(asked) >= int(self._since)

    def _keep(self, service: Service, id_: str, answer: dict[str, object]) -> None:
        with self._store.catalog.transaction():
            self._store.catalog.lookups.put(service, utc_at(self._now()), [(id_, answer)])
