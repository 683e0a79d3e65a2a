"""What the player hears and draws: windows of each file's sound, how loud it is, its outline, and what differs."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from dedup.playback.cache import SoundCache
from dedup.playback.difference import Details
from dedup.playback.flac import SOUND_RATE, Samples, encode
from dedup.playback.lanes import REFERENCE, Place, place_of
from dedup.playback.loudness import matching_gains
from dedup.playback.task import File
from dedup.playback.windows import LONGEST_WINDOW_S, window_samples
from jobs.serve.handling import found_lineup, found_track, handler
from jobs.serve.shown import id_of

if TYPE_CHECKING:
    from dedup.groups.matches import ListedTrack, TrackPair
    from dedup.playback.sound import Sound
    from jobs.serve.lineup import Lineup

AT_ONCE = 2
"""Files of one lineup that are decoded at a time."""
FURTHEST_S = 86_400.0
"""Seconds of the axis that may be asked for, either way."""
LEAST_STEPS, MOST_STEPS = 10, 4000
"""Steps of an outline that may be asked for."""
PICTURES = ("image/jpeg", "image/png", "image/gif", "image/webp")
"""Types of the pictures that are shown."""


class Sounds:
    """The sounds of files, and where each lies on the axis of its lineup."""

    def __init__(self, cache: SoundCache) -> None:
        self.cache = cache
        self._found: dict[tuple[File, File], Details] = {}

    def of(self, track: ListedTrack) -> Sound:
        """The sound of a file, which is decoded from now on."""
        return self.cache.sound(File.of(track))

    def begun(self, lineup: Lineup) -> list[Sound | None]:
        """The sounds of files, of which at most `AT_ONCE` are being decoded, in their order: who leaves soon for the
        next group doesn't wait there until all of this one is decoded. None for those that come later."""
        found: list[Sound | None] = []
        n_left = AT_ONCE
        for track, _ in lineup.tracks:
            sound = self.of(track) if n_left else None
            n_left -= sound is not None and sound.facts is None and not sound.problem
            found.append(sound)
        return found

    def difference(self, pair: TrackPair) -> Sound:
        """What only one of the two has, which is worked out from now on."""
        return self.cache.difference(File.of(pair.a), File.of(pair.b), place_of(pair))

    def place(self, pair: TrackPair | None) -> Place:
        """Where a file lies, as exactly as is known now."""
        if pair is None:
            return REFERENCE
        details = self._details(pair)
        found = details.place_of_a if details is not None else None
        is_tested = pair.test is not None and pair.test.is_made
        return place_of(pair) if found is None or is_tested else found

    def places(self, pair: TrackPair | None, start_s: float, end_s: float) -> Iterator[tuple[float, float, Place]]:
        """The places of a file in a span of the axis, each with its own span: something may be cut out of it."""
        details = None if pair is None else self._details(pair)
        if details is None or len(details.shared) < 2:
            yield start_s, end_s, self.place(pair)
            return
        edges = [start_s, *(each.start_s for each in details.shared[1:] if start_s < each.start_s < end_s), end_s]
        for start, end in itertools.pairwise(round(edge * SOUND_RATE) / SOUND_RATE for edge in edges):
            yield start, end, details.place_at(start) or REFERENCE

    def learn(self, pair: TrackPair, details: Details) -> None:
        """Takes the places that the difference of two files found."""
        self._found[File.of(pair.a), File.of(pair.b)] = details

    def _details(self, pair: TrackPair) -> Details | None:
        return self._found.get((File.of(pair.a), File.of(pair.b)))


def _sounds(request: Request) -> Sounds:
    found: Sounds = request.app.state.site.sounds
    return found


def _track(request: Request) -> tuple[ListedTrack, TrackPair | None]:
    _, lineup = found_lineup(request)
    return found_track(request, lineup)


def _pair(request: Request) -> TrackPair:
    _, pair = _track(request)
    if pair is None:
        raise HTTPException(404, "This is the file that the others are compared with. It has no difference.")
    return pair


def _number(request: Request, name: str, least: float, most: float, usual: float) -> float:
    """A number of the query. Raises HTTPException for anything that is not one, or out of range."""
    text = request.query_params.get(name)
    try:
        value = usual if text is None else float(text)
    except ValueError:
        value = math.nan
    if not least <= value <= most:
        raise HTTPException(400, f"{name} is a number from {least:g} to {most:g}.")
    return value


# ---- what is heard ----


def span_of(request: Request) -> tuple[float, float]:
    """Start and length, in seconds of the axis, that a request asks for. Raises HTTPException."""
    start_s = _number(request, "start", -FURTHEST_S, FURTHEST_S, 0.0)
    return start_s, _number(request, "length", 0.0, LONGEST_WINDOW_S, 10.0)


def _window(request: Request) -> Response:
    """A window of a file, on the axis: waits until it is decoded so far."""
    start_s, length_s = span_of(request)
    track, pair = _track(request)
    sounds = _sounds(request)
    sound = sounds.of(track)
    parts = [
        window_samples(sound, place, start, end - start)
        for start, end, place in sounds.places(pair, start_s, start_s + length_s)
    ]
    return as_asked(request, np.concatenate(parts))


