"""What the README promises is there, and what is there is in the README."""

from __future__ import annotations

import re
from pathlib import Path

from dedup import errors
from jobs.cli import COMMANDS, SHORT_FORMS
from jobs.session.options import SETTINGS

REPO = Path(__file__).resolve().parent.parent
README = (REPO / "README.md").read_text(encoding="utf-8")


def exit_codes() -> set[int]:
    """Every exit code that the code knows."""
    constants = {value for name, value in vars(errors).items() if name.startswith("EXIT_")}
    classes = {
        kind.exit_code for kind in vars(errors).values() if isinstance(kind, type) and hasattr(kind, "exit_code")
    }
    return constants | classes


def test_every_command_is_documented() -> None:
    rows = dict(re.findall(r"^\| `reprise (\w+)[^`]*`[^|]*\| (?:`(-\w)`)? ?\|", README.replace("\\|", "/"), re.M))
    assert set(rows) == set(COMMANDS)
    assert {short: name for name, short in rows.items() if short} == SHORT_FORMS


def test_every_exit_code_is_documented_and_no_other() -> None:
    table = README.split("### Exit codes")[1].split("###")[0]
    assert {int(code) for code in re.findall(r"^\| (\d+) \|", table, re.M)} == exit_codes()


def test_every_setting_is_documented_with_its_default() -> None:
    table = README.split("### Settings")[1].split("\n## ")[0]
    shown = {name for name, setting in SETTINGS.items() if not setting.hidden and name != "profile"}
    assert shown <= set(re.findall(r"`([a-z-]+)`", table))
    for name in ("max-lag", "min-overlap", "min-overlap-items", "max-false", "min-score", "min-prominence"):
        assert SETTINGS[name].default_text in table, name


def test_links_lead_to_files() -> None:
    for document in (README, (REPO / "dedup/DESIGN.md").read_text(encoding="utf-8")):
        for target in re.findall(r"\]\((?!https?:)([^)#]+)\)", document):
            assert (REPO / target).exists(), target


def test_the_changelog_knows_this_version() -> None:
    from dedup import __version__

    assert f"## {__version__}" in (REPO / "CHANGELOG.md").read_text(encoding="utf-8")
