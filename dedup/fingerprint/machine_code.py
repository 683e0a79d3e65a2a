"""The functions of `packet_loop`, `decimation` and `transform`. A process maps them from the cache if they are there:
LLVM alone would cost each worker of a scan 12 MB and 0.05 s, and Numba 50 MB and 0.3 s."""

from __future__ import annotations

import contextlib
import functools
import re
from pathlib import Path

from dedup.correlation.kernel_cache import cache_folder
from dedup.fingerprint.image import mapped_functions
from dedup.fingerprint.signatures import KINDS, Function, code_digest


@functools.cache
def functions() -> dict[str, Function]:
    """The functions by their names, for this processor. They take addresses and numbers, and run without the GIL."""
    file = image_file()
    with contextlib.suppress(OSError):
        if file is not None and (addresses := mapped_functions(file)):
            return {name: kind(addresses[name]) for name, kind in KINDS.items()}
    from dedup.fingerprint import compiler

    return compiler.functions_here(file)


def image_file() -> Path | None:
    """The file in the cache with the code for this processor; None if none is kept, or if Linux does not tell which
    processor it is."""
    folder = cache_folder()
    try:
        told = Path("/proc/cpuinfo").read_text().partition("\n\n")[0]
    except OSError:
        return None
    processor = re.findall(r"^(?:vendor_id|cpu family|model|model name|stepping|flags)\s*:.*$", told, re.MULTILINE)
    return folder / f"fingerprint-{code_digest(*processor)}.image" if folder and processor else None
