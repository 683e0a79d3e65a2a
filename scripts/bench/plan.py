#!/usr/bin/env python3
"""Times `reprise report`, `plan`, `apply` and `undo` on made libraries of several sizes: time, memory, growth.

    scripts/bench/plan.py [--files 12500,25000,50000,100000] [--folder DIR] [--json]

Each recording has five files, each an MP3 of one second with tags of its own: the one to keep, one with the same bytes,
two with the same packets and other tags, and another encoding for which a null test was passed. So four of five go to
quarantine, and each kept file gets tags from those that go. Every 2,000 files have a playlist of 1,000 entries.

The files are real, and so is what the store says of them: hashes, times, properties. Only the null tests and the
fingerprints are made up, one for each encoding and 25 s long; `reprise correlate` compares them. Files of a second show
what Reprise itself costs. `apply` reads each file that goes, and decodes each that is kept: real ones take longer.

Figures cover the whole command, start-up included: wall time, processor time, peak resident memory. `growth` is the
processor time over that of the size before it, each less that of `reprise --version`: for twice the files, 2 is linear.
Wall time is mostly that of a disk that syncs; processor time says more about the program. Linux only (/proc)."""

from __future__ import annotations

import argparse
import io
import itertools
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, NamedTuple

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

import numpy as np

from dedup.files.paths import volume_of
from dedup.files.status import device_and_inode, size_and_time
from dedup.library.identity import full_hash, partial_hash, stream_hash
from dedup.library.metadata import audio_key, read_properties, to_json
from dedup.settings import FingerprintSettings
from dedup.store.decoding import Decoding
from dedup.store.items import Items, n_distinct
from dedup.store.nulltests import NullTest
from dedup.store.store import Store, make_or_open
from dedup.store.tracks import Track
from dedup.synthesis.fingerprints import Library
from dedup.synthesis.music import SAMPLE_RATE, compose
from scripts.bench.dispatch import peak_of
from scripts.bench.scan import machine

COPIES, ALBUM = 5, 10
"""Files of a recording, and recordings of an album."""
RATE, FRAMES, FRAME_SAMPLES = 22_050, 40, 576
"""Sample rate, frames of a file, samples of a frame: a second."""
KBITS, OTHER_KBITS = 32, 24
N_ITEMS, LEAST_DISTINCT, FLIPPED = 200, 150, 0.01
"""Items of a fingerprint, the least of them that are different, so that no recording is a drone that resembles another,
and the share of bits that differ in that of the other encoding."""
FILES_A_PLAYLIST, ENTRIES = 2000, 1000
COMMANDS = ("report", "plan", "apply", "undo")


@dataclass
class Measured:
    """One command at one size."""

    command: str
    files: int
    wall_s: float
    processor_s: float
    processor_ms_a_file: float
    memory_mb: float
    """Peak resident set."""
    growth: float | None = None
    """Processor time over that of the size before, both without start-up."""


class Copy(NamedTuple):
    """One file of a recording."""

    path: str
    """Path below the library's root."""
    sound: int
    """Encoding: 0 for the kept file's packets, 1 for the other encoding."""
    tags: dict[str, str]


def main() -> None:
    assert __doc__
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--files", type=numbers, default=[12_500, 25_000, 50_000, 100_000])
    parser.add_argument("--folder", type=Path, help="make the libraries here, on the disk to be measured")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    if not args.json:
        print(machine())
    results: list[Measured] = []
    startup_s = measured("--version", 0, ["--version"])[0].processor_s
    for n_files in sorted(args.files):
        with tempfile.TemporaryDirectory(dir=args.folder) as folder:
            for result in measure(Path(folder), n_files):
                before = next((each for each in reversed(results) if each.command == result.command), None)
                if before is not None:
                    growth = (result.processor_s - startup_s) / (before.processor_s - startup_s)
                    result.growth = round(growth, 2)
                results.append(shown(args, result))
    if args.json:
        print(json.dumps({"machine": machine(), "runs": [asdict(result) for result in results]}))


def numbers(text: str) -> list[int]:
    return [int(part) for part in text.split(",")]


