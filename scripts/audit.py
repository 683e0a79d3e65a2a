#!/usr/bin/env python3
"""Asks PyPI's advisory data for known vulnerabilities of everything in the lock files, by pip-audit.

    ./scripts/audit.py [LOCK...] [--pip-audit PROGRAM]

Exit codes: 0: every package of the lock files was asked for, and none has a known vulnerability. 1: some have one; each
is printed with the version that mends it. 75: some could not be asked for, because the network or the service fails;
that says nothing about them. pip-audit itself ends with 0 or 1 in that case, depending on what fails.

Needs the standard library only; installs pip-audit in a temporary environment, unless PROGRAM is one."""

from __future__ import annotations

import argparse
import json
import re
import subprocess
import sys
import tempfile
import time
import venv
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
LOCKS = (ROOT / "requirements.lock", ROOT / "requirements-dev.lock", ROOT / "scripts/pip.lock")
PIP_AUDIT = "pip-audit==2.10.1"
CLEAN, FOUND, NOT_ASKED = 0, 1, 75
TRIES, PAUSE_S, TIMEOUT_S = 3, 20.0, 600.0


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("locks", metavar="LOCK", nargs="*", type=Path, default=LOCKS)
    parser.add_argument("--pip-audit", metavar="PROGRAM", help="use this one")
    options = parser.parse_args()
    for number in range(TRIES):
        if number:
            time.sleep(PAUSE_S)
        with tempfile.TemporaryDirectory() as folder:
            code, lines = audit(list(options.locks), options.pip_audit, Path(folder))
        if code != NOT_ASKED:
            break
    print("\n".join(lines))
    return code


def audit(locks: list[Path], program: str | None, folder: Path) -> tuple[int, list[str]]:
    """The exit code and what to print; `folder` is empty and takes what is needed on the way."""
    everywhere = folder / "everywhere.txt"
    report = folder / "report.json"
    pins = {name: version for lock in locks for name, version in pinned(lock.read_text())}
    everywhere.write_text("".join(f"{name}=={version}\n" for name, version in sorted(pins.items())))
    command = ["--disable-pip", "--no-deps", "--progress-spinner", "off", "--format", "json", "--output", str(report)]
    try:
        done = subprocess.run(
            [program or _install(folder), *command, "--requirement", str(everywhere)],
            capture_output=True,
            text=True,
            timeout=TIMEOUT_S,
            check=False,
        )
        found = json.loads(report.read_text())
    except (OSError, ValueError, subprocess.SubprocessError) as error:
        why = f"{type(error).__name__}: {error}"
        if isinstance(error, FileNotFoundError) and error.filename == str(report):
            why = (done.stderr.strip().splitlines() or ["pip-audit says nothing"])[-1]
        return NOT_ASKED, [f"none of {len(pins)} packages could be asked for: {why}"]
    return judged(found, pins)


def pinned(lock: str) -> Iterator[tuple[str, str]]:
    """Each package of a lock file with its version, whichever platform it is for."""
    for found in re.finditer(r"^([A-Za-z0-9][A-Za-z0-9._-]*)(?:\[[^]]*\])?==([^\s;\\]+)", lock, re.MULTILINE):
        yield found[1].lower(), found[2]


def judged(report: dict[str, Any], pins: dict[str, str]) -> tuple[int, list[str]]:
    """The exit code and what to print of a report of pip-audit."""
    asked = [package for package in report["dependencies"] if "skip_reason" not in package]
    flaws = [
        f"{package['name']} {package['version']}: {', '.join([flaw['id'], *flaw.get('aliases', ())])}; "
        f"mended in {', '.join(flaw['fix_versions']) or 'no version'}"
        for package in asked
        for flaw in package["vulns"]
    ]
    silent = sorted(set(pins) - {package["name"].lower() for package in asked})
    told = [f"{len(silent)} of {len(pins)} packages could not be asked for: {', '.join(silent)}"] if silent else []
    if flaws:
        return FOUND, flaws + told
    return (NOT_ASKED, told) if silent else (CLEAN, [f"none of {len(pins)} packages has a known vulnerability"])


def _install(folder: Path) -> str:
    """Installs pip-audit; returns its path. Raises CalledProcessError if the network fails."""
    venv.create(folder / "venv", with_pip=True)
    python = str(folder / "venv" / "bin" / "python")
    subprocess.run([python, "-m", "pip", "install", "--quiet", PIP_AUDIT], check=True, capture_output=True)
    return str(folder / "venv" / "bin" / "pip-audit")


if __name__ == "__main__":
    sys.exit(main())
