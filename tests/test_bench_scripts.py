"""The benchmarks of the comparison run, and hold what they time against numpy first. What they measure is no test."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from scripts import bench_kernel, bench_peers


def printed(script: Any, *args: object, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(sys, "argv", [script.__file__, *map(str, args), "--json"])
    script.main()
    return json.loads(capsys.readouterr().out)


@pytest.mark.parametrize("script", [bench_kernel, bench_peers])
def test_help_tells_what_is_timed(
    script: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", [script.__file__, "--help"])
    with pytest.raises(SystemExit) as exit_:
        script.main()
    assert exit_.value.code == 0
    assert "Times" in capsys.readouterr().out


@pytest.mark.parametrize(("n_items", "lags"), [(1, 5), (100, 33)])
def test_every_way_counts_what_numpy_counts(
    n_items: int, lags: int, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(bench_kernel, "TURN_S", 1e-4)
    options = ("--items", n_items, "--lags", lags, "--rounds", 1)
    figures = printed(bench_kernel, *options, monkeypatch=monkeypatch, capsys=capsys)
    assert {"kernel", "plain loop"} <= set(figures["g_items_per_s"])
    assert (figures["kernel_to_c"] is None) == (figures["fastest_c"] is None)


def test_items_that_overlap_are_counted() -> None:
    assert bench_kernel.overlaps(3, 2) == 1 + 2 + 3 + 2 + 1


def test_peers_get_the_same_pairs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    random = np.random.default_rng(1)
    lines = [{"path": f"/{i}", "fingerprint": random.integers(1 << 32, size=200).tolist()} for i in range(5)]
    (tmp_path / "made.jsonl").write_text("\n".join(map(json.dumps, lines)))
    monkeypatch.setenv("PATH", str(tmp_path))  # nothing is installed but what comes with Reprise
    options = (tmp_path / "made.jsonl", "--pairs", 9, "--rounds", 1, "--seconds", 1e-6)
    figures = printed(bench_peers, *options, monkeypatch=monkeypatch, capsys=capsys)
    assert figures["tracks"] == 4
    assert {figures["pairs"][f"{method}, all lags"] for method in ("exact", "cascade")} == {6}
    assert {"soundalike", "czkawka_cli"} <= set(figures["not_measured"])
