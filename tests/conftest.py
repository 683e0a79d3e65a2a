"""What holds for every test: kernels are cached inside the repository, nothing of the user's is touched, and property
tests try the same examples each time, with `--all` four times as many. Tests marked `long` run only with `--all`;
modules that take long begin first; tests that need no more than a cluster share one."""

from __future__ import annotations

import gc
import json
import math
import os
from collections import Counter, defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import hypothesis
import pytest

from dedup.correlation.kernel_cache import cache_folder, note_compiled
from dedup.correlation.warm_up import PARTS
from dedup.runner import Runner, Stop

if TYPE_CHECKING:
    from tests.looking_up import Clock
    from tests.lookup_service import Services

TESTS = Path(__file__).resolve().parent
DURATIONS = TESTS / "durations.json"
"""Seconds that a module's tests took, its long ones by themselves, at the last `./scripts/test.sh --all --record`."""

# Before anything imports numba. The folder is git-ignored; processes may share it.
os.environ["REPRISE_KERNEL_CACHE"] = str(TESTS.parent / ".pytest_cache" / "numba")
os.environ["REPRISE_VARISPEED"] = "false"  # a pass of its own, which tests of other speeds ask for
if (folder := cache_folder()) is not None:  # each test compiles what it needs, and none begins by saying so
    folder.mkdir(parents=True, exist_ok=True)
    for part in PARTS:
        note_compiled(part)

for profile, n_examples in (("reprise", 25), ("reprise all", 100)):
    hypothesis.settings.register_profile(
        profile, derandomize=True, deadline=None, database=None, max_examples=n_examples
    )
hypothesis.settings.load_profile("reprise")


# ---- which tests run, and in which order


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--all", action="store_true", help="run the long tests too")
    parser.addoption("--record", action="store_true", help=f"write how long each module takes to {DURATIONS.name}")


def pytest_configure(config: pytest.Config) -> None:
    if config.getoption("--all"):
        hypothesis.settings.load_profile("reprise all")
    if config.getoption("--record") and not hasattr(config, "workerinput"):  # one process records, not each of xdist's
        config.pluginmanager.register(Recorder())


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leaves out the long tests, unless all are asked for, and puts the modules that take longest first: at the end no
    process is left with one of them alone. A module without a record may be long."""
    if not config.getoption("--all"):
        config.hook.pytest_deselected(items=[item for item in items if "long" in item.keywords])
        items[:] = [item for item in items if "long" not in item.keywords]
    recorded = recorded_durations()
    parts: dict[Path, set[str]] = defaultdict(set)
    for item in items:
        parts[item.path].add(part_of(item.path.stem, "long" in item.keywords))
    seconds = {path: sum(recorded.get(part, math.inf) for part in names) for path, names in parts.items()}
    items.sort(key=lambda item: -seconds[item.path])


def part_of(module: str, is_long: bool) -> str:
    return f"{module} long" if is_long else module


def recorded_durations() -> dict[str, float]:
    return json.loads(DURATIONS.read_text()) if DURATIONS.exists() else {}


class Recorder:
    """Adds up how long the tests of each module take, and keeps that of modules that do not run and are still there."""

    def __init__(self) -> None:
        self.seconds: Counter[str] = Counter()

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        module = Path(report.nodeid.partition("::")[0]).stem
        self.seconds[part_of(module, "long" in report.keywords)] += report.duration  # type: ignore[assignment]

    def pytest_sessionfinish(self, exitstatus: int) -> None:
        if exitstatus != pytest.ExitCode.OK:
            return
        known = recorded_durations() | {part: round(seconds, 1) for part, seconds in self.seconds.items()}
        kept = {part: known[part] for part in sorted(known) if (TESTS / f"{part.split()[0]}.py").exists()}
        DURATIONS.write_text(json.dumps(kept, indent=4) + "\n")


# ---- what tests share


@pytest.fixture(autouse=True)
def own_folders(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    """Settings and data folders of this test alone."""
    monkeypatch.delenv("REPRISE_CONFIG", raising=False)
    home = tmp_path_factory.mktemp("xdg")
    for name in ("CONFIG", "DATA", "CACHE", "STATE"):
        monkeypatch.setenv(f"XDG_{name}_HOME", str(home / name.lower()))


@pytest.fixture(scope="session")
def shared_runner() -> Iterator[Runner]:
    from cluster.open import open_runner

    with open_runner(2, Stop()) as runner:
        yield runner


@pytest.fixture
def runner(shared_runner: Runner) -> Iterator[Runner]:
    """The runner that many tests of this process share, of two workers; the stop is the test's own."""
    shared_runner.stop = Stop()
    yield shared_runner
    gc.collect()  # values that were shared are let go


@pytest.fixture
def clock() -> Clock:
    """The time of look-ups."""
    from tests.looking_up import Clock

    return Clock()


@pytest.fixture
def services(clock: Clock) -> Iterator[Services]:
    """AcoustID and MusicBrainz on this machine."""
    from tests.lookup_service import Services, served

    with served(Services(now=clock.now)) as opened:
        yield opened
