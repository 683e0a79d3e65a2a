#!/usr/bin/env python3
"""Feeds the scan and the import with input that no program writes: mutated real files of each format, and mutated
lines.

    ./.venv/bin/python scripts/torture/fuzz.py --inputs 20000 --seed 1

Files go through a whole scan (discovery, metadata, hashes of bytes and packets, decoding, the store) and lines through
an import, in child processes with limits of time and memory. Prints counts by format and outcome. Exits 1 if a child
died or hung, an unforeseen exception occurred, counts do not add up, or a store was not sound afterwards; it keeps the
inputs that caused this (`--keep`). Input `n` depends only on the seed and `n`: `--first n --inputs 1` makes it
again."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT))

BATCH = 250
"""Inputs that a child process gets."""
LINES_SHARE = 8
"""Inputs per one that is a line to import."""
DECODE_S = 20.0
HANG_S = 60.0
"""Time on one input after which a child counts as hanging."""
MOST_DEATHS = 20
"""Children that may end early over one folder; more are not the inputs' fault."""

MEMORY_BYTES = 6 << 30
SEED_SECONDS = 4.0
FORMATS: dict[str, tuple[str, str, str]] = {
    "aiff": ("pcm_s16be", "aiff", "aiff"),
    "oga": ("flac", "ogg", "oga"),
    "alac": ("alac", "ipod", "m4a"),
    "adts": ("aac", "adts", "aac"),
    "wavpack": ("wavpack", "wv", "wv"),
    "tta": ("tta", "tta", "tta"),
    "ac3": ("ac3", "ac3", "ac3"),
    "mp2": ("mp2", "mp2", "mp2"),
    "wma": ("wmav2", "asf", "wma"),
    "matroska": ("flac", "matroska", "mka"),
    "webm": ("libopus", "webm", "webm"),
    "avi": ("mp3", "avi", "avi"),
}
"""Formats beyond those of `dedup.synthesis.encode`: encoder, container, extension."""
SAMPLES = {"alac": "s16p", "wavpack": "s16p", "tta": "s16"}
UNFORESEEN = ("TypeError", "AttributeError", "NameError", "AssertionError", "IndexError", "KeyError", "UnboundLocal")
"""Exceptions that a worker survives, but that are our bugs."""


