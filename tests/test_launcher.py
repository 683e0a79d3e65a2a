"""The launcher and its set-up, without a network: nothing here installs anything."""

from __future__ import annotations

import ensurepip
import fcntl
import functools
import hashlib
import importlib.util
import os
import re
import shutil
import subprocess
import sys
import threading
import tomllib
from collections.abc import Callable, Iterator
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from types import ModuleType

import pytest

from dedup import __version__

REPO = Path(__file__).resolve().parent.parent
LAUNCHER = REPO / "scripts/reprise"
EXIT_SETUP = 20

set_up_here = pytest.mark.skipif(
    not (REPO / ".venv/installed/requirements.lock").exists(),
    reason="this checkout was not set up by scripts/reprise or scripts/test.sh",
)


@pytest.fixture
def checkout(tmp_path: Path) -> Path:
    """What set-up needs of a checkout, with a venv that claims to be whole."""
    root = tmp_path / "checkout"
    (root / "dedup").mkdir(parents=True)
    shutil.copytree(REPO / "scripts", root / "scripts", ignore=shutil.ignore_patterns("__pycache__"))
    for name in ("dedup/__init__.py", "dedup/errors.py", "requirements.lock", "requirements-dev.lock"):
        shutil.copyfile(REPO / name, root / name)
    (root / ".venv/bin").mkdir(parents=True)
    (root / ".venv/bin/python").symlink_to(sys.executable)
    (root / ".venv/installed").mkdir()
    shutil.copyfile(root / "requirements.lock", root / ".venv/installed/requirements.lock")
    return root


