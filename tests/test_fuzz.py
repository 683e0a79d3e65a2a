"""A hundred inputs that no program wrote, through the whole of a scan and an import; and that the fuzzer sees what
it is there for. `scripts/torture/fuzz.py` does the same with as many as one likes."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scripts.torture import fuzz as fuzzing

SEED, N_INPUTS = 5, 120


def test_mutated_files_and_lines_cost_no_more_than_a_line(tmp_path: Path) -> None:
    kept = tmp_path / "kept"
    findings = fuzzing.fuzz(0, N_INPUTS, SEED, tmp_path / "work", kept, lambda _: None, lines_share=2)
    assert findings.faults == []
    assert not kept.exists()
    outcomes = {outcome for _, outcome in findings.outcomes}
    assert outcomes >= {"fingerprinted", "damaged", "failed", "imported", "rejected"}
    n_files = sum(n for (name, _), n in findings.outcomes.items() if name != "lines")
    assert n_files == N_INPUTS // 2
    assert len({name for name, _ in findings.outcomes}) > 15


def test_an_input_is_the_same_each_time_and_no_two_are() -> None:
    seeds = {"a.mp3": os.urandom(500), "b.flac": b"fLaC" + os.urandom(500)}
    made = [fuzzing.make_file(number, SEED, seeds) for number in range(50)]
    assert made == [fuzzing.make_file(number, SEED, seeds) for number in range(50)]
    assert len({data for _, data in made}) > 45
    assert fuzzing.make_line(3, SEED) == fuzzing.make_line(3, SEED) != fuzzing.make_line(4, SEED)


def test_a_child_that_dies_is_a_fault_and_its_input_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    hook = (
        "import os, signal, sys\n"
        "def hook(event, arguments):\n"
        "    if event == 'open' and b'0000007' in os.fsencode(str(arguments[0])):\n"
        "        os.kill(os.getpid(), signal.SIGSEGV)\n"
        "sys.addaudithook(hook)\n"
    )
    (tmp_path / "sitecustomize.py").write_text(hook)
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    folder, kept = tmp_path / "batch", tmp_path / "kept"
    (folder / "files").mkdir(parents=True)
    for number in (6, 7):
        (folder / "files" / f"{number:07}.mp3.mp3").write_bytes(b"no music " * 100)
    findings = fuzzing.Findings()
    fuzzing.run_batch(folder, kept, findings)
    assert findings.faults == ["0000007.mp3.mp3: child ended: SIGSEGV"]
    assert findings.outcomes == {("mp3", "crash"): 1, ("mp3", "failed"): 1}
    assert os.listdir(kept) == ["0000007.mp3.mp3"]
