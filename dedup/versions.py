"""The versions that results may depend on, or that must be the same in processes that exchange objects."""

from __future__ import annotations

import sys
from importlib.metadata import PackageNotFoundError, version
from types import ModuleType

from dedup.errors import ChromaprintMissingError

PACKAGES = ("dask", "distributed", "numba", "numpy", "av")

KERNEL_VERSION = 2
"""Version of the kernels. It goes up with every change, such as of a constant in `cascade`, `sampling`, `keys`,
`join` or `path`, that gives other bytes for the same blocks and settings; then every tile is computed again."""


def versions() -> dict[str, str]:
    """Versions of this program, its kernels, Python and the libraries below it, by name; empty if not installed."""
    from dedup import __version__

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


def chromaprint_binding() -> ModuleType:
    """Pyacoustid's module `chromaprint`, on the system's library. Raises ChromaprintMissingError."""
    try:
        import chromaprint
    except ImportError as error:
        raise ChromaprintMissingError(
            "libchromaprint", "not installed on this system", remedy=f"Install it: {install_command()}"
        ) from error
    return chromaprint  # type: ignore[no-any-return]


def install_command() -> str:
    """The command that installs libchromaprint here."""
    if sys.platform == "darwin":
        return "brew install chromaprint"
    if sys.platform == "win32":
        return "put chromaprint.dll (from acoustid.org/chromaprint) on the PATH"
    return "sudo apt-get install libchromaprint1 (Fedora: libchromaprint, Arch: chromaprint)"


def chromaprint_version() -> str:
    """Version of the installed libchromaprint, such as "1.5.1". Raises ChromaprintMissingError."""
    version: bytes = chromaprint_binding()._libchromaprint.chromaprint_get_version()
    return version.decode()
