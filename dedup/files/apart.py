"""What a function returns in a process of its own, for a server that must outlive each file: a file that ends its
decoder ends that process and nothing else."""

from __future__ import annotations

import builtins
import dataclasses
import enum
import io
import pickle
import subprocess
import sys
import threading
from collections.abc import Callable
from typing import IO, Any, TypeVar

from dedup.errors import InputError
from dedup.files.bounded import unbounded
from dedup.files.process import start_python

_T = TypeVar("_T")
MOST_MEMORY = 4 << 30
"""Bytes of memory that the process may take."""

_MAIN = f"from {__name__} import main; main()"
_OURS = ("dedup", "jobs")
_ARRAYS = {
    ("numpy", "dtype"),
    ("numpy", "ndarray"),
    *((f"numpy.{core}.multiarray", name) for core in ("_core", "core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("_core", "core")),
}
_running: set[subprocess.Popen[bytes]] = set()
_lock = threading.Lock()


def apart(name: str, limit_s: float, made: Callable[..., _T], *arguments: object) -> _T:
    """What `made(*arguments)` returns; it is a function of a module, and all of it can be pickled. Raises what it
    raises; InputError, which calls the files `name`, if it takes more than `limit_s` seconds or ends its process."""
    pipe = subprocess.PIPE
    with unbounded(), _lock:  # in this order: who ends them all need not wait for a file that is read
        process = start_python(_MAIN, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)
        _running.add(process)
    try:
        told, _ = process.communicate(pickle.dumps((made, arguments)), limit_s)
    except subprocess.TimeoutExpired:
        found = f"decoding takes longer than {limit_s:g} s"
        raise InputError(name, found, remedy="Choose another file") from None
    finally:
        process.kill()
        process.communicate()
        with _lock:
            _running.discard(process)
    if not told:
        found = f"decoding ended the process that did it ({process.returncode})"
        raise InputError(name, found, remedy="Choose another file")
    try:
        is_made, what = Answer(io.BytesIO(told)).load()
    except Exception as error:  # whatever a broken answer raises
        found = f"the process that decoded it gave no answer: {error}"
        raise InputError(name, found, remedy="Choose another file") from error
    if is_made:
        return what  # type: ignore[no-any-return]
    raise what


class Answer(pickle.Unpickler):
    """Reads what a process answered that a hostile file may have taken over: records, enumerations and exceptions of
    this program, arrays and plain values, and nothing that would run a function of its choice."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _ARRAYS:
            return super().find_class(module, name)
        if (module.split(".", maxsplit=1)[0] in _OURS and module in sys.modules) or module == "builtins":
            kind = getattr(builtins if module == "builtins" else sys.modules[module], name, None)
            if isinstance(kind, type) and kind.__module__ == module and _is_plain(kind):
                return kind
        raise pickle.UnpicklingError(f"{module}.{name} is no part of an answer")


def _is_plain(kind: type) -> bool:
    """Whether values of this type only hold what they are given."""
    is_record = dataclasses.is_dataclass(kind) or (issubclass(kind, tuple) and hasattr(kind, "_fields"))
    return is_record or issubclass(kind, (Exception, enum.Enum)) or kind in (set, frozenset, complex, bytearray)


def end_all() -> None:
    """Ends all such processes of this one."""
    with _lock:
        for process in _running:
            process.kill()


def main() -> None:
    """The process: reads a function and its arguments, and writes whether it returned, and what; ends with whoever
    started it."""
    with settled() as told:
        told.write(answer_to(sys.stdin.buffer))


def settled() -> IO[bytes]:
    """Where such a process writes its answers: it has taken its limit of memory, and ends with whoever started it."""
    import os
    import resource

    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    resource.setrlimit(resource.RLIMIT_AS, (MOST_MEMORY, hard))
    told = os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)  # what a library prints is no answer
    parent = os.getppid()

    def end_with_parent() -> None:
        while os.getppid() == parent:
            threading.Event().wait(0.5)
        os._exit(1)

    threading.Thread(target=end_with_parent, daemon=True).start()
    return told


def answer_to(asked: IO[bytes]) -> bytes:
    """Reads a function and its arguments; gives whether it returned, and what, as `Answer` reads it. Raises EOFError if
    nobody asks any more."""
    made, arguments = pickle.load(asked)
    try:
        answer = True, made(*arguments)
    except Exception as error:  # whoever asked gets it
        answer = False, error
    return pickle.dumps(answer)
