"""Where compiled kernels are kept, and which of them were compiled on this machine. Imports no Numba.

Compiled code is kept in the user's cache folder, or in the folder that REPRISE_KERNEL_CACHE names. With "off" each
process compiles anew (some seconds): for hosts that share one home over a network, where Numba's cache may be torn."""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import shutil
import sys
import time
from pathlib import Path

import platformdirs

OFF = "off"
OLD_S = 30 * 86400
"""Age at which compiled code of other versions is removed."""

_DIGEST = re.compile("[0-9a-f]{16}")


def source_digest() -> str:
    """A digest of all sources of the kernels: Numba tells cached code apart by the function's own file, not by what the
    function takes from others."""
    here = Path(__file__).parent
    digest = hashlib.blake2b(digest_size=8)
    for file in [*sorted(here.glob("*.py")), here.parent / "store" / "items.py"]:
        digest.update(file.name.encode() + b"\0" + file.read_bytes())
    return digest.hexdigest()


def cache_folder() -> Path | None:
    """The folder for the code of these kernels; None if no code is kept."""
    place = os.environ.get("REPRISE_KERNEL_CACHE") or str(platformdirs.user_cache_path("reprise") / "numba")
    return None if place == OFF else folder_below(Path(place))


def folder_below(place: Path) -> Path:
    """The folder below `place` for the code of these kernels. Before it exists, old code beside it is removed."""
    folder = place / source_digest()
    if not folder.exists() and place.is_dir():
        for other in place.iterdir():
            with contextlib.suppress(OSError):
                if _DIGEST.fullmatch(other.name) and time.time() - other.stat().st_mtime > OLD_S:
                    shutil.rmtree(other)
    return folder


def is_compiled(part: str) -> bool:
    """Whether `note_compiled` was called for this part, by this Python on this machine."""
    folder = cache_folder()
    return folder is not None and (folder / _mark(part)).exists()


def note_compiled(part: str) -> None:
    """Notes that the code of a part is in the cache; does nothing if no code is kept."""
    folder = cache_folder()
    if folder is not None and folder.is_dir():
        with contextlib.suppress(OSError):  # a cache that cannot be written holds no code
            (folder / _mark(part)).touch()


def _mark(part: str) -> str:
    """A file name. Numba's code is for one processor, and hosts may share the folder."""
    from importlib.metadata import version  # takes 10 ms, and a scan needs none of it

    return f"{part}-{sys.implementation.cache_tag}-{version('numba')}-{platform.node()}.compiled"
