"""The parts of a look-up: what tags and lengths say, where the key is from, and answers of which nothing is certain."""

from __future__ import annotations

import json
import shlex
import sys
import time
from collections.abc import Iterator
from email.utils import formatdate
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dedup.errors import ServiceError, UsageError
from dedup.lookup import acoustid, http, musicbrainz, nouns
from dedup.lookup.acoustid import AcoustId, Question
from dedup.lookup.agree import Opinion, albums, artists, lengths, titles
from dedup.lookup.candidates import File, parts_of, unit_of
from dedup.lookup.decide import Identified
from dedup.lookup.http import Http
from dedup.lookup.key import key_of
from dedup.lookup.musicbrainz import MusicBrainz
from dedup.lookup.nouns import Recording, Release, ReleaseTrack, Sound
from dedup.lookup.pace import Pace
from dedup.net.http import retry_after_s
from dedup.runner import Stop
from dedup.settings import LookupSettings
from jobs.session.lines import Look, width_of
from jobs.show.identified import identified_lines
from tests.lookup_service import KEY, Services, mbid, served

FOR, NOTHING, AGAINST = Opinion.FOR, Opinion.NOTHING, Opinion.AGAINST


@pytest.mark.parametrize(
    ("tag", "title", "opinion"),
    [
        ("Harbour at Dawn", "Harbour at Dawn", FOR),
        ("harbour  at dawn!", "Harbour at Dawn", FOR),
        ("Harbor at Dawn", "Harbour at Dawn", FOR),
        ("Café", "Cafe", FOR),
        ("Willow (feat. Somebody)", "Willow", FOR),
        ("Willow (2009 Remaster)", "Willow", FOR),
        ("Willow (Live)", "Willow", NOTHING),
        ("Willow", "Willow (Live at Home)", NOTHING),
        ("Willow (live)", "Willow - Live", FOR),
        ("Willow, Part 1", "Willow, Part 2", AGAINST),
        ("Symphony No. 5", "Symphony No. 6", AGAINST),
        ("Prelude No. 5 in D major", "Prelude No. 15 in D major", AGAINST),
        ("Prelude in D major", "Prelude in E major", NOTHING),
        ("Willow", "Willow 2", AGAINST),
        ("Willow II", "Willow III", AGAINST),
        ("Sun Flower", "Sunflower", FOR),
        ("I Saw Her", "I Was Her", NOTHING),
        ("Willow", "Love", AGAINST),
        ("Love", "Love Me Do", AGAINST),
        ("", "Willow", NOTHING),
        ("Track 07", "Willow", NOTHING),
        ("Unknown", "Willow", NOTHING),
        ("Track 07", "Track 07", NOTHING),
        ("日本", "日本", FOR),
        ("日本", "Nippon", AGAINST),
    ],
)
def test_what_a_title_says(tag: str, title: str, opinion: Opinion) -> None:
    assert titles(tag, title) is opinion


@pytest.mark.parametrize(
    ("tag", "artist", "opinion"),
    [
        ("The Lanterns", "Lanterns", FOR),
        ("Simon", "Simon & Garfunkel", FOR),
        ("Various Artists", "Lanterns", NOTHING),
        ("", "Lanterns", NOTHING),
        ("Lanterns", "Copper Fjord", AGAINST),
        ("Copper Kings", "Copper Fjord", NOTHING),
    ],
)
def test_what_an_artist_says(tag: str, artist: str, opinion: Opinion) -> None:
    assert artists(tag, artist) is opinion


def test_what_lengths_and_albums_say() -> None:
    said = [lengths(200, other) for other in (0, 200, 197, 203.1, 207, 207.1, 100)]
    assert said == [NOTHING, FOR, FOR, NOTHING, NOTHING, AGAINST, AGAINST]
    assert albums("Amber & Lantern (Deluxe Edition)", "Amber and Lantern")
    assert not albums("", "")
    assert not albums("The Best of Everything 1", "The Best of Everything 2")
    assert not albums("Amber", "Lantern")


@pytest.mark.parametrize("name", [b"CD1", b"cd 2", b"Disc-03", b"disk_1 (live)"])
def test_folders_of_discs_are_one(name: bytes) -> None:
    assert unit_of(b"/music/album/" + name + b"/1.flac") == b"/music/album"
    assert unit_of(b"/music/album/CDs/1.flac") == b"/music/album/CDs"


def test_discs_of_one_album_stay_together_whatever_their_tags_add() -> None:
    albums = ["Amber CD1", "amber cd 2", "Amber (Disc 3)", "Amber", "Amber CD1", "Amber cd 2"]
    files = [File(b"/m/%d" % at, str(at), 100.0, album=album) for at, album in enumerate(albums)]
    assert parts_of(files) == [files]
    others = [File(b"/m/x%d" % at, f"x{at}", 100.0, album="Willow") for at in range(2)]
    assert parts_of([*files, *others]) == [files, others]


# ---- the key ----


