"""Made libraries: a track is a function of seed and number, a planted pair is as told, bits are as in music."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest

from dedup.observer import Silent
from dedup.scan.imported import parse_line
from dedup.store.items import SILENT_ITEM, Items
from dedup.store.store import open_for_reading
from dedup.synthesis.fingerprints import RATIOS, RECTANGLES, Library, items_of_image, planted_pair
from dedup.synthesis.music import SAMPLE_RATE, compose
from dedup.upkeep.check import check
from scripts.bench import make_library
from tests.test_synthesis import fingerprint

SHARE_OF_ONES = [
    *(0.53, 0.60, 0.52, 0.54, 0.49, 0.55, 0.55, 0.42, 0.58, 0.39, 0.44, 0.50, 0.58, 0.59, 0.49, 0.57),
    *(0.49, 0.45, 0.56, 0.50, 0.40, 0.52, 0.60, 0.42, 0.47, 0.45, 0.47, 0.45, 0.40, 0.51, 0.46, 0.41),
]
"""Of each bit, lowest first, in 116 recordings; between recordings it has an sd of 0.06 to 0.28."""


def lag_curve(x: Items, y: Items) -> dict[int, float]:
    """Agreement at every lag with an overlap of 80 items."""
    curve = {}
    for lag in range(80 - len(y), len(x) - 79):
        first, end = max(0, lag), min(len(x), len(y) + lag)
        curve[lag] = 1 - float(np.bitwise_count(x[first:end] ^ y[first - lag : end - lag]).mean()) / 32
    return curve


def chroma_image(pcm: npt.NDArray[np.int16]) -> npt.NDArray[np.float64]:
    """float64[n_frames, 12]: energy of each note in mono PCM at 11,025 Hz, as Chromaprint adds it up."""
    frames = np.lib.stride_tricks.sliding_window_view(pcm.astype(np.float64), 4096)[::1365] * np.hamming(4096)
    power = np.abs(np.fft.rfft(frames, axis=1)) ** 2
    bins = np.arange(round(28 * 4096 / 11025), round(3520 * 4096 / 11025))
    octaves = np.log2(bins * 11025 / 4096 / 27.5)
    notes = (12 * (octaves - np.floor(octaves))).astype(int)
    return np.stack([power[:, bins[notes == note]].sum(axis=1) for note in range(12)], axis=1)


def test_the_classifiers_are_those_of_chromaprint() -> None:
    pcm = compose(5, "test", 20).mean(axis=1)[:: SAMPLE_RATE // 11025]
    pcm = (32767 * pcm).astype(np.int16)
    bits = fingerprint(pcm) > 0
    theirs = np.packbits(bits, axis=1).view("<u4")[:, 0]
    ours = items_of_image(chroma_image(pcm), RECTANGLES, RATIOS)
    assert len(ours) == len(theirs)
    assert np.bitwise_count(ours ^ theirs).mean() / 32 < 0.001
    assert set(items_of_image(np.zeros((40, 12)), RECTANGLES, RATIOS)) == {SILENT_ITEM}


def test_a_track_is_a_function_of_seed_and_number() -> None:
    library = Library(3, 200, duplicates=0.3)
    tracks = [library.track(index) for index in range(30)]
    for index in reversed(range(30)):
        again = Library(3, 200, duplicates=0.3).track(index)
        assert np.array_equal(again.items, tracks[index].items)
        assert (again.original, again.change) == (tracks[index].original, tracks[index].change)
    assert len({track.items.tobytes() for track in tracks}) == 30
    assert not np.array_equal(Library(4, 200).track(0).items, tracks[0].items)


def test_lengths_are_exact_or_spread() -> None:
    exact = [Library(1, 300, duplicates=0.4).track(index) for index in range(60)]
    whole = [track for track in exact if not (track.change and track.change.kind == "excerpt")]
    assert {len(track.items) for track in whole} == {300}
    spread = np.array([len(Library(1, 300, 0.3).track(index).items) for index in range(200)])
    assert spread.mean() == pytest.approx(300, rel=0.1)
    assert np.log(spread).std() == pytest.approx(0.3, rel=0.2)


@pytest.mark.parametrize("spread", [0.0, 0.3])
def test_a_planted_pair_is_as_the_truth_says(spread: float) -> None:
    library = Library(8, 400, spread, duplicates=0.5)
    shares, kinds = [], set()
    for index in range(60):
        track = library.track(index)
        if track.original is None or track.change is None:
            continue
        original = library.track(track.original)
        assert track.original < index and original.original is None
        pair = planted_pair(track, original.items)
        kinds.add(pair["kind"])
        shares.append(pair["error_share"])
        assert pair["overlap"] >= 80
        curve = lag_curve(original.items, track.items)
        assert curve[pair["lag"]] == pytest.approx(1 - pair["error_share"], abs=1e-5)
        assert curve[pair["lag"]] >= max(curve.values()) - 0.02  # the edge of a loop may do better
    assert kinds == {"encoded", "trimmed", "delayed", "excerpt"}
    assert 0.01 < np.median(shares) < 0.06
    assert max(shares) < 0.3


def test_bits_are_as_in_music() -> None:
    library = Library(5, 948)
    tracks = [library.track(index).items for index in range(150)]
    bits = np.array([(items[:, None] >> np.arange(32, dtype=np.uint32)) & 1 for items in tracks], np.float64)
    assert np.abs(bits.mean(axis=(0, 1)) - SHARE_OF_ONES).max() < 0.15
    moves = bits - bits.mean(axis=1, keepdims=True)
    repeated = [(moves[:, lag:] * moves[:, :-lag]).sum() / (moves**2).sum() for lag in (1, 3, 8, 20)]
    assert repeated == pytest.approx([0.72, 0.36, 0.11, 0.04], abs=0.04)


def test_unrelated_tracks_agree_as_in_music() -> None:
    library = Library(6, 948)
    curves = [lag_curve(library.track(2 * i).items, library.track(2 * i + 1).items) for i in range(60)]
    assert np.median([np.mean(list(curve.values())) for curve in curves]) == pytest.approx(0.506, abs=0.01)
    assert np.median([max(curve.values()) for curve in curves]) == pytest.approx(0.55, abs=0.02)


def made(monkeypatch: pytest.MonkeyPatch, out: Path, *options: str) -> list[dict[str, object]]:
    """Runs the script; the lines of its truth."""
    command = ["make_library.py", "--tracks", "40", "--items", "150", "--duplicates", "0.3", "--out", str(out)]
    monkeypatch.setattr(sys, "argv", [*command, *options])
    make_library.main()
    return [json.loads(line) for line in out.with_suffix(".truth.jsonl").read_text().splitlines()]


def test_a_file_can_be_imported(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    truth = made(monkeypatch, tmp_path / "x.jsonl")
    lines = [parse_line(line) for line in (tmp_path / "x.jsonl").read_bytes().splitlines(keepends=True)]
    paths = [path.decode() for path, _, _ in lines]
    assert len(set(paths)) == 40
    library = Library(1, 150, duplicates=0.3)
    assert all(np.array_equal(items, library.track(index).items) for index, (_, _, items) in enumerate(lines))
    assert len(truth) >= 5
    assert all((paths[pair["index_a"]], paths[pair["index_b"]]) == (pair["a"], pair["b"]) for pair in truth)  # type: ignore[index]


def test_a_store_is_sound_and_made_only_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    truth = made(monkeypatch, tmp_path / "store", "--block-size", "16")
    with open_for_reading(tmp_path / "store") as store:
        assert [finding for finding in check(store, Silent()) if finding.kind != "note"] == []
        assert sum(1 for _ in store.catalog.tracks.all()) == 40
        assert len(store.catalog.blocks.rows()) == 3
    assert truth == made(monkeypatch, tmp_path / "x.jsonl")
    with pytest.raises(SystemExit):
        made(monkeypatch, tmp_path / "store")
