"""How this copy of Reprise is installed, and which other distributions install a package of the same name."""

from __future__ import annotations

import platform
import re
import sys
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path

PACKAGES = ("cluster", "dedup", "jobs")
"""Top-level packages of Reprise. Other projects on PyPI have these names too."""
DISTRIBUTION = "reprise-dedup"


@dataclass(frozen=True)
class Clash:
    """A top-level package that another distribution installs too."""

    package: str
    distribution: str
    """Name and version: "cluster 1.4.1"."""

    def __str__(self) -> str:
        return f"the package {self.package} also belongs to {self.distribution}, and each breaks the other"


@dataclass(frozen=True)
class Installation:
    """What `info --install` reports."""

    installer: str
    """Program that installed it, such as "pip" or "uv"; empty for a checkout."""
    folder: str
    """Folder that holds the packages."""
    python: str
    """Version, such as "3.11.7"."""
    executable: str
    versions: dict[str, str]
    """Versions of Reprise and its dependencies, by name; empty for a missing one."""
    clashes: tuple[Clash, ...]


def installation() -> Installation:
    """Looks at the packages of this process and at the distributions on its path."""
    import dedup
    from dedup.versions import versions

    folder = Path(dedup.__file__).resolve().parent.parent
    executable, python = sys.executable, platform.python_version()
    return Installation(_installer(folder), str(folder), python, executable, versions(), clashes())


def clashes() -> tuple[Clash, ...]:
    """Every other distribution that installs one of our packages, by package."""
    owners = metadata.packages_distributions()
    return tuple(
        Clash(package, f"{owner} {metadata.version(owner)}")
        for package in PACKAGES
        for owner in sorted(set(owners.get(package, ())))
        if re.sub(r"[-_.]+", "-", owner).lower() != DISTRIBUTION
    )


def _installer(folder: Path) -> str:
    try:
        found = metadata.distribution(DISTRIBUTION)
    except metadata.PackageNotFoundError:
        return ""
    if Path(str(found.locate_file("dedup"))).resolve().parent != folder:
        return ""
    return (found.read_text("INSTALLER") or "an unknown program").strip()