def test_the_key_comes_from_a_setting_a_command_or_a_file(tmp_path: Path) -> None:
    assert key_of(LookupSettings(acoustid_key=" abc ")) == "abc"
    command = shlex.join([sys.executable, "-c", "print('abc'); print('more')"])
    assert key_of(LookupSettings(acoustid_key_command=command)) == "abc"
    file = tmp_path / "key"
    file.write_text("abc\nmore\n")
    file.chmod(0o600)
    assert key_of(LookupSettings(acoustid_key_file=bytes(file))) == "abc"


def test_a_key_that_cannot_be_used_is_said_and_not_shown(tmp_path: Path) -> None:
    file = tmp_path / "key"
    file.write_text("s3cret\n")
    file.chmod(0o644)
    failing = shlex.join([sys.executable, "-c", "import sys; print('s3cret'); sys.exit(3)"])
    for settings, found in (
        (LookupSettings(), "there is no key for it"),
        (LookupSettings(acoustid_key="s3cret s3cret"), "acoustid-key gives no key"),
        (LookupSettings(acoustid_key_file=bytes(file)), "can be read by others"),
        (LookupSettings(acoustid_key_file=bytes(tmp_path / "none")), "cannot be read: No such file"),
        (LookupSettings(acoustid_key_command=failing), "ended with exit code 3"),
        (LookupSettings(acoustid_key_command="echo 'x"), "cannot be run: No closing quotation"),
        (LookupSettings(acoustid_key_command="/no/such/program"), "cannot be run: No such file"),
    ):
        with pytest.raises(UsageError, match=found) as raised:
            key_of(settings)
        assert "s3cret" not in str(raised.value)


# ---- answers ----


@pytest.fixture
def services() -> Iterator[Services]:
    with served(Services()) as opened:
        yield opened


def pace(tmp_path: Path, waited: list[float] | None = None) -> Pace:
    """A pace that waits for nobody."""
    moment = [1_800_000_000.0]

    def wait(seconds: float) -> None:
        moment[0] += seconds
        if waited is not None:
            waited.append(seconds)

    return Pace(tmp_path / "pace", 0.001, Stop(), lambda: moment[0], wait)


KEYS = [
    "id",
    "score",
    "recordings",
    "results",
    "title",
    "duration",
    "sources",
    "artists",
    "name",
    "releases",
    "track_count",
    "date",
    "year",
    "media",
    "tracks",
    "position",
    "length",
    "recording",
    "artist-credit",
    "artist",
    "joinphrase",
    "release-group",
    "primary-type",
]
JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8) | st.just(mbid("x", 1)),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(KEYS),
            inner,
            max_size=6,
        )
    ),
    max_leaves=30,
)


class Said:
    """Stands for a service that says anything."""

    def __init__(self, answer: Any) -> None:
        self.answer = answer

    def ask(self, *_: object, **__: object) -> Any:
        return self.answer


@given(JSON)
def test_what_acoustid_says_is_taken_as_it_comes(value: Any) -> None:
    named = {
        "id": mbid("x", 1),
        "title": "x",
        "artists": value,
        "releases": [value, {"id": mbid("x", 2), "date": value}],
    }
    sure = {"id": mbid("x", 3), "score": 1.0, "recordings": [value, named]}
    said = {"status": "ok", "fingerprints": [{"index": 0, "results": [value, sure]}]}
    (found,) = AcoustId(Said(said), KEY).look_up([Question("AQAA", 100)])  # type: ignore[arg-type]
    assert nouns.sounds_from_json(json.loads(json.dumps(nouns.sounds_to_json(found)))) == found
    assert found[0].recordings[-1].title == "x"
    assert all(0.3 <= sound.score <= 1 for sound in found)


@given(JSON)
def test_what_musicbrainz_says_is_taken_as_it_comes(value: Any) -> None:
    service = MusicBrainz(
        Said(value if isinstance(value, dict) else {"media": value, "id": mbid("x", 1), "title": "x"})
    )  # type: ignore[arg-type]
    release, recording = service.release(mbid("x", 2)), service.recording(mbid("x", 2))
    assert nouns.release_from_json(json.loads(json.dumps(nouns.release_to_json(release)))) == release
    assert nouns.recording_from_json(json.loads(json.dumps(nouns.recording_to_json(recording)))) == recording


def test_the_documented_answer_of_acoustid(services: Services, tmp_path: Path) -> None:
    services.sounds["AQAA"] = [
        {
            "score": 1.0,
            "id": "9ff43b6a-4f16-427c-93c2-92307ca505e0",
            "recordings": [
                {
                    "duration": 639,
                    "releases": [
                        {"id": mbid("release", 1), "title": "Before", "track_count": 12, "date": {"year": 2003}}
                    ],
                    "title": "Gone",
                    "id": "cd2e7c47-16f5-46c6-a37c-a1eb7bf599ff",
                    "artists": [
                        {"id": mbid("a", 1), "name": "One", "joinphrase": " & "},
                        {"id": mbid("a", 2), "name": "Two"},
                    ],
                    "sources": 7,
                },
                {"id": mbid("recording", 2)},
            ],
        },
        {"score": 0.1, "id": mbid("acoustid", 2)},
    ]
    service = AcoustId(Http(acoustid.NAME, f"{services.url}/v2", pace(tmp_path)), KEY)
    (known,), unknown = service.look_up([Question("AQAA", 639.2), Question("AQAB", 10)])
    (recording,) = known.recordings
    assert (recording.title, recording.artist, recording.length_s, recording.sources) == ("Gone", "One & Two", 639.0, 7)
    assert [(each.title, each.n_tracks, each.year) for each in recording.editions] == [("Before", 12, 2003)]
    assert unknown == ()


