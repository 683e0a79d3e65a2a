"""Whether files are what they say: bits in use, ends of spectra, and the order by quality."""

from __future__ import annotations

import csv
import io
import json
import os
import re
import wave
from pathlib import Path
from typing import Any, get_args

import numpy as np
import numpy.typing as npt
import pytest
from av import AudioFrame
from av import open as open_av
from click.testing import CliRunner, Result

from dedup.errors import EXIT_SOME_FAILED
from dedup.fingerprint.decode import TimeLimitError
from dedup.groups.keep import KeepRules, keep_rules
from dedup.library.metadata import AudioProperties, read_properties
from dedup.library.spectrum import Ends, ends_of
from dedup.observer import Silent
from dedup.quality.depth import used_bits
from dedup.quality.findings import FindingKind, findings
from dedup.quality.rank import DIGITS, Rank
from dedup.quality.run import Measuring, measure_library
from dedup.quality.survey import survey
from dedup.runner import InlineRunner
from dedup.settings import KeepSettings, ScanSettings
from dedup.store.measurements import Measured
from dedup.store.store import open_for_writing
from jobs import cli
from tests.stores import add_track, open_store, recording, rename
from tests.test_html import track
from tests.web_server import serving


def noise(seconds: float, rate: int, below_hz: float | None = None, falls: bool = False) -> npt.NDArray[np.float64]:
    samples = np.random.default_rng(3).standard_normal(int(seconds * rate))
    spectrum, hz = np.fft.rfft(samples), np.fft.rfftfreq(len(samples), 1 / rate)
    if below_hz is not None:
        spectrum[hz > below_hz] = 0
    if falls:
        spectrum /= 1 + (hz / 6000) ** 2
    shaped = np.fft.irfft(spectrum, len(samples))
    return 0.5 * shaped / np.abs(shaped).max()


def write(path: Path, samples: npt.NDArray[np.float64], bits: int, used: int, rate: int = 44_100) -> bytes:
    """A FLAC of one channel with samples of that many bits, of which the lowest are zero but for those `used`."""
    whole = np.rint(samples * 2.0 ** (used - 1)).astype(np.int64) << (32 - used)
    form = "s32" if bits > 16 else "s16"
    with open_av(str(path), "w") as container:
        stream: Any = container.add_stream("flac", rate=rate, layout="mono")
        stream.codec_context.format = form
        if bits > 16:
            stream.codec_context.options = {"bits_per_raw_sample": str(bits)}
        plain = whole.astype("<i4") if form == "s32" else (whole >> 16).astype("<i2")
        for at in range(0, len(plain), 4096):
            frame = AudioFrame.from_ndarray(plain[np.newaxis, at : at + 4096], format=form, layout="mono")
            frame.sample_rate = rate
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return os.fsencode(path)


# ---- bits ----


@pytest.mark.parametrize(("bits", "used"), [(24, 24), (24, 20), (24, 16), (16, 16), (16, 8)])
def test_the_bits_that_are_in_use_are_counted(tmp_path: Path, bits: int, used: int) -> None:
    path = write(tmp_path / "a.flac", noise(0.5, 44_100), bits, used)
    assert read_properties(path).bits == bits
    assert used_bits(path, bits, 60.0) == used


def test_one_sample_at_the_end_counts(tmp_path: Path) -> None:
    samples = np.rint(noise(2, 44_100) * 2**15) / 2**15
    samples[-1] = 1 / 2**23
    assert used_bits(write(tmp_path / "a.flac", samples, 24, 24), 24, 60.0) == 24


@pytest.mark.parametrize(("finer", "used"), [(0.0, 16), (2.0**-24, 25), (2.0**-40, 32)])
def test_samples_in_floating_point_count_by_their_value(tmp_path: Path, finer: float, used: int) -> None:
    samples = np.rint(noise(0.2, 44_100) * 2**15) / 2**15
    samples[100] = 0.25 + finer
    if finer == 2.0**-40:
        samples[100] = finer  # between two steps of 32 bits
    path = tmp_path / "a.wav"
    with open_av(str(path), "w") as container:
        stream: Any = container.add_stream("pcm_f32le", rate=44_100, layout="mono")
        frame = AudioFrame.from_ndarray(samples[np.newaxis].astype(np.float32), format="flt", layout="mono")
        frame.sample_rate = 44_100
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    assert used_bits(os.fsencode(path), 32, 60.0) == used


