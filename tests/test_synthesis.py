"""Synthesized music: equal samples for equal seeds, proper files, fingerprints that behave like songs'."""

from __future__ import annotations

import hashlib
import itertools
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import av
import mutagen
import numpy as np
import numpy.typing as npt
import pytest

from dedup.errors import UsageError, WriteError
from dedup.fingerprint.chromaprint import Fingerprinter
from dedup.settings import FingerprintSettings
from dedup.synthesis.encode import FORMATS, Encoding, write
from dedup.synthesis.library import DemoFile, DemoLibrary, n_demo_files, write_demo_library
from dedup.synthesis.music import SAMPLE_RATE, Pcm, compose

TAGS = {"title": "Café", "artist": "A & B", "album": "Álbum", "track": "3"}
MUTAGEN_TAGS = {"title": "title", "artist": "artist", "album": "album", "tracknumber": "track"}
PEAK_ITEMS = 16  # lags this near to the best one still belong to its peak


def fingerprint(pcm: npt.NDArray[np.int16]) -> npt.NDArray[np.float32]:
    """float32[n_items, 32] of ±1: the bits of the fingerprint of mono PCM at 11,025 Hz."""
    printer = Fingerprinter(FingerprintSettings())
    printer.feed(pcm.tobytes())
    items = printer.finish().astype("<u4")
    bits = np.unpackbits(items.view(np.uint8).reshape(-1, 4), axis=1)
    return bits.astype(np.float32) * 2 - 1


def at_11025(frames: Iterable[av.AudioFrame]) -> npt.NDArray[np.int16]:
    """int16[n_samples], mono, at 11,025 Hz."""
    resampler = av.AudioResampler(format="s16", layout="mono", rate=11_025)
    resampled = [r for frame in frames for r in resampler.resample(frame)] + resampler.resample(None)
    return np.concatenate([frame.to_ndarray()[0] for frame in resampled]).astype(np.int16)


def decoded(path: Path) -> npt.NDArray[np.int16]:
    with av.open(str(path)) as container:
        return at_11025(container.decode(audio=0))


def never_encoded(samples: Pcm) -> npt.NDArray[np.int16]:
    frame = av.AudioFrame.from_ndarray(samples.reshape(1, -1), "flt", "stereo")
    frame.sample_rate = SAMPLE_RATE
    return at_11025([frame])


def lag_curve(a: npt.NDArray[np.float32], b: npt.NDArray[np.float32]) -> npt.NDArray[np.float64]:
    """float64[n_lags, 3]: lag, agreement, chance-corrected agreement, over ±300 items half overlapping."""
    products = a @ b.T
    curve = []
    for lag in range(-300, 301):
        first, last = max(0, lag), min(len(a), len(b) + lag)
        if last - first < 0.5 * min(len(a), len(b)):
            continue
        agreement = 0.5 + products[first:last, first - lag : last - lag].trace() / (64 * (last - first))
        chance = 0.5 + a[first:last].mean() * b[first - lag : last - lag].mean() / 2
        curve.append((lag, agreement, (agreement - chance) / (1 - chance)))
    return np.array(curve)


def best_and_prominence(curve: npt.NDArray[np.float64]) -> tuple[float, float]:
    peak = curve[np.argmax(curve[:, 1])]
    others = curve[np.abs(curve[:, 0] - peak[0]) > PEAK_ITEMS]
    return float(peak[2]), float(peak[1] - others[:, 1].max())


@pytest.fixture(scope="module")
def piece() -> Pcm:
    return compose(7, "test", 30)


@pytest.fixture(scope="module")
def library(tmp_path_factory: pytest.TempPathFactory) -> DemoLibrary:
    root = tmp_path_factory.mktemp("library")
    return write_demo_library(root, 3, n_recordings=4, seconds=(12, 15), n_copies=15)


def test_equal_arguments_give_equal_samples(piece: Pcm) -> None:
    assert hashlib.sha256(piece.tobytes()).digest() == hashlib.sha256(compose(7, "test", 30).tobytes()).digest()
    assert not np.array_equal(piece, compose(8, "test", 30))
    assert not np.array_equal(piece, compose(7, "another", 30))


def test_a_piece_is_stereo_within_full_scale_and_never_long_silent(piece: Pcm) -> None:
    assert piece.shape == (30 * SAMPLE_RATE, 2)
    assert piece.dtype == np.float32
    assert 0.85 < np.abs(piece).max() <= 0.8901
    assert not np.array_equal(piece[:, 0], piece[:, 1])
    rms = np.sqrt(np.mean(piece.reshape(30, -1) ** 2, axis=1))
    assert (rms[:-1] > 0.02).all()


