"""The versions that results may depend on, or that must be the same in processes that exchange objects."""

from __future__ import annotations

import sys

PACKAGES = ("dask", "distributed", "numba", "numpy", "av")

KERNEL_VERSION = 2
"""Version of the kernels. It goes up with every change, such as of a constant in `cascade`, `sampling` or `path`, that
gives other bytes for the same blocks and settings; then every tile is computed again."""

JOIN_VERSION = 2
"""The same for changes in `keys`, `votes` or `join`, upon which only tiles of that method are computed again."""

VARISPEED_VERSION = 2
"""The same for changes in `other_speeds`, `tilted` or `stretch`, upon which only tiles of that pass are computed
again."""


PROPERTIES_VERSION = 6
"""Counts the ways in which properties were read. A store's older ones are read again by the next scan. Raise it with
any change to what `metadata.read_properties` gives of a file.

1 had 17 tag fields of its own naming; 2 has the fields of `tags.read`; 3 has streams and extras; 4 says of which
extras only one format can hold all; 5 has further pictures among them,
and fields and frames that nobody here understands, and chunks of WAV and AIFF, and reads ID3 in front of FLAC;
6 keeps to the limits of `files.bounded`."""


def versions() -> dict[str, str]:
    """Versions of this program, its kernels, Python and the libraries below it, by name; empty if not installed."""
    from importlib.metadata import PackageNotFoundError, version

    from dedup import __version__

    found = {"reprise": __version__, "kernels": str(KERNEL_VERSION), "Python": ".".join(map(str, sys.version_info[:2]))}
    for package in PACKAGES:
        try:
            found[package] = version(package)
        except PackageNotFoundError:
            found[package] = ""
    return found
