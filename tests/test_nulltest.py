"""The null test: copies pass it, another mix and what differs in places are found, and what only one file has; then the
same on real files, on workers and in a store."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dedup.correlation.correlate import correlate
from dedup.files.disks import Disks
from dedup.files.host_paths import HostPath
from dedup.files.status import size_and_time
from dedup.groups.groups import groups_of
from dedup.groups.matches import Matches
from dedup.nulltest.compare import compare
from dedup.nulltest.listen import listen, untested
from dedup.nulltest.run import null_tests
from dedup.nulltest.task import Compared, Side, compare_files
from dedup.observer import Silent
from dedup.plan.weigh import find_groups
from dedup.runner import InlineRunner, Outcome, Stop
from dedup.scan.scan import scan
from dedup.settings import CompareSettings, FingerprintSettings, KeepSettings, MatchSettings, ScanSettings
from dedup.store.store import Store, make_or_open
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.voices import BACKINGS, LEADS, backing, lead, with_lead
from tests import stores

RATE = 11_025
SECONDS = 24.0
Mono = npt.NDArray[np.float32]


def heard(stereo: npt.NDArray[np.float32]) -> Mono:
    """About what decoding gives: mono at 11,025 Hz, within 16 bits."""
    mono = stereo.mean(axis=1)
    mono = mono[: len(mono) // 4 * 4]
    spectrum = np.fft.rfft(mono)
    return np.asarray(np.fft.irfft(spectrum[: len(spectrum) // 4 + 1], len(mono) // 4) / 4 * 32_000, np.float32)


@cache
def music(kind: str = "song", seed: int = 1) -> Mono:
    return heard(backing(kind, seed, SECONDS))


def at(seconds: float) -> int:
    return round(seconds * RATE)


def noise(n: int, seed: int = 1) -> Mono:
    return np.random.default_rng(seed).standard_normal(n).astype(np.float32)


COPIES: dict[str, Callable[[Mono], Mono]] = {
    "as it is": lambda x: x,
    "quieter": lambda x: 0.3 * x,
    "turned over": lambda x: -x,
    "clipped": lambda x: np.clip(x, -0.4 * np.abs(x).max(), 0.4 * np.abs(x).max()),
    "noisy": lambda x: x + 0.1 * x.std() * noise(len(x)),
    "with more bass": lambda x: x + 2 * np.convolve(x, np.ones(40, np.float32) / 40, "same"),
    "squashed": lambda x: np.sign(x) * np.sqrt(np.abs(x) / 32_768) * 20_000,
}


@pytest.mark.parametrize("how", COPIES)
def test_a_copy_passes(how: str) -> None:
    found = compare(music(), COPIES[how](music()).astype(np.float32), 0.0)
    assert found.is_copy, found
    assert (found.only_a, found.only_b, found.lag_s) == ((), (), 0.0)


def test_equal_sound_leaves_nothing() -> None:
    assert compare(music(), music(), 0.0).residual_db == -80.0


@pytest.mark.parametrize("voice", LEADS)
def test_a_lead_in_one_only_is_another_mix(voice: str) -> None:
    without = backing("song", 1, SECONDS)
    found = compare(music(), heard(with_lead(without, lead(voice, 4, SECONDS), -6)), 0.0)
    assert found.is_other_mix


@pytest.mark.long
@pytest.mark.parametrize(("kind", "voice"), list(zip(BACKINGS, LEADS, strict=True)))
def test_over_any_backing_a_lead_is_another_mix(kind: str, voice: str) -> None:
    without = backing(kind, 3, SECONDS)
    found = compare(heard(without), heard(with_lead(without, lead(voice, 4, SECONDS), -9)), 0.0)
    assert found.is_other_mix
    assert found.differences


def test_two_languages_over_one_backing_are_two_mixes() -> None:
    without = backing("song", 5, SECONDS)
    a, b = (heard(with_lead(without, lead("sung", seed, SECONDS), -4)) for seed in (1, 2))
    assert compare(a, b, 0.0).is_other_mix


@pytest.mark.parametrize(
    ("start_s", "voice"),
    [
        (6.0, "sung"),
        pytest.param(40.0, "spoken", marks=pytest.mark.long),
        pytest.param(70.0, "guitar", marks=pytest.mark.long),
    ],
)
def test_a_lead_of_four_seconds_in_a_long_song_is_found_where_it_is(start_s: float, voice: str) -> None:
    song = backing("song", 6, 90.0)
    moment = np.zeros_like(song)
    first, end = round(start_s * 44_100), round((start_s + 4) * 44_100)
    moment[first:end] = lead(voice, 9, 12.0)[4 * 44_100 : 8 * 44_100]
    without, with_moment = heard(song), heard(with_lead(song, moment, -6))
    assert not compare(without, with_moment, 0.0).is_copy
    for found in (compare(without, with_moment, 0.0), compare(with_moment, without, 0.0).swapped()):
        assert not found.is_other_mix
        assert all(start_s - 1 < place.start_s < place.end_s < start_s + 5 for place in found.differences)


def test_a_long_file_is_measured_in_parts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dedup.nulltest.compare.LONGEST_PART", at(12))
    bleeped = music().copy()
    bleeped[at(10) : at(10.6)] = 6000 * np.sin(2 * np.pi * 1000 * np.arange(at(10.6) - at(10)) / RATE)
    assert compare(music(), COPIES["noisy"](music()), 0.0).is_copy
    (place,) = compare(music(), bleeped, 0.0).differences
    assert (place.start_s, place.end_s) == pytest.approx((10.0, 10.6), abs=0.2)


def test_a_bleep_is_found_where_it_is() -> None:
    bleeped = music().copy()
    bleeped[at(10) : at(10.6)] = 6000 * np.sin(2 * np.pi * 1000 * np.arange(at(0.6)) / RATE)[: at(10.6) - at(10)]
    found = compare(music(), bleeped, 0.0)
    assert not found.is_other_mix
    (place,) = found.differences
    assert (place.start_s, place.end_s) == (pytest.approx(10, abs=0.2), pytest.approx(10.6, abs=0.2))


@pytest.mark.parametrize("seconds", [0.3, 1.0])
def test_a_drop_out_is_found_and_the_other_has_more(seconds: float) -> None:
    dropped = music().copy()
    dropped[at(12) : at(12 + seconds)] = 0
    (place,) = compare(music(), dropped, 0.0).differences
    assert (place.start_s, place.end_s) == (pytest.approx(12, abs=0.2), pytest.approx(12 + seconds, abs=0.2))
    assert place.side == "a"
    (turned,) = compare(dropped, music(), 0.0).differences
    assert turned.side == "b"


@pytest.mark.parametrize("below_db", [24, 34])
def test_speech_in_a_pause_is_lost_where_the_other_file_is_silent(below_db: float) -> None:
    paused = music().copy()
    paused[at(10) : at(15)] = 0
    spoken = paused.copy()
    voice = heard(lead("spoken", 2, SECONDS))[at(4) : at(9)]
    spoken[at(10) : at(15)] = voice * (music().std() / voice.std() * 10 ** (-below_db / 20))
    found = compare(spoken, paused, 0.0)
    assert found.differences
    assert all(place.side == "a" and 9.8 < place.start_s < place.end_s < 15.2 for place in found.differences)
    hissing = paused + music().std() * 10 ** (-30 / 20) * noise(len(paused))
    assert compare(hissing, paused, 0.0).is_copy


@pytest.mark.parametrize("rate", [0.003, -0.002, 0.00005])
def test_a_copy_of_nearly_the_same_speed_passes_and_its_speed_is_told(rate: float) -> None:
    x = music()
    slower = np.interp(np.arange(round(len(x) * (1 + rate))) / (1 + rate), np.arange(len(x)), x).astype(np.float32)
    found = compare(slower, x, 0.0)
    assert found.is_copy
    assert found.rate == pytest.approx(rate, abs=3e-4)
    assert compare(x, slower, 0.0).rate == pytest.approx(-rate, abs=3e-4)


@pytest.mark.parametrize("shift", [1e-7, -1e-7, 0])
def test_a_test_is_the_same_to_the_last_digit_whichever_file_comes_first(shift: float) -> None:
    x = music()
    y = np.interp(np.arange(at(2), len(x)) * (1 + shift), np.arange(len(x)), x).astype(np.float32)
    assert repr(compare(y, x, -2.0)) == repr(compare(x, y, 2.0).swapped())
    assert "-0.0" not in repr(compare(x, y, 2.0)) + repr(compare(y, x, -2.0))


def test_what_only_one_has_is_a_stretch_of_its_own() -> None:
    whole = music()
    found = compare(whole[: at(20)], whole[at(5) :], 5.0)
    assert found.is_copy
    assert [(round(s.start_s), round(s.end_s)) for s in found.only_a] == [(0, 5)]
    assert [(round(s.start_s), round(s.end_s)) for s in found.only_b] == [(15, 19)]
    turned = compare(whole[at(5) :], whole[: at(20)], -5.0)
    assert (len(turned.only_a), len(turned.only_b), turned.lag_s) == (1, 1, -found.lag_s)


def test_silence_is_nothing_of_its_own() -> None:
    padded = np.concatenate([np.zeros(at(4), np.float32), music(), noise(at(4))])
    found = compare(music(), padded, -4.0)
    assert found.is_copy
    assert (found.only_a, found.only_b) == ((), ())


def test_an_inserted_stretch_is_the_others_own() -> None:
    other = music("piano", 9)[: at(6)]
    inserted = np.concatenate([music()[: at(12)], other, music()[at(12) :]])
    found = compare(music(), inserted, 0.0)
    assert not found.is_other_mix
    (span,) = found.only_b
    assert (span.start_s, span.end_s) == (pytest.approx(12, abs=1), pytest.approx(18, abs=1))


def test_music_that_comes_back_is_not_taken_for_another_place() -> None:
    whole = np.concatenate([music(), music("pad", 2), music()])
    found = compare(whole, whole[at(6) :], 6.0)
    assert found.lag_s == pytest.approx(6.0, abs=0.01)
    assert [(round(s.start_s), round(s.end_s)) for s in found.only_a] == [(0, 6)]


def test_too_little_sound_is_no_test() -> None:
    silent = np.zeros(at(20), np.float32)
    assert compare(silent, silent, 0.0).problem == "too little sound in common"


# ---- files ----


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A song with and without its lead, and copies of both."""
    folder = tmp_path_factory.mktemp("mixes")
    without = backing("song", 11, 20.0)
    sung = with_lead(without, lead("sung", 12, 20.0), -3)
    for name, sound, how in (
        ("instrumental", without, Encoding("flac")),
        ("instrumental", without, Encoding("mp3", 96_000)),
        ("song", sung, Encoding("flac")),
        ("song", sung, Encoding("opus", 64_000)),
    ):
        write(str(folder / f"{name}.{how.extension}"), sound, how)
    return folder