def test_silence_uses_no_bits_and_time_is_limited(tmp_path: Path) -> None:
    path = write(tmp_path / "a.flac", np.zeros(44_100), 24, 24)
    assert used_bits(path, 24, 60.0) is None
    with pytest.raises(TimeLimitError):
        used_bits(path, 24, -1.0)


def test_a_file_of_8_bits_uses_8(tmp_path: Path) -> None:
    with wave.open(str(tmp_path / "a.wav"), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(1)
        file.setframerate(44_100)
        file.writeframes(bytes(range(256)))
    assert used_bits(os.fsencode(tmp_path / "a.wav"), 8, 60.0) == 8


# ---- spectra ----


@pytest.mark.parametrize(
    ("rate", "below_hz", "expected"),
    [
        (96_000, 21_500, Ends(None, 44_100)),
        (96_000, 23_700, Ends(None, 48_000)),
        (192_000, 47_000, Ends(None, 96_000)),
        (96_000, None, Ends()),
        (96_000, 30_000, Ends()),
        (96_000, 16_000, Ends(16_000, None)),
        (48_000, 21_500, Ends()),
    ],
)
def test_where_spectra_end(tmp_path: Path, rate: int, below_hz: float | None, expected: Ends) -> None:
    found = ends_of(write(tmp_path / "a.flac", noise(2, rate, below_hz), 24, 24, rate))
    assert found.source_rate == expected.source_rate
    assert found.cutoff_hz == (None if expected.cutoff_hz is None else pytest.approx(expected.cutoff_hz, abs=150))


def test_what_falls_gently_has_no_end(tmp_path: Path) -> None:
    assert ends_of(write(tmp_path / "a.flac", noise(2, 96_000, falls=True), 24, 24, 96_000)) == Ends()


# ---- findings ----

FLAC = AudioProperties(codec="flac", lossless=True, sample_rate=96_000, bits=24, channels=2)


@pytest.mark.parametrize(
    ("measured", "width_db", "expected"),
    [
        (None, -10.0, []),
        (Measured(used_bits=24), None, []),
        (Measured(used_bits=20), None, []),
        (Measured(used_bits=16), None, [("padded", "16 bits in 24")]),
        (Measured(used_bits=13), None, [("padded", "16 bits in 24")]),
        (Measured(used_bits=7), None, [("padded", "8 bits in 24")]),
        (Measured(problem="cannot be decoded"), None, []),
        (Measured(source_rate=44_100), None, [("upsampled", "nothing above 22.05 kHz at a rate of 96 kHz")]),
        (Measured(cutoff_hz=16_000), -61.0, [("transcode", None), ("mono", "both channels hold the same")]),
    ],
)
def test_findings(measured: Measured | None, width_db: float | None, expected: list[tuple[str, str | None]]) -> None:
    found = findings(FLAC, measured, width_db)
    assert [each.kind for each in found] == [kind for kind, _ in expected]
    assert all(what in (None, each.what) for each, (_, what) in zip(found, expected, strict=True))
    assert [each.is_certain for each in found] == [each.kind in ("padded", "mono") for each in found]


def test_one_channel_is_no_mono_in_stereo() -> None:
    assert findings(FLAC._replace(channels=1), None, -90.0) == ()


# ---- quality ----


@pytest.mark.parametrize("rules", [("best",), ("bitrate", "rate"), ("smallest",), ("listener",)])
def test_quality_sorts_as_the_keep_rules_do(rules: tuple[str, ...]) -> None:
    settings = KeepSettings(rules=rules)
    random = np.random.default_rng(5)
    tracks = []
    for number in range(60):
        codec, lossless = [("flac", True), ("mp3", False), ("opus", False), ("pcm", True)][random.integers(4)]
        properties = AudioProperties(
            codec=codec,
            lossless=lossless,
            bitrate=int(random.choice([96_000, 128_000, 320_000])),
            sample_rate=int(random.choice([0, 22_050, 44_100, 96_000, 192_000])),
            bits=int(random.choice([16, 24])) if lossless else 0,
            channels=int(random.choice([1, 2, 6])),
        )
        damage = None if random.random() < 0.8 else "cut short"
        tracks.append(track(f"/m/{number:02d}", damage=damage)._replace(properties=properties, cancels=number % 7 == 0))
    about_sound = KeepRules(tuple(rule for rule in keep_rules(settings).rules if rule.name in DIGITS))
    rank = Rank(settings)
    assert rank.names == (*(rule.name for rule in about_sound.rules), "unsuspected")
    by_quality = sorted(sorted(tracks, key=lambda one: one.path), key=lambda one: rank.of(one, ()), reverse=True)
    assert [one.path for one in about_sound.best_first(tracks)] == [one.path for one in by_quality]


def test_findings_decide_only_between_equals() -> None:
    rank, one = Rank(KeepSettings()), track("/m/a")
    found = findings(FLAC, Measured(used_bits=16), None)
    worse = one._replace(properties=one.properties._replace(sample_rate=22_050))
    assert rank.of(one, ()) > rank.of(one, found) > rank.of(worse, ())


# ---- a library ----


def add_file(store: Any, path: bytes, items: int, **more: Any) -> None:
    """A track for a file that is there."""
    status, properties = os.stat(path), read_properties(path)
    folder, name = os.fsdecode(os.path.dirname(path)), os.fsdecode(os.path.basename(path))
    said = properties._asdict() | more
    add_track(store, name, recording(items, 100), size=status.st_size, mtime_ns=status.st_mtime_ns, root=folder, **said)


@pytest.fixture
def library(tmp_path: Path) -> Path:
    """A store of four files, of which one is not what it says, one is damaged and one lossy."""
    music = tmp_path / "music"
    music.mkdir()
    with open_store(tmp_path / "store") as store:
        add_file(store, write(music / "a.flac", noise(0.5, 44_100), 24, 16), 1, tags={"title": ("=1+1", "\u202e")})
        add_file(store, write(music / "b.flac", noise(0.5, 44_100), 24, 24), 2)
        broken = write(music / "c.flac", noise(0.5, 44_100), 24, 24)
        add_file(store, broken, 3)
        Path(os.fsdecode(broken)).write_bytes(b"no audio" * 40)
        os.utime(broken, ns=(1, 1))
        add_track(store, "d.mp3", recording(4, 100), codec="mp3", root=str(music), bitrate=128_000, sample_rate=44_100)
        with store.catalog.transaction():
            store.catalog.tracks.change("path", ["size", "mtime_ns"], [(broken, 320, 1)])
    return tmp_path


def measured_now(folder: Path, again: bool = False) -> Measuring:
    with open_for_writing(folder / "store", "test") as store:
        return measure_library(store, ScanSettings(), InlineRunner(), Silent(), again=again)


def test_each_audio_is_measured_once(library: Path) -> None:
    assert measured_now(library) == Measuring(n_measured=2, n_failed=1, n_left=0)
    assert measured_now(library) == Measuring()
    assert measured_now(library, again=True) == Measuring(n_measured=2, n_failed=1, n_left=0)
    with open_store(library / "store") as store:
        found = survey(store)
    assert (found.n_measurable, found.n_measured, found.n_unusable) == (3, 3, 0)
    assert [(each.path, each.finding.what) for each in found.found["padded"]] == [
        (os.fsencode(library / "music" / "a.flac"), "16 bits in 24")
    ]
    assert (dict(found.bits), dict(found.bitrates)) == ({24: 3}, {128: 1})


def test_a_file_that_changed_is_left_to_the_next_run(library: Path) -> None:
    os.utime(library / "music" / "a.flac", ns=(7, 7))
    assert measured_now(library) == Measuring(n_measured=1, n_failed=2, n_left=0)
    assert measured_now(library) == Measuring(n_measured=0, n_failed=1, n_left=0)


def ran(folder: Path, *words: str) -> Result:
    done = CliRunner().invoke(cli.cli, [*words, "--store", str(folder / "store")])
    assert done.exit_code == 0, done.output
    return done


def test_what_people_and_programs_see(library: Path) -> None:
    assert "0 of 3 lossless files measured. `reprise quality --measure` measures the others." in " ".join(
        ran(library, "quality").stdout.split()
    )
    measured_now(library)
    told = ran(library, "quality").stdout
    assert "Fewer bits than stated: 1 file" in told
    assert "    16 bits in 24" in told
    assert "more" in ran(library, "quality", "--limit", "0").stdout
    told = ran(library, "info", str(library / "music" / "a.flac")).stdout
    assert re.search(r"^ +bits in use +16$", told, re.M) and re.search(r"^ +finding +16 bits in 24$", told, re.M)
    counts, finding = map(json.loads, ran(library, "quality", "--json").stdout.splitlines())
    assert counts["found"] == {"padded": 1, "upsampled": 0, "transcode": 0, "mono": 0}
    assert list(counts["found"]) == list(get_args(FindingKind))
    assert finding == {
        "event": "finding",
        "path": str(library / "music" / "a.flac"),
        "kind": "padded",
        "what": "16 bits in 24",
        "certain": True,
    }


def test_measuring_from_a_terminal(library: Path) -> None:
    done = CliRunner().invoke(
        cli.cli, ["quality", "--measure", "--workers", "0", "--json", "--store", str(library / "store")]
    )
    assert done.exit_code == EXIT_SOME_FAILED
    assert "c.flac: not measured: " in done.stderr
    measured, counts, finding = map(json.loads, done.stdout.splitlines())
    assert measured == {"event": "measure", "n_measured": 2, "n_failed": 1, "n_left": 0}
    assert (counts["measurable"], counts["measured"], finding["what"]) == (3, 3, "16 bits in 24")
    again = ran(library, "quality", "--measure", "--workers", "0").stdout
    assert "files   0 measured" in again and "3 of 3 lossless files measured." in again


def test_the_page_of_a_served_store(library: Path) -> None:
    measured_now(library)
    with serving(library / "store") as server:
        page = server.ask("/quality")
    assert page.status == 200
    assert re.findall(r'<th scope="row">([^<]+)</th><td class="number">([^<]+)</td>', page.text) == [
        ("flac, lossless", "3"),
        ("mp3", "1"),
        ("44,100 Hz", "4"),
        ("24 bits", "3"),
        ("128 to 191 kbit/s", "1"),
    ]
    assert "Fewer bits than stated: 1 file" in page.text
    assert '<bdi>a.flac</bdi><div class="quiet">' in page.text  # in no group, so there is no way to one
    assert '<div class="told">16 bits in 24</div>' in page.text


def test_the_library_as_csv(library: Path) -> None:
    measured_now(library)
    with open_store(library / "store") as store:
        add_track(store, "=1.mp3", recording(9, 100), state="imported", root="")
        add_track(store, "hostile", recording(1, 100), root="/m", codec="mp3")
        rename(store, b"/m/hostile", b"/m/z\xff\n.mp3")
    data = ran(library, "export", "library", "--format", "csv").stdout_bytes
    assert data.startswith(b"\xef\xbb\xbfpath,")
    assert data.count(b"\r\n") == data.count(b"\n") == 7  # no cell breaks a line
    rows = list(csv.DictReader(io.StringIO(data.decode("utf-8-sig"), newline="")))
    paths = [bytes.fromhex(row["path_hex"]) if row["path_hex"] else row["path"].encode() for row in rows]
    assert paths == sorted(paths)
    by_name = {os.path.basename(path): row for path, row in zip(paths, rows, strict=True)}
    first = by_name[b"a.flac"]
    assert (first["title"], first["used_bits"], first["findings"]) == ("'=1+1; \\u202e", "16", "16 bits in 24")
    assert (by_name[b"b.flac"]["used_bits"], by_name[b"b.flac"]["findings"]) == ("24", "")
    assert by_name[b"b.flac"]["quality"] > first["quality"] > by_name[b"d.mp3"]["quality"]
    assert {row["lossless"] for row in rows} == {"yes", "no", ""}
    assert not any(cell.startswith(("=", "+", "@")) for row in rows for cell in row.values())
    records = [json.loads(line) for line in ran(library, "export", "library").stdout.splitlines()]
    assert [record["path"] for record in records if record["path"].endswith(".flac")] == [
        row["path"] for row in rows if row["path"].endswith(".flac")
    ]
    assert [(record["quality"] or "", str(record["group"] or "")) for record in records] == [
        (row["quality"], row["group"]) for row in rows
    ]


def test_only_the_library_is_csv(library: Path) -> None:
    done = CliRunner().invoke(cli.cli, ["export", "groups", "--format", "csv", "--store", str(library / "store")])
    assert done.exit_code == 2
    assert "report --format csv" in done.stderr
