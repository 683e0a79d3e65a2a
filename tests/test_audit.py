"""The audit of the lock files: a finding, a network that fails, and packages that nobody knows are told apart. The
reports are those of pip-audit 2.10."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from scripts.audit import CLEAN, FOUND, LOCKS, NOT_ASKED, audit, pinned

LOCK = """
click==8.4.1 \\
    --hash=sha256:00
numba==0.61.0 ; python_full_version < '3.13' \\
    --hash=sha256:00
"""
SOUND = {"name": "click", "version": "8.4.1", "vulns": []}
NUMBA = {"name": "numba", "version": "0.61.0", "vulns": []}
FLAW = {"id": "PYSEC-2026-1", "fix_versions": ["0.61.1"], "aliases": ["CVE-2026-1"], "description": "…"}
UNKNOWN = {"name": "numba", "skip_reason": "Dependency not found on PyPI and could not be audited: numba (0.61.0)"}


def program(folder: Path, report: list[dict[str, Any]] | None, code: int, stderr: str = "") -> str:
    """A program that writes a report as pip-audit does, if there is one, and ends like it."""
    path = folder / "pip-audit"
    content = "None" if report is None else repr(json.dumps({"dependencies": report, "fixes": []}))
    path.write_text(
        f"#!{sys.executable}\nimport sys\nreport = {content}\n"
        "assert open(sys.argv[sys.argv.index('--requirement') + 1]).read() == 'click==8.4.1\\nnumba==0.61.0\\n'\n"
        "if report is not None:\n    open(sys.argv[sys.argv.index('--output') + 1], 'w').write(report)\n"
        f"sys.stderr.write({stderr!r})\nsys.exit({code})\n"
    )
    path.chmod(0o755)
    return str(path)


@pytest.mark.parametrize(
    ("report", "code", "expected", "words"),
    [
        ([SOUND, NUMBA], 0, CLEAN, "none of 2 packages has a known vulnerability"),
        (
            [SOUND, NUMBA | {"vulns": [FLAW]}],
            1,
            FOUND,
            "numba 0.61.0: PYSEC-2026-1, CVE-2026-1; mended in 0.61.1",
        ),
        ([SOUND, UNKNOWN], 0, NOT_ASKED, "1 of 2 packages could not be asked for: numba"),
        ([SOUND | {"vulns": [FLAW]}, UNKNOWN], 1, FOUND, "PYSEC-2026-1"),
        (None, 1, NOT_ASKED, "none of 2 packages could be asked for: requests: cannot resolve pypi.org"),
        ([], 0, NOT_ASKED, "2 of 2 packages could not be asked for"),
    ],
)
def test_a_finding_is_told_from_a_network_that_fails(
    tmp_path: Path, report: list[dict[str, Any]] | None, code: int, expected: int, words: str
) -> None:
    lock, own = tmp_path / "a.lock", tmp_path / "own"
    lock.write_text(LOCK)
    own.mkdir()
    asked = program(tmp_path, report, code, stderr="Traceback\nrequests: cannot resolve pypi.org\n" if code else "")
    found, lines = audit([lock], asked, own)
    assert found == expected
    assert words in "\n".join(lines)


def test_a_program_that_is_not_there_is_no_finding(tmp_path: Path) -> None:
    assert audit(list(LOCKS), str(tmp_path / "nowhere"), tmp_path)[0] == NOT_ASKED


@pytest.mark.parametrize("lock", LOCKS, ids=lambda lock: lock.name)
def test_every_package_of_a_lock_file_is_asked_for(lock: Path) -> None:
    text = lock.read_text()
    pins = dict(pinned(text))
    assert len(pins) == sum(line[:1].isalnum() for line in text.splitlines())
    assert pins.keys() & {"cryptography", "pip"}