def measure(folder: Path, n_files: int) -> Iterator[Measured]:
    """Makes a library, and measures each command on it. Ends the program if one does not do what it should."""
    root, store, plan = folder / "music", folder / "store", folder / "plan.json"
    n_recordings = n_files // COPIES
    n_files = n_recordings * COPIES
    n_playlists = make_library(root, store, n_recordings)
    reprise("correlate", "--store", str(store), "-q")
    at = ("--store", str(store))
    commands = {
        "report": ["report", *at, "--limit", "10"],
        "plan": ["plan", *at, "--limit", "10", "-o", str(plan)],
        "apply": ["apply", str(plan), *at, "--json"],
        "undo": ["undo", *at, "--json"],
    }
    n_gone = n_recordings * (COPIES - 1)
    expected = {
        "apply": {"done": {"quarantine": n_gone}, "merged": n_recordings, "playlists": n_playlists, "refused": 0},
        "undo": {"files": n_gone, "rewritten": n_recordings + n_playlists, "failed": 0},
    }
    for name in COMMANDS:
        result, stdout = measured(name, n_files, commands[name])
        for record in (json.loads(line) for line in stdout.splitlines() if name in expected):
            wrong = {key: record.get(key) for key, value in expected[name].items() if record.get(key) != value}
            if wrong:
                sys.exit(f"{name} of {n_files:,} files: found {wrong}, not {expected[name]}")
        yield result


# ---- the library ----


def make_library(root: Path, store_folder: Path, n_recordings: int) -> int:
    """Writes the files and a store that knows them; returns the number of playlists."""
    sounds = [frames(KBITS), frames(OTHER_KBITS)]
    drawn = map(Library(1, N_ITEMS).track, itertools.count())
    lively = (track.items for track in drawn if n_distinct(track.items) >= LEAST_DISTINCT)
    volume = volume_of(os.fsencode(root.parent))
    with make_or_open(store_folder, FingerprintSettings(), 512, "bench") as store:
        with store.catalog.transaction():
            for number in range(n_recordings):
                rng = random.Random(number)
                order = [rng.randrange(len(sounds[0])) for _ in range(FRAMES)]
                packets = [b"".join(sound[at] for at in order) for sound in sounds]
                copies = copies_of(number)
                for copy in copies:
                    path = root / copy.path
                    path.parent.mkdir(parents=True, exist_ok=True)
                    path.write_bytes(tag_bytes(copy.tags) + packets[copy.sound])
                enter(store, os.fsencode(root), volume, copies, packets, next(lively))
        store.seal_tail()
    return make_playlists(root, n_recordings)


def frames(kbits: int) -> list[bytes]:
    """The MP3 frames of a minute of music; each can be decoded after any other, since no bits are kept for later."""
    import av

    samples = compose(1, "bench", 60.0).mean(axis=1, keepdims=True, dtype=np.float32)
    frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.reshape(1, -1)), "flt", "mono")
    frame.sample_rate = SAMPLE_RATE
    encoder: Any = av.CodecContext.create("libmp3lame", "w")
    encoder.rate, encoder.layout, encoder.format = RATE, "mono", "fltp"
    encoder.bit_rate, encoder.options = 1000 * kbits, {"reservoir": "0"}
    resampled = av.AudioResampler("fltp", "mono", RATE, frame_size=FRAME_SAMPLES).resample(frame)
    return [bytes(packet) for each in [*resampled, None] for packet in encoder.encode(each)][2:-2]


def copies_of(number: int) -> list[Copy]:
    """The files of a recording, the one that is to be kept first."""
    artist, album, title = f"Artist {number // 50:04}", f"Album {number // ALBUM:05}", f"Title {number:06}"
    at = number % ALBUM + 1
    full = {"TPE1": artist, "TALB": album, "TIT2": title, "TRCK": f"{at}/{ALBUM}", "TDRC": str(1970 + number % 50)}
    name = f"{artist}/{album}/{at:02} {title}.mp3"
    return [
        Copy(f"Music/{name}", 0, full),
        Copy(f"Backup/{name}", 0, full),
        Copy(f"Old/{name}", 0, {"TPE1": artist, "TIT2": title, "TCOM": f"Composer {number % 90}"}),
        Copy(f"Downloads/{number // 100:04}/{title}.mp3", 0, {"TPE1": artist, "TIT2": title, "TCON": "Jazz"}),
        Copy(f"Phone/{name}", 1, {"TPE1": artist, "TIT2": title}),
    ]


def tag_bytes(tags: dict[str, str]) -> bytes:
    """An ID3v2 tag."""
    from mutagen import id3

    file, tag = io.BytesIO(), id3.ID3()
    for name, text in tags.items():
        tag.add(getattr(id3, name)(encoding=3, text=text))
    tag.save(file)
    return file.getvalue()


