"""Any file of any format to PCM: what can be decoded is kept, and what could not is said."""

from __future__ import annotations

import os
import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import av
import numpy as np
import numpy.typing as npt
import pytest

from dedup.fingerprint import decode as decode_module
from dedup.fingerprint.chromaprint import Fingerprinter
from dedup.fingerprint.decode import Decoded, TimeLimitError, UndecodableError, decode
from dedup.library.identity import stream_hash
from dedup.settings import FingerprintSettings
from dedup.store.items import Items
from dedup.synthesis.music import compose
from tests.audio_files import ENCODERS, write_tone

RATE = 11025
SETTINGS = FingerprintSettings("1.5.1")
ROOT = Path(__file__).parent.parent
LOSSLESS = {"flac", "oga", "alac", "wav", "aiff", "wv", "tta", "mka"}
DELAY_S = 0.1
"""Encoders put some silence in front: at most so much."""


def pcm_of(path: Path, **limits: float) -> tuple[npt.NDArray[np.int16], Decoded]:
    pieces: list[bytes] = []
    decoded = decode(os.fsencode(path), RATE, pieces.append, **limits)
    return np.frombuffer(b"".join(pieces), "<i2"), decoded


def items_of(pcm: npt.NDArray[np.int16]) -> Items:
    fingerprinter = Fingerprinter(SETTINGS)
    fingerprinter.feed(pcm.astype("<i2").tobytes())
    return fingerprinter.finish()


def best_agreement(a: Items, b: Items) -> float:
    """Share of equal bits at the best of lags -1 to 1."""

    def at(lag: int) -> float:
        x, y = a[max(0, lag) :], b[max(0, -lag) :]
        n = min(len(x), len(y))
        return 1 - int(np.bitwise_count(x[:n] ^ y[:n]).sum()) / (32 * n)

    return max(at(lag) for lag in (-1, 0, 1))


def write_wave(
    path: Path, samples: npt.NDArray[Any], rate: int, layout: str = "stereo", sample_format: str = "s16"
) -> Path:
    """Writes `samples[n, channels]` as PCM."""
    encoder = {"s16": "pcm_s16le", "flt": "pcm_f32le", "u8": "pcm_u8", "s32": "pcm_s32le"}[sample_format]
    with av.open(str(path), "w", format="wav") as container:
        stream: Any = container.add_stream(encoder, rate=rate, layout=layout)
        for start in range(0, len(samples), 4096):
            chunk = np.ascontiguousarray(samples[start : start + 4096].reshape(1, -1))
            frame = av.AudioFrame.from_ndarray(chunk, sample_format, layout)
            frame.sample_rate, frame.pts = rate, start
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.fixture(scope="module")
def music() -> npt.NDArray[np.float32]:
    """16 s of music, float32[n, 2] at 44,100 Hz."""
    return compose(5, "somebody", 16.0)


@pytest.fixture(scope="module")
def wave(music: npt.NDArray[np.float32], tmp_path_factory: pytest.TempPathFactory) -> Path:
    samples = (music * 32000).astype("<i2")
    return write_wave(tmp_path_factory.mktemp("wave") / "music.wav", samples, 44100)


def transcode(source: Path, path: Path, codec: str, rate: int = 0, layout: str = "stereo") -> Path:
    """`source` in another format."""
    encoder, container_format, options = ENCODERS[codec]
    rate = 48000 if encoder == "libopus" else rate or 44100
    with av.open(str(source)) as given, av.open(str(path), "w", format=container_format) as container:
        stream: Any = container.add_stream(encoder, rate=rate, layout=layout, options=options)
        if codec in LOSSLESS - {"aiff"}:
            stream.codec_context.format = "s16p" if codec in ("alac", "wv") else "s16"
        stream.codec_context.open()
        resampler = av.AudioResampler(stream.format, layout, rate, frame_size=stream.frame_size or 4096)
        frames = [piece for frame in given.decode(audio=0) for piece in resampler.resample(frame)]
        for frame in frames + resampler.resample(None):
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize("codec", sorted(ENCODERS))
def test_every_format_gives_the_items_of_its_samples(codec: str, wave: Path, tmp_path: Path) -> None:
    extension = "m4a" if codec == "alac" else codec
    pcm, decoded = pcm_of(transcode(wave, tmp_path / f"x.{extension}", codec))
    expected, _ = pcm_of(wave)
    assert decoded.damage is None
    assert decoded.duration_s == len(pcm) / RATE
    assert len(expected) / RATE <= decoded.duration_s <= len(expected) / RATE + DELAY_S
    if codec in LOSSLESS:
        assert np.array_equal(pcm, expected)
    else:
        assert best_agreement(items_of(pcm), items_of(expected)) > 0.9


