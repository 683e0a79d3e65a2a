"""How a copy is installed, and packages of others that have the names of ours."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from click.testing import CliRunner

import dedup
from jobs import cli
from jobs.session import installation
from jobs.session.installation import Clash, clashes


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on the path, as site-packages is."""
    folder = tmp_path / "site"
    folder.mkdir()
    monkeypatch.syspath_prepend(folder)
    return folder


def distribute(site: Path, name: str, version: str, packages: str, installer: str = "") -> None:
    """Leaves what an installer writes of a distribution."""
    described = site / f"{name.replace('-', '_')}-{version}.dist-info"
    described.mkdir()
    (described / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")
    (described / "top_level.txt").write_text(packages)
    if installer:
        (described / "INSTALLER").write_text(f"{installer}\n")


def test_nobody_else_has_our_packages_here() -> None:
    assert clashes() == ()


def test_each_distribution_that_has_one_of_our_packages_is_named(site: Path) -> None:
    distribute(site, "cluster", "1.4.1", "cluster\n")
    distribute(site, "find-copies", "0.3", "dedup\njobs\nother\n")
    assert clashes() == (
        Clash("cluster", "cluster 1.4.1"),
        Clash("dedup", "find-copies 0.3"),
        Clash("jobs", "find-copies 0.3"),
    )


def test_our_own_distribution_is_no_clash(site: Path) -> None:
    distribute(site, "Reprise.Dedup", "0.1.0", "cluster\ndedup\njobs\n")
    assert clashes() == ()


def test_the_installer_is_named_if_the_packages_that_run_are_those_it_installed(
    site: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    distribute(site, "reprise-dedup", "0.1.0", "cluster\ndedup\njobs\n", installer="uv")
    assert installation.installation().installer == ""
    monkeypatch.setattr(dedup, "__file__", str(site / "dedup" / "__init__.py"))
    found = installation.installation()
    assert (found.installer, found.folder) == ("uv", str(site))


def test_info_reports_a_clash_and_what_to_do(site: Path) -> None:
    distribute(site, "cluster", "1.4.1", "cluster\n")
    result = CliRunner().invoke(cli.cli, ["info", "--install"])
    assert result.exit_code == 0
    assert f"version    {dedup.__version__}\n" in result.stdout
    assert "installed  no: this is a checkout" in result.stdout
    assert "numba " in result.stdout
    (problem,) = [line for line in result.stdout.splitlines() if line.startswith("problem")]
    assert "cluster 1.4.1" in problem
    assert "uv tool install" in problem


def test_info_as_json_has_it_all_on_one_line(site: Path) -> None:
    distribute(site, "cluster", "1.4.1", "cluster\n")
    result = CliRunner().invoke(cli.cli, ["info", "--install", "--json"])
    found = json.loads(result.stdout)
    assert found["event"] == "install"
    assert found["versions"]["reprise"] == dedup.__version__
    assert found["clashes"] == [{"package": "cluster", "distribution": "cluster 1.4.1"}]
