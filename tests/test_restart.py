"""Real runs, really killed: the next run ends with the bytes of an undisturbed one, and does nothing twice that was
committed. `scripts/torture/kill.py` does the same at as many moments as one likes."""

from __future__ import annotations

import os
import random
import shutil
import signal
import time
from dataclasses import replace
from pathlib import Path

import pytest

from scripts.torture.kill import Moment, kill
from scripts.torture.work import Size, Store, Truth, make_work, survivors, undisturbed

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


def copied(base: Path, name: str) -> Store:
    return Store(base.parent, shutil.copytree(base, base.with_name(name)), SIZE)


def goes_on(store: Store, truth: Truth, n_tiles: int) -> None:
    """The next run, inline, does what is left, with `n_tiles` done; and all is as without a kill."""
    store.workers = ("--workers", "0")
    code, _ = store.run(*store.full())
    summary = store.summary()
    assert (code, summary["unchanged"], summary["fingerprinted"]) == (truth.exit_code, SIZE.n_files + 1, 0)
    assert (summary["tiles"]["n_reused"], summary["tiles"]["n_computed"]) == (n_tiles, truth.n_tiles - n_tiles)
    assert store.result() == (truth.pairs, truth.blocks)


def test_the_undisturbed_run_has_something_to_lose(truth: Truth) -> None:
    assert truth.exit_code == 3  # one file is no music
    assert truth.n_fingerprinted == SIZE.n_files
    assert truth.n_tiles > 120
    assert len(truth.pairs.splitlines()) >= 5 + SIZE.n_files // 5


@pytest.mark.long  # each of these two kills a launcher and a worker
def test_a_launcher_killed_in_the_scan_and_then_a_worker_in_the_comparison_change_nothing(
    base: Path, truth: Truth
) -> None:
    store = copied(base, "twice")
    rng = random.Random(SEED)
    assert kill(store, Moment("scan", "launcher", share=0.1, delay_s=0.1), truth, rng) is None
    done = store.count("audio") - SIZE.n_imported
    assert store.count("tile") == 0
    assert kill(store, Moment("correlate", "worker", share=0.1, delay_s=0.2), truth, rng) == truth.exit_code
    summary = store.summary()
    assert (summary["fingerprinted"], summary["tiles"]["n_reused"]) == (truth.n_fingerprinted - done, 0)
    assert summary["tiles"]["n_computed"] == truth.n_tiles
    assert store.result() == (truth.pairs, truth.blocks)


def test_a_worker_killed_in_the_scan_and_the_launcher_in_the_comparison_change_nothing(
    base: Path, truth: Truth
) -> None:
    store = copied(base, "at once")
    first = Moment("scan", "worker", share=0.1, delay_s=0.1)
    then = Moment("correlate", "launcher", share=0.1, delay_s=0.2)
    assert kill(store, first, truth, random.Random(SEED), then) is None
    tiles = store.names("SELECT name FROM tile")
    assert 0 < len(tiles) < truth.n_tiles
    assert len(store.names("SELECT id FROM audio")) == SIZE.n_imported + truth.n_fingerprinted
    goes_on(store, truth, len(tiles))
    assert tiles <= store.names("SELECT name FROM tile")


@pytest.mark.long  # by parts: a signal to all processes in test_cluster.py, the exit code in test_cli.py
def test_ctrl_c_stops_with_130_and_the_next_run_goes_on(base: Path, truth: Truth) -> None:
    store = copied(base, "interrupted")
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
    goes_on(store, truth, done)
