"""Installs what a lock file names in `.venv`, and nothing anywhere else. Needs only the standard library, because it
runs before anything is installed.

    python3 -IB scripts/setup_environment.py requirements.lock|requirements-dev.lock
    python3 -IB scripts/setup_environment.py browser

The second form installs Chromium, which only tests need, if apt-get may be used without a password. If not, it says
that these tests are skipped, and succeeds.

A copy of each lock under `.venv/installed` shows that its packages are there: it is removed before the first change and
written after the last. So an interrupted set-up leaves no copy, and the next one starts from nothing."""

from __future__ import annotations

import fcntl
import hashlib
import html
import importlib.util
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urljoin
from urllib.request import urlopen

REPO = Path(__file__).resolve().parent.parent
VENV = REPO / ".venv"
INSTALLED = VENV / "installed"
LOG = VENV / "setup.log"
HELD = VENV / "setup.lock"

sys.path.insert(0, str(REPO))

from dedup.errors import EXIT_INTERRUPTED, SetupError

INDEX = "https://pypi.org/simple"
PIP = "pip-25.3-py3-none-any.whl"
PIP_SHA256 = "9655943313a94722b7774661c21049070f6bbb0a1516bf02f7c8d5d9201514cd"
"""What installs packages if this Python cannot: Debian has `ensurepip` in a package of its own."""
DOWNLOAD_TIMEOUT_S = 60.0
BROWSER = "browser"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")
TOLD_EVERY_S = 10.0
"""Seconds after which a command that still runs is told of."""
LOCKS = {  # locks that are installed with each lock: the development lock contains the other one
    "requirements.lock": ("requirements.lock",),
    "requirements-dev.lock": ("requirements.lock", "requirements-dev.lock"),
}


def main(what: str) -> int:
    """What is a lock, or "browser"."""
    try:
        with sole_setup():
            if what == BROWSER:
                offer_browser()
            elif not is_installed(what):
                started = time.monotonic()
                LOG.write_text("")
                install(what)
                say(f"set up in {time.monotonic() - started:.0f} s")
                if what == "requirements.lock":
                    offer_command()
    except SetupError as error:
        say(str(error))
        return error.exit_code
    except KeyboardInterrupt:
        say("set-up interrupted; the next start begins it again")
        return EXIT_INTERRUPTED
    return 0


def offer_command() -> None:
    """Says how to start the program by its name, unless that works already."""
    if shutil.which("reprise"):
        return
    own = Path("~/.local/bin").expanduser()
    is_found = str(own) in os.environ.get("PATH", "").split(os.pathsep)
    link = f"ln -s {shlex.quote(str(REPO / 'scripts/reprise'))} {own}/reprise"
    first = "" if own.is_dir() else f"mkdir -p {own} && "
    then = "" if is_found else f", and put {own} on the PATH"
    say(f"to start it as `reprise` from anywhere: {first}{link}{then}")


def say(line: str) -> None:
    sys.stderr.write(f"reprise: {line}\n")


