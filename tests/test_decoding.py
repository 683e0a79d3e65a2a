"""What decoding shows of a file: its true length, and channels that cancel."""

from __future__ import annotations

import os
import struct
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest

from dedup.files.host_paths import HostPath
from dedup.fingerprint.decode import Decoded, decode
from dedup.fingerprint.task import Fingerprinted, fingerprint_file
from dedup.settings import FingerprintSettings
from dedup.synthesis.encode import Encoding, write

RATE = 44_100
LENGTH_S = 16
KINDS = ("mp3", "flac", "vorbis", "opus", "aac", "wav")


def music(width: float = 0.15) -> npt.NDArray[np.float32]:
    """float32[n, 2]: tones that change, nearly the same left and right."""
    rng = np.random.default_rng(5)
    at = np.arange(LENGTH_S * RATE) / RATE
    notes = rng.integers(0, 24, (3, LENGTH_S * 2))
    voices = [np.sin(2 * np.pi * 220 * 2 ** (np.repeat(line, RATE // 2) / 12) * at) for line in notes]
    mid = 0.15 * sum(voices) + 0.01 * rng.standard_normal(len(at))
    side = width * 0.1 * voices[2]
    return np.stack([mid + side, mid - side], axis=1).astype(np.float32)


def made(folder: Path, kind: str, samples: npt.NDArray[np.float32]) -> Path:
    encoding = Encoding(kind)
    path = folder / f"{kind}.{encoding.extension}"
    write(os.fsencode(path), samples, encoding)
    return path


def decoded_of(path: Path) -> Decoded:
    return decode(os.fsencode(path), 11_025, lambda _: None)


def fingerprint(path: Path) -> Fingerprinted:
    status = path.stat()
    found = fingerprint_file(
        HostPath(os.fsencode(path)), status.st_size, status.st_mtime_ns, FingerprintSettings("1.5.1"), 5.0, 60.0
    )
    assert isinstance(found, Fingerprinted)
    return found


def agreement(a: Fingerprinted, b: Fingerprinted) -> float:
    n = min(len(a.items), len(b.items))
    return 1 - float(np.bitwise_count(a.items[:n] ^ b.items[:n]).mean()) / 32


def remuxed(source: Path, path: Path, kind: str) -> Path:
    with av.open(str(source)) as given, av.open(str(path), "w", format=kind) as written:
        stream = written.add_stream_from_template(given.streams.audio[0])
        for packet in given.demux(given.streams.audio[0]):
            if packet.dts is not None:
                packet.stream = stream
                written.mux(packet)
    return path


# ---- length ----


@pytest.mark.parametrize("kind", KINDS)
def test_a_whole_file_is_sound_and_its_length_is_what_was_heard(kind: str, tmp_path: Path) -> None:
    found = decoded_of(made(tmp_path, kind, music()))
    assert found.damage is None
    assert found.decoding.decoded_s == pytest.approx(LENGTH_S, abs=0.1)
    assert found.decoding.n_bytes and not found.decoding.cancels
    assert found.decoding.width_db == pytest.approx(-25, abs=3)


@pytest.mark.parametrize("share", [0.5, 0.91])
@pytest.mark.parametrize("kind", ["mp3", "flac", "wav", "matroska"])
def test_a_file_that_ends_before_its_header_says_is_cut_short(kind: str, share: float, tmp_path: Path) -> None:
    path = made(tmp_path, "vorbis" if kind == "matroska" else kind, music())
    if kind == "matroska":
        path = remuxed(path, tmp_path / "x.mka", kind)
        assert decoded_of(path).damage is None
    os.truncate(path, round(path.stat().st_size * share))
    found = decoded_of(path)
    assert found.damage is not None and found.damage.startswith("cut short: ")
    assert " s of 16.0 s could be decoded" in found.damage
    assert found.decoding.decoded_s == pytest.approx(share * LENGTH_S, abs=0.6)


def test_an_mp4_that_ends_before_its_index_says_is_cut_short(tmp_path: Path) -> None:
    path = tmp_path / "x.m4a"
    with av.open(str(made(tmp_path, "aac", music()))) as given:
        options = {"movflags": "+faststart"}
        with av.open(str(path), "w", format="mp4", container_options=options) as written:
            stream = written.add_stream_from_template(given.streams.audio[0])
            for packet in given.demux(given.streams.audio[0]):
                if packet.dts is not None:
                    packet.stream = stream
                    written.mux(packet)
    assert decoded_of(path).damage is None
    os.truncate(path, round(path.stat().st_size * 0.8))
    assert (decoded_of(path).damage or "").startswith("cut short: ")


def test_a_length_that_is_estimated_from_the_bit_rate_is_no_damage(tmp_path: Path) -> None:
    silence = np.zeros((4 * RATE, 2), np.float32)
    path = tmp_path / "vbr.mp3"
    with av.open(str(path), "w", format="mp3", options={"write_xing": "0"}) as container:
        stream = container.add_stream("libmp3lame", rate=RATE, layout="stereo", options={"global_quality": "236"})
        stream.codec_context.flags |= av.codec.context.Flags.qscale
        stream.codec_context.format = av.AudioFormat("s16p")
        resampler = av.AudioResampler(format="s16p", layout="stereo", rate=RATE)
        samples = np.concatenate([silence, music()])
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.reshape(1, -1)), "flt", "stereo")
        frame.sample_rate = RATE
        for resampled in [*resampler.resample(frame), *resampler.resample(None)]:
            container.mux(stream.encode(resampled))
        container.mux(stream.encode(None))
    with av.open(str(path)) as container:
        assert (container.duration or 0) / 1e6 > 1.3 * (LENGTH_S + 4), "the file is no example"
    found = decoded_of(path)
    assert found.damage is None
    assert found.decoding.decoded_s == pytest.approx(LENGTH_S + 4, abs=0.2)


@pytest.mark.parametrize("codec", ["adpcm_ima_wav", "adpcm_ms", "pcm_mulaw"])
def test_a_wave_whose_samples_are_coded_is_whole(codec: str, tmp_path: Path) -> None:
    source, path = made(tmp_path, "wav", music()), tmp_path / "coded.wav"
    with av.open(str(source)) as given, av.open(str(path), "w", format="wav") as written:
        stream = written.add_stream(codec, rate=RATE, layout="stereo")
        for frame in given.decode(audio=0):
            written.mux(stream.encode(frame))
        written.mux(stream.encode(None))
    found = decoded_of(path)
    assert found.damage is None
    assert found.decoding.decoded_s == pytest.approx(LENGTH_S, abs=0.1)


# ---- channels ----


@pytest.mark.parametrize("kind", ["mp3", "flac", "opus"])
def test_an_inverted_channel_is_heard_as_the_recording_that_it_is(kind: str, tmp_path: Path) -> None:
    sound, inverted = music(), music() * np.float32([1, -1])
    one = fingerprint(made(tmp_path, "vorbis", sound))
    other = fingerprint(made(tmp_path, kind, inverted))
    assert not one.decoding.cancels and other.decoding.cancels
    assert agreement(one, other) > 0.9


def test_a_channel_that_cancels_all_of_the_other_is_not_silence(tmp_path: Path) -> None:
    found = fingerprint(made(tmp_path, "wav", music(0) * np.float32([1, -1])))
    assert found.decoding.cancels and found.decoding.width_db == 120.0
    assert found.damage is None


@pytest.mark.parametrize("gains", [(1, 0), (1, 0.2)])
def test_a_channel_that_is_quiet_does_not_cancel(gains: tuple[float, float], tmp_path: Path) -> None:
    assert not decoded_of(made(tmp_path, "flac", music() * np.float32(gains))).decoding.cancels


# ---- DSD ----


def dsf(path: Path, samples: npt.NDArray[np.float32]) -> Path:
    """A DSD64 file of the left channel, by the simplest modulator: the sign of the accumulated error."""
    level = np.repeat(np.cumsum(samples[:, 0].astype(np.float64)), 64) * 64
    level = np.interp(np.arange(64 * len(samples)), np.arange(len(samples)) * 64, level[::64])
    steps = np.diff(np.floor(level / 2 + np.arange(len(level)) / 2), prepend=0) > 0.5
    body = np.packbits(steps, bitorder="little").tobytes()
    n_blocks = -(-len(body) // 4096)
    body = body.ljust(4096 * n_blocks, b"\x69")
    form = struct.pack("<QIIIIIIQII", 52, 1, 0, 1, 1, 2_822_400, 1, len(samples) * 64, 4096, 0)
    head = b"DSD " + struct.pack("<QQQ", 28, 92 + len(body), 0)
    path.write_bytes(head + b"fmt " + form + b"data" + struct.pack("<Q", 12 + len(body)) + body)
    return path


@pytest.mark.long
def test_a_dsd_file_is_sound_and_the_same_recording_as_its_cd(tmp_path: Path) -> None:
    samples = music()[: 8 * RATE]
    one = fingerprint(made(tmp_path, "flac", samples))
    other = fingerprint(dsf(tmp_path / "x.dsf", samples))
    assert other.damage is None
    assert other.decoding.decoded_s == pytest.approx(8, abs=0.1)
    assert agreement(one, other) > 0.8