def enter(store: Store, root: bytes, volume: bytes, copies: list[Copy], packets: list[bytes], items: Items) -> None:
    """Enters a recording as a scan does, with a fingerprint for each encoding, and the null test of the two."""
    catalog = store.catalog
    paths = [os.path.join(root, os.fsencode(copy.path)) for copy in copies]
    properties = list(map(read_properties, paths))
    audios, streams = [], []
    for sound, at in enumerate((0, COPIES - 1)):
        streams.append(stream_hash(paths[at]))
        fingerprint = catalog.fingerprints.add(worn(items) if sound else items)
        decoding = Decoding(FRAMES * FRAME_SAMPLES / RATE, len(packets[sound]), False)
        audios.append(catalog.audios.add(fingerprint, streams[sound], audio_key(properties[at]), None, decoding))
    for at, (copy, path) in enumerate(zip(copies, paths, strict=True)):
        status = os.stat(path)
        size, mtime_ns = size_and_time(status)
        device, inode = device_and_inode(status)
        track = Track(
            id=0,
            path=path,
            root=root,
            volume=volume,
            size=size,
            mtime_ns=mtime_ns,
            inode=inode,
            device=device,
            state="present",
            partial=partial_hash(path, size),
            full=full_hash(path) if at < 2 else None,  # a scan hashes those that seem equal
            audio=audios[copy.sound],
            properties=json.dumps(to_json(properties[at])),
        )
        catalog.tracks.put(track)
    assert streams[0] and streams[1]
    catalog.nulltests.put([(streams[0], streams[1], NullTest(residual_db=-45.0, length_a_s=1.0, length_b_s=1.0))])


def worn(items: Items) -> Items:
    """The items with some bits flipped, as in another encoding."""
    rng = np.random.default_rng(int(items[0]))
    bits = rng.random((len(items), 32)) < FLIPPED
    return items ^ (bits.astype(np.uint32) << np.arange(32, dtype=np.uint32)).sum(axis=1, dtype=np.uint32)


def make_playlists(root: Path, n_recordings: int) -> int:
    """Writes playlists of random files; returns how many refer to files that go."""
    (root / "Playlists").mkdir()
    n_playlists = max(1, n_recordings * COPIES // FILES_A_PLAYLIST)
    for number in range(n_playlists):
        rng = random.Random(number)
        chosen = (rng.choice(copies_of(rng.randrange(n_recordings))).path for _ in range(ENTRIES))
        lines = "".join(f"#EXTINF:1,entry\n../{path}\n" for path in chosen)
        (root / "Playlists" / f"{number:03}.m3u8").write_text(f"#EXTM3U\n{lines}")
    return n_playlists


# ---- running ----


def reprise(*arguments: str) -> str:
    command = [sys.executable, "-m", "jobs", *arguments]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    if done.returncode:
        sys.exit(done.stderr)
    return done.stdout


def measured(name: str, n_files: int, arguments: list[str], good_codes: tuple[int, ...] = (0,)) -> tuple[Measured, str]:
    """Runs one command; returns its figures and what it printed. None of these starts another process."""
    with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as errors:
        began = time.perf_counter()
        process = subprocess.Popen([sys.executable, "-m", "jobs", *arguments], cwd=ROOT, stdout=out, stderr=errors)
        peak_kb, ended = 0, 0
        while not ended:
            peak_kb = max(peak_kb, peak_of(process.pid))
            time.sleep(0.02)
            ended, status, usage = os.wait4(process.pid, os.WNOHANG)
        wall_s = time.perf_counter() - began
        process.returncode = os.waitstatus_to_exitcode(status)
        printed, told = (read_all(file) for file in (out, errors))
    if process.returncode not in good_codes:
        sys.exit(f"{name} of {n_files:,} files ended with exit code {process.returncode}\n{told[-2000:]}")
    used_s = usage.ru_utime + usage.ru_stime
    each_ms = 1000 * used_s / n_files if n_files else 0.0
    result = Measured(name, n_files, round(wall_s, 2), round(used_s, 2), round(each_ms, 3), round(peak_kb / 1024))
    return result, printed


def read_all(file: Any) -> str:
    file.seek(0)
    return str(file.read().decode(errors="replace"))


def shown(args: argparse.Namespace, result: Measured) -> Measured:
    if not args.json:
        growth = "" if result.growth is None else f"  growth {result.growth:.2f}"
        print(
            f"{result.files:>9,} files  {result.command:<7} {result.wall_s:>8.1f} s  "
            f"processor {result.processor_s:>7.1f} s, {result.processor_ms_a_file:.2f} ms a file  "
            f"{result.memory_mb:>5.0f} MB{growth}",
            flush=True,
        )
    return result


if __name__ == "__main__":
    main()