def test_the_items_are_those_of_the_samples_fed_directly(music: npt.NDArray[np.float32], tmp_path: Path) -> None:
    samples = (music.mean(axis=1)[::4] * 32000).astype("<i2")[:, np.newaxis]
    path = write_wave(tmp_path / "mono.wav", samples, RATE, "mono")
    pcm, _ = pcm_of(path)
    assert np.array_equal(pcm, samples[:, 0])


@pytest.mark.parametrize(
    ("rate", "layout", "sample_format"),
    [
        (8000, "mono", "s16"),
        (22050, "mono", "u8"),
        (44100, "5.1", "s16"),
        (48000, "stereo", "flt"),
        (48000, "7.1", "s32"),
        (96000, "stereo", "s32"),
        (192000, "mono", "flt"),
    ],
)
def test_every_rate_and_layout_sounds_the_same(
    rate: int, layout: str, sample_format: str, wave: Path, tmp_path: Path
) -> None:
    n_channels = av.AudioLayout(layout).nb_channels
    with av.open(str(wave)) as container:
        resampler = av.AudioResampler(sample_format, "mono", rate)
        frames = [piece for frame in container.decode(audio=0) for piece in resampler.resample(frame)]
        frames += resampler.resample(None)
    mono = np.concatenate([frame.to_ndarray()[0] for frame in frames])
    path = write_wave(tmp_path / "x.wav", np.repeat(mono[:, None], n_channels, axis=1), rate, layout, sample_format)
    pcm, decoded = pcm_of(path)
    expected, _ = pcm_of(wave)
    assert decoded.damage is None
    assert abs(len(pcm) - len(expected)) < 50
    assert best_agreement(items_of(pcm), items_of(expected)) > 0.95


def test_channels_without_a_known_layout_are_heard(tmp_path: Path) -> None:
    """A WAV of ten channels says nothing of where their speakers are."""
    noise = np.random.default_rng(1).integers(-8000, 8000, (RATE * 4, 1)).astype("<i2")
    path = write_wave(tmp_path / "mono.wav", noise, RATE, "mono")
    data = bytearray(path.read_bytes())
    start = data.index(b"data") + 8
    data[22:24] = (10).to_bytes(2, "little")  # channels
    data[28:34] = (RATE * 20).to_bytes(4, "little") + (20).to_bytes(2, "little")
    data[start - 4 : start] = (20 * len(noise)).to_bytes(4, "little")
    data[4:8] = (start - 8 + 20 * len(noise)).to_bytes(4, "little")
    data[start:] = np.repeat(noise, 10, axis=1).tobytes()
    path.write_bytes(data)
    pcm, decoded = pcm_of(path)
    assert (decoded.damage, len(pcm)) == (None, len(noise))
    assert np.corrcoef(pcm, noise[:, 0])[0, 1] > 0.99


def test_a_length_takes_the_start_to_the_sample(wave: Path) -> None:
    whole, whole_decoded = pcm_of(wave)
    pcm, decoded = pcm_of(wave, length_s=3.3)
    assert len(pcm) == round(3.3 * RATE)
    assert np.array_equal(pcm, whole[: len(pcm)])
    assert decoded.damage is None
    assert decoded.stream == whole_decoded.stream  # of the whole file: it is the same file
    assert np.array_equal(pcm_of(wave, length_s=1000.0)[0], whole)


