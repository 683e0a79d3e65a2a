"""Kernels compiled for another processor give the same bytes; and where their compiled code is kept."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import llvmlite.binding
import numpy as np
import pytest

from dedup.correlation import kernel_cache
from dedup.correlation.emit import LANES
from dedup.correlation.lanes import lane_curve, make_curves, pack
from dedup.correlation.sampling import LAG_STEP, ROWS
from dedup.correlation.tile import correlate_tile
from dedup.settings import METHODS, CompareSettings
from dedup.store.blocks import make_block
from dedup.store.items import SILENT_ITEM, Items
from dedup.store.pairs import PAIR
from tests import stores

ROOT = Path(__file__).resolve().parent.parent


def library() -> list[Items]:
    """Copies and parts, near and far from what is stored, long enough for every loop; as well as some of any length,
    silence, what is equal at many lags, and what differs in every bit."""
    originals = [stores.recording(seed, 700 + 37 * seed) for seed in range(12)]
    rows = [*originals, stores.recording(99, 5000), ~stores.recording(99, 5000)[:3000]]
    for number, items in enumerate(originals):
        for share in (0.05, 0.25, 0.36):
            start = 31 * number * (share > 0.2)
            rows.append(stores.copied(items[start : start + 1000], share, number))
    rows += [stores.recording(seed, 9 * seed) for seed in range(20)]
    bar = stores.recording(3, 40)
    return [*rows, np.tile(bar, 10), np.tile(bar, 13)[7:], np.full(300, SILENT_ITEM, np.uint32)]


def curve_digests() -> list[str]:
    """Of all lag curves of a block's longest fingerprint, at every lag and at those of the cascade's first look: what
    vectors are for, and soon compiled."""
    rows = library()
    block = make_block(rows)
    found = []
    for steps in ((1, 0), (LAG_STEP, ROWS)):
        lanes, _ = pack(block.items, block.offsets, *steps)
        for group in range(len(lanes.first) - 1):
            curves = make_curves(8000 // steps[0])
            curves.curve[:] = 0
            lane_curve(
                lanes,
                len(rows) - 1,
                lanes,
                group,
                -3000 // steps[0],
                4990 // steps[0],
                curves.spans,
                curves.curve,
                LANES,
            )
            n_lanes = lanes.first[group + 1] - lanes.first[group]
            found.append(curves.curve[: 7990 // steps[0], :n_lanes].tobytes())
    return described(found)


def tile_digests() -> list[str]:
    """Of a tile by either method."""
    block = make_block(library())
    shared = block.name, block.items, block.offsets
    return described(
        [correlate_tile(shared, shared, CompareSettings(method, varispeed=False))[0] for method in METHODS]
    )


def described(found: list[bytes]) -> list[str]:
    return [f"{len(data)} bytes {hashlib.blake2b(data, digest_size=8).hexdigest()}" for data in found]


def run(code: str, folder: Path, root: Path = ROOT, **environment: str) -> Any:
    """What a process prints, as JSON. All that it keeps is below `folder`."""
    homes = {"HOME": "home", "XDG_CACHE_HOME": "xdg", "NUMBA_CACHE_DIR": "numba", "LOCALAPPDATA": "local"}
    environment = {name: str(folder / place) for name, place in homes.items()} | environment
    environment["PYTHONPATH"] = os.pathsep.join((str(root), str(ROOT)))
    environment["PYTHONDONTWRITEBYTECODE"] = "1"
    done = subprocess.run(
        [sys.executable, "-c", f"import json\n{code}"],
        cwd=folder,
        env=os.environ | environment,
        text=True,
        capture_output=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def files_below(folder: Path) -> set[Path]:
    return {path for path in folder.rglob("*") if path.is_file()}


# ---- another processor ----


def other_processor() -> dict[str, str]:
    """What makes Numba compile for vectors half as wide as AVX-512, which have no instruction that counts bits: AVX2;
    for the least of its kind on any other machine. Without the (empty) features, those of the host would be added."""
    has_avx2 = platform.machine() in ("x86_64", "AMD64") and llvmlite.binding.get_host_cpu_features().get("avx2")
    return {"NUMBA_CPU_NAME": "haswell" if has_avx2 else "generic", "NUMBA_CPU_FEATURES": ""}


class Elsewhere(NamedTuple):
    """What another process, compiling for another processor, gave and left."""

    digests: list[str]
    wide_registers: int
    kept: set[Path]
    folder: Path


def compiled_elsewhere(folder: Path, what: str, kernel: str) -> Elsewhere:
    code = f"""
