"""Copies at another speed, tempo or pitch are heard again, once, and told for what they are: on real files."""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from dedup.confirm import task
from dedup.confirm.run import Confirmed, confirm
from dedup.confirm.task import PITCHES, Question, _answered
from dedup.correlation.correlate import correlate
from dedup.correlation.match import identity_match, match_at, record
from dedup.correlation.stretch import stretched
from dedup.files.disks import Disks
from dedup.groups.matches import Matches, TrackPair
from dedup.observer import Silent
from dedup.runner import InlineRunner, Stop
from dedup.scan.scan import scan
from dedup.settings import CompareSettings, FingerprintSettings, MatchSettings, ScanSettings
from dedup.store.comparisons import Confirmation
from dedup.store.store import Store, make_or_open, open_for_reading, open_for_writing
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import compose
from jobs import cli
from jobs.show.words import changed_text, verdict_text
from scripts.study.speeds import changed
from tests import stores

CHANGES = {
    "speed.mp3": ("speed", 1.03),
    "tempo.opus": ("tempo", 0.96),
    "pitch.ogg": ("pitch", 1 / 1.03),
}
ENCODINGS = {"mp3": Encoding("mp3", 128_000), "opus": Encoding("opus", 96_000), "ogg": Encoding("vorbis", 112_000)}


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song, what was made of it, and another song."""
    folder = tmp_path_factory.mktemp("changed") / "library"
    folder.mkdir()
    song = compose(1, "one", 45.0)
    write(str(folder / "a song.flac"), song, Encoding("flac"))
    write(str(folder / "b other.flac"), compose(2, "two", 45.0), Encoding("flac"))
    for name, (kind, ratio) in CHANGES.items():
        write(str(folder / name), changed(song, kind, ratio), ENCODINGS[name.partition(".")[2]])
    return folder


def compared(store: Store, library: Path) -> None:
    scan(store, [os.fsencode(library)], ScanSettings(), InlineRunner(), Silent())
    correlate(store, CompareSettings(), InlineRunner(), Silent())


def heard(store: Store, stop: Stop | None = None) -> tuple[Confirmed, Matches]:
    runner, matches = InlineRunner(stop), Matches(store, MatchSettings())
    return confirm(store, matches, runner, Silent(), Disks(runner, None), 60.0), matches


@pytest.fixture(scope="module")
def folder(library: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of them in which nothing is confirmed yet."""
    folder = tmp_path_factory.mktemp("changed") / "store"
    with make_or_open(folder, FingerprintSettings(), 4096, "test") as store:
        compared(store, library)
    return folder


@pytest.fixture
def store(folder: Path) -> Iterator[Store]:
    with open_for_writing(folder, "test") as store:
        yield store
        with store.catalog.transaction():
            store.catalog.connection.execute("DELETE FROM comparison")


def pairs_of(matches: Matches) -> dict[str, TrackPair]:
    """The pairs of the song, the second of each, by the first's name."""
    found = {}
    for track in matches.tracks:
        if track.path.endswith(b"song.flac"):
            for pair in matches.of(track):
                found[os.fsdecode(os.path.basename(pair.b.path))] = pair.swapped()
    return found


def test_each_is_told_for_what_it_is(store: Store) -> None:
    before = pairs_of(Matches(store, MatchSettings()))
    assert {pair.change for pair in before.values()} == {None}
    done, matches = heard(store)
    assert done.n_heard >= len(CHANGES) and done.n_left == 0
    found = pairs_of(matches)
    assert found.keys() == CHANGES.keys()
    for name, (kind, ratio) in CHANGES.items():
        pair = found[name]
        assert pair.change is not None and pair.change.kind == kind, name
        plays = 1 / (1 + pair.match.rate) if kind != "pitch" else pair.change.pitch
        assert plays == pytest.approx(ratio, abs=0.003 if kind != "pitch" else 0.012)
        assert pair.verdict == ("transposed" if kind == "pitch" else "same recording, other speed")
        assert pair.match.score > before[name].match.score or kind in ("tempo", "pitch")
        back = pair.swapped().change
        assert back is not None and back.pitch == pytest.approx(1 / pair.change.pitch)


def test_words_and_records_say_it(store: Store, folder: Path) -> None:
    _, matches = heard(store)
    found = pairs_of(matches)
    assert re.fullmatch(r"3\.[01] % faster and higher", changed_text(found["speed.mp3"]))
    assert verdict_text(found["speed.mp3"]) == f"same recording, {changed_text(found['speed.mp3'])}"
    assert re.fullmatch(r"(3\.9|4\.[01]) % slower at the same pitch", changed_text(found["tempo.opus"]))
    assert verdict_text(found["pitch.ogg"]).startswith("same recording, ")
    assert re.fullmatch(r"0\.[4-6] semitones lower", changed_text(found["pitch.ogg"]))
    told = CliRunner().invoke(cli.cli, ["export", "pairs", "--store", str(folder)])
    pairs = [each for each in map(json.loads, told.stdout.splitlines()) if each["a"].endswith("a song.flac")]
    records = {os.path.basename(each["b"]): each for each in pairs}
    assert records["speed.mp3"]["changed"] == "speed"
    assert records["speed.mp3"]["pitch"] == pytest.approx(1 / 1.03, abs=0.003), "of the first against the second"


