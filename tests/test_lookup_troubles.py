"""Services that do not behave, clocks that are set, and what is in the way of a look-up."""

from __future__ import annotations

import fcntl
import http.server
import itertools
import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from dedup.errors import ServiceError
from dedup.lookup import acoustid, musicbrainz
from dedup.lookup import http as lookup_http
from dedup.lookup.acoustid import AcoustId, Question
from dedup.lookup.candidates import File
from dedup.lookup.http import Http
from dedup.lookup.musicbrainz import MusicBrainz
from dedup.lookup.pace import LONGEST_HOLD_S, LOOK_S, Pace, StoppedError
from dedup.runner import Stop
from tests.dripping import DRIPS, dripping
from tests.looking_up import Clock, run
from tests.lookup_service import KEY, Services, mbid
from tests.made_albums import add_file, make_pieces, publish, sound
from tests.stores import open_store


def pace(folder: Path, clock: Clock, stop: Stop | None = None) -> Pace:
    return Pace(folder / "rates" / "service", 0.35, stop or Stop(), clock.now, clock.wait)


@contextmanager
def answering(
    status: int, headers: dict[str, str], body: bytes, delay_s: float = 0.0
) -> Iterator[tuple[str, list[str]]]:
    """A server that gives one answer to everything; its address, and what it was asked."""
    asked: list[str] = []

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            asked.append(self.rfile.read(int(self.headers["Content-Length"] or 0)).decode())
            self._give()

        def do_GET(self) -> None:
            asked.append(self.path)
            self._give()

        def _give(self) -> None:
            time.sleep(delay_s)
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            """Silent."""

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}", asked
    finally:
        server.shutdown()
        thread.join()
        server.server_close()


# ---- answers that do not end ----


