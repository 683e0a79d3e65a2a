"""Imports go one way: jobs → cluster, dedup; cluster → dedup; dedup imports neither."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent

FORBIDDEN = {
    "dedup": {"jobs", "cluster", "click", "rich", "dask", "distributed"},
    "cluster": {"jobs", "click", "rich"},
    "jobs": {"dask", "distributed", "numba", "zarr", "av"},
}


def imported_by(source: str) -> Iterator[str]:
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            yield from (alias.name.split(".")[0] for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, "absolute imports only: they show the layer"
            yield (node.module or "").split(".")[0]


@pytest.mark.parametrize("layer", FORBIDDEN)
def test_a_layer_imports_nothing_above_it(layer: str) -> None:
    modules = sorted((REPO / layer).rglob("*.py"))
    assert modules
    against = {
        f"{module.relative_to(REPO)} imports {name}"
        for module in modules
        for name in imported_by(module.read_text(encoding="utf-8"))
        if name in FORBIDDEN[layer]
    }
    assert against == set()


def test_the_walk_sees_imports_inside_functions() -> None:
    source = "def f():\n    import click.testing\n    from dask import delayed\n"
    assert set(imported_by(source)) == {"click", "dask"}