def side(path: Path) -> Side:
    return HostPath(os.fsencode(path)), *size_and_time(path.stat()), nullcontext()


def test_two_files_on_a_worker(folder: Path) -> None:
    copies = compare_files(side(folder / "song.flac"), side(folder / "song.opus"), 0.0, 60.0)
    assert copies.lasting
    assert copies.test.is_copy
    mixes = compare_files(side(folder / "song.flac"), side(folder / "instrumental.mp3"), 0.0, 60.0)
    assert mixes.test.is_other_mix


def test_a_file_that_changed_is_for_another_time(folder: Path, tmp_path: Path) -> None:
    path, size, mtime_ns, reading = side(folder / "song.flac")
    other = side(folder / "song.opus")
    assert compare_files((path, size + 1, mtime_ns, reading), other, 0.0, 60.0).lasting is False
    gone: Side = (HostPath(os.fsencode(tmp_path / "x")), 1, 1, reading)
    assert compare_files(gone, other, 0.0, 60.0) == Compared(compare_files(gone, other, 0.0, 60.0).test, lasting=False)
    broken = tmp_path / "broken.mp3"
    broken.write_bytes(b"no music" * 100)
    found = compare_files(side(broken), other, 0.0, 60.0)
    assert (found.lasting, bool(found.test.problem)) == (True, True)