@pytest.mark.parametrize("codec", sorted(ENCODERS))
def test_the_stream_hash_is_that_of_identity(codec: str, tmp_path: Path) -> None:
    path = write_tone(tmp_path / f"x.{'m4a' if codec == 'alac' else codec}", 3.0, codec=codec)
    assert pcm_of(path)[1].stream == stream_hash(os.fsencode(path)) is not None


def test_rate_and_channels_may_change_on_the_way(wave: Path, tmp_path: Path) -> None:
    parts = [
        transcode(wave, tmp_path / "1.aac", "aac"),
        transcode(wave, tmp_path / "2.aac", "aac", 22050, "mono"),
        transcode(wave, tmp_path / "3.aac", "aac", 48000),
    ]
    path = tmp_path / "radio.aac"
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    pcm, decoded = pcm_of(path)
    expected = [pcm_of(part)[0] for part in parts]
    assert decoded.damage is None
    assert abs(len(pcm) - sum(map(len, expected))) < 3 * 1024
    assert best_agreement(items_of(pcm), items_of(np.concatenate(expected))) > 0.9


# ---- damage


def overwrite(path: Path, start: float, n_bytes: int) -> None:
    """Puts noise into the middle, from that share of the file on."""
    data = bytearray(path.read_bytes())
    first = int(start * len(data))
    data[first : first + n_bytes] = random.Random(7).randbytes(n_bytes)
    path.write_bytes(data)


