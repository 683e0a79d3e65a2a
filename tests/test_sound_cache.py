"""Sounds in the cache: decoded once, by processes that may die, into a folder that may vanish."""

from __future__ import annotations

import os
import shutil
import signal
import stat
import subprocess
import sys
import threading
import time
import wave
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest

from dedup.errors import InputError
from dedup.playback.cache import SoundCache, cache_folder
from dedup.playback.decode import Decoding
from dedup.playback.difference import Details
from dedup.playback.flac import SOUND_RATE, Samples
from dedup.playback.folder import SEGMENT, segment_path
from dedup.playback.lanes import Place
from dedup.playback.task import File, Task
from dedup.playback.windows import window_samples
from dedup.playback.work import Work
from dedup.synthesis import voices
from tests.audio_files import write_samples, write_tone

REPO = Path(__file__).resolve().parent.parent
SECONDS = 25.0


@pytest.fixture(scope="module")
def tones(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_tone(tmp_path_factory.mktemp("tones") / "tones.mp3", SECONDS, seed=1)


@pytest.fixture(scope="module")
def expected(tones: Path) -> Samples:
    return np.concatenate(list(Decoding(os.fsencode(tones)).samples()))


@pytest.fixture
def cache(tmp_path: Path) -> Iterator[SoundCache]:
    cache = SoundCache(tmp_path / "sound")
    yield cache
    cache.close()


@pytest.fixture
def started(monkeypatch: pytest.MonkeyPatch) -> list[Work]:
    """The decodings that were started."""
    found: list[Work] = []
    run = Work.run

    def noted(work: Work) -> None:
        found.append(work)
        run(work)

    monkeypatch.setattr(Work, "run", noted)
    return found


def known(path: Path) -> File:
    status = path.stat()
    return File(os.fsencode(path), status.st_size, status.st_mtime_ns, status.st_ino, status.st_dev)


def tree(folder: Path) -> dict[str, bytes]:
    return {each.name: each.read_bytes() for each in sorted(folder.iterdir())}


def test_a_sound_is_what_decoding_gives(cache: SoundCache, tones: Path, expected: Samples) -> None:
    sound = cache.sound(known(tones))
    facts = sound.wait()
    assert facts.n_samples == len(expected)
    assert np.array_equal(sound.samples(0, len(expected)), expected)
    around = sound.samples(SEGMENT - 5, SEGMENT + 5)
    assert np.array_equal(around, expected[SEGMENT - 5 : SEGMENT + 5])
    assert not sound.samples(-100, 0).any() and not sound.samples(facts.n_samples, facts.n_samples + 10).any()
    assert -25 < facts.integrated_lufs < -5 and 0.1 < facts.peak < 1
    drawn = sound.waveform(100)
    assert drawn.is_whole and len(drawn.outline) <= 100
    assert len(drawn.outline) * drawn.step_s == pytest.approx(facts.length_s, abs=drawn.step_s)


def test_what_is_cached_is_nobody_elses_and_is_used_again(
    cache: SoundCache, tones: Path, expected: Samples, started: list[Work]
) -> None:
    key = cache.sound(known(tones)).wait() and cache.sound(known(tones)).key
    other = SoundCache(cache.folder)
    try:
        assert np.array_equal(other.sound(known(tones)).samples(0, SEGMENT), expected[:SEGMENT])
    finally:
        other.close()
    assert len(started) == 1
    modes = {stat.S_IMODE(each.stat().st_mode) for each in (cache.folder / key).iterdir()}
    assert modes == {0o600}
    assert stat.S_IMODE(cache.folder.stat().st_mode) == stat.S_IMODE((cache.folder / key).stat().st_mode) == 0o700


def test_by_default_sounds_are_below_the_users_cache_folder() -> None:
    assert str(cache_folder()).startswith(os.environ["XDG_CACHE_HOME"])


def test_many_requests_share_one_decoding(
    cache: SoundCache, tones: Path, expected: Samples, started: list[Work]
) -> None:
    barrier = threading.Barrier(8)

    def ask(number: int) -> bool:
        barrier.wait()
        first = number * 3 * SOUND_RATE
        found = cache.sound(known(tones)).samples(first, first + SOUND_RATE)
        return np.array_equal(found, expected[first : first + SOUND_RATE])

    with ThreadPoolExecutor(8) as pool:
        assert all(pool.map(ask, range(8)))
    assert len(started) == 1


@pytest.mark.parametrize(
    "what",
    [
        "segment",
        *(pytest.param(what, marks=pytest.mark.long) for what in ("folder", "cache", "damaged", "facts", "outline")),
    ],
)
def test_what_vanishes_or_rots_is_made_again(
    what: str, cache: SoundCache, tones: Path, expected: Samples, started: list[Work]
) -> None:
    sound = cache.sound(known(tones))
    sound.wait()
    as_it_was = tree(sound.folder)
    segment = segment_path(sound.folder, 1)
    if what == "folder":
        shutil.rmtree(sound.folder)
    elif what == "cache":
        shutil.rmtree(cache.folder)
    elif what == "segment":
        segment.unlink()
    elif what == "damaged":
        data = bytearray(segment.read_bytes())
        data[len(data) // 2] ^= 1
        segment.write_bytes(data)
    else:
        (sound.folder / ("facts.json" if what == "facts" else what)).unlink()
    again = sound if what != "facts" else SoundCache(cache.folder).sound(known(tones))
    assert np.array_equal(again.samples(SEGMENT, 2 * SEGMENT), expected[SEGMENT : 2 * SEGMENT])
    if what == "outline":
        assert len(again.waveform().outline) == 0
    else:
        again.wait()
        assert tree(sound.folder) == as_it_was
        assert len(started) == 2


def test_a_folder_removed_while_it_is_written_is_no_matter(cache: SoundCache, tmp_path: Path) -> None:
    path = write_tone(tmp_path / "long.flac", 90)
    sound = cache.sound(known(path))
    sound.samples(0, 10)
    shutil.rmtree(cache.folder)
    assert sound.samples(60 * SOUND_RATE, 60 * SOUND_RATE + 100).any()
    assert sound.samples(0, SOUND_RATE).any()


def test_the_sounds_used_longest_ago_go_first(cache: SoundCache, tmp_path: Path, started: list[Work]) -> None:
    sounds = []
    for number in range(3):
        sounds.append(cache.sound(known(write_tone(tmp_path / f"{number}.mp3", 3, seed=number))))
        sounds[-1].wait()
        os.utime(sounds[-1].folder, (1000 + number, 1000 + number))
    os.utime(sounds[0].folder, (2000, 2000))  # used again
    cache.max_bytes = cache.n_bytes() - 1
    cache.bound()
    assert [each.folder.exists() for each in sounds] == [True, False, True]
    cache.max_bytes = 0
    cache.bound(using=sounds[2].key)
    assert [each.folder.exists() for each in sounds] == [False, False, True]
    assert sounds[1].samples(0, 5 * SOUND_RATE).any()
    assert len(started) == 4
    assert cache.n_bytes() > 0


def test_what_a_kill_leaves_is_removed(cache: SoundCache, tones: Path) -> None:
    sound = cache.sound(known(tones))
    sound.wait()
    gone = cache.folder / f"{sound.key}.gone1"
    gone.mkdir()
    (gone / "000000.flac").write_bytes(b"x")
    part = sound.folder / "x.part"
    part.write_bytes(b"x")
    os.utime(part, (0, 0))
    SoundCache(cache.folder).close()
    assert not gone.exists() and not part.exists()
    assert sound.folder.exists()


def frozen(cache: SoundCache) -> subprocess.Popen[str]:
    """The one process that decodes, stopped before it has begun."""
    deadline = time.monotonic() + 30
    while time.monotonic() < deadline:
        process = next((work._process for work in list(cache._works)), None)
        if process is not None:
            os.kill(process.pid, signal.SIGSTOP)
            return process
    raise AssertionError("nothing is decoded")


def test_a_decoder_that_dies_costs_one_line_and_is_tried_again_later(
    cache: SoundCache, tones: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    sound = cache.sound(known(tones))
    frozen(cache).kill()
    for _ in range(2):
        with pytest.raises(InputError, match=r"tones\.mp3: it cannot be played: its decoder crashed"):
            sound.samples(0, 10)
    assert cache.sound(known(tones)) is sound
    monkeypatch.setattr("dedup.playback.sound._RETRY_S", 0.0)
    assert cache.sound(known(tones)).samples(SOUND_RATE, 2 * SOUND_RATE).any()


def test_a_decoder_runs_no_code_of_the_folder_that_the_server_is_in(
    cache: SoundCache, tones: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Somebody may have put it beside the music."""
    mark = tmp_path / "ran"
    for name in ("json", "dedup"):
        (tmp_path / f"{name}.py").write_text(f"open({str(mark)!r}, 'w')")
    monkeypatch.chdir(tmp_path)
    assert cache.sound(known(tones)).samples(SOUND_RATE, 2 * SOUND_RATE).any()
    assert not mark.exists()


def test_a_server_that_dies_takes_its_decoders_along(tmp_path: Path) -> None:
    path = tmp_path / "hour.wav"
    with wave.open(str(path), "wb") as file:
        file.setparams((2, 2, 44_100, 3600 * 44_100, "NONE", ""))
        file.writeframesraw(b"")
        file._nframeswritten = 3600 * 44_100  # type: ignore[attr-defined]
        file._datawritten = 3600 * 44_100 * 4  # type: ignore[attr-defined]
    os.truncate(path, 44 + 3600 * 44_100 * 4)  # an hour of silence that takes no room
    command = [sys.executable, "-m", "dedup.playback.worker", str(tmp_path / "sound")]
    with subprocess.Popen(command, cwd=REPO, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdin is not None and process.stdout is not None
        process.stdin.write(Task((known(path),)).to_json() + "\n")
        process.stdin.flush()
        assert process.stdout.readline() == '{"segments": 1}\n'
        process.stdin.close()  # as the system does it for a process that ends
        assert process.wait(30) == 1
    assert not (tmp_path / "sound" / "facts.json").exists()


def test_decoding_has_a_time_limit(tones: Path, tmp_path: Path) -> None:
    cache = SoundCache(tmp_path / "sound", time_limit_s=0.05)
    try:
        with pytest.raises(InputError, match=r"decoding it took longer than 0\.05 s"):
            cache.sound(known(tones)).wait()
    finally:
        cache.close()


def test_decoding_has_a_memory_limit(tones: Path, tmp_path: Path) -> None:
    work = Work(Task((known(tones),), most_memory=1 << 20), tmp_path / "sound", 60.0)
    work.run()
    assert work.problem
    assert not (tmp_path / "sound" / "facts.json").exists()


def test_a_decoder_ends_with_its_cache(tones: Path, tmp_path: Path) -> None:
    cache = SoundCache(tmp_path / "sound", n_decoders=1)
    sound = cache.sound(known(tones))
    process = frozen(cache)
    waiting = cache.sound(known(write_tone(tmp_path / "x.mp3", 1)))
    cache.close()
    assert process.poll() is not None
    assert sound.problem == waiting.problem == "it was stopped"
    with pytest.raises(InputError, match="it was stopped"):
        cache.sound(known(write_tone(tmp_path / "y.mp3", 1))).wait()


@pytest.mark.parametrize(
    ("data", "found"),
    [
        (b"no sound", "not an audio file"),
        (b"", "not an audio file"),
        (b"\xff\xfb\x90\x00" * 3000, "decoded|not an audio file"),
    ],
)
def test_a_broken_file_is_one_line(data: bytes, found: str, cache: SoundCache, tmp_path: Path) -> None:
    path = tmp_path / "broken.mp3"
    path.write_bytes(data)
    with pytest.raises(InputError, match=rf"broken\.mp3: it cannot be played: .*({found})") as error:
        cache.sound(known(path)).samples(0, 10)
    assert "\n" not in str(error.value)
    assert cache.sound(known(path)).problem


def test_only_what_the_store_knows_is_played(cache: SoundCache, tmp_path: Path, started: list[Work]) -> None:
    path = write_tone(tmp_path / "x.mp3", 2)
    before = known(path)
    os.utime(path, (1, 1))
    for file in (before, known(path)._replace(size=5)):
        with pytest.raises(InputError, match="the file has changed since the last scan"):
            cache.sound(file).wait()
    path.unlink()
    with pytest.raises(InputError, match="the file cannot be read: No such file"):
        cache.sound(before._replace(mtime_ns=4)).wait()
    assert len(started) == 3


def test_a_name_may_be_any_bytes(cache: SoundCache, tmp_path: Path) -> None:
    path = os.path.join(os.fsencode(tmp_path), b"\xff\n\"'.mp3")
    os.rename(write_tone(tmp_path / "x.mp3", 2), path)
    status = os.stat(path)
    assert cache.sound(File(path, status.st_size, status.st_mtime_ns)).wait().length_s == pytest.approx(2, abs=0.1)


def test_a_full_disk_is_said(tones: Path, tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    cache = SoundCache(tmp_path / "file")
    try:
        with pytest.raises(InputError, match="it cannot be played"):
            cache.sound(known(tones)).wait()
    finally:
        cache.close()


def test_the_difference_of_two_files_is_what_one_lacks(cache: SoundCache, tmp_path: Path) -> None:
    music, voice = voices.backing("song", 1, 24), voices.lead("sung", 1, 24)
    sung = write_samples(tmp_path / "sung.mp3", np.concatenate([voices.backing("drums", 5, 1.5), _with(music, voice)]))
    plain, copy = write_samples(tmp_path / "plain.flac", music), write_samples(tmp_path / "copy.opus", music)
    sound = cache.difference(known(sung), known(plain), Place(1.45))
    details = Details.of(sound.wait().details)
    assert details.place_of_a is not None
    assert details.place_of_a.offset_s == pytest.approx(1.5, abs=0.002)
    assert details.first_s == pytest.approx(-1.5, abs=0.002)
    assert max(details.only_a) > 0.2 > max(details.only_b)
    heard = window_samples(sound, details.place, 0.0, 24.0)[:, 0].astype(float)
    real = window_samples_of(voice)
    loud = np.abs(real) > 0
    steps = [slice(at, at + 12_000) for at in range(0, len(real) - 12_000, 12_000)]
    sings = [np.sqrt(np.mean(heard[step] ** 2)) for step in steps if loud[step].mean() > 0.9]
    rests = [np.sqrt(np.mean(heard[step] ** 2)) for step in steps if not loud[step].any()]
    assert np.median(sings) > 50 * max(np.median(rests), 1)
    assert np.abs(window_samples(sound, details.place, -1.5, 1.4)).max() > 1000  # the drums in front
    alike = cache.difference(known(copy), known(plain), Place(0.05))
    assert np.abs(alike.samples(0, alike.wait().n_samples)).max() < 100
    assert max(Details.of(alike.wait().details).only_a) < 0.01


@pytest.mark.long
def test_a_stretch_cut_out_of_a_copy_has_its_own_place(cache: SoundCache, tmp_path: Path) -> None:
    music = voices.backing("pad", 2, 40)  # it does not repeat itself
    cut = np.concatenate([music[: 18 * 44_100], music[22 * 44_100 :]])
    whole, less = write_samples(tmp_path / "whole.flac", music), write_samples(tmp_path / "less.mp3", cut)
    details = Details.of(cache.difference(known(less), known(whole), Place(0.04)).wait().details)
    for t, place in ((5.0, details.place_at(5.0)), (35.0, details.place_at(35.0))):
        assert place is not None
        assert place.in_file(t) == pytest.approx(t if t < 18 else t - 4, abs=0.002)
    assert details.place_at(-1.0) == details.place_at(5.0)


def _with(music: np.ndarray, voice: np.ndarray) -> np.ndarray:
    return voices.with_lead(music, voice, -3)


def window_samples_of(voice: np.ndarray) -> np.ndarray:
    """One channel at 48 kHz."""
    at = np.arange(int(len(voice) * 48 / 44.1)) * 44.1 / 48
    return np.interp(at, np.arange(len(voice)), voice[:, 0])