def known(store: Store, folder: Path) -> None:
    scan(store, [os.fsencode(folder)], ScanSettings(), InlineRunner(), Silent())
    correlate(store, CompareSettings(varispeed=False), InlineRunner(), Silent())


def hear(store: Store, runner: InlineRunner) -> int:
    matches = Matches(store, MatchSettings())
    return listen(
        store, matches, lambda found: groups_of(store, found, KeepSettings()), ScanSettings(), runner, Silent()
    ).n_tested


def test_a_store_is_listened_to_once_and_its_groups_follow(folder: Path, tmp_path: Path) -> None:
    with make_or_open(tmp_path / "store", FingerprintSettings(), 64, "test") as store:
        known(store, folder)
        before = find_groups(store, MatchSettings(), KeepSettings()).groups
        assert untested(before)
        assert hear(store, InlineRunner()) > 0
        after = find_groups(store, MatchSettings(), KeepSettings()).groups
        assert [{Path(os.fsdecode(t.path)).stem for t in group.tracks} for group in after] in (
            [{"song"}, {"instrumental"}],
            [{"instrumental"}, {"song"}],
        )
        assert untested(after) == []
        assert hear(store, InlineRunner()) == 0, "a second run listens to nothing"


def test_a_stop_leaves_what_is_not_heard_to_the_next_run(folder: Path, tmp_path: Path) -> None:
    stop = Stop()
    stop.request("Ctrl-C")
    with make_or_open(tmp_path / "store", FingerprintSettings(), 64, "test") as store:
        known(store, folder)
        assert hear(store, InlineRunner(stop)) == 0
        assert hear(store, InlineRunner()) > 0


class _Deadly(InlineRunner):
    """A runner whose every task kills its worker."""

    def run(self, function, tasks, time_limit_s=None):  # type: ignore[no-untyped-def] # noqa: ARG002
        for task in tasks:
            yield Outcome(task.name, failure="its worker died")


def test_a_pair_that_kills_its_worker_is_not_heard_again(tmp_path: Path) -> None:
    items = stores.recording(1, 200)
    with stores.open_store(tmp_path / "store") as store:
        stores.add_track(store, "a", stores.add_audio(store, items, b"a" * 16))
        stores.add_track(store, "b", stores.add_audio(store, items, b"b" * 16))
        runner = _Deadly()
        matches = Matches(store, MatchSettings())
        (pair,) = untested(groups_of(store, matches, KeepSettings()))
        tested = null_tests(store, [pair], runner, Silent(), Disks(runner, None), 60.0)
        assert (tested.n_tested, tested.n_failed, tested.n_left) == (1, 1, 0)
        matches.renew_tests(store)
        assert untested(groups_of(store, matches, KeepSettings())) == []