def test_what_musicbrainz_does_not_know_any_more_is_none(services: Services, tmp_path: Path) -> None:
    service = MusicBrainz(Http(musicbrainz.NAME, f"{services.url}/ws/2", pace(tmp_path)))
    assert service.release(mbid("release", 9)) is service.recording(mbid("recording", 9)) is None


def test_an_answer_without_end_is_not_read_to_it(
    services: Services, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(http, "MOST_BYTES", 100)
    services.releases[mbid("release", 1)] = {"id": mbid("release", 1), "title": "x" * 1000}
    with pytest.raises(ServiceError, match="MusicBrainz: its answer is larger than"):
        MusicBrainz(Http(musicbrainz.NAME, f"{services.url}/ws/2", pace(tmp_path))).release(mbid("release", 1))


def test_a_service_that_takes_its_time_is_asked_again(services: Services, tmp_path: Path) -> None:
    waited: list[float] = []
    services.troubles.append("slow")
    services.releases[mbid("release", 1)] = {"id": mbid("release", 1), "title": "x"}
    impatient = Http(musicbrainz.NAME, f"{services.url}/ws/2", pace(tmp_path, waited), read_s=0.1)
    assert MusicBrainz(impatient).release(mbid("release", 1)) is not None
    assert waited == [pytest.approx(2.0)]


def test_nobody_there_is_said(tmp_path: Path) -> None:
    waited: list[float] = []
    with pytest.raises(ServiceError, match=r"AcoustID: cannot be reached\. Run the same command later"):
        Http(acoustid.NAME, "http://127.0.0.1:9", pace(tmp_path, waited)).ask("GET", "lookup")
    assert [round(seconds) for seconds in waited] == [2, 4, 8, 16, 32, 60]


def test_the_time_to_wait_is_seconds_or_a_date() -> None:

    class Answer:
        def __init__(self, text: str) -> None:
            self.headers = {"Retry-After": text}

    def asked(text: str) -> float | None:
        return retry_after_s(Answer(text), time.time())  # type: ignore[arg-type]

    assert (asked("7"), asked("0"), asked("-3"), asked("soon"), asked(""), asked("nan")) == (7, 0, 0, None, None, None)
    assert asked(formatdate(time.time() + 100, usegmt=True)) == pytest.approx(100, abs=5)
    assert asked(formatdate(time.time() + 100)) == pytest.approx(100, abs=5), "without a zone it is UTC"
    assert asked(formatdate(time.time() - 1e6, usegmt=True)) == 0


# ---- what people see ----


@pytest.mark.parametrize("width", [40, 60, 80])
def test_lines_fit_the_terminal(width: int) -> None:
    long = "A Very Long Title of a Song That Goes On and On 長い長い長い曲名 and Does Not End"
    recording = Recording(mbid("r", 1), long, "Somebody With a Long Name Indeed", 200.0, 12)
    file = File(
        b"/music/some folder/" + b"x" * 70 + b".flac", "0" * 32, 200.0, sounds=(Sound(mbid("s", 1), 0.9, (recording,)),)
    )
    (song,) = file.songs
    track = ReleaseTrack(mbid("t", 1), 2, 3, long, recording.artist, (), recording.id)
    release = Release(
        mbid("release", 1), long, "Other", (), "1999-01-02", "GB", "Official", "", ("Album", "Live"), 2, 20
    )
    files = [
        Identified(file, "identified", "", song, recording, release, track),
        Identified(file, "question", "its number is that of another track", song, recording, candidates=(song,)),
        Identified(file, "unknown", "AcoustID does not know it"),
    ]
    lines = list(identified_lines(files, Look(width, wraps=True)))
    assert max(map(width_of, lines)) <= width
    assert "2-03 A Very Long" in " ".join(lines)


def test_what_a_service_says_cannot_command_a_terminal() -> None:
    recording = Recording(mbid("r", 1), "a\x1b[2Jb\u202ec", "x", 200.0, 12)
    file = File(b"/music/x.flac", "0" * 32, 200.0, sounds=(Sound(mbid("s", 1), 0.9, (recording,)),))
    lines = "".join(identified_lines([Identified(file, "identified", "", file.songs[0], recording)], Look(80, True)))
    assert "\x1b" not in lines
    assert "\u202e" not in lines