from tests.test_accelerate import {what}
from dedup.correlation.{kernel.replace(".", " import ")} as kernel
found = {what}()
print(json.dumps([found, "".join(kernel.inspect_asm().values()).count("zmm")]))
"""
    found, wide_registers = run(code, folder, REPRISE_KERNEL_CACHE=str(folder / "kernels"), **other_processor())
    return Elsewhere(found, wide_registers, files_below(folder), folder)


@pytest.fixture(scope="module")
def elsewhere(tmp_path_factory: pytest.TempPathFactory) -> Elsewhere:
    return compiled_elsewhere(tmp_path_factory.mktemp("elsewhere"), "curve_digests", "lanes.lane_curve")


def test_another_processor_gives_the_same_curves(elsewhere: Elsewhere) -> None:
    assert elsewhere.wide_registers == 0
    assert elsewhere.digests == curve_digests()


@pytest.mark.long
def test_another_processor_gives_the_same_pairs(tmp_path: Path) -> None:
    """Property: all of the comparison, compiled for another processor, finds the same pairs to the last byte."""
    elsewhere = compiled_elsewhere(tmp_path, "tile_digests", "sweep.sweep")
    assert elsewhere.wide_registers == 0
    ours = tile_digests()
    assert elsewhere.digests == ours
    assert int(ours[0].split()[0]) >= 25 * PAIR.itemsize, "pairs that were found"
    assert len(elsewhere.kept) > 20


# ---- where compiled code is kept ----


def test_compiled_code_is_kept_where_it_is_told_to(elsewhere: Elsewhere) -> None:
    folder = elsewhere.folder / "kernels" / kernel_cache.source_digest()
    assert len(elsewhere.kept) >= 2 * 4  # two files a kernel
    assert {path.suffix for path in elsewhere.kept} == {".nbi", ".nbc"}
    assert all(path.is_relative_to(folder) for path in elsewhere.kept)


def test_compiled_code_is_used_again(elsewhere: Elsewhere) -> None:
    code = """
import numpy as np
from dedup.correlation.lanes import _fill, pack
from dedup.store.blocks import make_block
block = make_block([np.arange(9, dtype=np.uint32)])
lanes, _ = pack(block.items, block.offsets, 1, 0)
print(json.dumps([lanes.n_items.tolist(), sum(_fill.stats.cache_hits.values())]))
"""
    cache = str(elsewhere.folder / "kernels")
    answer = run(code, elsewhere.folder, REPRISE_KERNEL_CACHE=cache, **other_processor())
    assert answer == [[9], 1]
    assert files_below(elsewhere.folder) == elsewhere.kept


@pytest.mark.long
def test_off_keeps_nothing(tmp_path: Path) -> None:
    code = """
from dedup.correlation import kernels
print(json.dumps([kernels.overlap_at(5, 7, 2), str(kernels.overlap_at.stats.cache_path)]))
"""
    sources = files_below(ROOT / "dedup" / "correlation")
    assert run(code, tmp_path, REPRISE_KERNEL_CACHE="off") == [3, "None"]
    assert files_below(tmp_path) == set()
    left = files_below(ROOT / "dedup" / "correlation") - sources
    assert {path for path in left if path.suffix in (".nbi", ".nbc")} == set()


def test_the_folder_is_of_these_sources(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ours = kernel_cache.source_digest()
    folder = tmp_path / "correlation"
    for part in ("correlation", "store"):
        shutil.copytree(ROOT / "dedup" / part, tmp_path / part, ignore=shutil.ignore_patterns("__pycache__"))
    monkeypatch.setattr(kernel_cache, "__file__", str(folder / "kernel_cache.py"))
    assert kernel_cache.source_digest() == ours, "wherever they are"
    (folder / "notes.txt").write_text("no source")
    assert kernel_cache.source_digest() == ours
    seen = {ours}
    for source in sorted(folder.glob("*.py")):
        source.write_bytes(source.read_bytes() + b"\n")
        seen.add(kernel_cache.source_digest())
    assert len(seen) == 1 + len(list(folder.glob("*.py")))
    (folder / "tile.py").rename(folder / "tiled.py")
    assert kernel_cache.source_digest() not in seen


def test_code_of_old_versions_is_removed_and_nothing_else(tmp_path: Path) -> None:
    place = tmp_path / "kernels"
    old, young, foreign = (place / name for name in ("0" * 16, "1" * 16, "mine"))
    for folder in (old, young, foreign):
        folder.mkdir(parents=True)
        (folder / "code.nbi").touch()
    for folder in (old, foreign):
        os.utime(folder, (0, 0))
    ours = kernel_cache.folder_below(place)
    assert sorted(place.iterdir()) == sorted([young, foreign])
    ours.mkdir()
    os.utime(young, (0, 0))
    assert kernel_cache.folder_below(place) == ours
    assert young.exists(), "looked for once, when a version begins"


@pytest.mark.long  # by parts: the folder is of these sources, and code is kept in it
def test_what_changes_in_another_file_is_not_overlooked(tmp_path: Path) -> None:
    # Numba knows cached code by the file of the function alone; this one has a constant of another compiled in.
    copy = tmp_path / "copy"
    shutil.copytree(ROOT / "dedup", copy / "dedup", ignore=shutil.ignore_patterns("__pycache__"))
    code = """
import numpy as np
from dedup.correlation.cascade import coarse_ranges
from dedup.correlation.kernels import LagLimits
ranges = np.empty((4, 16), np.int32)
coarse_ranges(800, np.array([800]), LagLimits(400, 0.25, 80), ranges)
print(json.dumps(ranges[:, 0].tolist()))
"""
    cache = str(tmp_path / "kernels")
    assert run(code, tmp_path, copy, REPRISE_KERNEL_CACHE=cache) == [-100, 100, -100, 100]
    sampling = copy / "dedup" / "correlation" / "sampling.py"
    text = sampling.read_text()
    assert "\nLAG_STEP = 4\n" in text
    sampling.write_text(text.replace("\nLAG_STEP = 4\n", "\nLAG_STEP = 8\n"))
    assert run(code, tmp_path, copy, REPRISE_KERNEL_CACHE=cache) == [-50, 50, -50, 50]
    assert len(list((tmp_path / "kernels").iterdir())) == 2
