"""Kernels are compiled ahead, once, each part by itself; and what was compiled ahead is all that a comparison takes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dedup.correlation import kernel_cache
from dedup.correlation.warm_up import PARTS, compile_first, compile_pair
from dedup.observer import Silent
from dedup.runner import InlineRunner
from dedup.settings import CompareSettings

ROOT = Path(__file__).resolve().parent.parent


class Told(Silent):
    """What was told."""

    def __init__(self) -> None:
        self.stages: list[tuple[str, int | None]] = []
        self.messages: list[str] = []

    def stage(self, name: str, total: int | None, unit: str) -> None:  # noqa: ARG002
        self.stages.append((name, total))

    def message(self, text: str) -> None:
        self.messages.append(text)


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache. This process keeps what it has compiled, so a part costs it nothing."""
    monkeypatch.setenv("REPRISE_KERNEL_CACHE", str(tmp_path))
    folder = kernel_cache.cache_folder()
    assert folder is not None
    folder.mkdir()
    return folder


def test_each_part_is_compiled_once_and_said(cache: Path) -> None:
    told = Told()
    compile_first(CompareSettings(varispeed=False), InlineRunner(), told)
    assert told.stages == [("compile", 2)]
    assert told.messages == ["compiling the comparison for this machine, once; it takes about 14 s"]
    assert len(list(cache.glob("*.compiled"))) == 2
    compile_first(CompareSettings(varispeed=False), InlineRunner(), told)
    compile_pair(CompareSettings(varispeed=False), told)
    assert len(told.stages) == len(told.messages) == 1, "nothing is left to do, so nothing is said"
    compile_first(CompareSettings("join"), InlineRunner(), told)
    assert told.stages[1:] == [("compile", 4)], "what takes more compiles the rest"
    compile_first(CompareSettings("exact"), InlineRunner(), told)
    assert told.stages[2:] == [("compile", 1)]
    assert len(list(cache.glob("*.compiled"))) == len(PARTS)


def test_what_is_missing_is_compiled(cache: Path) -> None:
    told = Told()
    compile_pair(CompareSettings(varispeed=False), told)
    assert told.messages == ["compiling the comparison for this machine, once; it takes about 8 s"]
    assert [path.name.partition("-")[0] for path in cache.glob("*.compiled")] == ["path"]
    compile_first(CompareSettings(varispeed=False), InlineRunner(), told)
    assert told.stages == [("compile", 1)]


def test_other_hosts_and_processes_without_a_cache_compile_by_themselves(
    cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told, elsewhere = Told(), InlineRunner()
    elsewhere.is_local = False
    compile_first(CompareSettings(varispeed=False), elsewhere, told)
    monkeypatch.setenv("REPRISE_KERNEL_CACHE", "off")
    compile_first(CompareSettings(varispeed=False), InlineRunner(), told)
    assert told.stages == told.messages == []
    assert list(cache.iterdir()) == []


@pytest.mark.long
def test_a_tile_takes_nothing_that_was_not_compiled_ahead(tmp_path: Path) -> None:
    """Property: after the parts, neither a tile by either method nor the noise floor compiles a function."""
    code = """
import json, sys
import numpy as np
from numba.core import event
from dedup.correlation.warm_up import compile_all
compile_all()
compiled = []
class Listener(event.Listener):
    def on_start(self, found):
        compiled.append(str(found.data["dispatcher"]))
    def on_end(self, found):
        pass
event.register("numba:compile", Listener())
from dedup.correlation.noise import decoy_evidence
from dedup.correlation.other_speeds import correlate_stretched
from dedup.correlation.stretch import stretched
from dedup.correlation.tile import Part, correlate_tile
from dedup.settings import METHODS, CompareSettings
from dedup.store.items import frozen
items = np.random.default_rng(1).integers(0, 1 << 32, 8000, dtype=np.uint32)
items[7800:] = items[:200]
block = ("tile", items, np.arange(0, 8001, 200, dtype=np.int64))
n = [correlate_tile(block, block, CompareSettings(method, varispeed=False))[1] for method in METHODS]
some = items[:8000].copy()
some[4000:] = stretched(frozen(some[:4000], np.uint32), 1.03)[:4000]
offsets, pitches = np.array([0, 4000, 8000]), np.stack([some[::-1]] * 2)
for name, heard in (("at one pitch", False), ("at others", True)):
    two = name, some, offsets, pitches, np.array([heard, heard])
    n += correlate_stretched(CompareSettings().passes[1], 2, [b""], [Part(0, 0)], two).n_compared
decoy_evidence(CompareSettings(varispeed=False), (0, 2), (items[:200], items[200:400], items[400:600]))
print(json.dumps([n, compiled]))
"""
    environment = os.environ | {"REPRISE_KERNEL_CACHE": str(tmp_path), "PYTHONPATH": str(ROOT)}
    done = subprocess.run([sys.executable, "-c", code], env=environment, text=True, capture_output=True, check=True)
    n_compared, compiled = json.loads(done.stdout)
    assert n_compared == [*[40 * 39 // 2] * 3, 1, 1]
    assert compiled == []
