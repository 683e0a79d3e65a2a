"""Machine code that is mapped from a file: the same functions, and nothing of it is run unless it is whole."""

from __future__ import annotations

import ctypes
import hashlib
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from llvmlite import binding

from dedup.fingerprint import compiler, machine_code
from dedup.fingerprint.image import CODE_AT, image_of, mapped_functions
from dedup.fingerprint.signatures import KINDS

ROOT = Path(__file__).resolve().parents[1]

ONE = """
@table = private unnamed_addr constant [2 x double] [double 20.5, double 21.5]
define double @one(i64 %i) {
  %at = getelementptr [2 x double], [2 x double]* @table, i64 0, i64 %i
  %value = load double, double* %at
  ret double %value
}
define double @sum() {
  %x = call double @one(i64 0)
  %y = call double @one(i64 1)
  %z = fadd double %x, %y
  ret double %z
}
"""
OTHERS = """
declare double @sin(double)
define double @one(double %x) {
  %y = call double @sin(double %x)
  ret double %y
}
"""


def object_file(source: str, triple: str = "x86_64-unknown-linux-gnu") -> bytes:
    binding.initialize_all_targets()
    binding.initialize_all_asmprinters()
    machine = binding.Target.from_triple(triple).create_target_machine(reloc="pic", codemodel="small", opt=0)
    made = binding.parse_assembly(source)
    made.triple = triple
    code: bytes = machine.emit_object(made)
    return code


def test_an_image_finds_its_constants_and_its_own_functions(tmp_path: Path) -> None:
    image = image_of(object_file(ONE))
    assert image is not None
    file = tmp_path / "one.image"
    file.write_bytes(image)
    addresses = mapped_functions(file)
    assert set(addresses) == {"one", "sum"}
    assert ctypes.CFUNCTYPE(ctypes.c_double, ctypes.c_int64)(addresses["one"])(1) == 21.5
    assert ctypes.CFUNCTYPE(ctypes.c_double)(addresses["sum"])() == 42.0


def test_what_needs_others_or_another_processor_makes_no_image() -> None:
    assert image_of(object_file(OTHERS)) is None
    assert image_of(object_file(ONE, "aarch64-unknown-linux-gnu")) is None
    assert image_of(object_file(ONE, "arm64-apple-macos")) is None
    assert image_of(b"") is None


def test_a_file_that_is_torn_gives_nothing(tmp_path: Path) -> None:
    image = image_of(object_file(ONE))
    assert image is not None
    file = tmp_path / "one.image"
    flipped = bytearray(image)
    flipped[CODE_AT] ^= 1
    for content in (b"", image[:40], image[:-1], image[: CODE_AT - 1], bytes(flipped), bytes(len(image))):
        file.write_bytes(content)
        assert mapped_functions(file) == {}
    with pytest.raises(FileNotFoundError):
        mapped_functions(tmp_path / "none.image")


def decimated(functions: dict[str, machine_code.Function]) -> bytes:
    samples, taps, pcm = (
        np.sin(np.arange(800, dtype=np.float32)) * 9999,
        np.ones((1, 8), np.float32),
        np.empty(64, np.int16),
    )
    functions["decimate"](pcm.ctypes.data, samples.ctypes.data, taps.ctypes.data, 8, 8, 0, 1, 3, 0)
    return pcm.tobytes()


def test_an_image_is_made_once_and_made_anew_if_it_is_torn(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REPRISE_KERNEL_CACHE", str(tmp_path))
    functions = machine_code.functions.__wrapped__
    compiled = functions()
    file = machine_code.image_file()
    assert file is not None
    whole = file.read_bytes()
    assert whole[:32] == hashlib.sha256(whole[32:]).digest()
    with monkeypatch.context() as patch:
        patch.setattr(compiler, "functions_here", lambda _: pytest.fail("compiled again"))
        mapped = functions()
    assert set(mapped) == set(compiled) == set(KINDS)
    assert decimated(mapped) == decimated(compiled) != bytes(128)
    file.unlink()
    file.write_bytes(whole[:-1])
    assert decimated(functions()) == decimated(compiled)
    assert file.read_bytes() == whole


def test_where_nothing_may_run_from_the_folder_it_is_compiled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(_file: Path) -> dict[str, int]:
        raise PermissionError(1, "Operation not permitted")

    monkeypatch.setenv("REPRISE_KERNEL_CACHE", str(tmp_path))
    expected = decimated(machine_code.functions.__wrapped__())
    monkeypatch.setattr(machine_code, "mapped_functions", refused)
    assert decimated(machine_code.functions.__wrapped__()) == expected


def test_who_finds_an_image_loads_no_llvm(tmp_path: Path) -> None:
    program = (
        "import sys; from dedup.fingerprint.chromaprint import Fingerprinter;"
        "from dedup.settings import FingerprintSettings;"
        "Fingerprinter(FingerprintSettings()).feed(bytes(200_000)); print('llvmlite.binding' in sys.modules)"
    )
    command = [sys.executable, "-c", program]
    environment = {"REPRISE_KERNEL_CACHE": str(tmp_path), "PATH": ""}
    told = [
        subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT, env=environment).stdout.strip()
        for _ in range(2)
    ]
    assert told == ["True", "False"]
