"""MusicBrainz: releases with their tracks, and recordings with their releases
(https://musicbrainz.org/doc/MusicBrainz_API)."""

from __future__ import annotations

import itertools
from typing import Any

from dedup.lookup import answers
from dedup.lookup.http import Http
from dedup.lookup.nouns import RecordingReleases, Release, ReleaseTrack

NAME = "MusicBrainz"
INTERVAL_S = 1.1
"""Seconds between two requests: MusicBrainz allows one a second, and one may take 0.1 s longer to get there."""

MOST_TRACKS = 2000
"""Tracks of a release that are kept, the first ones: comparing files with more takes for ever."""

_OF_RELEASE = "artist-credits+recordings+release-groups"
_OF_RECORDING = "artist-credits+releases+media+release-groups"


class MusicBrainz:
    """The service. It needs no key."""

    def __init__(self, http: Http) -> None:
        self._http = http

    def release(self, id_: str) -> Release | None:
        """A release with all its tracks; None if there is none any more. Raises ServiceError, StoppedError."""
        said = self._http.ask("GET", f"release/{id_}?inc={_OF_RELEASE}&fmt=json")
        return None if said is None else _release(said)

    def recording(self, id_: str) -> RecordingReleases | None:
        """A recording with at most 25 of its releases, which is what MusicBrainz gives; None if there is none any
        more. Raises ServiceError, StoppedError."""
        said = self._http.ask("GET", f"recording/{id_}?inc={_OF_RECORDING}&fmt=json")
        title = answers.text((said or {}).get("title"))
        if said is None or not title:
            return None
        artist, artist_ids = answers.credit(said.get("artist-credit"))
        found_id = answers.identifier(said.get("id")) or id_
        releases = (
            _release(part, title, (artist, artist_ids), found_id) for part in answers.objects(said.get("releases"))
        )
        return RecordingReleases(found_id, title, artist, tuple(filter(None, releases)))


def _release(
    said: dict[str, Any], title: str = "", artist: tuple[str, tuple[str, ...]] = ("", ()), recording: str = ""
) -> Release | None:
    """A release; its tracks may leave out what is told of their recording."""
    id_, name = answers.identifier(said.get("id")), answers.text(said.get("title"))
    if not id_ or not name:
        return None
    media = list(answers.objects(said.get("media")))
    of_release = answers.credit(said.get("artist-credit"))
    group = said["release-group"] if isinstance(said.get("release-group"), dict) else {}
    secondary = group.get("secondary-types")
    kinds = (group.get("primary-type"), *(secondary if isinstance(secondary, list) else ()))
    tracks = (
        _track(part, disc, (title, artist, recording), of_release)
        for at, medium in enumerate(media, start=1)
        for disc in [int(answers.number(medium.get("position"))) or at]
        for part in answers.objects(medium.get("tracks"))
    )
    return Release(
        id_,
        name,
        *of_release,
        date=answers.text(said.get("date")),
        country=answers.text(said.get("country")),
        status=answers.text(said.get("status")),
        group=answers.identifier(group.get("id")),
        kinds=tuple(filter(None, map(answers.text, kinds))),
        n_discs=0 if recording else len(media),
        n_tracks=0 if recording else sum(int(answers.number(medium.get("track-count"))) for medium in media),
        tracks=tuple(itertools.islice(filter(None, tracks), MOST_TRACKS)),
    )


def _track(
    part: dict[str, Any],
    disc: int,
    known: tuple[str, tuple[str, tuple[str, ...]], str],
    of_release: tuple[str, tuple[str, ...]],
) -> ReleaseTrack | None:
    own = part["recording"] if isinstance(part.get("recording"), dict) else {}
    title, artist, recording = known
    name = answers.text(part.get("title")) or answers.text(own.get("title")) or title
    named = answers.credit(part.get("artist-credit")), answers.credit(own.get("artist-credit")), artist, of_release
    credited = next((each for each in named if each[0]), ("", ()))
    id_ = answers.identifier(own.get("id")) or recording
    number = int(answers.number(part.get("position")))
    if not (name and id_ and number):
        return None
    length_s = (answers.number(part.get("length")) or answers.number(own.get("length"))) / 1000
    return ReleaseTrack(answers.identifier(part.get("id")), disc, number, name, *credited, id_, length_s)
