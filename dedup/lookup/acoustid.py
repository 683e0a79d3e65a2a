"""AcoustID: fingerprints in, sounds with their recordings out (https://acoustid.org/webservice)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from dedup.errors import ServiceError
from dedup.lookup import answers
from dedup.lookup.http import Http, RefusedError
from dedup.lookup.nouns import Edition, Recording, Sound

NAME = "AcoustID"
INTERVAL_S = 0.35
"""Seconds between two requests: AcoustID allows three a second."""
BATCH = 10
"""Fingerprints in a request; the server takes up to 20 and means to lower that to 10."""
NEW_KEY = "https://acoustid.org/new-application"
"""Where anybody gets a key."""

_META = "recordings releases sources"
_INVALID_FINGERPRINT, _INVALID_KEY, _INVALID_DURATION = 3, 4, 8
_LEAST_SCORE = 0.3
"""Sounds below are not kept."""
_MOST_SOUNDS, _MOST_RECORDINGS, _MOST_EDITIONS = 10, 100, 300
"""Sounds of a fingerprint, recordings of a sound and releases of a recording that are kept, the first ones: an answer
that has more helps nobody, and comparing all of them takes for ever."""


class Question(NamedTuple):
    """A fingerprint to be looked up."""

    fingerprint: str
    """Compressed, in Base64 (`fingerprint.acoustid_text`)."""
    length_s: float
    """Length of the whole track."""


class AcoustId:
    """The service, asked with one application's key."""

    def __init__(self, http: Http, key: str) -> None:
        self._http, self._key = http, key

    def look_up(self, questions: Sequence[Question]) -> list[tuple[Sound, ...]]:
        """The sounds that each of at most `BATCH` fingerprints may be, best first; none for one that the service cannot
        read: if it refuses several for the sake of one, they are asked about in halves. Raises ServiceError,
        StoppedError."""
        try:
            return self._at_once(questions)
        except RefusedError as error:
            if error.code not in (_INVALID_FINGERPRINT, _INVALID_DURATION):
                raise
        if len(questions) == 1:
            return [()]
        half = len(questions) // 2
        return [*self.look_up(questions[:half]), *self.look_up(questions[half:])]

    def _at_once(self, questions: Sequence[Question]) -> list[tuple[Sound, ...]]:
        form = {"client": self._key, "format": "json", "meta": _META, "batch": "1"}
        for at, question in enumerate(questions):
            form[f"fingerprint.{at}"] = question.fingerprint
            form[f"duration.{at}"] = str(max(1, round(question.length_s)))
        try:
            said = self._http.ask("POST", "lookup", form=form)
        except RefusedError as error:
            if error.code == _INVALID_KEY:
                found, remedy = "does not accept the key", f"Correct acoustid-key; {NEW_KEY} gives out new ones"
                raise ServiceError(NAME, found, remedy=remedy) from None
            raise
        if said is None or said.get("status") != "ok" or not isinstance(said.get("fingerprints"), list):
            raise ServiceError(NAME, "answers in a form that is not documented", remedy="Run the same command later")
        found_of = {_index(part): _sounds(part.get("results")) for part in answers.objects(said["fingerprints"])}
        return [found_of.get(at, ()) for at in range(len(questions))]


def _index(part: dict[str, Any]) -> int:
    value = part.get("index")
    if isinstance(value, str) and value.isdecimal() and len(value) < 5:
        return int(value)
    return value if isinstance(value, int) else -1


def _sounds(results: Any) -> tuple[Sound, ...]:
    named = (
        (min(1.0, answers.number(result.get("score"))), answers.identifier(result.get("id")), result)
        for result in answers.objects(results)
    )
    kept = sorted((each for each in named if each[0] >= _LEAST_SCORE and each[1]), key=lambda each: (-each[0], each[1]))
    return tuple(Sound(id_, score, _recordings(result)) for score, id_, result in kept[:_MOST_SOUNDS])


def _recordings(result: dict[str, Any]) -> tuple[Recording, ...]:
    """Those that most people mean first."""
    parts = sorted(answers.objects(result.get("recordings")), key=lambda part: -answers.number(part.get("sources")))
    return tuple(itertools.islice(filter(None, map(_recording, parts)), _MOST_RECORDINGS))


def _recording(part: dict[str, Any]) -> Recording | None:
    id_, title = answers.identifier(part.get("id")), answers.text(part.get("title"))
    if not id_ or not title:  # one that MusicBrainz does not know any more
        return None
    editions = tuple(
        Edition(
            release_id,
            answers.text(release.get("title")),
            int(answers.number(release.get("track_count"))),
            int(answers.number(release.get("medium_count"))),
            _year(release.get("date")),
        )
        for release in itertools.islice(answers.objects(part.get("releases")), _MOST_EDITIONS)
        if (release_id := answers.identifier(release.get("id")))
    )
    artist, _ = answers.credit(part.get("artists"))
    length_s, sources = answers.number(part.get("duration")), int(answers.number(part.get("sources")))
    return Recording(id_, title, artist, length_s, sources, editions)


def _year(date: Any) -> int:
    return int(answers.number(date.get("year"))) if isinstance(date, dict) else 0