@dataclass
class Findings:
    """The outcomes of the inputs."""

    outcomes: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Number of inputs by format and outcome."""
    faults: list[str] = field(default_factory=list)
    """What went wrong with which input, one line each."""
    reasons: Counter[str] = field(default_factory=Counter)
    """Exceptions beyond the usual ones of a decoder, which cost one line, as they should."""


# ---- seeds and mutations


def seed_files(folder: Path) -> dict[str, bytes]:
    """A small real file of each format, with tags: bytes by name, "format.extension"."""
    import av

    from dedup.synthesis.encode import FORMATS as PLAIN
    from dedup.synthesis.encode import Encoding, write
    from dedup.synthesis.music import compose

    folder.mkdir(parents=True, exist_ok=True)
    samples = compose(1, "somebody", SEED_SECONDS)
    tags = {"title": "Täglich", "artist": "somebody", "album": "Album", "track": "3", "date": "1999"}
    found: dict[str, bytes] = {}
    for name in PLAIN:
        path = folder / f"{name}.{Encoding(name).extension}"
        write(str(path), samples, Encoding(name, 64_000), tags)
        found[path.name] = path.read_bytes()
    for name, (encoder, container, extension) in FORMATS.items():
        with contextlib.suppress(av.error.FFmpegError, ValueError):  # this FFmpeg lacks the encoder
            path = folder / f"{name}.{extension}"
            _encode(path, samples, encoder, container, tags)
            found[path.name] = path.read_bytes()
    return found


def _encode(path: Path, samples: Any, encoder: str, container: str, tags: dict[str, str]) -> None:
    import av
    import numpy as np

    rate = 48_000 if encoder == "libopus" else 44_100
    with av.open(str(path), "w", format=container) as output:
        output.metadata.update(tags)
        stream: Any = output.add_stream(encoder, rate=rate, layout="stereo")
        if encoder in SAMPLES:
            stream.codec_context.format = SAMPLES[encoder]
        size = stream.codec_context.frame_size or 0
        resampler = av.AudioResampler(stream.codec_context.format, "stereo", rate, frame_size=size)
        frame = av.AudioFrame.from_ndarray(np.ascontiguousarray(samples.reshape(1, -1)), "flt", "stereo")
        frame.sample_rate, frame.pts = 44_100, 0
        for ready in [*resampler.resample(frame), *resampler.resample(None)]:
            output.mux(stream.encode(ready))
        output.mux(stream.encode(None))


def parts(data: bytes) -> list[tuple[int, int]]:
    """Where the pieces of a container lie that a mutation repeats or drops: ID3 tags, FLAC blocks, MP4 atoms, RIFF
    chunks, Ogg pages. For anything else, a few pieces of equal length."""
    found: list[tuple[int, int]] = []
    at = 0
    if data[:3] == b"ID3" and len(data) > 10:
        at = 10 + sum((byte & 0x7F) << shift for byte, shift in zip(data[6:10], (21, 14, 7, 0), strict=True))
        found.append((0, at))
    if data[:4] == b"fLaC":
        at = 4
        while at + 4 < len(data) and len(found) < 20:
            end = at + 4 + int.from_bytes(data[at + 1 : at + 4], "big")
            found.append((at, end))
            if data[at] & 0x80:
                break
            at = end
    elif data[4:8] == b"ftyp":
        found += _chunks(data, 0, lambda at: int.from_bytes(data[at : at + 4], "big"))
    elif data[:4] in (b"RIFF", b"FORM"):
        order: Any = "little" if data[:4] == b"RIFF" else "big"
        found += _chunks(data, 12, lambda at: 8 + int.from_bytes(data[at + 4 : at + 8], order))
    elif data[:4] == b"OggS":
        at = 0
        while at >= 0 and len(found) < 40:
            end = data.find(b"OggS", at + 4)
            found.append((at, end if end > 0 else len(data)))
            at = end
    piece = max(1, len(data) // 8)
    return found or [(start, start + piece) for start in range(0, len(data), piece)]


def _chunks(data: bytes, at: int, size_of: Callable[[int], int]) -> Iterator[tuple[int, int]]:
    while at + 8 <= len(data):
        size = size_of(at)
        if size < 8:
            return
        yield at, at + size
        at += size


EXTREMES = (
    0,
    1,
    0x7F,
    0x80,
    0xFF,
    0x7FFF,
    0x8000,
    0xFFFF,
    0x7FFFFFFF,
    0x80000000,
    0xFFFFFFFF,
    (1 << 63) - 1,
    (1 << 64) - 1,
)


def mutate(data: bytes, others: list[bytes], rng: random.Random) -> bytes:
    """The file with one to four faults."""
    changed = bytearray(data)
    for _ in range(rng.choice((1, 1, 2, 4))):
        if changed:
            rng.choice(MUTATIONS)(changed, others, rng)
    return bytes(changed[: 4 << 20]) or b"\0"


def _place(data: bytearray, rng: random.Random) -> int:
    """A random offset; half of the time among the headers."""
    return rng.randrange(min(len(data), 600) if rng.random() < 0.5 else len(data))


def _flip(data: bytearray, _: list[bytes], rng: random.Random) -> None:
    for _i in range(rng.choice((1, 1, 8, 64, 500))):
        data[_place(data, rng)] ^= 1 << rng.randrange(8)


def _truncate(data: bytearray, _: list[bytes], rng: random.Random) -> None:
    del data[_place(data, rng) :]


def _splice(data: bytearray, others: list[bytes], rng: random.Random) -> None:
    other = rng.choice(others)
    start = rng.randrange(len(other))
    piece = other[start : start + rng.choice((16, 300, 5000))]
    at = _place(data, rng)
    data[at : at + rng.choice((0, len(piece)))] = piece


def _set_field(data: bytearray, _: list[bytes], rng: random.Random) -> None:
    width = rng.choice((1, 2, 3, 4, 8))
    value = rng.choice(EXTREMES) & ((1 << 8 * width) - 1)
    start, _end = rng.choice(parts(bytes(data)))
    at = min(len(data), start + rng.randrange(12)) if rng.random() < 0.5 else _place(data, rng)
    data[at : at + width] = value.to_bytes(width, rng.choice(("big", "little")))


def _repeat_part(data: bytearray, _: list[bytes], rng: random.Random) -> None:
    start, end = rng.choice(parts(bytes(data)))
    at = rng.choice((start, end, len(data)))
    data[at:at] = bytes(data[start:end]) * rng.choice((1, 1, 3, 50))


def _drop_part(data: bytearray, _: list[bytes], rng: random.Random) -> None:
    start, end = rng.choice(parts(bytes(data)))
    del data[start:end]


def _swap_parts(data: bytearray, _: list[bytes], rng: random.Random) -> None:
    (a, b), (c, d) = rng.choice(parts(bytes(data))), rng.choice(parts(bytes(data)))
    if b <= c:
        data[a:d] = data[c:d] + data[b:c] + data[a:b]


def _prefix(data: bytearray, _: list[bytes], rng: random.Random) -> None:
    size = rng.choice((0, 10, 200, 0x0FFFFFFF))
    digits = bytes((size >> shift) & 0x7F for shift in (21, 14, 7, 0))
    tag = b"ID3" + bytes((rng.choice((2, 3, 4, 9)), 0, rng.choice((0, 0x10, 0x80, 0xFF)))) + digits
    data[:0] = rng.choice((rng.randbytes(rng.randrange(1, 3000)), bytes(rng.randrange(1, 9000)), tag, tag * 40))


def _append(data: bytearray, _: list[bytes], rng: random.Random) -> None:
    ape = (
        b"APETAGEX"
        + (2000).to_bytes(4, "little")
        + rng.choice(EXTREMES).to_bytes(8, "little")
        + b"\1\0\0\x80"
        + bytes(8)
    )
    data += rng.choice((b"TAG" + rng.randbytes(125), ape, ape * 2 + b"TAG" + bytes(125), rng.randbytes(4000)))


def _blank(data: bytearray, _: list[bytes], rng: random.Random) -> None:
    at = _place(data, rng)
    length = min(len(data) - at, rng.choice((4, 100, 3000)))
    data[at : at + length] = bytes([rng.choice((0, 0xFF))]) * length


MUTATIONS = (_flip, _truncate, _splice, _set_field, _repeat_part, _drop_part, _swap_parts, _prefix, _append, _blank)


def make_file(number: int, seed: int, seeds: dict[str, bytes]) -> tuple[str, bytes]:
    """Name and bytes of an input; one in twenty gets the extension of another format."""
    rng = random.Random(f"{seed}-{number}")
    name = rng.choice(sorted(seeds))
    data = mutate(seeds[name], list(seeds.values()), rng)
    extension = rng.choice(sorted(seeds)).partition(".")[2] if rng.random() < 0.05 else name.partition(".")[2]
    return f"{number:07}.{name.partition('.')[0]}.{extension}", data


WORDS = [
    b"null",
    b"true",
    b"-1",
    b"1e999",
    b"NaN",
    b"4294967296",
    b"9" * 400,
    b"1.5",
    b'"\\ud800"',
    b"[" * 3000,
    b"{}",
    b"\x00",
    b"\xff",
    b'"path"',
    b',"path":"/b"',
    b'"path_hex":"00ff"',
    b"-0",
    b"Infinity",
    b'"' * 9,
]


def make_line(number: int, seed: int) -> bytes:
    """A line to import with up to four faults."""
    rng = random.Random(f"{seed}-{number}")
    items = [rng.getrandbits(32) for _ in range(rng.choice((0, 5, 100)))]
    record = {"path": f"/music/{number}.mp3", "duration": rng.choice((12, 12.5, 0)), "fingerprint": items}
    line = bytearray(json.dumps(record).encode())
    for _ in range(rng.choice((0, 1, 1, 2, 4))):
        at = rng.randrange(len(line)) if line else 0
        kind = rng.randrange(4)
        if kind == 0 and line:
            line[at] ^= 1 << rng.randrange(8)
        elif kind == 1:
            del line[at:]
        elif kind == 2:
            line[at : at + rng.choice((0, 1, 10))] = rng.choice(WORDS)
        else:
            line[at:at] = line[rng.randrange(at + 1) : at]
    return bytes(line)


# ---- a child: scans one folder, imports one file, reports the outcome of each input


def child(folder: Path) -> None:
    """Processes `folder/files` and `folder/lines`; prints one JSON object per line. `folder/mark` names the current
    input."""
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    _scan_files(folder)
    _read_files(folder)
    _import_lines(folder)


def _tell(**record: Any) -> None:
    print(json.dumps(record), flush=True)


def _mark(folder: Path, text: str) -> None:
    (folder / "mark").write_text(text)


def _scan_files(folder: Path) -> None:
    from dedup.library import identify
    from dedup.observer import Silent
    from dedup.report.export import export_tracks
    from dedup.runner import InlineRunner
    from dedup.scan.scan import scan
    from dedup.settings import FingerprintSettings, ScanSettings
    from dedup.store.store import make_or_open
    from dedup.upkeep.check import check

    class Marking(InlineRunner):
        """Records the current input, in case this process dies."""

        def run(self, function: Any, tasks: Iterable[Any], time_limit_s: float | None = None) -> Iterator[Any]:
            return super().run(function, map(self._noted, tasks), time_limit_s)

        def _noted(self, task: Any) -> Any:
            _mark(folder, os.path.basename(_first_path(task.arguments)).decode())
            return task

    identify.PROBE_BATCH = 1
    names = {entry.name for entry in os.scandir(folder / "files")}
    with make_or_open(folder / "store", FingerprintSettings("fuzz"), 64, "fuzz") as store:
        found = scan(
            store,
            [os.fsencode(folder / "files")],
            ScanSettings(min_length_s=1.0, time_limit_s=DECODE_S),
            Marking(),
            Silent(),
        )
        outcomes = {
            os.path.basename(track.path).decode(): "identical"
            for track in store.catalog.tracks.all()
            if track.audio is not None
        }
        n_good = len(outcomes)
        for problem in found.problems:
            name = os.path.basename(problem.path).decode()
            outcomes[name] = problem.kind
            if "Error:" in problem.reason:
                _tell(reason=problem.reason[:100], name=name)
        counted = found.unchanged + found.fingerprinted + found.identical + found.skipped + found.failed + found.left
        if not found.discovered == counted == len(names) == len(outcomes):
            told = f"{len(outcomes)} reported of {len(names)}"
            _tell(fault=f"wrong count: {found.discovered} discovered, {counted} in all, {told}")
        if n_good != found.fingerprinted + found.identical:
            _tell(fault=f"wrong count: {n_good} tracks, {found.fingerprinted} + {found.identical} counted")
        unsound = [finding for finding in check(store, Silent()) if finding.kind != "note"]
        if unsound:
            _tell(fault=f"the store is not sound: {unsound[0]}")
        json.dumps(list(export_tracks(store)))
    for name, outcome in outcomes.items():
        _tell(name=name, outcome="fingerprinted" if outcome == "identical" else outcome)


def _first_path(given: Any) -> bytes:
    """The first path among the arguments of a task, at any depth."""
    from dedup.files.host_paths import HostPath

    if isinstance(given, HostPath):
        return given.known
    found = (_first_path(one) for one in given) if isinstance(given, (tuple, list)) else iter(())
    return next((path for path in found if path), b"")


def _read_files(folder: Path) -> None:
    """Does to each file what a scan does only to files that look alike. The only error allowed is that it cannot be
    read."""
    from dedup.library.identity import full_hash, stream_hash
    from dedup.library.metadata import from_json, read_properties, to_json

    for entry in sorted(os.scandir(folder / "files"), key=lambda entry: entry.name):
        path = os.fsencode(entry.path)
        _mark(folder, entry.name)
        try:
            full_hash(path)
            stream_hash(path)
            properties = read_properties(path)
            assert from_json(json.loads(json.dumps(to_json(properties)))) == properties
        except (OSError, MemoryError) as error:
            _tell(reason=f"{type(error).__name__}: {error}"[:100], name=entry.name)
        except Exception as error:
            _tell(fault=f"{type(error).__name__}: {error}", name=entry.name)


def _import_lines(folder: Path) -> None:
    from dataclasses import asdict

    from dedup.observer import Silent
    from dedup.runner import Stop
    from dedup.scan.imported import import_fingerprints
    from dedup.settings import FingerprintSettings
    from dedup.store.store import make_or_open
    from dedup.upkeep.check import check

    if not (folder / "lines").exists():
        return
    _mark(folder, "lines")
    with (folder / "lines").open("rb") as file:
        lines = file.readlines()
    with make_or_open(folder / "imported", FingerprintSettings("fuzz"), 64, "fuzz") as store:
        counts = asdict(import_fingerprints(store, lines, 1.0, Silent(), Stop()))
        n_lines = counts.pop("lines")
        if not n_lines == sum(counts.values()) == sum(not line.isspace() for line in lines):
            _tell(fault=f"wrong count: {n_lines} lines, {counts}", name="lines")
        unsound = [finding for finding in check(store, Silent()) if finding.kind != "note"]
        if unsound:
            _tell(fault=f"the store is not sound: {unsound[0]}", name="lines")
    for outcome, count in counts.items():
        if count:
            _tell(name="lines", outcome=outcome, count=count)


# ---- the parent


def fuzz(
    first: int,
    n_inputs: int,
    seed: int,
    work: Path,
    keep: Path,
    show: Callable[[str], None] = print,
    lines_share: int = LINES_SHARE,
) -> Findings:
    """Runs inputs `first` to `first + n_inputs - 1`, one in `lines_share` of them a line; keeps inputs that cause a
    fault in `keep`."""
    findings = Findings()
    seeds = seed_files(work / "seeds")
    for start in range(first, first + n_inputs, BATCH):
        numbers = range(start, min(start + BATCH, first + n_inputs))
        folder = work / "batch"
        shutil.rmtree(folder, ignore_errors=True)
        (folder / "files").mkdir(parents=True)
        lines = [make_line(n, seed) for n in numbers if n % lines_share == 0]
        (folder / "lines").write_bytes(b"\n".join(lines))
        for number in numbers:
            if number % lines_share:
                name, data = make_file(number, seed, seeds)
                (folder / "files" / name).write_bytes(data)
        run_batch(folder, keep, findings)
        if (start - first) // BATCH % 10 == 9:
            show(f"{start + BATCH - first:,} inputs, {len(findings.faults)} faults")
    return findings


def run_batch(folder: Path, keep: Path, findings: Findings) -> None:
    """Gives a folder to a child, and again without the culprit each time one kills a child."""
    for _ in range(MOST_DEATHS):
        if _run_child(folder, keep, findings) is None:
            return
        for name in ("store", "imported"):
            shutil.rmtree(folder / name, ignore_errors=True)
    raise RuntimeError(f"{MOST_DEATHS} children in a row ended early: {findings.faults[-1]}")


def _run_child(folder: Path, keep: Path, findings: Findings) -> str | None:
    """The input that ended the child; None if the child finished, after counting its findings."""
    (folder / "mark").unlink(missing_ok=True)
    with (folder / "out").open("wb") as out, (folder / "err").open("wb") as err:
        process = subprocess.Popen([sys.executable, __file__, "--child", str(folder)], cwd=ROOT, stdout=out, stderr=err)
    hung = _watch(process, folder / "mark")
    error = (folder / "err").read_text(errors="replace").strip()
    if process.returncode == 0 and not error:
        _count(folder, keep, findings)
        return None
    mark = folder / "mark"
    name = mark.read_text() if mark.exists() else ""
    last_words = error.splitlines()[-1] if error else ""
    code = process.returncode
    how = f"hung for {HANG_S:g} s" if hung else signal.Signals(-code).name if code < 0 else f"exit code {code}"
    findings.faults.append(f"{name or 'no input'}: child ended: {how} {last_words}".rstrip())
    findings.outcomes[_format(name), "hang" if hung else "crash"] += 1
    _keep(folder, name, keep)
    path = folder / name if name == "lines" else folder / "files" / name
    if not name or not path.is_file():
        raise RuntimeError(f"a child ended without an input to blame: {error}")
    path.unlink()
    return name


def _watch(process: subprocess.Popen[bytes], mark: Path) -> bool:
    """Waits for the child; ends it if its mark stays the same for too long. Returns whether it hung."""
    before = None
    while True:
        try:
            process.wait(HANG_S if before is not None else 2 * HANG_S)
            return False
        except subprocess.TimeoutExpired:
            now = mark.stat().st_mtime_ns if mark.exists() else 0
            if now == before:
                process.kill()
                process.wait()
                return True
            before = now


def _count(folder: Path, keep: Path, findings: Findings) -> None:
    for text in (folder / "out").read_text().splitlines():
        record = json.loads(text)
        name = record.get("name", "")
        if "outcome" in record:
            findings.outcomes[_format(name), record["outcome"]] += record.get("count", 1)
            continue
        reason = record.get("reason", "")
        if reason:
            findings.reasons[reason] += 1
        fault = record.get("fault") or (reason if any(word in reason for word in UNFORESEEN) else "")
        if fault:
            findings.faults.append(f"{name or 'batch'}: {fault}")
            _keep(folder, name, keep)


def _keep(folder: Path, name: str, keep: Path) -> None:
    source = folder / name if name == "lines" else folder / "files" / name if name else folder / "files"
    keep.mkdir(parents=True, exist_ok=True)
    if source.is_dir():
        shutil.copytree(source, keep / f"batch-{len(os.listdir(keep))}")
    elif source.is_file():
        shutil.copyfile(source, keep / name)


def _format(name: str) -> str:
    return name.split(".")[1] if "." in name else name or "?"


def show_findings(findings: Findings, show: Callable[[str], None] = print) -> None:
    kinds = sorted({outcome for _, outcome in findings.outcomes})
    show(f"{'format':<10}" + "".join(f"{kind:>14}" for kind in kinds))
    for name in sorted({name for name, _ in findings.outcomes}):
        show(f"{name:<10}" + "".join(f"{findings.outcomes[name, kind]:>14,}" for kind in kinds))
    for reason, count in findings.reasons.most_common(20):
        show(f"survived {count:,} times: {reason}")
    for fault in findings.faults:
        show(f"FAULT {fault}")
    n_inputs = sum(findings.outcomes.values())
    show(f"{n_inputs:,} inputs, {len(findings.faults)} faults")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--inputs", type=int, default=20_000, metavar="N")
    parser.add_argument("--seed", type=int, default=1, metavar="N")
    parser.add_argument("--first", type=int, default=0, metavar="N", help="number of the first input")
    parser.add_argument("--keep", type=Path, metavar="DIR", help="folder for inputs that cause a fault")
    parser.add_argument("--child", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.child:
        child(options.child)
        return 0
    keep = options.keep or Path(tempfile.gettempdir()) / "reprise-fuzz"
    with tempfile.TemporaryDirectory(prefix="fuzz-") as work:
        findings = fuzz(options.first, options.inputs, options.seed, Path(work), keep, lambda s: print(s, flush=True))
    show_findings(findings)
    if findings.faults:
        print(f"the inputs that caused faults are in {keep}")
    return 1 if findings.faults else 0


if __name__ == "__main__":
    sys.exit(main())
