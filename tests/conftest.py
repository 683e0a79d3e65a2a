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


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and data folders of this test alone."""
    monkeypatch.delenv("REPRISE_CONFIG", raising=False)
    home = tmp_path_factory.mktemp("xdg")
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))
