"""Compiles decimation and transform, or takes their machine code from the cache. Imports LLVM alone and not Numba: that
would cost each worker of a scan 0.3 s and 50 MB."""

from __future__ import annotations

import contextlib
import ctypes
import functools
import hashlib
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import llvmlite
from llvmlite import binding

from dedup.correlation import emit
from dedup.correlation.kernel_cache import cache_folder

_DIGEST_BYTES = 32

_engines: list[Any] = []
"""What owns the code: it is freed with them."""

Function = Callable[..., None]


def _kind(n_pointers: int, n_numbers: int) -> Any:
    return ctypes.CFUNCTYPE(None, *[ctypes.c_void_p] * n_pointers, *[ctypes.c_int64] * n_numbers)


KINDS = {"note_energies": _kind(7, 5), "decimate": _kind(3, 6), "decimate_by_4": _kind(3, 2)} | {
    f"mix_{kind}_{layout}": _kind(3, 1) for kind in ("i16", "i32", "float") for layout in ("mono", "planar", "packed")
}
"""What each function takes."""


@functools.cache
def functions() -> dict[str, Function]:
    """The functions of `decimation` and `transform` by their names, for this processor. They take addresses and
    numbers, and run without the GIL."""
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    return functions_for(binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten())


def functions_for(processor: str, features: str) -> dict[str, Function]:
    """The functions as they are for a processor with these features, in LLVM's words; "generic" and none are what all
    of its family have."""
    machine = binding.Target.from_default_triple().create_target_machine(cpu=processor, features=features, opt=3)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    file = _file(processor, features)
    code = _kept(file)
    if not code:
        code = _compiled(machine)
        _keep(file, code)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return {name: kind(engine.get_function_address(name)) for name, kind in KINDS.items()}


def _compiled(machine: Any) -> bytes:
    code: bytes = machine.emit_object(optimised(machine))
    return code


def optimised(machine: Any) -> Any:
    """The module, as that machine is to run it."""
    from llvmlite import ir

    from dedup.fingerprint.decimation import add_decimation
    from dedup.fingerprint.transform import add_note_energies

    module = ir.Module("fingerprint")
    add_note_energies(module)
    add_decimation(module)
    made = binding.parse_assembly(str(module))
    made.triple = machine.triple
    made.verify()
    passes = binding.create_pass_builder(machine, binding.create_pipeline_tuning_options(speed_level=3))
    passes.getModulePassManager().run(made, passes)
    return made


def _file(processor: str, features: str) -> Path | None:
    """The file in the cache; None if no code is kept. Its name tells the source, the compiler and the processor."""
    folder = cache_folder()
    if folder is None:
        return None
    digest = hashlib.blake2b(digest_size=8)
    here = Path(__file__)
    for source in (here, here.with_name("decimation.py"), here.with_name("transform.py"), Path(emit.__file__)):
        digest.update(source.read_bytes())
    digest.update(f"{llvmlite.__version__} {processor} {features}".encode())
    return folder / f"fingerprint-{digest.hexdigest()}.code"


def _kept(file: Path | None) -> bytes:
    """The code in the file, which begins with its digest; empty if there is none, or not all of it."""
    with contextlib.suppress(OSError):
        if file is not None:
            content = file.read_bytes()
            code = content[_DIGEST_BYTES:]
            return code if hashlib.sha256(code).digest() == content[:_DIGEST_BYTES] else b""
    return b""


def _keep(file: Path | None, code: bytes) -> None:
    """Writes the file whole or not at all: several workers may do so at once."""
    if file is None:
        return
    with contextlib.suppress(OSError):  # a cache that cannot be written holds no code
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as new:
            new.write(hashlib.sha256(code).digest() + code)
        os.replace(new.name, file)
