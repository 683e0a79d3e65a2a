"""PCM to items, by libchromaprint through pyacoustid's binding."""

from __future__ import annotations

import sys
from types import ModuleType
from typing import Any

import numpy as np
import numpy.typing as npt

from dedup.errors import ChromaprintMissingError
from dedup.settings import FingerprintSettings

SILENT_ITEM = 627964279
"""What Chromaprint says of digital silence, whatever the algorithm's state before it."""

Items = npt.NDArray[np.uint32]


def _binding() -> ModuleType:
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
    version: bytes = _binding()._libchromaprint.chromaprint_get_version()
    return version.decode()


class Fingerprinter:
    """Takes mono s16 PCM at `settings.sample_rate` piece by piece, gives `uint32[n_items]` at the end."""

    def __init__(self, settings: FingerprintSettings) -> None:
        self._chromaprint = _binding()
        self._context = self._chromaprint.Fingerprinter(settings.algorithm)
        self._context.start(settings.sample_rate, 1)

    def feed(self, pcm: bytes) -> None:
        self._context.feed(pcm)

    def finish(self) -> Items:
        """The items; empty where there was less PCM than one item takes (about 2.6 s)."""
        try:
            packed = self._context.finish()
        except self._chromaprint.FingerprintError:  # libchromaprint's answer to no input at all
            return np.empty(0, np.uint32)
        items, _ = self._chromaprint.decode_fingerprint(packed)
        return np.array(items, dtype=np.uint32)


def n_distinct(items: Items) -> int:
    """How many different items there are, silence not counted: what they can tell."""
    heard = np.sort(items[items != SILENT_ITEM])  # np.unique takes five times as long for a song
    return int(np.count_nonzero(heard[1:] != heard[:-1])) + bool(len(heard))


def frozen(values: npt.NDArray[Any], dtype: type[np.generic]) -> npt.NDArray[Any]:
    """A read-only view, contiguous and aligned; a copy only where it must be. Numba compiles a kernel anew for each
    kind of array that it meets (seconds), and what came from Zarr, over the network or out of SQLite is of several."""
    view = np.require(values, dtype, ["C", "A"]).view()
    view.flags.writeable = False
    return view