def _difference(request: Request) -> Response:
    """A window of what only one of two files has: waits until it is worked out."""
    start_s, length_s = span_of(request)
    sound = _sounds(request).difference(_pair(request))
    place = Details.of(sound.wait().details).place
    return as_asked(request, window_samples(sound, place, start_s, length_s))


def as_asked(request: Request, samples: Samples) -> Response:
    """Samples as FLAC, or as they are: left and right by turns, 16 bits, little-endian. The page asks for these, since
    browsers keep several times the memory of what they decode."""
    if request.query_params.get("form") == "pcm":
        return Response(samples.astype("<i2").tobytes(), media_type="application/octet-stream")
    return Response(encode(samples), media_type="audio/flac")


# ---- what is drawn ----


def _states(request: Request) -> dict[str, Any]:
    """How far each file is decoded, and how loud it is played. Asking has them decoded, in the order of the lanes."""
    sounds = _sounds(request)
    _, lineup = found_lineup(request)
    begun = sounds.begun(lineup)
    states = [
        _state(track, sound, sounds.place(pair), gain)
        for (track, pair), sound, gain in zip(lineup.tracks, begun, _gains(begun), strict=True)
    ]
    return {"tracks": states}


def _gains(sounds: Sequence[Sound | None]) -> list[float]:
    facts = [None if sound is None else sound.facts for sound in sounds]
    return matching_gains([None if each is None else each.loudness for each in facts])


def _state(track: ListedTrack, sound: Sound | None, place: Place, gain_db: float) -> dict[str, Any]:
    facts = sound.facts if sound is not None else None
    return {
        "id": id_of(track.path),
        "is_whole": facts is not None,
        "ready_s": round(sound.ready_s, 3) if sound is not None else 0.0,
        "length_s": facts.length_s if facts is not None else None,
        "offset_s": place.offset_s,
        "rate": place.rate,
        "gain_db": gain_db,
        "lufs": round(facts.integrated_lufs, 1) if facts is not None else None,
        "damage": facts.damage if facts is not None else "",
        "problem": sound.problem if sound is not None else "",
    }


def _sound(request: Request) -> dict[str, Any]:
    """One file's state, and its outline as far as it is decoded: lowest and highest of each step by turns, in
    1/128 of full scale, in seconds of the file."""
    sounds = _sounds(request)
    _, lineup = found_lineup(request)
    track, pair = found_track(request, lineup)
    n_steps = int(_number(request, "steps", LEAST_STEPS, MOST_STEPS, 1500))
    gains = zip(lineup.tracks, _gains(sounds.begun(lineup)), strict=True)
    gain_db = next(gain for (each, _), gain in gains if each.path == track.path)
    sound = sounds.of(track)
    drawn = sound.waveform(n_steps)
    return {
        **_state(track, sound, sounds.place(pair), gain_db),
        "step_s": drawn.step_s,
        "outline": drawn.outline.reshape(-1).tolist(),
    }


def _residual(request: Request) -> dict[str, Any]:
    """What only one of two files has over time, 0 to 1, once it is worked out; asking has it worked out."""
    sounds = _sounds(request)
    pair = _pair(request)
    sound = sounds.difference(pair)
    facts = sound.facts
    if facts is None:
        return {"is_ready": False, "problem": sound.problem}
    details = Details.of(facts.details)
    sounds.learn(pair, details)
    place = sounds.place(pair)
    return {
        "is_ready": True,
        "problem": "",
        "offset_s": place.offset_s,
        "rate": place.rate,
        "start_s": details.curve_start_s,
        "step_s": details.step_s,
        "n_places": len(details.shared),
        "only_here": details.only_a,
        "only_reference": details.only_b,
        "shared": [[each.start_s, each.end_s] for each in details.shared],
    }


def _cover(request: Request) -> Response:
    """The front cover in a file's tags, if it is a picture that browsers show; else an empty answer."""
    from dedup.tags.cover import cover_of
    from dedup.tags.read import read_tags

    track, _ = _track(request)
    try:
        covers = read_tags(track.path).covers
    except OSError as error:
        raise HTTPException(404, f"The file cannot be read: {error.strerror}.") from error
    for cover in covers:
        kind = cover_of(cover.data).mime  # by the data alone, whatever the file says
        if kind in PICTURES:
            return Response(cover.data, media_type=kind)
    return Response(status_code=204)


_FILE = "/lineups/{kind}/{id}/{track}"
ROUTES = [
    Route("/lineups/{kind}/{id}/sounds", handler(_states)),
    Route(f"{_FILE}/window", handler(_window)),
    Route(f"{_FILE}/sound", handler(_sound)),
    Route(f"{_FILE}/difference", handler(_difference)),
    Route(f"{_FILE}/residual", handler(_residual)),
    Route(f"{_FILE}/cover", handler(_cover)),
]
