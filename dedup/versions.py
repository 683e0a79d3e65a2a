"""The versions that results may depend on, or that must be the same where processes exchange objects."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version

PACKAGES = ("dask", "distributed", "numba", "numpy", "av")


def versions() -> dict[str, str]:
    """Of this program, its kernels, Python and what it stands on, by name; empty for what is not there."""
    from dedup import __version__
    from dedup.errors import ChromaprintMissingError
    from dedup.fingerprint.chromaprint import chromaprint_version
    from dedup.store.tiles import KERNEL_VERSION

    found = {"reprise": __version__, "kernels": str(KERNEL_VERSION), "Python": ".".join(map(str, sys.version_info[:2]))}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    try:
        found["libchromaprint"] = chromaprint_version()
    except ChromaprintMissingError:
        found["libchromaprint"] = ""
    return found