@contextmanager
def sole_setup() -> Iterator[None]:
    """Waits until no other set-up of this checkout is running.

    Commands inherit the lock and are never killed, because an interrupted package manager does harm. A command that
    outlives its set-up makes the next set-up wait."""
    try:
        VENV.mkdir(exist_ok=True)
        held = os.open(HELD, os.O_RDWR | os.O_CREAT, 0o644)
    except OSError as error:
        raise SetupError(str(VENV), f"cannot be written: {error.strerror}") from error
    os.set_inheritable(held, True)
    try:
        fcntl.flock(held, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        say("waiting for another start to finish its set-up")
        fcntl.flock(held, fcntl.LOCK_EX)
    try:
        yield
    finally:
        os.close(held)


def is_installed(lock: str) -> bool:
    """Whether `.venv` has the packages of `lock`, for the Python that REPRISE_PYTHON names, if it is set."""
    try:
        same = (INSTALLED / lock).read_bytes() == (REPO / lock).read_bytes()
    except FileNotFoundError:
        return False
    return same and venv_is_usable()


def venv_is_usable() -> bool:
    """Whether `.venv` is complete, its Python still exists, and no other version is requested."""
    if not (os.access(VENV / "bin/python", os.X_OK) and any(INSTALLED.glob("*.lock"))):
        return False
    asked_for = VENV / f"lib/python{sys.version_info[0]}.{sys.version_info[1]}"
    return not os.environ.get("REPRISE_PYTHON") or asked_for.is_dir()


# ------------------------------------------------------------------------------------------------ what tests need


def offer_browser() -> None:
    """Installs Chromium if apt-get may be used; otherwise says why not."""
    if any(map(shutil.which, BROWSERS)):
        return
    sudo = [] if os.geteuid() == 0 else ["sudo"]
    if not shutil.which("apt-get") or (sudo and not may_sudo()):
        say("Chromium missing, so tests that open the HTML report are skipped. Install it with the package manager")
        return
    say("installing chromium with apt-get")
    if not apt_install(["chromium"], sudo):
        show_log_tail()
        say("apt-get did not install chromium, so tests that open the HTML report are skipped")


def may_sudo() -> bool:
    """Whether sudo works without a password."""
    if not shutil.which("sudo"):
        return False
    return subprocess.run(["sudo", "-n", "true"], capture_output=True, check=False).returncode == 0


def apt_install(packages: Sequence[str], sudo: Sequence[str]) -> bool:
    as_root = ["sudo", "-n"] if sudo else []
    apt = [*as_root, "env", "DEBIAN_FRONTEND=noninteractive", "apt-get"]
    apt += ["-o", "DPkg::Lock::Timeout=300"]  # a new machine may still be upgrading itself
    install = [*apt, "install", "--yes", "--no-install-recommends", *packages]
    # A fresh image has no package lists, an old one lists versions that are gone: in both cases this fails at once
    return logged(install) or (logged([*apt, "update"]) and logged(install))


# ----------------------------------------------------------------------------------------------- Python packages


def install(lock: str) -> None:
    usable = venv_is_usable()
    clear(INSTALLED)
    if usable:
        say(f"bringing {VENV} up to date with {lock}")
    else:
        say(f"first start: installing into {VENV} (about a minute, 600 MB); {LOG} has the output")
        for path in VENV.iterdir():
            if path not in (LOG, HELD):
                clear(path)
        make_venv()
    pip = [str(VENV / "bin/python"), "-I", "-m", "pip", "--no-input", "--disable-pip-version-check"]
    wheels = ["--require-hashes", "--only-binary=:all:"]  # wheels only, so that no compiler is needed
    n_packages = sum("==" in line for line in (REPO / lock).read_text().splitlines())
    say(f"installing {n_packages} Python packages")
    step(f"pip did not install {lock}", [*pip, "install", *wheels, "--requirement", str(REPO / lock)])
    make_importable()
    INSTALLED.mkdir()
    for name in LOCKS[lock]:
        shutil.copyfile(REPO / name, INSTALLED / name)


def make_venv() -> None:
    """Makes `.venv` with pip in it, whatever this Python has of its own."""
    say("making a virtual environment")
    if not has_module("venv"):
        remedy = "Install all of Python's standard library (Debian, Ubuntu: the package python3-venv)"
        raise SetupError("set-up", "this Python has no module venv", remedy=remedy)
    failure, make = "could not make a virtual environment", [str(base_python()), "-I", "-m", "venv"]
    if has_module("ensurepip"):
        step(failure, [*make, str(VENV)])
        return
    step(failure, [*make, "--without-pip", str(VENV)])
    say(f"downloading {PIP}, because this Python has no module ensurepip")
    wheel = VENV / PIP
    wheel.write_bytes(downloaded_pip())
    pip = [str(VENV / "bin/python"), "-I", str(wheel / "pip"), "--no-input", "--disable-pip-version-check"]
    step("could not install pip", [*pip, "install", "--no-compile", "--no-index", "--no-deps", str(wheel)])
    clear(wheel)


def has_module(name: str) -> bool:
    return importlib.util.find_spec(name) is not None


def base_python() -> Path:
    """Path of the interpreter itself: a name like `python3` can mean another version after a system upgrade."""
    return Path(getattr(sys, "_base_executable", sys.executable)).resolve()


def downloaded_pip() -> bytes:
    """The wheel of pip, from the index that pip itself would ask. Raises SetupError if it is not the very file that we
    know."""
    page = os.environ.get("PIP_INDEX_URL", INDEX).rstrip("/") + "/pip/"
    remedy = "Check the network and start again. Or install the module ensurepip (Debian, Ubuntu: python3-venv)"
    try:
        with urlopen(page, timeout=DOWNLOAD_TIMEOUT_S) as answer:
            found = re.search(rf'href="([^"]*{re.escape(PIP)}[^"]*)"', answer.read().decode())
        if found is None:
            raise SetupError("set-up", f"{page} does not offer {PIP}", remedy=remedy)
        with urlopen(urljoin(page, html.unescape(found[1])), timeout=DOWNLOAD_TIMEOUT_S) as answer:
            wheel: bytes = answer.read()
    except (OSError, ValueError) as error:
        raise SetupError("set-up", f"{PIP} cannot be downloaded from {page}: {error}", remedy=remedy) from error
    if hashlib.sha256(wheel).hexdigest() != PIP_SHA256:
        raise SetupError("set-up", f"{page} gives another {PIP} than the one expected", remedy=remedy)
    return wheel


def clear(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path)
    else:
        path.unlink(missing_ok=True)


def make_importable() -> None:
    """Puts the checkout on the import path, and its launcher beside Python. Both links are relative, so that a checkout
    still works after it is moved or copied."""
    (site_packages,) = VENV.glob("lib/python3*/site-packages")
    (site_packages / "reprise.pth").write_text(f"{os.path.relpath(REPO, site_packages)}\n")
    clear(VENV / "bin/reprise")
    (VENV / "bin/reprise").symlink_to("../../scripts/reprise")


def step(failure: str, command: Sequence[str]) -> None:
    if not logged(command):
        show_log_tail()
        remedy = "Fix the cause and start again"
        raise SetupError("set-up", f"{failure}; see {LOG} for the output", remedy=remedy)


def logged(command: Sequence[str]) -> bool:
    """Whether the command succeeded; what it prints goes to the log. One that takes long is told of now and then."""
    with LOG.open("a") as log:
        log.write(f"$ {' '.join(command)}\n")
        log.flush()
        with subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=subprocess.STDOUT, close_fds=False
        ) as process:
            started = time.monotonic()
            while True:
                try:
                    return process.wait(TOLD_EVERY_S) == 0
                except subprocess.TimeoutExpired:
                    say(f"… {time.monotonic() - started:.0f} s{doing()}")


def doing() -> str:
    """What a package manager does now, by the last line of the log that tells."""
    text = LOG.read_text(errors="replace")
    found = re.findall(r"^(Collecting|Downloading|Installing|Unpacking|Setting up) ([\w.-]+)", text, re.MULTILINE)
    if not found:
        return ""
    doing, what = found[-1]
    if (doing, what) == ("Installing", "collected"):  # pip's last line, for most of the time
        n_packages = len(list(VENV.glob("lib/python3*/site-packages/*.dist-info")))
        return f": {n_packages} packages are there"
    return f": {doing.lower()} {what}"


def show_log_tail(n_lines: int = 8) -> None:
    for line in LOG.read_text(errors="replace").splitlines()[-n_lines:]:
        sys.stderr.write(f"    {line}\n")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
