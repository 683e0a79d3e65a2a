"""What holds for every test: kernels are cached inside the repository, nothing of the user's is touched, and property
tests try the same examples each time."""

from __future__ import annotations

import os
from pathlib import Path

import hypothesis
import pytest

# Before anything imports numba. The folder is git-ignored; processes may share it.
os.environ["REPRISE_KERNEL_CACHE"] = str(Path(__file__).resolve().parent.parent / ".pytest_cache" / "numba")

hypothesis.settings.register_profile("reprise", derandomize=True, deadline=None, database=None)
hypothesis.settings.load_profile("reprise")


LONGEST = ["test_restart", "test_end_to_end", "test_accelerate", "test_faults", "test_cluster", "test_compact"]
"""Modules that begin first, so that at the end no process is left with one of them alone."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hosts", action="store_true", help="run the test of three hosts in network namespaces, and only that"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--hosts")
    left_out = [item for item in items if (item.get_closest_marker("hosts") is not None) != wanted]
    config.hook.pytest_deselected(items=left_out)
    items[:] = [item for item in items if (item.get_closest_marker("hosts") is not None) == wanted]
    items.sort(key=lambda item: LONGEST.index(name) if (name := item.path.stem) in LONGEST else len(LONGEST))


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and data folders of this test alone."""
    monkeypatch.delenv("REPRISE_CONFIG", raising=False)
    home = tmp_path_factory.mktemp("xdg")
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
