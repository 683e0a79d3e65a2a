"""Our own Chromaprint: the same bits as libchromaprint's, however the PCM is divided, and sound at other pitches."""

from __future__ import annotations

import math
import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import av
import numpy as np
import numpy.typing as npt
import pytest
from llvmlite import binding

from dedup.errors import UsageError
from dedup.fingerprint import compiler, machine_code
from dedup.fingerprint.chroma import FRAME, HOP, SILENT_NORM, NoteEnergies, smoothed
from dedup.fingerprint.chromaprint import Fingerprinter
from dedup.fingerprint.classifiers import CLASSIFIERS, DIVISIONS, ItemMaker
from dedup.settings import FingerprintSettings
from dedup.store.items import SILENT_ITEM, Items, items_digest
from dedup.synthesis.sounds import KINDS, sound
from tests.chromaprint_twin import Pcm, expected_items, library, library_items, naive_item, naive_items

ROOT = Path(__file__).resolve().parents[1]
RATE = 11_025
LOST_SAMPLES = FRAME + 19 * HOP
"""Samples that the first item takes."""


def items_of(pcm: Pcm, n_at_a_time: int | None = None) -> Items:
    fingerprinter = Fingerprinter(FingerprintSettings())
    step = n_at_a_time or max(len(pcm), 1)
    for start in range(0, len(pcm), step):
        fingerprinter.feed(pcm[start : start + step].astype("<i2").tobytes())
    return fingerprinter.finish()


def noise(seed: int, seconds: float, peak: int = 20_000) -> Pcm:
    return np.random.default_rng(seed).integers(-peak, peak, int(RATE * seconds), endpoint=True).astype(np.int16)


def squares(half_period: int, seconds: float, peak: int = 32_767) -> Pcm:
    high = np.arange(int(RATE * seconds)) // half_period % 2 == 0
    return np.where(high, peak, -peak).astype(np.int16)


def gliding(seconds: float) -> Pcm:
    """A tooth of a saw that rises through three octaves, again and again, by integers alone."""
    steps = 300 + np.arange(int(RATE * seconds), dtype=np.int64) % 33_000 // 15
    return (np.cumsum(steps) % 40_000 - 20_000).astype(np.int16)