def test_what_differs_too_little_for_another_class_is_told_by_the_pitches_on_either_side() -> None:
    """None of them is clearly better than none, but they agree up to another pitch than down."""
    song = stores.recording(1, 400)
    wrong = {0.98: 0.45, 0.99: 0.3, 1.0: 0.2, 1.01: 0.195, 1.02: 0.2, 1.03: 0.3, 1.04: 0.45}
    for sign, expected in ((1, 1 / 1.01), (-1, 1.01), (0, 1.0)):
        errors = {pitch: wrong.get(round(1 + sign * (pitch - 1), 2), 0.5) for pitch in (1.0, *PITCHES)}
        if sign == 0:
            errors = {pitch: min(0.5, 0.2 + 12 * abs(pitch - 1)) for pitch in (1.0, *PITCHES)}
        heard_at = {pitch: stores.copied(song, share, round(100 * pitch)) for pitch, share in errors.items()}
        (change, pair) = _answered(Question(song, 1.0), heard_at)
        assert change.kind == ("pitch" if sign else "none")
        assert change.pitch == pytest.approx(expected, abs=0.003)
        assert match_at(pair, 0).score == pytest.approx(0.6, abs=0.05), "as they are"


def test_each_is_heard_once(store: Store) -> None:
    first, matches = heard(store)
    assert first.n_heard
    again, later = heard(store)
    assert again == Confirmed(0, 0)
    assert pairs_of(later) == pairs_of(matches)


def test_how_many_nights_it_took_decides_nothing(store: Store, library: Path, tmp_path: Path) -> None:
    heard(store)
    some = tmp_path / "library"
    some.mkdir()
    with make_or_open(tmp_path / "store", FingerprintSettings(), 2, "test") as nightly:
        for names in (["a song.flac", "tempo.opus"], ["speed.mp3", "b other.flac"], ["pitch.ogg"]):
            for name in names:
                shutil.copy2(library / name, some / name)
            compared(nightly, some)
            heard(nightly)
        assert list(nightly.catalog.comparisons.confirmed()) == list(store.catalog.comparisons.confirmed())


def test_a_copy_is_found_however_late_it_begins() -> None:
    song = stores.recording(1, 2000)
    match = task.compared(song, stores.copied(song[400:], 0.3), 1.0)
    assert match is not None and match.lag == 400
    match = task.compared(song, stores.copied(stretched(song[400:], 1.01), 0.1), 1 / 1.01)
    assert match is not None and match.lag == pytest.approx(400, abs=3)


def test_a_stop_leaves_the_rest(store: Store) -> None:
    stop = Stop()
    stop.request("test")
    done, matches = heard(store, stop)
    assert done.n_heard == 0 and done.n_left
    assert {pair.change for pair in pairs_of(matches).values()} == {None}


def test_a_file_that_changed_is_left_to_the_next_run(store: Store, library: Path) -> None:
    seen = {path: path.stat() for path in library.iterdir()}
    try:
        for path in seen:
            os.utime(path, ns=(1, 1))
        done, _ = heard(store)
        assert done.n_heard == 0 and done.n_left
    finally:
        for path, status in seen.items():
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert heard(store)[0].n_left == 0


def test_what_cannot_be_decoded_is_not_tried_again(store: Store, library: Path) -> None:
    sound = {path: (path.read_bytes(), path.stat()) for path in library.iterdir()}
    try:
        for path, (data, status) in sound.items():
            path.write_bytes(b"\0" * len(data))
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
        done, matches = heard(store)
        assert done.n_heard and done.n_left == 0
        assert {pair.change.kind for pair in pairs_of(matches).values() if pair.change} == {"none"}
        assert heard(store)[0] == Confirmed(0, 0)
    finally:
        for path, (data, status) in sound.items():
            path.write_bytes(data)
            os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))


def test_the_main_job_does_it_and_then_has_nothing_to_do(library: Path, tmp_path: Path) -> None:
    words = ["full", str(library), "--store", str(tmp_path / "store"), "--workers", "0", "--varispeed"]
    before = {path: path.read_bytes() for path in library.iterdir()}
    first = CliRunner().invoke(cli.cli, words)
    assert first.exit_code == 0, first.output
    assert CliRunner().invoke(cli.cli, words).exit_code == 5
    with open_for_reading(tmp_path / "store") as store:
        verdicts = {name: pair.verdict for name, pair in pairs_of(Matches(store, MatchSettings())).items()}
    assert set(verdicts.values()) == {"same recording, other speed", "transposed"}
    planned = CliRunner().invoke(
        cli.cli, ["plan", "--store", str(tmp_path / "store"), "-o", str(tmp_path / "plan.json")]
    )
    assert planned.exit_code == 5, planned.output
    assert {path: path.read_bytes() for path in library.iterdir()} == before


def test_whichever_comes_first_the_row_is_the_same() -> None:
    match = identity_match(100, 90)._replace(lag=7, from_a=7, log_rate=0.02)
    one, other = b"1" * 16, b"2" * 16
    ahead = Confirmation.of(one, other, "speed", 1.02, record(0, 0, match).tobytes())
    behind = Confirmation.of(other, one, "speed", 1 / 1.02, record(0, 0, match.swapped()).tobytes())
    assert ahead[:3] == behind[:3] and ahead.pair == behind.pair
    assert ahead.pitch == pytest.approx(behind.pitch)
    assert match_at(ahead.pair, 0) == match