@pytest.mark.parametrize("format_", FORMATS)
def test_a_file_has_its_duration_and_tags(tmp_path: Path, piece: Pcm, format_: str) -> None:
    path = tmp_path / f"piece.{Encoding(format_).extension}"
    write(bytes(path), piece[: 5 * SAMPLE_RATE], Encoding(format_, 128_000), TAGS)
    file: Any = mutagen.File(path, easy=True)
    assert file.info.length == pytest.approx(5, abs=0.1)
    assert len(decoded(path)) / 11_025 == pytest.approx(5, abs=0.02)
    if format_ == "wav":  # tags in a RIFF INFO chunk, which mutagen does not read
        with av.open(str(path)) as container:
            assert container.metadata == TAGS
    else:
        assert {theirs: file[name] for name, theirs in MUTAGEN_TAGS.items()} == {k: [v] for k, v in TAGS.items()}


@pytest.mark.parametrize("format_", FORMATS)
def test_equal_arguments_give_equal_bytes(tmp_path: Path, piece: Pcm, format_: str) -> None:
    for name in ("a", "b"):
        write(str(tmp_path / name), piece[:SAMPLE_RATE], Encoding(format_), TAGS)
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


@pytest.mark.parametrize("format_", FORMATS)
def test_a_file_has_the_rate_and_channels_asked_for(tmp_path: Path, piece: Pcm, format_: str) -> None:
    path = tmp_path / "piece"
    write(bytes(path), piece[: 2 * SAMPLE_RATE], Encoding(format_, 48_000, sample_rate=22_050, mono=True))
    with av.open(str(path)) as container:
        stream = container.streams.audio[0]
        assert stream.rate == (48_000 if format_ == "opus" else 22_050)
        n_channels = stream.channels
        planes = np.concatenate([frame.to_ndarray().reshape(-1, n_channels) for frame in container.decode(stream)])
    if format_ == "vorbis":  # FFmpeg's own encoder knows stereo only
        assert n_channels in (1, 2)
    else:
        assert n_channels == 1
    assert np.abs(planes).max() > 0


def test_louder_than_full_scale_is_clipped_and_does_not_wrap(tmp_path: Path, piece: Pcm) -> None:
    path = tmp_path / "loud.wav"
    loud = piece[10 * SAMPLE_RATE : 12 * SAMPLE_RATE] * np.float32(4)
    write(bytes(path), loud, Encoding("wav"))
    with av.open(str(path)) as container:
        found = np.concatenate([frame.to_ndarray().reshape(-1, 2) for frame in container.decode(audio=0)])
    assert np.abs(found / 32_768 - np.clip(loud, -1, 1)).max() < 1e-3


def test_an_unknown_format_is_refused() -> None:
    with pytest.raises(UsageError, match=r"'mp4'.*mp3, flac"):
        Encoding("mp4")


def test_a_folder_that_is_not_there_is_a_write_error(tmp_path: Path, piece: Pcm) -> None:
    with pytest.raises(WriteError, match=r"a\.wav: No such file"):
        write(bytes(tmp_path / "missing" / "a.wav"), piece[:100], Encoding("wav"))


@pytest.mark.parametrize("n_pieces", [5, pytest.param(10, marks=pytest.mark.long)])
def test_different_pieces_are_unrelated_by_fingerprint(n_pieces: int) -> None:
    prints = [fingerprint(never_encoded(compose(seed, seed % 4, 45))) for seed in range(n_pieces)]
    highest = {
        pair: lag_curve(prints[pair[0]], prints[pair[1]])[:, 2].max()
        for pair in itertools.combinations(range(len(prints)), 2)
    }
    assert max(highest.values()) < 0.25, max(highest, key=lambda pair: highest[pair])


def changed_copies(piece: Pcm) -> dict[str, tuple[Pcm, Encoding]]:
    flac = Encoding("flac")
    return {
        "mp3 64 kbit/s": (piece, Encoding("mp3", 64_000)),
        "opus 48 kbit/s": (piece, Encoding("opus", 48_000)),
        "aac 64 kbit/s": (piece, Encoding("aac", 64_000)),
        "vorbis": (piece, Encoding("vorbis", 96_000)),
        "-12 dB": (piece * np.float32(0.25), flac),
        "mono": (piece, Encoding("mp3", 128_000, mono=True)),
        "trimmed": (piece[5 * SAMPLE_RATE :], flac),
    }


