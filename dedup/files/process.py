"""Starts a process of this Python, for files that nobody vouches for: it takes modules from where this one does, not
from the folder that it is in, and has no limit of memory that is in force here for a moment."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

from dedup.files.bounded import unbounded


def start_python(code: str, *arguments: str, **options: Any) -> subprocess.Popen[Any]:
    """A process that runs `code`, in which `sys` is imported and has the `arguments`; `options` are those of
    `subprocess.Popen`. Raises OSError."""
    path = [os.path.abspath(folder) for folder in sys.path]
    command = [sys.executable, "-P", "-c", f"import sys; sys.path[:] = {path!r}; {code}", *arguments]
    with unbounded():
        return subprocess.Popen(command, **options)