def plucked(lowest_hz: float, ratio: float = 1.0) -> Pcm:
    """30 s of a melody of three voices on a scale from `lowest_hz`, each note with one overtone; all frequencies times
    `ratio`."""
    random = np.random.default_rng(8)
    t = np.arange(RATE * 30) / RATE
    made = np.zeros(len(t))
    for lowest, beat_s in ((lowest_hz, 0.83), (lowest_hz * 1.5, 0.41), (lowest_hz * 2, 0.29)):
        beats = (t // beat_s).astype(int)
        hz = lowest * 2 ** (random.integers(0, 12, beats.max() + 1) / 12) * ratio
        phases = 2 * np.pi * np.cumsum(hz[beats]) / RATE
        made += (np.sin(phases) + np.sin(2 * phases) / 2) * np.exp(-3 * (t % beat_s))
    return (made / np.abs(made).max() * 20_000).astype(np.int16)


SOUNDS = {
    "noise": noise(1, 20),
    "nearly silent noise": noise(2, 20, peak=1),
    "quiet noise": noise(3, 20, peak=40),
    "silence": np.zeros(RATE * 20, np.int16),
    "squares": squares(17, 20),
    "squares of one frame": squares(HOP, 20, peak=90),
    "full scale": np.full(RATE * 20, -32_768, np.int16),
    "a click": np.where(np.arange(RATE * 20) == 80_000, 32_767, 0).astype(np.int16),
    "gliding": gliding(20),
    "noise between silences": np.concatenate([np.zeros(RATE * 7, np.int16), noise(4, 3), np.zeros(RATE * 9, np.int16)]),
    "near the silent norm": (noise(5, 20, peak=20_000) * np.linspace(0, 0.002, RATE * 20)).astype(np.int16),
}

GOLDEN = {
    "noise": "1ac09945298696714e0f88b53291f1a6",
    "nearly silent noise": "9212ce2fd6e85b4e07d532e9a70e385a",
    "quiet noise": "448c80ff45eb538142a6db29975b76d9",
    "silence": "9212ce2fd6e85b4e07d532e9a70e385a",
    "squares": "e77d20eacbf3f0b590b41e0743e54dd3",
    "squares of one frame": "0ab1f93d459354a21c3d1ea09df93a54",
    "full scale": "9212ce2fd6e85b4e07d532e9a70e385a",
    "a click": "c6dd9e7ebec29b051b83c7c85da7d2c5",
    "gliding": "afd67b754e33defea482c964df097b55",
    "noise between silences": "a98d0f3b4dd8437f0694721c4fff2bc7",
    "near the silent norm": "95d785c7bf66f0b1f6b57a086a51ade7",
}
"""Digests of the items that libchromaprint 1.5.1 gives, on Debian 12."""


@pytest.mark.parametrize("name", SOUNDS)
def test_items_are_those_of_libchromaprint(name: str) -> None:
    items = items_of(SOUNDS[name])
    assert items.dtype == np.uint32
    assert np.array_equal(items, expected_items(SOUNDS[name]))
    assert items_digest(items).hex() == GOLDEN[name]


@pytest.mark.parametrize("kind", KINDS)
def test_items_of_all_kinds_of_sounds_are_those_of_libchromaprint(kind: str) -> None:
    pcm = sound(4, KINDS.index(kind))[: RATE * 30]
    assert np.array_equal(items_of(pcm), expected_items(pcm))


def test_the_twin_is_libchromaprint() -> None:
    """So that the tests above hold where the library is missing."""
    pcm = gliding(6)
    assert np.array_equal(naive_items(pcm), expected_items(pcm))
    assert len(naive_items(pcm)) > 20


def test_every_length_gives_the_items_that_are_complete() -> None:
    pcm = noise(6, 12)
    whole = items_of(pcm)
    begun = [LOST_SAMPLES + n * HOP for n in (0, 1, 2, 11, 12, 13, 30, 31, 44)]
    for n_samples in (0, 1, FRAME, *(n + off for n in begun for off in (-1, 0, 1))):
        items = items_of(pcm[:n_samples])
        assert len(items) == max(0, (n_samples - LOST_SAMPLES) // HOP + 1)
        assert np.array_equal(items, whole[: len(items)])
    for n_samples in (0, 1, LOST_SAMPLES - 1, LOST_SAMPLES, LOST_SAMPLES + HOP):
        assert np.array_equal(items_of(pcm[:n_samples]), expected_items(pcm[:n_samples]))


@pytest.mark.parametrize("n_at_a_time", [1, 7, 1365, 4096, 65_537])
def test_how_the_pcm_is_divided_changes_no_bit(n_at_a_time: int) -> None:
    pcm = noise(7, 4 if n_at_a_time < 10 else 90)
    assert np.array_equal(items_of(pcm, n_at_a_time), items_of(pcm))


def test_what_is_kept_while_feeding_does_not_grow() -> None:
    energies = NoteEnergies()
    sizes = set()
    for _ in range(40):
        for _ in energies.feed(noise(8, 5)):
            pass
        sizes.add(sum(array.nbytes for array in vars(energies).values() if isinstance(array, np.ndarray)))
    assert len(sizes) == 1


def test_silence_is_the_silent_item() -> None:
    assert set(items_of(SOUNDS["silence"]).tolist()) == {SILENT_ITEM}


def test_another_algorithm_is_refused_with_both() -> None:
    for settings in (FingerprintSettings(algorithm=2), FingerprintSettings(sample_rate=44_100)):
        with pytest.raises(UsageError, match="algorithm 1 at 11025 Hz"):
            Fingerprinter(settings)


# ---- the machine code


def energies_by(function: Callable[..., None], pcm: Pcm, monkeypatch: pytest.MonkeyPatch) -> npt.NDArray[np.float64]:
    monkeypatch.setattr(machine_code, "functions", lambda: {"note_energies": function})
    energies = NoteEnergies()
    return np.concatenate([*energies.feed(pcm), energies.finish()], axis=1)


def test_another_processor_gives_the_same_bits(monkeypatch: pytest.MonkeyPatch) -> None:
    """One with the oldest instructions of its family, such as no AVX."""
    pcm = noise(10, 12)
    here = energies_by(machine_code.functions()["note_energies"], pcm, monkeypatch)
    there = energies_by(compiler.functions_for("generic", "")["note_energies"], pcm, monkeypatch)
    assert here.shape[1] > 90
    assert here.tobytes() == there.tobytes()


@pytest.mark.parametrize(
    ("triple", "processor"),
    [
        ("x86_64-unknown-linux-gnu", "x86-64-v4"),
        ("aarch64-unknown-linux-gnu", "generic"),
        ("arm64-apple-macos", "apple-m1"),
    ],
)
def test_no_processor_fuses_a_product_with_a_sum(triple: str, processor: str) -> None:
    """Although all of these can: the sum would be rounded otherwise. Nor is anything called by its name: what others
    define is told by its address."""
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(triple).create_target_machine(cpu=processor, opt=3)
    code = machine.emit_assembly(compiler.optimised(machine))
    names = set(re.findall(r"^\t([a-z][\w.]*)", code, re.MULTILINE))
    assert {name for name in names if re.match(r"v?mulps|fmul", name)} != set()
    assert {name for name in names if re.match(r"vfn?m(add|sub)|fn?m(add|sub)|fml[as]", name)} == set()
    assert re.findall(r"^\t(?:call\w*\s+[^*\s]|bl?\s+_?[a-z]).*", code, re.MULTILINE) == []


@pytest.mark.long
def test_code_that_is_torn_is_compiled_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRISE_KERNEL_CACHE", str(tmp_path))
    pcm = noise(11, 3)
    before = energies_by(compiler.functions_for("generic", "")["note_energies"], pcm, monkeypatch)
    (file,) = tmp_path.glob("*/fingerprint-*.code")
    whole = file.read_bytes()
    for torn in (b"", whole[:-1]):
        file.write_bytes(torn)
        after = energies_by(compiler.functions_for("generic", "")["note_energies"], pcm, monkeypatch)
        assert before.tobytes() == after.tobytes()
        assert file.read_bytes() == whole


def test_code_that_is_there_is_not_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRISE_KERNEL_CACHE", str(tmp_path))
    pcm = noise(11, 3)
    before = energies_by(compiler.functions_for("generic", "")["note_energies"], pcm, monkeypatch)

    def compiled(_machine: object) -> bytes:
        raise AssertionError("compiled again")

    monkeypatch.setattr(compiler, "_compiled", compiled)
    assert (
        energies_by(compiler.functions_for("generic", "")["note_energies"], pcm, monkeypatch).tobytes()
        == before.tobytes()
    )
    monkeypatch.setenv("REPRISE_KERNEL_CACHE", "off")
    with pytest.raises(AssertionError, match="compiled again"):
        compiler.functions_for("generic", "")["note_energies"]


def test_who_fingerprints_loads_no_numba() -> None:
    """It costs a worker 0.3 s and 50 MB."""
    program = (
        "import sys; from dedup.fingerprint.chromaprint import Fingerprinter;"
        "from dedup.settings import FingerprintSettings; lazy = 'llvmlite' not in sys.modules;"
        "Fingerprinter(FingerprintSettings()).feed(bytes(200_000)); print(lazy, 'numba' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, cwd=ROOT)
    assert done.stdout.split() == ["True", "False"]


# ---- edges


def image_with(classifier: int, value: float) -> npt.NDArray[np.float64]:
    """Sixteen frames for which log((1 + a) / (1 + b)) of that classifier is `value`."""
    shape, note, n_notes, n_frames, *_ = CLASSIFIERS[classifier]
    a, b = max(0.0, math.expm1(value)), max(0.0, math.expm1(-value))
    n_steps, t_steps = DIVISIONS[shape]
    image = np.zeros((16, 12))
    height, width = n_notes // n_steps, n_frames // t_steps
    is_a = 0 if shape == 0 else 1
    image[is_a * (t_steps > 1) * width, note + is_a * (n_steps > 1) * height * (t_steps == 1)] = a
    image[0, note] += b
    return image


@pytest.mark.parametrize("classifier", range(16))
def test_a_level_changes_at_its_threshold(classifier: int) -> None:
    for level, threshold in enumerate(CLASSIFIERS[classifier][4:]):
        for off, expected in ((-1e-12, level), (1e-12, level + 1)):
            image = image_with(classifier, float(threshold) + off)
            maker = ItemMaker()
            maker.take(image)
            (item,) = maker.items().tolist()
            assert item == naive_item(image.tolist())
            assert item >> (30 - 2 * classifier) & 3 == (0, 1, 3, 2)[expected]


def test_a_frame_is_silent_below_a_norm_of_a_hundredth() -> None:
    for norm, is_silent in ((np.nextafter(SILENT_NORM, 0), True), (SILENT_NORM, False)):
        energies = np.zeros((5, 12))
        energies[2, 4] = norm
        assert smoothed(energies).sum() == (0 if is_silent else 1)


# ---- a semitone up and down


def kappa(x: Items, y: Items) -> float:
    """Chance-corrected agreement at lag 0."""
    bits = [np.unpackbits(items.astype(">u4").view(np.uint8).reshape(-1, 4), axis=1) for items in (x, y)]
    p, q = (one.mean(axis=0) for one in bits)
    chance = float((p * q + (1 - p) * (1 - q)).mean())
    return (float((bits[0] == bits[1]).mean()) - chance) / (1 - chance)


def stretched(items: Items, rate: float) -> Items:
    """The items as at another tempo: `rate` times as many."""
    places = np.rint((np.arange(int(len(items) * rate)) + 0.5) / rate - 0.5).astype(int)
    return items[np.clip(places, 0, len(items) - 1)]


@pytest.mark.parametrize("semitones", [1, 0.6, -0.6, -1])
@pytest.mark.parametrize(("lowest_hz", "least"), [(453.0, 0.85), (440.0, 0.55), (110.0, 0.45)])
def test_items_of_another_pitch_are_nearly_those_of_the_transposed_sound(
    lowest_hz: float, least: float, semitones: float
) -> None:
    """A note of concert pitch (A is 440 Hz) lies on the border of two classes. How its energy is divided depends on
    where the bins fall, and is not the same one semitone higher; between the borders it is."""
    pcm, pitch = plucked(lowest_hz), 2 ** (semitones / 12)
    fingerprinter = Fingerprinter(FingerprintSettings(), (1.0, pitch))
    fingerprinter.feed(pcm.tobytes())
    plain, (items,) = fingerprinter.finish(), fingerprinter.others()
    higher = items_of(plucked(lowest_hz, pitch))
    assert kappa(items, higher) > least
    assert kappa(plain, higher) < 0.45


@pytest.mark.parametrize("semitones", [1, -1])
def test_items_of_another_pitch_are_nearly_those_of_a_rate_as_far_off(semitones: int) -> None:
    """The library resamples the PCM to its own rate, or we do, so that the tempo changes by as much as the pitch. Its
    frames have another length then, too."""
    pcm, told = plucked(453.0), round(RATE * 2 ** (semitones / 12))
    fingerprinter = Fingerprinter(FingerprintSettings(), (1.0, told / RATE))
    fingerprinter.feed(pcm.tobytes())
    plain, (items,) = fingerprinter.finish(), fingerprinter.others()
    found = library()
    other = library_items(found, pcm, told) if found else items_of(resampled(pcm, told))
    back = stretched(other, told / RATE)
    n = min(len(back), len(items))
    assert kappa(items[:n], back[:n]) > 0.7
    assert kappa(plain[:n], back[:n]) < 0.3


@pytest.mark.parametrize("seconds", [2.0, 2.7, 60.0])
def test_each_image_is_as_if_it_were_the_only_one(seconds: float) -> None:
    """Even where the others hear lower and higher bins."""
    pitches = (1.0, 2 ** (0.6 / 12), 0.91, 1.09)
    fingerprinter = Fingerprinter(FingerprintSettings(), pitches)
    fingerprinter.feed(noise(9, seconds).tobytes())
    together = [fingerprinter.finish(), *fingerprinter.others()]
    for pitch, items in zip(pitches, together, strict=True):
        alone = Fingerprinter(FingerprintSettings(), (pitch,))
        alone.feed(noise(9, seconds).tobytes())
        assert np.array_equal(alone.finish(), items)


def resampled(pcm: Pcm, rate: int) -> Pcm:
    """At 11,025 Hz what is at `rate`."""
    frame = av.AudioFrame.from_ndarray(pcm.reshape(1, -1), "s16", "mono")
    frame.sample_rate = rate
    resampler = av.AudioResampler("s16", "mono", RATE)
    frames = [*resampler.resample(frame), *resampler.resample(None)]
    return np.concatenate([one.to_ndarray()[0] for one in frames]).astype(np.int16)