@pytest.mark.parametrize("head", DRIPS, ids=["in its head", "in its body"])
def test_a_slow_answer_has_an_end(head: bytes, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(lookup_http, "WHOLE_S", 0.3)
    monkeypatch.setattr(lookup_http, "PAUSES_S", (2.0,))
    with dripping(head) as url, pytest.raises(ServiceError, match="MusicBrainz: its answer takes longer than 0 s"):
        Http(musicbrainz.NAME, url, pace(tmp_path, clock)).ask("GET", "release/x")
    assert clock.waited == [pytest.approx(2.0)]


@pytest.mark.parametrize("head", DRIPS, ids=["in its head", "in its body"])
def test_a_slow_answer_ends_soon_after_the_run_is_to_stop(
    head: bytes, tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup_http, "STOP_S", 0.1)
    stop, began = Stop(), time.monotonic()
    threading.Timer(0.1, lambda: stop.request("interrupted")).start()
    with dripping(head) as url, pytest.raises(StoppedError):
        Http(musicbrainz.NAME, url, pace(tmp_path, clock, stop)).ask("GET", "release/x")
    assert time.monotonic() - began < lookup_http.WHOLE_S / 4


def test_an_answer_in_flight_is_waited_for_when_the_run_is_to_stop(tmp_path: Path, clock: Clock) -> None:
    stop = Stop()
    threading.Timer(0.1, lambda: stop.request("interrupted")).start()
    with answering(200, {}, b"{}", delay_s=0.6) as (url, _):
        service = Http(musicbrainz.NAME, url, pace(tmp_path, clock, stop))
        assert service.ask("GET", "release/x") == {}
        with pytest.raises(StoppedError):
            service.ask("GET", "release/y")


# ---- answers that lead astray ----


def test_no_redirect_takes_the_key_elsewhere(tmp_path: Path, clock: Clock) -> None:
    with answering(200, {}, b"{}") as (elsewhere, asked), answering(307, {"Location": elsewhere}, b"") as (url, here):
        service = AcoustId(Http(acoustid.NAME, url, pace(tmp_path, clock)), KEY)
        with pytest.raises(ServiceError, match="AcoustID: sends us on to http://127") as raised:
            service.look_up([Question("AQAA", 100)])
    assert (asked, len(here)) == ([], 1)
    assert KEY in here[0] and KEY not in str(raised.value)


def test_a_service_that_says_to_come_back_at_once_is_left_alone_all_the_same(tmp_path: Path, clock: Clock) -> None:
    with answering(503, {"Retry-After": "0"}, b"") as (url, asked), pytest.raises(ServiceError, match="status 503"):
        Http(musicbrainz.NAME, url, pace(tmp_path, clock)).ask("GET", "release/x")
    assert len(asked) == 7
    assert sum(clock.waited) == pytest.approx(sum(lookup_http.PAUSES_S))


def test_a_service_that_asks_for_days_ends_the_run(tmp_path: Path, clock: Clock) -> None:
    with (
        answering(429, {"Retry-After": "1e9"}, b"") as (url, asked),
        pytest.raises(ServiceError, match=r"asks to wait 1,000,000,000 s\. Run the same command later"),
    ):
        Http(musicbrainz.NAME, url, pace(tmp_path, clock)).ask("GET", "release/x")
    assert (len(asked), clock.waited) == (1, [])


def test_some_other_page_says_nothing_about_a_release(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Such as that of a hotel's network: the release would count as gone for good."""
    monkeypatch.setattr(lookup_http, "PAUSES_S", ())
    page = b"<html>log in first</html>"
    with answering(404, {}, page) as (url, _), pytest.raises(ServiceError, match="something other than JSON"):
        MusicBrainz(Http(musicbrainz.NAME, url, pace(tmp_path, clock))).release(mbid("release", 1))


def test_a_packed_answer_that_cannot_be_unpacked_is_asked_for_again(
    tmp_path: Path, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(lookup_http, "PAUSES_S", (1.0,))
    with (
        answering(200, {"Content-Encoding": "gzip"}, b"not packed") as (url, asked),
        pytest.raises(ServiceError, match="cannot be unpacked"),
    ):
        Http(musicbrainz.NAME, url, pace(tmp_path, clock)).ask("GET", "release/x")
    assert len(asked) == 2


class Said:
    """Stands for a service that says anything."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def ask(self, *_: object, **__: object) -> Any:
        return self.answer


@pytest.mark.parametrize("number", [10**400, -(10**400), float("inf"), float("nan"), 1e300, True, "9" * 5000])
def test_no_number_is_too_large(number: Any) -> None:
    recording = {"id": mbid("x", 1), "title": "x", "duration": number, "sources": number, "releases": [{"id": number}]}
    results = [{"id": mbid("x", 2), "score": 0.9, "recordings": [recording]}, {"id": mbid("x", 3), "score": number}]
    said = {"status": "ok", "fingerprints": [{"index": number, "results": []}, {"index": 0, "results": results}]}
    (found,) = AcoustId(Said(said), KEY).look_up([Question("AQAA", 100)])  # type: ignore[arg-type]
    assert found[-1].recordings[0].length_s == (1.0 if number is True else 0.0) or number is True


def test_of_a_flood_of_candidates_those_that_most_people_mean_are_kept() -> None:
    words = [f"{n} {'long ' * 200}" for n in range(300)]
    releases = [{"id": mbid("r", at), "title": "x"} for at in range(310)]
    recordings = [
        {"id": mbid("x", n), "title": word, "sources": n, "releases": releases if n > 295 else []}
        for n, word in enumerate(words)
    ]
    results = [{"id": mbid("s", n), "score": 0.9, "recordings": recordings[: 300 if n == 0 else 1]} for n in range(50)]
    said = {"status": "ok", "fingerprints": [{"index": 0, "results": results}]}
    (found,) = AcoustId(Said(said), KEY).look_up([Question("AQAA", 100)])  # type: ignore[arg-type]
    assert len(found) == 10
    first = next(each for each in found if each.id == mbid("s", 0))
    assert [each.sources for each in first.recordings] == list(range(299, 199, -1))
    assert [len(each.editions) for each in first.recordings[:5]] == [300, 300, 300, 300, 0]
    assert {len(each.title) for each in first.recordings} == {500}
    file = File(b"/music/x.flac", "0" * 32, 100.0, title=words[0][:500], sounds=found)
    assert len(file.songs) <= 101


def test_of_a_release_with_countless_tracks_the_first_are_kept() -> None:
    """Comparing ten files with 400,000 tracks took minutes, each time that the folder was shown."""
    tracks = [{"position": n, "title": f"T {n}", "recording": {"id": mbid("x", n)}} for n in range(1, 1501)]
    media = [{"position": disc, "track-count": 1500, "tracks": tracks} for disc in range(1, 4)]
    found = MusicBrainz(Said({"id": mbid("r", 1), "title": "x", "media": media})).release(mbid("r", 1))  # type: ignore[arg-type]
    assert found is not None
    assert (len(found.tracks), found.tracks[-1].disc, found.tracks[-1].number) == (2000, 2, 500)
    assert (found.n_discs, found.n_tracks) == (3, 4500)


def test_a_text_that_is_no_text_is_kept_as_one(tmp_path: Path, services: Services, clock: Clock) -> None:
    (piece,) = make_pieces(1, 1)
    result = sound(piece, 0.95, 50)
    result["recordings"][0]["title"] = json.loads('"half \\ud800 of a pair"')
    services.sounds[piece.text] = [result]
    with open_store(tmp_path / "store") as store:
        add_file(store, piece, "x.flac")
        (found,) = run(store, services, clock).files
    assert found.song is not None and found.song.title == "half ? of a pair"


def test_a_release_that_is_gone_is_asked_for_again_after_a_while(
    tmp_path: Path, services: Services, clock: Clock
) -> None:
    pieces = make_pieces(1, 5)
    publish(services, pieces)
    gone = services.releases.pop(mbid("later", 0))
    with open_store(tmp_path / "store") as store:
        for piece in pieces:
            services.sounds[piece.text] = [sound(piece, 0.95, 50)]
            add_file(store, piece, f"here/{piece.number}.flac")
        run(store, services, clock)
        run(store, services, clock)
        asked = f"release/{mbid('later', 0)}"
        assert services.looked_at.count(asked) == 1
        services.releases[mbid("later", 0)] = gone
        clock.time += 31 * 86400
        run(store, services, clock)
        run(store, services, clock)
    assert services.looked_at.count(asked) == 2


# ---- clocks and files ----


def test_a_clock_that_was_set_back_holds_nobody_up_for_longer_than_the_service_does(
    tmp_path: Path, clock: Clock
) -> None:
    one = pace(tmp_path, clock)
    one.hold(60)
    clock.time -= 1800
    began = clock.time
    one.take()
    assert clock.time - began == pytest.approx(60)
    clock.time += 10 * LONGEST_HOLD_S
    began = clock.time
    one.take()
    assert clock.time == began


def test_who_waits_for_long_looks_at_the_clock_again(tmp_path: Path, clock: Clock) -> None:
    one = pace(tmp_path, clock)
    one.hold(300)
    jumps = itertools.chain([200.0], itertools.repeat(0.0))

    def wait(seconds: float) -> None:
        clock.wait(seconds)
        clock.time += next(jumps)

    Pace(one.path, 0.35, Stop(), clock.now, wait).take()
    assert sum(clock.waited) == pytest.approx(100)
    assert max(clock.waited) <= LOOK_S


def test_a_process_that_stands_still_with_the_file_does_not_keep_a_run_from_its_end(
    tmp_path: Path, clock: Clock
) -> None:
    stop = Stop()
    one = pace(tmp_path, clock, stop)
    one.take()
    with open(one.path, "rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        threading.Timer(0.1, lambda: stop.request("interrupted")).start()
        with pytest.raises(StoppedError):
            one.take()
