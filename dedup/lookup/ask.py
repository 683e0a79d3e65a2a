"""Asks the services what the store does not know yet, and keeps each answer as it comes: a run that was killed goes on
from there."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from dedup.clock import seconds_of
from dedup.errors import StoreDamagedError
from dedup.fingerprint.acoustid_text import acoustid_text
from dedup.lookup import nouns
from dedup.lookup.acoustid import BATCH, AcoustId, Question
from dedup.lookup.library import Subject
from dedup.lookup.musicbrainz import MusicBrainz
from dedup.lookup.nouns import RecordingReleases, Release, Sound

if TYPE_CHECKING:
    from dedup.lookup.keeping import Keeping
    from dedup.observer import Observer
    from dedup.store.items import Items
    from dedup.store.lookups import Answer, Service
    from dedup.store.store import Store

DAY_S = 86400.0


class Answers:
    """What the services said, from the store or asked now. Methods that ask raise ServiceError, StoppedError."""

    def __init__(
        self,
        store: Store,
        keeping: Keeping,
        observer: Observer,
        now: Callable[[], float],
        again_s: float = 30 * DAY_S,
        anew: bool = False,
    ) -> None:
        """`again_s`: after how many seconds it is asked again for what nobody knew. `anew`: whether what is kept does
        not count, unless it came since."""
        self._store, self._keeping, self._observer, self._now = store, keeping, observer, now
        self._since = now() if anew else None
        self._again_s = again_s

    def sounds(self, digests: Sequence[str]) -> dict[str, tuple[Sound, ...]]:
        """What AcoustID said of fingerprints, by digest; those that need no question now."""
        return nouns.understood(self._counting("acoustid", digests), nouns.sounds_from_json)

    def unknown(self, digests: Sequence[str]) -> list[str]:
        """Those of these fingerprints that AcoustID is to be asked about."""
        kept = self._store.catalog.lookups.kept("acoustid", digests)
        return [digest for digest in digests if digest not in kept or not self._counts(*kept[digest])]

    def _counting(self, service: Service, subjects: Sequence[str]) -> dict[str, Answer]:
        """The answers about these subjects that need no question now."""
        kept = self._store.catalog.lookups.get_all(service, subjects)
        return {subject: said for subject, said in kept.items() if self._counts(said.asked, bool(said.answer))}

    def _counts(self, asked: str, has_anything: bool) -> bool:
        return self._is_new_enough(asked) and (has_anything or self._now() - seconds_of(asked) < self._again_s)

    def ask_for_sounds(self, subjects: Sequence[Subject], service: AcoustId) -> None:
        """Asks AcoustID about these fingerprints, `BATCH` at a time, and keeps what it says of each. Those that a run
        dropped since are left out."""
        self._observer.stage("ask AcoustID", len(subjects), "recordings")
        settings = self._store.fingerprint_settings
        algorithm = settings.algorithm if settings is not None else 1
        for at in range(0, len(subjects), BATCH):
            batch = subjects[at : at + BATCH]
            self._keeping.wait_for_store()
            items = self._items([subject.digest for subject in batch])
            asked = [subject for subject in batch if subject.digest in items]
            if asked:
                questions = [
                    Question(acoustid_text(items[subject.digest], algorithm), subject.length_s) for subject in asked
                ]
                said = map(nouns.sounds_to_json, service.look_up(questions))
                digests = [subject.digest for subject in asked]
                self._keeping.keep("acoustid", list(zip(digests, said, strict=True)))
            self._observer.advance(len(batch))

    def _items(self, digests: Sequence[str]) -> dict[str, Items]:
        """The items of these fingerprints, of those that the store has now: another run may move or drop them."""
        for is_last in (False, False, True):
            ids = self._store.catalog.fingerprints.find_all([bytes.fromhex(digest) for digest in digests])
            try:
                items = self._store.items_of_all(ids.values())
            except StoreDamagedError:
                if is_last or self._store.writable:
                    raise
            else:
                return {digest.hex(): items[id_] for digest, id_ in ids.items()}
        raise AssertionError("the last try returns or raises")

    def releases(self, ids: Sequence[str], service: MusicBrainz) -> list[Release]:
        """The releases with these identifiers, those that there are."""
        known = nouns.understood(self._counting("release", ids), nouns.release_from_json)
        found = []
        for id_ in ids:
            if id_ in known:
                found.append(known[id_])
            else:
                self._keeping.wait_for_store()
                release = service.release(id_)
                self._keep("release", id_, nouns.release_to_json(release))
                found.append(release)
        return [release for release in found if release is not None]

    def recording(self, id_: str, service: MusicBrainz) -> RecordingReleases | None:
        """The recording with this identifier; None if there is none any more."""
        known = nouns.understood(self._counting("recording", [id_]), nouns.recording_from_json)
        if id_ in known:
            return known[id_]
        self._keeping.wait_for_store()
        recording = service.recording(id_)
        self._keep("recording", id_, nouns.recording_to_json(recording))
        return recording

    def _is_new_enough(self, asked: str) -> bool:
        """Whether an answer came since, by a clock that was not set back meanwhile."""
        return self._since is None or int(self._since) <= seconds_of(asked) <= self._now()

    def _keep(self, service: Service, id_: str, answer: dict[str, object]) -> None:
        self._keeping.keep(service, [(id_, answer)])