@pytest.mark.parametrize("codec", ["mp3", "flac", "ogg", "aac"])
def test_a_hole_in_the_middle_costs_what_was_there(codec: str, wave: Path, tmp_path: Path) -> None:
    path = transcode(wave, tmp_path / f"x.{codec}", codec)
    sound, _ = pcm_of(path)
    overwrite(path, 0.5, path.stat().st_size // 20)
    pcm, decoded = pcm_of(path)
    assert decoded.damage is not None
    assert "could be decoded" in decoded.damage or "could not be decoded" in decoded.damage
    assert len(pcm) > 0.75 * len(sound)
    third = len(sound) // 3
    assert best_agreement(items_of(pcm[:third]), items_of(sound[:third])) > 0.99


@pytest.mark.parametrize("codec", ["mp3", "flac", "aiff", "wv", "tta"])
def test_a_file_cut_short_is_damaged_where_its_header_states_the_length(codec: str, wave: Path, tmp_path: Path) -> None:
    path = transcode(wave, tmp_path / f"x.{codec}", codec)
    os.truncate(path, path.stat().st_size * 6 // 10)
    pcm, decoded = pcm_of(path)
    assert 0.5 * 16 < len(pcm) / RATE < 0.7 * 16
    assert decoded.damage is not None


def test_an_estimated_length_is_no_damage(wave: Path, tmp_path: Path) -> None:
    """An ADTS stream has no header: FFmpeg guesses its length from the bit rate of the beginning. Silence first, which
    takes few bytes, makes it guess three times too much."""
    silence = write_wave(tmp_path / "silence.wav", np.zeros((44100 * 4, 2), "<i2"), 44100)
    path = tmp_path / "x.aac"
    parts = [transcode(silence, tmp_path / "1.aac", "aac"), transcode(wave, tmp_path / "2.aac", "aac")]
    path.write_bytes(b"".join(part.read_bytes() for part in parts))
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.duration is not None
        assert stream.time_base is not None
        assert stream.duration * stream.time_base > 25
    pcm, decoded = pcm_of(path)
    assert 19 < len(pcm) / RATE < 21
    assert decoded.damage is None


def write_garbage(path: Path) -> None:
    path.write_bytes(random.Random(3).randbytes(50_000))


def write_text(path: Path) -> None:
    path.write_text("This is not music. " * 500)


def write_zeros(path: Path) -> None:
    path.write_bytes(bytes(50_000))


def write_html(path: Path) -> None:
    path.write_text("<html><body>404 Not Found</body></html>")


@pytest.mark.parametrize("write", [write_garbage, write_text, write_zeros, write_html])
@pytest.mark.parametrize("extension", ["mp3", "flac", "m4a", "ogg", "wav"])
def test_what_is_no_audio_fails(write: Callable[[Path], None], extension: str, tmp_path: Path) -> None:
    path = tmp_path / f"x.{extension}"
    write(path)
    with pytest.raises(UndecodableError) as raised:
        pcm_of(path)
    assert not raised.value.skipped
    assert str(raised.value).startswith(("not an audio file: ", "nothing could be decoded: "))


def test_a_film_without_sound_is_skipped(tmp_path: Path) -> None:
    path = tmp_path / "film.mp4"
    write_film(path, None)
    with pytest.raises(UndecodableError, match="no audio stream") as raised:
        pcm_of(path)
    assert raised.value.skipped


def write_film(path: Path, sound: Path | None) -> None:
    """A second of grey pictures, with the sound of a file copied in."""
    with av.open(str(path), "w") as container:
        video: Any = container.add_stream("mpeg4", rate=25)
        video.width, video.height, video.pix_fmt = 64, 64, "yuv420p"
        if sound:
            given = av.open(str(sound))
            audio = container.add_stream_from_template(given.streams.audio[0])
        for i in range(25):
            picture = av.VideoFrame.from_ndarray(np.full((96, 64), 5 * i, np.uint8), "yuv420p")
            container.mux(video.encode(picture))
        container.mux(video.encode(None))
        if sound:
            for packet in given.demux(audio=0):
                if packet.dts is not None:
                    packet.stream = audio
                    container.mux(packet)
            given.close()


@pytest.mark.parametrize("extension", ["mp4", "mkv"])
def test_of_a_film_the_sound_is_heard(extension: str, wave: Path, tmp_path: Path) -> None:
    sound = transcode(wave, tmp_path / "sound.m4a", "m4a")
    write_film(tmp_path / f"film.{extension}", sound)
    pcm, decoded = pcm_of(tmp_path / f"film.{extension}")
    alone, _ = pcm_of(sound)
    assert decoded.damage is None
    assert decoded.stream == stream_hash(os.fsencode(tmp_path / f"film.{extension}"))
    assert best_agreement(items_of(pcm), items_of(alone)) > 0.9


def test_a_format_without_a_decoder_fails(wave: Path, tmp_path: Path) -> None:
    path = transcode(wave, tmp_path / "x.mka", "mka")
    data = path.read_bytes()
    assert data.count(b"A_FLAC") == 1
    path.write_bytes(data.replace(b"A_FLAC", b"A_ZZZZ"))
    with pytest.raises(UndecodableError, match="no decoder for its audio format"):
        pcm_of(path)


# ---- files that are not to be touched, or that go away


@pytest.mark.parametrize("extension", ["mp3", "m3u8", "wav", "txt"])
def test_a_playlist_opens_no_other_file(extension: str, wave: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.wav"
    other.write_bytes(wave.read_bytes())
    segment = transcode(wave, tmp_path / "segment.aac", "aac")
    scripts = [
        f"ffconcat version 1.0\nfile '{other}'\n",
        f"ffconcat version 1.0\nfile '{other.name}'\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{segment}\n#EXT-X-ENDLIST\n",
        f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nfile://{segment}\n#EXT-X-ENDLIST\n",
        f"#EXTM3U\n{other}\n",
        "#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\nhttp://127.0.0.1:9/x.aac\n#EXT-X-ENDLIST\n",
    ]
    for script in scripts:
        path = tmp_path / f"list.{extension}"
        path.write_text(script)
        with pytest.raises(UndecodableError, match="not an audio file: "):
            pcm_of(path)


def test_what_is_no_regular_file_is_not_opened(tmp_path: Path) -> None:
    path = tmp_path / "pipe.mp3"
    os.mkfifo(path)
    with pytest.raises(UndecodableError, match="not a regular file"):
        pcm_of(path)
    with pytest.raises(UndecodableError, match="not a regular file"):
        pcm_of(tmp_path)
    with pytest.raises(FileNotFoundError):
        pcm_of(tmp_path / "none.mp3")


def test_a_disk_that_fails_makes_no_damaged_track(wave: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def failing(path: bytes, deadline: float) -> None:
        assert deadline == float("inf")
        raise OSError(5, "Input/output error", path)

    path = transcode(wave, tmp_path / "x.flac", "flac")
    monkeypatch.setattr(decode_module, "_require_readable", failing)
    assert pcm_of(path)[1].damage is None  # a sound file is not read twice
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(OSError, match="Input/output error"):
        pcm_of(path)
    write_garbage(path)
    with pytest.raises(OSError, match="Input/output error"):
        pcm_of(path)


def test_time_is_limited(wave: Path) -> None:
    with pytest.raises(TimeLimitError):
        pcm_of(wave, time_limit_s=0.0)


def test_what_never_ends_is_left_after_ten_days(wave: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(decode_module, "LONGEST_S", 2)
    with pytest.raises(UndecodableError, match="plays longer than") as caught:
        pcm_of(wave)
    assert caught.value.skipped
    assert pcm_of(wave, length_s=2.0)[1].duration_s == pytest.approx(2.0)


def test_what_the_sink_raises_passes(wave: Path) -> None:
    def full(_: bytes) -> None:
        raise RuntimeError("full")

    with pytest.raises(RuntimeError, match="full"):
        decode(os.fsencode(wave), RATE, full)


def test_odd_names_are_no_matter(wave: Path, tmp_path: Path) -> None:
    name = b"%d \xff\n:?#" + b"x" * 240 + b".wav"
    path = os.path.join(os.fsencode(tmp_path), name)
    Path(os.fsdecode(path)).write_bytes(wave.read_bytes())
    assert decode(path, RATE, lambda _: None).damage is None


def test_nothing_is_said_on_stderr(tmp_path: Path) -> None:
    """FFmpeg would tell each broken packet; the terminal is not its own."""
    for codec in ("mp3", "ogg", "m4a", "flac"):
        path = write_tone(tmp_path / f"x.{codec}", 4.0)
        overwrite(path, 0.3, 2000)
    write_garbage(tmp_path / "garbage.mp3")
    script = (
        "import os, sys\n"
        "from dedup.fingerprint.decode import UndecodableError, decode\n"
        "for name in sorted(os.listdir(sys.argv[1])):\n"
        "    try:\n"
        "        decode(os.fsencode(os.path.join(sys.argv[1], name)), 11025, len)\n"
        "    except UndecodableError:\n"
        "        pass\n"
    )
    command = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, check=True, timeout=60)
    assert (done.stdout, done.stderr) == (b"", b"")


def test_mutated_files_raise_nothing_unforeseen(tmp_path: Path) -> None:
    rng = random.Random(11)
    for codec in ("mp3", "flac", "ogg", "opus", "m4a", "wv", "mka"):
        whole = write_tone(tmp_path / f"x.{codec}", 3.0).read_bytes()
        for number in range(12):
            data = bytearray(whole)
            for _ in range(rng.choice([1, 10, 100])):
                data[rng.randrange(len(data) if number % 2 else 1000)] ^= 1 << rng.randrange(8)
            if number % 4 == 3:
                del data[rng.randrange(len(data)) :]
            path = tmp_path / f"mutant.{codec}"
            path.write_bytes(data or b"\0")
            try:
                pcm, decoded = pcm_of(path)
            except UndecodableError:
                continue
            assert decoded.duration_s == len(pcm) / RATE > 0
            assert decoded.stream == stream_hash(os.fsencode(path))