@pytest.mark.parametrize(
    "change", ["mp3 64 kbit/s", "opus 48 kbit/s", "aac 64 kbit/s", "vorbis", "-12 dB", "mono", "trimmed"]
)
def test_a_changed_copy_is_found_and_stands_out(tmp_path: Path, piece: Pcm, change: str) -> None:
    samples, encoding = changed_copies(piece)[change]
    path = tmp_path / "copy"
    write(bytes(path), samples, encoding)
    agreement, prominence = best_and_prominence(
        lag_curve(fingerprint(never_encoded(piece)), fingerprint(decoded(path)))
    )
    assert agreement >= 0.6
    assert prominence >= 0.1


def test_a_library_is_what_it_says_it_is(library: DemoLibrary) -> None:
    assert len(library.files) == n_demo_files(4, 15) == 4 + 15 + 2
    on_disk = {path.relative_to(library.root).as_posix() for path in library.root.rglob("*") if path.is_file()}
    assert on_disk == {file.path for file in library.files}
    assert len({file.path.casefold() for file in library.files}) == len(library.files)
    assert len({file.change for file in library.files}) == 15 + 3  # every kind, the original, and two that are no music
    sizes = [sum(f.recording == name for f in library.files) for name in {f.recording for f in library.files}]
    assert sorted(sizes) == [1, 1, 1, 6, 6, 6]
    assert len(library.true_pairs()) == 3 * 15


def test_every_duplicate_in_a_library_is_one(library: DemoLibrary) -> None:
    originals = {file.recording: file for file in library.files if file.change == "original"}
    prints = {name: fingerprint(decoded(library.root / file.path)) for name, file in originals.items()}
    for file in library.files:
        if file.recording in originals:
            found = fingerprint(decoded(library.root / file.path))
            agreement, _ = best_and_prominence(lag_curve(prints[file.recording], found))
            assert agreement >= 0.6, file


def test_a_copy_has_the_bytes_and_a_retagged_one_the_stream_of_its_original(library: DemoLibrary) -> None:
    by_change = {file.change: file for file in library.files}
    originals = {file.recording: library.root / file.path for file in library.files if file.change == "original"}
    copy, retagged = by_change["exact copy"], by_change["other tags"]
    assert (library.root / copy.path).read_bytes() == originals[copy.recording].read_bytes()
    path, original = library.root / retagged.path, originals[retagged.recording]
    assert path.read_bytes() != original.read_bytes()
    assert np.array_equal(decoded(path), decoded(original))
    tagged: Any = mutagen.File(path, easy=True)
    assert tagged["artist"] == ["Unknown Artist"]


def test_what_is_no_music_does_not_decode(library: DemoLibrary) -> None:
    [text] = [file for file in library.files if file.change == "no audio"]
    with pytest.raises(av.FFmpegError), av.open(str(library.root / text.path)) as container:
        next(container.decode(audio=0))


def test_a_library_is_a_function_of_its_seed(tmp_path: Path) -> None:
    def contents(folder: str, seed: int) -> dict[str, bytes]:
        told: list[None] = []
        made = write_demo_library(
            tmp_path / folder, seed, n_recordings=2, seconds=(10, 10), advance=lambda: told.append(None)
        )
        assert len(told) == n_demo_files(2) == len(made.files)
        return {file.path: (made.root / file.path).read_bytes() for file in made.files}

    first = contents("a", 5)
    assert first == contents("b", 5)
    assert first.keys() != contents("c", 6).keys()


def test_only_recordings_of_more_than_one_file_make_pairs() -> None:
    files = tuple(DemoFile(path, path[0], "original") for path in ("b1", "a1", "b2", "c1", "b3"))
    pairs = DemoLibrary(Path(), files).true_pairs()
    assert pairs == {frozenset(pair) for pair in (("b1", "b2"), ("b1", "b3"), ("b2", "b3"))}


@pytest.mark.parametrize(("n_recordings", "seconds"), [(0, (30, 60)), (101, (30, 60)), (2, (5, 60)), (2, (60, 30))])
def test_a_library_that_cannot_be_is_refused(tmp_path: Path, n_recordings: int, seconds: tuple[float, float]) -> None:
    with pytest.raises(UsageError, match="demo library"):
        write_demo_library(tmp_path, n_recordings=n_recordings, seconds=seconds)
    assert not list(tmp_path.iterdir())
