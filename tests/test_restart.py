"""Real runs, really killed: the next run ends with the bytes of an undisturbed one, and does nothing twice that was
committed. `scripts/kill_test.py` does the same at as many moments as one likes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import sys
import time
from dataclasses import replace
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent.parent / "scripts"))

from kill_test import Moment, Size, Store, Truth, Victim, make_work, survivors, try_moment, undisturbed

SIZE = Size(n_files=12, n_clips_a_file=8, n_imported=52, block_size=4, n_workers=2)
SEED = 3


@pytest.fixture(scope="module")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("work")
    make_work(folder, SIZE, SEED)
    return folder


@pytest.fixture(scope="module")
def truth(work: Path) -> Truth:
    """What a run without a kill gives; inline, so that workers are what makes the difference."""
    return undisturbed(Store(work, work / "undisturbed", replace(SIZE, n_workers=0)))


@pytest.fixture(scope="module")
def base(work: Path) -> Path:
    """A store with the import done."""
    store = Store(work, work / "imported", SIZE)
    store.import_fingerprints()
    return store.folder


def test_the_undisturbed_run_has_something_to_lose(truth: Truth) -> None:
    assert truth.exit_code == 3  # one file is no music
    assert truth.n_fingerprinted == SIZE.n_files
    assert truth.n_tiles > 120
    assert len(truth.pairs.splitlines()) >= 5 + SIZE.n_files // 5


@pytest.mark.parametrize("victim", ["launcher", "worker"])
def test_a_kill_in_the_scan_changes_nothing(victim: Victim, work: Path, base: Path, truth: Truth) -> None:
    moment = Moment("scan", victim, share=0.1, delay_s=0.1)
    verdict = try_moment(work, base, SIZE, moment, truth, random.Random(SEED))
    assert verdict.differences == []


@pytest.mark.parametrize("victim", ["launcher", "worker"])
def test_a_kill_in_the_comparison_changes_nothing(victim: Victim, work: Path, base: Path, truth: Truth) -> None:
    moment = Moment("correlate", victim, share=0.1, delay_s=0.2)
    verdict = try_moment(work, base, SIZE, moment, truth, random.Random(SEED))
    assert verdict.differences == []
    assert verdict.n_fingerprints_before == truth.n_fingerprinted
    assert verdict.n_tiles_before > 0


def test_ctrl_c_stops_with_130_and_the_next_run_goes_on(work: Path, base: Path, truth: Truth) -> None:
    store = Store(work, work / "interrupted", SIZE)
    shutil.copytree(base, store.folder)
    run = store.start(*store.full())
    while "tiles already done" not in store.stderr():  # the comparison begins
        assert run.poll() is None
        time.sleep(0.01)
    time.sleep(0.1)
    os.killpg(run.pid, signal.SIGINT)  # a terminal sends it to all of them
    assert run.wait(60) == 130
    assert survivors(run.pid) == []
    assert "run the same command again" in store.stderr()
    done = store.count("tile")
    assert 0 < done < truth.n_tiles
    code, _ = store.run(*store.full())
    summary = store.summary()
    assert (code, summary["unchanged"]) == (truth.exit_code, SIZE.n_files + 1)
    assert (summary["tiles"]["n_reused"], summary["tiles"]["n_computed"]) == (done, truth.n_tiles - done)
    assert store.result() == (truth.pairs, truth.blocks)