@pytest.fixture
def setup(checkout: Path, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """scripts/setup_environment.py of a checkout."""
    monkeypatch.setattr(sys, "path", [*sys.path])
    monkeypatch.delenv("REPRISE_PYTHON", raising=False)
    script = checkout / "scripts/setup_environment.py"
    spec = importlib.util.spec_from_file_location("setup_environment", script)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class FakeCommands:
    """Commands on a PATH of their own, which write down how they were called and exit as told."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.calls_file = folder, folder / "calls"
        folder.mkdir()
        for name in ("cmp", "dirname", "env", "readlink", "sh"):
            real = shutil.which(name)
            assert real is not None
            (folder / name).symlink_to(real)
        monkeypatch.setenv("PATH", str(folder))

    def add(self, name: str, exit_code: int) -> None:
        command = self.folder / name
        command.write_text(f'#!/bin/sh\necho "{name} $*" >>"{self.calls_file}"\nexit {exit_code}\n')
        command.chmod(0o755)

    def calls(self) -> list[str]:
        return self.calls_file.read_text().splitlines() if self.calls_file.exists() else []


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> FakeCommands:
    return FakeCommands(tmp_path / "path", monkeypatch)


def launch(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, check=False, timeout=120, **options)  # type: ignore[call-overload,no-any-return]


# -------------------------------------------------------------------------------------------------- launching


@set_up_here
def test_starts_through_links_and_from_any_folder(tmp_path: Path) -> None:
    (tmp_path / "bin").mkdir()
    linked = os.path.relpath(REPO / ".venv/bin/reprise", (tmp_path / "bin").resolve())
    (tmp_path / "bin/reprise").symlink_to(linked)
    (tmp_path / "alias").symlink_to("bin/reprise")
    for command in (LAUNCHER, "bin/reprise", "./alias"):
        done = launch(command, "--version", cwd=tmp_path)
        assert (done.returncode, done.stderr) == (0, "")
        assert __version__ in done.stdout


@set_up_here
def test_imports_nothing_from_the_folder_it_is_started_in(tmp_path: Path) -> None:
    for name in ("jobs", "dedup", "click"):
        (tmp_path / f"{name}.py").write_text("raise SystemExit('the wrong file was imported')\n")
    done = launch(LAUNCHER, "--version", cwd=tmp_path)
    assert (done.returncode, done.stderr) == (0, "")


@set_up_here
def test_paths_are_relative_to_the_folder_it_is_started_in(tmp_path: Path) -> None:
    """By where a file that does not exist is looked for."""
    done = launch(LAUNCHER, "pair", "no-such-file.flac", "nor-this.flac", cwd=tmp_path)
    assert done.returncode != 0
    assert str(REPO) not in done.stderr
    assert "no-such-file.flac" in done.stderr


@set_up_here
def test_hands_over_arguments_and_exit_code_unchanged() -> None:
    done = launch(LAUNCHER, "no such command")
    assert done.returncode == 2
    assert "no such command" in done.stderr


def test_no_python_is_one_line_and_exit_20(checkout: Path, commands: FakeCommands) -> None:
    shutil.rmtree(checkout / ".venv")
    commands.add("python3", exit_code=1)  # as an older Python answers
    done = launch(checkout / "scripts/reprise", "--version", env={"PATH": str(commands.folder)})
    assert (done.returncode, done.stdout) == (EXIT_SETUP, "")
    found = r"reprise: no Python 3\.11 or newer found; looked for: python3\.14 .* python3\. .*\n"
    assert re.fullmatch(found, done.stderr)
    assert not (checkout / ".venv").exists()


def test_the_python_asked_for_is_the_only_one_tried(checkout: Path) -> None:
    environment = {**os.environ, "REPRISE_PYTHON": "/no/such/python"}
    done = launch(checkout / "scripts/reprise", "--version", env=environment)
    assert (done.returncode, done.stdout) == (EXIT_SETUP, "")
    assert "looked for: /no/such/python." in done.stderr


# ----------------------------------------------------------------------------------------------------- set-up


def test_a_whole_environment_is_left_alone(
    setup: ModuleType, checkout: Path, commands: FakeCommands, capsys: pytest.CaptureFixture[str]
) -> None:
    assert setup.main("requirements.lock") == 0
    assert capsys.readouterr() == ("", "")
    assert not (checkout / ".venv/setup.log").exists()
    assert commands.calls() == []


def lose_python(venv: Path) -> None:
    (venv / "bin/python").unlink()


def interrupt(venv: Path) -> None:
    shutil.rmtree(venv / "installed")


def change_lock(venv: Path) -> None:
    (venv / "installed/requirements.lock").write_text("another\n")


@pytest.mark.parametrize("damage", [lose_python, interrupt, change_lock])
def test_a_failed_setup_is_never_taken_for_good(
    setup: ModuleType,
    commands: FakeCommands,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    damage: Callable[[Path], None],
) -> None:
    commands.add("broken-python", exit_code=1)
    broken = commands.folder / "broken-python"
    monkeypatch.setattr(setup, "base_python", lambda: broken)
    (setup.VENV / "bin/python").unlink()
    (setup.VENV / "bin/python").symlink_to(broken)
    damage(setup.VENV)
    assert setup.main("requirements.lock") == EXIT_SETUP
    assert not setup.INSTALLED.exists()
    assert len(commands.calls()) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert str(setup.LOG) in said.err


def test_the_development_lock_is_asked_for_by_name(setup: ModuleType) -> None:
    assert setup.is_installed("requirements.lock")
    assert not setup.is_installed("requirements-dev.lock")


def test_another_python_version_means_another_environment(
    setup: ModuleType, checkout: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (checkout / ".venv/lib/python3.9/site-packages").mkdir(parents=True)
    assert setup.is_installed("requirements.lock")
    monkeypatch.setenv("REPRISE_PYTHON", "python3")
    assert not setup.is_installed("requirements.lock")


def test_a_second_setup_waits_for_the_first(checkout: Path) -> None:
    script = checkout / "scripts/setup_environment.py"
    with (checkout / ".venv/setup.lock").open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        command = [sys.executable, "-I", str(script), "requirements.lock"]
        with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as second:
            assert second.stderr is not None
            assert "waiting" in second.stderr.readline()
            assert second.poll() is None
            fcntl.flock(held, fcntl.LOCK_UN)
            assert second.wait(timeout=60) == 0


def test_setup_says_how_to_put_the_command_on_the_path(
    setup: ModuleType, commands: FakeCommands, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    launcher, home = setup.REPO / "scripts/reprise", commands.folder.parent / "home"
    own = home / ".local/bin"
    monkeypatch.setenv("HOME", str(home))
    said = "reprise: to start it as `reprise` from anywhere: "
    setup.offer_command()
    line = f"mkdir -p {own} && ln -s {launcher} {own}/reprise, and put {own} on the PATH"
    assert capsys.readouterr().err == f"{said}{line}\n"
    own.mkdir(parents=True)
    monkeypatch.setenv("PATH", str(own), prepend=os.pathsep)
    setup.offer_command()
    assert capsys.readouterr().err == f"{said}ln -s {launcher} {own}/reprise\n"
    (own / "reprise").symlink_to(launcher)
    setup.offer_command()
    assert capsys.readouterr().err == "", "it is there"


def test_a_step_that_takes_long_is_told_of(
    setup: ModuleType, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(setup, "TOLD_EVERY_S", 0.2)
    assert setup.logged([sys.executable, "-c", "import time; print('Collecting numpy==2', flush=True); time.sleep(1)"])
    assert "reprise: … 1 s: collecting numpy\n" in capsys.readouterr().err


# --------------------------------------------------------------------------------------- a Python without ensurepip


class Index(ThreadingHTTPServer):
    """A package index on this machine that has the pip of this Python."""

    def __init__(self, folder: Path) -> None:
        super().__init__(("127.0.0.1", 0), functools.partial(Quiet, directory=str(folder)))
        (self.wheel,) = (Path(ensurepip.__file__).parent / "_bundled").glob("pip-*.whl")
        (folder / "files").mkdir()
        self.offered = Path(shutil.copy(self.wheel, folder / "files"))
        (folder / "simple/pip").mkdir(parents=True)
        link = f'<a href="../../files/{self.wheel.name}#sha256=0&amp;x">{self.wheel.name}</a>'
        (folder / "simple/pip/index.html").write_text(f"<html>{link}</html>")
        self.url = f"http://127.0.0.1:{self.server_port}/simple"


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def index(setup: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Index]:
    """The index, asked by a set-up whose Python has no ensurepip, as on Debian."""
    (tmp_path / "index").mkdir()
    with Index(tmp_path / "index") as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        monkeypatch.setenv("PIP_INDEX_URL", server.url)
        digest = hashlib.sha256(server.wheel.read_bytes()).hexdigest()
        setup.PIP_LOCK.write_text(f"pip=={server.wheel.name.split('-')[1]} --hash=sha256:{digest}\n")
        monkeypatch.setattr(setup, "has_module", lambda name: name != "ensurepip")
        shutil.rmtree(setup.VENV)
        setup.VENV.mkdir()
        setup.LOG.touch()
        yield server
        server.shutdown()
        thread.join()


@pytest.mark.long
def test_a_python_without_ensurepip_gets_pip_from_the_index(setup: ModuleType, index: Index) -> None:
    setup.make_venv()
    done = launch(setup.VENV / "bin/python", "-I", "-m", "pip", "--version")
    assert f"pip {index.wheel.name.split('-')[1]} from {setup.VENV}" in done.stdout
    assert not (setup.VENV / index.wheel.name).exists()


def test_another_pip_than_the_one_we_know_is_not_run(setup: ModuleType, index: Index) -> None:
    with index.offered.open("ab") as file:
        file.write(b"more")
    with pytest.raises(setup.SetupError, match=r"gives another pip-.* than the one expected"):
        setup.make_venv()
    assert list(setup.VENV.glob("**/pip*")) == []


def test_an_index_that_has_no_pip_or_does_not_answer_is_named(
    setup: ModuleType, index: Index, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copyfile(REPO / "scripts/pip.lock", setup.PIP_LOCK)
    with pytest.raises(setup.SetupError, match=rf"{index.url}/pip/ does not offer pip-[\d.]+-py3-none-any.whl"):
        setup.downloaded_pip()
    monkeypatch.setenv("PIP_INDEX_URL", "http://127.0.0.1:9/simple/")
    with pytest.raises(
        setup.SetupError, match=r"cannot be downloaded from http://127\.0\.0\.1:9/simple/pip/: "
    ) as raised:
        setup.downloaded_pip()
    assert "ensurepip (Debian, Ubuntu: python3-venv)" in str(raised.value)


def test_a_python_without_venv_is_named(setup: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(setup, "has_module", lambda _name: False)
    with pytest.raises(setup.SetupError, match=r"no module venv.*python3-venv"):
        setup.make_venv()


# ---------------------------------------------------------------------------------------------- what tests need


def test_a_browser_is_installed_by_who_may(
    setup: ModuleType, commands: FakeCommands, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(setup.os, "geteuid", lambda: 0)
    commands.add("apt-get", exit_code=0)
    assert setup.main("browser") == 0
    (install,) = commands.calls()
    assert install.endswith(" install --yes --no-install-recommends chromium")
    commands.add("chromium", exit_code=0)
    assert setup.main("browser") == 0
    assert len(commands.calls()) == 1, "it is there"


@pytest.mark.parametrize("user", [0, 1000])
def test_a_browser_that_cannot_be_installed_costs_its_tests_only(
    setup: ModuleType,
    commands: FakeCommands,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    user: int,
) -> None:
    monkeypatch.setattr(setup.os, "geteuid", lambda: user)
    commands.add("apt-get", exit_code=100)
    commands.add("sudo", exit_code=1)  # as when it would ask for a password
    assert setup.main("browser") == 0
    assert "tests that open the HTML report are skipped" in capsys.readouterr().err
    verbs = [re.sub(r".* (install|update|true)\b.*", r"\1", call) for call in commands.calls()]
    assert verbs == (["install", "update"] if user == 0 else ["true"])


# ------------------------------------------------------------------------------------------------------ locks


def pins(lock: str) -> set[str]:
    return set(re.findall(r"^([a-z0-9-]+==[^ ]+)", (REPO / lock).read_text(), flags=re.MULTILINE))


def test_locks_pin_every_dependency_and_agree() -> None:
    project = tomllib.loads((REPO / "pyproject.toml").read_text())
    runtime = [*project["project"]["dependencies"], *project["project"]["optional-dependencies"]["plot"]]
    development = project["dependency-groups"]["dev"]

    def names(requirements: list[str]) -> set[str]:
        return {re.split(r"[^A-Za-z0-9-]", requirement)[0] for requirement in requirements}

    assert pins("requirements.lock") < pins("requirements-dev.lock")
    assert names(runtime) <= {pin.partition("==")[0] for pin in pins("requirements.lock")}
    assert names(development) <= {pin.partition("==")[0] for pin in pins("requirements-dev.lock")}


@pytest.mark.parametrize("lock", ["requirements.lock", "requirements-dev.lock"])
def test_locks_name_no_host_and_no_folder(lock: str) -> None:
    told = (REPO / lock).read_text().replace("./scripts/lock.sh", "")
    assert "/" not in told
    assert len(re.findall("--hash=sha256:[0-9a-f]{64}", told)) >= len(pins(lock))
