"""The loop in machine code: what PyAV's own objects give of the same file, packet by packet and frame by frame."""

from __future__ import annotations

import os
import random
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from dedup.files.container import open_container
from dedup.files.host_paths import HostPath
from dedup.fingerprint import libav, streams
from dedup.fingerprint.channels import LEAST_DB, Balance
from dedup.fingerprint.decode import UndecodableError, decode
from dedup.fingerprint.packets import LOOK_EVERY
from dedup.fingerprint.resampler import Decimator, Resampler, resampler_for
from dedup.fingerprint.task import fingerprint_file
from dedup.library.identity import stream_hash
from dedup.library.unusable import Unusable
from dedup.settings import FingerprintSettings
from tests.audio_files import ENCODERS, write_tone
from tests.test_resampler import mix

RATE = 11_025
STORED_BYTES = 128 * 1024


def naive(path: Path) -> tuple[bytes, int]:
    """PCM, and how many packets could not be decoded."""
    pieces: list[bytes] = []
    resampler: Resampler | None = None
    n_errors = 0
    with open_container(os.fsencode(path)) as container:
        for packet in container.demux(container.streams.audio[0]):
            try:
                frames: list[Any] = packet.decode()
            except av.error.FFmpegError:
                n_errors += 1
                continue
            for frame in frames:
                if resampler is None or not resampler.fits(frame):
                    if resampler is not None:
                        resampler.end()
                    resampler = resampler_for(frame, RATE, pieces.append)
                assert isinstance(resampler, Decimator)
                mix(resampler, frame)
                resampler.mixed(frame.samples)
    if resampler is not None:
        resampler.end()
    return b"".join(pieces), n_errors


def looped(path: Path) -> tuple[bytes, int]:
    pieces: list[bytes] = []
    damage = decode(os.fsencode(path), RATE, pieces.append).damage or ""
    told = [part.split()[0] for part in damage.split("; ") if "packet" in part]
    return b"".join(pieces), int(*told)


@pytest.mark.parametrize("codec", sorted(ENCODERS))
def test_it_hears_what_pyav_hears(codec: str, tmp_path: Path) -> None:
    path = write_tone(tmp_path / f"tone.{codec}", 4.0, codec=codec)
    pcm, n_errors = looped(path)
    assert (pcm, n_errors) == naive(path)
    assert len(pcm) > 2 * 3.9 * RATE
    assert n_errors == 0


@pytest.mark.parametrize("codec", ["mp3", "flac", "ogg", "opus", "m4a", "aac", "wv"])
def test_of_what_is_damaged_it_keeps_and_counts_the_same(codec: str, tmp_path: Path) -> None:
    path = write_tone(tmp_path / f"tone.{codec}", 4.0, codec=codec)
    sound, chance, n_told = path.read_bytes(), random.Random(11), 0
    for _ in range(6):
        content = bytearray(sound)
        for _ in range(30):
            content[chance.randrange(len(content) // 4, len(content) * 3 // 4)] ^= 1 << chance.randrange(8)
        path.write_bytes(content)
        try:
            found = looped(path)
        except UndecodableError:
            found = b"", 0
        assert found == naive(path)
        n_told += found[1]
    assert n_told or codec in {"mp3", "ogg", "opus"}  # whose frames or pages are checked and left out, or conceal it


def test_packets_and_frames_larger_than_the_room_for_them_are_whole(tmp_path: Path) -> None:
    n_samples, at_a_time = 3 * LOOK_EVERY, 2 * LOOK_EVERY
    path = tmp_path / "large.mka"
    noise = np.random.default_rng(2).integers(-9000, 9000, 2 * n_samples, dtype=np.int16)
    with av.open(str(path), "w", format="matroska") as container:
        stream: Any = container.add_stream("pcm_s16le", rate=44_100, layout="stereo")
        for start in range(0, n_samples, at_a_time):
            frame = av.AudioFrame.from_ndarray(noise[None, 2 * start : 2 * (start + at_a_time)], "s16", "stereo")
            frame.sample_rate, frame.pts = 44_100, start
            container.mux(stream.encode(frame))
    with open_container(os.fsencode(path)) as opened:
        assert max(packet.size for packet in opened.demux(opened.streams.audio[0])) > STORED_BYTES
    assert looped(path) == naive(path)
    assert decode(os.fsencode(path), RATE, len).stream == stream_hash(os.fsencode(path))


@pytest.mark.parametrize("codec", ["mp3", "flac", "ogg", "opus", "m4a", "aac", "wav", "mka"])
def test_the_hash_of_a_stream_is_that_of_identity(codec: str, tmp_path: Path) -> None:
    path = os.fsencode(write_tone(tmp_path / f"tone.{codec}", 3.0, codec=codec))
    assert streams.stream_hash(path) == stream_hash(path) is not None
    os.truncate(path, os.path.getsize(path) * 3 // 4)
    assert streams.stream_hash(path) == stream_hash(path)
    os.truncate(path, 10)
    assert streams.stream_hash(path) == stream_hash(path)
    with pytest.raises(FileNotFoundError):
        streams.stream_hash(path + b".none")


def test_another_ffmpeg_is_refused_and_no_file_is_blamed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_tone(tmp_path / "fine.flac", 3.0)
    monkeypatch.setitem(av.library_versions, "libavcodec", (63, 0, 100))
    libav.address.cache_clear()
    libav._library.cache_clear()
    status = path.stat()
    arguments = status.st_size, status.st_mtime_ns, FingerprintSettings(), 1.0, 60.0
    result = fingerprint_file(HostPath(bytes(path)), *arguments)
    assert isinstance(result, Unusable)
    assert not result.lasting
    assert "libavcodec 63.0.100" in result.reason


def test_of_many_channels_none_is_looked_at_that_is_not_there() -> None:
    """PyAV ends the planes of a frame at the first that is nowhere, and of more than eight none needs to be."""
    frame = av.AudioFrame(format="fltp", layout="63 channels", samples=2048)
    tone = np.sin(np.arange(2048) / 9).astype(np.float32)
    for number, plane in enumerate(frame.planes[:63]):
        plane.update(tone if number < 2 else np.zeros_like(tone))
    balance = Balance()
    balance.look(frame)
    assert balance.width_db == LEAST_DB
