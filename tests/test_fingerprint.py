"""What a worker makes of one file: a fingerprint, or the reason why there is none."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dedup.files.host_paths import HostPath
from dedup.files.status import COARSE_NS
from dedup.fingerprint import decode, task
from dedup.fingerprint.task import Fingerprinted, fingerprint_file, is_as_seen
from dedup.library.probe import Probe, probe_files
from dedup.library.unusable import Unusable
from dedup.settings import ITEMS_PER_SECOND, FingerprintSettings
from dedup.synthesis.encode import Encoding, write
from dedup.synthesis.music import compose
from tests.audio_files import write_tone

SETTINGS = FingerprintSettings("1.5.1")


def fingerprint(
    path: Path, min_length_s: float = 5.0, time_limit_s: float = 60.0, length_s: float = 0.0
) -> Fingerprinted | Unusable:
    status = path.stat()
    settings = FingerprintSettings("1.5.1", length_s=length_s)
    name = HostPath(os.fsencode(path))
    return fingerprint_file(name, status.st_size, status.st_mtime_ns, settings, min_length_s, time_limit_s)


def write_silence(path: Path, seconds: float) -> Path:
    write(str(path), np.zeros((int(44100 * seconds), 2), np.float32), Encoding("flac"))
    return path


@pytest.fixture(scope="module")
def song(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """20 s of music."""
    path = tmp_path_factory.mktemp("song") / "song.flac"
    write(str(path), compose(3, "somebody", 20.0), Encoding("flac"))
    return path


def test_a_song_has_items_for_all_of_it(song: Path) -> None:
    found = fingerprint(song)
    assert isinstance(found, Fingerprinted)
    assert found.items.dtype == np.uint32
    assert 20 - 2.7 < len(found.items) / ITEMS_PER_SECOND <= 20
    assert (found.damage, len(found.stream or b"")) == (None, 16)


def test_a_length_limits_the_items(song: Path) -> None:
    whole, start = fingerprint(song), fingerprint(song, length_s=12.0)
    assert isinstance(whole, Fingerprinted)
    assert isinstance(start, Fingerprinted)
    assert len(start.items) == pytest.approx((12 - 2.6) * ITEMS_PER_SECOND, abs=2)
    assert np.array_equal(start.items, whole.items[: len(start.items)])
    assert start.stream == whole.stream


# ---- why there is none


def test_a_short_file_is_skipped(tmp_path: Path) -> None:
    path = write_tone(tmp_path / "x.flac", 8.0)
    found = fingerprint(path, min_length_s=10.0)
    assert isinstance(found, Unusable)
    assert (found.kind, found.lasting) == ("skipped", True)
    assert found.reason.startswith("too short: 8.0 s of audio, 5.")
    assert found.reason.endswith("at least 10 s needed")
    assert isinstance(fingerprint(path, min_length_s=5.0), Fingerprinted)


def test_a_blink_has_no_items(tmp_path: Path) -> None:
    found = fingerprint(write_tone(tmp_path / "x.wav", 0.1), min_length_s=1.0)
    assert found == Unusable("skipped", "too short: 0.1 s of audio, 0.0 s of items, at least 1 s needed", lasting=True)


def test_silence_is_skipped(tmp_path: Path) -> None:
    found = fingerprint(write_silence(tmp_path / "x.flac", 12.0))
    assert found == Unusable("skipped", "silent: 12.0 s of digital silence", lasting=True)


def test_damage_is_told_with_the_fingerprint_and_with_the_reason(song: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.flac"
    path.write_bytes(song.read_bytes())
    os.truncate(path, path.stat().st_size // 2)
    found = fingerprint(path)
    assert isinstance(found, Fingerprinted)
    assert found.damage is not None
    assert "of 20.0 s could be decoded" in found.damage or "could not be decoded" in found.damage
    skipped = fingerprint(path, min_length_s=15.0)
    assert isinstance(skipped, Unusable)
    assert skipped.kind == "skipped"
    assert found.damage in skipped.reason


def test_garbage_fails_for_good(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    path.write_text("no music " * 1000)
    found = fingerprint(path)
    assert isinstance(found, Unusable)
    assert (found.kind, found.lasting) == ("failed", True)


def test_a_film_without_sound_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "x.mp4"
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        picture = av.VideoFrame.from_ndarray(np.zeros((96, 64), np.uint8), "yuv420p")
        container.mux(video.encode(picture))
        container.mux(video.encode(None))
    assert fingerprint(path) == Unusable("skipped", "no audio stream", lasting=True)


def test_a_slow_file_fails_for_good(song: Path) -> None:
    assert fingerprint(song, time_limit_s=1e-9) == Unusable("failed", "decoding took longer than 1e-09 s", lasting=True)


def test_a_vanished_file_is_for_the_next_run(tmp_path: Path) -> None:
    found = fingerprint_file(HostPath(os.fsencode(tmp_path / "x.mp3")), 1, 1, SETTINGS, 5.0, 60.0)
    assert found == Unusable("failed", "vanished", lasting=False)


def test_a_file_changed_since_discovery_is_for_the_next_run(song: Path) -> None:
    status = song.stat()
    for size, mtime_ns in ((status.st_size + 1, status.st_mtime_ns), (status.st_size, status.st_mtime_ns + 1)):
        found = fingerprint_file(HostPath(os.fsencode(song)), size, mtime_ns, SETTINGS, 5.0, 60.0)
        assert found == Unusable("failed", "changed since it was discovered", lasting=False)


def test_a_file_that_another_path_leads_to_may_have_coarser_times(song: Path) -> None:
    path = HostPath(b"/the launcher's/song.flac", os.fsencode(song))
    status = song.stat()
    for off_ns, is_taken in ((0, True), (COARSE_NS, True), (COARSE_NS + 1, False)):
        found = fingerprint_file(path, status.st_size, status.st_mtime_ns - off_ns, SETTINGS, 5.0, 60.0)
        assert isinstance(found, Fingerprinted) is is_taken


def change_after(decoded: Callable[..., Any], change: Callable[[], object]) -> Callable[..., Any]:
    def changed(*args: Any, **kwargs: Any) -> Any:
        try:
            return decoded(*args, **kwargs)
        finally:
            change()

    return changed


@pytest.mark.parametrize("content", ["music", "garbage"])
def test_a_file_that_changes_while_it_is_read_is_for_the_next_run(
    content: str, song: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "x.flac"
    path.write_bytes(song.read_bytes() if content == "music" else b"half of a download")
    monkeypatch.setattr(task, "decode_audible", change_after(decode.decode_audible, lambda: os.utime(path, ns=(1, 1))))
    assert fingerprint(path) == Unusable("failed", "changed while it was read", lasting=False)
    monkeypatch.setattr(task, "decode_audible", change_after(decode.decode_audible, path.unlink))
    path.touch()
    assert fingerprint(path) == Unusable("failed", "vanished", lasting=False)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (PermissionError(13, "Permission denied"), ("cannot be read: Permission denied", False)),
        (TimeoutError(110, "Connection timed out"), ("cannot be read: Connection timed out", False)),
        (MemoryError("all of it"), ("MemoryError: all of it", False)),
        (ImportError("no av"), ("ImportError: no av", False)),
        (OverflowError("too large"), ("cannot be decoded: OverflowError: too large", True)),
        (UnicodeDecodeError("utf-8", b"\xff", 0, 1, "bad"), ("cannot be decoded: UnicodeDecodeError: ", True)),
    ],
)
def test_whatever_goes_wrong_is_one_reason(
    error: Exception, expected: tuple[str, bool], song: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def failing(*_: object, **_more: object) -> None:
        raise error

    monkeypatch.setattr(task, "decode_audible", failing)
    found = fingerprint(song)
    assert isinstance(found, Unusable)
    assert found.reason.startswith(expected[0])
    assert (found.kind, found.lasting) == ("failed", expected[1])


# ---- the first look


def probe(path: Path) -> Probe:
    (found,) = probe_files([(HostPath(os.fsencode(path)), path.stat().st_size)], nullcontext())
    assert isinstance(found, Probe)
    return found


def tagged(path: Path, title: str) -> Path:
    import mutagen

    file = mutagen.File(path, easy=True)
    if file.tags is None:
        file.add_tags()
    file["title"] = [title * 200]
    file.save()
    return path


@pytest.mark.parametrize("extension", ["mp3", "flac", "ogg", "opus", "m4a"])
def test_tags_change_the_bytes_but_not_the_key(extension: str, tmp_path: Path) -> None:
    path = write_tone(tmp_path / f"a.{extension}", 4.0)
    before = probe(path)
    after = probe(tagged(path, "Other "))
    assert before.partial != after.partial
    assert before.key == after.key != ""


@pytest.mark.parametrize("extension", ["mp3", "flac", "ogg", "opus", "m4a", "wav"])
def test_other_audio_of_the_same_length_has_another_key(extension: str, tmp_path: Path) -> None:
    keys = {probe(write_tone(tmp_path / f"{seed}.{extension}", 4.0, seed=seed)).key for seed in range(3)}
    assert len(keys) == 3


def test_what_is_no_audio_has_no_key(tmp_path: Path) -> None:
    path = tmp_path / "x.mp3"
    path.write_text("no music " * 1000)
    assert probe(path).key == ""


def test_files_that_cannot_be_looked_at_have_a_reason(song: Path, tmp_path: Path) -> None:
    files = [(HostPath(os.fsencode(tmp_path / "none.mp3")), 1), (HostPath(os.fsencode(song)), song.stat().st_size)]
    vanished, found = probe_files(files, nullcontext())
    assert vanished == Unusable("failed", "vanished", lasting=False)
    assert isinstance(found, Probe)
    assert found.key.startswith("flac-md5|")


def test_is_as_seen(song: Path, tmp_path: Path) -> None:
    status = song.stat()
    assert is_as_seen(os.fsencode(song), status.st_size, status.st_mtime_ns)
    assert not is_as_seen(os.fsencode(song), status.st_size, status.st_mtime_ns - 1)
    assert not is_as_seen(os.fsencode(tmp_path / "none"), 1, 1)


def test_what_is_not_the_files_fault_is_not_remembered(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Such as a PyAV that takes other arguments: else a whole library would be held for broken until asked again."""
    path = tmp_path / "fine.flac"
    write_tone(path, 3.0)

    def other_version(*_: object) -> None:
        raise TypeError("open() got an unexpected keyword argument")

    monkeypatch.setattr("dedup.fingerprint.decode.open_container", other_version)
    status = path.stat()
    settings = FingerprintSettings()
    result = fingerprint_file(HostPath(bytes(path)), status.st_size, status.st_mtime_ns, settings, 1.0, 60.0)
    assert isinstance(result, Unusable)
    assert not result.lasting
