"""The versions that results may depend on, or that must be the same in processes that exchange objects."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("dask", "distributed", "numba", "numpy", "av")

KERNEL_VERSION = 2
"""Version of the kernels. It goes up with every change, such as of a constant in `cascade`, `sampling` or `path`, that
gives other bytes for the same blocks and settings; then every tile is computed again."""

JOIN_VERSION = 2
"""The same for changes in `keys`, `votes` or `join`, upon which only tiles of that method are computed again."""

VARISPEED_VERSION = 2
"""The same for changes in `other_speeds`, `tilted` or `stretch`, upon which only tiles of that pass are computed
again."""


def versions() -> dict[str, str]:
    """Versions of this program, its kernels, Python and the libraries below it, by name; empty if not installed."""
    from dedup import __version__

    found = {"reprise": __version__, "kernels": str(KERNEL_VERSION), "Python": ".".join(map(str, sys.version_info[:2]))}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return found
