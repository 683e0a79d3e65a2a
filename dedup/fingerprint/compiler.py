"""Compiles packet loop, decimation and transform, or takes their code from the cache. Imports LLVM, but not Numba."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
from pathlib import Path
from typing import Any

from llvmlite import binding, ir

from dedup.correlation.kernel_cache import cache_folder
from dedup.fingerprint.decimation import add_decimation
from dedup.fingerprint.image import image_of
from dedup.fingerprint.packet_loop import add_packet_loop
from dedup.fingerprint.signatures import KINDS, Function, code_digest
from dedup.fingerprint.transform import add_note_energies

_DIGEST_BYTES = 32

_engines: list[Any] = []
"""What owns the code: it is freed with them."""


def functions_here(image: Path | None) -> dict[str, Function]:
    """The functions of `machine_code` by their names, for this processor. Their image is kept in that file."""
    processor, features = binding.get_host_cpu_name(), binding.get_host_cpu_features().flatten()
    functions = functions_for(processor, features)
    if image is not None and (content := image_of(_code(processor, features, _machine(processor, features)))):
        _write(image, content)
    return functions


def functions_for(processor: str, features: str) -> dict[str, Function]:
    """The functions as they are for a processor with these features, in LLVM's words; "generic" and none are what all
    of its family have."""
    machine = _machine(processor, features)
    code = _code(processor, features, machine)
    engine = binding.create_mcjit_compiler(binding.parse_assembly(""), machine)
    engine.add_object_file(binding.ObjectFileRef.from_data(code))
    engine.finalize_object()
    _engines.append(engine)
    return {name: kind(engine.get_function_address(name)) for name, kind in KINDS.items()}


def _machine(processor: str, features: str) -> Any:
    binding.initialize_native_target()
    binding.initialize_native_asmprinter()
    target = binding.Target.from_default_triple()
    return target.create_target_machine(cpu=processor, features=features, opt=3, reloc="pic", codemodel="small")


def _code(processor: str, features: str, machine: Any) -> bytes:
    """An object file, from the cache or compiled."""
    file = _file(processor, features)
    code = _kept(file)
    if not code:
        code = _compiled(machine)
        if file is not None:
            _write(file, hashlib.sha256(code).digest() + code)
    return code


def _compiled(machine: Any) -> bytes:
    code: bytes = machine.emit_object(optimised(machine))
    return code


def optimised(machine: Any) -> Any:
    """The module, as that machine is to run it."""
    module = ir.Module("fingerprint")
    add_note_energies(module)
    add_decimation(module)
    add_packet_loop(module)
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
    return folder / f"fingerprint-{code_digest(processor, features)}.code"


def _kept(file: Path | None) -> bytes:
    """The code in the file, which begins with its digest; empty if there is none, or not all of it."""
    with contextlib.suppress(OSError):
        if file is not None:
            content = file.read_bytes()
            code = content[_DIGEST_BYTES:]
            return code if hashlib.sha256(code).digest() == content[:_DIGEST_BYTES] else b""
    return b""


def _write(file: Path, content: bytes) -> None:
    """Writes the file whole or not at all: several workers may do so at once."""
    with contextlib.suppress(OSError):  # a cache that cannot be written holds no code
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.NamedTemporaryFile(dir=file.parent, delete=False) as new:
            new.write(content)
        os.replace(new.name, file)
