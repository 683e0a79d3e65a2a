"""A look at a file in a process of its own, before this process opens it: FFmpeg needs days for a million fields of
text, minds no limit of time meanwhile, and a file that is made for it may end the process."""

from __future__ import annotations

import os
import subprocess

from dedup.errors import InputError
from dedup.files.container import open_container
from dedup.files.paths import printable
from dedup.files.process import start_python

LOOK_S = 60.0
"""Most seconds that a look at one file may take."""

_LOOK = "from dedup.library.look import look; look(sys.argv[1])"


def require_openable(path: bytes, limit_s: float = LOOK_S) -> None:
    """Returns if the file can be opened, or cannot be opened for a reason that opening it here tells too. Raises
    InputError if opening it takes more than `limit_s` seconds or ends the process."""
    null = subprocess.DEVNULL
    process = start_python(_LOOK, os.fsdecode(path), stdin=null, stdout=null, stderr=null)
    try:
        code = process.wait(limit_s)
    except subprocess.TimeoutExpired:
        found = f"opening it takes longer than {limit_s:g} s: its headers or tags are damaged, or made to take time"
    else:
        if code >= 0:
            return
        found = f"opening it ends the process (signal {-code})"
    finally:
        process.kill()
        process.wait()
    raise InputError(printable(path), found, remedy="Name another file")


def look(name: str) -> None:
    """Opens a file. Raises what `open_container` raises."""
    open_container(os.fsencode(name)).close()
