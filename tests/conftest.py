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


DEAR_FIXTURES = {"test_accelerate", "test_compact", "test_end_to_end", "test_hosts", "test_restart"}
"""Modules whose fixtures take so long that one process has all of their tests."""


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--hosts", action="store_true", help="run the test of three hosts in network namespaces, and only that"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    wanted = config.getoption("--hosts")
    left_out = [item for item in items if (item.get_closest_marker("hosts") is not None) != wanted]
    config.hook.pytest_deselected(items=left_out)
    for item in items:
        if item.module.__name__ in DEAR_FIXTURES:
            item.add_marker(pytest.mark.xdist_group(item.module.__name__))
    items[:] = [item for item in items if (item.get_closest_marker("hosts") is not None) == wanted]


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and data folders of this test alone."""
    monkeypatch.delenv("REPRISE_CONFIG", raising=False)
    home = tmp_path_factory.mktemp("xdg")
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
